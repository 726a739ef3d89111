"""QdrantStore on the stub of Qdrant and on answers that no Qdrant gives. No real Qdrant is had."""

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from cheroot.ssl import Adapter
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams

from kato_exporter.collectors.qdrant import QdrantCollector
from kato_exporter.demo.qdrant_stub import TITLE, VERSION, qdrant_stub
from kato_exporter.demo.servers import LOOPBACK, free_port
from kato_exporter.demo.shapes import VECTOR_SIZE, vector_collection
from kato_exporter.demo.stub_server import serving
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.http import JsonApi
from kato_exporter.stores.qdrant.answers import Vector
from kato_exporter.stores.qdrant.store import QdrantStore
from support.exporting import StartExporter, run_command
from support.fault_proxy import FaultProxy
from support.http_answers import HTML, Answer, Answers, answering, tls
from support.waiting import at_most, eventually

TIMEOUT = 1.0
AT_MOST = 1.9
KEY = "s3cret-word"
READ_ONLY_KEY = "read-only-s3cret"
NAME = "vectors_alice_kato"

QUESTIONS: dict[str, Callable[[QdrantStore], object]] = {
    "probe": lambda store: store.probe(Deadline.after(10)),
    "report": lambda store: store.report(),
    "version": lambda store: store.version(Deadline.after(10)),
    "collections": lambda store: store.collections(Deadline.after(10)),
    "collection": lambda store: store.collection(NAME, Deadline.after(10)),
}
every_question = pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    """Give a Qdrant in local mode with the collection of one knowledge base."""
    with closing(QdrantClient(":memory:")) as client:
        client.create_collection(**vector_collection("alice_kato"))
        yield client


@contextmanager
def opened(url: str, api_key: str | None = None) -> Iterator[QdrantStore]:
    """Open a store for a while."""
    with closing(QdrantStore(url, timeout=TIMEOUT, api_key=api_key)) as store:
        yield store


@contextmanager
def stub(client: QdrantClient, *, ssl_adapter: Adapter | None = None, **keys: str) -> Iterator[str]:
    """Serve the stub for a while; give its URL."""
    scheme = "http" if ssl_adapter is None else "https"
    with serving(qdrant_stub(client, **keys), ssl_adapter=ssl_adapter) as port:
        yield f"{scheme}://{LOOPBACK}:{port}"


@contextmanager
def canned(answers: Answers) -> Iterator[QdrantStore]:
    """Open a store on laid down answers."""
    with answering(answers) as (url, _), opened(url) as store:
        yield store


def whole() -> dict[str, Answer]:
    """Give answers with nothing wrong in them."""
    info = {"status": "green", "points_count": 3, "segments_count": 1}
    return {
        "/": Answer.of({"title": "qdrant", "version": "1.15.4"}),
        "/collections": Answer.of({"result": {"collections": [{"name": NAME}]}}),
        f"/collections/{NAME}": Answer.of({"result": info, "status": "ok"}),
    }


def test_the_stub_calls_itself_one(client: QdrantClient) -> None:
    """Nobody shall take it for a Qdrant."""
    with stub(client) as url, opened(url) as store:
        assert f"Qdrant {VERSION}" == store.report().version
        assert VERSION.endswith("-stub")
        assert "stub" in TITLE


def test_collections_are_as_the_local_qdrant_has_them(client: QdrantClient) -> None:
    """Names, points, and vectors with and without a name."""
    client.create_collection(
        "named",
        vectors_config={
            "text": VectorParams(size=2, distance=Distance.COSINE),
            "image": VectorParams(size=3, distance=Distance.DOT),
        },
    )
    client.upsert(NAME, [PointStruct(id=number, vector=[0.5] * VECTOR_SIZE) for number in range(7)])
    with stub(client) as url, opened(url) as store:
        assert {NAME, "named"} == set(store.collections(Deadline.after(1)))
        alice = store.collection(NAME, Deadline.after(1))
        named = store.collection("named", Deadline.after(1))
    assert client.count(NAME).count == alice.points
    assert 7 == alice.points
    assert "green" == alice.status
    assert alice.optimizer_ok
    assert (Vector(name="", size=VECTOR_SIZE, distance="Euclid"),) == alice.vectors
    assert (
        Vector(name="image", size=3, distance="Dot"),
        Vector(name="text", size=2, distance="Cosine"),
    ) == named.vectors


