"""MongoPatterns on a real mongod: pages of patterns in every order, and what each page costs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp, json_util
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.errors import OperationFailure

from kato_exporter.demo.shapes import INDEXES, Document
from kato_exporter.kato.knowledge import METADATA, PATTERNS, SYMBOLS
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.pattern_listing import PatternListing
from kato_exporter.stores.mongodb.patterns import MOST_COUNTED, MongoPatterns
from kato_exporter.stores.patterns import (
    ORDERS,
    BoundedCount,
    Key,
    Order,
    PatternFilter,
    PatternPage,
    PatternRow,
    WrongKeyError,
)
from support.servers import MongoServer, missing

FIXTURES = Path(__file__).parents[1] / "fixtures" / "kato2"
KB = "alice_kato"
PATIENT = 10.0
EVERYTHING = PatternFilter()
MANY = 24_000
MANY_KB = "many_kato"

ODD: Sequence[Any] = (
    *("9", "", "a\0b", math.nan, math.inf, -math.inf, -3, 0, 0.5, None, True, False),
    *({"a": 9}, {}, {"$where": "1"}, ObjectId(b"123456789012"), Binary(b"\xff"), Int64(2**60)),
    *(Decimal128("1.5"), Decimal128("NaN"), datetime(2025, 1, 1, tzinfo=UTC), Timestamp(1, 2)),
    *(Regex("^a"), MinKey(), MaxKey(), -0.0, 2.0),
)


@pytest.fixture
def patterns(mongo: MongoServer) -> Iterator[MongoPatterns]:
    """Open the emptied server as the browser does."""
    connection = MongoConnection(mongo.url, timeout=PATIENT, query_timeout=PATIENT)
    with closing(connection):
        yield MongoPatterns(connection)


def named(number: int) -> str:
    """Give the name of a pattern, which ascends with the number."""
    return f"{number:040x}"


def fill(mongo: MongoServer, documents: Sequence[Document], kb: str = KB) -> None:
    """Make the patterns of a knowledge base, with KATO's indexes."""
    collection = mongo.client[kb][PATTERNS]
    collection.create_indexes(INDEXES[PATTERNS])
    if documents:
        collection.insert_many([{**document} for document in documents])


def fill_many(mongo: MongoServer) -> None:
    """Make a knowledge base in which a scan would show.

    Names are spread over all prefixes; one symbol is in every pattern, one in every thousandth.
    """
    fill(
        mongo,
        [
            {
                "name": f"{number * 2_654_435_761 % 2**32:08x}{number:032x}",
                "frequency": 1 + number % 300,
                "length": 2 + number % 50,
                "pattern_data": [["all", f"rare{number // 1000}"], [f"s{number % 97}"]],
            }
            for number in range(MANY)
        ],
        MANY_KB,
    )


def load_recorded(mongo: MongoServer, kb: str = KB) -> None:
    """Load what a KATO 2 wrote, with its indexes."""
    text = (FIXTURES / f"mongodb_{kb}.json").read_text()
    collections = json_util.loads(text)["collections"]
    for name, held in collections.items():
        collection = mongo.client[kb][name]
        collection.create_indexes(INDEXES[name]) if INDEXES[name] else None
        if held["documents"]:
            collection.insert_many(held["documents"])


def pages(
    patterns: MongoPatterns,
    order: Order,
    wanted: PatternFilter = EVERYTHING,
    *,
    limit: int = 3,
    kb: str = KB,
) -> Iterator[PatternPage]:
    """Go from page to page to the end; fail where there is none."""
    start: Key | None = None
    for _ in range(1_000):
        page = patterns.page(kb, order, wanted, start, limit)
        yield page
        assert len(page.rows) <= limit
        if page.following is None:
            return
        start = json_util.loads(
            json_util.dumps(list(page.following), json_options=json_util.CANONICAL_JSON_OPTIONS)
        )
    pytest.fail("the listing does not end")


def rows(
    patterns: MongoPatterns,
    order: Order,
    wanted: PatternFilter = EVERYTHING,
    *,
    limit: int = 3,
    kb: str = KB,
) -> list[PatternRow]:
    """Give the rows of all pages."""
    return [row for page in pages(patterns, order, wanted, limit=limit, kb=kb) for row in page.rows]


