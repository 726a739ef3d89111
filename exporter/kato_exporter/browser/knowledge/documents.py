"""Any collection of a knowledge base as documents, and each document with all that it holds."""

import re
from collections.abc import Iterator

from flask import Blueprint, Response, abort

from kato_exporter.browser.answers import answer, wanted_form
from kato_exporter.browser.arguments import key_argument, refuse
from kato_exporter.browser.exports import Export
from kato_exporter.browser.keys import encode_key
from kato_exporter.browser.knowledge.document_facts import document_facts
from kato_exporter.browser.knowledge.document_ids import id_of, id_text
from kato_exporter.browser.knowledge.document_paths import collection_name, collection_text
from kato_exporter.browser.knowledge.document_query import OPERATORS, TYPES, query_arguments
from kato_exporter.browser.knowledge.document_rows import cell_row, columns_of, exact_row, row_facts
from kato_exporter.browser.links import this_page
from kato_exporter.kato.knowledge import METADATA
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.mongodb.bson_elements import BsonValue
from kato_exporter.stores.mongodb.document_conditions import Condition
from kato_exporter.stores.mongodb.documents import DocumentPage, MongoDocuments
from kato_exporter.stores.mongodb.id_index import TOP, Position, PositionGoneError

_LONGEST_SHOWN = 100
_ROWS_OF_A_DOWNLOAD = 200
_RIGHT_ID = (
    "Give 24 hex digits for an ObjectId, else extended JSON, in which a text stands in quotes."
)
_BEGIN = "it comes from a link to a next page; begin at the first page"
_NOT_IN_FILE_NAMES = re.compile(r"[^\w.-]", re.ASCII)


def documents_pages(documents: MongoDocuments, *, page_rows: int) -> Blueprint:
    """Make the pages of documents.

    GET /kb/<kb>/collections/<collection>        a page, the greatest `_id` first
        ?field=&operator=&value=&type=           those whose field compares with a value
    GET /kb/<kb>/collections/<collection>/<id>   one document, see `document_ids`
    """
    pages = Blueprint("documents", __name__)

    @pages.get("/kb/<kb>/collections/<collection>")
    def listing(kb: str, collection: str) -> Response:
        name = existing_collection(documents, kb, collection)
        query, condition = query_arguments()
        position = _position()
        try:
            page = documents.page(kb, name, position, rows=page_rows, condition=condition)
        except PositionGoneError as error:
            abort(404, f"{error}.".capitalize())
        columns = columns_of(name, page.documents)
        rows = [row_facts(kb, name, document, columns) for document in page.documents]
        facts = {
            "kb": kb,
            "collection": name,
            "read_only": name == METADATA,
            "count": _count(documents, kb, name),
            "query": query,
            "operators": OPERATORS,
            "types": TYPES,
            "matches": page.matches,
            "columns": columns,
            "documents": rows,
            "first_page": position == TOP,
            "cut": page.cut,
            "next": None if page.next is None else this_page(after=_key(page.next)),
            "notices": _notices(page, documents.seconds),
        }
        row_of = cell_row if wanted_form() == "csv" else exact_row
        export = Export(
            name=_NOT_IN_FILE_NAMES.sub("_", f"{kb}.{name}")[:_LONGEST_SHOWN],
            columns=("_id", *columns),
            rows=lambda: map(row_of, _all(documents, kb, name, position, condition)),
        )
        return answer("documents/list.html", facts, export=export)

    @pages.get("/kb/<kb>/collections/<collection>/<text>")
    def document(kb: str, collection: str, text: str) -> Response:
        name = existing_collection(documents, kb, collection)
        try:
            identity = id_of(text)
        except ValueError as error:
            abort(404, f"{text[:_LONGEST_SHOWN]} is no _id: {error}. {_RIGHT_ID}")
        found = documents.document(kb, name, identity)
        if found is None:
            abort(404, f"{name[:_LONGEST_SHOWN]} of {kb} has no document of this _id.")
        return answer("documents/document.html", document_facts(kb, name, found))

    pages.add_app_template_filter(collection_text)
    return pages


def existing_collection(documents: MongoDocuments, kb: str, text: str) -> str:
    """Give the name of a collection that may be shown, else end with a 404 that says why."""
    name, shown = collection_name(text), collection_name(text)[:_LONGEST_SHOWN]
    types = documents.collections(kb)
    if types is None:
        abort(404, f"There is no knowledge base {kb[:_LONGEST_SHOWN]}.")
    if name.startswith("system."):
        abort(404, f"{shown} is MongoDB's own. Only collections of documents are shown.")
    kind = types.get(name)
    if kind is None:
        abort(404, f"There is no collection {shown} in {kb}.")
    if kind != "collection":
        abort(404, f"{shown} is a {kind}. Only collections are shown, for these can be paged.")
    return name


def _position() -> Position:
    match key_argument("after"):
        case None:
            return TOP
        case [str(below)]:
            return Position(_id_in_key(below))
        case [None, str(digest)]:
            return Position(None, digest)
        case [str(below), str(digest)]:
            return Position(_id_in_key(below), digest)
        case other:
            return refuse("after", str(other), _BEGIN)


def _id_in_key(text: str) -> BsonValue:
    try:
        return id_of(text)
    except ValueError:
        refuse("after", text, _BEGIN)
        raise


def _key(position: Position) -> str:
    below = None if position.below is None else id_text(position.below)
    return encode_key([below] if position.digest is None else [below, position.digest])


def _count(documents: MongoDocuments, kb: str, collection: str) -> int | None:
    try:
        return documents.count(kb, collection)
    except QueryError:
        return None


def _notices(page: DocumentPage, seconds: float) -> list[str]:
    notices = []
    if page.cut:
        walked = f"{page.walked:,} documents" if page.walked else "No stretch of documents"
        notices.append(
            f"The search was cut after {seconds:g} s. {walked} could be compared for this page,"
            f"{_down_to(page.next)}. Go on searching, or search by an indexed field."
        )
    large = sum(1 for document in page.documents if document.bson is None)
    if large:
        notices.append(
            f"Documents too large to be read for a listing: {large:,}. Open them one by one."
        )
    return notices


def _down_to(position: Position | None) -> str:
    if position is None or position.below is None:
        return ""
    return f" down to the _id {id_text(position.below)[:_LONGEST_SHOWN]}"


def _all(
    documents: MongoDocuments,
    kb: str,
    collection: str,
    position: Position,
    condition: Condition | None,
) -> Iterator[bytes]:
    """Ask page after page; what is too large for a page is read by itself."""
    while True:
        page = documents.page(
            kb, collection, position, rows=_ROWS_OF_A_DOWNLOAD, condition=condition
        )
        for found in page.documents:
            bson = found.bson or documents.document(kb, collection, found.identity)
            if bson is not None:
                yield bson
        if page.next is None:
            return
        if page.next == position:
            raise QueryError("the store compares too slowly for the search to go on")
        position = page.next
