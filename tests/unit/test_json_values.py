"""Values out of JSON: what is as expected comes through, and nothing else does."""

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kato_exporter.stores.json_values import at, count, number, parse_json, quantity, text

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_literals_that_are_no_json_are_unknown(literal: str) -> None:
    """Python would read them, and write them too."""
    assert {"a": None} == parse_json(f'{{"a": {literal}}}'.encode())


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{", b"\xff\xfe\xfd", b"[" * 200_000, b"1" * 5000]
)
def test_what_is_no_json_is_a_value_error(body: bytes) -> None:
    """However it fails: nothing, other text, no text, too deep, too large a number."""
    with pytest.raises(ValueError):  # noqa: PT011 - the message is Python's
        parse_json(body)


def test_ways_into_objects_end_where_there_is_none() -> None:
    """A way may lead through lists, texts and nothing at all."""
    assert 1 == at({"a": {"b": 1}}, "a", "b")
    assert at({"a": [1]}, "a", "b") is None
    assert at("a", "a") is None
    assert at(None, "a", "b") is None


def test_numbers_are_finite_and_no_truth_values() -> None:
    """1e999 is read as infinity by Python, and a number of 400 digits fits no float."""
    assert 2.5 == number(2.5)
    assert -3 == number(-3)
    odds: list[Any] = [True, False, "3", None, [3], {}, math.nan, json.loads("1e999"), 10**400]
    for odd in odds:
        assert number(odd) is None


def test_quantities_and_counts_are_not_negative() -> None:
    """A count is whole, too, and fits into 63 bits."""
    assert 0.5 == quantity(0.5)
    assert 0 == quantity(0)
    assert quantity(-0.5) is None
    assert 7 == count(7)
    for odd in (-1, 7.0, True, 2**63, "7", None):
        assert count(odd) is None


def test_texts_are_short_and_not_empty() -> None:
    """A label is no place for more."""
    assert "a" * 64 == text("a" * 64)
    for odd in ("", "a" * 65, 1, None, ["a"]):
        assert text(odd) is None


@given(ANY_JSON, st.lists(st.text(), max_size=3))
def test_nothing_raises(value: object, path: list[str]) -> None:
    """Whatever stands there is taken or left."""
    found = at(value, *path)
    for read in (number, quantity, count, text):
        read(found)
        read(value)


@given(st.binary())
def test_any_bytes_parse_or_are_a_value_error(body: bytes) -> None:
    """There is no third way."""
    with suppress(ValueError):
        parse_json(body)
