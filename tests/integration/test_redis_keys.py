"""Keys and their values for the record browser, on a real Valkey 9 and a real Redis 7."""

import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from kato_exporter.browser.redis.key_match import parse_key_match
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.redis.connection import RedisConnection
from kato_exporter.stores.redis.keys import KeyDetail, RedisKeys
from kato_exporter.stores.redis.values import (
    PART_BYTES,
    SHOWN_BYTES,
    Elements,
    Excerpt,
    HashField,
    ListItem,
    ScoredMember,
)
from support.redis_servers import redis_server
from support.servers import RedisServer, black_hole
from support.waiting import at_most

TIMEOUT = 1.0
AT_MOST = 1.5
ROWS = 50
MANY = 100_000
LARGE = 1024 * 1024
PASSWORD = "s3cret-word"

READER = (
    "%R~* +client|setname +ping +info +dbsize +scan +type "
    "+pttl +memory|usage +object|encoding +strlen +getrange +hlen +hscan +scard +sscan +llen "
    "+lrange +zcard +zrange +xlen +xrange +xrevrange +xinfo|groups"
)
"""All that the pages of Redis need."""

QUESTIONS: dict[str, Callable[[RedisKeys], object]] = {
    "server": lambda keys: keys.server(),
    "page": lambda keys: keys.page(0, most=ROWS),
    "detail": lambda keys: keys.detail(b"a"),
    "string_part": lambda keys: keys.values.string_part(b"a"),
    "hash_fields": lambda keys: keys.values.hash_fields(b"a", most=ROWS),
    "set_members": lambda keys: keys.values.set_members(b"a", most=ROWS),
    "list_items": lambda keys: keys.values.list_items(b"a", most=ROWS),
    "ranked_members": lambda keys: keys.values.ranked_members(b"a", most=ROWS),
    "stream_entries": lambda keys: keys.values.stream_entries(b"a", most=ROWS),
    "stream_groups": lambda keys: keys.values.stream_groups(b"a"),
}


@pytest.fixture(params=["valkey", "redis7"])
def server(request: pytest.FixtureRequest) -> RedisServer:
    """Give each of the servers in turn, emptied."""
    found: RedisServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def keys(server: RedisServer) -> Iterator[RedisKeys]:
    """Open the server as the browser does."""
    with closing(RedisConnection(server.url, timeout=TIMEOUT)) as connection:
        yield RedisKeys(connection)


@pytest.fixture
def as_user(server: RedisServer) -> Iterator[Callable[[str], RedisKeys]]:
    """Give a function that opens the server as a user with these rights."""
    connections: list[RedisConnection] = []

    def open_server(rules: str) -> RedisKeys:
        server.client.execute_command(  # type: ignore[no-untyped-call]
            "ACL", "SETUSER", "reader", "reset", "on", f">{PASSWORD}", *rules.split()
        )
        url = server.url.replace("//", f"//reader:{PASSWORD}@")
        connections.append(RedisConnection(url, timeout=TIMEOUT))
        return RedisKeys(connections[-1])

    yield open_server
    for connection in connections:
        connection.close()


def fill(client: Redis, count: int, *, prefix: str = "alice_kato:frequency") -> None:
    """Write string keys, such as KATO 3 has for patterns."""
    for start in range(0, count, 10_000):
        client.mset({f"{prefix}:{n:06}": n for n in range(start, min(count, start + 10_000))})


def calls(client: Redis, *commands: str) -> dict[str, int]:
    """Count how often the server has been asked each of these commands."""
    stats = client.info("commandstats")
    return {name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in commands}


def all_keys(keys: RedisKeys, *, match: bytes | None = None) -> list[bytes]:
    """Follow the cursor to the end."""
    names, cursor = list[bytes](), 0
    while True:
        page = keys.page(cursor, match=match, most=ROWS)
        names += [key.name for key in page.keys]
        cursor = page.cursor
        if cursor == 0:
            return names


