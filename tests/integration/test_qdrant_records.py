"""Points and collections changed, on the stub of Qdrant and on laid down answers.

No real Qdrant is had. The stub's local mode rounds once more where it normalises a vector of a
cosine collection; Qdrant's own engine does not, see docs/qdrant.md.
"""

import json
import struct
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient
from qdrant_client.models import (
    CreateAlias,
    CreateAliasOperation,
    Distance,
    MultiVectorComparator,
    MultiVectorConfig,
    PointStruct,
    SparseVector,
    SparseVectorParams,
    VectorParams,
)

from kato_exporter.demo.qdrant_stub import qdrant_stub
from kato_exporter.demo.servers import LOOPBACK, free_port
from kato_exporter.demo.stub_server import serving
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.qdrant.container import QdrantCollection
from kato_exporter.stores.qdrant.content import (
    Place,
    canonical,
    point_of_content,
    same_point,
    with_payload,
)
from kato_exporter.stores.qdrant.records import QdrantRecords
from kato_exporter.stores.qdrant.store import QdrantStore
from kato_exporter.stores.qdrant.writing import QdrantWriting
from kato_exporter.stores.records import Outcome, Snapshot
from support.http_answers import Answer, answering
from support.http_questions import Questions

NAME = "vectors_alice_kato"
SYMBOL = "VCTR|" + "ab" * 20
KEY = "s3cret-word"
READ_ONLY_KEY = "read-only-s3cret"
TIMEOUT = 20.0
ONE = [1.0, 0.0]
DONE, CHANGED, MISSING, TAKEN = Outcome.DONE, Outcome.CHANGED, Outcome.MISSING, Outcome.TAKEN


@dataclass
class Meddler:
    """An application in front of the stub: somebody who does something before or after a request.

    The keys are methods and the ends of paths.
    """

    behind: WSGIApplication
    before: dict[tuple[str, str], Callable[[], object]] = field(default_factory=dict)
    after: dict[tuple[str, str], Callable[[], object]] = field(default_factory=dict)

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        """Let one request through."""
        self._meddle(self.before, environ)
        answer = b"".join(self.behind(environ, start))
        self._meddle(self.after, environ)
        return [answer]

    @staticmethod
    def _meddle(
        deeds: dict[tuple[str, str], Callable[[], object]], environ: WSGIEnvironment
    ) -> None:
        for method, path in list(deeds):
            if (method, True) == (environ["REQUEST_METHOD"], environ["PATH_INFO"].endswith(path)):
                deeds.pop((method, path))()


@dataclass(frozen=True)
class Qdrant:
    """The stub as the tests see it."""

    url: str
    client: QdrantClient
    meddler: Meddler
    writing: QdrantWriting
    records: QdrantRecords

    def collection(self, name: str = NAME) -> QdrantCollection:
        """Give a collection as a container."""
        return QdrantCollection(self.writing, self.records, name)

    def snapshot(self, point: int | str, collection: str = NAME) -> Snapshot:
        """Read a point that is there."""
        [found] = self.records.read([locator(point, collection)])
        assert found is not None
        return found


@pytest.fixture(scope="module")
def running() -> Iterator[Qdrant]:
    """Serve the stub with keys, and open what writes."""
    with closing(QdrantClient(":memory:")) as client:
        app = qdrant_stub(client, api_key=KEY, read_only_api_key=READ_ONLY_KEY)
        meddler = Meddler(app)
        with serving(meddler) as port:
            url = f"http://{LOOPBACK}:{port}"
            with closing(QdrantWriting(url, timeout=TIMEOUT, api_key=KEY)) as writing:
                yield Qdrant(url, client, meddler, writing, QdrantRecords(writing))


@pytest.fixture
def qdrant(running: Qdrant) -> Qdrant:
    """Give the stub with an empty collection of small vectors, and nobody who meddles."""
    for collection in running.client.get_collections().collections:
        running.client.delete_collection(collection.name)
    running.client.create_collection(NAME, VectorParams(size=2, distance=Distance.EUCLID))
    running.meddler.before.clear()
    running.meddler.after.clear()
    return running


@contextmanager
def canned(answers: Questions) -> Iterator[QdrantWriting]:
    """Open what writes on laid down answers."""
    with answering(answers) as (url, _), closing(QdrantWriting(url, timeout=TIMEOUT)) as writing:
        yield writing


def locator(point: int | str, collection: str = NAME) -> bytes:
    """Name a point."""
    return Place(collection, point).locator


