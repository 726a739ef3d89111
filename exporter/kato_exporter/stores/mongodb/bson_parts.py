"""Reads the bytes of BSON's values: numbers, texts, and the parts of what has several.

Text that is not UTF-8 comes with a lone surrogate for each wrong byte.
"""

import struct

from bson.decimal128 import Decimal128

OLD_BINARY = 2
"""The subtype of binary values that tell their length a second time."""


def binary_parts(data: bytes) -> tuple[int, bytes]:
    """Give the subtype of a binary value, and its bytes."""
    subtype, payload = data[4], data[5:]
    inner = len(payload) - 4
    if subtype == OLD_BINARY and inner >= 0 and payload[:4] == struct.pack("<i", inner):
        payload = payload[4:]
    return subtype, payload


def text_of(data: bytes) -> str:
    """Give the text of a string, symbol or code."""
    return data[4:-1].decode("utf-8", "surrogateescape")


def regex_parts(data: bytes) -> tuple[str, str]:
    """Give the pattern and the options of a regular expression."""
    pattern, options, _ = data.decode("utf-8", "surrogateescape").split("\0")
    return pattern, options


def code_parts(data: bytes) -> tuple[str, bytes]:
    """Give the code and the scope of code with scope."""
    [length] = struct.unpack_from("<i", data, 4)
    return text_of(data[4 : 8 + length]), data[8 + length :]


def pointer_parts(data: bytes) -> tuple[str, bytes]:
    """Give the collection and the ObjectId of a DBPointer."""
    return text_of(data[:-12]), data[-12:]


def long_of(data: bytes) -> int:
    """Give the number of a long, or the milliseconds of a date."""
    return int(struct.unpack("<q", data)[0])


def int_of(data: bytes) -> int:
    """Give the number of an int."""
    return int(struct.unpack("<i", data)[0])


def double_text(data: bytes) -> str:
    """Spell the number of a double, so that it is read back the same."""
    [number] = struct.unpack("<d", data)
    text = repr(number)
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(text, text)


def timestamp_parts(data: bytes) -> tuple[int, int]:
    """Give the seconds and the increment of a timestamp."""
    increment, seconds = struct.unpack("<II", data)
    return seconds, increment


def decimal_text(data: bytes) -> str:
    """Spell the number of a Decimal128."""
    return str(Decimal128.from_bid(data))
