"""Qdrant as something that is changed: which changes are ever asked for, and in which way.

Each waits until it is carried out (`wait=true`), and goes through the leader of a cluster
(`ordering=strong`). Qdrant has no transaction and no comparison with what is there, except for
filters; see records.py beside this for what that means.
"""

import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import NotChangeableError, QueryError, StoreError
from kato_exporter.stores.http import Change, JsonApi, TooMuchError
from kato_exporter.stores.json_values import at, count
from kato_exporter.stores.qdrant.answers import collection_names
from kato_exporter.stores.qdrant.content import KeptPoint, kept_point
from kato_exporter.stores.qdrant.names import PointId, collection_path, is_point_id
from kato_exporter.stores.qdrant.points import server_is_from

_WAITING = "wait=true&ordering=strong"
_QUESTIONS = re.compile(r"/collections/[^/?]+/points(/scroll|/count)?\?timeout=\d+")
_CHANGES = re.compile(
    r"POST /collections/[^/?]+/points/delete\?wait=true&ordering=strong"
    r"|PUT /collections/[^/?]+/(points|points/payload|index)\?wait=true&ordering=strong"
    r"|PUT /collections/[^/?]+|DELETE /collections/[^/?]+"
    r"|POST /collections/aliases"
)

_AT_ONCE = 100
_LARGEST_READ = 128 * 1024 * 1024
_FIRST_WITH_CONDITIONS = (1, 16)


