"""The pages of knowledge bases and patterns, on a real mongod."""

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, Decimal128, ObjectId, json_util
from bson.raw_bson import RawBSONDocument
from flask import Flask
from flask.testing import FlaskClient
from markupsafe import escape
from pymongo.errors import OperationFailure

from kato_exporter.browser.app import Place, create_app
from kato_exporter.browser.knowledge.pages import knowledge_pages
from kato_exporter.browser.knowledge.patterns import patterns_pages
from kato_exporter.demo.servers import LOOPBACK, free_port
from kato_exporter.demo.shapes import INDEXES, Document
from kato_exporter.kato.knowledge import METADATA, PATTERNS, SYMBOLS, pattern_name
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.knowledge import MongoKnowledge
from kato_exporter.stores.mongodb.patterns import MongoPatterns
from support.servers import MongoServer, missing

FIXTURES = Path(__file__).parents[1] / "fixtures" / "kato2"
KB = "alice_kato"
PAGE_ROWS = 3
PATIENT = 10.0
HOSTILE = (
    "<script>alert(1)</script>",
    "{{7*7}}{% raw %}",
    "\x1b[31mred\x07",
    "\u202egnirts\u2066",
    "=cmd|' /C calc'!A0",
    "\0",
    "a\"b'c&d<e>",
    "x" * 2_000_000,
    "../../etc",
    "$where",
    " leading and trailing ",
    "",
)


class Links(HTMLParser):
    """Finds the links and the elements of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.rows: list[str] = []
        self.elements: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of an element."""
        self.elements.append(tag)
        attributes = dict(attrs)
        if tag == "a":
            self.links.append(attributes.get("href") or "")
            if attributes.get("class") == "row":
                self.rows.append(attributes.get("href") or "")


def app_on(url: str, *, timeout: float = PATIENT) -> tuple[MongoConnection, Flask]:
    """Make the application on a server, as the browser is put together."""
    connection = MongoConnection(url, timeout=timeout, query_timeout=timeout)
    knowledge, patterns = MongoKnowledge(connection), MongoPatterns(connection)
    pages = [
        knowledge_pages(knowledge, patterns, page_rows=PAGE_ROWS),
        patterns_pages(patterns, knowledge, page_rows=PAGE_ROWS),
    ]
    places = [
        Place("Knowledge", "/kb"),
        Place("Vectors", "/qdrant"),
        Place("Sessions", "/sessions"),
    ]
    return connection, create_app(
        pages, places, export_rows=1_000, grafana_url="http://grafana.example"
    )


@pytest.fixture
def client(mongo: MongoServer) -> Iterator[FlaskClient]:
    """Give a client of the pages on the emptied server."""
    connection, app = app_on(mongo.url)
    with closing(connection):
        yield app.test_client()


def fill(mongo: MongoServer, documents: Sequence[Any], kb: str = KB) -> None:
    """Make the patterns of a knowledge base, with KATO's indexes."""
    collection = mongo.client[kb][PATTERNS]
    collection.create_indexes(INDEXES[PATTERNS])
    mongo.client[kb][SYMBOLS].create_indexes(INDEXES[SYMBOLS])
    if documents:
        collection.insert_many(documents)


def pattern(events: list[list[str]], **fields: Any) -> Document:
    """Make a pattern as KATO does."""
    return {
        "name": pattern_name(events),
        "pattern_data": events,
        "length": sum(map(len, events)),
        "frequency": 1,
        "emotives": {},
        "metadata": {},
        **fields,
    }


def load_recorded(mongo: MongoServer, kb: str = KB) -> dict[str, Any]:
    """Load what a KATO 2 wrote, with its indexes; give its patterns by name."""
    text = (FIXTURES / f"mongodb_{kb}.json").read_text()
    collections: dict[str, Any] = json_util.loads(text)["collections"]
    for name, held in collections.items():
        collection = mongo.client[kb][name]
        if INDEXES[name]:
            collection.create_indexes(INDEXES[name])
        if held["documents"]:
            collection.insert_many(held["documents"])
    return {each["name"]: each for each in collections[PATTERNS]["documents"]}


