"""The pages on which patterns and other documents are edited: a form, a diff, and the saving."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, abort, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from kato_exporter.browser.access.users import current_user
from kato_exporter.browser.answers import answer
from kato_exporter.browser.knowledge.bson_text import document_text
from kato_exporter.browser.knowledge.document_form import (
    NotEditableError,
    document_texts,
    read_document,
)
from kato_exporter.browser.knowledge.document_ids import id_of
from kato_exporter.browser.knowledge.document_paths import collection_name
from kato_exporter.browser.knowledge.extended_json import read
from kato_exporter.browser.knowledge.form_faults import FormFaultsError
from kato_exporter.browser.knowledge.pattern_form import (
    FIELDS,
    emotives_shape,
    pattern_texts,
    read_pattern,
)
from kato_exporter.browser.records.desk import ConflictError, Desk, NotPermittedError
from kato_exporter.browser.records.differences import diff_lines
from kato_exporter.kato.knowledge import PATTERNS, is_pattern_name
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.mongodb.bson_elements import BsonValue, field_of
from kato_exporter.stores.mongodb.pattern_records import PatternRecords
from kato_exporter.stores.mongodb.places import Place
from kato_exporter.stores.mongodb.records import MongoRecords, check_edit
from kato_exporter.stores.records import Snapshot

_WHOLE = ""
_MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class _Edit:
    """What is edited, and how its content becomes a form's texts and these a content."""

    desk: Desk
    kind: MongoRecords
    locator: bytes
    template: str
    names: tuple[str, ...]
    about: Callable[[bytes | None], Mapping[str, Any]]
    texts: Callable[[bytes], Mapping[str, str | None]]
    read: Callable[[bytes, Mapping[str, str]], bytes]

    def now(self) -> Snapshot | None:
        """Read the record as it is."""
        [snapshot] = self.kind.read([self.locator])
        return snapshot

    def form(self) -> Response:
        """Answer with the form."""
        now = self.now()
        if now is None:
            abort(404, "There is no such record any more.")
        try:
            check_edit(now.content, now.content)
            texts = self.texts(now.content)
        except (QueryError, NotEditableError) as error:
            abort(400, f"This cannot be edited here. {error}")
        return self._answer(now.content, texts, now.version)

    def change(self) -> AnyResponse:
        """Answer to what was typed: with what is wrong, with what would change, or by saving."""
        typed = {
            name: request.form[name].replace("\r\n", "\n")
            for name in self.names
            if name in request.form
        }
        step, version = request.form.get("step"), request.form.get("version", "")
        if step not in ("check", "save"):
            abort(400, "step: give check or save")
        now = self.now()
        if now is None or now.version != version:
            return self._conflict(typed, now)
        try:
            new = self._read(now.content, typed)
        except FormFaultsError as error:
            return self._answer(now.content, typed, version, faults=error.faults, status=400)
        if step == "save" and request.form.get("seen") == _digest(new):
            try:
                operation = self.desk.edit(
                    self.kind.name, self.locator, version, new, (current_user(), g.client)
                )
            except ConflictError as conflict:
                return self._conflict(typed, conflict.now)
            return redirect(url_for("records.operation", identity=operation), 303)
        return self._answer(now.content, typed, version, new=new)

    def _read(self, content: bytes, typed: Mapping[str, str]) -> bytes:
        new = self.read(content, typed)
        if new == content:
            raise FormFaultsError({_WHOLE: "Nothing is changed, so there is nothing to save."})
        try:
            check_edit(content, new)
        except QueryError as error:
            raise FormFaultsError({_WHOLE: f"This cannot be saved: {error}."}) from error
        return new

    def _conflict(self, typed: Mapping[str, str], now: Snapshot | None) -> Response:
        """Show what is there now, and what was typed as a change of that, to go on from."""
        if now is None:
            return self._answer(None, typed, "", conflict="gone", status=409)
        try:
            new = self._read(now.content, typed)
        except FormFaultsError as error:
            faults = {name: fault for name, fault in error.faults.items() if name}
            return self._answer(
                now.content, typed, now.version, faults=faults, conflict="changed", status=409
            )
        return self._answer(
            now.content, typed, now.version, new=new, conflict="changed", status=409
        )

    def _answer(  # noqa: PLR0913 - what the page consists of
        self,
        content: bytes | None,
        typed: Mapping[str, str | None],
        version: str,
        *,
        new: bytes | None = None,
        faults: Mapping[str, str] | None = None,
        conflict: str | None = None,
        status: int = 200,
    ) -> Response:
        told = content is not None and new is not None
        before = document_text(content) if content is not None else None
        facts = {
            **self.about(content),
            "texts": {name: typed.get(name) for name in self.names},
            "version": version,
            "faults": dict(faults or {}),
            "fault": (faults or {}).get(_WHOLE),
            "conflict": conflict,
            "present": before if conflict else None,
            "changes": diff_lines(before or "", document_text(new or b"")) if told else [],
            "seen": _digest(new) if new is not None and told else None,
        }
        return answer(self.template, facts, status=status)


