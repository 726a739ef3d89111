"""A stub of MongoDB that answers whatever a fuzz test draws."""

import socketserver
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import bson
from bson.errors import BSONError

from kato_exporter.demo.servers import LOOPBACK

Document = Mapping[str, Any]
Command = dict[str, Any]

_HEADER = struct.Struct("<iiii")
_OP_REPLY, _OP_QUERY, _OP_MSG = 1, 2004, 2013
_HELLO = {
    "helloOk": True,
    "ismaster": True,
    "isWritablePrimary": True,
    "maxBsonObjectSize": 16_777_216,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "minWireVersion": 0,
    "maxWireVersion": 17,
    "readOnly": False,
    "ok": 1.0,
}


class FuzzedMongo(socketserver.ThreadingTCPServer):
    """Serves on a free port; `replies` may be changed at any time."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _Conversation)
        self.replies: Callable[[Command], Document] = lambda _: {"ok": 1.0}

    def reply(self, command: Command) -> bytes:
        """Answer one command, as BSON."""
        name = next(iter(command), "")
        if name.lower() in {"hello", "ismaster"}:
            return bson.encode(_HELLO)
        if name in {"ping", "endSessions"}:
            return bson.encode({"ok": 1.0})
        try:
            return bson.encode(self.replies(command))
        except (OverflowError, BSONError):  # what no server can say
            return bson.encode({"ok": 1.0})


class _Conversation(socketserver.StreamRequestHandler):
    server: FuzzedMongo

    def handle(self) -> None:
        with suppress(OSError, struct.error):
            while head := self.rfile.read(_HEADER.size):
                length, request, _, kind = _HEADER.unpack(head)
                body = self.rfile.read(length - _HEADER.size)
                if kind == _OP_QUERY:
                    start = body.index(b"\0", 4) + 1 + 8
                    answer = self.server.reply(bson.decode(body[start:]))
                    self._send(request, _OP_REPLY, struct.pack("<iqii", 8, 0, 0, 1) + answer)
                elif kind == _OP_MSG:
                    answer = self.server.reply(bson.decode(body[5:]))
                    self._send(request, _OP_MSG, struct.pack("<iB", 0, 0) + answer)

    def _send(self, request: int, kind: int, body: bytes) -> None:
        self.wfile.write(_HEADER.pack(_HEADER.size + len(body), 0, request, kind) + body)


@contextmanager
def fuzzed_mongodb() -> Iterator[FuzzedMongo]:
    """Serve a stub while the context lasts."""
    with FuzzedMongo() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
