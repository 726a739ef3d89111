"""Containers to families: what is chosen, counted and bounded."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import structlog
from hypothesis import given, strategies
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest

from kato_exporter.collectors.collector import Collection, most_series
from kato_exporter.collectors.container_choice import ContainerChoice
from kato_exporter.collectors.container_events import ContainerEventFollower, FollowerState
from kato_exporter.collectors.container_ledger import ContainerLedger, Life, Tally
from kato_exporter.collectors.containers import ContainersCollector
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.docker.stats import (
    Container,
    ContainerEvent,
    ContainerStats,
    EventAction,
    NetworkCounters,
    container_event,
    container_stats,
)
from kato_exporter.stores.errors import StoreError
from support.container_samples import value_of
from support.exposition import Samples
from support.waiting import eventually

RECORDED = Path(__file__).parents[1] / "fixtures" / "docker"
ALL = ContainerChoice.parse("*")
SECOND = 1_000_000_000


def recorded(name: str) -> Any:
    """Read a recorded answer."""
    return json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))


def stats_of(name: str) -> ContainerStats:
    """Map a recorded answer of a container that runs."""
    stats = container_stats(recorded(name), host_memory=None)
    assert stats is not None
    return stats


def container(name: str, state: str = "running", **fields: Any) -> Container:
    """Make an entry of the list; its id is its name."""
    usual = Container(
        id=name, name=name, labels={}, state=state, health=None, created_at=1795388192.0
    )
    return replace(usual, **fields)


def event(action: EventAction, at: float = 0, name: str = "kato", **fields: Any) -> ContainerEvent:
    """Make an event of a container whose id is its name."""
    usual = ContainerEvent(at=int(at * SECOND), action=action, id=name, name=name, labels={})
    return replace(usual, **fields)


class Engine:
    """A list of containers and their statistics, as a store gives them."""

    def __init__(
        self,
        listed: Sequence[Container],
        stats: Mapping[str, ContainerStats | StoreError] | None = None,
    ) -> None:
        self.listed = listed
        self.answers = stats or {}

    def containers(self, deadline: Deadline) -> Sequence[Container]:
        """Give the list."""
        del deadline
        return self.listed

    def stats(
        self, ids: Sequence[str], deadline: Deadline
    ) -> Mapping[str, ContainerStats | StoreError]:
        """Give what was prepared of these."""
        del deadline
        return {identity: self.answers[identity] for identity in ids if identity in self.answers}


class Events:
    """A follower's state, as it was prepared."""

    def __init__(self, lives: Mapping[str, Life], tallies: Mapping[str, Tally] | None) -> None:
        self._state = FollowerState(connected=True, lives=lives, tallies=tallies)

    def state(self) -> FollowerState:
        """Give it."""
        return self._state


def collector(
    engine: Engine,
    choice: ContainerChoice = ALL,
    events: Events | None = None,
    expected: frozenset[str] = frozenset(),
    most: int = 50,
) -> ContainersCollector:
    """Make a collector of an engine."""
    return ContainersCollector(
        engine, events or Events({}, {}), choice, expected=expected, most_containers=most
    )


def exposition(collection: Collection) -> Samples:
    """Show a collection as a scrape does, and read it back."""

    class Shown:
        def collect(self) -> Iterator[Metric]:
            yield from collection.families

    registry = CollectorRegistry()
    registry.register(Shown())
    return Samples.of(generate_latest(registry).decode())


def collect(*listed: Container, **arguments: Any) -> Samples:
    """Collect once from a list without statistics."""
    return exposition(collector(Engine(listed), **arguments).collect(Deadline.after(1)))


def test_a_recorded_answer_becomes_raw_counters_and_gauges() -> None:
    """Values come in base units under the contract's names."""
    engine = Engine([container("kato")], {"kato": stats_of("cgroup2_stats_busy")})
    found = exposition(collector(engine).collect(Deadline.after(1)))
    assert 2.9 == value_of(found, "cpu_usage_seconds_total", name="kato")
    assert 2.89 == value_of(found, "cpu_user_seconds_total", name="kato")
    assert 0.01 == value_of(found, "cpu_kernel_seconds_total", name="kato")
    assert 4.44 == value_of(found, "cpu_throttled_seconds_total", name="kato")
    assert 21872640 == value_of(found, "memory_usage_bytes", name="kato")
    assert 901120 == value_of(found, "memory_working_set_bytes", name="kato")
    assert 67108864 == value_of(found, "memory_limit_bytes", name="kato")
    assert 1 == value_of(found, "pids", name="kato")
    network = {"name": "kato", "interface": "eth0"}
    assert 1112 == value_of(found, "network_receive_bytes_total", **network)
    assert 0 == value_of(found, "network_transmit_bytes_total", **network)
    block = {"name": "kato", "device": "ubd"}
    assert 20971520 == value_of(found, "block_write_bytes_total", **block)
    assert value_of(found, "block_writes_total", **block) is None
    assert 1795388192 == value_of(found, "creation_time_seconds", name="kato")


