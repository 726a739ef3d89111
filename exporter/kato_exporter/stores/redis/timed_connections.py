"""Connections of redis-py whose time limit holds for a reply as a whole.

redis-py's own limit holds for each read, so that a server which sends a reply byte by byte could
take for ever.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)

from kato_exporter.stores.deadline import Deadline


class TimedReplies(AbstractConnection):
    """Mixed into a kind of connection, before it: `socket_timeout` then bounds every reply."""

    _sock: "_TimedSocket | None"  # type: ignore[assignment]

    def _connect(self) -> "_TimedSocket":
        return _TimedSocket(super()._connect())  # type: ignore[no-untyped-call, safe-super]

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read a reply within its own `timeout`, or that of the connection, in seconds."""
        seconds = options.get("timeout", self.socket_timeout)
        if self._sock is None or seconds is None:
            return super().read_response(*arguments, **options)
        with self._sock.within(Deadline.after(seconds)):
            return super().read_response(*arguments, **options)


class TimedConnection(TimedReplies, Connection):
    """A connection by TCP."""


class TimedTlsConnection(TimedReplies, SSLConnection):
    """A connection by TLS."""


class TimedUnixConnection(TimedReplies, UnixDomainSocketConnection):
    """A connection by a socket of this machine."""


def connection_class(scheme: str) -> type[AbstractConnection]:
    """Give the class for `redis`, `rediss` or `unix`."""
    return {"rediss": TimedTlsConnection, "unix": TimedUnixConnection}.get(scheme, TimedConnection)


class _TimedSocket:
    """A socket whose reads end, all together, with a deadline."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self._deadline: Deadline | None = None

    @contextmanager
    def within(self, deadline: Deadline) -> Iterator[None]:
        """Hold the reads inside to the deadline."""
        self._deadline = deadline
        try:
            yield
        finally:
            self._deadline = None

    def recv(self, size: int, flags: int = 0) -> bytes:
        with self._limited():
            return self._inner.recv(size, flags)

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        with self._limited():
            return self._inner.recv_into(buffer, size, flags)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @contextmanager
    def _limited(self) -> Iterator[None]:
        usual = self._inner.gettimeout()
        if self._deadline is None or usual == 0:
            yield
            return
        remaining = self._deadline.remaining
        if not remaining:
            raise TimeoutError
        self._inner.settimeout(remaining if usual is None else min(usual, remaining))
        try:
            yield
        finally:
            self._inner.settimeout(usual)