def page_of(client: FlaskClient, path: str, status: int = 200) -> str:
    """Give a page as text."""
    response = client.get(path)
    assert status == response.status_code, response.text[:2_000]
    assert response.content_type == "text/html; charset=utf-8"
    return response.text


def facts_of(client: FlaskClient, path: str, status: int = 200) -> Any:
    """Give the JSON twin of a page."""
    response = client.get(path, headers={"Accept": "application/json"})
    assert status == response.status_code, response.text[:2_000]
    return json.loads(response.text)


@contextmanager
def refusing(mongo: MongoServer, command: str, code: int, **data: object) -> Iterator[None]:
    """Let the server refuse a command of the browser's, by a fail point of its own."""
    data |= {"failCommands": [command], "errorCode": code, "appName": "kato-exporter"}
    try:
        mongo.client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)
    except OperationFailure as error:
        missing(f"fail points need mongod --setParameter enableTestCommands=1 ({error})")
    try:
        yield
    finally:
        mongo.client.admin.command("configureFailPoint", "failCommand", mode="off")


def test_knowledge_bases_are_listed_with_their_counts(
    mongo: MongoServer, client: FlaskClient
) -> None:
    """Page by page, sorted, with counts and bytes; other databases are not."""
    recorded = load_recorded(mongo)
    for name in ("b_kato", "c_kato", "d_kato"):
        fill(mongo, [pattern([["a", name]])], name)
    mongo.client["shop"]["orders"].insert_one({})
    first = facts_of(client, "/kb")
    second = facts_of(client, first["next"])

    assert [KB, "b_kato", "c_kato"] == [each["name"] for each in first["knowledge_bases"]]
    assert ["d_kato"] == [each["name"] for each in second["knowledge_bases"]]
    assert second["next"] is None
    [alice, *_] = first["knowledge_bases"]
    assert (len(recorded), 4, 4) == (alice["patterns"], alice["symbols"], alice["predictions"])
    assert alice["data_bytes"] == mongo.client[KB].command("dbStats")["dataSize"]
    assert ["/kb/alice_kato", "/kb/b_kato", "/kb/c_kato"] == Links(page_of(client, "/kb")).rows
    found = facts_of(client, "/kb?prefix=b_")
    assert ["b_kato"] == [each["name"] for each in found["knowledge_bases"]]
    lines = client.get("/kb?format=jsonl").text.splitlines()
    assert 4 == len(lines)
    assert "d_kato" == json.loads(lines[-1])["name"]


def test_a_text_is_told_from_a_number(mongo: MongoServer, client: FlaskClient) -> None:
    """A frequency that is a text stands in quotes."""
    fill(mongo, [pattern([["a", "b"]], frequency="9", length=9)])
    page = page_of(client, f"/kb/{KB}/patterns")

    assert '<td class="number"><code>"9"</code></td>' in page
    assert '<td class="number">9</td>' in page


def test_states_without_rows_say_what_to_do(mongo: MongoServer, client: FlaskClient) -> None:
    """No knowledge base, none that matches, none left; no pattern likewise."""
    assert "KATO makes one" in page_of(client, "/kb")
    fill(mongo, [])
    assert "takes the beginning of a name" in page_of(client, "/kb?prefix=nowhere")
    assert "has learned nothing" in page_of(client, f"/kb/{KB}")
    assert "has learned nothing" in page_of(client, f"/kb/{KB}/patterns")
    assert "must hold" in page_of(client, f"/kb/{KB}/patterns?symbol=x")


