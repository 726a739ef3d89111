"""Redis keys and sessions as records: deleted, changed and put back, on real servers."""

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from redis.exceptions import ResponseError

from kato_exporter.demo.servers import LOOPBACK, Server
from kato_exporter.demo.shapes import session_id, session_key, session_record
from kato_exporter.kato.sessions import SESSION_INDEX
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.records import Outcome, RecordKind, Snapshot
from kato_exporter.stores.redis import payloads as redis_payloads
from kato_exporter.stores.redis.connection import RedisConnection
from kato_exporter.stores.redis.keys import RedisKeys
from kato_exporter.stores.redis.locators import Locators
from kato_exporter.stores.redis.payloads import SCRATCH_PREFIX
from kato_exporter.stores.redis.records import RedisKeyRecords
from kato_exporter.stores.redis.session_records import RedisSessionRecords
from kato_exporter.stores.redis.sessions import SessionRecords
from support.redis_servers import REDIS_SERVERS, redis_server
from support.servers import black_hole, empty_redis
from support.waiting import at_most

DOCUMENT = (Path(__file__).parents[2] / "docs" / "redis-account.md").read_text()
FULL = bool(os.environ.get("KATO_TEST_FULL"))
PASSWORD = "s3cret-word"
TIMEOUT = 2.0
DONE, CHANGED, MISSING, TAKEN, EXPIRED = (
    Outcome.DONE,
    Outcome.CHANGED,
    Outcome.MISSING,
    Outcome.TAKEN,
    Outcome.EXPIRED,
)
LIFE = 600
ALMOST_MS = 1_000
NODE = "alice"
BORN = 1_790_000_000.0


def write_stream(client: Redis, key: str) -> None:
    """Write a stream with two groups, one of which has an entry pending."""
    for number in range(50):
        client.xadd(key, {"event_type": "learn", "n": number}, id=f"1700000000000-{number + 1}")
    client.xgroup_create(key, "stm_group_alice", id="0")
    client.xgroup_create(key, "idle", id="$")
    client.xreadgroup("stm_group_alice", "worker", {key: ">"}, count=3)
    client.xdel(key, "1700000000000-10")


def write_shrunk(client: Redis, key: str) -> None:
    """Write a hash that had a thousand fields, and keeps the hash table of that time."""
    client.hset(key, mapping={f"field {n}": n for n in range(1_000)})
    client.hdel(key, *[f"field {n}" for n in range(5, 1_000)])


EXACT: Mapping[str, Callable[[Redis, str], object]] = {
    "text": lambda client, key: client.set(key, "héllo"),
    "binary": lambda client, key: client.set(key, bytes(range(256))),
    "integer": lambda client, key: client.set(key, 42),
    "empty string": lambda client, key: client.set(key, b""),
    "compressed": lambda client, key: client.set(key, b"ab" * 100_000),
    "bits": lambda client, key: client.setbit(key, 1_000, 1),
    "hyperloglog": lambda client, key: client.pfadd(key, "a", "b"),
    "small hash": lambda client, key: client.hset(key, mapping={"a": "1", b"\xff": b"\x00"}),
    "set of integers": lambda client, key: client.sadd(key, 1, 2, 3_000_000),
    "hash table": lambda client, key: client.hset(key, mapping={f"f{n}": n for n in range(1_000)}),
    "set": lambda client, key: client.sadd(key, *[f"m{n}" for n in range(1_000)]),
    "small set": lambda client, key: client.sadd(key, "a", "b", b"\xff"),
    "small sorted set": lambda client, key: client.zadd(key, {"a": 0.1, "b": float("inf")}),
    "sorted set": lambda client, key: client.zadd(key, {f"m{n}": n / 7 for n in range(1_000)}),
    "list": lambda client, key: client.rpush(key, *range(3_000), "x" * 10_000),
    "stream": write_stream,
}
"""Keys whose DUMP is the same, byte for byte, when they were put back."""

SAME_VALUE: Mapping[str, Callable[[Redis, str], object]] = {
    "hash of long values": lambda client, key: client.hset(
        key, mapping={f"f{n}": "x" * 100 for n in range(40)}
    ),
    "shrunk hash": write_shrunk,
    "shrunk set": lambda client, key: (EXACT["set"](client, key), client.spop(key, 990)),
    "shrunk sorted set": lambda client, key: (
        EXACT["sorted set"](client, key),
        client.zremrangebyrank(key, 5, -1),
    ),
}
"""Keys that a server packs in another way, or another order, when they are put back."""

CHANGES: Mapping[str, Callable[[Redis, str], object]] = {
    "string": lambda client, key: client.append(key, "x"),
    "hash": lambda client, key: client.hset(key, "f1", "other"),
    "list": lambda client, key: client.rpush(key, "x"),
    "set": lambda client, key: client.srem(key, "m1"),
    "zset": lambda client, key: client.zincrby(key, 1, "m1"),
    "stream": lambda client, key: client.xack(key, "stm_group_alice", "1700000000000-1"),
}

FIRST: Mapping[str, Callable[[Redis, str], object]] = {
    "string": EXACT["text"],
    "hash": EXACT["hash table"],
    "list": EXACT["list"],
    "set": EXACT["set"],
    "zset": EXACT["sorted set"],
    "stream": EXACT["stream"],
}


