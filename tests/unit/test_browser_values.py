"""What stores hold, as pages, JSON and downloads say it: exact, bounded, and harmless."""

import csv
import io
import json
import math
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import MaxKey, MinKey, ObjectId
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.regex import Regex
from hypothesis import given
from hypothesis import strategies as st

from kato_exporter.browser.exports import Export, cell_text, stream
from kato_exporter.browser.keys import decode_key, encode_key
from kato_exporter.browser.plain_values import TOO_DEEP, plain
from kato_exporter.browser.shown_values import (
    block,
    bytes_size,
    duration,
    moment,
    number,
    pretty,
    shown,
)
from kato_exporter.stores.errors import StoreError

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def nested(levels: int) -> Any:
    """Give lists within lists."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@given(ANY_JSON)
def test_whatever_a_store_holds_becomes_json_that_utf8_can_carry(value: Any) -> None:
    """No NaN, no half of a surrogate pair, nothing that a parser refuses."""
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False)

    assert plain(value) == json.loads(text.encode())


def test_what_json_does_not_have_is_spelled() -> None:
    """A reader of the twin learns what the value was."""
    assert ["NaN", "Infinity", "-Infinity"] == plain([math.nan, math.inf, -math.inf])
    assert "2026-01-02T03:04:05+00:00" == plain(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert "a\\xff" == plain(b"a\xff")
    assert "\\ud800" == plain("\ud800")


def test_a_thousand_levels_end_in_a_remark() -> None:
    """Neither Python's nor anybody's parser is driven to its limit."""
    text = json.dumps(plain(nested(1000)))

    assert TOO_DEEP in text
    assert TOO_DEEP not in json.dumps(plain(nested(50)))


def test_what_is_no_value_is_a_fault() -> None:
    """A page that hands over an object of its own is noticed, not guessed at."""
    with pytest.raises(TypeError, match="ObjectId"):
        plain({"_id": ObjectId()})


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("\x1b[31m", '<span class="escape">\\x1b</span>[31m'),
        ("a\u202eb", 'a<span class="escape">\\u202e</span>b'),
        ("\0", '<span class="escape">\\x00</span>'),
        ("\ud800", '<span class="escape">\\ud800</span>'),
        ("é漢😀", "é漢😀"),
    ],
)
def test_hostile_text_is_made_visible(given_text: str, expected: str) -> None:
    """Markup is text, and what is invisible or turns text round is spelled out."""
    assert expected == shown(given_text)


@given(st.text())
def test_no_text_ever_becomes_markup(text: str) -> None:
    """The only elements in the answer are ours."""
    for each in (shown(text), block(text), pretty({text: [text]})):
        bare = each.replace('<span class="escape">', "").replace("</span>", "")
        assert "<" not in bare.replace('<span class="cut">', "")


def test_a_long_text_is_cut_and_says_so() -> None:
    """Five megabytes do not become five megabytes of page."""
    text = shown("x" * 5_000_000)

    assert len(text) < 1_000
    assert "cut, 5,000,000 characters in all" in text
    assert len(block("x\n" * 5_000_000)) < 100_000


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [
        (bytes_size, None, "unknown"),
        (bytes_size, 0, "0 B"),
        (bytes_size, 1023, "1,023 B"),
        (bytes_size, 1536, "1.5 KiB"),
        (bytes_size, 3 * 1024**3, "3.0 GiB"),
        (bytes_size, 5000 * 1024**4, "5,000.0 TiB"),
        (duration, None, "unknown"),
        (duration, 0.4, "0 s"),
        (duration, 61, "1 min 1 s"),
        (duration, 3_700, "1 h 1 min"),
        (duration, 90_000, "1 d 1 h"),
        (duration, -61, "-1 min 1 s"),
        (number, 1_234_567, "1,234,567"),
        (number, 0.25, "0.25"),
        (moment, 0, "1970-01-01 00:00:00 UTC"),
        (moment, 1e300, "1e+300 s after 1970"),
    ],
)
def test_numbers_have_units(function: Any, value: Any, expected: str) -> None:
    """A person reads them at a glance; unknown is said, and is not 0."""
    assert expected == function(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("  @SUM(A1)", "'  @SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("+49 1", "'+49 1"),
        ("＝1", "'＝1"),  # noqa: RUF001 - full width
        ("plain", "plain"),
        (-1, "-1"),
        (-0.5, "-0.5"),
        (None, ""),
        (True, "true"),
        ({"a": [1]}, '{"a": [1]}'),
        ("a\0b", "a\\x00b"),
    ],
)
def test_a_cell_is_no_formula(value: Any, expected: str) -> None:
    """A spreadsheet shows what the store holds, and computes nothing."""
    assert expected == cell_text(value)


ROWS: list[dict[str, Any]] = [{"name": "a", "n": 1}, {"name": 'b"\r\n,', "n": None}, {"name": "=c"}]


def download(form: str, rows: list[dict[str, Any]], most_rows: int = 10) -> str:
    """Give a download as one text."""
    export = Export(name="things", columns=("name", "n"), rows=lambda: iter(rows))
    return "".join(stream(export, form, most_rows=most_rows))


def test_json_lines_are_one_object_a_line() -> None:
    """Nothing is lost, and a line end in a value does not end the line."""
    assert ROWS == [json.loads(line) for line in download("jsonl", ROWS).splitlines()]


def test_csv_has_a_header_and_a_row_for_each() -> None:
    """What Python's own reader gets out is what the store holds."""
    rows = list(csv.reader(io.StringIO(download("csv", ROWS), newline="")))

    assert [["name", "n"], ["a", "1"], ['b"\r\n,', ""], ["'=c", ""]] == rows


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_download_that_is_cut_says_so(form: str) -> None:
    """Its last row tells, and there is none such where all rows fit."""
    assert "cut after 2 rows" in download(form, ROWS, most_rows=2).splitlines()[-1]
    assert "_note" not in download(form, ROWS, most_rows=3)


def test_a_store_that_fails_in_the_middle_is_told() -> None:
    """The rows before it are there, and nobody takes them for all."""

    def rows() -> Iterator[dict[str, Any]]:
        yield {"name": "a"}
        raise StoreError("Redis went away")

    export = Export(name="things", columns=("name",), rows=rows)
    [first, last] = stream(export, "jsonl", most_rows=9)

    assert {"name": "a"} == json.loads(first)
    assert {"_note": "broken off after 1 rows: Redis went away"} == json.loads(last)


@pytest.mark.parametrize(
    "values",
    [
        [1, "a", None, True, 1.5],
        [ObjectId("0123456789abcdef01234567"), Int64(5), Decimal128("1.50")],
        [MinKey(), MaxKey(), Regex("a.*", "i"), b"\0\xff"],
        [{"_id": {"nested": [1, 2]}}],
        ["/../?&#%\u202e"],
    ],
)
def test_a_key_comes_back_as_it_was(values: list[Any]) -> None:
    """Of whatever type, and in letters that no URL needs to quote."""
    text = encode_key(values)

    assert values == decode_key(text)
    assert [type(value) for value in values] == [type(value) for value in decode_key(text)]
    assert text.replace("-", "").replace("_", "").isalnum()


@given(st.text())
def test_what_is_no_key_is_refused(text: str) -> None:
    """With a ValueError and nothing else, whatever it is."""
    with suppress(ValueError):
        assert isinstance(decode_key(text), list)
