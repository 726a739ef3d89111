"""The pure parts of the pages of Redis: names as text, what is looked for, and values as text."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, strategies

from kato_exporter.browser.redis.elements import (
    Told,
    download_row,
    hash_field,
    laid_out,
    set_member,
    stream_entry,
    string_kind,
    told,
)
from kato_exporter.browser.redis.key_match import KeyMatch, parse_key_match
from kato_exporter.stores.redis.names import name_bytes, name_text
from kato_exporter.stores.redis.values import Excerpt, HashField, StreamEntry, whole_characters

NAMES = strategies.binary() | strategies.text().map(str.encode)
DOCUMENTS = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(),
    lambda parts: strategies.lists(parts) | strategies.dictionaries(strategies.text(), parts),
)


@given(NAMES)
def test_a_name_survives_its_way_through_text(name: bytes) -> None:
    """Whatever its bytes are, the text is visible, and gives them back."""
    text = name_text(name)

    assert name == name_bytes(text)
    assert text.isprintable()
    assert text == text.strip()


@given(strategies.lists(NAMES, unique=True, min_size=2, max_size=2))
def test_two_names_have_two_texts(names: list[bytes]) -> None:
    """No name is taken for another one."""
    first, second = names

    assert name_text(first) != name_text(second)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"", ""),
        (b"kato:session:a b", "kato:session:a b"),
        ("Zoë 日本 😀".encode(), "Zoë 日本 😀"),
        (b"a\xff\x00", r"a\xff\x00"),
        (b"\\xff", r"\\xff"),
        (b"\x1b[31m\n\x7f", r"\x1b[31m\x0a\x7f"),
        ("\u202eright\u200b".encode(), r"\xe2\x80\xaeright\xe2\x80\x8b"),
        (b"\xc3", r"\xc3"),
        (b" a  b ", r"\x20a  b\x20"),
        (b" ", r"\x20"),
        (b"<script>{{7*7}}", "<script>{{7*7}}"),
    ],
)
def test_a_name_is_spelled_visibly(name: bytes, text: str) -> None:
    """What can be seen stands as it is, all else as bytes."""
    assert text == name_text(name)
    assert name == name_bytes(text)


@pytest.mark.parametrize("text", ["\\", "a\\", r"\n", r"\x", r"\xf", r"\xgg", r"a\\\b"])
def test_another_escape_is_refused(text: str) -> None:
    """The message says what can be written."""
    with pytest.raises(ValueError, match=r"write \\\\ for a backslash and \\xNN for a byte"):
        name_bytes(text)


@pytest.mark.parametrize("text", [r"\xFF", r"\xfF"])
def test_hex_digits_have_either_case(text: str) -> None:
    """A person may write either."""
    assert b"\xff" == name_bytes(text)


@pytest.mark.parametrize(
    ("text", "pattern", "glob"),
    [
        ("", None, False),
        ("session", b"*session*", False),
        ("a]b^c-d", b"*a]b^c-d*", False),
        ("$where .+(x|y)", b"*$where .+(x|y)*", False),
        ("kato:*", b"kato:*", True),
        ("a?", b"a?", True),
        ("[a-z][^0-9]", b"[a-z][^0-9]", True),
        (r"\*\?\[", rb"*\*\?\[*", False),
        (r"\\", rb"*\\*", False),
        (r"\xff", b"*\xff*", False),
        (r"\x2a\x5c", rb"*\*\\*", False),
        (r"[\]\x5d]*", rb"[\]\]]*", True),
        ("[*?[]", b"[*?[]", True),
        ("a**b***c", b"a*b*c", True),
        ("é日", "*é日*".encode(), False),
    ],
)
def test_what_is_looked_for_is_a_text_or_a_glob(
    *, text: str, pattern: bytes | None, glob: bool
) -> None:
    """A text is found within a name, and no sign of it is special; a glob is a whole name's."""
    assert KeyMatch(pattern, glob=glob) == parse_key_match(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[abc", r"a \[ has no \]; write \\\[ for the character itself"),
        (r"[a\]", r"a \[ has no \]"),
        ("a\\", r"write \\\\ for a backslash"),
        (r"\n", r"write \\\\ for a backslash"),
        ("*a*b*c*d*e*", "at most 5 stars"),
    ],
)
def test_a_broken_glob_is_refused(text: str, message: str) -> None:
    """The message says what to write in its place; many stars would keep an old server busy."""
    with pytest.raises(ValueError, match=message):
        parse_key_match(text)


@given(strategies.text())
def test_anything_is_a_match_or_is_refused(text: str) -> None:
    """No text makes another error than the one that is shown."""
    try:
        match = parse_key_match(text)
    except ValueError:
        return
    assert (match.pattern is None) == (text == "")


@given(NAMES)
def test_a_name_that_is_pasted_is_looked_for_as_it_is(name: bytes) -> None:
    """Where the text of a name has no sign of a glob, it is looked for byte by byte."""
    text = name_text(name)
    if name and not set("*?[") & set(text):
        pattern = parse_key_match(text).pattern or b""

        assert b"*" + name + b"*" == re.sub(rb"\\(.)", rb"\1", pattern, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "text"),
        (b"0", "integer"),
        (b"-17", "integer"),
        (b"9223372036854775807", "integer"),
        (b"007", "text"),
        (b"1.5", "text"),
        (b"1" * 5_000, "text"),
        (b"{}", "JSON"),
        (b' [1, {"a": null}]', "JSON"),
        (b'{"a": ' + b"1" * 5_000 + b"}", "text"),
        (b"[1, 2", "text"),
        (b"[" * 100_000 + b"]" * 100_000, "text"),
        ("Zoë\n\tor not".encode(), "text"),
        (b"a\x00b", "binary"),
        (b"\x1b[31m", "binary"),
        (b"\xff\xfe", "binary"),
        ("\x85".encode(), "binary"),
    ],
)
def test_a_string_is_recognised(data: bytes, kind: str) -> None:
    """A guess by its bytes alone; what cannot be read as JSON is no error."""
    assert kind == string_kind(data, whole=True)


