"""A document as the text of a form, and back, with nothing lost between."""

import json
from collections.abc import Iterator, Mapping

from kato_exporter.browser.knowledge.bson_text import document_text
from kato_exporter.browser.knowledge.extended_json import read
from kato_exporter.browser.records.form_faults import FormFaultsError, NotEditableError
from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, elements, field_of
from kato_exporter.stores.mongodb.bson_parts import code_parts

LARGEST_EDITED = 512 * 1024
"""A document of more bytes is not edited in a form."""

_FIELD = "text"
_LONGEST = 4 * LARGEST_EDITED
_NESTED = frozenset({BsonType.OBJECT, BsonType.ARRAY})


def document_texts(content: bytes) -> Mapping[str, str]:
    """Give the form's text of a document; raise NotEditableError where it would not be exact."""
    if len(content) > LARGEST_EDITED:
        raise NotEditableError(
            f"It has {len(content):,} bytes, and at most {LARGEST_EDITED:,} are edited here."
        )
    text = document_text(content)
    try:
        told = read(text)
    except ValueError as error:
        raise NotEditableError(f"Its text could not be read again: {error}.") from error
    if told != BsonValue(BsonType.OBJECT, content):
        raise NotEditableError(
            "It holds a value that extended JSON does not tell exactly, such as a NaN with a"
            " payload, or an object that looks like a value's spelling."
        )
    return {_FIELD: text}


def read_document(content: bytes, typed: Mapping[str, str]) -> bytes:
    """Read a form's text; `content` is what it was made of. Raises FormFaultsError."""
    text = typed.get(_FIELD, "")
    if len(text) > _LONGEST:
        raise _fault(f"{len(text):,} characters are too many; at most {_LONGEST:,} are taken.")
    value = parsed(text, _FIELD)
    if value.type is not BsonType.OBJECT:
        raise _fault("A document is an object, from { to }.")
    first = next(elements(value.data), None)
    if first is None or first != ("_id", field_of(content, "_id")):
        raise _fault("The _id cannot be changed, and stands first.")
    twice = next(_twice(value), None)
    if twice is not None and next(_twice(BsonValue(BsonType.OBJECT, content)), None) is None:
        raise _fault(f"The field {twice} stands twice in one object.")
    return value.data


def parsed(text: str, field: str) -> BsonValue:
    """Read extended JSON; raise FormFaultsError that tells the place where it breaks off."""
    try:
        return read(text)
    except json.JSONDecodeError as error:
        place = f"Line {error.lineno}, column {error.colno}"
        raise FormFaultsError({field: f"{place}: this is no JSON: {error.msg}."}) from error
    except ValueError as error:
        raise FormFaultsError({field: f"This is no extended JSON: {error}."}) from error


def _twice(value: BsonValue) -> Iterator[str]:
    """Name fields that occur twice in one object."""
    if value.type is BsonType.JAVASCRIPT_WITH_SCOPE:
        value = BsonValue(BsonType.OBJECT, code_parts(value.data)[1])
    if value.type not in _NESTED:
        return
    seen: set[str] = set()
    for name, entry in elements(value.data):
        if name in seen:
            yield name
        seen.add(name)
        yield from _twice(entry)


def _fault(sentence: str) -> FormFaultsError:
    return FormFaultsError({_FIELD: sentence})
