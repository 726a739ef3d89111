"""Where a document lies, as the locator of a record; and which places are open to changes."""

from collections.abc import Iterable
from dataclasses import dataclass

from bson.errors import InvalidBSON

from kato_exporter.kato.knowledge import METADATA, PATTERNS, SYSTEM_DATABASES
from kato_exporter.stores.errors import NotChangeableError, QueryError
from kato_exporter.stores.mongodb.bson_elements import (
    BsonType,
    BsonValue,
    document_of,
    elements,
    string_data,
)
from kato_exporter.stores.mongodb.bson_parts import text_of

_FIELDS = ("db", "collection", "_id")
_NAME = "name"
_NO_IDS = frozenset({BsonType.ARRAY, BsonType.REGEX, BsonType.UNDEFINED})
_NOT_IN_DATABASE_NAMES = frozenset(' .$/\\"\0')
_LONGEST_DATABASE_NAME = 63


@dataclass(frozen=True, slots=True)
class Place:
    """A document's knowledge base, collection and `_id`, and where it is a pattern, its name."""

    kb: str
    collection: str
    identity: BsonValue
    name: str | None = None

    @property
    def locator(self) -> bytes:
        """Give the place as BSON, whose fields are `db`, `collection`, `_id` and maybe `name`."""
        named = [] if self.name is None else [(_NAME, text(self.name))]
        values = (text(self.kb), text(self.collection), self.identity)
        return document_of([*zip(_FIELDS, values, strict=True), *named])


def place_of(locator: bytes) -> Place:
    """Read what `Place.locator` has written; raise QueryError for anything else."""
    try:
        (names, values) = zip(*elements(locator), strict=True)
    except (InvalidBSON, ValueError) as error:
        raise QueryError("this is no locator of a document") from error
    if names not in (_FIELDS, (*_FIELDS, _NAME)):
        raise QueryError("this is no locator of a document")
    kb, collection, identity, *name = values
    if {BsonType.STRING} != {value.type for value in (kb, collection, *name)}:
        raise QueryError("this is no locator of a document")
    if identity.type in _NO_IDS or not may_be_database(_text(kb)):
        raise QueryError("there can be no document of this _id, or no database of this name")
    return Place(_text(kb), _text(collection), identity, _text(name[0]) if name else None)


def check_knowledge_base(kb: str, collections: Iterable[str]) -> None:
    """Raise NotChangeableError for a database that is no knowledge base."""
    if kb in SYSTEM_DATABASES:
        raise NotChangeableError(f"{kb} is MongoDB's own database and is never changed")
    if not any(name.endswith("_kb") for name in collections):
        raise NotChangeableError(f"the database {kb} is no knowledge base and is never changed")


def check_collection(name: str, kind: str | None, *, of_container: bool) -> None:
    """Raise NotChangeableError for a collection whose documents are not changed one by one.

    `kind` is MongoDB's type of it, None where there is none. Where a whole knowledge base goes,
    its totals go with it.
    """
    if name.startswith("system."):
        raise NotChangeableError(f"{name} is MongoDB's own collection and is never changed")
    if kind not in (None, "collection"):
        raise NotChangeableError(f"{name} is a {kind}; only what lies in collections is changed")
    if of_container:
        return
    if name == METADATA:
        raise NotChangeableError(
            f"{METADATA} holds the totals that KATO keeps; only KATO changes them, and the"
            " deletion of patterns, which keeps them right"
        )
    if name == PATTERNS:
        raise NotChangeableError(
            f"what lies in {PATTERNS} is changed as a pattern, which keeps KATO's totals right"
        )


def may_be_database(name: str) -> bool:
    """Tell whether MongoDB would take a text for the name of a database."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return False
    return 0 < length <= _LONGEST_DATABASE_NAME and not _NOT_IN_DATABASE_NAMES.intersection(name)


def text(content: str) -> BsonValue:
    """Make a string of BSON's."""
    return BsonValue(BsonType.STRING, string_data(content))


def _text(value: BsonValue) -> str:
    return text_of(value.data)
