"""Pages of Qdrant on the stub of Qdrant and on laid down answers. No real Qdrant is had."""

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, SparseVector, VectorParams
from qdrant_client.models import SparseVectorParams as Sparse

from kato_exporter.browser.app import create_app
from kato_exporter.browser.qdrant.pages import qdrant_pages
from kato_exporter.demo.qdrant_stub import qdrant_stub
from kato_exporter.demo.servers import LOOPBACK, free_port
from kato_exporter.demo.stub_server import serving
from kato_exporter.kato.vectors import point_of_symbol
from kato_exporter.stores.qdrant.store import QdrantStore
from support.fault_proxy import FaultProxy
from support.http_answers import HTML, Answer, Answers, answering
from support.http_questions import Questions
from support.waiting import at_most

NAME = "vectors_alice_kato"
SYMBOL = "VCTR|" + "ab" * 20
ROWS = 5
TIMEOUT = 10.0
ONE = [1.0, 0.0]
RTL = "\u202e"

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    """Give a Qdrant in local mode with an empty collection of a knowledge base."""
    with closing(QdrantClient(":memory:")) as client:
        client.create_collection(NAME, VectorParams(size=2, distance=Distance.EUCLID))
        yield client


@contextmanager
def browsing(
    url: str, *, timeout: float = TIMEOUT, key: str | None = None
) -> Iterator[FlaskClient]:
    """Open the browser on a Qdrant."""
    with closing(QdrantStore(url, timeout=timeout, api_key=key)) as store:
        yield create_app([qdrant_pages(store, page_rows=ROWS)], [], export_rows=1000).test_client()


@contextmanager
def on_stub(client: QdrantClient) -> Iterator[FlaskClient]:
    """Open the browser on the stub."""
    with serving(qdrant_stub(client)) as port, browsing(f"http://{LOOPBACK}:{port}") as browser:
        yield browser


@contextmanager
def on_answers(answers: Answers) -> Iterator[FlaskClient]:
    """Open the browser on laid down answers."""
    with answering(answers) as (url, _), browsing(url) as browser:
        yield browser


def facts(browser: FlaskClient, path: str, **arguments: Any) -> Any:
    """Get the JSON twin of a page; the page itself must be one, too."""
    page = browser.get(path, query_string=arguments)
    same = browser.get(path, query_string={**arguments, "format": "json"})
    assert 200 == page.status_code == same.status_code, page.text
    return same.json


def twin(browser: FlaskClient, path: str) -> Any:
    """Get the JSON of a URL that asks for it."""
    answer = browser.get(path)
    assert 200 == answer.status_code
    return answer.json


def page(browser: FlaskClient, path: str, **arguments: Any) -> str:
    """Get a page."""
    answer = browser.get(path, query_string=arguments)
    assert 200 == answer.status_code
    return answer.text


def failure(browser: FlaskClient, path: str, **arguments: Any) -> tuple[int, str]:
    """Get the status and the reason of a page that fails; its HTML says the same."""
    answer = browser.get(path, query_string={**arguments, "format": "json"})
    shown = browser.get(path, query_string=arguments)
    assert answer.status_code == shown.status_code
    assert "failure" in shown.text
    return answer.status_code, answer.json["reason"] if answer.json else ""


def whole() -> dict[str, Answer]:
    """Give answers with nothing wrong in them."""
    row = {"id": 1, "payload": {"vctr_name": SYMBOL}, "vector": [0.5, 1.5], "score": 0.25}
    info = {
        "status": "green",
        "optimizer_status": "ok",
        "points_count": 1,
        "segments_count": 1,
        "config": {"params": {"vectors": {"size": 2, "distance": "Euclid"}}},
        "payload_schema": {},
    }
    points = f"/collections/{NAME}/points"
    return {
        "/": Answer.of({"title": "qdrant", "version": "1.15.4"}),
        "/collections": Answer.of({"result": {"collections": [{"name": NAME}]}}),
        f"/collections/{NAME}": Answer.of({"result": info}),
        points: Answer.of({"result": [row]}),
        f"{points}/scroll": Answer.of({"result": {"points": [row], "next_page_offset": None}}),
        f"{points}/query": Answer.of({"result": {"points": [{**row, "id": 2}]}}),
    }