def test_what_podman_does_not_tell_makes_no_series() -> None:
    """There is no working set, no throttling and no block I/O of 0."""
    engine = Engine([container("kato")], {"kato": stats_of("podman_stats_busy")})
    found = exposition(collector(engine).collect(Deadline.after(1)))
    names = {name for name, _ in found.values}
    assert "kato_container_memory_usage_bytes" in names
    assert names.isdisjoint(
        {
            "kato_container_memory_working_set_bytes",
            "kato_container_cpu_throttled_seconds_total",
            "kato_container_block_read_bytes_total",
        }
    )


def test_state_and_health_are_one_series_for_each_value() -> None:
    """Exactly one is 1; without a health check there are none of health."""
    found = collect(container("a", "paused"), container("b", health="unhealthy"))
    states = found.under(("kato_container_state",))
    of_a = {
        dict(labels)["state"]: n for (_, labels), n in states.items() if ("name", "a") in labels
    }
    assert {state for state, value in of_a.items() if value} == {"paused"}
    assert len(of_a) == 7
    assert value_of(found, "health", name="b", health="unhealthy") == 1
    assert value_of(found, "health", name="b", health="healthy") == 0
    assert value_of(found, "health", name="a", health="healthy") is None


def test_an_expected_container_that_is_missing_is_shown_as_such() -> None:
    """A stopped one is present, one that does not exist is not."""
    found = collect(container("a", "exited"), expected=frozenset({"a", "b"}))
    assert found.by("name", "kato_container_present") == {"a": 1, "b": 0}


def test_a_plain_name_is_expected_once_it_was_seen() -> None:
    """What a KATO never had is no alarm; what it had and lost is. Patterns expect nothing."""
    engine = Engine([container("kato"), container("run-1")])
    ours = collector(engine, ContainerChoice.parse("kato,kato-redis,run-*"))
    ours.collect(Deadline.after(1))
    engine.listed = []
    found = exposition(ours.collect(Deadline.after(1)))
    assert found.by("name", "kato_container_present") == {"kato": 0}


def test_others_containers_are_left_alone() -> None:
    """Only chosen ones have series."""
    found = collect(
        container("kato"),
        container("web", labels={"com.docker.compose.project": "kato"}),
        container("mail"),
        choice=ContainerChoice.parse("kato,label=com.docker.compose.project=kato"),
    )
    assert found.by("name", "kato_container_present") == {"kato": 1, "web": 1}


def test_the_number_of_containers_is_bounded_and_stable() -> None:
    """Expected ones go first, then those kept before; the rest is counted as dropped."""
    engine = Engine([container("c"), container("d")])
    ours = collector(engine, most=3, expected=frozenset({"z"}))
    ours.collect(Deadline.after(1))
    engine.listed = [container(name) for name in ("a", "b", "c", "d", "z")]
    collection = ours.collect(Deadline.after(1))
    found = exposition(collection).by("name", "kato_container_present")
    assert found == {"c": 1, "d": 1, "z": 1}
    assert collection.dropped == 2 * 8


def test_one_container_without_an_answer_is_a_failure_of_its_own() -> None:
    """Its presence and state stay, and the others are whole."""
    engine = Engine(
        [container("a"), container("b")],
        {"a": StoreError("no statistics before the deadline"), "b": stats_of("podman_stats_idle")},
    )
    collection = collector(engine).collect(Deadline.after(1))
    found = exposition(collection)
    assert collection.failures == ["a: no statistics before the deadline"]
    assert found.by("name", "kato_container_memory_usage_bytes") == {"b": 675840}
    assert found.by("name", "kato_container_present") == {"a": 1, "b": 1}


