"""Sessions as records: the key, and what KATO's own delete takes with it, in one step.

That is the session's entry in KATO 3's index, and the pointer by which KATOs before October 2025
found the session of a node, where it names this very session. Both are kept and come back.

The index is not watched, because KATO adds to it all the time; an entry is taken out and put back
in the same step as the key.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any
from urllib.parse import quote

from kato_exporter.kato.session_documents import (
    KEY_PREFIX,
    DocumentError,
    node_pointer_key,
    read_document,
    session_facts,
)
from kato_exporter.kato.sessions import SESSION_INDEX, looks_like_session_key
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.records import Outcome, Snapshot
from kato_exporter.stores.redis.changes import Change, carry_out
from kato_exporter.stores.redis.connection import RedisConnection
from kato_exporter.stores.redis.conversation import (
    Command,
    Conversation,
    Reply,
    conversation,
    granted,
    typed,
)
from kato_exporter.stores.redis.locators import Locators, key_label, key_of
from kato_exporter.stores.redis.names import name_text
from kato_exporter.stores.redis.payloads import (
    KeptKey,
    RedisPayloads,
    clock_ms,
    kept_key,
    kept_questions,
    refuse_large,
)
from kato_exporter.stores.redis.records import (
    has_expired,
    place_for,
    replacement,
    restore_command,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What belongs to a session besides its record.

    `pointer_key` is where a pointer of its node would be, None where the record names no node;
    `pointer` is None where that names another session, or is not there.
    """

    expires_at: int | None
    indexed: bool
    pointer_key: bytes | None
    pointer: KeptKey | None

    def write(self) -> bytes:
        """Write it as JSON."""
        pointer = self.pointer
        return json.dumps(
            {
                "expires_at": self.expires_at,
                "indexed": self.indexed,
                "pointer_key": _text(self.pointer_key),
                "pointer": pointer and [_text(pointer.payload), pointer.expires_at],
            }
        ).encode()

    @classmethod
    def read(cls, written: bytes) -> "Surroundings":
        """Read what `write` has written."""
        found: dict[str, Any] = json.loads(written)
        key, pointer = found["pointer_key"], found["pointer"]
        return cls(
            expires_at=found["expires_at"],
            indexed=found["indexed"],
            pointer_key=None if key is None else b64decode(key),
            pointer=pointer and KeptKey(b64decode(pointer[0]), pointer[1]),
        )


