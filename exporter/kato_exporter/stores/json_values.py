"""Reads values out of JSON that anybody may have written: what is not as expected is None."""

import json
import math
from collections.abc import Mapping
from typing import Any

_MOST_COUNT = 2**63
_MOST_TEXT = 64


def parse_json(body: bytes) -> Any:
    """Parse JSON; `NaN` and `Infinity`, which are none, become None. Raise ValueError."""
    try:
        return json.loads(body, parse_constant=lambda _: None)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def at(value: Any, *path: str) -> Any:
    """Follow keys into objects; None where the way ends."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def number(value: Any) -> float | None:
    """Give a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def quantity(value: Any) -> float | None:
    """Give a finite number that is not negative."""
    found = number(value)
    return found if found is not None and found >= 0 else None


def count(value: Any) -> int | None:
    """Give a whole number that is not negative and fits into 63 bits."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < _MOST_COUNT else None


def text(value: Any) -> str | None:
    """Give a text of 1 to 64 characters."""
    return value if isinstance(value, str) and 0 < len(value) <= _MOST_TEXT else None
