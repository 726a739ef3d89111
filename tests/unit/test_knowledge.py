"""The collectors of knowledge, with a reader that holds what each test says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from kato_exporter.collectors.collector import Collection, Collector, most_series
from kato_exporter.collectors.knowledge import KnowledgeCollector
from kato_exporter.collectors.patterns import PatternLengthsCollector, PatternsCollector
from kato_exporter.kato.distribution import Distribution
from kato_exporter.kato.knowledge import (
    FREQUENCY_BOUNDS,
    LENGTH_BOUNDS,
    METADATA,
    PATTERNS,
    PREDICTIONS,
    SYMBOLS,
    MeasuredDistribution,
    PatternFrequency,
    Totals,
)
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.knowledge import KnowledgeSize
from support.exposition import Samples

T = TypeVar("T")

SOON = 60.0


SMALL = KnowledgeSize(data_bytes=1, storage_bytes=2, index_bytes=3)
TOTALS = Totals(1, 2, 3)


@dataclass(slots=True)
class Held:
    """One knowledge base of the stub; what is None is refused."""

    documents: Mapping[str, int | None] | None = field(default_factory=dict)
    size: KnowledgeSize | None = SMALL
    totals: Totals | None = TOTALS
    top: Sequence[PatternFrequency] | None = ()
    frequencies: Sequence[float] | None = ()
    lengths: Sequence[float] | None = ()
    occurrences: float | None = 0.0


@dataclass(slots=True)
class StubReader:
    """A stub of a KnowledgeReader."""

    held: dict[str, Held]
    down: bool = False

    def knowledge_bases(self) -> list[str]:
        """Name all."""
        if self.down:
            raise StoreError("down")
        return sorted(self.held)

    def documents(self, kb: str) -> Mapping[str, int | None]:
        """Give what is held."""
        return _or_refused(self.held[kb].documents)

    def size(self, kb: str) -> KnowledgeSize:
        """Give what is held."""
        return _or_refused(self.held[kb].size)

    def totals(self, kb: str) -> Totals | None:
        """Give what is held."""
        return _or_refused(self.held[kb].totals)

    def top_patterns(self, kb: str, limit: int) -> list[PatternFrequency]:
        """Give what is held."""
        return list(_or_refused(self.held[kb].top))[:limit]

    def frequency_distribution(self, kb: str) -> MeasuredDistribution:
        """Give what is held."""
        return _measured(FREQUENCY_BOUNDS, _or_refused(self.held[kb].frequencies))

    def length_distribution(self, kb: str) -> MeasuredDistribution:
        """Give what is held."""
        return _measured(LENGTH_BOUNDS, _or_refused(self.held[kb].lengths))

    def symbol_occurrences(self, kb: str) -> float:
        """Give what is held."""
        return _or_refused(self.held[kb].occurrences)


def _or_refused(held: T | None) -> T:
    if held is None:
        raise QueryError("not permitted")
    return held


def _measured(bounds: Sequence[float], values: Sequence[float]) -> MeasuredDistribution:
    return MeasuredDistribution(Distribution.of(bounds, ((value, 1) for value in values)), 0)


def collected(collector: Collector, *, within: float = SOON) -> tuple[Collection, Samples]:
    """Collect once; give the collection, and its samples."""
    collection = collector.collect(Deadline.after(within))
    return collection, Samples.of_families(collection.families)


def patterns(number: int | None) -> Held:
    """Hold so many patterns; None: that cannot be told."""
    return Held(documents={PATTERNS: number})


def test_each_collection_has_its_documents() -> None:
    """KATO's collections by name, what else there is in one sum, what is not there not at all."""
    documents = {PATTERNS: 5, SYMBOLS: 7, METADATA: 1, "fs.files": 2, "notes": 3}
    _, samples = collected(
        KnowledgeCollector(StubReader({"a": Held(documents=documents)}), most_kbs=3)
    )

    assert {PATTERNS: 5, SYMBOLS: 7, METADATA: 1, "other": 5} == samples.by(
        "collection", "kato_kb_documents", kb="a"
    )
    assert 5 == samples.value("kato_patterns", kb="a")
    assert 7 == samples.value("kato_symbols", kb="a")
    assert 0 == samples.value("kato_predictions", kb="a")


def test_a_view_leaves_its_count_unknown() -> None:
    """What cannot be told is absent, beside what can."""
    held = Held(documents={PATTERNS: None, SYMBOLS: 7})
    collection, samples = collected(KnowledgeCollector(StubReader({"a": held}), most_kbs=3))

    assert samples.value("kato_patterns", kb="a") is None
    assert {SYMBOLS: 7} == samples.by("collection", "kato_kb_documents", kb="a")
    assert [] == list(collection.failures)


@pytest.mark.parametrize(
    ("refused", "absent", "told"),
    [
        ("documents", ("kato_patterns", "kato_kb_documents"), "kato_kb_data_bytes"),
        ("size", ("kato_kb_data_bytes", "kato_kb_index_bytes"), "kato_patterns"),
        ("totals", ("kato_totals_pattern_frequencies",), "kato_kb_storage_bytes"),
    ],
)
def test_one_refusal_stays_one(refused: str, absent: Sequence[str], told: str) -> None:
    """Of each knowledge base everything is told but what was refused."""
    kbs = {"a": patterns(1), "b": patterns(2)}
    setattr(kbs["a"], refused, None)
    collection, samples = collected(KnowledgeCollector(StubReader(kbs), most_kbs=3))

    assert ["a: not permitted"] == list(collection.failures)
    assert 0 == collection.skipped["totals"]
    for family in absent:
        assert samples.value(family, kb="a") is None
    assert {"a", "b"} == samples.by("kb", told).keys()


