"""What watching sessions costs, and how soon a change is seen; beside Debian's redis_exporter."""

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import psutil
import redis

from bench.apart import call_apart
from bench.figures import NO_LOAD, NO_WAITING, Curves, Figure, Section
from bench.parts import Part, Scale, Tell
from bench.redis_exporters import (
    COUNTING,
    EACH_KEY,
    GROUPING,
    PLAIN,
    SCRAPE_INTERVAL,
    Watcher,
    watch_as,
    watcher_table,
)
from bench.redis_load import PORTION, cost_of, new_key, redis_cpu, redis_server, write
from bench.running import megabytes, scrape_durations, scraper
from bench.session_feed import measure_latency, measure_writes, watching, writes_paragraph
from bench.session_reconciliation import (
    Reconciliation,
    longest_ping,
    reconcile,
    reconciliation_paragraph,
)
from kato_exporter.collectors.session_ledger import SessionLedger
from kato_exporter.demo.servers import Server
from kato_exporter.kato.sessions import SessionHandle, parse_session_key

SCRAPES, SCRAPE_SECONDS = 200, 30.0
CALM_SECONDS = 3.0
LEAST_SHARE = 1e-5
"""Of a core; less cannot be told from nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many sessions there are, from few to most, and how much is measured of them.

    The ledger alone is measured with `ledger` of them; redis_exporter may look at each by itself
    where there are at most `each_key`.
    """

    sessions: Sequence[int]
    ledger: int
    each_key: int
    latencies: int
    write_rounds: int
    watch_seconds: float


