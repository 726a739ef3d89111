"""Editing the payload of a point of Qdrant."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint

from kato_exporter.browser.qdrant.pages import point_of_path
from kato_exporter.browser.qdrant.payload_text import (
    LONGEST,
    PayloadError,
    payload_of_text,
    payload_text,
)
from kato_exporter.browser.records.desk import Desk
from kato_exporter.browser.records.differences import Lines, diff_lines
from kato_exporter.browser.records.editing import Texts, add_edit_page
from kato_exporter.browser.records.form_faults import FormFaultsError, NotEditableError
from kato_exporter.stores.qdrant.content import Place, canonical, point_of_content, with_payload
from kato_exporter.stores.qdrant.records import QdrantRecords


def qdrant_edit_pages(kind: QdrantRecords, desk: Desk | None) -> Blueprint:
    """Make the page of a point's payload, as JSON; none without a desk."""
    pages = Blueprint("qdrant_edit", __name__)
    if desk is not None:
        add_edit_page(
            pages,
            "/qdrant/<collection>/points/<point>/edit",
            "payload",
            desk,
            lambda collection, point: _Payload(kind, Place(collection, point_of_path(point))),
        )
    return pages


@dataclass(frozen=True, slots=True)
class _Payload:
    """The payload of a point, as JSON in its one spelling."""

    kind: QdrantRecords
    place: Place
    template: str = "qdrant/edit.html"
    fields: tuple[str, ...] = ("text",)
    whole: str = "text"

    @property
    def locator(self) -> bytes:
        """Locate the point."""
        return self.place.locator

    @property
    def what(self) -> str:
        """Name the point."""
        return f"point {self.place.point} in the collection {self.place.collection}"

    def value(self, content: bytes) -> bytes:
        """Give the payload alone."""
        return canonical(point_of_content(content)["payload"])

    def texts(self, value: bytes) -> Texts:
        """Give the payload on several lines."""
        text = self.told(value)
        if len(text) > LONGEST:
            raise NotEditableError(
                f"The payload has {len(text):,} characters, and at most {LONGEST:,} are edited "
                "here; use Qdrant's API."
            )
        return {"text": text}

    def read(self, value: bytes, typed: Mapping[str, str]) -> bytes:
        """Read JSON; any object may be a payload."""
        del value
        try:
            return canonical(payload_of_text(typed.get("text", "")))
        except PayloadError as error:
            raise FormFaultsError({"text": str(error)}) from error

    def content(self, content: bytes, value: bytes) -> bytes:
        """Give the point with another payload."""
        return with_payload(content, json.loads(value))

    def told(self, value: bytes) -> str:
        """Give the payload on several lines."""
        return payload_text(json.loads(value))

    def diff(self, old: bytes, new: bytes) -> Lines:
        """Compare payloads line by line."""
        return diff_lines(self.told(old), self.told(new))

    def about(self, value: bytes | None, texts: Texts) -> Mapping[str, Any]:
        """Say which point it is."""
        del value, texts
        return {"collection": self.place.collection, "id": self.place.point}
