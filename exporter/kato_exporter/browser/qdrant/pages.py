"""Pages of Qdrant: collections, their points, one point, and the points similar to it."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, abort, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from kato_exporter.browser.answers import answer
from kato_exporter.browser.arguments import (
    choice_argument,
    integer_argument,
    refuse,
    text_argument,
)
from kato_exporter.browser.exports import Export, Row
from kato_exporter.browser.links import this_page
from kato_exporter.browser.plain_values import plain
from kato_exporter.browser.qdrant.vector_picture import vector_picture
from kato_exporter.kato.vectors import (
    VECTOR_NAME,
    is_vector_symbol,
    knowledge_base_of_collection,
    point_of_symbol,
)
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.json_values import at
from kato_exporter.stores.qdrant.answers import (
    CollectionDescription,
    Point,
    PointRows,
    PointVector,
    VectorKind,
)
from kato_exporter.stores.qdrant.content import Place
from kato_exporter.stores.qdrant.names import PointId, point_id
from kato_exporter.stores.qdrant.points import Match
from kato_exporter.stores.qdrant.store import QdrantStore

Facts = dict[str, Any]

_PAGE_SECONDS = 10.0
_MATCH_TYPES = ("keyword", "integer", "bool")
_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**63 - 1
_LONGEST_VALUE = 1000
_SIMILAR_LIMITS = (5, 10, 20, 50, 100)
_DEFAULT_SIMILAR = 10
_LONGEST_COPY = 64 * 1024
_REFUSED = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)

_KEY_ADVICE = (
    "A field whose name has other characters than letters, digits, _ and - stands in double quotes."
)
_DISTANCES = {
    "Cosine": "cosine similarity",
    "Dot": "dot product",
    "Euclid": "Euclidean distance",
    "Manhattan": "Manhattan distance",
}
_LARGER_IS_NEARER = ("Cosine", "Dot")


def qdrant_pages(store: QdrantStore, *, page_rows: int) -> Blueprint:
    """Make the pages.

    GET /qdrant                                        collections by name
    GET /qdrant/<collection>                           its configuration, and its points by id
    GET /qdrant/<collection>/points/<id>               a point with payload and vectors
    GET /qdrant/<collection>/points/<id>/similar       the points nearest to it
    """
    pages = Blueprint("qdrant", __name__)

    @pages.context_processor
    def tools() -> dict[str, Callable[..., Any]]:
        return {
            "vector_picture": vector_picture,
            "copyable": _copyable,
            "locator": lambda collection, point: Place(collection, point).locator,
            "linkable": _linkable,
            "spellable": _spellable,
        }

    @pages.get("/qdrant")
    def collections() -> Response:
        wanted = text_argument("q", most=255)
        after = text_argument("after", most=255)
        deadline = Deadline.after(_PAGE_SECONDS)
        names = sorted(
            name for name in store.collections(deadline) if wanted.lower() in name.lower()
        )
        left = [name for name in names if name > after]
        shown = left[:page_rows]
        rows, notices = _described(store, shown, deadline)
        facts = {
            "q": wanted,
            "found": len(names),
            "collections": rows,
            "notices": notices,
            "next": this_page(after=shown[-1]) if len(left) > page_rows else None,
        }
        return answer("qdrant/collections.html", facts)

    @pages.get("/qdrant/<collection>")
    def collection(collection: str) -> BaseResponse:
        if sought := text_argument("id"):
            found = _sought_point(sought)
            form = request.args.get("format")
            return redirect(url_for(".point", collection=collection, point=found, format=form))
        match = match_argument()
        start = _point_argument("after")
        deadline = Deadline.after(_PAGE_SECONDS)
        with (
            missing(f"There is no collection {collection} in Qdrant."),
            refused_filter(match),
        ):
            description = store.describe(collection, deadline)
            page = store.points.page(
                collection, most=page_rows, start=start, match=match, deadline=deadline
            )
        facts = {
            "collection": collection,
            "kb": knowledge_base_of_collection(collection),
            **_state(description),
            "configuration": description.configuration,
            "indexed_fields": description.indexed_fields,
            "match": _match_facts(),
            "points": [_row(point) for point in page.rows.points],
            "notices": [*page.cut, *_unreadable(page.rows)],
            "next": None if page.next is None else this_page(after=str(page.next)),
        }
        export = Export(
            name=f"{collection}-points",
            columns=("id", "payload"),
            rows=lambda: _all_rows(store, collection, start, match, page_rows),
        )
        return answer("qdrant/collection.html", facts, export=export)

    @pages.get("/qdrant/<collection>/points/<point>")
    def point(collection: str, point: str) -> Response:
        wanted = point_of_path(point)
        deadline = Deadline.after(_PAGE_SECONDS)
        with missing(f"There is no point {wanted} in the collection {collection}, or no more."):
            found = store.points.point(collection, wanted, deadline)
        kinds, notices = _kinds(store, collection, deadline)
        facts = {
            "collection": collection,
            "kb": knowledge_base_of_collection(collection),
            "id": found.point.id,
            "name": _name(found.point),
            "payload": found.point.payload,
            "vectors": [_vector(vector, kinds) for vector in found.point.vectors],
            "notices": [*found.cut, *notices],
        }
        return answer("qdrant/point.html", facts)

    @pages.get("/qdrant/<collection>/points/<point>/similar")
    def similar(collection: str, point: str) -> Response:
        wanted = point_of_path(point)
        limit = integer_argument("limit", default=_DEFAULT_SIMILAR, least=5, most=100)
        deadline = Deadline.after(_PAGE_SECONDS)
        gone = f"There is no point {wanted} in the collection {collection}, or no more."
        with missing(gone):
            own = store.points.point(collection, wanted, deadline)
            kinds = store.describe(collection, deadline).kinds
        comparable = _comparable(own.point, own.cut, kinds)
        chosen = _chosen(comparable)
        facts: Facts = {
            "collection": collection,
            "id": wanted,
            "name": _name(own.point),
            "limit": limit,
            "limits": _SIMILAR_LIMITS,
            "comparable": [kind.name for kind in comparable],
            "vector": None if chosen is None else chosen.name,
            "score": None if chosen is None else _score(chosen),
            "points": [],
            "notices": [],
        }
        if chosen is not None:
            with missing(gone):
                found = store.points.similar(
                    collection,
                    wanted,
                    vector=chosen.name,
                    most=limit or _DEFAULT_SIMILAR,
                    deadline=deadline,
                )
            facts["points"] = [{"score": row.score, **_row(row)} for row in found.rows.points]
            facts["notices"] = [*found.cut, *_unreadable(found.rows)]
        return answer("qdrant/similar.html", facts)

    return pages


def _described(
    store: QdrantStore, names: Sequence[str], deadline: Deadline
) -> tuple[list[Facts], list[str]]:
    """Ask for each collection; what cannot be asked stands in notices, and the row has its name."""
    rows: list[Facts] = [
        {"collection": name, "kb": knowledge_base_of_collection(name)} for name in names
    ]
    notices = []
    for row in rows:
        name = row["collection"]
        try:
            row.update(_state(store.describe(name, deadline)))
        except QueryError as error:
            notices.append(f"{name}: {error}")
        except StoreError as error:
            notices.append(f"From {name} on, only the names are known: {error}")
            break
    return rows, notices


def _state(description: CollectionDescription) -> Facts:
    info = description.info
    return {
        "status": info.status,
        "optimizer_ok": info.optimizer_ok,
        "points_count": info.points,
        "indexed_vectors_count": info.indexed_vectors,
        "segments_count": info.segments,
        "vectors": description.kinds,
    }


def _kinds(
    store: QdrantStore, collection: str, deadline: Deadline
) -> tuple[Sequence[VectorKind], list[str]]:
    """Ask how vectors are compared; a page can do without."""
    try:
        return store.describe(collection, deadline).kinds, []
    except QueryError as error:
        return (), [f"How vectors are compared is unknown: {error}"]


def _row(point: Point) -> Facts:
    return {"id": point.id, "name": _name(point), "payload": point.payload}


def _name(point: Point) -> str | None:
    """Give the symbol under which KATO knows a point."""
    name = at(point.payload, VECTOR_NAME)
    return name if isinstance(name, str) else None


def _vector(vector: PointVector, kinds: Sequence[VectorKind]) -> Facts:
    kind = next((kind for kind in kinds if kind.name == vector.name), None)
    facts: Facts = {
        "name": vector.name,
        "kind": vector.kind,
        "distance": None if kind is None else kind.distance,
        "rows": [{"norm": _norm(row), "components": row} for row in vector.rows],
    }
    if vector.kind == "sparse":
        facts["indices"] = vector.indices
    if vector.kind == "odd":
        facts["value"] = vector.odd
    return facts


def _norm(components: Sequence[float | None]) -> float | None:
    """Give the Euclidean length; None where a component is unknown or it is beyond a float."""
    known = [component for component in components if component is not None]
    norm = math.hypot(*known)
    return norm if len(known) == len(components) and math.isfinite(norm) else None


def _comparable(
    point: Point, cut: Sequence[str], kinds: Sequence[VectorKind]
) -> Sequence[VectorKind]:
    """Give the vectors by which a point can be compared: it has them, and its collection too."""
    if cut and not point.vectors:
        return kinds  # too large to be seen here
    own = {vector.name for vector in point.vectors if vector.kind != "odd"}
    return [kind for kind in kinds if kind.name in own]


def _chosen(comparable: Sequence[VectorKind]) -> VectorKind | None:
    """Give the vector that the URL names, else the first; None where there is none."""
    if "vector" not in request.args:
        return next(iter(comparable), None)
    wanted = request.args["vector"]
    by_name = {kind.name: kind for kind in comparable}
    if wanted not in by_name:
        names = ", ".join(name or "the empty name" for name in by_name) or "no vector"
        refuse("vector", wanted, f"the point can be compared by {names[:500]}")
    return by_name[wanted]


def _score(kind: VectorKind) -> Facts:
    """Say what a score is, and which are nearer, so that no distance is taken for a likeness."""
    function = "Dot" if kind.kind == "sparse" else kind.distance
    words = _DISTANCES.get(function or "")
    if words is None or (kind.kind == "multi" and function not in _LARGER_IS_NEARER):
        return {"name": "score", "function": function, "nearer": None}
    if function in _LARGER_IS_NEARER:
        return {"name": "similarity", "function": words, "nearer": "larger"}
    return {"name": "distance", "function": words, "nearer": "smaller"}


def _unreadable(rows: PointRows) -> list[str]:
    if not rows.unreadable:
        return []
    return [f"{rows.unreadable:,} entries of the answer are no points and are left out."]


def _all_rows(
    store: QdrantStore, collection: str, start: PointId | None, match: Match | None, page_rows: int
) -> Iterator[Row]:
    """List points page by page, until the end or for as long as the cursor goes on."""
    while True:
        deadline = Deadline.after(_PAGE_SECONDS)
        page = store.points.page(
            collection, most=page_rows, start=start, match=match, deadline=deadline
        )
        for point in page.rows.points:
            yield {"id": point.id, "payload": point.payload}
        if page.next is None or page.next == start:
            return
        start = page.next


def _sought_point(sought: str) -> PointId:
    """Read what somebody looks for: an id, or KATO's symbol of a vector."""
    if is_vector_symbol(sought):
        return point_of_symbol(sought)
    found = point_id(sought)
    right = "give an integer, a UUID, or VCTR| and 40 hex digits"
    return refuse("id", sought, right) if found is None else found


