"""What pages of the record browser cost, however far into a large store."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from bench.browser_downloads import measure_downloads
from bench.browser_listings import (
    BY_FREQUENCY,
    BY_LENGTH,
    BY_NAME,
    PAGE_ROWS,
    PATTERNS_LISTING,
    SESSIONS_LISTING,
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
    times_of,
)
from bench.browser_searches import measure_searches
from bench.figures import ANY_PAGE, Figure, Section
from bench.large_stores import KB, Sizes, fill_knowledge, fill_qdrant, fill_redis
from bench.parts import Part, Scale, Tell
from bench.report import table
from bench.running import megabytes
from kato_exporter.kato.knowledge import PATTERNS, PREDICTIONS
from support.browsing import (
    PASSWORD,
    READER,
    RunningBrowser,
    Stores,
    browsing,
    running_stores,
)

SIZES = {
    Scale.QUICK: Sizes(patterns=2_000, predictions=1_000, sessions=1_000, keys=1_000, points=1_000),
    Scale.USUAL: Sizes(
        patterns=500_000, predictions=30_000, sessions=30_000, keys=30_000, points=3_000
    ),
    Scale.FULL: Sizes(
        patterns=1_000_000, predictions=100_000, sessions=100_000, keys=100_000, points=10_000
    ),
}
EXPORT_ROWS = {Scale.QUICK: 1_000, Scale.USUAL: 10_000, Scale.FULL: 100_000}
SMALLER = (0.01, 0.1)
"""Shares of the sizes at which memory is read as well."""

ROUNDS, USUAL_ROUNDS = 30, 3
PROMISED = 1.2


def fill(stores: Stores, sizes: Sizes, tell: Tell) -> None:
    """Fill the stores."""
    for what, work in (
        (f"{sizes.patterns:,} patterns", partial(fill_knowledge, stores.mongo, sizes)),
        (f"{sizes.sessions:,} sessions", partial(fill_redis, stores.redis, sizes)),
        (f"{sizes.points:,} points of a stub", partial(fill_qdrant, stores.qdrant, sizes)),
    ):
        tell(f"filling in {what}")
        work()


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

    @property
    def usual_deep(self) -> float:
        """What the page far behind usually takes, with the count."""
        return self.usual[-1] + (self.count or 0)

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
        ratio = self.usual_deep / self.times[-1]
        return [*row, *map(milliseconds, self.usual), count, f"{ratio:,.1f}"]


def measure_listing(reader: Reader, listing: Listing) -> Pages:
    """Ask for both pages in turns, then as it is usually done."""
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


@dataclass(frozen=True, slots=True)
class Listings:
    """All listings; the last one is the one before it again, with the index that it lacks."""

    found: Sequence[Pages]

    def paragraph(self) -> str:
        """Write them as a table."""
        beyond = [
            f"{each.listing.what} ({each.ratio:.2f})"
            for each in self.found
            if each.ratio > PROMISED
        ]
        *_, unindexed, _ = self.found
        return (
            "Time to the first byte of page 1 and of a page far behind, in turns, median of "
            f"{ROUNDS} rounds, of {SLOW_ROUNDS} where a page takes more than {SLOW:g} s. A page "
            f"has {PAGE_ROWS} rows, or some more where SCAN gives more. Beside it the usual way on "
            "the same store by pymongo and redis-py, without a page made of it, median of "
            f"{USUAL_ROUNDS}: `sort`, `skip` and `limit`, and `count_documents({{}})` for the "
            "number of pages; of Redis SCAN of all names, sorted. The last column is that for the "
            "page far behind, with the count, against ours:\n\n"
            + table(
                [
                    *("listing", "page", "rows", "page 1", "that page", "ratio"),
                    *("usual page 1", "usual that page", "count", "usual : ours"),
                ],
                [each.row() for each in self.found],
            )
            + f"\n\nPromised is a ratio of {PROMISED}; "
            + (f"beyond it: {', '.join(beyond)}." if beyond else "none is beyond it.")
            + " KATO has no index on `length`. The page says so: "
            + f'"{" ".join(unindexed.notices)}" The last row is with this index.'
        )

    def figures(self) -> Iterator[Figure]:
        """Give the ratios of patterns by frequency and of sessions."""
        for each in self.found:
            listing = each.listing
            if listing.usual and listing.what in (PATTERNS_LISTING, SESSIONS_LISTING):
                what = f"Page {listing.number:,} of {listing.what}"
                yield Figure(what, "page 1", each.ratio, ANY_PAGE)
                usually = each.times[-1] / each.usual_deep
                yield Figure(what, listing.usual.words, usually, ANY_PAGE)


def measure_listings(reader: Reader, stores: Stores, sizes: Sizes, tell: Tell) -> Listings:
    """Measure all listings; one again with the index that its page says is missing."""

    def measured(listing: Listing) -> Pages:
        tell(f"{listing.what}: page 1 and page {listing.number:,}")
        return measure_listing(reader, listing)

    by_length = partial(pattern_listing, stores, order=BY_LENGTH)
    found = [
        measured(make())
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
    index = stores.mongo[KB][PATTERNS].create_index(BY_LENGTH)
    found.append(measured(by_length("length, with an index")))
    stores.mongo[KB][PATTERNS].drop_index(index)
    return Listings(found)


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
    times = in_turns([partial(reader.first_byte, path) for path in paths.values()], ROUNDS)
    rows = [[what, milliseconds(taken)] for what, taken in zip(paths, times, strict=True)]
    return f"Other pages, median of {ROUNDS} rounds:\n\n" + table(["page", "first byte"], rows)


@contextmanager
def read(
    directory: Path, stores: Stores, **settings: str
) -> Iterator[tuple[Reader, RunningBrowser]]:
    """Start a record browser on the stores, and sign somebody in."""
    with (
        browsing(directory, **stores.settings, **settings) as browser,
        httpx.Client(
            base_url=browser.url, auth=(READER, PASSWORD), timeout=120, trust_env=False
        ) as http,
    ):
        yield Reader(http), browser


@dataclass(frozen=True, slots=True)
class Memory:
    """The browser's resident bytes after a page of each kind, by the number of patterns."""

    patterns: int
    resident: int


