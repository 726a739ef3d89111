"""Session accounting is exact, whatever happens to Redis: a load as KATO's, against the truth.

Sizes fit two cores; KATO_TEST_FULL=1 makes each server take the largest load and every fault.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from kato_exporter.demo.servers import LOOPBACK, Server
from support.exporting import RunningExporter
from support.exposition import Samples
from support.fault_proxy import FaultProxy
from support.redis_servers import REDIS_SERVERS, redis_server
from support.session_truth import (
    PATIENCE,
    KatoLoad,
    Totals,
    Tracked,
    Watch,
    due_totals,
    new_key,
    perhaps_missed,
    session_keys,
    tracking,
)
from support.waiting import eventually

FULL = bool(os.environ.get("KATO_TEST_FULL"))
MIXED = dict.fromkeys(REDIS_SERVERS, 20000 if FULL else 2000) | {"valkey9": 20_000}
BURST = 5_000
AGE = 100.0
"""Each session of the mixed load is born so many seconds before its creation."""

FAULTY_SERVERS = REDIS_SERVERS if FULL else ("valkey9", "redis6")

pytestmark = pytest.mark.usefixtures("quick_reconnects")


# The mixed load: every counter, on every server.


@pytest.mark.alone
@pytest.mark.parametrize("name", REDIS_SERVERS)
@pytest.mark.timeout(300)
def test_every_counter_is_exact_under_a_mixed_load(name: str, tmp_path: Path) -> None:
    """Sessions that begin, are updated, deleted, expire, are evicted or stay, and a burst.

    A tracker beside us and an exporter of its own process must both tell the truth.
    """
    with ExitStack() as stack:
        server = stack.enter_context(redis_server(name, tmp_path / name))
        client = stack.enter_context(Redis(port=server.port))
        load = KatoLoad(server.port, age=_age_on(name), value="x" * 300)
        start = [new_key(AGE) for _ in range(50)]
        for key in start:
            client.execute_command("SETEX", key, 600, "{}")
        exporter = RunningExporter(
            tmp_path / "log",
            KATO_REDIS_URL=server.url,
            KATO_REDIS_MANAGE_NOTIFICATIONS="true",
            KATO_SESSIONS_INTERVAL="1s",
        )
        stack.callback(exporter.kill)
        tracked = stack.enter_context(tracking(server.url))
        stack.enter_context(Watch(tracked.tracker, start=len(start)))
        eventually(
            lambda: 50 == exporter.scrape().value("kato_sessions_active"),
            within=PATIENCE,
            what="the exporter has found those that were there",
        )
        began = time.monotonic()

        load.mixed(MIXED[name], workers=2)
        assert load.burst(BURST) < 1, "no burst: the creations took longer than a second"
        _wait_until_expired(client, len(load.brief))
        evicted = _evict_some(load, client)

        alive = len(start) + len(load.created) - len(load.deleted) - len(load.brief) - evicted
        due = Totals(
            active=alive,
            created=len(load.created),
            ended={
                "deleted": len(load.deleted),
                "expired": len(load.brief),
                "evicted": evicted,
                "unknown": 0,
            },
            missed={"created": 0, "ended": 0},
        )
        assert alive == client.dbsize()
        expected, actual = tracked.settled(lambda: due)
        assert expected == actual
        durations = tracked.tracker.state().accounts.durations
        ended = sum(due.ended.values())
        assert ended == durations.count
        oldest = AGE + time.monotonic() - began + 1
        assert ended * _age_on(name) <= durations.total <= ended * oldest
        _assert_exporter_tells(exporter, due)
        assert 0 == exporter.end(), exporter.log


def _age_on(name: str) -> float:
    """Give the age at creation; on Redis 6.2 the birth must be true to tell old from new."""
    return 0.0 if name == "redis6" else AGE


def _wait_until_expired(client: Redis, number: int) -> None:
    eventually(
        lambda: number == client.info("stats")["expired_keys"],
        within=PATIENCE,
        what=f"{number} sessions have expired",
    )


def _evict_some(load: KatoLoad, client: Redis) -> int:
    """Create large sessions for which others have to go; give how many went.

    None is written twice: one that had to go in between would be another session.
    """
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 500_000)
    for _ in range(100):
        load.create(client, 1, value="x" * 10_000)
    client.config_set("maxmemory", 0)
    evicted = int(client.info("stats")["evicted_keys"])
    assert evicted > 0
    return evicted


def _assert_exporter_tells(exporter: RunningExporter, due: Totals) -> None:
    eventually(
        lambda: due.active == exporter.scrape().value("kato_sessions_active"),
        within=PATIENCE,
        what="the exporter has caught up",
    )
    samples = exporter.scrape()
    ended = sum(due.ended.values())
    assert due == Totals(
        active=_whole(samples, "kato_sessions_active"),
        created=_whole(samples, "kato_sessions_created_total"),
        ended={
            reason: _whole(samples, "kato_sessions_ended_total", reason=reason)
            for reason in due.ended
        },
        missed={
            change: _whole(samples, "kato_session_events_missed_total", change=change)
            for change in due.missed
        },
    )
    assert ended == samples.value("kato_session_duration_seconds_count")
    eventually(
        lambda: due.active == exporter.scrape().value("kato_session_age_seconds_gcount"),
        within=PATIENCE,
        what="the ages are those of the sessions alive",
    )


def _whole(samples: Samples, name: str, **labels: str) -> int:
    value = samples.value(name, **labels)
    assert value is not None, f"{name}{labels} is missing"
    return int(value)


# Faults in the middle of a load.


@dataclass(frozen=True, slots=True)
class Scene:
    """A server under load, and a tracker that sees it through a proxy only."""

    server: Server
    client: Redis
    proxy: FaultProxy
    load: KatoLoad
    start: set[bytes]
    tracked: Tracked
    watch: Watch

    def wait_for_sight_of(self, number: int) -> None:
        """Wait until so many sessions more have been created, and the tracker knows."""
        wanted = len(self.load.created) + number
        eventually(
            lambda: len(self.load.created) >= wanted,
            within=PATIENCE,
            what=f"{number} sessions more",
        )
        booked = self.tracked.tracker.state().accounts.created
        self.tracked.until(
            lambda state: state.accounts.active is not None and state.accounts.created > booked,
            what="the tracker follows",
        )

    def assert_accounts_hold(self, *, after_scan: bool = True) -> None:
        """Compare the tracker's totals with the truth, once all that is brief has expired.

        `after_scan`: and once a scan has begun and ended from now on.
        """
        expected_alive = self.load.alive | (self.start - self.load.wiped)
        eventually(
            lambda: expected_alive == session_keys(self.client),
            within=PATIENCE,
            what="those that are brief have expired",
        )
        if after_scan:
            self.tracked.reconciled()
        view = _without_missed if self.has_no_new_event else _as_it_is
        expected, actual = self.tracked.settled(
            lambda: due_totals(self.load, self.tracked.witness, self.start, expected_alive),
            view=view,
        )
        assert expected == actual
        if self.has_no_new_event:
            self._assert_missed_is_plausible(expected_alive)
        unseen = len(self.load.created) - actual.created
        gone = self.load.deleted | self.load.brief | self.load.wiped
        assert 0 <= unseen <= len(gone)
        assert actual.ended["deleted"] <= len(self.load.deleted)
        assert actual.ended["expired"] <= len(self.load.brief)
        assert 0 == actual.ended["evicted"]
        assert len(self.start) + actual.created - sum(actual.ended.values()) == actual.active

    @property
    def has_no_new_event(self) -> bool:
        """Whether this is Redis 6.2."""
        return bool(self.client.info("server")["redis_version"] < "7")

    def _assert_missed_is_plausible(self, alive: set[bytes]) -> None:
        due = due_totals(self.load, self.tracked.witness, self.start, alive).missed
        missed = self.tracked.tracker.state().accounts.missed
        assert due["ended"] == missed["ended"]
        assert due["created"] <= missed["created"]
        assert missed["created"] <= perhaps_missed(self.load, self.tracked.witness)


Stage = Callable[..., Scene]


def turn_notifications_on(client: Redis) -> None:
    """Do as an operator who does not leave it to the exporter; Redis 6.2 has no class `n`."""
    has_new = client.info("server")["redis_version"] >= "7"
    client.config_set("notify-keyspace-events", "Egxe" + ("n" if has_new else "$"))


@pytest.fixture(params=FAULTY_SERVERS)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """Give a function that starts a server and a tracker; its arguments are those of `tracking`."""
    with ExitStack() as stack:

        def start(*, manage: bool = True, interval: float = 0.5, timeout: float = 0.5) -> Scene:
            server = stack.enter_context(redis_server(request.param, tmp_path))
            client = stack.enter_context(Redis(port=server.port))
            if not manage:
                turn_notifications_on(client)
            load = KatoLoad(server.port)
            there = {new_key() for _ in range(20)}
            for key in there:
                client.execute_command("SETEX", key, 600, "{}")
            proxy = stack.enter_context(FaultProxy(server.port))
            tracked = stack.enter_context(
                tracking(
                    f"redis://{LOOPBACK}:{proxy.port}/0",
                    manage=manage,
                    interval=interval,
                    timeout=timeout,
                )
            )
            watch = stack.enter_context(Watch(tracked.tracker, start=len(there)))
            return Scene(server, client, proxy, load, there, tracked, watch)

        yield start


def test_a_load_without_faults_misses_nothing(stage: Stage) -> None:
    """The harness itself: what nothing disturbs is told whole, and no totals are unknown."""
    scene = stage()
    with scene.load.running():
        scene.wait_for_sight_of(1_000)

    scene.assert_accounts_hold()
    actual = Totals.of(scene.tracked.tracker.state())
    assert len(scene.load.created) == actual.created
    assert len(scene.load.deleted) == actual.ended["deleted"]
    assert len(scene.load.brief) == actual.ended["expired"]
    assert {"created": 0, "ended": 0} == actual.missed
    assert [] == scene.watch.blind
    assert scene.watch.looks > 100


@pytest.mark.parametrize(
    ("stage", "fault"),
    [
        *(
            (name, fault)
            for name in (REDIS_SERVERS if FULL else ("valkey9",))
            for fault in ("refuse", "black_hole", "garbage", "delay", "truncate")
        ),
        *(() if FULL else [("redis6", "refuse")]),
    ],
    indirect=["stage"],
)
def test_accounts_hold_through_a_fault_of_the_network(stage: Stage, fault: str) -> None:
    """Whatever befalls the way to Redis for two seconds is declared, and nothing else is lost."""
    scene = stage()
    amounts: dict[str, list[float]] = {"delay": [60.0], "truncate": [200]}
    with scene.load.running():
        scene.wait_for_sight_of(200)
        getattr(scene.proxy, fault)(*amounts.get(fault, []))
        scene.tracked.until(
            lambda state: state.accounts.active is None, what="the loss of sight is admitted"
        )
        blind_since = len(scene.load.created)
        eventually(
            lambda: len(scene.load.created) > blind_since + 400,
            within=PATIENCE,
            what="400 sessions begin unseen",
        )
        scene.proxy.heal()
        scene.wait_for_sight_of(200)

    scene.assert_accounts_hold()
    accounts = scene.tracked.tracker.state().accounts
    assert accounts.missed["created"] > 0
    assert accounts.missed["ended"] > 0
    assert accounts.created < len(scene.load.created), "sessions came and went unseen"


def test_accounts_hold_through_cuts_at_any_moment(stage: Stage) -> None:
    """Connections that are cut again and again, and come back at once, lose what they lose."""
    scene = stage()
    with scene.load.running():
        for _ in range(6):
            scene.wait_for_sight_of(50)
            scene.proxy.cut()
        scene.wait_for_sight_of(50)

    scene.assert_accounts_hold()


def test_accounts_hold_through_client_kill(stage: Stage) -> None:
    """Redis throws all subscribers out, again and again."""
    scene = stage()
    with scene.load.running():
        for _ in range(4):
            scene.wait_for_sight_of(50)
            scene.client.client_kill_filter(_type="pubsub")
        scene.wait_for_sight_of(50)

    scene.assert_accounts_hold()


def test_accounts_hold_when_redis_comes_back_empty(stage: Stage) -> None:
    """A crash without persistence ends each session for an unknown reason; counters go on."""
    scene = stage()
    with scene.load.running():
        scene.wait_for_sight_of(300)
        with scene.load.wiping():
            scene.server.kill()
            scene.load.wiped |= scene.start
            scene.tracked.until(
                lambda state: state.accounts.active is None, what="the loss of sight is admitted"
            )
            scene.server.restart()
        scene.wait_for_sight_of(300)

    scene.assert_accounts_hold()
    assert scene.tracked.tracker.state().accounts.ended["unknown"] >= len(scene.start)


def test_accounts_hold_through_flushdb(stage: Stage) -> None:
    """FLUSHDB tells nobody; the next scan finds it, and what was alive has ended unseen."""
    scene = stage()
    with scene.load.running():
        scene.wait_for_sight_of(300)
        with scene.load.wiping():
            scene.client.flushdb()
            scene.load.wiped |= scene.start
        scene.tracked.reconciled()
        scene.wait_for_sight_of(300)

    scene.assert_accounts_hold()
    assert scene.tracked.tracker.state().accounts.ended["unknown"] >= len(scene.start)


def test_accounts_hold_for_a_subscriber_that_is_too_slow(stage: Stage) -> None:
    """Redis cuts off a subscriber whose buffer runs over; what it was not told is found."""
    scene = stage(interval=60.0, timeout=10.0)
    scene.client.config_set("client-output-buffer-limit", "pubsub 262144 65536 1")
    scene.proxy.delay(60)
    for _ in range(20):
        keys = scene.load.create(scene.client, 2_000)
        scene.load.delete(scene.client, keys[::2])
    eventually(
        lambda: "output buffer limits" in scene.server.log_tail(100),
        within=PATIENCE,
        what="Redis throws the slow subscriber out",
    )
    scene.proxy.heal()

    scene.assert_accounts_hold(after_scan=False)
    assert scene.tracked.tracker.state().accounts.missed["created"] > 0


def test_accounts_hold_when_notifications_go_off_and_are_managed(stage: Stage) -> None:
    """They are on again by the next scan, and what went untold until then is declared."""
    scene = stage()
    with scene.load.running():
        scene.wait_for_sight_of(200)
        scene.client.config_set("notify-keyspace-events", "")
        eventually(
            lambda: scene.client.config_get("notify-keyspace-events")["notify-keyspace-events"],
            within=PATIENCE,
            what="the notifications are on again",
        )
        scene.wait_for_sight_of(200)

    scene.assert_accounts_hold()
    assert scene.tracked.tracker.state().accounts.missed["created"] > 0


def test_accounts_hold_when_notifications_go_off_and_on_unmanaged(stage: Stage) -> None:
    """The tracker falls back to scans, and returns to events once somebody turns them on."""
    scene = stage(manage=False)
    with scene.load.running():
        scene.wait_for_sight_of(200)
        scene.client.config_set("notify-keyspace-events", "")
        scene.tracked.until(lambda state: state.mode == "scan", what="it counts by scan")
        turn_notifications_on(scene.client)
        scene.tracked.until(lambda state: state.mode == "events", what="it counts by events again")
        scene.wait_for_sight_of(200)

    expected_alive = scene.load.alive | scene.start
    eventually(
        lambda: expected_alive == session_keys(scene.client),
        within=PATIENCE,
        what="those that are brief have expired",
    )
    scene.tracked.reconciled()
    expected, actual = scene.tracked.settled(
        lambda: due_totals(scene.load, scene.tracked.witness, scene.start, expected_alive),
        view=_without_missed,
    )
    assert expected == actual


def test_what_went_untold_before_the_fall_back_to_scans_is_missed(stage: Stage) -> None:
    """Events were due until the tracker knew better: what they did not tell is declared."""
    scene = stage(manage=False, interval=1.0)
    scene.client.config_set("notify-keyspace-events", "")
    scene.load.create(scene.client, 3)
    scene.client.delete(*list(scene.start)[:2])
    scene.load.wiped |= set(list(scene.start)[:2])
    state = scene.tracked.until(
        lambda state: state.mode == "scan" and state.accounts.created == 3,
        what="it counts by scan",
    )

    assert {"created": 3, "ended": 2} == state.accounts.missed


def _as_it_is(totals: Totals) -> Totals:
    return totals


def _without_missed(totals: Totals) -> Totals:
    """Leave out what is declared as missed, where it cannot be known exactly."""
    return Totals(totals.active, totals.created, totals.ended, {})
