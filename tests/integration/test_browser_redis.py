"""The pages of Redis, on a real Valkey 9 and a real Redis 7."""

import csv
import io
import json
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from redis import Redis

from kato_exporter.browser.app import create_app
from kato_exporter.browser.redis.pages import redis_pages
from kato_exporter.demo.servers import LOOPBACK, free_port
from kato_exporter.demo.shapes import session_id, session_key
from kato_exporter.stores.redis.connection import RedisConnection
from kato_exporter.stores.redis.keys import RedisKeys
from kato_exporter.stores.redis.names import LONGEST_LINKED_NAME, name_bytes, name_text
from support.redis_servers import redis_server
from support.servers import RedisServer, black_hole
from support.waiting import at_most

TIMEOUT = 1.0
PAGE_ROWS = 20
EXPORT_ROWS = 500
COUNT = 600
LARGE = 5 * 1024 * 1024
PASSWORD = "s3cret-word"

HOSTILE: dict[str, bytes] = {
    "markup": b"<script>alert(1)</script>",
    "long markup": b"<script>alert(1)</script>\n" * 20,
    "attribute": b"\"' onmouseover=alert(1) x='",
    "template": b"{{7*7}}{% raw %}",
    "terminal": b"\x1b[31mred\x07",
    "right to left": "\u202egnirts\u2066".encode(),
    "nul": b"a\x00b",
    "no utf-8": b"\xff\xfe\xc3(",
    "half a surrogate": b"\xed\xa0\x80",
    "formula": b"=cmd|' /C calc'!A0",
    "line ends": b"a\r\nSet-Cookie: x=1\r\n\r\n",
    "nested": b"[" * 1_000 + b"]" * 1_000,
    "not quite json": b'{"a": 1e999, "b": NaN',
    "path": b"../../etc/passwd?x=1&y=2#z",
    "spaces": b"  a  ",
    "large": b"x" * LARGE,
}

WRITES: dict[str, Callable[[Redis, bytes, bytes], object]] = {
    "string": lambda client, name, value: client.set(name, value),
    "hash": lambda client, name, value: client.hset(name, value, value),
    "list": lambda client, name, value: client.rpush(name, value),
    "set": lambda client, name, value: client.sadd(name, value),
    "zset": lambda client, name, value: client.zadd(name, {value: 1}),
    "stream": lambda client, name, value: client.xadd(name, {value: value}),
}


class Page(HTMLParser):
    """What a reader sees of a page, and its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Gather the text."""
        self.words += data

    def links(self, attribute: str, value: str) -> list[str]:
        """Give where the links go that have an attribute of this value."""
        return [
            attributes["href"] or ""
            for tag, attributes in self.elements
            if tag == "a" and attributes.get(attribute) == value
        ]

    def attributes(self, name: str) -> list[str]:
        """Give all values of an attribute."""
        return [found for _, each in self.elements if (found := each.get(name)) is not None]


@pytest.fixture(params=["valkey", "redis7"])
def server(request: pytest.FixtureRequest) -> RedisServer:
    """Give each of the servers in turn, emptied."""
    found: RedisServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def browse() -> Iterator[Callable[[str], FlaskClient]]:
    """Give a function that opens the pages of the server at a URL."""
    connections: list[RedisConnection] = []

    def open_pages(url: str) -> FlaskClient:
        connections.append(RedisConnection(url, timeout=TIMEOUT))
        pages = redis_pages(RedisKeys(connections[-1]), page_rows=PAGE_ROWS)
        app = create_app([pages], [], export_rows=EXPORT_ROWS)
        return app.test_client()

    yield open_pages
    for connection in connections:
        connection.close()


@pytest.fixture
def client(server: RedisServer, browse: Callable[[str], FlaskClient]) -> FlaskClient:
    """Open the pages of the server."""
    return browse(server.url)


