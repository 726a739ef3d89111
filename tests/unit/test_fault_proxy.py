"""The proxy that fails on command, before a server that echoes."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from kato_exporter.demo.servers import LOOPBACK, free_port
from support.fault_proxy import FaultProxy
from support.waiting import at_most, eventually

PATIENCE = 5.0
SILENCE = 0.15


class Echo(socketserver.BaseRequestHandler):
    """Sends back what comes; on `!` it closes."""

    def handle(self) -> None:
        """Serve one connection."""
        while (chunk := self.request.recv(65_536)) not in (b"", b"!"):
            self.request.sendall(chunk)


class EchoServer(socketserver.ThreadingTCPServer):
    """Ends with all its connections."""

    daemon_threads = False
    block_on_close = True
    allow_reuse_address = True


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """Give a proxy before an echo server."""
    with EchoServer((LOOPBACK, 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        with FaultProxy(server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()
        thread.join()


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    """Give a connection through the proxy that has worked."""
    with connected(proxy) as client:
        assert b"hello" == echoed(client, b"hello")
        yield client


def connected(proxy: FaultProxy) -> socket.socket:
    """Connect to the proxy."""
    return socket.create_connection((LOOPBACK, proxy.port), timeout=PATIENCE)


def echoed(client: socket.socket, chunk: bytes) -> bytes:
    """Send bytes, and give as many as come back; fewer where the connection ends."""
    client.sendall(chunk)
    return received(client, len(chunk))


def received(client: socket.socket, size: int) -> bytes:
    """Give so many bytes, or those until the connection ends."""
    answer = b""
    while len(answer) < size and (more := client.recv(size - len(answer))):
        answer += more
    return answer


def is_silent(client: socket.socket) -> bool:
    """Tell whether nothing comes for a while, neither a byte nor an end."""
    client.settimeout(SILENCE)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE)
    return False


def has_ended(client: socket.socket) -> bool:
    """Tell whether the other side has closed, orderly or by a reset."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_it_passes_bytes_both_ways(proxy: FaultProxy) -> None:
    """A megabyte comes back whole, on several connections at once."""
    sent = bytes(range(256)) * 4_096
    with connected(proxy) as one, connected(proxy) as other:
        for client in (one, other):
            writer = threading.Thread(target=client.sendall, args=(sent,))
            writer.start()
            assert sent == received(client, len(sent))
            writer.join()
        assert 2 == proxy.connections
    assert 2 == proxy.accepted


def test_the_end_of_one_side_ends_the_other(proxy: FaultProxy, client: socket.socket) -> None:
    """A server that closes is seen by the client; a client that closes leaves nothing behind."""
    client.sendall(b"!")

    assert has_ended(client)
    eventually(lambda: proxy.connections == 0, within=PATIENCE, what="the link is gone")
    connected(proxy).close()
    eventually(lambda: proxy.connections == 0, within=PATIENCE, what="that link is gone too")


def test_a_target_that_is_down_ends_the_connection() -> None:
    """Where nothing listens behind the proxy, the client is let go at once.

    That may be so soon that it has not returned from connecting.
    """
    with (
        FaultProxy(free_port()) as proxy,
        suppress(BrokenPipeError, ConnectionResetError),
        connected(proxy) as client,
    ):
        assert has_ended(client)


def test_refused_connections_are_reset(proxy: FaultProxy, client: socket.socket) -> None:
    """Open connections end, new ones are refused, and the port stays the same when it heals."""
    proxy.refuse()

    assert 0 == proxy.connections
    assert has_ended(client)
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    proxy.heal()
    with connected(proxy) as again:
        assert b"back" == echoed(again, b"back")


def test_a_cut_ends_what_is_open_and_nothing_else(proxy: FaultProxy, client: socket.socket) -> None:
    """All connections end at once, and the next one works."""
    proxy.cut()

    assert 0 == proxy.connections
    assert has_ended(client)
    with connected(proxy) as again:
        assert b"again" == echoed(again, b"again")


def test_a_cut_comes_in_the_middle_of_an_answer(proxy: FaultProxy, client: socket.socket) -> None:
    """Bytes that are still held by the proxy never arrive."""
    proxy.delay(60)
    client.sendall(b"lost")
    with at_most(PATIENCE):
        proxy.cut()

    assert has_ended(client)