def put(qdrant: Qdrant, point: int | str, payload: dict[str, Any], collection: str = NAME) -> None:
    """Write a point as KATO would."""
    qdrant.client.upsert(collection, [PointStruct(id=point, vector=ONE, payload=payload)])


def payload_of(snapshot: Snapshot) -> Any:
    """Give the payload of what was read."""
    return point_of_content(snapshot.content)["payload"]


def single(number: float) -> float:
    """Round to 32 bits, as Qdrant keeps vectors."""
    return float(struct.unpack("f", struct.pack("f", number))[0])


SINGLES = st.floats(width=32, allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
PAYLOADS = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=4)


def test_a_point_of_every_kind_comes_back_byte_by_byte(qdrant: Qdrant) -> None:
    """Vectors named, of many rows and sparse, hostile floats and payloads; integers and UUIDs."""
    qdrant.client.create_collection(
        "all",
        vectors_config={
            "text": VectorParams(size=3, distance=Distance.DOT),
            "tokens": VectorParams(
                size=2,
                distance=Distance.MANHATTAN,
                multivector_config=MultiVectorConfig(comparator=MultiVectorComparator.MAX_SIM),
            ),
        },
        sparse_vectors_config={"words": SparseVectorParams()},
    )
    odd = [1e-45, 3.4028234663852886e38, -0.0]
    words = SparseVector(indices=[3, 70_000], values=[0.1, -2.5e-38])
    payloads: list[dict[str, Any]] = [
        {},
        {"z": 1, "a": {"y": [None, 1e-300, 0.1, 2**64 - 1, -(2**63)], "b": True}},
        {"<script>": "\u202e\0\x1b[31m", "": "", "=1+1": "é𝄞", "a.b": "x" * 100_000},
    ]
    points: list[PointStruct] = [
        PointStruct(id=0, vector={"text": odd, "words": words}, payload=payloads[0]),
        PointStruct(id=2**64 - 1, vector={}, payload=payloads[1]),
        PointStruct(
            id=str(uuid.UUID(int=7)), vector={"tokens": [ONE, [0.1, 0.2]]}, payload=payloads[2]
        ),
    ]
    qdrant.client.upsert("all", points)
    wanted = [locator(point.id, "all") for point in points]  # type: ignore[arg-type]
    kept = qdrant.records.read(wanted)
    snapshots = [each for each in kept if each is not None]
    assert payloads == [payload_of(each) for each in snapshots]
    assert [DONE] * 3 == qdrant.records.delete(snapshots)
    assert [None] * 3 == qdrant.records.read(wanted)
    assert [MISSING] * 3 == qdrant.records.delete(snapshots)
    assert [DONE] * 3 == qdrant.records.restore(snapshots)
    assert kept == qdrant.records.read(wanted)
    assert [DONE] * 3 == qdrant.records.restore(snapshots)


def test_any_point_comes_back_byte_by_byte(qdrant: Qdrant) -> None:
    """Whatever floats of 32 bits are in the vector, and whatever JSON in the payload."""

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.tuples(SINGLES, SINGLES), PAYLOADS)
    def holds(vector: tuple[float, float], payload: dict[str, Any]) -> None:
        qdrant.client.upsert(NAME, [PointStruct(id=1, vector=list(vector), payload=payload)])
        kept = qdrant.snapshot(1)
        assert payload == payload_of(kept)
        assert list(vector) == point_of_content(kept.content)["vector"]
        assert [DONE] == qdrant.records.delete([kept])
        assert [DONE] == qdrant.records.restore([kept])
        assert kept == qdrant.snapshot(1)

    holds()


def test_a_vector_of_a_cosine_collection_comes_back_but_for_rounding(qdrant: Qdrant) -> None:
    """The stub rounds again; that is the same point, also when it is asked twice."""
    qdrant.client.create_collection("c", VectorParams(size=5, distance=Distance.COSINE))
    vectors = [[0.1 * n, -0.7, 1e-3 * n, 3.0, 12345.678] for n in range(50)]
    qdrant.client.upsert("c", [PointStruct(id=n, vector=v) for n, v in enumerate(vectors)])
    kept = [qdrant.snapshot(n, "c") for n in range(50)]
    assert [DONE] * 50 == qdrant.records.delete(kept)
    assert [DONE] * 50 == qdrant.records.restore(kept)
    assert [DONE] * 50 == qdrant.records.restore(kept)
    now = [qdrant.snapshot(n, "c") for n in range(50)]
    assert all(same_point(one.content, other.content) for one, other in zip(kept, now, strict=True))


