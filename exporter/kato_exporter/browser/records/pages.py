"""The pages of what was changed: previews and results of operations, and the trash."""

import base64
import binascii
import re
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, abort, g, request
from werkzeug.wrappers import Response as AnyResponse

from kato_exporter.browser.access.users import current_user
from kato_exporter.browser.answers import answer
from kato_exporter.browser.arguments import integer_argument, key_argument
from kato_exporter.browser.exports import Export, Row
from kato_exporter.browser.failures import failure
from kato_exporter.browser.keys import encode_key
from kato_exporter.browser.links import this_page
from kato_exporter.browser.records.desk import Desk, RefusedError
from kato_exporter.browser.records.journal import JournalError
from kato_exporter.browser.records.plans import (
    PLAN_SECONDS,
    TRASH_SECONDS,
    Operation,
    State,
)
from kato_exporter.browser.records.removal import to_make_again
from kato_exporter.browser.records.way_on import to_operation

_EXPORTED_AT_ONCE = 1_000
_MOST_ROWS = 2**53
_NUMBER = re.compile("[0-9]{1,15}")


def records_pages(desk: Desk, *, page_rows: int) -> Blueprint:
    """Make the pages.

    GET  /trash                     what was changed, the newest first, and what can be put back
    POST /operations                plans a deletion: `kind` and `locator`s, or `container`, `name`
                                    and `typed`
    GET  /operations/<id>           its preview, its progress, or what came of it
    POST /operations/<id>/confirm   carries it out; with the `digest` of what was shown
    POST /operations/<id>/resume    goes on with one that was interrupted
    POST /operations/<id>/restore   puts back the records of `number`, or all
    """
    pages = Blueprint("records", __name__)
    _add_reading(pages, desk, page_rows)
    _add_writing(pages, desk)

    @pages.app_context_processor
    def tools() -> dict[str, Any]:
        return {"can_write": desk.may_write(g.get("user")), "locator_text": locator_text}

    @pages.app_errorhandler(RefusedError)
    def refused(error: RefusedError) -> Response:
        return failure(error.status, str(error), error="Refused")

    @pages.app_errorhandler(JournalError)
    def not_kept(error: JournalError) -> Response:
        reason = f"The trash and the audit log cannot be used, so nothing was done: {error}"
        return failure(HTTPStatus.SERVICE_UNAVAILABLE, reason, error="Not kept")

    return pages


def _add_reading(pages: Blueprint, desk: Desk, page_rows: int) -> None:
    operations = desk.operations

    @pages.get("/trash")
    def trash() -> Response:
        key = key_argument("before")
        listed = operations.listed(_position(key), page_rows + 1)
        shown, more = listed[:page_rows], len(listed) > page_rows
        last = shown[-1] if more else None
        facts = {
            "operations": [_summary(desk, desk.stands(operation)) for operation in shown],
            "kept_days": TRASH_SECONDS // 86_400,
            "next": last and this_page(before=encode_key([last.planned_at, last.id])),
        }
        return answer("records/trash.html", facts)

    @pages.get("/operations/<identity>")
    def operation(identity: str) -> Response:
        found = _existing(desk, identity)
        above = integer_argument("above", default=0, most=_MOST_ROWS) or 0
        items = operations.items(identity, above=above, limit=page_rows + 1)
        shown, more = items[:page_rows], len(items) > page_rows
        facts = {
            "operation": _summary(desk, found),
            "digest": found.digest,
            "confirmable_until": found.expires_at if found.state is State.PLANNED else None,
            "notes": found.notes,
            "records": [_record(desk, item) for item in shown],
            "next": this_page(above=str(shown[-1]["number"])) if more else None,
        }
        export = Export(
            name=f"operation-{identity}",
            columns=("number", "kind", "record", "state", "version", "bytes"),
            rows=lambda: _all_records(desk, identity),
        )
        return answer("records/operation.html", facts, export=export)