@contextmanager
def profiled(mongo: MongoServer, kb: str) -> Iterator[list[Document]]:
    """Give, after the block, what the server did meanwhile for the browser in a database."""
    operations: list[Document] = []
    database = mongo.client[kb]
    database.command("profile", 2)
    try:
        yield operations
    finally:
        database.command("profile", 0)
        operations += database["system.profile"].find({"appName": "kato-exporter"})
        database.drop_collection("system.profile")


def examined(operations: Sequence[Document]) -> tuple[int, int]:
    """Add up the keys and documents that the server examined."""
    return (
        sum(operation.get("keysExamined", 0) for operation in operations),
        sum(operation.get("docsExamined", 0) for operation in operations),
    )


VALUES = st.one_of(
    st.sampled_from(ODD),
    st.integers(min_value=-5, max_value=20),
    st.text(max_size=3).filter(lambda text: text.isprintable()),
)


@pytest.mark.parametrize("order", ORDERS)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    values=st.lists(st.one_of(st.none(), st.tuples(VALUES, VALUES)), max_size=14),
    limit=st.integers(min_value=1, max_value=5),
    indexed=st.booleans(),
)
def test_every_pattern_stands_on_one_page_in_order(  # noqa: PLR0913 - hypothesis draws them
    *,
    mongo: MongoServer,
    patterns: MongoPatterns,
    order: Order,
    values: list[tuple[Any, Any] | None],
    limit: int,
    indexed: bool,
) -> None:
    """Whatever types frequency and length have: all pages together are MongoDB's own sorting."""
    collection = mongo.client[KB][PATTERNS]
    collection.drop()
    documents = [
        {"_id": number, "name": named(number * 7 % 31)}
        | ({} if value is None else {"frequency": value[0], "length": value[1]})
        for number, value in enumerate(values)
    ]
    if indexed:
        collection.create_indexes(INDEXES[PATTERNS])
        collection.create_index({"length": -1, "name": 1})
    if documents:
        collection.insert_many(documents)
    sort = {"frequency": {"frequency": -1}, "length": {"length": -1}, "name": {}}[order]

    expected = [each["_id"] for each in collection.find(sort={**sort, "name": 1})]
    assert expected == [row.identity for row in rows(patterns, order, limit=limit)]


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    frequencies=st.lists(st.one_of(st.integers(1, 9), st.sampled_from(ODD)), max_size=16),
    order=st.sampled_from(ORDERS),
    prefix=st.sampled_from(["", "0", "1", "0a", "f", "ff"]),
    symbol=st.sampled_from([None, "a", "b", "nowhere"]),
    least=st.one_of(st.none(), st.integers(1, 5)),
    most=st.one_of(st.none(), st.integers(5, 9)),
    few=st.booleans(),
)
def test_a_filter_gives_what_meets_all_its_conditions(  # noqa: PLR0913 - hypothesis draws them
    *,
    mongo: MongoServer,
    patterns: MongoPatterns,
    monkeypatch: pytest.MonkeyPatch,
    frequencies: list[Any],
    order: Order,
    prefix: str,
    symbol: str | None,
    least: int | None,
    most: int | None,
    few: bool,
) -> None:
    """In each order, by whichever way a page is found."""
    monkeypatch.setattr(f"{PatternListing.__module__}._FEW", 2_000 if few else 0)
    monkeypatch.setattr(f"{PatternListing.__module__}._FIRST_PIECE", 2)
    collection = mongo.client[KB][PATTERNS]
    collection.drop()
    documents: list[Document] = [
        {
            "_id": number,
            "name": f"{number * 37 % 256:02x}{number:038x}",
            "frequency": frequency,
            "length": number % 4,
            "pattern_data": [["x"], ["a", "b"][number % 3 :]],
        }
        for number, frequency in enumerate(frequencies)
    ]
    fill(mongo, documents)
    wanted = PatternFilter(prefix=prefix, symbol=symbol, least=least, most=most)

    def meets(document: Document) -> bool:
        events = document["pattern_data"]
        return (
            document["name"].startswith(prefix)
            and (symbol is None or any(symbol in event for event in events))
            and (wanted == PatternFilter(prefix=prefix, symbol=symbol) or in_range(document))
        )

    def in_range(document: Document) -> bool:
        value = document["frequency"]
        if isinstance(value, Decimal128):
            value = float(value.to_decimal())
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and (least is None or value >= least)
            and (most is None or value <= most)
        )

    sort = {"frequency": {"frequency": -1}, "length": {"length": -1}, "name": {}}[order]
    expected = [each["_id"] for each in collection.find(sort={**sort, "name": 1}) if meets(each)]
    assert expected == [row.identity for row in rows(patterns, order, wanted)]


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        ("frequency", EVERYTHING),
        ("name", EVERYTHING),
        ("frequency", PatternFilter(least=20, most=280)),
        ("name", PatternFilter(prefix="3")),
    ],
)
def test_each_page_costs_the_same(
    mongo: MongoServer, patterns: MongoPatterns, order: Order, wanted: PatternFilter
) -> None:
    """The first page and one far in examine as many keys and documents as they have rows."""
    fill_many(mongo)
    first = patterns.page(MANY_KB, order, wanted, None, 1_300)
    assert first.following is not None
    for start in (None, first.following):
        with profiled(mongo, MANY_KB) as operations:
            page = patterns.page(MANY_KB, order, wanted, start, 50)
        keys, documents = examined(operations)

        assert 50 == len(page.rows)
        assert keys <= 53
        assert documents <= 51


