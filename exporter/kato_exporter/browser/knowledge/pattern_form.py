"""What of a pattern is edited, as the texts of a form: frequency, emotives, metadata.

A field whose text stays as it was keeps its bytes. One that has not KATO's shape has no text and
stays as it is.
"""

import math
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from kato_exporter.browser.knowledge.bson_text import plain_text
from kato_exporter.browser.knowledge.document_form import parsed
from kato_exporter.browser.records.form_faults import FormFaultsError
from kato_exporter.stores.mongodb.bson_elements import (
    BsonType,
    BsonValue,
    document_of,
    elements,
    field_of,
)
from kato_exporter.stores.mongodb.bson_parts import text_of

FIELDS = ("frequency", "emotives", "metadata")

MOST_FREQUENT = 2**31 - 1
"""The largest frequency that KATO's int holds."""

EMPTY, LEARNINGS, LISTS = "empty", "learnings", "lists"
"""The shapes of emotives, see `kato.patterns.Emotives`."""

_DIGITS = re.compile(r"[0-9]{1,12}", re.ASCII)
_NUMBERS = frozenset({BsonType.INT, BsonType.LONG, BsonType.DOUBLE})

Texts = Mapping[str, str | None]
_Check = Callable[[BsonValue], Iterator[str]]


def pattern_texts(content: bytes) -> Texts:
    """Give the texts of the fields that can be edited; None for those that cannot."""
    return {
        field: None
        if (value := field_of(content, field)) is None or not _is_editable(field, value)
        else plain_text(value)
        for field in FIELDS
    }


def emotives_shape(value: BsonValue) -> str | None:
    """Tell in which of KATO's shapes emotives are; None where they are in no such."""
    entries = [entry for _, entry in _entries(value)]
    if value.type is BsonType.OBJECT:
        if not entries:
            return EMPTY
        return LISTS if all(entry.type is BsonType.ARRAY for entry in entries) else None
    if value.type is BsonType.ARRAY and all(each.type is BsonType.OBJECT for each in entries):
        return LEARNINGS
    return None


def read_pattern(content: bytes, typed: Mapping[str, str]) -> bytes:
    """Read a form's texts; `content` is what it was made of. Raises FormFaultsError."""
    faults: dict[str, str] = {}
    changed: dict[str, BsonValue] = {}
    for field, text in pattern_texts(content).items():
        new = typed.get(field, text)
        value = field_of(content, field)
        if text is None or new is None or new.strip() == text or value is None:
            continue
        try:
            changed[field] = _READERS[field](value, new)
        except FormFaultsError as error:
            faults |= error.faults
    if faults:
        raise FormFaultsError(faults)
    return document_of((name, changed.get(name, value)) for name, value in elements(content))


def _is_editable(field: str, value: BsonValue) -> bool:
    if field == "emotives":
        return emotives_shape(value) is not None
    return field == "frequency" or value.type is BsonType.OBJECT


def _read_frequency(old: BsonValue, text: str) -> BsonValue:
    digits = text.strip()
    if not _DIGITS.fullmatch(digits) or not 1 <= int(digits) <= MOST_FREQUENT:
        raise FormFaultsError(
            {"frequency": f"Give a whole number from 1 to {MOST_FREQUENT:,}, in digits only."}
        )
    if old.type is BsonType.LONG:
        return BsonValue(BsonType.LONG, struct.pack("<q", int(digits)))
    return BsonValue(BsonType.INT, struct.pack("<i", int(digits)))


def _read_emotives(old: BsonValue, text: str) -> BsonValue:
    value = parsed(text, "emotives")
    check = _learnings_faults if emotives_shape(old) == LEARNINGS else _lists_faults
    return _checked("emotives", value, check)


def _read_metadata(_: BsonValue, text: str) -> BsonValue:
    return _checked("metadata", parsed(text, "metadata"), _metadata_faults)


_READERS: Mapping[str, Callable[[BsonValue, str], BsonValue]] = {
    "frequency": _read_frequency,
    "emotives": _read_emotives,
    "metadata": _read_metadata,
}


def _checked(field: str, value: BsonValue, check: _Check) -> BsonValue:
    fault = next(check(value), None)
    if fault is not None:
        raise FormFaultsError({field: fault})
    return value


def _learnings_faults(value: BsonValue) -> Iterator[str]:
    if value.type is not BsonType.ARRAY:
        yield 'Keep the shape: a list of objects, as [{"joy": 0.5}], the newest last.'
    for number, (_, learning) in enumerate(_entries(value), start=1):
        if learning.type is not BsonType.OBJECT:
            yield f'Entry {number} has to be an object of numbers, as {{"joy": 0.5}}.'
        yield from _name_faults(learning)
        for name, entry in _entries(learning):
            yield from _number_faults(f"{name} in entry {number}", entry)


def _lists_faults(value: BsonValue) -> Iterator[str]:
    if value.type is not BsonType.OBJECT:
        yield 'Keep the shape: an object of lists of numbers, as {"joy": [0.5, 1.0]}.'
    yield from _name_faults(value)
    for name, entries in _entries(value):
        if entries.type is not BsonType.ARRAY:
            yield f"{name} has to be a list of numbers, as [0.5, 1.0]."
        for _, entry in _entries(entries):
            yield from _number_faults(name, entry)


def _metadata_faults(value: BsonValue) -> Iterator[str]:
    if value.type is not BsonType.OBJECT:
        yield 'Metadata are an object of lists of texts, as {"source": ["camera"]}.'
    yield from _name_faults(value)
    for name, entries in _entries(value):
        found = [entry for _, entry in _entries(entries)]
        if entries.type is not BsonType.ARRAY:
            yield f'{name} has to be a list of texts, as ["camera"].'
        if any(entry.type is not BsonType.STRING for entry in found):
            yield f"{name} has an entry that is no text; texts stand in double quotes."
        for entry, times in Counter(found).items():
            if times > 1:
                yield f"{name} has {text_of(entry.data)!r} {times} times; each text stands once."


def _name_faults(value: BsonValue) -> Iterator[str]:
    """Check names as those that KATO reaches by a path with dots."""
    for name, times in Counter(name for name, _ in _entries(value)).items():
        if times > 1 and value.type is BsonType.OBJECT:
            yield f"{name} stands {times} times in one object."
        if not name or "." in name or name.startswith("$"):
            yield f"{name!r} cannot be a name: it is empty, has a dot, or begins with $."


def _number_faults(what: str, value: BsonValue) -> Iterator[str]:
    if value.type not in _NUMBERS:
        yield f"{what} has to be a number, as 0.5."
    elif value.type is BsonType.DOUBLE and not math.isfinite(struct.unpack("<d", value.data)[0]):
        yield f"{what} has to be a finite number."


def _entries(value: BsonValue) -> Iterator[tuple[str, BsonValue]]:
    nested = value.type in (BsonType.OBJECT, BsonType.ARRAY)
    return elements(value.data) if nested else iter(())
