"""Where patterns and documents are, as records that are changed, by what pages know of them."""

import json
from typing import Any

from flask import Blueprint

from kato_exporter.browser.knowledge.bson_facts import bson_value
from kato_exporter.browser.knowledge.document_ids import id_of
from kato_exporter.browser.knowledge.extended_json import read
from kato_exporter.kato.knowledge import PATTERNS, is_pattern_name
from kato_exporter.stores.mongodb.bson_elements import BsonValue
from kato_exporter.stores.mongodb.places import Place
from kato_exporter.stores.patterns import PatternRow


def install_locators(pages: Blueprint) -> None:
    """Make the locators known to all templates."""
    pages.add_app_template_global(document_locator)
    pages.add_app_template_global(pattern_locator)


def document_locator(kb: str, collection: str, text: str) -> bytes:
    """Locate a document by its `_id` as pages spell it; raise ValueError for what is none."""
    return Place(kb, collection, id_of(text)).locator


def pattern_locator(kb: str, identity: Any, name: Any) -> bytes:
    """Locate a pattern by its `_id` as facts have it."""
    return _pattern(kb, read(json.dumps(identity)), name)


def row_locator(kb: str, row: PatternRow) -> bytes | None:
    """Locate a pattern of a listing; None where its `_id` is too large for that."""
    return None if "_id" in row.large else _pattern(kb, bson_value(row.identity), row.name)


def _pattern(kb: str, identity: BsonValue, name: Any) -> bytes:
    return Place(kb, PATTERNS, identity, name if is_pattern_name(name) else None).locator
