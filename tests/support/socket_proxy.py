"""A stub of a docker-socket-proxy: it lets the paths of an allow-list through and refuses the rest.

It stands on a Unix socket of its own before a real engine, keeps a list of what it was asked, and
can lie about the version of the engine's API.
"""

import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingMixIn, UnixStreamServer

OUR_PATHS = (
    r"/_ping",
    r"/version",
    r"/containers/json",
    r"/containers/[0-9a-f]+/stats",
    r"/events",
)

_VERSION_PREFIX = r"(?:/v1\.\d+)?"
_REQUEST = re.compile(rb"([A-Z]+) ([^ ?]+)(\?[^ ]*)? HTTP/1\.[01]\r\n")
_MOST_HEAD_BYTES = 65_536
_CHUNK_BYTES = 65_536
_POLL_SECONDS = 0.02
_REFUSAL = b'{"message":"not on the allow-list"}'


@dataclass(slots=True)
class SocketProxy:
    """A proxy at `host`; `asked` has a line per request, `refused` those that were not let through.

    `api` takes the place of the engine's `Api-Version`; a request whose path has `silent` in it
    never gets an answer.
    """

    socket: Path
    engine: Path
    allowed: Sequence[str] = OUR_PATHS
    api: str | None = None
    silent: str | None = None
    asked: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        """The address as KATO_DOCKER_HOST has it."""
        return f"unix://{self.socket}"

    def lets_through(self, method: str, path: str) -> bool:
        """Tell whether a request is on the allow-list."""
        return method == "GET" and any(
            re.fullmatch(_VERSION_PREFIX + allowed, path) for allowed in self.allowed
        )


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    proxy: SocketProxy


class _Handler(StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        head = self._head()
        match = _REQUEST.match(head)
        if match is None:
            return
        proxy = self.server.proxy
        method, path = match[1].decode(), match[2].decode()
        proxy.asked.append(f"{method} {path}")
        if not proxy.lets_through(method, path):
            proxy.refused.append(f"{method} {path}")
            self._answer_refusal()
            return
        if proxy.silent is not None and proxy.silent in path:
            self.connection.recv(1)
            return
        with socket.socket(socket.AF_UNIX) as engine, suppress(OSError):
            engine.connect(str(proxy.engine))
            engine.sendall(_without_keep_alive(head))
            self._carry_back(engine)

    def _head(self) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n") and len(head) < _MOST_HEAD_BYTES:
            line = self.rfile.readline(_MOST_HEAD_BYTES)
            if not line:
                return b""
            head += line
        return head

    def _answer_refusal(self) -> None:
        self.wfile.write(
            b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(_REFUSAL), _REFUSAL)
        )

    def _carry_back(self, engine: socket.socket) -> None:
        """Pass the answer on until either side ends it."""
        watcher = threading.Thread(target=self._close_with_client, args=(engine,), daemon=True)
        watcher.start()
        api = self.server.proxy.api
        while chunk := engine.recv(_CHUNK_BYTES):
            if api is not None:
                chunk = re.sub(rb"(?i)(\r\napi-version: )[\d.]+", rb"\g<1>" + api.encode(), chunk)
            self.wfile.write(chunk)

    def _close_with_client(self, engine: socket.socket) -> None:
        with suppress(OSError):
            self.connection.recv(1)
            engine.shutdown(socket.SHUT_RDWR)


@contextmanager
def socket_proxy(
    directory: Path, engine: Path, *, allowed: Sequence[str] = OUR_PATHS, api: str | None = None
) -> Iterator[SocketProxy]:
    """Run a stub of a socket proxy before the engine at this Unix socket."""
    proxy = SocketProxy(directory / "proxy.sock", engine, allowed, api)
    with _Server(str(proxy.socket), _Handler) as server:
        server.proxy = proxy
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,))
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def _without_keep_alive(head: bytes) -> bytes:
    """Have the engine close after its answer, so that each request comes on a connection."""
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([lines[0], b"Connection: close", *lines[1:]])


@contextmanager
def silent_socket(directory: Path) -> Iterator[Path]:
    """Give a Unix socket that takes connections, and where nobody ever says a word."""
    path = directory / "silent.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(256)
        yield path