def test_a_knowledge_base_shows_what_it_is_made_of(mongo: MongoServer, client: FlaskClient) -> None:
    """Totals, sizes, collections with links, the most frequent patterns, the ways on."""
    load_recorded(mongo)
    mongo.client[KB]["odd/name %2F é"].insert_one({})
    facts = facts_of(client, f"/kb/{KB}")
    page = page_of(client, f"/kb/{KB}")
    links = Links(page).links

    assert {
        "pattern_frequencies": 12,
        "symbol_frequencies": 40,
        "symbols_in_patterns_frequencies": 37,
    } == facts["totals"]
    counts = {each["name"]: each["documents"] for each in facts["collections"]}
    assert {PATTERNS: 4, SYMBOLS: 4, METADATA: 1}.items() <= counts.items()
    assert 4 == len(facts["top_patterns"])
    assert f"/kb/{KB}/collections/odd~2fname%20~252F%20%C3%A9" in links
    assert f"/qdrant/vectors_{KB}" in links
    assert "/sessions?node=alice" in links
    assert f"http://grafana.example/d/kato-knowledge?var-kb={KB}" in links
    assert f"/kb/{KB}/patterns" in links


@pytest.mark.parametrize(
    "kb",
    ["nowhere", "admin", "config", "local", "shop", "a.b", "a$b", "%22%3Cb%3E", "x" * 70, "é%00"],
)
def test_what_is_no_knowledge_base_is_not_found(
    mongo: MongoServer, client: FlaskClient, kb: str
) -> None:
    """MongoDB's own databases, those of others and impossible names, on each page."""
    mongo.client["shop"]["orders"].insert_one({})
    for path in (f"/kb/{kb}", f"/kb/{kb}/patterns", f"/kb/{kb}/patterns/{'0' * 40}"):
        facts = facts_of(client, path, status=404)
        assert "There is no knowledge base" in facts["reason"]


def test_a_knowledge_base_may_have_an_odd_name(mongo: MongoServer, client: FlaskClient) -> None:
    """All links of its pages lead to it."""
    kb = "zoë_#1?&+=;'<b>\u202e"
    events = [["a"], ["b"]]
    fill(mongo, [pattern(events)], kb)
    [row] = Links(page_of(client, "/kb")).rows
    page = page_of(client, row)
    assert "\u202e" not in page.replace(f'data-copy="{escape(kb)}"', "")
    [listed] = [link for link in Links(page).rows if "/patterns/" in link]

    assert kb == facts_of(client, row)["kb"]
    assert pattern_name(events) == facts_of(client, listed)["name"]
    [next_page] = [link for link in Links(page).links if link.endswith("/patterns")]
    assert kb == facts_of(client, next_page)["kb"]
    assert 1 == len(Links(page_of(client, next_page)).rows)
    page_of(client, listed)


def test_all_patterns_can_be_paged_through(mongo: MongoServer, client: FlaskClient) -> None:
    """In each order, from link to link, each once; the page's links lead to the patterns."""
    documents = [pattern([["a"], [f"s{n}"] * (n % 3 + 1)], frequency=n % 4) for n in range(11)]
    documents.append({"name": "not KATO's", "frequency": "9"})
    documents.append({"frequency": math.nan})
    fill(mongo, documents)
    sorts = {"frequency": {"frequency": -1}, "length": {"length": -1}, "name": {}}
    for order, sort in sorts.items():
        path: str | None = f"/kb/{KB}/patterns?sort={order}"
        names: list[str] = []
        links: list[str] = []
        while path is not None:
            facts = facts_of(client, path)
            assert len(facts["patterns"]) <= PAGE_ROWS
            names += [row["name"] for row in facts["patterns"]]
            links += Links(page_of(client, path)).rows
            path = facts["next"]
        found = mongo.client[KB][PATTERNS].find(sort={**sort, "name": 1})

        assert names == [each.get("name") for each in found]
        assert 13 == len(links)
        assert 11 == sum("/patterns/" in link for link in links)
        assert 2 == sum("/collections/patterns_kb/" in link for link in links)


