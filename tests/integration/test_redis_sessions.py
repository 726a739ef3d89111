"""Sessions read straight from a real Valkey 9 and a real Redis 7."""

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from uuid import UUID

import pytest

from kato_exporter.demo.servers import LOOPBACK
from kato_exporter.demo.shapes import Document, session_id, session_record
from kato_exporter.demo.shapes import session_key as key_text
from kato_exporter.kato.session_documents import node_pointer_key
from kato_exporter.kato.session_records import LARGEST_RECORD
from kato_exporter.kato.sessions import SESSION_INDEX
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.redis.connection import RedisConnection
from kato_exporter.stores.redis.sessions import LARGEST_SHOWN, SessionPage, SessionRecords
from support.servers import RedisServer, black_hole
from support.waiting import at_most

TIMEOUT = 2.0
SECONDS = 5.0
PASSWORD = "s3cret-word"
BORN = 1_795_383_353.898


@pytest.fixture(params=["valkey", "redis7"])
def server(request: pytest.FixtureRequest) -> RedisServer:
    """Give each of the servers in turn, emptied."""
    found: RedisServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def connection(server: RedisServer) -> Iterator[RedisConnection]:
    """Connect as the browser does."""
    with closing(RedisConnection(server.url, timeout=TIMEOUT)) as connection:
        yield connection


@pytest.fixture
def records(connection: RedisConnection) -> SessionRecords:
    """Read sessions, with much time for each page."""
    return SessionRecords(connection, seconds=SECONDS)


@pytest.fixture
def hasty(connection: RedisConnection) -> SessionRecords:
    """Read sessions, with time for one step of a search only."""
    return SessionRecords(connection, seconds=0.0)


def identity(number: int) -> str:
    """Name a session."""
    return session_id(UUID(int=number << 64).hex, BORN + number)


def put(server: RedisServer, number: int, *, ttl: int | None = 3600, **fields: object) -> bytes:
    """Put a session of `alice`, but for these fields, and give its key."""
    record: Document = session_record(
        identity(number), "alice", born=BORN + number, ttl=3600, metadata={}
    )
    key = key_text(identity(number))
    server.client.set(key, json.dumps(record | fields), ex=ttl)
    return key.encode()


def put_others(server: RedisServer, count: int) -> None:
    """Put keys of other kinds."""
    with server.client.pipeline(transaction=False) as pipeline:
        for number in range(count):
            pipeline.set(f"alice_kato:frequency:{number}", 1)
        pipeline.execute()


def walk(records: SessionRecords, *, size: int = 50, node_part: str = "") -> list[SessionPage]:
    """Give all pages from the first to the last."""
    pages = [records.page(size=size, node_part=node_part)]
    while (cursor := pages[-1].cursor) is not None:
        pages.append(records.page(cursor, size=size, node_part=node_part))
    return pages


def keys(*pages: SessionPage) -> list[bytes]:
    """Give the keys on pages."""
    return [entry.key for page in pages for entry in page.sessions]


def calls(server: RedisServer, command: str) -> int:
    """Tell how often a command was called."""
    statistics = server.client.info("commandstats")
    return int(statistics.get(f"cmdstat_{command}", {"calls": 0})["calls"])


def as_user(server: RedisServer, *rules: str) -> RedisConnection:
    """Connect as a user with all rights but for these rules."""
    server.client.execute_command(  # type: ignore[no-untyped-call]
        "ACL", "SETUSER", "watcher", "on", f">{PASSWORD}", "~*", "&*", "+@all", *rules
    )
    return RedisConnection(
        server.url.replace("//", f"//watcher:{PASSWORD}@"), timeout=TIMEOUT, client_name="test"
    )


def test_a_connection_has_a_name_and_no_secret_in_its_address(server: RedisServer) -> None:
    """CLIENT LIST names it; the address that people see has no password."""
    with closing(as_user(server)) as connection:
        connection.client.ping()
        names = [client["name"] for client in server.client.client_list()]

        assert "test" in names
        assert server.url.removesuffix("/") in connection.address
        assert PASSWORD not in connection.address


def test_every_session_is_on_one_page(server: RedisServer, records: SessionRecords) -> None:
    """Of many among other keys none is left out, and the pages are about as large as asked."""
    put_others(server, 2_000)
    there = {put(server, number) for number in range(400)}
    pages = walk(records, size=50)

    assert there == set(keys(*pages))
    assert len(there) == len(keys(*pages))
    assert all(50 <= len(page.sessions) <= 150 for page in pages[:-1])


def test_a_page_has_few_sessions_more_than_asked(
    server: RedisServer, records: SessionRecords
) -> None:
    """Among as many other keys, too: what a page lacks is not scanned for with a large step."""
    put_others(server, 3_000)
    for number in range(3_000):
        put(server, number)
    sizes = [len(page.sessions) for page in walk(records, size=50)[:-1]]

    assert 50 <= statistics.mean(sizes) <= 58


