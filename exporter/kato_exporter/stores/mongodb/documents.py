"""The documents of any collection of a knowledge base, page by page, the greatest `_id` first.

Documents come as the bytes that MongoDB holds. A page without a condition costs the same wherever
it begins. With a condition on a field that an index tells few documents of, these are listed; else
the collection is walked in stretches until the page is full or the time is over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from bson.raw_bson import RawBSONDocument

from kato_exporter.kato.knowledge import SYSTEM_DATABASES
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, document_of
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.document_conditions import Condition
from kato_exporter.stores.mongodb.document_search import search
from kato_exporter.stores.mongodb.id_index import (
    TOP,
    IdIndex,
    Position,
    Row,
    array,
    document,
)

LARGEST_LISTED = 256 * 1024
"""Bytes of the largest document whose content a page of a listing reads."""

LARGEST_PAGE = 4 * 1024 * 1024
"""Bytes of all contents that one page of a listing reads."""

_NOT_IN_DATABASE_NAMES = frozenset(' .$/\\"\0')
_LONGEST_DATABASE_NAME = 63


@dataclass(frozen=True, slots=True)
class ListedDocument:
    """A document of a page: its `_id`, its size in bytes, and its content where that was read."""

    identity: BsonValue
    size: int
    bson: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentPage:
    """A page of documents, the greatest `_id` first.

    `next` is where the next page begins, None where there is none. `walked` tells how many
    documents were compared in whole stretches, None where the collection was not walked.
    `matches` is how many documents fit in all, where an index told. Where the time was over
    before the page was full, `cut` is True, and `next` is where to go on.
    """

    documents: tuple[ListedDocument, ...]
    next: Position | None
    walked: int | None
    matches: int | None
    cut: bool


class MongoDocuments:
    """Reads documents; `query_timeout` of the connection bounds the search for a page's."""

    def __init__(self, connection: MongoConnection) -> None:
        self._connection = connection

    @property
    def seconds(self) -> float:
        """The time limit of the search for a page."""
        return self._connection.query_timeout

    def collections(self, kb: str) -> dict[str, str] | None:
        """Name the collections with MongoDB's type of each; None where it is no knowledge base.

        MongoDB's own, `system.*`, are left out.
        """
        if not _may_be_database(kb):
            return None
        with (
            self._connection.asking() as client,
            client[kb].cursor_command("listCollections", nameOnly=True) as found,
        ):
            types = {each["name"]: str(each.get("type", "collection")) for each in found}
        if not any(name.endswith("_kb") for name in types):
            return None
        return {name: kind for name, kind in types.items() if not name.startswith("system.")}

    def count(self, kb: str, collection: str) -> int:
        """Ask how many documents a collection has, which MongoDB knows without a look at them."""
        with self._connection.asking() as client:
            return int(client[kb].command({"count": collection})["n"])

    def document(self, kb: str, collection: str, identity: BsonValue) -> bytes | None:
        """Give a document as MongoDB holds it; None where there is none of this `_id`."""
        index = self._index(kb, collection, self._connection.timeout)
        equal = BsonValue(BsonType.OBJECT, document_of([("$eq", identity)]))
        found = index.find({"filter": document(_id=equal), "limit": 1}).rows
        return found[0].bson if found else None

    def page(
        self,
        kb: str,
        collection: str,
        position: Position = TOP,
        *,
        rows: int,
        condition: Condition | None = None,
    ) -> DocumentPage:
        """Give the documents that fit a condition, below a position.

        Contents are read up to LARGEST_LISTED bytes each, and LARGEST_PAGE in all.
        """
        index = self._index(kb, collection, self._connection.query_timeout)
        result = search(index, position, rows, condition)
        return DocumentPage(
            documents=self._contents(kb, collection, result.rows),
            next=result.next,
            walked=result.walked,
            matches=result.matches,
            cut=result.cut,
        )

    def identities(
        self,
        kb: str,
        collection: str,
        position: Position,
        *,
        rows: int,
        condition: Condition | None,
    ) -> tuple[list[BsonValue], Position | None]:
        """Give no more than the `_id`s of a page, and where the next one begins."""
        index = self._index(kb, collection, self._connection.query_timeout)
        found = search(index, position, rows, condition)
        return [row.identity for row in found.rows], found.next

    def _contents(
        self, kb: str, collection: str, rows: Sequence[Row]
    ) -> tuple[ListedDocument, ...]:
        """Read what is not too large; documents that are gone meanwhile are left out."""
        small = [row for row in rows if row.size <= LARGEST_LISTED]
        sums = accumulate(row.size for row in small)
        read = [
            row.identity for row, total in zip(small, sums, strict=True) if total <= LARGEST_PAGE
        ]
        contents: dict[BsonValue, Row] = {}
        if read:
            index = self._index(kb, collection, self._connection.timeout)
            found = index.find({"filter": _one_of(read), "limit": len(read)}).rows
            contents = {row.identity: row for row in found}
        gone = set(read) - contents.keys()
        return tuple(
            ListedDocument(row.identity, contents[row.identity].size, contents[row.identity].bson)
            if row.identity in contents
            else ListedDocument(row.identity, row.size, None)
            for row in rows
            if row.identity not in gone
        )

    def _index(self, kb: str, collection: str, seconds: float) -> IdIndex:
        return IdIndex(self._connection, kb, collection, Deadline.after(seconds))


def _may_be_database(name: str) -> bool:
    return (
        0 < len(name.encode("utf-8", "replace")) <= _LONGEST_DATABASE_NAME
        and not _NOT_IN_DATABASE_NAMES.intersection(name)
        and name not in SYSTEM_DATABASES
    )


def _one_of(identities: Sequence[BsonValue]) -> RawBSONDocument:
    members = BsonValue(BsonType.OBJECT, document_of([("$in", array(identities))]))
    return document(_id=members)