SIZES = {
    Scale.QUICK: Sizes(
        sessions=(500, 1_000),
        ledger=50_000,
        each_key=500,
        latencies=100,
        write_rounds=1,
        watch_seconds=2,
    ),
    Scale.USUAL: Sizes(
        sessions=(10_000, 100_000, 1_000_000),
        ledger=1_000_000,
        each_key=10_000,
        latencies=1_000,
        write_rounds=10,
        watch_seconds=30,
    ),
    Scale.FULL: Sizes(
        sessions=(10_000, 100_000, 1_000_000),
        ledger=1_000_000,
        each_key=100_000,
        latencies=1_000,
        write_rounds=20,
        watch_seconds=120,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What was measured with so many sessions."""

    sessions: int
    reconciliation: Reconciliation
    ours: Watcher
    counting: Watcher
    others: Sequence[Watcher]

    def paragraph(self) -> str:
        """Write who scrapes as a table."""
        return watcher_table(self.sessions, [self.ours, self.counting, *self.others])


def measure_size(server: Server, client: redis.Redis, sessions: int, sizes: Sizes) -> Size:
    """Measure ours, then redis_exporter in all its ways, on a Redis with so many sessions."""
    calm, idle = longest_ping(server.url, CALM_SECONDS), redis_share(client, CALM_SECONDS)
    with watching(server) as running:
        found = reconcile(running, server, client, sessions=sessions, calm=calm)
        cost = cost_of(running, client, times=SCRAPES, within=SCRAPE_SECONDS)
        share = max(LEAST_SHARE, watched_share(running, client, sizes.watch_seconds) - idle)
    others = [PLAIN, GROUPING, *([EACH_KEY] if sessions <= sizes.each_key else [])]
    return Size(
        sessions=sessions,
        reconciliation=found,
        ours=Watcher(name="ours", counted=sessions, cost=cost, redis_share=share),
        counting=watch_as(COUNTING, server, client),
        others=[watch_as(way, server, client) for way in others],
    )


def redis_share(client: redis.Redis, seconds: float) -> float:
    """Give the part of a core that Redis takes while so many seconds pass."""
    before, began = redis_cpu(client), time.monotonic()
    time.sleep(seconds)
    return (redis_cpu(client) - before) / (time.monotonic() - began)


def watched_share(running: Server, client: redis.Redis, seconds: float) -> float:
    """Give the part of a core that Redis takes while ours is scraped at the usual interval."""
    pause = min(seconds, SCRAPE_INTERVAL)
    before, began = redis_cpu(client), time.monotonic()
    with scraper(running) as http:
        scrape_durations(http, "/metrics", round(seconds / pause), pause=pause)
    return (redis_cpu(client) - before) / (time.monotonic() - began)


def measure_sizes(sizes: Sizes, tell: Tell) -> list[Size]:
    """Measure the same Redis, fuller each time."""
    found, written = [], 0
    with redis_server() as (server, client):
        for sessions in sizes.sessions:
            tell(f"{sessions:,} sessions: writing them")
            write(client, [new_key() for _ in range(sessions - written)])
            written = sessions
            tell(f"{sessions:,} sessions: finding them, and scrapes beside redis_exporter")
            found.append(measure_size(server, client, sessions, sizes))
    return found


def ledger_memory(sessions: int) -> int:
    """Give the resident bytes of a ledger with live sessions, beyond that of an empty one."""
    ledger = SessionLedger()
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    ledger.begin_reconciliation(at=time.time())
    for _ in range(sessions // PORTION):
        ledger.seen([_handle() for _ in range(PORTION)])
    ledger.finish_reconciliation(by_events=False)
    gc.collect()
    return int(process.memory_info().rss - before)


def _handle() -> SessionHandle:
    made = parse_session_key(new_key())
    if made is None:
        raise ValueError("a key that we made is none")
    return made


def comparison(sizes: Sequence[Size], most_each: int) -> list[str]:
    """Write all sizes beside redis_exporter, and what each of the two does not do."""
    asked = (
        "Ours, with all that it asks a Redis, beside Debian's redis_exporter on the same Redis; "
        "medians. `-count-keys` counts sessions as ours does, and looks through the names of all "
        f"keys on each scrape. The last CPU is what a scrape every {SCRAPE_INTERVAL:g} s takes of "
        "a core of Redis: ours was measured, as it also works between scrapes, and what Redis "
        "takes while nobody asks is left out; redis_exporter's is reckoned from one scrape. "
        "`-check-keys` makes two series of each session, and was left out where there are more "
        f"than {most_each:,}."
    )
    missing = (
        "Not in these figures: ours has Redis send events, which the table of SETEX shows; after "
        "its start it takes a while to know all sessions, and its memory grows with them. "
        "redis_exporter does without, and knows of Redis what ours leaves out (its configuration, "
        "its slow log, any key you name). It does not know how many sessions were created and "
        "ended, why, and how long they lived: what comes and goes between two scrapes is not there."
    )
    return [asked, *(each.paragraph() for each in sizes), missing]


def figures(sizes: Sequence[Size]) -> list[Figure]:
    """Give the ratios of the largest size, to the smallest and to redis_exporter."""
    few, many = sizes[0], sizes[-1]
    counting = "redis_exporter that counts them (`-count-keys`)"
    return [
        Figure(
            f"Scrape with {many.sessions:,} sessions",
            f"{few.sessions:,} sessions",
            many.ours.cost.scrape / few.ours.cost.scrape,
            NO_WAITING,
        ),
        Figure(
            f"Scrape with {many.sessions:,} sessions",
            counting,
            many.ours.cost.scrape / many.counting.cost.scrape,
            NO_WAITING,
        ),
        Figure(
            f"Redis's CPU with {many.sessions:,} sessions, a scrape every {SCRAPE_INTERVAL:g} s",
            counting,
            many.ours.redis_share / many.counting.redis_share,
            NO_LOAD,
        ),
        Figure(
            f"Memory of the exporter with {many.sessions:,} sessions",
            counting,
            many.ours.cost.memory / many.counting.cost.memory,
        ),
        Figure(
            f"Memory of the exporter with {many.sessions:,} sessions",
            f"{few.sessions:,} sessions",
            many.ours.cost.memory / few.ours.cost.memory,
        ),
    ]


def measure(scale: Scale, tell: Tell) -> Section:
    """Measure everything."""
    sizes = SIZES[scale]
    tell("memory of the ledger")
    memory = call_apart(partial(ledger_memory, sizes.ledger))
    tell("latency of events")
    latencies = measure_latency(sizes.latencies)
    tell("Redis's CPU for SETEX")
    writes = measure_writes(sizes.write_rounds)
    found = measure_sizes(sizes, tell)
    return Section(
        title="Sessions",
        paragraphs=[
            latencies.paragraph(),
            writes_paragraph(writes),
            reconciliation_paragraph([each.reconciliation for each in found]),
            *comparison(found, sizes.each_key),
            (
                f"Memory of {sizes.ledger:,} live sessions, beyond an empty ledger: "
                f"{megabytes(memory)}."
            ),
        ],
        figures=[latencies.figure(), *(each.figure() for each in writes), *figures(found)],
        curves=[
            Curves(
                title="Scrape, by live sessions",
                sizes="sessions",
                lines={
                    "ours": [(each.sessions, each.ours.cost.scrape) for each in found],
                    "redis_exporter": [
                        (each.sessions, each.counting.cost.scrape) for each in found
                    ],
                },
            )
        ],
    )


PART = Part(
    name="sessions",
    measure=measure,
    expected={Scale.QUICK: 30, Scale.USUAL: 350, Scale.FULL: 800},
)
