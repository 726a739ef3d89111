"""What watching knowledge bases costs, however large and many: `make bench-stores`.

Bounded: about twenty minutes, all on 127.0.0.1, every server ends with the run.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pymongo import MongoClient
from rich.console import Console

from bench.report import publish, table
from bench.running import exporter, quantile, scrape_durations, scraper
from kato_exporter.demo.servers import Server, start_mongod
from kato_exporter.demo.shapes import INDEXES, Document
from kato_exporter.kato.knowledge import METADATA, PATTERNS, SYMBOLS

PATTERNS_IN_ONE = (10_000, 100_000, 1_000_000)
KNOWLEDGE_BASES = (10, 100, 1_000)
PATTERNS_IN_EACH = 50
PORTION = 5_000
SCRAPES = 200
PAUSE = 0.1
WATCHED_SECONDS = 600.0
SHARE = 0.1

console = Console(stderr=True)


def pattern(number: int) -> Document:
    """Make a pattern as KATO learns it; few are frequent."""
    name = hashlib.sha1(b"%d" % number, usedforsecurity=False).hexdigest()
    symbols = [f"s{(number * step) % 5_000}" for step in range(1, 2 + number % 9)]
    return {
        "name": name,
        "pattern_data": [[symbol] for symbol in symbols],
        "length": len(symbols),
        "frequency": 1 + 100_000 // (1 + number % 100_000),
        "emotives": {},
        "metadata": {},
    }


def learn(client: MongoClient[Document], kb: str, numbers: range) -> None:
    """Put patterns into a knowledge base, with KATO's indexes."""
    database = client[kb]
    for collection in (PATTERNS, SYMBOLS):
        database[collection].create_indexes(INDEXES[collection])
    for start in range(numbers.start, numbers.stop, PORTION):
        portion = range(start, min(numbers.stop, start + PORTION))
        database[PATTERNS].insert_many([pattern(n) for n in portion], ordered=False)
    if not database[METADATA].find_one():
        database[SYMBOLS].insert_many([{"name": f"s{n}", "frequency": n} for n in range(1, 20)])
        database[METADATA].insert_one({"class": "totals", "total_pattern_frequencies": 1})


@contextmanager
def mongod() -> Iterator[tuple[Server, MongoClient[Document]]]:
    """Start an empty MongoDB."""
    with (
        TemporaryDirectory() as directory,
        start_mongod(Path(directory)) as server,
        MongoClient[Document](server.url) as client,
    ):
        yield server, client


def cpu_seconds(server: Server) -> float:
    """Read the CPU time that a server has used."""
    times = psutil.Process(server.pid).cpu_times()
    return float(times.user + times.system)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrapes:
    """Scrapes at one size; times in seconds, ages by collector."""

    size: int
    series: int
    bytes_sent: int
    p50: float
    p99: float
    ages: dict[str, float]
    naive: float


