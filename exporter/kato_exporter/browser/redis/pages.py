"""The pages of Redis: the server, its keys, and what each key holds."""

import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, abort, request

from kato_exporter.browser.answers import answer
from kato_exporter.browser.arguments import (
    choice_argument,
    integer_argument,
    refuse,
    text_argument,
)
from kato_exporter.browser.exports import Export, Row
from kato_exporter.browser.links import this_page
from kato_exporter.browser.redis import elements
from kato_exporter.browser.redis.key_match import KeyMatch, parse_key_match
from kato_exporter.kato.sessions import SESSION_INDEX, parse_session_key
from kato_exporter.kato.streams import GLOBAL_STREAM, PROCESSOR_STREAM_MATCH
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.redis.keys import KeyDetail, KeyFacts, KeyPage, RedisKeys, ServerAnswer
from kato_exporter.stores.redis.names import LONGEST_LINKED_NAME, name_bytes, name_text
from kato_exporter.stores.redis.values import Elements

_LONGEST_NAME_TEXT = 4 * LONGEST_LINKED_NAME
_LARGEST_CURSOR = 2**64 - 1
_LARGEST_INDEX = 2**32 - 1
_STREAM_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
_STREAM_ORDERS = ("oldest", "newest")
_SESSION_PREFIX = b"kato:session:"
_PROCESSOR_STREAM_PREFIX = PROCESSOR_STREAM_MATCH.removesuffix("*").encode()
_DOWNLOAD_SECONDS = 60.0
_KEY_COLUMNS = ("name", "type", "persistent", "ttl_seconds", "memory_bytes")