PAGES = (
    "/qdrant",
    f"/qdrant/{NAME}",
    f"/qdrant/{NAME}/points/1",
    f"/qdrant/{NAME}/points/1/similar",
)
every_page = pytest.mark.parametrize("path", PAGES)


def test_collections_are_listed_with_what_they_are(client: QdrantClient) -> None:
    """One of a knowledge base leads to it; another does not."""
    client.create_collection("other", {"a": VectorParams(size=3, distance=Distance.DOT)})
    client.upsert(NAME, [PointStruct(id=number, vector=ONE) for number in range(7)])
    with on_stub(client) as browser:
        found = facts(browser, "/qdrant")
        shown = page(browser, "/qdrant")
    other, own = found["collections"]
    assert ("other", None, 0) == (other["collection"], other["kb"], other["points_count"])
    assert (NAME, "alice_kato", 7, "green") == (
        *(own["collection"], own["kb"]),
        *(own["points_count"], own["status"]),
    )
    assert [{"name": "", "kind": "dense", "size": 2, "distance": "Euclid"}] == own["vectors"]
    assert [] == found["notices"]
    assert 'href="/kb/alice_kato"' in shown
    assert f'href="/qdrant/{NAME}"' in shown
    assert 1 == shown.count('href="/kb/')


def test_many_collections_are_paged_by_name_and_only_those_shown_are_asked() -> None:
    """A thousand cost one list, and a request for each that stands on the page."""
    names = [f"vectors_kb{number:04}" for number in range(1000)]
    answers = Answers(whole())
    listed = {"result": {"collections": [{"name": name} for name in reversed(names)]}}
    answers.by_path["/collections"] = Answer.of(listed)
    info = answers.by_path[f"/collections/{NAME}"]
    answers.by_path.update({f"/collections/{name}": info for name in names})
    with on_answers(answers) as browser:
        first = twin(browser, "/qdrant?format=json")
        assert 1 + ROWS == len(answers.asked)
        assert names[:ROWS] == [row["collection"] for row in first["collections"]]
        assert 1000 == first["found"]
        second = twin(browser, first["next"])
        assert names[ROWS : 2 * ROWS] == [row["collection"] for row in second["collections"]]
        last = twin(browser, "/qdrant?after=vectors_kb0998&format=json")
        assert (["vectors_kb0999"], None) == (
            [row["collection"] for row in last["collections"]],
            last["next"],
        )
        found = twin(browser, "/qdrant?q=KB0420&format=json")
        assert ["vectors_kb0420"] == [row["collection"] for row in found["collections"]]
        assert "No collection has this" in page(browser, "/qdrant", q=".*")


def test_a_collection_that_cannot_be_asked_does_not_hide_the_others() -> None:
    """Its row has its name, and a notice says why."""
    answers = Answers(whole())
    listed = {"result": {"collections": [{"name": "a"}, {"name": NAME}]}}
    answers.by_path["/collections"] = Answer.of(listed)
    answers.by_path["/collections/a"] = Answer.of({"status": {"error": "disk full"}}, 500)
    with on_answers(answers) as browser:
        found = facts(browser, "/qdrant")
        shown = page(browser, "/qdrant")
    assert ["a: /collections/a: 500 disk full"] == found["notices"]
    assert ["a", NAME] == [row["collection"] for row in found["collections"]]
    assert 1 == found["collections"][1]["points_count"]
    assert "unknown" in shown


def test_names_that_no_url_carries_are_shown_without_a_link() -> None:
    """A hostile server may give any."""
    names = ["..", "a/b", "\ud800", "<img src=x onerror=a>", f"x{RTL}y", "{{7*7}}"]
    answers = Answers(whole())
    with on_answers(answers) as browser:
        for name in names:
            listed = {"result": {"collections": [{"name": name}]}}
            answers.by_path["/collections"] = Answer.of(listed)
            found = facts(browser, "/qdrant")
            shown = page(browser, "/qdrant")
            assert 1 == len(found["collections"])
            assert "<img" not in shown
            assert RTL not in shown
            assert "49" not in shown
            linked = 'class="row"' in shown
            assert (name not in ("..", "a/b", "\ud800")) == linked