def mongodb_edit_pages(
    documents: MongoRecords, patterns: PatternRecords, desk: Desk | None
) -> Blueprint:
    """Make the pages; none without a desk.

    GET  /kb/<kb>/patterns/<name>/edit                   a form with frequency, emotives, metadata
    GET  /kb/<kb>/collections/<collection>/<id>/edit     a form with the document as extended JSON
    POST the same, with `version`    `step=check` shows what would change, `step=save` with the
                                     `seen` of that saves it
    """
    pages = Blueprint("mongodb_edit", __name__)
    if desk is None:
        return pages

    def pattern_edit(kb: str, name: str) -> _Edit:
        _permit(desk)
        locator = patterns.locator_of(kb, name) if is_pattern_name(name) else None
        if locator is None:
            abort(404, f"There is no pattern {name[:_MOST_SHOWN]} in {kb[:_MOST_SHOWN]}.")
        return _Edit(
            desk=desk,
            kind=patterns,
            locator=locator,
            template="patterns/edit.html",
            names=FIELDS,
            about=lambda content: {"kb": kb, "name": name, "shape": _shape(content)},
            texts=pattern_texts,
            read=read_pattern,
        )

    def document_edit(kb: str, collection: str, text: str) -> _Edit:
        _permit(desk)
        name = collection_name(collection)
        try:
            identity = id_of(text)
        except ValueError:
            abort(404, f"{text[:_MOST_SHOWN]} is no _id.")
        about = {"kb": kb, "collection": name, "id": text}
        return _Edit(
            desk=desk,
            kind=documents,
            locator=Place(kb, name, identity).locator,
            template="documents/edit.html",
            names=("text",),
            about=lambda _: about,
            texts=document_texts,
            read=read_document,
        )

    @pages.get("/kb/<kb>/patterns/<name>/edit")
    def pattern(kb: str, name: str) -> Response:
        return pattern_edit(kb, name).form()

    @pages.post("/kb/<kb>/patterns/<name>/edit")
    def change_pattern(kb: str, name: str) -> AnyResponse:
        return pattern_edit(kb, name).change()

    @pages.get("/kb/<kb>/collections/<collection>/<text>/edit")
    def document(kb: str, collection: str, text: str) -> Response:
        return document_edit(kb, collection, text).form()

    @pages.post("/kb/<kb>/collections/<collection>/<text>/edit")
    def change_document(kb: str, collection: str, text: str) -> AnyResponse:
        return document_edit(kb, collection, text).change()

    pages.add_app_template_global(document_locator)
    pages.add_app_template_global(pattern_locator)
    return pages


def document_locator(kb: str, collection: str, text: str) -> bytes:
    """Locate a document by its `_id` as pages spell it."""
    return Place(kb, collection, id_of(text)).locator


def pattern_locator(kb: str, identity: Any, name: Any) -> bytes:
    """Locate a pattern by its `_id` as facts have it."""
    value: BsonValue = read(json.dumps(identity))
    return Place(kb, PATTERNS, value, name if is_pattern_name(name) else None).locator


def _shape(content: bytes | None) -> str | None:
    emotives = None if content is None else field_of(content, "emotives")
    return None if emotives is None else emotives_shape(emotives)


def _permit(desk: Desk) -> None:
    if not desk.may_write(g.get("user")):
        raise NotPermittedError(
            "Only an editor changes records, and only where KATO_BROWSER_WRITABLE is true."
        )


def _digest(content: bytes) -> str:
    """Bind what is saved to what was shown."""
    return hashlib.sha256(content).hexdigest()
