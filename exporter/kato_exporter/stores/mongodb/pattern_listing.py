"""One page of KATO 2's patterns in the making."""

import time
from collections.abc import Mapping, Sequence

import bson
import pymongo

from kato_exporter.kato.knowledge import PATTERNS
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.index_walk import (
    Fields,
    IndexWalk,
    Key,
    index_along,
    reading_any_value,
    time_is_up,
    without_arrays,
)
from kato_exporter.stores.mongodb.pattern_conditions import (
    all_of,
    at_or_behind,
    bounds_of,
    frequency_conditions,
    name_conditions,
    symbol_conditions,
)
from kato_exporter.stores.mongodb.pattern_rows import read_row, row_projection
from kato_exporter.stores.patterns import (
    Order,
    PatternFilter,
    PatternPage,
    PatternRow,
    WrongKeyError,
)

_FIELDS: Mapping[Order, Fields] = {
    "frequency": {"frequency": pymongo.DESCENDING, "name": pymongo.ASCENDING},
    "name": {"name": pymongo.ASCENDING},
    "length": {"length": pymongo.DESCENDING, "name": pymongo.ASCENDING},
}

_FEW = 2_000
_FIRST_PIECE = 200
_LARGEST_PIECE = 20_000
_PIECE_SECONDS = 0.2

_LARGEST_KEY = 400
_MOST_SHOWN = 40
_NO_SUCH_PLACE = 51175


