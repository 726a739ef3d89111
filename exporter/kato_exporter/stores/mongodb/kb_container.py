"""A knowledge base as something that holds documents and goes with them: MongoDB's database.

It goes collection by collection. Each takes no document any more before it is looked at for the
last time, so that what KATO learns meanwhile is not lost with it.
"""

from collections.abc import Iterator, Sequence

from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from pymongo.errors import OperationFailure

from kato_exporter.kato.knowledge import METADATA, SYSTEM_DATABASES
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, field_of
from kato_exporter.stores.mongodb.bson_parts import int_of
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.id_index import BY_ID, document
from kato_exporter.stores.mongodb.kb_description import (
    COLLECTION,
    DescribedCollection,
    accept_documents,
    create,
    create_indexes,
    described,
    read,
    refuse_documents,
    written,
)
from kato_exporter.stores.mongodb.places import (
    Place,
    check_knowledge_base,
    may_be_database,
)
from kato_exporter.stores.mongodb.records import (
    LARGEST_AT_ONCE,
    MongoRecords,
    collection_kinds,
)
from kato_exporter.stores.mongodb.writing import NOT_PERMITTED, RAW, primary, writing
from kato_exporter.stores.records import Outcome, Snapshot

_LOOKED_AT = 1_000


class KnowledgeBaseDocuments(MongoRecords):
    """Changes all documents of a knowledge base that goes: KATO's totals go with their patterns.

    Only a container's operation may use this kind; `settle` has nothing to do.
    """

    name = "knowledge base document"
    of_container = True

    def replace(self, snapshot: Snapshot, content: bytes) -> Outcome:
        """Refuse: a knowledge base is not edited."""
        del snapshot, content
        raise QueryError("a document is edited as what it is, not as a part of a knowledge base")


class KnowledgeBaseContainer:
    """Does with a knowledge base what Container says.

    Every method raises NotChangeableError for a database that is no knowledge base.
    """

    def __init__(self, connection: MongoConnection, kb: str, kind: KnowledgeBaseDocuments) -> None:
        self._connection = connection
        self._kb = kb
        self.kind = kind

    def describe(self) -> bytes | None:
        """Give its collections with their options and indexes; None where there is none."""
        if not may_be_database(self._kb):
            return None
        with writing(self._connection) as client:
            collections = self._described(primary(client, self._kb))
        return written(collections) if collections else None

    def locators(self, at_once: int) -> Iterator[list[bytes]]:
        """Name its documents, collection by collection, those of `metadata` last.

        A portion is smaller where its documents are large.
        """
        with writing(self._connection) as client:
            collections = self._described(primary(client, self._kb))
        names = [each.name for each in collections if each.type == COLLECTION]
        for name in sorted(names, key=lambda name: (name == METADATA, name)):
            yield from self._locators(name, at_once)

    def count(self) -> int | None:
        """Add up what MongoDB knows of each collection without a look at its documents."""
        try:
            with writing(self._connection) as client:
                database = primary(client, self._kb)
                return sum(
                    int(database.command({"count": each.name})["n"])
                    for each in self._described(database)
                    if each.type == COLLECTION
                )
        except QueryError:
            return None

    def remove(self) -> bool:
        """Drop all collections where all are empty; False where there is a document.

        Those of KATO's, by which it is a knowledge base, go last. Where the account may not let a
        collection refuse documents, one written in the very moment goes with it.
        """
        with writing(self._connection) as client:
            database = primary(client, self._kb)
            collections = self._described(database)
            if any(_holds_documents(database, each) for each in collections):
                return False
            for collection in sorted(collections, key=lambda each: each.name.endswith("_kb")):
                if not _drop(database, collection):
                    return False
            left = collection_kinds(database)
            if any(not name.startswith("system.") for name in left):
                return False
            if left and collections:
                client.drop_database(self._kb)
        return True

    def make(self, description: bytes) -> Outcome:
        """Make its collections with their indexes.

        TAKEN where there is a document, or a collection that is not described: what was begun is
        made whole, so that it can be asked again.
        """
        wanted = list(read(description))
        names = {each.name for each in wanted}
        with writing(self._connection) as client:
            database = primary(client, self._kb)
            present = {each.name: each for each in self._described(database)}
            if present.keys() - names or any(
                _holds_documents(database, each) for each in present.values()
            ):
                return Outcome.TAKEN
            for collection in wanted:
                if collection.name not in present:
                    create(database, collection)
                elif collection.validation != present[collection.name].validation:
                    accept_documents(database, collection)
                create_indexes(database, collection)
        return Outcome.DONE

    def _described(self, database: Database[RawBSONDocument]) -> list[DescribedCollection]:
        collections = described(database)
        if collections or self._kb in SYSTEM_DATABASES:
            check_knowledge_base(self._kb, [each.name for each in collections])
        return collections

    def _locators(self, collection: str, at_once: int) -> Iterator[list[bytes]]:
        portion: list[bytes] = []
        size = 0
        below: BsonValue | None = None
        while rows := self._rows(collection, below):
            for identity, length in rows:
                if portion and (len(portion) == at_once or size + length > LARGEST_AT_ONCE):
                    yield portion
                    portion, size = [], 0
                portion.append(Place(self._kb, collection, identity).locator)
                size += length
                below = identity
        if portion:
            yield portion

    def _rows(self, collection: str, below: BsonValue | None) -> Sequence[tuple[BsonValue, int]]:
        """Give the greatest `_id`s below one, each with the size of its document."""
        if below is not None and below.type is BsonType.MIN_KEY:
            return ()
        question = {
            "find": collection,
            "projection": {"_id": 1, "size": {"$bsonSize": "$$ROOT"}},
            "hint": BY_ID,
            "sort": {"_id": -1},
            "limit": _LOOKED_AT,
            "batchSize": _LOOKED_AT,
            "singleBatch": True,
            **({"max": document(_id=below)} if below else {}),
        }
        with writing(self._connection) as client:
            answer = primary(client, self._kb).command(question, codec_options=RAW)
        return [_row(bytes(each.raw)) for each in answer["cursor"]["firstBatch"]]


def _row(found: bytes) -> tuple[BsonValue, int]:
    identity, size = field_of(found, "_id"), field_of(found, "size")
    if identity is None:
        raise QueryError("a document without _id")
    return identity, int_of(size.data) if size and size.type is BsonType.INT else 0


def _holds_documents(database: Database[RawBSONDocument], collection: DescribedCollection) -> bool:
    if collection.type != COLLECTION:
        return False
    return database[collection.name].find_one({}, {"_id": True}) is not None


def _drop(database: Database[RawBSONDocument], collection: DescribedCollection) -> bool:
    """Drop a collection; False, and it takes documents again, where there is one by now."""
    if collection.type == COLLECTION:
        try:
            refuse_documents(database, collection.name)
        except OperationFailure as error:
            if error.code != NOT_PERMITTED:
                raise
        if _holds_documents(database, collection):
            accept_documents(database, collection)
            return False
    database.drop_collection(collection.name)
    return True
