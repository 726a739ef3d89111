"""What people call a document that is changed, and where its page is."""

from kato_exporter.browser.document_ids import id_text
from kato_exporter.browser.document_paths import collection_path, document_path
from kato_exporter.browser.pattern_rows import pattern_url
from kato_exporter.kato.knowledge import is_pattern_name
from kato_exporter.stores.mongodb_places import Place

_LONGEST_ID = 200


def place_label(place: Place) -> str:
    """Name a document: a pattern by its name, any other by its collection and `_id`."""
    if place.name is not None:
        return f"{place.kb} {place.name}"
    return f"{place.kb} {place.collection} {id_text(place.identity)[:_LONGEST_ID]}"


def place_path(place: Place) -> str:
    """Give the page of a document, or its collection's where the `_id` is too long for one."""
    if place.name is not None and is_pattern_name(place.name):
        return pattern_url(place.kb, place.name)
    found = document_path(place.kb, place.collection, place.identity)
    return found or collection_path(place.kb, place.collection)
