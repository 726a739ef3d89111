r"""Names of keys, which are bytes in Redis, as text that says every byte.

What is UTF-8 and visible stands as it is; a backslash is `\\`, and each byte of all else is `\xNN`:
invalid UTF-8, control characters, marks that turn text round, and a space at either end.
"""

import re

LONGEST_LINKED_NAME = 1_300
"""A name of more bytes is no part of a URL: each byte can take six characters of it."""

_ESCAPE = re.compile(rb"\\(?:\\|x([0-9a-fA-F]{2}))")
_SOUND = re.compile(rb"(?:[^\\]|" + _ESCAPE.pattern + rb")*", re.DOTALL)
_SPACE_AT_AN_END = re.compile(r"^ | $")


def name_text(name: bytes) -> str:
    r"""Spell a name: `b"a\xff"` is `a\xff`; `name_bytes` gives the very same bytes back."""
    text = "".join(map(_spelled, name.decode("utf-8", "surrogateescape")))
    return _SPACE_AT_AN_END.sub(r"\\x20", text)


def name_bytes(text: str) -> bytes:
    r"""Read what `name_text` has written, or a person; raise ValueError for any other escape."""
    written = text.encode()
    if not _SOUND.fullmatch(written):
        raise ValueError(r"write \\ for a backslash and \xNN for a byte")
    return _ESCAPE.sub(lambda found: bytes.fromhex((found[1] or b"5c").decode()), written)


def _spelled(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
