"""The listings that are measured: their first page, one far behind it, and the usual way there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.collection import Collection
from redis import Redis

from bench.large_stores import KB, LIST, VECTORS
from kato_exporter.browser.keys import encode_key
from kato_exporter.demo.shapes import Document
from kato_exporter.kato.knowledge import PATTERNS
from support.browsing import Stores

PAGE_ROWS = 50
"""How many rows a page has by default."""

ROUNDS = 30

BY_FREQUENCY = {"frequency": -1, "name": 1}
BY_NAME = {"name": 1}
BY_LENGTH = {"length": -1, "name": 1}

_BY_ID = {"_id": -1}
_SESSIONS = "kato:session:session-*"
_SCANNED_AT_ONCE = 1_000
_PAGES_LEFT = 10

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What is usually asked for a page: its rows after so many others, and how many there are.

    `same` tells a row from the others as the browser's row in `Listing.same` does, None where the
    usual way has another order.
    """

    page: Callable[[int], Sequence[Any]]
    count: Callable[[], object] | None = None
    same: Callable[[Any], str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A listing: the paths of its first page and of page `number`; `rows` is its fact of rows."""

    what: str
    rows: str
    first: str
    deep: str
    number: int
    rounds: int = ROUNDS
    usual: Usual | None = None
    same: Callable[[Facts], str] = lambda row: str(row["name"])


def deep_page(rows: int) -> int:
    """Give the number of a page in the middle: 10,000 of a million rows."""
    return max(2, rows // PAGE_ROWS // 2)


def rows_before(number: int) -> int:
    """Give how many rows are on the pages before one."""
    return (number - 1) * PAGE_ROWS


def sorted_pages(collection: Collection[Document], order: dict[str, int]) -> Usual:
    """Ask with `skip` and `limit`, and count all documents, as pages usually are made."""
    field = next(iter(_BY_ID if order == _BY_ID else BY_NAME))
    return Usual(
        page=lambda skip: list(collection.find().sort(order).skip(skip).limit(PAGE_ROWS)),
        count=lambda: collection.count_documents({}),
        same=lambda document: str(document[field]),
    )


def scanned_pages(redis: Redis, match: str | None) -> Usual:
    """Read the names of all keys for one page of them."""

    def page(skip: int) -> list[bytes]:
        names = sorted(redis.scan_iter(match, count=_SCANNED_AT_ONCE))
        return names[skip : skip + PAGE_ROWS]

    return Usual(page=page)


def key_after(collection: Collection[Document], order: dict[str, int], rows: int) -> list[Any]:
    """Find the key of the row behind so many."""
    found = collection.find({}, dict.fromkeys(order, True)).sort(order).skip(rows).limit(1)
    [document] = found
    return [document[field] for field in order]


def pattern_listing(stores: Stores, what: str, order: dict[str, int], **more: Any) -> Listing:
    """Page through the patterns in an order."""
    collection = stores.mongo[KB][PATTERNS]
    number = deep_page(collection.estimated_document_count())
    first = f"{PATTERNS_PAGE}?sort={next(iter(order))}"
    key = encode_key(key_after(collection, order, rows_before(number)))
    return Listing(
        what=f"patterns by {what}",
        rows="patterns",
        first=first,
        deep=f"{first}&after={key}",
        number=number,
        usual=sorted_pages(collection, order),
        **more,
    )


def document_listing(stores: Stores, name: str) -> Listing:
    """Page through a collection, the greatest `_id` first."""
    collection = stores.mongo[KB][name]
    number = deep_page(collection.estimated_document_count())
    [last] = key_after(collection, _BY_ID, rows_before(number) - 1)
    first = f"{SITE}/collections/{name}"
    return Listing(
        what=f"documents of {name}",
        rows="documents",
        first=first,
        deep=f"{first}?after={encode_key([str(last)])}",
        number=number,
        usual=sorted_pages(collection, _BY_ID),
        same=lambda row: str(row["url"]).rpartition("/")[2],
    )


def cursor_behind(redis: Redis, match: str | None, rows: int) -> tuple[int, int]:
    """Scan behind about so many keys; give the cursor, and the number of the page that it begins.

    There are rows left behind it, for at least two pages.
    """
    cursor, seen = redis.scan(0, match, count=PAGE_ROWS)
    behind = len(seen)
    while cursor and behind < rows:
        cursor, seen = redis.scan(cursor, match, count=PAGE_ROWS)
        behind += len(seen)
    return cursor, 1 + behind // PAGE_ROWS


def session_listing(stores: Stores, sizes: Sizes) -> Listing:
    """Page through the sessions, nearly to the end."""
    cursor, number = cursor_behind(stores.redis, _SESSIONS, sizes.sessions - 10 * PAGE_ROWS)
    return Listing(
        what="sessions",
        rows="sessions",
        first="/sessions",
        deep=f"/sessions?after={encode_key([str(cursor), 1])}",
        number=number,
        usual=scanned_pages(stores.redis, _SESSIONS),
    )


def key_listing(stores: Stores) -> Listing:
    """Page through all keys, nearly to the end."""
    cursor, number = cursor_behind(stores.redis, None, stores.redis.dbsize() - 10 * PAGE_ROWS)
    return Listing(
        what="keys of Redis",
        rows="keys",
        first="/redis/keys",
        deep=f"/redis/keys?cursor={cursor}",
        number=number,
        usual=scanned_pages(stores.redis, None),
    )


def element_listing(stores: Stores) -> Listing:
    """Page through a list; its middle is the farthest from both ends."""
    number = deep_page(stores.redis.llen(LIST))
    first = f"/redis/key?name={LIST}"
    return Listing(
        what="elements of a list of Redis",
        rows="elements",
        first=first,
        deep=f"{first}&at={rows_before(number)}",
        number=number,
    )


def point_listing(stores: Stores, sizes: Sizes) -> Listing:
    """Page through points of the stub."""
    number = sizes.points // PAGE_ROWS
    _, at = stores.qdrant.scroll(VECTORS, limit=rows_before(number), with_payload=False)
    first = f"/qdrant/{VECTORS}"
    return Listing(
        what="points (a stub)",
        rows="points",
        first=first,
        deep=f"{first}?after={at}",
        number=number,
    )
