"""What pages of the record browser cost, however far into a large store: `make bench-browser`.

Bounded: about ten minutes, all on 127.0.0.1, every server ends with the run. With
BENCH_ARGS="--share 0.02" the stores are smaller, and docs/benchmarks.md stays as it is.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from rich.console import Console

from bench.browser_downloads import measure_downloads
from bench.browser_listings import (
    BY_FREQUENCY,
    BY_LENGTH,
    BY_NAME,
    PAGE_ROWS,
    Listing,
    document_listing,
    element_listing,
    key_listing,
    pattern_listing,
    point_listing,
    rows_before,
    session_listing,
)
from bench.browser_reading import (
    SLOW,
    SLOW_ROUNDS,
    Reader,
    in_turns,
    milliseconds,
    timed,
    times_of,
)
from bench.browser_searches import measure_searches
from bench.large_stores import KB, Sizes, fill_knowledge, fill_qdrant, fill_redis
from bench.report import machine, publish, table
from kato_exporter.kato.knowledge import PATTERNS, PREDICTIONS
from support.browsing import PASSWORD, READER, Stores, browsing, running_stores

SIZES = Sizes(
    patterns=1_000_000, predictions=100_000, sessions=100_000, keys=100_000, points=10_000
)
ROUNDS, USUAL_ROUNDS = 30, 3
PROMISED = 1.2

console = Console(stderr=True)


def fill(stores: Stores, sizes: Sizes) -> None:
    """Fill the stores."""
    for what, work in (
        (f"{sizes.patterns:,} patterns", partial(fill_knowledge, stores.mongo, sizes)),
        (f"{sizes.sessions:,} sessions", partial(fill_redis, stores.redis, sizes)),
        (f"{sizes.points:,} points of a stub", partial(fill_qdrant, stores.qdrant, sizes)),
    ):
        with console.status(f"filling in {what}"):
            console.print(f"filled in {what}: {timed(work):.0f} s")


def describe(stores: Stores, sizes: Sizes) -> str:
    """Say what the stores are, and what is in them."""
    size = stores.mongo[KB].command("dbStats")
    return (
        f"MongoDB {stores.mongo.server_info()['version']} with a cache of 256 MB: one knowledge "
        f"base with KATO's indexes, {sizes.patterns:,} patterns and {sizes.predictions:,} "
        f"documents of predictions, {size['dataSize'] / 1e6:,.0f} MB and "
        f"{size['indexSize'] / 1e6:,.0f} MB of indexes. Valkey "
        f"{stores.redis.info('server')['valkey_version']}: {sizes.sessions:,} sessions, "
        f"{sizes.keys:,} other keys and a list of {sizes.patterns:,} elements. {sizes.points:,} "
        "points of 512 dimensions in a stub of Qdrant, which is none: its row shows that the "
        "browser asks for one page of points, and says nothing of a Qdrant."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """What a listing has cost, in seconds: by us, and as it is usually done.

    `shown` is how many rows the two pages have; `notices` is what they say.
    """

    listing: Listing
    shown: tuple[int, int]
    notices: Sequence[str]
    times: Sequence[float]
    usual: Sequence[float]
    count: float | None

    @property
    def ratio(self) -> float:
        """How many times the first page's time the other one takes."""
        first, deep = self.times
        return deep / first

    def row(self) -> list[str]:
        """Write it as a row of a table."""
        row = [
            self.listing.what,
            f"{self.listing.number:,}",
            ", ".join(map(str, self.shown)),
            *map(milliseconds, self.times),
            f"{self.ratio:.2f}",
        ]
        if not self.usual:
            return [*row, "", "", "", ""]
        count = "" if self.count is None else milliseconds(self.count)
        ratio = (self.usual[-1] + (self.count or 0)) / self.times[-1]
        return [*row, *map(milliseconds, self.usual), count, f"{ratio:,.1f}"]


def measure_listing(reader: Reader, listing: Listing) -> Pages:
    """Ask for both pages in turns, then as it is usually done."""
    console.print(f"{listing.what}: page 1 and page {listing.number:,}")
    paths, skips = (listing.first, listing.deep), (0, rows_before(listing.number))
    twins = [reader.facts(path) for path in paths]
    plain = listing.usual
    if plain and plain.same_order:
        for twin, skip in zip(twins, skips, strict=True):
            ours = [listing.identity(row) for row in twin[listing.rows]]
            if ours and ours != plain.page(skip):
                raise RuntimeError(f"{listing.what}: skip and limit give another page")
    first, deep = twins
    return Pages(
        listing=listing,
        shown=(len(first[listing.rows]), len(deep[listing.rows])),
        notices=list(dict.fromkeys([*first["notices"], *deep["notices"]])),
        times=in_turns([partial(reader.first_byte, path) for path in paths], ROUNDS),
        usual=times_of(*(partial(plain.page, skip) for skip in skips), rounds=USUAL_ROUNDS)
        if plain
        else (),
        count=times_of(plain.count, rounds=USUAL_ROUNDS)[0] if plain and plain.count else None,
    )


