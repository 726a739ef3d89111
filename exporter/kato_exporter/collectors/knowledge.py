"""How much each knowledge base holds, from metadata."""

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import Metric

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.collectors.selection import OTHER, Selection
from kato_exporter.kato.knowledge import Totals
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.knowledge import KnowledgeCounts, KnowledgeReader

KNOWLEDGE_BASES = Family(
    name="kato_knowledge_bases",
    kind=Kind.GAUGE,
    help="Knowledge bases: databases with a collection whose name ends in _kb.",
)


def _per_kb(name: str, text: str) -> Family:
    return Family(name=name, kind=Kind.GAUGE, help=text, labels=("kb",))


PATTERNS = _per_kb(
    "kato_patterns",
    "Patterns learned: documents in patterns_kb, by MongoDB's metadata, which a crash of mongod "
    "can set back; kato_pattern_frequency_distribution_gcount counts them one by one.",
)
SYMBOLS = _per_kb("kato_symbols", "Distinct symbols (documents in symbols_kb).")
PREDICTIONS = _per_kb(
    "kato_predictions",
    "Predictions kept (documents in predictions_kb); KATO never removes any.",
)
TOTALS_PATTERNS = _per_kb(
    "kato_totals_pattern_frequencies",
    "KATO's own running total of what it learned, relearning included "
    "(metadata, total_pattern_frequencies).",
)
TOTALS_SYMBOLS = _per_kb(
    "kato_totals_symbol_frequencies",
    "KATO's own running total of symbols in what it learned (metadata, total_symbol_frequencies).",
)
TOTALS_SYMBOLS_IN_PATTERNS = _per_kb(
    "kato_totals_symbols_in_patterns_frequencies",
    "KATO's own running total of distinct symbols in what it learned "
    "(metadata, total_symbols_in_patterns_frequencies).",
)


class KnowledgeCollector:
    """Counts and KATO's own totals of every knowledge base.

    kato_knowledge_bases 3
    kato_patterns{kb="alice_kato"} 12
    kato_totals_pattern_frequencies{kb="alice_kato"} 12
    """

    name = "knowledge"
    store = "mongodb"
    families: Sequence[Family] = (
        KNOWLEDGE_BASES,
        PATTERNS,
        SYMBOLS,
        PREDICTIONS,
        TOTALS_PATTERNS,
        TOTALS_SYMBOLS,
        TOTALS_SYMBOLS_IN_PATTERNS,
    )
    skip_reasons: Sequence[str] = ("totals",)

    def __init__(self, reader: KnowledgeReader, *, most_kbs: int) -> None:
        self._reader = reader
        self._selection = Selection(most_kbs)
        self.label_limits: Mapping[str, int] = {"kb": most_kbs + 1}

    def collect(self, deadline: Deadline) -> Collection:
        """Ask for the counts of each knowledge base, one after the other."""
        kbs = self._reader.knowledge_bases()
        kept = self._selection.of(kbs)
        counts: list[tuple[str, KnowledgeCounts]] = []
        totals: list[tuple[str, Totals]] = []
        failures: list[str] = []
        unusable_totals = 0
        for kb in kbs:
            if deadline.expired:
                failures.append(f"{kb} and what follows it: out of time")
                break
            label = kb if kb in kept else OTHER
            try:
                counts.append((label, self._reader.counts(kb)))
                found = self._reader.totals(kb)
            except QueryError as error:
                failures.append(f"{kb}: {error}")
                continue
            if found is not None:
                totals.append((label, found))
                unusable_totals += None in (
                    found.pattern_frequencies,
                    found.symbol_frequencies,
                    found.symbols_in_patterns_frequencies,
                )
        return Collection(
            families=[
                KNOWLEDGE_BASES.sample(len(kbs)),
                *_count_families(counts),
                *_totals_families(totals),
            ],
            skipped={"totals": unusable_totals},
            dropped=(len(kbs) - len(kept)) * (len(self.families) - 1),
            failures=failures,
        )


def _count_families(counts: Sequence[tuple[str, KnowledgeCounts]]) -> Iterator[Metric]:
    yield PATTERNS.sums((kb, found.patterns) for kb, found in counts)
    yield SYMBOLS.sums((kb, found.symbols) for kb, found in counts)
    yield PREDICTIONS.sums((kb, found.predictions) for kb, found in counts)


def _totals_families(totals: Sequence[tuple[str, Totals]]) -> Iterator[Metric]:
    yield TOTALS_PATTERNS.sums((kb, found.pattern_frequencies) for kb, found in totals)
    yield TOTALS_SYMBOLS.sums((kb, found.symbol_frequencies) for kb, found in totals)
    yield TOTALS_SYMBOLS_IN_PATTERNS.sums(
        (kb, found.symbols_in_patterns_frequencies) for kb, found in totals
    )
