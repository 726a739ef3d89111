"""Documents in a listing: which fields are columns, and what stands in the cells."""

import json
import math
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kato_exporter.browser.exports import Row
from kato_exporter.browser.knowledge.bson_values import shown_value
from kato_exporter.browser.knowledge.document_ids import id_text
from kato_exporter.browser.knowledge.document_links import value_url
from kato_exporter.browser.knowledge.document_paths import document_path
from kato_exporter.browser.knowledge.extended_json import write
from kato_exporter.kato.knowledge import (
    ASSOCIATIVE_ACTIONS,
    METADATA,
    PATTERNS,
    PREDICTIONS,
    SYMBOLS,
)
from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, elements
from kato_exporter.stores.mongodb.bson_parts import int_of, long_of, text_of
from kato_exporter.stores.mongodb.documents import ListedDocument

_MOST_COLUMNS = 6
_LONGEST_CELL = 160
_LONGEST_NAME = 200
_MOST_LOOKED_AT = 1_000

_OF_KATO: Mapping[str, tuple[str, ...]] = {
    PATTERNS: ("name", "frequency", "length", "pattern_data"),
    SYMBOLS: ("name", "frequency", "pattern_member_frequency"),
    PREDICTIONS: ("unique_id", "predictions"),
    ASSOCIATIVE_ACTIONS: ("name", "action", "frequency"),
    METADATA: (
        "class",
        "total_pattern_frequencies",
        "total_symbol_frequencies",
        "total_symbols_in_patterns_frequencies",
    ),
}
"""The fields that KATO writes, of most use first; all other collections show what they hold."""


def columns_of(collection: str, documents: Sequence[ListedDocument]) -> tuple[str, ...]:
    """Choose the fields that are columns: KATO's, then those that most documents have."""
    fixed = _OF_KATO.get(collection, ())
    counted = Counter(
        name
        for document in documents
        for name in _fields(document)
        if name != "_id" and name not in fixed and len(name) <= _LONGEST_NAME
    )
    return (*fixed, *(name for name, _ in counted.most_common(_MOST_COLUMNS)))[:_MOST_COLUMNS]


def row_facts(
    kb: str, collection: str, document: ListedDocument, columns: Sequence[str]
) -> dict[str, Any]:
    """Give what a listing shows of a document.

    `id` is the `_id` as pages spell it, None where it is too long for that, as `url` then is.
    `cells` has one entry for each column, None where the document has no such field. `read` is
    False where the document is too large for a listing; then there are no cells.
    """
    fields = _fields(document)
    url = document_path(kb, collection, document.identity)
    return {
        "_id": shown_value(document.identity, _LONGEST_CELL),
        "id": None if url is None else id_text(document.identity),
        "url": url,
        "bytes": document.size,
        "read": document.bson is not None,
        "cells": [
            {
                "value": shown_value(fields[name], _LONGEST_CELL),
                "url": value_url(kb, collection, name, fields[name]),
            }
            if name in fields
            else None
            for name in columns
        ]
        if document.bson is not None
        else [],
    }


def exact_row(document: bytes) -> Row:
    """Give a document as canonical extended JSON."""
    row: dict[str, Any] = json.loads(write(BsonValue(BsonType.OBJECT, document)))
    return row


def cell_row(document: bytes) -> Row:
    """Give the fields of a document as they stand in a spreadsheet."""
    return {name: _cell(value) for name, value in reversed(list(elements(document)))}


def _cell(value: BsonValue) -> Any:
    if value.type is BsonType.OBJECT_ID:
        return id_text(value)
    if value.type is BsonType.STRING:
        return text_of(value.data)
    if value.type is BsonType.INT:
        return int_of(value.data)
    if value.type is BsonType.LONG:
        return long_of(value.data)
    if value.type is BsonType.DOUBLE and math.isfinite(struct.unpack("<d", value.data)[0]):
        return struct.unpack("<d", value.data)[0]
    return json.loads(write(value))


def _fields(document: ListedDocument) -> dict[str, BsonValue]:
    """Give the first fields of a document by name, of each name the first."""
    fields: dict[str, BsonValue] = {}
    for name, value in _first(elements(document.bson)) if document.bson else ():
        fields.setdefault(name, value)
    return fields


def _first(found: Iterator[tuple[str, BsonValue]]) -> Iterator[tuple[str, BsonValue]]:
    return (each for _, each in zip(range(_MOST_LOOKED_AT), found, strict=False))
