"""What a reading of all patterns tells of each knowledge base: what dominates it, and the truth."""

from collections.abc import Mapping, Sequence

from kato_exporter.collectors.collector import Collection, most_series
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.collectors.inquiry import Inquiry
from kato_exporter.collectors.selection import Selection
from kato_exporter.kato.distribution import Distribution
from kato_exporter.kato.knowledge import (
    FREQUENCY_BOUNDS,
    LENGTH_BOUNDS,
    MeasuredDistribution,
    PatternFrequency,
)
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.knowledge import KnowledgeReader

FREQUENCY = Family(
    name="kato_pattern_frequency",
    kind=Kind.GAUGE,
    help="How often a pattern was learned; the most frequent ones of each knowledge base.",
    labels=("kb", "pattern"),
)
FREQUENCIES = Family(
    name="kato_pattern_frequency_distribution",
    kind=Kind.GAUGE_HISTOGRAM,
    help="Patterns by how often they were learned.",
    labels=("kb",),
    bounds=FREQUENCY_BOUNDS,
)
LENGTHS = Family(
    name="kato_pattern_length_distribution",
    kind=Kind.GAUGE_HISTOGRAM,
    help="Patterns by their number of symbols over all events.",
    labels=("kb",),
    bounds=LENGTH_BOUNDS,
)
OBSERVATIONS = Family(
    name="kato_pattern_observations",
    kind=Kind.GAUGE,
    help="Sum of the frequencies of all patterns: how often anything was learned.",
    labels=("kb",),
)


SYMBOL_OCCURRENCES = Family(
    name="kato_symbol_occurrences",
    kind=Kind.GAUGE,
    help="Sum of the frequencies of all symbols: how often one occurred in what was learned.",
    labels=("kb",),
)


class PatternsCollector:
    """Top patterns, their distribution by frequency, and sums, which cost an index scan each.

    kato_pattern_frequency{kb="alice_kato",pattern="a7938edb..."} 41
    kato_pattern_frequency_distribution_bucket{kb="alice_kato",le="5.0"} 9
    kato_pattern_observations{kb="alice_kato"} 96
    kato_symbol_occurrences{kb="alice_kato"} 240
    """

    name = "patterns"
    store = "mongodb"
    families: Sequence[Family] = (FREQUENCY, FREQUENCIES, OBSERVATIONS, SYMBOL_OCCURRENCES)
    skip_reasons: Sequence[str] = ("frequency",)

    def __init__(self, reader: KnowledgeReader, *, most_kbs: int, most_patterns: int) -> None:
        self._reader = reader
        self._most_patterns = most_patterns
        self._selection = Selection(most_kbs)
        self.label_limits: Mapping[str, int] = {"kb": most_kbs, "pattern": most_patterns}

    def collect(self, deadline: Deadline) -> Collection:
        """Read the patterns of each kept knowledge base through, one after the other."""
        kbs = self._reader.knowledge_bases()
        kept = sorted(self._selection.of(kbs))
        inquiry = Inquiry(deadline)
        top: list[tuple[str, PatternFrequency]] = []
        frequencies: list[tuple[str, MeasuredDistribution]] = []
        occurrences: list[tuple[str, float | None]] = []
        for kb in kept:
            top += [(kb, found) for found in inquiry.ask(self._top, kb, unanswered=[])]
            measured = inquiry.ask(self._reader.frequency_distribution, kb, unanswered=None)
            if measured is not None:
                frequencies.append((kb, measured))
            occurrences.append(
                (kb, inquiry.ask(self._reader.symbol_occurrences, kb, unanswered=None))
            )
        per_kb = most_series(self.families, {"pattern": self._most_patterns})
        return Collection(
            families=[
                FREQUENCY.samples(((kb, found.name), found.frequency) for kb, found in top),
                FREQUENCIES.distributions(_labelled(frequencies)),
                OBSERVATIONS.samples(
                    ((kb,), found.distribution.total) for kb, found in frequencies
                ),
                SYMBOL_OCCURRENCES.samples(((kb,), found) for kb, found in occurrences),
            ],
            skipped={"frequency": sum(found.unusable for _, found in frequencies)},
            dropped=(len(kbs) - len(kept)) * per_kb,
            failures=inquiry.failures,
        )

    def _top(self, kb: str) -> list[PatternFrequency]:
        return self._reader.top_patterns(kb, self._most_patterns)


class PatternLengthsCollector:
    """The distribution of patterns by length; without an index on it, that reads all patterns.

    kato_pattern_length_distribution_gcount{kb="alice_kato"} 12
    """

    name = "pattern_lengths"
    store = "mongodb"
    families: Sequence[Family] = (LENGTHS,)
    skip_reasons: Sequence[str] = ("length",)

    def __init__(self, reader: KnowledgeReader, *, most_kbs: int) -> None:
        self._reader = reader
        self._selection = Selection(most_kbs)
        self.label_limits: Mapping[str, int] = {"kb": most_kbs}

    def collect(self, deadline: Deadline) -> Collection:
        """Read the lengths of each kept knowledge base through, one after the other."""
        kbs = self._reader.knowledge_bases()
        kept = sorted(self._selection.of(kbs))
        inquiry = Inquiry(deadline)
        asked = [
            (kb, inquiry.ask(self._reader.length_distribution, kb, unanswered=None)) for kb in kept
        ]
        lengths = [(kb, found) for kb, found in asked if found is not None]
        return Collection(
            families=[LENGTHS.distributions(_labelled(lengths))],
            skipped={"length": sum(found.unusable for _, found in lengths)},
            dropped=(len(kbs) - len(kept)) * most_series(self.families, {}),
            failures=inquiry.failures,
        )


def _labelled(
    found: Sequence[tuple[str, MeasuredDistribution]],
) -> list[tuple[Sequence[str], Distribution]]:
    return [((kb,), measured.distribution) for kb, measured in found]
