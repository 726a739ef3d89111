"""Points of Qdrant as records that are changed.

Qdrant cannot compare a point with what it was and change it in one step. So a point is read right
before a change and right after it, and the change itself is asked for by a filter: the id, and
what a filter can compare exactly of the payload, which is every field at the top that is a text or
a whole number. What remains is this: where somebody else changes other parts of the same point in
the moment between our reading and our change, a few milliseconds, their change is lost. Points
that KATO writes have nothing else but their vector, and that never changes: their id is made of it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from kato_exporter.kato.vectors import VECTOR_NAME, is_vector_symbol
from kato_exporter.stores.errors import QueryError, StoreError, part_of_a_change
from kato_exporter.stores.qdrant.content import (
    KeptPoint,
    place_of,
    point_as_it_was,
    point_of_content,
    same_point,
    same_vectors,
)
from kato_exporter.stores.qdrant.names import PointId
from kato_exporter.stores.qdrant.writing import QdrantWriting
from kato_exporter.stores.records import Outcome, Snapshot

_MOST_CONDITIONS = 8
_LONGEST_TEXT = 256
_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**63 - 1
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_UNFILTERED = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)

_LARGEST_ORDER = 8 * 1024 * 1024

Points = Mapping[PointId, KeptPoint]

_Change = Callable[[str, Points], dict[PointId, Outcome]]


class QdrantRecords:
    """Changes points as RecordKind says; of an existing one only the payload.

    Content and surroundings are those of content.py. A point that was put back has the same
    vectors to the last bit, also in a cosine collection: Qdrant leaves alone what has length 1. Of
    a cosine collection of 16-bit floats a last bit may differ.
    """

    name = "point"
    store = "qdrant"

    def __init__(self, writing: QdrantWriting) -> None:
        self._writing = writing

    def label(self, locator: bytes) -> str:
        """Name a point for people."""
        place = place_of(locator)
        return f"{place.point} in {place.collection}"

    def path(self, locator: bytes) -> str:
        """Give the path of a point's page."""
        place = place_of(locator)
        collection = quote(place.collection, safe="", errors="replace")
        return f"/qdrant/{collection}/points/{place.point}"

    def read(self, locators: Sequence[bytes]) -> list[Snapshot | None]:
        """Read points with payload and vectors; None also where the collection is gone."""
        places = [place_of(locator) for locator in locators]
        wanted: dict[str, list[PointId]] = {}
        for place in places:
            wanted.setdefault(place.collection, []).append(place.point)
        found = {
            collection: self._writing.kept(collection, points)
            for collection, points in wanted.items()
        }
        kept = (found[place.collection].get(place.point) for place in places)
        return [
            None if each is None else Snapshot(locator, each.content, each.ordered)
            for locator, each in zip(locators, kept, strict=True)
        ]

    def delete(self, snapshots: Sequence[Snapshot]) -> list[Outcome]:
        """Delete the points that still are as they were kept.

        CHANGED also where somebody has written a point again before that could be looked at.
        """
        return self._by_collection(snapshots, self._delete)

    def replace(self, snapshot: Snapshot, content: bytes) -> Outcome:
        """Give a point another payload; DONE also where it has that already."""
        if not same_vectors(snapshot.content, content):
            raise QueryError("only the payload of a point is changed, not its id or vectors")
        collection, point = place_of(snapshot.locator)
        now = self._writing.kept(collection, [point]).get(point)
        if now is not None and same_point(now.content, snapshot.content):
            payload = point_of_content(content)["payload"]
            _narrowed(
                lambda selected: self._writing.overwrite_payload(collection, payload, selected),
                [now.content],
            )
            with part_of_a_change(begun=True):
                now = self._writing.kept(collection, [point]).get(point)
        if now is None:
            return Outcome.MISSING
        return Outcome.DONE if same_point(now.content, content) else Outcome.CHANGED

    def restore(self, snapshots: Sequence[Snapshot]) -> list[Outcome]:
        """Put points back where nothing has their id.

        Before Qdrant 1.16 one that somebody writes in that very moment is overwritten.
        """
        return self._by_collection(snapshots, self._restore)

    def settle(self, snapshots: Sequence[Snapshot], *, sign: int, mark: str) -> None:
        """Do nothing: no other record says anything of these."""

    def forget(self, snapshots: Sequence[Snapshot], *, mark: str) -> None:
        """Do nothing: there are no traces."""

    def references(self, snapshots: Sequence[Snapshot]) -> list[str]:
        """Say how many hold the vector of a symbol that patterns may have."""
        names = [
            point_of_content(snapshot.content)["payload"].get(VECTOR_NAME) for snapshot in snapshots
        ]
        number = sum(isinstance(name, str) and is_vector_symbol(name) for name in names)
        if not number:
            return []
        held = "is the vector of a symbol" if number == 1 else "are vectors of symbols"
        return [f"{number:,} {held} (VCTR|…); patterns that have the symbol stay as they are."]

    def _by_collection(self, snapshots: Sequence[Snapshot], change: _Change) -> list[Outcome]:
        outcomes: dict[tuple[str, PointId], Outcome] = {}
        kept: dict[str, dict[PointId, KeptPoint]] = {}
        for snapshot in snapshots:
            collection, point = place_of(snapshot.locator)
            of_collection = kept.setdefault(collection, {})
            of_collection[point] = KeptPoint(snapshot.content, snapshot.surroundings)
        for collection, points in kept.items():
            with part_of_a_change(begun=bool(outcomes)):
                found = change(collection, points)
            outcomes |= {(collection, point): outcome for point, outcome in found.items()}
        return [outcomes[place_of(snapshot.locator)] for snapshot in snapshots]

    def _delete(self, collection: str, kept: Points) -> dict[PointId, Outcome]:
        now = self._writing.kept(collection, list(kept))
        outcomes = {point: Outcome.CHANGED if point in now else Outcome.MISSING for point in kept}
        same = [point for point in now if kept[point].content == now[point].content]
        if same:
            _narrowed(
                lambda selected: self._writing.delete(collection, selected),
                [kept[point].content for point in same],
            )
            with part_of_a_change(begun=True):
                left = self._writing.kept(collection, same)
            outcomes |= {
                point: Outcome.CHANGED if point in left else Outcome.DONE for point in same
            }
        return outcomes

    def _restore(self, collection: str, kept: Points) -> dict[PointId, Outcome]:
        now = self._writing.kept(collection, list(kept))
        lacking = [point for point in kept if point not in now]
        for number, portion in enumerate(_portions([kept[point] for point in lacking])):
            with part_of_a_change(begun=number > 0):
                self._insert(collection, portion)
        with part_of_a_change(begun=bool(lacking)):
            now |= self._writing.kept(collection, lacking)
        if gone := [point for point in kept if point not in now]:
            raise StoreError(f"point {gone[0]} is not there after it was put back")
        return {
            point: Outcome.DONE if same_point(now[point].content, each.content) else Outcome.TAKEN
            for point, each in kept.items()
        }

    def _insert(self, collection: str, points: Sequence[KeptPoint]) -> None:
        try:
            self._writing.insert(collection, [point_as_it_was(each) for each in points])
        except QueryError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                raise QueryError(
                    f"there is no collection {collection} any more; put that back first"
                ) from error
            raise