def point_of_path(spelled: str) -> PointId:
    """Read the id in a path; 404 for what is none."""
    found = point_id(spelled)
    if found is None:
        abort(404, f"No point is called {spelled[:100]}: an id is an integer or a UUID.")
    return found


def _point_argument(name: str) -> PointId | None:
    value = text_argument(name)
    if not value:
        return None
    found = point_id(value)
    if found is None:
        refuse(name, value, "it comes from a link to a next page; begin at the first page")
    return found


def _match_facts() -> Facts:
    return {
        "key": text_argument("key"),
        "type": choice_argument("type", _MATCH_TYPES, default="keyword"),
        "value": text_argument("value", most=_LONGEST_VALUE),
    }


def match_argument() -> Match | None:
    """Read the condition on payloads; whatever stands in it is a value, never an operator."""
    facts = _match_facts()
    key, value = facts["key"], facts["value"]
    if not key:
        return None if not value else refuse("key", key, "name the payload field for the value")
    if facts["type"] == "integer":
        return Match(key, _integer(value))
    if facts["type"] == "bool":
        if value not in ("true", "false"):
            refuse("value", value, "give true or false")
        return Match(key, value == "true")
    return Match(key, value)


def _integer(value: str) -> int:
    found = integer_argument("value", least=_LEAST_INTEGER, most=_MOST_INTEGER)
    return refuse("value", value, "give a whole number") if found is None else found


@contextmanager
def missing(sentence: str) -> Iterator[None]:
    """Say that what was asked for is not there, where Qdrant says so."""
    try:
        yield
    except QueryError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            abort(404, sentence)
        raise


@contextmanager
def refused_filter(match: Match | None) -> Iterator[None]:
    """Say that the condition is at fault, where Qdrant refuses a question that has one."""
    try:
        yield
    except QueryError as error:
        if match is not None and error.code in _REFUSED:
            abort(400, f"Qdrant refuses this filter: {error}. {_KEY_ADVICE}")
        raise


def _linkable(name: str) -> bool:
    """Tell whether the path of a URL can carry a name as one segment."""
    return "/" not in name and name not in (".", "..") and _spellable(name)


def _spellable(text: str) -> bool:
    """Tell whether UTF-8 can carry a text, which half of a surrogate pair prevents."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _copyable(value: Any) -> str | None:
    """Spell a value as JSON for the clipboard; None where that is too long for a page."""
    text = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
    return text if len(text) <= _LONGEST_COPY else None
