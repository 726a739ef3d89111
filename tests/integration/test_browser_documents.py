"""The pages of documents on a real mongod, with documents that nobody should have written."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from bson import Code, Int64, MaxKey, ObjectId, encode
from bson.dbref import DBRef
from bson.raw_bson import RawBSONDocument
from flask.testing import FlaskClient
from markupsafe import escape
from werkzeug.test import TestResponse

from kato_exporter.browser.app import create_app
from kato_exporter.browser.knowledge.document_ids import id_text
from kato_exporter.browser.knowledge.document_paths import collection_path, document_path
from kato_exporter.browser.knowledge.documents import documents_pages
from kato_exporter.demo.servers import LOOPBACK
from kato_exporter.runtime.server import listen
from kato_exporter.runtime.web_config import WebConfig
from kato_exporter.setting_kinds import Address
from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, document_of, string_data
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.documents import MongoDocuments
from support.bson_values import IDS, object_of, string, value_of
from support.servers import MongoServer, black_hole
from support.slow_mongodb import slow

KB, COLLECTION = "alice_kato", "things_kb"
PAGE = f"/kb/{KB}/collections/{COLLECTION}"
NAME = "0123456789abcdef0123456789abcdef01234567"
ROWS = 5
HOSTILE = (
    "<script>alert(1)</script>",
    "{{7*7}}{% raw %}",
    "\x1b[31mred\x07",
    "\u202egnp.exe\u2066",
    "=HYPERLINK(1)",
    "\0\n\r\t",
    '"><img src=x onerror=alert(1)>',
    "' || '1'=='1",
    "../../etc/passwd",
    "\ufeff\u2028",
    "\udcff\udc80",
)


@pytest.fixture
def browser(mongo: MongoServer) -> Iterator[FlaskClient]:
    """Give a client of the pages, on the emptied server."""
    with browsing(mongo.url) as client:
        yield client


@contextmanager
def browsing(url: str, *, timeout: float = 10.0) -> Iterator[FlaskClient]:
    """Give a client of the pages on a server."""
    connection = MongoConnection(url, timeout=timeout, query_timeout=timeout)
    with closing(connection):
        pages = documents_pages(MongoDocuments(connection), page_rows=ROWS)
        yield create_app([pages], [], export_rows=1_000).test_client()


def insert(mongo: MongoServer, *written: bytes, collection: str = COLLECTION) -> None:
    """Insert documents just as they are."""
    command = {"insert": collection, "documents": [RawBSONDocument(each) for each in written]}
    answer = mongo.client[KB].command(command)
    assert len(written) == answer["n"], answer


def facts(answer: TestResponse) -> Any:
    """Give the facts of a page's JSON twin."""
    assert 200 == answer.status_code, answer.text[:500]
    return json.loads(answer.text)


def listing(browser: FlaskClient, **arguments: str) -> Any:
    """Give the facts of a listing."""
    return facts(browser.get(PAGE, query_string={**arguments, "format": "json"}))


def shown_ids(found: Mapping[str, Any]) -> list[str]:
    """Give the `_id`s that a listing shows."""
    return [row["_id"]["text"] for row in found["documents"]]


def test_a_collection_is_listed_from_the_newest(mongo: MongoServer, browser: FlaskClient) -> None:
    """With its count, its columns, and a next page until there is none."""
    mongo.client[KB][COLLECTION].insert_many([{"_id": n, "a": f"a{n}"} for n in range(12)])
    first = listing(browser)
    second = facts(browser.get(first["next"], headers={"Accept": "application/json"}))
    third = facts(browser.get(second["next"], headers={"Accept": "application/json"}))

    assert [12, ["a"], False] == [first["count"], first["columns"], first["read_only"]]
    assert ["11", "10", "9", "8", "7"] == shown_ids(first)
    assert ["6", "5", "4", "3", "2"] == shown_ids(second)
    assert ["1", "0"] == shown_ids(third)
    assert third["next"] is None
    cell = {"type": "string", "text": "a11", "note": "", "cut": False, "bytes": 8}
    assert [{"value": cell, "url": None}] == first["documents"][0]["cells"]
    page = browser.get(PAGE).text
    assert f'href="{first["documents"][0]["url"]}"' in page
    assert "12 documents" in page
    assert 'rel="next"' in page