def test_points_are_paged_by_cursor_and_exported_whole(client: QdrantClient) -> None:
    """Every point once, in pages of five, and in one download."""
    client.upsert(
        NAME,
        [PointStruct(id=number, vector=ONE, payload={"n": f"={number}"}) for number in range(12)],
    )
    with on_stub(client) as browser:
        found: list[int] = []
        path: str | None = f"/qdrant/{NAME}?format=json"
        while path:
            one = twin(browser, path)
            assert len(one["points"]) <= ROWS
            found += [row["id"] for row in one["points"]]
            path = one["next"]
        lines = browser.get(f"/qdrant/{NAME}?format=jsonl").text.splitlines()
        rest = browser.get(f"/qdrant/{NAME}?format=jsonl&after=10").text.splitlines()
        table = list(csv.reader(io.StringIO(browser.get(f"/qdrant/{NAME}?format=csv").text)))
        filtered = browser.get(f"/qdrant/{NAME}?format=jsonl&key=n&value==3").text.splitlines()
    assert list(range(12)) == found
    assert [{"id": n, "payload": {"n": f"={n}"}} for n in range(12)] == list(map(json.loads, lines))
    assert [10, 11] == [json.loads(line)["id"] for line in rest]
    assert ["id", "payload"] == table[0]
    assert ["3", '{"n": "=3"}'] == table[4]
    assert [3] == [json.loads(line)["id"] for line in filtered]


def test_a_cursor_that_stands_still_ends_the_export() -> None:
    """It would never end."""
    answers = Answers(whole())
    stuck = {"result": {"points": [{"id": 1}], "next_page_offset": 1}}
    answers.by_path[f"/collections/{NAME}/points/scroll"] = Answer.of(stuck)
    with on_answers(answers) as browser:
        lines = browser.get(f"/qdrant/{NAME}?format=jsonl").text.splitlines()
    assert 2 == len(lines)


def test_a_collection_shows_its_configuration(client: QdrantClient) -> None:
    """With what it was made with, and without points says what that means."""
    with on_stub(client) as browser:
        found = facts(browser, f"/qdrant/{NAME}")
        shown = page(browser, f"/qdrant/{NAME}")
    assert {"size": 2, "distance": "Euclid"}.items() <= found["configuration"]["params"][
        "vectors"
    ].items()
    assert "KATO 2 makes the collection" in shown
    assert 'href="/kb/alice_kato"' in shown
    assert "2, Euclid" in shown


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        ("7", "7"),
        ("007", "7"),
        (str(2**64 - 1), str(2**64 - 1)),
        ("936DA01F9ABD4d9d80C702AF85C822A8", "936da01f-9abd-4d9d-80c7-02af85c822a8"),
        ("936DA01F-9abd-4d9d-80c7-02af85c822a8", "936da01f-9abd-4d9d-80c7-02af85c822a8"),
        ("urn:uuid:936da01f-9abd-4d9d-80c7-02af85c822a8", "936da01f-9abd-4d9d-80c7-02af85c822a8"),
        (SYMBOL, point_of_symbol(SYMBOL)),
    ],
)
def test_a_point_is_found_by_its_id_in_any_spelling(
    client: QdrantClient, spelled: str, expected: str
) -> None:
    """Or by the symbol from which KATO 3 makes the id."""
    client.upsert(
        NAME, [PointStruct(id=int(expected) if expected.isdigit() else expected, vector=ONE)]
    )
    with on_stub(client) as browser:
        answer = browser.get(f"/qdrant/{NAME}", query_string={"id": spelled})
        assert (302, f"/qdrant/{NAME}/points/{expected}") == (answer.status_code, answer.location)
        assert expected == str(facts(browser, answer.location)["id"])


