"""The URLs of collections and documents of a knowledge base."""

import re
from urllib.parse import quote

from kato_exporter.browser.knowledge.document_ids import id_text
from kato_exporter.stores.mongodb.bson_elements import BsonValue

_LONGEST_LINKED_ID = 1_000
_NOT_IN_SEGMENTS = re.compile(r"[/%~]|^\.+$")
_SPELLED = re.compile(r"~(2f|25|7e|2e)|%2f", re.IGNORECASE)


def collection_text(name: str) -> str:
    """Spell a collection's name as one segment of a URL.

    A web server would take a slash, a percent sign and a segment of dots for its own, so these
    are spelled `~2f`, `~25`, `~2e`, and the tilde itself `~7e`.
    """
    return _NOT_IN_SEGMENTS.sub(lambda found: "".join(map(_spelled, found[0])), name)


def collection_name(text: str) -> str:
    """Read what `collection_text` has written, or `%2F` that a web server left as it is."""
    return _SPELLED.sub(lambda found: chr(int(found[0][1:], 16)), text)


def collection_path(kb: str, collection: str) -> str:
    """Give the path of a collection's page."""
    return f"/kb/{quote(kb, safe='')}/collections/{quote(collection_text(collection), safe='')}"


def document_path(kb: str, collection: str, identity: BsonValue) -> str | None:
    """Give the path of a document's page; None where its `_id` is too long for one."""
    if len(identity.data) > _LONGEST_LINKED_ID:
        return None
    return f"{collection_path(kb, collection)}/{quote(id_text(identity), safe='')}"


def _spelled(character: str) -> str:
    return f"~{ord(character):02x}"
