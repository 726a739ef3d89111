"""RedisStore on a real Valkey 9 and a real Redis 7."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain, combinations
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from kato_exporter.collectors.keyspace_notifications import KeyspaceNotifications
from kato_exporter.demo.servers import LOOPBACK, Server, free_port
from kato_exporter.demo.shapes import session_id, session_key
from kato_exporter.kato.session_records import LARGEST_RECORD
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.redis.connection import RedisConnection
from kato_exporter.stores.redis.store import (
    Keyevent,
    RedisStore,
    ScanStep,
    SessionEvent,
    SessionEventFeed,
    SessionValue,
)
from support.fault_proxy import FaultProxy
from support.servers import RedisServer, black_hole
from support.waiting import at_most, eventually

TIMEOUT = 1.0
AT_MOST = 1.8
PASSWORD = "s3cret-word"
EVENTS: tuple[Keyevent, ...] = ("new", "del", "expired", "evicted")

QUESTIONS: dict[str, Callable[[RedisStore], object]] = {
    "probe": lambda store: store.probe(Deadline.after(TIMEOUT)),
    "report": lambda store: store.report(),
    "info": lambda store: store.info(),
    "server_facts": lambda store: store.server_facts(),
    "tells_new_keys": lambda store: store.tells_new_keys(),
    "clock_offset": lambda store: store.clock_offset(),
    "scan_sessions": lambda store: store.scan_sessions(0),
    "session_values": lambda store: list(store.session_values([b"a", b"b"])),
    "session_index_size": lambda store: store.session_index_size(),
    "scan_processor_streams": lambda store: store.scan_processor_streams(0),
    "stream_sizes": lambda store: store.stream_sizes([b"stm:global"]),
    "notification_flags": lambda store: store.notification_flags(),
    "session_events": lambda store: store.session_events(EVENTS),
}


@pytest.fixture(params=["valkey", "redis7"])
def server(request: pytest.FixtureRequest) -> RedisServer:
    """Give each of the servers in turn, emptied."""
    found: RedisServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    """Open the server as the exporter does."""
    with closing(RedisStore(server.url, timeout=TIMEOUT)) as store:
        yield store


def a_session_key() -> str:
    """Make up the key of a session that is born now."""
    return session_key(session_id(uuid4().hex, time.time()))


def as_user(server: RedisServer, *rules: str, password: str = PASSWORD) -> RedisStore:
    """Make a user `watcher` with all rights but for these rules, and open the server as it."""
    server.client.execute_command(  # type: ignore[no-untyped-call]
        "ACL", "SETUSER", "watcher", "on", f">{PASSWORD}", "~*", "&*", "+@all", *rules
    )
    url = server.url.replace("//", f"//watcher:{password}@")
    return RedisStore(url, timeout=TIMEOUT)


def one_line_without_secrets(error: pytest.ExceptionInfo[StoreError]) -> str:
    """Give an error's message, which must be fit for an operator's eyes."""
    message = str(error.value)
    assert message
    assert "\n" not in message
    assert PASSWORD not in message
    return message


def test_a_server_that_runs_answers(store: RedisStore) -> None:
    """The cheapest question is answered without an error."""
    store.probe(Deadline.after(TIMEOUT))


@pytest.mark.parametrize(("product", "version"), [("valkey", "Valkey 9."), ("redis7", "Redis 7.")])
def test_the_report_names_the_product(
    request: pytest.FixtureRequest, product: str, version: str
) -> None:
    """Valkey is not taken for the Redis that it claims to be, and the owner lacks no right."""
    server: RedisServer = request.getfixturevalue(product)
    with closing(RedisStore(server.url, timeout=TIMEOUT)) as store:
        report = store.report()

    assert report.version.startswith(version), report.version
    assert () == report.lacking


def test_info_has_numbers_as_numbers(server: RedisServer, store: RedisStore) -> None:
    """Fields of INFO come with their types, the databases as fields of their own."""
    server.client.set("a", "1", ex=100)
    server.client.set("b", "1")
    info = store.info()

    assert isinstance(info["used_memory"], int)
    assert isinstance(info["used_cpu_user"], float)
    assert (2, 1) == (info["db0"]["keys"], info["db0"]["expires"])


def test_the_facts_have_command_statistics(server: RedisServer, store: RedisStore) -> None:
    """KATO's KEYS are told, beside the default sections of INFO."""
    server.client.config_resetstat()
    for _ in range(3):
        server.client.keys("kato:session:session-*")
    info = store.server_facts().info

    assert 3 == info["cmdstat_keys"]["calls"]
    assert info["cmdstat_keys"]["usec"] >= 0
    assert isinstance(info["used_memory"], int)