def test_an_empty_database_has_one_empty_page(records: SessionRecords) -> None:
    """No session, and no page after it."""
    page = records.page()

    assert ([], None, 0, 0) == (page.sessions, page.cursor, page.looked_at, page.keys)


def test_a_session_tells_what_its_record_says(server: RedisServer, records: SessionRecords) -> None:
    """Node, memory, accesses and time to live, with the server's clock."""
    put(server, 7, stm=[["a", "b"], ["c"]], access_count=5)
    page = records.page()
    (entry,) = page.sessions

    assert entry.facts is not None
    assert ("alice", 2, 3, 5) == (
        entry.facts.node_id,
        entry.facts.stm_events,
        entry.facts.symbols,
        entry.facts.access_count,
    )
    assert entry.ttl == pytest.approx(3600, abs=5)
    assert page.now == pytest.approx(time.time(), abs=5)
    assert entry.problem is None


def test_a_session_without_expiry_is_told_apart(
    server: RedisServer, records: SessionRecords
) -> None:
    """A key that never expires has no time to live at all, rather than one of -1."""
    put(server, 7, ttl=None)

    assert [None] == [entry.ttl for entry in records.page().sessions]


def test_a_full_page_takes_one_step(server: RedisServer, records: SessionRecords) -> None:
    """Where sessions are all there is, a later page costs what the first does: one SCAN."""
    for number in range(300):
        put(server, number)
    costs, cursor = [], 0
    while True:
        before = calls(server, "scan"), calls(server, "mget")
        page = records.page(cursor)
        costs.append((calls(server, "scan") - before[0], calls(server, "mget") - before[1]))
        if page.cursor is None:
            break
        cursor = page.cursor

    assert len(costs) > 3
    assert {(1, 1)} == set(costs[:-1])


def test_a_search_ends_when_its_time_is_over(server: RedisServer, hasty: SessionRecords) -> None:
    """Few sessions among many keys: each page is a step, tells how far it got, and goes on."""
    put_others(server, 3_000)
    there = {put(server, number) for number in range(3)}
    pages = walk(hasty, node_part="alice")

    assert len(pages) > 10
    assert {50} == {page.looked_at for page in pages[:-1]}
    assert {3_003} == {page.keys for page in pages}
    assert there == set(keys(*pages))


def test_a_search_in_time_looks_at_more_keys_a_step(
    server: RedisServer, records: SessionRecords
) -> None:
    """With few sessions among many keys the steps grow, so that they are few."""
    put_others(server, 20_000)
    there = put(server, 1)
    before = calls(server, "scan")
    page = records.page(node_part="alice")

    assert ([there], None) == (keys(page), page.cursor)
    assert calls(server, "scan") - before < 40


