"""The exporter's own ends and begins, and clocks that are wrong."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from kato_exporter.demo.servers import Server
from support.exporting import RunningExporter
from support.redis_servers import redis_server
from support.session_truth import PATIENCE, KatoLoad, new_key, real_time, session_keys, tracking
from support.waiting import eventually

WRONG_BY = 600.0

Start = Callable[..., RunningExporter]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Start a Valkey."""
    with redis_server("valkey9", tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Redis]:
    """Give a client of it."""
    with Redis(port=server.port) as client:
        yield client


@pytest.fixture
def start(server: Server, tmp_path: Path) -> Iterator[Start]:
    """Give a function that starts an exporter and waits until it has counted so many sessions."""
    with ExitStack() as stack:
        logs = (tmp_path / f"log-{number}" for number in range(9))

        def begin(active: int, **settings: str) -> RunningExporter:
            exporter = RunningExporter(
                next(logs),
                KATO_REDIS_URL=server.url,
                KATO_SESSIONS_INTERVAL="200ms",
                KATO_REDIS_MANAGE_NOTIFICATIONS="true",
                **settings,
            )
            stack.callback(exporter.kill)
            _wait_for(exporter, "kato_sessions_active", active)
            return exporter

        yield begin


def _wait_for(exporter: RunningExporter, name: str, value: float, **labels: str) -> None:
    eventually(
        lambda: value == exporter.scrape().value(name, **labels),
        within=PATIENCE,
        what=f"{name}{labels} is {value:g}",
    )


def flags(client: Redis) -> set[str]:
    """Read which classes of notifications are on."""
    return set(client.config_get("notify-keyspace-events")["notify-keyspace-events"] or "")


def test_an_orderly_restart_begins_a_new_book(server: Server, client: Redis, start: Start) -> None:
    """After SIGTERM the flags are as before; then counters start at 0 and active is right."""
    client.config_set("notify-keyspace-events", "Kx")
    load = KatoLoad(server.port)
    load.create(client, 4)
    first = start(4)
    load.delete(client, load.create(client, 3))
    _wait_for(first, "kato_sessions_ended_total", 3, reason="deleted")
    assert set("KEgxen") == flags(client)
    assert 0 == first.end(), first.log
    assert set("Kx") == flags(client)
    load.create(client, 2)

    second = start(6)
    samples = second.scrape()
    assert 0 == samples.value("kato_sessions_created_total")
    ended = samples.by("reason", "kato_sessions_ended_total")
    assert {"deleted": 0, "expired": 0, "evicted": 0, "unknown": 0} == ended
    missed = samples.by("change", "kato_session_events_missed_total")
    assert {"created": 0, "ended": 0} == missed
    load.create(client, 1)
    _wait_for(second, "kato_sessions_created_total", 1)
    assert 7 == len(session_keys(client))


def test_a_killed_exporter_leaves_flags_that_the_next_one_respects(
    server: Server, client: Redis, start: Start
) -> None:
    """SIGKILL takes nothing back; the next one cannot know whose the flags are and leaves them."""
    client.config_set("notify-keyspace-events", "Kx")
    load = KatoLoad(server.port)
    load.create(client, 4)
    first = start(4)
    assert -signal.SIGKILL == first.end(signal.SIGKILL)
    assert set("KEgxen") == flags(client)
    load.create(client, 2)

    second = start(6)
    assert 0 == second.scrape().value("kato_sessions_created_total")
    load.create(client, 1)
    _wait_for(second, "kato_sessions_created_total", 1)
    assert 0 == second.end(), second.log
    assert set("KEgxen") == flags(client)


def test_of_two_exporters_one_may_end(server: Server, client: Redis, start: Start) -> None:
    """The one that goes takes its flags; the other has them back by its next scan, none lost."""
    load = KatoLoad(server.port)
    first = start(0)
    second = start(0)
    assert 0 == first.end(), first.log
    load.create(client, 3)
    _wait_for(second, "kato_sessions_created_total", 3)
    eventually(lambda: set("Egxen") == flags(client), within=PATIENCE, what="the flags are back")
    load.delete(client, load.create(client, 2))
    _wait_for(second, "kato_sessions_ended_total", 2, reason="deleted")
    assert 0 == second.end(), second.log
    assert set() == flags(client)


