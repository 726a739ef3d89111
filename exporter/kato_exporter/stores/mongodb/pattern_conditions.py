"""What is wanted of patterns, as MongoDB's conditions and as bounds of KATO's indexes."""

import math
from collections.abc import Sequence
from typing import Any

from kato_exporter.stores.mongodb.connection import Document
from kato_exporter.stores.mongodb.index_walk import HIGHEST, LOWEST, Fields, Key
from kato_exporter.stores.patterns import Order, PatternFilter


def name_conditions(wanted: PatternFilter) -> list[Document]:
    """Ask for a range of names, by text."""
    if not wanted.prefix:
        return []
    return [{"name": {"$gte": wanted.prefix, "$lt": _behind_all_with(wanted.prefix)}}]


def frequency_conditions(wanted: PatternFilter) -> list[Document]:
    """Ask for a range of frequencies; MongoDB compares numbers with numbers only."""
    bounds = {"$gte": wanted.least, "$lte": wanted.most}
    given = {comparison: bound for comparison, bound in bounds.items() if bound is not None}
    return [{"frequency": given}] if given else []


def symbol_conditions(wanted: PatternFilter) -> list[Document]:
    """Ask for a text among the symbols of an event; no index helps with arrays in arrays."""
    if wanted.symbol is None:
        return []
    return [{"pattern_data": {"$elemMatch": {"$elemMatch": {"$eq": wanted.symbol}}}}]


def all_of(conditions: Sequence[Document]) -> Document:
    """Join conditions."""
    return {"$and": list(conditions)} if conditions else {}


def at_or_behind(start: Key, fields: Fields) -> Document:
    """Ask for what stands at a key or behind it, in the order of all BSON values."""
    values = [
        ({"$ifNull": [f"${field}", None]}, {"$literal": value}, direction)
        for (field, direction), value in zip(fields.items(), start, strict=True)
    ]
    *_, (last, end, direction) = values
    condition: Document = {"$gte" if direction > 0 else "$lte": [last, end]}
    for field, value, way in reversed(values[:-1]):
        behind: Document = {"$gt" if way > 0 else "$lt": [field, value]}
        condition = {"$or": [behind, {"$and": [{"$eq": [field, value]}, condition]}]}
    return {"$expr": condition}


def bounds_of(order: Order, wanted: PatternFilter) -> tuple[Key | None, Key | None]:
    """Give the keys of the order's index between which everything wanted lies."""
    if order == "frequency" and frequency_conditions(wanted):
        highest: Any = math.inf if wanted.most is None else wanted.most
        lowest: Any = -math.inf if wanted.least is None else wanted.least
        return (highest, LOWEST), (lowest, HIGHEST)
    if order == "name" and wanted.prefix:
        return (wanted.prefix,), (_behind_all_with(wanted.prefix),)
    return None, None


def _behind_all_with(prefix: str) -> str:
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
