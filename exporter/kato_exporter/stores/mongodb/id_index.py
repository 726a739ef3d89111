"""Walks one collection down the index on `_id`, from any place in it at the same price.

The order is MongoDB's over all types. Where to begin is told to the index itself by `max`, for
`$lt` would keep to values of one type.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.mongodb.bson_elements import (
    BsonType,
    BsonValue,
    document_of,
    field_of,
)
from kato_exporter.stores.mongodb.bson_parts import int_of
from kato_exporter.stores.mongodb.connection import MongoConnection

LONGEST_NAMED_ID = 300
"""The most bytes of an `_id` that a position names; longer ones are found by their digest."""

Filter = Mapping[str, Any]

BY_ID = {"_id": 1}

_RAW = CodecOptions(RawBSONDocument, unicode_decode_error_handler="replace")
_LOOKED_AT = 100


class PositionGoneError(QueryError):
    """The document that a page was to begin after is no longer there."""

    def __init__(self) -> None:
        super().__init__("the document that this page begins after is gone; begin at the first")


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two documents: right below the one with the `_id` that `below` tells.

    None is above all. Where there is a `digest`, it is right below the first document under
    `below` whose `_id` has this digest.
    """

    below: BsonValue | None = None
    digest: str | None = None

    def moved_below(self, identity: BsonValue) -> Self:
        """Give the place right below a document further down."""
        if len(identity.data) <= LONGEST_NAMED_ID:
            return type(self)(identity)
        return type(self)(self.below, digest_of(identity))


TOP = Position()


@dataclass(frozen=True, slots=True)
class Row:
    """A document's `_id`, its size in bytes, and itself where it was asked for."""

    identity: BsonValue
    size: int
    bson: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows in the order asked for; `more` where the server could not send all in one answer."""

    rows: list[Row]
    more: bool


class IdIndex:
    """The index on `_id` of a collection, for questions that end by a deadline."""

    def __init__(
        self, connection: MongoConnection, kb: str, collection: str, deadline: Deadline
    ) -> None:
        self._connection = connection
        self._kb = kb
        self._collection = collection
        self.deadline = deadline

    def within(self, share: float) -> Self:
        """Give the same index for questions that end within a share of the time that is left."""
        deadline = Deadline.after(share * self.deadline.remaining)
        return type(self)(self._connection, self._kb, self._collection, deadline)

    def rows(  # noqa: PLR0913 - as many bounds as a walk has
        self,
        limit: int,
        *,
        below: BsonValue | None = None,
        down_to: BsonValue | None = None,
        condition: Filter | None = None,
        skip: int = 0,
        sizes: bool = True,
    ) -> Batch:
        """Give documents below one `_id` and down to another and with it, the greatest first.

        Without a condition and sizes, only the index is read. Skips within the bounds.
        """
        if below is not None and below.type is BsonType.MIN_KEY:
            return Batch([], more=False)
        size = {"size": {"$bsonSize": "$$ROOT"}} if sizes else {}
        return self.find(
            {
                "projection": {"_id": 1, **size},
                "hint": BY_ID,
                "sort": {"_id": -1},
                "skip": skip,
                "limit": limit,
                "filter": condition or {},
                **({"max": document(_id=below)} if below else {}),
                **({"min": document(_id=down_to)} if down_to else {}),
            }
        )

    def start_of(self, position: Position) -> BsonValue | None:
        """Find the `_id` that a page begins below; None for the top."""
        below = position.below
        while position.digest is not None:
            batch = self.rows(_LOOKED_AT, below=below, sizes=False)
            for row in batch.rows:
                below = row.identity
                if digest_of(below) == position.digest:
                    return below
            if len(batch.rows) < _LOOKED_AT and not batch.more:
                raise PositionGoneError
        return below

    def find(self, parts: Mapping[str, Any]) -> Batch:
        """Ask `find` with these parts; one answer of the server's, of at most 16 MB."""
        command = {"find": self._collection, "batchSize": parts["limit"], **parts}
        with self._connection.asking(self.deadline.remaining) as client:
            database = client[self._kb]
            cursor = database.command(command, codec_options=_RAW)["cursor"]
            batch = [_row(bytes(found.raw)) for found in cursor["firstBatch"]]
            if cursor["id"]:
                database.command({"killCursors": self._collection, "cursors": [cursor["id"]]})
        return Batch(batch, more=bool(cursor["id"]))

    def indexes_on(self, field: str) -> list[str]:
        """Name the indexes of all documents whose order begins with a field."""
        with self._connection.asking(self.deadline.remaining) as client:
            indexes = client[self._kb][self._collection].index_information()
        return [name for name, index in indexes.items() if _serves(index, field)]


def document(**fields: BsonValue) -> RawBSONDocument:
    """Make a document to be sent as it is."""
    return RawBSONDocument(document_of(fields.items()))


def array(values: Sequence[BsonValue]) -> BsonValue:
    """Make an array."""
    entries = ((str(number), value) for number, value in enumerate(values))
    return BsonValue(BsonType.ARRAY, document_of(entries))


def digest_of(identity: BsonValue) -> str:
    """Give a short text that stands for an `_id`."""
    return hashlib.sha256(bytes([identity.type]) + identity.data).hexdigest()


_NOT_FOR_ALL = frozenset({"partialFilterExpression", "sparse", "hidden", "collation"})
_ORDERS = (1, -1)


def _serves(index: Mapping[str, Any], field: str) -> bool:
    first, order = index["key"][0]
    return first == field and order in _ORDERS and not _NOT_FOR_ALL.intersection(index)


def _row(found: bytes) -> Row:
    identity, size = field_of(found, "_id"), field_of(found, "size")
    if identity is None:
        raise QueryError("a document without _id")
    told = size is not None and size.type is BsonType.INT
    return Row(identity, int_of(size.data) if told and size else len(found), found)
