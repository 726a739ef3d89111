"""The sessions: whose short-term memory is alive, and what is in it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, abort

from kato_exporter.browser.answers import answer
from kato_exporter.browser.arguments import choice_argument, key_argument, refuse, text_argument
from kato_exporter.browser.exports import Export
from kato_exporter.browser.keys import encode_key
from kato_exporter.browser.knowledge.symbol_links import install_symbol_links
from kato_exporter.browser.links import this_page
from kato_exporter.browser.sessions.views import install_session_filters, is_sendable
from kato_exporter.kato.knowledge import knowledge_base_of
from kato_exporter.kato.session_documents import KEY_PREFIX
from kato_exporter.kato.sessions import born_at, parse_session_key
from kato_exporter.stores.redis.names import name_bytes, name_text
from kato_exporter.stores.redis.session_records import session_id_text
from kato_exporter.stores.redis.sessions import (
    SessionEntry,
    SessionPage,
    SessionRecords,
    StoredSession,
)

Row = dict[str, Any]

_COLUMNS = (
    "session_id",
    "node_id",
    "kb",
    "created_at",
    "age_seconds",
    "last_accessed",
    "idle_seconds",
    "expires_at",
    "ttl_left_seconds",
    "stm_events",
    "symbols",
    "access_count",
    "size_bytes",
    "problem",
)
_SORTS = {
    "id": "session_id",
    "node": "node_id",
    "age": "age_seconds",
    "idle": "idle_seconds",
    "ttl": "ttl_left_seconds",
    "events": "stm_events",
    "symbols": "symbols",
    "accesses": "access_count",
}
_UNSORTED = "none"
_SORT_CHOICES = (_UNSORTED, *_SORTS, *(f"-{sort}" for sort in _SORTS))
_DOWNLOADED_AT_ONCE = 200
_MOST_DIGITS = 20
_MOST_RAW = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page goes on: Redis's cursor, and about how many keys were looked at before."""

    cursor: int
    looked_at: int


def sessions_pages(records: SessionRecords, *, page_rows: int) -> Blueprint:
    """Make the pages of sessions.

    GET /sessions        a list, `?id=` and `?node=` search, `?sort=` sorts within the page
    GET /sessions/<id>   one session with all that its record holds
    """
    pages = Blueprint("sessions", __name__)
    install_session_filters(pages)
    install_symbol_links(pages)

    @pages.app_template_filter()
    def session_locator(identity: str) -> bytes:
        return records.locators.of(name_bytes(f"{KEY_PREFIX}{identity}"))

    @pages.get("/sessions")
    def listing() -> Response:
        searched = {"id_part": text_argument("id"), "node_part": text_argument("node")}
        sort = choice_argument("sort", _SORT_CHOICES, default=_UNSORTED)
        place = _place()

        def ask(cursor: int, size: int) -> SessionPage:
            return records.page(cursor, size=size, **searched)

        export = Export(
            name="sessions", columns=_COLUMNS, rows=lambda: _downloaded(ask, place.cursor)
        )
        page = ask(place.cursor, page_rows)
        looked_at = place.looked_at + page.looked_at
        following = None
        if page.cursor is not None:
            following = this_page(after=encode_key([str(page.cursor), looked_at]))
        is_all = place.cursor == 0 and page.cursor is None and not any(searched.values())
        facts = {
            "id": searched["id_part"],
            "node": searched["node_part"],
            "sort": sort,
            "sessions": _sorted([_row(entry, page.now) for entry in page.sessions], sort),
            "total": len(page.sessions) if is_all else None,
            "next": following,
            "first_page": place.cursor == 0,
            "full": len(page.sessions) >= page_rows,
            "looked_at_keys": looked_at if page.keys is None else min(looked_at, page.keys),
            "keys": page.keys,
            "notices": _notices_of_page(page),
        }
        return answer("sessions/list.html", facts, export=export)

    @pages.get("/sessions/<session_id>")
    def session(session_id: str) -> Response:
        found = _found(records, session_id)
        if found is None:
            abort(
                404,
                f"There is no session {session_id[:100]}. Sessions expire, so it may have been"
                " there until a moment ago, or it was deleted.",
            )
        facts = {
            **_row(found.entry, found.now),
            "key": name_text(found.entry.key),
            "record_expires_at": found.entry.facts and found.entry.facts.expires_at,
            "memory_bytes": found.memory,
            "in_index": found.indexed,
            "is_active_of_node": found.pointed,
            "notices": _notices_of_session(found),
            "record": found.document,
            "raw": found.value[:_MOST_RAW] if found.value and found.document is None else None,
        }
        return answer("sessions/session.html", facts)

    return pages


