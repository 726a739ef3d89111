r"""MongoDB's canonical extended JSON, to and from the bytes of BSON, with nothing lost between.

Symbols, undefined, fields that occur twice and text that is not UTF-8 survive; of the latter each
wrong byte is a lone surrogate (`\udc80` to `\udcff`), which no right text can hold.
Not kept: the payload and the sign of a NaN, the names of an array's entries where they are not
0, 1, 2 ..., and a document of a user's that looks like a value's spelling.
"""

import base64
import json
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from bson.decimal128 import Decimal128

from kato_exporter.stores.mongodb.bson_elements import (
    BsonType,
    BsonValue,
    cstring,
    document_of,
    elements,
    string_data,
)
from kato_exporter.stores.mongodb.bson_parts import (
    OLD_BINARY,
    binary_parts,
    code_parts,
    decimal_text,
    double_text,
    int_of,
    long_of,
    pointer_parts,
    regex_parts,
    text_of,
    timestamp_parts,
)

_DEEPEST = 180  # that is MongoDB's limit
_INT_BITS, _LONG_BITS = 31, 63
_SPELLED_OUT = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)

_Fields = list[tuple[str, Any]]


class _Object:
    """An object as it stands in JSON, with its fields in order."""

    def __init__(self, fields: _Fields) -> None:
        self.fields = fields

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.fields)

    def __getitem__(self, name: str) -> Any:
        return dict(self.fields)[name]


def write(value: BsonValue) -> str:
    """Spell a value in canonical extended JSON."""
    return "".join(_pieces(value))


def beginning(value: BsonValue, most: int) -> tuple[str, bool]:
    """Spell a value in at most so many characters; True where that is not all."""
    text = ""
    for piece in _pieces(value):
        text += piece[: most + 1]
        if len(text) > most:
            return text[:most], True
    return text, False


def read(text: str) -> BsonValue:
    """Read extended JSON; plain numbers are int, long or double, as they fit.

    Raises ValueError, whose message says what is wrong.
    """
    try:
        parsed = json.loads(text, object_pairs_hook=_Object, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return _value(parsed, 0)


def _pieces(value: BsonValue) -> Iterator[str]:
    if value.type is BsonType.OBJECT:
        yield "{"
        for number, (name, entry) in enumerate(elements(value.data)):
            yield f"{', ' if number else ''}{_quoted(name)}: "
            yield from _pieces(entry)
        yield "}"
    elif value.type is BsonType.ARRAY:
        yield "["
        for number, (_, entry) in enumerate(elements(value.data)):
            yield ", " if number else ""
            yield from _pieces(entry)
        yield "]"
    elif value.type is BsonType.JAVASCRIPT_WITH_SCOPE:
        code, scope = code_parts(value.data)
        yield f'{{"$code": {_quoted(code)}, "$scope": '
        yield from _pieces(BsonValue(BsonType.OBJECT, scope))
        yield "}"
    else:
        yield _WRITERS[value.type](value.data)


def _quoted(text: str) -> str:
    """Spell text for JSON; what is invisible, turns text round or is no text is an escape."""
    quoted = json.dumps(text, ensure_ascii=False)
    return _SPELLED_OUT.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)


def _binary(data: bytes) -> str:
    subtype, payload = binary_parts(data)
    encoded = base64.b64encode(payload).decode()
    return f'{{"$binary": {{"base64": "{encoded}", "subType": "{subtype:02x}"}}}}'


def _regex(data: bytes) -> str:
    pattern, options = map(_quoted, regex_parts(data))
    return f'{{"$regularExpression": {{"pattern": {pattern}, "options": {options}}}}}'


def _pointer(data: bytes) -> str:
    collection, identity = pointer_parts(data)
    return f'{{"$dbPointer": {{"$ref": {_quoted(collection)}, "$id": {_object_id(identity)}}}}}'


def _object_id(data: bytes) -> str:
    return f'{{"$oid": "{data.hex()}"}}'


def _timestamp(data: bytes) -> str:
    seconds, increment = timestamp_parts(data)
    return f'{{"$timestamp": {{"t": {seconds}, "i": {increment}}}}}'


_WRITERS: Mapping[BsonType, Callable[[bytes], str]] = {
    BsonType.DOUBLE: lambda data: f'{{"$numberDouble": "{double_text(data)}"}}',
    BsonType.STRING: lambda data: _quoted(text_of(data)),
    BsonType.BINARY: _binary,
    BsonType.UNDEFINED: lambda _: '{"$undefined": true}',
    BsonType.OBJECT_ID: _object_id,
    BsonType.BOOL: lambda data: "true" if data[0] else "false",
    BsonType.DATE: lambda data: f'{{"$date": {{"$numberLong": "{long_of(data)}"}}}}',
    BsonType.NULL: lambda _: "null",
    BsonType.REGEX: _regex,
    BsonType.DB_POINTER: _pointer,
    BsonType.JAVASCRIPT: lambda data: f'{{"$code": {_quoted(text_of(data))}}}',
    BsonType.SYMBOL: lambda data: f'{{"$symbol": {_quoted(text_of(data))}}}',
    BsonType.INT: lambda data: f'{{"$numberInt": "{int_of(data)}"}}',
    BsonType.TIMESTAMP: _timestamp,
    BsonType.LONG: lambda data: f'{{"$numberLong": "{long_of(data)}"}}',
    BsonType.DECIMAL: lambda data: f'{{"$numberDecimal": "{decimal_text(data)}"}}',
    BsonType.MAX_KEY: lambda _: '{"$maxKey": 1}',
    BsonType.MIN_KEY: lambda _: '{"$minKey": 1}',
}


