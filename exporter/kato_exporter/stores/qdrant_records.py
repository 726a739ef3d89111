"""Points of Qdrant as records that are changed.

Qdrant cannot compare a point with what it was and change it in one step. So a point is read right
before a change and right after it, and the change itself is asked for by a filter: the id, and
what a filter can compare exactly of the payload, which is every field at the top that is a text or
a whole number. What remains is this: where somebody else changes other parts of the same point in
the moment between our reading and our change, a few milliseconds, their change is lost. Points
that KATO writes have nothing else but their vector, and that never changes: their id is made of it.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from kato_exporter.kato.vectors import VECTOR_NAME, is_vector_symbol
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.qdrant_content import (
    place_of,
    point_of_content,
    same_point,
    same_vectors,
)
from kato_exporter.stores.qdrant_names import PointId
from kato_exporter.stores.qdrant_writing import QdrantWriting
from kato_exporter.stores.records import Outcome, Snapshot

_MOST_CONDITIONS = 8
_LONGEST_TEXT = 256
_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**63 - 1
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_UNFILTERED = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)

_LARGEST_ORDER = 8 * 1024 * 1024


class QdrantRecords:
    """Changes points as RecordKind says; of an existing one only the payload.

    The content is that of qdrant_content.py. A point that was put back is the same to the last bit
    of its vectors, also in a cosine collection: Qdrant leaves alone what has length 1.
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
        found = {
            collection: self._writing.contents(collection, [places[n].point for n in numbers])
            for collection, numbers in _by_collection(locators).items()
        }
        contents = (found[place.collection].get(place.point) for place in places)
        return [
            None if content is None else Snapshot(locator, content)
            for locator, content in zip(locators, contents, strict=True)
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
        now = self._writing.contents(collection, [point]).get(point)
        if now is not None and same_point(now, snapshot.content):
            self._selecting(
                lambda selected: self._writing.overwrite_payload(
                    collection, point_of_content(content)["payload"], selected
                ),
                [now],
            )
            now = self._writing.contents(collection, [point]).get(point)
        if now is None:
            return Outcome.MISSING
        return Outcome.DONE if same_point(now, content) else Outcome.CHANGED

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

    def _by_collection(
        self, snapshots: Sequence[Snapshot], change: "_Change"
    ) -> list[Outcome]:
        """Change points of one collection after another.

        A refusal after something was done is no refusal of all.
        """
        outcomes: dict[int, Outcome] = {}
        locators = [snapshot.locator for snapshot in snapshots]
        for collection, numbers in _by_collection(locators).items():
            kept = {
                place_of(snapshots[number].locator).point: snapshots[number].content
                for number in numbers
            }
            try:
                found = change(collection, kept)
            except QueryError as error:
                if outcomes:
                    raise StoreError(f"a part was done, the rest not: {error}") from error
                raise
            outcomes |= {
                number: found[place_of(snapshots[number].locator).point] for number in numbers
            }
        return [outcomes[number] for number in range(len(snapshots))]

    def _delete(
        self, collection: str, kept: Mapping[PointId, bytes]
    ) -> dict[PointId, Outcome]:
        now = self._writing.contents(collection, list(kept))
        same = {point: content for point, content in kept.items() if now.get(point) == content}
        if same:
            self._selecting(
                lambda selected: self._writing.delete(collection, selected), [*same.values()]
            )
        left = self._writing.contents(collection, list(same))
        return {
            point: _fate(gone=point not in left if point in same else None, there=point in now)
            for point in kept
        }

    def _restore(
        self, collection: str, kept: Mapping[PointId, bytes]
    ) -> dict[PointId, Outcome]:
        now = self._writing.contents(collection, list(kept))
        lacking = [point for point in kept if point not in now]
        for portion in _portions([kept[point] for point in lacking]):
            self._writing.insert(collection, [point_of_content(content) for content in portion])
        now |= self._writing.contents(collection, lacking)
        gone = next((point for point in kept if point not in now), None)
        if gone is not None:
            raise StoreError(f"point {gone} is not there after it was put back")
        return {
            point: Outcome.DONE if same_point(now[point], content) else Outcome.TAKEN
            for point, content in kept.items()
        }
