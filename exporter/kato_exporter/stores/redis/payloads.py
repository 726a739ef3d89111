"""What DUMP gives of a key, exact and for the server's own eyes: read, made, opened, compared."""

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kato_exporter.stores.errors import NotChangeableError, QueryError
from kato_exporter.stores.redis.connection import RedisConnection
from kato_exporter.stores.redis.conversation import (
    Command,
    Conversation,
    Reply,
    conversation,
    granted,
)
from kato_exporter.stores.redis.locators import key_label

_MEBIBYTE = 1024 * 1024

LARGEST_KEPT = 64 * _MEBIBYTE
"""A key that takes more bytes of the server's memory is neither deleted nor changed."""

MOST_KEPT_AT_ONCE = 4 * LARGEST_KEPT

SCRATCH_PREFIX = b"kato-browser:scratch:"
"""Keys of this name are there within a transaction only, which begins and ends without them."""

_NO_SUCH_KEY = -2
_STRING_TYPE = 0
_HASH_TYPES, _SET_TYPES = b"\x04\x09\x0d\x10", b"\x02\x0b\x14"
_SORTED_SET_TYPES = b"\x03\x05\x0c\x11"
_EXPIRING_HASH_TYPES = b"\x16\x17\x18\x19"


@dataclass(frozen=True, slots=True)
class KeptKey:
    """A key's payload, and when it expires in epoch ms of the server's clock, None for never."""

    payload: bytes
    expires_at: int | None


def kept_questions(key: bytes) -> tuple[Command, ...]:
    """Give the commands of whose replies `kept_key` is made."""
    return (("DUMP", key), ("PEXPIRETIME", key), ("PTTL", key), ("TIME",))


def kept_key(replies: Sequence[Reply]) -> KeptKey | None:
    """Read a key from replies, None where there is none; servers before 7.0 have no PEXPIRETIME."""
    payload, expires_at, life, clock = replies
    if granted("DUMP", payload) is None or granted("PTTL", life) == _NO_SUCH_KEY:
        return None
    if not isinstance(expires_at, int):
        expires_at = clock_ms(clock) + life if life >= 0 else None
    return KeptKey(payload, expires_at if expires_at is not None and expires_at >= 0 else None)


def clock_ms(reply: Reply) -> int:
    """Read the reply of TIME, in epoch ms."""
    seconds, microseconds = granted("TIME", reply)
    return int(seconds) * 1000 + int(microseconds) // 1000


def refuse_large(talk: Conversation, keys: Sequence[bytes]) -> None:
    """Raise QueryError where keys take more memory than is kept of all together.

    NotChangeableError where one takes more than is kept of one.
    """
    together = 0
    for key, reply in zip(keys, talk.ask([("MEMORY USAGE", key) for key in keys]), strict=True):
        memory = granted("MEMORY USAGE", reply) or 0
        together += memory
        if memory > LARGEST_KEPT:
            raise NotChangeableError(
                f"{key_label(key)} takes {_mebibytes(memory)} of memory: too large to be kept, "
                f"and so to be changed here; at most {_mebibytes(LARGEST_KEPT)} are"
            )
    if together > MOST_KEPT_AT_ONCE:
        raise QueryError(
            f"these {len(keys)} keys take {_mebibytes(together)} of memory; at most "
            f"{_mebibytes(MOST_KEPT_AT_ONCE)} are kept at once: choose fewer"
        )


def is_string(payload: bytes) -> bool:
    """Tell whether a payload is that of a string."""
    return payload[0] == _STRING_TYPE


def is_hash(payload: bytes) -> bool:
    """Tell whether a payload is that of a hash."""
    return payload[0] in _HASH_TYPES + _EXPIRING_HASH_TYPES


