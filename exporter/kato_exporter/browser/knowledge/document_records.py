"""The kinds of records that MongoDB holds, what people call these, and where their pages are."""

from collections.abc import Callable
from dataclasses import dataclass

from kato_exporter.browser.knowledge.document_ids import id_text
from kato_exporter.browser.knowledge.document_paths import collection_path, document_path
from kato_exporter.browser.knowledge.pattern_rows import pattern_url
from kato_exporter.kato.knowledge import is_pattern_name
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.kb_container import (
    KnowledgeBaseContainer,
    KnowledgeBaseDocuments,
)
from kato_exporter.stores.mongodb.pattern_records import PatternRecords
from kato_exporter.stores.mongodb.places import Place
from kato_exporter.stores.mongodb.records import MongoRecords

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


@dataclass(frozen=True, slots=True, kw_only=True)
class MongodbRecords:
    """Each kind of record, and what makes a knowledge base, by its name, a container."""

    documents: MongoRecords
    patterns: PatternRecords
    of_knowledge_bases: KnowledgeBaseDocuments
    knowledge_base: Callable[[str], KnowledgeBaseContainer]


def mongodb_records(connection: MongoConnection) -> MongodbRecords:
    """Make the kinds."""
    of_knowledge_bases = KnowledgeBaseDocuments(connection, label=place_label, path=place_path)
    return MongodbRecords(
        documents=MongoRecords(connection, label=place_label, path=place_path),
        patterns=PatternRecords(connection, label=place_label, path=place_path),
        of_knowledge_bases=of_knowledge_bases,
        knowledge_base=lambda kb: KnowledgeBaseContainer(connection, kb, of_knowledge_bases),
    )