def test_patterns_are_searched(mongo: MongoServer, client: FlaskClient) -> None:
    """By the beginning of the name, by symbol and by frequency, with the count of those found."""
    fill(mongo, [pattern([["a"], [f"s{n}"]], frequency=n) for n in range(6)])
    name = pattern_name([["a"], ["s4"]])

    def found(query: str) -> list[int]:
        facts = facts_of(client, f"/kb/{KB}/patterns?{query}")
        return [row["frequency"] for row in facts["patterns"]]

    assert [4] == found(f"prefix={name[:12]}")
    assert [4] == found(f"prefix=PTRN|{name.upper()}".replace("PTRN|", "PTRN%7C"))
    assert [2] == found("symbol=s2")
    assert [5, 4, 3] == found("symbol=a")
    assert [3, 2] == found("least=2&most=3")
    assert [2] == found("least=2&most=3&symbol=s2")
    facts = facts_of(client, f"/kb/{KB}/patterns?least=2")
    assert {"number": 4, "more": False} == facts["count"]
    assert {"number": 6, "more": False} == facts_of(client, f"/kb/{KB}/patterns")["count"]
    assert facts_of(client, f"/kb/{KB}/patterns?symbol=a")["count"] is None
    assert "4 found" in page_of(client, f"/kb/{KB}/patterns?least=2")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("prefix=.*", "prefix"),
        ("prefix=%5Eab", "prefix"),
        ("prefix=%00", "prefix"),
        ("least=%7B%24gt%3A1%7D", "least"),
        ("most=9e9", "most"),
        ("least=3&most=2", "least"),
        ("least=9223372036854775808", "least"),
        ("sort=%24where", "sort"),
        ("after=rubbish", "after"),
        ("after=WzEsMl0", "after"),
        ("sort=name&after=WyJ6Il0&prefix=a", "after"),
        ("symbol=" + "x" * 1_001, "symbol"),
    ],
)
def test_a_wrong_argument_is_named(
    mongo: MongoServer, client: FlaskClient, query: str, named: str
) -> None:
    """A regular expression, an operator, a number too large or a key from elsewhere end in 400."""
    fill(mongo, [pattern([["a", "b"]])])
    query = query.replace("WzEsMl0", "WzEsMiwzXQ") if "sort" not in query else query
    facts = facts_of(client, f"/kb/{KB}/patterns?{query}", status=400)

    assert facts["reason"].startswith(f"{named}=")


@pytest.mark.parametrize("symbol", ["$where", "a.*", "{$ne: 1}", " a", "a/b", "%", "é\u202e", "\0"])
def test_a_symbol_is_searched_as_it_stands(
    mongo: MongoServer, client: FlaskClient, symbol: str
) -> None:
    """Operators, patterns and spaces are text; the pattern's page links to this very search."""
    fill(mongo, [pattern([["x", symbol]]), pattern([["x", "a"], ["b"]])])
    name = pattern_name([["x", symbol]])
    page = page_of(client, f"/kb/{KB}/patterns/{name}")
    [_, link, *_] = [link for link in Links(page).links if "symbol=" in link]

    assert [name] == [row["name"] for row in facts_of(client, link)["patterns"]]
    page_of(client, link)


def test_a_recorded_pattern_shows_all_it_has(mongo: MongoServer, client: FlaskClient) -> None:
    """Its events, emotives, metadata, symbols with their counts, its place and its document."""
    recorded = load_recorded(mongo)
    name = "a7938edb9478f7280132d45120f0ee0ebd58a9c3"
    facts = facts_of(client, f"/kb/{KB}/patterns/{name}")
    page = page_of(client, f"/kb/{KB}/patterns/{name}")
    links = Links(page).links

    assert recorded[name]["pattern_data"] == facts["events"]
    assert (4, 1) == (facts["length"], facts["frequency"])
    assert {"src": ["['r0']"]} == facts["metadata"]
    assert "learnings" == facts["emotives"]["shape"]
    assert [("joy", [0.3170493691347538], 0.3170493691347538)] == [
        (each["name"], each["values"], each["mean"]) for each in facts["emotives"]["emotives"]
    ]
    assert 1 / 12 == facts["share"]
    assert {"number": 0, "more": False} == facts["more_frequent"]
    symbols = {each["name"]: each for each in facts["symbols"]}
    assert ["e0", "e1", "a2", "g1"] == list(symbols)
    assert (5, 5, 1) == (
        symbols["g1"]["frequency"],
        symbols["g1"]["pattern_member_frequency"],
        symbols["g1"]["occurrences"],
    )
    assert "a2" == facts["rarest_symbol"]
    identity = recorded[name]["_id"]
    assert f"/kb/{KB}/collections/patterns_kb/{identity}" == facts["document"]
    assert facts["document"] in links
    assert f"/kb/{KB}/patterns?symbol=a2" in links
    assert symbols["g1"]["document"] in links
    for each in recorded:
        page_of(client, f"/kb/{KB}/patterns/{each}")


