"""What pages of the record browser cost, however far into a large store: `make bench-browser`.

Bounded: about ten minutes, all on 127.0.0.1, every server ends with the run. With
BENCH_ARGS="--share 0.02" the stores are smaller, and docs/benchmarks.md stays as it is.
"""

import argparse
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil
from pymongo.collection import Collection
from redis import Redis
from rich.console import Console

from bench.large_stores import (
    KB,
    LIST,
    OFTEN,
    OFTEN_ONE_IN,
    RARE,
    RARE_NODE,
    VECTORS,
    Sizes,
    fill_knowledge,
    fill_qdrant,
    fill_redis,
)
from bench.report import machine, publish, table
from kato_exporter.browser.keys import encode_key
from kato_exporter.demo.shapes import Document
from kato_exporter.kato.knowledge import PATTERNS, PREDICTIONS
from support.browsing import PASSWORD, READER, Stores, browsing, running_stores

SIZES = Sizes(
    patterns=1_000_000, predictions=100_000, sessions=100_000, keys=100_000, points=10_000
)
PAGE_ROWS = 50
EXPORTED_ROWS = 100_000

ROUNDS = 30
SLOW_ROUNDS = 3
USUAL_ROUNDS = 5
SEARCHES = 3
LONGEST_SEARCH = 60.0
RSS_INTERVAL = 0.02
PROMISED = 1.2

BY_FREQUENCY = {"frequency": -1, "name": 1}
BY_NAME = {"name": 1}
BY_LENGTH = {"length": -1, "name": 1}
BY_ID = {"_id": -1}
SESSIONS = "kato:session:session-*"
SCAN_COUNT = 1_000

SITE = f"/kb/{KB}"
PATTERNS_PAGE = f"{SITE}/patterns"

Facts = dict[str, Any]

console = Console(stderr=True)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search, its path and its fact of rows; `usual` asks the store plainly for the same."""

    what: str
    rows: str
    path: str
    usual: Callable[[], object] | None = None


class Reader:
    """Somebody who is signed in, on one connection."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def first_byte(self, path: str) -> float:
        """Give the seconds until the first byte of a page."""
        began = time.perf_counter()
        with self._http.stream("GET", path) as answer:
            chunks = answer.iter_raw()
            next(chunks)
            taken = time.perf_counter() - began
            for _ in chunks:
                pass
        answer.raise_for_status()
        return taken

    def facts(self, path: str) -> Facts:
        """Give a page's JSON twin."""
        answer = self._http.get(path, headers={"Accept": "application/json"})
        answer.raise_for_status()
        found: Facts = answer.json()
        return found

    def download(self, path: str) -> Iterator[bytes]:
        """Give a download as it comes."""
        with self._http.stream("GET", path) as answer:
            answer.raise_for_status()
            yield from answer.iter_raw()


def timed(work: Callable[[], object]) -> float:
    """Give the seconds that work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median(times: int, work: Callable[[], object]) -> float:
    """Give the median of so many times."""
    return statistics.median(timed(work) for _ in range(times))


def milliseconds(seconds: float) -> str:
    """Write a time."""
    return f"{1000 * seconds:,.1f} ms"


def deep_page(rows: int) -> int:
    """Give the number of a page in the middle: 10,000 of a million rows."""
    return max(2, rows // PAGE_ROWS // 2)


def rows_before(number: int) -> int:
    """Give how many rows are on the pages before one."""
    return (number - 1) * PAGE_ROWS


def sorted_pages(collection: Collection[Document], order: dict[str, int]) -> Usual:
    """Ask with `skip` and `limit`, and count all documents, as pages usually are made."""
    field = next(iter(BY_ID if order == BY_ID else BY_NAME))
    return Usual(
        page=lambda skip: list(collection.find().sort(order).skip(skip).limit(PAGE_ROWS)),
        count=lambda: collection.count_documents({}),
        same=lambda document: str(document[field]),
    )


def scanned_pages(redis: Redis, match: str | None) -> Usual:
    """Read the names of all keys for one page of them."""

    def page(skip: int) -> list[bytes]:
        names = sorted(redis.scan_iter(match, count=SCAN_COUNT))
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
    [last] = key_after(collection, BY_ID, rows_before(number) - 1)
    first = f"{SITE}/collections/{name}"
    return Listing(
        what=f"documents of {name}",
        rows="documents",
        first=first,
        deep=f"{first}?after={encode_key([str(last)])}",
        number=number,
        usual=sorted_pages(collection, BY_ID),
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
    cursor, number = cursor_behind(stores.redis, SESSIONS, sizes.sessions - 10 * PAGE_ROWS)
    return Listing(
        what="sessions",
        rows="sessions",
        first="/sessions",
        deep=f"/sessions?after={encode_key([str(cursor), 1])}",
        number=number,
        usual=scanned_pages(stores.redis, SESSIONS),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """A listing as it was measured, in seconds; `shown` are how many rows the two pages have."""

    listing: Listing
    first: float
    deep: float
    shown: tuple[int, int]
    notices: Sequence[str]
    usual: tuple[float, float] | None
    count: float | None


def measure(reader: Reader, listing: Listing) -> Pages:
    """Ask for both pages in turns, and then as it is usually done."""
    console.print(f"{listing.what}: page 1 and page {listing.number:,} ...")
    twins = [reader.facts(listing.first), reader.facts(listing.deep)]
    times: dict[str, list[float]] = {listing.first: [], listing.deep: []}
    for number in range(listing.rounds):
        for path in sorted(times, reverse=number % 2 == 1):
            times[path].append(reader.first_byte(path))
    usual = listing.usual
    skips = (0, rows_before(listing.number))
    if usual is not None and usual.same is not None:
        for twin, skip in zip(twins, skips, strict=True):
            require_same(listing, twin, usual.page(skip))
    return Pages(
        listing=listing,
        first=statistics.median(times[listing.first]),
        deep=statistics.median(times[listing.deep]),
        shown=(len(twins[0][listing.rows]), len(twins[1][listing.rows])),
        notices=[*twins[0]["notices"], *twins[1]["notices"]],
        usual=in_turns(usual.page, skips) if usual else None,
        count=median(USUAL_ROUNDS, usual.count) if usual and usual.count else None,
    )


def in_turns(page: Callable[[int], object], skips: tuple[int, int]) -> tuple[float, float]:
    """Give the medians of both pages, asked for in turns."""
    times = [[timed(lambda skip=skip: page(skip)) for skip in skips] for _ in range(USUAL_ROUNDS)]
    first, deep = zip(*times, strict=True)
    return statistics.median(first), statistics.median(deep)


def require_same(listing: Listing, twin: Facts, found: Sequence[Any]) -> None:
    """See to it that both ways give the same page."""
    usual = listing.usual
    if usual is None or usual.same is None or not twin[listing.rows]:
        return
    ours = [listing.same(row) for row in twin[listing.rows]]
    if ours != [usual.same(row) for row in found]:
        raise RuntimeError(f"{listing.what}: not the page that skip and limit give")