def test_a_page_far_in_is_far_in(mongo: MongoServer, patterns: MongoPatterns) -> None:
    """The last page by frequency, after all others, costs what the first does."""
    fill_many(mongo)
    with profiled(mongo, MANY_KB) as operations:
        page = patterns.page(MANY_KB, "frequency", EVERYTHING, [1, "f8"], 50)

    assert {1} == {row.frequency for row in page.rows}
    assert page.following is None
    assert examined(operations)[1] == len(page.rows) > 0


def test_a_long_prefix_reads_few_in_any_order(mongo: MongoServer, patterns: MongoPatterns) -> None:
    """What begins with three digits is found by name and then sorted."""
    fill_many(mongo)
    for order in ORDERS:
        with profiled(mongo, MANY_KB) as operations:
            page = patterns.page(MANY_KB, order, PatternFilter(prefix="abc"), None, 50)
        keys, documents = examined(operations)

        assert 3 <= len(page.rows) <= 10
        assert keys < 40
        assert documents < 30


def test_a_short_prefix_by_frequency_reads_as_far_as_it_must(
    mongo: MongoServer, patterns: MongoPatterns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in 16 begins with a digit, so a page of 50 is full after some 800 of 24,000."""
    monkeypatch.setattr(f"{PatternListing.__module__}._FEW", 100)
    fill_many(mongo)
    with profiled(mongo, MANY_KB) as operations:
        page = patterns.page(MANY_KB, "frequency", PatternFilter(prefix="a"), None, 50)

    assert 50 == len(page.rows)
    assert examined(operations)[1] < 2_500


def test_the_end_of_a_piece_is_read_off_the_index(
    mongo: MongoServer, patterns: MongoPatterns
) -> None:
    """To find it no document is read; a symbol that is everywhere fills a page from one piece."""
    fill_many(mongo)
    with profiled(mongo, MANY_KB) as operations:
        page = patterns.page(MANY_KB, "frequency", PatternFilter(symbol="all"), None, 50)
    [end] = [operation for operation in operations if "skip" in operation["command"]]

    assert 50 == len(page.rows)
    assert 0 == end["docsExamined"]
    assert 201 == end["keysExamined"]
    assert examined(operations)[1] <= 51


def test_a_rare_symbol_is_found(mongo: MongoServer, patterns: MongoPatterns) -> None:
    """All patterns with it, in order, though they lie far apart."""
    fill_many(mongo)
    wanted = PatternFilter(symbol="rare7")
    found = rows(patterns, "frequency", wanted, limit=300, kb=MANY_KB)
    query = {"pattern_data.0.1": "rare7"}
    sort = {"frequency": -1, "name": 1}

    expected = [each["name"] for each in mongo.client[MANY_KB][PATTERNS].find(query, sort=sort)]
    assert 1_000 == len(expected)
    assert expected == [row.name for row in found]


def test_a_search_that_runs_out_of_time_goes_on_where_it_stopped(
    mongo: MongoServer, patterns: MongoPatterns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page says how far it has got; all of them together find everything once."""
    fill_many(mongo)
    monkeypatch.setattr(f"{PatternListing.__module__}._FIRST_PIECE", 3_000)
    monkeypatch.setattr(Deadline, "expired", True)
    found = list(pages(patterns, "frequency", PatternFilter(symbol="rare7"), limit=500, kb=MANY_KB))

    assert 8 == len(found)
    assert all(page.stopped for page in found[:-1])
    assert "3,000 patterns looked through; the next have the frequency 263." in (
        found[0].stopped or ""
    )
    assert found[-1].stopped is None
    assert 1_000 == len({row.name for page in found for row in page.rows})
    assert 1_000 == sum(len(page.rows) for page in found)


@contextmanager
def failing(mongo: MongoServer, name: str, mode: object, **data: object) -> Iterator[None]:
    """Let the server misbehave as told by one of its own fail points."""
    command: Document = {"configureFailPoint": name, "mode": mode, "data": data}
    try:
        mongo.client.admin.command(command)
    except OperationFailure as error:
        missing(f"fail points need mongod --setParameter enableTestCommands=1 ({error})")
    try:
        yield
    finally:
        mongo.client.admin.command("configureFailPoint", name, mode="off")


def too_slow(mongo: MongoServer, *, after: int = 0) -> Any:
    """Let the server give up on each search, the first few excepted."""
    return failing(
        mongo,
        "failCommand",
        {"skip": after} if after else "alwaysOn",
        failCommands=["find"],
        errorCode=50,
        appName="kato-exporter",
    )


def test_a_search_that_the_server_gives_up_keeps_what_was_found(
    mongo: MongoServer, patterns: MongoPatterns
) -> None:
    """Its page has the rows of the pieces before, and goes on with the piece that failed."""
    fill_many(mongo)
    wanted = PatternFilter(symbol="rare7")
    with too_slow(mongo, after=4):  # two pieces, each two questions
        page = patterns.page(MANY_KB, "frequency", wanted, None, 50)

    assert "600 patterns looked through" in (page.stopped or "")
    assert [row.frequency for row in page.rows] == sorted(
        (row.frequency for row in page.rows), reverse=True
    )
    assert page.following is not None
    rest = patterns.page(MANY_KB, "frequency", wanted, page.following, 1_000)
    assert 1_000 == len({row.name for row in (*page.rows, *rest.rows)})


def test_a_search_without_any_progress_fails(mongo: MongoServer, patterns: MongoPatterns) -> None:
    """Otherwise its next page would be itself, for ever."""
    fill_many(mongo)
    with too_slow(mongo), pytest.raises(QueryError) as error:
        patterns.page(MANY_KB, "frequency", PatternFilter(symbol="rare7"), None, 50)

    assert 50 == error.value.code


def test_sorting_by_length_says_what_is_missing(
    mongo: MongoServer, patterns: MongoPatterns
) -> None:
    """KATO has no index on the length: the page says so, and names the one that helps."""
    fill_many(mongo)
    page = patterns.page(MANY_KB, "length", EVERYTHING, None, 3)
    with too_slow(mongo):
        stopped = patterns.page(MANY_KB, "length", EVERYTHING, None, 3)
    advice = "db.patterns_kb.createIndex({length: -1, name: 1})"

    assert [51, 51, 51] == [row.length for row in page.rows]
    assert advice in page.left_out[0]
    assert () == stopped.rows
    assert advice in (stopped.stopped or "")
    assert stopped.following is None


def test_an_index_on_length_is_used(mongo: MongoServer, patterns: MongoPatterns) -> None:
    """Once it is made as advised, the page costs what each page costs and has nothing to say."""
    fill_many(mongo)
    mongo.client[MANY_KB][PATTERNS].create_index({"length": -1, "name": 1})
    with profiled(mongo, MANY_KB) as operations:
        page = patterns.page(MANY_KB, "length", EVERYTHING, [20, "8"], 50)

    assert 50 == len(page.rows)
    assert () == page.left_out
    assert examined(operations)[1] <= 51


@pytest.mark.parametrize("index", [{"sparse": True}, {"collation": {"locale": "fi"}}])
def test_an_index_that_does_not_hold_all_in_order_is_not_used(
    mongo: MongoServer, patterns: MongoPatterns, index: Mapping[str, Any]
) -> None:
    """A sparse index lacks patterns, one of a language has another order."""
    collection = mongo.client[KB][PATTERNS]
    collection.insert_many([{"name": "a", "length": 3}, {"name": "b"}, {"name": "c", "length": 4}])
    collection.create_index({"length": -1, "name": 1}, **index)

    assert ["c", "a", "b"] == [row.name for row in rows(patterns, "length")]


def test_arrays_are_left_out_and_the_page_says_so(
    mongo: MongoServer, patterns: MongoPatterns
) -> None:
    """A frequency that is an array would stand at several places; by name it is listed."""
    fill(
        mongo,
        [
            {"name": named(1), "frequency": 5},
            {"name": named(2), "frequency": [9, 1]},
            {"name": named(3), "frequency": []},
            {"name": named(4), "frequency": 3},
            {"name": named(5)},
        ],
    )
    found = list(pages(patterns, "frequency", limit=1))

    assert [named(1), named(4), named(5)] == [row.name for page in found for row in page.rows]
    assert all("frequency is an array" in page.left_out[0] for page in found)
    assert 5 == len(rows(patterns, "name"))
    few = patterns.page(KB, "frequency", PatternFilter(prefix="0"), None, 9)
    assert 3 == len(few.rows)
    assert "frequency is an array" in few.left_out[0]


def test_without_indexes_patterns_are_listed_all_the_same(
    mongo: MongoServer, patterns: MongoPatterns
) -> None:
    """A knowledge base that was restored without indexes has its pages, with advice."""
    collection = mongo.client[KB][PATTERNS]
    collection.insert_many([{"name": named(n), "frequency": n % 3} for n in range(9)])
    [page, *_] = pages(patterns, "frequency", limit=20)

    assert [2] * 3 + [1] * 3 + [0] * 3 == [row.frequency for row in page.rows]
    assert "createIndex({frequency: -1, name: 1})" in page.left_out[0]


def test_equal_names_do_not_turn_in_circles(mongo: MongoServer, patterns: MongoPatterns) -> None:
    """Where names are not unique, a page that would begin with itself is the last, and says so."""
    collection = mongo.client[KB][PATTERNS]
    collection.create_index({"name": 1})
    collection.insert_many([{"name": "same"} for _ in range(5)])
    found = list(pages(patterns, "name", limit=2))

    assert found[-1].following is None
    assert "one and the same name" in (found[-1].stopped or "")


def test_a_key_that_is_too_large_for_a_link_is_named_by_its_id(
    mongo: MongoServer, patterns: MongoPatterns
) -> None:
    """Names of 500 bytes and of a megabyte at the border of pages lose nothing."""
    names = ["b" * 500, "c" * 1_000_000, "d" * 1_000_001, "a", "e"]
    fill(mongo, [{"_id": n, "name": name, "frequency": 1} for n, name in enumerate(names)])
    mongo.client[KB][PATTERNS].insert_one({"_id": 9, "name": "f", "frequency": "x" * 2_000})

    for order in ("name", "frequency"):
        found = list(pages(patterns, order, limit=1))
        identities = [row.identity for page in found for row in page.rows]
        assert identities == ([9] if order == "frequency" else []) + [3, 0, 1, 2, 4] + (
            [9] if order == "name" else []
        )
    large = patterns.page(KB, "name", EVERYTHING, ["c"], 1).rows[0]
    assert (None, {"name": 1_000_017}) == (large.name, large.large)


def test_an_id_that_is_too_large_as_well_ends_the_listing(
    mongo: MongoServer, patterns: MongoPatterns
) -> None:
    """There is no link to it then, and the page says so."""
    fill(mongo, [{"name": "a"}, {"_id": "i" * 3_000, "name": "b" * 3_000}])
    page = patterns.page(KB, "name", EVERYTHING, None, 1)

    assert page.following is None
    assert "too large for a link" in (page.stopped or "")


@pytest.mark.parametrize(
    ("order", "start"),
    [
        ("frequency", ["just one"]),
        ("name", [1, "two"]),
        ("name", []),
        ("frequency", [[ObjectId()]]),
        ("name", [["gone"]]),
    ],
)
def test_a_key_from_elsewhere_is_refused(
    mongo: MongoServer, patterns: MongoPatterns, order: Order, start: Key
) -> None:
    """So is that of a pattern that is gone."""
    fill(mongo, [{"name": "a"}])
    with pytest.raises(WrongKeyError):
        patterns.page(KB, order, EVERYTHING, start, 3)


def test_a_key_outside_of_the_range_is_refused(mongo: MongoServer, patterns: MongoPatterns) -> None:
    """It comes from a listing with another range."""
    fill(mongo, [{"name": "a", "frequency": 5}])
    with pytest.raises(WrongKeyError):
        patterns.page(KB, "frequency", PatternFilter(least=4, most=6), [2, "a"], 3)


def test_rows_are_small_whatever_the_documents_hold(
    mongo: MongoServer, patterns: MongoPatterns
) -> None:
    """Megabytes in any field stay on the server; the row says how large the document is."""
    big = "x" * 3_000_000
    fill(
        mongo,
        [
            {"name": "a", "frequency": 1, "length": 2, "pattern_data": [[big]]},
            {"name": "b", "frequency": {"odd": big}, "length": [big], "pattern_data": big},
            {"name": "c", "pattern_data": [["s"]] * 20},
        ],
    )
    with profiled(mongo, KB) as operations:
        first, second, third = patterns.page(KB, "name", EVERYTHING, None, 9).rows

    assert max(operation.get("responseLength", 0) for operation in operations) < 4_000
    assert (1, None) == (first.events, first.beginning)
    assert (None, None) == (second.events, second.beginning)
    assert {"frequency", "length"} == second.large.keys()
    assert (20, [["s"]] * 8) == (third.events, third.beginning)
    assert first.bytes > 3_000_000


def test_dates_beyond_those_of_python_are_read(mongo: MongoServer, patterns: MongoPatterns) -> None:
    """Far years and text that is no UTF-8 take down no listing and no record."""
    fill(mongo, [{"name": "a", "frequency": 1}])
    document = b"\x02name\0\x03\0\0\0b\xff\0\x09frequency\0" + b"\xff" * 7 + b"\x7f\0"
    raw = RawBSONDocument((len(document) + 4).to_bytes(4, "little") + document)
    mongo.client[KB].command("insert", PATTERNS, documents=[raw])

    assert 2 == len(rows(patterns, "frequency", limit=1))
    assert 2 == len(rows(patterns, "name", limit=9))


def test_counts_are_bounded(mongo: MongoServer, patterns: MongoPatterns) -> None:
    """No more keys are counted than there is interest in; what no index counts is not counted."""
    fill_many(mongo)

    def count(**wanted: Any) -> BoundedCount | None:
        with profiled(mongo, MANY_KB) as operations:
            counted = patterns.count(MANY_KB, PatternFilter(**wanted))
        assert examined(operations)[0] <= MOST_COUNTED + 2
        assert 0 == examined(operations)[1]
        return counted

    assert BoundedCount(10_000, more=True) == count(least=2)
    assert BoundedCount(160, more=False) == count(least=2, most=3)
    assert count(symbol="all") is None
    assert count(prefix="a", least=2) is None
    expected = mongo.client[MANY_KB][PATTERNS].count_documents({"name": {"$regex": "^ab"}})
    assert BoundedCount(expected, more=False) == count(prefix="ab")
    assert BoundedCount(80, more=False) == patterns.more_frequent(MANY_KB, 299)


def test_the_patterns_with_an_event_are_looked_up(
    mongo: MongoServer, patterns: MongoPatterns
) -> None:
    """Exactly these symbols in this order, by KATO's index; part of an event is not enough."""
    fill_many(mongo)
    mongo.client[MANY_KB][PATTERNS].insert_many(
        [
            {"name": "x1", "pattern_data": [["one", "two"], ["three"]]},
            {"name": "x2", "pattern_data": [["three"], ["one", "two"]]},
            {"name": "x3", "pattern_data": [["two", "one"], ["one", "two", "three"]]},
            {"name": "x4", "pattern_data": ["one", "two"]},
        ]
    )
    with profiled(mongo, MANY_KB) as operations:
        found = patterns.with_event(MANY_KB, ["one", "two"], 5)
    with profiled(mongo, MANY_KB) as common:
        many = patterns.with_event(MANY_KB, ["all", "rare3"], 5)

    assert ["x1", "x2"] == [row.name for row in found]
    assert examined(operations)[0] <= 6
    assert 5 == len(many)
    assert examined(common)[0] <= 7


def test_symbols_are_looked_up(mongo: MongoServer, patterns: MongoPatterns) -> None:
    """Those that have a record, with values as they are stored and no large ones."""
    load_recorded(mongo)
    mongo.client[KB][SYMBOLS].insert_one(
        {"_id": 1, "name": "odd", "frequency": "x" * 9_000, "pattern_member_frequency": [1]}
    )
    found = patterns.symbols(KB, ["g1", "e0", "odd", "nowhere", "$where"])

    assert {"g1", "e0", "odd"} == found.keys()
    assert (5, 5) == (found["g1"].frequency, found["g1"].pattern_member_frequency)
    assert isinstance(found["g1"].identity, ObjectId)
    assert (1, None, [1]) == (
        found["odd"].identity,
        found["odd"].frequency,
        found["odd"].pattern_member_frequency,
    )


def test_what_a_kato_wrote_is_read(mongo: MongoServer, patterns: MongoPatterns) -> None:
    """The recorded knowledge base has its patterns, each with its whole record."""
    load_recorded(mongo)
    found = rows(patterns, "frequency")
    stored = {each["name"]: each for each in mongo.client[KB][PATTERNS].find()}

    assert 4 == len(found)
    assert stored.keys() == {row.name for row in found}
    for row in found:
        document = stored[row.name]
        assert document == patterns.pattern(KB, row.name)
        assert row.events == len(document["pattern_data"])
        assert (row.length, row.frequency) == (document["length"], document["frequency"])
    assert patterns.pattern(KB, "nowhere") is None
    assert patterns.pattern("nowhere_kato", named(1)) is None


def test_knowledge_bases_come_in_pages(mongo: MongoServer, patterns: MongoPatterns) -> None:
    """Each once, sorted, from the one on that the page before told; databases of others are not."""
    for name in ("b_kato", "a_kato", "ab_kato", "zoë_kato"):
        mongo.client[name][METADATA].insert_one({})
        mongo.client[name][PATTERNS].insert_one({})
    mongo.client["aa_shop"]["orders"].insert_one({})
    mongo.client["config"][PATTERNS].insert_one({})
    try:
        first = patterns.knowledge_base_page("", None, 2)
        second = patterns.knowledge_base_page("", first.following, 2)
        assert (("a_kato", "ab_kato"), "b_kato") == (first.names, first.following)
        assert (("b_kato", "zoë_kato"), None) == (second.names, second.following)
        assert ("ab_kato",) == patterns.knowledge_base_page("ab", None, 2).names
        assert patterns.is_knowledge_base("zoë_kato")
        for other in ("aa_shop", "config", "admin", "nowhere", "", "a.b", "a/b", "$", "x" * 64):
            assert not patterns.is_knowledge_base(other)
    finally:
        mongo.client["config"].drop_collection(PATTERNS)


def test_a_page_of_knowledge_bases_asks_only_for_its_own(
    mongo: MongoServer, patterns: MongoPatterns
) -> None:
    """Not one question for each of all."""
    for number in range(20):
        mongo.client[f"kb{number:02}_kato"][PATTERNS].insert_one({})
    questions = mongo.client.admin.command("serverStatus")["metrics"]["commands"]
    before = questions["listCollections"]["total"]
    page = patterns.knowledge_base_page("", "kb03_kato", 4)
    questions = mongo.client.admin.command("serverStatus")["metrics"]["commands"]

    assert 4 == len(page.names)
    assert 5 == questions["listCollections"]["total"] - before


def test_knowledge_bases_stop_in_time(
    mongo: MongoServer, patterns: MongoPatterns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page then says so and where it goes on, and has looked at one at least."""
    for name in ("a_kato", "b_kato"):
        mongo.client[name][PATTERNS].insert_one({})
    monkeypatch.setattr(Deadline, "expired", True)
    page = patterns.knowledge_base_page("", None, 4)

    assert (("a_kato",), "b_kato") == (page.names, page.following)
    assert "Time was up" in (page.stopped or "")