@pytest.mark.parametrize(
    ("stored", "shape", "expected"),
    [
        ({}, "empty", []),
        ([], "learnings", []),
        ([{"joy": 1.0}, {"joy": 3, "fear": 2}], "learnings", [("joy", 2.0), ("fear", 2.0)]),
        ({"joy": [1, 2], "fear": []}, "lists", [("joy", 1.5), ("fear", None)]),
    ],
)
def test_emotives_have_three_shapes(
    mongo: MongoServer,
    client: FlaskClient,
    stored: Any,
    shape: str,
    expected: list[tuple[str, float | None]],
) -> None:
    """All are shown as a table of the same kind."""
    document = pattern([["a", "b"]], emotives=stored)
    fill(mongo, [document])
    path = f"/kb/{KB}/patterns/{document['name']}"
    emotives = facts_of(client, path)["emotives"]

    assert shape == emotives["shape"]
    assert expected == [(each["name"], each["mean"]) for each in emotives["emotives"]]
    page_of(client, path)


def test_symbols_lead_to_what_they_stand_for(mongo: MongoServer, client: FlaskClient) -> None:
    """`PTRN|` to the pattern, `VCTR|` to the collection of vectors; what only looks so does not."""
    lower, vector = "a" * 40, "b" * 40
    document = pattern([[f"PTRN|{lower}", f"VCTR|{vector}", "PTRN|short", "VCTR|" + "g" * 40]])
    fill(mongo, [document])
    links = Links(page_of(client, f"/kb/{KB}/patterns/{document['name']}")).links

    assert 2 == links.count(f"/kb/{KB}/patterns/{lower}")  # among the events and the symbols
    assert 2 == links.count(f"/qdrant/vectors_{KB}")
    missing = facts_of(client, f"/kb/{KB}/patterns/{lower}", status=404)
    assert "another knowledge base" in missing["reason"]


