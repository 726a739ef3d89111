"""The runtime on collectors and stores that do as they are told."""

import gzip
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
from flask.testing import FlaskClient
from prometheus_client.core import Metric
from structlog.testing import capture_logs

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.runtime.flight import Flight
from kato_exporter.runtime.question import Question
from kato_exporter.runtime.runner import Runner
from kato_exporter.runtime.schedule import Schedule
from kato_exporter.runtime.web import create_app
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import StoreError
from kato_exporter.stores.store import StoreReport

PATIENCE = 5.0


class ToldStore:
    """A store that is up or down as the test says."""

    def __init__(self, name: str = "redis") -> None:
        self.name = name
        self.address = f"{name}://example"
        self.up = True

    def probe(self, deadline: Deadline) -> None:
        """Answer, or raise StoreError."""
        del deadline
        if not self.up:
            raise StoreError("down")

    def report(self) -> StoreReport:
        """Name a version."""
        return StoreReport(version="1")

    def close(self) -> None:
        """Have nothing to give back."""


class ToldCollector:
    """A collector that runs what the test says, and counts its runs."""

    label_limits: Mapping[str, int] = {}
    skip_reasons: Sequence[str] = ("odd",)

    def __init__(
        self, name: str, ask: Callable[[], float] = lambda: 1.0, store: str = "redis"
    ) -> None:
        self.name = name
        self.store = store
        self.runs = 0
        self._ask = ask
        self._family = Family(name=f"kato_{name}", kind=Kind.GAUGE, help="X.")
        self.families = (self._family,)

    def collect(self, deadline: Deadline) -> Collection:
        """Give one family of one value."""
        del deadline
        self.runs += 1
        value = self._ask()
        return Collection(families=[self._family.sample(value)], skipped={"odd": 2}, dropped=3)


class ManyCollector(ToldCollector):
    """A collector of so many samples that their text is kept."""

    def collect(self, deadline: Deadline) -> Collection:
        """Give one family of twenty equal samples."""
        del deadline
        self.runs += 1
        value = self._ask()
        family = Metric(f"kato_{self.name}", "X.", "gauge")
        for number in range(20):
            family.add_sample(family.name, {"kb": str(number)}, value)
        return Collection(families=[family])


def failing() -> float:
    """Fail as a store does."""
    raise StoreError("no answer")


def faulty() -> float:
    """Fail as our own code does."""
    return 1 / 0


def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = Deadline.after(PATIENCE)
    while not condition():
        assert not deadline.expired, "it never came true"
        time.sleep(0.005)


@contextmanager
def running(
    *collectors: ToldCollector, intervals: Mapping[str, float] | None = None
) -> Iterator[tuple[Runner, ToldStore]]:
    """Run collectors on one store."""
    store = ToldStore()
    runner = Runner([store], collectors, intervals=intervals or {}, load_share=0.1)
    runner.start()
    try:
        yield runner, store
    finally:
        runner.stop()


def values(runner: Runner, *names: str, seconds: float = PATIENCE) -> dict[str, float]:
    """Scrape, and give the samples by their spelling."""
    chosen = names or tuple(runner.collectors)
    return {
        sample.name + "".join(f",{value}" for value in sample.labels.values()): sample.value
        for family in runner.scrape(Deadline.after(seconds), chosen)
        for sample in family.samples
    }


def as_they_are(families: Sequence[Metric], before: Sequence[Metric]) -> Sequence[Metric]:
    """Prepare nothing."""
    del before
    return families


def answers(deadline: Deadline) -> None:
    """Answer at once, as a store that is up."""
    del deadline


PROBES = dict.fromkeys(("redis", "mongodb", "qdrant"), answers)


def client_of(runner: Runner) -> FlaskClient:
    """Give a client of the exporter's web application."""
    return create_app(runner).test_client()


def test_a_scrape_shows_what_each_collector_gives() -> None:
    """Families of all collectors, their success, what they skipped and dropped."""
    with running(ToldCollector("a"), ToldCollector("b", lambda: 7)) as (runner, _):
        found = values(runner)
    assert found["kato_store_up,redis"] == 1
    assert found["kato_a"] == 1
    assert found["kato_b"] == 7
    assert found["kato_exporter_collector_success,b"] == 1
    assert found["kato_exporter_series_dropped,b"] == 3
    assert found["kato_exporter_records_skipped,b,odd"] == 2


@pytest.mark.parametrize("ask", [failing, faulty])
def test_one_failure_stays_one_failure(ask: Callable[[], float]) -> None:
    """A collector that raises shows success 0 and no family; the others are whole."""
    with running(ToldCollector("a", ask), ToldCollector("b")) as (runner, _):
        found = values(runner)
    assert found["kato_exporter_collector_success,a"] == 0
    assert "kato_a" not in found
    assert "kato_exporter_collector_last_success_timestamp_seconds,a" not in found
    assert "kato_exporter_series_dropped,a" not in found
    assert found["kato_b"] == 1