def test_a_delay_holds_each_chunk(proxy: FaultProxy, client: socket.socket) -> None:
    """The way there and the way back take the delay once each."""
    proxy.delay(0.1)
    began = time.monotonic()

    assert b"slow" == echoed(client, b"slow")
    assert 0.2 <= time.monotonic() - began


def test_what_a_delay_holds_comes_when_it_heals(proxy: FaultProxy, client: socket.socket) -> None:
    """A switch frees what is held: late, whole and in order."""
    proxy.delay(60)
    client.sendall(b"first ")

    assert is_silent(client)
    proxy.heal()
    client.sendall(b"second")
    assert b"first second" == received(client, 12)


def test_a_delay_lets_the_sender_feel_it(proxy: FaultProxy) -> None:
    """While a chunk is held no more is taken, so a sender of much comes to a stand."""
    proxy.delay(60)
    with connected(proxy) as client:
        client.settimeout(SILENCE)
        with pytest.raises(TimeoutError):
            client.sendall(b"x" * 64 * 1024 * 1024)


def test_a_black_hole_swallows_all(proxy: FaultProxy, client: socket.socket) -> None:
    """Open and new connections stay open, and no byte comes back."""
    proxy.black_hole()
    client.sendall(b"lost")

    assert is_silent(client)
    with connected(proxy) as new:
        new.sendall(b"lost too")
        assert is_silent(new)
        assert 2 == proxy.connections


def test_a_connection_that_lost_bytes_stays_silent(
    proxy: FaultProxy, client: socket.socket
) -> None:
    """After a black hole only those go on that have lost nothing."""
    with connected(proxy) as idle:
        assert b"hello" == echoed(idle, b"hello")
        proxy.black_hole()
        client.sendall(b"lost")
        assert is_silent(client)
        proxy.heal()
        client.sendall(b"!")

        assert is_silent(client)
        assert b"whole" == echoed(idle, b"whole")


def test_garbage_comes_back(proxy: FaultProxy, client: socket.socket) -> None:
    """What answers is not what the server would say, and the same seed repeats it."""
    proxy.garbage()
    first = echoed(client, b"x" * 64)

    assert 64 == len(first)
    assert b"x" * 64 != first
    with FaultProxy(free_port()) as other:
        other.garbage()
        with connected(other) as again:
            assert first == echoed(again, b"x" * 64)


def test_garbage_of_ones_own(proxy: FaultProxy, client: socket.socket) -> None:
    """A given answer is given to every question."""
    proxy.garbage(b"+OK\r\n")

    for question in (b"a", b"whatever"):
        client.sendall(question)
        assert b"+OK\r\n" == received(client, 5)


def test_truncated_answers_end_early(proxy: FaultProxy, client: socket.socket) -> None:
    """After so many bytes of the server's, and no more, each connection ends."""
    proxy.truncate(after=7)

    assert b"four" == echoed(client, b"four")
    assert b"mor" == echoed(client, b"more")
    assert has_ended(client)
    with connected(proxy) as new:
        assert b"1234567" == echoed(new, b"123456789")
    proxy.heal()
    with connected(proxy) as new:
        assert b"123456789" == echoed(new, b"123456789")


def test_a_drip_gives_byte_by_byte(proxy: FaultProxy, client: socket.socket) -> None:
    """Everything comes, in its order, but not at once; the next switch frees the rest."""
    proxy.drip(PATIENCE)
    client.sendall(b"drops")

    assert b"d" == client.recv(5)
    assert is_silent(client)
    proxy.heal()
    assert b"rops" == received(client, 4)


def test_nothing_is_left_at_the_end(proxy: FaultProxy) -> None:
    """Whatever state it is in, all threads end and all sockets are closed."""
    process = psutil.Process()
    for switch in ("heal", "black_hole", "garbage", "delay"):
        threads, descriptors = threading.active_count(), process.num_fds()
        with FaultProxy(proxy.port) as inner, connected(inner) as client:
            assert b"x" == echoed(client, b"x")
            getattr(inner, switch)(*([60] if switch == "delay" else []))
            client.sendall(b"y")
            with at_most(PATIENCE):
                inner.refuse()
        eventually(
            lambda n=threads: threading.active_count() == n,  # type: ignore[misc]
            within=PATIENCE,
            what=f"no thread is left after {switch}",
        )
        eventually(
            lambda n=descriptors: process.num_fds() == n,  # type: ignore[misc]
            within=PATIENCE,
            what=f"no socket is left after {switch}",
        )
