"""Expositions of snapshots that change or stay, against what the client library makes of all."""

import gc
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from weakref import ref

import pytest
from hypothesis import given, strategies
from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.registry import Collector

from kato_exporter.collectors.family import Family, Kind
from kato_exporter.kato.distribution import Distribution
from kato_exporter.reference import metrics_page
from kato_exporter.runtime import exposition
from kato_exporter.runtime.exposition import Exposer
from kato_exporter.runtime.gzip_segments import Segment, gzip_of

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
ACCEPTED = (
    "",
    OPENMETRICS,
    "text/plain;version=1.0.0;escaping=allow-utf-8",
    "application/openmetrics-text;version=1.0.0;escaping=dots,text/plain;version=0.0.4;q=0.3",
)
LABELS = ("kb", "pattern")
GAUGES = tuple(
    Family(name=f"kato_gauge_{number}", kind=Kind.GAUGE, help='A "gauge"\n\\.', labels=LABELS)
    for number in range(3)
)
COUNTER = Family(name="kato_counted_total", kind=Kind.COUNTER, help="A counter.", labels=LABELS)
HISTOGRAM = Family(
    name="kato_length", kind=Kind.GAUGE_HISTOGRAM, help="X.", labels=LABELS, bounds=(1, 2.5)
)
MANY = 16
MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Families(Collector):
    """Families as the client library's encoders want them."""

    families: Sequence[Metric]

    def collect(self) -> Sequence[Metric]:
        """Give them."""
        return self.families


def expected(families: Sequence[Metric], accept: str) -> bytes:
    """Give what the client library makes of all families at once."""
    encode, _ = choose_encoder(accept)
    return encode(Families(families))


def inflate(body: bytes) -> bytes:
    """Decompress a gzip file as clients do that read its first member only."""
    decompressor = zlib.decompressobj(wbits=31)
    text = decompressor.decompress(body)
    assert decompressor.eof
    assert b"" == decompressor.unused_data
    return text


def body_of(exposer: Exposer, families: Sequence[Metric], accept: str = "") -> bytes:
    """Expose without compression."""
    return exposer.expose(families, accept=accept, compress=False).body


def gauge(number: int = 0, value: float = 1, count: int = MANY) -> Metric:
    """Make a family of so many samples."""
    return GAUGES[number].samples(((f"kb{each}", "p"), value) for each in range(count))


def some(family: Family) -> strategies.SearchStrategy[Metric]:
    """Make a family of few or many samples, often like another one."""
    labels = strategies.lists(
        strategies.tuples(
            strategies.text(max_size=3), strategies.sampled_from(["a", 'b"\n\\', "ü"])
        ),
        max_size=MANY + 4,
    )
    rows = strategies.one_of(labels, strategies.just([(f"kb{n}", "p") for n in range(MANY)]))
    values = strategies.one_of(
        strategies.sampled_from([1.0, 2.0, float("inf")]), strategies.floats()
    )

    def made(rows: list[tuple[str, str]], value: float) -> Metric:
        value += 0.0  # -0.0 equals 0.0, and we may show either
        if family is HISTOGRAM:
            distribution = Distribution.of((1, 2.5), [(1, 2), (3, 1)])
            return family.distributions((row, distribution) for row in rows)
        return family.samples((row, value) for row in rows)

    return strategies.builds(made, rows, values)


FAMILIES = strategies.tuples(*(some(family) for family in (*GAUGES, COUNTER, HISTOGRAM)))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the names of the families that are encoded from now on, as they are."""
    names: list[str] = []

    def noted(encode: Callable[[Collector], bytes], collector: Collector) -> bytes:
        names.extend(family.name for family in collector.collect())
        return encode(collector)

    def choose(accept: str) -> tuple[Callable[[Collector], bytes], str]:
        encode, content_type = choose_encoder(accept)
        return lambda collector: noted(encode, collector), content_type

    monkeypatch.setattr(exposition, "choose_encoder", choose)
    return names


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Give a function that moves the clock on by seconds."""
    now = [1000.0]
    monkeypatch.setattr(exposition, "monotonic", lambda: now[0])

    def passed(seconds: float) -> None:
        now[0] += seconds

    return passed


