"""The whole exporter between real stores and a real Prometheus, in fair weather and in foul."""

import gzip
import os
import re
import shutil
import signal
import subprocess
import time
from bisect import insort
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from pymongo import MongoClient
from redis import Redis

from kato_exporter.collectors.session_ledger import DURATION_BOUNDS
from kato_exporter.demo.servers import (
    LOOPBACK,
    Server,
    free_port,
    start_mongod,
    start_prometheus,
    start_valkey,
)
from kato_exporter.demo.shapes import Document, session_id, session_key
from kato_exporter.demo.workload import NODES, Workload
from kato_exporter.kato.knowledge import (
    FREQUENCY_BOUNDS,
    LENGTH_BOUNDS,
    METADATA,
    PATTERNS,
    PREDICTIONS,
    SYMBOLS,
    knowledge_base_of,
)
from support.exporting import RunningExporter, StartExporter, exporters
from support.exposition import Samples, cumulative_counts, quantile
from support.servers import MongoServer, RedisServer, missing, started
from support.waiting import at_most, eventually

INTERVAL = 2.0
PATIENCE = 30.0
MARGIN = 1.5
"""Seconds that a loaded machine may add to what is promised."""

QUICK = {
    "KATO_SESSIONS_INTERVAL": f"{INTERVAL:g}s",
    "KATO_KNOWLEDGE_INTERVAL": f"{INTERVAL:g}s",
    "KATO_PATTERNS_INTERVAL": f"{INTERVAL:g}s",
    "KATO_LOAD_SHARE": "1",
    "KATO_STORE_TIMEOUT": "1s",
    "KATO_REDIS_MANAGE_NOTIFICATIONS": "true",
}
"""Short intervals, which with a share of 1 also hold where a collection takes long."""

ALLOTTED = ("kato_kb_storage_bytes", "kato_kb_index_bytes")
"""What MongoDB allots anew when it recovers from a crash."""

KNOWLEDGE = (
    *("kato_knowledge_bases", "kato_pattern", "kato_symbol", "kato_predictions"),
    *("kato_totals_", "kato_kb_"),
)
SERIES_OF = {
    "redis": ("kato_session", "kato_redis_"),
    "mongodb": (*KNOWLEDGE, "kato_mongodb_"),
}
"""How the names of each store's series begin."""

GOLDEN = Path(__file__).parents[1] / "golden" / "exposition.txt"
RENEW_GOLDEN = "KATO_TEST_RENEW_GOLDEN"
VARYING = re.compile(
    r"kato_exporter_collector_(duration_seconds|last_success_timestamp_seconds|snapshot_age_seconds)"
    r"|kato_kb_(data|index|storage)_bytes"
    r"|kato_mongodb_(?!info|permitted)\w+"
    r"|kato_redis_(aof_last_write_ok|command_(calls|seconds)_total|commands_processed_total"
    r"|connected_clients|connections_received_total|cpu_seconds_total|error_replies\w*_total"
    r"|failed_calls_total|keyspace_(hits|misses)_total|latest_fork_seconds"
    r"|mem_fragmentation_ratio|net_(in|out)put_bytes_total|rdb_last_save_timestamp_seconds"
    r"|total_system_memory_bytes|uptime_seconds|used_memory_(|dataset_|peak_|rss_)bytes)"
    r"|kato_session_(age|duration|idle)_seconds_g?sum"
    r"|process_(cpu_seconds_total|max_fds|open_fds|resident_memory_bytes|start_time_seconds"
    r"|virtual_memory_bytes)"
    r"|python_gc_(collections|objects_collected|objects_uncollectable)_total"
)
"""The series whose values differ from run to run, from host to host or from Python to Python."""

VARYING_LABELS = {
    "kato_exporter_build_info": ("python", "version"),
    "kato_mongodb_info": ("host", "version"),
    "kato_redis_command_calls_total": ("command",),
    "kato_redis_command_seconds_total": ("command",),
    "kato_redis_info": ("version",),
    "python_info": ("implementation", "major", "minor", "patchlevel", "version"),
}
"""The labels of which the same can be said."""

UNORDERED = "kato_sessions_active_by_node"
"""A name whose series come in the order in which Redis has given the records."""


def new_session(client: Redis, *, age: float = 0.0, ttl: int = 600) -> str:
    """Create a session that was born `age` seconds ago, as KATO does, and give its key."""
    key = session_key(session_id(uuid4().hex, time.time() - age))
    client.set(key, "{}", ex=ttl)
    return key


