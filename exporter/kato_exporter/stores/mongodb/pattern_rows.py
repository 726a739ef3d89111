"""Asks for documents as rows of a listing: whatever a document holds, its row is small."""

from collections.abc import Iterable

from kato_exporter.stores.mongodb.connection import Document
from kato_exporter.stores.patterns import PatternRow

_LARGEST_VALUE = 1_000
_LARGEST_WITH_EVENTS = 64 * 1024
_EVENTS_BEGUN = 8

_FIELDS = ("_id", "name", "frequency", "length")


def small_values(fields: Iterable[str]) -> Document:
    """Project to those of some fields that are small."""
    return {field: {"$cond": [_is_small(field), f"${field}", "$$REMOVE"]} for field in fields}


def row_projection() -> Document:
    """Project to what `read_row` reads."""
    size = {"$bsonSize": "$$ROOT"}
    has_events = {"$isArray": "$pattern_data"}
    return {
        "_id": False,
        "small": small_values(_FIELDS),
        "large": {
            field: {"$cond": [_is_small(field), "$$REMOVE", _size(field)]} for field in _FIELDS
        },
        "events": {"$cond": [has_events, {"$size": "$pattern_data"}, None]},
        "beginning": {
            "$cond": [
                {"$and": [has_events, {"$lte": [size, _LARGEST_WITH_EVENTS]}]},
                {"$slice": ["$pattern_data", _EVENTS_BEGUN]},
                None,
            ]
        },
        "bytes": size,
    }


def read_row(document: Document) -> PatternRow:
    """Read a document that was projected by `row_projection`."""
    small = document.get("small", {})
    return PatternRow(
        identity=small.get("_id"),
        name=small.get("name"),
        frequency=small.get("frequency"),
        length=small.get("length"),
        events=document["events"],
        beginning=document["beginning"],
        bytes=document["bytes"],
        large=document.get("large", {}),
    )


def _is_small(field: str) -> Document:
    return {"$lte": [_size(field), _LARGEST_VALUE]}


def _size(field: str) -> Document:
    return {"$bsonSize": {"value": f"${field}"}}
