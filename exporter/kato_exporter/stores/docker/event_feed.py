"""The stream of events of a container engine."""

from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

import requests

from kato_exporter.stores.docker.errors import SilenceError, engine_errors
from kato_exporter.stores.docker.stats import ContainerEvent, container_event
from kato_exporter.stores.errors import StoreError
from kato_exporter.stores.json_values import parse_json

_MOST_EVENT_BYTES = 1024 * 1024
_QUIET_SECONDS = 15.0


class ContainerEventFeed:
    """An answer to `/events`, read as it comes; a context manager.

    It ends when the engine has been quiet for a while (`was_quiet`, and then asking anew shows
    whether the engine is alive), when `close` is called, or when the engine ends it.
    """

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        self.was_quiet = False
        # A connection that ends with the answer has no socket to show: it is asked anew sooner.
        connection = getattr(response.raw, "connection", None)
        if (sock := getattr(connection, "sock", None)) is not None:
            sock.settimeout(_QUIET_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._response.close()

    def __iter__(self) -> Iterator[ContainerEvent]:
        """Give the events one after another; raise StoreError where the connection breaks."""
        for line in self._lines():
            try:
                event = container_event(parse_json(line))
            except ValueError as error:
                raise StoreError("an event that is not JSON") from error
            if event is not None:
                yield event

    def close(self) -> None:
        """Wake up the thread that reads, and end its iteration."""
        with suppress(OSError, ValueError, RuntimeError, AttributeError):
            self._response.raw.shutdown()

    def _lines(self) -> Iterator[bytes]:
        pending = bytearray()
        for chunk in self._chunks():
            pending += chunk
            if b"\n" in chunk:
                *lines, pending = pending.split(b"\n")
                yield from (bytes(line) for line in lines if line.strip())
            if len(pending) > _MOST_EVENT_BYTES:
                raise StoreError(f"an event of more than {_MOST_EVENT_BYTES} bytes")

    def _chunks(self) -> Iterator[bytes]:
        size = None if getattr(self._response.raw, "chunked", False) else 1
        try:
            with engine_errors(_QUIET_SECONDS):
                yield from self._response.iter_content(size)
        except SilenceError:
            self.was_quiet = True