def until_tracked(running: RunningExporter) -> RunningExporter:
    """Wait until sessions are followed by events, and all that are there have been read."""

    def tracked() -> bool:
        now = running.scrape()
        active = now.value("kato_sessions_active")
        read = now.value("kato_session_sample_size")
        followed = "events" in now.by("mode", "kato_session_tracking_info")
        return followed and active is not None and read in {None, active}

    eventually(tracked, within=PATIENCE, what="sessions are followed by events, and are read")
    return running


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """Let a server hang: its connections stay, and nothing is answered."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@contextmanager
def workload(redis_url: str, mongo_url: str, **options: Any) -> Iterator[Workload]:
    """Give a workload on two stores."""
    with Redis.from_url(redis_url) as redis, MongoClient[Document](mongo_url) as mongo:
        yield Workload(redis, mongo, **options)


def sorted_samples(samples: dict[Any, float]) -> list[Any]:
    """Give series in an order that a failed comparison can be read in."""
    return sorted((name, sorted(labels), value) for (name, labels), value in samples.items())


def test_values_are_what_the_stores_say(
    valkey: RedisServer, mongo: MongoServer, exporter: StartExporter
) -> None:
    """After much work every value agrees with a query of the stores, and with what was done."""
    with workload(valkey.url, mongo.url, seed=7) as work:
        work.fill()
        truth = work.truth
        at_first = truth.created
        running = until_tracked(
            exporter(KATO_REDIS_URL=valkey.url, KATO_MONGO_URL=mongo.url, **QUICK)
        )
        for _ in range(150):
            work.step()

        def settled() -> Samples | None:
            truth.expire(time.time())
            samples = running.scrape()
            told = [
                samples.value("kato_sessions_active"),
                samples.value("kato_sessions_created_total"),
                samples.value("kato_sessions_ended_total", reason="deleted"),
                samples.value("kato_sessions_ended_total", reason="expired"),
            ]
            done = [len(truth.sessions), truth.created - at_first, truth.deleted, truth.expired]
            there = len(list(valkey.client.scan_iter("kato:session:session-*")))
            return samples if done == told and there == told[0] else None

        samples = eventually(settled, within=PATIENCE, what="the sessions are accounted for")

    assert 0 == samples.value("kato_sessions_ended_total", reason="evicted")
    assert 0 == samples.value("kato_sessions_ended_total", reason="unknown")
    assert {"created": 0, "ended": 0} == samples.by("change", "kato_session_events_missed_total")
    assert truth.deleted + truth.expired == samples.value("kato_session_duration_seconds_count")
    assert 1 == samples.value("kato_session_events_connected")

    def knowledge_told() -> Samples | None:
        now = running.scrape()
        counted = {kb: mongo.client[kb][PREDICTIONS].count_documents({}) for kb in kbs}
        fresh = now.asked_since(settled_at, "knowledge", "patterns", "pattern_lengths")
        return now if fresh and counted == now.by("kb", "kato_predictions") else None

    kbs = [knowledge_base_of(node) for node in NODES]
    settled_at = time.time()
    samples = eventually(knowledge_told, within=PATIENCE, what="the knowledge is up to date")
    assert len(kbs) == samples.value("kato_knowledge_bases")
    for kb in kbs:
        database = mongo.client[kb]
        patterns = list(database[PATTERNS].find())
        totals = database[METADATA].find_one({"class": "totals"}) or {}
        frequencies = [pattern["frequency"] for pattern in patterns]
        lengths = [sum(map(len, pattern["pattern_data"])) for pattern in patterns]
        top = sorted((-pattern["frequency"], pattern["name"]) for pattern in patterns)[:10]

        assert len(patterns) == samples.value("kato_patterns", kb=kb)
        assert 0 == samples.value("kato_patterns_lost_total", kb=kb)
        symbols = list(database[SYMBOLS].find())
        assert len(symbols) == samples.value("kato_symbols", kb=kb)
        assert sum(symbol["frequency"] for symbol in symbols) == samples.value(
            "kato_symbol_occurrences", kb=kb
        )
        assert {
            collection: database[collection].count_documents({})
            for collection in database.list_collection_names()
        } == samples.by("collection", "kato_kb_documents", kb=kb)
        assert database.command("dbStats")["dataSize"] == samples.value("kato_kb_data_bytes", kb=kb)
        for total in (
            "pattern_frequencies",
            "symbol_frequencies",
            "symbols_in_patterns_frequencies",
        ):
            assert totals[f"total_{total}"] == samples.value(f"kato_totals_{total}", kb=kb)
        assert {name: -frequency for frequency, name in top} == {
            dict(labels)["pattern"]: value
            for (name, labels), value in samples.values.items()
            if name == "kato_pattern_frequency" and ("kb", kb) in labels
        }
        assert sum(frequencies) == samples.value("kato_pattern_observations", kb=kb)
        for name, bounds, values in (
            ("kato_pattern_frequency_distribution", FREQUENCY_BOUNDS, frequencies),
            ("kato_pattern_length_distribution", LENGTH_BOUNDS, lengths),
        ):
            assert cumulative_counts(bounds, values) == samples.buckets(name, kb=kb)
            assert len(values) == samples.value(f"{name}_gcount", kb=kb)
            assert sum(values) == samples.value(f"{name}_gsum", kb=kb)


@pytest.mark.parametrize(("product", "name"), [("valkey", "valkey"), ("redis7", "redis")])
def test_facts_of_redis_are_those_of_info(
    request: pytest.FixtureRequest, exporter: StartExporter, product: str, name: str
) -> None:
    """Identity, limits and keys of each database agree with INFO, on Valkey as on Redis."""
    server: RedisServer = request.getfixturevalue(product)
    server.client.mset({"a": "1", "b": "2"})
    with Redis.from_url(server.url.rpartition("/")[0] + "/2") as second:
        second.set("c", "3", ex=100)
    samples = exporter(KATO_REDIS_URL=server.url).scrape()
    info = server.client.info()
    [identity] = [dict(labels) for own, labels in samples.values if own == "kato_redis_info"]

    assert {
        "product": name,
        "version": info[f"{name}_version"],
        "redis_mode": "standalone",
        "role": "master",
        "maxmemory_policy": "noeviction",
    } == identity
    assert {"0": 2, "2": 1} == samples.by("db", "kato_redis_keys")
    assert {"0": 0, "2": 1} == samples.by("db", "kato_redis_expiring_keys")
    assert info["maxclients"] == samples.value("kato_redis_max_clients")
    assert info["total_system_memory"] == samples.value("kato_redis_total_system_memory_bytes")
    assert samples.value("kato_redis_maxmemory_bytes") is None
    assert pytest.approx(info["used_memory"], rel=0.2) == samples.value(
        "kato_redis_used_memory_bytes"
    )


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningExporter]:
    """Give an exporter of two filled stores of its own that has told everything once."""
    directory = tmp_path_factory.mktemp("filled")
    with (
        started(lambda: start_valkey(directory / "valkey")) as valkey,
        started(lambda: start_mongod(directory / "mongodb")) as mongod,
        exporters(directory) as start,
        workload(valkey.url, mongod.url, seed=1) as work,
    ):
        work.fill()
        running = until_tracked(
            start(KATO_REDIS_URL=valkey.url, KATO_MONGO_URL=mongod.url, **QUICK)
        )
        work.delete_session(next(iter(work.truth.sessions)))
        eventually(
            lambda: running.scrape().value("kato_session_duration_seconds_count"),
            within=PATIENCE,
            what="a session has ended",
        )
        yield running


_TAKEN_FOR_KILOBYTES = "kato_kb_[a-z]+(_bytes)? metric names should not contain abbreviated units$"
"""What promtool says of `kb`, which stands for a knowledge base: see docs/decisions/0006."""


def test_promtool_has_nothing_else_to_say(filled: RunningExporter) -> None:
    """`promtool check metrics` finds neither an error nor a matter of style, but for one name."""
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("no promtool on the PATH")
    ours = re.sub(r"(?m)^(# (HELP|TYPE) )?(python|process)_.*\n", "", filled.get().text)
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=ours,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    excused = [line for line in checked.stderr.splitlines() if re.match(_TAKEN_FOR_KILOBYTES, line)]
    assert excused == checked.stderr.splitlines()
    assert {"documents", "data_bytes", "storage_bytes", "index_bytes"} == {
        line.split()[0].removeprefix("kato_kb_") for line in excused
    }
    assert "" == checked.stdout


def test_both_formats_tell_the_same(filled: RunningExporter) -> None:
    """The text format and OpenMetrics parse whole and have the same series; only times differ."""
    text = filled.get(accept="text/plain")
    open_metrics = filled.get(accept="application/openmetrics-text;version=1.0.0")
    plain = Samples.of(text.text).values
    other = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in openmetrics.text_string_to_metric_families(  # type: ignore[no-untyped-call]
            open_metrics.text
        )
        for sample in family.samples
    }

    assert text.headers["content-type"].startswith("text/plain; version=")
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.text.endswith("# EOF\n")
    assert len(plain) > 200
    assert plain.keys() == other.keys()
    assert {name: plain[name] for name in plain if name[0].startswith("kato_pattern")} == {
        name: other[name] for name in other if name[0].startswith("kato_pattern")
    }


def test_every_line_has_its_help_and_type(filled: RunningExporter) -> None:
    """No sample comes without a help text and a type before it, and no family comes twice."""
    described: list[str] = []
    for line in filled.get().text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, text = line.split(maxsplit=3)
            assert name not in described, line
            assert text
            described.append(name)
        elif line.startswith("# TYPE "):
            assert described[-1] == line.split()[2], line
        else:
            assert line.startswith(described[-1]), line


def test_an_exposition_is_compressed_for_who_can_read_it(filled: RunningExporter) -> None:
    """With gzip accepted the body is a tenth; with gzip refused, or not named, it is plain."""
    url = f"{filled.url}/metrics"
    with httpx.Client(trust_env=False) as client:
        with client.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as response:
            packed = b"".join(response.iter_raw())
        plain = client.get(url, headers={"Accept-Encoding": "identity"})
        refused = client.get(url, headers={"Accept-Encoding": "gzip;q=0"})

    assert "gzip" == response.headers["content-encoding"]
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in refused.headers
    assert b"kato_store_up" in gzip.decompress(packed)
    assert len(packed) < len(plain.content) / 4
    assert "accept-encoding" in plain.headers["vary"].lower()


def test_a_scrape_can_be_restricted(filled: RunningExporter) -> None:
    """`collect[]`, once or more, gives those collectors, their stores and nothing else."""
    sessions = Samples.of(filled.get("/metrics?collect[]=sessions").text)
    two = Samples.of(filled.get("/metrics?collect[]=redis&collect[]=knowledge").text)

    assert sessions.value("kato_sessions_active") is not None
    assert {"redis": 1} == sessions.by("store", "kato_store_up")
    assert {"sessions": 1} == sessions.by("collector", "kato_exporter_collector_success")
    assert {} == sessions.under(("kato_redis_", "kato_patterns", "process_", "python_"))
    assert {"redis": 1, "mongodb": 1} == two.by("store", "kato_store_up")
    assert {"redis", "knowledge"} == two.by("collector", "kato_exporter_collector_success").keys()
    assert {} == two.under(("kato_session", "kato_pattern_"))


def test_an_unknown_collector_is_refused(filled: RunningExporter) -> None:
    """The answer is 400 and names the one that is wrong and those that there are."""
    response = filled.get("/metrics?collect[]=redis&collect[]=colour")

    assert 400 == response.status_code
    assert response.text.startswith("collect[]=colour: no such collector; there are: sessions, ")
    assert "text/plain; charset=utf-8" == response.headers["content-type"]


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready"])
def test_head_is_get_without_a_body(filled: RunningExporter, path: str) -> None:
    """HEAD has the status and the type of GET."""
    head, get = filled.ask("HEAD", path), filled.get(path)

    assert 200 == head.status_code
    assert b"" == head.content
    assert get.headers["content-type"] == head.headers["content-type"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/metrics", 405), ("DELETE", "/", 405), ("GET", "/metric", 404)],
)
def test_what_is_not_there_is_told_briefly(
    filled: RunningExporter, method: str, path: str, status: int
) -> None:
    """Wrong methods and paths have their status and one line of plain text."""
    response = filled.ask(method, path)

    assert status == response.status_code
    assert "text/plain; charset=utf-8" == response.headers["content-type"]
    assert 1 == len(response.text.splitlines())


@pytest.mark.parametrize("timeout", ["soon", "", "-1", "nan", "1e9", "0"])
def test_an_odd_scrape_timeout_is_no_fault(filled: RunningExporter, timeout: str) -> None:
    """A header that Prometheus does not send so is as good as none."""
    response = filled.get(x_prometheus_scrape_timeout_seconds=timeout)

    assert 200 == response.status_code
    assert {"redis": 1, "mongodb": 1} == Samples.of(response.text).by("store", "kato_store_up")


def test_prometheus_scrapes_and_reckons_quantiles(
    tmp_path: Path, valkey: RedisServer, mongo: MongoServer, exporter: StartExporter
) -> None:
    """A real Prometheus finds the target up, and its quantiles of all distributions are right."""
    with workload(valkey.url, mongo.url, seed=3) as work:
        work.fill()
        truth = work.truth
    running = until_tracked(exporter(KATO_REDIS_URL=valkey.url, KATO_MONGO_URL=mongo.url, **QUICK))
    ages = [40, 200, 210, 450, 2_000]
    for age in ages:
        valkey.client.delete(new_session(valkey.client, age=age))
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "scrape_configs:\n"
        "  - {job_name: kato, scrape_interval: 1s, scrape_timeout: 1s, static_configs:"
        f" [{{targets: ['{running.url.removeprefix('http://')}']}}]}}\n"
    )
    with (
        started(lambda: start_prometheus(tmp_path / "prometheus", config)) as prometheus,
        httpx.Client(base_url=prometheus.url, trust_env=False) as client,
    ):

        def query(expression: str) -> dict[str, float]:
            answer = client.get("/api/v1/query", params={"query": expression}).json()
            assert "success" == answer["status"], answer
            return {
                row["metric"].get("kb", ""): float(row["value"][1])
                for row in answer["data"]["result"]
            }

        eventually(
            lambda: query(f"kato_session_duration_seconds_count == {len(ages)}"),
            within=PATIENCE,
            what="Prometheus has seen the ends of all sessions",
        )
        up = query("up")
        found = {
            (name, q): query(f"histogram_quantile({q}, {name}_bucket)")
            for name in (
                "kato_session_duration_seconds",
                "kato_pattern_frequency_distribution",
                "kato_pattern_length_distribution",
            )
            for q in (0.5, 0.9)
        }

    assert {"": 1} == up
    for q in (0.5, 0.9):
        assert {"": pytest.approx(quantile(q, DURATION_BOUNDS, ages))} == (
            found["kato_session_duration_seconds", q]
        )
        assert {
            kb: pytest.approx(
                quantile(q, FREQUENCY_BOUNDS, [one.frequency for one in known.patterns.values()])
            )
            for kb, known in truth.knowledge_bases.items()
        } == found["kato_pattern_frequency_distribution", q]
        assert {
            kb: pytest.approx(
                quantile(q, LENGTH_BOUNDS, [one.pattern.length for one in known.patterns.values()])
            )
            for kb, known in truth.knowledge_bases.items()
        } == found["kato_pattern_length_distribution", q]


def without_what_varies(text: str) -> str:
    """Put `<varies>` where an exposition differs from run to run, and order where there is none.

    Lines that are the same then are one.
    """
    lines: list[str] = []
    for line in text.splitlines():
        name = re.split(r"[{ ]", line, maxsplit=1)[0]
        for label in VARYING_LABELS.get(name, ()):
            line = re.sub(rf'(?<=[{{,]){label}="[^"]*"', f'{label}="<varies>"', line)  # noqa: PLW2901
        if VARYING.fullmatch(name):
            line = f"{line.rpartition(' ')[0]} <varies>"  # noqa: PLW2901
        if lines[-1:] == [line]:
            continue
        insort(lines, line, lo=_start_of(lines, name) if name == UNORDERED else len(lines))
    return "\n".join(lines) + "\n"


def _start_of(lines: list[str], name: str) -> int:
    """Give the place of the first of the last lines that are samples of a name."""
    others = (at for at, line in enumerate(reversed(lines)) if not line.startswith(f"{name}{{"))
    return len(lines) - next(others)


def test_the_exposition_of_a_fixed_seed_is_the_golden_one(
    own_valkey: Server, mongo: MongoServer, exporter: StartExporter
) -> None:
    """Names, help texts, types, labels, their order and all values that can be fixed are fixed."""
    with workload(own_valkey.url, mongo.url, seed=42, clock=lambda: time.time() - 20_000) as work:
        work.fill()
        running = until_tracked(
            exporter(
                KATO_REDIS_URL=own_valkey.url,
                KATO_MONGO_URL=mongo.url,
                **QUICK,
            )
        )
        work.delete_session(work.create_session())
        work.create_session()
        work.create_session(ttl=1)
        eventually(
            lambda: (
                (now := running.scrape()).value("kato_session_duration_seconds_count") == 2
                and now.value("kato_session_sample_size") == 13
                and now.value("kato_session_age_seconds_gcount") == 13
            ),
            within=PATIENCE,
            what="two sessions have ended, one is new, and all that live have been read",
        )
    found = without_what_varies(running.get(accept="text/plain").text)
    if os.environ.get(RENEW_GOLDEN):
        GOLDEN.write_text(found, encoding="utf-8")

    assert GOLDEN.read_text(encoding="utf-8").splitlines() == found.splitlines(), (
        f"the exposition has changed; if that is right: {RENEW_GOLDEN}=1 pytest -k golden"
    )


def write_counts_to_disk(url: str) -> None:
    """Let mongod make a checkpoint; a crash loses the metadata counts of what came after it."""
    with MongoClient[Document](url) as client:
        client.admin.command("fsync")


@pytest.mark.parametrize("killed", ["redis", "mongodb"])
def test_a_store_that_dies_takes_only_its_own_series_along(
    own_valkey: Server, own_mongod: Server, exporter: StartExporter, killed: str
) -> None:
    """The next scrape answers in time and tells it, and one interval after its return all is back.

    What the exporter has counted goes on and never goes down.
    """
    server = {"redis": own_valkey, "mongodb": own_mongod}[killed]
    other = {"redis": "mongodb", "mongodb": "redis"}[killed]
    with workload(own_valkey.url, own_mongod.url, seed=5) as work:
        work.fill()
    write_counts_to_disk(own_mongod.url)
    running = until_tracked(
        exporter(KATO_REDIS_URL=own_valkey.url, KATO_MONGO_URL=own_mongod.url, **QUICK)
    )
    with Redis.from_url(own_valkey.url) as client:
        for _ in range(3):
            new_session(client)
        eventually(
            lambda: running.scrape().value("kato_sessions_created_total") == 3,
            within=PATIENCE,
            what="the new sessions are counted",
        )
    before = running.scrape()
    created = [3.0]

    def scrape() -> Samples:
        with at_most(2):
            samples = running.scrape(timeout=2)
        total = samples.value("kato_sessions_created_total")
        if total is not None:
            created.append(total)
        return samples

    server.kill()
    during = scrape()

    assert 0 == during.value("kato_store_up", store=killed)
    assert 1 == during.value("kato_store_up", store=other)
    assert {} == during.under(SERIES_OF[killed])
    assert before.under(SERIES_OF[other]).keys() == during.under(SERIES_OF[other]).keys()
    unchanging = ("kato_session", "kato_redis_keys") if killed == "mongodb" else KNOWLEDGE
    steady = {
        series: value
        for series, value in before.under(unchanging).items()
        if not series[0].endswith(("_gsum", "_gcount", "_bucket"))
    }
    assert steady == {series: during.values[series] for series in steady}

    if killed == "mongodb":
        eventually(
            lambda: re.search(r'event="no .*answer" subject=knowledge', running.log),
            within=INTERVAL + PATIENCE,
            what="the schedule has met the outage too",
        )
    server.start()
    expected = {
        series: value
        for series, value in (before.under(KNOWLEDGE) if killed == "mongodb" else {}).items()
        if series[0] not in ALLOTTED
    }

    def back() -> Samples | None:
        now = scrape()
        whole = (
            1 == now.value("kato_store_up", store=killed)
            and now.value("kato_sessions_active") is not None
            and now.under(SERIES_OF[other]).keys() == before.under(SERIES_OF[other]).keys()
        )
        gone = before.under(SERIES_OF["mongodb"]).keys() - now.values.keys()
        return now if whole and not gone else None

    after = eventually(back, within=INTERVAL + MARGIN, what=f"{killed} is told of again")
    assert expected == {series: after.values[series] for series in expected}
    with Redis.from_url(own_valkey.url) as client:
        new_session(client)
    eventually(
        lambda: scrape().value("kato_sessions_created_total") == 4,
        within=INTERVAL + PATIENCE,
        what="a session created after the outage is counted",
    )
    assert sorted(created) == created
    assert 1 == scrape().value("kato_session_events_connected")


def test_stores_that_are_down_at_the_start_are_taken_up_later(
    tmp_path: Path, exporter: StartExporter
) -> None:
    """The exporter starts without them, says so in its log, and finds them when they come."""
    redis_port, mongo_port = free_port(), free_port()
    running = exporter(
        KATO_REDIS_URL=f"redis://{LOOPBACK}:{redis_port}",
        KATO_MONGO_URL=f"mongodb://{LOOPBACK}:{mongo_port}",
        **QUICK,
    )
    samples = running.scrape(timeout=2)
    kept = [name for name, _ in samples.values if name.startswith("kato_")]

    assert {"redis": 0, "mongodb": 0} == samples.by("store", "kato_store_up")
    assert {name for name in kept if not name.startswith("kato_exporter_")} == {"kato_store_up"}
    for store in ("redis", "mongodb"):
        refused = rf'event="no (whole )?answer" subject={store} error=".*refused'
        eventually(
            lambda: re.search(refused, running.log),  # noqa: B023 - it ends before the loop goes on
            within=PATIENCE,
            what=f"the log tells that {store} is down",
        )
    with (
        started(lambda: start_valkey(tmp_path / "valkey", port=redis_port)) as valkey,
        started(lambda: start_mongod(tmp_path / "mongodb", port=mongo_port)) as mongod,
    ):
        with workload(valkey.url, mongod.url, seed=5) as work:
            work.fill()
        eventually(
            lambda: (
                (now := running.scrape()).value("kato_sessions_active") == 12
                and now.value("kato_knowledge_bases") == 3
                and len(now.by("kb", "kato_pattern_observations")) == 3
            ),
            within=2 * PATIENCE,
            what="both stores are told of",
        )
        for store in ("redis", "mongodb"):
            assert f'event="answers again" subject={store}' in running.log
        assert 0 == running.end()


@pytest.mark.parametrize("store", ["redis", "mongodb"])
def test_a_store_that_is_down_costs_a_scrape_its_own_timeout_at_most(
    exporter: StartExporter, store: str
) -> None:
    """A Prometheus that waits 10 s has its answer after KATO_STORE_TIMEOUT, which is 1 s here."""
    address = f"{LOOPBACK}:{free_port()}"
    running = exporter(
        **QUICK,
        **(
            {"KATO_REDIS_URL": f"redis://{address}"}
            if store == "redis"
            else {"KATO_MONGO_URL": f"mongodb://{address}"}
        ),
    )
    for _ in range(2):
        with at_most(1 + MARGIN):
            samples = running.scrape(timeout=10)

        assert {store: 0} == samples.by("store", "kato_store_up")


@pytest.mark.alone
def test_overlapping_scrapes_share_one_collection(
    own_valkey: Server, exporter: StartExporter
) -> None:
    """As many scrapes as can be served at once, of a server that is slow, make one collection."""
    running = exporter(
        KATO_REDIS_URL=own_valkey.url, KATO_COLLECTORS="redis", KATO_STORE_TIMEOUT="10s"
    )
    running.scrape()
    at_once = 8
    with Redis.from_url(own_valkey.url) as client, ThreadPoolExecutor(at_once) as pool:
        before = askings(client)
        with stopped(own_valkey):
            scrapes = [pool.submit(running.scrape) for _ in range(at_once)]
            until_waiting(running, connections=at_once)
        answers = [scrape.result() for scrape in scrapes]

        assert [1] * at_once == [each.value("kato_store_up", store="redis") for each in answers]
        assert 1 == askings(client) - before
        assert 1 == len({each.value("kato_redis_used_memory_bytes") for each in answers})


@pytest.mark.alone
def test_many_scrapes_of_a_server_that_hangs_ask_it_once(
    own_valkey: Server, exporter: StartExporter
) -> None:
    """Twenty scrapes at once all end by their deadline, tell that it is down, and pile up nothing.

    When it answers again, it is not asked what nobody waits for any more.
    """
    running = exporter(
        KATO_REDIS_URL=own_valkey.url, KATO_COLLECTORS="redis", KATO_STORE_TIMEOUT="10s"
    )
    running.scrape()
    with Redis.from_url(own_valkey.url) as client, ThreadPoolExecutor(20) as pool:
        before = askings(client)
        with stopped(own_valkey), at_most(1 + MARGIN):
            answers = list(pool.map(lambda _: running.scrape(timeout=1), range(20)))

        assert [0] * 20 == [each.value("kato_store_up", store="redis") for each in answers]
        assert [{}] * 20 == [each.under(SERIES_OF["redis"]) for each in answers]
        later = 0

        def up_again() -> bool:
            nonlocal later
            later += 1
            return running.scrape().value("kato_store_up", store="redis") == 1

        eventually(up_again, within=PATIENCE, what="the server is up again")
        assert askings(client) - before <= 1 + later  # one for all twenty


def askings(client: Redis) -> int:
    """Count how often the collector `redis` has asked a server: each time for one setting."""
    return int(client.info("commandstats")["cmdstat_config|get"]["calls"])


def until_waiting(running: RunningExporter, *, connections: int) -> None:
    """Wait until the exporter has accepted so many connections, and has nothing more to do."""
    port = httpx.URL(running.url).port

    def accepted() -> bool:
        open_now = running.process.net_connections("tcp")
        return connections == sum(bool(each.raddr) and each.laddr.port == port for each in open_now)

    def idle() -> bool:
        before = running.process.cpu_times()
        time.sleep(0.1)
        return running.process.cpu_times()[:2] == before[:2]

    eventually(accepted, within=PATIENCE, what=f"{connections} connections are accepted")
    eventually(idle, within=PATIENCE, what="the exporter waits")


@pytest.mark.alone
@pytest.mark.parametrize("hanging", ["redis", "mongodb"])
def test_a_store_that_hangs_holds_nothing_up(
    own_valkey: Server, own_mongod: Server, exporter: StartExporter, hanging: str
) -> None:
    """Scrape after scrape keeps its deadline, threads do not grow, and the other store is told."""
    server = {"redis": own_valkey, "mongodb": own_mongod}[hanging]
    other = {"redis": "mongodb", "mongodb": "redis"}[hanging]
    with workload(own_valkey.url, own_mongod.url, seed=5) as work:
        work.fill()
    running = until_tracked(
        exporter(KATO_REDIS_URL=own_valkey.url, KATO_MONGO_URL=own_mongod.url, **QUICK)
    )
    others = running.scrape().under(SERIES_OF[other]).keys()
    threads = []
    with stopped(server):
        for _ in range(20):
            with at_most(0.2 + MARGIN / 2):
                samples = running.scrape(timeout=0.2)
            threads.append(running.process.num_threads())

            assert 0 == samples.value("kato_store_up", store=hanging)
            assert {} == samples.under(SERIES_OF[hanging])
            assert 1 == samples.value("kato_store_up", store=other)
            assert others == samples.under(SERIES_OF[other]).keys()
    assert max(threads[10:]) <= max(threads[:10])
    eventually(
        lambda: running.scrape().value("kato_store_up", store=hanging) == 1,
        within=PATIENCE,
        what=f"{hanging} is up again",
    )


def test_it_ends_in_time_while_both_stores_hang(
    own_valkey: Server, own_mongod: Server, exporter: StartExporter
) -> None:
    """SIGTERM ends it with status 0 within the ten seconds that a container is given."""
    running = until_tracked(
        exporter(
            KATO_REDIS_URL=own_valkey.url,
            KATO_MONGO_URL=own_mongod.url,
            KATO_KNOWLEDGE_INTERVAL="1s",
            KATO_PATTERNS_INTERVAL="1s",
            KATO_REDIS_MANAGE_NOTIFICATIONS="true",
        )
    )
    with stopped(own_valkey), stopped(own_mongod):
        eventually(
            lambda: set(running.scrape(timeout=0.3).by("store", "kato_store_up").values()) == {0},
            within=PATIENCE,
            what="both are down",
        )
        with at_most(10):
            assert 0 == running.end(), running.log


@pytest.mark.parametrize("flags", ["AKE", "AKEn", "Egxen"])
def test_notifications_that_are_enough_are_used_as_they_are(
    own_valkey: Server, exporter: StartExporter, flags: str
) -> None:
    """Where an operator has turned events on, in short or in full, no leave of ours is needed."""
    with Redis.from_url(own_valkey.url) as client:
        client.config_set("notify-keyspace-events", flags)
        before = client.config_get("notify-keyspace-events")
        running = until_tracked(exporter(KATO_REDIS_URL=own_valkey.url, KATO_COLLECTORS="sessions"))
        client.delete(new_session(client))
        eventually(
            lambda: running.scrape().value("kato_sessions_ended_total", reason="deleted") == 1,
            within=PATIENCE,
            what="the end of a session is told by an event",
        )

        assert 1 == running.scrape().value("kato_sessions_created_total")
        assert before == client.config_get("notify-keyspace-events")


def test_notifications_are_completed_once_and_taken_back(
    own_valkey: Server, exporter: StartExporter
) -> None:
    """What lacks is added once, however often it is looked at, and nothing else taken back."""
    with Redis.from_url(own_valkey.url) as client:
        client.config_set("notify-keyspace-events", "KEx")
        running = until_tracked(
            exporter(
                KATO_REDIS_URL=own_valkey.url,
                KATO_COLLECTORS="sessions",
                KATO_SESSIONS_INTERVAL="200ms",
                KATO_REDIS_MANAGE_NOTIFICATIONS="true",
            )
        )
        looks = int(client.info("commandstats")["cmdstat_config|get"]["calls"])
        eventually(
            lambda: int(client.info("commandstats")["cmdstat_config|get"]["calls"]) > looks + 3,
            within=PATIENCE,
            what="the flags have been looked at again",
        )
        during = client.config_get("notify-keyspace-events")["notify-keyspace-events"]
        assert 0 == running.end()
        after = client.config_get("notify-keyspace-events")["notify-keyspace-events"]

    assert set("KExegn") == set(during)
    assert set("KEx") == set(after)
    assert 1 == running.log.count("turned on keyspace notifications"), running.log


def test_without_leave_sessions_are_counted_by_scan(
    own_valkey: Server, exporter: StartExporter
) -> None:
    """With notifications off and no leave to turn them on, they stay off, and mode and log say so.

    Sessions that are there at a scan are counted all the same.
    """
    with Redis.from_url(own_valkey.url) as client:
        running = exporter(
            KATO_REDIS_URL=own_valkey.url,
            KATO_COLLECTORS="sessions",
            KATO_SESSIONS_INTERVAL="300ms",
        )
        eventually(
            lambda: running.scrape().value("kato_sessions_active") == 0,
            within=PATIENCE,
            what="the first scan is through",
        )
        new_session(client)
        samples = eventually(
            lambda: (
                now if (now := running.scrape()).value("kato_sessions_created_total") == 1 else None
            ),
            within=PATIENCE,
            what="a scan has found the new session",
        )

        assert {"scan": 1} == samples.by("mode", "kato_session_tracking_info")
        assert samples.value("kato_session_events_connected") is None
        assert {"notify-keyspace-events": ""} == client.config_get("notify-keyspace-events")
    assert 1 == running.log.count("sessions are counted by scan only"), running.log
