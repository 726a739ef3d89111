"""Points of Qdrant's collections: read in pages, by id, and by their likeness to another.

Every question is a POST that only reads, for which a read-only key is enough: `/points` (by id),
`/points/scroll` (a page), `/points/query` (similar ones; `/points/recommend` before Qdrant 1.10).
"""

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from kato_exporter.kato.vectors import VECTOR_NAME
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.http import JsonApi, TooMuchError
from kato_exporter.stores.json_values import at, text
from kato_exporter.stores.qdrant.answers import (
    Point,
    PointRows,
    listed_points,
    queried_points,
    scrolled_points,
)
from kato_exporter.stores.qdrant.names import PointId, collection_path

QUESTIONS = re.compile(r"/collections/[^/?]+/points(/scroll|/query|/recommend)?\?timeout=\d+")
"""The paths that are asked by POST."""

_FEWER = 5
_NAME_ONLY = [VECTOR_NAME]
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})")
_FIRST_WITH_QUERY = (1, 10)

_FEWER_ROWS = "Payloads are too large to be read together; this page has fewer points"
_NO_PAYLOAD = f"The payload is too large or too deep to be read here, except for {VECTOR_NAME}."
_NO_PAYLOADS = f"Payloads are too large to be read together; only {VECTOR_NAME} is shown."
_NO_VECTORS = "The vectors are too large to be read here."