def test_the_facts_have_the_errors_by_kind(server: RedisServer, store: RedisStore) -> None:
    """An error that a client was given is told with the word that it begins with."""
    store.probe(Deadline.after(TIMEOUT))
    server.client.set("text", "1")
    server.client.config_resetstat()
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        server.client.hlen("text")
    info = store.server_facts().info

    assert 1 == info["errorstat_WRONGTYPE"]["count"]
    assert 1 == info["total_error_replies"]
    assert 1 == info["cmdstat_hlen"]["failed_calls"]


def test_the_facts_cost_one_round_trip(server: RedisServer, store: RedisStore) -> None:
    """All questions arrive together, so that a scrape waits once."""
    store.probe(Deadline.after(TIMEOUT))
    before = server.client.info("stats")["total_reads_processed"]
    store.server_facts()
    after = server.client.info("stats")["total_reads_processed"]

    assert before + 2 == after  # ours, and the reading of `after`


@pytest.mark.parametrize("save", ["", "900 1 300 10"])
def test_the_facts_have_the_setting_of_dumps(
    server: RedisServer, store: RedisStore, save: str
) -> None:
    """KATO ships a Redis without dumps, as our test servers are."""
    server.client.config_set("save", save)
    try:
        assert save == store.server_facts().save
    finally:
        server.client.config_set("save", "")


def test_a_user_without_config_has_the_other_facts(server: RedisServer) -> None:
    """The setting of dumps is then unknown."""
    with closing(as_user(server, "-config")) as store:
        facts = store.server_facts()

    assert facts.save is None
    assert "cmdstat_info" in facts.info


def test_a_user_without_info_has_no_facts(server: RedisServer) -> None:
    """Without INFO there is nothing to tell."""
    with closing(as_user(server, "-info")) as store, pytest.raises(QueryError, match="info"):
        store.server_facts()


def test_both_tell_new_keys(store: RedisStore) -> None:
    """Valkey 9 and Redis 7 have the event `new`."""
    assert store.tells_new_keys()


def test_the_clock_of_the_server_on_this_host_is_ours(store: RedisStore) -> None:
    """The offset of one and the same clock is next to nothing."""
    assert abs(store.clock_offset()) < 0.05


def test_no_notifications_are_no_flags(store: RedisStore) -> None:
    """A server as it comes has no class of events on."""
    assert frozenset() == store.notification_flags()


@pytest.mark.parametrize("flags", ["Egxen", "Egxe$", "KEx", "Kg$lshzxetdE"])
def test_the_flags_set_are_the_flags_read(store: RedisStore, flags: str) -> None:
    """Classes turned on are told as single letters, whatever short form the server has."""
    store.set_notification_flags(frozenset(flags))

    assert frozenset(flags) == store.notification_flags()


def test_the_alias_a_stands_for_its_classes(server: RedisServer, store: RedisStore) -> None:
    """The short form of what the server calls `A` is read as all classes that it means."""
    server.client.config_set("notify-keyspace-events", "AKE")

    assert frozenset("g$lshzxetdKE") == store.notification_flags()


def test_the_alias_a_is_enough_and_left_as_it_is(server: RedisServer, store: RedisStore) -> None:
    """Redis does not report `n` beside `A`; the writes, which `A` covers, tell begins as well."""
    server.client.config_set("notify-keyspace-events", "AKEn")
    notifications = KeyspaceNotifications(store, manage=True)

    assert ("set", "del", "expired", "evicted") == notifications.usable_events()
    notifications.take_back()
    with closing(store.session_events(("new",))) as feed:
        server.client.set("kato:session:session-x", "1")
        assert [SessionEvent("new", b"kato:session:session-x")] == feed.catch_up()


def test_a_flag_added_keeps_the_others(server: RedisServer, store: RedisStore) -> None:
    """Classes merged with what was there are all on, for every pair of needed and present ones."""
    for present in chain(combinations("Kgn", 2), [("A", "K")]):
        server.client.config_set("notify-keyspace-events", "".join(present))
        before = store.notification_flags()
        store.set_notification_flags(before | frozenset("Ex"))

        assert before | frozenset("Ex") == store.notification_flags()


