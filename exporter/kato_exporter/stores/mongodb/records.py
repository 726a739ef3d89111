"""Documents of knowledge bases as records that are changed: byte for byte, if unchanged.

A document's content is its BSON. Before a change it is read and compared byte for byte, and the
change itself has the whole old document in its filter.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteMany
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from kato_exporter.stores.errors import QueryError, part_of_a_change
from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, elements, field_of
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.places import (
    Place,
    check_collection,
    check_knowledge_base,
    place_of,
)
from kato_exporter.stores.mongodb.writing import (
    DUPLICATE_KEY,
    bulk_failure,
    one_of,
    primary,
    raw,
    unchanged,
    writing,
)
from kato_exporter.stores.records import Outcome, Snapshot

LARGEST_READ = 128 * 1024 * 1024
"""Bytes of all the documents that are read at once."""

LARGEST_EDIT = 16_000_000
"""Bytes of a document before and after an edit together: MongoDB must be told both."""

MOST_AT_ONCE = 1_000
LARGEST_AT_ONCE = 40_000_000
"""Documents, and bytes of them, that one message asks to delete or insert."""

_MOST_COMPARED = 64
_LARGEST_COMPARED = 4_000_000

Documents = Mapping[BsonValue, bytes]

_Identified = Sequence[tuple[BsonValue, bytes]]
_Change = Callable[[Collection[RawBSONDocument], _Identified], list[Outcome]]

_EMPTY_TIMESTAMP = BsonValue(BsonType.TIMESTAMP, bytes(8))


class MongoRecords:
    """Changes documents as RecordKind says; those of `metadata` and `patterns_kb` are refused.

    Where somebody else deletes a document in the very moment in which it is deleted here along
    with others, both are told that it is done.
    """

    name = "document"
    store = "mongodb"
    of_container = False
    at_once = MOST_AT_ONCE

    def __init__(
        self,
        connection: MongoConnection,
        *,
        label: Callable[[Place], str],
        path: Callable[[Place], str],
    ) -> None:
        self._connection = connection
        self._label = label
        self._path = path

    def label(self, locator: bytes) -> str:
        """Name a document for people."""
        return self._label(place_of(locator))

    def path(self, locator: bytes) -> str:
        """Give the path of a document's page."""
        return self._path(place_of(locator))

    def read(self, locators: Sequence[bytes]) -> list[Snapshot | None]:
        """Read documents from the primary; an `_id` of another type is another document."""
        places = [place_of(locator) for locator in locators]
        found: dict[tuple[str, str], Documents] = {}
        for (kb, collection), numbers in _by_collection(places).items():
            with writing(self._connection) as client:
                database = primary(client, kb)
                if self._is_there(database, collection):
                    identities = [places[number].identity for number in numbers]
                    found[kb, collection] = _documents(database[collection], identities)
        contents = (
            found.get((place.kb, place.collection), {}).get(place.identity) for place in places
        )
        return [
            None if content is None else Snapshot(locator, content)
            for locator, content in zip(locators, contents, strict=True)
        ]

    def delete(self, snapshots: Sequence[Snapshot]) -> list[Outcome]:
        """Delete the documents that still have this content.

        Raises QueryError, and deletes none, where one could not be put back as it is.
        """
        for snapshot in snapshots:
            _check_content(snapshot.content)
        return self._by_portions(snapshots, _delete, absent=Outcome.MISSING)

    def replace(self, snapshot: Snapshot, content: bytes) -> Outcome:
        """Give a document another content with the same `_id`, if it still has this one."""
        place = place_of(snapshot.locator)
        check_edit(snapshot.content, content)
        if next(elements(content), None) != ("_id", place.identity):
            raise QueryError("the first field has to be the _id, and that cannot be changed")
        with writing(self._connection) as client:
            database = primary(client, place.kb)
            if not self._is_there(database, place.collection):
                return Outcome.MISSING
            collection = database[place.collection]
            present = _documents(collection, [place.identity]).get(place.identity)
            if present == snapshot.content:
                result = collection.replace_one(
                    unchanged({place.identity: snapshot.content}), raw(content)
                )
                if result.matched_count:
                    return Outcome.DONE
                present = _documents(collection, [place.identity]).get(place.identity)
        return Outcome.MISSING if present is None else Outcome.CHANGED

    def restore(self, snapshots: Sequence[Snapshot]) -> list[Outcome]:
        """Insert documents where no other has their `_id`, nor their key of a unique index."""
        return self._by_portions(snapshots, _insert, absent=None)

    def settle(self, snapshots: Sequence[Snapshot], *, sign: int, mark: str) -> None:
        """Do nothing: no other record says anything of these."""

    def forget(self, snapshots: Sequence[Snapshot], *, mark: str) -> None:
        """Do nothing: there are no traces."""

    def references(self, snapshots: Sequence[Snapshot]) -> list[str]:
        """Name nothing: no other record says anything of these."""
        del snapshots
        return []

    def check(self, collection: str, kind: str | None) -> None:
        """Raise NotChangeableError for a collection that is not this kind's; `kind` as there."""
        check_collection(collection, kind, of_container=self.of_container)

    def _is_there(self, database: Database[RawBSONDocument], collection: str) -> bool:
        """Tell whether there is a collection; raise NotChangeableError where none is changed."""
        kinds = collection_kinds(database)
        if kinds:
            check_knowledge_base(database.name, kinds)
        self.check(collection, kinds.get(collection))
        return collection in kinds

    def _by_portions(
        self, snapshots: Sequence[Snapshot], change: _Change, *, absent: Outcome | None
    ) -> list[Outcome]:
        """Change so many documents at once as one message holds.

        `absent` is what becomes of those whose collection is not there; None where that is wrong.
        """
        outcomes = [Outcome.MISSING if absent is None else absent] * len(snapshots)
        begun = False
        places = [place_of(snapshot.locator) for snapshot in snapshots]
        for (kb, name), numbers in _by_collection(places).items():
            with part_of_a_change(begun=begun), writing(self._connection) as client:
                database = primary(client, kb)
                there = self._is_there(database, name)
                if not there and absent is None:
                    raise QueryError(f"{kb} has no collection {name} any more")
            for portion in _bounded(numbers, snapshots, self.at_once) if there else ():
                with part_of_a_change(begun=begun), writing(self._connection):
                    documents = [(places[n].identity, snapshots[n].content) for n in portion]
                    found = change(database[name], documents)
                begun = True
                for number, outcome in zip(portion, found, strict=True):
                    outcomes[number] = outcome
        return outcomes