def test_names_that_need_quoting_are_asked_for_as_they_are(client: QdrantClient) -> None:
    """Spaces, unicode, percent signs and what else has a meaning in a URL."""
    names = ["a b", "ä", "50%25", "#1", "a&b=c", "a+b", ";"]
    for name in names:
        client.create_collection(
            name, vectors_config=VectorParams(size=len(name), distance=Distance.DOT)
        )
    with stub(client) as url, opened(url) as store:
        found = [store.collection(name, Deadline.after(1)).vectors[0].size for name in names]
        with pytest.raises(QueryError, match="404"):
            store.collection("\ud800", Deadline.after(1))
    assert [len(name) for name in names] == found


def test_a_deleted_collection_is_a_loss_that_stays(client: QdrantClient) -> None:
    """From end to end: KATO evicts a processor and deletes its collection."""
    client.upsert(NAME, [PointStruct(id=1, vector=[0.5] * VECTOR_SIZE)])
    with stub(client) as url, opened(url) as store:
        collector = QdrantCollector(store, most_collections=10)
        collector.collect(Deadline.after(5))
        client.delete_collection(NAME)
        collection = collector.collect(Deadline.after(5))
    found = {
        (family.name, *sample.labels.values()): sample.value
        for family in collection.families
        for sample in family.samples
    }
    assert 0 == found["kato_qdrant_collections",]
    assert 1 == found["kato_qdrant_points_lost", NAME]
    assert ("kato_qdrant_points", NAME) not in found


@pytest.mark.parametrize("key", [KEY, READ_ONLY_KEY])
def test_either_key_is_enough(client: QdrantClient, key: str) -> None:
    """The read-only one serves."""
    with (
        stub(client, api_key=KEY, read_only_api_key=READ_ONLY_KEY) as url,
        opened(url, key) as store,
    ):
        assert (NAME,) == store.collections(Deadline.after(1))


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("wrong-s3cret", 403)])
def test_without_the_right_key_it_says_what_to_check(
    client: QdrantClient, key: str | None, status: int
) -> None:
    """The probe needs none, so the server counts as up; the collector fails and says why."""
    with stub(client, api_key=KEY) as url, opened(url, key) as store:
        store.probe(Deadline.after(1))
        for ask in (QUESTIONS["report"], QUESTIONS["collections"], QUESTIONS["collection"]):
            with pytest.raises(
                StoreError, match=rf"^not permitted \({status}\): check KATO_QDRANT_API_KEY"
            ) as refused:
                ask(store)
            assert not isinstance(refused.value, QueryError)
            assert "s3cret" not in str(refused.value)


@every_question
def test_no_server_is_a_store_error(ask: Callable[[QdrantStore], object]) -> None:
    """With the system's own words."""
    with (
        opened(f"http://{LOOPBACK}:{free_port()}") as store,
        at_most(AT_MOST),
        pytest.raises(StoreError, match="refused") as error,
    ):
        ask(store)
    assert not isinstance(error.value, QueryError)


@every_question
def test_a_silent_server_costs_the_timeout(
    ask: Callable[[QdrantStore], object], client: QdrantClient
) -> None:
    """No longer, though it accepts the connection."""
    with (
        stub(client) as url,
        FaultProxy(int(url.rpartition(":")[2])) as proxy,
        opened(f"http://{LOOPBACK}:{proxy.port}") as store,
    ):
        ask(store)
        proxy.black_hole()
        with at_most(AT_MOST), pytest.raises(StoreError, match="no answer within 1 s"):
            ask(store)
        proxy.cut()
        proxy.heal()
        ask(store)


@pytest.mark.alone
def test_an_answer_that_drips_costs_the_timeout(client: QdrantClient) -> None:
    """Byte by byte, of the headers and of the body: the time limit holds for all of it."""
    with (
        stub(client) as url,
        FaultProxy(int(url.rpartition(":")[2])) as proxy,
        opened(f"http://{LOOPBACK}:{proxy.port}") as store,
    ):
        proxy.drip(0.05)
        for _ in range(2):
            with at_most(AT_MOST), pytest.raises(StoreError, match="no answer within 1 s"):
                store.version(Deadline.after(10))
        proxy.drip(0.4)
        with at_most(1.25), pytest.raises(StoreError, match="no answer within 1 s"):
            store.version(Deadline.after(10))
        with at_most(0.35), pytest.raises(StoreError, match=r"no answer within 0\.1"):
            store.version(Deadline.after(0.15))


@pytest.mark.alone
def test_an_expired_deadline_asks_nothing(client: QdrantClient) -> None:
    """Not even for a connection that is open."""
    with stub(client) as url, opened(url) as store:
        store.version(Deadline.after(1))
        with at_most(0.2), pytest.raises(StoreError, match="no answer within 0 s"):
            store.version(Deadline.after(-1))


def test_a_closed_store_gives_no_answer(client: QdrantClient) -> None:
    """A collection may still run when the exporter ends; that is no fault of ours."""
    with stub(client) as url, opened(url) as store:
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.version(Deadline.after(1))