def page(client: FlaskClient, url: str) -> Page:
    """Open a page that is there."""
    response = client.get(url)
    assert 200 == response.status_code, response.text
    return Page(response.text)


def facts(client: FlaskClient, url: str) -> dict[str, Any]:
    """Ask for the JSON twin of a page."""
    response = client.get(url, headers={"Accept": "application/json"})
    assert 200 == response.status_code, response.text
    found = response.json
    assert isinstance(found, dict)
    return found


def reader(server: RedisServer, *without: str) -> str:
    """Make a user without some rights, and give the URL with it."""
    rights = ("~*", "+@all", *without)
    server.client.execute_command(  # type: ignore[no-untyped-call]
        "ACL", "SETUSER", "reader", "reset", "on", f">{PASSWORD}", *rights
    )
    return server.url.replace("//", f"//reader:{PASSWORD}@")


def key_url(name: bytes, **more: str) -> str:
    """Give the URL of the page of a key."""
    rest = "".join(f"&{argument}={quote(value)}" for argument, value in more.items())
    return f"/redis/key?name={quote(name_text(name))}{rest}"


def walk(client: FlaskClient, url: str) -> Iterator[Page]:
    """Go through a listing by its links to the next page, as a reader does."""
    following = [url]
    while following:
        found = page(client, following[0])
        yield found
        following = found.links("rel", "next")


def failure(client: FlaskClient, url: str) -> tuple[int, str]:
    """Open a page that cannot be shown; give the status and the reason."""
    response = client.get(url, headers={"Accept": "application/json"})
    assert response.json is not None
    assert "<h1>" in client.get(url).text
    return response.status_code, response.json["reason"]


def test_the_server_is_told_with_its_keys(server: RedisServer, client: FlaskClient) -> None:
    """What INFO has, by its sections, and what is asked for most before all."""
    server.client.mset({"a": 1, "b": 2})
    told = facts(client, "/redis")
    shown = page(client, "/redis")

    assert (2, 0, []) == (told["keys"], told["database"], told["notices"])
    assert "noeviction" == told["summary"]["maxmemory_policy"]
    assert 1 == sum(name.endswith("_version") for name in told["summary"])
    assert {"Server", "Memory", "Keyspace"} <= {section["title"] for section in told["sections"]}
    assert "Keys in database 0" in shown.words
    assert "maxmemory_policy" in shown.words
    assert ["/redis/keys"] == shown.links("class", "row")
    assert ["/redis/keys"] == [
        each["action"] for tag, each in shown.elements if tag == "form" and "action" in each
    ]


def test_keys_are_listed_with_their_facts(server: RedisServer, client: FlaskClient) -> None:
    """Type, time left, memory, and a link to each."""
    server.client.set("kato:session:x", "{}", ex=1_000)
    server.client.rpush("list", 1)
    told = facts(client, "/redis/keys")
    shown = page(client, "/redis/keys")
    session, items = told["keys"]

    assert ("kato:session:x", "string", False) == (
        session["name"],
        session["type"],
        session["persistent"],
    )
    assert 990 < session["ttl_seconds"] <= 1_000
    assert abs(time.time() + 1_000 - session["expires"]) < 5
    assert ("list", "list", True, None, None) == (
        items["name"],
        items["type"],
        items["persistent"],
        items["ttl_seconds"],
        items["expires"],
    )
    assert server.client.memory_usage("list") == items["memory_bytes"]
    assert (2, 2, None, []) == (told["looked_at"], told["total"], told["next"], told["notices"])
    assert ["/redis/key?name=kato:session:x", "/redis/key?name=list"] == shown.links("class", "row")
    [expires] = shown.attributes("data-expires")
    assert abs(time.time() + 1_000 - float(expires)) < 5
    assert "does not expire" in shown.words


