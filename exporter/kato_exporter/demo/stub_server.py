"""Serves stubs of servers that cannot be had here: an application on a port of this machine."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from wsgiref.types import WSGIApplication

from cheroot.ssl import Adapter
from cheroot.wsgi import Server

from kato_exporter.demo.servers import LOOPBACK

_THREADS = 4
_SHUTDOWN_SECONDS = 1
_LOOK_SECONDS = 0.05
"""How long the server may take to see that it is to end."""


class _Server(Server):
    """Cheroot's server, without its reports of broken connections."""

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:  # noqa: FBT001, FBT002 - cheroot's signature
        """Drop a report."""


@contextmanager
def serving(
    app: WSGIApplication, *, port: int = 0, ssl_adapter: Adapter | None = None
) -> Iterator[int]:
    """Serve the application while the context lasts, which gives the port.

    Any free port without one given; over TLS with an `ssl_adapter`. Raises OSError where the port
    cannot be had.
    """
    server = _Server(
        (LOOPBACK, port),
        app,
        numthreads=_THREADS,
        max=_THREADS,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    server.ssl_adapter = ssl_adapter
    server.expiration_interval = _LOOK_SECONDS
    server.prepare()
    thread = threading.Thread(target=server.serve, name="stub", daemon=True)
    thread.start()
    try:
        yield server.bind_addr[1]
    finally:
        server.stop()
        thread.join()