def test_a_stopped_container_is_not_asked() -> None:
    """An engine would answer zeros for it."""
    engine = Engine([container("a", "exited")], {"a": stats_of("podman_stats_idle")})
    found = exposition(collector(engine).collect(Deadline.after(1)))
    assert found.by("name", "kato_container_memory_usage_bytes") == {}


def test_interfaces_beyond_the_limit_are_summed() -> None:
    """Seven have series of their own, the rest adds up; an interface called other is in it."""
    networks = {f"eth{n}": NetworkCounters(received=n, transmitted=None) for n in range(10)}
    networks["other"] = NetworkCounters(received=100, transmitted=1)
    stats = replace(stats_of("podman_stats_idle"), networks=networks)
    found = exposition(collector(Engine([container("a")], {"a": stats})).collect(Deadline.after(1)))
    name = "network_receive_bytes_total"
    assert value_of(found, name, name="a", interface="eth6") == 6
    assert value_of(found, name, name="a", interface="other") == 7 + 8 + 9 + 100
    assert len(found.under((f"kato_container_{name}",))) == 8
    assert found.under(("kato_container_network_transmit",)) == {}


def test_an_interface_called_other_is_not_lost() -> None:
    """It stands for the rest, and alone it is the whole rest."""
    networks = {"other": NetworkCounters(received=5, transmitted=6)}
    stats = replace(stats_of("podman_stats_idle"), networks=networks)
    found = exposition(collector(Engine([container("a")], {"a": stats})).collect(Deadline.after(1)))
    assert value_of(found, "network_receive_bytes_total", name="a", interface="other") == 5


HOSTILE = strategies.text(min_size=1, max_size=8)


@given(strategies.dictionaries(HOSTILE, HOSTILE, min_size=1, max_size=5))
def test_hostile_names_stay_inside_their_labels(names: dict[str, str]) -> None:
    """Quotes, line breaks and half characters: each name is one series, within the limits."""
    stats = stats_of("cgroup1_stats_busy")
    listed = [container(name) for name in names]
    answers = {
        name: replace(stats, networks={other: NetworkCounters(received=1, transmitted=1)})
        for name, other in names.items()
    }
    ours = collector(Engine(listed, answers))
    collection = ours.collect(Deadline.after(1))
    found = exposition(collection)
    assert len(found.under(("kato_container_present",))) == len(names)
    assert len(found.values) <= most_series(ours.families, ours.label_limits)


def test_counts_of_events_are_shown_from_zero() -> None:
    """A container that is listed has its zeros; one that is gone keeps its counts."""
    gone = Tally(restarts=2)
    gone.events["oom"] = 1
    found = collect(container("a"), events=Events({}, {"gone": gone}))
    assert found.by("name", "kato_container_restarts_total") == {"a": 0, "gone": 2}
    assert value_of(found, "events_total", name="gone", event="oom") == 1
    assert value_of(found, "events_total", name="a", event="die") == 0


def test_counts_are_absent_before_the_engine_was_reached() -> None:
    """Nothing was followed yet, so nothing is known, not even a 0."""
    found = collect(container("a"), events=Events({}, None))
    assert found.under(("kato_container_restarts_total", "kato_container_events_total")) == {}


def test_start_and_oom_belong_to_the_container_of_that_id() -> None:
    """A new container of the same name has not inherited them."""
    life = Life(started_at=1795388192.5, ended_by_oom=True)
    found = collect(
        container("a"), container("b", id="new"), events=Events({"a": life, "b": life}, {})
    )
    assert found.by("name", "kato_container_start_time_seconds") == {"a": 1795388192.5}
    assert found.by("name", "kato_container_oom_killed") == {"a": 1}


def booked(
    *events: ContainerEvent, most: int = 50, found: Sequence[Container] = ()
) -> ContainerLedger:
    """Enter events into a new ledger."""
    ledger = ContainerLedger(ALL.matches, most_names=most)
    ledger.found(found)
    for each in events:
        ledger.book(each)
    return ledger


def test_a_restart_is_a_start_after_an_end() -> None:
    """The first start of a container is none, and a command to restart counts once."""
    ledger = booked(
        event("create", 1),
        event("start", 2),
        event("die", 3),
        event("start", 4),
        event("die", 5),
        event("start", 6),
        event("restart", 6.5),
    )
    tally = ledger.tallies()["kato"]
    assert tally.restarts == 2
    assert tally.events == {"oom": 0, "die": 2, "health_status": 0, "restart": 1}
    assert ledger.lives()["kato"] == Life(started_at=6, ended_by_oom=False)