def test_a_reader_comes_to_every_key(server: RedisServer, client: FlaskClient) -> None:
    """By the links to the next page, and from each page to the first one again."""
    names = {f"alice_kato:frequency:{number:04}" for number in range(300)}
    server.client.mset(dict.fromkeys(names, 1))
    pages = list(walk(client, "/redis/keys?match=frequency"))
    rows = [link for each in pages for link in each.links("class", "row")]

    assert {f"/redis/key?name={name}" for name in names} == set(rows)
    assert len(pages) >= 300 / (2 * PAGE_ROWS)
    assert [] == pages[0].links("rel", "first")
    assert {"/redis/keys?match=frequency"} == {
        link for each in pages[1:] for link in each.links("rel", "first")
    }


def test_an_empty_search_says_what_to_do(server: RedisServer, client: FlaskClient) -> None:
    """No keys at all, none that match, and none so far are three things."""
    assert "No keys." in page(client, "/redis/keys").words
    server.client.mset({f"{number:06}": 1 for number in range(100_000)})

    assert (
        "There are more keys: go on to the next page." in page(client, "/redis/keys?match=x").words
    )
    *_, last = walk(client, "/redis/keys?match=x")
    assert "No such key from here on." in last.words
    told = facts(client, "/redis/keys?match=x")
    assert ["This page stopped after 100 steps, before it was full; the next page goes on."] == (
        told["notices"]
    )
    server.client.flushdb()
    server.client.set("a", 1)
    assert "No such key." in page(client, "/redis/keys?match=x").words


@pytest.mark.parametrize(
    ("match", "found"),
    [("A", []), ("a.*", []), ("$where", []), ("a", ["a"]), ("?", ["a", "b"]), (r"\x61", ["a"])],
)
def test_what_is_looked_for_is_a_text_or_a_glob(
    server: RedisServer, client: FlaskClient, match: str, found: list[str]
) -> None:
    """A regex or an operator is a text like any other."""
    server.client.mset({"a": 1, "b": 2})
    told = facts(client, f"/redis/keys?match={quote(match)}")

    assert found == [key["name"] for key in told["keys"]]
    assert match == told["match"]
    assert match in page(client, f"/redis/keys?match={quote(match)}").attributes("value")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("/redis/keys?match=[abc", r"match=[abc: a [ has no ]; write \[ for the character itself"),
        ("/redis/keys?match=*a*b*c*d*e*", "match=*a*b*c*d*e*: give at most 5 stars"),
        ("/redis/keys?match=%5Cn", r"match=\n: write \\ for a backslash, \xNN for a byte"),
        ("/redis/keys?cursor=x", "cursor=x: give a whole number from 0 to"),
        ("/redis/keys?cursor=-1", "cursor=-1: give a whole number from 0 to"),
        ("/redis/keys?cursor=18446744073709551616", "give a whole number from 0 to 18,446,744"),
        ("/redis/key", "name: give the name of a key"),
        ("/redis/key?name=%5Cxzz", r"name=\xzz: write \\ for a backslash and \xNN for a byte"),
        (f"/redis/key?name={'x' * 6_000}", "give at most 5200 characters"),
        ("/redis/key?name=string&at=x", "at=x: give a whole number"),
        ("/redis/key?name=stream&at=1", "at=1: give the id of an entry"),
        ("/redis/key?name=stream&at=%2B", "at=+: give the id of an entry"),
        ("/redis/key?name=stream&order=x", "order=x: give one of oldest, newest"),
    ],
)
def test_a_wrong_argument_is_named(
    server: RedisServer, client: FlaskClient, url: str, reason: str
) -> None:
    """The answer says which, what was given, and what is right."""
    server.client.set("string", 1)
    server.client.xadd("stream", {"a": 1})
    status, said = failure(client, url)

    assert 400 == status
    assert reason in said


def test_a_string_is_no_listing(server: RedisServer, client: FlaskClient) -> None:
    """There are no rows of it to download."""
    server.client.set("string", 1)
    response = client.get("/redis/key?name=string&format=csv")

    assert 400 == response.status_code
    assert "format=csv: only listings have it" in response.text