def test_a_store_that_is_down_shows_nothing_but_that() -> None:
    """No family of its collectors, on the scrape or from a snapshot, is shown."""
    collectors = ToldCollector("a"), ToldCollector("b")
    with running(*collectors, intervals={"b": 60}) as (runner, store):
        eventually(lambda: runner.ready)
        store.up = False
        found = values(runner)
    assert found["kato_store_up,redis"] == 0
    assert not {"kato_a", "kato_b", "kato_exporter_collector_snapshot_age_seconds,b"} & set(found)
    assert found["kato_exporter_collector_success,b"] == 0


def test_a_store_that_is_back_has_its_snapshots_renewed_at_once() -> None:
    """The schedule does not wait for its interval after an outage."""
    scheduled = ToldCollector("a")
    with running(scheduled, intervals={"a": 60}) as (runner, store):
        eventually(lambda: runner.ready)
        store.up = False
        values(runner)
        store.up = True
        values(runner)
        eventually(lambda: scheduled.runs == 2)


def test_what_follows_a_store_that_is_back_does_not_wait() -> None:
    """It is told so by the scrape that finds the store up again, and by no other."""
    store, other = ToldStore(), ToldStore("mongodb")
    hurried: list[str] = []
    runner = Runner(
        [store, other],
        [ToldCollector("a"), ToldCollector("b", store="mongodb")],
        intervals={},
        load_share=0.1,
        hurries={each: [partial(hurried.append, each)] for each in ("redis", "mongodb")},
    )
    runner.start()
    values(runner)
    store.up = False
    values(runner)
    assert [] == hurried
    store.up = True
    values(runner)
    values(runner)
    runner.stop()

    assert ["redis"] == hurried


def test_a_scheduled_collector_answers_with_its_snapshot() -> None:
    """Scrapes do not run it; its age and interval are shown."""
    scheduled = ToldCollector("a")
    with running(scheduled, intervals={"a": 60}) as (runner, _):
        eventually(lambda: runner.ready)
        for _ in range(3):
            found = values(runner)
    assert scheduled.runs == 1
    assert found["kato_a"] == 1
    assert 0 <= found["kato_exporter_collector_snapshot_age_seconds,a"] < PATIENCE
    assert found["kato_exporter_collector_interval_seconds,a"] == 60


def test_before_the_first_run_nothing_is_known() -> None:
    """No family, no success, not ready; healthy all the same."""
    gate = threading.Event()
    with running(ToldCollector("a", lambda: float(gate.wait(PATIENCE))), intervals={"a": 60}) as (
        runner,
        _,
    ):
        assert "kato_exporter_collector_success,a" not in values(runner)
        assert client_of(runner).get("/-/ready").status_code == 503
        assert client_of(runner).get("/-/healthy").status_code == 200
        gate.set()
        eventually(lambda: runner.ready)
        assert client_of(runner).get("/-/ready").status_code == 200


def test_only_the_collectors_asked_for_run() -> None:
    """A scrape restricted to one collector leaves the others and their stores alone."""
    first, second = ToldCollector("a"), ToldCollector("b", store="mongodb")
    runner = Runner(
        [ToldStore(), ToldStore("mongodb")], [first, second], intervals={}, load_share=0.1
    )
    runner.start()
    found = values(runner, "b")
    runner.stop()
    assert first.runs == 0
    assert "kato_b" in found
    assert "kato_store_up,redis" not in found


def test_overlapping_scrapes_share_one_collection() -> None:
    """Twenty scrapes at once make one run, and all of them get its answer."""
    gate = threading.Event()
    slow = ToldCollector("a", lambda: float(gate.wait(PATIENCE)))
    with running(slow) as (runner, _), ThreadPoolExecutor(20) as pool:
        scrapes = [pool.submit(values, runner) for _ in range(20)]
        eventually(lambda: slow.runs == 1)
        time.sleep(0.05)
        gate.set()
        assert [scrape.result()["kato_a"] for scrape in scrapes] == [1.0] * 20
    assert slow.runs == 1


@pytest.mark.alone
def test_a_scrape_ends_at_its_deadline_and_drops_the_late_answer() -> None:
    """A hanging collector is given up, starts no second run, and comes back when it has ended."""
    gate = threading.Event()
    hanging = ToldCollector("a", lambda: float(gate.wait(PATIENCE)))
    with running(hanging, ToldCollector("b")) as (runner, _):
        began = time.monotonic()
        found = values(runner, seconds=0.2)
        assert time.monotonic() - began < 1
        assert found["kato_exporter_collector_success,a"] == 0
        assert found["kato_b"] == 1
        began = time.monotonic()
        values(runner)
        assert time.monotonic() - began < 1, "it waited for a run past its deadline"
        assert hanging.runs == 1
        gate.set()
        eventually(lambda: "kato_a" in values(runner))
        assert hanging.runs == 2


