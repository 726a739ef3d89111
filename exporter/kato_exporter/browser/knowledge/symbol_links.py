"""Where the symbols of a pattern lead."""

from urllib.parse import quote, urlencode

from flask import Blueprint

from kato_exporter.browser.knowledge.pattern_rows import pattern_url
from kato_exporter.kato.patterns import pattern_of, vector_of
from kato_exporter.kato.vectors import collection_of_knowledge_base

LONGEST_SYMBOL = 1_000
"""The most characters of a symbol that is searched for."""


def install_symbol_links(pages: Blueprint) -> None:
    """Make the links known to all templates, as filters of a symbol that are given the kb."""
    pages.add_app_template_filter(patterns_with)
    pages.add_app_template_filter(stands_for)


def patterns_with(symbol: object, kb: str) -> str | None:
    """Give the path of the listing of all patterns with a symbol; None where it has none."""
    if not isinstance(symbol, str) or not 0 < len(symbol) <= LONGEST_SYMBOL:
        return None
    return f"/kb/{quote(kb, safe='')}/patterns?{urlencode({'symbol': symbol})}"


def stands_for(symbol: object, kb: str) -> str | None:
    """Give the path of the pattern or of the vectors that a symbol stands for, None without."""
    name = pattern_of(symbol)
    if name is not None:
        return pattern_url(kb, name)
    if vector_of(symbol) is None:
        return None
    return f"/qdrant/{quote(collection_of_knowledge_base(kb), safe='')}"