@dataclass(frozen=True, slots=True)
class Place:
    """A server, a client of it with all rights, and the kinds of records as the browser has them.

    `has_exact_expiry` tells that the server tells when keys expire (PEXPIRETIME).
    """

    server: Server
    client: Redis
    keys: RedisKeyRecords
    sessions: RedisSessionRecords
    has_exact_expiry: bool

    def snapshot(self, key: str | bytes) -> Snapshot:
        """Read a key, which must be there."""
        return one(self.keys, key)

    def expiry(self, key: str) -> int | None:
        """Give when a key expires, in epoch ms, None for never."""
        with self.client.pipeline() as pipeline:
            pipeline.pttl(key)
            pipeline.time()
            life, (seconds, microseconds) = pipeline.execute()
        return None if life < 0 else seconds * 1000 + microseconds // 1000 + life

    def everything(self) -> dict[bytes, bytes]:
        """Give every key with its payload."""
        keys: list[Any] = self.client.keys()
        return {key: self.client.dump(key) or b"" for key in keys}


@pytest.fixture(scope="module", params=REDIS_SERVERS if FULL else ("valkey9", "redis6"))
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """Start each server once."""
    name = request.param
    with (
        redis_server(name, tmp_path_factory.mktemp(name)) as server,
        Redis(port=server.port) as client,
        closing(RedisConnection(server.url, timeout=TIMEOUT)) as connection,
    ):
        yield Place(
            server,
            client,
            RedisKeyRecords(connection),
            RedisSessionRecords(connection),
            has_exact_expiry=name != "redis6",
        )


@pytest.fixture
def place(shared: Place) -> Place:
    """Give each server in turn, emptied."""
    empty_redis(shared.client)
    return shared


def one(kind: RedisKeyRecords | RedisSessionRecords, key: str | bytes) -> Snapshot:
    """Read one record, which must be there."""
    name = key.encode() if isinstance(key, str) else key
    [snapshot] = kind.read([kind.locators.of(name)])
    assert snapshot is not None
    return snapshot


def is_kind(kind: RecordKind) -> RecordKind:
    """Let mypy see that it is a kind of record."""
    return kind


def near(expected: int | None, found: int | None) -> bool:
    """Tell whether two expiries are within a second."""
    if expected is None or found is None:
        return expected is found
    return abs(expected - found) < ALMOST_MS


@pytest.mark.parametrize("expires", [False, True])
@pytest.mark.parametrize("name", EXACT)
def test_a_key_comes_back_byte_for_byte(place: Place, name: str, *, expires: bool) -> None:
    """Deleted and restored, DUMP is the same, and the time to live goes on as if nothing was."""
    EXACT[name](place.client, "k")
    if expires:
        place.client.expire("k", LIFE)
    before, ends = place.client.dump("k"), place.expiry("k")
    snapshot = place.snapshot("k")

    assert [DONE] == place.keys.delete([snapshot])
    assert 0 == place.client.exists("k")
    assert [DONE] == place.keys.restore([snapshot])

    assert before == place.client.dump("k")
    assert near(ends, place.expiry("k"))
    assert (ends is None) == (b"" == snapshot.surroundings)
    assert [DONE] == place.keys.restore([snapshot]), "asked twice"
    assert [b"k"] == place.client.keys()


@pytest.mark.parametrize("name", SAME_VALUE)
def test_a_hash_table_comes_back_with_the_same_elements(place: Place, name: str) -> None:
    """Its order is the server's; the value is known again, to restore and to delete once more."""
    SAME_VALUE[name](place.client, "k")
    read: Mapping[str, Callable[[str], object]] = {
        "hash of long values": place.client.hgetall,
        "shrunk hash": place.client.hgetall,
        "shrunk set": place.client.smembers,
        "shrunk sorted set": lambda key: place.client.zrange(key, 0, -1, withscores=True),
    }
    elements = read[name]
    before = elements("k")
    snapshot = place.snapshot("k")

    assert [DONE] == place.keys.delete([snapshot])
    assert [DONE] == place.keys.restore([snapshot])
    assert before == elements("k")
    assert [DONE] == place.keys.restore([snapshot]), "asked twice"
    assert [DONE] == place.keys.delete([snapshot]), "known again"
    assert [] == place.client.keys()


def test_the_expiry_is_exact_where_the_server_tells_it(place: Place) -> None:
    """With PEXPIRETIME to the millisecond, before Redis 7.0 by TIME and PTTL."""
    at = int(time.time() * 1000) + 123_456
    place.client.set("k", "v", pxat=at)
    snapshot = place.snapshot("k")

    place.keys.delete([snapshot])
    place.keys.restore([snapshot])

    if place.has_exact_expiry:
        assert str(at).encode() == snapshot.surroundings
        assert at == place.client.pexpiretime("k")
    else:
        assert near(at, place.expiry("k"))


@pytest.mark.parametrize("kind", CHANGES)
def test_a_key_that_changed_is_neither_deleted_nor_replaced(place: Place, kind: str) -> None:
    """Not even a group's acknowledgement goes unseen."""
    FIRST[kind](place.client, "k")
    snapshot = place.snapshot("k")
    CHANGES[kind](place.client, "k")
    before = place.client.dump("k")

    assert [CHANGED] == place.keys.delete([snapshot])
    assert CHANGED is place.keys.replace(snapshot, place.keys.payloads.of_string(b"mine"))
    assert before == place.client.dump("k")
    assert [TAKEN] == place.keys.restore([snapshot])


def test_a_key_of_another_type_is_another_record(place: Place) -> None:
    """A set is not taken for a hash of the same members."""
    place.client.hset("k", mapping={f"m{n}": f"m{n}" for n in range(1_000)})
    snapshot = place.snapshot("k")
    place.client.delete("k")
    place.client.sadd("k", *[f"m{n}" for n in range(1_000)])

    assert [CHANGED] == place.keys.delete([snapshot])
    assert [TAKEN] == place.keys.restore([snapshot])


def test_a_key_that_is_gone_is_missing(place: Place) -> None:
    """Deleted or expired: it is not there, and nothing is made."""
    place.client.set("k", "v")
    snapshot = place.snapshot("k")
    place.client.delete("k")

    assert [MISSING] == place.keys.delete([snapshot])
    assert MISSING is place.keys.replace(snapshot, snapshot.content)
    assert [None] == place.keys.read([snapshot.locator])
    assert [] == place.client.keys()