def test_a_key_that_is_gone_is_not_found(client: FlaskClient) -> None:
    """It may have expired since it was listed."""
    status, reason = failure(client, "/redis/key?name=kato:session:x")

    assert 404 == status
    assert reason.startswith("There is no key kato:session:x: it never was, expired, or was")


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (b"17", "integer", "17"),
        (b'{"stm": [["a"]], "n": 1.10}', "JSON", '{\n  "stm": [\n    [\n      "a"\n    ]\n  ],\n'),
        ("Zoë\nwas here".encode(), "text", "Zoë\nwas here"),
        (b"\xff\\\x00", "binary", r"\xff\\\x00"),
        (b"", "text", "The value is empty."),
    ],
)
def test_a_string_is_shown_as_what_it_is(
    server: RedisServer, client: FlaskClient, value: bytes, kind: str, shown: str
) -> None:
    """With its size, how it is kept, and as JSON in the very spelling of the server."""
    server.client.set("a", value)
    told = facts(client, "/redis/key?name=a")
    text = told["string"]["text"]

    assert (kind, len(value), 0) == (
        told["string"]["kind"],
        told["string"]["size"],
        told["string"]["offset"],
    )
    assert value == (name_bytes(text) if kind == "binary" else text.encode())
    assert (("string", None), True) == ((told["type"], told["next"]), told["persistent"])
    assert told["encoding"] in ("int", "embstr", "raw")
    found = page(client, "/redis/key?name=a")
    assert shown in found.words
    assert ["a", text] == found.attributes("data-copy")


def test_a_long_string_is_shown_in_parts(server: RedisServer, client: FlaskClient) -> None:
    """Each has a link to the next one; together they are the value."""
    value = "日本" * 50_000
    server.client.set("a", value)
    pages = list(walk(client, "/redis/key?name=a"))
    copies = [each.attributes("data-copy")[1] for each in pages]

    assert value == "".join(copies)
    assert 5 == len(pages)
    assert "Bytes 0 to 65,535 of 300,000." in pages[0].words
    assert [] == pages[0].links("rel", "first")
    assert ["/redis/key?name=a"] == pages[1].links("rel", "first")
    assert (
        "The value ends before byte 400,000." in page(client, "/redis/key?name=a&at=400000").words
    )


ELEMENTS: dict[str, Callable[[Redis], object]] = {
    "hash": lambda client: client.hset("k", mapping={f"{n:04}": n for n in range(COUNT)}),
    "set": lambda client: client.sadd("k", *(f"{n:04}" for n in range(COUNT))),
    "list": lambda client: client.rpush("k", *(f"{n:04}" for n in range(COUNT))),
    "zset": lambda client: client.zadd("k", {f"{n:04}": n for n in range(COUNT)}),
    "stream": lambda client: [client.xadd("k", {"n": f"{n:04}"}) for n in range(COUNT)],
}


def text_of(element: dict[str, Any]) -> str:
    """Give what tells an element from the others."""
    for name in ("field", "member", "value"):
        if name in element:
            return str(element[name]["text"])
    return str(element["fields"][0][1]["text"])


@pytest.mark.parametrize("kind", ELEMENTS)
def test_a_collection_is_shown_page_by_page(
    server: RedisServer, client: FlaskClient, kind: str
) -> None:
    """As pages and as JSON: every element once, whatever the type."""
    ELEMENTS[kind](server.client)
    texts, url = list[str](), "/redis/key?name=k&format=json"
    while url:
        told = facts(client, url)
        assert (kind, COUNT, []) == (told["type"], told["length"], told["notices"])
        texts += map(text_of, told["elements"])
        url = told["next"]

    assert [f"{number:04}" for number in range(COUNT)] == sorted(texts)
    pages = list(walk(client, "/redis/key?name=k"))
    assert len(pages) > 10
    assert all(str(COUNT) in each.words for each in pages)
    assert {"/redis/key?name=k"} == {link for p in pages[1:] for link in p.links("rel", "first")}