def measure_scrapes(server: Server, client: MongoClient[Document], size: int) -> Scrapes:
    """Scrape again and again once the schedule has run, and ask the same plainly."""
    with (
        exporter(KATO_MONGO_URL=server.url) as running,
        scraper(running) as http,
    ):
        scrape_durations(http, "/metrics", 5, pause=0.5)
        durations = scrape_durations(http, "/metrics", SCRAPES, pause=PAUSE)
        with http.stream("GET", "/metrics") as answer:
            sent = sum(len(chunk) for chunk in answer.iter_raw())
        families = list(text_string_to_metric_families(http.get("/metrics").text))  # type: ignore[no-untyped-call]
    ages = {
        sample.labels["collector"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "kato_exporter_collector_snapshot_age_seconds"
    }
    return Scrapes(
        size=size,
        series=sum(len(family.samples) for family in families),
        bytes_sent=sent,
        p50=quantile(durations, 0.5),
        p99=quantile(durations, 0.99),
        ages=ages,
        naive=timed(lambda: ask_plainly(client)),
    )


def timed(work: Callable[[], object]) -> float:
    """Give the seconds that work takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def ask_plainly(client: MongoClient[Document]) -> None:
    """Ask for counts and both distributions by `count_documents` and `$group`."""
    for kb in client.list_database_names():
        if kb in ("admin", "config", "local"):
            continue
        for collection in client[kb].list_collection_names():
            client[kb][collection].count_documents({})
        for field in ("frequency", "length"):
            group: list[dict[str, Any]] = [{"$group": {"_id": f"${field}", "n": {"$sum": 1}}}]
            list(client[kb][PATTERNS].aggregate(group, allowDiskUse=True))
        list(client[kb][PATTERNS].find().sort("frequency", -1).limit(10))


def scrape_table(what: str, measured: Sequence[Scrapes]) -> str:
    """Write scrapes of several sizes side by side; ratios to the smallest."""
    first = measured[0]
    rows = [
        [
            f"{found.size:,}",
            f"{found.series:,}",
            f"{found.bytes_sent / 1000:.0f} kB",
            f"{1000 * found.p50:.1f} ms",
            f"{found.p50 / first.p50:.2f}",
            f"{1000 * found.p99:.1f} ms",
            f"{found.p99 / first.p99:.2f}",
            ", ".join(f"{name} {age:.0f} s" for name, age in sorted(found.ages.items())),
            f"{1000 * found.naive:,.0f} ms",
            f"{found.naive / found.p50:,.0f}",
        ]
        for found in measured
    ]
    head = [what, "series", "sent", "p50", "ratio", "p99", "ratio", "age of snapshots"]
    return table([*head, "plain queries", "plain : p50"], rows)


def measure_patterns() -> tuple[str, str]:
    """One knowledge base at three sizes; then mongod's time at the largest."""
    measured = []
    with mongod() as (server, client):
        written = 0
        for size in PATTERNS_IN_ONE:
            console.print(f"learning {size:,} patterns")
            learn(client, "bench_kato", range(written, size))
            written = size
            client.admin.command("fsync")
            measured.append(measure_scrapes(server, client, size))
        load = measure_load(server)
    return (
        f"One knowledge base, {SCRAPES} scrapes {PAUSE:g} s apart, compressed, once the schedule "
        "has run; beside it the same asked on each scrape by `count_documents` and `$group`:\n\n"
        + scrape_table("patterns", measured),
        load,
    )


def measure_load(server: Server) -> str:
    """Read mongod's CPU time without us and with us, for ten minutes each."""
    rows = []
    for who, settings in (
        ("nobody", None),
        ("defaults", {}),
        (
            "intervals of a second",
            {"KATO_PATTERNS_INTERVAL": "1s", "KATO_KNOWLEDGE_INTERVAL": "1s"},
        ),
    ):
        console.print(f"mongod's time, watched by {who}")
        before = cpu_seconds(server)
        if settings is None:
            time.sleep(WATCHED_SECONDS / 10)
            spent = 10 * (cpu_seconds(server) - before)
        else:
            with (
                exporter(KATO_MONGO_URL=server.url, **settings) as running,
                scraper(running) as http,
            ):
                scrape_durations(http, "/metrics", int(WATCHED_SECONDS / 15), pause=15)
            spent = cpu_seconds(server) - before
        rows.append([who, f"{spent:.1f} s", f"{100 * spent / WATCHED_SECONDS:.2f} %"])
    return (
        f"CPU time of mongod with {PATTERNS_IN_ONE[-1]:,} patterns in {WATCHED_SECONDS / 60:g} "
        f"minutes, a scrape every 15 s; 100 % is one core, the load share is {SHARE:.0%}:\n\n"
        + table(["watched with", "CPU time", "share"], rows)
    )


def measure_kbs() -> str:
    """Many knowledge bases, each of them small."""
    measured = []
    with mongod() as (server, client):
        written = 0
        for size in KNOWLEDGE_BASES:
            console.print(f"making {size:,} knowledge bases")
            for number in range(written, size):
                learn(client, f"node{number}_kato", range(PATTERNS_IN_EACH))
            written = size
            measured.append(measure_scrapes(server, client, size))
    return f"Many knowledge bases of {PATTERNS_IN_EACH} patterns, likewise:\n\n" + scrape_table(
        "knowledge bases", measured
    )


def main() -> None:
    """Measure everything, and publish it."""
    kbs = measure_kbs()
    patterns, load = measure_patterns()
    publish("Stores", "make bench-stores", [patterns, kbs, load])


if __name__ == "__main__":
    main()
