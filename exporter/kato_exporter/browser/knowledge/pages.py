"""The knowledge bases: what there is, how much of it, and where it lies."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar

from flask import Blueprint, Response, abort

from kato_exporter.browser.answers import answer
from kato_exporter.browser.arguments import key_argument, refuse, text_argument
from kato_exporter.browser.exports import Export, Row
from kato_exporter.browser.keys import encode_key
from kato_exporter.browser.knowledge.document_paths import collection_path
from kato_exporter.browser.knowledge.pattern_rows import row_facts
from kato_exporter.browser.links import this_page
from kato_exporter.kato.knowledge import METADATA, PATTERNS, PREDICTIONS, SYMBOLS
from kato_exporter.kato.vectors import collection_of_knowledge_base
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.knowledge import KnowledgeReader, KnowledgeSize
from kato_exporter.stores.patterns import KnowledgeBasePage, PatternFilter, PatternReader

T = TypeVar("T")

_COLUMNS = (
    "name",
    "patterns",
    "symbols",
    "predictions",
    "data_bytes",
    "storage_bytes",
    "index_bytes",
)
_COUNTED = {"patterns": PATTERNS, "symbols": SYMBOLS, "predictions": PREDICTIONS}
_SUMMARY_SECONDS = 3.0
_TOP = 5


def knowledge_pages(
    knowledge: KnowledgeReader, patterns: PatternReader, *, page_rows: int
) -> Blueprint:
    """Make the pages of knowledge bases.

    GET /kb        a list by name, `?prefix=` begins the names
    GET /kb/<kb>   one knowledge base: totals, sizes, collections, most frequent patterns
    """
    pages = Blueprint("knowledge", __name__)
    pages.add_app_template_filter(collection_path)

    @pages.get("/kb")
    def listing() -> Response:
        prefix = text_argument("prefix")
        start = _start()
        export = Export(
            name="knowledge_bases",
            columns=_COLUMNS,
            rows=lambda: _downloaded(knowledge, patterns, prefix, start, page_rows),
        )
        page = patterns.knowledge_base_page(prefix, start, page_rows)
        rows, notices = _summaries(knowledge, page)
        following = page.following
        facts = {
            "prefix": prefix,
            "knowledge_bases": rows,
            "first_page": start is None,
            "next": None if following is None else this_page(after=encode_key([following])),
            "notices": notices,
        }
        return answer("knowledge/list.html", facts, export=export)

    @pages.get("/kb/<kb>")
    def knowledge_base(kb: str) -> Response:
        require_knowledge_base(patterns, kb)
        notices: list[str] = []

        def part(what: str, ask: Callable[[], T]) -> T | None:
            try:
                return ask()
            except QueryError as error:
                notices.append(f"{what} cannot be read: {error}")
                return None

        counts = part("The collections", lambda: knowledge.documents(kb))
        size = part("The size", lambda: knowledge.size(kb))
        totals = part("KATO's totals", lambda: knowledge.totals(kb))
        top = part(
            "The most frequent patterns",
            lambda: patterns.page(kb, "frequency", PatternFilter(), None, _TOP),
        )
        if top is not None:
            notices += top.left_out
        facts = {
            "kb": kb,
            "totals": totals,
            "size": size,
            "collections": None
            if counts is None
            else [
                {"name": name, "documents": count, "read_only": name == METADATA}
                for name, count in counts.items()
            ],
            "top_patterns": None if top is None else [row_facts(kb, row) for row in top.rows],
            "vectors": collection_of_knowledge_base(kb),
            "notices": notices,
        }
        return answer("knowledge/knowledge_base.html", facts)

    return pages


def require_knowledge_base(patterns: PatternReader, kb: str) -> None:
    """End with a 404 where there is no knowledge base of this name."""
    if not patterns.is_knowledge_base(kb):
        abort(404, f"There is no knowledge base {kb[:100]}. KATO makes one when a node learns.")


def _start() -> str | None:
    match key_argument("after"):
        case None:
            return None
        case [str(name)]:
            return name
        case other:
            return refuse("after", str(other), "begin at the first page")


def _summaries(knowledge: KnowledgeReader, page: KnowledgeBasePage) -> tuple[list[Row], list[str]]:
    """Count what is in each, as long as there is time; what has no answer is None."""
    deadline = Deadline.after(_SUMMARY_SECONDS)
    rows: list[Row] = []
    unanswered = 0
    for name in page.names:
        counts: Mapping[str, int | None] | None = None
        size: KnowledgeSize | None = None
        if not deadline.expired:
            counts = _or_none(partial(knowledge.documents, name))
            size = _or_none(partial(knowledge.size, name))
        unanswered += counts is None or size is None
        rows.append(_summary(name, counts or {}, size))
    notices = [page.stopped] if page.stopped else []
    if page.unreadable:
        notices.append(f"Databases that this account may not look into: {page.unreadable:,}.")
    if unanswered:
        notices.append(f"Knowledge bases whose counts are lacking here: {unanswered:,}.")
    return rows, notices


def _summary(name: str, counts: Mapping[str, int | None], size: KnowledgeSize | None) -> Row:
    return {
        "name": name,
        **{column: counts.get(collection) for column, collection in _COUNTED.items()},
        "data_bytes": size and size.data_bytes,
        "storage_bytes": size and size.storage_bytes,
        "index_bytes": size and size.index_bytes,
    }


def _or_none(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except QueryError:
        return None


def _downloaded(
    knowledge: KnowledgeReader,
    patterns: PatternReader,
    prefix: str,
    start: str | None,
    page_rows: int,
) -> Iterator[Row]:
    following = start
    while True:
        page = patterns.knowledge_base_page(prefix, following, page_rows)
        rows, _ = _summaries(knowledge, page)
        yield from rows
        following = page.following
        if following is None:
            return
