"""Connections for httpx that keep a deadline as a whole.

httpx's own time limits hold for each read, so that a server which sends an answer byte by byte
could take for ever.
"""

import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

from kato_exporter.stores.deadline import Deadline

_MOST_CONNECTIONS = 8


class DeadlineTransport(httpx.HTTPTransport):
    """A transport whose every wait ends with the deadline that its thread has set."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, trust_env=False)
        self._now = _Now()
        # httpx has no way of its own to give its connection pool a backend.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=_MOST_CONNECTIONS,
            max_keepalive_connections=_MOST_CONNECTIONS,
            keepalive_expiry=5.0,
            network_backend=_Backend(self._now),
        )

    @contextmanager
    def within(self, deadline: Deadline) -> Iterator[None]:
        """Hold what this thread does inside to the deadline."""
        self._now.deadline = deadline
        try:
            yield
        finally:
            del self._now.deadline


class _Now(threading.local):
    """The deadline of the request that a thread makes."""

    deadline: Deadline

    def limit(self, timeout: float | None, expired: type[Exception]) -> float:
        """Give the seconds that a wait may take, or raise what httpcore calls a timeout."""
        remaining = self.deadline.remaining
        if not remaining:
            raise expired
        return remaining if timeout is None else min(timeout, remaining)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, now: _Now) -> None:
        self._now = now
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        limit = self._now.limit(timeout, httpcore.ConnectTimeout)
        stream = self._sockets.connect_tcp(host, port, limit, local_address, socket_options)
        return _Stream(stream, self._now)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, now: _Now) -> None:
        self._stream = stream
        self._now = now

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._now.limit(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._now.limit(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        limit = self._now.limit(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, limit), self._now)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