@pytest.mark.parametrize("spelled", ["-1", "1.5", str(2**64), "x", "'; drop", "VCTR|", "{}"])
def test_what_is_no_id_is_said_to_be_none(client: QdrantClient, spelled: str) -> None:
    """In the search, and in the path."""
    with on_stub(client) as browser:
        status, reason = failure(browser, f"/qdrant/{NAME}", id=spelled)
        assert 400 == status
        assert "give an integer, a UUID" in reason
        status, reason = failure(browser, f"/qdrant/{NAME}", after=spelled)
        assert (400, True) == (status, "begin at the first page" in reason)
        assert 404 == failure(browser, f"/qdrant/{NAME}/points/{spelled}")[0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"key": "word", "value": "a"}, [0]),
        ({"key": "word", "value": '{"$ne": ""}'}, [1]),
        ({"key": "n", "value": "7", "type": "integer"}, [2]),
        ({"key": "n", "value": "7"}, [3]),
        ({"key": "flag", "value": "true", "type": "bool"}, [4]),
        ({"key": '"$where"', "value": "sleep(1)"}, []),
        ({"key": "word", "value": ".*"}, []),
        ({}, [0, 1, 2, 3, 4]),
    ],
)
def test_points_are_filtered_by_a_payload_field(
    client: QdrantClient, arguments: dict[str, str], expected: list[int]
) -> None:
    """The type counts; what looks like an operator is text."""
    payloads: list[dict[str, Any]] = [
        {"word": "a"},
        {"word": '{"$ne": ""}'},
        {"n": 7},
        {"n": "7"},
        {"flag": True},
    ]
    client.upsert(
        NAME,
        [PointStruct(id=n, vector=ONE, payload=payload) for n, payload in enumerate(payloads)],
    )
    with on_stub(client) as browser:
        found = facts(browser, f"/qdrant/{NAME}", **arguments)
    assert expected == [row["id"] for row in found["points"]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"key": "n", "value": "x", "type": "integer"}, "value=x: give a whole number"),
        ({"key": "n", "value": "", "type": "integer"}, "give a whole number"),
        ({"key": "n", "value": str(2**63), "type": "integer"}, "give a whole number"),
        ({"key": "n", "value": "yes", "type": "bool"}, "value=yes: give true or false"),
        ({"key": "n", "value": "x", "type": "regex"}, "give one of keyword, integer, bool"),
        ({"value": "x"}, "name the payload field"),
        ({"key": "k" * 201, "value": "x"}, "at most 200 characters"),
    ],
)
def test_a_wrong_filter_says_what_is_right(
    client: QdrantClient, arguments: dict[str, str], said: str
) -> None:
    """Before Qdrant is asked."""
    with on_stub(client) as browser:
        status, reason = failure(browser, f"/qdrant/{NAME}", **arguments)
    assert 400 == status
    assert said in reason


@pytest.mark.parametrize("key", ["$where", "a[", "two words"])
def test_a_field_that_qdrant_cannot_read_is_refused(client: QdrantClient, key: str) -> None:
    """With what to do."""
    client.upsert(NAME, [PointStruct(id=1, vector=ONE, payload={key: "x"})])
    with on_stub(client) as browser:
        status, reason = failure(browser, f"/qdrant/{NAME}", key=key, value="x")
        assert 400 == status
        assert "stands in double quotes" in reason
        quoted = facts(browser, f"/qdrant/{NAME}", key=f'"{key}"', value="x")
    assert [1] == [row["id"] for row in quoted["points"]]


@pytest.mark.parametrize("status", [400, 422])
def test_a_filter_that_qdrant_refuses_is_the_filters_fault(status: int) -> None:
    """A path that it cannot read; without a filter the same answer is the store's."""
    answers = Answers(whole())
    refusal = Answer.of({"status": {"error": "Invalid json path: 'a['"}}, status)
    answers.by_path[f"/collections/{NAME}/points/scroll"] = refusal
    with on_answers(answers) as browser:
        found, reason = failure(browser, f"/qdrant/{NAME}", key="a[", value="x")
        assert 400 == found
        assert "Qdrant refuses this filter" in reason
        assert "Invalid json path" in reason
        assert 502 == failure(browser, f"/qdrant/{NAME}")[0]


