"""KATO 2's knowledge in MongoDB: one database per knowledge base."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import pymongo
from bson.decimal128 import Decimal128
from pymongo.collection import Collection

from kato_exporter.kato.distribution import Distribution
from kato_exporter.kato.knowledge import (
    FREQUENCY_BOUNDS,
    LENGTH_BOUNDS,
    METADATA,
    PATTERN_NAME,
    PATTERNS,
    SYMBOLS,
    SYSTEM_DATABASES,
    MeasuredDistribution,
    PatternFrequency,
    Totals,
    is_pattern_name,
)
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.knowledge import KnowledgeSize
from kato_exporter.stores.mongodb.connection import Document, MongoConnection

_NO_SUCH_COLLECTION = 26
_IS_A_VIEW = 166
_PARTIAL = frozenset({"partialFilterExpression", "sparse", "hidden"})
_UNUSABLE = "unusable"
_TOO_MANY = 2**63


class MongoKnowledge:
    """Reads knowledge as KnowledgeReader says."""

    def __init__(self, connection: MongoConnection) -> None:
        self._connection = connection

    def knowledge_bases(self) -> list[str]:
        """Name the databases that have a collection whose name ends in `_kb`, sorted."""
        with self._connection.asking() as client:
            names = client.list_database_names()
        if not names:  # every server has databases of its own, so these are kept from us
            raise QueryError("not permitted to read any database")
        return sorted(
            name for name in names if name not in SYSTEM_DATABASES and self._holds_knowledge(name)
        )

    def documents(self, kb: str) -> dict[str, int | None]:
        """Ask `$collStats` for the count of each collection; a view has none.

        On a sharded cluster the counts include orphaned documents.
        """
        with self._connection.asking() as client:
            names = client[kb].list_collection_names()
        return {
            name: self._count(kb, name) for name in sorted(names) if not name.startswith("system.")
        }

    def size(self, kb: str) -> KnowledgeSize:
        """Ask `dbStats`."""
        with self._connection.asking() as client:
            stats = client[kb].command("dbStats", read_preference=client.read_preference)
        return KnowledgeSize(
            data_bytes=_bytes(stats.get("dataSize")),
            storage_bytes=_bytes(stats.get("storageSize")),
            index_bytes=_bytes(stats.get("indexSize")),
        )

    def totals(self, kb: str) -> Totals | None:
        """Read the document of class `totals` in `metadata`."""
        with self._connection.asking() as client:
            document = client[kb][METADATA].find_one({"class": "totals"})
        if document is None:
            return None
        return Totals(
            pattern_frequencies=_integer(document.get("total_pattern_frequencies")),
            symbol_frequencies=_integer(document.get("total_symbol_frequencies")),
            symbols_in_patterns_frequencies=_integer(
                document.get("total_symbols_in_patterns_frequencies")
            ),
        )

    def top_patterns(self, kb: str, limit: int) -> list[PatternFrequency]:
        """Walk the index (`frequency` desc, `name`) from its start; documents are not read.

        Documents whose name or frequency KATO cannot have written are left out.
        """
        with self._connection.asking() as client:
            documents = client[kb][PATTERNS].find(
                {
                    "frequency": {"$gte": 1, "$lt": math.inf},
                    "name": {"$regex": PATTERN_NAME.pattern},
                },
                {"_id": False, "name": True, "frequency": True},
                sort=[("frequency", pymongo.DESCENDING), ("name", pymongo.ASCENDING)],
                limit=2 * limit,
            )
            found = {
                document["name"]: PatternFrequency(document["name"], int(document["frequency"]))
                for document in documents
                if isinstance(document["frequency"], int | float)
                and is_pattern_name(document["name"])
                and 1 <= document["frequency"] < math.inf
            }
        return list(found.values())[:limit]

    def frequency_distribution(self, kb: str) -> MeasuredDistribution:
        """Read the index on `frequency` through, where KATO's is there."""
        return self._distribution(kb, "frequency", FREQUENCY_BOUNDS)

    def length_distribution(self, kb: str) -> MeasuredDistribution:
        """Read all patterns' `length` through; KATO has no index on it."""
        return self._distribution(kb, "length", LENGTH_BOUNDS)

    def symbol_occurrences(self, kb: str) -> float:
        """Add up `frequency` of all symbols, by the index on it where KATO's is there.

        What KATO cannot have written is left out.
        """
        pipeline: list[Mapping[str, Any]] = [
            {"$match": {"frequency": {"$gte": 1, "$lt": math.inf}}},
            {"$group": {"_id": None, "total": {"$sum": "$frequency"}}},
        ]
        with self._connection.asking(self._connection.query_timeout) as client:
            collection = client[kb][SYMBOLS]
            hint = self._hint_for(collection, "frequency")
            sums = [_total(found["total"]) for found in collection.aggregate(pipeline, **hint)]
        return sums[0] if sums else 0.0

    def _holds_knowledge(self, database: str) -> bool:
        with self._connection.asking() as client:
            collections = client[database].list_collection_names()
        return any(name.endswith("_kb") for name in collections)

    def _count(self, kb: str, collection: str) -> int | None:
        """Count documents, of all shards: 0 if it is gone meanwhile, None where it is a view."""
        try:
            with self._connection.asking() as client:
                shards = client[kb][collection].aggregate([{"$collStats": {"count": {}}}])
                return sum(_count(shard["count"]) for shard in shards)
        except QueryError as error:
            if error.code == _NO_SUCH_COLLECTION:
                return 0
            if error.code == _IS_A_VIEW:
                return None
            raise

    def _distribution(self, kb: str, field: str, bounds: Sequence[float]) -> MeasuredDistribution:
        """Let the server sort the values into buckets whose upper bounds belong to them."""
        edges = [1.0, *(math.nextafter(bound, math.inf) for bound in bounds), math.inf]
        pipeline: list[Mapping[str, Any]] = [
            {"$project": {"_id": False, field: True}},
            {
                "$bucket": {
                    "groupBy": f"${field}",
                    "boundaries": edges,
                    "default": _UNUSABLE,
                    "output": {"patterns": {"$sum": 1}, "total": {"$sum": f"${field}"}},
                }
            },
        ]
        with self._connection.asking(self._connection.query_timeout) as client:
            collection = client[kb][PATTERNS]
            hint = self._hint_for(collection, field)
            buckets = {bucket["_id"]: bucket for bucket in collection.aggregate(pipeline, **hint)}
            usable = [buckets.get(edge, {"patterns": 0, "total": 0}) for edge in edges[:-1]]
            return MeasuredDistribution(
                Distribution(
                    tuple(bounds),
                    tuple(_count(bucket["patterns"]) for bucket in usable),
                    _total(sum(_total(bucket["total"]) for bucket in usable)),
                ),
                unusable=_count(buckets.get(_UNUSABLE, {}).get("patterns", 0)),
            )

    @staticmethod
    def _hint_for(collection: Collection[Document], field: str) -> dict[str, Any]:
        """Point to an index of all documents that holds the field alone or before the name."""
        for name, index in collection.index_information().items():
            fields = [key for key, _ in index["key"]]
            whole = not _PARTIAL.intersection(index)
            if whole and fields in ([field], [field, "name"]):
                return {"hint": name}
        return {}


def _count(value: object) -> int:
    """Read a count, which a mongos may give as a double; TypeError for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _TOO_MANY:
        raise TypeError(f"{value!r} is no count")
    return int(value)


def _total(value: object) -> float:
    """Read a sum of counts; TypeError for what is none."""
    total = value.to_decimal() if isinstance(value, Decimal128) else value
    known = isinstance(total, int | float | Decimal) and not isinstance(total, bool)
    found = float(cast("float", total)) if known else math.nan
    if not 0 <= found < math.inf:
        raise TypeError(f"{value!r} is no sum")
    return found


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _bytes(value: object) -> int | None:
    try:
        return _count(value)
    except TypeError:
        return None
