"""KATO's sessions straight from Redis, to be read by people; KATO's own API changes what it reads.

A page is what some steps of a SCAN give. Redis remembers nothing of a scan, so that any page costs
the same; a session that lives from the first page to the last is on one of them.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import redis

from kato_exporter.kato.session_documents import (
    KEY_PREFIX,
    Document,
    DocumentError,
    SessionFacts,
    node_pointer_key,
    read_document,
    session_facts,
    session_key,
)
from kato_exporter.kato.session_records import LARGEST_RECORD
from kato_exporter.kato.sessions import (
    SESSION_INDEX,
    SESSION_KEY_MATCH,
    looks_like_session_key,
    parse_session_key,
)
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.redis.connection import RedisConnection, redis_errors
from kato_exporter.stores.redis.locators import Locators
from kato_exporter.stores.redis.string_sizes import StringSize, string_sizes

LARGEST_SHOWN = 4 * 1024 * 1024
"""A record above this many bytes is not fetched, not even by itself."""

_LISTING_SECONDS = 1.0
_FEWEST_AT_ONCE = 50
_FEWEST_TO_FILL = 10
_MOST_AT_ONCE = 1_000
_ENOUGH_TO_LIST, _ENOUGH_TO_SEARCH = 25, 250
_TOO_MANY = 4
_MOST_STEPS = 1_000
_VALUES_AT_ONCE = 100
_MOST_STEP_BYTES = 16 * 1024 * 1024
_NO_EXPIRY = -1
_NO_SUCH_KEY = -2
_LONGEST_POINTER = 299
_ID_BEGINNING = "session-"
_GLOB = str.maketrans({character: f"\\{character}" for character in "\\*?[]"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEntry:
    """A session in a list.

    `size` is that of the record in bytes, None where the key holds something else. `ttl` is in
    seconds, None where the key never expires. `problem` says why there are no `facts`.
    """

    key: bytes
    size: int | None
    ttl: float | None
    facts: SessionFacts | None
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPage:
    """Some sessions, in the order of the scan.

    `cursor` is where to go on, None at the end. `looked_at` is about how many keys of any kind
    were looked at for this page, of `keys` in the database, None where that is refused. `unread`
    counts sessions whose node was searched for and is not known. `now` is the server's clock in
    epoch seconds, ours where it does not tell.
    """

    sessions: list[SessionEntry]
    cursor: int | None
    looked_at: int
    keys: int | None
    unread: int
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A session by itself.

    `value` is None where it is above LARGEST_SHOWN bytes; `problem` says why there is no
    `document`. `memory` in bytes, `indexed` (KATO 3's index names it) and `pointed` (the pointer of
    its node names it, as KATO did before October 2025) are None where that is not known.
    """

    entry: SessionEntry
    value: bytes | None
    document: Document | None
    memory: int | None
    indexed: bool | None
    pointed: bool | None
    now: float


