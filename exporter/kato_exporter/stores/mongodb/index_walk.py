"""Walks along an index, from key to key, whatever types the keys have.

A range in a filter (`$lt`) matches values of its own type only, so a page that began with one would
lose all others. `min` and `max` bound the index itself, in the order of all BSON values.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bson.codec_options import DatetimeConversion
from bson.max_key import MaxKey
from bson.min_key import MinKey
from pymongo.collection import Collection

from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.mongodb.connection import Document, MongoConnection

Key = Sequence[Any]
Fields = Mapping[str, int]
"""The fields of an index in their order, each with 1 for ascending or -1 for descending."""

LOWEST: Any = MinKey()
HIGHEST: Any = MaxKey()

_TIME_IS_UP = 50
_UNUSABLE = frozenset({"partialFilterExpression", "sparse", "hidden", "collation"})


class IndexWalk:
    """One collection in the order of one of its indexes.

    What is an array in one of the fields stands at several places of an index, so it is left out;
    `arrays` names the fields where there are such.

    Between `begin` and `end`, keys of the index: the first belongs to the walk, the last does not.
    """

    def __init__(  # noqa: PLR0913 - each is a fact of the walk
        self,
        connection: MongoConnection,
        namespace: tuple[str, str],
        index: str,
        fields: Fields,
        *,
        begin: Key | None = None,
        end: Key | None = None,
        deadline: Deadline,
    ) -> None:
        self._connection = connection
        self._database, self._collection = namespace
        self._index = index
        self._fields = fields
        self._begin = begin
        self._end = end
        self._deadline = deadline
        self.arrays = tuple(field for field in self._many_keyed() if field in fields)

    def read(
        self,
        begin: Key | None,
        end: Key | None,
        limit: int,
        *,
        wanted: Document,
        projection: Document,
    ) -> list[Document]:
        """Read the documents that are wanted from one key to before another, at most `limit`."""
        conditions = {"$and": [wanted, *without_arrays(self.arrays)]}
        return self._find(begin, end, filter=conditions, projection=projection, limit=limit)

    def key_after(self, begin: Key | None, keys: int) -> Key | None:
        """Give the key so many keys further on, None where the walk ends before.

        The index alone is read.
        """
        conditions = without_arrays(self.arrays)
        found = self._find(
            begin,
            None,
            filter={"$and": conditions} if conditions else {},
            projection={"_id": False, **dict.fromkeys(self._fields, True)},
            skip=keys,
            limit=1,
        )
        return [found[0].get(field) for field in self._fields] if found else None

    def _find(self, begin: Key | None, end: Key | None, **question: Any) -> list[Document]:
        begin, end = begin or self._begin, end or self._end
        if begin is not None:
            question["min"] = dict(zip(self._fields, begin, strict=True))
        if end is not None:
            question["max"] = dict(zip(self._fields, end, strict=True))
        with self._connection.asking(self._deadline.remaining) as client:
            if client.is_mongos:  # each shard walks by itself
                question["sort"] = self._fields
            collection = reading_any_value(client[self._database][self._collection])
            return list(collection.find(hint=self._index, **question))

    def _many_keyed(self) -> Iterator[str]:
        """Name the fields that hold an array in some document."""
        question = {"find": self._collection, "hint": self._index, "limit": 1}
        with self._connection.asking_by(self._deadline) as client:
            plan = client[self._database].command("explain", question, verbosity="queryPlanner")
        yield from _fields_with_arrays(plan)


def reading_any_value(collection: Collection[Document]) -> Collection[Document]:
    """Give a collection whose dates may lie in any year; they are in UTC."""
    options = collection.codec_options.with_options(
        datetime_conversion=DatetimeConversion.DATETIME_AUTO, tz_aware=True
    )
    return collection.with_options(codec_options=options)


def index_along(collection: Collection[Document], fields: Fields) -> str | None:
    """Name the index of all documents that has exactly these fields, None where there is none."""
    for name, index in collection.index_information().items():
        if index["key"] == list(fields.items()) and not _UNUSABLE.intersection(index):
            return name
    return None


def without_arrays(fields: Sequence[str]) -> list[Document]:
    """Make conditions that hold where no field is an array."""
    return [{field: {"$not": {"$type": "array"}}} for field in fields]


def time_is_up(error: StoreError, deadline: Deadline) -> bool:
    """Tell whether a question had no answer because it would have taken too long."""
    return deadline.expired or (isinstance(error, QueryError) and error.code == _TIME_IS_UP)


def _fields_with_arrays(plan: object) -> Iterator[str]:
    if isinstance(plan, Mapping):
        paths = plan.get("multiKeyPaths")
        if isinstance(paths, Mapping):
            yield from (field for field, arrays in paths.items() if arrays)
        else:
            for part in plan.values():
                yield from _fields_with_arrays(part)
    elif isinstance(plan, list):
        for part in plan:
            yield from _fields_with_arrays(part)
