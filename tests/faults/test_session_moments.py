"""Sessions at moments that a load meets by chance only, each made to happen on a real server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from kato_exporter.collectors.session_ledger import Change
from kato_exporter.collectors.session_tracker import SessionTracker
from kato_exporter.demo.servers import LOOPBACK, Server
from kato_exporter.stores.redis.store import Keyevent, RedisStore, SessionEventFeed
from support.fault_proxy import FaultProxy
from support.redis_servers import redis_server
from support.session_truth import (
    PATIENCE,
    KatoLoad,
    Totals,
    Tracked,
    new_key,
    tracking,
)
from support.waiting import eventually

NOTHING_MISSED: dict[Change, int] = {"created": 0, "ended": 0}

WRONG_ANSWERS = {
    "OK": b"+OK\r\n",
    "an error": b"-ERR no\r\n",
    "no rights": b"-NOAUTH Authentication required.\r\n",
    "no permission": b"-NOPERM this user has no permissions\r\n",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "moved": b"-MOVED 1 127.0.0.1:1\r\n",
    "a number": b":1\r\n",
    "null": b"_\r\n",
    "no string": b"$-1\r\n",
    "an empty list": b"*0\r\n",
    "an empty map": b"%0\r\n",
    "a pushed pong": b"*2\r\n$4\r\npong\r\n$0\r\n\r\n",
    "a nested list": b"*1\r\n" * 2_000 + b":1\r\n",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
}

pytestmark = pytest.mark.usefixtures("quick_reconnects")


@dataclass(frozen=True, slots=True)
class Scene:
    """A server, its client and books, and a tracker that sees it through a proxy."""

    server: Server
    client: Redis
    proxy: FaultProxy
    load: KatoLoad
    tracked: Tracked

    def assert_totals(self, expected: Totals) -> None:
        """Wait until the totals are these, and compare."""
        _, actual = self.tracked.settled(lambda: expected)
        assert expected == actual


@contextmanager
def scene(name: str, directory: Path, *, interval: float = 60.0) -> Iterator[Scene]:
    """Set the scene; without a fault the tracker scans once in `interval` seconds."""
    with (
        redis_server(name, directory) as server,
        Redis(port=server.port) as client,
        FaultProxy(server.port) as proxy,
        tracking(f"redis://{LOOPBACK}:{proxy.port}/0", interval=interval) as tracked,
    ):
        yield Scene(server, client, proxy, KatoLoad(server.port), tracked)


@pytest.fixture
def valkey_scene(tmp_path: Path) -> Iterator[Scene]:
    """Set the scene on Valkey."""
    with scene("valkey9", tmp_path) as found:
        yield found


def totals(*, active: int, created: int, deleted: int = 0, unknown: int = 0) -> Totals:
    """Make totals of which nothing was missed."""
    return Totals(
        active=active,
        created=created,
        ended={"deleted": deleted, "expired": 0, "evicted": 0, "unknown": unknown},
        missed=NOTHING_MISSED,
    )


def test_events_that_came_before_the_end_of_the_feed_are_booked(valkey_scene: Scene) -> None:
    """Redis tells of a session, closes the connection, and the tracker reads both in one go."""
    here = valkey_scene

    def come_and_go() -> None:
        keys = here.load.create(here.client, 3)
        here.load.delete(here.client, keys[:2])
        here.client.ping()  # answered after the events have been written to their subscriber
        here.client.client_kill_filter(_type="pubsub")

    here.tracked.witness.once_before("next", come_and_go)

    here.assert_totals(totals(active=1, created=3, deleted=2))


def test_events_are_booked_though_no_type_can_be_asked(valkey_scene: Scene) -> None:
    """An event has come, and the connection fails on which its key's type is asked."""
    here = valkey_scene
    here.tracked.witness.once_before("foreign_keys", here.proxy.refuse)
    here.load.create(here.client, 3)
    here.tracked.until(lambda state: state.accounts.active is None, what="the way is lost")
    here.proxy.heal()

    here.assert_totals(totals(active=3, created=3))


class _HaltedFeed:
    """A feed whose server halts right before it is asked for a sign of life."""

    def __init__(self, feed: SessionEventFeed, halt: Callable[[], None]) -> None:
        self.next = feed.next
        self.close = feed.close
        self._feed = feed
        self._halt = halt

    def __getattr__(self, name: str) -> object:
        if name == "catch_up":
            self._halt()
        return getattr(self._feed, name)


class _HaltedStore(RedisStore):
    """A store with feeds of that kind."""

    halt: Callable[[], None]

    def session_events(self, events: tuple[Keyevent, ...]) -> SessionEventFeed:
        """Subscribe."""
        feed: object = _HaltedFeed(super().session_events(events), self.halt)
        return feed  # type: ignore[return-value]