def test_a_field_is_searched(mongo: MongoServer, browser: FlaskClient) -> None:
    """The type that a value is taken for is shown; the next page searches on."""
    mongo.client[KB][COLLECTION].insert_many([{"_id": n, "a": {"b": n % 2}} for n in range(20)])
    first = listing(browser, field="a.b", value="1")
    second = facts(browser.get(first["next"], headers={"Accept": "application/json"}))

    assert {
        "field": "a.b",
        "operator": "is",
        "type": "number",
        "guessed": True,
        "value": "1",
    } == first["query"]
    assert ["19", "17", "15", "13", "11"] == shown_ids(first)
    assert ["9", "7", "5", "3", "1"] == shown_ids(second)
    page = browser.get(PAGE, query_string={"field": "a.b", "value": "1"}).text
    assert "The value is taken for: <strong>number</strong>" in page
    assert [] == shown_ids(listing(browser, field="a.b", value="1", type="text"))
    nothing = browser.get(PAGE, query_string={"field": "a.b", "value": "1", "type": "text"}).text
    assert "the text 5 is not the number 5" in nothing


@pytest.mark.parametrize("value", ["$where", '{"$gt": ""}', ".*", "function(){}", "\0", "' || 1"])
def test_an_operator_in_a_value_is_text(
    mongo: MongoServer, browser: FlaskClient, value: str
) -> None:
    """It finds what has this very text, and nothing else."""
    mongo.client[KB][COLLECTION].insert_many([{"_id": 1, "a": value}, {"_id": 2, "a": "other"}])

    assert ["1"] == shown_ids(listing(browser, field="a", value=value))
    assert ["1"] == shown_ids(listing(browser, field="a", value=value, operator="starts"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"field": "$where", "value": "1"}, "is an operator to MongoDB"),
        ({"field": "a", "operator": "$where"}, "give one of is, starts"),
        ({"after": "x"}, "begin at the first page"),
        ({"after": "WyJ4Il0"}, "begin at the first page"),
        ({"after": "WzVd"}, "begin at the first page"),
    ],
)
def test_what_makes_no_sense_is_refused(
    mongo: MongoServer, browser: FlaskClient, arguments: dict[str, str], reason: str
) -> None:
    """With a sentence, as a page and as JSON."""
    mongo.client[KB][COLLECTION].insert_one({})
    for form in ("html", "json"):
        answer = browser.get(PAGE, query_string={**arguments, "format": form})
        assert 400 == answer.status_code
        assert reason in answer.text


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/kb/none/collections/a", "no knowledge base none"),
        ("/kb/shop/collections/orders", "no knowledge base shop"),
        ("/kb/admin/collections/system.users", "no knowledge base admin"),
        ("/kb/local/collections/startup_log", "no knowledge base local"),
        ("/kb/a.b/collections/a", "no knowledge base a.b"),
        ("/kb/%00/collections/a", "no knowledge base"),
        (f"/kb/{KB}/collections/none", "no collection none"),
        (f"/kb/{KB}/collections/%24cmd", "no collection $cmd"),
        (f"/kb/{KB}/collections/system.profile", "MongoDB&#39;s own"),
        (f"/kb/{KB}/collections/view", "is a view"),
        (f"{PAGE}/ffffffffffffffffffffffff", "no document of this _id"),
        (f"{PAGE}/x", "Give 24 hex digits"),
        (f"{PAGE}/%7B%22%24gt%22%3A1%7D", "no document of this _id"),
    ],
)
def test_what_is_not_there_is_told(
    mongo: MongoServer, browser: FlaskClient, path: str, reason: str
) -> None:
    """Only collections of knowledge bases have pages; a 404 says what is wrong."""
    mongo.client[KB][COLLECTION].insert_one({"_id": 1})
    mongo.client[KB].command("create", "view", viewOn=COLLECTION, pipeline=[])
    mongo.client["shop"]["orders"].insert_one({"_id": 1})
    answer = browser.get(path)

    assert 404 == answer.status_code
    assert reason in answer.text


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_data_breaks_no_page(mongo: MongoServer, browser: FlaskClient, text: str) -> None:
    """In names, values and `_id`s: nothing of it is markup, a template or a control character."""
    name = text.replace("\0", "").replace("$", "")
    fields = [(name, string(text)), ("n", object_of((name, string(text))))]
    fields.append(("s", BsonValue(BsonType.SYMBOL, string_data(text))))
    insert(mongo, document_of([("_id", string(text)), *fields]))
    identity = document_path(KB, COLLECTION, string(text))
    assert identity is not None

    for path in (
        PAGE,
        identity,
        f"{PAGE}?field=n.x&value={quote(text.encode('utf-8', 'replace'))}",
    ):
        answer = browser.get(path)
        assert 200 == answer.status_code
        without_form = answer.text.replace(f'value="{escape(text)}"', "")
        for danger in ("<script>a", "<img", "\x1b", "\x07", "\0", "\u202e", "\u2066", "\ufeff"):
            assert danger not in without_form
        assert ">49" not in answer.text
        facts(browser.get(path, headers={"Accept": "application/json"}))


