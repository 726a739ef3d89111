"""Editing what a key of Redis holds: a string, or one field of a hash."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, request

from kato_exporter.browser.arguments import refuse, text_argument
from kato_exporter.browser.records.desk import Desk
from kato_exporter.browser.records.differences import Lines
from kato_exporter.browser.records.editing import Texts, add_edit_page
from kato_exporter.browser.records.form_faults import FormFaultsError, NotEditableError
from kato_exporter.browser.redis.form import (
    LARGEST_EDITED,
    FormText,
    form_bytes,
    form_text,
    value_diff,
    value_fault,
)
from kato_exporter.browser.redis.pages import name_argument
from kato_exporter.kato.sessions import looks_like_session_key
from kato_exporter.stores.redis.names import LONGEST_LINKED_NAME, name_bytes, name_text
from kato_exporter.stores.redis.payloads import is_hash, is_string
from kato_exporter.stores.redis.records import RedisKeyRecords

_ESCAPED = "yes"


def redis_edit_pages(kind: RedisKeyRecords, desk: Desk | None) -> Blueprint:
    """Make the page of the string at `?name=`, or of its field `&field=`; none without a desk."""
    pages = Blueprint("redis_edit", __name__)
    if desk is not None:
        add_edit_page(
            pages,
            "/redis/key/edit",
            "value",
            desk,
            lambda: _KeyValue(kind, name_argument(), _field_argument()),
        )
    return pages


@dataclass(frozen=True, slots=True)
class _KeyValue:
    """The string of a key, or where a field is named, that of a field of its hash."""

    kind: RedisKeyRecords
    name: bytes
    field: bytes | None
    template: str = "redis/edit.html"
    fields: tuple[str, ...] = ("text", "escaped")
    whole: str = "text"

    @property
    def locator(self) -> bytes:
        """Locate the key."""
        return self.kind.locators.of(self.name)

    @property
    def what(self) -> str:
        """Name the key, and the field."""
        name = name_text(self.name)
        return f"key {name}" if self.field is None else f"field {name_text(self.field)} of {name}"

    def value(self, content: bytes) -> bytes | None:
        """Have the server read its own payload."""
        if self.field is None and is_string(content):
            return self.kind.payloads.string(content)
        if self.field is None or not is_hash(content):
            raise NotEditableError("Only strings and single fields of hashes are edited here.")
        return self.kind.payloads.field(content, self.field)

    def texts(self, value: bytes) -> Texts:
        """Give the value as one text."""
        if len(value) > LARGEST_EDITED:
            raise NotEditableError(
                f"The value has {len(value):,} bytes, and at most {LARGEST_EDITED:,} are edited "
                "here; use redis-cli."
            )
        form = form_text(value)
        return {"text": form.text, "escaped": _ESCAPED if form.escaped else ""}

    def read(self, value: bytes, typed: Mapping[str, str]) -> bytes:
        """Read the text; what was JSON stays that, and what was a number."""
        escaped = typed.get("escaped") == _ESCAPED
        try:
            new = form_bytes(FormText(typed.get("text", ""), escaped=escaped))
        except ValueError as error:
            raise FormFaultsError({"text": f"Not a value: {error}."}) from error
        fault = value_fault(value, new)
        if fault is not None:
            raise FormFaultsError({"text": fault})
        return new

    def content(self, content: bytes, value: bytes) -> bytes:
        """Have the server make a payload."""
        if self.field is None:
            return self.kind.payloads.of_string(value)
        return self.kind.payloads.with_field(content, self.field, value)

    def told(self, value: bytes) -> str:
        """Give the value as the form has it."""
        return form_text(value).text

    def diff(self, old: bytes, new: bytes) -> Lines:
        """Compare values line by line."""
        return value_diff(old, new)

    def about(self, value: bytes | None, texts: Texts) -> Mapping[str, Any]:
        """Give the names as texts, and whether it is a session."""
        del value
        return {
            "name": name_text(self.name),
            "field": None if self.field is None else name_text(self.field),
            "is_session": looks_like_session_key(self.name),
            "escaped": texts.get("escaped") == _ESCAPED,
        }


def _field_argument() -> bytes | None:
    if "field" not in request.args:
        return None
    text = text_argument("field", most=4 * LONGEST_LINKED_NAME)
    try:
        return name_bytes(text)
    except ValueError as error:
        return refuse("field", text, str(error))
