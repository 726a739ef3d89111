"""Redis keys as records: kept by DUMP with their expiry, changed only if unchanged, put back.

The server may keep a collection in another order when it was put back, or when it was started anew,
and DUMP tells it in another order then; such a one is compared by its elements.
"""

from collections.abc import Sequence
from urllib.parse import quote

from kato_exporter.kato.sessions import looks_like_session_key
from kato_exporter.stores.records import Outcome, Snapshot
from kato_exporter.stores.redis.changes import Change, carry_out
from kato_exporter.stores.redis.connection import RedisConnection
from kato_exporter.stores.redis.conversation import Command, Reply, conversation, granted
from kato_exporter.stores.redis.locators import Locators, key_label, key_of
from kato_exporter.stores.redis.names import LONGEST_LINKED_NAME, name_text
from kato_exporter.stores.redis.payloads import (
    KeptKey,
    RedisPayloads,
    clock_ms,
    is_string,
    kept_key,
    kept_questions,
    refuse_large,
)

_ALMOST = 1_000


class RedisKeyRecords:
    """The kind `Redis key`: any key of the connection's database, of any type that DUMP knows.

    The content is the payload of DUMP; the surroundings are the expiry in epoch ms, if any.
    """

    name = "Redis key"
    store = "redis"

    def __init__(self, connection: RedisConnection) -> None:
        self.payloads = RedisPayloads(connection)
        self.locators = Locators(connection.database)
        self._connection = connection

    def label(self, locator: bytes) -> str:
        """Give the key's name, every byte of it visible."""
        return key_label(key_of(locator)) or "(empty name)"

    def path(self, locator: bytes) -> str:
        """Give the path of the key's page, or of all keys where the name is too long for it."""
        key = key_of(locator)
        if len(key) > LONGEST_LINKED_NAME:
            return "/redis/keys"
        return f"/redis/key?name={quote(name_text(key), safe='')}"

    def read(self, locators: Sequence[bytes]) -> list[Snapshot | None]:
        """Read keys (MEMORY USAGE, DUMP, PEXPIRETIME); NotChangeableError for a large one."""
        keys = [self.locators.key(locator) for locator in locators]
        with conversation(self._connection) as talk:
            refuse_large(talk, keys)
            replies = iter(talk.ask([question for key in keys for question in kept_questions(key)]))
        found = [kept_key([next(replies) for _ in kept_questions(key)]) for key in keys]
        return [
            None if kept is None else Snapshot(locator, kept.payload, expiry_bytes(kept.expires_at))
            for locator, kept in zip(locators, found, strict=True)
        ]

    def delete(self, snapshots: Sequence[Snapshot]) -> list[Outcome]:
        """Delete keys whose value still is this one."""
        return carry_out(self._connection, [self._deletion(each) for each in snapshots])

    def replace(self, snapshot: Snapshot, content: bytes) -> Outcome:
        """Give a key another value, of any type; it expires when it would have."""
        key = self.locators.key(snapshot.locator)
        change = replacement(self.payloads, key, snapshot.content, content)
        return carry_out(self._connection, [change])[0]

    def restore(self, snapshots: Sequence[Snapshot]) -> list[Outcome]:
        """Put keys back; nothing is, where the server refuses the payload of one of them."""
        payloads = [self.payloads.to_restore(each.content) for each in snapshots]
        changes = map(self._restoration, snapshots, payloads)
        return carry_out(self._connection, list(changes))

    def settle(self, snapshots: Sequence[Snapshot], *, sign: int, mark: str) -> None:
        """Do nothing: no other record counts keys."""

    def forget(self, snapshots: Sequence[Snapshot], *, mark: str) -> None:
        """Do nothing: `settle` leaves no trace."""

    def references(self, snapshots: Sequence[Snapshot]) -> list[str]:
        """Say where sessions are among them, of which more is kept elsewhere."""
        keys = [key_of(each.locator) for each in snapshots]
        sessions = sum(map(looks_like_session_key, keys))
        if not sessions:
            return []
        are = "is a session" if sessions == 1 else "are sessions"
        told = (
            f"{sessions:,} of these keys {are}. Here only the key itself goes; on the pages of "
            "sessions a session goes with its entry in KATO 3's index and with the pointer of its "
            "node, as when KATO deletes it."
        )
        return [told]

    def _deletion(self, snapshot: Snapshot) -> Change:
        key = self.locators.key(snapshot.locator)

        def decide(replies: Sequence[Reply]) -> Outcome | list[Command]:
            payload = granted("DUMP", replies[0])
            if payload is None:
                return Outcome.MISSING
            if not self.payloads.same(payload, snapshot.content):
                return Outcome.CHANGED
            return [("UNLINK", key)]

        return Change(watched=(key,), questions=(("DUMP", key),), decide=decide)

    def _restoration(self, snapshot: Snapshot, payload: bytes) -> Change:
        key = self.locators.key(snapshot.locator)
        kept = KeptKey(snapshot.content, expiry(snapshot.surroundings))

        def decide(replies: Sequence[Reply]) -> Outcome | list[Command]:
            place = place_for(kept, replies, self.payloads)
            if place is not None:
                return place
            return [restore_command(key, KeptKey(payload, kept.expires_at))]

        return Change(watched=(key,), questions=kept_questions(key), decide=decide)


def replacement(payloads: RedisPayloads, key: bytes, old: bytes, new: bytes) -> Change:
    """Put another payload in the place of one, with the expiry that the key has then.

    A string is set, because RESTORE would tell the world of a new key: of another session.
    """
    sets = is_string(old) and is_string(new)
    made_of = payloads.string(new) if sets else payloads.to_restore(new)

    def decide(replies: Sequence[Reply]) -> Outcome | list[Command]:
        now = kept_key(replies)
        if now is None:
            return Outcome.MISSING
        if not payloads.same(now.payload, old):
            return Outcome.CHANGED
        if sets:
            return [("SET", key, made_of, "KEEPTTL")]
        return [(*restore_command(key, KeptKey(made_of, now.expires_at)), "REPLACE")]

    return Change(watched=(key,), questions=kept_questions(key), decide=decide)


def place_for(kept: KeptKey, replies: Sequence[Reply], payloads: RedisPayloads) -> Outcome | None:
    """Tell why a key need not or cannot be put back; None where it can.

    `replies` are those to `kept_questions`.
    """
    now = kept_key(replies)
    if now is not None:
        is_it = _is_near(now.expires_at, kept.expires_at) and payloads.same(
            now.payload, kept.payload
        )
        return Outcome.DONE if is_it else Outcome.TAKEN
    if has_expired(kept, clock_ms(replies[-1])):
        return Outcome.EXPIRED
    return None


def restore_command(key: bytes, kept: KeptKey) -> Command:
    """Give the command that makes a key as it was."""
    return ("RESTORE", key, kept.expires_at or 0, kept.payload, "ABSTTL")


def has_expired(kept: KeptKey, now: int) -> bool:
    """Tell whether a key would have ended by a time in epoch ms."""
    return kept.expires_at is not None and kept.expires_at <= now


def expiry_bytes(expires_at: int | None) -> bytes:
    """Write when a key expires."""
    return b"" if expires_at is None else b"%d" % expires_at


def expiry(surroundings: bytes) -> int | None:
    """Read when a key expires."""
    return int(surroundings) if surroundings else None


def _is_near(one: int | None, other: int | None) -> bool:
    """Tell whether two expiries are the same but for the clock of a server before 7.0."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= _ALMOST