def test_a_container_that_ran_before_us_has_restarts_too() -> None:
    """Its first start that we see is not its first."""
    ledger = booked(event("start", 2), found=[container("kato", "exited")])
    assert ledger.tallies()["kato"].restarts == 1
    assert booked(event("start"), found=[container("kato", "created")]).tallies()["kato"] == Tally(
        restarts=0
    )


def test_an_event_that_comes_twice_counts_once() -> None:
    """After a lost connection the engine sends the last ones again."""
    ledger = booked(event("oom", 1), event("die", 1), event("oom", 1), event("die", 1))
    assert ledger.tallies()["kato"].events["die"] == 1
    assert ledger.tallies()["kato"].events["oom"] == 1


def test_what_was_before_us_tells_of_lives_only() -> None:
    """Past events set the start time, and count nothing."""
    ledger = booked()
    for each in (event("start", 1), event("die", 2), event("start", 3)):
        ledger.book(each, count=False)
    assert ledger.tallies() == {}
    assert ledger.lives()["kato"].started_at == 3


@pytest.mark.parametrize("order", [("oom", "die"), ("die", "oom")])
def test_an_end_by_oom_is_known_in_either_order(order: tuple[EventAction, EventAction]) -> None:
    """Cgroup v1 tells of the kill before the end, v2 behind it; a start does not wipe it out."""
    first, second = order
    ledger = booked(event("start", 1), event(first, 2), event(second, 2.1), event("start", 3))
    assert ledger.lives()["kato"].ended_by_oom is True
    ledger.book(event("die", 4))
    assert ledger.lives()["kato"].ended_by_oom is False


def test_what_was_never_seen_of_a_life_is_unknown() -> None:
    """A health event says nothing of the start or of an end."""
    ledger = booked(event("health_status", 1))
    assert ledger.lives()["kato"] == Life(started_at=None, ended_by_oom=None)


def test_a_destroyed_containers_life_is_forgotten_and_its_counts_stay() -> None:
    """That it was killed must not be lost with it."""
    ledger = booked(event("start", 1), event("oom", 2), event("die", 3), event("destroy", 4))
    assert ledger.lives() == {}
    assert ledger.tallies()["kato"].events["oom"] == 1


def test_names_beyond_the_limit_are_forgotten_oldest_first() -> None:
    """Neither lives nor counts grow without end."""
    ledger = booked(*(event("start", n, f"run-{n}") for n in range(100)), most=3)
    assert list(ledger.tallies()) == ["run-97", "run-98", "run-99"]
    assert len(ledger.lives()) == 3


@pytest.mark.parametrize(
    ("name", "restarts", "counted"),
    [
        ("cgroup1_events", 2, {"oom": 3, "die": 3, "health_status": 0, "restart": 0}),
        ("cgroup2_events", 2, {"oom": 2, "die": 3, "health_status": 0, "restart": 0}),
        ("podman_events", 2, {"oom": 0, "die": 3, "health_status": 0, "restart": 2}),
    ],
)
def test_recorded_events_of_a_container_that_fails_thrice(
    name: str, restarts: int, counted: dict[str, int]
) -> None:
    """Each engine's own way to tell of three ends and two restarts by policy."""
    events = [container_event(each) for each in recorded(name)]
    ledger = booked(*(each for each in events if each is not None))
    tally = ledger.tallies()["oom"]
    assert tally.restarts == restarts
    assert dict(tally.events) == counted


