"""Keys that look like sessions and are odd, beside sessions that are not."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from kato_exporter.collectors.session_tracker import SessionTracker
from kato_exporter.collectors.session_values import SessionValuesCollector
from kato_exporter.collectors.sessions import SessionsCollector
from kato_exporter.demo.shapes import session_record, session_text
from kato_exporter.kato.session_records import LARGEST_RECORD
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.redis.store import RedisStore
from support.redis_servers import REDIS_SERVERS, redis_server
from support.session_truth import PATIENCE, Totals, Tracked, Witness, new_key, real_time
from support.waiting import eventually

FULL = bool(os.environ.get("KATO_TEST_FULL"))

FOREIGN: dict[str, Callable[[Redis, bytes], object]] = {
    "hash": lambda client, key: client.hset(key.decode(), "field", "value"),
    "list": lambda client, key: client.rpush(key.decode(), "value"),
    "stream": lambda client, key: client.xadd(key.decode(), {"field": "value"}),
    "set": lambda client, key: client.sadd(key.decode(), "value"),
    "sorted set": lambda client, key: client.zadd(key.decode(), {"value": 1}),
}

MALFORMED = (
    b"kato:session:session-rubbish",
    b"kato:session:session-",
    b"kato:session:session-" + b"0" * 32 + b"-1700000000000 ",
    b"kato:session:session-" + b"0" * 32 + b"-1700000000000\n",
    b"kato:session:session-" + b"0" * 32 + b"-17000000000000",
    b"kato:session:session-" + b"0" * 31 + b"-1700000000000",
    b"kato:session:session-" + b"A" * 32 + b"-1700000000000",
    "kato:session:session-" + "٠" * 32 + "-1700000000000",  # noqa: RUF001 - digits of another script
    b"kato:session:session-\xff\x00\n",
)

OTHERS = (
    b"kato:session:_active_index:x",
    b"kato:session:node:alice:active",
    b"xkato:session:session-" + b"0" * 32 + b"-1700000000000",
    b"alice_kato:frequency:abc",
)


@dataclass(frozen=True, slots=True)
class Scene:
    """A server, and the exporter's parts that look at its sessions."""

    client: Redis
    tracked: Tracked
    sessions: SessionsCollector
    values: SessionValuesCollector

    def skipped(self) -> dict[str, int]:
        """Collect, and give what was left out, by reason."""
        deadline = Deadline.after(5)
        return {
            **self.sessions.collect(deadline).skipped,
            **self.values.collect(deadline).skipped,
        }

    def assert_skipped(self, **expected: int) -> None:
        """Wait until this has been left out and nothing else, and compare."""
        due = dict.fromkeys((*self.sessions.skip_reasons, *self.values.skip_reasons), 0) | expected
        actual: dict[str, int] = {}

        def as_due() -> bool:
            actual.update(self.skipped())
            return due == actual

        try:
            eventually(as_due, within=PATIENCE, what="what is left out")
        finally:
            assert due == actual

    def assert_totals(self, *, active: int, created: int, deleted: int = 0) -> None:
        """Wait until the totals are these, with nothing missed or unknown, and compare."""
        expected, actual = self.tracked.settled(
            lambda: Totals(
                active=active,
                created=created,
                ended={"deleted": deleted, "expired": 0, "evicted": 0, "unknown": 0},
                missed={"created": 0, "ended": 0},
            )
        )
        assert expected == actual


Stage = Callable[..., Scene]


@pytest.fixture(params=REDIS_SERVERS if FULL else ("valkey9", "redis6"))
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """Give a function that starts to track, and before that what its argument does to a client."""
    with ExitStack() as stack:
        server = stack.enter_context(redis_server(request.param, tmp_path))
        client = stack.enter_context(Redis(port=server.port))

        def begin(
            before: Callable[[Redis], object] = lambda _: None, *, interval: float = 0.2
        ) -> Scene:
            before(client)
            store = stack.enter_context(closing(RedisStore(server.url, timeout=2.0)))
            witness = Witness(store)
            tracker = SessionTracker(
                witness,
                interval=interval,
                load_share=0.5,
                manage_notifications=True,
                sample_size=1_000,
            )
            tracker.start()
            stack.callback(tracker.stop)
            tracked = Tracked(tracker, witness)
            tracked.until(lambda state: state.accounts.active is not None, what="the book is open")
            values = SessionValuesCollector(store, tracker, most_nodes=10)
            return Scene(client, tracked, SessionsCollector(tracker), values)

        yield begin


def write_session(
    client: Redis, value: bytes | str | None = None, key: bytes | None = None
) -> None:
    """Write a session as KATO does, with a record as KATO's or with the value given."""
    if value is None:
        record = session_record("session-x", "alice", born=real_time(), ttl=600, metadata={})
        value = session_text(record)
    client.set(key or new_key(), value, ex=600)