class SessionRecords:
    """The session records of one database.

    `seconds` bounds how long a page is searched for, besides the connection's limit on each reply.
    """

    def __init__(self, connection: RedisConnection, *, seconds: float) -> None:
        self.locators = Locators(connection.database)
        self._client = connection.client
        self._seconds = seconds

    def page(
        self, cursor: int = 0, *, size: int = 50, id_part: str = "", node_part: str = ""
    ) -> SessionPage:
        """Give about `size` sessions, those whose id and node contain these texts.

        An id that begins with `session-`, or a key, is the beginning of what is searched for, and
        a whole id is looked up without a scan. Where few match, or are among many other keys, the
        time or the number of steps ends the page before it is full.
        """
        searching = bool(id_part or node_part)
        deadline = Deadline.after(self._seconds if searching else _LISTING_SECONDS)
        enough = _ENOUGH_TO_SEARCH if searching else _ENOUGH_TO_LIST
        now, keys = self._clock_and_size()
        id_part = id_part.removeprefix(KEY_PREFIX)
        whole = session_key(id_part)
        following, looked_at, unread, at_once = cursor, 0, 0, _FEWEST_AT_ONCE
        found: dict[bytes, SessionEntry] = {}
        for _ in range(_MOST_STEPS):
            if parse_session_key(whole) is not None:
                following, named, looked_at = 0, [whole], 1
            else:
                following, named = self._step(following, _id_match(id_part), at_once)
                looked_at += at_once
            for entry in self._entries([key for key in named if key not in found]):
                node_id = entry.facts.node_id if entry.facts is not None else None
                if node_part and node_id is None:
                    unread += 1
                elif node_part in (node_id or ""):
                    found[entry.key] = entry
            if following == 0 or len(found) >= size or deadline.expired:
                break
            at_once = _paced(at_once, len(named), enough)
            if found:
                at_once = min(at_once, _to_fill(size, len(found), looked_at))
        return SessionPage(
            sessions=list(found.values()),
            cursor=following or None,
            looked_at=looked_at if keys is None else min(looked_at, keys),
            keys=keys,
            unread=unread,
            now=now,
        )

    def session(self, key: bytes) -> StoredSession | None:
        """Read one session, None where there is none, or none any more."""
        if not looks_like_session_key(key):
            return None
        now, _ = self._clock_and_size()
        with redis_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.type(key)
            pipeline.pttl(key)
            kind, life = pipeline.execute()
            if life == _NO_SUCH_KEY:
                return None
            size, value = self._value(key) if kind == b"string" else (None, None)
            memory, indexed = self._memory_and_index(key)
        document: Document | None = None
        if value is not None:
            document, problem = _read(value)
        elif size is None:
            problem = f"the key holds a {kind.decode()}, not a string"
        elif size > LARGEST_SHOWN:
            problem = _too_large(size, LARGEST_SHOWN)
        else:
            return None
        facts = session_facts(document) if document is not None else None
        return StoredSession(
            entry=SessionEntry(key=key, size=size, ttl=_ttl(life), facts=facts, problem=problem),
            value=value,
            document=document,
            memory=memory,
            indexed=indexed,
            pointed=self._is_pointed_at(key, facts),
            now=now,
        )

    def _clock_and_size(self) -> tuple[float, int | None]:
        """Ask for the server's clock, which is ours where it is not told, and for its keys."""
        with redis_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.time()
            pipeline.dbsize()
            clock, keys = pipeline.execute(raise_on_error=False)
        now = clock[0] + clock[1] / 1e6 if isinstance(clock, tuple) else time.time()
        return now, keys if isinstance(keys, int) else None

    def _step(self, cursor: int, match: bytes, at_once: int) -> tuple[int, list[bytes]]:
        with redis_errors():
            following, keys = self._client.scan(cursor, match=match, count=at_once, _type="string")
        return following, cast("list[bytes]", keys)

    def _entries(self, keys: Sequence[bytes]) -> Iterator[SessionEntry]:
        """Read the records, sizes first; keys that are gone, or are strings no more, are left out.

        At most LARGEST_RECORD bytes of each, and _MOST_STEP_BYTES of all.
        """
        budget = _MOST_STEP_BYTES
        for start in range(0, len(keys), _VALUES_AT_ONCE):
            sizes = string_sizes(self._client, keys[start : start + _VALUES_AT_ONCE])
            small = []
            for key, each in sizes.items():
                if each.size <= min(budget, LARGEST_RECORD):
                    small.append(key)
                    budget -= each.size
            values = self._values(small)
            for key, each in sizes.items():
                entry = _entry(key, each, values)
                if entry is not None:
                    yield entry

    def _values(self, keys: Sequence[bytes]) -> dict[bytes, bytes | None]:
        if not keys:
            return {}
        with redis_errors():
            found = cast("list[bytes | None]", self._client.mget(keys))
            return dict(zip(keys, found, strict=True))

    def _value(self, key: bytes) -> tuple[int, bytes | None]:
        size = self._client.strlen(key)
        return size, cast("bytes | None", self._client.get(key)) if size <= LARGEST_SHOWN else None

    def _memory_and_index(self, key: bytes) -> tuple[int | None, bool | None]:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.memory_usage(key)
        pipeline.scard(SESSION_INDEX)
        pipeline.sismember(SESSION_INDEX, _id(key))  # type: ignore[arg-type] # bytes do
        memory, indexed, is_in = pipeline.execute(raise_on_error=False)
        there_is_an_index = isinstance(indexed, int) and indexed > 0
        return (
            memory if isinstance(memory, int) else None,
            bool(is_in) if there_is_an_index and isinstance(is_in, int) else None,
        )

    def _is_pointed_at(self, key: bytes, facts: SessionFacts | None) -> bool | None:
        if facts is None or facts.node_id is None:
            return None
        with redis_errors():
            try:
                pointer = self._client.getrange(
                    node_pointer_key(facts.node_id), 0, _LONGEST_POINTER
                )
            except redis.exceptions.ResponseError:
                return None
        return pointer == _id(key)


def _id(key: bytes) -> bytes:
    return key.removeprefix(KEY_PREFIX.encode())


def _id_match(part: str) -> bytes:
    """Make a glob of a text that is none."""
    plain = part.translate(_GLOB)
    if part.startswith(_ID_BEGINNING):
        return f"{KEY_PREFIX}{plain}*".encode()
    if _ID_BEGINNING.startswith(part):
        return SESSION_KEY_MATCH.encode()
    return f"{SESSION_KEY_MATCH}{plain}*".encode()


def _paced(at_once: int, found: int, enough: int) -> int:
    """Choose how many keys to look at next, so that a step finds neither few nor very many."""
    if found < enough:
        return min(2 * at_once, _MOST_AT_ONCE)
    return max(at_once // 2, _FEWEST_AT_ONCE) if found > _TOO_MANY * enough else at_once


def _to_fill(size: int, found: int, looked_at: int) -> int:
    """Tell how many keys have what a page lacks if as many of them are found as so far."""
    return max(looked_at * (size - found) // found, _FEWEST_TO_FILL)


def _ttl(life: int) -> float | None:
    return None if life == _NO_EXPIRY else life / 1000


def _entry(
    key: bytes, measured: StringSize, values: Mapping[bytes, bytes | None]
) -> SessionEntry | None:
    """Make the entry of a session, of which nothing is known where its value has gone."""
    facts: SessionFacts | None = None
    if key in values:
        value = values[key]
        if value is None:
            return None
        document, problem = _read(value)
        facts = session_facts(document) if document is not None else None
    elif measured.size > LARGEST_RECORD:
        problem = _too_large(measured.size, LARGEST_RECORD)
    else:
        problem = "not read, since the records on this page are too large together"
    return SessionEntry(key=key, size=measured.size, ttl=measured.ttl, facts=facts, problem=problem)


def _read(value: bytes) -> tuple[Document | None, str | None]:
    try:
        return read_document(value), None
    except DocumentError as error:
        return None, str(error)


def _too_large(size: int, most: int) -> str:
    return f"too large to be read here: {size:,} bytes, and at most {most:,} are read"
