"""What keys of Redis or Valkey hold, for the record browser: one bounded page at a time.

A string is read in parts (GETRANGE). A page of a collection has as many elements as are asked for,
and about MOST_PAGE_BYTES. Redis cannot give a part of an element or tell its size before, so they
are asked for in small portions, each a command of its own, until either is reached or the
connection's time limit is over; where an element takes much memory on average, by MEMORY USAGE, one
at a time, or one bucket of a hash table where that is the server's smallest step. Of an element all
beyond SHOWN_BYTES is left out of the answer.
"""

from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import redis

from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.redis.connection import RedisConnection, redis_errors

PART_BYTES = 64 * 1024
"""How much of a string is read at once."""

SHOWN_BYTES = 4 * 1024
"""How much of an element is given."""

MOST_PAGE_BYTES = 2 * 1024 * 1024

_AT_ONCE = 10
_MOST_ELEMENTS = 1_000
_MOST_STREAM_FIELDS = 50
_MOST_GROUPS = 100

Element = TypeVar("Element")
Place = TypeVar("Place", int, str)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The beginning of some bytes, and how many there are in all."""

    data: bytes
    size: int

    @classmethod
    def of(cls, data: bytes) -> "Excerpt":
        """Cut after SHOWN_BYTES, between two characters where it is UTF-8."""
        return cls(
            whole_characters(data[:SHOWN_BYTES]) if len(data) > SHOWN_BYTES else data, len(data)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StringPart:
    """Some bytes of a string from an offset on, how many there are in all, and the next offset."""

    data: bytes
    offset: int
    size: int
    following: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Elements(Generic[Element, Place]):
    """Some elements of a collection, how many there are in all, and where the next ones are.

    `following` is None at the end. `cut` says why there are fewer than a page could have.
    """

    elements: tuple[Element, ...]
    length: int
    following: Place | None
    cut: str | None


@dataclass(frozen=True, slots=True)
class HashField:
    """A field of a hash and its value."""

    field: Excerpt
    value: Excerpt


@dataclass(frozen=True, slots=True)
class ListItem:
    """An element of a list and its index."""

    index: int
    value: Excerpt


@dataclass(frozen=True, slots=True)
class ScoredMember:
    """A member of a sorted set, its rank from the lowest score on, and its score, maybe inf."""

    rank: int
    member: Excerpt
    score: float


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """An entry of a stream: its id, its first fields in their order, and how many it has."""

    id: str
    fields: tuple[tuple[Excerpt, Excerpt], ...]
    fields_in_all: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerGroup:
    """A group of a stream's consumers.

    `pending` are entries delivered and not acknowledged, `lag` those not delivered yet: None
    where the server cannot tell.
    """

    name: Excerpt
    consumers: int
    pending: int
    last_delivered: str
    lag: int | None


Asked = tuple[list[Element], int, Place | None]
"""A portion: the elements, how many bytes they took, and where the next ones are."""


class RedisValues:
    """The values of the connection's database.

    Every question raises QueryError where it is refused or the key has another type by now.
    """

    def __init__(self, connection: RedisConnection) -> None:
        self._client = connection.client
        self._seconds = connection.timeout

    def string_part(self, name: bytes, offset: int = 0) -> StringPart:
        """Read at most PART_BYTES (STRLEN, GETRANGE); UTF-8 is parted between characters."""
        with redis_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.strlen(name)
            pipeline.getrange(name, offset, offset + PART_BYTES - 1)
            size, data = pipeline.execute()
        if offset + len(data) < size:
            data = whole_characters(data)
        end = offset + len(data)
        return StringPart(
            data=data, offset=offset, size=size, following=end if data and end < size else None
        )

    def hash_fields(self, name: bytes, cursor: int = 0, *, most: int) -> Elements[HashField, int]:
        """Read fields and values from a cursor on (HLEN, HSCAN); the order is the server's."""

        def ask(cursor: int, count: int) -> Asked[HashField, int]:
            following, found = self._client.hscan(name, cursor, count=count)
            pairs = cast("dict[bytes, bytes]", found)
            return (
                [HashField(Excerpt.of(field), Excerpt.of(value)) for field, value in pairs.items()],
                _bytes([*pairs, *pairs.values()]),
                following or None,
            )

        return self._gather(name, "HLEN", ask, cursor, most)

    def set_members(self, name: bytes, cursor: int = 0, *, most: int) -> Elements[Excerpt, int]:
        """Read members from a cursor on (SCARD, SSCAN); the order is the server's."""

        def ask(cursor: int, count: int) -> Asked[Excerpt, int]:
            following, found = self._client.sscan(name, cursor, count=count)
            members = cast("list[bytes]", found)
            return [Excerpt.of(member) for member in members], _bytes(members), following or None

        return self._gather(name, "SCARD", ask, cursor, most)

    def list_items(self, name: bytes, start: int = 0, *, most: int) -> Elements[ListItem, int]:
        """Read elements from an index on (LLEN, LRANGE)."""

        def ask(start: int, count: int) -> Asked[ListItem, int]:
            found = cast("list[bytes]", self._client.lrange(name, start, start + count - 1))
            items = [ListItem(start + at, Excerpt.of(value)) for at, value in enumerate(found)]
            return items, _bytes(found), start + count if len(found) == count else None

        return self._gather(name, "LLEN", ask, start, most)

    def ranked_members(
        self, name: bytes, start: int = 0, *, most: int
    ) -> Elements[ScoredMember, int]:
        """Read members and scores from a rank on (ZCARD, ZRANGE), the lowest score first."""

        def ask(start: int, count: int) -> Asked[ScoredMember, int]:
            found = cast(
                "list[tuple[bytes, float]]",
                self._client.zrange(name, start, start + count - 1, withscores=True),
            )
            members = [
                ScoredMember(start + at, Excerpt.of(member), score)
                for at, (member, score) in enumerate(found)
            ]
            return (
                members,
                _bytes([member for member, _ in found]),
                start + count if len(found) == count else None,
            )

        return self._gather(name, "ZCARD", ask, start, most)

    def stream_entries(
        self, name: bytes, after: str = "", *, most: int, newest_first: bool = False
    ) -> Elements[StreamEntry, str]:
        """Read entries behind an id, or from the beginning on (XLEN, XRANGE or XREVRANGE)."""

        def ask(after: str, count: int) -> Asked[StreamEntry, str]:
            begin = f"({after}" if after else "+" if newest_first else "-"
            command, end = ("XREVRANGE", "-") if newest_first else ("XRANGE", "+")
            found = self._unparsed(command, name, begin, end, "COUNT", count)
            return (
                [_entry(*entry) for entry in found],
                sum(_bytes(fields) for _, fields in found),
                found[-1][0].decode() if len(found) == count else None,
            )

        return self._gather(name, "XLEN", ask, after, most)

    def stream_groups(self, name: bytes) -> tuple[list[ConsumerGroup], int]:
        """Read a stream's groups (XINFO GROUPS): the first hundred, and how many there are."""
        with redis_errors():
            found = self._client.xinfo_groups(name)
            return [
                ConsumerGroup(
                    name=Excerpt.of(group["name"]),
                    consumers=group["consumers"],
                    pending=group["pending"],
                    last_delivered=group["last-delivered-id"].decode(),
                    lag=group.get("lag"),
                )
                for group in found[:_MOST_GROUPS]
            ], len(found)

    def _gather(
        self,
        name: bytes,
        count_command: str,
        ask: Callable[[Place, int], Asked[Element, Place]],
        place: Place,
        most: int,
    ) -> Elements[Element, Place]:
        """Ask for portion after portion, one at least, until a page is full."""
        deadline = Deadline.after(self._seconds)
        length, at_once = self._measure(name, count_command)
        elements: list[Element] = []
        following: Place | None = place
        read = 0
        while following is not None:
            with redis_errors():
                found, size, following = ask(following, min(at_once, most - len(elements)))
            elements += found
            read += size
            if len(elements) >= most or read >= MOST_PAGE_BYTES or deadline.expired:
                break
        return Elements(
            elements=tuple(elements[:_MOST_ELEMENTS]),
            length=length,
            following=following,
            cut=self._why_cut(len(elements), most, read, more=following is not None),
        )

    def _why_cut(self, found: int, most: int, read: int, *, more: bool) -> str | None:
        if found > _MOST_ELEMENTS:
            return f"the server gives {found:,} at once; the first {_MOST_ELEMENTS:,} are shown"
        if not more or found >= most:
            return None
        if read >= MOST_PAGE_BYTES:
            return f"stopped after {read / 1024 / 1024:.1f} MiB, because elements are large"
        return f"stopped after {self._seconds:g} s"

    def _measure(self, name: bytes, count_command: str) -> tuple[int, int]:
        """Give the number of elements, and how many to ask for at once."""
        with redis_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.execute_command(count_command, name)  # type: ignore[no-untyped-call]
            pipeline.memory_usage(name)
            length, memory = pipeline.execute(raise_on_error=False)
            if isinstance(length, redis.exceptions.ResponseError):
                raise length
        if isinstance(memory, int) and _AT_ONCE * memory > MOST_PAGE_BYTES * length:
            return length, 1
        return length, _AT_ONCE

    def _unparsed(self, command: str, *arguments: object) -> Any:
        """Send a command whose answer the library would otherwise make a dictionary of.

        It knows commands by their names as text. A stream's entry can have a field twice.
        """
        return self._client.execute_command(command.encode(), *arguments)  # type: ignore[no-untyped-call]


def whole_characters(data: bytes) -> bytes:
    """Leave out the beginning of a character of UTF-8 at the end; give other bytes as they are."""
    decoder = getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    pending, _ = decoder.getstate()
    return data[: len(data) - len(pending)] or data


def _bytes(texts: Iterable[bytes]) -> int:
    return sum(map(len, texts))


def _entry(identifier: bytes, fields: list[bytes]) -> StreamEntry:
    pairs = list(zip(fields[::2], fields[1::2], strict=True))
    return StreamEntry(
        identifier.decode(),
        tuple(
            (Excerpt.of(field), Excerpt.of(value)) for field, value in pairs[:_MOST_STREAM_FIELDS]
        ),
        len(pairs),
    )