def test_what_would_have_ended_is_not_put_back(place: Place) -> None:
    """A key whose expiry has passed in the trash is EXPIRED, the others come back."""
    place.client.set("short", "v", px=150)
    place.client.set("long", "v", ex=LIFE)
    snapshots = [place.snapshot("short"), place.snapshot("long")]
    place.keys.delete(snapshots)
    ends = int(snapshots[0].surroundings)
    while place.client.time()[0] * 1000 + place.client.time()[1] // 1000 <= ends:
        threading.Event().wait(0.01)

    assert [EXPIRED, DONE] == place.keys.restore(snapshots)
    assert [b"long"] == place.client.keys()


def test_another_key_of_the_name_stays(place: Place) -> None:
    """Restoring never overwrites: neither another value nor the same one with another expiry."""
    place.client.mset({"other": "v", "persistent": "v"})
    place.client.expire("persistent", LIFE)
    snapshots = [place.snapshot("other"), place.snapshot("persistent")]
    place.keys.delete(snapshots)
    place.client.mset({"other": "w", "persistent": "v"})

    assert [TAKEN, TAKEN] == place.keys.restore(snapshots)
    assert [b"w", b"v"] == place.client.mget("other", "persistent")
    assert -1 == place.client.ttl("persistent")


def test_a_replaced_key_keeps_its_expiry(place: Place) -> None:
    """An edit and its undoing change the value alone."""
    place.client.set("k", "old", ex=LIFE)
    place.client.set("eternal", "old")
    ends = place.expiry("k")
    new = place.keys.payloads.of_string(b"new \xff")
    for key in ("k", "eternal"):
        before = place.snapshot(key)
        assert DONE is place.keys.replace(before, new)
        after = place.snapshot(key)
        assert new == after.content, "what is read afterwards is what was written"
        assert b"new \xff" == place.client.get(key)
        assert DONE is place.keys.replace(after, before.content)
        assert b"old" == place.client.get(key)

    assert near(ends, place.expiry("k"))
    assert -1 == place.client.ttl("eternal")


@pytest.mark.parametrize("length", [1, 100])
@pytest.mark.parametrize("count", [3, 40, 600, 1_000])
def test_a_field_of_a_hash_is_replaced(place: Place, count: int, length: int) -> None:
    """The other fields and the expiry stay, and it can be undone, however the hash is kept."""
    fields = {f"f{n}".encode(): str(n).encode() * length for n in range(count)}
    place.client.hset("k", items=[part for pair in fields.items() for part in pair])
    place.client.expire("k", LIFE)
    before = place.snapshot("k")

    after = place.keys.payloads.with_field(before.content, b"f1", b"\x00new")
    assert DONE is place.keys.replace(before, after)
    assert after == place.snapshot("k").content, "what is read afterwards is what was written"

    assert fields | {b"f1": b"\x00new"} == place.client.hgetall("k")
    assert 0 < place.client.ttl("k") <= LIFE
    assert b"\x00new" == place.keys.payloads.field(place.snapshot("k").content, b"f1")
    assert DONE is place.keys.replace(Snapshot(before.locator, after), before.content)
    assert fields == place.client.hgetall("k")
    assert [b"k"] == place.client.keys()


def test_a_hash_whose_fields_expire_is_not_edited(place: Place) -> None:
    """HSET would make the field stay for ever; deleting and restoring keeps each field's end."""
    place.client.hset("k", mapping={"a": "1", "b": "2"})
    try:
        place.client.execute_command("HEXPIRE", "k", LIFE, "FIELDS", 1, "a")  # type: ignore[no-untyped-call]
    except ResponseError:
        pytest.skip("fields of hashes do not expire on this server")
    snapshot = place.snapshot("k")
    before = place.client.dump("k")

    with pytest.raises(QueryError, match="fields of this hash expire"):
        place.keys.payloads.with_field(snapshot.content, b"b", b"3")
    assert [DONE] == place.keys.delete([snapshot])
    assert [DONE] == place.keys.restore([snapshot])
    assert before == place.client.dump("k")


def test_payloads_are_opened_as_what_they_are(place: Place) -> None:
    """A string is no hash, and a hash no string; no scratch key stays."""
    payloads = place.keys.payloads
    place.client.hset("h", "a", "1")
    hash_payload = place.snapshot("h").content
    string_payload = payloads.of_string(b"text")

    assert b"text" == payloads.string(string_payload)
    assert b"1" == payloads.field(hash_payload, b"a")
    assert None is payloads.field(hash_payload, b"b")
    with pytest.raises(QueryError, match="WRONGTYPE"):
        payloads.string(hash_payload)
    with pytest.raises(QueryError, match="WRONGTYPE"):
        payloads.with_field(string_payload, b"a", b"1")
    assert [b"h"] == place.client.keys()


def test_many_keys_go_and_come_at_once(place: Place) -> None:
    """Each has its own outcome, in order."""
    for number in range(100):
        place.client.set(f"k{number}", number, ex=LIFE)
    locators = [place.keys.locators.of(f"k{number}".encode()) for number in range(100)]
    snapshots = [each for each in place.keys.read(locators) if each is not None]
    assert 100 == len(snapshots)
    place.client.set("k3", "other", ex=LIFE)
    place.client.delete("k4")

    outcomes = place.keys.delete(snapshots)

    assert [DONE] * 3 + [CHANGED, MISSING] + [DONE] * 95 == outcomes
    assert [b"k3"] == place.client.keys()
    assert [DONE] * 3 + [TAKEN] + [DONE] * 96 == place.keys.restore(snapshots)
    assert 100 == place.client.dbsize()