class RedisPayloads:
    """Payloads as the server itself makes and reads them.

    A payload is put under a name of its own for that, within a transaction that also removes it.
    Every method raises QueryError where the server takes the payload not, or refuses a command.
    """

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    def of_string(self, value: bytes) -> bytes:
        """Give the payload of a string."""
        payload: bytes
        _, payload = self._within(lambda key: [("SET", key, value), ("DUMP", key)])
        return payload

    def with_field(self, payload: bytes, field: bytes, value: bytes) -> bytes:
        """Give the payload of a hash that has another value in one field.

        It is of a hash that was put back, so that `to_restore` knows how to make it.
        """
        _refuse_expiring(payload)
        changed: bytes
        _, _, changed = self._within(
            lambda key: [
                *_restored(payload, key),
                ("HSET", key, field, value),
                ("DUMP", key),
            ]
        )
        return self._dumped_again(changed)

    def string(self, payload: bytes) -> bytes:
        """Give the string of a payload."""
        value: bytes
        _, value = self._within(lambda key: [*_restored(payload, key), ("GET", key)])
        return value

    def field(self, payload: bytes, field: bytes) -> bytes | None:
        """Give the value of one field of a hash, None where it has no such field."""
        _refuse_expiring(payload)
        value: bytes | None
        _, value = self._within(lambda key: [*_restored(payload, key), ("HGET", key, field)])
        return value

    def to_restore(self, payload: bytes) -> bytes:
        """Give what RESTORE is to get, so that DUMP gives this payload again.

        That is mostly the payload itself. A hash table that is filled in the order in which another
        one was read has the elements of each bucket the other way round; filled in the order in
        which that one is read, it is like the first. Where the server has packed its value
        in another way than it would now, there is no such payload, and this is itself.
        """
        again = self._dumped_again(payload)
        return again if self._dumped_again(again) == payload else payload

    def same(self, one: bytes, other: bytes) -> bool:
        """Tell whether two payloads are of the same value, whatever way a server keeps it.

        The elements of a hash, set or sorted set come in another order, or packed in another way,
        when its hash table has grown, and when it was put back. What the server does not take, or
        the account may not do, makes them unlike.
        """
        if one == other:
            return True
        for types, question in _QUESTIONS:
            if one[0] in types:
                with suppress(QueryError):
                    found = [self._elements(each, question) for each in (one, other)]
                    return bool(found[0] == found[1])
        return False

    def _dumped_again(self, payload: bytes) -> bytes:
        """Give the payload of a key that is made of a payload."""
        dumped: bytes
        _, dumped = self._within(lambda key: [*_restored(payload, key), ("DUMP", key)])
        return dumped

    def _elements(self, payload: bytes, question: Callable[[bytes], Command]) -> Any:
        """Give the elements of a collection, in no order: members, or pairs."""
        _, replies = self._within(lambda key: [*_restored(payload, key), question(key)])
        if payload[0] in _SET_TYPES:
            return frozenset(replies)
        return _pairs(replies)

    def _within(self, commands: Callable[[bytes], Sequence[Command]]) -> list[Reply]:
        """Carry out commands on a key that is there only while they are carried out."""
        key = SCRATCH_PREFIX + secrets.token_hex(16).encode()
        told = commands(key)
        with conversation(self._connection) as talk:
            replies = talk.carry_out([*told, ("UNLINK", key)])
        if replies is None:
            raise AssertionError("nothing was watched")
        return [
            granted(str(command[0]), reply)
            for command, reply in zip(told, replies[:-1], strict=True)
        ]


_QUESTIONS: tuple[tuple[bytes, Callable[[bytes], Command]], ...] = (
    (_HASH_TYPES, lambda key: ("HGETALL", key)),
    (_SET_TYPES, lambda key: ("SMEMBERS", key)),
    (_SORTED_SET_TYPES, lambda key: ("ZRANGE", key, 0, -1, "WITHSCORES")),
)


def _refuse_expiring(payload: bytes) -> None:
    if payload[0] in _EXPIRING_HASH_TYPES:
        raise NotChangeableError(
            "fields of this hash expire by themselves, and one that is edited would stay for ever; "
            "edit it with redis-cli"
        )


def _restored(payload: bytes, key: bytes) -> list[Command]:
    return [("RESTORE", key, 0, payload)]


def _pairs(reply: Any) -> dict[bytes, Any]:
    """Read pairs, which a map is in RESP3, or a list of lists, and in RESP2 a flat list."""
    if isinstance(reply, dict) or (reply and isinstance(reply[0], list)):
        return dict(reply)
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _mebibytes(size: int) -> str:
    """Spell a size, rounded up, so that what is above a limit is seen to be."""
    return f"{-(-size // _MEBIBYTE):,} MiB"
