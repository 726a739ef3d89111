"""The text of a form in which a value of Redis is edited."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kato_exporter.browser.redis.form import (
    LARGEST_EDITED,
    FormText,
    form_bytes,
    form_text,
    value_diff,
    value_fault,
)


def sent(text: FormText) -> FormText:
    """Do to a text what a web browser does to that of a form."""
    return FormText(text.text.replace("\r\n", "\n").replace("\n", "\r\n"), text.escaped)


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode())))
def test_any_bytes_survive_the_form(value: bytes) -> None:
    """What is not changed is the same afterwards, byte for byte."""
    assert value == form_bytes(sent(form_text(value)))


@given(st.binary(max_size=200))
def test_nothing_in_the_form_is_invisible(value: bytes) -> None:
    """No control character, and no mark that turns text round, stands in it as itself."""
    text = form_text(value).text

    assert text.replace("\n", "").replace("\t", "").isprintable()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"plain", FormText("plain", escaped=False)),
        (b"\n two\n\tlines \n", FormText("\n two\n\tlines \n", escaped=False)),
        ("é€😀".encode(), FormText("é€😀", escaped=False)),
        (rb'{"a": "\u0000"}', FormText(r'{"a": "\u0000"}', escaped=False)),
        (b"", FormText("", escaped=False)),
        (b"a\r\nb", FormText(r"a\x0d\x0ab", escaped=True)),
        (b"\xff\\", FormText(r"\xff\\", escaped=True)),
        (b"a\x00", FormText(r"a\x00", escaped=True)),
        ("\u202etxt".encode(), FormText(r"\xe2\x80\xaetxt", escaped=True)),
    ],
)
def test_a_value_as_text(value: bytes, expected: FormText) -> None:
    """Visible text stands as it is, all else is spelled, and it comes back as it was."""
    assert expected == form_text(value)
    assert value == form_bytes(sent(expected))


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        (FormText(r"\q", escaped=True), r"write \\\\ for a backslash"),
        (FormText("\ud800", escaped=False), "half of a surrogate pair"),
        (FormText("\ud800", escaped=True), "half of a surrogate pair"),
        (FormText("x" * (LARGEST_EDITED + 1), escaped=False), "262,145 bytes are too many"),
    ],
)
def test_what_is_no_value(typed: FormText, complaint: str) -> None:
    """It is refused with what is right."""
    with pytest.raises(ValueError, match=complaint):
        form_bytes(typed)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (b"7", b"8", None),
        (b"7", b"-8", None),
        (b"7", b"9223372036854775807", None),
        (b"7", b"9223372036854775808", "whole number of 64 bits"),
        (b"7", b"9" * 10_000, "whole number of 64 bits"),
        (b"7", b"7.5", "whole number of 64 bits"),
        (b"7", b"07", "whole number of 64 bits"),
        (b"7", b" 7", "whole number of 64 bits"),
        (b"7", b"", "whole number of 64 bits"),
        (b'{"a": 1}', b"[]", None),
        (b'{"a": 1}', b'{"a": 1,}', r"this is none: .* in line 1, column "),
        (b'{"a": 1}', b'{\n"a" 1}', r"this is none: Expecting ':' delimiter in line 2, column 5"),
        (b'{"a": 1}', b"7", "JSON, an object or a list, and this is none."),
        (b'{"a": 1}', b"\xff", "and this is none."),
        (b'{"a": 1}', b"[" * 100_000, "and this is none"),
        (b"text", b"other", None),
        (b"text", b"\xff\x00", None),
        (b"\xff", b"text", None),
    ],
)
def test_what_would_make_a_value_useless(old: bytes, new: bytes, fault: str | None) -> None:
    """Integers and JSON stay what they are; a fault is said in a sentence."""
    found = value_fault(old, new)

    if fault is None:
        assert None is found
    else:
        with pytest.raises(ValueError, match=fault):
            raise ValueError(found)


def test_json_is_compared_field_by_field() -> None:
    """KATO writes it in one line, of which a reader sees nothing."""
    old = {"stm": [["a"], ["b"]], "time": 3, "node_id": "alice"}
    new = old | {"time": 4}

    assert {("-", '  "time": 3,'), ("+", '  "time": 4,')} <= set(
        value_diff(json.dumps(old).encode(), json.dumps(new).encode())
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b'{"a":1}', b'{"a": 1}', [("-", '{"a":1}'), ("+", '{"a": 1}')]),
        (b"a\nb", b"a\nc", [(" ", "a"), ("-", "b"), ("+", "c")]),
        (b"\xff", b"a", [("-", r"\xff"), ("+", "a")]),
        (b"\\", b"\xff", [("-", r"\\"), ("+", r"\xff")]),
        (b"same", b"same", []),
    ],
)
def test_other_values_are_compared_as_they_are_spelled(
    old: bytes, new: bytes, expected: list[tuple[str, str]]
) -> None:
    """Both in the same spelling; also where JSON differs in its layout alone."""
    assert expected == value_diff(old, new)
