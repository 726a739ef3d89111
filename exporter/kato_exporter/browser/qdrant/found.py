"""Deleting all points that a search finds: what it finds becomes a plan."""

from flask import Blueprint, g, redirect, url_for
from werkzeug.wrappers import Response as AnyResponse

from kato_exporter.browser.access.users import current_user
from kato_exporter.browser.qdrant.pages import match_argument, missing, refused_filter
from kato_exporter.browser.records.desk import (
    MOST_RECORDS,
    Desk,
    NotPermittedError,
    RefusedError,
)
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.qdrant.content import Place
from kato_exporter.stores.qdrant.names import PointId
from kato_exporter.stores.qdrant.points import Match
from kato_exporter.stores.qdrant.store import QdrantStore

_AT_ONCE = 1_000
_SECONDS = 30.0


def qdrant_found_pages(store: QdrantStore, desk: Desk | None) -> Blueprint:
    """Make the address of the form; none without a desk.

    POST /qdrant/<collection>   plans to delete the points that `?key=`, `?type=`, `?value=` find
    """
    pages = Blueprint("qdrant_found", __name__)
    if desk is None:
        return pages

    @pages.post("/qdrant/<collection>")
    def delete(collection: str) -> AnyResponse:
        if not desk.may_write(g.get("user")):
            raise NotPermittedError(
                "Only an editor deletes records, and only where KATO_BROWSER_WRITABLE is true."
            )
        match = match_argument()
        if match is None:
            raise RefusedError("Search first; what the search finds is what is deleted.")
        with missing(f"There is no collection {collection} in Qdrant."), refused_filter(match):
            points = _found(store, collection, match)
        found = [Place(collection, point).locator for point in points]
        operation = desk.plan_deletion("point", found, current_user(), g.client)
        return redirect(url_for("records.operation", identity=operation), 303)

    return pages


def _found(store: QdrantStore, collection: str, match: Match) -> list[PointId]:
    """Go through the pages of a search, as far as one operation reaches."""
    deadline = Deadline.after(_SECONDS)
    found: dict[PointId, None] = {}
    start: PointId | None = None
    while len(found) < MOST_RECORDS:
        ids, following = store.points.ids(
            collection, most=_AT_ONCE, start=start, match=match, deadline=deadline
        )
        found.update(dict.fromkeys(ids))
        if following is None or following == start:
            break
        start = following
        if deadline.expired:
            raise RefusedError(
                f"The search has not come to its end within {_SECONDS:g} s; narrow it. "
                "Nothing was done."
            )
    if not found:
        raise RefusedError("The search finds nothing any more; nothing was done.")
    return list(found)[:MOST_RECORDS]