def test_only_points_that_still_are_what_was_kept_are_deleted(qdrant: Qdrant) -> None:
    """Of several collections, in the order in which they were given."""
    qdrant.client.create_collection("other", VectorParams(size=2, distance=Distance.DOT))
    for number in range(4):
        put(qdrant, number, {"n": number})
        put(qdrant, number, {"n": number}, "other")
    kept = [qdrant.snapshot(n, name) for n in range(4) for name in (NAME, "other")]
    put(qdrant, 1, {"n": "changed"})
    qdrant.client.upsert("other", [PointStruct(id=2, vector=[0.0, 1.0], payload={"n": 2})])
    qdrant.client.delete(NAME, [3])
    assert [
        *(DONE, DONE, CHANGED, DONE),
        *(DONE, CHANGED, MISSING, DONE),
    ] == qdrant.records.delete(kept)
    assert {"n": "changed"} == payload_of(qdrant.snapshot(1))
    assert [1, 1] == [qdrant.client.count(name).count for name in (NAME, "other")]
    assert {"n": 2} == payload_of(qdrant.snapshot(2, "other"))


def test_what_a_filter_can_compare_is_not_deleted_in_the_last_moment(qdrant: Qdrant) -> None:
    """Somebody writes between our reading and our deletion."""
    for number in (1, 2):
        put(qdrant, number, {"vctr_name": "old", "n": 5, "f": 0.5})
    kept = [qdrant.snapshot(number) for number in (1, 2)]
    qdrant.meddler.before["POST", "/points/delete"] = lambda: put(qdrant, 2, {"vctr_name": "new"})
    assert [DONE, CHANGED] == qdrant.records.delete(kept)
    assert {"vctr_name": "new"} == payload_of(qdrant.snapshot(2))


def test_what_no_filter_compares_is_what_remains_of_the_race(qdrant: Qdrant) -> None:
    """As the module says: a part of the payload that is no text and no whole number."""
    put(qdrant, 1, {"vctr_name": "old", "f": 0.5})
    kept = qdrant.snapshot(1)
    qdrant.meddler.before["POST", "/points/delete"] = lambda: put(
        qdrant, 1, {"vctr_name": "old", "f": 0.75}
    )
    assert [DONE] == qdrant.records.delete([kept])


def test_what_is_written_again_at_once_counts_as_changed(qdrant: Qdrant) -> None:
    """It is there, so nobody is told that it is gone."""
    put(qdrant, 1, {"n": 1})
    kept = qdrant.snapshot(1)
    qdrant.meddler.after["POST", "/points/delete"] = lambda: put(qdrant, 1, {"n": 1})
    assert [CHANGED] == qdrant.records.delete([kept])


def test_a_payload_is_replaced_and_nothing_else(qdrant: Qdrant) -> None:
    """The content afterwards is the one that was asked for; asked twice it is done, too."""
    qdrant.client.upsert(NAME, [PointStruct(id=1, vector=[0.1, 1e-7], payload={"a": 1, "b": 2})])
    before = qdrant.snapshot(1)
    wanted = with_payload(before.content, {"z": [1.5, None], "a": {"x": "\u202e"}})
    assert DONE == qdrant.records.replace(before, wanted)
    assert wanted == qdrant.snapshot(1).content
    assert DONE == qdrant.records.replace(before, wanted)
    after = Snapshot(before.locator, wanted)
    assert DONE == qdrant.records.replace(after, before.content)
    assert before == qdrant.snapshot(1)
    assert DONE == qdrant.records.replace(before, with_payload(before.content, {}))
    assert {} == payload_of(qdrant.snapshot(1))


