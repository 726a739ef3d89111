"""The WSGI server: bounded in threads, in connections that wait, and in time."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from wsgiref.types import WSGIApplication

import structlog
from cheroot.wsgi import Server

from kato_exporter.runtime.plain_headers import PlainHeadersConnection
from kato_exporter.runtime.web_config import WebConfig
from kato_exporter.setting_kinds import Address

_log = structlog.get_logger("web")

_THREADS = 8
_WAITING_CONNECTIONS = 32
_SOCKET_TIMEOUT = 10
_SHUTDOWN_TIMEOUT = 2
_LONGEST_HEADER = 16 * 1024
_LARGEST_BODY = 64 * 1024


class _Server(Server):
    """Cheroot's server, whose reports of broken connections and faults go to our log."""

    ConnectionClass = PlainHeadersConnection

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:  # noqa: FBT001, FBT002 - cheroot's signature
        """Log a report."""
        _log.log(level, "web server", report=msg.strip(), exc_info=traceback)


def listen(
    app: WSGIApplication,
    address: Address,
    web_config: WebConfig,
    *,
    largest_body: int = _LARGEST_BODY,
) -> AbstractContextManager[Address]:
    """Take the address at once; serve the application while the context lasts.

    TLS, users and headers are as `web_config` says. The context gives the address with its true
    port. Raises OSError where it cannot be had.
    """
    server = _Server(
        (address.host, address.port),
        web_config.protect(app),
        numthreads=_THREADS,
        max=_THREADS,
        request_queue_size=_WAITING_CONNECTIONS,
        accepted_queue_size=_WAITING_CONNECTIONS,
        timeout=_SOCKET_TIMEOUT,
        shutdown_timeout=_SHUTDOWN_TIMEOUT,
        server_name="kato-exporter",
    )
    server.ssl_adapter = web_config.ssl_adapter()
    server.max_request_header_size = _LONGEST_HEADER
    server.max_request_body_size = largest_body
    server.prepare()
    return _serving(server)


@contextmanager
def _serving(server: _Server) -> Iterator[Address]:
    thread = threading.Thread(target=server.serve, name="web", daemon=True)
    thread.start()
    try:
        yield Address(*server.bind_addr[:2])
    finally:
        server.stop()
        thread.join()
