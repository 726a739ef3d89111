"""The tracker on real servers: with events, by scan, and through what can happen to a server."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from kato_exporter.collectors.session_tracker import SessionTracker, TrackerState
from kato_exporter.demo.servers import Server, start_redis, start_valkey
from kato_exporter.stores.redis.store import RedisStore

PATIENCE = 10.0


def session_key(age: float = 0.0) -> str:
    """Name a new session, born `age` seconds ago."""
    return f"kato:session:session-{uuid4().hex}-{int((time.time() - age) * 1000)}"


def write(client: redis.Redis, key: str, value: str) -> None:
    """Write a session as KATO does."""
    client.execute_command("SETEX", key, 600, value)  # type: ignore[no-untyped-call]


def flags(client: redis.Redis) -> set[str]:
    """Read which classes of keyspace events are on."""
    return set(client.config_get("notify-keyspace-events")["notify-keyspace-events"] or "")


@pytest.fixture(params=["valkey", "redis7"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Start a server of its own, which the test may kill."""
    start = start_valkey if request.param == "valkey" else start_redis
    with start(tmp_path) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """Give a client of the server, as KATO has one."""
    with redis.Redis.from_url(server.url) as opened:
        yield opened


@contextmanager
def tracking(
    server: Server, *, manage: bool = True, interval: float = 60.0, database: int = 0
) -> Iterator[SessionTracker]:
    """Track the sessions of a server."""
    url = f"redis://127.0.0.1:{server.port}/{database}"
    store = RedisStore(url, timeout=1.0)
    tracker = SessionTracker(
        store, interval=interval, load_share=0.5, manage_notifications=manage, sample_size=100
    )
    tracker.start()
    try:
        eventually(tracker, lambda state: state.accounts.active is not None)
        yield tracker
    finally:
        tracker.stop()
        store.close()


def eventually(tracker: SessionTracker, condition: Callable[[TrackerState], bool]) -> TrackerState:
    """Wait until the tracker's state fulfils a condition."""
    until = time.monotonic() + PATIENCE
    while not condition(state := tracker.state()):
        assert time.monotonic() < until, f"it never came true: {state}"
        time.sleep(0.01)
    return state


def test_every_change_is_counted_once_by_its_reason(server: Server, client: redis.Redis) -> None:
    """Creations, updates, deletions and expiries, beside sessions that were there before."""
    before = [session_key() for _ in range(3)]
    for key in before:
        write(client, key, "{}")
    with tracking(server) as tracker:
        for number in range(40):
            key = session_key()
            write(client, key, "{}")
            write(client, key, '{"stm": []}')
            if number % 4 == 0:
                client.delete(key)
            elif number % 4 == 1:
                client.pexpire(key, 20)
        client.delete(before[0])
        accounts = eventually(
            tracker, lambda state: sum(state.accounts.ended.values()) == 21
        ).accounts
    assert accounts.created == 40
    assert accounts.ended == {"deleted": 11, "expired": 10, "evicted": 0, "unknown": 0}
    assert accounts.missed == {"created": 0, "ended": 0}
    assert accounts.active == 3 + 40 - 21
    assert accounts.durations.count == 21


def test_evictions_are_counted(server: Server, client: redis.Redis) -> None:
    """Under maxmemory with allkeys-lru, each session that Redis throws out is an end."""
    client.config_set("maxmemory-policy", "allkeys-lru")
    with tracking(server) as tracker:
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 2_000_000)
        for _ in range(60):
            write(client, session_key(), "x" * 100_000)
        evicted = client.info("stats")["evicted_keys"]
        assert evicted > 0
        accounts = eventually(
            tracker, lambda state: state.accounts.ended["evicted"] == evicted
        ).accounts
    assert accounts.active == 60 - evicted


def test_other_keys_are_no_sessions(server: Server, client: redis.Redis) -> None:
    """The index, node pointers and names that KATO does not make change no count."""
    with tracking(server, interval=0.2) as tracker:
        client.set("kato:session:_active_index", "1")
        client.set("kato:session:node:alice:active", "1")
        client.set("alice_kato:frequency:abc", "1")
        client.set("kato:session:session-rubbish", "1")
        client.set(b"kato:session:session-\xff\x00\n", "1")
        state = eventually(tracker, lambda state: state.unparsable_keys == 2)
        client.delete("kato:session:session-rubbish", "kato:session:_active_index")
        eventually(tracker, lambda state: state.unparsable_keys == 1)
    assert state.accounts.active == 0
    assert state.accounts.created == 0
    assert sum(state.accounts.ended.values()) == 0


def test_another_database_is_another_world(server: Server, client: redis.Redis) -> None:
    """Sessions of database 3 count, those of database 0 do not."""
    with (
        redis.Redis(port=server.port, db=3) as third,
        tracking(server, database=3) as tracker,
    ):
        write(client, session_key(), "{}")
        write(third, session_key(), "{}")
        accounts = eventually(tracker, lambda state: state.accounts.created == 1).accounts
    assert accounts.active == 1