Read = Callable[[Any], Elements[Any, Any]]
"""Reads the page of a collection that begins at a place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Collection:
    """How a collection is paged, shown and downloaded."""

    read: Read
    place: Any
    tell: Callable[[Any], dict[str, Any]]
    columns: tuple[str, ...]


def redis_pages(keys: RedisKeys, *, page_rows: int) -> Blueprint:
    """Make the pages; `page_rows` is about how many keys or elements a page has."""
    pages = Blueprint("redis", __name__)
    pages.add_app_template_filter(elements.laid_out)
    pages.add_app_template_filter(elements.spelled)
    pages.add_app_template_filter(lambda name: keys.locators.of(name_bytes(name)), "key_locator")

    @pages.get("/redis")
    def server() -> Response:
        told = keys.server()
        facts = {
            "address": keys.address,
            "database": keys.database,
            "keys": told.keys,
            "summary": _summary(told),
            "sections": told.sections,
            "notices": list(told.lacking),
        }
        return answer("redis/server.html", facts)

    @pages.get("/redis/keys")
    def listing() -> Response:
        text, match = match_argument()
        cursor = integer_argument("cursor", default=0, most=_LARGEST_CURSOR) or 0
        page = keys.page(cursor, match=match.pattern, most=page_rows)
        facts = {
            "match": text,
            "glob": match.glob,
            "begins": cursor == 0,
            "looked_at": page.looked_at,
            "total": page.total,
            "keys": [_key_row(key) for key in page.keys],
            "cursor": str(page.cursor) if page.cursor else None,
            "next": this_page(cursor=str(page.cursor)) if page.cursor else None,
            "notices": _listing_notices(page),
        }
        rows = Export(
            name="redis-keys",
            columns=_KEY_COLUMNS,
            rows=lambda: _all_keys(keys, cursor, match, page_rows),
        )
        return answer("redis/keys.html", facts, export=rows)

    @pages.get("/redis/key")
    def key() -> Response:
        name = name_argument()
        detail = keys.detail(name)
        if detail is None:
            abort(404, f"There is no key {name_text(name)}: it never was, expired, or was deleted.")
        facts = _key_facts(detail)
        notices = list(detail.lacking)
        export = None
        if detail.facts.type == "string":
            facts |= _string(keys, name)
        elif collection := _collection(keys, detail, page_rows):
            told = collection.read(collection.place)
            export = _elements_export(collection)
            facts |= _elements(collection, told)
            notices += [f"This page {told.cut}."] if told.cut else []
            if detail.facts.type == "stream":
                facts |= _groups(keys, name, notices)
        facts |= {"notices": notices}
        return answer("redis/key.html", facts, export=export)

    return pages


def match_argument() -> tuple[str, KeyMatch]:
    """Give what is looked for, as it was written and as it was understood."""
    text = text_argument("match")
    try:
        match = parse_key_match(text)
    except ValueError as error:
        match = refuse("match", text, str(error))
    return text, match


def name_argument() -> bytes:
    """Give the name of the key that is asked for."""
    if "name" not in request.args:
        abort(400, "name: give the name of a key; `?name=` alone is the key with the empty name")
    text = text_argument("name", most=_LONGEST_NAME_TEXT)
    try:
        name = name_bytes(text)
    except ValueError as error:
        name = refuse("name", text, str(error))
    return name


def _stream_id_argument() -> str:
    text = text_argument("at")
    if text and not _STREAM_ID.fullmatch(text):
        refuse("at", text, "give the id of an entry, such as 1700000000000-0")
    return text


def _summary(told: ServerAnswer) -> dict[str, str]:
    """Give what is asked for most, as INFO spells it; Valkey also claims to be a Redis."""
    fields = {name: value for section in told.sections for name, value in section.fields}
    names = (
        "uptime_in_seconds",
        "role",
        "used_memory_human",
        "maxmemory_human",
        "maxmemory_policy",
        "evicted_keys",
        "connected_clients",
    )
    product = "valkey_version" if "valkey_version" in fields else "redis_version"
    return {name: fields[name] for name in (product, *names) if name in fields}


def _listing_notices(page: KeyPage) -> list[str]:
    notices = list(page.lacking)
    if page.cut:
        notices.append(f"This page {page.cut}, before it was full; the next page goes on.")
    return notices


def _key_row(key: KeyFacts) -> dict[str, Any]:
    linked = len(key.name) <= LONGEST_LINKED_NAME
    return {
        "name": name_text(key.name[:LONGEST_LINKED_NAME]),
        "name_bytes": len(key.name),
        "linked": linked,
        "type": key.type,
        **_lifetime(key),
        "memory_bytes": key.memory,
    }


def _lifetime(key: KeyFacts) -> dict[str, Any]:
    """Tell whether a key stays, and if not, for how long and until when in epoch seconds."""
    ends = key.lifetime is not None and math.isfinite(key.lifetime)
    return {
        "persistent": None if key.lifetime is None else not ends,
        "ttl_seconds": key.lifetime if ends else None,
        "expires": time.time() + key.lifetime if ends and key.lifetime is not None else None,
    }


def _all_keys(keys: RedisKeys, cursor: int, match: KeyMatch, page_rows: int) -> Iterator[Row]:
    deadline = Deadline.after(_DOWNLOAD_SECONDS)
    while True:
        page = keys.page(cursor, match=match.pattern, most=page_rows)
        for key in page.keys:
            yield _key_row(key)
        cursor = page.cursor
        if cursor == 0:
            return
        _refuse_after(deadline, f"cursor={cursor}")


def _refuse_after(deadline: Deadline, place: str) -> None:
    if deadline.expired:
        raise QueryError(f"a download takes at most {_DOWNLOAD_SECONDS:g} s; go on from {place}")


def _key_facts(detail: KeyDetail) -> dict[str, Any]:
    key = detail.facts
    return {
        "name": name_text(key.name),
        "type": key.type,
        "encoding": detail.encoding,
        **_lifetime(key),
        "memory_bytes": key.memory,
        **_meaning(key.name),
    }


def _meaning(name: bytes) -> dict[str, Any]:
    """Say what KATO keeps under the name, and where the browser shows it as that."""
    if parse_session_key(name) is not None:
        identifier = name.removeprefix(_SESSION_PREFIX).decode()
        return {
            "meaning": "A session of KATO.",
            "session": {"id": identifier, "url": f"/sessions/{quote(identifier)}"},
        }
    if name == SESSION_INDEX.encode():
        return {
            "meaning": "KATO 3's index of sessions. Expired ones are not taken out of it, so it "
            "can have more members than there are sessions."
        }
    if name == GLOBAL_STREAM or name.startswith(_PROCESSOR_STREAM_PREFIX):
        whose = "of all processors" if name == GLOBAL_STREAM else "of one processor"
        return {
            "meaning": f"KATO 3's log of what happens to the short-term memory (STM) {whose}: "
            "observe, learn, clear, rollback. KATO never trims it, and it does not expire."
        }
    return {}


def _string(keys: RedisKeys, name: bytes) -> dict[str, Any]:
    offset = integer_argument("at", default=0, most=_LARGEST_INDEX) or 0
    part = keys.values.string_part(name, offset)
    following = part.following
    return {
        "string": elements.string_facts(part),
        "next": None if following is None else this_page(at=str(following)),
    }


def _collection(keys: RedisKeys, detail: KeyDetail, most: int) -> _Collection | None:
    """Give how a key of this type is read; None for a string and for what we do not know."""
    name, values = detail.facts.name, keys.values
    match detail.facts.type:
        case "hash":
            return _Collection(
                read=lambda cursor: values.hash_fields(name, cursor, most=most),
                place=integer_argument("at", default=0, most=_LARGEST_CURSOR),
                tell=elements.hash_field,
                columns=("field", "value"),
            )
        case "set":
            return _Collection(
                read=lambda cursor: values.set_members(name, cursor, most=most),
                place=integer_argument("at", default=0, most=_LARGEST_CURSOR),
                tell=elements.set_member,
                columns=("member",),
            )
        case "list":
            return _Collection(
                read=lambda start: values.list_items(name, start, most=most),
                place=integer_argument("at", default=0, most=_LARGEST_INDEX),
                tell=elements.list_item,
                columns=("index", "value"),
            )
        case "zset":
            return _Collection(
                read=lambda start: values.ranked_members(name, start, most=most),
                place=integer_argument("at", default=0, most=_LARGEST_INDEX),
                tell=elements.ranked_member,
                columns=("rank", "score", "member"),
            )
        case "stream":
            newest = choice_argument("order", _STREAM_ORDERS, default="oldest") == "newest"
            return _Collection(
                read=lambda after: values.stream_entries(
                    name, after, most=most, newest_first=newest
                ),
                place=_stream_id_argument(),
                tell=elements.stream_entry,
                columns=("id", "added", "fields", "fields_in_all"),
            )
    return None


def _elements(collection: _Collection, told: Elements[Any, Any]) -> dict[str, Any]:
    following = told.following
    return {
        "length": told.length,
        "columns": collection.columns,
        "elements": [collection.tell(each) for each in told.elements],
        "begins": not collection.place,
        "next": None if following is None else this_page(at=str(following)),
    }


def _elements_export(collection: _Collection) -> Export:
    def rows() -> Iterator[Row]:
        deadline = Deadline.after(_DOWNLOAD_SECONDS)
        place = collection.place
        while True:
            page = collection.read(place)
            for each in page.elements:
                yield elements.download_row(collection.tell(each))
            place = page.following
            if place is None:
                return
            _refuse_after(deadline, f"at={place}")

    return Export(name="redis-key", columns=(*collection.columns, "binary", "cut"), rows=rows)


def _groups(keys: RedisKeys, name: bytes, notices: list[str]) -> dict[str, Any]:
    order = choice_argument("order", _STREAM_ORDERS, default="oldest")
    try:
        groups, count = keys.values.stream_groups(name)
    except QueryError as error:
        notices.append(f"XINFO GROUPS is refused: {error}")
        return {"order": order, "groups": None}
    if count > len(groups):
        notices.append(f"There are {count:,} groups; the first {len(groups):,} are shown.")
    return {"order": order, "groups": [elements.consumer_group(each) for each in groups]}