@pytest.mark.parametrize("kind", ELEMENTS)
def test_a_collection_is_downloaded_whole(
    server: RedisServer, client: FlaskClient, kind: str
) -> None:
    """From this page on, up to the limit of downloads."""
    ELEMENTS[kind](server.client)
    lines = client.get("/redis/key?name=k&format=jsonl").text.splitlines()
    table = list(csv.DictReader(io.StringIO(client.get("/redis/key?name=k&format=csv").text)))

    assert EXPORT_ROWS + 1 == len(lines) == len(table)
    assert "cut after 500 rows" in json.loads(lines[-1])["_note"]
    first = json.loads(lines[0])
    assert (False, False) == (first["binary"], first["cut"])
    assert {"binary", "cut"} < set(table[0])


def test_a_stream_is_shown_with_its_groups(server: RedisServer, client: FlaskClient) -> None:
    """With the time of each entry, from either end, and what KATO uses it for."""
    for number in range(30):
        server.client.xadd(
            "stm:global", {"event_type": "observe"}, id=f"{1_700_000_000_000 + number}-0"
        )
    server.client.xgroup_create("stm:global", "stm_group_alice", id="0")
    told = facts(client, "/redis/key?name=stm:global")
    newest = facts(client, "/redis/key?name=stm:global&order=newest")
    shown = page(client, "/redis/key?name=stm:global")

    assert ("1700000000000-0", "2023-11-14T22:13:20+00:00") == (
        told["elements"][0]["id"],
        told["elements"][0]["added"],
    )
    assert "1700000000029-0" == newest["elements"][0]["id"]
    assert "order=newest" in newest["next"]
    [group] = told["groups"]
    assert ("stm_group_alice", 0, 0, "0-0") == (
        group["name"]["text"],
        group["consumers"],
        group["pending"],
        group["last_delivered"],
    )
    assert "KATO never trims it" in told["meaning"]
    assert "2023-11-14 22:13:20 UTC" in shown.words
    assert "stm_group_alice" in shown.words
    server.client.xgroup_destroy("stm:global", "stm_group_alice")
    assert "No group reads this stream." in page(client, "/redis/key?name=stm:global").words


def test_what_kato_keeps_is_explained(server: RedisServer, client: FlaskClient) -> None:
    """A session leads to its page; other names that begin so do not."""
    identifier = session_id("0123456789abcdef" * 2, 1_700_000_000)
    server.client.set(session_key(identifier), "{}")
    server.client.set("kato:session:session-made-up", "{}")
    server.client.xadd("stm:events:alice_kato", {"a": 1})
    server.client.sadd("kato:session:_active_index", identifier)

    told = facts(client, key_url(session_key(identifier).encode()))
    assert {"id": identifier, "url": f"/sessions/{identifier}"} == told["session"]
    assert f"/sessions/{identifier}" in page(
        client, key_url(session_key(identifier).encode())
    ).attributes("href")
    assert "session" not in facts(client, "/redis/key?name=kato:session:session-made-up")
    assert "of one processor" in facts(client, "/redis/key?name=stm:events:alice_kato")["meaning"]
    assert "index of sessions" in facts(client, key_url(b"kato:session:_active_index"))["meaning"]


@pytest.mark.parametrize("name", [b"", b" ", b"\xff\x00", b"a\\xff", b"a/b?c&d=e#f%41+g", b"<b>"])
def test_a_key_of_any_name_is_found_by_its_link(
    server: RedisServer, client: FlaskClient, name: bytes
) -> None:
    """The link of the listing leads to that very key."""
    server.client.mset({name: "right", b"another": "wrong", b"xff": "wrong"})
    links = page(client, "/redis/keys").links("class", "row")
    told = [facts(client, link) for link in links]

    assert ["right"] == [
        each["string"]["text"] for each in told if name_bytes(each["name"]) == name
    ]
    assert 3 == len(links)