def test_keys_of_other_types_are_no_sessions(stage: Stage) -> None:
    """Made before the start: they are told of, change no total, not even when they are deleted."""
    keys = {kind: new_key() for kind in FOREIGN}

    def make(client: Redis) -> None:
        write_session(client)
        for kind, key in keys.items():
            FOREIGN[kind](client, key)

    scene = stage(make)
    scene.assert_skipped(key_type=len(FOREIGN))
    scene.assert_totals(active=1, created=0)
    write_session(scene.client)
    scene.client.delete(*keys.values())
    scene.tracked.reconciled()

    scene.assert_skipped()
    scene.assert_totals(active=2, created=1)


def test_keys_of_other_types_may_come_later(stage: Stage) -> None:
    """Made while we follow: found by event or by the next scan, and deleted without a trace."""
    scene = stage()
    keys = {kind: new_key() for kind in FOREIGN}
    for kind, key in keys.items():
        FOREIGN[kind](scene.client, key)
        write_session(scene.client)
    scene.tracked.reconciled()
    scene.assert_skipped(key_type=len(FOREIGN))
    scene.assert_totals(active=len(FOREIGN), created=len(FOREIGN))
    scene.client.delete(*keys.values())
    scene.tracked.reconciled()

    scene.assert_skipped()
    scene.assert_totals(active=len(FOREIGN), created=len(FOREIGN))


def test_names_that_kato_does_not_make_are_no_sessions(stage: Stage) -> None:
    """Malformed names are told of, other names are none of ours; no total changes."""

    def make(client: Redis) -> None:
        write_session(client)
        for name in (*MALFORMED[:4], *OTHERS[:2]):
            client.set(name, "{}")

    scene = stage(make)
    for name in (*MALFORMED[4:], *OTHERS[2:]):
        scene.client.set(name, "{}")
    scene.tracked.reconciled()
    scene.assert_skipped(key_name=len(MALFORMED))
    scene.client.delete(*MALFORMED, *OTHERS)
    scene.tracked.reconciled()

    scene.assert_skipped()
    scene.assert_totals(active=1, created=0)


def test_records_that_cannot_be_read_are_sessions_all_the_same(stage: Stage) -> None:
    """Each reason is told by itself; the totals count a session whatever it holds."""
    scene = stage()
    client = scene.client
    write_session(client)
    write_session(client, "x" * 5_000_000)
    write_session(client, "x" * (LARGEST_RECORD + 1))
    write_session(client, '{"node_id": "alice", ')
    write_session(client, b'{"node_id": "\xff\xfe"}')
    write_session(client, "[" * 100_000)
    write_session(client, "[]")
    write_session(client, "{}")
    write_session(client, '{"node_id": 1, "stm": {}, "last_accessed": "now"}')
    client.set(new_key(), session_text({"node_id": "bob", "stm": [], "last_accessed": 0}))
    scene.tracked.reconciled()

    scene.assert_skipped(too_large=2, json=4, fields=3, no_expiry=1)
    scene.assert_totals(active=10, created=10)
    collection = scene.values.collect(Deadline.after(5))
    [(_, read)] = [
        (sample.name, sample.value)
        for family in collection.families
        for sample in family.samples
        if sample.name == "kato_session_sample_size"
    ]
    assert 1 == read


def test_an_empty_record_is_a_session(stage: Stage) -> None:
    """A value of no bytes is broken JSON, and not nothing."""
    scene = stage()
    write_session(scene.client, "")
    scene.tracked.reconciled()

    scene.assert_totals(active=1, created=1)
    scene.assert_skipped(json=1)


def test_a_session_of_the_future_is_told(stage: Stage) -> None:
    """It is alive and counts, has no age, and no lifetime when it is deleted."""
    scene = stage()
    key = new_key(age=-86_400.0)
    write_session(scene.client, key=key)
    scene.tracked.reconciled()
    scene.assert_skipped(born_in_the_future=1)
    scene.assert_totals(active=1, created=1)
    scene.client.delete(key)
    scene.tracked.reconciled()

    scene.assert_skipped(born_in_the_future=1)
    scene.assert_totals(active=0, created=1, deleted=1)


def test_births_at_the_ends_of_time_are_survived(stage: Stage) -> None:
    """A birth in 1970 and one in 2286 are names that KATO could make."""
    scene = stage()
    for birth in ("0000000000000", "9999999999999"):
        key = f"kato:session:session-{uuid4().hex}-{birth}".encode()
        write_session(scene.client, key=key)
        scene.client.delete(key)

    scene.assert_totals(active=0, created=2, deleted=2)
    scene.assert_skipped(born_in_the_future=1)
