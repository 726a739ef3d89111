"""BSON as text that people edit, laid out over lines so that a change of one value is one line."""

import math
import struct
from collections.abc import Callable, Sequence

from kato_exporter.browser.knowledge.extended_json import write
from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, elements, string_data
from kato_exporter.stores.mongodb.bson_parts import int_of

_WIDTH = 78

Spelling = Callable[[BsonValue], str]


def document_text(document: bytes) -> str:
    """Spell a document as canonical extended JSON, each of its fields on lines of its own."""
    fields = _fields(BsonValue(BsonType.OBJECT, document), write)
    return _on_lines("{", fields, "}") if fields else "{}"


def plain_text(value: BsonValue) -> str:
    """Spell a value as extended JSON in which an int and a finite double are plain numbers."""
    return _spelled(value, _plain)


def _spelled(value: BsonValue, spell: Spelling) -> str:
    if value.type is BsonType.OBJECT:
        return _joined("{", _fields(value, spell), "}")
    if value.type is BsonType.ARRAY:
        return _joined("[", [_spelled(entry, spell) for _, entry in elements(value.data)], "]")
    return spell(value)


def _fields(value: BsonValue, spell: Spelling) -> list[str]:
    return [f"{_name(name)}: {_spelled(entry, spell)}" for name, entry in elements(value.data)]


def _name(name: str) -> str:
    return write(BsonValue(BsonType.STRING, string_data(name)))


def _joined(begin: str, parts: Sequence[str], end: str) -> str:
    line = f"{begin}{', '.join(parts)}{end}"
    return line if len(line) <= _WIDTH and "\n" not in line else _on_lines(begin, parts, end)


def _on_lines(begin: str, parts: Sequence[str], end: str) -> str:
    body = ",\n".join(parts).replace("\n", "\n  ")
    return f"{begin}\n  {body}\n{end}"


def _plain(value: BsonValue) -> str:
    if value.type is BsonType.INT:
        return str(int_of(value.data))
    if value.type is BsonType.DOUBLE:
        [number] = struct.unpack("<d", value.data)
        return repr(number) if math.isfinite(number) else write(value)
    return write(value)
