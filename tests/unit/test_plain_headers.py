"""Headers that could pass for others do not reach the application."""

import socket
import threading
from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from cheroot.wsgi import Server

from kato_exporter.runtime.plain_headers import PlainHeadersConnection


def tell_user(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the user that the application sees."""
    user = environ.get("HTTP_X_USER", "nobody").encode()
    start_response("200 OK", [("Content-Length", str(len(user)))])
    return [user]


@pytest.fixture
def port() -> Iterator[int]:
    """Run a server that reads headers so, and give its port."""
    server = Server(("127.0.0.1", 0), tell_user, numthreads=1)
    server.ConnectionClass = PlainHeadersConnection
    server.expiration_interval = 0.02
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server.bind_addr[1]
    server.stop()
    thread.join()


def ask(port: int, *lines: str) -> str:
    """Send headers as they are, and return the body of the answer."""
    return ask_whole(port, *lines).partition("\r\n\r\n")[2]


def ask_whole(port: int, *lines: str) -> str:
    """Send headers as they are, and return the whole answer."""
    head = ["GET / HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall("\r\n".join(head).encode())
        return connection.makefile("rb").read().decode()


def test_a_header_is_read(port: int) -> None:
    """As it is spelled, in capitals or not, over two lines or one."""
    assert "alice" == ask(port, "X-User: alice")
    assert "alice" == ask(port, "x-user:alice")


@pytest.mark.parametrize("line", ["X_User: mallory", "X_User: a\r\n mallory"])
def test_a_header_that_would_pass_for_another_is_left_out(port: int, line: str) -> None:
    """Whether the other one is there, before or after it, or not."""
    assert "nobody" == ask(port, line)
    assert "alice" == ask(port, line, "X-User: alice")
    assert "alice" == ask(port, "X-User: alice", line)


@pytest.mark.parametrize(
    "lines",
    [
        ("X-User : mallory",),
        ("X-User\t: mallory",),
        ("Content-Length: 0", "Content-Length: 5"),
        ("Content-Length: +5",),
        ("Content-Length: -1",),
        ("Content-Length : 5",),
        ("Transfer-Encoding: chunked",),
        ("X-User: mal\0lory",),
        ("X-User: mal\rlory",),
    ],
)
def test_what_two_readers_may_understand_in_two_ways_is_refused(
    port: int, lines: tuple[str, ...]
) -> None:
    """So that no proxy before us sees another end of a request, or other headers."""
    answer = ask_whole(port, *lines)

    assert answer.startswith(("HTTP/1.1 400 ", "HTTP/1.1 411 ")), answer
    assert not answer.endswith("mallory")