def test_a_seat_on_a_run_keeps_its_own_deadline() -> None:
    """Who joins a run with little time left does not wait as long as who started it."""
    gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        flight = Flight(Question("a", lambda _: gate.wait(PATIENCE)), pool)
        flight.board(Deadline.after(PATIENCE))
        seat = flight.board(Deadline.after(0.05))
        assert seat.outcome(Deadline.after(0.05)).error == "no answer before the deadline"
        gate.set()


def test_the_load_budget_stretches_the_schedule() -> None:
    """After a run of d seconds the next starts no sooner than d / share after its start."""
    starts: list[float] = []

    def work() -> float:
        starts.append(time.monotonic())
        time.sleep(0.05)
        return 1

    schedule = Schedule(
        {"a": ToldCollector("a", work)},
        intervals={"a": 0.1},
        load_share=0.1,
        probes=PROBES,
        prepare=as_they_are,
    )
    schedule.start()
    eventually(lambda: len(starts) == 2)
    schedule.stop()
    assert starts[1] - starts[0] >= 0.5


def test_waiting_for_a_store_is_no_load() -> None:
    """A store that takes its time to answer for the first time does not put off the next run."""
    starts: list[float] = []

    def work() -> float:
        starts.append(time.monotonic())
        return 1

    def answers_late(deadline: Deadline) -> None:
        del deadline
        time.sleep(0.0 if starts else 0.3)

    schedule = Schedule(
        {"a": ToldCollector("a", work)},
        intervals={"a": 0.1},
        load_share=0.01,
        probes={"redis": answers_late},
        prepare=as_they_are,
    )
    schedule.start()
    eventually(lambda: len(starts) == 2)
    schedule.stop()
    assert starts[1] - starts[0] < 1


@pytest.mark.alone
def test_the_collectors_of_a_store_divide_its_load_budget() -> None:
    """Two that read the same store have half the share each; one beside them has its own whole."""
    starts: dict[str, list[float]] = {"a": [], "b": [], "c": []}

    def working(name: str) -> Callable[[], float]:
        def work() -> float:
            starts[name].append(time.monotonic())
            time.sleep(0.05)
            return 1

        return work

    stores = {"a": "mongodb", "b": "mongodb", "c": "qdrant"}
    schedule = Schedule(
        {name: ToldCollector(name, working(name), store) for name, store in stores.items()},
        intervals=dict.fromkeys(stores, 0.1),
        load_share=0.2,
        probes=PROBES,
        prepare=as_they_are,
    )
    schedule.start()
    eventually(lambda: all(len(each) >= 2 for each in starts.values()))
    schedule.stop()
    pauses = {name: each[1] - each[0] for name, each in starts.items()}
    assert pauses["a"] >= 0.5
    assert pauses["b"] >= 0.5
    assert 0.25 <= pauses["c"] < 0.5


def test_the_schedule_shows_what_was_prepared_of_a_snapshot_and_of_the_one_before() -> None:
    """After a run in vain there is none before."""
    answers = iter([1.0, 2.0, None, 3.0])
    befores: list[list[float]] = []

    def ask() -> float:
        value = next(answers, 4.0)
        if value is None:
            raise StoreError("down")
        return value

    def doubled(families: Sequence[Metric], before: Sequence[Metric]) -> Sequence[Metric]:
        befores.append([family.samples[0].value for family in before])
        family = Metric("kato_x", "X.", "gauge")
        family.add_sample("kato_x", {}, 2 * families[0].samples[0].value)
        return [family]

    schedule = Schedule(
        {"a": ToldCollector("a", ask)},
        intervals={"a": 0.01},
        load_share=1,
        probes=PROBES,
        prepare=doubled,
    )
    schedule.start()
    eventually(lambda: len(befores) >= 4)
    schedule.stop()
    assert befores[:4] == [[], [2.0], [], [6.0]]


def test_a_scrape_shows_the_last_snapshot_and_not_the_text_of_another() -> None:
    """Kept texts do not outlive their snapshot, with or without compression."""
    scheduled = ManyCollector("a", lambda: float(scheduled.runs))
    with running(scheduled, intervals={"a": 0.05}) as (runner, _):
        eventually(lambda: runner.ready)
        client = client_of(runner)
        for encoding in ("gzip", "identity") * 3:
            runs = scheduled.runs
            eventually(lambda runs=runs: scheduled.runs >= runs + 2)  # type: ignore[misc]
            body = client.get("/metrics", headers={"Accept-Encoding": encoding}).data
            text = gzip.decompress(body) if encoding == "gzip" else body
            found = set(re.findall(rb'^kato_a\{kb="\d+"\} (.*)$', text, re.MULTILINE))
            [value] = found
            assert runs < float(value) <= scheduled.runs