def test_the_rest_is_summed_up_and_unknown_if_a_part_is() -> None:
    """Beyond the limit there is `other`; a refusal in it makes the sum unknown, not smaller."""
    kbs = {kb: patterns(n) for n, kb in enumerate("abcd", start=1)}
    collector = KnowledgeCollector(StubReader(kbs), most_kbs=2)
    collection, samples = collected(collector)

    assert {"a": 1, "b": 2, "other": 7} == samples.by("kb", "kato_patterns")
    assert {"a": 3, "b": 3, "other": 6} == samples.by("kb", "kato_kb_index_bytes")
    assert 4 == samples.value("kato_knowledge_bases")
    assert collection.dropped > 0
    kbs["d"].documents = None
    _, samples = collected(collector)

    assert {"a": 1, "b": 2} == samples.by("kb", "kato_patterns")
    assert {"a": 3, "b": 3, "other": 6} == samples.by("kb", "kato_kb_index_bytes")


def test_odd_totals_are_skipped() -> None:
    """Totals of which one is no integer count as one record skipped; a missing document is none."""
    kbs = {"a": Held(totals=Totals(None, 2, 3)), "b": Held(totals=Totals(1, 2, 3))}
    collection, samples = collected(KnowledgeCollector(StubReader(kbs), most_kbs=3))

    assert {"totals": 1} == collection.skipped
    assert {"b": 1} == samples.by("kb", "kato_totals_pattern_frequencies")
    assert {"a": 2, "b": 2} == samples.by("kb", "kato_totals_symbol_frequencies")


def test_losses_are_counted_and_outlive_their_knowledge_base() -> None:
    """A decrease is a loss, a refusal is none, and what is gone has lost everything."""
    kbs = {"a": patterns(10), "b": patterns(5)}
    collector = KnowledgeCollector(StubReader(kbs), most_kbs=3)

    def lost() -> Mapping[str, float]:
        return collected(collector)[1].by("kb", "kato_patterns_lost_total")

    assert {"a": 0, "b": 0} == lost()
    kbs["a"] = patterns(7)
    kbs["b"] = patterns(9)
    assert {"a": 3, "b": 0} == lost()
    kbs["a"] = patterns(None)
    kbs["b"].documents = None
    assert {"a": 3, "b": 0} == lost()
    kbs["a"] = patterns(6)
    del kbs["b"]
    assert {"a": 4, "b": 9} == lost()


def test_knowledge_that_was_not_reached_in_time_is_not_lost() -> None:
    """At the deadline the rest stays unknown, with one line that says from where on."""
    kbs = {"a": patterns(10), "b": patterns(5)}
    collector = KnowledgeCollector(StubReader(kbs), most_kbs=3)
    collected(collector)
    collection, samples = collected(collector, within=0.0)

    assert ["a and what follows it: out of time"] == list(collection.failures)
    assert {"a": 0, "b": 0} == samples.by("kb", "kato_patterns_lost_total")
    assert {} == samples.by("kb", "kato_patterns")


def test_an_outage_is_no_loss() -> None:
    """When the store gives no answer there is no collection, and nothing is booked."""
    reader = StubReader({"a": patterns(10)})
    collector = KnowledgeCollector(reader, most_kbs=3)
    collected(collector)
    reader.down = True
    with pytest.raises(StoreError):
        collector.collect(Deadline.after(SOON))
    reader.down = False

    assert {"a": 0} == collected(collector)[1].by("kb", "kato_patterns_lost_total")


def test_patterns_and_lengths_stand_alone() -> None:
    """A refused reading of one kind leaves the other kinds, and the other knowledge bases."""
    name = "0" * 40
    whole = Held(top=[PatternFrequency(name, 4)], frequencies=[4], lengths=[3], occurrences=12.0)
    partly = Held(top=[PatternFrequency(name, 9)], frequencies=None, lengths=None, occurrences=7.0)
    reader = StubReader({"a": whole, "b": partly})
    collection, samples = collected(PatternsCollector(reader, most_kbs=3, most_patterns=2))
    _, lengths = collected(PatternLengthsCollector(reader, most_kbs=3))

    assert ["b: not permitted"] == list(collection.failures)
    assert {"a": 4, "b": 9} == samples.by("kb", "kato_pattern_frequency", pattern=name)
    assert {"a": 12, "b": 7} == samples.by("kb", "kato_symbol_occurrences")
    assert {"a": 4} == samples.by("kb", "kato_pattern_observations")
    assert {"a": 1} == lengths.by("kb", "kato_pattern_length_distribution_gcount")


def test_no_collector_makes_more_series_than_it_says() -> None:
    """With more knowledge bases, collections and patterns than allowed, the limits hold."""
    documents = dict.fromkeys((PATTERNS, SYMBOLS, PREDICTIONS, METADATA, "x", "y"), 1)
    held = Held(
        documents=documents,
        top=[PatternFrequency(f"{n:040x}", 5) for n in range(9)],
        frequencies=[1, 2],
        lengths=[2],
    )
    reader = StubReader({f"kb{n}": held for n in range(7)})
    collectors: list[Collector] = [
        KnowledgeCollector(reader, most_kbs=3),
        PatternsCollector(reader, most_kbs=3, most_patterns=2),
        PatternLengthsCollector(reader, most_kbs=3),
    ]
    for collector in collectors:
        collection, samples = collected(collector)

        assert len(samples.values) <= most_series(collector.families, collector.label_limits)
        assert collection.dropped > 0
