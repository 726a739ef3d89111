"""A stub of Redis that answers whatever a fuzz test draws."""

import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

from kato_exporter.demo.servers import LOOPBACK

Reply = bytes
Replies = Mapping[str, Reply]
"""What is answered, as it goes over the wire, by command, or command and first argument."""

_HANDSHAKE: Replies = {
    "HELLO": b"%2\r\n+server\r\n+redis\r\n+proto\r\n:3\r\n",
    "CLIENT": b"+OK\r\n",
    "SELECT": b"+OK\r\n",
    "AUTH": b"+OK\r\n",
}


class FuzzedRedis(socketserver.ThreadingTCPServer):
    """Serves on a free port; `replies` may be changed at any time."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _Conversation)
        self.replies: Replies = {}

    def reply(self, command: list[str]) -> Reply:
        """Answer one command; a subscription is confirmed first."""
        known: Replies = {**_HANDSHAKE, **self.replies}
        name = command[0].upper() if command else ""
        two = " ".join([name, *(command[1:2])])
        found = known.get(two) or known.get(name)
        if name == "SUBSCRIBE":
            return b"".join(map(_confirmed, command[1:], count(1))) + (found or b"")
        return found or b"-ERR unknown command\r\n"


class _Conversation(socketserver.StreamRequestHandler):
    server: FuzzedRedis

    def handle(self) -> None:
        with suppress(OSError, ValueError):
            while head := self.rfile.readline():
                count = int(head[1:])
                command = []
                for _ in range(count):
                    length = int(self.rfile.readline()[1:])
                    command.append(self.rfile.read(length + 2)[:-2].decode("utf-8", "replace"))
                self.wfile.write(self.server.reply(command))


@contextmanager
def fuzzed_redis() -> Iterator[FuzzedRedis]:
    """Serve a stub while the context lasts."""
    with FuzzedRedis() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def _confirmed(channel: str, number: int) -> Reply:
    return resp((b"subscribe", channel.encode(), number))


def resp(value: Any) -> Reply:  # noqa: PLR0911 - one for each type
    """Spell a value as Redis does: None, an integer, bytes, a list, a map, a push, an error.

    A text is a status, a tuple a push.
    """
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, Exception):
        return f"-{value}\r\n".encode()
    if isinstance(value, str):
        return f"+{value}\r\n".encode("utf-8", "replace")
    if isinstance(value, bytes):
        return b"$%d\r\n%s\r\n" % (len(value), value)
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(map(resp, value))
    if isinstance(value, tuple):
        return b">%d\r\n" % len(value) + b"".join(map(resp, value))
    if isinstance(value, dict):
        return b"%%%d\r\n" % len(value) + b"".join(resp(k) + resp(v) for k, v in value.items())
    return f":{value}\r\n".encode()
