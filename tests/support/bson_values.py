"""BSON values of every type, for tests: some that are known to be awkward, and any at all."""

import struct
from collections.abc import Sequence
from typing import Any

from bson import encode
from bson.decimal128 import Decimal128
from hypothesis import strategies as st

from kato_exporter.stores.mongodb.bson_elements import (
    BsonType,
    BsonValue,
    document_of,
    elements,
    string_data,
)


def string(text: str) -> BsonValue:
    """Make a string; a lone surrogate is a byte that is not UTF-8."""
    return BsonValue(BsonType.STRING, string_data(text))


def value_of(value: Any) -> BsonValue:
    """Make a value as the driver does."""
    [(_, made)] = elements(encode({"": value}))
    return made


def object_of(*fields: tuple[str, BsonValue]) -> BsonValue:
    """Make a document as a value."""
    return BsonValue(BsonType.OBJECT, document_of(fields))


def code_with_scope(code: str, *fields: tuple[str, BsonValue]) -> BsonValue:
    """Make code with a scope."""
    parts = string_data(code) + document_of(fields)
    data = struct.pack("<i", 4 + len(parts)) + parts
    return BsonValue(BsonType.JAVASCRIPT_WITH_SCOPE, data)


NULL = BsonValue(BsonType.NULL, b"")
MIN_KEY = BsonValue(BsonType.MIN_KEY, b"")
MAX_KEY = BsonValue(BsonType.MAX_KEY, b"")
NAN_WITH_PAYLOAD = BsonValue(BsonType.DOUBLE, struct.pack("<Q", 0x7FF8_0000_0000_0001))

IDS: Sequence[BsonValue] = (
    MIN_KEY,
    NULL,
    NAN_WITH_PAYLOAD,
    value_of(-float("inf")),
    value_of(-0.0),
    value_of(7),
    BsonValue(BsonType.LONG, struct.pack("<q", 2**53 + 1)),
    BsonValue(BsonType.DECIMAL, Decimal128("7.50").bid),
    BsonValue(BsonType.SYMBOL, string_data("symbol")),
    string("\udcff\udcfe"),
    string("a\0b/../c"),
    string(".."),
    string("%2F~2f%"),
    string("0" * 24),
    string('"quoted"'),
    string("\u202eright to left\u200b 名"),
    string(""),
    object_of(("a", NULL)),
    object_of(),
    object_of(("$oid", string("f" * 24))),
    BsonValue(BsonType.BINARY, b"\1\0\0\0\x05z"),
    BsonValue(BsonType.BINARY, b"\1\0\0\0\x02z"),
    BsonValue(BsonType.BINARY, b"\x10\0\0\0\x04" + b"\xff" * 16),
    BsonValue(BsonType.OBJECT_ID, b"0" * 12),
    BsonValue(BsonType.BOOL, b"\0"),
    BsonValue(BsonType.BOOL, b"\1"),
    BsonValue(BsonType.DATE, b"\xff" * 7 + b"\x7f"),
    BsonValue(BsonType.DATE, b"\xff" * 8),
    BsonValue(BsonType.TIMESTAMP, b"\1" * 8),
    BsonValue(BsonType.DB_POINTER, string_data("coll") + b"1" * 12),
    BsonValue(BsonType.JAVASCRIPT, string_data("1 + 1")),
    code_with_scope("x", ("y", NULL)),
    MAX_KEY,
)
"""One of every type that an `_id` may have, and more of those that may go wrong."""

_BYTES_AS_TEXT = st.binary(max_size=20).map(lambda each: each.decode("utf-8", "surrogateescape"))
TEXTS = st.text(max_size=20).filter(lambda text: text.isascii() or _is_utf8(text)) | _BYTES_AS_TEXT
NAMES = TEXTS.map(lambda text: text.replace("\0", ""))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _exactly(kind: BsonType, size: int) -> st.SearchStrategy[BsonValue]:
    return st.binary(min_size=size, max_size=size).map(lambda data: BsonValue(kind, data))


def _of_text(kind: BsonType) -> st.SearchStrategy[BsonValue]:
    return TEXTS.map(lambda text: BsonValue(kind, string_data(text)))


def _binary(subtype: int, payload: bytes) -> BsonValue:
    if subtype == 2:  # tells its length a second time
        payload = struct.pack("<i", len(payload)) + payload
    return BsonValue(BsonType.BINARY, struct.pack("<iB", len(payload), subtype) + payload)


SIMPLE = st.one_of(
    st.sampled_from([NULL, MIN_KEY, MAX_KEY, BsonValue(BsonType.UNDEFINED, b"")]),
    st.floats(allow_nan=False).map(value_of),
    st.sampled_from([value_of(float("nan")), value_of(-0.0)]),
    st.booleans().map(value_of),
    (st.decimals(allow_nan=False, places=3) | st.just("NaN")).map(
        lambda number: BsonValue(BsonType.DECIMAL, Decimal128(str(number)[:30]).bid)
    ),
    _exactly(BsonType.OBJECT_ID, 12),
    _exactly(BsonType.DATE, 8),
    _exactly(BsonType.INT, 4),
    _exactly(BsonType.LONG, 8),
    _exactly(BsonType.TIMESTAMP, 8),
    _of_text(BsonType.STRING),
    _of_text(BsonType.SYMBOL),
    _of_text(BsonType.JAVASCRIPT),
    st.builds(_binary, st.integers(0, 255), st.binary(max_size=20)),
    st.builds(
        lambda pattern, options: BsonValue(
            BsonType.REGEX, b"\0".join([_encoded(pattern), _encoded(options), b""])
        ),
        NAMES,
        NAMES,
    ),
    st.builds(
        lambda text, target: BsonValue(BsonType.DB_POINTER, string_data(text) + target),
        TEXTS,
        st.binary(min_size=12, max_size=12),
    ),
)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _nested(values: st.SearchStrategy[BsonValue]) -> st.SearchStrategy[BsonValue]:
    fields = st.lists(st.tuples(NAMES, values), max_size=4)
    arrays = st.lists(values, max_size=4).map(
        lambda entries: BsonValue(
            BsonType.ARRAY, document_of((str(at), entry) for at, entry in enumerate(entries))
        )
    )
    return st.one_of(
        fields.map(lambda found: object_of(*found)),
        arrays,
        st.builds(lambda code, found: code_with_scope(code, *found), TEXTS, fields),
    )


VALUES = st.recursive(SIMPLE, _nested, max_leaves=6)
"""Any value, with fields that occur twice and text that is not UTF-8."""