def test_a_writer_between_look_and_deed_is_noticed(place: Place) -> None:
    """Keys that KATO writes all the time are deleted as they were read, or not at all."""
    names = [f"k{number}" for number in range(50)]
    place.client.mset(dict.fromkeys(names, "0"))
    ended = threading.Event()

    def write() -> None:
        with Redis(port=place.server.port) as own:
            number = 0
            while not ended.is_set():
                number += 1
                own.set(names[number % 20], str(number), xx=True)

    writer = threading.Thread(target=write)
    writer.start()
    deleted: dict[bytes, bytes] = {}
    try:
        for _ in range(30):
            found = place.keys.read([place.keys.locators.of(name.encode()) for name in names])
            there = [each for each in found if each is not None]
            for each, outcome in zip(there, place.keys.delete(there), strict=True):
                if outcome is DONE:
                    assert each.locator not in deleted, "deleted twice"
                    deleted[each.locator] = each.content
                    assert [None] == place.keys.read([each.locator])
    finally:
        ended.set()
        writer.join()
    assert 30 <= len(deleted), "those that nobody writes went at least"
    assert len(names) == len(deleted) + place.client.dbsize()


class Interfering:
    """A client of the server that changes a key just before MULTI, a number of times."""

    def __init__(self, kind: RedisKeyRecords, change: Callable[[], object], times: int) -> None:
        self.left = times
        self._change = change
        self._same = kind.payloads.same

    def __call__(self, one: bytes, other: bytes) -> bool:
        """Compare as usual, and then change something."""
        if self.left:
            self.left -= 1
            self._change()
        return self._same(one, other)


@pytest.mark.parametrize(("times", "outcome"), [(1, DONE), (3, DONE), (99, CHANGED)])
def test_a_touched_key_is_tried_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, times: int, outcome: Outcome
) -> None:
    """What is written with the same value is deleted once that stops; nothing is done unseen."""
    place.client.mset({"k": "v", "untouched": "v"})
    snapshots = [place.snapshot("k"), place.snapshot("untouched")]
    interfering = Interfering(place.keys, lambda: place.client.set("k", "v"), times)
    monkeypatch.setattr(redis_payloads.RedisPayloads, "same", lambda _, *both: interfering(*both))

    assert [outcome, DONE] == place.keys.delete(snapshots)
    assert (outcome is CHANGED) == bool(place.client.exists("k"))


def test_a_change_between_look_and_deed_is_a_change(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that gets another value after it was compared stays."""
    place.client.set("k", "v")
    snapshot = place.snapshot("k")
    interfering = Interfering(place.keys, lambda: place.client.set("k", "w"), 1)
    monkeypatch.setattr(redis_payloads.RedisPayloads, "same", lambda _, *both: interfering(*both))

    assert [CHANGED] == place.keys.delete([snapshot])
    assert b"w" == place.client.get("k")


def test_large_keys_are_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the server says of their memory, before their value is asked for."""
    monkeypatch.setattr(redis_payloads, "LARGEST_KEPT", 1024 * 1024)
    monkeypatch.setattr(redis_payloads, "MOST_KEPT_AT_ONCE", 2 * 1024 * 1024)
    for number in range(4):
        place.client.set(f"k{number}", b"x" * 600 * 1024)
    place.client.set("large", b"x" * 3 * 1024 * 1024)
    locator = place.keys.locators.of(b"large")
    place.client.config_resetstat()

    with pytest.raises(QueryError, match=r"large takes \d MiB of memory: too large to be kept"):
        place.keys.read([locator])
    with pytest.raises(QueryError, match=r"these 4 keys take . MiB .* choose fewer"):
        place.keys.read([place.keys.locators.of(f"k{number}".encode()) for number in range(4)])
    assert "cmdstat_dump" not in place.client.info("commandstats")


def test_a_payload_that_the_server_does_not_know(place: Place) -> None:
    """Nothing of the batch is put back, and the server's own words say why."""
    place.client.mset({"a": "1", "b": "2"})
    good, other = place.snapshot("a"), place.snapshot("b")
    place.keys.delete([good, other])
    future = Snapshot(other.locator, other.content[:-10] + b"\xff\xff" + other.content[-8:])

    with pytest.raises(QueryError, match=r"RESTORE is refused: .*payload version or checksum"):
        place.keys.restore([good, future])
    assert [] == place.client.keys()
    place.client.set("b", "2")
    with pytest.raises(QueryError, match=r"RESTORE is refused: .*payload version or checksum"):
        place.keys.replace(place.snapshot("b"), future.content)
    assert b"2" == place.client.get("b")


def test_a_record_of_another_database_is_refused(place: Place) -> None:
    """The same name in another database is another record; it is still named and linked."""
    place.client.set("k", "v")
    elsewhere = Snapshot(Locators(3).of(b"k"), place.snapshot("k").content)
    refused = "k is in database 3 of Redis, and the browser is at database 0"

    for ask in (
        lambda: place.keys.read([elsewhere.locator]),
        lambda: place.keys.delete([elsewhere]),
        lambda: place.keys.restore([elsewhere]),
        lambda: place.keys.replace(elsewhere, elsewhere.content),
    ):
        with pytest.raises(QueryError, match=refused):
            ask()
    assert "k" == place.keys.label(elsewhere.locator)
    assert "/redis/key?name=k" == place.keys.path(elsewhere.locator)
    assert b"v" == place.client.get("k")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    key=st.binary(max_size=60),
    value=st.one_of(
        st.binary(max_size=300),
        st.integers(-(2**63), 2**63 - 1).map(lambda number: str(number).encode()),
        st.binary(min_size=1, max_size=4).map(lambda part: part * 500),
    ),
    other=st.binary(max_size=300),
)
def test_any_bytes_come_back(place: Place, key: bytes, value: bytes, other: bytes) -> None:
    """Keys and values are bytes: deleted, restored, edited and undone, they are what they were."""
    place.client.flushall()
    place.client.set(key, value)
    place.client.hset(key + b"#", mapping={value: other, other + b"!": value})

    def everything() -> tuple[Any, ...]:
        return set(place.client.keys()), place.client.get(key), place.client.hgetall(key + b"#")

    before = everything()
    snapshots = [place.snapshot(key), place.snapshot(key + b"#")]

    assert [DONE, DONE] == place.keys.delete(snapshots)
    assert {} == place.everything()
    assert [DONE, DONE] == place.keys.restore(snapshots)
    assert before == everything()
    assert snapshots[0] == place.snapshot(key)

    string, pairs = snapshots
    edited = place.keys.payloads.of_string(other)
    assert other == place.keys.payloads.string(edited)
    assert DONE is place.keys.replace(string, edited)
    assert other == place.client.get(key)
    assert DONE is place.keys.replace(one(place.keys, key), string.content)
    changed = place.keys.payloads.with_field(pairs.content, value, key)
    assert DONE is place.keys.replace(pairs, changed)
    assert key == place.client.hget(key + b"#", value)
    assert DONE is place.keys.replace(one(place.keys, key + b"#"), pairs.content)
    assert before == everything()
    label = place.keys.label(string.locator)
    assert label.isprintable()
    assert label


