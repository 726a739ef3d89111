"""A failover of Redis by a Sentinel: sessions, feed and collectors follow, on real servers."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Literal

import pytest
from redis import Redis

from kato_exporter.demo.servers import LOOPBACK, free_port
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import StoreError
from kato_exporter.stores.redis.store import Keyevent, RedisStore
from support.exporting import exporters
from support.exposition import Samples
from support.fault_proxy import FaultProxy
from support.redis_sentinel import PATIENCE, SERVICE, Watched, watched
from support.redis_servers import redis_server
from support.servers import black_hole
from support.session_truth import KatoLoad, tracking
from support.waiting import at_most, eventually

EVENTS: tuple[Keyevent, ...] = ("new", "del", "expired", "evicted")
Fault = Literal["kill", "hang", "failover"]
FAULTS: tuple[Fault, ...] = ("kill", "hang", "failover")


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Watched]:
    """Start a master, a replica and a Sentinel of one's own."""
    with watched(tmp_path) as trio:
        yield trio


@pytest.fixture(scope="module")
def calm_trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Start the same once, for tests that leave them alone."""
    with watched(tmp_path_factory.mktemp("trio")) as trio:
        yield trio


def depose(trio: Watched, fault: Fault, stack: ExitStack) -> None:
    """Have the second server become the master, for one of three reasons."""
    if fault == "kill":
        trio.first.kill()
    elif fault == "hang":
        os.kill(trio.first.pid, signal.SIGSTOP)
        stack.callback(os.kill, trio.first.pid, signal.SIGCONT)
    else:
        with Redis(port=trio.sentinel.port) as client:
            client.execute_command("SENTINEL", "FAILOVER", SERVICE)
    trio.until_promoted(trio.second)


def port_of(store: RedisStore) -> int | None:
    """Ask which server answers, None where none does."""
    try:
        return int(store.info()["tcp_port"])
    except StoreError:
        return None


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("quick_reconnects")
def test_sessions_are_followed_to_the_new_master(trio: Watched, fault: Fault) -> None:
    """Whatever the reason for a failover, not one session is lost or counted twice."""
    load = KatoLoad(trio.first.port)
    with (
        ExitStack() as stack,
        Redis(port=trio.first.port) as first,
        Redis(port=trio.second.port) as second,
        tracking(trio.url, manage=False) as tracked,
    ):
        keys = load.create(first, 20)
        load.delete(first, keys[:5])
        first.wait(1, 5_000)
        tracked.until(lambda state: state.accounts.ended["deleted"] == 5, what="ends are told")
        depose(trio, fault, stack)
        unseen = load.create(second, 4)
        tracked.until(
            lambda state: state.connected and state.accounts.created == 24,
            what="the new master is followed",
        )
        before = tracked.tracker.state().accounts
        load.delete(second, [*keys[5:8], *unseen[:1]])
        load.create(second, 3)
        after = tracked.until(
            lambda state: state.accounts.created == 27 and state.accounts.ended["deleted"] == 9,
            what="the new master tells events",
        ).accounts

    assert 18 == after.active
    assert {"deleted": 9, "expired": 0, "evicted": 0, "unknown": 0} == after.ended
    assert before.missed == after.missed


@pytest.mark.usefixtures("quick_reconnects")
def test_sessions_that_the_new_master_never_had_have_ended(trio: Watched) -> None:
    """What was not replicated in time is gone, and is booked as an end of unknown reason."""
    load = KatoLoad(trio.first.port)
    with (
        ExitStack() as stack,
        Redis(port=trio.first.port) as first,
        Redis(port=trio.second.port) as second,
        tracking(trio.url, manage=False) as tracked,
    ):
        load.create(first, 10)
        first.wait(1, 5_000)
        os.kill(trio.second.pid, signal.SIGSTOP)
        try:
            first.client_kill_filter(_type="replica")
            load.create(first, 3)
            tracked.until(lambda state: state.accounts.created == 13, what="begins are told")
            trio.first.kill()
        finally:
            os.kill(trio.second.pid, signal.SIGCONT)
        depose(trio, "kill", stack)
        assert 10 == second.dbsize()
        accounts = tracked.until(
            lambda state: state.connected and state.accounts.active == 10,
            what="the new master is followed",
        ).accounts

    assert {"created": 0, "ended": 3} == accounts.missed
    assert 3 == accounts.ended["unknown"]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_store_follows_and_the_feed_does_not(trio: Watched, fault: Fault) -> None:
    """A gap between two servers never goes unseen: the feed ends, and a new one must be asked."""
    with ExitStack() as stack:
        store = stack.enter_context(closing(RedisStore(trio.url, timeout=0.5)))
        feed = stack.enter_context(closing(store.session_events(EVENTS)))
        assert trio.first.port == port_of(store)
        depose(trio, fault, stack)
        eventually(
            lambda: trio.second.port == port_of(store),
            within=PATIENCE,
            what="the store asks the new master",
        )
        for _ in range(2):
            with pytest.raises(StoreError):
                feed.catch_up()
        key = b"kato:session:session-x"
        with closing(store.session_events(EVENTS)) as renewed, Redis(port=trio.second.port) as own:
            own.set(key, "1")

            assert [key] == [event.key for event in renewed.catch_up()]
        with suppress(StoreError):
            assert feed.next(0.0) is None


def test_an_old_master_that_comes_back_is_not_asked(trio: Watched) -> None:
    """It takes itself for the master until it is told otherwise; the Sentinels know better."""
    with ExitStack() as stack, closing(RedisStore(trio.url, timeout=0.5)) as store:
        depose(trio, "kill", stack)
        eventually(lambda: port_of(store), within=PATIENCE, what="the new master is asked")
        trio.first.start()

        assert trio.second.port == port_of(store)
        with closing(RedisStore(trio.url, timeout=0.5)) as another:
            assert trio.second.port == port_of(another)


def is_whole(samples: Samples) -> bool:
    """Tell whether every collector of a scrape has succeeded, and no session is alive."""
    success = samples.by("collector", "kato_exporter_collector_success").values()
    return {1.0} == set(success) and 0 == samples.value("kato_sessions_active")


def test_the_exporter_follows_to_the_new_master(trio: Watched, tmp_path: Path) -> None:
    """From end to end: the store is down while there is no master, and then up again."""
    with Redis(port=trio.first.port) as first:
        first.xadd("stm:global", {"event_type": "learn"})
        first.wait(1, 5_000)
    with ExitStack() as stack:
        start = stack.enter_context(exporters(tmp_path))
        exporter = start(
            KATO_REDIS_URL=trio.url,
            KATO_STORE_TIMEOUT="500ms",
            KATO_SESSIONS_INTERVAL="300ms",
            KATO_REDIS_STREAMS_INTERVAL="300ms",
        )
        before = exporter.scrape()
        depose(trio, "kill", stack)
        after = eventually(
            lambda: samples if is_whole(samples := exporter.scrape()) else None,
            within=PATIENCE,
            what="every collector succeeds, and the sessions are followed",
        )

    assert (1, 1) == (
        before.value("kato_redis_connected_replicas"),
        before.value("kato_redis_stream_entries", stream="stm:global"),
    )
    assert (0, 1) == (
        after.value("kato_redis_connected_replicas"),
        after.value("kato_redis_stream_entries", stream="stm:global"),
    )
    assert 1 == after.value("kato_store_up", store="redis")


def test_a_replica_tells_of_its_link(calm_trio: Watched) -> None:
    """Asked directly, it says that its master is there."""
    with closing(RedisStore(calm_trio.second.url, timeout=0.5)) as store:
        info = store.server_facts().info

    assert ("slave", "up") == (info["role"], info["master_link_status"])
    assert info["master_last_io_seconds_ago"] >= 0


def test_the_address_names_sentinels_and_service(calm_trio: Watched) -> None:
    """Without account and options, and with the database."""
    port = calm_trio.sentinel.port
    url = f"redis+sentinel://me:word@{LOOPBACK}:{port},[::1]/{SERVICE}/3?sentinel_password=x"
    with closing(RedisStore(url, timeout=0.5)) as store:
        assert f"redis+sentinel://{LOOPBACK}:{port},[::1]:26379/{SERVICE}/3" == store.address
        assert 3 == store.database


def test_one_sentinel_that_answers_is_enough(calm_trio: Watched) -> None:
    """Those that are down, silent or know nothing of the service are passed over."""
    with (
        black_hole() as silent,
        redis_server("redis7", calm_trio.sentinel.directory / "none") as no_sentinel,
    ):
        places = ",".join(
            f"{LOOPBACK}:{port}"
            for port in (free_port(), silent, no_sentinel.port, calm_trio.sentinel.port)
        )
        url = f"redis+sentinel://{places}/{SERVICE}"
        with closing(RedisStore(url, timeout=1.0)) as store:
            assert calm_trio.first.port == port_of(store)


def test_no_sentinel_that_answers_is_an_error_in_time() -> None:
    """However many they are, they are waited for no longer than one server."""
    with black_hole() as first, black_hole() as second:
        url = f"redis+sentinel://{LOOPBACK}:{first},{LOOPBACK}:{second}/{SERVICE}"
        with (
            closing(RedisStore(url, timeout=1.0)) as store,
            at_most(1.8),
            pytest.raises(StoreError, match=f"no Sentinel names a master: {LOOPBACK}:{first}: "),
        ):
            store.probe(Deadline.after(1.0))


def test_a_sentinel_that_drips_is_passed_over(calm_trio: Watched) -> None:
    """One that says a byte now and then is as good as one that is silent."""
    with FaultProxy(calm_trio.sentinel.port) as proxy:
        proxy.drip(0.1)
        places = f"{LOOPBACK}:{proxy.port},{LOOPBACK}:{calm_trio.sentinel.port}"
        url = f"redis+sentinel://{places}/{SERVICE}"
        with closing(RedisStore(url, timeout=1.0)) as store, at_most(1.8):
            assert calm_trio.first.port == port_of(store)


def test_a_service_that_no_sentinel_knows_is_named(calm_trio: Watched) -> None:
    """A typing error is told from an outage."""
    url = calm_trio.url.replace(SERVICE, "cato")
    with (
        closing(RedisStore(url, timeout=0.5)) as store,
        pytest.raises(StoreError, match=f":{calm_trio.sentinel.port} knows no cato"),
    ):
        store.probe(Deadline.after(0.5))