def test_a_point_shows_payload_and_vector(client: QdrantClient) -> None:
    """With the norm, a picture, and the way to similar ones."""
    payload = {"vctr_name": SYMBOL, "<b>": "<script>alert(1)</script>", "rtl": RTL}
    client.upsert(NAME, [PointStruct(id=1, vector=[3.0, -4.0], payload=payload)])
    with on_stub(client) as browser:
        found = facts(browser, f"/qdrant/{NAME}/points/1")
        shown = page(browser, f"/qdrant/{NAME}/points/1")
    assert payload == found["payload"]
    assert SYMBOL == found["name"]
    assert [
        {
            "name": "",
            "kind": "dense",
            "distance": "Euclid",
            "rows": [{"norm": 5.0, "components": [3.0, -4.0]}],
        }
    ] == found["vectors"]
    assert "<svg" in shown
    assert "style=" not in shown
    assert "<script>alert" not in shown
    assert RTL not in re.sub(r'data-copy="[^"]*"', "", shown)
    assert f'href="/qdrant/{NAME}/points/1/similar"' in shown


def test_a_point_without_payload_is_a_point(client: QdrantClient) -> None:
    """Qdrant answers null, or nothing."""
    client.upsert(NAME, [PointStruct(id=1, vector=ONE)])
    with on_stub(client) as browser:
        assert "This point has no payload" in page(browser, f"/qdrant/{NAME}/points/1")


def test_a_long_vector_is_drawn_in_part_and_whole_in_json(client: QdrantClient) -> None:
    """65,536 components: the page stays small and says so."""
    size = 65_536
    client.create_collection("long", VectorParams(size=size, distance=Distance.DOT))
    client.upsert("long", [PointStruct(id=1, vector=[float(n % 7 - 3) for n in range(size)])])
    with on_stub(client) as browser:
        found = facts(browser, "/qdrant/long/points/1")
        shown = page(browser, "/qdrant/long/points/1")
    assert size == len(found["vectors"][0]["rows"][0]["components"])
    assert len(shown) < 40_000
    assert "65,536 components as 256 bars" in shown
    assert "the first 24 of 65,536" in shown


def test_a_large_payload_is_cut_and_said(client: QdrantClient) -> None:
    """5 MB in one text: the pages stay small, the JSON has all."""
    client.upsert(NAME, [PointStruct(id=1, vector=ONE, payload={"text": "x" * 5_000_000})])
    with on_stub(client) as browser:
        found = facts(browser, f"/qdrant/{NAME}/points/1")
        assert 5_000_000 == len(found["payload"]["text"])
        for path in (f"/qdrant/{NAME}", f"/qdrant/{NAME}/points/1"):
            shown = page(browser, path)
            assert len(shown) < 100_000
            assert re.search(r"cut, 5,000,\d{3} characters in all", shown)


@pytest.mark.parametrize("depth", [50, 500, 1_000, 50_000])
def test_deep_nesting_is_cut_and_said(depth: int) -> None:
    """Whether the JSON can still be read or not, every page is one."""
    nested = b'{"a":' * depth + b"1" + b"}" * depth

    def answer(path: str, question: Any) -> Answer:
        payload = nested if question["with_payload"] is True else b'{"vctr_name": "x"}'
        row = b'{"id": 1, "vector": [1, 2], "score": 1, "payload": %b}' % payload
        inner = b"[%b]" % row if path.endswith("/points") else b'{"points": [%b]}' % row
        return Answer(b'{"result": %b}' % inner)

    with on_answers(Questions(whole(), by_body=answer)) as browser:
        found = [facts(browser, path) for path in PAGES[1:]]
        shown = page(browser, PAGES[2])
    said = json.dumps(found[1])
    assert (depth > 50) == ("too deep" in said or "nested more than 100 deep" in said)
    assert (depth > 50) == ("too deep" in shown or "nested more than 100 deep" in shown)


def test_payloads_too_large_leave_smaller_pages(client: QdrantClient) -> None:
    """No point is lost; the page says why there are fewer."""
    payload = {"text": "x" * 4_000_000}
    client.upsert(NAME, [PointStruct(id=n, vector=ONE, payload=payload) for n in range(6)])
    with on_stub(client) as browser:
        found = twin(browser, f"/qdrant/{NAME}?format=json")
        shown = page(browser, f"/qdrant/{NAME}")
        lines = browser.get(f"/qdrant/{NAME}?format=jsonl").text.splitlines()
    assert [0] == [row["id"] for row in found["points"]]
    assert found["next"].endswith("after=1")
    assert "this page has fewer points (1 instead of 5)" in shown
    assert list(range(6)) == [json.loads(line)["id"] for line in lines]