def test_what_a_scan_repeats_is_left_out(
    server: RedisServer, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that the scan gives twice is on the page once, and read once; the SCAN is a stub."""
    key = put(server, 1)
    steps, before = iter([(17, [key]), (0, [key])]), calls(server, "mget")
    monkeypatch.setattr(SessionRecords, "_step", lambda *_: next(steps))

    assert [key] == keys(SessionRecords(connection, seconds=SECONDS).page())
    assert before + 1 == calls(server, "mget")


def test_a_large_record_is_not_fetched(server: RedisServer, records: SessionRecords) -> None:
    """It is in the list with its size and why nothing is known of it."""
    put(server, 1, metadata="x" * LARGEST_RECORD)
    before = server.client.info("stats")["total_net_output_bytes"]
    (entry,) = records.page().sessions

    assert entry.facts is None
    assert entry.problem is not None
    assert "too large" in entry.problem
    assert entry.size is not None
    assert entry.size > LARGEST_RECORD
    assert server.client.info("stats")["total_net_output_bytes"] - before < 100_000


def test_large_records_are_bounded_together(server: RedisServer, records: SessionRecords) -> None:
    """Of many records that are just not too large, only some are read; all are listed."""
    for number in range(20):
        put(server, number, metadata="x" * (LARGEST_RECORD - 2_000))
    page = records.page()
    unread = [entry.problem for entry in page.sessions if entry.facts is None]

    assert 20 == len(page.sessions)
    assert ["not read, since the records on this page are too large together"] * 4 == unread


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"[]", b"[" * 100_000])
def test_a_malformed_record_is_listed_with_the_reason(
    server: RedisServer, records: SessionRecords, value: bytes
) -> None:
    """It does not spoil the others."""
    key, sound = key_text(identity(1)), put(server, 2)
    server.client.set(key, value)
    entries = {entry.key: entry for entry in records.page().sessions}
    found = records.session(key.encode())

    assert {key.encode(), sound} == entries.keys()
    assert entries[sound].problem is None
    assert entries[key.encode()].problem
    assert found is not None
    assert (value, None) == (found.value, found.document)
    assert found.entry.problem == entries[key.encode()].problem


def test_what_only_looks_like_a_session(server: RedisServer, records: SessionRecords) -> None:
    """Strings with odd names are listed; keys of other types and KATO's own others are not.

    These are not asked for their length either, which the server would count as an error.
    """
    server.client.set(b"kato:session:session-\xff\x00", "{}")
    server.client.hset("kato:session:session-hash", "a", "b")
    server.client.sadd(SESSION_INDEX, "session-x")
    server.client.set(node_pointer_key("alice"), "session-x")

    before = server.client.info("errorstats").get("errorstat_WRONGTYPE")

    assert [b"kato:session:session-\xff\x00"] == keys(records.page())
    assert before == server.client.info("errorstats").get("errorstat_WRONGTYPE")


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("alice", {1, 2}),
        ("alice-2", {2}),
        ("lic", {1, 2}),
        ("ALICE", set()),
        ("*", {3}),
        ("a*c", {3}),
        ("?", set()),
        ("[abc]", {4}),
        (".*", set()),
        ("^alice$", set()),
        ("\\", {5}),
        ("$where", set()),
        ("☃", {6}),
    ],
)
def test_a_node_is_searched_for_as_text(
    server: RedisServer, records: SessionRecords, part: str, found: set[int]
) -> None:
    """A glob, a regex or an operator finds the nodes that contain just these characters."""
    for number, node in enumerate(["alice", "alice-2", "a*c", "[abc]", "b\\c", "☃"], 1):
        put(server, number, node_id=node)

    expected = {key_text(identity(number)).encode() for number in found}
    assert expected == set(keys(records.page(node_part=part)))


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("abc", {"session-abc", "session-xabc", "session-[abc]"}),
        ("session-abc", {"session-abc"}),
        ("kato:session:session-abc", {"session-abc"}),
        ("sess", {"session-abc", "session-xabc", "session-a*c", "session-[abc]", "session-b\\c"}),
        ("*", {"session-a*c"}),
        ("session-a*c", {"session-a*c"}),
        ("session-?bc", set()),
        ("[abc]", {"session-[abc]"}),
        ("\\", {"session-b\\c"}),
        (".*", set()),
        ("ABC", set()),
    ],
)
def test_an_id_is_searched_for_as_text(
    server: RedisServer, records: SessionRecords, part: str, found: set[str]
) -> None:
    """Its beginning where the text begins as ids do, else any part; Redis's globs are text."""
    for name in ("session-abc", "session-xabc", "session-a*c", "session-[abc]", "session-b\\c"):
        server.client.set(key_text(name), "{}")

    assert {key_text(name).encode() for name in found} == set(keys(records.page(id_part=part)))


def test_both_searches_hold_together(server: RedisServer, records: SessionRecords) -> None:
    """Only what has both the part of the id and that of the node is found."""
    key = put(server, 1, node_id="bob")
    put(server, 2, node_id="bob")
    put(server, 3, node_id="alice")

    assert [key] == keys(records.page(id_part=identity(1)[:30], node_part="bob"))
    assert [key] == keys(records.page(id_part=identity(1), node_part="bob"))
    assert [] == keys(records.page(id_part=identity(1), node_part="alice"))


@pytest.mark.parametrize("prefix", ["", "kato:session:"])
def test_a_whole_id_is_found_without_a_scan(
    server: RedisServer, records: SessionRecords, prefix: str
) -> None:
    """However many other keys there are, it is looked up by its name."""
    put_others(server, 1_000)
    key = put(server, 1)
    before = calls(server, "scan")
    page = records.page(id_part=f"{prefix}{identity(1)}")

    assert ([key], None, 1) == (keys(page), page.cursor, page.looked_at)
    assert before == calls(server, "scan")
    assert [] == keys(records.page(id_part=identity(2)))


def test_sessions_whose_node_is_unknown_are_counted(
    server: RedisServer, records: SessionRecords
) -> None:
    """A search by node tells in how many records it could not look."""
    put(server, 1)
    put(server, 2, node_id=5)
    put(server, 3, metadata="x" * LARGEST_RECORD)
    server.client.set("kato:session:session-broken", "{")

    assert 3 == records.page(node_part="alice").unread
    assert 0 == records.page().unread


def test_one_session_with_all_that_is_known(server: RedisServer, records: SessionRecords) -> None:
    """The whole record, its memory, and what KATO 3's index and the old pointer say."""
    key = put(server, 1, ttl_seconds=3600, predictions=[{"name": "p"}])
    server.client.sadd(SESSION_INDEX, identity(1))
    server.client.set(node_pointer_key("alice"), identity(1))
    found = records.session(key)

    assert found is not None
    assert found.document is not None
    assert [{"name": "p"}] == found.document["predictions"]
    assert server.client.get(key) == found.value
    assert (True, True) == (found.indexed, found.pointed)
    assert found.memory is not None
    assert found.memory > len(found.value or b"")


def test_index_and_pointer_may_name_others(server: RedisServer, records: SessionRecords) -> None:
    """An index without this session says no; without an index there is nothing to say."""
    key = put(server, 1)
    without = records.session(key)
    server.client.sadd(SESSION_INDEX, identity(2))
    server.client.set(node_pointer_key("alice"), identity(2))
    others = records.session(key)

    assert without is not None
    assert (None, False) == (without.indexed, without.pointed)
    assert others is not None
    assert (False, False) == (others.indexed, others.pointed)


def test_foreign_types_beside_a_session(server: RedisServer, records: SessionRecords) -> None:
    """An index that is no set and a pointer that is no string leave the session as it is."""
    key = put(server, 1)
    server.client.set(SESSION_INDEX, "text")
    server.client.hset(node_pointer_key("alice"), "a", "b")
    found = records.session(key)

    assert found is not None
    assert found.document is not None
    assert (None, None) == (found.indexed, found.pointed)


def test_a_session_that_is_none(server: RedisServer, records: SessionRecords) -> None:
    """What is gone, was never there, or is another of KATO's keys is no session."""
    server.client.set(node_pointer_key("alice"), "session-x")

    assert records.session(key_text(identity(1)).encode()) is None
    assert records.session(node_pointer_key("alice")) is None


def test_a_key_of_another_type_says_so(server: RedisServer, records: SessionRecords) -> None:
    """It is there, but there is no record in it."""
    server.client.hset("kato:session:session-hash", "a", "b")
    found = records.session(b"kato:session:session-hash")

    assert found is not None
    assert "the key holds a hash, not a string" == found.entry.problem
    assert (None, None, None) == (found.entry.size, found.value, found.document)


def test_a_session_too_large_to_be_shown(server: RedisServer, records: SessionRecords) -> None:
    """One by itself may be larger than those in the list, but not of any size."""
    large = put(server, 1, metadata="x" * 2 * LARGEST_RECORD)
    huge = put(server, 2, metadata="x" * LARGEST_SHOWN)
    shown, refused = records.session(large), records.session(huge)

    assert shown is not None
    assert shown.document is not None
    assert refused is not None
    assert (None, None) == (refused.value, refused.document)
    assert "too large" in (refused.entry.problem or "")


def test_what_is_refused_beside_is_unknown(server: RedisServer) -> None:
    """Without TIME, DBSIZE, MEMORY and sets, all that needs none of them is told."""
    key = put(server, 1)
    server.client.sadd(SESSION_INDEX, identity(1))
    with closing(as_user(server, "-time", "-dbsize", "-memory", "-sismember")) as connection:
        records = SessionRecords(connection, seconds=SECONDS)
        page, found = records.page(), records.session(key)

    assert ([key], None) == (keys(page), page.keys)
    assert page.now == pytest.approx(time.time(), abs=5)
    assert found is not None
    assert found.document is not None
    assert (None, None) == (found.memory, found.indexed)


@pytest.mark.parametrize("rule", ["-scan", "-strlen", "-mget", "-pttl"])
def test_a_list_that_is_refused_says_so(server: RedisServer, rule: str) -> None:
    """What a page cannot do without is named."""
    put(server, 1)
    with (
        closing(as_user(server, rule)) as connection,
        pytest.raises(QueryError, match="not permitted"),
    ):
        SessionRecords(connection, seconds=SECONDS).page()


@pytest.mark.parametrize("rule", ["-type", "-pttl", "-strlen", "-get"])
def test_a_session_that_is_refused_says_so(server: RedisServer, rule: str) -> None:
    """What a session cannot be shown without is named."""
    key = put(server, 1)
    with (
        closing(as_user(server, rule)) as connection,
        pytest.raises(QueryError, match="not permitted"),
    ):
        SessionRecords(connection, seconds=SECONDS).session(key)


def test_a_silent_server_ends_a_page_in_time() -> None:
    """A server that never answers is a StoreError within the time limit."""
    with (
        black_hole() as port,
        closing(RedisConnection(f"redis://{LOOPBACK}:{port}", timeout=1.0)) as connection,
        at_most(3.3),
        pytest.raises(StoreError),
    ):
        SessionRecords(connection, seconds=SECONDS).page()


def test_reading_changes_nothing(server: RedisServer, records: SessionRecords) -> None:
    """Value and absolute expiry are the same after the list and the page of a session."""
    key = put(server, 1)
    before = server.client.dump(key), server.client.pexpiretime(key.decode())
    records.page()
    records.page(node_part="alice")
    records.session(key)

    assert before == (server.client.dump(key), server.client.pexpiretime(key.decode()))