def measure_memory(reader: Reader, browser: RunningBrowser, patterns: int) -> Memory:
    """Ask for the first page of each listing, some times, and read the memory."""
    for _ in range(USUAL_ROUNDS):
        for path in ("/", "/kb", f"/kb/{KB}", f"/kb/{KB}/patterns", "/sessions", "/redis/keys"):
            reader.first_byte(path)
    return Memory(patterns, browser.process.memory_info().rss)


def measure_smaller(sizes: Sizes, tell: Tell) -> Iterator[Memory]:
    """Read the memory with smaller stores."""
    for smaller in dict.fromkeys(sizes.share(share) for share in SMALLER):
        with TemporaryDirectory() as name, running_stores(Path(name)) as stores:
            fill(stores, smaller, tell)
            with read(Path(name) / "browser", stores) as (reader, browser):
                yield measure_memory(reader, browser, smaller.patterns)


def memory_paragraph(found: Sequence[Memory]) -> str:
    """Write it as a table."""
    return (
        "The browser's resident memory after the first pages of all listings, each "
        f"{USUAL_ROUNDS} times; sessions, keys and points are as much fewer as patterns:\n\n"
        + table(
            ["patterns", "memory"],
            [[f"{each.patterns:,}", megabytes(each.resident)] for each in found],
        )
    )


def measure(scale: Scale, tell: Tell) -> Section:
    """Measure everything."""
    sizes, rows = SIZES[scale], EXPORT_ROWS[scale]
    memory = list(measure_smaller(sizes, tell))
    with TemporaryDirectory() as name, running_stores(Path(name)) as stores:
        fill(stores, sizes, tell)
        exported = {"KATO_BROWSER_EXPORT_ROWS": str(rows)}
        with read(Path(name) / "browser", stores, **exported) as (reader, browser):
            started = browser.process.memory_info().rss
            memory.append(measure_memory(reader, browser, sizes.patterns))
            listings = measure_listings(reader, stores, sizes, tell)
            tell("other pages")
            others = measure_others(reader)
            searches = measure_searches(reader, stores, tell)
            downloads = measure_downloads(reader, browser.process, started, rows, tell)
        about = describe(stores, sizes)
    few, many = memory[0], memory[-1]
    return Section(
        title="Browser",
        paragraphs=[
            about,
            listings.paragraph(),
            others,
            searches,
            downloads,
            memory_paragraph(memory),
        ],
        figures=[
            *listings.figures(),
            Figure(
                f"Memory of the browser with {many.patterns:,} patterns",
                f"{few.patterns:,} patterns",
                many.resident / few.resident,
            ),
        ],
    )


PART = Part(
    name="browser",
    measure=measure,
    expected={Scale.QUICK: 40, Scale.USUAL: 150, Scale.FULL: 450},
)