def test_patterns_with_the_same_event_are_linked(mongo: MongoServer, client: FlaskClient) -> None:
    """Exactly the same symbols in the same order, at any place; itself is not among them."""
    one = pattern([["a", "b"], ["c"]])
    two = pattern([["x"], ["a", "b"]])
    other = pattern([["b", "a"], ["a", "b", "d"]])
    fill(mongo, [one, two, other, *(pattern([["c"], [f"n{n}"]]) for n in range(9))])
    facts = facts_of(client, f"/kb/{KB}/patterns/{one['name']}")
    [both, single] = facts["sharing"]

    assert ["a", "b"] == both["event"]
    assert [two["name"]] == [row["name"] for row in both["patterns"]]
    assert both["more"] is False
    assert (["c"], 5, True) == (single["event"], len(single["patterns"]), single["more"])
    assert (
        f"/kb/{KB}/patterns/{two['name']}"
        in Links(page_of(client, f"/kb/{KB}/patterns/{one['name']}")).links
    )


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_in_every_field_is_shown_as_text(
    mongo: MongoServer, client: FlaskClient, hostile: str
) -> None:
    """Nothing of it becomes an element; pages stay small; rows of CSV begin no formula."""
    name = "0" * 40
    fields = hostile.replace("\0", "0").removeprefix("$") or "empty"
    fill(
        mongo,
        [
            {
                "name": name,
                "pattern_data": [[hostile, "a"], [hostile]],
                "length": hostile,
                "frequency": 1,
                "emotives": {fields[:1_000]: [hostile]},
                "metadata": {fields[:1_000]: [hostile]},
                fields[:1_000]: {fields[:1_000]: hostile},
            },
            {"name": hostile[:2_000], "frequency": hostile[:2_000], "pattern_data": hostile},
        ],
    )
    mongo.client[KB][SYMBOLS].insert_one({"name": hostile, "frequency": hostile})
    mongo.client[KB][METADATA].insert_one({"class": "totals", "total_pattern_frequencies": hostile})
    plain = Links(page_of(client, f"/kb/{KB}/patterns/{name}"))
    paths = ["/kb", f"/kb/{KB}", f"/kb/{KB}/patterns", f"/kb/{KB}/patterns?sort=name"]
    for path in (*paths, f"/kb/{KB}/patterns/{name}"):
        page = page_of(client, path)
        elements = Links(page).elements

        assert 1 == elements.count("script")
        assert "b" not in elements
        assert "{{7*7}}" not in hostile or "{{7*7}}" in page or path == "/kb"
        assert len(page) < 200_000
        assert "\x1b" not in page
        assert "\u202e" not in page
        facts_of(client, path)
    assert plain.rows == []
    for cells in csv.reader(io.StringIO(client.get(f"/kb/{KB}/patterns?format=csv").text)):
        assert not any(cell.startswith(("=", "+", "@")) for cell in cells)


ODD_VALUES: Sequence[Any] = (
    *(None, True, 1.5, math.nan, -math.inf, [], [[]], [["a"], "b"], {}, {"a": [1]}, "text"),
    *([1, [2, [3]]], ObjectId(), Binary(b"\xff\0", 5), Decimal128("NaN"), 2**62, [{"joy": "x"}]),
    *({"joy": 1}, {"joy": [None, True, "2"]}, [{"joy": {"deep": []}}], [None], [[None, 1, {}]]),
)


@pytest.mark.parametrize("value", ODD_VALUES, ids=range(len(ODD_VALUES)))
def test_odd_types_in_every_field_crash_nothing(
    mongo: MongoServer, client: FlaskClient, value: Any
) -> None:
    """Whatever stands where KATO writes something else is shown."""
    odd = dict.fromkeys(
        ("pattern_data", "length", "frequency", "emotives", "metadata", "more"), value
    )
    fill(mongo, [{"name": "0" * 40, **odd}, {"name": "1" * 40}])
    mongo.client[KB][SYMBOLS].insert_one({"_id": 1, "name": "a", "frequency": value})
    paths = [f"/kb/{KB}", f"/kb/{KB}/patterns?symbol=a"]
    paths += [f"/kb/{KB}/patterns?sort={order}" for order in ("frequency", "name", "length")]
    for path in (*paths, f"/kb/{KB}/patterns/{'0' * 40}", f"/kb/{KB}/patterns/{'1' * 40}"):
        page_of(client, path)
        facts_of(client, path)
    missing = facts_of(client, f"/kb/{KB}/patterns/{'1' * 40}")["missing"]
    assert ["pattern_data", "length", "frequency", "emotives", "metadata"] == missing
    response = client.get(f"/kb/{KB}/patterns?sort=name&format=csv")
    assert 3 == len(list(csv.reader(io.StringIO(response.text))))


