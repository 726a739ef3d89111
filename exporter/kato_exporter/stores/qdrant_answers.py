"""What Qdrant's REST API answers, as plain typed data: what is not as documented is None."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kato_exporter.stores.json_values import at, count, text

_LONGEST_NAME = 255


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


def collection_names(answer: Any) -> tuple[str, ...] | None:
    """Read the answer to `/collections`; None where any of it is not as documented.

    A list that is understood in part would make collections look as if they were gone.
    """
    entries = at(answer, "result", "collections")
    if not isinstance(entries, list):
        return None
    names = [at(entry, "name") for entry in entries]
    if not all(isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME for name in names):
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
        if isinstance(config[name], Mapping) and len(name) <= _LONGEST_NAME
    )


def _vector(name: str, config: Any) -> Vector:
    return Vector(name=name, size=count(at(config, "size")), distance=text(at(config, "distance")))