@dataclass(frozen=True, slots=True)
class Match:
    """A condition on payloads: the value at `key`, or one of a list there, is `value`.

    `key` is a path as Qdrant writes it: `a.b` is field `b` of object `a`, `a[]` any item of a list,
    `"a.b"` a field with a dot in its name.
    """

    key: str
    value: str | int | bool

    @property
    def filter(self) -> Mapping[str, Any]:
        """The condition as a filter of Qdrant."""
        return {"must": [{"key": self.key, "match": {"value": self.value}}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class PointPage:
    """Points in order of their ids, integers before UUIDs.

    `next` is the id that the following page begins with. `cut` says what was left out because it is
    too large to be read, a line each.
    """

    rows: PointRows
    next: PointId | None
    cut: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WholePoint:
    """One point with its vectors; `cut` as of a page."""

    point: Point
    cut: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarPoints:
    """Points with their scores in the server's order, the likest first; `cut` as of a page."""

    rows: PointRows
    cut: tuple[str, ...] = ()


class QdrantPoints:
    """Reads points; every question raises StoreError, or QueryError with Qdrant's status.

    `timeout` in seconds is told to the server too, so that it does not work on for nobody.
    """

    def __init__(self, api: JsonApi, *, timeout: float) -> None:
        self._api = api
        self._timeout = timeout

    def page(
        self,
        collection: str,
        *,
        most: int,
        start: PointId | None,
        match: Match | None,
        deadline: Deadline,
    ) -> PointPage:
        """Ask for points without vectors, from the id `start` on, which need not exist.

        Where they are too large together it asks for fewer, and of a single one that is too large
        for no more than KATO's name.
        """
        limit = most
        while True:
            cut = () if limit == most else (f"{_FEWER_ROWS} ({limit} instead of {most}).",)
            try:
                return self._page(collection, limit, start, match, deadline, cut=cut)
            except TooMuchError:
                if limit == 1:
                    break
                limit = max(1, limit // _FEWER)
        return self._page(
            *(collection, 1, start, match, deadline),
            with_payload=_NAME_ONLY,
            cut=(_NO_PAYLOAD,),
        )

    def ids(
        self,
        collection: str,
        *,
        most: int,
        start: PointId | None,
        match: Match,
        deadline: Deadline,
    ) -> tuple[list[PointId], PointId | None]:
        """Ask for no more than the ids of a page, and the id that the following one begins with."""
        page = self._page(*(collection, most, start, match, deadline), with_payload=False, cut=())
        return [point.id for point in page.rows.points], page.next

    def point(self, collection: str, point: PointId, deadline: Deadline) -> WholePoint:
        """Ask for a point with payload and vectors; QueryError with code 404 where it is gone.

        Where that is too large it asks for each by itself.
        """
        with suppress(TooMuchError):
            return WholePoint(point=self._point(collection, point, deadline))
        cut = []
        try:
            found = self._point(collection, point, deadline, with_vector=False)
        except TooMuchError:
            found = self._point(
                collection, point, deadline, with_payload=_NAME_ONLY, with_vector=False
            )
            cut.append(_NO_PAYLOAD)
        try:
            vectors = self._point(collection, point, deadline, with_payload=False).vectors
        except TooMuchError:
            vectors = ()
            cut.append(_NO_VECTORS)
        return WholePoint(point=replace(found, vectors=vectors), cut=tuple(cut))

    def similar(
        self, collection: str, point: PointId, *, vector: str, most: int, deadline: Deadline
    ) -> SimilarPoints:
        """Ask for the points whose vector of that name is nearest to the point's own.

        The point itself is not among them.
        """
        with suppress(TooMuchError):
            return self._similar(collection, point, vector, most, deadline)
        return self._similar(
            *(collection, point, vector, most, deadline),
            with_payload=_NAME_ONLY,
            cut=(_NO_PAYLOADS,),
        )

    def _page(  # noqa: PLR0913 - what the question consists of
        self,
        collection: str,
        limit: int,
        start: PointId | None,
        match: Match | None,
        deadline: Deadline,
        *,
        with_payload: bool | list[str] = True,
        cut: tuple[str, ...],
    ) -> PointPage:
        question = {
            "limit": limit,
            "with_payload": with_payload,
            "with_vector": False,
            **({} if start is None else {"offset": start}),
            **({} if match is None else {"filter": match.filter}),
        }
        rows, following = scrolled_points(self._post(collection, "/scroll", question, deadline))
        if rows is None or len(rows.points) > limit:
            raise QueryError("points/scroll: not a page of points")
        return PointPage(rows=rows, next=following, cut=cut)

    def _point(
        self,
        collection: str,
        point: PointId,
        deadline: Deadline,
        *,
        with_payload: bool | list[str] = True,
        with_vector: bool = True,
    ) -> Point:
        question = {"ids": [point], "with_payload": with_payload, "with_vector": with_vector}
        rows = listed_points(self._post(collection, "", question, deadline))
        if rows is None:
            raise QueryError("points: not a list of points")
        if not rows.points:
            raise QueryError(f"points: no point {point}", code=HTTPStatus.NOT_FOUND)
        return rows.points[0]

    def _similar(  # noqa: PLR0913 - what the question consists of
        self,
        collection: str,
        point: PointId,
        vector: str,
        most: int,
        deadline: Deadline,
        *,
        with_payload: bool | list[str] = True,
        cut: tuple[str, ...] = (),
    ) -> SimilarPoints:
        question: dict[str, Any] = {
            "limit": most + 1,  # for a server that takes the point as its own nearest
            "with_payload": with_payload,
            **({"using": vector} if vector else {}),
        }
        if server_is_from(_FIRST_WITH_QUERY, self._api, deadline):
            answer = self._post(collection, "/query", {"query": point, **question}, deadline)
            rows = queried_points(answer)
        else:
            question["positive"] = [point]
            rows = listed_points(self._post(collection, "/recommend", question, deadline))
        if rows is None:
            raise QueryError("points/query: not a list of points")
        others = tuple(found for found in rows.points if found.id != point)
        return SimilarPoints(rows=replace(rows, points=others[:most]), cut=cut)

    def _post(
        self, collection: str, question: str, body: Mapping[str, Any], deadline: Deadline
    ) -> Any:
        deadline = deadline.within(self._timeout)
        seconds = max(1, math.ceil(deadline.remaining))
        path = f"{collection_path(collection)}/points{question}?timeout={seconds}"
        return self._api.post(path, body, deadline)


def server_is_from(first: tuple[int, int], api: JsonApi, deadline: Deadline) -> bool:
    """Tell whether the server is of this version or a later one, as one is that does not tell."""
    version = _VERSION.match(text(at(api.get("/", deadline), "version")) or "")
    return version is None or tuple(map(int, version.groups())) >= first