def collection_kinds(database: Database[RawBSONDocument]) -> dict[str, str]:
    """Name all collections and views with MongoDB's type of each."""
    with database.cursor_command("listCollections", nameOnly=True) as found:
        return {str(each["name"]): str(each.get("type", "collection")) for each in found}


def _by_collection(places: Sequence[Place]) -> dict[tuple[str, str], list[int]]:
    numbers: dict[tuple[str, str], list[int]] = {}
    for number, place in enumerate(places):
        numbers.setdefault((place.kb, place.collection), []).append(number)
    return numbers


def _bounded(
    numbers: Sequence[int], snapshots: Sequence[Snapshot], most: int
) -> Iterator[Sequence[int]]:
    portion: list[int] = []
    size = 0
    for number in numbers:
        length = len(snapshots[number].content)
        if portion and (len(portion) == most or size + length > LARGEST_AT_ONCE):
            yield portion
            portion, size = [], 0
        portion.append(number)
        size += length
    if portion:
        yield portion


def _documents(
    collection: Collection[RawBSONDocument], identities: Sequence[BsonValue]
) -> Documents:
    found: dict[BsonValue, bytes] = {}
    size = 0
    for document in collection.find(one_of(identities)):
        content = bytes(document.raw)
        size += len(content)
        if size > LARGEST_READ:
            raise QueryError(
                f"these documents have more than {LARGEST_READ:,} bytes; take fewer at once"
            )
        identity = field_of(content, "_id")
        if identity is not None:
            found[identity] = content
    return found


