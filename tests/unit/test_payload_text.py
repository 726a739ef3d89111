"""The payload of a point as text that people edit."""

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kato_exporter.browser.qdrant.payload_text import (
    LONGEST,
    PayloadError,
    payload_of_text,
    payload_text,
)
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.qdrant.content import (
    KeptPoint,
    canonical,
    kept_point,
    place_of,
    point_as_it_was,
    point_of_content,
    same_point,
    with_payload,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
PAYLOADS = st.dictionaries(TEXTS, VALUES, max_size=3)
ROW: dict[str, Any] = {"id": 1, "payload": {"b": 0.1, "a": {"d": 1, "c": 2}}, "vector": [0.1, 1.0]}


@given(PAYLOADS)
def test_a_payload_comes_back_from_its_text(payload: dict[str, Any]) -> None:
    """Types and signs of zero too, and with the line ends of a form."""
    text = payload_text(payload)
    for typed in (text, text.replace("\n", "\r\n"), f" {text}\n"):
        assert canonical(payload) == canonical(payload_of_text(typed))


@given(PAYLOADS)
def test_nothing_in_the_text_is_invisible(payload: dict[str, Any]) -> None:
    """Neither control characters nor what turns a text round; lines end where JSON's do."""
    hidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    lines = payload_text(payload).split("\n")
    assert not [c for line in lines for c in line if unicodedata.category(c) in hidden]
    assert len(lines) == len(payload_text(payload).splitlines())


@given(st.text(max_size=50) | PAYLOADS.map(json.dumps).map(lambda text: text[:-1]))
def test_any_text_is_a_payload_or_said_to_be_none(text: str) -> None:
    """In one line that can be shown."""
    try:
        payload_of_text(text)
    except PayloadError as error:
        assert str(error).isprintable()  # noqa: PT017 - it may be a payload as well


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1\n "b": 2}', "Line 2, column 2"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ("null", "is an object"),
        ('{"a": -9223372036854775809}', "-9223372036854775809 is beyond"),
        ('{"a": ' + "9" * 5000 + "}", "A whole number is beyond"),
        ('{"a": {"b\\u202e": 1, "b\\u202e": 2}}', r"The field b\\u202e stands twice"),
        ('{"\\udc00": 1}', r"\\udc00 has half of a surrogate pair"),
        ("[" * 100_000, "nested too deeply"),
        ("x" * (LONGEST + 1), "200,001 characters"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    """With the place, the field, or the limit."""
    with pytest.raises(PayloadError, match=said):
        payload_of_text(text)


@given(PAYLOADS, PAYLOADS)
def test_a_point_with_another_payload_is_that_point(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    """The content is the same whatever the order of fields; the order is kept beside it."""
    kept = kept_point({**ROW, "payload": before})
    changed = with_payload(kept.content, after)
    turned = dict(reversed(after.items()))
    again = kept_point({**ROW, "payload": turned})
    assert changed == again.content
    assert {**ROW, "payload": after} == point_of_content(changed)
    assert list(turned) == list(point_as_it_was(again)["payload"])
    assert (json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)) == (
        kept.content == changed
    )


def test_the_order_of_fields_is_put_back_where_it_is_known() -> None:
    """Inside, too; what is kept of another payload is not believed."""
    kept = kept_point(ROW)
    assert ["b", "a"] == list(point_as_it_was(kept)["payload"])
    assert ["d", "c"] == list(point_as_it_was(kept)["payload"]["a"])
    for ordered in (b"", b"{}", b"x", b'{"b":0.2,"a":{}}'):
        other = point_as_it_was(KeptPoint(kept.content, ordered))
        assert ROW == other
        assert ["a", "b"] == list(other["payload"])
    assert b"" == kept_point({**ROW, "payload": {"a": 1, "b": 2}}).ordered


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"vector": [0.1 + 1e-9, 1.0000001]}, True),
        ({"vector": [0.1001, 1.0]}, False),
        ({"vector": [0.1, 1.0009765625]}, True),
        ({"vector": [0.1, 1.0019]}, False),
        ({"vector": [0.1]}, False),
        ({"vector": {"": [0.1, 1.0]}}, False),
        ({"payload": {"a": {"c": 2, "d": 1}, "b": 0.10000000000000002}}, True),
        ({"payload": {"a": {"c": 2, "d": 1}, "b": 0.1000000001}}, False),
        ({"payload": {"a": {"c": 2, "d": True}, "b": 0.1}}, False),
        ({"payload": {"a": {"c": 2.0, "d": 1}, "b": 0.1}}, False),
        ({"payload": {"a": {"c": 2}, "b": 0.1}}, False),
        ({"id": 2}, False),
    ],
)
def test_points_are_the_same_but_for_rounding(change: dict[str, Any], *, same: bool) -> None:
    """Of 32 bits in vectors, or of 16 where all bits of them are; of 64 in payloads."""
    one, other = kept_point(ROW).content, kept_point({**ROW, **change}).content
    assert same == same_point(one, other)


def test_what_is_nested_too_deeply_is_not_kept() -> None:
    """It could not be written."""
    payload: dict[str, Any] = {}
    for _ in range(100_000):
        payload = {"a": payload}
    with pytest.raises(QueryError, match="nested too deeply"):
        kept_point({**ROW, "payload": payload})


@given(st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_place_or_refused(locator: bytes) -> None:
    """They come from forms."""
    try:
        place = place_of(locator)
    except QueryError:
        return
    assert locator == place.locator
