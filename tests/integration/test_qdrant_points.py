"""Points of Qdrant, on the stub of Qdrant and on laid down answers. No real Qdrant is had."""

import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import unquote
from wsgiref.types import StartResponse, WSGIEnvironment

import httpx
import pytest
from qdrant_client import QdrantClient
from qdrant_client.models import (
    Distance,
    MultiVectorComparator,
    MultiVectorConfig,
    PointStruct,
    SparseVector,
    SparseVectorParams,
    VectorParams,
)

from kato_exporter.demo.qdrant_stub import qdrant_stub
from kato_exporter.demo.servers import LOOPBACK
from kato_exporter.demo.stub_server import serving
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.http import JsonApi, TooMuchError
from kato_exporter.stores.qdrant.names import PointId
from kato_exporter.stores.qdrant.points import Match, PointPage, SimilarPoints
from kato_exporter.stores.qdrant.store import QdrantStore
from support.http_answers import Answer, Answers, answering
from support.http_questions import Questions

NAME = "vectors_alice_kato"
KEY = "s3cret-word"
READ_ONLY_KEY = "read-only-s3cret"
LARGEST = 2**64 - 1
TIMEOUT = 20.0
ONE = [1.0, 0.0]


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    """Give a Qdrant in local mode with an empty collection of small vectors."""
    with closing(QdrantClient(":memory:")) as client:
        client.create_collection(NAME, VectorParams(size=2, distance=Distance.EUCLID))
        yield client


@contextmanager
def opened(client: QdrantClient, key: str | None = None, **keys: str) -> Iterator[QdrantStore]:
    """Open a store on the stub."""
    with (
        serving(qdrant_stub(client, **keys)) as port,
        closing(QdrantStore(f"http://{LOOPBACK}:{port}", timeout=TIMEOUT, api_key=key)) as store,
    ):
        yield store


@contextmanager
def canned(answers: Answers) -> Iterator[QdrantStore]:
    """Open a store on laid down answers."""
    with answering(answers) as (url, _), closing(QdrantStore(url, timeout=TIMEOUT)) as store:
        yield store


def soon() -> Deadline:
    """Give a deadline that no test reaches."""
    return Deadline.after(TIMEOUT)


def page(
    store: QdrantStore,
    *,
    most: int = 50,
    start: PointId | None = None,
    match: Match | None = None,
) -> PointPage:
    """Ask for a page."""
    return store.points.page(NAME, most=most, start=start, match=match, deadline=soon())


def similar(
    store: QdrantStore, point: PointId, *, vector: str = "", most: int = 10, collection: str = NAME
) -> SimilarPoints:
    """Ask for similar points."""
    return store.points.similar(collection, point, vector=vector, most=most, deadline=soon())


def ids(found: PointPage | SimilarPoints) -> list[PointId]:
    """Give the ids of what was found."""
    return [point.id for point in found.rows.points]


def test_pages_by_cursor_have_every_point_once(client: QdrantClient) -> None:
    """Integers of 64 bits and UUIDs, payloads with them, vectors without."""
    uuids = [str(uuid.UUID(int=number)) for number in range(3)]
    expected: list[PointId] = [0, 1, 7, 2**63, LARGEST, *uuids]
    client.upsert(
        NAME,
        [PointStruct(id=point, vector=ONE, payload={"n": str(point)}) for point in expected],
    )
    found: list[PointId] = []
    start: PointId | None = None
    with opened(client) as store:
        for _ in range(4):
            one = page(store, most=2, start=start)
            found += ids(one)
            assert [{"n": str(point)} for point in ids(one)] == [
                point.payload for point in one.rows.points
            ]
            assert all(point.vectors == () for point in one.rows.points)
            start = one.next
    assert start is None
    assert expected == found