def test_a_point_that_has_changed_or_is_gone_gets_no_payload(qdrant: Qdrant) -> None:
    """By its payload or by its vector, before our reading or after it."""
    put(qdrant, 1, {"a": "x"})
    kept = qdrant.snapshot(1)
    wanted = with_payload(kept.content, {"mine": 1})
    put(qdrant, 1, {"a": "y"})
    assert CHANGED == qdrant.records.replace(kept, wanted)
    qdrant.client.upsert(NAME, [PointStruct(id=1, vector=[0.0, 1.0], payload={"a": "x"})])
    assert CHANGED == qdrant.records.replace(kept, wanted)
    put(qdrant, 1, {"a": "x"})
    qdrant.meddler.before["PUT", "/points/payload"] = lambda: put(qdrant, 1, {"a": "theirs"})
    assert CHANGED == qdrant.records.replace(kept, wanted)
    assert {"a": "theirs"} == payload_of(qdrant.snapshot(1))
    put(qdrant, 1, {"a": "x"})
    qdrant.meddler.before["PUT", "/points/payload"] = lambda: qdrant.client.delete(NAME, [1])
    assert MISSING == qdrant.records.replace(kept, wanted)
    assert MISSING == qdrant.records.replace(kept, wanted)


def test_vectors_and_ids_are_not_changed_by_an_edit(qdrant: Qdrant) -> None:
    """The request is refused before it is sent."""
    put(qdrant, 1, {})
    kept = qdrant.snapshot(1)
    point = point_of_content(kept.content)
    for part, value in (("id", 2), ("vector", [2.0, 2.0])):
        other = canonical({**point, part: value})
        with pytest.raises(QueryError, match="only the payload"):
            qdrant.records.replace(kept, other)
    with pytest.raises(QueryError, match="no content of a point"):
        qdrant.records.replace(kept, b"{}")


def test_nothing_is_put_over_another_point(qdrant: Qdrant) -> None:
    """Be it there before, or written in the last moment; the rest comes back."""
    for number in (1, 2, 3):
        put(qdrant, number, {"n": number})
    kept = [qdrant.snapshot(number) for number in (1, 2, 3)]
    assert [DONE] * 3 == qdrant.records.delete(kept)
    put(qdrant, 1, {"n": "another"})
    qdrant.meddler.before["PUT", "/points"] = lambda: put(qdrant, 2, {"n": "too"})
    assert [TAKEN, TAKEN, DONE] == qdrant.records.restore(kept)
    assert ["another", "too", 3] == [payload_of(qdrant.snapshot(n))["n"] for n in (1, 2, 3)]


def test_without_their_collection_points_are_missing_and_do_not_come_back(qdrant: Qdrant) -> None:
    """It says what to do."""
    put(qdrant, 1, {})
    kept = qdrant.snapshot(1)
    qdrant.client.delete_collection(NAME)
    assert [None] == qdrant.records.read([kept.locator])
    assert [MISSING] == qdrant.records.delete([kept])
    with pytest.raises(QueryError, match=f"no collection {NAME} any more; put that back first"):
        qdrant.records.restore([kept])


def test_a_refusal_after_a_part_was_done_is_not_one_of_all(qdrant: Qdrant) -> None:
    """Who is told of a refusal believes that nothing was done."""
    qdrant.client.create_collection("a", VectorParams(size=2, distance=Distance.DOT))
    put(qdrant, 1, {}, "a")
    put(qdrant, 1, {})
    kept = [qdrant.snapshot(1, "a"), qdrant.snapshot(1)]
    assert [DONE] * 2 == qdrant.records.delete(kept)
    qdrant.client.delete_collection(NAME)
    with pytest.raises(StoreError, match="a part was done") as error:
        qdrant.records.restore(kept)
    assert not isinstance(error.value, QueryError)
    assert kept[0] == qdrant.snapshot(1, "a")


def test_the_read_only_key_reads_and_changes_nothing(qdrant: Qdrant) -> None:
    """Qdrant refuses every change in its words, and nobody doubts that nothing was done."""
    put(qdrant, 1, {"a": 1})
    kept = qdrant.snapshot(1)
    absent = Snapshot(locator(2), kept.content.replace(b'"id":1', b'"id":2'))
    with closing(QdrantWriting(qdrant.url, timeout=TIMEOUT, api_key=READ_ONLY_KEY)) as writing:
        records = QdrantRecords(writing)
        collection = QdrantCollection(writing, records, NAME)
        assert [kept] == records.read([kept.locator])
        description = collection.describe()
        assert description is not None
        assert [[kept.locator]] == list(collection.locators(500))
        new = QdrantCollection(writing, records, "new")
        qdrant.client.create_collection("empty", VectorParams(size=2, distance=Distance.DOT))
        empty = QdrantCollection(writing, records, "empty")
        for change in (
            lambda: records.delete([kept]),
            lambda: records.replace(kept, with_payload(kept.content, {"b": 2})),
            lambda: records.restore([absent]),
            lambda: new.make(description),
            empty.remove,
        ):
            with pytest.raises(
                QueryError,
                match=r"not permitted \(403\): KATO_QDRANT_API_KEY .* has to be a key that may "
                r"write: Forbidden: Global manage access is required",
            ):
                change()
        with pytest.raises(ValueError, match="is no change that may be asked for"):
            writing._api.change("DELETE", "/collections", None, Deadline.after(1))  # noqa: SLF001
    assert kept == qdrant.snapshot(1)
    assert {NAME, "empty"} == {each.name for each in qdrant.client.get_collections().collections}


