"""What dominates each knowledge base: its most frequent patterns, and how all of them lie."""

from collections.abc import Mapping, Sequence

from kato_exporter.collectors.collector import Collection, most_series
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.collectors.selection import Selection
from kato_exporter.kato.distribution import Distribution
from kato_exporter.kato.knowledge import (
    FREQUENCY_BOUNDS,
    LENGTH_BOUNDS,
    MeasuredDistribution,
    PatternFrequency,
)
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError
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


class PatternsCollector:
    """Top patterns and distributions of every knowledge base, which cost a scan each.

    kato_pattern_frequency{kb="alice_kato",pattern="a7938edb..."} 41
    kato_pattern_frequency_distribution_bucket{kb="alice_kato",le="5.0"} 9
    kato_pattern_length_distribution_gcount{kb="alice_kato"} 12
    kato_pattern_observations{kb="alice_kato"} 96
    """

    name = "patterns"
    store = "mongodb"
    families: Sequence[Family] = (FREQUENCY, FREQUENCIES, LENGTHS, OBSERVATIONS)
    skip_reasons: Sequence[str] = ("frequency", "length")

    def __init__(self, reader: KnowledgeReader, *, most_kbs: int, most_patterns: int) -> None:
        self._reader = reader
        self._most_patterns = most_patterns
        self._selection = Selection(most_kbs)
        self.label_limits: Mapping[str, int] = {"kb": most_kbs, "pattern": most_patterns}

    def collect(self, deadline: Deadline) -> Collection:
        """Read the patterns of each kept knowledge base through, one after the other."""
        kbs = self._reader.knowledge_bases()
        kept = self._selection.of(kbs)
        top: list[tuple[str, PatternFrequency]] = []
        frequencies: list[tuple[str, MeasuredDistribution]] = []
        lengths: list[tuple[str, MeasuredDistribution]] = []
        failures: list[str] = []
        for kb in sorted(kept):
            if deadline.expired:
                failures.append(f"{kb} and what follows it: out of time")
                break
            try:
                top += [(kb, found) for found in self._reader.top_patterns(kb, self._most_patterns)]
                frequencies.append((kb, self._reader.frequency_distribution(kb)))
                lengths.append((kb, self._reader.length_distribution(kb)))
            except QueryError as error:
                failures.append(f"{kb}: {error}")
        per_kb = most_series(self.families, {"pattern": self._most_patterns})
        return Collection(
            families=[
                FREQUENCY.samples(((kb, found.name), found.frequency) for kb, found in top),
                FREQUENCIES.distributions(_labelled(frequencies)),
                LENGTHS.distributions(_labelled(lengths)),
                OBSERVATIONS.samples(
                    ((kb,), found.distribution.total) for kb, found in frequencies
                ),
            ],
            skipped={
                "frequency": sum(found.unusable for _, found in frequencies),
                "length": sum(found.unusable for _, found in lengths),
            },
            dropped=(len(kbs) - len(kept)) * per_kb,
            failures=failures,
        )


def _labelled(
    found: Sequence[tuple[str, MeasuredDistribution]],
) -> list[tuple[Sequence[str], Distribution]]:
    return [((kb,), measured.distribution) for kb, measured in found]