def _narrowed(change: Callable[[Mapping[str, Any]], None], contents: Sequence[bytes]) -> None:
    """Ask for a change of these points as they are; by their ids alone where filters are refused.

    Qdrant in strict mode refuses to filter by fields that have no index.
    """
    try:
        change({"filter": {"should": [filter_as_it_is(content) for content in contents]}})
    except QueryError as error:
        if error.code not in _UNFILTERED:
            raise
        change({"points": [point_of_content(content)["id"] for content in contents]})


def filter_as_it_is(content: bytes) -> Mapping[str, Any]:
    """Give a filter for a point that has what can be compared exactly."""
    point = point_of_content(content)
    fields = [
        {"key": key, "match": {"value": value}}
        for key, value in point["payload"].items()
        if _PLAIN_KEY.fullmatch(key) and _is_comparable(value)
    ]
    return {"must": [{"has_id": [point["id"]]}, *fields[:_MOST_CONDITIONS]]}


def _is_comparable(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_TEXT
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and _LEAST_INTEGER <= value <= _MOST_INTEGER


def _portions(points: Sequence[KeptPoint]) -> Iterator[list[KeptPoint]]:
    """Give as many at once as one request holds."""
    portion: list[KeptPoint] = []
    size = 0
    for point in points:
        if portion and size + len(point.content) > _LARGEST_ORDER:
            yield portion
            portion, size = [], 0
        portion.append(point)
        size += len(point.content)
    if portion:
        yield portion
