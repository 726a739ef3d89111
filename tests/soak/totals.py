"""What the exporter must tell of the stores once the workload has stopped, and what it tells."""

from collections.abc import Mapping
from typing import Any

from pymongo import MongoClient

from kato_exporter.demo.shapes import Document, vector_collection
from kato_exporter.demo.workload import VECTOR_SYMBOLS, KnowledgeTruth
from kato_exporter.kato.knowledge import PATTERNS, PREDICTIONS, SYMBOLS
from support.exposition import Samples

Totals = dict[str, dict[str, float]]
"""Of each metric the values by knowledge base, or by collection of Qdrant."""


def due(knowledge_bases: Mapping[str, KnowledgeTruth]) -> Totals:
    """Reckon it from the workload's truth; nothing is ever lost."""
    of_kbs = {kb: _of_knowledge_base(truth) for kb, truth in knowledge_bases.items()}
    names = next(iter(of_kbs.values()))
    totals = {name: {kb: of_kbs[kb][name] for kb in of_kbs} for name in names}
    vectors = [vector_collection(kb)["collection_name"] for kb in of_kbs]
    return totals | {
        "kato_qdrant_points": dict.fromkeys(vectors, float(len(VECTOR_SYMBOLS))),
        "kato_patterns_lost_total": dict.fromkeys(of_kbs, 0.0),
        "kato_qdrant_points_lost_total": dict.fromkeys(vectors, 0.0),
    }


def told(samples: Samples, names: Totals) -> Totals:
    """Take the same metrics from a scrape."""
    return {name: samples.by("collection" if "qdrant" in name else "kb", name) for name in names}


def in_mongodb(mongo: MongoClient[Document], kb: str) -> dict[str, float]:
    """Count a knowledge base in MongoDB itself, document by document."""
    patterns, symbols = mongo[kb][PATTERNS], mongo[kb][SYMBOLS]
    return {
        "kato_patterns": patterns.count_documents({}),
        "kato_symbols": symbols.count_documents({}),
        "kato_predictions": mongo[kb][PREDICTIONS].count_documents({}),
        "kato_pattern_observations": _sum_of_frequencies(patterns),
        "kato_symbol_occurrences": _sum_of_frequencies(symbols),
    }


def _of_knowledge_base(truth: KnowledgeTruth) -> dict[str, float]:
    return {
        "kato_patterns": len(truth.patterns),
        "kato_pattern_frequency_distribution_gcount": len(truth.patterns),
        "kato_pattern_length_distribution_gcount": len(truth.patterns),
        "kato_pattern_length_distribution_gsum": sum(
            learned.pattern.length for learned in truth.patterns.values()
        ),
        "kato_symbols": len(truth.symbols),
        "kato_predictions": truth.predictions,
        "kato_pattern_observations": truth.learnings,
        "kato_symbol_occurrences": truth.symbol_occurrences,
        "kato_totals_pattern_frequencies": truth.learnings,
        "kato_totals_symbol_frequencies": truth.symbol_occurrences,
        "kato_totals_symbols_in_patterns_frequencies": truth.symbol_memberships,
    }


def _sum_of_frequencies(collection: Any) -> float:
    stages = [{"$group": {"_id": None, "sum": {"$sum": "$frequency"}}}]
    [total] = collection.aggregate(stages)
    return float(total["sum"])
