"""A TCP proxy that fails on command: it stands between the code under test and a real server."""

import random
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from kato_exporter.demo.servers import LOOPBACK

_Kind = Literal["pass", "refuse", "delay", "black_hole", "garbage", "truncate", "drip"]

_CHUNK_BYTES = 65_536
_RECEIVE_BUFFER_BYTES = 16_384
_ACCEPT_SECONDS = 0.02
_CONNECT_SECONDS = 5.0
_JOIN_SECONDS = 10.0
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, eq=False, slots=True)
class _Mode:
    """What happens to bytes; two modes are the same only if one switch has made them."""

    kind: _Kind
    seconds: float = 0.0
    after: int = 0
    answer: bytes | None = None


@dataclass(slots=True)
class _State:
    """What the proxy shares with its connections; `switched` guards it and tells of changes."""

    target: int
    random: random.Random
    mode: _Mode = field(default_factory=lambda: _Mode("pass"))
    links: set["_Link"] = field(default_factory=set)
    accepted: int = 0
    switched: threading.Condition = field(default_factory=threading.Condition)

    def switch(self, mode: _Mode) -> None:
        with self.switched:
            self.mode = mode
            self.switched.notify_all()

    def garbage(self, size: int) -> bytes:
        with self.switched:
            answer = self.mode.answer
            return self.random.randbytes(size) if answer is None else answer


class FaultProxy:
    """Forwards connections to its own port to `target`, a port of this host, until told otherwise.

    Each method that switches takes effect before it returns, on new connections and on those that
    are open. Use it as a context manager; at its end every thread and socket of it is gone.
    `seed` makes the garbage repeatable.
    """

    def __init__(self, target: int, *, seed: int = 0) -> None:
        self._state = _State(target, random.Random(seed))  # noqa: S311 - no secret
        self._place = _bound_socket(0)  # never listens: it keeps the port while nothing else does
        self.port = int(self._place.getsockname()[1])
        self._listener: _Listener | None = None

    def __enter__(self) -> Self:
        self.heal()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.refuse()
        self._place.close()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        with self._state.switched:
            return len(self._state.links)

    @property
    def accepted(self) -> int:
        """How many connections have been accepted until now."""
        with self._state.switched:
            return self._state.accepted

    def heal(self) -> None:
        """Forward everything again.

        A connection of which bytes have been swallowed or falsified cannot go on; it stays open
        and silent.
        """
        self._switch(_Mode("pass"))

    def refuse(self) -> None:
        """Stop to listen, so that connection attempts are reset, and cut what is open."""
        self._state.switch(_Mode("refuse"))
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """Close every connection at once, in the middle of whatever it carries."""
        with self._state.switched:
            links = list(self._state.links)
        for link in links:
            link.cut()
        for link in links:
            link.join()

    def delay(self, seconds: float) -> None:
        """Hold each chunk of up to 64 KiB so long, in both directions; the next switch frees it.

        While a chunk is held no more is read, so the sender feels that nobody takes its bytes.
        """
        self._switch(_Mode("delay", seconds=seconds))

    def black_hole(self) -> None:
        """Accept connections and swallow all bytes; nothing is closed and nothing arrives."""
        self._switch(_Mode("black_hole"))

    def garbage(self, answer: bytes | None = None) -> None:
        """Answer whatever a client sends with random bytes, and falsify what the server sends.

        With `answer`, that takes the place of the random bytes.
        """
        self._switch(_Mode("garbage", answer=answer))

    def truncate(self, after: int) -> None:
        """Close each connection once the server has sent so many bytes more on it."""
        self._switch(_Mode("truncate", after=after))

    def drip(self, seconds: float) -> None:
        """Hand what the server sends down byte by byte, with a pause after each."""
        self._switch(_Mode("drip", seconds=seconds))

    def _switch(self, mode: _Mode) -> None:
        self._state.switch(mode)
        if self._listener is None:
            self._listener = _Listener(self._state, self.port)