def _add_writing(pages: Blueprint, desk: Desk) -> None:
    @pages.post("/operations")
    def plan() -> AnyResponse:
        user, client = current_user(), g.client
        if container := request.form.get("container"):
            removed = [(container, request.form.get("name", ""))]
            removed += [_container(text) for text in request.form.getlist("with")]
            typed = request.form.get("typed", "").strip()
            return to_operation(desk.plan_removal(removed, typed, user, client))
        locators = [_locator(text) for text in request.form.getlist("locator")]
        return to_operation(
            desk.plan_deletion(request.form.get("kind", ""), locators, user, client)
        )

    @pages.post("/operations/<identity>/confirm")
    def confirm(identity: str) -> AnyResponse:
        desk.confirm(identity, request.form.get("digest", ""), current_user())
        return to_operation(identity)

    @pages.post("/operations/<identity>/resume")
    def resume(identity: str) -> AnyResponse:
        desk.resume(identity, current_user(), g.client)
        return to_operation(identity)

    @pages.post("/operations/<identity>/restore")
    def restore(identity: str) -> AnyResponse:
        texts = request.form.getlist("number")
        if not all(_NUMBER.fullmatch(text) for text in texts):
            abort(400, "A number of a record is not a number; load the page again.")
        numbers = [int(text) for text in texts] if "some" in request.form else None
        if numbers == []:
            abort(400, "No record was chosen; choose one or more.")
        return to_operation(desk.restore(identity, numbers, current_user(), g.client))


def no_records_pages() -> Blueprint:
    """Answer for the pages of writes where nothing is written, and nothing was."""
    pages = Blueprint("records", __name__)

    @pages.app_context_processor
    def tools() -> dict[str, Any]:
        return {"can_write": False, "locator_text": locator_text}

    def absent() -> Response:
        return abort(
            404, "This browser keeps no trash and no audit log; set KATO_BROWSER_DATA_DIR."
        )

    for path in ("/trash", "/audit"):
        pages.add_url_rule(path, view_func=absent, endpoint=path.strip("/"))
    return pages


def locator_text(locator: bytes) -> str:
    """Spell a locator for a form."""
    return base64.urlsafe_b64encode(locator).decode()


def _locator(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeError):
        return abort(400, "A chosen record is not spelled as our pages do; load the page again.")


def _container(text: str) -> tuple[str, str]:
    kind, colon, name = text.partition(":")
    return (kind, name) if colon else abort(400, "with: give a kind and a name, kind:name")


def _position(key: list[Any] | None) -> tuple[float, str] | None:
    match key:
        case None:
            return None
        case [float() as moment, str() as identity]:
            return moment, identity
        case _:
            return abort(400, "before: it comes from a link to a next page; begin at the first.")


def _existing(desk: Desk, identity: str) -> Operation:
    found = desk.operations.find(identity)
    if found is None or found.has_expired:
        minutes, days = PLAN_SECONDS // 60, TRASH_SECONDS // 86_400
        abort(
            404,
            f"There is no such operation. A preview is forgotten after {minutes} minutes, and what "
            f"was done after {days} days, but for the audit log.",
        )
    return desk.stands(found)


def _summary(desk: Desk, operation: Operation) -> dict[str, Any]:
    containers = desk.operations.containers(operation.id)
    states = desk.operations.states(operation.id)
    ended = operation.state in (State.DONE, State.INTERRUPTED)
    in_trash = desk.operations.in_trash(operation.id)
    removed = [row for row in containers if to_make_again(row)]
    return {
        "id": operation.id,
        "action": operation.action,
        "target": operation.target,
        "user": operation.user,
        "client": operation.client,
        "state": operation.state,
        "problem": operation.problem,
        "undoes": operation.undoes,
        "planned_at": operation.planned_at,
        "begun_at": operation.begun_at,
        "ended_at": operation.ended_at,
        "records": sum(states.values()),
        "states": states,
        "bytes": desk.operations.size(operation.id),
        "in_trash": in_trash,
        "containers": [
            {name: row[name] for name in ("kind", "name", "state")} for row in containers
        ],
        "undoable": ended and bool(in_trash or removed),
        "kept_until": operation.ended_at and operation.ended_at + TRASH_SECONDS,
        "seconds": operation.begun_at and (operation.ended_at or time.time()) - operation.begun_at,
    }


def _record(desk: Desk, item: Row) -> dict[str, Any]:
    return {
        "number": item["number"],
        "kind": item["kind"],
        "record": item["label"],
        "path": desk.path(item),
        "state": item["state"],
        "version": item["version"],
        "bytes": item["size"],
        "in_trash": bool(item["in_trash"]),
        "undone_by": item["undone_by"],
    }


def _all_records(desk: Desk, identity: str) -> Iterator[Row]:
    above = 0
    while items := desk.operations.items(identity, above=above, limit=_EXPORTED_AT_ONCE):
        yield from (_record(desk, item) for item in items)
        above = items[-1]["number"]