def test_a_cursor_whose_point_is_gone_goes_on_after_it(client: QdrantClient) -> None:
    """Somebody may delete between two pages."""
    client.upsert(NAME, [PointStruct(id=number, vector=ONE) for number in range(6)])
    with opened(client) as store:
        following = page(store, most=3).next
        assert 3 == following
        client.delete(NAME, [3])
        assert [4, 5] == ids(page(store, most=3, start=following))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("word", "a", [1]),
        ("word", "A", []),
        ("word", "", []),
        ("number", 7, [2]),
        ("number", "7", [3]),
        ("number", True, [4]),
        ("flag", False, [5]),
        ("list", "b", [6]),
        ("nested.word", "deep", [7]),
        ('"with.dot"', "x", [8]),
        ("word", '{"$ne": null}', [9]),
        ("word", ".*", []),
        ("word", "*", []),
        ("none", "a", []),
    ],
)
def test_a_filter_matches_the_value_and_its_type(
    client: QdrantClient,
    key: str,
    value: str | int,
    expected: list[int],
) -> None:
    """What looks like an operator, a regex or a glob is text."""
    payloads: list[dict[str, Any]] = [
        {"word": "a"},
        {"number": 7},
        {"number": "7"},
        {"number": True},
        {"flag": False},
        {"list": ["a", "b"]},
        {"nested": {"word": "deep"}},
        {"with.dot": "x"},
        {"word": '{"$ne": null}'},
    ]
    client.upsert(
        NAME,
        [
            PointStruct(id=number, vector=ONE, payload=payload)
            for number, payload in enumerate(payloads, start=1)
        ],
    )
    with opened(client) as store:
        assert expected == ids(page(store, match=Match(key, value)))


def test_a_filter_is_one_condition_of_qdrant() -> None:
    """Exactly as documented, with the cursor and the time limit."""
    answer = Answer.of({"result": {"points": [], "next_page_offset": None}, "status": "ok"})
    answers = Questions({f"/collections/{NAME}/points/scroll": answer})
    with canned(answers) as store:
        store.points.page(
            NAME, most=50, start=LARGEST, match=Match("a", "$x"), deadline=Deadline.after(1.5)
        )
    assert [
        {
            "limit": 50,
            "offset": LARGEST,
            "with_payload": True,
            "with_vector": False,
            "filter": {"must": [{"key": "a", "match": {"value": "$x"}}]},
        }
    ] == answers.bodies
    assert [f"POST /collections/{NAME}/points/scroll?timeout=2"] == answers.asked


def test_a_point_comes_with_payload_and_vector(client: QdrantClient) -> None:
    """The unnamed one, as it was written."""
    point = "936da01f-9abd-4d9d-80c7-02af85c822a8"
    payload = {"vctr_name": "VCTR|x", "none": None, "list": [1, 2.5, True]}
    client.upsert(NAME, [PointStruct(id=point, vector=[0.5, -2.0], payload=payload)])
    with opened(client) as store:
        found = store.points.point(NAME, point, soon())
    [vector] = found.point.vectors
    assert payload == found.point.payload
    assert ("", "dense", ((0.5, -2.0),)) == (vector.name, vector.kind, vector.rows)
    assert () == found.cut


def test_a_point_can_have_no_payload_and_vectors_of_every_kind(client: QdrantClient) -> None:
    """Named dense, multi and sparse ones; the collection says which is which."""
    client.create_collection(
        "all",
        vectors_config={
            "text": VectorParams(size=2, distance=Distance.DOT),
            "tokens": VectorParams(
                size=2,
                distance=Distance.COSINE,
                multivector_config=MultiVectorConfig(comparator=MultiVectorComparator.MAX_SIM),
            ),
        },
        sparse_vectors_config={"words": SparseVectorParams()},
    )
    client.upsert(
        "all",
        [
            PointStruct(
                id=1,
                vector={
                    "text": [1.0, 2.0],
                    "tokens": [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]],
                    "words": SparseVector(indices=[3, 70_000], values=[0.5, 2.0]),
                },
            )
        ],
    )
    with opened(client) as store:
        found = store.points.point("all", 1, soon()).point
        kinds = store.describe("all", soon()).kinds
    assert found.payload in (None, {})
    assert {
        "text": ("dense", ((1.0, 2.0),), ()),
        "tokens": ("multi", ((1.0, 0.0), (0.0, 1.0), (1.0, 0.0)), ()),
        "words": ("sparse", ((0.5, 2.0),), (3, 70_000)),
    } == {vector.name: (vector.kind, vector.rows, vector.indices) for vector in found.vectors}
    assert {
        "text": ("dense", 2, "Dot"),
        "tokens": ("multi", 2, "Cosine"),
        "words": ("sparse", None, None),
    } == {kind.name: (kind.kind, kind.size, kind.distance) for kind in kinds}