def test_large_and_deep_documents_are_shown(mongo: MongoServer, browser: FlaskClient) -> None:
    """Cut, with a sentence that says so; 100 levels are as many as MongoDB's driver nests."""
    deep: dict[str, Any] = {}
    for _ in range(90):
        deep = {"d": deep}
    mongo.client[KB][COLLECTION].insert_many(
        [
            {"_id": 1, "text": "x" * 5_000_000},
            {"_id": 2, "deep": deep},
            {"_id": 3, "t": "[" * 1_000 + "]" * 1_000},
            {"_id": 4, **{f"f{n}": n for n in range(5_000)}},
            {"_id": 5, "list": list(range(20_000))},
        ]
    )
    page = browser.get(PAGE)
    rows = listing(browser)

    assert "too large for a listing" in page.text
    assert len(page.data) < 100_000
    assert ["Documents too large to be read for a listing: 1. Open them one by one."] == rows[
        "notices"
    ]
    for row in rows["documents"]:
        document = browser.get(row["url"])
        assert 200 == document.status_code
        assert len(document.data) < 400_000
    large = facts(browser.get(f"{rows['documents'][-1]['url']}?format=json"))
    assert large["document"] is None
    assert "its beginning is shown" in large["notices"][0]
    assert "cut, 4.8 MiB in all" in browser.get(rows["documents"][-1]["url"]).text


def test_a_document_is_shown_whole(mongo: MongoServer, browser: FlaskClient) -> None:
    """Each field with its type; the JSON twin has it in canonical extended JSON."""
    oid = ObjectId("f" * 24)
    mongo.client[KB][COLLECTION].insert_one(
        {"_id": oid, "a": Int64(1), "b": -0.0, "c": Code("x"), "r": DBRef("b_kb", 1)}
    )
    found = facts(browser.get(f"{PAGE}/{oid}?format=json"))

    assert {
        "_id": {"$oid": "f" * 24},
        "a": {"$numberLong": "1"},
        "b": {"$numberDouble": "-0.0"},
        "c": {"$code": "x"},
        "r": {"$ref": "b_kb", "$id": {"$numberInt": "1"}},
    } == found["document"]
    types = ["objectId", "long", "double", "javascript", "object"]
    assert types == [field["value"]["type"] for field in found["fields"]]
    page = browser.get(f"{PAGE}/{oid}").text
    assert '<th scope="row"><code>b</code></th><td>double</td><td><span class="value">-0.0' in page
    assert f'href="{document_path(KB, "b_kb", value_of(1))}"' in page


def test_ids_of_all_types_lead_to_their_documents(mongo: MongoServer) -> None:
    """Through a real web server, which takes slashes, dots and percent signs for its own."""
    taken = [identity for identity in IDS if identity != object_of(("$oid", string("f" * 24)))]
    insert(mongo, *(document_of([("_id", identity)]) for identity in taken))
    with serving(mongo.url) as base:
        links = []
        url = f"{base}{PAGE}?format=json"
        while url:
            found = httpx.get(url).json()
            links += [row["url"] for row in found["documents"]]
            url = f"{base}{found['next']}" if found["next"] else ""
        ids = [httpx.get(f"{base}{link}?format=json").json()["id"] for link in links]

    assert {id_text(identity) for identity in taken} == set(ids)
    assert len(taken) == len(ids)


@pytest.mark.parametrize("name", ["a/b", "a%2Fb", "~2f", "größe", "a b", "<b>", "a?b#c"])
def test_collections_of_any_name_have_pages(mongo: MongoServer, name: str) -> None:
    """Through a real web server as well."""
    mongo.client[KB][COLLECTION].insert_one({})
    insert(mongo, encode({"_id": 1}), collection=name)
    with serving(mongo.url) as base:
        found = httpx.get(f"{base}{collection_path(KB, name)}?format=json").json()
        document = httpx.get(f"{base}{found['documents'][0]['url']}")

    assert name == found["collection"]
    assert 200 == document.status_code


@contextmanager
def serving(url: str) -> Iterator[str]:
    """Serve the pages with the product's own web server."""
    with (
        browsing(url) as client,
        listen(client.application, Address(LOOPBACK, 0), WebConfig()) as address,
    ):
        yield f"http://{LOOPBACK}:{address.port}"