def test_deep_values_and_wrong_text_are_shown(mongo: MongoServer, client: FlaskClient) -> None:
    """As deep as MongoDB holds, and bytes that are no UTF-8."""
    deep: Any = "bottom"
    for _ in range(90):
        deep = {"d": deep}
    text = b"\x02other\0\x02\0\0\0\xff\0"
    name = b"\x02name\0\x29\0\0\0" + b"1" * 40 + b"\0"
    raw = RawBSONDocument((len(text + name) + 5).to_bytes(4, "little") + name + text + b"\0")
    fill(mongo, [pattern([["a", "b"]], name="0" * 40, metadata=deep)])
    mongo.client[KB].command("insert", PATTERNS, documents=[raw])
    for each in ("0" * 40, "1" * 40):
        page_of(client, f"/kb/{KB}/patterns/{each}")
        facts_of(client, f"/kb/{KB}/patterns/{each}")
    page_of(client, f"/kb/{KB}/patterns")


def test_a_pattern_of_many_symbols_is_cut_and_says_so(
    mongo: MongoServer, client: FlaskClient
) -> None:
    """Events, symbols of an event and emotives; the numbers are those of the whole."""
    events = [[f"s{event}.{number}" for number in range(700)] for event in range(400)]
    emotives = {f"e{number}": [number] * 30 for number in range(150)}
    fill(mongo, [pattern(events, name="0" * 40, emotives=emotives)])
    path = f"/kb/{KB}/patterns/{'0' * 40}"
    facts = facts_of(client, path)
    page = page_of(client, path)

    assert (400, 280_000) == (facts["events_in_all"], facts["symbols_in_all"])
    assert sum(map(len, facts["events"])) < 3_000
    assert any("of 400 events" in notice for notice in facts["notices"])
    assert any("Of large events" in notice for notice in facts["notices"])
    assert 100 == len(facts["symbols"])
    assert "The first 100 of" in page
    assert "Shown are 100 of 150 emotives" in page
    assert "the last 20 of 30" in page
    row = facts_of(client, f"/kb/{KB}/patterns")["patterns"][0]
    assert (400, None) == (row["events"], row["beginning"])
    assert "too large to list" in page_of(client, f"/kb/{KB}/patterns")


@pytest.mark.parametrize("field", ["symbol", "emotive", "metadata", "length", "other"])
def test_five_megabytes_in_a_field_are_cut(
    mongo: MongoServer, client: FlaskClient, field: str
) -> None:
    """The page stays small and says that it is cut."""
    text = "y" * 5_000_000
    fields: dict[str, Document] = {
        "symbol": {"pattern_data": [[text], ["a"]]},
        "emotive": {"emotives": {text: [1]}},
        "metadata": {"metadata": {"src": [text]}},
        "length": {"length": text},
        "other": {"other": text},
    }
    fill(mongo, [pattern([["a"], ["b"]], **{"name": "0" * 40, **fields[field]})])
    page = page_of(client, f"/kb/{KB}/patterns/{'0' * 40}")

    assert len(page) < 200_000
    assert "characters in all" in page
    assert len(page_of(client, f"/kb/{KB}/patterns")) < 20_000


def test_listings_are_downloaded_whole(mongo: MongoServer, client: FlaskClient) -> None:
    """From this page on, in its order and by its filter."""
    fill(mongo, [pattern([["a"], [f"s{n}"]], frequency=n) for n in range(10)])
    lines = client.get(f"/kb/{KB}/patterns?format=jsonl").text.splitlines()
    assert list(range(9, -1, -1)) == [json.loads(line)["frequency"] for line in lines]
    following = facts_of(client, f"/kb/{KB}/patterns?symbol=a&most=7")["next"]
    path = following.replace("format=json&", "").replace("&format=json", "")
    response = client.get(f"{path}&format=csv")
    table = list(csv.DictReader(io.StringIO(response.text)))

    assert ["4", "3", "2", "1", "0"] == [row["frequency"] for row in table]
    assert '[["a"], ["s4"]]' == table[0]["beginning"]
    assert 40 == len(table[0]["name"])


def test_patterns_that_are_left_out_are_announced(mongo: MongoServer, client: FlaskClient) -> None:
    """A frequency that is an array has no place; the page says so."""
    fill(mongo, [pattern([["a", "b"]]), {"name": "1" * 40, "frequency": [1, 2]}])

    assert "left out" in page_of(client, f"/kb/{KB}/patterns")
    assert "left out" in page_of(client, f"/kb/{KB}")
    assert "createIndex" in page_of(client, f"/kb/{KB}/patterns?sort=length")