def _value(parsed: Any, depth: int) -> BsonValue:
    if depth > _DEEPEST:
        raise ValueError(f"nested more than {_DEEPEST} deep")
    if isinstance(parsed, _Object):
        return _special(parsed, depth) or BsonValue(
            BsonType.OBJECT,
            document_of((name, _value(entry, depth + 1)) for name, entry in parsed.fields),
        )
    if isinstance(parsed, list):
        entries = ((str(at), _value(entry, depth + 1)) for at, entry in enumerate(parsed))
        return BsonValue(BsonType.ARRAY, document_of(entries))
    return _scalar(parsed)


def _scalar(parsed: Any) -> BsonValue:
    if parsed is None:
        return BsonValue(BsonType.NULL, b"")
    if isinstance(parsed, bool):
        return BsonValue(BsonType.BOOL, bytes([parsed]))
    if isinstance(parsed, str):
        return BsonValue(BsonType.STRING, _string(parsed))
    if isinstance(parsed, float):
        return BsonValue(BsonType.DOUBLE, struct.pack("<d", parsed))
    if -(2**_INT_BITS) <= parsed < 2**_INT_BITS:
        return BsonValue(BsonType.INT, _packed("<i", parsed))
    return BsonValue(BsonType.LONG, _packed("<q", parsed))


def _special(parsed: _Object, depth: int) -> BsonValue | None:
    """Read the spelling of a value that JSON does not have; None where it is just an object."""
    if len(parsed.names) != len(parsed.fields):
        return None
    if parsed.names == {"$code", "$scope"}:
        code = _string(parsed["$code"])
        scope = _value(parsed["$scope"], depth + 1)
        if scope.type is not BsonType.OBJECT:
            raise ValueError('"$scope" has to be an object')
        length = struct.pack("<i", 4 + len(code) + len(scope.data))
        return BsonValue(BsonType.JAVASCRIPT_WITH_SCOPE, length + code + scope.data)
    if len(parsed.fields) != 1:
        return None
    [(name, content)] = parsed.fields
    reader = _READERS.get(name)
    if reader is None:
        return None
    kind, read_content = reader
    try:
        return BsonValue(kind, read_content(content))
    except (KeyError, TypeError, AttributeError, ArithmeticError, ValueError) as error:
        raise ValueError(f'"{name}" has a content that it cannot have') from error


def _read_binary(content: _Object) -> bytes:
    payload = base64.b64decode(content["base64"], validate=True)
    subtype = int(content["subType"], 16)
    if subtype == OLD_BINARY:
        payload = struct.pack("<i", len(payload)) + payload
    return _packed("<iB", len(payload), subtype) + payload


def _read_regex(content: _Object) -> bytes:
    return cstring(content["pattern"]) + cstring(content["options"])


def _read_pointer(content: _Object) -> bytes:
    return _string(content["$ref"]) + _read_object_id(content["$id"]["$oid"])


def _read_object_id(content: str) -> bytes:
    data = bytes.fromhex(content)
    if len(content) != 24:  # noqa: PLR2004 - 12 bytes in hex
        raise ValueError("an ObjectId has 24 hex digits")
    return data


def _read_date(content: _Object) -> bytes:
    return _packed("<q", int(content["$numberLong"]))


def _read_nothing(content: object) -> bytes:
    if content not in (True, 1):
        raise ValueError("true or 1")
    return b""


def _string(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("a text is wanted")  # noqa: TRY004 - the JSON is wrong, not our type
    try:
        return string_data(text)
    except UnicodeEncodeError as error:
        raise ValueError("a text with half a surrogate pair") from error


def _packed(form: str, *numbers: int) -> bytes:
    try:
        return struct.pack(form, *numbers)
    except struct.error as error:
        raise ValueError("a number that is too large") from error


_READERS: Mapping[str, tuple[BsonType, Callable[[Any], bytes]]] = {
    "$numberDouble": (BsonType.DOUBLE, lambda content: struct.pack("<d", float(content))),
    "$binary": (BsonType.BINARY, _read_binary),
    "$undefined": (BsonType.UNDEFINED, _read_nothing),
    "$oid": (BsonType.OBJECT_ID, _read_object_id),
    "$date": (BsonType.DATE, _read_date),
    "$regularExpression": (BsonType.REGEX, _read_regex),
    "$dbPointer": (BsonType.DB_POINTER, _read_pointer),
    "$code": (BsonType.JAVASCRIPT, _string),
    "$symbol": (BsonType.SYMBOL, _string),
    "$numberInt": (BsonType.INT, lambda content: _packed("<i", int(content))),
    "$timestamp": (
        BsonType.TIMESTAMP,
        lambda content: _packed("<II", content["i"], content["t"]),
    ),
    "$numberLong": (BsonType.LONG, lambda content: _packed("<q", int(content))),
    "$numberDecimal": (BsonType.DECIMAL, lambda content: Decimal128(content).bid),
    "$maxKey": (BsonType.MAX_KEY, _read_nothing),
    "$minKey": (BsonType.MIN_KEY, _read_nothing),
}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is no JSON; write {{"$numberDouble": "{name}"}}')