class QdrantWriting:
    """A Qdrant server with a key that may write, by URL as in QdrantStore.

    `timeout` in seconds bounds every single answer. Every method raises StoreError, and QueryError
    with Qdrant's status where Qdrant refuses.
    """

    def __init__(self, url: str, *, timeout: float, api_key: str | None = None) -> None:
        self._timeout = timeout
        self._api = JsonApi(
            url,
            timeout=timeout,
            key=api_key,
            advice="KATO_QDRANT_API_KEY (--qdrant-api-key) has to be a key that may write",
            questions=_QUESTIONS,
            changes=_CHANGES,
        )

    def names(self) -> tuple[str, ...]:
        """Name all collections, without aliases."""
        names = collection_names(self._get("/collections"))
        if names is None:
            raise QueryError("/collections: not a list of collections")
        return names

    def info(self, collection: str) -> Mapping[str, Any]:
        """Ask for all that Qdrant tells of a collection."""
        result = at(self._get(collection_path(collection)), "result")
        if not isinstance(result, Mapping):
            raise QueryError(f"{collection_path(collection)}: not a collection")
        return result

    def aliases(self) -> dict[str, str]:
        """Ask for all aliases, each with its collection."""
        aliases = at(self._get("/aliases"), "result", "aliases")
        if not isinstance(aliases, list):
            raise QueryError("/aliases: not a list of aliases")
        found = {at(each, "alias_name"): at(each, "collection_name") for each in aliases}
        if not all(isinstance(text, str) for pair in found.items() for text in pair):
            raise QueryError("/aliases: not a list of aliases")
        return found

    def kept(self, collection: str, points: Sequence[PointId]) -> dict[PointId, KeptPoint]:
        """Read points as they are kept; those that are not there are lacking.

        Raises QueryError where they are too large together, and NotChangeableError where one is, or
        has what could not be written again.
        """
        found: dict[PointId, KeptPoint] = {}
        for start in range(0, len(points), _AT_ONCE):
            found |= self._kept(collection, points[start : start + _AT_ONCE])
            if sum(len(each.content) for each in found.values()) > _LARGEST_READ:
                raise QueryError(
                    f"these points have more than {_LARGEST_READ:,} bytes; take fewer at once"
                )
        return found

    def exact_count(self, collection: str) -> int:
        """Count the points of a collection, every one."""
        answer = self._ask(collection, "/count", {"exact": True})
        found = count(at(answer, "result", "count"))
        if found is None:
            raise QueryError("points/count: not a count")
        return found

    def ids(
        self, collection: str, *, most: int, start: PointId | None
    ) -> tuple[list[PointId], PointId | None]:
        """List ids in order, from one on; and the id that the following ones begin with."""
        question = {
            "limit": most,
            "with_payload": False,
            "with_vector": False,
            **({} if start is None else {"offset": start}),
        }
        answer = self._ask(collection, "/scroll", question)
        rows, following = at(answer, "result", "points"), at(answer, "result", "next_page_offset")
        if not isinstance(rows, list) or not all(is_point_id(at(row, "id")) for row in rows):
            raise QueryError("points/scroll: not a page of points")
        found = [row["id"] for row in rows]
        if following is not None and (not is_point_id(following) or following in found):
            raise QueryError("points/scroll: the listing does not go on")
        return found, following

    def delete(self, collection: str, selected: Mapping[str, Any]) -> None:
        """Delete points, given as `points` or by a `filter`."""
        self._change_points("POST", collection, "/points/delete", selected)

    def overwrite_payload(
        self, collection: str, payload: Mapping[str, Any], selected: Mapping[str, Any]
    ) -> None:
        """Give points a payload in place of theirs; they are selected as in `delete`."""
        order = {"payload": payload, **selected}
        self._change_points("PUT", collection, "/points/payload", order)

    def insert(self, collection: str, points: Sequence[Mapping[str, Any]]) -> None:
        """Put points where there are none; Qdrant before 1.16 puts them over those that are."""
        order: dict[str, Any] = {"points": points}
        if server_is_from(_FIRST_WITH_CONDITIONS, self._api, self._soon()):
            ids = [point["id"] for point in points]
            order["update_filter"] = {"must_not": [{"has_id": ids}]}
        self._change_points("PUT", collection, "/points", order)

    def index(self, collection: str, field: str, schema: Any) -> None:
        """Make an index of a payload's field."""
        order = {"field_name": field, "field_schema": schema}
        self._change_points("PUT", collection, "/index", order)

    def create(self, collection: str, configuration: Mapping[str, Any]) -> None:
        """Make a collection; Qdrant refuses where one has its name."""
        self._change("PUT", collection_path(collection), configuration)

    def drop(self, collection: str) -> None:
        """Remove a collection with all that it holds."""
        self._change("DELETE", collection_path(collection), None)

    def call(self, collection: str, aliases: Sequence[str]) -> None:
        """Give a collection aliases, also where they are another's."""
        made = [
            {"create_alias": {"collection_name": collection, "alias_name": alias}}
            for alias in aliases
        ]
        self._change("POST", "/collections/aliases", {"actions": made})

    def close(self) -> None:
        """Give back every connection."""
        self._api.close()

    def _kept(self, collection: str, points: Sequence[PointId]) -> dict[PointId, KeptPoint]:
        question = {"ids": list(points), "with_payload": True, "with_vector": True}
        try:
            rows = at(self._ask(collection, "", question), "result")
        except TooMuchError as error:
            if len(points) == 1:
                raise NotChangeableError(
                    f"point {points[0]} is too large or too deep to be kept, so it is not changed"
                ) from error
            half = len(points) // 2
            first = self._kept(collection, points[:half])
            return first | self._kept(collection, points[half:])
        except QueryError as error:
            if error.code == HTTPStatus.NOT_FOUND and self._is_gone(collection):
                return {}
            raise
        if not isinstance(rows, list) or not all(
            is_point_id(at(row, "id")) and row["id"] in points for row in rows
        ):
            raise QueryError("points: not the points that were asked for")
        return {row["id"]: kept_point(row) for row in rows}

    def _is_gone(self, collection: str) -> bool:
        """Tell a collection that is not there from a 404 of something in between."""
        return collection not in self.names()

    def _change_points(
        self, method: Change, collection: str, path: str, order: Mapping[str, Any]
    ) -> None:
        path = f"{collection_path(collection)}{path}?{_WAITING}"
        answer = self._change(method, path, order)
        if (status := at(answer, "result", "status")) != "completed":
            raise StoreError(f"Qdrant has taken a change and not carried it out: {status!r:.40}")

    def _change(self, method: Change, path: str, order: Mapping[str, Any] | None) -> Any:
        return self._api.change(method, path, order, self._soon())

    def _ask(self, collection: str, path: str, question: Mapping[str, Any]) -> Any:
        seconds = max(1, math.ceil(self._timeout))
        path = f"{collection_path(collection)}/points{path}?timeout={seconds}"
        return self._api.post(path, question, self._soon())

    def _get(self, path: str) -> Any:
        return self._api.get(path, self._soon())

    def _soon(self) -> Deadline:
        return Deadline.after(self._timeout)
