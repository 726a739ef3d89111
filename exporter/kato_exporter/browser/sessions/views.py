"""What of a session's record fits on a page: the latest events, emotives as a table, all else.

Each takes whatever JSON the record has there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from flask import Blueprint

MOST_EVENTS = 200
MOST_SYMBOLS = 2_000
MOST_ENTRIES = 100
MOST_EMOTIVES = 20
MOST_FIELDS = 100

_LONGEST_SEARCHED = 200
_SHOWN_BY_NAME = frozenset(
    {
        "session_id",
        "node_id",
        "created_at",
        "last_accessed",
        "expires_at",
        "stm",
        "emotives_accumulator",
        "metadata_accumulator",
        "access_count",
        "session_config",
    }
)


@dataclass(frozen=True, slots=True)
class Event:
    """An event of short-term memory, by its place in it; `more` counts symbols left out.

    `symbols` is None where it is no list, and `value` is what it is then.
    """

    place: int
    symbols: list[Any] | None
    more: int
    value: Any


@dataclass(frozen=True, slots=True)
class Latest:
    """The last of a list, and how many come before."""

    entries: list[Any]
    left_out: int


@dataclass(frozen=True, slots=True)
class EmotivesTable:
    """An accumulator of emotives, a row for each observation that had some, the last ones.

    A row has its place, and its values in the order of `names`, or as `value` what is no object.
    """

    names: list[str]
    rows: list[tuple[int, list[Any] | None, Any]]
    left_out: int
    names_left_out: int


def install_session_filters(pages: Blueprint) -> None:
    """Make these views known to the templates."""
    for each in (latest_events, emotives_table, latest, other_fields, searchable):
        pages.add_app_template_filter(each)
    pages.add_app_template_filter(is_sendable, "sendable")


def latest_events(stm: Any) -> Latest:
    """Give the last events of a short-term memory, as many as fit."""
    events, room = list[Event](), MOST_SYMBOLS
    whole = stm if isinstance(stm, list) else []
    for place in range(len(whole), max(0, len(whole) - MOST_EVENTS), -1):
        event = whole[place - 1]
        if not isinstance(event, list):
            events.append(Event(place, None, 0, event))
            continue
        if room < len(event) and events:
            break
        symbols = event[:room]
        room -= len(symbols)
        events.append(Event(place, symbols, len(event) - len(symbols), None))
    return Latest(events[::-1], len(whole) - len(events))


def emotives_table(accumulator: Any) -> EmotivesTable:
    """Lay out an accumulator of emotives, one column for each name."""
    last = latest(accumulator)
    names = list(dict.fromkeys(n for e in last.entries if isinstance(e, dict) for n in e))
    columns = names[:MOST_EMOTIVES]
    return EmotivesTable(
        columns,
        [
            (place, [entry.get(name, "") for name in columns], None)
            if isinstance(entry, dict)
            else (place, None, entry)
            for place, entry in enumerate(last.entries, last.left_out + 1)
        ],
        last.left_out,
        len(names) - len(columns),
    )


def latest(entries: Any) -> Latest:
    """Give the last entries of a list."""
    whole = entries if isinstance(entries, list) else []
    return Latest(whole[-MOST_ENTRIES:], max(0, len(whole) - MOST_ENTRIES))


def other_fields(record: Mapping[str, Any]) -> Latest:
    """Give the names of the fields that the page does not show by name, as many as fit."""
    names = [name for name in record if name not in _SHOWN_BY_NAME]
    return Latest(names[:MOST_FIELDS], max(0, len(names) - MOST_FIELDS))


def searchable(node_id: Any) -> bool:
    """Tell whether the list of sessions can be searched for a node as it is spelled."""
    return (
        is_sendable(node_id)
        and 0 < len(node_id) <= _LONGEST_SEARCHED
        and node_id == node_id.strip()
        and "\0" not in node_id
    )


def is_sendable(value: Any) -> TypeGuard[str]:
    """Tell whether a value is a text that UTF-8 can carry, as half a surrogate pair is not."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
