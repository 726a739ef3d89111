"""BSON element by element, byte for byte: what a driver's own types would not keep.

A driver turns symbols into strings, undefined into null, and fails on text that is not UTF-8.
Here a value stays the bytes that MongoDB holds. See bsonspec.org.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from bson.errors import InvalidBSON


class BsonType(IntEnum):
    """The types, by the byte that stands for each."""

    DOUBLE = 0x01
    STRING = 0x02
    OBJECT = 0x03
    ARRAY = 0x04
    BINARY = 0x05
    UNDEFINED = 0x06
    OBJECT_ID = 0x07
    BOOL = 0x08
    DATE = 0x09
    NULL = 0x0A
    REGEX = 0x0B
    DB_POINTER = 0x0C
    JAVASCRIPT = 0x0D
    SYMBOL = 0x0E
    JAVASCRIPT_WITH_SCOPE = 0x0F
    INT = 0x10
    TIMESTAMP = 0x11
    LONG = 0x12
    DECIMAL = 0x13
    MAX_KEY = 0x7F
    MIN_KEY = 0xFF


@dataclass(frozen=True, slots=True)
class BsonValue:
    """A value: its type, and its bytes as they stand in a document."""

    type: BsonType
    data: bytes


_FIXED = {
    BsonType.DOUBLE: 8,
    BsonType.UNDEFINED: 0,
    BsonType.OBJECT_ID: 12,
    BsonType.BOOL: 1,
    BsonType.DATE: 8,
    BsonType.NULL: 0,
    BsonType.INT: 4,
    BsonType.TIMESTAMP: 8,
    BsonType.LONG: 8,
    BsonType.DECIMAL: 16,
    BsonType.MAX_KEY: 0,
    BsonType.MIN_KEY: 0,
}
_AFTER_LENGTH = {
    BsonType.STRING: 4,
    BsonType.JAVASCRIPT: 4,
    BsonType.SYMBOL: 4,
    BsonType.BINARY: 5,
    BsonType.DB_POINTER: 16,
    BsonType.OBJECT: 0,
    BsonType.ARRAY: 0,
    BsonType.JAVASCRIPT_WITH_SCOPE: 0,
}
"""How many bytes a value has beside those that its first four bytes tell."""

_LENGTH = struct.Struct("<i")
_SHORTEST_DOCUMENT = 5


def elements(document: bytes) -> Iterator[tuple[str, BsonValue]]:
    """Give the fields of a document, or the entries of an array, in their order.

    Names that occur twice come twice; bytes of a name that are no UTF-8 come as lone surrogates.
    Raises InvalidBSON where the bytes are no document.
    """
    if len(document) < _SHORTEST_DOCUMENT or _LENGTH.unpack_from(document)[0] != len(document):
        raise InvalidBSON("a document whose length is not what it says")
    at, end = 4, len(document) - 1
    while at < end:
        name_end = _text_end(document, at + 1, end)
        try:
            kind = BsonType(document[at])
            size = _size(kind, document, name_end + 1, end)
        except (ValueError, struct.error) as error:
            raise InvalidBSON("a field that cannot be read") from error
        at_value, at_next = name_end + 1, name_end + 1 + size
        if size < 0 or at_next > end:
            raise InvalidBSON("a field that is longer than its document")
        name = document[at + 1 : name_end].decode("utf-8", "surrogateescape")
        yield name, BsonValue(kind, document[at_value:at_next])
        at = at_next


def document_of(fields: Iterable[tuple[str, BsonValue]]) -> bytes:
    """Write a document; the inverse of `elements`. Raises ValueError for a name with NUL."""
    written = bytearray()
    for name, value in fields:
        written.append(value.type)
        written += cstring(name)
        written += value.data
    return _LENGTH.pack(len(written) + _SHORTEST_DOCUMENT) + written + b"\0"


def field_of(document: bytes, name: str) -> BsonValue | None:
    """Give a field of a document, the first of that name; None where there is none."""
    return next((value for found, value in elements(document) if found == name), None)


def cstring(text: str) -> bytes:
    """Write text as names and regular expressions stand in BSON."""
    encoded = text.encode("utf-8", "surrogateescape")
    if b"\0" in encoded:
        raise ValueError("a name of a field and a regular expression cannot hold NUL")
    return encoded + b"\0"


def string_data(text: str) -> bytes:
    """Write text as strings stand in BSON."""
    encoded = text.encode("utf-8", "surrogateescape")
    return _LENGTH.pack(len(encoded) + 1) + encoded + b"\0"


def _size(kind: BsonType, document: bytes, at: int, end: int) -> int:
    if kind is BsonType.REGEX:
        options = _text_end(document, at, end) + 1
        return _text_end(document, options, end) + 1 - at
    fixed = _FIXED.get(kind)
    if fixed is not None:
        return fixed
    length: int = _LENGTH.unpack_from(document, at)[0]
    return length + _AFTER_LENGTH[kind] if length >= 0 else length


def _text_end(document: bytes, at: int, end: int) -> int:
    found = document.find(b"\0", at, end)
    if found < 0:
        raise InvalidBSON("a name without an end")
    return found
