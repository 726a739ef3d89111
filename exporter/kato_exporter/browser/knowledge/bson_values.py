"""What a page shows of a BSON value: its type by MongoDB's name, a text, a note, all bounded."""

import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

from kato_exporter.browser.knowledge.extended_json import beginning
from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, elements
from kato_exporter.stores.mongodb.bson_parts import (
    binary_parts,
    code_parts,
    decimal_text,
    double_text,
    int_of,
    long_of,
    pointer_parts,
    regex_parts,
    timestamp_parts,
)

TYPE_NAMES: Mapping[BsonType, str] = {
    BsonType.DOUBLE: "double",
    BsonType.STRING: "string",
    BsonType.OBJECT: "object",
    BsonType.ARRAY: "array",
    BsonType.BINARY: "binData",
    BsonType.UNDEFINED: "undefined",
    BsonType.OBJECT_ID: "objectId",
    BsonType.BOOL: "bool",
    BsonType.DATE: "date",
    BsonType.NULL: "null",
    BsonType.REGEX: "regex",
    BsonType.DB_POINTER: "dbPointer",
    BsonType.JAVASCRIPT: "javascript",
    BsonType.SYMBOL: "symbol",
    BsonType.JAVASCRIPT_WITH_SCOPE: "javascriptWithScope",
    BsonType.INT: "int",
    BsonType.TIMESTAMP: "timestamp",
    BsonType.LONG: "long",
    BsonType.DECIMAL: "decimal",
    BsonType.MAX_KEY: "maxKey",
    BsonType.MIN_KEY: "minKey",
}
"""The names that MongoDB's `$type` knows."""

_SUBTYPES = {
    0: "generic",
    1: "function",
    2: "old binary",
    3: "old UUID",
    4: "UUID",
    5: "MD5",
    6: "encrypted",
    7: "compressed column",
    8: "sensitive",
    9: "vector",
}
_USER_DEFINED = 0x80
_UUID, _OLD_UUID = 4, 3
_UUID_BYTES = 16
_MOST_COUNTED = 10_000
_BYTES_A_CHARACTER = 4
_LONGEST_NOTE = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXTS = frozenset({BsonType.STRING, BsonType.SYMBOL, BsonType.JAVASCRIPT})


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownValue:
    """A value as a page shows it.

    `note` tells what the text does not: the time in an ObjectId, how many entries an array has.
    `cut` is True where the text is only the beginning of the value, which has `bytes` bytes.
    """

    type: str
    text: str
    note: str
    cut: bool
    bytes: int


def shown_value(value: BsonValue, most: int) -> ShownValue:
    """Show a value in a text of at most so many characters."""
    if value.type in _TEXTS:
        text, note = _text(value.data, most)
    else:
        text, note = _PARTS.get(value.type, _nothing)(value, most)
    return ShownValue(
        type=TYPE_NAMES[value.type],
        text=text[:most],
        note=note,
        cut=len(text) > most,
        bytes=len(value.data),
    )


def _text(data: bytes, most: int) -> tuple[str, str]:
    """Give one character more than may be shown, where there are more."""
    content = data[4:-1]
    enough = _BYTES_A_CHARACTER * (most + 1)
    try:
        text, _ = codecs.utf_8_decode(content[:enough], "strict", len(content) <= enough)
    except UnicodeDecodeError:
        text = content[:enough].decode("utf-8", "backslashreplace")
        return text[: most + 1], "not UTF-8: the wrong bytes are shown as \\xNN"
    return text[: most + 1], ""


def _nested(value: BsonValue, most: int) -> tuple[str, str]:
    text, cut = beginning(value, most)
    count = sum(1 for _ in islice(elements(value.data), _MOST_COUNTED + 1))
    one, many = ("field", "fields") if value.type is BsonType.OBJECT else ("entry", "entries")
    number = f"{_MOST_COUNTED:,}+" if count > _MOST_COUNTED else f"{count:,}"
    return f"{text}…" if cut else text, f"{number} {one if count == 1 else many}"


def _binary(value: BsonValue, most: int) -> tuple[str, str]:
    subtype, payload = binary_parts(value.data)
    own = "user defined" if subtype >= _USER_DEFINED else "reserved"
    size = "1 byte" if len(payload) == 1 else f"{len(payload):,} bytes"
    note = f"subtype {subtype}, {_SUBTYPES.get(subtype, own)}, {size}"
    if subtype == _UUID and len(payload) == _UUID_BYTES:
        return str(UUID(bytes=payload)), note
    if subtype == _OLD_UUID and len(payload) == _UUID_BYTES:
        note += ", in an order of bytes that only its writer knows"
    return payload[: most + 1].hex(), note


def _object_id(value: BsonValue, _: int) -> tuple[str, str]:
    made = int.from_bytes(value.data[:4], "big")
    return value.data.hex(), f"made {_moment(made * 1000)}"


def _date(value: BsonValue, _: int) -> tuple[str, str]:
    milliseconds = long_of(value.data)
    return _moment(milliseconds), f"{milliseconds} ms"


def _regex(value: BsonValue, _: int) -> tuple[str, str]:
    pattern, options = map(_legible, regex_parts(value.data))
    return f"/{pattern}/{options}", ""


def _pointer(value: BsonValue, _: int) -> tuple[str, str]:
    collection, identity = pointer_parts(value.data)
    return identity.hex(), f"in the collection {_legible(collection)[:_LONGEST_NOTE]}"


def _code_with_scope(value: BsonValue, most: int) -> tuple[str, str]:
    code, scope = code_parts(value.data)
    text, _ = beginning(BsonValue(BsonType.OBJECT, scope), _LONGEST_NOTE)
    return _legible(code)[: most + 1], f"scope {text}"


def _timestamp(value: BsonValue, _: int) -> tuple[str, str]:
    seconds, increment = timestamp_parts(value.data)
    return _moment(seconds * 1000), f"{seconds} s, increment {increment}"


def _moment(milliseconds: int) -> str:
    try:
        when = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds} ms after 1970, outside the years 1 to 9999"
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _legible(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _nothing(value: BsonValue, _: int) -> tuple[str, str]:
    return TYPE_NAMES[value.type], ""


_PARTS: Mapping[BsonType, Callable[[BsonValue, int], tuple[str, str]]] = {
    BsonType.DOUBLE: lambda value, _: (double_text(value.data), ""),
    BsonType.OBJECT: _nested,
    BsonType.ARRAY: _nested,
    BsonType.BINARY: _binary,
    BsonType.OBJECT_ID: _object_id,
    BsonType.BOOL: lambda value, _: ("true" if value.data[0] else "false", ""),
    BsonType.DATE: _date,
    BsonType.REGEX: _regex,
    BsonType.DB_POINTER: _pointer,
    BsonType.JAVASCRIPT_WITH_SCOPE: _code_with_scope,
    BsonType.INT: lambda value, _: (str(int_of(value.data)), ""),
    BsonType.TIMESTAMP: _timestamp,
    BsonType.LONG: lambda value, _: (str(long_of(value.data)), ""),
    BsonType.DECIMAL: lambda value, _: (decimal_text(value.data), ""),
}