def test_what_kato_writes_leads_to_its_pages(mongo: MongoServer, browser: FlaskClient) -> None:
    """Patterns, symbols and predictions have links; the totals are read-only."""
    database = mongo.client[KB]
    database["patterns_kb"].insert_one({"name": NAME, "frequency": 2, "length": 3})
    database["symbols_kb"].insert_one({"name": "a&b/c", "frequency": 2})
    prediction = {"unique_id": "obs-1", "predictions": [{"name": NAME}, {"name": NAME[::-1]}]}
    database["predictions_kb"].insert_one({"_id": 1, **prediction})
    database["metadata"].insert_one({"class": "totals", "total_pattern_frequencies": 2})

    assert (
        f'href="/kb/{KB}/patterns/{NAME}"' in browser.get(f"/kb/{KB}/collections/patterns_kb").text
    )
    symbols = browser.get(f"/kb/{KB}/collections/symbols_kb").text
    assert f'href="/kb/{KB}/patterns?symbol=a%26b%2Fc"' in symbols
    predictions = browser.get(f"/kb/{KB}/collections/predictions_kb").text
    assert "obs-1" in predictions
    assert "2 entries" in predictions
    document = browser.get(f"/kb/{KB}/collections/predictions_kb/1").text
    assert f'href="/kb/{KB}/patterns/{NAME[::-1]}"' in document
    assert "read-only" in browser.get(f"/kb/{KB}/collections/metadata").text


def test_all_that_is_listed_can_be_downloaded(mongo: MongoServer, browser: FlaskClient) -> None:
    """From the page on and as searched: JSON Lines exactly, CSV without formulas."""
    large = {"_id": 500, "a": "x" * 1_000_000}
    rows = [{"_id": n, "a": "=1+1", "n": Int64(n)} for n in range(450)]
    mongo.client[KB][COLLECTION].insert_many([large, {"_id": MaxKey(), "b": 1}, *rows])
    search = {"field": "a", "operator": "exists"}
    lines = browser.get(PAGE, query_string={**search, "format": "jsonl"}).text.splitlines()
    answer = browser.get(PAGE, query_string={**search, "format": "csv"})
    csv.field_size_limit(2_000_000)
    table = list(csv.DictReader(io.StringIO(answer.text)))

    assert 451 == len(lines) == len(table)
    assert {"_id": {"$numberInt": "500"}, "a": "x" * 1_000_000} == json.loads(lines[0])
    assert {
        "_id": {"$numberInt": "449"},
        "a": "=1+1",
        "n": {"$numberLong": "449"},
    } == json.loads(lines[1])
    assert {"_id": "449", "a": "'=1+1", "n": "449"} == table[1]
    assert f"{KB}.{COLLECTION}.csv" in answer.headers["Content-Disposition"]


def test_empty_pages_say_what_to_do(mongo: MongoServer, browser: FlaskClient) -> None:
    """An empty collection, and a page after the last."""
    mongo.client[KB].create_collection(COLLECTION)
    assert "The collection is empty" in browser.get(PAGE).text

    mongo.client[KB][COLLECTION].insert_many([{"_id": n} for n in range(ROWS + 1)])
    following = listing(browser)["next"].replace("format=json&", "")
    mongo.client[KB][COLLECTION].delete_one({"_id": 0})
    assert "This is the end of the list" in browser.get(following).text


def test_a_search_that_is_cut_says_how_far_it_came(mongo: MongoServer) -> None:
    """And goes on from there; a download goes on by itself."""
    mongo.client[KB][COLLECTION].insert_many([{"_id": n, "a": n} for n in range(150)])
    search = {"field": "a", "value": "3"}
    with browsing(mongo.url, timeout=0.6) as browser, slow(mongo, 60):
        page = browser.get(PAGE, query_string=search)
        found = listing(browser, **search)
        lines = browser.get(PAGE, query_string={**search, "format": "jsonl"}).text.splitlines()

    assert "None found so far" in page.text
    assert "Go on searching" in page.text
    assert found["cut"]
    assert found["next"] is not None
    assert "The search was cut after 0.6 s." in found["notices"][0]
    assert (
        'documents could be compared for this page, down to the _id {"$numberInt": '
        in (found["notices"][0])
    )
    assert [3] == [int(json.loads(line)["a"]["$numberInt"]) for line in lines]


def test_a_server_that_is_silent_is_told() -> None:
    """The page says so, within its time, with a retry."""
    with black_hole() as port, browsing(f"mongodb://{LOOPBACK}:{port}", timeout=0.3) as browser:
        answer = browser.get(PAGE)

    assert 503 == answer.status_code
    assert "gives no answer" in answer.text
    assert "Retry-After" in answer.headers
