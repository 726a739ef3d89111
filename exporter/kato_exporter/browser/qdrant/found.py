"""Deleting all points that a search finds."""

from collections.abc import Iterator

from flask import Blueprint
from werkzeug.wrappers import Response as AnyResponse

from kato_exporter.browser.qdrant.pages import match_argument, missing, refused_filter
from kato_exporter.browser.records.desk import Desk
from kato_exporter.browser.records.found import (
    SEARCH_SECONDS,
    Portion,
    plan_found,
    require_search,
)
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.qdrant.content import Place
from kato_exporter.stores.qdrant.names import PointId
from kato_exporter.stores.qdrant.store import QdrantStore

_AT_ONCE = 1_000


def qdrant_found_pages(store: QdrantStore, desk: Desk | None) -> Blueprint:
    """Make the address of the form; none without a desk.

    POST /qdrant/<collection>   plans to delete the points that `?key=`, `?type=`, `?value=` find
    """
    pages = Blueprint("qdrant_found", __name__)
    if desk is None:
        return pages

    @pages.post("/qdrant/<collection>")
    def delete(collection: str) -> AnyResponse:
        return plan_found(desk, "point", _points(store, collection))

    return pages


def _points(store: QdrantStore, collection: str) -> Iterator[Portion]:
    match = require_search(match_argument())
    deadline = Deadline.after(SEARCH_SECONDS)
    start: PointId | None = None
    while True:
        with missing(f"There is no collection {collection} in Qdrant."), refused_filter(match):
            ids, following = store.points.ids(
                collection, most=_AT_ONCE, start=start, match=match, deadline=deadline
            )
        yield [Place(collection, point).locator for point in ids]
        if following is None or following == start:
            return
        start = following
