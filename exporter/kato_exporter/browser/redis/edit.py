"""Editing what a key of Redis holds: a string, or one field of a hash."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, abort, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from kato_exporter.browser.access.users import current_user
from kato_exporter.browser.answers import answer
from kato_exporter.browser.arguments import refuse, text_argument
from kato_exporter.browser.records.desk import ConflictError, Desk, NotPermittedError
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
from kato_exporter.stores.records import Snapshot
from kato_exporter.stores.redis.names import LONGEST_LINKED_NAME, name_bytes, name_text
from kato_exporter.stores.redis.payloads import is_hash, is_string
from kato_exporter.stores.redis.records import RedisKeyRecords

_TEMPLATE = "redis/edit.html"
_NOTHING_CHANGED = "Nothing is changed, so there is nothing to save."


@dataclass(frozen=True, slots=True)
class _Place:
    """What is edited: a key that holds a string, or a field of one that holds a hash."""

    name: bytes
    field: bytes | None


@dataclass(frozen=True, slots=True)
class _Value:
    """A value as it is now, and the key that it belongs to."""

    snapshot: Snapshot
    data: bytes


def redis_edit_pages(kind: RedisKeyRecords, desk: Desk | None) -> Blueprint:
    """Make the pages; none without a desk.

    GET  /redis/key/edit   a form for the string at `?name=`, or for its field `&field=`
    POST /redis/key/edit   `step=check` shows what would change, `step=save` changes it
    """
    pages = Blueprint("redis_edit", __name__)
    if desk is None:
        return pages

    @pages.get("/redis/key/edit")
    def form() -> Response:
        _permit(desk)
        place = _place_argument()
        now = _read(kind, place)
        if now is None:
            abort(404, f"There is no {_what(place)} any more.")
        if len(now.data) > LARGEST_EDITED:
            abort(
                400,
                f"The value has {len(now.data):,} bytes, and at most {LARGEST_EDITED:,} are edited "
                "here; use redis-cli.",
            )
        return answer(_TEMPLATE, _facts(place, form_text(now.data), now.snapshot.version))

    @pages.post("/redis/key/edit")
    def edit() -> AnyResponse:
        _permit(desk)
        place, typed = _place_argument(), _typed()
        version, saving = request.form.get("version", ""), _is_saving()
        try:
            new = form_bytes(typed)
        except ValueError as error:
            return _faulty(place, typed, version, f"Not a value: {error}.")
        now = _read(kind, place)
        if now is None or now.snapshot.version != version:
            return _conflict(place, typed, new, now)
        fault = _NOTHING_CHANGED if new == now.data else value_fault(now.data, new)
        if fault is not None:
            return _faulty(place, typed, version, fault)
        if saving:
            return _saved(kind, desk, place, now, new) or _conflict(
                place, typed, new, _read(kind, place)
            )
        shown = {"diff": value_diff(now.data, new)}
        return answer(_TEMPLATE, _facts(place, typed, version) | shown)

    return pages


def _saved(
    kind: RedisKeyRecords, desk: Desk, place: _Place, old: _Value, new: bytes
) -> AnyResponse | None:
    """Save a value and go to what came of it; None where the key has changed meanwhile."""
    locator, version = old.snapshot.locator, old.snapshot.version
    content = (
        kind.payloads.of_string(new)
        if place.field is None
        else kind.payloads.with_field(old.snapshot.content, place.field, new)
    )
    try:
        operation = desk.edit(kind.name, locator, version, content, (current_user(), g.client))
    except ConflictError:
        return None
    return redirect(url_for("records.operation", identity=operation), 303)


def _permit(desk: Desk) -> None:
    if not desk.may_write(g.get("user")):
        raise NotPermittedError(
            "Only an editor changes records, and only where KATO_BROWSER_WRITABLE is true."
        )


def _place_argument() -> _Place:
    name = name_argument()
    if "field" not in request.args:
        return _Place(name, None)
    text = text_argument("field", most=4 * LONGEST_LINKED_NAME)
    try:
        return _Place(name, name_bytes(text))
    except ValueError as error:
        return refuse("field", text, str(error))


def _typed() -> FormText:
    return FormText(request.form.get("text", ""), escaped=request.form.get("escaped") == "yes")


def _is_saving() -> bool:
    step = request.form.get("step")
    if step not in ("check", "save"):
        abort(400, "step: give check or save")
    return step == "save"


def _read(kind: RedisKeyRecords, place: _Place) -> _Value | None:
    """Read a value out of its key's payload, so that both are of one moment; None if it is gone."""
    [snapshot] = kind.read([kind.locators.of(place.name)])
    if snapshot is None:
        return None
    payload = snapshot.content
    if place.field is None and is_string(payload):
        return _Value(snapshot, kind.payloads.string(payload))
    if place.field is None or not is_hash(payload):
        abort(400, "Only strings and single fields of hashes are edited here.")
    value = kind.payloads.field(payload, place.field)
    return None if value is None else _Value(snapshot, value)


def _what(place: _Place) -> str:
    name = name_text(place.name)
    return f"key {name}" if place.field is None else f"field {name_text(place.field)} of {name}"


def _faulty(place: _Place, typed: FormText, version: str, fault: str) -> Response:
    return answer(_TEMPLATE, _facts(place, typed, version) | {"fault": fault}, status=400)


def _conflict(place: _Place, typed: FormText, new: bytes, now: _Value | None) -> Response:
    """Show what is there now and what was typed, to go on from the former."""
    facts = _facts(place, typed, "" if now is None else now.snapshot.version)
    facts["conflict"] = "gone" if now is None else "changed"
    if now is not None and len(now.data) <= LARGEST_EDITED:
        facts |= {"present": form_text(now.data).text, "diff": value_diff(now.data, new)}
    return answer(_TEMPLATE, facts, status=409)


def _facts(place: _Place, typed: FormText, version: str) -> dict[str, Any]:
    return {
        "name": name_text(place.name),
        "field": None if place.field is None else name_text(place.field),
        "is_session": looks_like_session_key(place.name),
        "text": typed.text.replace("\r\n", "\n"),
        "escaped": typed.escaped,
        "version": version,
        "fault": None,
        "diff": None,
        "conflict": None,
        "present": None,
    }