@pytest.mark.parametrize(
    ("distance", "nearest"),
    [
        (Distance.EUCLID, [2, 3, 4]),
        (Distance.MANHATTAN, [2, 3, 4]),
        (Distance.DOT, [4, 3, 2]),
        (Distance.COSINE, [2, 3, 4]),
    ],
)
def test_similar_points_are_nearest_first_without_the_point(
    client: QdrantClient, distance: Distance, nearest: list[int]
) -> None:
    """Whichever way the scores go, and however many are asked for."""
    client.create_collection("c", VectorParams(size=2, distance=distance))
    vectors = {1: [1.0, 0.0], 2: [1.5, 0.1], 3: [2.0, 1.0], 4: [6.0, 9.0]}
    client.upsert("c", [PointStruct(id=point, vector=vectors[point]) for point in vectors])
    with opened(client) as store:
        found = similar(store, 1, collection="c")
        assert nearest == ids(found)
        assert nearest[:2] == ids(similar(store, 1, most=2, collection="c"))
    scores = [point.score for point in found.rows.points]
    assert None not in scores
    larger_is_nearer = distance in (Distance.DOT, Distance.COSINE)
    assert sorted(scores, key=float, reverse=larger_is_nearer) == scores  # type: ignore[arg-type]


def test_points_at_the_very_same_place_are_similar(client: QdrantClient) -> None:
    """Only the point itself is left out, not its doubles; the number asked for is given."""
    client.upsert(NAME, [PointStruct(id=number, vector=ONE) for number in range(9)])
    with opened(client) as store:
        found = ids(similar(store, 4, most=5))
    assert 5 == len(found)
    assert 4 not in found


def test_a_server_that_takes_the_point_as_its_own_nearest_is_put_right() -> None:
    """One more is asked for, and the point dropped wherever it stands among equals."""
    rows = [{"id": number, "version": 1, "score": 0.0} for number in (2, 1, 3)]
    answers = Questions(
        {
            "/": Answer.of({"version": "1.15.4"}),
            f"/collections/{NAME}/points/query": Answer.of({"result": {"points": rows}}),
        }
    )
    with canned(answers) as store:
        assert [2, 3] == ids(similar(store, 1, most=2, vector="text"))
        assert [2, 1] == ids(similar(store, 9, most=2))
    assert [
        {"query": 1, "using": "text", "limit": 3, "with_payload": True},
        {"query": 9, "limit": 3, "with_payload": True},
    ] == answers.bodies


@pytest.mark.parametrize(
    ("version", "asked"),
    [
        ("1.9.7", "recommend"),
        ("1.0.0", "recommend"),
        ("1.10.0", "query"),
        ("1.15.4", "query"),
        ("2.0.0-dev", "query"),
        ("master", "query"),
    ],
)
def test_before_version_1_10_similar_points_are_recommended(version: str, asked: str) -> None:
    """There was no `query` then; the answer is a bare list."""
    row = {"id": 2, "version": 1, "score": 0.5, "payload": None, "vector": None}
    answers = Questions(
        {
            "/": Answer.of({"version": version}),
            f"/collections/{NAME}/points/query": Answer.of({"result": {"points": [row]}}),
            f"/collections/{NAME}/points/recommend": Answer.of({"result": [row]}),
        }
    )
    with canned(answers) as store:
        found = similar(store, 1, vector="text")
    assert [2] == ids(found)
    assert f"POST /collections/{NAME}/points/{asked}?timeout=20" == answers.asked[-1]
    own = {"positive": [1]} if asked == "recommend" else {"query": 1}
    assert [{**own, "using": "text", "limit": 11, "with_payload": True}] == answers.bodies


def test_the_read_only_key_is_enough(client: QdrantClient) -> None:
    """For every question; the stub refuses it for any other POST, as Qdrant does."""
    client.upsert(
        NAME, [PointStruct(id=number, vector=[1.0, float(number)]) for number in range(3)]
    )
    keys = {"api_key": KEY, "read_only_api_key": READ_ONLY_KEY}
    with opened(client, READ_ONLY_KEY, **keys) as store:
        assert [0, 1, 2] == ids(page(store))
        assert 1 == store.points.point(NAME, 1, soon()).point.id
        assert [1, 2] == ids(similar(store, 0))
        assert store.describe(NAME, soon()).kinds
        refused = httpx.post(
            f"{store.address}/collections/{NAME}/points/delete",
            json={"points": [1]},
            headers={"api-key": READ_ONLY_KEY},
            trust_env=False,
        )
    assert 403 == refused.status_code


