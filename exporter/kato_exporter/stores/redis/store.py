"""Redis and Valkey: server facts, session keys, streams, and the feed of keyspace events."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, cast

import redis
from redis.client import PubSub

from kato_exporter.kato.session_records import LARGEST_RECORD
from kato_exporter.kato.sessions import SESSION_INDEX, SESSION_KEY_MATCH
from kato_exporter.kato.streams import GLOBAL_STREAM, PROCESSOR_STREAM_MATCH
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.redis.connection import RedisConnection, redis_errors
from kato_exporter.stores.redis.string_sizes import string_sizes
from kato_exporter.stores.store import StoreReport

InfoSections = Mapping[str, Any]
"""The reply to INFO: field to number or text; a field with parts is a mapping itself."""

Keyevent = Literal["new", "set", "del", "expired", "evicted"]

_FIRST_WITH_NEW_EVENT = (7, 0)
_SCAN_COUNT = 1_000
_VALUES_AT_ONCE = 16
_STREAMS_AT_ONCE = 100
_MOST_VALUE_BYTES = 16 * 1024 * 1024
_ALIAS_A = "g$lshzxetd"


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """What happened to a key, as Redis told it."""

    event: Keyevent
    key: bytes


@dataclass(frozen=True, slots=True)
class ScanStep:
    """What one step of a scan gave.

    The next cursor, 0 at the end; string keys; keys that hold something else.
    """

    cursor: int
    keys: list[bytes]
    foreign: set[bytes]


@dataclass(frozen=True, slots=True)
class SessionValue:
    """A session's record: its bytes, None where it is too large, and whether it expires."""

    data: bytes | None
    expires: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a server says of itself.

    `info` has the fields of INFO and of INFO commandstats; `save` is the setting of that name,
    empty where no dumps are configured, None where CONFIG is refused.
    """

    info: InfoSections
    save: str | None


@dataclass(frozen=True, slots=True)
class StreamStep:
    """What one step of a scan gave: the next cursor, 0 at the end, and keys of any type."""

    cursor: int
    keys: list[bytes]


@dataclass(frozen=True, slots=True)
class StreamSize:
    """A stream's entries, and the memory that it takes in bytes, None where that is refused."""

    entries: int
    memory: int | None


def _number(reply: object) -> int:
    if not isinstance(reply, int):
        raise TypeError(f"{reply!r} is no number")
    return reply


def _bytes(reply: object) -> bytes | None:
    if not isinstance(reply, bytes | None):
        raise TypeError(f"{reply!r} is no value")
    return reply


def _keys(reply: Sequence[object]) -> list[bytes]:
    keys = [key for key in reply if isinstance(key, bytes)]
    if len(keys) != len(reply):
        raise TypeError("a key that is no text")
    return keys


def _is_refused(ask: Callable[[], object]) -> bool:
    with redis_errors():
        try:
            ask()
        except redis.exceptions.NoPermissionError:
            return True
        except redis.exceptions.ResponseError:
            return False  # permitted, though the key may hold something else
    return False