def test_a_part_without_rights_leaves_the_others(mongo: MongoServer, client: FlaskClient) -> None:
    """Where the totals may not be read, all else of a knowledge base is there, with a notice."""
    load_recorded(mongo)
    with refusing(mongo, "find", 13, namespace=f"{KB}.{METADATA}"):
        facts = facts_of(client, f"/kb/{KB}")
        pattern_page = page_of(
            client, f"/kb/{KB}/patterns/a7938edb9478f7280132d45120f0ee0ebd58a9c3"
        )

    assert facts["totals"] is None
    assert 4 == len(facts["top_patterns"])
    assert any(notice.startswith("KATO's totals cannot be read") for notice in facts["notices"])
    assert "The share cannot be told" in pattern_page


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("/kb", "listDatabases"),
        (f"/kb/{KB}", "listCollections"),
        (f"/kb/{KB}/patterns", "find"),
        (f"/kb/{KB}/patterns/{'0' * 40}", "find"),
    ],
)
def test_what_the_account_may_not_do_is_said(
    mongo: MongoServer, client: FlaskClient, path: str, command: str
) -> None:
    """With 502, a reason and a way to try again."""
    fill(mongo, [pattern([["a", "b"]], name="0" * 40)])
    with refusing(mongo, command, 13):
        assert "Try again" in page_of(client, path, status=502)
    page_of(client, path)


def test_counts_that_are_refused_are_unknown(mongo: MongoServer, client: FlaskClient) -> None:
    """The list of knowledge bases has its rows, and says that counts are lacking."""
    fill(mongo, [])
    with refusing(mongo, "aggregate", 13):
        facts = facts_of(client, "/kb")
        page = page_of(client, "/kb")

    assert (KB, None) == (
        facts["knowledge_bases"][0]["name"],
        facts["knowledge_bases"][0]["patterns"],
    )
    assert ["Knowledge bases whose counts are lacking here: 1."] == facts["notices"]
    assert "unknown" in page


def test_a_listing_that_takes_too_long_says_so(mongo: MongoServer, client: FlaskClient) -> None:
    """The page has a way out, and a download ends with a note."""
    fill(mongo, [pattern([["a", "b"]])])
    with refusing(mongo, "find", 50):
        page = page_of(client, f"/kb/{KB}/patterns?sort=length")
        lines = client.get(f"/kb/{KB}/patterns?sort=length&format=jsonl").text.splitlines()

    assert "No answer in time." in page
    assert "createIndex({length: -1, name: 1})" in page
    assert "createIndex" in json.loads(lines[-1])["_note"]


def test_a_view_in_place_of_the_patterns_is_said_to_be_one(
    mongo: MongoServer, client: FlaskClient
) -> None:
    """The listing has no answer, all else of the knowledge base is there."""
    mongo.client[KB].create_collection(PATTERNS, viewOn="all", pipeline=[])
    facts = facts_of(client, f"/kb/{KB}")

    assert "is a view" in facts_of(client, f"/kb/{KB}/patterns", status=502)["reason"]
    assert any("is a view" in notice for notice in facts["notices"])
    assert facts["top_patterns"] is None
    assert {PATTERNS: None} == {each["name"]: each["documents"] for each in facts["collections"]}


def test_a_store_that_is_down_is_said_to_be() -> None:
    """On every page, with 503 and a way to try again."""
    connection, app = app_on(f"mongodb://{LOOPBACK}:{free_port()}", timeout=0.3)
    with closing(connection):
        client = app.test_client()
        for path in ("/kb", f"/kb/{KB}", f"/kb/{KB}/patterns", f"/kb/{KB}/patterns/{'0' * 40}"):
            assert "Try again" in page_of(client, path, status=503)
