"""KATO 2's patterns in MongoDB, each question bounded however many there are."""

from collections.abc import Sequence
from typing import Any

import pymongo
from pymongo.errors import InvalidName

from kato_exporter.kato.knowledge import PATTERNS, SYMBOLS, SYSTEM_DATABASES
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.mongodb.connection import (
    Client,
    Document,
    MongoConnection,
    NotPermittedError,
)
from kato_exporter.stores.mongodb.index_walk import reading_any_value
from kato_exporter.stores.mongodb.pattern_conditions import (
    frequency_conditions,
    name_conditions,
)
from kato_exporter.stores.mongodb.pattern_listing import PatternListing
from kato_exporter.stores.mongodb.pattern_rows import read_row, row_projection, small_values
from kato_exporter.stores.patterns import (
    BoundedCount,
    Key,
    KnowledgeBasePage,
    Order,
    PatternFilter,
    PatternPage,
    PatternRow,
    SymbolFacts,
)

MOST_COUNTED = 10_000

_INVALID_NAMESPACE = 73


class MongoPatterns:
    """Reads patterns as PatternReader says."""

    def __init__(self, connection: MongoConnection) -> None:
        self._connection = connection

    def knowledge_base_page(self, prefix: str, start: str | None, limit: int) -> KnowledgeBasePage:
        """Name databases that have a collection named `*_kb`; ask one question for each."""
        deadline = Deadline.after(self._connection.query_timeout)
        with self._connection.asking() as client:
            databases = client.list_database_names()
        if not databases:  # every server has databases of its own, so these are kept from us
            raise QueryError("not permitted to read any database")
        names: list[str] = []
        unreadable = 0
        following = stopped = None
        candidates = (
            name
            for name in sorted(set(databases) - SYSTEM_DATABASES)
            if name.startswith(prefix) and (start is None or name >= start)
        )
        for position, name in enumerate(candidates):
            if position and deadline.expired:
                following = name
                stopped = f"Time was up after {self._connection.query_timeout:g} s."
                break
            try:
                found = self.is_knowledge_base(name)
            except NotPermittedError:
                found = False
                unreadable += 1
            if found and len(names) == limit:
                following = name
                break
            if found:
                names.append(name)
        return KnowledgeBasePage(
            names=tuple(names), following=following, stopped=stopped, unreadable=unreadable
        )

    def is_knowledge_base(self, kb: str) -> bool:
        """Ask for the database's collections; false of MongoDB's own databases."""
        if kb in SYSTEM_DATABASES:
            return False
        try:
            with self._connection.asking() as client:
                names = _collections(client, kb)
        except QueryError as error:
            if error.code == _INVALID_NAMESPACE:
                return False
            raise
        return any(name.endswith("_kb") for name in names)

    def page(
        self, kb: str, order: Order, wanted: PatternFilter, start: Key | None, limit: int
    ) -> PatternPage:
        """Give the page of a PatternListing."""
        deadline = Deadline.after(self._connection.query_timeout)
        return PatternListing(self._connection, kb, order, wanted, deadline).page(start, limit)

    def count(self, kb: str, wanted: PatternFilter) -> BoundedCount | None:
        """Count the keys of one index to at most MOST_COUNTED; None where one does not do."""
        conditions = [*name_conditions(wanted), *frequency_conditions(wanted)]
        if wanted.symbol is not None or len(conditions) != 1:
            return None
        return self._bounded_count(kb, conditions[0])

    def pattern(self, kb: str, name: str) -> Document | None:
        """Find by name, with KATO's unique index."""
        with self._connection.asking() as client:
            return reading_any_value(client[kb][PATTERNS]).find_one({"name": {"$eq": name}})

    def more_frequent(self, kb: str, frequency: float) -> BoundedCount:
        """Count the keys of the index on frequency above one, to at most MOST_COUNTED."""
        return self._bounded_count(kb, {"frequency": {"$gt": frequency}})

    def symbols(self, kb: str, names: Sequence[str]) -> dict[str, SymbolFacts]:
        """Find by name, with KATO's unique index."""
        fields = ("_id", "frequency", "pattern_member_frequency")
        projection: Document = {"_id": False, "name": True, "values": small_values(fields)}
        with self._connection.asking() as client:
            documents = list(
                reading_any_value(client[kb][SYMBOLS]).find(
                    {"name": {"$in": list(names)}}, projection, limit=len(names)
                )
            )
        return {
            document["name"]: SymbolFacts(
                identity=document["values"].get("_id"),
                frequency=document["values"].get("frequency"),
                pattern_member_frequency=document["values"].get("pattern_member_frequency"),
            )
            for document in documents
            if isinstance(document["name"], str)
        }

    def with_event(self, kb: str, event: Sequence[Any], limit: int) -> tuple[PatternRow, ...]:
        """Look an event up in KATO's index on `pattern_data`, which has a key for each."""
        with self._connection.asking() as client:
            documents = list(
                reading_any_value(client[kb][PATTERNS]).find(
                    {"pattern_data": {"$elemMatch": {"$eq": list(event)}}},
                    row_projection(),
                    sort={"name": pymongo.ASCENDING},
                    limit=limit,
                )
            )
        return tuple(map(read_row, documents))

    def _bounded_count(self, kb: str, condition: Document) -> BoundedCount:
        with self._connection.asking() as client:
            number = client[kb][PATTERNS].count_documents(condition, limit=MOST_COUNTED + 1)
        return BoundedCount(min(number, MOST_COUNTED), number > MOST_COUNTED)


def _collections(client: Client, database: str) -> list[str]:
    try:
        return client[database].list_collection_names()
    except InvalidName:
        return []
