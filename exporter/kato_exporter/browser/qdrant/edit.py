"""Editing the payload of a point of Qdrant."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, abort, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from kato_exporter.browser.access.users import current_user
from kato_exporter.browser.answers import answer
from kato_exporter.browser.qdrant.pages import point_of_path
from kato_exporter.browser.qdrant.payload_text import (
    LONGEST,
    PayloadError,
    payload_of_text,
    payload_text,
)
from kato_exporter.browser.records.desk import ConflictError, Desk, NotPermittedError
from kato_exporter.browser.records.differences import diff_lines
from kato_exporter.stores.qdrant.content import Place, point_of_content, with_payload
from kato_exporter.stores.qdrant.records import QdrantRecords
from kato_exporter.stores.records import Snapshot

_TEMPLATE = "qdrant/edit.html"
_NOTHING_CHANGED = "Nothing is changed, so there is nothing to save."


def qdrant_edit_pages(kind: QdrantRecords, desk: Desk | None) -> Blueprint:
    """Make the pages; none without a desk.

    GET  /qdrant/<collection>/points/<id>/edit   a form for the payload, as JSON
    POST /qdrant/<collection>/points/<id>/edit   `step=check` shows what would change, `step=save`
                                                 changes it
    """
    pages = Blueprint("qdrant_edit", __name__)
    if desk is None:
        return pages

    @pages.get("/qdrant/<collection>/points/<point>/edit")
    def form(collection: str, point: str) -> Response:
        _permit(desk)
        place = Place(collection, point_of_path(point))
        now = _read(kind, place)
        if now is None:
            abort(404, f"There is no point {place.point} in the collection {collection} any more.")
        text = _text(now)
        _check_size(text)
        return answer(_TEMPLATE, _facts(place, text, now.version))

    @pages.post("/qdrant/<collection>/points/<point>/edit")
    def edit(collection: str, point: str) -> AnyResponse:
        _permit(desk)
        place = Place(collection, point_of_path(point))
        text = request.form.get("text", "").replace("\r\n", "\n")
        version, saving = request.form.get("version", ""), _is_saving()
        try:
            payload = payload_of_text(text)
        except PayloadError as error:
            return _faulty(place, text, version, str(error))
        now = _read(kind, place)
        if now is None or now.version != version:
            return _conflict(place, text, payload, now)
        diff = diff_lines(_text(now), payload_text(payload))
        if not diff:
            return _faulty(place, text, version, _NOTHING_CHANGED)
        if saving:
            content = with_payload(now.content, payload)
            try:
                return _saved(desk, now, content)
            except ConflictError as conflict:
                return _conflict(place, text, payload, conflict.now)
        return answer(_TEMPLATE, _facts(place, text, version) | {"diff": diff})

    return pages


def _saved(desk: Desk, old: Snapshot, content: bytes) -> AnyResponse:
    """Save a payload and go to what came of it; raises ConflictError."""
    author = (current_user(), g.client)
    operation = desk.edit(QdrantRecords.name, old.locator, old.version, content, author)
    return redirect(url_for("records.operation", identity=operation), 303)


def _permit(desk: Desk) -> None:
    if not desk.may_write(g.get("user")):
        raise NotPermittedError(
            "Only an editor changes records, and only where KATO_BROWSER_WRITABLE is true."
        )


def _is_saving() -> bool:
    step = request.form.get("step")
    if step not in ("check", "save"):
        abort(400, "step: give check or save")
    return step == "save"


def _read(kind: QdrantRecords, place: Place) -> Snapshot | None:
    [now] = kind.read([place.locator])
    return now


def _check_size(text: str) -> None:
    if len(text) > LONGEST:
        abort(
            400,
            f"The payload has {len(text):,} characters, and at most {LONGEST:,} are edited here; "
            "use Qdrant's API.",
        )


def _text(snapshot: Snapshot) -> str:
    return payload_text(point_of_content(snapshot.content)["payload"])


def _faulty(place: Place, text: str, version: str, fault: str) -> Response:
    return answer(_TEMPLATE, _facts(place, text, version) | {"fault": fault}, status=400)


def _conflict(
    place: Place, text: str, payload: Mapping[str, Any], now: Snapshot | None
) -> Response:
    """Show what is there now and what was typed, to go on from the former."""
    facts = _facts(place, text, "" if now is None else now.version)
    facts["conflict"] = "gone" if now is None else "changed"
    if now is not None and len(present := _text(now)) <= LONGEST:
        facts |= {"present": present, "diff": diff_lines(present, payload_text(payload))}
    return answer(_TEMPLATE, facts, status=409)


def _facts(place: Place, text: str, version: str) -> dict[str, Any]:
    return {
        "collection": place.collection,
        "id": place.point,
        "text": text,
        "version": version,
        "fault": None,
        "diff": None,
        "conflict": None,
        "present": None,
    }
