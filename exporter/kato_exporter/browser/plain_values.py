"""Turns the facts of a page into what JSON can say."""

import dataclasses
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

_DEEPEST = 100

TOO_DEEP = f"(nested more than {_DEEPEST} deep)"
"""Stands where nested values are not followed any further."""


def plain(value: Any, depth: int = 0) -> Any:
    """Give objects, lists, texts, finite numbers, booleans and null.

    Numbers that JSON does not have become the texts `NaN`, `Infinity` and `-Infinity`, points in
    time ISO 8601, bytes the text that they spell, escaped where it is no UTF-8. Raises TypeError
    for anything else.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _spelled(value)
    if isinstance(value, str | bytes | datetime):
        return _text(value)
    if depth >= _DEEPEST:
        return TOO_DEEP
    return _with_parts(value, depth + 1)


def _with_parts(value: Any, depth: int) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name), depth) for field in fields}
    if isinstance(value, Mapping):
        return {_text(str(key)): plain(entry, depth) for key, entry in value.items()}
    if isinstance(value, list | tuple | AbstractSet):
        return [plain(entry, depth) for entry in value]
    raise TypeError(f"{type(value).__name__} is not a value for JSON")


def _spelled(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _text(value: str | bytes | datetime) -> str:
    """Give a text that UTF-8 can carry: half of a surrogate pair becomes its escape."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.encode("utf-8", "backslashreplace").decode()
