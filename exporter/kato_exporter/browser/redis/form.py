r"""What of a key of Redis is edited, as the text of a form.

A value that is visible text stands as it is, with its lines and tabs. Any other is spelled as names
are: a backslash is `\\`, and each byte that is not visible is `\xNN`.
"""

import json
from dataclasses import dataclass

from kato_exporter.browser.records.differences import diff_lines
from kato_exporter.browser.redis.elements import laid_out, string_kind
from kato_exporter.stores.redis.names import name_bytes, name_text

LARGEST_EDITED = 256 * 1024
"""A value of more bytes is not edited in a form."""

_KEPT = "\n\t"
_LEAST, _MOST = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class FormText:
    """A value as text; `escaped` tells that it is spelled as names are."""

    text: str
    escaped: bool


def form_text(value: bytes) -> FormText:
    """Give a value as text, of which `form_bytes` makes the very same bytes."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return FormText(name_text(value), escaped=True)
    if all(character.isprintable() or character in _KEPT for character in text):
        return FormText(text, escaped=False)
    return FormText(name_text(value), escaped=True)


def form_bytes(typed: FormText) -> bytes:
    """Read what came from a form, whose line ends are CR LF; raise ValueError for what is wrong."""
    text = typed.text.replace("\r\n", "\n")
    try:
        value = name_bytes(text) if typed.escaped else text.encode()
    except UnicodeEncodeError:
        raise ValueError("there is a character that is none: half of a surrogate pair") from None
    if len(value) > LARGEST_EDITED:
        raise ValueError(f"{len(value):,} bytes are too many; at most {LARGEST_EDITED:,} are")
    return value


def value_fault(old: bytes, new: bytes) -> str | None:
    """Say what would make a value useless to whoever reads the old one; None where nothing would.

    A JSON object or list stays one, and an integer an integer of 64 bits.
    """
    kind = string_kind(old, whole=True)
    if kind == "integer":
        is_one = string_kind(new, whole=True) == "integer" and _LEAST <= int(new) <= _MOST
        return None if is_one else "The value is an integer; give a whole number of 64 bits."
    if kind == "JSON" and string_kind(new, whole=True) != "JSON":
        return f"The value is JSON, an object or a list, and this is none{_place(new)}."
    return None


def value_diff(old: bytes, new: bytes) -> list[tuple[str, str]]:
    """Compare two values line by line; JSON is laid out for it, unless only its layout differs."""
    if all(string_kind(value, whole=True) == "JSON" for value in (old, new)):
        lines = diff_lines(laid_out(old.decode()), laid_out(new.decode()))
        if lines:
            return lines
    before, after = form_text(old), form_text(new)
    if before.escaped == after.escaped:
        return diff_lines(before.text, after.text)
    return diff_lines(name_text(old), name_text(new))


def _place(new: bytes) -> str:
    """Say where JSON breaks off."""
    try:
        json.loads(new)
    except json.JSONDecodeError as error:
        return f": {error.msg} in line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError):
        return ""
    return ""