def test_the_store_of_the_exporter_has_no_way_to_change_anything(qdrant: Qdrant) -> None:
    """Whatever key it is given."""
    with closing(QdrantStore(qdrant.url, timeout=TIMEOUT, api_key=KEY)) as store:
        for method, path in (
            ("POST", f"/collections/{NAME}/points/delete?wait=true&ordering=strong"),
            ("PUT", f"/collections/{NAME}/points?wait=true&ordering=strong"),
            ("DELETE", f"/collections/{NAME}"),
        ):
            with pytest.raises(ValueError, match="is no change"):
                store.points._api.change(method, path, {}, Deadline.after(1))  # type: ignore[arg-type] # noqa: SLF001
    assert qdrant.client.collection_exists(NAME)


POINTS = f"/collections/{NAME}/points"
WAITING = "wait=true&ordering=strong"
ROW = {"id": 1, "payload": {"vctr_name": SYMBOL, "n": 7, "b": True}, "vector": [1.0, 2.0]}
THERE = Answer.of({"result": [ROW], "status": "ok"})
GONE = Answer.of({"result": [], "status": "ok"})
COMPLETED = Answer.of({"result": {"operation_id": 1, "status": "completed"}, "status": "ok"})
CONTENT = canonical(ROW)
KEPT = Snapshot(locator(1), CONTENT)


def whole(**more: Answer) -> dict[str, Answer]:
    """Give answers as of a Qdrant that has one point, with those of points by the end of a path."""
    paths = {f"{POINTS}/{name}": answer for name, answer in more.items()}
    return {"/": Answer.of({"version": "1.16.0"}), POINTS: THERE, **paths}


def test_what_is_asked_is_what_qdrant_documents() -> None:
    """Path by path: waiting, in strong order, by id and by what a filter compares exactly."""
    answers = Questions(whole(delete=COMPLETED, payload=COMPLETED))
    unchanged = {
        "should": [
            {
                "must": [
                    {"has_id": [1]},
                    {"key": "n", "match": {"value": 7}},
                    {"key": "vctr_name", "match": {"value": SYMBOL}},
                ]
            }
        ]
    }
    reading = {"ids": [1], "with_payload": True, "with_vector": True}
    with canned(answers) as writing:
        records = QdrantRecords(writing)
        assert [CHANGED] == records.delete([KEPT])
        assert CHANGED == records.replace(KEPT, with_payload(CONTENT, {"x": 1}))
    asked = f"POST {POINTS}?timeout=20"
    assert [
        *(asked, f"POST {POINTS}/delete?{WAITING}", asked),
        *(asked, f"PUT {POINTS}/payload?{WAITING}", asked),
    ] == answers.asked
    assert [
        *(reading, {"filter": unchanged}, reading),
        *(reading, {"payload": {"x": 1}, "filter": unchanged}, reading),
    ] == answers.bodies


@pytest.mark.parametrize(("version", "conditional"), [("1.15.4", False), ("1.16.0", True)])
def test_only_a_qdrant_that_knows_conditions_is_told_any(
    version: str, *, conditional: bool
) -> None:
    """From 1.16 on it does not put a point over another by itself."""
    answers = Questions({**whole(), "/": Answer.of({"version": version})})

    def answer(_: str, question: Any) -> Answer:
        if "points" in question:
            answers.by_body = lambda *_: THERE
            return COMPLETED
        return GONE

    answers.by_body = answer
    with canned(answers) as writing:
        assert [DONE] == QdrantRecords(writing).restore([KEPT])
    [order] = [body for body in answers.bodies if "points" in body]
    condition = {"update_filter": {"must_not": [{"has_id": [1]}]}} if conditional else {}
    assert {"points": [ROW], **condition} == order
    assert f"PUT {POINTS}?{WAITING}" in answers.asked


