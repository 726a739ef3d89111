"""Where the values in documents lead: to patterns, and to other documents."""

from collections.abc import Iterator
from itertools import islice

from kato_exporter.browser.knowledge.document_paths import document_path
from kato_exporter.browser.knowledge.pattern_rows import pattern_url
from kato_exporter.browser.knowledge.symbol_links import patterns_with
from kato_exporter.kato.knowledge import PATTERNS, PREDICTIONS, SYMBOLS, is_pattern_name
from kato_exporter.stores.mongodb.bson_elements import (
    BsonType,
    BsonValue,
    elements,
    field_of,
    string_data,
)
from kato_exporter.stores.mongodb.bson_parts import pointer_parts, text_of

_MOST_PREDICTIONS = 100


def value_url(kb: str, collection: str, field: str, value: BsonValue) -> str | None:
    """Give the path that a field's value leads to, None where it leads nowhere.

    KATO's names of patterns lead to these, its symbols to the patterns that have them, references
    (DBRef, DBPointer) within the knowledge base to their documents.
    """
    if value.type is BsonType.STRING and field == "name":
        name = text_of(value.data)
        if collection == PATTERNS and is_pattern_name(name):
            return pattern_url(kb, name)
        if collection == SYMBOLS and name.isprintable():
            return patterns_with(name, kb)
    reference = _reference(kb, value)
    if reference is None or not reference[0] or not reference[0].isprintable():
        return None
    return document_path(kb, *reference)


def predicted(kb: str, collection: str, document: bytes) -> list[dict[str, str]]:
    """Give names and paths of the first patterns that a document of KATO's predicts."""
    predictions = field_of(document, "predictions") if collection == PREDICTIONS else None
    if predictions is None or predictions.type is not BsonType.ARRAY:
        return []
    names = _names(predictions)
    return [{"name": name, "url": pattern_url(kb, name)} for name in names if is_pattern_name(name)]


def _names(predictions: BsonValue) -> Iterator[str]:
    for _, prediction in islice(elements(predictions.data), _MOST_PREDICTIONS):
        if prediction.type is BsonType.OBJECT:
            name = field_of(prediction.data, "name")
            if name is not None and name.type is BsonType.STRING:
                yield text_of(name.data)


def _reference(kb: str, value: BsonValue) -> tuple[str, BsonValue] | None:
    if value.type is BsonType.DB_POINTER:
        name, identity = pointer_parts(value.data)
        return name.removeprefix(f"{kb}."), BsonValue(BsonType.OBJECT_ID, identity)
    if value.type is not BsonType.OBJECT:
        return None
    fields = dict(islice(elements(value.data), 3))
    collection, target = fields.get("$ref"), fields.get("$id")
    database = fields.get("$db", _string(kb))
    if target is None or collection is None or collection.type is not BsonType.STRING:
        return None
    return (text_of(collection.data), target) if database == _string(kb) else None


def _string(text: str) -> BsonValue:
    return BsonValue(BsonType.STRING, string_data(text))
