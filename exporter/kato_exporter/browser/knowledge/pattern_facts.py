"""One pattern, as facts of a page: its record, its place among others, and its relatives."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeGuard, TypeVar

from kato_exporter.browser.exports import Row
from kato_exporter.browser.knowledge.bson_facts import bson_facts, document_url
from kato_exporter.browser.knowledge.pattern_rows import row_facts
from kato_exporter.kato.knowledge import PATTERNS, SYMBOLS
from kato_exporter.kato.patterns import (
    Event,
    distinct_events,
    distinct_symbols,
    read_emotives,
    read_events,
)
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.knowledge import KnowledgeReader
from kato_exporter.stores.patterns import PatternReader

T = TypeVar("T")

_OWN_FIELDS = ("_id", "name", "pattern_data", "length", "frequency", "emotives", "metadata")
_MOST_SYMBOLS = 2_000
_MOST_OF_AN_EVENT = 500
_MOST_LOOKED_UP = 100
_MOST_EVENTS_SOUGHT = 8
_MOST_COMPARED = 200
_MOST_SHARING = 5
_LARGEST_EVENT_SOUGHT = 50
_RELATED_SECONDS = 1.5


def pattern_facts(
    patterns: PatternReader, knowledge: KnowledgeReader, kb: str, document: Mapping[str, Any]
) -> Row:
    """Give all that is known of a pattern.

    `events` are the first ones, of `events_in_all`, both None where they have not KATO's shape and
    `pattern_data` stands as it is. So does `emotives_as_stored` where `emotives` is None.
    """
    notices: list[str] = []

    def part(what: str, ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except QueryError as error:
            notices.append(f"{what} cannot be told: {error}")
            return None

    events = read_events(document.get("pattern_data"))
    shown = None if events is None else _beginning(events, notices)
    symbols = distinct_symbols(shown or ())
    occurrences = Counter(
        each for each in chain.from_iterable(shown or ()) if isinstance(each, str)
    )
    looked_up = part(
        "The symbols' records", lambda: symbol_facts(patterns, kb, symbols[:_MOST_LOOKED_UP])
    )
    emotives = read_emotives(document.get("emotives"))
    return {
        "kb": kb,
        "name": bson_facts(document.get("name")),
        "_id": bson_facts(document["_id"]),
        "document": document_url(kb, PATTERNS, document["_id"]),
        "frequency": bson_facts(document.get("frequency")),
        "length": bson_facts(document.get("length")),
        "missing": [field for field in _OWN_FIELDS if field not in document],
        "more_frequent": part("The rank", lambda: _more_frequent(patterns, kb, document)),
        "share": part("The share", lambda: _share(knowledge, kb, document)),
        "events": bson_facts(None if shown is None else [list(event) for event in shown]),
        "events_in_all": None if events is None else len(events),
        "symbols_in_all": None if events is None else sum(map(len, events)),
        "pattern_data": bson_facts(document.get("pattern_data")) if events is None else None,
        "symbols": None
        if looked_up is None
        else [{**each, "occurrences": occurrences[each["name"]]} for each in looked_up],
        "distinct_symbols": len(symbols),
        "rarest_symbol": _rarest(looked_up or ()),
        "emotives": None
        if emotives is None
        else {
            "shape": emotives.shape,
            "emotives": [
                {
                    "name": each.name,
                    "values": bson_facts(list(each.values)),
                    "mean": each.mean,
                }
                for each in emotives.emotives
            ],
        },
        "emotives_as_stored": bson_facts(document.get("emotives")) if emotives is None else None,
        "metadata": bson_facts(document.get("metadata")),
        "other_fields": {
            name: bson_facts(value) for name, value in document.items() if name not in _OWN_FIELDS
        },
        "sharing": part(
            "The patterns with the same events",
            lambda: _sharing(patterns, kb, document, events or (), notices),
        ),
        "notices": notices,
    }


def symbol_facts(patterns: PatternReader, kb: str, symbols: Sequence[str]) -> list[Row]:
    """Give the records of symbols; the numbers are None and `known` is false where there is none.

    `document` is the path of its record.
    """
    found = patterns.symbols(kb, symbols)
    rows: list[Row] = []
    for symbol in symbols:
        facts = found.get(symbol)
        rows.append(
            {
                "name": symbol,
                "known": facts is not None,
                "frequency": facts and bson_facts(facts.frequency),
                "pattern_member_frequency": facts and bson_facts(facts.pattern_member_frequency),
                "document": facts and document_url(kb, SYMBOLS, facts.identity),
            }
        )
    return rows


def _beginning(events: Sequence[Event], notices: list[str]) -> Sequence[Event]:
    """Give the first symbols of the first events, so many that a page stays readable."""
    symbols = 0
    shown: list[Event] = []
    for event in events:
        if symbols > _MOST_SYMBOLS:
            break
        shown.append(event[:_MOST_OF_AN_EVENT])
        symbols += 1 + len(shown[-1])
    if len(shown) < len(events):
        notices.append(
            f"Shown are the first {len(shown):,} of {len(events):,} events; the document has all."
        )
    if any(len(event) > _MOST_OF_AN_EVENT for event in events[: len(shown)]):
        notices.append(
            f"Of large events the first {_MOST_OF_AN_EVENT:,} symbols are shown;"
            " the document has all."
        )
    return shown


def _more_frequent(
    patterns: PatternReader, kb: str, document: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    frequency = document.get("frequency")
    if not _is_number(frequency):
        return None
    count = patterns.more_frequent(kb, frequency)
    return {"number": count.number, "more": count.more}


def _share(knowledge: KnowledgeReader, kb: str, document: Mapping[str, Any]) -> float | None:
    """Tell a pattern's part in all learnings, 0 to 1; None where the numbers are not KATO's."""
    totals = knowledge.totals(kb)
    whole = totals and totals.pattern_frequencies
    frequency = document.get("frequency")
    if not whole or not _is_number(frequency) or not 0 <= frequency <= whole:
        return None
    return float(frequency / whole)


def _rarest(symbols: Sequence[Row]) -> str | None:
    """Name the symbol that the fewest learnings contained."""
    known = [each for each in symbols if _is_number(each["pattern_member_frequency"])]
    rarest = min(known, key=lambda each: each["pattern_member_frequency"], default=None)
    return None if rarest is None else str(rarest["name"])


def _sharing(
    patterns: PatternReader,
    kb: str,
    document: Mapping[str, Any],
    events: Sequence[Event],
    notices: list[str],
) -> list[Row]:
    """Give, for each of the first events, some other patterns that have it too."""
    deadline = Deadline.after(_RELATED_SECONDS)
    sought = [
        event
        for event in distinct_events(events[:_MOST_COMPARED])
        if 0 < len(event) <= _LARGEST_EVENT_SOUGHT
    ]
    found: list[Row] = []
    for event in sought[:_MOST_EVENTS_SOUGHT]:
        if deadline.expired:
            notices.append("Time was up before all events were looked for in other patterns.")
            break
        rows = patterns.with_event(kb, event, _MOST_SHARING + 2)
        others = [row for row in rows if row.identity != document["_id"]]
        if others:
            found.append(
                {
                    "event": bson_facts(list(event)),
                    "patterns": [row_facts(kb, row) for row in others[:_MOST_SHARING]],
                    "more": len(others) > _MOST_SHARING,
                }
            )
    return found


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