def _place() -> _Place:
    match key_argument("after") or ["0", 0]:
        case [str(cursor), int(looked_at)] if _is_cursor(cursor) and looked_at >= 0:
            return _Place(int(cursor), looked_at)
        case other:
            return refuse("after", str(other), "begin at the first page")


def _is_cursor(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS and int(text) < 2**64


def _downloaded(ask: Callable[[int, int], SessionPage], cursor: int | None) -> Iterator[Row]:
    while cursor is not None:
        page = ask(cursor, _DOWNLOADED_AT_ONCE)
        yield from (_row(entry, page.now) for entry in page.sessions)
        cursor = page.cursor


def _found(records: SessionRecords, session_id: str) -> StoredSession | None:
    try:
        return records.session(name_bytes(f"{KEY_PREFIX}{session_id}"))
    except ValueError:
        return None


def _row(entry: SessionEntry, now: float) -> Row:
    """Say of a session what its list shows, from its record, its key and the server's clock."""
    facts = entry.facts
    created, used = (facts.created_at, facts.last_accessed) if facts else (None, None)
    node_id = facts.node_id if facts else None
    return {
        "session_id": session_id_text(entry.key),
        "node_id": node_id,
        "kb": knowledge_base_of(node_id) if is_sendable(node_id) else None,
        "created_at": created or _born(entry.key),
        "age_seconds": _since(created or _born(entry.key), now),
        "last_accessed": used,
        "idle_seconds": _since(used, now),
        "expires_at": None if entry.ttl is None else _moment(now + entry.ttl),
        "ttl_left_seconds": entry.ttl,
        "stm_events": facts.stm_events if facts else None,
        "symbols": facts.symbols if facts else None,
        "access_count": facts.access_count if facts else None,
        "size_bytes": entry.size,
        "unlike_kato": facts.unlike if facts else (),
        "problem": entry.problem,
    }


def _born(key: bytes) -> datetime | None:
    """Give a session's birth, which its name carries."""
    handle = parse_session_key(key)
    return None if handle is None else datetime.fromtimestamp(born_at(handle), UTC)


def _moment(seconds: float) -> datetime | None:
    """Give a point in time, None beyond the year 9999."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError):
        return None


def _since(moment: datetime | None, now: float) -> float | None:
    """Give the seconds since then, 0 where clocks differ so that it is still to come."""
    return None if moment is None else round(max(0.0, now - moment.timestamp()), 3)


def _sorted(rows: Sequence[Row], sort: str) -> list[Row]:
    """Sort a page; what is unknown comes last, what never expires as if in a very long time."""
    if sort == _UNSORTED:
        return list(rows)
    column = _SORTS[sort.removeprefix("-")]

    def value(row: Row) -> Any:
        never = column == "ttl_left_seconds" and row[column] is None
        return float("inf") if never else row[column]

    known = [row for row in rows if value(row) is not None]
    known.sort(key=value, reverse=sort.startswith("-"))
    return known + [row for row in rows if value(row) is None]


def _notices_of_page(page: SessionPage) -> list[str]:
    unread = (
        f"{page.unread:,} of the sessions looked at tell no node: their records are too large,"
        " malformed or without one."
    )
    return [unread] if page.unread else []


def _notices_of_session(found: StoredSession) -> list[str]:
    facts, notices = found.entry.facts, []
    if found.entry.problem is not None:
        notices.append(f"The record cannot be shown as a session: {found.entry.problem}.")
    if facts is not None and facts.unlike:
        notices.append(
            "Missing, or not of the type that KATO writes:"
            f" {', '.join(facts.unlike)}. They are shown as they are."
        )
    if found.document is not None and _names_another(found.document, found.entry.key):
        notices.append("The record names another session than its key does.")
    if found.entry.ttl is None:
        notices.append("The key has no time to live: this session stays until it is deleted.")
    elif facts and facts.expires_at and facts.expires_at.timestamp() < found.now:
        notices.append(
            "The record's own expires_at has passed, though Redis still holds it:"
            " KATO 3 takes the session for expired when it reads it next."
        )
    return notices


def _names_another(record: Mapping[str, Any], key: bytes) -> bool:
    named = record.get("session_id")
    return isinstance(named, str) and f"{KEY_PREFIX}{named}".encode(errors="replace") != key