def test_without_the_right_key_it_says_what_to_check(client: QdrantClient) -> None:
    """In every question."""
    with opened(client, "wrong-s3cret", api_key=KEY) as store:
        asked = (
            lambda: page(store),
            lambda: store.points.point(NAME, 1, soon()),
            lambda: similar(store, 1),
        )
        for ask in asked:
            with pytest.raises(
                StoreError, match=r"not permitted \(403\): check KATO_QDRANT_API_KEY"
            ):
                ask()


def test_what_is_gone_is_a_query_error_with_its_code(client: QdrantClient) -> None:
    """A collection, and a point."""
    with opened(client) as store:
        for collection in ("nowhere", "", ".", "..", "a" * 256, "\ud800"):
            for ask in (
                lambda: store.points.point(collection, 1, soon()),  # noqa: B023 - asked at once
                lambda: store.describe(collection, soon()),  # noqa: B023 - likewise
                lambda: similar(store, 1, collection=collection),  # noqa: B023 - likewise
            ):
                with pytest.raises(QueryError) as error:
                    ask()
                assert 404 == error.value.code
        with pytest.raises(QueryError, match="no point 5") as error:
            store.points.point(NAME, 5, soon())
        assert 404 == error.value.code


@pytest.mark.parametrize(
    "name", ["../../etc", "a/points/delete?x=", "..%2f..", "a?b#c", "a%00b", "ä b", "x/../../y"]
)
def test_a_name_is_one_segment_of_the_path(name: str) -> None:
    """It leads nowhere else, whatever is in it."""
    asked: list[str] = []

    def answer(environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        asked.append(environ["REQUEST_URI"])
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start("200 OK", [("Content-Type", "application/json")])
        return [b'{"result": [{"id": 1}]}']

    with (
        serving(answer) as port,
        closing(QdrantStore(f"http://{LOOPBACK}:{port}", timeout=TIMEOUT)) as store,
    ):
        assert 1 == store.points.point(name, 1, soon()).point.id
    [path] = asked
    before, collections, segment, points = path.split("/")
    assert ("", "collections", "points?timeout=20") == (before, collections, points)
    assert name == unquote(segment)


def test_questions_on_points_have_a_time_limit_of_their_own(client: QdrantClient) -> None:
    """A search may take longer than what costs nothing."""
    client.upsert(NAME, [PointStruct(id=1, vector=ONE)])
    app = qdrant_stub(client)

    def slow(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        time.sleep(0.6)
        return app(environ, start)

    with (
        serving(slow) as port,
        closing(
            QdrantStore(f"http://{LOOPBACK}:{port}", timeout=0.3, query_timeout=TIMEOUT)
        ) as store,
    ):
        assert [1] == ids(page(store))
        with pytest.raises(StoreError, match=r"no answer within 0\.3 s"):
            store.describe(NAME, soon())
    with (
        serving(slow) as port,
        closing(
            QdrantStore(f"http://{LOOPBACK}:{port}", timeout=TIMEOUT, query_timeout=0.3)
        ) as store,
    ):
        assert (NAME,) == store.collections(soon())
        with pytest.raises(StoreError, match=r"no answer within 0\.3 s"):
            page(store)


@pytest.mark.parametrize(
    "path",
    [
        "/collections/a",
        "/collections/a/points/delete?timeout=1",
        "/collections/a/points/payload?timeout=1",
        "/collections/a/points/query/batch?timeout=1",
        "/collections/a/index?x=/points?timeout=1",
        "/collections/a/points",
        "/points?timeout=1",
    ],
)
def test_nothing_but_questions_can_be_posted(path: str) -> None:
    """What writes is refused before it is sent."""
    answers = Answers({})
    with canned(answers) as store, pytest.raises(ValueError, match="is no question"):
        store.points._api.post(path, {}, soon())  # noqa: SLF001 - what it guards
    with closing(JsonApi("http://127.0.0.1:1", timeout=1)) as api, pytest.raises(ValueError):  # noqa: PT011 - any
        api.post("/collections/a/points?timeout=1", {}, soon())
    assert [] == answers.asked


def test_payloads_too_large_together_come_in_smaller_pages(client: QdrantClient) -> None:
    """None is lost: the cursor goes on behind the fewer."""
    client.upsert(
        NAME,
        [
            PointStruct(id=number, vector=ONE, payload={"text": "x" * 2_000_000})
            for number in range(10)
        ],
    )
    with opened(client) as store:
        one = page(store, most=10)
    assert [0, 1] == ids(one)
    assert 2 == one.next
    assert (
        "Payloads are too large to be read together; this page has fewer points (2 instead of 10).",
    ) == one.cut
    assert 2_000_000 == len(one.rows.points[0].payload["text"])


def test_one_payload_too_large_is_left_out_and_said(client: QdrantClient) -> None:
    """The point is there, by KATO's name, in a page, by itself and as a similar one."""
    payload = {"text": "x" * 17_000_000, "vctr_name": "VCTR|x"}
    client.upsert(
        NAME,
        [
            PointStruct(id=1, vector=ONE, payload=payload),
            PointStruct(id=2, vector=[1.0, 1.0], payload={"a": 1}),
        ],
    )
    with opened(client) as store:
        one = page(store, most=5)
        whole = store.points.point(NAME, 1, soon())
        near = similar(store, 2)
    assert [1] == ids(one)
    assert 2 == one.next
    assert {"vctr_name": "VCTR|x"} == one.rows.points[0].payload
    assert "too large" in one.cut[0]
    assert {"vctr_name": "VCTR|x"} == whole.point.payload
    assert ((1.0, 0.0),) == whole.point.vectors[0].rows
    assert ("The payload is too large or too deep to be read here, except for vctr_name.",) == (
        whole.cut
    )
    assert [{"vctr_name": "VCTR|x"}] == [point.payload for point in near.rows.points]
    assert "too large" in near.cut[0]


@pytest.mark.parametrize("deep", [False, True])
def test_vectors_too_large_are_left_out_and_said(deep: bool) -> None:  # noqa: FBT001 - a case
    """The payload is there; and where that is too large too, nothing is but the id."""
    vast = b"[" + b"0.123456789," * 1_500_000 + b"0]"
    nested = b"[" * 100_000 + b"]" * 100_000

    def answer(_: str, question: Any) -> Answer:
        vector = vast if question["with_vector"] else b"null"
        payload = nested if deep and question["with_payload"] is True else b'{"a": 1}'
        return Answer(b'{"result": [{"id": 1, "vector": %b, "payload": %b}]}' % (vector, payload))

    with canned(Questions({}, by_body=answer)) as store:
        whole = store.points.point(NAME, 1, soon())
    assert () == whole.point.vectors
    assert {"a": 1} == whole.point.payload
    assert "The vectors are too large to be read here." == whole.cut[-1]
    assert (2 if deep else 1) == len(whole.cut)


def test_too_deep_a_payload_is_left_out() -> None:
    """It is JSON, but no more than a browser can hold."""
    nested = b"[" * 100_000 + b"]" * 100_000
    body = b'{"result": {"points": [{"id": 1, "payload": %b}]}}' % nested
    answers = Questions({f"/collections/{NAME}/points/scroll": Answer(body)})
    with canned(answers) as store, pytest.raises(TooMuchError, match="nested too deeply"):
        page(store, most=50)
    assert [50, 10, 2, 1, 1] == [question["limit"] for question in answers.bodies]
    assert ["vctr_name"] == answers.bodies[-1]["with_payload"]


@pytest.mark.parametrize(
    "odd",
    [
        None,
        [],
        "x",
        {"result": None},
        {"result": {"points": {}}},
        {"result": {"points": [], "next_page_offset": -1}},
        {"result": {"points": [], "next_page_offset": "x"}},
        {"result": {"points": [], "next_page_offset": True}},
        {"result": {"points": [{"id": number} for number in range(51)]}},
    ],
)
def test_what_is_no_page_is_a_query_error(odd: Any) -> None:
    """It is not taken for an empty one."""
    answers = Answers({f"/collections/{NAME}/points/scroll": Answer.of(odd)})
    with canned(answers) as store, pytest.raises(QueryError, match="not a page of points"):
        page(store)


def test_entries_that_are_no_points_are_counted() -> None:
    """What can be read is shown."""
    rows = [{"id": 1}, 7, {"id": -1}, {"id": 1.5}, {"id": "x"}, {"id": 2**64}, {"id": True}]
    answers = Answers(
        {f"/collections/{NAME}/points/scroll": Answer.of({"result": {"points": rows}})}
    )
    with canned(answers) as store:
        found = page(store)
    assert [1] == ids(found)
    assert 6 == found.rows.unreadable