def test_a_scan_finds_session_keys_only(server: RedisServer, store: RedisStore) -> None:
    """Of all keys, the scan gives those that begin as sessions do, well-formed or not."""
    sessions = {a_session_key() for _ in range(2_500)} | {"kato:session:session-broken"}
    server.client.mset(dict.fromkeys(sessions, "{}"))
    server.client.mset({"kato:session:_active_index": "", "alice_kato:frequency:x": ""})
    steps = [store.scan_sessions(0)]
    while steps[-1].cursor:
        steps.append(store.scan_sessions(steps[-1].cursor))

    assert sessions == {key.decode() for step in steps for key in step.keys}
    assert len(steps) > 1


def test_a_scan_tells_strings_from_keys_of_other_types(
    server: RedisServer, store: RedisStore
) -> None:
    """A key with a session's name that holds a hash or a set is given apart."""
    session, impostors = a_session_key(), (a_session_key(), a_session_key())
    server.client.set(session, "{}")
    server.client.hset(impostors[0], "a", "1")
    server.client.sadd(impostors[1], "a")
    foreign = {key.encode() for key in impostors}

    assert ScanStep(0, [session.encode()], foreign) == store.scan_sessions(0)
    assert foreign == store.foreign_keys([session.encode(), b"gone", *foreign])


def test_records_are_read_with_whether_they_expire(server: RedisServer, store: RedisStore) -> None:
    """Keys that are gone, empty or of another type are left out; a huge one is not fetched."""
    server.client.set("expiring", "1", ex=100)
    server.client.set("lasting", "22")
    server.client.set("huge", b"3" * (LARGEST_RECORD + 1))
    server.client.hset("hash", "a", "1")
    keys = [b"huge", b"gone", b"expiring", b"hash", b"lasting"]
    before = server.client.info("stats")["total_net_output_bytes"]
    found = list(store.session_values(keys))
    sent = server.client.info("stats")["total_net_output_bytes"] - before

    assert [
        SessionValue(None, expires=False),
        SessionValue(b"1", expires=True),
        SessionValue(b"22", expires=False),
    ] == found
    assert sent < LARGEST_RECORD


def test_records_of_many_keys_come_in_their_order(server: RedisServer, store: RedisStore) -> None:
    """However many portions it takes, each key gives its record once."""
    keys = [f"key-{number}" for number in range(100)]
    server.client.mset({key: key for key in keys})
    found = store.session_values([key.encode() for key in keys])

    assert keys == [(value.data or b"").decode() for value in found]


def test_the_index_of_sessions_is_counted_where_it_is(
    server: RedisServer, store: RedisStore
) -> None:
    """KATO 2 has none, and 0 would be a claim about one."""
    assert store.session_index_size() is None
    server.client.sadd("kato:session:_active_index", "a", "b")
    assert 2 == store.session_index_size()


def test_a_key_that_is_not_text_is_given_as_it_is(server: RedisServer, store: RedisStore) -> None:
    """Bytes that are no UTF-8 stop neither a scan nor the feed."""
    key = b"kato:session:session-\xff\n\x00"
    store.set_notification_flags(frozenset("Egn"))
    with closing(store.session_events(("new",))) as feed:
        server.client.set(key, "1")

        assert [SessionEvent("new", key)] == feed.catch_up()
    assert ScanStep(0, [key], set()) == store.scan_sessions(0)


def test_events_tell_each_end_with_its_reason(server: RedisServer, store: RedisStore) -> None:
    """A new key, a second write, a deletion and an expiry give three events, in their order."""
    store.set_notification_flags(frozenset("Egxen"))
    key, brief = a_session_key(), a_session_key()
    with closing(store.session_events(EVENTS)) as feed:
        server.client.set(key, "1")
        server.client.set(key, "2")
        server.client.delete(key)
        assert [SessionEvent("new", key.encode()), SessionEvent("del", key.encode())] == (
            feed.catch_up()
        )
        server.client.set(brief, "1", px=1)

        assert SessionEvent("new", brief.encode()) == feed.next(2)
        assert SessionEvent("expired", brief.encode()) == feed.next(2)
        assert feed.next(0.01) is None


def test_another_database_is_another_world(server: RedisServer) -> None:
    """With a database number in the URL, neither scan nor events see other databases."""
    url = server.url.rpartition("/")[0] + "/3"
    key = a_session_key()
    with (
        closing(RedisStore(url, timeout=TIMEOUT)) as store,
        Redis.from_url(url) as third,
    ):
        store.set_notification_flags(frozenset("Egn"))
        with closing(store.session_events(("new",))) as feed:
            server.client.set(a_session_key(), "1")
            third.set(key, "1")

            assert [SessionEvent("new", key.encode())] == feed.catch_up()
        assert ScanStep(0, [key.encode()], set()) == store.scan_sessions(0)
        assert 3 == store.database
        assert url == store.address