def test_what_breaks_off_is_a_store_error(client: QdrantClient) -> None:
    """In the middle of the headers, of the body, and garbage."""
    with (
        stub(client) as url,
        FaultProxy(int(url.rpartition(":")[2])) as proxy,
        opened(f"http://{LOOPBACK}:{proxy.port}") as store,
    ):
        for after in (5, 150):
            proxy.truncate(after)
            with at_most(AT_MOST), pytest.raises(StoreError) as error:
                store.collection(NAME, Deadline.after(1))
            assert not isinstance(error.value, QueryError)
            proxy.heal()
            store.probe(Deadline.after(1))
        proxy.cut()
        proxy.garbage()
        with at_most(AT_MOST), pytest.raises(StoreError):
            store.probe(Deadline.after(1))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer.of({"status": {"error": "disk\nfull"}}, 500), "500 disk full"),
        (Answer.of({"detail": "Not Found"}, 404), "404 Not Found"),
        (Answer(b"<html>oh no</html>", 502), "502 Bad Gateway"),
        (Answer(b"", 302, (("Location", "/elsewhere"),)), "302 Found"),
        (Answer(b"", 204), "204 No Content"),
        (HTML, "not JSON but <!DOCTYPE html>"),
        (Answer(b""), "not JSON but"),
        (Answer(b'{"a":'), "not JSON but"),
        (Answer(b"[" * 100_000), "not JSON but"),
        (Answer.of({"status": {"error": "locked"}, "result": None}), "locked"),
        (Answer.of({"error": "broken"}), "broken"),
        (Answer.of([]), "not an answer of Qdrant"),
        (Answer.of({"version": 7}), "not an answer of Qdrant"),
        (Answer.of({"version": "9" * 65}), "not an answer of Qdrant"),
        (Answer(b'{"version": NaN}'), "not an answer of Qdrant"),
    ],
)
def test_what_is_no_answer_of_qdrant_is_a_query_error(answer: Answer, said: str) -> None:
    """In one line; redirects are not followed."""
    answers = Answers({"/": answer, "/elsewhere": whole()["/"]})
    with canned(answers) as store, pytest.raises(QueryError) as error:
        store.probe(Deadline.after(1))
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert ["GET /"] == answers.asked
    if answer.status != 200:
        assert answer.status == error.value.code


def test_too_large_an_answer_is_cut_off() -> None:
    """A hostile server must not fill the memory, packed or not."""
    large = json.dumps({"version": "1", "more": "x" * 17_000_000}).encode()
    packed = (("Content-Type", "application/json"), ("Content-Encoding", "gzip"))
    with (
        canned(Answers({"/": Answer(large)})) as store,
        pytest.raises(QueryError, match="an answer of more than 16777216 bytes"),
    ):
        store.probe(Deadline.after(5))
    answers = Answers({"/": Answer(gzip.compress(large), headers=packed)})
    with canned(answers) as store, pytest.raises(QueryError, match="not JSON"):
        store.probe(Deadline.after(5))
    assert "identity" == answers.headers["accept_encoding"]


def test_a_server_that_echoes_the_key_does_not_make_us_show_it() -> None:
    """Its words go into the log."""
    answers = Answers({"/": Answer.of({"status": {"error": f"key {KEY} is odd"}}, 500)})
    with (
        answering(answers) as (url, _),
        opened(url, KEY) as store,
        pytest.raises(QueryError, match=r"key \*\*\* is odd"),
    ):
        store.probe(Deadline.after(1))
    assert KEY == answers.headers["api_key"]


def test_nothing_but_reading_is_asked() -> None:
    """All that a collector and a report send."""
    answers = Answers(whole())
    with canned(answers) as store:
        store.probe(Deadline.after(1))
        store.report()
        QdrantCollector(store, most_collections=5).collect(Deadline.after(1))
    assert {"GET /", "GET /collections", f"GET /collections/{NAME}"} == set(answers.asked)


def test_a_prefix_stands_before_every_path() -> None:
    """With a slash at its end or without."""
    answers = Answers({f"/q{path}".rstrip("/"): answer for path, answer in whole().items()})
    answers.by_path["/q/"] = whole()["/"]
    with answering(answers) as (url, _):
        for prefix in ("/q", "/q/"):
            with opened(url + prefix) as store:
                assert "Qdrant 1.15.4" == store.report().version
                assert f"{url}/q" == store.address


