"""Points of Qdrant as records that are kept: where they are, and what they consist of. No I/O.

The content of a point is JSON in its one spelling, `{"id":...,"payload":{...},"vector":...}`: the
names in their order, numbers in the shortest way that means the same. Versions of Qdrant keep the
order in which the fields of a payload were written; where that is another, it surrounds the record.
"""

import json
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kato_exporter.stores.errors import NotChangeableError, QueryError
from kato_exporter.stores.qdrant.names import PointId, is_point_id

_PARTS = ("id", "payload", "vector")
_HALF_ROUNDING = 1e-3
_SINGLE_ROUNDING = 1e-6
_DOUBLE_ROUNDING = 1e-15

_Close = Callable[[float, float], bool]


class Place(NamedTuple):
    """A point's collection and id."""

    collection: str
    point: PointId

    @property
    def locator(self) -> bytes:
        """Give the place as the locator of a record."""
        return canonical(self._asdict())


def place_of(locator: bytes) -> Place:
    """Read what `Place.locator` has written; raise QueryError for anything else."""
    match _json(locator):
        case {"collection": str() as collection, "point": int() | str() as point}:
            place = Place(collection, point)
            if is_point_id(point) and place.locator == locator:
                return place
    raise QueryError("this is no locator of a point")


class KeptPoint(NamedTuple):
    """A point's content, and its payload in the order that Qdrant gives, empty for the same."""

    content: bytes
    ordered: bytes


def kept_point(row: Mapping[str, Any]) -> KeptPoint:
    """Read an entry of an answer that has payload and vectors.

    Raises NotChangeableError for a point that could not be written again as it is.
    """
    if row.get("shard_key") is not None:
        raise NotChangeableError(
            f"point {row['id']} has a shard key of its own; such points are not changed here"
        )
    payload = {} if row.get("payload") is None else row["payload"]
    if not isinstance(payload, Mapping):
        raise QueryError(f"the payload of point {row['id']} is not an object")
    vector = {} if row.get("vector") is None else row["vector"]
    try:
        content = canonical({"id": row["id"], "payload": payload, "vector": vector})
        ordered = json.dumps(payload, separators=(",", ":"), allow_nan=False).encode()
        return KeptPoint(content, b"" if ordered == canonical(payload) else ordered)
    except RecursionError as error:
        raise NotChangeableError(f"point {row['id']} is nested too deeply to be kept") from error


def point_of_content(content: bytes) -> dict[str, Any]:
    """Give a point's `id`, `payload` and `vector`; raise QueryError for what is no content."""
    found = _json(content)
    if isinstance(found, dict) and tuple(found) == _PARTS and isinstance(found["payload"], dict):
        return found
    raise QueryError("this is no content of a point")


def point_as_it_was(kept: KeptPoint) -> dict[str, Any]:
    """Give a point's parts, its payload in the order in which it was."""
    point = point_of_content(kept.content)
    ordered = _json(kept.ordered)
    return {**point, "payload": ordered} if ordered == point["payload"] else point


def with_payload(content: bytes, payload: Mapping[str, Any]) -> bytes:
    """Give the content of the same point with another payload."""
    return canonical({**point_of_content(content), "payload": payload})


def same_point(one: bytes, other: bytes) -> bool:
    """Tell whether two contents are of the same point with the same payload and vectors.

    What rounding leaves does not count. Qdrant normalises the vectors of a cosine collection, once
    more when they are put back unless their length is 1 to a millionth, which that of floats of 16
    bits is not; and its reading of JSON may miss the last digit of a number in a payload.
    """
    if one == other:
        return True
    first, second = point_of_content(one), point_of_content(other)
    return (
        first["id"] == second["id"]
        and _alike(first["payload"], second["payload"], _is_same_number)
        and _alike(first["vector"], second["vector"], _is_same_component)
    )


def same_vectors(one: bytes, other: bytes) -> bool:
    """Tell whether two contents are of the same point, whose payload alone may differ."""
    first, second = point_of_content(one), point_of_content(other)
    return (first["id"], first["vector"]) == (second["id"], second["vector"])


def canonical(value: Any) -> bytes:
    """Spell JSON in the one way in which it is compared: objects in the order of their keys."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()


def _json(spelled: bytes) -> Any:
    try:
        return json.loads(spelled)
    except (ValueError, RecursionError):
        return None


def _alike(one: Any, other: Any, close: _Close) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            _alike(one[key], other[key], close) for key in one
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            _alike(mine, yours, close) for mine, yours in zip(one, other, strict=True)
        )
    if isinstance(one, float) and isinstance(other, float):
        return close(one, other)
    return type(one) is type(other) and bool(one == other)


def _is_same_number(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_DOUBLE_ROUNDING)


def _is_same_component(one: float, other: float) -> bool:
    halves = _is_half(one) and _is_half(other)
    return math.isclose(one, other, rel_tol=_HALF_ROUNDING if halves else _SINGLE_ROUNDING)


def _is_half(number: float) -> bool:
    """Tell whether a float of 16 bits can be this number."""
    try:
        [rounded] = struct.unpack("e", struct.pack("e", number))
    except OverflowError:
        return False
    return bool(rounded == number)
