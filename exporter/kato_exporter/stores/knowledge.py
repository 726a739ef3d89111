"""How knowledge is read, whatever store holds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from kato_exporter.kato.knowledge import MeasuredDistribution, PatternFrequency, Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeSize:
    """How many bytes a knowledge base takes; None where that cannot be told.

    Of its records, of what the store has allotted to them, and of its indexes.
    """

    data_bytes: int | None
    storage_bytes: int | None
    index_bytes: int | None


class KnowledgeReader(Protocol):
    """Answers about knowledge bases.

    Every method raises QueryError where only this question has no answer, and StoreError where
    the store as a whole gives none.
    """

    def knowledge_bases(self) -> list[str]:
        """Name the knowledge bases, sorted."""

    def documents(self, kb: str) -> Mapping[str, int | None]:
        """Count the records of each collection from metadata; None where that cannot be told."""

    def size(self, kb: str) -> KnowledgeSize:
        """Tell from metadata how large it is."""

    def totals(self, kb: str) -> Totals | None:
        """Read the totals that KATO keeps of this knowledge base, None where it keeps none."""

    def top_patterns(self, kb: str, limit: int) -> list[PatternFrequency]:
        """Give the most frequent patterns, most frequent first, equals by name."""

    def frequency_distribution(self, kb: str) -> MeasuredDistribution:
        """Distribute all patterns by frequency over FREQUENCY_BOUNDS."""

    def length_distribution(self, kb: str) -> MeasuredDistribution:
        """Distribute all patterns by their number of symbols over LENGTH_BOUNDS."""

    def symbol_occurrences(self, kb: str) -> float:
        """Add up how often each symbol occurs in what was learned."""