def all_elements(
    read: Callable[[Any], Elements[Any, Any]], place: int | str
) -> tuple[list[Any], int]:
    """Follow a collection to its end; give its elements and how many pages that took."""
    elements, pages = list[Any](), 0
    at: int | str | None = place
    while at is not None:
        page = read(at)
        elements += page.elements
        at = page.following
        pages += 1
    return elements, pages


def excerpt(data: bytes) -> Excerpt:
    """Make an excerpt of everything."""
    return Excerpt(data, len(data))


def detail(keys: RedisKeys, name: bytes) -> KeyDetail:
    """Describe a key that is there."""
    found = keys.detail(name)
    assert found is not None
    return found


def test_the_server_tells_its_sections_and_its_keys(server: RedisServer, keys: RedisKeys) -> None:
    """INFO comes as the server spells it, section by section, DBSIZE as a number."""
    server.client.mset({"a": 1, "b": 2})
    told = keys.server()
    sections = {section.title: dict(section.fields) for section in told.sections}

    assert {"Server", "Clients", "Memory", "Persistence", "Stats", "Keyspace"} <= set(sections)
    assert "0" == sections["Memory"]["maxmemory"]
    assert sections["Keyspace"]["db0"].startswith("keys=2,expires=0,")
    assert (2, ()) == (told.keys, told.lacking)


def test_a_page_describes_keys_of_every_type(server: RedisServer, keys: RedisKeys) -> None:
    """Each has its type, how long it lives and its memory, by name."""
    client = server.client
    client.set("string", "1", px=50_000)
    client.hset("hash", "a", "1")
    client.rpush("list", "a")
    client.sadd("set", "a")
    client.zadd("zset", {"a": 1})
    client.xadd("stream", {"a": "1"})
    page = keys.page(0, most=ROWS)
    found = {key.name: key for key in page.keys}
    types = {name.decode(): key.type for name, key in found.items()}

    assert {name: name for name in ("string", "hash", "list", "set", "zset", "stream")} == types
    assert sorted(found) == [key.name for key in page.keys]
    lifetime = found[b"string"].lifetime
    assert lifetime is not None
    assert 40 < lifetime <= 50
    assert math.inf == found[b"hash"].lifetime
    assert client.memory_usage("stream") == found[b"stream"].memory
    assert (0, 6, 6, None, ()) == (
        page.cursor,
        page.looked_at,
        page.total,
        page.cut,
        page.lacking,
    )


def test_an_empty_server_is_an_empty_page(keys: RedisKeys) -> None:
    """No key is no error."""
    page = keys.page(0, most=ROWS)

    assert ((), 0, 0, 0) == (page.keys, page.cursor, page.looked_at, page.total)


def test_no_more_keys_are_looked_at_than_there_are(server: RedisServer, keys: RedisKeys) -> None:
    """A step that asked for more has come to the end."""
    server.client.mset({"a": 1, "b": 2})
    page = keys.page(0, match=b"a", most=ROWS)

    assert (1, 2, 2) == (len(page.keys), page.looked_at, page.total)


def test_names_are_any_bytes(server: RedisServer, keys: RedisKeys) -> None:
    """The empty one too; each can be described by its name."""
    names = [b"", b"\x00", b"\xff\xfe", b"a b", b"\r\n", "日本".encode(), b"x" * 100_000]
    server.client.mset(dict.fromkeys(names, 1))

    assert sorted(names) == [key.name for key in keys.page(0, most=ROWS).keys]
    assert names == [detail(keys, name).facts.name for name in names]


def test_pages_together_have_every_key_once(server: RedisServer, keys: RedisKeys) -> None:
    """The cursor goes on where the page before ended."""
    fill(server.client, 1_000)

    assert sorted(server.client.scan_iter(count=1_000)) == sorted(all_keys(keys))


