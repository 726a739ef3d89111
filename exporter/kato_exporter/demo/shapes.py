"""KATO 2's records, field by field: what it writes to Redis, MongoDB and Qdrant. No I/O.

Field names, their order, formats and index names are those of a KATO 2 at work. Points are those of
KATO 3, since KATO 2 makes a collection of vectors and never writes one.
"""

import json
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel, InsertOne, UpdateOne
from qdrant_client.models import Distance, HnswConfigDiff, PointStruct, VectorParams

from kato_exporter.kato.knowledge import (
    ASSOCIATIVE_ACTIONS,
    METADATA,
    PATTERNS,
    PREDICTIONS,
    SYMBOLS,
    pattern_name,
)
from kato_exporter.kato.vectors import VECTOR_NAME, point_of_symbol

Document = dict[str, Any]
Emotives = dict[str, float]
Write = UpdateOne | InsertOne[Document]

DEFAULT_TTL = 3600
"""How long a session lives where its creator does not say, in seconds."""

EMOTIVES_WINDOW = 5
"""How many of a pattern's last emotives KATO keeps (its setting `persistence`)."""

VECTOR_SIZE = 512

INDEXES: dict[str, list[IndexModel]] = {
    PATTERNS: [
        IndexModel([("name", ASCENDING)], background=True, unique=True),
        IndexModel([("frequency", DESCENDING), ("name", ASCENDING)], background=True),
        IndexModel([("pattern_data", ASCENDING), ("name", ASCENDING)], background=True),
    ],
    SYMBOLS: [
        IndexModel([("name", ASCENDING)], background=True, unique=True),
        IndexModel([("frequency", DESCENDING), ("name", ASCENDING)], background=True),
    ],
    PREDICTIONS: [
        IndexModel([("unique_id", ASCENDING), ("time", DESCENDING)], background=True),
    ],
    ASSOCIATIVE_ACTIONS: [IndexModel([("symbol", ASCENDING)], background=True)],
    METADATA: [],
}
"""The indexes of each of a knowledge base's collections, besides that of `_id`."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """What KATO learns: a sequence of events, each a list of symbols."""

    events: list[list[str]]

    @property
    def name(self) -> str:
        """The SHA-1 by which the stores know it."""
        return pattern_name(self.events)

    @property
    def symbols(self) -> list[str]:
        """All its symbols in order, repeated ones too."""
        return list(chain.from_iterable(self.events))

    @property
    def length(self) -> int:
        """The number of symbols over all events."""
        return len(self.symbols)


def timestamp(epoch: float) -> str:
    """Write a time, given in epoch seconds, as KATO does: ISO 8601 with +00:00."""
    return datetime.fromtimestamp(epoch, UTC).isoformat()


def session_id(uuid_hex: str, born: float) -> str:
    """Name a session from a UUID's 32 hex digits and its birth in epoch seconds."""
    return f"session-{uuid_hex}-{int(born * 1000)}"


def session_key(identity: str) -> str:
    """Give the Redis key under which a session lies."""
    return f"kato:session:{identity}"


def session_record(
    identity: str, node_id: str, *, born: float, ttl: int, metadata: Mapping[str, Any]
) -> Document:
    """Make a new session, as it lies in Redis after POST /sessions: empty STM, not yet used."""
    created = timestamp(born)
    return {
        "session_id": identity,
        "node_id": node_id,
        "created_at": created,
        "last_accessed": created,
        "expires_at": timestamp(born + ttl),
        "stm": [],
        "emotives_accumulator": [],
        "metadata_accumulator": [],
        "time": 0,
        "metadata": dict(metadata),
        "access_count": 0,
        "max_stm_size": 1000,
        "max_emotives_size": 1000,
        "max_metadata_size": 1000,
        "session_config": _session_config(identity, node_id, created),
    }


def _session_config(identity: str, node_id: str, created: str) -> Document:
    return {
        "max_pattern_length": None,
        "persistence": None,
        "recall_threshold": None,
        "stm_mode": None,
        "indexer_type": None,
        "max_predictions": None,
        "sort_symbols": None,
        "process_predictions": None,
        "session_id": identity,
        "node_id": node_id,
        "created_at": created,
        "updated_at": created,
        "version": 1,
    }


def session_text(record: Document) -> str:
    """Write a session as the value of its key."""
    return json.dumps(record)


def remaining_ttl(record: Document, now: float) -> int:
    """Give the whole seconds until a session's `expires_at`, at least 1: the ttl of its next SETEX.

    An update does not move `expires_at`: a session dies when it was promised to.
    """
    expires = datetime.fromisoformat(record["expires_at"]).timestamp()
    return max(1, int(expires - now))


def totals_document(object_id: ObjectId) -> Document:
    """Make the totals with which KATO begins a knowledge base."""
    return {
        "_id": object_id,
        "class": "totals",
        "total_pattern_frequencies": 0,
        "total_symbol_frequencies": 0,
        "total_symbols_in_patterns_frequencies": 0,
    }


def learn_pattern(
    object_id: ObjectId, pattern: Pattern, *, emotives: Emotives, metadata: Mapping[str, list[str]]
) -> UpdateOne:
    """Learn or relearn a pattern: frequency + 1, emotives into their window, metadata as a set.

    A pattern learned first without emotives holds `{}` there, and MongoDB then refuses (code 2)
    to relearn it with some; one learned with emotives holds an array. `object_id` is for a new one.
    """
    on_insert: Document = {
        "_id": object_id,
        "pattern_data": pattern.events,
        "length": pattern.length,
    }
    update: Document = {"$setOnInsert": on_insert, "$inc": {"frequency": 1}}
    if emotives:
        update["$push"] = {"emotives": {"$each": [emotives], "$slice": -EMOTIVES_WINDOW}}
    else:
        on_insert["emotives"] = {}
    if metadata:
        update["$addToSet"] = {
            f"metadata.{key}": {"$each": values} for key, values in metadata.items()
        }
    else:
        on_insert["metadata"] = {}
    return UpdateOne({"name": pattern.name}, update, upsert=True)


