"""What a scrape costs by the number of series and of changes; no server."""

import gzip
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Thread

from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from bench.figures import NOT_AGAIN, Figure, Section
from bench.parts import Part, Scale, Tell
from bench.report import table
from bench.running import quantile
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.runtime.exposition import Exposer

FAMILIES = tuple(
    Family(name=f"kato_bench_{number}", kind=Kind.GAUGE, help="X.", labels=("kb", "pattern"))
    for number in range(10)
)
KBS = 1_000
ROUNDS = {
    Scale.QUICK: {100: 4, 500: 4},
    Scale.USUAL: {10_000: 20, 100_000: 5},
    Scale.FULL: {10_000: 20, 100_000: 5},
}
UNCHANGED_ROUNDS = 300
GZIP_LEVEL = 5
SCRAPE_PAUSE, LEAST_SCRAPES = 0.05, 2
NOTHING, EVERYTHING = "nothing", "everything"


@dataclass(frozen=True, slots=True)
class Families(Collector):
    """Families as the client library's encoders want them."""

    families: Sequence[Metric]

    def collect(self) -> Sequence[Metric]:
        """Give them."""
        return self.families


@dataclass(frozen=True, slots=True)
class Bench:
    """So many series, in ten families, asked for in one coding; `rounds` of what is slow."""

    series: int
    compress: bool
    rounds: int

    def family(self, number: int, value: float) -> Metric:
        """Make one of the ten families anew."""
        rows = range(self.series // len(FAMILIES))
        return FAMILIES[number].samples(
            ((f"kb_{row % KBS:04}", f"PTRN|{row:040x}"), value + row) for row in rows
        )

    def snapshot(self, changed: int, value: float) -> list[Metric]:
        """Make all anew; the first `changed` have this value, the others have that of always."""
        return [
            self.family(number, value if number < changed else 0) for number in range(len(FAMILIES))
        ]

    def peer(self) -> list[float]:
        """Scrape by the client library, which does not know what has changed."""
        snapshot = self.snapshot(0, 0)

        def scrape() -> None:
            text = generate_latest(Families([*snapshot, *REGISTRY.collect()]))
            if self.compress:
                gzip.compress(text, GZIP_LEVEL)

        return durations(scrape, self.rounds)

    def ours(self, exposer: Exposer, families: Sequence[Metric]) -> None:
        """Scrape by our own exposition, together with what changes each time."""
        exposer.expose([*families, *REGISTRY.collect()], accept="", compress=self.compress)

    def unchanged(self) -> list[float]:
        """Scrape the same snapshot again and again."""
        exposer = Exposer()
        snapshot = exposer.prepare(self.snapshot(0, 0), ())
        self.ours(exposer, snapshot)
        return durations(lambda: self.ours(exposer, snapshot), UNCHANGED_ROUNDS)

    def renewed(self, changed: int) -> tuple[list[float], list[float]]:
        """Replace the snapshot before each scrape; give what that took, and the scrapes."""
        exposer = Exposer()
        shown = exposer.prepare(self.snapshot(changed, 0), ())
        self.ours(exposer, shown)
        preparations, scrapes = [], []
        for number in range(1, self.rounds + 1):
            snapshot = self.snapshot(changed, number)
            began = time.perf_counter()
            shown = exposer.prepare(snapshot, shown)
            preparations.append(time.perf_counter() - began)
            scrapes += durations(lambda shown=shown: self.ours(exposer, shown), 1)  # type: ignore[misc]
        return preparations, scrapes

    def meanwhile(self) -> list[float]:
        """Scrape while a thread makes one snapshot after the other ready, all changed."""
        exposer = Exposer()
        shown = exposer.prepare(self.snapshot(0, 0), ())
        self.ours(exposer, shown)
        snapshots = [self.snapshot(len(FAMILIES), value) for value in (1, 2)]
        ended = Event()

        def prepare() -> None:
            for _ in range(self.rounds // 2):
                for snapshot in snapshots:
                    exposer.prepare(snapshot, ())
            ended.set()

        preparing = Thread(target=prepare)
        preparing.start()
        scrapes: list[float] = []
        while not ended.wait(SCRAPE_PAUSE) or len(scrapes) < LEAST_SCRAPES:
            scrapes += durations(lambda: self.ours(exposer, shown), 1)
        preparing.join()
        return scrapes


def durations(act: Callable[[], None], times: int) -> list[float]:
    """Give the seconds that each of so many acts took."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    return taken


def milliseconds(values: list[float]) -> list[str]:
    """Write the median and the 99th percentile of seconds."""
    return [f"{1000 * quantile(values, share):.2f} ms" for share in (0.5, 0.99)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Seconds of scrapes where some has changed, of the peer's, and of what was made ready."""

    bench: Bench
    changed: str
    peer: list[float]
    scrapes: list[float]
    prepared: list[float]

    @property
    def ratio(self) -> float:
        """Our median, divided by the peer's."""
        return quantile(self.scrapes, 0.5) / quantile(self.peer, 0.5)

    def row(self) -> list[str]:
        """Write it as a row of a table."""
        return [
            f"{self.bench.series:,}",
            "gzip" if self.bench.compress else "plain",
            self.changed,
            *milliseconds(self.peer),
            *milliseconds(self.scrapes),
            f"{1 / self.ratio:.0f}",
            milliseconds(self.prepared)[0] if self.prepared else "",
        ]

    def figure(self) -> Figure:
        """Give it as a ratio."""
        return Figure(
            f"Scrape of {self.bench.series:,} series, {self.changed} changed",
            "`generate_latest` of prometheus_client and gzip",
            self.ratio,
            NOT_AGAIN,
        )


def measure_one(bench: Bench) -> list[Measured]:
    """Measure one number of series in one coding."""
    peer = bench.peer()
    one_prepared, one = bench.renewed(1)
    all_prepared, everything = bench.renewed(len(FAMILIES))
    outcomes: list[tuple[str, list[float], list[float]]] = [
        (NOTHING, [], bench.unchanged()),
        ("one family of ten", one_prepared, one),
        (EVERYTHING, all_prepared, everything),
        (f"{EVERYTHING}, meanwhile", [], bench.meanwhile()),
    ]
    return [
        Measured(bench=bench, changed=changed, peer=peer, scrapes=scrapes, prepared=prepared)
        for changed, prepared, scrapes in outcomes
    ]


def measure(scale: Scale, tell: Tell) -> Section:
    """Measure everything."""
    found = []
    for series, rounds in ROUNDS[scale].items():
        for compress in (False, True):
            tell(f"{series:,} series, {'gzip' if compress else 'plain'}")
            found += measure_one(Bench(series=series, compress=compress, rounds=rounds))
    most = max(ROUNDS[scale])
    return Section(
        title="Exposition",
        paragraphs=[
            "One scrape's exposition of ten families with labels `kb` and `pattern`, and of the "
            "process's own; beside `generate_latest` of prometheus_client, with gzip of the same "
            f"level ({GZIP_LEVEL}), on the same families in the same run. `generate_latest` does "
            "not know what has changed. Ours renders a new snapshot on the thread that collected "
            "it, before any scrape shows it: the last column. `meanwhile`: scrapes of the snapshot "
            "before, while that thread does nothing else. The ratio is of the medians. "
            f"{UNCHANGED_ROUNDS} rounds where nothing has changed, otherwise "
            + " and ".join(f"{rounds} at {series:,}" for series, rounds in ROUNDS[scale].items())
            + ", where p99 is as good as the longest.",
            table(
                [
                    "series",
                    "coding",
                    "changed",
                    "generate_latest p50",
                    "p99",
                    "ours p50",
                    "p99",
                    "ratio",
                    "made ready before",
                ],
                [each.row() for each in found],
            ),
        ],
        figures=[
            each.figure()
            for each in found
            if each.bench.compress
            and each.bench.series == most
            and each.changed in (NOTHING, EVERYTHING)
        ],
    )


PART = Part(
    name="exposition",
    measure=measure,
    expected={Scale.QUICK: 5, Scale.USUAL: 50, Scale.FULL: 50},
)
