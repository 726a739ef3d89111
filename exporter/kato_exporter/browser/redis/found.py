"""Deleting all that a search finds, of sessions or of keys: what it finds becomes a plan."""

from collections.abc import Callable, Sequence

from flask import Blueprint, g, redirect, url_for
from werkzeug.wrappers import Response as AnyResponse

from kato_exporter.browser.access.users import current_user
from kato_exporter.browser.arguments import text_argument
from kato_exporter.browser.records.desk import (
    MOST_RECORDS,
    Desk,
    NotPermittedError,
    RefusedError,
)
from kato_exporter.browser.redis.pages import match_argument
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.redis.keys import RedisKeys
from kato_exporter.stores.redis.sessions import SessionRecords

_AT_ONCE = 500
_SECONDS = 30.0

Ask = Callable[[int], tuple[Sequence[bytes], int | None]]
"""Gives keys from a cursor on, and the next cursor, 0 or None at the end."""


def redis_found_pages(sessions: SessionRecords, keys: RedisKeys, desk: Desk | None) -> Blueprint:
    """Make the addresses of the forms; none without a desk.

    POST /sessions     plans to delete the sessions that `?id=` and `?node=` find
    POST /redis/keys   plans to delete the keys that `?match=` finds
    """
    pages = Blueprint("redis_found", __name__)
    if desk is None:
        return pages

    @pages.post("/sessions")
    def delete_sessions() -> AnyResponse:
        searched = {"id_part": text_argument("id"), "node_part": text_argument("node")}
        _permit(desk, searched=any(searched.values()))

        def ask(cursor: int) -> tuple[Sequence[bytes], int | None]:
            page = sessions.page(cursor, size=_AT_ONCE, **searched)
            return [each.key for each in page.sessions], page.cursor

        found = [sessions.locators.of(key) for key in _found(ask)]
        return _planned(desk, "session", found)

    @pages.post("/redis/keys")
    def delete_keys() -> AnyResponse:
        text, match = match_argument()
        _permit(desk, searched=bool(text))

        def ask(cursor: int) -> tuple[Sequence[bytes], int | None]:
            page = keys.page(cursor, match=match.pattern, most=_AT_ONCE)
            return [each.name for each in page.keys], page.cursor

        found = [keys.locators.of(name) for name in _found(ask)]
        return _planned(desk, "Redis key", found)

    return pages


def _permit(desk: Desk, *, searched: bool) -> None:
    if not desk.may_write(g.get("user")):
        raise NotPermittedError(
            "Only an editor deletes records, and only where KATO_BROWSER_WRITABLE is true."
        )
    if not searched:
        raise RefusedError("Search first; what the search finds is what is deleted.")


def _found(ask: Ask) -> list[bytes]:
    """Go through the pages of a search, as far as one operation reaches."""
    deadline = Deadline.after(_SECONDS)
    found: dict[bytes, None] = {}
    cursor: int | None = 0
    while cursor is not None and len(found) < MOST_RECORDS:
        keys, cursor = ask(cursor)
        found.update(dict.fromkeys(keys))
        if not cursor:
            break
        if deadline.expired:
            raise RefusedError(
                f"The search has not come to its end within {_SECONDS:g} s; narrow it. "
                "Nothing was done."
            )
    if not found:
        raise RefusedError("The search finds nothing any more; nothing was done.")
    return list(found)[:MOST_RECORDS]


def _planned(desk: Desk, kind: str, locators: Sequence[bytes]) -> AnyResponse:
    operation = desk.plan_deletion(kind, locators, current_user(), g.client)
    return redirect(url_for("records.operation", identity=operation), 303)