class _Listener:
    """Accepts connections until it is closed."""

    def __init__(self, state: _State, port: int) -> None:
        self._state = state
        self._closing = threading.Event()
        self._socket = _bound_socket(port)
        self._socket.listen()
        self._socket.settimeout(_ACCEPT_SECONDS)
        self._thread = threading.Thread(target=self._run, name="fault-proxy-accept")
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(_JOIN_SECONDS)
        self._socket.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                client, _ = self._socket.accept()
                client.settimeout(None)
                _Link(self._state, client).start()


class _Link:
    """One connection of a client, and the one to the server that belongs to it.

    One thread carries the client's bytes up, one the server's down. `_spoilt` says that some have
    been lost.
    """

    def __init__(self, state: _State, client: socket.socket) -> None:
        self._state = state
        self._client = client
        self._server = socket.socket()
        self._spoilt = False
        self._ended = False
        self._truncating: _Mode | None = None
        self._left = 0
        self._up = threading.Thread(target=self._run, name="fault-proxy-up")
        self._down = threading.Thread(target=self._carry_down, name="fault-proxy-down")

    def start(self) -> None:
        with self._state.switched:
            self._state.links.add(self)
            self._state.accepted += 1
            self._up.start()  # else a cut could join it before

    def cut(self) -> None:
        """Shut both sockets; the threads wake up, close them and end."""
        with self._state.switched:
            self._ended = True
            self._state.switched.notify_all()
        for each in (self._client, self._server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        self._up.join(_JOIN_SECONDS)

    def _run(self) -> None:
        with suppress(OSError):  # one of the two ends is gone, and so is the link
            self._spoilt = self._state.mode.kind in ("black_hole", "garbage")
            if not self._spoilt:
                self._connect()
                self._down.start()
            self._carry_up()
        self.cut()
        if self._down.ident is not None:
            self._down.join(_JOIN_SECONDS)
        self._server.close()
        with suppress(OSError):
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self._client.close()
        with self._state.switched:
            self._state.links.discard(self)

    def _connect(self) -> None:
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self._server.settimeout(_CONNECT_SECONDS)
        self._server.connect((LOOPBACK, self._state.target))
        self._server.settimeout(None)

    def _carry_up(self) -> None:
        while chunk := self._client.recv(_CHUNK_BYTES):
            mode = self._hold()
            if mode.kind == "garbage":
                self._client.sendall(self._state.garbage(len(chunk)))
            if mode.kind in ("black_hole", "garbage"):
                self._spoilt = True
            elif not self._spoilt:
                self._server.sendall(chunk)

    def _carry_down(self) -> None:
        with suppress(OSError):
            while chunk := self._server.recv(_CHUNK_BYTES):
                if not self._hand_down(chunk):
                    break
        if not self._spoilt:  # else nobody tells the client that the server has closed
            self.cut()

    def _hand_down(self, chunk: bytes) -> bool:
        """Give the client what it shall see; tell whether the connection goes on."""
        mode = self._hold()
        if mode.kind in ("black_hole", "garbage"):
            self._spoilt = True
        if mode.kind == "garbage":
            self._client.sendall(self._state.garbage(len(chunk)))
        if self._spoilt:
            return True
        if mode.kind == "drip":
            self._drip(chunk, mode)
            return True
        if mode.kind != "truncate":
            self._client.sendall(chunk)
            return True
        if self._truncating is not mode:
            self._truncating, self._left = mode, mode.after
        self._client.sendall(chunk[: self._left])
        self._left -= min(self._left, len(chunk))
        return self._left > 0

    def _drip(self, chunk: bytes, mode: _Mode) -> None:
        for byte in chunk:
            self._client.sendall(bytes([byte]))
            with self._state.switched:
                self._state.switched.wait_for(
                    lambda: self._ended or self._state.mode is not mode, timeout=mode.seconds
                )

    def _hold(self) -> _Mode:
        """Wait while a delay holds; give the mode of the time after, OSError after a cut."""
        with self._state.switched:
            mode = self._state.mode
            if mode.kind == "delay":
                self._state.switched.wait_for(
                    lambda: self._ended or self._state.mode is not mode, timeout=mode.seconds
                )
            if self._ended:
                raise ConnectionAbortedError
            return self._state.mode


def _bound_socket(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((LOOPBACK, port))
    return bound
