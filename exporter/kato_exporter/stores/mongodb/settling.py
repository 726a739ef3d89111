"""Keeps KATO's counts right when patterns go, come back or get another frequency: exactly once.

A server that stands alone has no transactions. So each document that counts is marked in the very
update that changes it, one with the mark is passed over, and at the end the marks are taken away.
The totals come last: where they have the mark, all is done.

Updates by a pipeline are not used: a field that occurs twice in a document makes MongoDB 6.0 crash
in one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from bson.decimal128 import Decimal128
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database

from kato_exporter.kato.knowledge import METADATA, SYMBOLS
from kato_exporter.stores.errors import StoreError
from kato_exporter.stores.mongodb.bson_elements import BsonValue, field_of
from kato_exporter.stores.mongodb.learnings import FREQUENCY, MEMBERSHIP, Learnings
from kato_exporter.stores.mongodb.writing import one_of

MARKS = "kato_exporter_settling"
"""The field that holds the marks, for as long as it takes."""

_TOTALS = {"class": "totals"}
_AT_ONCE = 1_000

_TRIES = 5

_Amounts = Sequence[tuple[RawBSONDocument, Mapping[str, int]]]


def settle(database: Database[RawBSONDocument], learnings: Learnings, mark: str) -> None:
    """Add learnings, which may be below 0, to the counts of what is there.

    A count that is no number stays as it is, and so does one that would fall below 0. Raises
    StoreError where others change the counts all the time.
    """
    totals = _totals(database)
    if totals is not None and _is_marked(totals, mark):
        return
    for symbols in _portions(learnings.symbols):
        _add(database[SYMBOLS], partial(_amounts, database, symbols, learnings), mark)
    _add(
        database[METADATA],
        lambda: [(found, learnings.totals) for found in [_totals(database)] if found is not None],
        mark,
    )


def forget(database: Database[RawBSONDocument], learnings: Learnings, mark: str) -> None:
    """Take the marks away."""
    for symbols in _portions(learnings.symbols):
        _unmark(database[SYMBOLS], one_of(symbols, "name"), mark)
    _unmark(database[METADATA], _TOTALS, mark)


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
    fields = dict.fromkeys(("name", FREQUENCY, MEMBERSHIP, MARKS), True)
    found: dict[BsonValue, RawBSONDocument] = {}
    for document in database[SYMBOLS].find(one_of(symbols, "name"), fields, sort={"_id": 1}):
        name = field_of(bytes(document.raw), "name")
        if name is not None:
            found.setdefault(name, document)
    return {symbol: found[symbol] for symbol in symbols if symbol in found}


def _amounts(
    database: Database[RawBSONDocument], symbols: Sequence[BsonValue], learnings: Learnings
) -> _Amounts:
    found = _symbol_documents(database, symbols)
    return [
        (
            document,
            {
                FREQUENCY: learnings.occurrences[symbol],
                MEMBERSHIP: learnings.memberships[symbol],
            },
        )
        for symbol, document in found.items()
    ]


def _add(collection: Collection[RawBSONDocument], read: Callable[[], _Amounts], mark: str) -> None:
    for _ in range(_TRIES):
        changes = [
            _addition(document, amounts, mark)
            for document, amounts in read()
            if not _is_marked(document, mark)
        ]
        if not changes:
            return
        if collection.bulk_write(changes, ordered=False).matched_count == len(changes):
            return
    raise StoreError(f"the counts in {collection.name} are changed by others all the time")


def _addition(document: RawBSONDocument, amounts: Mapping[str, int], mark: str) -> UpdateOne:
    """Add to the counts that can take it, provided that they still can, and mark the document."""
    added = {
        field: amount
        for field, amount in amounts.items()
        if amount and _is_number(document.get(field)) and not _falls_below(document[field], amount)
    }
    least = {field: {"$gte": -amount} for field, amount in added.items() if amount < 0}
    return UpdateOne(
        {"_id": document["_id"], MARKS: {"$ne": mark}, **least},
        {**({"$inc": added} if added else {}), "$push": {MARKS: mark}},
    )


def _unmark(
    collection: Collection[RawBSONDocument], condition: Mapping[str, Any], mark: str
) -> None:
    collection.update_many({"$and": [condition, {MARKS: mark}]}, {"$pull": {MARKS: mark}})
    collection.update_many({"$and": [condition, {MARKS: {"$size": 0}}]}, {"$unset": {MARKS: ""}})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal128) and not isinstance(value, bool)


def _falls_below(value: Any, amount: int) -> bool:
    if amount >= 0 or not _is_number(value):
        return False
    number = value.to_decimal() if isinstance(value, Decimal128) else value
    return not number + amount >= 0  # also where it is not a number at all


def _portions(symbols: Sequence[BsonValue]) -> Iterator[Sequence[BsonValue]]:
    remaining = iter(symbols)
    while portion := list(islice(remaining, _AT_ONCE)):
        yield portion