class RedisStore:
    """A Redis-compatible server, by URL (`redis://`, `rediss://` or `unix://`).

    With `redis+sentinel://` or `rediss+sentinel://` it is whichever the Sentinels call the master.
    `timeout` in seconds bounds every connection attempt and every reply.
    """

    name = "redis"

    def __init__(self, url: str, *, timeout: float) -> None:
        self._timeout = timeout
        self._connection = RedisConnection(url, timeout=timeout)
        self._client = self._connection.client
        self.database = self._connection.database

    @property
    def address(self) -> str:
        """Where it is, without user name, password or options."""
        return self._connection.address

    def probe(self, deadline: Deadline) -> None:
        """Send PING; raise StoreError where no PONG comes."""
        del deadline  # the socket's own time limit holds
        with redis_errors():
            self._client.ping()

    def report(self) -> StoreReport:
        """Ask for the version and try what the collectors do; raise StoreError."""
        info = self.info()
        product = "Valkey" if "valkey_version" in info else "Redis"
        version = info.get("valkey_version", info.get("redis_version", "of unknown version"))
        return StoreReport(version=f"{product} {version}", lacking=tuple(self._lacking()))

    def info(self) -> InfoSections:
        """Ask INFO for its default sections."""
        with redis_errors():
            return cast("InfoSections", self._client.info())

    def server_facts(self) -> ServerFacts:
        """Ask INFO, INFO commandstats and CONFIG GET save, all in one round trip."""
        with redis_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.info()
            pipeline.info("commandstats")
            pipeline.config_get("save")
            info, commands, setting = pipeline.execute(raise_on_error=False)
            if isinstance(info, redis.exceptions.ResponseError):
                raise info
            known = isinstance(setting, Mapping) and "save" in setting
            return ServerFacts(
                info={**info, **(commands if isinstance(commands, Mapping) else {})},
                save=str(setting["save"]) if known else None,
            )

    def tells_new_keys(self) -> bool:
        """Tell whether the server has the event `new` (Redis from 7.0, every Valkey)."""
        with redis_errors():
            major, minor, *_ = str(self._client.info("server")["redis_version"]).split(".")
            return (int(major), int(minor)) >= _FIRST_WITH_NEW_EVENT

    def clock_offset(self) -> float:
        """Give how many seconds the server's clock is ahead of ours, half a round trip off."""
        with redis_errors():
            before = time.time()
            seconds, microseconds = self._client.time()
            after = time.time()
            return seconds + microseconds / 1e6 - (before + after) / 2

    def scan_sessions(self, cursor: int) -> ScanStep:
        """Take one step of a SCAN for keys that look like sessions.

        The step is taken twice, for keys of any type and for strings; only what the second lacks
        is asked for its type.
        """
        with redis_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.scan(cursor, match=SESSION_KEY_MATCH, count=_SCAN_COUNT)
            pipeline.scan(cursor, match=SESSION_KEY_MATCH, count=_SCAN_COUNT, _type="string")
            (following, found), (_, strings) = pipeline.execute()
            keys = _keys(found)
            suspects = set(keys).difference(strings)
        foreign = self.foreign_keys(list(suspects)) if suspects else set()
        return ScanStep(following, [key for key in keys if key not in foreign], foreign)

    def foreign_keys(self, keys: Sequence[bytes]) -> set[bytes]:
        """Give those of the keys that hold something else than a string; one TYPE for each."""
        with redis_errors():
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.type(key)
            types = zip(keys, pipeline.execute(), strict=True)
            return {key for key, kind in types if kind not in (b"string", b"none")}

    def session_values(self, keys: Sequence[bytes]) -> Iterator[SessionValue]:
        """Read the records of session keys, those of at most LARGEST_RECORD bytes.

        In portions of bounded size and number; keys that are gone are left out, and all that
        follow once _MOST_VALUE_BYTES have been read.
        """
        budget = _MOST_VALUE_BYTES
        for start in range(0, len(keys), _VALUES_AT_ONCE):
            portion = keys[start : start + _VALUES_AT_ONCE]
            for value, size in self._portion_of_values(portion):
                budget -= size
                yield value
            if budget <= 0:
                return

    def session_index_size(self) -> int | None:
        """Count the members of KATO 3's index of sessions, None where there is no such key."""
        with redis_errors():
            return _number(self._client.scard(SESSION_INDEX)) or None

    def scan_processor_streams(self, cursor: int) -> StreamStep:
        """Take one step of a SCAN for keys that are called as processors' streams are."""
        with redis_errors():
            following, keys = self._client.scan(
                cursor, match=PROCESSOR_STREAM_MATCH, count=_SCAN_COUNT
            )
            return StreamStep(following, _keys(keys))

    def stream_sizes(self, keys: Sequence[bytes]) -> dict[bytes, StreamSize | None]:
        """Measure streams; None for keys that hold something else, and nothing for keys gone.

        QueryError where TYPE or XLEN is refused.
        """
        sizes: dict[bytes, StreamSize | None] = {}
        with redis_errors():
            for start in range(0, len(keys), _STREAMS_AT_ONCE):
                sizes |= self._portion_of_streams(keys[start : start + _STREAMS_AT_ONCE])
        return sizes

    def notification_flags(self) -> frozenset[str]:
        """Read which classes of keyspace events are on; QueryError where CONFIG is refused."""
        with redis_errors():
            reply = cast(
                "dict[str, str]",
                self._client.config_get("notify-keyspace-events"),
            )
            flags = reply.get("notify-keyspace-events", "")
            return frozenset(flags.replace("A", _ALIAS_A))

    def set_notification_flags(self, flags: frozenset[str]) -> None:
        """Turn on exactly these classes of keyspace events; QueryError where refused."""
        with redis_errors():
            self._client.config_set("notify-keyspace-events", "".join(sorted(flags)))

    def session_events(self, events: tuple[Keyevent, ...]) -> "SessionEventFeed":
        """Subscribe to these events of the database; every one from now on is delivered."""
        return SessionEventFeed(
            self._connection.open(retries=0),
            database=self.database,
            events=events,
            timeout=self._timeout,
        )

    def close(self) -> None:
        """Give back every connection."""
        self._connection.close()

    def _lacking(self) -> Iterator[str]:
        """Try each kind of question that an account may be refused, and say what is lost by it."""
        try:
            self.notification_flags()
        except QueryError:
            yield (
                "CONFIG GET is not permitted: sessions are counted by scan only, "
                "and whether dumps are configured is unknown"
            )
        questions: tuple[tuple[Callable[[], object], str], ...] = (
            (
                lambda: self._client.scan(0, match=SESSION_KEY_MATCH, count=1),
                "SCAN is not permitted: no session can be counted",
            ),
            (
                self._subscribe_once,
                "SUBSCRIBE to __keyevent@*__:* is not permitted: sessions are counted by scan only",
            ),
            (
                lambda: (self._client.type(GLOBAL_STREAM), self._client.xlen(GLOBAL_STREAM)),
                "TYPE or XLEN of stm:* is not permitted: streams are not measured",
            ),
            (
                lambda: self._client.memory_usage(GLOBAL_STREAM),
                "MEMORY USAGE of stm:* is not permitted: the memory of streams is unknown",
            ),
        )
        for ask, loss in questions:
            if _is_refused(ask):
                yield loss

    def _portion_of_values(self, keys: Sequence[bytes]) -> Iterator[tuple[SessionValue, int]]:
        """Ask for sizes first, so that no huge value is ever fetched; give values and sizes."""
        sizes = string_sizes(self._client, keys)
        small = [key for key, each in sizes.items() if each.size <= LARGEST_RECORD]
        values: dict[bytes, bytes | None] = {}
        if small:
            with redis_errors():
                found = cast("list[bytes | None]", self._client.mget(small))
                values = dict(zip(small, map(_bytes, found), strict=True))
        for key, each in sizes.items():
            data = values.get(key)
            if data is not None or each.size > LARGEST_RECORD:
                yield SessionValue(data, expires=each.ttl is not None), len(data or b"")

    def _portion_of_streams(self, keys: Sequence[bytes]) -> dict[bytes, StreamSize | None]:
        """Ask for types first: XLEN of something else would count as an error of the server's."""
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.type(key)
        types = dict(zip(keys, pipeline.execute(), strict=True))
        streams = [key for key, kind in types.items() if kind == b"stream"]
        for key in streams:
            pipeline.xlen(key)
            pipeline.memory_usage(key)
        replies = pipeline.execute(raise_on_error=False)
        sizes: dict[bytes, StreamSize | None] = {
            key: None for key, kind in types.items() if kind not in (b"stream", b"none")
        }
        for key, entries, memory in zip(streams, replies[::2], replies[1::2], strict=True):
            if isinstance(entries, redis.exceptions.NoPermissionError):
                raise entries
            if isinstance(entries, int) and memory is not None:
                sizes[key] = StreamSize(entries, memory if isinstance(memory, int) else None)
        return sizes

    def _subscribe_once(self) -> None:
        with self._client.pubsub() as pubsub:  # type: ignore[no-untyped-call]
            pubsub.subscribe(f"__keyevent@{self.database}__:new")
            pubsub.get_message(timeout=self._timeout)