def test_a_very_long_name_is_cut_and_has_no_link(server: RedisServer, client: FlaskClient) -> None:
    """It would not fit into a URL; one that just does is linked."""
    server.client.mset({b"\xff" * LONGEST_LINKED_NAME: 1, b"y" * LARGE: 2})
    shown = page(client, "/redis/keys")
    [link] = shown.links("class", "row")

    assert "1" == facts(client, link)["string"]["text"]
    assert "5,242,880 bytes, too long for a link" in shown.words
    assert len(shown.words) < 10_000


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_values_are_only_shown(server: RedisServer, client: FlaskClient, what: str) -> None:
    """As a name, a field, a member, an element or a value: nothing runs, nothing breaks."""
    value = HOSTILE[what]
    urls = ["/redis/keys"]
    for kind, write in WRITES.items():
        name = value[:1_000] + kind.encode()
        write(server.client, name, value)
        urls.append(key_url(name))
    server.client.xgroup_create(value[:1_000] + b"stream", value[:1_000], id="0")
    for url in urls:
        response = client.get(url)
        shown = Page(response.text)

        assert 200 == response.status_code
        assert ["/static/browser.js"] == shown.attributes("src")
        assert 1 == [tag for tag, _ in shown.elements].count("script")
        assert not [name for _, each in shown.elements for name in each if name.startswith("on")]
        assert not {"\x00", "\x1b", "\x07", "\u202e", "\u2066", "\ud800"} & set(shown.words)
        assert "Set-Cookie" not in response.headers
        assert len(response.data) < 700_000
        facts(client, url)


def test_no_cell_of_a_download_is_a_formula(server: RedisServer, client: FlaskClient) -> None:
    """Neither as the name of a key nor as what it holds."""
    value = HOSTILE["formula"]
    for kind, write in WRITES.items():
        write(server.client, value + kind.encode(), value)
    urls = [key_url(value + kind.encode()) for kind in WRITES if kind != "string"]
    for url in ("/redis/keys?", *urls):
        table = list(csv.reader(io.StringIO(client.get(f"{url}&format=csv").text)))

        assert len(table) > 1
        assert "=cmd" in str(table)
        assert not [cell for row in table for cell in row if cell.startswith(("=", "+", "-", "@"))]


def test_a_large_element_is_cut_and_says_so(server: RedisServer, client: FlaskClient) -> None:
    """The beginning is shown, with the size of the whole."""
    server.client.rpush("k", "x" * LARGE, "small")
    told = facts(client, "/redis/key?name=k")
    [first] = told["elements"]

    assert (4096, LARGE, True) == (
        len(first["value"]["text"]),
        first["value"]["size"],
        first["value"]["cut"],
    )
    assert ["This page stopped after 5.0 MiB, because elements are large."] == told["notices"]
    shown = page(client, "/redis/key?name=k")
    assert "cut, 5.0 MiB in all" in shown.words
    [following] = shown.links("rel", "next")
    assert "small" in page(client, following).words


def test_keys_are_downloaded(server: RedisServer, client: FlaskClient) -> None:
    """All that match, over as many pages as there are."""
    names = {f"kato:{number:03}" for number in range(100)}
    server.client.mset(dict.fromkeys([*names, "other"], 1))
    server.client.expire("kato:000", 1_000)
    lines = client.get("/redis/keys?match=kato:*&format=jsonl").text.splitlines()
    table = list(csv.DictReader(io.StringIO(client.get("/redis/keys?format=csv").text)))

    assert names == {json.loads(line)["name"] for line in lines}
    assert {*names, "other"} == {row["name"] for row in table}
    [expiring] = [row for row in table if row["persistent"] == "false"]
    assert "kato:000" == expiring["name"]
    assert 990 < float(expiring["ttl_seconds"]) <= 1_000
    assert {"string"} == {row["type"] for row in table}