class RedisSessionRecords:
    """The kind `session`; the content is the payload of DUMP. Keys that are none are refused."""

    name = "session"
    store = "redis"

    def __init__(self, connection: RedisConnection) -> None:
        self.payloads = RedisPayloads(connection)
        self.locators = Locators(connection.database)
        self._connection = connection

    def label(self, locator: bytes) -> str:
        """Give the session's id."""
        return key_label(_id(key_of(locator)))

    def path(self, locator: bytes) -> str:
        """Give the path of the session's page."""
        return f"/sessions/{quote(session_id_text(key_of(locator)), safe='')}"

    def read(self, locators: Sequence[bytes]) -> list[Snapshot | None]:
        """Read sessions with what belongs to them; NotChangeableError where one is too large."""
        keys = [self._key(locator) for locator in locators]
        with conversation(self._connection) as talk:
            refuse_large(talk, keys)
            replies = iter(talk.ask([question for key in keys for question in _questions(key)]))
            found = [
                (key, kept_key([next(replies) for _ in kept_questions(key)]), next(replies))
                for key in keys
            ]
            pointer_keys = _pointer_keys(talk, [key for key, kept, _ in found if kept is not None])
            pointers = _pointers(talk, pointer_keys)
        return [
            None
            if kept is None
            else Snapshot(
                self.locators.of(key),
                kept.payload,
                Surroundings(
                    expires_at=kept.expires_at,
                    indexed=typed("SISMEMBER", indexed) == 1,
                    pointer_key=pointer_keys.get(key),
                    pointer=pointers.get(key),
                ).write(),
            )
            for key, kept, indexed in found
        ]

    def delete(self, snapshots: Sequence[Snapshot]) -> list[Outcome]:
        """Delete sessions whose record still is this one, and of which nothing new is told."""
        return carry_out(self._connection, [self._deletion(each) for each in snapshots])

    def replace(self, snapshot: Snapshot, content: bytes) -> Outcome:
        """Give a session another record; all that surrounds it stays."""
        key = self._key(snapshot.locator)
        change = replacement(self.payloads, key, snapshot.content, content)
        return carry_out(self._connection, [change])[0]

    def restore(self, snapshots: Sequence[Snapshot]) -> list[Outcome]:
        """Put sessions back; nothing is, where the server refuses the payload of one of them.

        A pointer is left alone that names a later session of the node by now.
        """
        for each in snapshots:
            self.payloads.to_restore(each.content)
        return carry_out(self._connection, [self._restoration(each) for each in snapshots])

    def settle(self, snapshots: Sequence[Snapshot], *, sign: int, mark: str) -> None:
        """Do nothing: what belongs to a session goes and comes with it, in one step."""

    def forget(self, snapshots: Sequence[Snapshot], *, mark: str) -> None:
        """Do nothing: `settle` leaves no trace."""

    def references(self, snapshots: Sequence[Snapshot]) -> list[str]:
        """Say how many are in the index, and how many are pointed at."""
        all_around = [Surroundings.read(each.surroundings) for each in snapshots]
        indexed = sum(around.indexed for around in all_around)
        pointed = sum(around.pointer is not None for around in all_around)
        told = []
        if indexed:
            told.append(f"KATO 3's index of sessions ({SESSION_INDEX}) names {indexed:,} of them.")
        if pointed:
            told.append(f"The pointers of their nodes name {pointed:,} of them as the active one.")
        return told

    def _key(self, locator: bytes) -> bytes:
        key = self.locators.key(locator)
        if not looks_like_session_key(key):
            raise QueryError(f"{key_label(key)} is not the key of a session")
        return key

    def _deletion(self, snapshot: Snapshot) -> Change:
        key = self._key(snapshot.locator)
        around = Surroundings.read(snapshot.surroundings)
        pointer_keys = () if around.pointer_key is None else (around.pointer_key,)

        def decide(replies: Sequence[Reply]) -> Outcome | list[Command]:
            payload, indexed, *pointed = replies
            if granted("DUMP", payload) is None:
                return Outcome.MISSING
            is_indexed = typed("SISMEMBER", indexed) == 1
            is_pointed_at = [typed("GETRANGE", reply) for reply in pointed] == [_id(key)]
            is_new = (is_indexed and not around.indexed) or (
                is_pointed_at and around.pointer is None
            )
            if payload != snapshot.content or is_new:
                return Outcome.CHANGED
            commands: list[Command] = [("UNLINK", key, *(pointer_keys if is_pointed_at else ()))]
            return [*commands, ("SREM", SESSION_INDEX, _id(key))] if is_indexed else commands

        return Change(
            watched=(key, *pointer_keys),
            questions=(
                ("DUMP", key),
                _in_index(key),
                *(_beginning(pointer_key, key) for pointer_key in pointer_keys),
            ),
            decide=decide,
        )

    def _restoration(self, snapshot: Snapshot) -> Change:
        key = self._key(snapshot.locator)
        around = Surroundings.read(snapshot.surroundings)
        kept = KeptKey(snapshot.content, around.expires_at)
        pointer, pointer_key = around.pointer, around.pointer_key
        pointer_keys = () if pointer is None or pointer_key is None else (pointer_key,)

        def decide(replies: Sequence[Reply]) -> Outcome | list[Command]:
            of_key, indexed, in_its_place = replies[:4], replies[4], replies[5:]
            place = place_for(kept, of_key, self.payloads)
            if place is not None:
                return place
            commands = [restore_command(key, kept)]
            if around.indexed and typed("SISMEMBER", indexed) is not None:
                commands.append(("SADD", SESSION_INDEX, _id(key)))
            if pointer is None or has_expired(pointer, clock_ms(of_key[-1])):
                return commands
            free = [granted("TYPE", kind) == b"none" for kind in in_its_place]
            return commands + [
                restore_command(pointer_key, pointer)
                for pointer_key in compress(pointer_keys, free)
            ]

        return Change(
            watched=(key, *pointer_keys),
            questions=(
                *kept_questions(key),
                _in_index(key),
                *(("TYPE", pointer_key) for pointer_key in pointer_keys),
            ),
            decide=decide,
        )


def session_id_text(key: bytes) -> str:
    """Spell an id so that it is one part of a URL's path, whatever bytes a key has."""
    return name_text(_id(key)).replace("/", r"\x2f")


def _questions(key: bytes) -> tuple[Command, ...]:
    return (*kept_questions(key), _in_index(key))


def _in_index(key: bytes) -> Command:
    return ("SISMEMBER", SESSION_INDEX, _id(key))


def _beginning(pointer_key: bytes, key: bytes) -> Command:
    """Ask for the beginning of a pointer, as much as tells whether it is this session's id."""
    return ("GETRANGE", pointer_key, 0, len(_id(key)))


def _pointer_keys(talk: Conversation, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """Find out where the pointers would be, by session; what names no node has none."""
    places = {}
    for key, value in zip(keys, talk.ask([("GET", key) for key in keys]), strict=True):
        if typed("GET", value) is None:
            continue
        try:
            node_id = session_facts(read_document(value)).node_id
        except DocumentError:
            continue
        if node_id is not None:
            places[key] = node_pointer_key(node_id)
    return places


def _pointers(talk: Conversation, places: dict[bytes, bytes]) -> dict[bytes, KeptKey]:
    """Read the pointers that name the session that they were looked up for."""
    replies = talk.ask([_beginning(place, key) for key, place in places.items()])
    naming = [
        (key, place)
        for (key, place), reply in zip(places.items(), replies, strict=True)
        if typed("GETRANGE", reply) == _id(key)
    ]
    replies = talk.ask([question for _, place in naming for question in kept_questions(place)])
    found = {}
    for at, (key, _) in enumerate(naming):
        kept = kept_key(replies[4 * at : 4 * at + 4])
        if kept is not None:
            found[key] = kept
    return found


def _id(key: bytes) -> bytes:
    return key.removeprefix(KEY_PREFIX.encode())


def _text(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()