def test_where_filters_are_refused_the_id_alone_has_to_do() -> None:
    """Qdrant's strict mode refuses to filter by a field without an index."""
    refused = Answer.of({"status": {"error": "Bad request: Index required but not found"}}, 400)
    answers = Questions(whole())
    answers.by_body = lambda path, body: (
        {True: refused, False: COMPLETED}["filter" in body] if path.endswith("/delete") else None
    )
    with canned(answers) as writing:
        QdrantRecords(writing).delete([KEPT])
    assert {"points": [1]} == answers.bodies[-2]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer.of({"result": {"status": "acknowledged"}}), "not carried it out: 'acknowledged'"),
        (Answer.of({"result": {"status": "wait_timeout"}}), "not carried it out"),
        (Answer.of({"result": None}), "not carried it out: None"),
        (Answer.of({"status": {"error": "disk full"}}, 500), "nobody knows .* 500 disk full"),
        (Answer.of({"detail": "slow"}, 504), "nobody knows .* 504 slow"),
        (Answer.of({}, 408), "nobody knows"),
        (Answer(b"<html>"), "nobody knows .* not JSON"),
        (Answer.of({"status": {"error": "later"}}), "nobody knows .* later"),
    ],
)
def test_what_is_no_clear_answer_leaves_it_open_what_was_done(answer: Answer, said: str) -> None:
    """It is no refusal, so whoever asked looks what became of it."""
    with (
        canned(Questions(whole(delete=answer))) as writing,
        pytest.raises(StoreError, match=said) as error,
    ):
        QdrantRecords(writing).delete([KEPT])
    assert not isinstance(error.value, QueryError)


def test_a_qdrant_that_does_not_answer_is_a_store_error() -> None:
    """Reading or writing."""
    url = f"http://{LOOPBACK}:{free_port()}"
    with closing(QdrantWriting(url, timeout=1)) as writing:
        records = QdrantRecords(writing)
        collection = QdrantCollection(writing, records, NAME)
        for ask in (
            lambda: records.read([KEPT.locator]),
            lambda: records.delete([KEPT]),
            collection.describe,
            collection.remove,
        ):
            with pytest.raises(StoreError, match="refused"):
                ask()


def test_a_404_of_something_in_between_is_not_taken_for_a_missing_point() -> None:
    """A collection is gone only if the list of all lacks it."""
    listed = Answer.of({"result": {"collections": [{"name": NAME}]}})
    with canned(Questions({"/collections": listed})) as writing, pytest.raises(QueryError) as error:
        QdrantRecords(writing).read([KEPT.locator])
    assert 404 == error.value.code
    listed = Answer.of({"result": {"collections": []}})
    with canned(Questions({"/collections": listed})) as writing:
        assert [None] == QdrantRecords(writing).read([KEPT.locator])


def test_points_too_large_together_are_read_in_parts(qdrant: Qdrant) -> None:
    """One that is too large by itself is not changed, and said to be."""
    for number in range(6):
        put(qdrant, number, {"text": "x" * 4_000_000})
    wanted = [locator(number) for number in range(6)]
    kept = [each for each in qdrant.records.read(wanted) if each is not None]
    assert 6 == len(kept)
    assert [DONE] * 6 == qdrant.records.delete(kept)
    assert [DONE] * 6 == qdrant.records.restore(kept)
    put(qdrant, 7, {"text": "x" * 17_000_000})
    with pytest.raises(QueryError, match="point 7 is too large or too deep to be kept"):
        qdrant.records.read([locator(7)])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (None, "not the points that were asked for"),
        ([{"id": 2}], "not the points that were asked for"),
        ([{"id": True}], "not the points that were asked for"),
        ([7], "not the points that were asked for"),
        ([{**ROW, "shard_key": "a"}], "shard key"),
        ([{**ROW, "payload": []}], "not an object"),
    ],
)
def test_what_could_not_be_written_again_is_not_kept(rows: Any, said: str) -> None:
    """So it is not changed either."""
    answers = Questions({**whole(), POINTS: Answer.of({"result": rows})})
    with canned(answers) as writing, pytest.raises(QueryError, match=said):
        QdrantRecords(writing).read([KEPT.locator])


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"collection":"a","point":"x"}',
        b'{"collection":"a","point":true}',
        b'{"collection":"a","point":-1}',
        b'{"collection":"a","point":1,"x":2}',
        b'{"collection": "a", "point": 1}',
        b'{"collection":7,"point":1}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_locator_is_refused(odd: bytes, qdrant: Qdrant) -> None:
    """They come from forms."""
    for ask in (
        lambda: qdrant.records.read([odd]),
        lambda: qdrant.records.label(odd),
        lambda: qdrant.records.path(odd),
    ):
        with pytest.raises(QueryError, match="no locator"):
            ask()


