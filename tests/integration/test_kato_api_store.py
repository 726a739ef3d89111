"""KatoApiStore on recorded answers, on the stub, and on what no KATO should answer."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from kato_exporter.collectors.kato_api import KatoApiCollector
from kato_exporter.demo.kato_api_stub import NAME, kato_api_stub
from kato_exporter.demo.servers import LOOPBACK, free_port
from kato_exporter.demo.stub_server import serving
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import StoreError
from kato_exporter.stores.kato_api import KatoApiStore
from support.exporting import StartExporter
from support.fault_proxy import FaultProxy
from support.http_answers import HTML, Answer, Answers, answering
from support.servers import RedisServer
from support.waiting import at_most, eventually

FIXTURES = Path(__file__).parents[1] / "fixtures" / "kato2"
TIMEOUT = 0.5
PATHS = ("/health", "/metrics", "/sessions/count", "/concurrency")
OF_PATH = {
    "/health": "kato_api_uptime_seconds",
    "/metrics": "kato_api_requests",
    "/sessions/count": "kato_api_sessions_active",
    "/concurrency": "kato_api_concurrent_requests",
}
BROKEN = {
    "500": Answer.of({"detail": "Internal Server Error"}, 500),
    "404": Answer.of({"detail": "Not Found"}, 404),
    "401": Answer(b"", 401),
    "HTML": HTML,
    "error": Answer.of({"error": "no Redis", "timestamp": 1.0, "uptime_seconds": 2.0}),
    "list": Answer.of([]),
    "null": Answer.of(None),
}


def recorded() -> Answers:
    """Give what a KATO 2 has answered."""
    return Answers(
        {
            path: Answer((FIXTURES / f"api_{name}.json").read_bytes())
            for path, name in [
                ("/", "root"),
                ("/health", "health"),
                ("/metrics", "metrics"),
                ("/sessions/count", "sessions_count"),
                ("/concurrency", "concurrency"),
            ]
        }
    )


@contextmanager
def opened(url: str) -> Iterator[KatoApiStore]:
    """Open a store for a while."""
    with closing(KatoApiStore(url, timeout=TIMEOUT)) as store:
        yield store


def test_only_five_paths_are_ever_asked(exporter: StartExporter) -> None:
    """By `GET`, without a query, by the running exporter and by every method of the store."""
    answers = recorded()
    with answering(answers) as (url, _):
        running = exporter(KATO_API_URL=url, KATO_API_INTERVAL="100ms")
        for _ in range(3):
            running.scrape()
        eventually(
            lambda: answers.asked.count("GET /concurrency") > 3, within=10, what="some rounds"
        )
        with opened(url) as store:
            store.report()
            for method in (store.health, store.metrics, store.session_count, store.concurrency):
                method(Deadline.after(1))
        assert "HTTP Request" not in running.log
    assert {"GET /", *(f"GET {path}" for path in PATHS)} == set(answers.asked)


def test_a_scrape_costs_one_request_and_a_collection_four() -> None:
    """The numbers that the documentation reckons with."""
    answers = recorded()
    with answering(answers) as (url, _), opened(url) as store:
        store.probe(Deadline.after(1))
        assert ["GET /"] == answers.asked
        KatoApiCollector(store).collect(Deadline.after(1))
        assert [f"GET {path}" for path in PATHS] == answers.asked[1:]


def test_the_report_names_product_and_version() -> None:
    """From `/`; where it tells none, that is said."""
    answers = recorded()
    with answering(answers) as (url, _), opened(url) as store:
        assert "KATO API 1.0.0" == store.report().version
        answers.by_path["/"] = Answer.of({})
        assert "KATO API of unknown version" == store.report().version


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("path", PATHS)
def test_each_answer_stands_alone(path: str, broken: Answer) -> None:
    """Where one is broken, its values are absent and the others are there."""
    answers = recorded()
    answers.by_path[path] = broken
    with answering(answers) as (url, _), opened(url) as store:
        collection = KatoApiCollector(store).collect(Deadline.after(1))
    assert 1 == len(collection.failures)
    shown = {family.name for family in collection.families if family.samples}
    assert {name for each, name in OF_PATH.items() if each != path} == shown & set(OF_PATH.values())


def test_numbers_that_are_none_are_absent() -> None:
    """NaN, which Python writes and no JSON knows, and what is larger than any number."""
    answers = recorded()
    metrics = json.loads(answers.by_path["/metrics"].body)
    metrics["performance"]["average_response_time"] = float("nan")
    metrics["resources"]["cpu_percent"] = float("inf")
    answers.by_path["/metrics"] = Answer.of(metrics)
    with answering(answers) as (url, _), opened(url) as store:
        collection = KatoApiCollector(store).collect(Deadline.after(1))
    empty = {family.name for family in collection.families if not family.samples}
    assert [] == collection.failures
    assert {"kato_api_average_response_time_seconds", "kato_api_host_cpu_ratio"} == empty


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_root_is_a_store_that_is_down(broken: Answer) -> None:
    """Whatever listens there, it is no KATO that answers."""
    answers = recorded()
    answers.by_path["/"] = broken
    with answering(answers) as (url, _), opened(url) as store, pytest.raises(StoreError):
        store.probe(Deadline.after(1))


def test_no_answers_at_all_are_an_outage() -> None:
    """Refused, silent, and slow: each within its time, and over when it is over."""
    with (
        opened(f"http://{LOOPBACK}:{free_port()}") as store,
        pytest.raises(StoreError, match="refused"),
    ):
        KatoApiCollector(store).collect(Deadline.after(1))
    with (
        answering(recorded()) as (_, port),
        FaultProxy(port) as proxy,
        opened(f"http://{LOOPBACK}:{proxy.port}") as store,
    ):
        collector = KatoApiCollector(store)
        for fault in (proxy.black_hole, lambda: proxy.drip(0.05)):
            fault()
            with at_most(4 * TIMEOUT + 0.5), pytest.raises(StoreError, match="no answer within"):
                collector.collect(Deadline.after(10))
            proxy.cut()
            proxy.heal()
            assert () == tuple(collector.collect(Deadline.after(10)).failures)


def test_the_exporter_shows_the_stub_beside_the_sessions(
    valkey: RedisServer, exporter: StartExporter
) -> None:
    """KATO's count and ours are of the same sessions."""
    with Redis.from_url(valkey.url) as client:
        app = kato_api_stub(client, processors=2)
        for number in range(3):
            client.set(f"kato:session:session-{number:032x}-1790000000000", "{}", ex=600)
        with serving(app) as port:
            running = exporter(KATO_API_URL=f"http://{LOOPBACK}:{port}", KATO_REDIS_URL=valkey.url)
            samples = eventually(
                lambda: (
                    found if (found := running.scrape()).value("kato_sessions_active") else None
                ),
                within=10,
                what="sessions are counted",
            )
            with opened(f"http://{LOOPBACK}:{port}") as store:
                assert f"{NAME} stub" == store.report().version
    assert 3 == samples.value("kato_sessions_active")
    assert 3 == samples.value("kato_api_sessions_active")
    assert 2 == samples.value("kato_api_processors")
    assert 1 == samples.value("kato_api_health_status", status="healthy")
    assert 1 == samples.value("kato_exporter_collector_success", collector="kato_api")


def test_the_stub_without_redis_fails_as_kato_does(exporter: StartExporter) -> None:
    """Three of its answers count sessions; the fourth is there, and the collector says so."""
    gone = Redis(port=free_port(), retry=Retry(NoBackoff(), 0))
    with gone, serving(kato_api_stub(gone, processors=0)) as port:
        samples = exporter(KATO_API_URL=f"http://{LOOPBACK}:{port}").scrape()
    assert 1 == samples.value("kato_store_up", store="kato_api")
    assert 0 == samples.value("kato_exporter_collector_success", collector="kato_api")
    assert 1 == samples.value("kato_api_concurrent_requests")
    assert samples.value("kato_api_sessions_active") is None
