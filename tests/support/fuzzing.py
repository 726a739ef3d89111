"""What the fuzz tests feed the product with: anything, and records with anything in them."""

import os
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FULL = bool(os.environ.get("KATO_TEST_FULL"))
"""Whether there is time for many examples, and for others each time."""

_TIMES_IN_FULL = 20
_SECONDS_IN_FULL = 1_800

Test = TypeVar("Test", bound=Callable[..., None])

ODD_TEXTS = (
    "",
    "\0",
    "\ud800",
    "\\ud800",
    'a"b\\c\nd\r\t',
    "\u202e\ufeff\u2028",
    "{}[]<b>&'",
    "other",
    "NaN",
    "1e999",
    "-1",
    "w" * 300,
)
ODD_NUMBERS = (
    *(0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**30, -(10**30), 10**400),
    *(0.5, -0.5, 1e308, 1.7e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf")),
)
TEXTS = st.sampled_from(ODD_TEXTS) | st.text(max_size=20)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(ODD_NUMBERS),
    st.integers(),
    st.floats(),
    TEXTS,
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
"""Whatever JSON can say, and what Python's reader takes for it: NaN, Infinity, lone surrogates."""

_MOST_LEVELS = 60
_RATES = (0.002, 0.02, 0.1, 0.4)


def examples(number: int) -> Callable[[Test], Test]:
    """Let a test take so many examples, the same ones each time.

    With KATO_TEST_FULL they are many more, and others each time.
    """
    chosen = settings(
        max_examples=number * (_TIMES_IN_FULL if FULL else 1),
        derandomize=not FULL,
        print_blob=True,
        deadline=None,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.function_scoped_fixture,
        ],
    )
    in_full = pytest.mark.timeout(_SECONDS_IN_FULL)
    return lambda test: in_full(chosen(test)) if FULL else chosen(test)


def spoiled(records: Sequence[Any], odd: st.SearchStrategy[Any] = ANY_JSON) -> Any:
    """Take one of the records, and put odd values here and there.

    A value is replaced, wrapped up or left out, a key takes the place of another, an entry of a
    list comes twice or late. Some records stay as they are.
    """
    return st.builds(
        lambda record, seed, rate, values: _spoil(record, Random(seed), rate, values),  # noqa: S311 - no secret
        st.sampled_from(records),
        st.integers(0, 2**32),
        st.sampled_from((0.0, *_RATES)),
        st.lists(odd, min_size=1, max_size=5),
    )


def _spoil(value: Any, chance: Random, rate: float, odd: Sequence[Any]) -> Any:
    if chance.random() < rate:
        return _other(value, chance, odd)
    if isinstance(value, Mapping):
        return _spoil_object(value, chance, rate, odd)
    if isinstance(value, list):
        return _spoil_list(value, chance, rate, odd)
    return value


def _other(value: Any, chance: Random, odd: Sequence[Any]) -> Any:
    """Give something in the place of a value."""
    kind = chance.randrange(8)
    if kind == 0:
        return str(value)
    if kind == 1:
        return [value]
    if kind == 2:
        for _ in range(chance.randrange(_MOST_LEVELS)):
            value = {"a": [value]}
        return value
    if kind == 3 and isinstance(value, int | float):
        return -value
    return chance.choice(odd)


def _spoil_object(
    value: Mapping[Any, Any], chance: Random, rate: float, odd: Sequence[Any]
) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    keys = list(value)
    for key in keys:
        if chance.random() < rate / 2:
            continue
        name = chance.choice(keys) if chance.random() < rate / 4 else key
        found[name] = _spoil(value[key], chance, rate, odd)
    return found


def _spoil_list(value: list[Any], chance: Random, rate: float, odd: Sequence[Any]) -> list[Any]:
    found = []
    for entry in value:
        if chance.random() < rate / 2:
            continue
        found.append(_spoil(entry, chance, rate, odd))
        if chance.random() < rate:
            found.append(found[-1])
    if chance.random() < rate:
        chance.shuffle(found)
    return found
