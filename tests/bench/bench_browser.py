"""What pages of the record browser cost, however far into a large store: `make bench-browser`.

Bounded: about ten minutes, all on 127.0.0.1, every server ends with the run. With
BENCH_ARGS="--share 0.02" the stores are smaller, and docs/benchmarks.md stays as it is.
"""

import argparse
import json
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
from rich.console import Console

from bench.browser_listings import (
    BY_FREQUENCY,
    BY_LENGTH,
    BY_NAME,
    Facts,
    Listing,
    document_listing,
    element_listing,
    key_listing,
    pattern_listing,
    point_listing,
    rows_before,
    session_listing,
)
from bench.large_stores import (
    KB,
    LIST,
    OFTEN,
    OFTEN_ONE_IN,
    RARE,
    RARE_NODE,
    Sizes,
    fill_knowledge,
    fill_qdrant,
    fill_redis,
)
from bench.report import machine, publish, table
from kato_exporter.kato.knowledge import PATTERNS, PREDICTIONS
from support.browsing import PASSWORD, READER, Stores, browsing, running_stores

SIZES = Sizes(
    patterns=1_000_000, predictions=100_000, sessions=100_000, keys=100_000, points=10_000
)
ROUNDS = 30
SLOW, SLOW_ROUNDS = 0.5, 3
USUAL_ROUNDS = 3
SEARCHES = 3
LONGEST_SEARCH = 60.0
RSS_INTERVAL = 0.01
PROMISED = 1.2
MOST_SESSIONS_AT_ONCE = 1_000

SITE = f"/kb/{KB}"

console = Console(stderr=True)


class Reader:
    """Somebody who is signed in, on one connection."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def first_byte(self, path: str) -> float:
        """Give the seconds until the first byte of a page, which is then read to its end."""
        began = time.perf_counter()
        with self._http.stream("GET", path) as answer:
            chunks = answer.iter_raw()
            next(chunks)
            taken = time.perf_counter() - began
            answer.raise_for_status()
            for _ in chunks:
                pass
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


def in_turns(works: Sequence[Callable[[], float]], rounds: int) -> list[float]:
    """Measure each in turn, every other round from the last one on; give the medians.

    What takes longer than SLOW the first time has SLOW_ROUNDS at most.
    """
    taken: list[list[float]] = [[] for _ in works]
    for number in range(rounds):
        pairs = list(zip(works, taken, strict=True))
        for work, times in pairs if number % 2 == 0 else reversed(pairs):
            times.append(work())
        if number + 1 == SLOW_ROUNDS and max(map(min, taken)) > SLOW:
            break
    return [statistics.median(times) for times in taken]


def milliseconds(seconds: float) -> str:
    """Write a time."""
    return f"{1000 * seconds:,.1f} ms"


def fill(stores: Stores, sizes: Sizes) -> None:
    """Fill the stores."""
    for what, work in (
        (f"{sizes.patterns:,} patterns", lambda: fill_knowledge(stores.mongo, sizes)),
        (f"{sizes.sessions:,} sessions", lambda: fill_redis(stores.redis, sizes)),
        (f"{sizes.points:,} points of a stub", lambda: fill_qdrant(stores.qdrant, sizes)),
    ):
        with console.status(f"filling in {what}"):
            console.print(f"filled in {what}: {timed(work):.0f} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """What a listing has cost, in seconds; `shown` is how many rows the two pages have."""

    listing: Listing
    first: float
    deep: float
    shown: tuple[int, int]
    notices: Sequence[str]
    usual: tuple[float, float] | None
    count: float | None

    @property
    def ratio(self) -> float:
        """How many times the first page's time the other one takes."""
        return self.deep / self.first