def test_events_that_came_before_a_missing_sign_of_life_are_booked(tmp_path: Path) -> None:
    """Redis tells of sessions and then hangs, while the tracker waits for a scan's last events."""
    halts: list[Callable[[], None]] = []

    def halt() -> None:
        if halts:
            halts.pop()()

    with ExitStack() as stack:
        server = stack.enter_context(redis_server("valkey9", tmp_path))
        client = stack.enter_context(Redis(port=server.port))
        load = KatoLoad(server.port)
        store = stack.enter_context(closing(_HaltedStore(server.url, timeout=0.3)))
        store.halt = halt
        tracker = SessionTracker(
            store, interval=0.3, load_share=0.5, manage_notifications=True, sample_size=10
        )
        tracker.start()
        stack.callback(tracker.stop)
        eventually(
            lambda: tracker.state().accounts.active is not None,
            within=PATIENCE,
            what="the book is open",
        )

        def come_and_hang() -> None:
            keys = load.create(client, 3)
            load.delete(client, keys[:2])
            client.client_pause(800)

        halts.append(come_and_hang)
        eventually(
            lambda: len(load.created) == 3 and tracker.state().accounts.active == 1,
            within=PATIENCE,
            what="the tracker is back",
        )

        assert totals(active=1, created=3, deleted=2) == Totals.of(tracker.state())


def test_a_key_of_another_type_made_during_a_scan_is_remembered(valkey_scene: Scene) -> None:
    """What an event has shown to be no session is none when it is deleted, scan or no scan."""
    here = valkey_scene
    foreign = new_key()

    def make_hash() -> None:
        here.client.hset(foreign.decode(), "a", "1")

    here.tracked.witness.once_before("catch_up", make_hash)
    here.proxy.cut()
    eventually(lambda: here.client.exists(foreign), within=PATIENCE, what="a scan has ended")
    here.tracked.until(lambda state: state.accounts.active == 0, what="it is reconciled")
    here.client.delete(foreign)
    here.load.create(here.client, 1)

    here.assert_totals(totals(active=1, created=1))


def test_a_key_of_another_type_counts_nothing_on_redis6(tmp_path: Path) -> None:
    """Redis 6.2 tells nothing of a hash that is made, and of its deletion as of a session's."""
    with scene("redis6", tmp_path) as here:
        foreign = new_key()
        here.client.hset(foreign.decode(), "a", "1")
        here.client.delete(foreign)
        here.load.create(here.client, 1)

        here.assert_totals(totals(active=1, created=1))


def test_a_session_born_at_the_begin_of_a_scan_is_not_missed_on_redis6(tmp_path: Path) -> None:
    """KATO names a session, a periodic scan begins, KATO writes it: an event tells, none missed."""
    with scene("redis6", tmp_path, interval=0.5) as here:
        named = new_key()

        def write() -> None:
            here.client.execute_command("SETEX", named, 600, "{}")  # type: ignore[no-untyped-call]

        here.tracked.witness.once_before("catch_up", write)

        here.assert_totals(totals(active=1, created=1))


def test_a_session_written_again_after_flushdb_is_another_one(valkey_scene: Scene) -> None:
    """KATO's next update brings back what FLUSHDB has taken: one end unseen, one begin told."""
    here = valkey_scene
    [key] = here.load.create(here.client, 1)
    here.assert_totals(totals(active=1, created=1))
    here.client.flushdb()
    here.load.update(here.client, [key])

    here.assert_totals(
        Totals(
            active=1,
            created=2,
            ended={"deleted": 0, "expired": 0, "evicted": 0, "unknown": 1},
            missed={"created": 0, "ended": 1},
        )
    )


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start one Valkey for all wrong answers."""
    with redis_server("valkey9", tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.mark.parametrize("answer", WRONG_ANSWERS)
def test_a_server_that_says_something_else_is_survived(valkey: Server, answer: str) -> None:
    """Whatever answers in the place of Redis, the tracker goes on once Redis is there again."""
    with (
        Redis(port=valkey.port) as client,
        FaultProxy(valkey.port) as proxy,
        tracking(f"redis://{LOOPBACK}:{proxy.port}/0", interval=0.2, timeout=0.3) as tracked,
    ):
        client.flushall()
        tracked.until(lambda state: state.accounts.active == 0, what="it is empty")
        load = KatoLoad(valkey.port)
        proxy.garbage(WRONG_ANSWERS[answer])
        tracked.until(
            lambda state: state.accounts.active is None or state.mode == "scan",
            what="it has noticed",
        )
        proxy.cut()
        before = proxy.accepted
        eventually(lambda: proxy.accepted > before, within=PATIENCE, what="it tries again")
        proxy.heal()
        proxy.cut()
        load.create(client, 3)

        tracked.until(
            lambda state: state.accounts.active == 3 and state.mode == "events",
            what="it has recovered",
        )