class PatternListing:
    """The patterns of one knowledge base that are wanted, in one order.

    A page walks along an index. What the index cannot tell is looked for piece by piece, until
    the page is full or time is up. Where few patterns meet a condition that another index knows,
    or where there is no index of this order, those that meet the conditions are sorted.
    """

    def __init__(
        self,
        connection: MongoConnection,
        kb: str,
        order: Order,
        wanted: PatternFilter,
        deadline: Deadline,
    ) -> None:
        self._connection = connection
        self._kb = kb
        self._order = order
        self._fields = _FIELDS[order]
        self._deadline = deadline
        self._seconds = deadline.remaining
        self._named = name_conditions(wanted)
        self._frequent = frequency_conditions(wanted)
        self._conditions = [*self._named, *self._frequent, *symbol_conditions(wanted)]
        self._wanted = wanted

    def page(self, start: Key | None, limit: int) -> PatternPage:
        """Give the page that begins at a key."""
        if start is not None:
            start = self._resolved(start)
        bound = {"frequency": self._frequent, "name": self._named, "length": []}[self._order]
        index = self._index(self._fields)
        if index is not None and self._conditions == bound:
            return self._walked(start, limit, index, in_pieces=False)
        few = self._index_of_few()
        if few is not None:
            return self._sorted(start, limit, few)
        if index is not None:
            return self._walked(start, limit, index, in_pieces=True)
        return self._sorted(start, limit, None)

    def _resolved(self, start: Key) -> Key:
        """Give the key that was spelled out, or that of the document which was named instead."""
        match start:
            case [[identity]]:
                with self._connection.asking_by(self._deadline) as client:
                    document = reading_any_value(client[self._kb][PATTERNS]).find_one(
                        {"_id": {"$eq": identity}}, dict.fromkeys(self._fields, True)
                    )
                if document is None:
                    raise WrongKeyError("the pattern with which that page began is gone")
                return [document.get(field) for field in self._fields]
            case _ if len(start) == len(self._fields):
                return start
            case _:
                raise WrongKeyError("it belongs to another order")

    def _index(self, fields: Fields) -> str | None:
        with self._connection.asking_by(self._deadline) as client:
            return index_along(client[self._kb][PATTERNS], fields)

    def _index_of_few(self) -> str | None:
        """Name an index by which few patterns meet a condition, None where there is none."""
        for conditions, fields in (
            (self._named, _FIELDS["name"]),
            (self._frequent, _FIELDS["frequency"]),
        ):
            index = self._index(fields) if conditions else None
            if index is not None:
                with self._connection.asking_by(self._deadline) as client:
                    found = client[self._kb][PATTERNS].count_documents(
                        {"$and": conditions}, hint=index, limit=_FEW + 1
                    )
                if found <= _FEW:
                    return index
        return None

    def _walked(self, start: Key | None, limit: int, index: str, *, in_pieces: bool) -> PatternPage:
        begin, end = bounds_of(self._order, self._wanted)
        walk = IndexWalk(
            self._connection,
            (self._kb, PATTERNS),
            index,
            self._fields,
            begin=begin,
            end=end,
            deadline=self._deadline,
        )
        left_out = self._left_out(walk.arrays)
        rows: list[PatternRow] = []
        here, keys, looked = start, _FIRST_PIECE, 0
        while True:
            begun = time.monotonic()
            try:
                following = walk.key_after(here, keys) if in_pieces else None
                documents = walk.read(
                    here,
                    following,
                    limit + 1 - len(rows),
                    wanted=all_of(self._conditions),
                    projection=row_projection(),
                )
            except StoreError as error:
                if isinstance(error, QueryError) and error.code == _NO_SUCH_PLACE:
                    raise WrongKeyError("it belongs to another listing") from error
                if here is None or not looked or not time_is_up(error, self._deadline):
                    raise
                return self._stopped(rows, here, looked, left_out)
            rows += map(read_row, documents)
            if len(rows) > limit or following is None:
                return self._page(rows, start, limit, left_out)
            here, looked = following, looked + keys
            if self._deadline.expired:
                return self._stopped(rows, here, looked, left_out)
            if time.monotonic() - begun < _PIECE_SECONDS:
                keys = min(2 * keys, _LARGEST_PIECE)

    def _sorted(self, start: Key | None, limit: int, few: str | None) -> PatternPage:
        """Sort what meets the conditions: few, by an index that finds these, or all there is."""
        conditions = [*self._conditions, *without_arrays(list(self._fields))]
        if start is not None:
            conditions.append(at_or_behind(start, self._fields))
        hint = {} if few is None else {"hint": few}
        try:
            with self._connection.asking(self._deadline.remaining) as client:
                documents = list(
                    reading_any_value(client[self._kb][PATTERNS]).find(
                        all_of(conditions),
                        row_projection(),
                        sort=self._fields,
                        limit=limit + 1,
                        **hint,
                    )
                )
        except StoreError as error:
            if few is not None or not time_is_up(error, self._deadline):
                raise
            return PatternPage(rows=(), stopped=self._without_index("Time was up"))
        rows = [read_row(document) for document in documents]
        if few is not None:
            return self._page(rows, start, limit, self._left_out(self._arrays_among(few)))
        left_out = (self._without_index("This page took longer"),) if rows else ()
        return self._page(rows, start, limit, left_out)

    def _page(
        self, rows: Sequence[PatternRow], start: Key | None, limit: int, left_out: tuple[str, ...]
    ) -> PatternPage:
        """Make the page of at most `limit` rows; a row more is where the next one begins."""
        if len(rows) <= limit:
            return PatternPage(rows=tuple(rows), left_out=left_out)
        following = self._key(rows[limit])
        stopped = None
        if following is None:
            stopped = "The next pattern's own fields are too large for a link to it."
        elif start is not None and _encoded(following) == _encoded(start):
            following = None
            stopped = "More patterns than a page holds have one and the same name."
        return PatternPage(
            rows=tuple(rows[:limit]), following=following, stopped=stopped, left_out=left_out
        )

    def _stopped(
        self, rows: Sequence[PatternRow], here: Key, looked: int, left_out: tuple[str, ...]
    ) -> PatternPage:
        field, value = next(iter(self._fields)), str(here[0])[:_MOST_SHOWN]
        return PatternPage(
            rows=tuple(rows),
            following=here if _fits_a_link(here) else None,
            stopped=(
                f"Time was up after {self._seconds:.3g} s and {looked:,} patterns looked through;"
                f" the next have the {field} {value}."
            ),
            left_out=left_out,
        )

    def _key(self, row: PatternRow) -> Key | None:
        """Give the key of a row, or, where that is large, its `_id` in brackets."""
        values = {"frequency": row.frequency, "name": row.name, "length": row.length}
        key = [values[field] for field in self._fields]
        if not row.large.keys() & self._fields.keys() and _fits_a_link(key):
            return key
        named = [[row.identity]]
        return named if "_id" not in row.large and _fits_a_link(named) else None

    def _arrays_among(self, index: str) -> tuple[str, ...]:
        """Name the fields that hold an array in a document that meets the conditions."""
        found = []
        for field in self._fields:
            with self._connection.asking_by(self._deadline) as client:
                conditions = all_of([*self._conditions, {field: {"$type": "array"}}])
                if client[self._kb][PATTERNS].find_one(conditions, {"_id": True}, hint=index):
                    found.append(field)
        return tuple(found)

    @staticmethod
    def _left_out(arrays: Sequence[str]) -> tuple[str, ...]:
        return tuple(
            f"Patterns whose {field} is an array have no place in this order and are left out."
            for field in arrays
        )

    def _without_index(self, outcome: str) -> str:
        [ordered, *_] = self._fields
        fields = ", ".join(f"{field}: {direction}" for field, direction in self._fields.items())
        return (
            f"{outcome}, since there is no index for this order and all patterns must be read;"
            f" those whose {ordered} is an array are left out. An administrator can make one:"
            f" db.{PATTERNS}.createIndex({{{fields}}})"
        )


def _fits_a_link(key: Key) -> bool:
    return len(_encoded(key)) <= _LARGEST_KEY


def _encoded(key: Key) -> bytes:
    return bson.encode({"key": list(key)})