@pytest.mark.parametrize(
    ("match", "found"),
    [
        ("session", [b"kato:session:1", b"session"]),
        ("kato:*", [b"kato:*:", b"kato:session:1"]),
        (r"\*", [b"kato:*:"]),
        (r"[\*]", []),
        (r"*[\*]*", [b"kato:*:"]),
        ("[ks]*", [b"kato:*:", b"kato:session:1", b"session"]),
        (r"\xff", [b"a\xff"]),
        (r"?\xff", [b"a\xff"]),
        (r"\\", [b"back\\slash"]),
        ("日", ["日本".encode()]),
        ("SESSION", []),
        (".*", []),
        ("$where", []),
        (
            "",
            [b"a\xff", b"back\\slash", b"kato:*:", b"kato:session:1", b"session", "日本".encode()],
        ),
    ],
)
def test_a_search_finds_what_it_says(
    server: RedisServer, keys: RedisKeys, match: str, found: list[bytes]
) -> None:
    """A text anywhere, a glob from end to end; a regex or an operator is a text."""
    names = (b"a\xff", b"back\\slash", b"kato:*:", b"kato:session:1", b"session", "日本".encode())
    server.client.mset(dict.fromkeys(names, 1))

    assert found == all_keys(keys, match=parse_key_match(match).pattern)


def test_a_page_of_many_keys_costs_as_much_as_one_of_few(
    server: RedisServer, keys: RedisKeys
) -> None:
    """Among a hundred thousand keys each page is a step or two, the last ones too."""
    fill(server.client, MANY)
    cursor, costs = 0, list[int]()
    for _ in range(40):
        before = calls(server.client, "scan", "type", "keys")
        page = keys.page(cursor, most=ROWS)
        after = calls(server.client, "scan", "type", "keys")
        cursor = page.cursor
        costs.append(after["scan"] - before["scan"])
        assert ROWS <= len(page.keys) <= 2 * ROWS
        assert len(page.keys) == after["type"] - before["type"]
        assert before["keys"] == after["keys"]
        assert MANY == page.total

    assert max(costs) <= 2, costs


def test_a_search_that_finds_nothing_is_bounded(server: RedisServer, keys: RedisKeys) -> None:
    """A page gives up after a hundred steps, says so, and the next one goes on."""
    fill(server.client, MANY)
    server.client.config_resetstat()
    page = keys.page(0, match=b"*nowhere*", most=ROWS)

    assert () == page.keys
    assert page.cursor != 0
    assert "stopped after 100 steps" == page.cut
    assert 90_000 < page.looked_at < MANY
    assert {"scan": 100} == calls(server.client, "scan")
    end = keys.page(page.cursor, match=b"*nowhere*", most=ROWS)
    assert ((), 0, None) == (end.keys, end.cursor, end.cut)


def test_a_search_for_a_few_among_many_finds_them(server: RedisServer, keys: RedisKeys) -> None:
    """Where one in a thousand matches, a page has them at the price of a hundred steps at most."""
    fill(server.client, MANY)
    fill(server.client, 100, prefix="kato:session")
    server.client.config_resetstat()
    pages, cursor = list[int](), 0
    while True:
        page = keys.page(cursor, match=b"kato:session:*", most=ROWS)
        pages.append(len(page.keys))
        cursor = page.cursor
        if cursor == 0:
            break

    assert 100 == sum(pages)
    assert max(pages) < 2 * ROWS
    assert len(pages) <= 4
    assert calls(server.client, "scan")["scan"] <= 110 * len(pages)


def test_a_page_does_not_gather_very_long_names(server: RedisServer, keys: RedisKeys) -> None:
    """After a mebibyte of names it ends, long before it is full, and says why."""
    fill(server.client, 1_000)
    for number in range(200):
        server.client.set(f"{number:06}" + "x" * 100_000, 1)
    pages, cursor = list[int](), 0
    cuts: set[str | None] = set()
    while True:
        page = keys.page(cursor, match=b"*xxx*", most=ROWS)
        pages.append(len(page.keys))
        cuts.add(page.cut)
        cursor = page.cursor
        if cursor == 0:
            break

    assert 200 == sum(pages)
    assert statistics.mean(pages) < ROWS / 2
    assert max(pages) < ROWS
    assert "stopped because names are very long" in cuts