def test_a_record_has_a_name_and_a_page(qdrant: Qdrant) -> None:
    """Whatever the collection is called, it stays one segment of the path."""
    records = qdrant.records
    assert f"5 in {NAME}" == records.label(locator(5))
    assert f"/qdrant/{NAME}/points/5" == records.path(locator(5))
    assert "/qdrant/a%2F..%3F%22/points/5" == records.path(locator(5, 'a/..?"'))


def test_the_preview_says_what_refers_to_vectors(qdrant: Qdrant) -> None:
    """Patterns have the symbol, and keep it."""
    put(qdrant, 1, {"vctr_name": SYMBOL})
    put(qdrant, 2, {"vctr_name": "x"})
    kept = [qdrant.snapshot(number) for number in (1, 2)]
    assert [
        "1 is the vector of a symbol (VCTR|…); patterns that have the symbol stay as they are."
    ] == qdrant.records.references(kept)
    assert [] == qdrant.records.references(kept[1:])


def made(qdrant: Qdrant) -> None:
    """Make a collection with indexes, an alias and points."""
    qdrant.client.create_collection(
        "own",
        vectors_config={"text": VectorParams(size=3, distance=Distance.COSINE, on_disk=True)},
        sparse_vectors_config={"words": SparseVectorParams()},
        metadata={"of": "somebody"},
    )
    qdrant.writing.index("own", "vctr_name", "keyword")
    qdrant.writing.index("own", "n", {"type": "integer", "lookup": True, "range": False})
    alias = CreateAlias(collection_name="own", alias_name="mine")
    qdrant.client.update_collection_aliases([CreateAliasOperation(create_alias=alias)])
    points = [PointStruct(id=n, vector={"text": [1.0, 2.0, n]}) for n in range(250)]
    qdrant.client.upsert("own", points)


def test_a_collection_goes_with_its_points_and_comes_back(qdrant: Qdrant) -> None:
    """Its configuration, indexes and aliases are as they were, and so are its points."""
    made(qdrant)
    own = qdrant.collection("own")
    description, before = own.describe(), qdrant.writing.info("own")
    assert description is not None
    assert 250 == own.count()
    kept: list[Snapshot] = []
    for portion in own.locators(40):
        assert len(portion) <= 40
        found = [each for each in own.kind.read(portion) if each is not None]
        kept += found
        assert own.kind is qdrant.records
        assert not own.remove()
        assert [DONE] * len(portion) == own.kind.delete(found)
    assert 250 == len(kept)
    assert own.remove()
    assert own.remove()
    assert own.describe() is None
    assert DONE == own.make(description)
    assert description == own.describe()
    assert [DONE] * 250 == own.kind.restore(kept)
    assert before == qdrant.writing.info("own")
    assert {"mine": "own"} == qdrant.writing.aliases()
    assert TAKEN == own.make(description)


def test_a_collection_that_was_made_in_part_is_completed(qdrant: Qdrant) -> None:
    """The process may have ended in between; one that differs or has points is another's."""
    made(qdrant)
    own = qdrant.collection("own")
    description = own.describe()
    assert description is not None
    qdrant.writing.drop("own")
    qdrant.writing.create("own", json.loads(description)["create"])
    assert DONE == own.make(description)
    assert description == own.describe()
    qdrant.writing.drop("own")
    qdrant.client.create_collection("own", VectorParams(size=2, distance=Distance.DOT))
    assert TAKEN == own.make(description)


def test_an_alias_that_is_another_s_by_now_stays_there(qdrant: Qdrant) -> None:
    """Qdrant would take it away without a word."""
    made(qdrant)
    own = qdrant.collection("own")
    description = own.describe()
    assert description is not None
    qdrant.writing.drop("own")
    qdrant.writing.call(NAME, ["mine"])
    assert DONE == own.make(description)
    assert {"mine": NAME} == qdrant.writing.aliases()


def test_an_alias_is_not_a_collection_to_remove(qdrant: Qdrant) -> None:
    """Otherwise the points of the collection behind it would go."""
    made(qdrant)
    assert qdrant.collection("mine").describe() is None
    assert qdrant.collection("nowhere").describe() is None
    assert qdrant.collection("..").describe() is None