@given(
    strategies.lists(
        strategies.tuples(
            FAMILIES,
            strategies.permutations(range(6)),
            strategies.sampled_from(ACCEPTED),
            strategies.booleans(),
        ),
        max_size=5,
    )
)
def test_whatever_changes_the_bytes_are_those_of_the_client_library(
    steps: list[tuple[tuple[Metric, ...], list[int], str, bool]],
) -> None:
    """In each format, compressed or not, in any order, among families that nobody prepared."""
    exposer = Exposer()
    before: Sequence[Metric] = ()
    for snapshot, order, accept, compress in steps:
        before = exposer.prepare(snapshot, before)
        live = Family(name="kato_live", kind=Kind.GAUGE, help="X.").sample(1)
        shown = [[live, *before][place] for place in order]
        asked = [[live, *snapshot][place] for place in order]
        body = exposer.expose(shown, accept=accept, compress=compress).body
        assert expected(asked, accept) == (inflate(body) if compress else body)


@given(strategies.lists(strategies.binary() | strategies.binary().map(lambda some: some * 999)))
def test_segments_make_a_gzip_file_of_one_member(texts: list[bytes]) -> None:
    """Its checksum and length are those of the texts in a row."""
    assert b"".join(texts) == inflate(gzip_of(Segment.of(text) for text in texts))


def test_a_segment_is_not_bound_to_its_place() -> None:
    """One segment serves in many files, and twice in the same."""
    first, second = Segment.of(b"first\n"), Segment.of(b"second\n" * 10_000)
    assert b"first\nfirst\n" + b"second\n" * 10_000 == inflate(gzip_of([first, first, second]))
    assert b"second\n" * 10_000 + b"first\n" == inflate(gzip_of([second, first]))


def test_many_small_families_are_compressed_as_one() -> None:
    """Parts by themselves would take more than the whole; those of a snapshot are no exception."""
    exposer = Exposer()
    small = [
        Family(name=f"kato_small_{number}", kind=Kind.GAUGE, help="A small one.").sample(number)
        for number in range(100)
    ]
    families = exposer.prepare([*small, gauge(count=2_000)], ())
    body = exposer.expose(families, accept="", compress=True).body
    assert len(body) < 1.1 * len(gzip.compress(expected(families, ""), 5))


def test_what_has_not_changed_is_rendered_once(encoded: list[str]) -> None:
    """Neither a second scrape nor a second snapshot that is equal renders a family again."""
    exposer = Exposer()
    snapshot = exposer.prepare([gauge(0), gauge(1)], ())
    body_of(exposer, snapshot)
    assert ["kato_gauge_0", "kato_gauge_1"] == encoded
    snapshot = exposer.prepare([gauge(0), gauge(1)], snapshot)
    body_of(exposer, snapshot)
    assert ["kato_gauge_0", "kato_gauge_1"] == encoded


def test_what_has_changed_is_rendered_before_the_scrape(encoded: list[str]) -> None:
    """The snapshot's maker renders it, in the formats asked for; the scrape renders nothing."""
    exposer = Exposer()
    snapshot = exposer.prepare([gauge(0), gauge(1)], ())
    body_of(exposer, snapshot)
    exposer.expose(snapshot, accept=OPENMETRICS, compress=True)
    encoded.clear()
    snapshot = exposer.prepare([gauge(0), gauge(1, value=2)], snapshot)
    assert ["kato_gauge_1"] * 2 == encoded
    assert b'kato_gauge_1{kb="kb0",pattern="p"} 2.0\n' in body_of(exposer, snapshot)
    exposer.expose(snapshot, accept=OPENMETRICS, compress=True)
    assert ["kato_gauge_1"] * 2 == encoded


def test_families_that_nobody_prepared_are_rendered_each_time(encoded: list[str]) -> None:
    """What is collected on the scrape may be changed by its owner."""
    exposer = Exposer()
    family = gauge()
    body_of(exposer, [family])
    family.samples.pop()
    assert expected([family], "") == body_of(exposer, [family])
    assert ["kato_gauge_0"] * 2 == encoded


def test_a_format_not_asked_for_lately_is_forgotten(
    encoded: list[str], wait: Callable[[float], None]
) -> None:
    """After ten minutes a snapshot is not rendered for it, and its bytes are given back."""
    exposer = Exposer()
    snapshot = exposer.prepare([gauge()], ())
    body_of(exposer, snapshot)
    body_of(exposer, snapshot, OPENMETRICS)
    wait(9 * MINUTE)
    body_of(exposer, snapshot)
    wait(2 * MINUTE)
    snapshot = exposer.prepare([gauge()], snapshot)
    encoded.clear()
    body_of(exposer, snapshot)
    assert [] == encoded
    body_of(exposer, snapshot, OPENMETRICS)
    assert ["kato_gauge_0"] == encoded