def test_a_tracker_that_is_hurried_does_not_wait_out_its_pause(
    server: Server, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It follows again at once, and has what came meanwhile."""
    monkeypatch.setattr("kato_exporter.collectors.session_tracker.reconnect_pause", lambda _: 60)
    with tracking(server) as tracker:
        client.client_kill_filter(_type="pubsub")
        eventually(tracker, lambda state: not state.connected)
        write(client, session_key(), "{}")
        tracker.hurry()
        eventually(tracker, lambda state: state.connected and state.accounts.created == 1)


def test_flushdb_is_found_by_reconciliation(server: Server, client: redis.Redis) -> None:
    """FLUSHDB sends no event; the next scan books the ends as unknown, and as missed."""
    with tracking(server, interval=0.5) as tracker:
        for _ in range(5):
            write(client, session_key(), "{}")
        eventually(tracker, lambda state: state.accounts.active == 5)
        client.flushdb()
        accounts = eventually(tracker, lambda state: state.accounts.active == 0).accounts
    assert accounts.ended["unknown"] == 5
    assert accounts.missed == {"created": 0, "ended": 5}


def test_a_cut_connection_loses_no_change(server: Server, client: redis.Redis) -> None:
    """CLIENT KILL ends the feed; what happens until it is back is reconciled."""
    with tracking(server) as tracker:
        kept, gone = session_key(), session_key()
        write(client, kept, "{}")
        write(client, gone, "{}")
        eventually(tracker, lambda state: state.accounts.created == 2)
        client.client_kill_filter(_type="pubsub")
        client.delete(gone)
        write(client, session_key(), "{}")
        accounts = eventually(
            tracker,
            lambda state: state.accounts.created == 3 and sum(state.accounts.ended.values()) == 1,
        ).accounts
        eventually(tracker, lambda state: state.connected)
    assert accounts.missed["created"] <= 1
    assert accounts.ended["deleted"] + accounts.ended["unknown"] == 1


def test_a_server_that_comes_back_empty_ends_all_sessions(
    server: Server, client: redis.Redis
) -> None:
    """A crash without persistence is an end of unknown reason for each; counters go on."""
    with tracking(server) as tracker:
        for _ in range(4):
            write(client, session_key(), "{}")
        eventually(tracker, lambda state: state.accounts.active == 4)
        server.kill()
        state = eventually(tracker, lambda state: state.accounts.active is None)
        assert not state.connected
        assert state.accounts.created == 4
        server.restart()
        accounts = eventually(tracker, lambda state: state.accounts.active == 0).accounts
        assert accounts.ended["unknown"] == 4
        write(client, session_key(), "{}")
        eventually(tracker, lambda state: state.accounts.created == 5)


def test_without_leave_the_notifications_are_let_alone(
    server: Server, client: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scan mode counts all the same, and one line says which command would do better."""
    with tracking(server, manage=False, interval=0.2) as tracker:
        for _ in range(3):
            write(client, session_key(), "{}")
        state = eventually(tracker, lambda state: state.accounts.active == 3)
        client.flushdb()
        state = eventually(tracker, lambda state: state.accounts.active == 0)
    assert state.mode == "scan"
    assert state.accounts.created == 3
    assert state.accounts.ended["unknown"] == 3
    assert state.accounts.missed == {"created": 0, "ended": 0}
    assert flags(client) == set()
    log = capsys.readouterr().out
    assert log.count("scan only") == 1
    assert "CONFIG SET notify-keyspace-events" in log


def test_only_the_flags_that_were_added_are_taken_back(server: Server, client: redis.Redis) -> None:
    """Flags that others have set stay as they were, during and after."""
    client.config_set("notify-keyspace-events", "Kx")
    with tracking(server):
        assert flags(client) == set("KEgxen")
    assert flags(client) == set("Kx")


def test_notifications_turned_off_behind_our_back(server: Server, client: redis.Redis) -> None:
    """The next reconciliation finds what was missed, and turns them on again."""
    with tracking(server, interval=0.5) as tracker:
        client.config_set("notify-keyspace-events", "")
        write(client, session_key(), "{}")
        eventually(tracker, lambda state: state.accounts.created == 1)
        eventually(tracker, lambda _: bool(flags(client)))
        write(client, session_key(), "{}")
        accounts = eventually(tracker, lambda state: state.accounts.created == 2).accounts
    assert accounts.active == 2


@pytest.mark.alone
def test_an_event_is_visible_within_250_milliseconds(server: Server, client: redis.Redis) -> None:
    """Nothing between the event and the count waits for a timer."""
    with tracking(server) as tracker:
        for number in range(1, 21):
            write(client, session_key(), "{}")
            began = time.monotonic()
            eventually(tracker, lambda state, n=number: state.accounts.created == n)  # type: ignore[misc]
            assert time.monotonic() - began < 0.25
