"""How Qdrant names things: collections in paths, and points by an integer or a UUID. No I/O."""

import re
import uuid
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from kato_exporter.stores.errors import QueryError

PointId = int | str
"""An unsigned 64-bit integer, or a UUID in lower case with hyphens."""

LONGEST_NAME = 255
"""The most characters that the name of a collection or vector has."""

_OTHER_PATHS = ("", ".", "..")
_MOST_ID = 2**64 - 1
_DIGITS = re.compile(r"[0-9]{1,20}")
_HEX = r"[0-9a-f]"
_HYPHENATED = f"{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"
_UUID = re.compile(rf"{_HEX}{{32}}|(?:urn:uuid:)?{_HYPHENATED}|\{{{_HYPHENATED}\}}", re.IGNORECASE)


def point_id(spelled: str) -> PointId | None:
    """Read a point's id: an integer, or a UUID with or without hyphens, braces or `urn:uuid:`."""
    if _DIGITS.fullmatch(spelled) and int(spelled) <= _MOST_ID:
        return int(spelled)
    return str(uuid.UUID(spelled)) if _UUID.fullmatch(spelled) else None


def is_point_id(value: Any) -> bool:
    """Tell whether a value of an answer is a point's id."""
    if isinstance(value, str):
        return point_id(value) == value
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_ID


def collection_path(name: str) -> str:
    """Give the path of a collection, with its name as one segment.

    Raises QueryError with code 404 for a name that no collection has, or that is a way elsewhere.
    """
    if name in _OTHER_PATHS or len(name) > LONGEST_NAME:
        raise QueryError("no collection has such a name", code=HTTPStatus.NOT_FOUND)
    return f"/collections/{quote(name, safe='', errors='replace')}"
