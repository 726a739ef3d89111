"""What watching knowledge bases costs, however large and many."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pymongo import MongoClient
from pymongo.collection import Collection

from bench.figures import A_TENTH, NO_WAITING, Curves, Figure, Section
from bench.parts import Part, Scale, Tell
from bench.report import table
from bench.running import (
    exporter,
    megabytes,
    quantile,
    resident_memory,
    scrape_durations,
    scraper,
)
from kato_exporter.demo.servers import Server, start_mongod
from kato_exporter.demo.shapes import INDEXES, Document
from kato_exporter.kato.knowledge import METADATA, PATTERNS, SYMBOLS

PATTERNS_IN_EACH = 50
PORTION, INSERTERS = 5_000, 2
PAUSE = 0.1
SCRAPE_INTERVAL = 15.0
SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many patterns one knowledge base has, how many there are, and how often we scrape.

    `watches` is what mongod is watched with, each for `watch_seconds`.
    """

    patterns: Sequence[int]
    kbs: Sequence[int]
    scrapes: int
    watches: Sequence[str]
    watch_seconds: float


DEFAULTS, BUSIEST = "defaults", "intervals of a second"
WATCHES: dict[str, dict[str, str]] = {
    DEFAULTS: {},
    BUSIEST: {"KATO_PATTERNS_INTERVAL": "1s", "KATO_KNOWLEDGE_INTERVAL": "1s"},
}


SIZES = {
    Scale.QUICK: Sizes(
        patterns=(500, 1_000), kbs=(2, 4), scrapes=10, watches=(DEFAULTS, BUSIEST), watch_seconds=2
    ),
    Scale.USUAL: Sizes(
        patterns=(10_000, 100_000, 1_000_000),
        kbs=(10, 100),
        scrapes=100,
        watches=(BUSIEST,),
        watch_seconds=60,
    ),
    Scale.FULL: Sizes(
        patterns=(10_000, 100_000, 1_000_000),
        kbs=(10, 100, 1_000),
        scrapes=200,
        watches=(DEFAULTS, BUSIEST),
        watch_seconds=600,
    ),
}


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
    insert(database[PATTERNS], numbers, pattern)
    if not database[METADATA].find_one():
        database[SYMBOLS].insert_many([{"name": f"s{n}", "frequency": n} for n in range(1, 20)])
        database[METADATA].insert_one({"class": "totals", "total_pattern_frequencies": 1})


def insert(
    collection: Collection[Document], numbers: range, make: Callable[[int], Document]
) -> None:
    """Insert a document for each number; some are made while MongoDB takes others."""

    def portion(start: int) -> None:
        portion = range(start, min(numbers.stop, start + PORTION))
        collection.insert_many([make(number) for number in portion], ordered=False)

    with ThreadPoolExecutor(INSERTERS) as pool:
        list(pool.map(portion, range(numbers.start, numbers.stop, PORTION)))


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
    memory: int


