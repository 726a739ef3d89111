"""MongoDB as the store of KATO 2's knowledge: one database per knowledge base."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pymongo
from bson.decimal128 import Decimal128
from pymongo.collection import Collection
from pymongo.errors import OperationFailure, PyMongoError

from kato_exporter.kato.distribution import Distribution
from kato_exporter.kato.knowledge import (
    FREQUENCY_BOUNDS,
    LENGTH_BOUNDS,
    METADATA,
    PATTERN_NAME,
    PATTERNS,
    PREDICTIONS,
    SYMBOLS,
    SYSTEM_DATABASES,
    MeasuredDistribution,
    PatternFrequency,
    Totals,
)
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.knowledge import KnowledgeCounts
from kato_exporter.stores.store import StoreReport

Document = dict[str, Any]

_AUTHENTICATION_FAILED = 18
_DRIVER_DETAILS = re.compile(r" \(configured timeouts: [^)]*\)|, Timeout: .*")
_NO_SUCH_COLLECTION = 26
_IS_A_VIEW = 166
_PARTIAL = frozenset({"partialFilterExpression", "sparse", "hidden"})
_UNUSABLE = "unusable"


@contextmanager
def _mongodb_errors() -> Iterator[None]:
    try:
        yield
    except OperationFailure as error:
        message = (error.details or {}).get("errmsg", str(error))
        if error.code == _AUTHENTICATION_FAILED:
            raise StoreError(f"authentication failed: {message}") from error
        raise QueryError(str(message).partition("\n")[0], code=error.code) from error
    except PyMongoError as error:
        raise StoreError(_DRIVER_DETAILS.sub("", str(error))) from error


class MongoStore:
    """A mongod, replica set or mongos, by URL.

    `timeout` in seconds bounds the search for a server and every cheap question;
    `query_timeout` bounds each question that reads an index or a collection through, on the
    server too (`maxTimeMS`).
    """

    name = "mongodb"

    def __init__(self, url: str, *, timeout: float, query_timeout: float) -> None:
        milliseconds = int(timeout * 1000)
        self._timeout = timeout
        self._query_timeout = query_timeout
        self._client: pymongo.MongoClient[Document] = pymongo.MongoClient(
            url,
            appname="kato-exporter",
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            maxPoolSize=4,
            unicode_decode_error_handler="replace",
            connect=False,
        )
        self._seeds = url.partition("://")[2].partition("/")[0].rpartition("@")[2]

    @property
    def address(self) -> str:
        """Where it is, without user name, password or options."""
        return f"mongodb://{self._seeds}"

    def probe(self, deadline: Deadline) -> None:
        """Send `ping`; raise StoreError where no answer comes."""
        with _mongodb_errors(), pymongo.timeout(min(self._timeout, deadline.remaining)):
            self._client.admin.command("ping")

    def report(self) -> StoreReport:
        """Ask for the version and try what the collectors do; raise StoreError."""
        with _mongodb_errors(), pymongo.timeout(self._timeout):
            version = str(self._client.server_info()["version"])
        lacking = []
        try:
            for kb in self.knowledge_bases()[:1]:
                self.counts(kb)
                self.totals(kb)
                self.top_patterns(kb, 1)
        except QueryError as error:
            lacking.append(f"knowledge bases cannot be read: {error}")
        return StoreReport(version=f"MongoDB {version}", lacking=tuple(lacking))

    def knowledge_bases(self) -> list[str]:
        """Name the databases that have a collection whose name ends in `_kb`, sorted."""
        with _mongodb_errors(), pymongo.timeout(self._timeout):
            names = self._client.list_database_names()
        if not names:  # every server has databases of its own, so these are kept from us
            raise QueryError("not permitted to read any database")
        return sorted(
            name for name in names if name not in SYSTEM_DATABASES and self._holds_knowledge(name)
        )

    def counts(self, kb: str) -> KnowledgeCounts:
        """Ask `$collStats` for the counts that the collections' metadata hold."""
        return KnowledgeCounts(
            patterns=self._count(kb, PATTERNS),
            symbols=self._count(kb, SYMBOLS),
            predictions=self._count(kb, PREDICTIONS),
        )

    def totals(self, kb: str) -> Totals | None:
        """Read the document of class `totals` in `metadata`."""
        with _mongodb_errors(), pymongo.timeout(self._timeout):
            document = self._client[kb][METADATA].find_one({"class": "totals"})
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
        with _mongodb_errors(), pymongo.timeout(self._timeout):
            documents = self._client[kb][PATTERNS].find(
                {
                    "frequency": {"$gte": 1, "$lt": math.inf},
                    "name": {"$regex": PATTERN_NAME.pattern},
                },
                {"_id": False, "name": True, "frequency": True},
                sort=[("frequency", pymongo.DESCENDING), ("name", pymongo.ASCENDING)],
                limit=2 * limit,
            )
            found = [
                PatternFrequency(document["name"], int(document["frequency"]))
                for document in documents
                if isinstance(document["frequency"], int | float)
            ]
        return found[:limit]

    def frequency_distribution(self, kb: str) -> MeasuredDistribution:
        """Read the index on `frequency` through, where KATO's is there."""
        return self._distribution(kb, "frequency", FREQUENCY_BOUNDS)

    def length_distribution(self, kb: str) -> MeasuredDistribution:
        """Read all patterns' `length` through; KATO has no index on it."""
        return self._distribution(kb, "length", LENGTH_BOUNDS)

    def close(self) -> None:
        """Give back every connection."""
        self._client.close()

    def _holds_knowledge(self, database: str) -> bool:
        with _mongodb_errors(), pymongo.timeout(self._timeout):
            collections = self._client[database].list_collection_names()
        return any(name.endswith("_kb") for name in collections)

    def _count(self, kb: str, collection: str) -> int | None:
        """Count documents, of all shards: 0 without such a collection, None where it is a view."""
        try:
            with _mongodb_errors(), pymongo.timeout(self._timeout):
                shards = self._client[kb][collection].aggregate([{"$collStats": {"count": {}}}])
                return sum(int(shard["count"]) for shard in shards)
        except QueryError as error:
            if error.code == _NO_SUCH_COLLECTION:
                return 0
            if error.code == _IS_A_VIEW:
                return None
            raise

    def _distribution(self, kb: str, field: str, bounds: Sequence[float]) -> MeasuredDistribution:
        """Let the server sort the values into buckets whose upper bounds belong to them."""
        collection = self._client[kb][PATTERNS]
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
        with _mongodb_errors(), pymongo.timeout(self._query_timeout):
            hint = self._hint_for(collection, field)
            buckets = {bucket["_id"]: bucket for bucket in collection.aggregate(pipeline, **hint)}
        usable = [buckets.get(edge, {"patterns": 0, "total": 0}) for edge in edges[:-1]]
        return MeasuredDistribution(
            Distribution(
                tuple(bounds),
                tuple(bucket["patterns"] for bucket in usable),
                sum(_float(bucket["total"]) for bucket in usable),
            ),
            unusable=buckets.get(_UNUSABLE, {}).get("patterns", 0),
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


def _float(total: float | Decimal128) -> float:
    return float(total.to_decimal() if isinstance(total, Decimal128) else total)


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
