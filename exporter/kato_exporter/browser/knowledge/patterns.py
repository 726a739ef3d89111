"""The patterns of a knowledge base: listings in every order, and one pattern with all it has."""

from collections.abc import Callable, Iterator
from typing import cast

from flask import Blueprint, Response, abort, request

from kato_exporter.browser.answers import answer
from kato_exporter.browser.arguments import (
    choice_argument,
    integer_argument,
    key_argument,
    refuse,
    text_argument,
)
from kato_exporter.browser.exports import Export, Row
from kato_exporter.browser.keys import encode_key
from kato_exporter.browser.knowledge.locators import install_locators
from kato_exporter.browser.knowledge.pages import require_knowledge_base
from kato_exporter.browser.knowledge.pattern_facts import pattern_facts, symbol_facts
from kato_exporter.browser.knowledge.pattern_rows import COLUMNS, row_facts
from kato_exporter.browser.knowledge.symbol_links import LONGEST_SYMBOL, install_symbol_links
from kato_exporter.browser.links import this_page
from kato_exporter.kato.knowledge import PATTERNS, is_pattern_name
from kato_exporter.kato.patterns import PATTERN_SYMBOL
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.knowledge import KnowledgeReader
from kato_exporter.stores.patterns import (
    ORDERS,
    BoundedCount,
    Key,
    Order,
    PatternFilter,
    PatternPage,
    PatternReader,
    WrongKeyError,
)

_LARGEST_FREQUENCY = 2**63 - 1
_DOWNLOADED_AT_ONCE = 1_000
_HEX_DIGITS = frozenset("0123456789abcdef")

_Ask = Callable[[Key | None, int], PatternPage]


def patterns_pages(
    patterns: PatternReader, knowledge: KnowledgeReader, *, page_rows: int
) -> Blueprint:
    """Make the pages of patterns.

    GET /kb/<kb>/patterns          a list, `?sort=` one of ORDERS; `?prefix=` begins the name,
                                   `?symbol=` is in an event, `?least=` and `?most=` frequency
    GET /kb/<kb>/patterns/<name>   one pattern with all that its record holds
    """
    pages = Blueprint("patterns", __name__)
    install_symbol_links(pages)
    install_locators(pages)

    @pages.get("/kb/<kb>/patterns")
    def listing(kb: str) -> Response:
        require_knowledge_base(patterns, kb)
        order, wanted = order_argument(), filter_arguments()
        start = key_argument("after")

        def ask(begin: Key | None, limit: int) -> PatternPage:
            return patterns.page(kb, order, wanted, begin, limit)

        export = Export(
            name=f"{kb}_patterns", columns=COLUMNS, rows=lambda: _downloaded(kb, ask, start)
        )
        try:
            page = ask(start, page_rows)
        except WrongKeyError as error:
            refuse("after", request.args["after"], f"{error}; begin at the first page")
            raise
        following = page.following
        facts = {
            "kb": kb,
            "sort": order,
            "prefix": wanted.prefix,
            "symbol": wanted.symbol or "",
            "least": wanted.least,
            "most": wanted.most,
            "filtered": wanted != PatternFilter(),
            "count": _count(patterns, knowledge, kb, wanted),
            "symbol_record": _symbol_record(patterns, kb, wanted.symbol),
            "patterns": [row_facts(kb, row) for row in page.rows],
            "first_page": start is None,
            "stopped": page.stopped is not None,
            "next": None if following is None else this_page(after=encode_key(following)),
            "notices": [*([page.stopped] if page.stopped else []), *page.left_out],
        }
        return answer("patterns/list.html", facts, export=export)

    @pages.get("/kb/<kb>/patterns/<name>")
    def pattern(kb: str, name: str) -> Response:
        require_knowledge_base(patterns, kb)
        document = patterns.pattern(kb, name) if is_pattern_name(name) else None
        if document is None:
            abort(
                404,
                f"There is no pattern {name[:100]} in {kb}. A pattern is named by 40 hex digits,"
                " without PTRN|; it may be in another knowledge base.",
            )
        return answer("patterns/pattern.html", pattern_facts(patterns, knowledge, kb, document))

    return pages


def order_argument() -> Order:
    """Give the order that is asked for."""
    return cast("Order", choice_argument("sort", ORDERS, default="frequency"))


def filter_arguments() -> PatternFilter:
    """Give which patterns are asked for; 400 where that makes no sense."""
    prefix = text_argument("prefix").removeprefix(PATTERN_SYMBOL).lower()
    if not _HEX_DIGITS.issuperset(prefix):
        refuse("prefix", prefix, "give hex digits, 0 to 9 and a to f, of which names are made")
    symbol = request.args.get("symbol", "")  # spaces around it belong to it
    if len(symbol) > LONGEST_SYMBOL:
        refuse("symbol", symbol, f"give at most {LONGEST_SYMBOL:,} characters")
    least = integer_argument("least", least=-_LARGEST_FREQUENCY, most=_LARGEST_FREQUENCY)
    most = integer_argument("most", least=-_LARGEST_FREQUENCY, most=_LARGEST_FREQUENCY)
    if least is not None and most is not None and least > most:
        refuse("least", str(least), f"give a whole number up to most={most}")
    return PatternFilter(prefix=prefix, symbol=symbol or None, least=least, most=most)


def _count(
    patterns: PatternReader, knowledge: KnowledgeReader, kb: str, wanted: PatternFilter
) -> BoundedCount | None:
    """Count what is listed, from metadata where that is all; None where nobody knows."""
    try:
        if wanted != PatternFilter():
            return patterns.count(kb, wanted)
        number = knowledge.documents(kb).get(PATTERNS, 0)
    except QueryError:
        return None
    return None if number is None else BoundedCount(number, more=False)


def _symbol_record(patterns: PatternReader, kb: str, symbol: str | None) -> Row | None:
    if symbol is None:
        return None
    try:
        [facts] = symbol_facts(patterns, kb, [symbol])
    except QueryError:
        return None
    return facts


def _downloaded(kb: str, ask: _Ask, start: Key | None) -> Iterator[Row]:
    while True:
        page = ask(start, _DOWNLOADED_AT_ONCE)
        for row in page.rows:
            facts = row_facts(kb, row)
            yield {column: facts[column] for column in COLUMNS}
        start = page.following
        if start is None:
            if page.stopped is not None:
                raise QueryError(page.stopped)
            return