def test_proxies_of_the_environment_are_not_used(
    client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store stands beside us; a proxy would learn its key."""
    monkeypatch.setenv("HTTP_PROXY", f"http://{LOOPBACK}:{free_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://{LOOPBACK}:{free_port()}")
    with stub(client) as url, opened(url) as store:
        store.probe(Deadline.after(1))


def test_https_is_checked_against_the_authority_that_the_environment_names(
    client: QdrantClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE names it; without it a certificate of one's own is refused."""
    adapter, authority = tls(tmp_path)
    with stub(client, ssl_adapter=adapter, api_key=KEY) as url:
        with opened(url, KEY) as store, pytest.raises(StoreError, match="CERTIFICATE_VERIFY"):
            store.probe(Deadline.after(1))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        with opened(url, KEY) as store:
            assert (NAME,) == store.collections(Deadline.after(1))
        with (
            opened(url.replace(LOOPBACK, "localhost"), KEY) as store,
            pytest.raises(StoreError, match="match"),
        ):
            store.probe(Deadline.after(1))


@pytest.mark.parametrize(
    ("url", "key", "told"),
    [
        ("http://qdrant:6333", KEY, True),
        ("http://10.0.0.1:6333", KEY, True),
        ("http://qdrant:6333", None, False),
        ("https://qdrant:6333", KEY, False),
        ("http://localhost:6333", KEY, False),
        ("http://127.0.0.2:6333", KEY, False),
        ("http://[::1]:6333", KEY, False),
        ("http://localhost.example:6333", KEY, True),
    ],
)
def test_a_key_in_the_open_is_known(url: str, key: str | None, told: bool) -> None:  # noqa: FBT001 - a case
    """Over http to another machine."""
    with closing(JsonApi(url, timeout=1, key=key)) as api:
        assert told == api.tells_its_key


def test_the_exporter_shows_qdrant_over_https(
    client: QdrantClient, tmp_path: Path, exporter: StartExporter
) -> None:
    """From settings to samples, with the key in a file, and through an outage."""
    adapter, authority = tls(tmp_path)
    key = tmp_path / "key"
    key.write_text(READ_ONLY_KEY)
    settings = {
        "KATO_QDRANT_API_KEY_FILE": str(key),
        "KATO_QDRANT_INTERVAL": "200ms",
        "SSL_CERT_FILE": str(authority),
    }
    keys = {"api_key": KEY, "read_only_api_key": READ_ONLY_KEY}
    with (
        stub(client, ssl_adapter=adapter, **keys) as served,
        FaultProxy(int(served.rpartition(":")[2])) as proxy,
    ):
        url = f"https://{LOOPBACK}:{proxy.port}"
        running = exporter(KATO_QDRANT_URL=url, **settings)
        samples = running.scrape()
        assert 1 == samples.value("kato_store_up", store="qdrant")
        assert 1 == samples.value("kato_exporter_collector_success", collector="qdrant")
        assert 0 == samples.value("kato_qdrant_points", collection=NAME)
        assert 1 == samples.value("kato_qdrant_info", version=VERSION)
        proxy.refuse()
        samples = running.scrape()
        assert 0 == samples.value("kato_store_up", store="qdrant")
        assert {} == samples.under(("kato_qdrant_",))
        proxy.heal()
        eventually(
            lambda: running.scrape().value("kato_qdrant_collections"),
            within=5,
            what="Qdrant is shown again",
        )
        checked = run_command("check", KATO_QDRANT_URL=url, **settings)
    assert 0 == checked.returncode, checked.stderr
    assert f"qdrant    {url}" in checked.stdout
    assert "s3cret" not in running.log + checked.stdout + checked.stderr


def test_the_log_warns_of_a_key_in_the_open_once(exporter: StartExporter) -> None:
    """It is the user's to decide; the exporter runs."""
    running = exporter(
        KATO_QDRANT_URL="http://qdrant.invalid:6333", KATO_QDRANT_API_KEY=KEY, KATO_LOG_LEVEL="info"
    )
    running.scrape()
    assert 1 == running.log.count("unencrypted")
    assert KEY not in running.log


@pytest.mark.parametrize(
    "odd",
    [
        {"result": {"collections": [{"name": NAME}, {"nom": "b"}]}},
        {"result": {"collections": None}},
        [],
    ],
)
def test_a_list_that_is_not_understood_is_no_loss(odd: Any) -> None:
    """The store gives no answer, rather than fewer collections."""
    answers = Answers(whole())
    with canned(answers) as store:
        collector = QdrantCollector(store, most_collections=5)
        collector.collect(Deadline.after(1))
        answers.by_path["/collections"] = Answer.of(odd)
        with pytest.raises(QueryError, match="not a list of collections"):
            collector.collect(Deadline.after(1))
        answers.by_path = whole()
        [lost] = collector.collect(Deadline.after(1)).families[-1].samples
    assert 0 == lost.value