def new_session(
    client: Redis, *, number: int = 0, node: str = NODE, indexed: bool = True, pointed: bool = True
) -> str:
    """Write a session as KATO does, with index and pointer where asked for; give its key."""
    identity = session_id(f"{number:032x}", BORN)
    key = session_key(identity)
    client.set(
        key, json.dumps(session_record(identity, node, born=BORN, ttl=LIFE, metadata={})), ex=LIFE
    )
    if indexed:
        client.sadd(SESSION_INDEX, identity)
    if pointed:
        client.set(f"kato:session:node:{node}:active", identity, ex=LIFE)
    return key


def identity_of(key: str) -> str:
    """Give a session's id."""
    return key.removeprefix("kato:session:")


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("pointed", [False, True])
def test_a_session_goes_and_comes_with_what_belongs_to_it(
    place: Place, *, indexed: bool, pointed: bool
) -> None:
    """Its index entry and its pointer go in the same step; nothing else is touched."""
    client = place.client
    new_session(client, number=1, node="bob")
    client.set("stranger", "v")
    untouched = place.everything()
    key = new_session(client, indexed=indexed, pointed=pointed)
    before, members = place.everything(), client.smembers(SESSION_INDEX)
    ends = {name.decode(): place.expiry(name.decode()) for name in before}
    snapshot = one(place.sessions, key)

    assert [DONE] == place.sessions.delete([snapshot])
    assert untouched.keys() == place.everything().keys()
    assert {identity_of(session_key(session_id(f"{1:032x}", BORN))).encode()} == client.smembers(
        SESSION_INDEX
    )
    assert [DONE] == place.sessions.restore([snapshot])

    after = place.everything()
    assert members == client.smembers(SESSION_INDEX)
    assert without_index(before) == without_index(after)
    assert all(near(end, place.expiry(name)) for name, end in ends.items())
    assert [DONE] == place.sessions.restore([snapshot]), "asked twice"
    assert after == place.everything()