def test_a_snapshot_that_cannot_be_rendered_is_its_collectors_failure() -> None:
    """Scrapes go on, so does the schedule, and the log does not repeat the whole family."""
    asked, seen = threading.Event(), threading.Event()

    def ask() -> float:
        if scheduled.runs == 2:
            asked.wait(PATIENCE)
            return 10**400
        if scheduled.runs == 3:
            seen.wait(PATIENCE)
        return scheduled.runs

    scheduled = ManyCollector("a", ask)
    with capture_logs() as log, running(scheduled, intervals={"a": 0.01}) as (runner, _):
        client = client_of(runner)
        eventually(lambda: b'kato_a{kb="0"} 1.0' in client.get("/metrics").data)
        asked.set()
        success = b'kato_exporter_collector_success{collector="a"} '
        eventually(lambda: success + b"0.0" in client.get("/metrics").data)
        seen.set()
        eventually(lambda: success + b"1.0" in client.get("/metrics").data)
    [error] = [line["error"] for line in log if line["event"] == "no whole answer"]
    assert error == "OverflowError: ('int too large to convert to float', 'kato_a')"


def test_a_head_request_has_the_headers_of_the_exposition() -> None:
    """And no body."""
    with running(ToldCollector("a")) as (runner, _):
        response = client_of(runner).head("/metrics", headers={"Accept-Encoding": "gzip"})
    assert response.status_code == 200
    assert response.data == b""
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_a_failure_is_logged_once_and_so_is_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    """An outage of a hundred scrapes makes two lines."""
    answers = iter([True, False, False, False, True, True])

    def ask(_: Deadline) -> None:
        if not next(answers):
            raise StoreError("refused")

    question = Question("redis", ask)
    for _ in range(6):
        question.put(Deadline.after(1))
    log = capsys.readouterr().out
    assert log.count("no whole answer") == 1
    assert log.count("answers again") == 1


@pytest.mark.parametrize("given", ["nonsense", "-1", "0", "nan", "inf", "1e9"])
def test_a_nonsensical_timeout_header_is_not_taken(given: str) -> None:
    """The usual timeout holds instead."""
    with running(ToldCollector("a")) as (runner, _):
        response = client_of(runner).get(
            "/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": given}
        )
    assert response.status_code == 200
    assert b"kato_a 1.0" in response.data


@pytest.mark.alone
def test_the_scrape_timeout_is_kept_with_a_margin() -> None:
    """An exporter that hangs answers before Prometheus gives up."""
    gate = threading.Event()
    with running(ToldCollector("a", lambda: float(gate.wait(PATIENCE)))) as (runner, _):
        began = time.monotonic()
        client_of(runner).get("/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": "0.5"})
        assert 0.4 < time.monotonic() - began < 0.5
        gate.set()


def test_an_unknown_collector_is_refused_by_name() -> None:
    """The answer names what was asked for and what there is."""
    with running(ToldCollector("a"), ToldCollector("b")) as (runner, _):
        response = client_of(runner).get("/metrics?collect[]=a&collect[]=nope")
    assert response.status_code == 400
    assert response.text == "collect[]=nope: no such collector; there are: a, b\n"


def test_the_landing_page_leads_to_everything() -> None:
    """Stores with their addresses, collectors with their cadence, and links."""
    with running(ToldCollector("a"), ToldCollector("b"), intervals={"b": 60}) as (runner, _):
        page = client_of(runner).get("/").text
    for text in ("redis://example", "every 60 s", "on the scrape", 'href="/metrics"', "/-/ready"):
        assert text in page


def test_every_answer_carries_the_security_headers() -> None:
    """Errors too."""
    with running(ToldCollector("a")) as (runner, _):
        for path in ("/", "/metrics", "/-/healthy", "/nowhere"):
            headers = client_of(runner).get(path).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            assert headers["Referrer-Policy"] == "no-referrer"


def test_a_run_in_vain_does_not_count_as_load() -> None:
    """A store that was down for the length of a timeout is asked again at the next interval."""
    starts: list[float] = []

    def work() -> float:
        starts.append(time.monotonic())
        time.sleep(0.1)
        raise StoreError("down")

    schedule = Schedule(
        {"a": ToldCollector("a", work)},
        intervals={"a": 0.2},
        load_share=0.01,
        probes=PROBES,
        prepare=as_they_are,
    )
    schedule.start()
    eventually(lambda: len(starts) == 3)
    schedule.stop()