class Feed:
    """Events that were prepared; then quiet, an end, or waiting until somebody closes it."""

    def __init__(self, events: Sequence[ContainerEvent], then: str) -> None:
        self._events = events
        self._then = then
        self._closed = threading.Event()
        self.was_quiet = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave nothing."""

    def __iter__(self) -> Iterator[ContainerEvent]:
        yield from self._events
        self.was_quiet = self._then == "quiet"
        if self._then == "wait":
            self._closed.wait(10)

    def close(self) -> None:
        """Wake up who waits."""
        self._closed.set()


class Source:
    """An engine whose feeds were prepared; remembers from when on it was asked."""

    def __init__(self, past: Sequence[ContainerEvent], *feeds: Feed) -> None:
        self._past = past
        self._feeds = iter(feeds)
        self.asked: list[int] = []

    def clock(self) -> float:
        """Give a time of its own."""
        return 100.5

    def containers(self, deadline: Deadline) -> Sequence[Container]:
        """List one that has run."""
        del deadline
        return [container("kato")]

    def events(self, *, since: int, until: int | None = None) -> Feed:
        """Give the past, or the next feed."""
        if until is not None:
            return Feed(self._past, "end")
        self.asked.append(since)
        return next(self._feeds, Feed([], "wait"))


@pytest.fixture
def followed(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[Source], ContainerEventFollower]]:
    """Give a function that follows a source, without long pauses."""
    monkeypatch.setattr("kato_exporter.collectors.container_events.reconnect_pause", lambda _: 0.01)
    running = []

    def follow(source: Source) -> ContainerEventFollower:
        ledger = ContainerLedger(ALL.matches, most_names=10)
        running.append(ContainerEventFollower(source, ledger))
        running[-1].start()
        return running[-1]

    yield follow
    for each in running:
        each.stop()


def restarts(follower: ContainerEventFollower) -> int:
    """Read what was counted under `kato`."""
    return (follower.state().tallies or {}).get("kato", Tally()).restarts


def test_a_follower_that_is_hurried_does_not_wait_out_its_pause(
    followed: Callable[[Source], ContainerEventFollower], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It follows again at once, and pauses again after the next failure."""
    monkeypatch.setattr("kato_exporter.collectors.container_events.reconnect_pause", lambda _: 60)
    source = Source([], Feed([], "end"), Feed([], "end"))
    follower = followed(source)
    for feeds in (1, 2):
        eventually(lambda: len(source.asked) == feeds, within=5, what="the feed is open")  # noqa: B023 - it ends before the loop goes on
        eventually(lambda: not follower.state().connected, within=5, what="the feed has ended")
        follower.hurry()
    eventually(lambda: follower.state().connected, within=5, what="events are followed")


@pytest.mark.parametrize("then", ["quiet", "end"])
def test_after_a_gap_nothing_is_lost_and_nothing_counts_twice(
    followed: Callable[[Source], ContainerEventFollower], then: str
) -> None:
    """The new feed begins a second before the last event, and repeats that one."""
    source = Source(
        [event("start", 50)],
        Feed([event("die", 110.5), event("start", 111.5)], then),
        Feed([event("start", 111.5), event("die", 112), event("start", 113)], "wait"),
    )
    with structlog.testing.capture_logs() as log:
        follower = followed(source)
        eventually(lambda: restarts(follower) == 2, within=5, what="both restarts")
    assert source.asked == [100, 110]
    warnings = [line["event"] for line in log if line["log_level"] == "warning"]
    assert warnings == (["lost sight of container events"] if then == "end" else [])
    assert follower.state().lives["kato"].started_at == 113
    assert follower.state().connected


def test_the_past_counts_nothing_and_tells_the_start(
    followed: Callable[[Source], ContainerEventFollower],
) -> None:
    """What the engine remembers from before belongs to nobody's rate."""
    past = [event("start", 50), event("die", 60), event("start", 61)]
    same_second = [event("die", 100.2), event("start", 100.4)]
    follower = followed(Source(past, Feed(same_second, "wait")))
    eventually(
        lambda: "kato" in (lives := follower.state().lives) and lives["kato"].started_at == 100.4,
        within=5,
        what="it has followed",
    )
    assert follower.state().tallies == {}


@pytest.mark.parametrize("text", ["", "a,,b", "a b", "label=", "label==x", "a/b", ","])
def test_a_choice_that_means_nothing_is_refused(text: str) -> None:
    """An empty entry, a space, a label without a key: none can be meant."""
    with pytest.raises(ValueError, match=r".*"):
        ContainerChoice.parse(text)


def test_a_choice_is_by_pattern_or_label() -> None:
    """One of them is enough; a label without a value takes any."""
    choice = ContainerChoice.parse("kato-*, label=tier ,label=project=kato")
    assert choice.matches("kato-redis", {})
    assert choice.matches("x", {"tier": "any"})
    assert choice.matches("x", {"project": "kato"})
    assert not choice.matches("x", {"project": "other"})
    assert not choice.matches("kato", {})
    assert str(choice) == "kato-*,label=tier,label=project=kato"
    assert ContainerChoice.parse(str(choice)) == choice
    assert choice.including(["x"]).plain_names == {"x"}
