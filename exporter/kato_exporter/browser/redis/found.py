"""Deleting all sessions, or all keys, that a search finds."""

from collections.abc import Iterator

from flask import Blueprint
from werkzeug.wrappers import Response as AnyResponse

from kato_exporter.browser.arguments import text_argument
from kato_exporter.browser.records.desk import Desk
from kato_exporter.browser.records.found import Portion, plan_found, require_search
from kato_exporter.browser.redis.pages import match_argument
from kato_exporter.stores.redis.keys import RedisKeys
from kato_exporter.stores.redis.sessions import SessionRecords

_AT_ONCE = 500


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
        return plan_found(desk, "session", _sessions(sessions))

    @pages.post("/redis/keys")
    def delete_keys() -> AnyResponse:
        return plan_found(desk, "Redis key", _keys(keys))

    return pages


def _sessions(sessions: SessionRecords) -> Iterator[Portion]:
    searched = {"id_part": text_argument("id"), "node_part": text_argument("node")}
    require_search(any(searched.values()))
    cursor: int | None = 0
    while cursor is not None:
        page = sessions.page(cursor, size=_AT_ONCE, **searched)
        yield [sessions.locators.of(each.key) for each in page.sessions]
        cursor = page.cursor


def _keys(keys: RedisKeys) -> Iterator[Portion]:
    text, match = match_argument()
    require_search(text)
    cursor = 0
    while True:
        page = keys.page(cursor, match=match.pattern, most=_AT_ONCE)
        yield [keys.locators.of(each.name) for each in page.keys]
        if not page.cursor:
            return
        cursor = page.cursor
