"""Patterns in a listing, as facts of a page."""

from urllib.parse import quote

from kato_exporter.browser.exports import Row
from kato_exporter.browser.knowledge.bson_facts import bson_facts, document_url
from kato_exporter.kato.knowledge import PATTERNS, is_pattern_name
from kato_exporter.stores.patterns import PatternRow

COLUMNS = ("name", "frequency", "length", "events", "beginning", "bytes", "_id")


def row_facts(kb: str, row: PatternRow) -> Row:
    """Give a pattern's fields as they are stored, None where there is none.

    `large` names those that are too large for a listing, with their bytes. `url` is the page of the
    pattern, or of its document where KATO cannot have made the name.
    """
    url = document_url(kb, PATTERNS, row.identity) if "_id" not in row.large else None
    if is_pattern_name(row.name):
        url = pattern_url(kb, row.name)
    return {
        "name": bson_facts(row.name),
        "frequency": bson_facts(row.frequency),
        "length": bson_facts(row.length),
        "events": row.events,
        "beginning": bson_facts(row.beginning),
        "bytes": row.bytes,
        "_id": bson_facts(row.identity),
        "large": dict(row.large),
        "url": url,
    }


def pattern_url(kb: str, name: str) -> str:
    """Give the path of a pattern's page."""
    return f"/kb/{quote(kb, safe='')}/patterns/{name}"
