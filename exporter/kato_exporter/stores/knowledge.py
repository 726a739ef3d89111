"""How knowledge is read, whatever store holds it."""

from dataclasses import dataclass
from typing import Protocol

from kato_exporter.kato.knowledge import MeasuredDistribution, PatternFrequency, Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeCounts:
    """How many records of each kind a knowledge base holds; None where that cannot be told."""

    patterns: int | None
    symbols: int | None
    predictions: int | None


class KnowledgeReader(Protocol):
    """Answers about knowledge bases.

    Every method raises QueryError where only this question has no answer, and StoreError where
    the store as a whole gives none.
    """

    def knowledge_bases(self) -> list[str]:
        """Name the knowledge bases, sorted."""

    def counts(self, kb: str) -> KnowledgeCounts:
        """Count records from metadata, without a scan."""

    def totals(self, kb: str) -> Totals | None:
        """Read the totals that KATO keeps of this knowledge base, None where it keeps none."""

    def top_patterns(self, kb: str, limit: int) -> list[PatternFrequency]:
        """Give the most frequent patterns, most frequent first, equals by name."""

    def frequency_distribution(self, kb: str) -> MeasuredDistribution:
        """Distribute all patterns by frequency over FREQUENCY_BOUNDS."""

    def length_distribution(self, kb: str) -> MeasuredDistribution:
        """Distribute all patterns by their number of symbols over LENGTH_BOUNDS."""