def measure_scrapes(
    server: Server, client: MongoClient[Document], size: int, scrapes: int
) -> Scrapes:
    """Scrape again and again once the schedule has run, and ask the same plainly."""
    with (
        exporter(KATO_MONGO_URL=server.url) as running,
        scraper(running) as http,
    ):
        scrape_durations(http, "/metrics", 5, pause=0.5)
        durations = scrape_durations(http, "/metrics", scrapes, pause=PAUSE)
        with http.stream("GET", "/metrics") as answer:
            sent = sum(len(chunk) for chunk in answer.iter_raw())
        families = list(text_string_to_metric_families(http.get("/metrics").text))  # type: ignore[no-untyped-call]
        memory = resident_memory(running)
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
        memory=memory,
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
            megabytes(found.memory),
        ]
        for found in measured
    ]
    head = [what, "series", "sent", "p50", "ratio", "p99", "ratio", "age of snapshots"]
    return table([*head, "plain queries", "plain : p50", "memory"], rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """CPU seconds of mongod while somebody watches it for so long."""

    who: str
    spent: float
    seconds: float

    @property
    def share(self) -> float:
        """Part of a core."""
        return self.spent / self.seconds

    def row(self) -> list[str]:
        """Write it as a row of a table."""
        return [self.who, f"{self.seconds:.0f} s", f"{self.spent:.2f} s", f"{self.share:.2%}"]


def measure_patterns(sizes: Sizes, tell: Tell) -> tuple[list[Scrapes], list[Load]]:
    """Measure one knowledge base at all sizes; then mongod's time at the largest."""
    measured = []
    with mongod() as (server, client):
        written = 0
        for size in sizes.patterns:
            tell(f"{size:,} patterns: learning them")
            learn(client, "bench_kato", range(written, size))
            written = size
            client.admin.command("fsync")
            tell(f"{size:,} patterns: {sizes.scrapes} scrapes")
            measured.append(measure_scrapes(server, client, size, sizes.scrapes))
        return measured, measure_loads(server, sizes, tell)


def measure_loads(server: Server, sizes: Sizes, tell: Tell) -> list[Load]:
    """Read mongod's CPU time without us, for a tenth of the time, and with us."""
    seconds = sizes.watch_seconds
    tell("mongod's CPU, watched by nobody")
    before = cpu_seconds(server)
    time.sleep(seconds / 10)
    loads = [Load(who="nobody", spent=cpu_seconds(server) - before, seconds=seconds / 10)]
    pause = min(seconds, SCRAPE_INTERVAL)
    for who in sizes.watches:
        tell(f"mongod's CPU, watched with {who}: {seconds:g} s")
        before = cpu_seconds(server)
        with (
            exporter(KATO_MONGO_URL=server.url, **WATCHES[who]) as running,
            scraper(running) as http,
        ):
            scrape_durations(http, "/metrics", round(seconds / pause), pause=pause)
        loads.append(Load(who=who, spent=cpu_seconds(server) - before, seconds=seconds))
    return loads


def measure_kbs(sizes: Sizes, tell: Tell) -> list[Scrapes]:
    """Measure many knowledge bases, each of them small."""
    measured = []
    with mongod() as (server, client):
        written = 0
        for size in sizes.kbs:
            tell(f"{size:,} knowledge bases")
            for number in range(written, size):
                learn(client, f"node{number}_kato", range(PATTERNS_IN_EACH))
            written = size
            measured.append(measure_scrapes(server, client, size, sizes.scrapes))
    return measured


def figures(
    patterns: Sequence[Scrapes], kbs: Sequence[Scrapes], loads: Sequence[Load]
) -> list[Figure]:
    """Give the ratios of the largest sizes, to the smallest and to plain queries."""
    few, many = patterns[0], patterns[-1]
    [busiest] = [load for load in loads if load.who == BUSIEST]
    return [
        Figure(
            f"Scrape with {many.size:,} patterns",
            f"{few.size:,} patterns",
            many.p50 / few.p50,
            NO_WAITING,
        ),
        Figure(
            f"Scrape with {many.size:,} patterns",
            "`count_documents` and `$group` on each scrape",
            many.p50 / many.naive,
            NO_WAITING,
        ),
        Figure(
            f"Scrape with {kbs[-1].size:,} knowledge bases",
            f"{kbs[0].size:,} knowledge bases",
            kbs[-1].p50 / kbs[0].p50,
            NO_WAITING,
        ),
        Figure(
            f"MongoDB's CPU at intervals of a second, {many.size:,} patterns",
            f"a tenth of a core (`KATO_LOAD_SHARE` {SHARE:g})",
            busiest.share / SHARE,
            A_TENTH,
        ),
        Figure(
            f"Memory of the exporter with {many.size:,} patterns",
            f"{few.size:,} patterns",
            many.memory / few.memory,
        ),
    ]


def measure(scale: Scale, tell: Tell) -> Section:
    """Measure everything."""
    sizes = SIZES[scale]
    kbs = measure_kbs(sizes, tell)
    patterns, loads = measure_patterns(sizes, tell)
    return Section(
        title="Stores",
        paragraphs=[
            f"One knowledge base, {sizes.scrapes} scrapes {PAUSE:g} s apart, compressed, once the "
            "schedule has run; beside it the same asked on each scrape by `count_documents` and "
            "`$group`; at the end the exporter's resident memory:\n\n"
            + scrape_table("patterns", patterns),
            f"Many knowledge bases of {PATTERNS_IN_EACH} patterns, likewise:\n\n"
            + scrape_table("knowledge bases", kbs),
            f"CPU time of mongod with {patterns[-1].size:,} patterns, a scrape every "
            f"{SCRAPE_INTERVAL:g} s; 100 % is one core, the load share is {SHARE:.0%}. The first "
            "reading of all patterns, right after the start, is in it:\n\n"
            + table(["watched with", "time", "CPU time", "share"], [load.row() for load in loads]),
        ],
        figures=figures(patterns, kbs, loads),
        curves=[
            Curves(
                title="Scrape, by patterns",
                sizes="patterns",
                lines={
                    "ours": [(each.size, each.p50) for each in patterns],
                    "plain queries": [(each.size, each.naive) for each in patterns],
                },
            )
        ],
    )


PART = Part(
    name="stores",
    measure=measure,
    expected={Scale.QUICK: 30, Scale.USUAL: 220, Scale.FULL: 1_600},
)