@pytest.mark.parametrize(
    ("distance", "name", "nearer", "first"),
    [
        (Distance.EUCLID, "distance", "smaller", 2),
        (Distance.MANHATTAN, "distance", "smaller", 2),
        (Distance.COSINE, "similarity", "larger", 2),
        (Distance.DOT, "similarity", "larger", 3),
    ],
)
def test_similar_points_name_the_score_for_the_distance(
    client: QdrantClient, distance: Distance, name: str, nearer: str, first: int
) -> None:
    """The nearest stands first, and the point itself is left out."""
    client.create_collection("c", VectorParams(size=2, distance=distance))
    vectors = {1: [1.0, 0.0], 2: [1.1, 0.1], 3: [9.0, 9.0]}
    client.upsert("c", [PointStruct(id=point, vector=vectors[point]) for point in vectors])
    with on_stub(client) as browser:
        found = facts(browser, "/qdrant/c/points/1/similar")
        shown = page(browser, "/qdrant/c/points/1/similar")
    ids = [row["id"] for row in found["points"]]
    assert first == ids[0]
    assert [2, 3] == sorted(ids)
    assert (name, nearer) == (found["score"]["name"], found["score"]["nearer"])
    assert f"Score: {name}, {nearer} is nearer" in shown
    assert 'href="/qdrant/c/points/2"' in shown
    assert "%" not in shown


def test_how_many_similar_points_can_be_chosen(client: QdrantClient) -> None:
    """From 5 to 100."""
    client.upsert(NAME, [PointStruct(id=number, vector=ONE) for number in range(150)])
    path = f"/qdrant/{NAME}/points/1/similar"
    with on_stub(client) as browser:
        assert 10 == len(facts(browser, path)["points"])
        for limit in (5, 100):
            found = facts(browser, path, limit=limit)["points"]
            assert limit == len(found)
            assert 1 not in [row["id"] for row in found]
        for wrong in ("4", "101", "x", "-5"):
            status, reason = failure(browser, path, limit=wrong)
            assert 400 == status
            assert "from 5 to 100" in reason


def test_a_point_is_compared_by_the_vectors_that_it_has(client: QdrantClient) -> None:
    """Named ones by choice; a point may lack some, and others may lack its own."""
    client.create_collection(
        "named",
        {
            "image": VectorParams(size=2, distance=Distance.EUCLID),
            "text": VectorParams(size=2, distance=Distance.COSINE),
        },
        sparse_vectors_config={"words": Sparse()},
    )
    words = SparseVector(indices=[1, 5], values=[1.0, 2.0])
    client.upsert(
        "named",
        [
            PointStruct(id=1, vector={"text": ONE, "words": words}),
            PointStruct(id=2, vector={"text": [1.0, 1.0], "image": ONE}),
            PointStruct(id=3, vector={"words": words}),
            PointStruct(id=4, vector={"image": ONE}),
            PointStruct(id=5, vector={}),
        ],
    )
    with on_stub(client) as browser:
        found = facts(browser, "/qdrant/named/points/1/similar")
        assert (["text", "words"], "text", [2]) == (
            *(found["comparable"], found["vector"]),
            [row["id"] for row in found["points"]],
        )
        sparse = facts(browser, "/qdrant/named/points/1/similar", vector="words")
        assert [3] == [row["id"] for row in sparse["points"]]
        assert ("similarity", "larger") == (sparse["score"]["name"], sparse["score"]["nearer"])
        image = facts(browser, "/qdrant/named/points/2/similar", vector="image")
        assert [4] == [row["id"] for row in image["points"]]
        status, reason = failure(browser, "/qdrant/named/points/1/similar", vector="image")
        assert 400 == status
        assert "the point can be compared by text, words" in reason
        assert "cannot be compared" in page(browser, "/qdrant/named/points/5/similar")
        assert "No vector is shown" in page(browser, "/qdrant/named/points/5")
        assert "Indices" in page(browser, "/qdrant/named/points/3")