def learn_symbols(
    object_ids: Sequence[ObjectId], pattern: Pattern, *, emotives: Emotives
) -> list[UpdateOne]:
    """Count a learned pattern's symbols: occurrences, membership + 1, emotives as running sums.

    `object_ids` are for new symbols, one for each distinct symbol of the pattern.
    """
    sums = {f"emotives.{emotive}": value for emotive, value in emotives.items()}
    occurrences = Counter(pattern.symbols)
    return [
        UpdateOne(
            {"name": symbol},
            {
                "$setOnInsert": {"_id": object_id},
                "$inc": {"pattern_member_frequency": 1, "frequency": times, **sums},
            },
            upsert=True,
        )
        for object_id, (symbol, times) in zip(object_ids, occurrences.items(), strict=True)
    ]


def count_learning(pattern: Pattern) -> UpdateOne:
    """Add a learned pattern to the totals, be it new or known.

    + 1 to the pattern frequencies, + its symbols with repetitions to the symbol frequencies, and
    + its distinct symbols to those in patterns.
    """
    increments = {
        "total_pattern_frequencies": 1,
        "total_symbol_frequencies": pattern.length,
        "total_symbols_in_patterns_frequencies": len(set(pattern.symbols)),
    }
    return UpdateOne({"class": "totals"}, {"$inc": increments})


def replace_emotives(pattern: Pattern, emotives: Mapping[str, list[float]]) -> UpdateOne:
    """Edit a pattern's emotives as KATO's update_pattern does: to an object of arrays."""
    return UpdateOne({"name": pattern.name}, {"$set": {"emotives": dict(emotives)}})


def mean_emotives(emotives: object) -> Emotives:
    """Average a pattern's stored emotives, whichever of the three shapes they have."""
    if isinstance(emotives, Mapping):
        return {emotive: sum(values) / len(values) for emotive, values in emotives.items()}
    if not isinstance(emotives, Sequence):
        return {}
    values: dict[str, list[float]] = {}
    for entry in emotives:
        for emotive, value in entry.items():
            values.setdefault(emotive, []).append(value)
    return mean_emotives(values)


def prediction(  # noqa: PLR0913 - the facts that a prediction states
    pattern: Pattern,
    *,
    frequency: int,
    emotives: Emotives,
    observed: Sequence[Sequence[str]],
    matched: int,
    probability: float,
) -> Document:
    """Make the prediction that KATO stores when one observed event is one of a pattern's.

    `matched` is that event's index in the pattern; `probability` is the pattern's share in the
    frequencies of all patterns predicted together. The entropies, `global_...` too, and
    `itfdf_similarity` are only of the right order; all else is as KATO reckons it.
    """
    present = pattern.events[matched]
    future = pattern.events[matched + 1 :]
    extras = [[symbol for symbol in event if symbol not in present] for event in observed]
    seen = sum(map(len, observed))
    hits = len(present)
    misses = seen - hits
    similarity = 2 * hits / (pattern.length + seen)
    predictive_information = similarity if future else 0.0
    share = hits / seen
    entropy = -share * math.log2(share) or 0.0
    return {
        "type": "prototypical",
        "name": pattern.name,
        "frequency": frequency,
        "emotives": emotives,
        "matches": list(present),
        "past": pattern.events[:matched],
        "present": [present],
        "missing": [[]],
        "extras": extras,
        "potential": similarity * predictive_information,
        "evidence": hits / pattern.length,
        "similarity": similarity,
        "fragmentation": 0.0,
        "snr": (2 * hits - misses) / (2 * hits + misses),
        "entropy": 0.0,
        "normalized_entropy": entropy,
        "global_normalized_entropy": entropy / pattern.length,
        "confluence": 0.0,
        "predictive_information": predictive_information,
        "sequence": pattern.events,
        "future": future,
        "confidence": 1.0,
        "itfdf_similarity": 1 - (1 - probability) * similarity,
        "pattern_probability": probability,
        "weighted_strength": similarity * probability,
    }


def predictions_document(
    object_id: ObjectId, uuid_hex: str, predictions: list[Document]
) -> Document:
    """Make what KATO inserts for an observation that yields predictions."""
    return {"_id": object_id, "unique_id": f"obs-{uuid_hex}", "predictions": predictions}


def vector_collection(knowledge_base: str) -> Document:
    """Give the arguments with which KATO creates a knowledge base's Qdrant collection."""
    return {
        "collection_name": f"vectors_{knowledge_base}",
        "vectors_config": VectorParams(size=VECTOR_SIZE, distance=Distance.EUCLID),
        "hnsw_config": HnswConfigDiff(m=16, ef_construct=128, full_scan_threshold=10_000),
        "on_disk_payload": True,
    }


def vector_point(symbol: str) -> PointStruct:
    """Make the point of a vector's symbol; the vector is the same for the same symbol."""
    numbers = random.Random(symbol)  # noqa: S311 - reproducible data, not secrets
    return PointStruct(
        id=point_of_symbol(symbol),
        vector=[numbers.gauss(0, 1) for _ in range(VECTOR_SIZE)],
        payload={VECTOR_NAME: symbol},
    )