class SessionEventFeed:
    """A subscription to keyspace events; it never reconnects by itself, so no gap goes unseen."""

    def __init__(
        self, client: redis.Redis, *, database: int, events: tuple[Keyevent, ...], timeout: float
    ) -> None:
        self._client = client
        self._timeout = timeout
        self._early: list[SessionEvent] = []
        self._failure: StoreError | None = None
        self._prefix = f"__keyevent@{database}__:".encode()
        with redis_errors():
            self._pubsub: PubSub = client.pubsub()  # type: ignore[no-untyped-call]
        try:
            self._await_subscription([self._prefix + event.encode() for event in events])
        except StoreError:
            self.close()
            raise

    def next(self, timeout: float) -> SessionEvent | None:
        """Wait for the next event; None after `timeout` seconds without one."""
        if self._early:
            return self._early.pop(0)
        message = self._read(timeout)
        return self._event(message) if message is not None else None

    def catch_up(self) -> list[SessionEvent]:
        """Give every event that the server has sent before this call.

        A PING on the same connection is answered behind them. Its answer is also the proof that
        the connection is alive: StoreError where none comes in time.
        """
        with redis_errors():
            self._pubsub.ping()
        events, self._early = self._early, []
        deadline = Deadline.after(self._timeout)
        try:
            while True:
                message = self._read(deadline.remaining)
                if message is not None and message["type"] == "pong":
                    return events
                event = self._event(message) if message is not None else None
                if event is not None:
                    events.append(event)
                elif deadline.expired:
                    raise StoreError(  # noqa: TRY301 - what came before is kept
                        f"the event feed gave no sign of life for {self._timeout:g} s"
                    )
        except StoreError:
            self._early = events
            raise

    def received(self) -> list[SessionEvent]:
        """Give the events that came before an error and have not been given yet."""
        events, self._early = self._early, []
        return events

    def close(self) -> None:
        """End the subscription."""
        self._pubsub.close()
        self._client.close()

    def _await_subscription(self, channels: list[bytes]) -> None:
        with redis_errors():
            self._pubsub.subscribe(*channels)
        missing = set(channels)
        deadline = Deadline.after(self._timeout)
        while missing:
            message = self._read(deadline.remaining)
            if message is None:
                if deadline.expired:
                    raise StoreError("the subscription to keyspace events was not confirmed")
            elif message["type"] == "subscribe":
                missing.discard(message["channel"])
            elif (event := self._event(message)) is not None:
                self._early.append(event)

    def _read(self, timeout: float) -> dict[str, Any] | None:
        """Read a message; after an error no more, since the library would connect anew.

        Of a message that is not whole in time, what has come is kept for the next call.
        """
        if self._failure is not None:
            raise self._failure
        try:
            with redis_errors(), suppress(redis.exceptions.TimeoutError):
                return cast("dict[str, Any] | None", self._pubsub.get_message(timeout=timeout))
        except StoreError as error:
            self._failure = error
            raise
        return None

    def _event(self, message: dict[str, Any]) -> SessionEvent | None:
        if message["type"] != "message":
            return None
        with redis_errors():
            [key] = _keys([message["data"]])
            event = message["channel"].removeprefix(self._prefix).decode(errors="replace")
            return SessionEvent(event, key)