def test_a_key_that_goes_during_the_scan_is_left_out(
    server: RedisServer, keys: RedisKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a name and no type any more."""
    server.client.mset({"a": 1, "b": 2})
    scan = Redis.scan

    def scan_and_delete(client: Redis, *arguments: Any, **options: Any) -> Any:
        found = scan(client, *arguments, **options)
        server.client.delete("a")
        return found

    monkeypatch.setattr(Redis, "scan", scan_and_delete)

    assert [b"b"] == [key.name for key in keys.page(0, most=ROWS).keys]


def test_a_key_is_described_with_its_encoding(server: RedisServer, keys: RedisKeys) -> None:
    """OBJECT ENCODING says how the server keeps it; what is not there is None."""
    server.client.set("number", 17)
    server.client.set("text", "x" * 1_000)

    assert "int" == detail(keys, b"number").encoding
    assert "raw" == detail(keys, b"text").encoding
    assert keys.detail(b"nowhere") is None


def test_another_database_is_another_keyspace(server: RedisServer, keys: RedisKeys) -> None:
    """The database of the URL is the one that is read."""
    server.client.set("a", 1)
    url = server.url.removesuffix("/0") + "/3"
    with closing(RedisConnection(url, timeout=TIMEOUT)) as connection:
        other = RedisKeys(connection)

        assert (0, 3) == (other.server().keys, other.database)
        assert other.detail(b"a") is None
    assert 1 == keys.server().keys


def test_a_short_string_is_read_at_once(server: RedisServer, keys: RedisKeys) -> None:
    """Its bytes are exact; an offset behind its end is no error."""
    server.client.set("a", b"\x00\xff text")
    part = keys.values.string_part(b"a")
    behind = keys.values.string_part(b"a", 1_000)

    assert (b"\x00\xff text", 0, 7, None) == (part.data, part.offset, part.size, part.following)
    assert (b"", 1_000, 7, None) == (behind.data, behind.offset, behind.size, behind.following)


def test_a_long_string_is_read_in_parts(server: RedisServer, keys: RedisKeys) -> None:
    """Each part is bounded and has whole characters; together they are the value."""
    value = ("日" * 100_000).encode() + b"\xff" * 70_000
    server.client.set("a", value)
    server.client.config_resetstat()
    read, offset, parts = b"", 0, 0
    while True:
        part = keys.values.string_part(b"a", offset)
        assert len(part.data) <= PART_BYTES
        assert len(value) == part.size
        read += part.data
        parts += 1
        if part.following is None:
            break
        assert not 0x80 <= value[part.following] < 0xC0
        offset = part.following

    assert value == read
    assert 6 == parts
    assert {"getrange": 6, "get": 0} == calls(server.client, "getrange", "get")


def test_a_hash_is_read_page_by_page(server: RedisServer, keys: RedisKeys) -> None:
    """Every field once, with its value, whatever bytes they are."""
    server.client.hset("h", mapping={f"symbol {n}": n for n in range(1_000)})
    server.client.hset("h", b"\xff", b"\x00")
    fields, pages = all_elements(lambda at: keys.values.hash_fields(b"h", at, most=ROWS), 0)

    assert 1_001 == len(fields)
    assert 1_001 == len({field.field.data for field in fields})
    assert HashField(excerpt(b"symbol 17"), excerpt(b"17")) in fields
    assert HashField(excerpt(b"\xff"), excerpt(b"\x00")) in fields
    assert pages <= 21


def test_a_set_is_read_page_by_page(server: RedisServer, keys: RedisKeys) -> None:
    """Every member once."""
    server.client.sadd("s", *range(1_000), "text", b"\xff")
    members, pages = all_elements(lambda at: keys.values.set_members(b"s", at, most=ROWS), 0)

    assert 1_002 == len(members)
    assert {b"0", b"999", b"text", b"\xff"} < {member.data for member in members}
    assert pages <= 21


def test_a_list_is_read_page_by_page(server: RedisServer, keys: RedisKeys) -> None:
    """Elements come in their order with their indexes."""
    server.client.rpush("l", *range(120))
    items, pages = all_elements(lambda at: keys.values.list_items(b"l", at, most=ROWS), 0)

    assert [ListItem(n, excerpt(str(n).encode())) for n in range(120)] == items
    assert 3 == pages
    assert () == keys.values.list_items(b"l", 1_000, most=ROWS).elements


def test_a_sorted_set_is_read_page_by_page(server: RedisServer, keys: RedisKeys) -> None:
    """Members come by their scores, the infinite ones too."""
    server.client.zadd(
        "z", {f"m{n:03}": n / 8 for n in range(118)} | {"least": "-inf", "most": "inf"}
    )
    members, pages = all_elements(lambda at: keys.values.ranked_members(b"z", at, most=ROWS), 0)

    assert ScoredMember(0, excerpt(b"least"), -math.inf) == members[0]
    assert ScoredMember(1, excerpt(b"m000"), 0) == members[1]
    assert ScoredMember(118, excerpt(b"m117"), 14.625) == members[118]
    assert ScoredMember(119, excerpt(b"most"), math.inf) == members[119]
    assert (120, 3) == (len(members), pages)


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_stream_is_read_page_by_page(
    server: RedisServer, keys: RedisKeys, *, newest_first: bool
) -> None:
    """Entries come in the order of their ids or against it, none of them twice."""
    for number in range(1, 121):
        server.client.xadd("x", {"n": number}, id=f"{number}-0")
    entries, pages = all_elements(
        lambda at: keys.values.stream_entries(b"x", at, most=ROWS, newest_first=newest_first), ""
    )
    ids = [f"{number}-0" for number in range(1, 121)]

    assert (ids[::-1] if newest_first else ids) == [entry.id for entry in entries]
    assert 3 == pages
    assert 120 == keys.values.stream_entries(b"x", most=ROWS).length


def test_an_entry_of_a_stream_keeps_all_its_fields(server: RedisServer, keys: RedisKeys) -> None:
    """In their order, and one that is there twice too; beyond fifty they are counted."""
    server.client.execute_command("XADD", "x", "1-1", "b", "1", "a", "2", "b", b"\xff")  # type: ignore[no-untyped-call]
    server.client.xadd("x", {str(number): number for number in range(60)}, id="2-1")
    first, second = keys.values.stream_entries(b"x", most=ROWS).elements

    assert [(b"b", b"1"), (b"a", b"2"), (b"b", b"\xff")] == [
        (field.data, value.data) for field, value in first.fields
    ]
    assert (3, 50, 60) == (first.fields_in_all, len(second.fields), second.fields_in_all)


def test_the_groups_of_a_stream_are_told(server: RedisServer, keys: RedisKeys) -> None:
    """The first hundred with how far they are, and how many there are in all."""
    for number in range(3):
        server.client.xadd("x", {"n": number}, id=f"{number}-1")
    server.client.xgroup_create("x", "stm_group_alice", id="0")
    server.client.xreadgroup("stm_group_alice", "me", {"x": ">"}, count=2)
    [group], count = keys.values.stream_groups(b"x")

    assert (excerpt(b"stm_group_alice"), 1, 2, "1-1", 1, 1) == (
        group.name,
        group.consumers,
        group.pending,
        group.last_delivered,
        group.lag,
        count,
    )
    for number in range(104):
        server.client.xgroup_create("x", f"group{number}")
    groups, count = keys.values.stream_groups(b"x")
    assert (100, 105) == (len(groups), count)


COLLECTIONS: dict[str, Callable[[Redis, list[bytes]], object]] = {
    "hash": lambda client, values: client.hset("k", mapping={v[:40]: v for v in values}),
    "list": lambda client, values: client.rpush("k", *values),
    "set": lambda client, values: client.sadd("k", *values),
    "zset": lambda client, values: client.zadd("k", dict.fromkeys(values, 1)),
    "stream": lambda client, values: [client.xadd("k", {"data": value}) for value in values],
}
READS: dict[str, Callable[[RedisKeys], Elements[Any, Any]]] = {
    "hash": lambda keys: keys.values.hash_fields(b"k", most=ROWS),
    "list": lambda keys: keys.values.list_items(b"k", most=ROWS),
    "set": lambda keys: keys.values.set_members(b"k", most=ROWS),
    "zset": lambda keys: keys.values.ranked_members(b"k", most=ROWS),
    "stream": lambda keys: keys.values.stream_entries(b"k", most=ROWS),
}
COMMANDS = {
    "hash": "hscan",
    "list": "lrange",
    "set": "sscan",
    "zset": "zrange",
    "stream": "xrange",
}


def excerpts(element: Any) -> list[Excerpt]:
    """Give what an element of any collection has in bytes."""
    match element:
        case Excerpt():
            return [element]
        case HashField():
            return [element.field, element.value]
        case ListItem():
            return [element.value]
        case ScoredMember():
            return [element.member]
    return [each for pair in element.fields for each in pair]


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_large_elements_are_cut_and_read_one_by_one(
    server: RedisServer, keys: RedisKeys, kind: str
) -> None:
    """A page has few elements of a mebibyte, a beginning of each, and where to go on.

    The smallest step of HSCAN and SSCAN is a bucket, which has several elements in Valkey.
    """
    in_buckets = kind in ("hash", "set")
    COLLECTIONS[kind](server.client, [b"%06d" % n + b"x" * LARGE for n in range(40)])
    server.client.config_resetstat()
    page = READS[kind](keys)
    sent = server.client.info("stats")["total_net_output_bytes"]

    assert 1 <= len(page.elements) <= (16 if in_buckets else 2)
    assert sent < (20 * LARGE if in_buckets else 3 * LARGE)
    assert page.following is not None
    assert page.cut is not None
    assert page.cut.startswith("stopped after ")
    assert page.cut.endswith(" MiB, because elements are large")
    largest = max((each for e in page.elements for each in excerpts(e)), key=lambda e: e.size)
    assert (LARGE + 6, SHOWN_BYTES) == (largest.size, len(largest.data))


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_pages_of_large_elements_have_them_all(
    server: RedisServer, keys: RedisKeys, kind: str
) -> None:
    """A page that ends early loses nothing."""
    COLLECTIONS[kind](server.client, [b"%06d" % n + b"x" * 300_000 for n in range(40)])
    read: dict[str, tuple[Callable[[Any], Elements[Any, Any]], int | str]] = {
        "hash": (lambda at: keys.values.hash_fields(b"k", at, most=ROWS), 0),
        "list": (lambda at: keys.values.list_items(b"k", at, most=ROWS), 0),
        "set": (lambda at: keys.values.set_members(b"k", at, most=ROWS), 0),
        "zset": (lambda at: keys.values.ranked_members(b"k", at, most=ROWS), 0),
        "stream": (lambda at: keys.values.stream_entries(b"k", at, most=ROWS), ""),
    }
    elements, pages = all_elements(*read[kind])
    beginnings = {excerpts(element)[-1].data[:6] for element in elements}

    assert {b"%06d" % n for n in range(40)} == beginnings
    assert pages > 1


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_a_page_of_a_large_collection_is_a_few_commands(
    server: RedisServer, keys: RedisKeys, kind: str
) -> None:
    """Of a hundred thousand members ten are asked for at a time, and the rest is not touched."""
    if kind == "stream":
        pipeline = server.client.pipeline(transaction=False)
        for number in range(1, MANY + 1):
            pipeline.xadd("k", {"n": number}, id=f"{number}-0")
        pipeline.execute()
    else:
        COLLECTIONS[kind](server.client, [b"%06d" % n for n in range(MANY)])
    server.client.config_resetstat()
    page = READS[kind](keys)

    assert MANY == page.length
    assert ROWS <= len(page.elements) < 2 * ROWS
    assert page.cut is None
    assert 1 <= calls(server.client, COMMANDS[kind])[COMMANDS[kind]] <= ROWS / 10
    assert server.client.info("stats")["total_net_output_bytes"] < 20_000


def test_a_page_in_the_middle_is_asked_by_its_index(server: RedisServer, keys: RedisKeys) -> None:
    """It costs the commands of the first page, not those of all pages before it."""
    values = [b"%06d" % n for n in range(MANY)]
    server.client.rpush("l", *values)
    server.client.zadd("z", dict.fromkeys(values, 1))
    server.client.config_resetstat()
    items = keys.values.list_items(b"l", 50_000, most=ROWS)
    members = keys.values.ranked_members(b"z", 50_000, most=ROWS)

    assert ListItem(50_000, excerpt(b"050000")) == items.elements[0]
    assert ScoredMember(50_000, excerpt(b"050000"), 1) == members.elements[0]
    assert (50_050, 50_050) == (items.following, members.following)
    assert {"lrange": 5, "zrange": 5} == calls(server.client, "lrange", "zrange")


def test_what_the_server_gives_at_once_is_bounded(server: RedisServer, keys: RedisKeys) -> None:
    """A hash that is packed comes as a whole; the page has a thousand fields and says so."""
    setting = "hash-max-listpack-entries"
    before = str(server.client.config_get(setting)[setting])
    server.client.config_set(setting, 5_000)
    try:
        server.client.hset("k", mapping={str(number): number for number in range(3_000)})
        page = keys.values.hash_fields(b"k", most=ROWS)
    finally:
        server.client.config_set(setting, before)

    assert (1_000, 3_000, None) == (len(page.elements), page.length, page.following)
    assert "the server gives 3,000 at once; the first 1,000 are shown" == page.cut


def test_a_key_of_another_type_is_a_question_refused(server: RedisServer, keys: RedisKeys) -> None:
    """It was replaced between two questions; nothing else is wrong."""
    server.client.set("a", 1)
    with pytest.raises(QueryError, match=r"WRONGTYPE|wrong kind of value"):
        keys.values.hash_fields(b"a", most=ROWS)
    server.client.delete("a")
    server.client.rpush("a", 1)
    with pytest.raises(QueryError, match=r"WRONGTYPE|wrong kind of value"):
        keys.values.string_part(b"a")


def test_the_type_of_a_module_is_told(tmp_path: Path) -> None:
    """Redis 8 has vector sets, which are such a type."""
    with (
        redis_server("redis8", tmp_path) as running,
        closing(RedisConnection(running.url, timeout=TIMEOUT)) as connection,
    ):
        connection.client.execute_command("VADD", "v", "VALUES", 3, 1, 2, 3, "e")  # type: ignore[no-untyped-call]

        assert "vectorset" == detail(RedisKeys(connection), b"v").facts.type


def test_redis_6_has_pages_too(tmp_path: Path) -> None:
    """What an older server cannot tell is None."""
    with (
        redis_server("redis6", tmp_path) as running,
        closing(RedisConnection(running.url, timeout=TIMEOUT)) as connection,
    ):
        keys = RedisKeys(connection)
        connection.client.xadd("x", {"a": 1}, id="1-1")
        connection.client.xgroup_create("x", "g")
        [group], _ = keys.values.stream_groups(b"x")

        assert "Server" == keys.server().sections[0].title
        assert [b"x"] == all_keys(keys)
        assert ["1-1"] == [e.id for e in keys.values.stream_entries(b"x", most=ROWS).elements]
        assert group.lag is None


def test_the_least_rights_are_enough(
    server: RedisServer, as_user: Callable[[str], RedisKeys]
) -> None:
    """With these and no others nothing is lacking."""
    keys = as_user(READER)
    client = server.client
    client.set("string", 1)
    for kind, write in COLLECTIONS.items():
        client.delete("k")
        write(client, [b"a"])
        assert kind == detail(keys, b"k").facts.type
        assert 1 == len(READS[kind](keys).elements)
    client.xgroup_create("k", "g")

    assert () == keys.server().lacking
    assert () == keys.page(0, most=ROWS).lacking
    assert () == detail(keys, b"string").lacking
    assert b"1" == keys.values.string_part(b"string").data
    assert 1 == keys.values.stream_groups(b"k")[1]
    assert 1 == len(keys.values.stream_entries(b"k", most=ROWS, newest_first=True).elements)


def test_what_is_refused_is_lacking_and_the_rest_is_there(
    server: RedisServer, as_user: Callable[[str], RedisKeys]
) -> None:
    """An account without INFO, DBSIZE, PTTL, MEMORY and OBJECT still reads keys and values."""
    server.client.hset("a", "f", "v")
    keys = as_user("~* +@all -info -dbsize -pttl -memory -object")
    told, page, described = keys.server(), keys.page(0, most=ROWS), detail(keys, b"a")

    assert ((), None) == (told.sections, told.keys)
    assert ["INFO", "DBSIZE"] == [line.split(" is refused: ")[0] for line in told.lacking]
    assert ["DBSIZE", "PTTL", "MEMORY USAGE"] == [
        line.split(" is refused: ")[0] for line in page.lacking
    ]
    [key] = page.keys
    assert (b"a", "hash", None, None) == (key.name, key.type, key.lifetime, key.memory)
    assert (1, None) == (page.looked_at, page.total)
    assert described.encoding is None
    assert ["PTTL", "MEMORY USAGE", "OBJECT ENCODING"] == [
        line.split(" is refused: ")[0] for line in described.lacking
    ]
    assert 1 == len(keys.values.hash_fields(b"a", most=ROWS).elements)


def test_keys_that_the_account_may_not_read_are_listed(
    server: RedisServer, as_user: Callable[[str], RedisKeys]
) -> None:
    """SCAN names them all; of those that are forbidden nothing more is known."""
    server.client.mset({"kato:session:a": 1, "secret": 2})
    keys = as_user("%R~kato:* +@all")
    page = keys.page(0, most=ROWS)

    assert [(b"kato:session:a", "string"), (b"secret", None)] == [
        (key.name, key.type) for key in page.keys
    ]
    assert 3 == len(page.lacking)
    with pytest.raises(QueryError, match="TYPE is refused: "):
        keys.detail(b"secret")


def test_an_account_without_scan_is_told_so(
    server: RedisServer, as_user: Callable[[str], RedisKeys]
) -> None:
    """There is no page of keys then."""
    server.client.set("a", 1)
    keys = as_user("~* +@all -scan -xinfo")
    with pytest.raises(QueryError, match=r"not permitted: .*scan"):
        keys.page(0, most=ROWS)
    with pytest.raises(QueryError, match=r"not permitted: .*xinfo"):
        keys.values.stream_groups(b"a")


def test_a_page_that_takes_too_long_ends_with_what_it_has(server: RedisServer) -> None:
    """Each takes one step at least, says that there is more, and the next one goes on."""
    fill(server.client, 1_000)
    server.client.rpush("l", *range(100))
    with closing(RedisConnection(server.url, timeout=TIMEOUT)) as connection:
        connection.timeout = 0  # of a page; replies are waited for as before
        keys = RedisKeys(connection)
        page = keys.page(0, match=b"l", most=ROWS)
        items = keys.values.list_items(b"l", most=ROWS)

        assert 50 == page.looked_at
        assert "stopped after 0 s" == page.cut == items.cut
        assert (10, 10) == (len(items.elements), items.following)
        assert [b"l"] == all_keys(keys, match=b"l")


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_server_that_never_answers_is_given_up(question: str) -> None:
    """The time limit of the connection holds for every question."""
    with (
        black_hole() as port,
        closing(RedisConnection(f"redis://127.0.0.1:{port}", timeout=TIMEOUT)) as connection,
        at_most(AT_MOST),
        pytest.raises(StoreError),
    ):
        QUESTIONS[question](RedisKeys(connection))