@pytest.mark.parametrize("wrong_by", [WRONG_BY, -WRONG_BY])
def test_lifetimes_and_ages_go_by_the_clock_of_redis(
    server: Server, client: Redis, start: Start, tmp_path: Path, wrong_by: float
) -> None:
    """An exporter whose clock is ten minutes off tells the same as one whose clock is right."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import time\n_true = time.time\ntime.time = lambda: _true() + {wrong_by}\n"
    )
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    load = KatoLoad(server.port, age=90.0)
    load.create(client, 4)
    exporter = start(4, PYTHONPATH=path)
    load.delete(client, load.create(client, 3))
    _wait_for(exporter, "kato_sessions_ended_total", 3, reason="deleted")
    samples = exporter.scrape()

    assert 0 == samples.value("kato_session_duration_seconds_bucket", le="60.0")
    assert 3 == samples.value("kato_session_duration_seconds_bucket", le="300.0")
    lived = samples.value("kato_session_duration_seconds_sum")
    assert lived is not None
    assert 3 * 90 <= lived <= 3 * 100
    assert 0 == samples.value("kato_session_age_seconds_bucket", le="60.0")
    assert 4 == samples.value("kato_session_age_seconds_bucket", le="300.0")
    assert 0 == samples.value(
        "kato_exporter_records_skipped", collector="sessions", reason="born_in_the_future"
    )
    started = samples.value(
        "kato_exporter_collector_last_success_timestamp_seconds", collector="redis"
    )
    assert started is not None
    assert abs(started - real_time() - wrong_by) < 60, "the clock was not wrong at all"


def test_a_clock_that_is_set_anew_is_followed(
    server: Server, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When our clock jumps while we run, the next scan measures how far it is off."""
    load = KatoLoad(server.port, age=90.0)
    with tracking(server.url, interval=0.2) as tracked:
        monkeypatch.setattr(time, "time", lambda: real_time() + WRONG_BY)
        tracked.reconciled()
        load.delete(client, load.create(client, 3))
        state = tracked.until(
            lambda state: state.accounts.ended["deleted"] == 3, what="ends are told"
        )

    assert 3 * 90 <= state.accounts.durations.total <= 3 * 100


def test_a_clock_of_kato_in_the_future_is_declared(
    server: Server, client: Redis, start: Start
) -> None:
    """Sessions born after their end count in the totals, have no lifetime and no age, and show."""
    exporter = start(0)
    ahead = KatoLoad(server.port, age=-WRONG_BY)
    right = KatoLoad(server.port, age=90.0)
    ahead.create(client, 2)
    right.create(client, 1)
    ahead.delete(client, ahead.create(client, 3))
    _wait_for(exporter, "kato_sessions_active", 3)
    _wait_for(
        exporter,
        "kato_exporter_records_skipped",
        5,
        collector="sessions",
        reason="born_in_the_future",
    )
    samples = exporter.scrape()

    assert 6 == samples.value("kato_sessions_created_total")
    assert 3 == samples.value("kato_sessions_ended_total", reason="deleted")
    assert 0 == samples.value("kato_session_duration_seconds_count")
    assert 1 == samples.value("kato_session_age_seconds_gcount")


def test_a_session_of_the_next_moment_has_lived_for_no_time(server: Server, client: Redis) -> None:
    """Clocks that differ by a second are no fault: a lifetime below 0 by so little is 0."""
    with tracking(server.url) as tracked:
        key = new_key(age=-1.0)
        client.set(key, "{}", ex=600)
        client.delete(key)
        state = tracked.until(
            lambda state: state.accounts.ended["deleted"] == 1, what="its end is told"
        )

    assert (1, 0.0) == (state.accounts.durations.count, state.accounts.durations.total)
    assert 0 == state.accounts.undatable