INFO = {
    "status": "green",
    "points_count": 3,
    "config": {
        "params": {
            "vectors": {"size": 512, "distance": "Cosine"},
            "sparse_vectors": {"words": {"index": {"on_disk": True}}},
            "shard_number": 2,
            "replication_factor": 1,
            "write_consistency_factor": 1,
            "read_fan_out_factor": 3,
            "on_disk_payload": True,
        },
        "hnsw_config": {"m": 16, "ef_construct": 100, "on_disk": False},
        "optimizer_config": {"deleted_threshold": 0.2, "max_segment_size": None},
        "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
        "quantization_config": {"scalar": {"type": "int8", "always_ram": True}},
        "strict_mode_config": None,
    },
    "payload_schema": {
        "vctr_name": {"data_type": "keyword", "points": 3},
        "n": {"data_type": "integer", "params": {"type": "integer", "range": False}, "points": 0},
    },
}


def collections(info: Any) -> Questions:
    """Give answers on one collection, and one alias of it."""
    aliases = [
        {"alias_name": "z", "collection_name": NAME},
        {"alias_name": "b", "collection_name": "other"},
    ]
    return Questions(
        {
            "/collections": Answer.of({"result": {"collections": [{"name": NAME}]}}),
            "/aliases": Answer.of({"result": {"aliases": aliases}}),
            f"/collections/{NAME}": Answer.of({"result": info}),
        }
    )


def test_all_that_a_collection_was_made_with_is_described() -> None:
    """In the words in which one is made; what cannot be given then is left out."""
    with canned(collections(INFO)) as writing:
        description = QdrantCollection(writing, QdrantRecords(writing), NAME).describe()
    assert description is not None
    params = {**INFO["config"]["params"]}  # type: ignore[index]
    del params["read_fan_out_factor"]
    assert {
        "create": {
            **params,
            "hnsw_config": {"m": 16, "ef_construct": 100, "on_disk": False},
            "optimizers_config": {"deleted_threshold": 0.2, "max_segment_size": None},
            "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
            "quantization_config": {"scalar": {"type": "int8", "always_ram": True}},
        },
        "indexes": {"vctr_name": "keyword", "n": {"type": "integer", "range": False}},
        "aliases": ["z"],
    } == json.loads(description)


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"config": {"params": {"sharding_method": "custom"}}}, "shards by key"),
        ({"config": {}}, "does not tell the configuration"),
        ([], "not a collection"),
    ],
)
def test_a_collection_that_could_not_be_made_again_is_not_removed(info: Any, said: str) -> None:
    """It says why."""
    with canned(collections(info)) as writing, pytest.raises(QueryError, match=said):
        QdrantCollection(writing, QdrantRecords(writing), NAME).describe()


@pytest.mark.parametrize(
    "result",
    [
        {"points": [{"id": 1}, {"id": 2}], "next_page_offset": 1},
        {"points": [], "next_page_offset": "x"},
        {"points": [{"id": -1}], "next_page_offset": None},
        {"points": None, "next_page_offset": None},
    ],
)
def test_a_listing_that_does_not_go_on_ends_with_an_error(result: Any) -> None:
    """It would never end, or end too early."""
    answers = Questions({f"{POINTS}/scroll": Answer.of({"result": result})})
    with canned(answers) as writing, pytest.raises(QueryError, match="points/scroll"):
        list(QdrantCollection(writing, QdrantRecords(writing), NAME).locators(5))


@pytest.mark.parametrize("result", [None, {}, {"count": "0"}, {"count": -1}, {"count": True}])
def test_what_is_no_count_is_not_taken_for_an_empty_collection(result: Any) -> None:
    """Nothing is removed then."""
    answers = collections(INFO)
    answers.by_path[f"{POINTS}/count"] = Answer.of({"result": result})
    with canned(answers) as writing, pytest.raises(QueryError, match="not a count"):
        QdrantCollection(writing, QdrantRecords(writing), NAME).remove()
    assert not [asked for asked in answers.asked if asked.startswith("DELETE")]


@given(SINGLES)
def test_a_float_of_32_bits_is_the_same_in_its_shortest_spelling(number: float) -> None:
    """Qdrant prints the shortest; Python's spelling of what it reads means the same."""
    spelled = json.dumps(number)
    assert struct.pack("f", number) == struct.pack("f", single(json.loads(spelled)))