def told(pages: Pages) -> Pages:
    """Show a row as soon as it is known."""
    console.print(*pages.row(), sep=" | ", markup=False)
    return pages


def measure_listings(reader: Reader, stores: Stores, sizes: Sizes) -> str:
    """Measure all listings; one again with the index that its page says is missing."""
    by_length = partial(pattern_listing, stores, order=BY_LENGTH)
    found = [
        told(measure_listing(reader, make()))
        for make in (
            partial(pattern_listing, stores, "frequency", BY_FREQUENCY),
            partial(pattern_listing, stores, "name", BY_NAME),
            partial(document_listing, stores, PATTERNS),
            partial(document_listing, stores, PREDICTIONS),
            partial(session_listing, stores, sizes.sessions),
            partial(key_listing, stores),
            partial(element_listing, stores),
            partial(point_listing, stores, sizes.points),
            partial(by_length, "length"),
        )
    ]
    unindexed = found[-1]
    index = stores.mongo[KB][PATTERNS].create_index(BY_LENGTH)
    found.append(told(measure_listing(reader, by_length("length, with an index"))))
    stores.mongo[KB][PATTERNS].drop_index(index)
    beyond = [f"{each.listing.what} ({each.ratio:.2f})" for each in found if each.ratio > PROMISED]
    return (
        f"Time to the first byte of page 1 and of a page far behind, in turns, median of {ROUNDS} "
        f"rounds, of {SLOW_ROUNDS} where a page takes more than {SLOW:g} s. A page has "
        f"{PAGE_ROWS} rows, or some more where SCAN gives more. Beside it the usual way on the "
        "same store by pymongo and redis-py, without a page made of it, median of "
        f"{USUAL_ROUNDS}: `sort`, `skip` and `limit`, and `count_documents({{}})` for the number "
        "of pages; of Redis SCAN of all names, sorted. The last column is that for the page far "
        "behind, with the count, against ours:\n\n"
        + table(
            [
                *("listing", "page", "rows", "page 1", "that page", "ratio"),
                *("usual page 1", "usual that page", "count", "usual : ours"),
            ],
            [each.row() for each in found],
        )
        + f"\n\nPromised is a ratio of {PROMISED}; "
        + (f"beyond it: {', '.join(beyond)}." if beyond else "none is beyond it.")
        + " KATO has no index on `length`. The page says so: "
        + f'"{" ".join(unindexed.notices)}" The last row is with this index.'
    )


def measure_others(reader: Reader) -> str:
    """Measure pages that are no listings."""
    [learned, *_] = reader.facts(f"/kb/{KB}/patterns")["patterns"]
    [document, *_] = reader.facts(f"/kb/{KB}/collections/{PREDICTIONS}")["documents"]
    [session, *_] = reader.facts("/sessions")["sessions"]
    paths = {
        "health, which asks no store": "/-/healthy",
        "home": "/",
        "knowledge bases": "/kb",
        "a knowledge base": f"/kb/{KB}",
        "a pattern": learned["url"],
        "a document of predictions": document["url"],
        "a session": f"/sessions/{session['session_id']}",
    }
    console.print("other pages")
    times = in_turns([partial(reader.first_byte, path) for path in paths.values()], ROUNDS)
    rows = [[what, milliseconds(taken)] for what, taken in zip(paths, times, strict=True)]
    return f"Other pages, median of {ROUNDS} rounds:\n\n" + table(["page", "first byte"], rows)


def measure(sizes: Sizes) -> list[str]:
    """Measure everything."""
    with TemporaryDirectory() as name, running_stores(Path(name)) as stores:
        fill(stores, sizes)
        with (
            browsing(Path(name) / "browser", **stores.settings) as browser,
            httpx.Client(
                base_url=browser.url, auth=(READER, PASSWORD), timeout=120, trust_env=False
            ) as http,
        ):
            reader, started = Reader(http), browser.process.memory_info().rss
            return [
                describe(stores, sizes),
                measure_listings(reader, stores, sizes),
                measure_others(reader),
                measure_searches(reader, stores),
                measure_downloads(reader, browser.process, started),
            ]


def main() -> None:
    """Measure, and publish it where the sizes are the full ones."""
    parser = argparse.ArgumentParser(prog="bench_browser")
    parser.add_argument("--share", type=float, default=1.0, help="of the stores' sizes")
    share = parser.parse_args().share
    began = time.monotonic()
    if share == 1:
        publish("Browser", "make bench-browser", measure(SIZES))
    else:
        parts = [f"{share:g} of the sizes, on {machine()}.", *measure(SIZES.share(share))]
        print("\n\n".join(parts))  # noqa: T201 - the command's output
    console.print(f"measured in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
