"""Keeps KATO's counts right when patterns go, come back or get another frequency: exactly once.

A server that stands alone has no transactions. So each document that counts is marked in the very
update that changes it, one with the mark is passed over, and at the end the marks are taken away.
The totals come last: where they have the mark, all is done.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import UpdateMany, UpdateOne
from pymongo.database import Database

from kato_exporter.kato.knowledge import METADATA, SYMBOLS
from kato_exporter.stores.bson_elements import BsonValue, field_of
from kato_exporter.stores.mongodb_learnings import FREQUENCY, MEMBERSHIP, Learnings
from kato_exporter.stores.mongodb_writing import one_of

MARKS = "kato_exporter_settling"
"""The field that holds the marks, for as long as it takes."""

_TOTALS = {"class": "totals"}
_AT_ONCE = 1_000

Update = list[Mapping[str, Any]]


def settle(database: Database[RawBSONDocument], learnings: Learnings, mark: str) -> None:
    """Add learnings, which may be below 0, to the counts of what is there.

    A count that is no number stays as it is, and so does one that would fall below 0.
    """
    totals = _totals(database)
    if totals is not None and _is_marked(totals, mark):
        return
    for symbols in _portions(learnings.symbols):
        changes = [
            UpdateOne(
                {"_id": document["_id"], MARKS: {"$ne": mark}},
                _adding(
                    {
                        FREQUENCY: learnings.occurrences[symbol],
                        MEMBERSHIP: learnings.memberships[symbol],
                    },
                    mark,
                ),
            )
            for symbol, document in _symbol_documents(database, symbols).items()
        ]
        if changes:
            database[SYMBOLS].bulk_write(changes, ordered=False)
    if totals is not None:
        database[METADATA].update_one(
            {"_id": totals["_id"], MARKS: {"$ne": mark}}, _adding(learnings.totals, mark)
        )


def forget(database: Database[RawBSONDocument], learnings: Learnings, mark: str) -> None:
    """Take the marks away."""
    for symbols in _portions(learnings.symbols):
        marked = {"$and": [one_of(symbols, "name"), {MARKS: mark}]}
        database[SYMBOLS].bulk_write([UpdateMany(marked, _unmarking(mark))])
    database[METADATA].update_many({**_TOTALS, MARKS: mark}, _unmarking(mark))


def too_small(database: Database[RawBSONDocument], learnings: Learnings) -> tuple[list[str], int]:
    """Name the totals, and count the symbols, that would stay since they fell below 0."""
    totals = _totals(database)
    fields = [
        name
        for name, amount in learnings.totals.items()
        if totals is not None and _falls_below(totals.get(name), amount)
    ]
    symbols = 0
    for portion in _portions(learnings.symbols):
        for symbol, document in _symbol_documents(database, portion).items():
            symbols += _falls_below(
                document.get(FREQUENCY), learnings.occurrences[symbol]
            ) or _falls_below(document.get(MEMBERSHIP), learnings.memberships[symbol])
    return fields, symbols


def _totals(database: Database[RawBSONDocument]) -> RawBSONDocument | None:
    return database[METADATA].find_one(_TOTALS)


def _is_marked(document: RawBSONDocument, mark: str) -> bool:
    marks = document.get(MARKS)
    return isinstance(marks, list) and mark in marks


def _symbol_documents(
    database: Database[RawBSONDocument], symbols: Sequence[BsonValue]
) -> dict[BsonValue, RawBSONDocument]:
    """Find the first record of each symbol that has one."""
    fields = {"name": True, FREQUENCY: True, MEMBERSHIP: True}
    found: dict[BsonValue, RawBSONDocument] = {}
    for document in database[SYMBOLS].find(one_of(symbols, "name"), fields, sort={"_id": 1}):
        name = field_of(bytes(document.raw), "name")
        if name is not None:
            found.setdefault(name, document)
    return {symbol: found[symbol] for symbol in symbols if symbol in found}


def _adding(amounts: Mapping[str, int], mark: str) -> Update:
    marks = {"$cond": [{"$isArray": f"${MARKS}"}, f"${MARKS}", []]}
    return [
        {
            "$set": {
                **{field: _sum(f"${field}", amount) for field, amount in amounts.items()},
                MARKS: {"$concatArrays": [marks, [{"$literal": mark}]]},
            }
        }
    ]


def _sum(value: str, amount: int) -> Mapping[str, Any]:
    after = {"$add": [value, amount]}
    not_below = after if amount >= 0 else {"$cond": [{"$gte": [after, 0]}, after, value]}
    return {"$cond": [{"$isNumber": value}, not_below, value]}


def _unmarking(mark: str) -> Update:
    others = {"$filter": {"input": f"${MARKS}", "cond": {"$ne": ["$$this", {"$literal": mark}]}}}
    return [
        {"$set": {MARKS: others}},
        {"$set": {MARKS: {"$cond": [{"$eq": [f"${MARKS}", []]}, "$$REMOVE", f"${MARKS}"]}}},
    ]


def _falls_below(value: object, amount: int) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and value + amount < 0  # type: ignore[operator]


def _portions(symbols: Sequence[BsonValue]) -> Iterator[Sequence[BsonValue]]:
    remaining = iter(symbols)
    while portion := list(islice(remaining, _AT_ONCE)):
        yield portion