def test_what_is_gone_says_so(client: QdrantClient) -> None:
    """A collection, and a point; names are no way to elsewhere."""
    with on_stub(client) as browser:
        assert (404, "There is no collection nowhere in Qdrant.") == failure(
            browser, "/qdrant/nowhere"
        )
        for path in (f"/qdrant/{NAME}/points/5", f"/qdrant/{NAME}/points/5/similar"):
            status, reason = failure(browser, path)
            assert 404 == status
            assert f"There is no point 5 in the collection {NAME}" in reason
        for name in ("..", "..%2F..%2Fmetrics", "a%3Fb", "%00", "x" * 300, "<script>"):
            answer = browser.get(f"/qdrant/{name}/points/1")
            assert 404 == answer.status_code
            assert "<script>" not in answer.text.partition("<main")[2]


@every_page
def test_a_key_that_is_refused_says_what_to_check(path: str, client: QdrantClient) -> None:
    """And no page has a key in it."""
    with (
        serving(qdrant_stub(client, api_key="s3cret-word")) as port,
        browsing(f"http://{LOOPBACK}:{port}", key="wrong-s3cret") as browser,
    ):
        status, reason = failure(browser, path)
        assert 503 == status
        assert "not permitted (403): check KATO_QDRANT_API_KEY" in reason
        assert "s3cret" not in browser.get(path).text


@every_page
def test_no_qdrant_and_a_silent_one_say_so(path: str, client: QdrantClient) -> None:
    """In time, with a retry."""
    with browsing(f"http://{LOOPBACK}:{free_port()}") as browser:
        status, reason = failure(browser, path)
        assert 503 == status
        assert "refused" in reason
        assert "Try again" in browser.get(path).text
    with (
        serving(qdrant_stub(client)) as port,
        FaultProxy(port) as proxy,
        browsing(f"http://{LOOPBACK}:{proxy.port}", timeout=1.0) as browser,
    ):
        proxy.black_hole()
        with at_most(3.0):
            assert 503 == browser.get(path).status_code


@pytest.mark.parametrize("answer", [HTML, Answer(b""), Answer.of([]), Answer.of({}, 500)])
@every_page
def test_what_is_no_answer_of_qdrant_is_an_error(path: str, answer: Answer) -> None:
    """A proxy in between may say anything."""
    answers = Answers(dict.fromkeys(whole(), answer))
    with on_answers(answers) as browser:
        status, reason = failure(browser, path)
    assert 502 == status
    assert "The store refused this question" in reason


def test_any_json_in_place_of_an_answer_gives_a_page_or_an_error() -> None:
    """Each answer in turn is anything, and so is each part of what is in it."""
    answers = Answers(whole())
    row = json.loads(whole()[f"/collections/{NAME}/points"].body)["result"][0]
    parts = ["id", "payload", "vector", "score"]

    @settings(max_examples=25, deadline=None)
    @given(st.sampled_from(sorted(whole())), st.sampled_from(parts), ANY_JSON, st.booleans())
    def holds(path: str, part: str, odd: Any, inside: bool) -> None:  # noqa: FBT001 - a case
        answers.by_path = whole()
        rows = [row, {**row, part: odd}] if inside else odd
        for asked in (path, f"/collections/{NAME}"):
            if not inside:
                answers.by_path[asked] = Answer.of({"result": odd})
        if inside:
            points = f"/collections/{NAME}/points"
            answers.by_path[points] = Answer.of({"result": [{**row, part: odd}]})
            for question in ("scroll", "query"):
                answers.by_path[f"{points}/{question}"] = Answer.of({"result": {"points": rows}})
        for each in PAGES:
            for form in ("html", "json"):
                answer = browser.get(each, query_string={"format": form})
                assert answer.status_code in (200, 404, 502), answer.text
                assert (
                    (200 == answer.status_code) or "refused" in answer.text or "no " in answer.text
                )

    with on_answers(answers) as browser:
        holds()
