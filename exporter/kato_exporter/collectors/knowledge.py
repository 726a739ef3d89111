"""How much each knowledge base holds and has lost, from metadata."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import Metric

from kato_exporter.collectors.collector import Collection, most_series
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.collectors.inquiry import Inquiry
from kato_exporter.collectors.loss_ledger import LossLedger
from kato_exporter.collectors.selection import OTHER, Selection
from kato_exporter.kato import knowledge as kato
from kato_exporter.kato.knowledge import Totals
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.knowledge import KnowledgeReader, KnowledgeSize

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
PATTERNS_LOST = Family(
    name="kato_patterns_lost_total",
    kind=Kind.COUNTER,
    help="Patterns by which kato_patterns was seen to go down, whoever removed them; "
    "a knowledge base that is gone has lost all.",
    labels=("kb",),
)
SYMBOLS = _per_kb("kato_symbols", "Distinct symbols (documents in symbols_kb).")
PREDICTIONS = _per_kb(
    "kato_predictions",
    "Predictions kept (documents in predictions_kb); KATO never removes any.",
)
DOCUMENTS = Family(
    name="kato_kb_documents",
    kind=Kind.GAUGE,
    help="Documents in each of KATO's collections, by MongoDB's metadata; "
    "`other` is what else the database holds.",
    labels=("kb", "collection"),
)
DATA = _per_kb("kato_kb_data_bytes", "Size of all documents, uncompressed (dbStats, dataSize).")
STORAGE = _per_kb(
    "kato_kb_storage_bytes",
    "Disk space allotted to documents, compressed, free space within included "
    "(dbStats, storageSize).",
)
INDEXES = _per_kb("kato_kb_index_bytes", "Disk space allotted to indexes (dbStats, indexSize).")
TOTALS_PATTERNS = _per_kb(
    "kato_totals_pattern_frequencies",
    "KATO's own running total of what it learned, relearning included "
    "(metadata, total_pattern_frequencies); kato_pattern_observations is the counted truth.",
)
TOTALS_SYMBOLS = _per_kb(
    "kato_totals_symbol_frequencies",
    "KATO's own running total of symbols in what it learned (metadata, total_symbol_frequencies); "
    "kato_symbol_occurrences is the counted truth.",
)
TOTALS_SYMBOLS_IN_PATTERNS = _per_kb(
    "kato_totals_symbols_in_patterns_frequencies",
    "KATO's own running total of distinct symbols in what it learned "
    "(metadata, total_symbols_in_patterns_frequencies).",
)

_UNKNOWN_DOCUMENTS: Mapping[str, int | None] = dict.fromkeys((*kato.COLLECTIONS, OTHER))
_UNKNOWN_SIZE = KnowledgeSize(data_bytes=None, storage_bytes=None, index_bytes=None)
_UNKNOWN_TOTALS = Totals(None, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holdings:
    """What one knowledge base holds; `label` is its name, or `other`."""

    label: str
    documents: Mapping[str, int | None]
    size: KnowledgeSize
    totals: Totals | None

    def count(self, collection: str) -> int | None:
        """Count the documents of a collection; it is made when it is first needed."""
        return self.documents.get(collection, 0)


class KnowledgeCollector:
    """Counts, sizes and KATO's own totals of every knowledge base.

    kato_knowledge_bases 3
    kato_patterns{kb="alice_kato"} 12
    kato_patterns_lost_total{kb="alice_kato"} 0
    kato_kb_documents{kb="alice_kato",collection="symbols_kb"} 31
    kato_kb_storage_bytes{kb="alice_kato"} 102400
    kato_totals_pattern_frequencies{kb="alice_kato"} 12
    """

    name = "knowledge"
    store = "mongodb"
    families: Sequence[Family] = (
        KNOWLEDGE_BASES,
        PATTERNS,
        PATTERNS_LOST,
        SYMBOLS,
        PREDICTIONS,
        DOCUMENTS,
        DATA,
        STORAGE,
        INDEXES,
        TOTALS_PATTERNS,
        TOTALS_SYMBOLS,
        TOTALS_SYMBOLS_IN_PATTERNS,
    )
    skip_reasons: Sequence[str] = ("totals",)

    def __init__(self, reader: KnowledgeReader, *, most_kbs: int) -> None:
        self._reader = reader
        self._selection = Selection(most_kbs)
        self._losses = LossLedger(most_kbs)
        self.label_limits: Mapping[str, int] = {
            "kb": most_kbs + 1,
            "collection": len(_UNKNOWN_DOCUMENTS),
        }

    def collect(self, deadline: Deadline) -> Collection:
        """Ask about each knowledge base, one after the other."""
        kbs = self._reader.knowledge_bases()
        kept = self._selection.of(kbs)
        inquiry = Inquiry(deadline)
        held = {kb: self._holdings(inquiry, kb, kb if kb in kept else OTHER) for kb in kbs}
        self._losses.observe({kb: holdings.count(kato.PATTERNS) for kb, holdings in held.items()})
        per_kb = most_series(self.families[1:], {"collection": len(_UNKNOWN_DOCUMENTS)})
        return Collection(
            families=[
                KNOWLEDGE_BASES.sample(len(kbs)),
                PATTERNS_LOST.samples(((kb,), lost) for kb, lost in self._losses.lost.items()),
                *_families(list(held.values())),
            ],
            skipped={"totals": sum(_is_odd(holdings.totals) for holdings in held.values())},
            dropped=(len(kbs) - len(kept)) * per_kb,
            failures=inquiry.failures,
        )

    def _holdings(self, inquiry: Inquiry, kb: str, label: str) -> _Holdings:
        reader = self._reader
        return _Holdings(
            label=label,
            documents=inquiry.ask(reader.documents, kb, unanswered=_UNKNOWN_DOCUMENTS),
            size=inquiry.ask(reader.size, kb, unanswered=_UNKNOWN_SIZE),
            totals=inquiry.ask(reader.totals, kb, unanswered=_UNKNOWN_TOTALS),
        )


def _families(held: Sequence[_Holdings]) -> Iterator[Metric]:
    for family, collection in (
        (PATTERNS, kato.PATTERNS),
        (SYMBOLS, kato.SYMBOLS),
        (PREDICTIONS, kato.PREDICTIONS),
    ):
        yield family.sums(((kb.label,), kb.count(collection)) for kb in held)
    yield DOCUMENTS.sums(
        ((kb.label, name if name in kato.COLLECTIONS else OTHER), count)
        for kb in held
        for name, count in kb.documents.items()
    )
    yield DATA.sums(((kb.label,), kb.size.data_bytes) for kb in held)
    yield STORAGE.sums(((kb.label,), kb.size.storage_bytes) for kb in held)
    yield INDEXES.sums(((kb.label,), kb.size.index_bytes) for kb in held)
    kept = [(kb.label, kb.totals) for kb in held if kb.totals is not None]
    yield TOTALS_PATTERNS.sums(((kb,), totals.pattern_frequencies) for kb, totals in kept)
    yield TOTALS_SYMBOLS.sums(((kb,), totals.symbol_frequencies) for kb, totals in kept)
    yield TOTALS_SYMBOLS_IN_PATTERNS.sums(
        ((kb,), totals.symbols_in_patterns_frequencies) for kb, totals in kept
    )


def _is_odd(totals: Totals | None) -> bool:
    """Tell whether totals were read of which some is no integer."""
    return totals not in (None, _UNKNOWN_TOTALS) and None in (
        totals.pattern_frequencies,
        totals.symbol_frequencies,
        totals.symbols_in_patterns_frequencies,
    )