def test_no_choice_of_headers_fills_the_memory() -> None:
    """However many spellings of Accept there are, a family is kept in twenty forms at most."""
    exposer = Exposer()
    [family] = exposer.prepare([gauge()], ())
    spellings = product(
        ("text/plain", "application/openmetrics-text"),
        ("", "1.0.0", "1.1.0 escaping=dots", *(f"2.{minor}" for minor in range(20))),
        ("", "allow-utf-8", "underscores", "dots", "values", "x", "underscores=x"),
        (False, True),
    )
    for media_type, version, escaping, compress in spellings:
        accept = f"{media_type};version={version};escaping={escaping}"
        body = exposer.expose([family], accept=accept, compress=compress).body
        assert expected([family], accept) == (inflate(body) if compress else body), accept
    assert len(vars(family)["parts"]) <= 20


@pytest.mark.parametrize("version", ["x", "1.0.0x", "", ".", "1.x.0", "-1", "1.0.0 escaping=dots"])
def test_a_version_that_is_none_is_answered_with_text(version: str) -> None:
    """A client that speaks nonsense gets an exposition in a format that every client reads."""
    found = Exposer().expose([gauge()], accept=f"text/plain;version={version}", compress=False)
    assert "text/plain; version=0.0.4; charset=utf-8" == found.headers["Content-Type"]
    assert expected([gauge()], "") == found.body


def test_a_snapshot_that_has_been_replaced_is_given_back() -> None:
    """Only the last snapshot is in memory, whichever formats were asked for."""
    exposer = Exposer()
    snapshot = exposer.prepare([gauge(value=1)], ())
    body_of(exposer, snapshot)
    old = ref(snapshot[0])
    snapshot = exposer.prepare([gauge(value=2)], snapshot)
    gc.collect()
    assert old() is None
    assert b" 2.0\n" in body_of(exposer, snapshot)


def test_scrapes_at_once_see_whole_snapshots() -> None:
    """While snapshots are replaced, each scrape in each format shows all of one of them."""
    exposer = Exposer()
    shown = [exposer.prepare([gauge(0), gauge(1)], ())]
    bodies = {
        accept: [expected([gauge(0), gauge(1, value)], accept) for value in range(60)]
        for accept in ACCEPTED
    }

    def scrape(accept: str) -> Iterator[bytes]:
        last = 0
        while last < 60:
            last = len(shown)
            yield inflate(exposer.expose(shown[-1], accept=accept, compress=True).body)

    def scrapes(accept: str) -> bool:
        return all(body in bodies[accept] for body in scrape(accept))

    with ThreadPoolExecutor(8) as pool:
        scraping = [pool.submit(scrapes, accept) for accept in ACCEPTED * 2]
        for value in range(1, 60):
            shown.append(exposer.prepare([gauge(0), gauge(1, value)], shown[-1]))
        assert [True] * 8 == [each.result() for each in scraping]


def test_openmetrics_ends_once_and_parses() -> None:
    """`# EOF` is the last line and no other, whether or not the last family is a steady one."""
    exposer = Exposer()
    snapshot = exposer.prepare([gauge(0), gauge(1)], ())
    for families in (snapshot, [*snapshot, gauge(2)], []):
        text = body_of(exposer, families, OPENMETRICS).decode()
        assert 1 == text.count("# EOF")
        assert text.endswith("# EOF\n")
        parsed = parse_openmetrics(text)  # type: ignore[no-untyped-call]
        assert len(families) == len(list(parsed))


def test_no_family_is_declared_twice() -> None:
    """OpenMetrics wants each family in one piece; its name is that without the type's suffix."""
    declared = re.findall(r"^\| `(\w+?)(?:_total|_info)?` \|", metrics_page(), re.MULTILINE)
    names = [*declared, *(family.name for family in REGISTRY.collect())]
    assert "kato_sessions_created" in names
    assert "process_cpu_seconds" in names
    assert [] == [name for name, count in Counter(names).items() if count > 1]
