"""The listings that are measured: their first page, one far behind it, and the usual way there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.collection import Collection
from redis import Redis

from bench.browser_reading import Facts
from bench.large_stores import KB, LIST, VECTORS
from kato_exporter.browser.keys import encode_key
from kato_exporter.demo.shapes import Document
from kato_exporter.kato.knowledge import PATTERNS
from support.browsing import Stores

PAGE_ROWS = 50
"""How many rows a page has by default."""

PATTERNS_LISTING, SESSIONS_LISTING = "patterns by frequency", "sessions"

BY_FREQUENCY = {"frequency": -1, "name": 1}
BY_NAME = {"name": 1}
BY_LENGTH = {"length": -1, "name": 1}

_BY_ID = {"_id": -1}
_SESSIONS = "kato:session:session-*"
_SCANNED_AT_ONCE = 1_000
_PAGES_LEFT = 10
_FARTHEST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What is usually asked for a page: its rows after so many others, and how many there are.

    `page` gives what tells its rows from others: names, or `_id` as text. `same_order` says that
    they are the rows of the browser's page, too; `words` says it in short.
    """

    words: str
    page: Callable[[int], Sequence[str]]
    count: Callable[[], object] | None = None
    same_order: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A listing: the paths of its first page and of page `number`.

    `rows` is the fact of its JSON twin that holds the rows, `identity` what tells one from others.
    """

    what: str
    rows: str
    first: str
    deep: str
    number: int
    usual: Usual | None = None
    identity: Callable[[Facts], str] = lambda row: str(row["name"])


def rows_before(number: int) -> int:
    """Give how many rows are on the pages before one."""
    return (number - 1) * PAGE_ROWS


def pattern_listing(stores: Stores, what: str, order: dict[str, int]) -> Listing:
    """Page through the patterns in an order."""
    collection = stores.mongo[KB][PATTERNS]
    number = _far_page(collection.estimated_document_count())
    first = f"/kb/{KB}/patterns?sort={next(iter(order))}"
    key = encode_key(_key_behind(collection, order, rows_before(number)))
    return Listing(
        what=f"patterns by {what}",
        rows="patterns",
        first=first,
        deep=f"{first}&after={key}",
        number=number,
        usual=_skipping(collection, order, "name"),
    )


def document_listing(stores: Stores, name: str) -> Listing:
    """Page through a collection, the greatest `_id` first."""
    collection = stores.mongo[KB][name]
    number = _far_page(collection.estimated_document_count())
    [last] = _key_behind(collection, _BY_ID, rows_before(number) - 1)
    first = f"/kb/{KB}/collections/{name}"
    return Listing(
        what=f"documents of {name}",
        rows="documents",
        first=first,
        deep=f"{first}?after={encode_key([str(last)])}",
        number=number,
        usual=_skipping(collection, _BY_ID, "_id"),
        identity=lambda row: str(row["url"]).rpartition("/")[2],
    )


def session_listing(stores: Stores, sessions: int) -> Listing:
    """Page through so many sessions, nearly to the end."""
    cursor, number = _cursor_near_end(stores.redis, _SESSIONS, sessions)
    return Listing(
        what=SESSIONS_LISTING,
        rows="sessions",
        first="/sessions",
        deep=f"/sessions?after={encode_key([str(cursor), rows_before(number)])}",
        number=number,
        usual=_scanning(stores.redis, _SESSIONS),
    )


def key_listing(stores: Stores) -> Listing:
    """Page through all keys, nearly to the end."""
    cursor, number = _cursor_near_end(stores.redis, None, stores.redis.dbsize())
    return Listing(
        what="keys of Redis",
        rows="keys",
        first="/redis/keys",
        deep=f"/redis/keys?cursor={cursor}",
        number=number,
        usual=_scanning(stores.redis, None),
    )


def element_listing(stores: Stores) -> Listing:
    """Page through a list, whose middle is farthest from both ends."""
    number = max(2, stores.redis.llen(LIST) // PAGE_ROWS // 2)
    first = f"/redis/key?name={LIST}"
    return Listing(
        what="elements of a list of Redis",
        rows="elements",
        first=first,
        deep=f"{first}&at={rows_before(number)}",
        number=number,
    )


def point_listing(stores: Stores, points: int) -> Listing:
    """Page through so many points, to the end."""
    number = points // PAGE_ROWS
    _, at = stores.qdrant.scroll(VECTORS, limit=rows_before(number), with_payload=False)
    first = f"/qdrant/{VECTORS}"
    return Listing(
        what="points (a stub, no Qdrant)",
        rows="points",
        first=first,
        deep=f"{first}?after={at}",
        number=number,
    )


def _far_page(rows: int) -> int:
    """Give the number of the last page, or that of one as far behind as is promised."""
    return min(_FARTHEST, rows // PAGE_ROWS)


def _key_behind(collection: Collection[Document], order: dict[str, int], rows: int) -> list[Any]:
    """Give the key of the row behind so many."""
    [found] = collection.find({}, dict.fromkeys(order, True)).sort(order).skip(rows).limit(1)
    return [found[field] for field in order]


def _cursor_near_end(redis: Redis, match: str | None, keys: int) -> tuple[int, int]:
    """Scan until _PAGES_LEFT are left of so many keys; give the cursor and the page's number."""
    cursor, seen = redis.scan(0, match, count=PAGE_ROWS)
    behind = len(seen)
    while behind < keys - _PAGES_LEFT * PAGE_ROWS:
        cursor, seen = redis.scan(cursor, match, count=PAGE_ROWS)
        behind += len(seen)
    return cursor, 1 + behind // PAGE_ROWS


def _skipping(collection: Collection[Document], order: dict[str, int], identity: str) -> Usual:
    """Ask with `skip` and `limit`, and count with `count_documents`."""

    def page(skip: int) -> list[str]:
        found = collection.find().sort(order).skip(skip).limit(PAGE_ROWS)
        return [str(document[identity]) for document in found]

    return Usual(
        words="`skip`, `limit` and `count_documents`",
        page=page,
        count=lambda: collection.count_documents({}),
        same_order=True,
    )


def _scanning(redis: Redis, match: str | None) -> Usual:
    """Scan all keys, and give a part of their names in order."""

    def page(skip: int) -> list[str]:
        names = sorted(redis.scan_iter(match, count=_SCANNED_AT_ONCE))
        return [name.decode() for name in names[skip : skip + PAGE_ROWS]]

    return Usual(words="SCAN of all names, sorted", page=page)
