"""Deleting all patterns, or all documents of a collection, that a search finds."""

from collections.abc import Iterator

from flask import Blueprint
from werkzeug.wrappers import Response as AnyResponse

from kato_exporter.browser.knowledge.document_paths import collection_name
from kato_exporter.browser.knowledge.document_query import query_arguments
from kato_exporter.browser.knowledge.documents import existing_collection
from kato_exporter.browser.knowledge.locators import row_locator
from kato_exporter.browser.knowledge.pages import require_knowledge_base
from kato_exporter.browser.knowledge.patterns import filter_arguments, order_argument
from kato_exporter.browser.records.desk import Desk, RefusedError, StaleError
from kato_exporter.browser.records.found import Portion, plan_found, require_search
from kato_exporter.kato.knowledge import PATTERNS
from kato_exporter.stores.mongodb.documents import MongoDocuments
from kato_exporter.stores.mongodb.id_index import TOP, PositionGoneError
from kato_exporter.stores.mongodb.places import Place
from kato_exporter.stores.patterns import (
    Key,
    PatternFilter,
    PatternReader,
    WrongKeyError,
)

_AT_ONCE = 1_000
_CUT_OFF = "What the search finds has changed under it. Nothing was done; search again."


def knowledge_found_pages(
    patterns: PatternReader, documents: MongoDocuments, desk: Desk | None
) -> Blueprint:
    """Make the addresses of the forms; none without a desk.

    POST /kb/<kb>/patterns                   plans to delete the patterns that `?prefix=`,
                                             `?symbol=`, `?least=` and `?most=` find
    POST /kb/<kb>/collections/<collection>   plans to delete the documents that `?field=`,
                                             `?operator=`, `?value=` and `?type=` find
    """
    pages = Blueprint("knowledge_found", __name__)
    if desk is None:
        return pages

    @pages.post("/kb/<kb>/patterns")
    def delete_patterns(kb: str) -> AnyResponse:
        return plan_found(desk, "pattern", _patterns(patterns, kb))

    @pages.post("/kb/<kb>/collections/<collection>")
    def delete_documents(kb: str, collection: str) -> AnyResponse:
        kind = "pattern" if collection_name(collection) == PATTERNS else "document"
        return plan_found(desk, kind, _documents(documents, kb, collection))

    return pages


def _patterns(patterns: PatternReader, kb: str) -> Iterator[Portion]:
    require_knowledge_base(patterns, kb)
    order, wanted = order_argument(), filter_arguments()
    require_search(wanted != PatternFilter())
    start: Key | None = None
    while True:
        try:
            page = patterns.page(kb, order, wanted, start, _AT_ONCE)
        except WrongKeyError as error:
            raise StaleError(_CUT_OFF) from error
        yield [row_locator(kb, row) for row in page.rows]
        start = page.following
        if start is None:
            if page.stopped is not None:
                raise RefusedError(f"{page.stopped} Nothing was done.")
            return


def _documents(documents: MongoDocuments, kb: str, collection: str) -> Iterator[Portion]:
    name = existing_collection(documents, kb, collection)
    _, condition = query_arguments()
    require_search(condition)
    position = TOP
    while True:
        try:
            found, following = documents.identities(
                kb, name, position, rows=_AT_ONCE, condition=condition
            )
        except PositionGoneError as error:
            raise StaleError(_CUT_OFF) from error
        yield [Place(kb, name, identity).locator for identity in found]
        if following is None:
            return
        if following == position:
            raise RefusedError("MongoDB compares too slowly for this search; nothing was done.")
        position = following