def _delete(collection: Collection[RawBSONDocument], documents: _Identified) -> list[Outcome]:
    before = _documents(collection, [identity for identity, _ in documents])
    outcomes = [_compared(before.get(identity), content) for identity, content in documents]
    same = {
        identity: content
        for (identity, content), outcome in zip(documents, outcomes, strict=True)
        if outcome is Outcome.DONE
    }
    if not same:
        return outcomes
    deletions = [DeleteMany(unchanged(group)) for group in _groups(same)]
    deleted = collection.bulk_write(deletions, ordered=False).deleted_count
    if deleted == len(same):
        return outcomes
    left = _documents(collection, list(same))
    for number, (identity, _) in enumerate(documents):
        if identity in same and identity in left:
            outcomes[number] = Outcome.CHANGED
        elif identity in same and not deleted:
            outcomes[number] = Outcome.MISSING
    return outcomes


def _groups(documents: Documents) -> Iterator[Documents]:
    """Give so many documents as one filter compares fast, and as it can hold."""
    group: dict[BsonValue, bytes] = {}
    size = 0
    for identity, document in documents.items():
        if group and (len(group) == _MOST_COMPARED or size + len(document) > _LARGEST_COMPARED):
            yield group
            group, size = {}, 0
        group[identity] = document
        size += len(document)
    if group:
        yield group


def _compared(present: bytes | None, content: bytes) -> Outcome:
    if present is None:
        return Outcome.MISSING
    return Outcome.DONE if present == content else Outcome.CHANGED


def _insert(collection: Collection[RawBSONDocument], documents: _Identified) -> list[Outcome]:
    before = _documents(collection, [identity for identity, _ in documents])
    absent = [(identity, content) for identity, content in documents if identity not in before]
    try:
        if absent:
            collection.insert_many([raw(content) for _, content in absent], ordered=False)
    except BulkWriteError as error:
        refused: Sequence[Mapping[str, Any]] = error.details.get("writeErrors") or []
        others = [each for each in refused if each.get("code") != DUPLICATE_KEY]
        if others or error.details.get("writeConcernErrors"):
            raise bulk_failure(error) from error
        again = {absent[int(each["index"])][0] for each in refused}
        before = {**before, **_documents(collection, list(again))}
        absent = [(identity, content) for identity, content in absent if identity not in again]
    inserted = {identity for identity, _ in absent}
    return [
        Outcome.DONE if identity in inserted or before.get(identity) == content else Outcome.TAKEN
        for identity, content in documents
    ]


def check_edit(before: bytes, after: bytes) -> None:
    """Raise QueryError where a document cannot become another, or not become itself again."""
    for content in (before, after):
        _check_content(content)
        operators = [name for name, _ in _fields(content) if name.startswith("$")]
        if operators:
            raise QueryError(
                f"MongoDB cannot edit a document with a field {operators[0]}, for its name begins"
                " with $; it can be deleted"
            )
    if len(before) + len(after) > LARGEST_EDIT:
        raise QueryError(
            f"the document before and after has more than {LARGEST_EDIT:,} bytes, more than"
            " MongoDB takes to compare"
        )


def _check_content(content: bytes) -> None:
    """Raise QueryError for what MongoDB would not keep as it is."""
    if _EMPTY_TIMESTAMP.data not in content:
        return
    for name, value in _fields(content):
        if value == _EMPTY_TIMESTAMP and name != "_id":
            raise QueryError(
                f"the field {name} is an empty timestamp, for which MongoDB would write the time"
            )


def _fields(content: bytes) -> list[tuple[str, BsonValue]]:
    try:
        return list(elements(content))
    except InvalidBSON as error:
        raise QueryError(f"this is no document: {error}") from error
