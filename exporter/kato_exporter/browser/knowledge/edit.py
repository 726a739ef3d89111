"""Editing patterns and other documents of MongoDB."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, abort

from kato_exporter.browser.knowledge.bson_text import document_text
from kato_exporter.browser.knowledge.document_form import document_texts, read_document
from kato_exporter.browser.knowledge.document_paths import collection_name
from kato_exporter.browser.knowledge.locators import document_locator
from kato_exporter.browser.knowledge.pattern_form import (
    FIELDS,
    emotives_shape,
    pattern_texts,
    read_pattern,
)
from kato_exporter.browser.records.desk import Desk
from kato_exporter.browser.records.differences import Lines, diff_lines
from kato_exporter.browser.records.editing import Texts, add_edit_page
from kato_exporter.browser.records.form_faults import FormFaultsError, NotEditableError
from kato_exporter.kato.knowledge import is_pattern_name
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.mongodb.bson_elements import field_of
from kato_exporter.stores.mongodb.pattern_records import PatternRecords
from kato_exporter.stores.mongodb.records import MongoRecords, check_edit

_MOST_SHOWN = 100


def knowledge_edit_pages(
    documents: MongoRecords, patterns: PatternRecords, desk: Desk | None
) -> Blueprint:
    """Make the pages; none without a desk.

    /kb/<kb>/patterns/<name>/edit                  frequency, emotives and metadata of a pattern
    /kb/<kb>/collections/<collection>/<id>/edit    any other document, as extended JSON
    """
    pages = Blueprint("knowledge_edit", __name__)
    if desk is None:
        return pages

    def pattern(kb: str, name: str) -> _Pattern:
        locator = patterns.locator_of(kb, name) if is_pattern_name(name) else None
        if locator is None:
            abort(404, f"There is no pattern {name[:_MOST_SHOWN]} in {kb[:_MOST_SHOWN]}.")
        return _Pattern(kind=patterns, locator=locator, kb=kb, name=name)

    def document(kb: str, collection: str, text: str) -> _Document:
        name = collection_name(collection)
        try:
            locator = document_locator(kb, name, text)
        except ValueError:
            abort(404, f"{text[:_MOST_SHOWN]} is no _id.")
        return _Document(kind=documents, locator=locator, kb=kb, collection=name, id=text)

    add_edit_page(pages, "/kb/<kb>/patterns/<name>/edit", "pattern", desk, pattern)
    add_edit_page(
        pages, "/kb/<kb>/collections/<collection>/<text>/edit", "document", desk, document
    )
    return pages


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bson:
    """A document, all of which is its value."""

    kind: MongoRecords
    locator: bytes
    kb: str

    def value(self, content: bytes) -> bytes:
        """Give all of the content, if MongoDB can compare it."""
        try:
            check_edit(content, content)
        except QueryError as error:
            raise NotEditableError(f"{error}.") from error
        return content

    def content(self, content: bytes, value: bytes) -> bytes:
        """Give the value."""
        del content
        return value

    def told(self, value: bytes) -> str:
        """Give all fields."""
        return document_text(value)

    def diff(self, old: bytes, new: bytes) -> Lines:
        """Compare all fields line by line."""
        return diff_lines(document_text(old), document_text(new))

    def _checked(self, value: bytes, new: bytes) -> bytes:
        try:
            check_edit(value, new)
        except QueryError as error:
            raise FormFaultsError({"": f"This cannot be saved: {error}."}) from error
        return new


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pattern(_Bson):
    """A pattern, of which some fields are edited."""

    name: str
    template: str = "patterns/edit.html"
    fields: tuple[str, ...] = FIELDS
    whole: str = ""

    @property
    def what(self) -> str:
        """Name the pattern."""
        return f"pattern {self.name} in {self.kb}"

    def texts(self, value: bytes) -> Texts:
        """Give a text for each field."""
        return pattern_texts(value)

    def read(self, value: bytes, typed: Mapping[str, str]) -> bytes:
        """Read each field."""
        return self._checked(value, read_pattern(value, typed))

    def about(self, value: bytes | None, texts: Texts) -> Mapping[str, Any]:
        """Say which pattern it is, and in what shape its emotives are."""
        del texts
        emotives = None if value is None else field_of(value, "emotives")
        shape = None if emotives is None else emotives_shape(emotives)
        return {"kb": self.kb, "name": self.name, "shape": shape}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document(_Bson):
    """A document, as one text."""

    collection: str
    id: str
    template: str = "documents/edit.html"
    fields: tuple[str, ...] = ("text",)
    whole: str = "text"

    @property
    def what(self) -> str:
        """Name the document."""
        return f"document {self.id[:_MOST_SHOWN]} in {self.collection[:_MOST_SHOWN]}"

    def texts(self, value: bytes) -> Texts:
        """Give all of it."""
        return document_texts(value)

    def read(self, value: bytes, typed: Mapping[str, str]) -> bytes:
        """Read all of it."""
        return self._checked(value, read_document(value, typed))

    def about(self, value: bytes | None, texts: Texts) -> Mapping[str, Any]:
        """Say which document it is."""
        del value, texts
        return {"kb": self.kb, "collection": self.collection, "id": self.id}