def measure_listing(reader: Reader, listing: Listing) -> Pages:
    """Ask for both pages in turns; then as it is usually done."""
    console.print(f"{listing.what}: page 1 and page {listing.number:,}")
    twins = [reader.facts(path) for path in (listing.first, listing.deep)]
    skips = (0, rows_before(listing.number))
    if listing.usual and listing.usual.same_order:
        for twin, skip in zip(twins, skips, strict=True):
            ours = [listing.identity(row) for row in twin[listing.rows]]
            if ours and ours != listing.usual.page(skip):
                raise RuntimeError(f"{listing.what}: skip and limit give another page")
    first, deep = in_turns(
        [lambda: reader.first_byte(listing.first), lambda: reader.first_byte(listing.deep)], ROUNDS
    )
    usual, count = None, None
    if (plain := listing.usual) is not None:
        page = plain.page
        usual_first, usual_deep = in_turns(
            [lambda: timed(lambda: page(skips[0])), lambda: timed(lambda: page(skips[1]))],
            USUAL_ROUNDS,
        )
        usual = usual_first, usual_deep
        if (ask := plain.count) is not None:
            [count] = in_turns([lambda: timed(ask)], USUAL_ROUNDS)
    return Pages(
        listing=listing,
        first=first,
        deep=deep,
        shown=(len(twins[0][listing.rows]), len(twins[1][listing.rows])),
        notices=list(dict.fromkeys([*twins[0]["notices"], *twins[1]["notices"]])),
        usual=usual,
        count=count,
    )


def measure_listings(reader: Reader, stores: Stores, sizes: Sizes) -> str:
    """Measure all listings, and make the index of which the browser says that it is missing."""
    found = [
        measure_listing(reader, make())
        for make in (
            lambda: pattern_listing(stores, "frequency", BY_FREQUENCY),
            lambda: pattern_listing(stores, "name", BY_NAME),
            lambda: document_listing(stores, PATTERNS),
            lambda: document_listing(stores, PREDICTIONS),
            lambda: session_listing(stores, sizes.sessions),
            lambda: key_listing(stores),
            lambda: element_listing(stores),
            lambda: point_listing(stores, sizes.points),
            lambda: pattern_listing(stores, "length", BY_LENGTH),
        )
    ]
    unindexed = found[-1]
    stores.mongo[KB][PATTERNS].create_index(list(BY_LENGTH.items()), name="by_length")
    found.append(measure_listing(reader, pattern_listing(stores, "length, indexed", BY_LENGTH)))
    stores.mongo[KB][PATTERNS].drop_index("by_length")
    beyond = [
        f"{pages.listing.what} ({pages.ratio:.2f})" for pages in found if pages.ratio > PROMISED
    ]
    return "\n\n".join(
        [
            f"Time to the first byte of page 1 and of a page far behind it, in turns, median of "
            f"{ROUNDS} rounds each, of {SLOW_ROUNDS} where a page takes more than {SLOW:g} s. A "
            "page has 50 rows, or a few more where Redis's SCAN gives more. Beside it the usual "
            "way on the same store by pymongo or redis-py, without any page made of it, median of "
            f"{USUAL_ROUNDS}: `sort`, `skip` and `limit`, and `count_documents({{}})` for the "
            "number of pages; of Redis, SCAN of all names, sorted. The last column has its page "
            "far behind, with the count, against ours.",
            table(
                [
                    *("listing", "page", "rows", "page 1", "that page", "ratio"),
                    *("usual page 1", "usual that page", "count", "usual : ours"),
                ],
                [listing_row(pages) for pages in found],
            ),
            f"Promised is {PROMISED}. "
            + (f"Beyond it: {', '.join(beyond)}." if beyond else "None is beyond it."),
            "KATO has no index on `length`. The page says so: "
            f"\u201c{' '.join(unindexed.notices)}\u201d The row after that is with this index.",
        ]
    )


