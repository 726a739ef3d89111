"""Finds the documents of a page, with or without a condition.

By a condition on `_id`, the index on it is enough. Where another index tells that few documents
fit, these are listed. Else the collection is walked in stretches, each bounded by an `_id` that
costs no look at a document, until the page is full or the time is over.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bson.max_key import MaxKey

from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, document_of
from kato_exporter.stores.mongodb.document_conditions import Condition
from kato_exporter.stores.mongodb.id_index import (
    BY_ID,
    Filter,
    IdIndex,
    Position,
    Row,
    array,
    document,
)

FEW = 1_000
"""The most documents that an index may tell for a page to be made of just these."""

_FEW_BYTES = 1024 * 1024
_INDEX_SHARE = 0.3
_TIME_OVER = 50
_SHORTEST_STRETCH, _LONGEST_STRETCH = 16, 16_384
_STRETCH_FACTOR = 4
_QUICK, _SLOW = 0.1, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What `DocumentPage` says, without the contents of documents."""

    rows: Sequence[Row]
    next: Position | None
    walked: int | None = None
    matches: int | None = None
    cut: bool = False


def search(
    index: IdIndex, position: Position, rows: int, condition: Condition | None
) -> SearchResult:
    """Find the documents of a page below a position, within the index's deadline."""
    below = index.start_of(position)
    if condition is None:
        batch = index.rows(rows + 1, below=below)
        return _page_of(batch.rows, position, rows, more=batch.more)
    if condition.field == "_id":
        batch = index.rows(rows + 1, condition=_ids(condition, below))
        return _page_of(batch.rows, position, rows, more=batch.more)
    few = _few_by_index(index, condition)
    if few is None:
        return _walk(index, position, rows, condition.filter, below)
    batch = index.rows(rows + 1, condition=_among(few, below))
    return _page_of(batch.rows, position, rows, more=batch.more, matches=len(few))


def _page_of(
    found: Sequence[Row],
    position: Position,
    rows: int,
    *,
    more: bool,
    matches: int | None = None,
) -> SearchResult:
    for row in found[:rows]:
        position = position.moved_below(row.identity)
    goes_on = more or len(found) > rows
    return SearchResult(rows=found[:rows], next=position if goes_on else None, matches=matches)


def _ids(condition: Condition, below: BsonValue | None) -> Filter:
    """Bound the index by a condition on `_id`: all that fits it is of one type, as is `below`."""
    if below is None:
        return condition.filter
    less = BsonValue(BsonType.OBJECT, document_of([("$lt", below)]))
    return {"$and": [condition.filter, document(_id=less)]}


def _among(few: Sequence[BsonValue], below: BsonValue | None) -> Filter:
    """Choose from known documents those below an `_id`, in MongoDB's order over all types."""
    members = BsonValue(BsonType.OBJECT, document_of([("$in", array(few))]))
    if below is None:
        return document(_id=members)
    literal = document(**{"$literal": below})
    return {"$and": [document(_id=members), {"$expr": {"$lt": ["$_id", literal]}}]}


def _few_by_index(index: IdIndex, condition: Condition) -> list[BsonValue] | None:
    """Give the documents that fit where an index tells that they are few, else None."""
    if condition.operator in ("exists", "missing"):
        return None
    share = index.within(_INDEX_SHARE)
    try:
        names = share.indexes_on(condition.field)
        if not names:
            return None
        batch = share.find(
            {
                "filter": condition.filter,
                "projection": BY_ID,
                "hint": names[0],
                "limit": FEW + 1,
            }
        )
    except StoreError:  # a server that gives no answer at all gives none to the walk either
        return None
    found = [row.identity for row in batch.rows]
    size = sum(len(identity.data) for identity in found)
    few = len(found) <= FEW and size <= _FEW_BYTES and not batch.more
    return found if few else None


def _walk(
    index: IdIndex, position: Position, rows: int, condition: Filter, below: BsonValue | None
) -> SearchResult:
    """Compare stretch after stretch; one that takes long makes the next shorter."""
    found: list[Row] = []
    walked, stretch = 0, _SHORTEST_STRETCH
    answered = False
    try:
        if below is None:  # no stretch has the greatest key there can be: its upper end is left out
            found += index.rows(1, condition={"$and": [condition, {"_id": MaxKey()}]}).rows
            below = BsonValue(BsonType.MAX_KEY, b"")
            position = position.moved_below(below)
        while not index.deadline.expired:
            started = time.monotonic()
            last = index.rows(1, below=below, skip=stretch - 1, sizes=False).rows
            answered = True
            end = last[0].identity if last else None
            batch = index.rows(rows + 1 - len(found), below=below, down_to=end, condition=condition)
            for row in batch.rows:
                if len(found) == rows:
                    return SearchResult(rows=found, next=position, walked=walked)
                found.append(row)
                below, position = row.identity, position.moved_below(row.identity)
            if batch.more:
                continue
            if end is None or len(found) == rows:
                at_end = None if end is None else position
                return SearchResult(rows=found, next=at_end, walked=walked)
            below, position = end, position.moved_below(end)
            walked += stretch
            stretch = _next_stretch(stretch, time.monotonic() - started)
    except StoreError as error:
        answered = answered or isinstance(error, QueryError)
        if not answered or not (index.deadline.expired or _is_time_over(error)):
            raise
    return SearchResult(rows=found, next=position, walked=walked, cut=True)


def _is_time_over(error: StoreError) -> bool:
    return isinstance(error, QueryError) and error.code == _TIME_OVER


def _next_stretch(stretch: int, seconds: float) -> int:
    if seconds < _QUICK:
        return min(_LONGEST_STRETCH, stretch * _STRETCH_FACTOR)
    if seconds > _SLOW:
        return max(_SHORTEST_STRETCH, stretch // _STRETCH_FACTOR)
    return stretch
