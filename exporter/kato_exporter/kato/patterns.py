"""A pattern's parts, in every shape that KATO 2 stores, read from values of any type."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

PATTERN_SYMBOL = "PTRN|"
"""Begins a symbol that stands for a pattern of a lower knowledge base; its name follows."""

VECTOR_SYMBOL = "VCTR|"
"""Begins a symbol that stands for a vector; its SHA-1 follows."""

Event = Sequence[Any]

_SHA1 = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Emotive:
    """An emotive of a pattern: its values, newest last, and the mean of those that are numbers.

    A value is None where a learning came without this emotive; the mean is None without numbers.
    """

    name: str
    values: tuple[Any, ...]
    mean: float | None


@dataclass(frozen=True, slots=True)
class Emotives:
    """A pattern's emotives, and the shape in which they are stored.

    `shape` is `empty` for `{}`, `learnings` for an array of one object for each of the last
    learnings, `lists` for an object of arrays, which KATO's update_pattern leaves.
    """

    shape: str
    emotives: tuple[Emotive, ...]


def read_events(pattern_data: object) -> tuple[Event, ...] | None:
    """Read `pattern_data` as events; None where it is no array of arrays."""
    if not isinstance(pattern_data, list):
        return None
    if not all(isinstance(event, list) for event in pattern_data):
        return None
    return tuple(pattern_data)


def distinct_symbols(events: Iterable[Event]) -> list[str]:
    """Give each symbol once, in the order in which they come; what is no text is none."""
    symbols = (symbol for symbol in chain.from_iterable(events) if isinstance(symbol, str))
    return list(dict.fromkeys(symbols))


def distinct_events(events: Iterable[Event]) -> list[Event]:
    """Give each event once, in the order in which they come."""
    found: list[Event] = []
    for event in events:
        if event not in found:
            found.append(event)
    return found


def read_emotives(value: object) -> Emotives | None:
    """Read a pattern's `emotives`; None where they have none of the three shapes."""
    if isinstance(value, Mapping):
        if not value:
            return Emotives("empty", ())
        if all(isinstance(values, list) for values in value.values()):
            return Emotives("lists", tuple(_emotive(*entry) for entry in value.items()))
        return None
    if isinstance(value, list) and all(isinstance(learning, Mapping) for learning in value):
        names = dict.fromkeys(chain.from_iterable(value))
        return Emotives(
            "learnings",
            tuple(_emotive(name, [learning.get(name) for learning in value]) for name in names),
        )
    return None


def pattern_of(symbol: object) -> str | None:
    """Give the name of the pattern that a symbol stands for, None for any other."""
    return _sha1_after(PATTERN_SYMBOL, symbol)


def vector_of(symbol: object) -> str | None:
    """Give the SHA-1 of the vector that a symbol stands for, None for any other."""
    return _sha1_after(VECTOR_SYMBOL, symbol)


def _emotive(name: str, values: Sequence[Any]) -> Emotive:
    numbers = [value for value in values if _is_finite(value)]
    mean = math.fsum(number / len(numbers) for number in numbers) if numbers else None
    return Emotive(name, tuple(values), mean)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _sha1_after(prefix: str, symbol: object) -> str | None:
    if not isinstance(symbol, str) or not symbol.startswith(prefix):
        return None
    digest = symbol.removeprefix(prefix)
    return digest if _SHA1.fullmatch(digest) else None