@pytest.mark.parametrize("data", [b"17", b"{}"])
def test_a_part_is_neither_a_number_nor_json(data: bytes) -> None:
    """The rest can make something else of it."""
    assert "text" == string_kind(data, whole=False)


@given(document=DOCUMENTS, ascii_only=strategies.booleans())
def test_a_layout_changes_no_value(*, document: Any, ascii_only: bool) -> None:
    """Only white space between values is another."""
    text = json.dumps(document, ensure_ascii=ascii_only)

    assert document == json.loads(laid_out(text))
    assert json.dumps(document, indent=2, ensure_ascii=ascii_only) == laid_out(text)


def test_a_layout_keeps_the_spelling_of_numbers_and_fields_that_are_twice() -> None:
    """What a parser would lose is still seen."""
    assert '{\n  "a": 1.10,\n  "a": 1e999\n}' == laid_out('{"a":1.10,"a":1e999}')


def test_a_layout_of_deep_nesting_does_not_grow_without_bound() -> None:
    """The indent ends after forty levels."""
    text = "[" * 1_000 + "]" * 1_000

    assert text == laid_out(text).replace("\n", "").replace(" ", "")
    assert len(laid_out(text)) < 2_000 * (1 + 1 + 80)


@pytest.mark.parametrize(
    ("excerpt", "shown"),
    [
        (Excerpt(b"a\\n", 3), Told(text="a\\n", binary=False, size=3, cut=False)),
        (Excerpt(b"a\nb", 3), Told(text="a\nb", binary=False, size=3, cut=False)),
        (Excerpt(b"\xff\\", 2), Told(text=r"\xff\\", binary=True, size=2, cut=False)),
        (Excerpt(b"begin", 5_000), Told(text="begin", binary=False, size=5_000, cut=True)),
    ],
)
def test_an_element_is_told_as_text(excerpt: Excerpt, shown: Told) -> None:
    """A text is exact; what is none is in the spelling of names, and said to be."""
    assert shown == told(excerpt)


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"", b""),
        (b"abc", b"abc"),
        ("aé".encode(), "aé".encode()),
        ("aé".encode()[:-1], b"a"),
        ("a日".encode()[:-1], b"a"),
        ("a😀".encode()[:-1], b"a"),
        ("a😀".encode()[:-3], b"a"),
        (b"\xc3", b"\xc3"),
        (b"a\xff", b"a\xff"),
        (b"\x80\x80\x80\x80", b"\x80\x80\x80\x80"),
    ],
)
def test_a_cut_falls_between_characters(data: bytes, whole: bytes) -> None:
    """What is not UTF-8 is cut anywhere, and something is always left."""
    assert whole == whole_characters(data)


def test_a_row_of_a_download_has_plain_texts() -> None:
    """Whether any of them is binary or cut stands beside them."""
    field = HashField(Excerpt(b"a", 1), Excerpt(b"\xff", 9_999))
    entry = StreamEntry("1-0", ((Excerpt(b"a", 1), Excerpt(b"b", 1)),), 1)

    assert {"field": "a", "value": r"\xff", "binary": True, "cut": True} == download_row(
        hash_field(field)
    )
    assert {"member": "a", "binary": False, "cut": False} == download_row(
        set_member(Excerpt(b"a", 1))
    )
    assert [["a", "b"]] == download_row(stream_entry(entry))["fields"]


@pytest.mark.parametrize(
    ("identifier", "added"),
    [("1700000000123-4", "2023-11-14T22:13:20.123000+00:00"), ("18446744073709551615-1", None)],
)
def test_an_id_of_an_entry_tells_when_it_was_added(identifier: str, added: str | None) -> None:
    """An id that somebody made up may be no time."""
    moment = stream_entry(StreamEntry(identifier, (), 0))["added"]

    assert added == (moment and moment.isoformat())
