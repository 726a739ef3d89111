"""A knowledge base without its documents: its collections, with their options and indexes, as BSON.

The description is a document whose field `collections` holds for each its `name`, `type`,
`options` and `indexes`, just as MongoDB tells them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.mongodb.bson_elements import (
    BsonType,
    BsonValue,
    document_of,
    elements,
    field_of,
)
from kato_exporter.stores.mongodb.bson_parts import text_of
from kato_exporter.stores.mongodb.places import text
from kato_exporter.stores.mongodb.writing import MAJORITY, RAW, raw

COLLECTION = "collection"
VIEW = "view"

_EMPTY = BsonValue(BsonType.OBJECT, document_of(()))
_ID_INDEX = "_id_"
_VALIDATION = ("validator", "validationLevel", "validationAction")


@dataclass(frozen=True, slots=True)
class DescribedCollection:
    """A collection or view, by its name, with MongoDB's options and definitions of indexes."""

    name: str
    type: str
    options: bytes
    indexes: tuple[bytes, ...]

    @property
    def value(self) -> BsonValue:
        """Give it as BSON."""
        return BsonValue(
            BsonType.OBJECT,
            document_of(
                [
                    ("name", text(self.name)),
                    ("type", text(self.type)),
                    ("options", BsonValue(BsonType.OBJECT, self.options)),
                    ("indexes", _array(self.indexes)),
                ]
            ),
        )

    @property
    def validation(self) -> list[tuple[str, BsonValue]]:
        """Give what documents have to be like, as `collMod` takes it."""
        told = dict(elements(self.options))
        usual = {
            "validator": _EMPTY,
            "validationLevel": text("strict"),
            "validationAction": text("error"),
        }
        return [(name, told.get(name, usual[name])) for name in _VALIDATION]


def described(database: Database[RawBSONDocument]) -> list[DescribedCollection]:
    """Ask for all collections and views; `system.*` are MongoDB's own and left out.

    Raises QueryError where there is something that is not made again by its description.
    """
    with database.cursor_command("listCollections", codec_options=RAW) as found:
        told = [bytes(each.raw) for each in found]
    return [collection for each in told if (collection := _described(database, each)) is not None]


def written(collections: list[DescribedCollection]) -> bytes:
    """Write a description."""
    entries = document_of((str(n), each.value) for n, each in enumerate(collections))
    return document_of([("collections", BsonValue(BsonType.ARRAY, entries))])


def read(description: bytes) -> Iterator[DescribedCollection]:
    """Read a description."""
    collections = field_of(description, "collections")
    for _, each in elements(collections.data) if collections else ():
        fields = dict(elements(each.data))
        yield DescribedCollection(
            name=text_of(fields["name"].data),
            type=text_of(fields["type"].data),
            options=fields["options"].data,
            indexes=tuple(index.data for _, index in elements(fields["indexes"].data)),
        )


def create(database: Database[RawBSONDocument], collection: DescribedCollection) -> None:
    """Make a collection or view, without its indexes."""
    _command(database, "create", collection.name, list(elements(collection.options)))


def create_indexes(database: Database[RawBSONDocument], collection: DescribedCollection) -> None:
    """Make the indexes of a collection; those that are there already stay."""
    if collection.indexes:
        indexes = _array([_with_collation(index) for index in collection.indexes])
        _command(database, "createIndexes", collection.name, [("indexes", indexes)])


def refuse_documents(database: Database[RawBSONDocument], collection: str) -> None:
    """Let a collection take no document any more, until `accept_documents`."""
    nothing = document_of([("$nor", BsonValue(BsonType.ARRAY, document_of([("0", _EMPTY)])))])
    told = DescribedCollection(collection, COLLECTION, document_of(()), ()).validation
    validator = ("validator", BsonValue(BsonType.OBJECT, nothing))
    _command(database, "collMod", collection, [validator, *told[1:]])


def accept_documents(database: Database[RawBSONDocument], collection: DescribedCollection) -> None:
    """Let a collection take the documents that it took when it was described."""
    _command(database, "collMod", collection.name, collection.validation)


def _described(database: Database[RawBSONDocument], told: bytes) -> DescribedCollection | None:
    fields = dict(elements(told))
    name = text_of(fields["name"].data)
    kind = text_of(fields["type"].data) if "type" in fields else COLLECTION
    if name == "system.js":
        raise QueryError(f"{database.name} has functions of the server's (system.js), not KATO's")
    if name.startswith("system."):
        return None
    if kind not in (COLLECTION, VIEW):
        raise QueryError(f"{name} is a {kind}, which cannot be made again as it is")
    options = fields.get("options", _EMPTY).data
    return DescribedCollection(name, kind, options, tuple(_indexes(database, name, kind)))


def _indexes(database: Database[RawBSONDocument], name: str, kind: str) -> Iterator[bytes]:
    if kind != COLLECTION:
        return
    with database.cursor_command("listIndexes", name, codec_options=RAW) as found:
        for index in found:
            fields = [field for field in elements(bytes(index.raw)) if field[0] != "ns"]
            made_with_it = {"clustered"} & dict(fields).keys()
            if not made_with_it and text_of(dict(fields)["name"].data) != _ID_INDEX:
                yield document_of(fields)


def _command(
    database: Database[RawBSONDocument],
    command: str,
    collection: str,
    fields: list[tuple[str, BsonValue]],
) -> None:
    told = raw(document_of(fields))
    database.command({command: collection, **told, "writeConcern": MAJORITY.document})


def _with_collation(index: bytes) -> bytes:
    """Say that an index without a collation has none, lest it takes its collection's."""
    fields = dict(elements(index))
    simple = BsonValue(BsonType.OBJECT, document_of([("locale", text("simple"))]))
    return document_of({"collation": simple, **fields}.items())


def _array(documents: Sequence[bytes]) -> BsonValue:
    entries = ((str(n), BsonValue(BsonType.OBJECT, each)) for n, each in enumerate(documents))
    return BsonValue(BsonType.ARRAY, document_of(entries))