def without_index(payloads: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Leave out the index, whose members are compared: sets have no order."""
    return {name: payload for name, payload in payloads.items() if name != SESSION_INDEX.encode()}


def test_what_a_deletion_of_a_session_does_on_the_server(place: Place) -> None:
    """Three changes between one MULTI and one EXEC, to the three keys and no other."""
    key = new_session(place.client)
    snapshot = one(place.sessions, key)

    with Redis(port=place.server.port) as watching, watching.monitor() as monitor:
        place.sessions.delete([snapshot])
        place.client.echo("end")
        seen = []
        for told in monitor.listen():
            if "ECHO" in told["command"].upper():
                break
            seen.append(told["command"])

    identity = identity_of(key)
    at = seen.index("MULTI")
    assert [
        "MULTI",
        f"UNLINK {key} kato:session:node:{NODE}:active",
        f"SREM {SESSION_INDEX} {identity}",
        "EXEC",
    ] == seen[at : at + 4]
    assert seen[at + 4 :] == []
    assert {"WATCH", "DUMP", "SISMEMBER", "GETRANGE"} == {
        command.split()[0] for command in seen[:at] if not command.startswith("CLIENT")
    }


def test_a_pointer_to_another_session_stays(place: Place) -> None:
    """Only a pointer that names this very session goes with it."""
    old = new_session(place.client, number=1)
    new_session(place.client, number=2)
    before = place.client.get(f"kato:session:node:{NODE}:active")
    snapshot = one(place.sessions, old)
    assert 1 == len(place.sessions.references([snapshot])), "the index alone"

    assert [DONE] == place.sessions.delete([snapshot])
    assert before == place.client.get(f"kato:session:node:{NODE}:active")
    assert [DONE] == place.sessions.restore([snapshot])
    assert before == place.client.get(f"kato:session:node:{NODE}:active")


def test_a_pointer_that_names_a_later_session_is_left_alone(place: Place) -> None:
    """A restored session does not push aside the one that has become active since."""
    old = new_session(place.client, number=1)
    snapshot = one(place.sessions, old)
    place.sessions.delete([snapshot])
    new_session(place.client, number=2)
    active = place.client.get(f"kato:session:node:{NODE}:active")

    assert [DONE] == place.sessions.restore([snapshot])
    assert 1 == place.client.exists(old)
    assert active == place.client.get(f"kato:session:node:{NODE}:active")


@pytest.mark.parametrize("happens", ["index", "pointer"])
def test_what_became_known_of_a_session_after_it_was_kept(place: Place, happens: str) -> None:
    """An index entry or a pointer that was not kept is not deleted either: read it again."""
    key = new_session(place.client, indexed=False, pointed=False)
    snapshot = one(place.sessions, key)
    new_session(place.client, indexed=happens == "index", pointed=happens == "pointer")
    before = place.everything()

    assert [CHANGED] == place.sessions.delete([snapshot])
    assert before == place.everything()
    assert [DONE] == place.sessions.delete([one(place.sessions, key)])
    assert {} == place.everything()


def test_a_session_that_kato_has_written_meanwhile(place: Place) -> None:
    """It stays, with its index entry and its pointer."""
    key = new_session(place.client)
    snapshot = one(place.sessions, key)
    place.client.set(key, '{"node_id": "alice", "access_count": 1}', ex=LIFE)
    before = place.everything()

    assert [CHANGED] == place.sessions.delete([snapshot])
    assert CHANGED is place.sessions.replace(snapshot, snapshot.content)
    assert [TAKEN] == place.sessions.restore([snapshot])
    assert before == place.everything()
    place.client.delete(key)
    assert [MISSING] == place.sessions.delete([snapshot])
    assert 1 == place.client.scard(SESSION_INDEX)


def test_a_session_is_replaced_with_all_around_it_kept(place: Place) -> None:
    """Expiry, index and pointer stay."""
    key = new_session(place.client)
    before, rest = one(place.sessions, key), place.everything()
    new = place.sessions.payloads.of_string(b'{"node_id": "alice"}')

    assert DONE is place.sessions.replace(before, new)
    assert b'{"node_id": "alice"}' == place.client.get(key)
    assert near(int(json.loads(before.surroundings)["expires_at"]), place.expiry(key))
    assert rest | {key.encode(): new} == place.everything()


def test_an_edit_is_no_new_session(place: Place) -> None:
    """The server tells nobody of a new key, which the exporter would count as a session."""
    if not place.has_exact_expiry:
        pytest.skip("before Redis 7.0 servers tell nobody of new keys")
    key = new_session(place.client)
    place.client.config_set("notify-keyspace-events", "EAn")
    snapshot = one(place.sessions, key)
    new = place.sessions.payloads.of_string(b"{}")
    with place.client.pubsub() as events:  # type: ignore[no-untyped-call]
        events.psubscribe("__keyevent@0__:*")
        place.sessions.replace(snapshot, new)
        place.sessions.replace(Snapshot(snapshot.locator, new), snapshot.content)
        place.client.publish("__keyevent@0__:end", key)
        told = list[str]()
        while not told or told[-1] != "end":
            message = events.get_message(timeout=TIMEOUT)
            assert message is not None
            if message["type"] == "pmessage" and message["data"] == key.encode():
                told.append(message["channel"].decode().partition(":")[2])
    assert ["set", "set", "end"] == told


def test_an_expired_session_is_not_put_back(place: Place) -> None:
    """Neither are its index entry and its pointer."""
    key = new_session(place.client)
    snapshot = one(place.sessions, key)
    place.sessions.delete([snapshot])
    around = json.loads(snapshot.surroundings) | {"expires_at": 1}
    past = Snapshot(snapshot.locator, snapshot.content, json.dumps(around).encode())

    assert [EXPIRED] == place.sessions.restore([past])
    assert {} == place.everything()


def test_a_payload_of_a_session_that_the_server_does_not_know(place: Place) -> None:
    """Neither the session nor its index entry comes."""
    key = new_session(place.client)
    snapshot = one(place.sessions, key)
    place.sessions.delete([snapshot])
    content = snapshot.content[:-10] + b"\xff\xff" + snapshot.content[-8:]

    with pytest.raises(QueryError, match="RESTORE is refused"):
        place.sessions.restore([Snapshot(snapshot.locator, content, snapshot.surroundings)])
    assert {} == place.everything()


@pytest.mark.parametrize(
    "key", ["kato:session:_active_index", "kato:session:node:alice:active", "alice_kato:global", ""]
)
def test_a_key_that_is_no_session_is_refused(place: Place, key: str) -> None:
    """The index itself, a pointer, or any other key."""
    new_session(place.client)
    place.client.set("alice_kato:global", "v")
    before = place.everything()
    locator = place.sessions.locators.of(key.encode())

    for ask in (
        lambda: place.sessions.read([locator]),
        lambda: place.sessions.delete([Snapshot(locator, b"", b"{}")]),
        lambda: place.sessions.restore([Snapshot(locator, b"", b"{}")]),
        lambda: place.sessions.replace(Snapshot(locator, b"", b"{}"), b""),
    ):
        with pytest.raises(QueryError, match=r"is not the key of a session|RESTORE is refused"):
            ask()
    assert before == place.everything()


ODD: Mapping[str, Callable[[Redis, str], object]] = {
    "index of another type": lambda client, _: client.set(SESSION_INDEX, "v"),
    "pointer of another type": lambda client, _: client.rpush(
        f"kato:session:node:{NODE}:active", "v"
    ),
    "no JSON": lambda client, key: client.set(key, b"\xff\xfe"),
    "no object": lambda client, key: client.set(key, "[1]"),
    "nested deeply": lambda client, key: client.set(key, "[" * 100_000),
    "node of another type": lambda client, key: client.set(key, '{"node_id": 7}'),
    "node of half a surrogate": lambda client, key: client.set(key, '{"node_id": "\\ud800"}'),
    "a list": lambda client, key: client.rpush(key, "a"),
    "a hash": lambda client, key: client.hset(key, "node_id", NODE),
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_sessions_go_and_come_too(place: Place, odd: str) -> None:
    """Whatever lies there: the key itself is deleted and restored, what is not KATO's stays."""
    key = session_key(session_id(f"{0:032x}", BORN))
    if "another type" in odd and "node" not in odd:
        new_session(place.client, indexed=False, pointed=False)
    ODD[odd](place.client, key)
    before = place.everything()
    snapshot = one(place.sessions, key)

    assert [DONE] == place.sessions.delete([snapshot])
    assert before.keys() - {key.encode()} == place.everything().keys()
    assert [DONE] == place.sessions.restore([snapshot])
    assert before == place.everything()


def test_many_sessions_beside_a_busy_index(place: Place) -> None:
    """KATO adds to the index all the time: that keeps nobody from deleting."""
    keys = [new_session(place.client, number=n, pointed=False) for n in range(100)]
    locators = [place.sessions.locators.of(key.encode()) for key in keys]
    snapshots = [each for each in place.sessions.read(locators) if each is not None]
    ended = threading.Event()

    def add() -> None:
        with Redis(port=place.server.port) as own:
            number = 0
            while not ended.is_set():
                number += 1
                own.sadd(SESSION_INDEX, f"session-{number % 100:032x}-1")

    adding = threading.Thread(target=add)
    adding.start()
    try:
        assert [DONE] * 100 == place.sessions.delete(snapshots)
        assert [DONE] * 100 == place.sessions.restore(snapshots)
    finally:
        ended.set()
        adding.join()
    members = place.client.smembers(SESSION_INDEX)
    assert {identity_of(key).encode() for key in keys} <= members


def test_what_is_said_of_records(place: Place) -> None:
    """Names, paths and references are for people."""
    client, keys, sessions = place.client, place.keys, place.sessions
    key = new_session(client)
    identity = identity_of(key)
    locator = keys.locators.of(key.encode())

    assert ("Redis key", "redis") == (is_kind(keys).name, keys.store)
    assert ("session", "redis") == (is_kind(sessions).name, sessions.store)
    assert identity == sessions.label(locator)
    assert f"/sessions/{identity}" == sessions.path(locator)
    assert "/redis/key?name=a%5Cxff%20%2F" == keys.path(keys.locators.of(b"a\xff /"))
    assert r"a\xff\x0a" == keys.label(keys.locators.of(b"a\xff\n"))
    assert "(empty name)" == keys.label(keys.locators.of(b""))
    long = keys.locators.of(b"x" * 5_000)
    assert f"{'x' * 200}… (5,000 bytes)" == keys.label(long)
    assert "/redis/keys" == keys.path(long)
    assert [] == keys.references([Snapshot(keys.locators.of(b"other"), b"")])
    [told] = keys.references([place.snapshot(key)])
    assert told.startswith("1 of these keys is a session. ")
    index, pointer = sessions.references([one(sessions, key)])
    assert f"KATO 3's index of sessions ({SESSION_INDEX}) names 1 of them." == index
    assert "The pointers of their nodes name 1 of them as the active one." == pointer
    assert None is keys.settle([], sign=-1, mark="m")  # type: ignore[func-returns-value]
    assert None is sessions.forget([], mark="m")  # type: ignore[func-returns-value]


def test_nothing_is_done_for_nothing(place: Place) -> None:
    """No records, no outcomes."""
    for kind in (place.keys, place.sessions):
        assert [] == kind.read([])
        assert [] == kind.delete([])
        assert [] == kind.restore([])


def rules_of(place: Place, name: str) -> list[str]:
    """Read an account out of the document, as Redis before 7.0 has to have it on such a server."""
    [found] = re.findall(rf"^```acl {name}\nACL SETUSER browser (.+)\n```$", DOCUMENT, re.MULTILINE)
    rules: list[str] = found.replace("PASSWORD", PASSWORD).split()
    if place.has_exact_expiry:
        return rules
    return [rule.replace("%R~", "~") for rule in rules if rule != "+pexpiretime"]


@pytest.fixture
def as_user(place: Place) -> Iterator[Callable[[list[str]], RedisConnection]]:
    """Give a function that opens the server as a user with these rights."""
    with ExitStack() as stack:

        def connect(rules: list[str]) -> RedisConnection:
            place.client.execute_command("ACL", "SETUSER", "browser", *rules)  # type: ignore[no-untyped-call]
            url = f"redis://browser:{PASSWORD}@{LOOPBACK}:{place.server.port}/0"
            return stack.enter_context(closing(RedisConnection(url, timeout=TIMEOUT)))

        yield connect


def write_everything(connection: RedisConnection, session: str) -> None:
    """Do all that an editor does, to a session, the string `s` and the hash `h`."""
    keys, sessions = RedisKeyRecords(connection), RedisSessionRecords(connection)
    kept = one(sessions, session)
    assert [DONE] == sessions.delete([kept])
    assert [DONE] == sessions.restore([kept])
    string, pairs = one(keys, "s"), one(keys, "h")
    assert b"v" == keys.payloads.string(string.content)
    assert DONE is keys.replace(string, keys.payloads.of_string(b"w"))
    assert b"1" == keys.payloads.field(pairs.content, b"f1")
    assert DONE is keys.replace(pairs, keys.payloads.with_field(pairs.content, b"f1", b"w"))
    pairs = one(keys, "h")
    assert [DONE] == keys.delete([pairs])
    assert [DONE] == keys.restore([pairs])
    assert [DONE] == keys.delete([pairs])


def test_the_account_of_an_editor_does_everything(
    place: Place, as_user: Callable[[list[str]], RedisConnection]
) -> None:
    """Exactly the line of docs/redis-account.md."""
    session = new_session(place.client)
    place.client.set("s", "v", ex=LIFE)
    place.client.hset("h", mapping={f"f{n}": n for n in range(1_000)})

    write_everything(as_user(rules_of(place, "browser-editor")), session)

    assert b"w" == place.client.get("s")
    assert 1 == place.client.exists(session)


@pytest.mark.parametrize(
    "command",
    ["watch", "multi", "exec", "dump", "unlink", "restore", "srem", "sadd", "set", "hset", "hget"],
)
def test_each_right_of_an_editor_is_needed(
    place: Place, as_user: Callable[[list[str]], RedisConnection], command: str
) -> None:
    """Without it the refusal names the command, and nothing is half done."""
    session = new_session(place.client)
    place.client.set("s", "v", ex=LIFE)
    place.client.hset("h", mapping={"f1": "1", "f2": "2"})
    connection = as_user([*rules_of(place, "browser-editor"), f"-{command}"])

    with pytest.raises(QueryError, match=f"^{command.upper()} is refused: "):
        write_everything(connection, session)

    if command != "dump":
        again = one(RedisKeyRecords(connection), "s")
        now = place.snapshot("s")
        assert now is not None
        assert again is not None
        assert (now.locator, now.content) == (again.locator, again.content), "as good as new"
    has_gone = command in ("restore", "sadd")
    assert (not has_gone) == bool(place.client.exists(session))
    assert (not has_gone) == bool(place.client.sismember(SESSION_INDEX, identity_of(session)))
    assert 2 == place.client.exists("s", "h")


def test_a_refused_change_leaves_nothing_watched(
    place: Place, as_user: Callable[[list[str]], RedisConnection]
) -> None:
    """A key that is touched later does not stand in the way of the next change."""
    session = new_session(place.client)
    kept = one(place.sessions, session)
    connection = as_user([*rules_of(place, "browser-editor"), "-sismember"])
    with pytest.raises(QueryError, match=r"^SISMEMBER is refused: "):
        RedisSessionRecords(connection).delete([kept])

    place.client.append(session, " ")

    payloads = RedisKeyRecords(connection).payloads
    assert b"v" == payloads.string(payloads.of_string(b"v"))


def test_the_account_of_a_reader_reads_everything_and_writes_nothing(
    place: Place, as_user: Callable[[list[str]], RedisConnection]
) -> None:
    """The pages lack nothing; a write is refused by the server, too, in words that name it."""
    session = new_session(place.client)
    place.client.set("s", "v", ex=LIFE)
    for name, write in FIRST.items():
        write(place.client, name)
    before = place.everything()
    kept = one(place.sessions, session)
    connection = as_user(rules_of(place, "browser-reader"))

    read_everything(connection, session)

    keys, sessions = RedisKeyRecords(connection), RedisSessionRecords(connection)
    for ask in (
        lambda: keys.read([keys.locators.of(b"s")]),
        lambda: sessions.read([kept.locator]),
        lambda: sessions.delete([kept]),
        lambda: sessions.replace(kept, kept.content),
        lambda: sessions.restore([kept]),
        lambda: keys.payloads.of_string(b"w"),
    ):
        with pytest.raises(QueryError, match=r"^(DUMP|WATCH|MULTI) is refused: "):
            ask()
    assert before == place.everything()


def read_everything(connection: RedisConnection, session: str) -> None:
    """Ask all that the pages of sessions and keys ask; nothing may be refused."""
    records = SessionRecords(connection, seconds=TIMEOUT)
    assert [session.encode()] == [each.key for each in records.page(node_part=NODE).sessions]
    found = records.session(session.encode())
    assert found is not None
    assert (True, True) == (found.indexed, found.pointed)
    assert None is not found.memory
    keys = RedisKeys(connection)
    assert () == keys.server().lacking
    page = keys.page(0, most=100)
    assert () == page.lacking
    assert set(FIRST) | {"s"} <= {each.name.decode() for each in page.keys}
    for each in page.keys:
        detail = keys.detail(each.name)
        assert detail is not None
        assert () == detail.lacking
    values = keys.values
    assert b"v" == values.string_part(b"s").data
    assert values.hash_fields(b"hash", most=9).elements
    assert values.set_members(b"set", most=9).elements
    assert values.list_items(b"list", most=9).elements
    assert values.ranked_members(b"zset", most=9).elements
    assert values.stream_entries(b"stream", most=9).elements
    assert values.stream_entries(b"stream", most=9, newest_first=True).elements
    assert 2 == values.stream_groups(b"stream")[1]


def test_a_server_that_is_silent_is_an_error_in_time() -> None:
    """Every question and every change ends with the connection's time limit."""
    with black_hole() as port, ExitStack() as stack:
        url = f"redis://{LOOPBACK}:{port}/0"
        connection = stack.enter_context(closing(RedisConnection(url, timeout=0.5)))
        kind = RedisKeyRecords(connection)
        snapshot = Snapshot(kind.locators.of(b"k"), b"\x00", b"")
        asks: list[Callable[[], Any]] = [
            lambda: kind.read([snapshot.locator]),
            lambda: kind.delete([snapshot]),
            lambda: kind.restore([snapshot]),
            lambda: kind.replace(snapshot, b"\x00"),
        ]
        for ask in asks:
            with at_most(2.5), pytest.raises(StoreError):
                ask()


def test_no_scratch_key_is_ever_seen(place: Place) -> None:
    """Other clients find none while payloads are made, opened and compared."""
    place.client.hset("k", mapping={f"f{n}": n for n in range(1_000)})
    snapshot = place.snapshot("k")
    seen: list[bytes] = []
    ended = threading.Event()

    def look() -> None:
        with Redis(port=place.server.port) as own:
            while not ended.is_set():
                seen.extend(own.keys(SCRATCH_PREFIX + b"*"))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for number in range(2, 22):
            changed = place.keys.payloads.with_field(snapshot.content, b"f1", str(number).encode())
            assert not place.keys.payloads.same(changed, snapshot.content)
    finally:
        ended.set()
        looking.join()
    assert [] == seen
