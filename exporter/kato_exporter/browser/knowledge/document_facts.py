"""One document as facts of a page: each field with its type, and the whole as extended JSON."""

from collections import Counter
from itertools import islice
from typing import Any

from kato_exporter.browser.knowledge.bson_values import shown_value
from kato_exporter.browser.knowledge.document_ids import id_text
from kato_exporter.browser.knowledge.document_links import predicted, value_url
from kato_exporter.browser.knowledge.document_rows import exact_row
from kato_exporter.browser.knowledge.extended_json import beginning
from kato_exporter.kato.knowledge import METADATA
from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, elements, field_of

LARGEST_WHOLE = 1024 * 1024
"""Bytes of the largest document that a page and its JSON twin have whole."""

_LONGEST_ID = 1_000
_LONGEST_VALUE = 2_000
_LONGEST_BEGINNING = 64 * 1024
_MOST_FIELDS = 200
_MOST_NAMED = 5


def document_facts(kb: str, collection: str, document: bytes) -> dict[str, Any]:
    """Give what the page of a document shows.

    `document` is the whole as canonical extended JSON, or None where it is too large; then
    `beginning` is the first part of its text.
    """
    fields = list(elements(document))
    whole = len(document) <= LARGEST_WHOLE
    value = BsonValue(BsonType.OBJECT, document)
    identity = field_of(document, "_id")
    return {
        "kb": kb,
        "collection": collection,
        "read_only": collection == METADATA,
        "_id": None if identity is None else shown_value(identity, _LONGEST_ID),
        "id": None if identity is None else id_text(identity),
        "bytes": len(document),
        "fields": [
            {
                "name": name,
                "value": shown_value(found, _LONGEST_VALUE),
                "url": value_url(kb, collection, name, found),
            }
            for name, found in islice(fields, _MOST_FIELDS)
        ],
        "field_count": len(fields),
        "predicted": predicted(kb, collection, document),
        "document": exact_row(document) if whole else None,
        "beginning": None if whole else beginning(value, _LONGEST_BEGINNING)[0],
        "notices": _notices(fields, whole=whole),
    }


def _notices(fields: list[tuple[str, BsonValue]], *, whole: bool) -> list[str]:
    notices = []
    if len(fields) > _MOST_FIELDS:
        notices.append(f"The first {_MOST_FIELDS} of {len(fields):,} fields are listed.")
    if not whole:
        notices.append(
            f"The document has more than {LARGEST_WHOLE // 1024:,} KiB; its beginning is shown."
            " Search its collection by its _id, and download that as JSON Lines to have all."
        )
    repeated = [name for name, count in Counter(name for name, _ in fields).items() if count > 1]
    if repeated:
        names = ", ".join(name[:_LONGEST_ID] for name in repeated[:_MOST_NAMED])
        notices.append(
            f"Fields occur twice: {names}. The list has them all, the document as JSON the last."
        )
    return notices
