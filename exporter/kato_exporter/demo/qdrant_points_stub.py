"""The stub of what Qdrant does with points; it is no Qdrant, see qdrant_stub.py."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import Any, TypeVar

from flask import Blueprint, request
from qdrant_client import QdrantClient
from qdrant_client.models import (
    ChangeAliasesOperation,
    CountRequest,
    CreateCollection,
    CreateFieldIndex,
    FilterSelector,
    PointIdsList,
    PointRequest,
    PointsList,
    QueryRequest,
    Record,
    ScoredPoint,
    ScrollRequest,
    SetPayload,
)

READING = frozenset({"points.retrieve", "points.scroll", "points.query", "points.count"})
"""The endpoints that read though they are asked by POST, for which the read-only key is enough."""

_DEFAULT_LIMIT = 10

_COMPLETED = {"operation_id": 0, "status": "completed"}

Body = TypeVar(
    "Body",
    PointRequest,
    ScrollRequest,
    QueryRequest,
    CountRequest,
    PointsList,
    PointIdsList,
    FilterSelector,
    SetPayload,
    CreateCollection,
    CreateFieldIndex,
    ChangeAliasesOperation,
)


class RefusedError(Exception):
    """An answer with a status other than 200, and Qdrant's words for it."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status = status


def points_stub(client: QdrantClient, lock: AbstractContextManager[Any]) -> Blueprint:
    """Make what reads and writes points with a client in local mode, one at a time."""
    points = Blueprint("points", __name__)
    _add_reading(points, client, lock)
    _add_writing(points, client, lock)
    return points


def _add_reading(
    points: Blueprint, client: QdrantClient, lock: AbstractContextManager[Any]
) -> None:
    @points.get("/collections/<name>/points/<spelled>")
    def point(name: str, spelled: str) -> dict[str, Any]:
        wanted = int(spelled) if spelled.isdecimal() else spelled
        with lock:
            existing(client, name)
            found = client.retrieve(name, [wanted], with_payload=True, with_vectors=True)
        if not found:
            words = f"Not found: Point with id {wanted} does not exists!"
            raise RefusedError(HTTPStatus.NOT_FOUND, words)
        return result(_record(found[0]))

    @points.post("/collections/<name>/points")
    def retrieve(name: str) -> dict[str, Any]:
        body = body_of(PointRequest)
        with lock:
            existing(client, name)
            found = client.retrieve(
                name,
                body.ids,
                with_payload=True if body.with_payload is None else body.with_payload,
                with_vectors=body.with_vector or False,
            )
        return result([_record(record) for record in found])

    @points.post("/collections/<name>/points/scroll")
    def scroll(name: str) -> dict[str, Any]:
        body = body_of(ScrollRequest)
        with lock:
            existing(client, name)
            found, following = client.scroll(
                name,
                scroll_filter=body.filter,
                limit=_DEFAULT_LIMIT if body.limit is None else body.limit,
                offset=body.offset,
                with_payload=True if body.with_payload is None else body.with_payload,
                with_vectors=body.with_vector or False,
            )
        return result(
            {"points": [_record(record) for record in found], "next_page_offset": following}
        )

    @points.post("/collections/<name>/points/query")
    def query(name: str) -> dict[str, Any]:
        body = body_of(QueryRequest)
        with lock:
            existing(client, name)
            found = client.query_points(
                name,
                query=body.query,
                using=body.using,
                query_filter=body.filter,
                limit=_DEFAULT_LIMIT if body.limit is None else body.limit,
                with_payload=body.with_payload or False,
                with_vectors=body.with_vector or False,
            )
        return result({"points": [_scored(record) for record in found.points]})

    @points.post("/collections/<name>/points/count")
    def count(name: str) -> dict[str, Any]:
        body = body_of(CountRequest)
        with lock:
            existing(client, name)
            found = client.count(name, count_filter=body.filter)
        return result({"count": found.count})


def _add_writing(
    points: Blueprint, client: QdrantClient, lock: AbstractContextManager[Any]
) -> None:
    @points.put("/collections/<name>/points")
    def upsert(name: str) -> dict[str, Any]:
        body = body_of(PointsList)
        with lock:
            existing(client, name)
            client.upsert(
                name,
                body.points,
                update_filter=body.update_filter,
                update_mode=body.update_mode,
            )
        return result(_COMPLETED)

    @points.post("/collections/<name>/points/delete")
    def delete(name: str) -> dict[str, Any]:
        selector = _selector()
        with lock:
            existing(client, name)
            client.delete(name, selector)
        return result(_COMPLETED)

    @points.post("/collections/<name>/points/payload")
    def set_payload(name: str) -> dict[str, Any]:
        body = body_of(SetPayload)
        with lock:
            existing(client, name)
            client.set_payload(name, body.payload, body.filter or body.points or [], body.key)
        return result(_COMPLETED)

    @points.put("/collections/<name>/points/payload")
    def overwrite_payload(name: str) -> dict[str, Any]:
        body = body_of(SetPayload)
        with lock:
            existing(client, name)
            client.overwrite_payload(name, body.payload, body.filter or body.points or [])
        return result(_COMPLETED)


def existing(client: QdrantClient, name: str) -> None:
    """Refuse a collection that there is not, as Qdrant does."""
    if not client.collection_exists(name):
        words = f"Not found: Collection `{name}` doesn't exist!"
        raise RefusedError(HTTPStatus.NOT_FOUND, words)


def result(found: object) -> dict[str, Any]:
    """Put what was found into the frame of Qdrant's answers."""
    return {"result": found, "status": "ok", "time": 0.0}


def refusal(status: HTTPStatus, words: str) -> tuple[dict[str, Any], int]:
    """Put an error into the frame of Qdrant's answers."""
    return {"status": {"error": words}, "time": 0.0}, status


def body_of(kind: type[Body]) -> Body:
    """Read the body of a request, and refuse one that is of another kind, as Qdrant does."""
    try:
        return kind.model_validate_json(request.get_data())
    except ValueError as error:
        words = f"Format error in JSON body: {error}"
        raise RefusedError(HTTPStatus.BAD_REQUEST, words) from error


def _selector() -> FilterSelector | PointIdsList:
    by_filter = "filter" in (request.get_json(silent=True) or {})
    return body_of(FilterSelector) if by_filter else body_of(PointIdsList)


def _record(record: Record | ScoredPoint) -> Mapping[str, Any]:
    fields = record.model_dump(mode="json")
    return {name: fields[name] for name in ("id", "payload", "vector") if fields[name] is not None}


def _scored(point: ScoredPoint) -> Mapping[str, Any]:
    return {**_record(point), "version": point.version, "score": point.score}
