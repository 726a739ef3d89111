"""What Qdrant's REST API answers, as plain typed data: what is not as documented is None."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kato_exporter.stores.json_values import at, count, number, text
from kato_exporter.stores.qdrant.names import LONGEST_NAME, PointId, is_point_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """One kind of vector that the points of a collection have; the unnamed one is called ``."""

    name: str
    size: int | None
    distance: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionInfo:
    """A collection's state and configuration (`GET /collections/NAME`).

    The counts are approximate, says Qdrant. `status` is `green`, `yellow`, `grey`, `red` or what a
    later version adds; `optimizer_ok` is false where the optimizers tell of an error.
    """

    status: str | None
    optimizer_ok: bool | None
    points: int | None
    indexed_vectors: int | None
    segments: int | None
    vectors: tuple[Vector, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorKind:
    """What the points of a collection have under one name, `` for the unnamed vector.

    `multi` has any number of vectors of that size; `sparse` has indices and values, and neither
    size nor distance: Qdrant compares them by the dot product.
    """

    name: str
    kind: Literal["dense", "multi", "sparse"]
    size: int | None
    distance: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionDescription:
    """A collection's state with all that it was made with.

    `configuration` and `indexed_fields` are `config` and `payload_schema` as they came.
    """

    info: CollectionInfo
    kinds: tuple[VectorKind, ...]
    configuration: Any
    indexed_fields: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PointVector:
    """A point's vector of one name, `` for the unnamed one.

    `rows` has one vector, of a multivector any number; a component that is no number is None.
    `indices` are those of a sparse vector's components. One that is none of these is `odd`, as it
    came.
    """

    name: str
    kind: Literal["dense", "multi", "sparse", "odd"]
    rows: tuple[tuple[float | None, ...], ...] = ()
    indices: tuple[int, ...] = ()
    odd: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point as far as it was asked for; `payload` is an object, unless somebody else answers."""

    id: PointId
    payload: Any
    vectors: tuple[PointVector, ...]
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRows:
    """Points of an answer, and how many entries were none."""

    points: tuple[Point, ...]
    unreadable: int


def collection_names(answer: Any) -> tuple[str, ...] | None:
    """Read the answer to `/collections`; None where any of it is not as documented.

    A list that is understood in part would make collections look as if they were gone.
    """
    entries = at(answer, "result", "collections")
    if not isinstance(entries, list):
        return None
    names = [at(entry, "name") for entry in entries]
    if not all(isinstance(name, str) and 0 < len(name) <= LONGEST_NAME for name in names):
        return None
    return tuple(dict.fromkeys(names))


def collection_info(answer: Any) -> CollectionInfo | None:
    """Read the answer to `/collections/NAME`; None where there is no result."""
    result = at(answer, "result")
    if not isinstance(result, Mapping):
        return None
    return CollectionInfo(
        status=text(result.get("status")),
        optimizer_ok=_optimizer_ok(result.get("optimizer_status")),
        points=count(result.get("points_count")),
        indexed_vectors=count(result.get("indexed_vectors_count")),
        segments=count(result.get("segments_count")),
        vectors=_vectors(at(result, "config", "params", "vectors")),
    )


def collection_description(answer: Any) -> CollectionDescription | None:
    """Read all of the answer to `/collections/NAME`; None where there is no result."""
    info = collection_info(answer)
    if info is None:
        return None
    params = at(answer, "result", "config", "params")
    return CollectionDescription(
        info=info,
        kinds=(
            *(_kind(vector, at(params, "vectors")) for vector in info.vectors),
            *(
                VectorKind(name=name, kind="sparse", size=None, distance=None)
                for name in sorted(_object(at(params, "sparse_vectors")))
                if len(name) <= LONGEST_NAME
            ),
        ),
        configuration=at(answer, "result", "config"),
        indexed_fields=at(answer, "result", "payload_schema"),
    )


def scrolled_points(answer: Any) -> tuple[PointRows | None, PointId | None]:
    """Read the answer to `points/scroll`: the points, and the id that the next page begins with."""
    rows = _rows(at(answer, "result", "points"))
    following = at(answer, "result", "next_page_offset")
    if following is None:
        return rows, None
    return (rows, following) if is_point_id(following) else (None, None)


def listed_points(answer: Any) -> PointRows | None:
    """Read the answer to `points` or `points/recommend`; None where it is no list."""
    return _rows(at(answer, "result"))


def queried_points(answer: Any) -> PointRows | None:
    """Read the answer to `points/query`; None where it has no list."""
    return _rows(at(answer, "result", "points"))


def _rows(entries: Any) -> PointRows | None:
    if not isinstance(entries, list):
        return None
    points = tuple(
        Point(
            id=entry["id"],
            payload=entry.get("payload"),
            vectors=_point_vectors(entry.get("vector")),
            score=number(entry.get("score")),
        )
        for entry in entries
        if isinstance(entry, Mapping) and is_point_id(entry.get("id"))
    )
    return PointRows(points=points, unreadable=len(entries) - len(points))


def _point_vectors(vectors: Any) -> tuple[PointVector, ...]:
    """Read the unnamed vector, a list, or an object of named ones; none where there is nothing."""
    if vectors is None:
        return ()
    if not isinstance(vectors, Mapping):
        return (_point_vector("", vectors),)
    return tuple(_point_vector(name, vectors[name]) for name in sorted(vectors))


def _point_vector(name: str, vector: Any) -> PointVector:
    if isinstance(vector, Mapping):
        indices, values = vector.get("indices"), _components(vector.get("values"))
        if (
            values is not None
            and isinstance(indices, list)
            and len(indices) == len(values)
            and all(count(index) is not None for index in indices)
        ):
            return PointVector(name=name, kind="sparse", rows=(values,), indices=tuple(indices))
    elif (components := _components(vector)) is not None:
        return PointVector(name=name, kind="dense", rows=(components,))
    elif isinstance(vector, list):
        rows = tuple(row for row in map(_components, vector) if row is not None)
        if len(rows) == len(vector):
            return PointVector(name=name, kind="multi", rows=rows)
    return PointVector(name=name, kind="odd", odd=vector)


def _components(values: Any) -> tuple[float | None, ...] | None:
    """Give finite numbers; None for a list that has anything else but null, and for no list."""
    if not isinstance(values, list):
        return None
    components = tuple(map(number, values))
    odd = any(
        component is None and value is not None
        for component, value in zip(components, values, strict=True)
    )
    return None if odd else components


def _kind(vector: Vector, config: Any) -> VectorKind:
    own = config if vector.name == "" else at(config, vector.name)
    multi = isinstance(at(own, "multivector_config"), Mapping)
    return VectorKind(
        name=vector.name,
        kind="multi" if multi else "dense",
        size=vector.size,
        distance=vector.distance,
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _optimizer_ok(status: Any) -> bool | None:
    if status == "ok":
        return True
    return False if at(status, "error") is not None else None


def _vectors(config: Any) -> tuple[Vector, ...]:
    """Read the one unnamed vector, `{"size": 4, ...}`, or named ones, `{"text": {...}}`."""
    if not isinstance(config, Mapping):
        return ()
    if count(config.get("size")) is not None:
        return (_vector("", config),)
    return tuple(
        _vector(name, config[name])
        for name in sorted(config)
        if isinstance(config[name], Mapping) and len(name) <= LONGEST_NAME
    )


def _vector(name: str, config: Any) -> Vector:
    return Vector(name=name, size=count(at(config, "size")), distance=text(at(config, "distance")))