def test_a_database_that_is_not_there_is_refused(server: RedisServer) -> None:
    """A number beyond the server's databases is an error and not database 0."""
    url = server.url.rpartition("/")[0] + "/4711"
    with (
        closing(RedisStore(url, timeout=TIMEOUT)) as store,
        pytest.raises(StoreError, match="DB index is out of range"),
    ):
        store.probe(Deadline.after(TIMEOUT))


def test_a_user_without_config_can_do_the_rest(server: RedisServer) -> None:
    """Reading and setting of flags is a QueryError; scan and events work."""
    with closing(as_user(server, "-config")) as store:
        with pytest.raises(QueryError) as reading:
            store.notification_flags()
        with pytest.raises(QueryError) as setting:
            store.set_notification_flags(frozenset("KEA"))
        store.session_events(("new",)).close()

        assert "config" in one_line_without_secrets(reading)
        assert "config" in one_line_without_secrets(setting)
        assert ScanStep(0, [], set()) == store.scan_sessions(0)


def test_a_user_who_may_not_read_flags_is_told_so(server: RedisServer) -> None:
    """The report says that CONFIG GET is refused, and both things that are lost by it."""
    with closing(as_user(server, "-config")) as store:
        [lack] = store.report().lacking

    assert (
        "CONFIG GET is not permitted: sessions are counted by scan only, "
        "and whether dumps are configured is unknown"
    ) == lack


def test_a_user_without_scan_is_told_what_it_costs(server: RedisServer) -> None:
    """A scan is a QueryError, and the report says that no session can be counted."""
    with closing(as_user(server, "-scan")) as store:
        with pytest.raises(QueryError) as error:
            store.scan_sessions(0)
        [lack] = store.report().lacking

    assert "scan" in one_line_without_secrets(error)
    assert "SCAN is not permitted: no session can be counted" == lack


@pytest.mark.parametrize("rule", ["-subscribe", "resetchannels"])
def test_a_user_who_may_not_subscribe_is_told_what_it_costs(server: RedisServer, rule: str) -> None:
    """Without the command or the channels, events are a QueryError and the report says why."""
    with closing(as_user(server, rule)) as store:
        with pytest.raises(QueryError) as error:
            store.session_events(EVENTS)
        [lack] = store.report().lacking

    assert "permi" in one_line_without_secrets(error)
    assert lack.endswith("sessions are counted by scan only")


def test_a_user_without_info_gets_no_report(server: RedisServer) -> None:
    """Without INFO there is neither a version nor a server fact, and the error says so."""
    with closing(as_user(server, "-info")) as store:
        with pytest.raises(QueryError) as error:
            store.report()

        assert "info" in one_line_without_secrets(error)
        store.probe(Deadline.after(TIMEOUT))


def test_a_wrong_password_is_named_as_such(server: RedisServer) -> None:
    """The error speaks of authentication and keeps both passwords to itself."""
    with closing(as_user(server, password="wr0ng-word")) as store:
        for question in ("probe", "report", "session_events"):
            with pytest.raises(StoreError) as error:
                QUESTIONS[question](store)

            assert one_line_without_secrets(error).startswith("authentication failed: ")
            assert "wr0ng-word" not in str(error.value)
        assert "wr0ng-word" not in store.address


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_server_that_is_down_is_an_error_at_once(question: str) -> None:
    """Where nothing listens, every question raises StoreError and none waits."""
    url = f"redis://user:{PASSWORD}@{LOOPBACK}:{free_port()}/0"
    with closing(RedisStore(url, timeout=TIMEOUT)) as store:
        with at_most(TIMEOUT), pytest.raises(StoreError) as error:
            QUESTIONS[question](store)

        assert "refused" in one_line_without_secrets(error)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_server_that_never_answers_is_given_up(question: str) -> None:
    """Where connections come about and no word follows, every question ends at its timeout."""
    with (
        black_hole() as port,
        closing(RedisStore(f"redis://user:{PASSWORD}@{LOOPBACK}:{port}", timeout=TIMEOUT)) as store,
    ):
        with at_most(AT_MOST), pytest.raises(StoreError) as error:
            QUESTIONS[question](store)

        assert "imeout" in one_line_without_secrets(error)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_server_that_hangs_later_is_given_up(own_valkey: Server, question: str) -> None:
    """A connection that worked and then falls silent ends at its timeout too."""
    with closing(RedisStore(own_valkey.url, timeout=TIMEOUT)) as store:
        store.probe(Deadline.after(TIMEOUT))
        os.kill(own_valkey.pid, signal.SIGSTOP)
        try:
            with at_most(AT_MOST), pytest.raises(StoreError, match="imeout"):
                QUESTIONS[question](store)
        finally:
            os.kill(own_valkey.pid, signal.SIGCONT)

        store.probe(Deadline.after(TIMEOUT))