def test_a_download_that_takes_too_long_says_where_to_go_on(
    server: RedisServer, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is whole by then says nothing."""
    monkeypatch.setattr("kato_exporter.browser.redis.pages._DOWNLOAD_SECONDS", 0.0)
    server.client.rpush("long", *range(100))
    server.client.rpush("short", 1)
    long, short, all_keys = (
        client.get(f"{url}format=jsonl").text.splitlines()
        for url in ("/redis/key?name=long&", "/redis/key?name=short&", "/redis/keys?")
    )

    assert PAGE_ROWS + 1 == len(long)
    assert (
        f"a download takes at most 0 s; go on from at={PAGE_ROWS}" in json.loads(long[-1])["_note"]
    )
    assert (1, 2) == (len(short), len(all_keys))
    server.client.mset({str(number): 1 for number in range(1_000)})
    last = client.get("/redis/keys?format=jsonl").text.splitlines()[-1]
    assert "go on from cursor=" in json.loads(last)["_note"]


def test_a_type_of_a_module_is_said_to_be_unsupported(
    tmp_path: Path, browse: Callable[[str], FlaskClient]
) -> None:
    """Redis 8's vector sets: what is known of any key is shown."""
    with redis_server("redis8", tmp_path) as running:
        with Redis(port=running.port) as server:
            server.execute_command("VADD", "v", "VALUES", 3, 1, 2, 3, "e")
        client = browse(running.url)
        told = facts(client, "/redis/key?name=v")

        assert "vectorset" == told["type"]
        assert "elements" not in told
        assert (
            "Keys of the type vectorset are not shown." in page(client, "/redis/key?name=v").words
        )


def test_without_rights_the_rest_of_each_page_is_there(
    server: RedisServer, browse: Callable[[str], FlaskClient]
) -> None:
    """An account without INFO, MEMORY and XINFO: what is lacking is said on each page."""
    server.client.xadd("x", {"a": 1})
    client = browse(reader(server, "-info", "-memory", "-xinfo", "-dbsize"))
    about, keys, key = (page(client, url) for url in ("/redis", "/redis/keys", "/redis/key?name=x"))

    assert "INFO is refused: " in about.words
    assert "The account needs the command INFO." in about.words
    assert "MEMORY USAGE is refused: " in keys.words
    assert ["/redis/key?name=x"] == keys.links("class", "row")
    assert "XINFO GROUPS is refused: " in key.words
    assert "Consumer groups" not in key.words
    assert 1 == len(facts(client, "/redis/key?name=x")["elements"])
    assert PASSWORD not in about.words + keys.words + key.words


def test_an_account_without_scan_has_a_page_that_says_so(
    server: RedisServer, browse: Callable[[str], FlaskClient]
) -> None:
    """Keys cannot be listed; one that is known can be read."""
    server.client.set("a", "value")
    client = browse(reader(server, "-scan"))
    status, reason = failure(client, "/redis/keys")

    assert 502 == status
    assert "scan" in reason
    assert "value" == facts(client, "/redis/key?name=a")["string"]["text"]
    assert 1 == facts(client, "/redis")["keys"]


@pytest.mark.parametrize("url", ["/redis", "/redis/keys", "/redis/key?name=a"])
def test_a_server_that_is_down_or_silent_is_said_to_be(
    browse: Callable[[str], FlaskClient], url: str
) -> None:
    """Each page is an answer in bounded time, with a way to try again."""
    down = browse(f"redis://{LOOPBACK}:{free_port()}/0").get(url)

    assert 503 == down.status_code
    assert "Try again" in down.text
    with black_hole() as port, at_most(2 * TIMEOUT):
        assert 503 == browse(f"redis://{LOOPBACK}:{port}/0").get(url).status_code