def listing_row(pages: Pages) -> list[str]:
    """Write what a listing has cost."""
    row = [
        pages.listing.what,
        f"{pages.listing.number:,}",
        f"{pages.shown[0]}, {pages.shown[1]}",
        milliseconds(pages.first),
        milliseconds(pages.deep),
        f"{pages.ratio:.2f}",
    ]
    if pages.usual is None:
        return [*row, "", "", "", ""]
    whole = pages.usual[1] + (pages.count or 0.0)
    return [
        *row,
        *map(milliseconds, pages.usual),
        "" if pages.count is None else milliseconds(pages.count),
        f"{whole / pages.deep:,.1f}",
    ]


def measure_records(reader: Reader) -> str:
    """Measure the pages that are no listings."""
    [learned, *_] = reader.facts(f"{SITE}/patterns")["patterns"]
    [document, *_] = reader.facts(f"{SITE}/collections/{PREDICTIONS}")["documents"]
    [session, *_] = reader.facts("/sessions")["sessions"]
    paths = {
        "health, which asks no store": "/-/healthy",
        "home": "/",
        "knowledge bases": "/kb",
        "a knowledge base": SITE,
        "a pattern": learned["url"],
        "a document of predictions": document["url"],
        "a session": f"/sessions/{session['session_id']}",
    }
    console.print("pages of one record")
    medians = in_turns([lambda path=path: reader.first_byte(path) for path in paths.values()], ROUNDS)  # type: ignore[misc]
    rows = [[what, milliseconds(taken)] for what, taken in zip(paths, medians, strict=True)]
    return (
        f"Other pages of the same stores, median of {ROUNDS} rounds:\n\n"
        + table(["page", "first byte"], rows)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search: its path, and the fact that holds the rows; `plainly` asks a store for the same."""

    what: str
    rows: str
    path: str
    plainly: Callable[[], object]


def searches(reader: Reader, stores: Stores) -> list[Search]:
    """Give what is searched for."""
    patterns, redis = stores.mongo[KB][PATTERNS], stores.redis
    [session, *_] = reader.facts("/sessions")["sessions"]
    identity, middle = session["session_id"], session["session_id"][16:24]
    [learned, *_] = reader.facts(f"{SITE}/patterns")["patterns"]
    name = learned["name"]
    documents = f"{SITE}/collections/{PATTERNS}"

    def count(condition: dict[str, Any]) -> Callable[[], object]:
        return lambda: patterns.count_documents(condition)

    def with_symbol(symbol: str) -> Callable[[], object]:
        return count({"pattern_data": {"$elemMatch": {"$elemMatch": {"$eq": symbol}}}})

    def read_sessions() -> int:
        found = 0
        keys = list(redis.scan_iter("kato:session:session-*", count=MOST_SESSIONS_AT_ONCE))
        for start in range(0, len(keys), MOST_SESSIONS_AT_ONCE):
            values = redis.mget(keys[start : start + MOST_SESSIONS_AT_ONCE])
            found += sum(json.loads(value)["node_id"] == RARE_NODE for value in values if value)
        return found

    return [
        Search(
            what="session by its whole id",
            rows="sessions",
            path=f"/sessions?id={identity}",
            plainly=lambda: redis.get(f"kato:session:{identity}"),
        ),
        Search(
            what="session by a part of its id",
            rows="sessions",
            path=f"/sessions?id={middle}",
            plainly=lambda: list(redis.scan_iter(f"kato:session:*{middle}*", count=1_000)),
        ),
        Search(
            what="sessions of a node that has one in 1,000",
            rows="sessions",
            path="/sessions?node=node-77",
            plainly=read_sessions,
        ),
        Search(
            what="sessions of a node that has one",
            rows="sessions",
            path=f"/sessions?node={RARE_NODE}",
            plainly=read_sessions,
        ),
        Search(
            what="patterns by the first 8 digits of the name",
            rows="patterns",
            path=f"{SITE}/patterns?prefix={name[:8]}",
            plainly=count({"name": {"$regex": f"^{name[:8]}"}}),
        ),
        Search(
            what="patterns by the first 2 digits of the name",
            rows="patterns",
            path=f"{SITE}/patterns?prefix={name[:2]}",
            plainly=count({"name": {"$regex": f"^{name[:2]}"}}),
        ),
        Search(
            what=f"patterns with a symbol that one in {OFTEN_ONE_IN} has",
            rows="patterns",
            path=f"{SITE}/patterns?symbol={OFTEN}",
            plainly=with_symbol(OFTEN),
        ),
        Search(
            what="patterns with a symbol that one has, the last",
            rows="patterns",
            path=f"{SITE}/patterns?symbol={RARE}",
            plainly=with_symbol(RARE),
        ),
        Search(
            what="documents by an indexed field",
            rows="documents",
            path=f"{documents}?field=name&operator=is&value={name}&type=text",
            plainly=count({"name": name}),
        ),
        Search(
            what="documents by another field, one in 10",
            rows="documents",
            path=f"{documents}?field=length&operator=is&value=9&type=number",
            plainly=count({"length": 9}),
        ),
        Search(
            what="documents by another field, the last one",
            rows="documents",
            path=f"{documents}?field=metadata.source&operator=is&value={RARE}&type=text",
            plainly=count({"metadata.source": RARE}),
        ),
        Search(
            what="keys by a part of the name",
            rows="keys",
            path=f"/redis/keys?match={name[:8]}",
            plainly=lambda: list(redis.scan_iter(f"*{name[:8]}*", count=1_000)),
        ),
    ]


def measure_search(reader: Reader, search: Search) -> list[str]:
    """Search, and go on until there is something or nothing is left."""
    console.print(search.what)
    [first] = in_turns([lambda: reader.first_byte(search.path)], SEARCHES)
    page = reader.facts(search.path)
    shown, pages, began = len(page[search.rows]), 1, time.perf_counter()
    while not page[search.rows] and page["next"] and time.perf_counter() - began < LONGEST_SEARCH:
        page = reader.facts(page["next"])
        pages += 1
    until = first + time.perf_counter() - began
    ended = bool(page[search.rows]) or not page["next"]
    plainly = timed(search.plainly)
    return [
        search.what,
        milliseconds(first),
        str(shown),
        "" if pages == 1 else f"{pages} pages, {until:.1f} s{'' if ended else ', not to the end'}",
        milliseconds(plainly),
    ]


def measure_searches(reader: Reader, stores: Stores) -> str:
    """Measure all searches."""
    rows = [measure_search(reader, search) for search in searches(reader, stores)]
    return (
        f"Searches, median of {SEARCHES}. Where no index helps a page looks for at most 5 s, "
        "the default of KATO_BROWSER_QUERY_TIMEOUT, says how far it came, and the next one goes "
        "on: the fourth column is from the first page to the first row. Beside it, once, what is "
        "asked plainly: `count_documents` of the same condition, which gives no rows; every "
        "session read; SCAN of all names with MATCH:\n\n"
        + table(["search", "first byte", "rows", "until a row", "plainly"], rows)
    )


class MemoryWatch:
    """The most memory that a process has while it is watched, resident, in bytes."""

    def __init__(self, process: psutil.Process) -> None:
        self.most = 0
        self._process = process
        self._ended = threading.Event()

    def run(self) -> None:
        """Look again and again until the end."""
        while not self._ended.wait(RSS_INTERVAL):
            self.most = max(self.most, self._process.memory_info().rss)

    def end(self) -> None:
        """Look no more."""
        self._ended.set()


@contextmanager
def watched(process: psutil.Process) -> Iterator[MemoryWatch]:
    """Watch the memory of a process."""
    watch = MemoryWatch(process)
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()


def measure_export(reader: Reader, process: psutil.Process, what: str, path: str) -> list[str]:
    """Download, and count lines and bytes."""
    console.print(f"download of {what}")
    rest, began = process.memory_info().rss, time.perf_counter()
    first, lines, size, last = 0.0, 0, 0, b""
    with watched(process) as watch:
        for chunk in reader.download(path):
            first = first or time.perf_counter() - began
            lines += chunk.count(b"\n")
            size += len(chunk)
            last = (last + chunk)[-1_000:]
    taken = time.perf_counter() - began
    rows = lines - (b"_note" in last.splitlines()[-1]) - path.endswith("csv")
    return [
        what,
        f"{rows:,}",
        f"{size / 1e6:.0f} MB",
        f"{taken:.1f} s",
        f"{rows / taken:,.0f}",
        milliseconds(first),
        f"{rest / 1e6:.0f} MB",
        f"{watch.most / 1e6:.0f} MB",
    ]


def measure_exports(reader: Reader, process: psutil.Process, started: int) -> str:
    """Measure downloads of as many rows as one may have."""
    rows = [
        measure_export(reader, process, what, path)
        for what, path in (
            ("patterns, JSON Lines", f"{SITE}/patterns?format=jsonl"),
            ("patterns, CSV", f"{SITE}/patterns?format=csv"),
            ("documents of patterns_kb, JSON Lines", f"{SITE}/collections/{PATTERNS}?format=jsonl"),
            ("sessions, JSON Lines", "/sessions?format=jsonl"),
            ("elements of a list, JSON Lines", f"/redis/key?name={LIST}&format=jsonl"),
        )
    ]
    return (
        "Downloads, of at most 100,000 rows each by default, one after the other. The browser's "
        f"resident memory was {started / 1e6:.0f} MB before its first page; the last two columns "
        "are from right before each download and the most during it:\n\n"
        + table(
            ["download", "rows", "size", "time", "rows a second", "first byte", "before", "most"],
            rows,
        )
    )


def main() -> None:
    """Measure everything, and publish it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the stores' full sizes")
    share = parser.parse_args().share
    sizes = SIZES if share == 1 else SIZES.share(share)
    began = time.monotonic()
    with TemporaryDirectory() as name, running_stores(Path(name)) as stores:
        fill(stores, sizes)
        with (
            browsing(Path(name) / "browser", **stores.settings) as browser,
            httpx.Client(
                base_url=browser.url, auth=(READER, PASSWORD), timeout=120, trust_env=False
            ) as http,
        ):
            reader = Reader(http)
            started = browser.process.memory_info().rss
            parts = [
                stores_sentence(stores, sizes),
                measure_listings(reader, stores, sizes),
                measure_records(reader),
                measure_searches(reader, stores),
                measure_exports(reader, browser.process, started),
            ]
    console.print(f"measured in {time.monotonic() - began:.0f} s")
    if share == 1:
        publish("Browser", "make bench-browser", parts)
    else:
        print("\n\n".join([f"{share:g} of the sizes, on {machine()}.", *parts]))  # noqa: T201 - the command's output


def stores_sentence(stores: Stores, sizes: Sizes) -> str:
    """Say what the stores are, and what is in them."""
    size = stores.mongo[KB].command("dbStats")
    return (
        f"MongoDB {stores.mongo.server_info()['version']} with a cache of 256 MB: one knowledge "
        f"base with KATO's indexes, {sizes.patterns:,} patterns and {sizes.predictions:,} "
        f"documents of predictions, {size['dataSize'] / 1e6:,.0f} MB and "
        f"{size['indexSize'] / 1e6:,.0f} MB of indexes. "
        f"Valkey {stores.redis.info('server')['valkey_version']}: {sizes.sessions:,} sessions, "
        f"{sizes.keys:,} other keys and a list of {sizes.patterns:,} elements. {sizes.points:,} "
        "points of 512 dimensions in a stub of Qdrant, which is none: its row shows only that the "
        "browser asks for one page of points, and says nothing of a Qdrant."
    )


if __name__ == "__main__":
    main()