def test_a_server_that_was_restarted_is_asked_again(own_valkey: Server) -> None:
    """A pooled connection that the server has closed costs the next question nothing."""
    with closing(RedisStore(own_valkey.url, timeout=TIMEOUT)) as store:
        store.probe(Deadline.after(TIMEOUT))
        own_valkey.restart()

        store.probe(Deadline.after(TIMEOUT))


@pytest.mark.parametrize("step", [SessionEventFeed.catch_up, lambda feed: feed.next(TIMEOUT)])
def test_a_feed_tells_that_its_server_has_ended(
    own_valkey: Server, step: Callable[[SessionEventFeed], object]
) -> None:
    """A gap never goes unseen: after a restart, however fast, the next step is a StoreError."""
    with (
        closing(RedisStore(own_valkey.url, timeout=TIMEOUT)) as store,
        closing(store.session_events(EVENTS)) as feed,
    ):
        assert [] == feed.catch_up()
        own_valkey.restart()

        with pytest.raises(StoreError):
            step(feed)


@pytest.mark.parametrize("pause", [0.01, 0.4])
def test_a_reply_that_drips_costs_the_timeout(valkey: RedisServer, pause: float) -> None:
    """A byte now and then does not keep the wait for a reply alive; the next reply is whole."""
    with (
        FaultProxy(urlsplit(valkey.url).port or 0) as proxy,
        closing(RedisStore(f"redis://{LOOPBACK}:{proxy.port}", timeout=TIMEOUT)) as store,
    ):
        store.info()
        proxy.drip(pause)
        with at_most(AT_MOST), pytest.raises(StoreError, match="Timeout"):
            store.info()
        proxy.heal()
        assert "redis_version" in store.info()


def test_a_parser_may_peek_and_read_in_place(valkey: RedisServer) -> None:
    """As that of hiredis does, which the library takes where it is installed."""
    with closing(RedisConnection(valkey.url, timeout=TIMEOUT)) as opened:
        connection: Any = opened.client.connection_pool.get_connection()
        reader = connection._get_socket()  # noqa: SLF001 - what parsers are given
        connection.send_command("PING")
        buffer = bytearray(7)

        assert b"+" == reader.recv(1, socket.MSG_PEEK)
        assert len(buffer) == reader.recv_into(buffer)
        assert b"+PONG\r\n" == buffer
        connection.disconnect()


def test_an_event_that_comes_in_pieces_is_waited_for(valkey: RedisServer) -> None:
    """Half a message is no loss of the connection: whoever has no time left gets it later."""
    valkey.client.config_set("notify-keyspace-events", "Egxen")
    key = a_session_key()
    port = urlsplit(valkey.url).port or 0
    with (
        FaultProxy(port) as proxy,
        closing(RedisStore(f"redis://{LOOPBACK}:{proxy.port}", timeout=TIMEOUT)) as store,
        closing(store.session_events(EVENTS)) as feed,
    ):
        proxy.drip(0.001)
        valkey.client.set(key, "1")
        looks = [feed.next(0.0) for _ in range(3)]
        event = eventually(lambda: feed.next(0.0), within=TIMEOUT, what="the event is whole")

    assert [None] * 3 == looks
    assert SessionEvent("new", key.encode()) == event


def test_a_feed_whose_server_hangs_gives_no_sign_of_life(own_valkey: Server) -> None:
    """Silence is told from death: catching up with a server that hangs is a StoreError."""
    with (
        closing(RedisStore(own_valkey.url, timeout=TIMEOUT)) as store,
        closing(store.session_events(EVENTS)) as feed,
    ):
        os.kill(own_valkey.pid, signal.SIGSTOP)
        try:
            assert feed.next(0.05) is None
            with at_most(AT_MOST), pytest.raises(StoreError, match="no sign of life"):
                feed.catch_up()
        finally:
            os.kill(own_valkey.pid, signal.SIGCONT)
