"""MongoDocuments on a real mongod: any documents, with an `_id` of any type, and what it costs."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, encode
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient

from kato_exporter.demo.servers import LOOPBACK, start_mongod
from kato_exporter.demo.shapes import Document
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, document_of, field_of
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.document_conditions import Condition, Operand, Operator
from kato_exporter.stores.mongodb.document_search import FEW
from kato_exporter.stores.mongodb.documents import (
    LARGEST_LISTED,
    LARGEST_PAGE,
    DocumentPage,
    MongoDocuments,
)
from kato_exporter.stores.mongodb.id_index import (
    LONGEST_NAMED_ID,
    TOP,
    Position,
    PositionGoneError,
)
from support.bson_values import IDS, MIN_KEY, VALUES, object_of, string, value_of
from support.servers import MongoServer, black_hole, started
from support.slow_mongodb import slow

FIXTURES = [HealthCheck.function_scoped_fixture]
KB, COLLECTION = "alice_kato", "things_kb"
PATIENT = 10.0
MOST_PAGES = 200
LENIENT: CodecOptions[Document] = CodecOptions(dict, unicode_decode_error_handler="replace")
RAW: CodecOptions[RawBSONDocument] = CodecOptions(RawBSONDocument)


MONGODB_IDS = [identity for identity in IDS if identity != object_of(("$oid", string("f" * 24)))]
"""What MongoDB takes for an `_id`; it refuses operators in there."""


@pytest.fixture
def documents(mongo: MongoServer) -> Iterator[MongoDocuments]:
    """Open the emptied server as the browser does."""
    with opened(mongo.url) as documents:
        yield documents


@contextmanager
def opened(url: str, *, query_timeout: float = PATIENT) -> Iterator[MongoDocuments]:
    """Open a server as the browser does."""
    connection = MongoConnection(url, timeout=PATIENT, query_timeout=query_timeout)
    with closing(connection):
        yield MongoDocuments(connection)


def insert(mongo: MongoServer, written: Sequence[bytes], collection: str = COLLECTION) -> None:
    """Insert documents just as they are."""
    command = {"insert": collection, "documents": [RawBSONDocument(each) for each in written]}
    answer = mongo.client[KB].command(command, codec_options=LENIENT)
    assert len(written) == answer["n"], answer


def numbered(mongo: MongoServer, count: int, **fields: Any) -> None:
    """Insert documents with ascending numbers as `_id`."""
    mongo.client[KB][COLLECTION].insert_many([{"_id": n, **fields} for n in range(count)])


def pages(
    documents: MongoDocuments, *, rows: int, condition: Condition | None = None
) -> list[DocumentPage]:
    """Give all pages from the top on."""
    found = [documents.page(KB, COLLECTION, TOP, rows=rows, condition=condition)]
    while found[-1].next is not None:
        assert len(found) < MOST_PAGES, "the pages do not end"
        found.append(documents.page(KB, COLLECTION, found[-1].next, rows=rows, condition=condition))
    return found


def ids(found: Sequence[DocumentPage]) -> list[BsonValue]:
    """Give the `_id`s of pages."""
    return [document.identity for page in found for document in page.documents]


def fitting(documents: MongoDocuments, condition: Condition) -> list[Any]:
    """Give the `_id`s, where these are int, of all documents that fit."""
    found = ids(pages(documents, rows=7, condition=condition))
    assert {BsonType.INT} >= {identity.type for identity in found}
    return [struct.unpack("<i", identity.data)[0] for identity in found]


@contextmanager
def profiled(mongo: MongoServer) -> Iterator[list[Document]]:
    """Give, after the block, what the server did meanwhile for us."""
    operations: list[Document] = []
    database = mongo.client[KB]
    database.drop_collection("system.profile")
    database.command("profile", 2)
    try:
        yield operations
    finally:
        database.command("profile", 0)
        operations += database["system.profile"].find({"appName": "kato-exporter"})


def examined(operations: Sequence[Document]) -> tuple[int, int]:
    """Give how many keys and how many documents the server looked at."""
    keys = sum(operation.get("keysExamined", 0) for operation in operations)
    return keys, sum(operation.get("docsExamined", 0) for operation in operations)


@pytest.mark.parametrize("rows", [1, 2, 5, 100])
def test_pages_give_every_document_once(
    mongo: MongoServer, documents: MongoDocuments, rows: int
) -> None:
    """Whatever types the `_id`s have, pages follow MongoDB's order and leave out nothing."""
    insert(mongo, [document_of([("_id", identity)]) for identity in MONGODB_IDS])
    command = {"find": COLLECTION, "sort": {"_id": -1}}
    ordered = mongo.client[KB].command(command, codec_options=RAW)["cursor"]["firstBatch"]

    found = ids(pages(documents, rows=rows))
    assert [field_of(each.raw, "_id") for each in ordered] == found
    assert set(MONGODB_IDS) == set(found)


@pytest.mark.parametrize("rows", [1, 2, 5, 100])
@pytest.mark.parametrize(
    "condition",
    [Condition("kind", "is", "wanted"), Condition("kind", "exists"), Condition("other", "missing")],
)
@pytest.mark.parametrize("indexed", [False, True])
def test_searches_give_every_document_once(
    mongo: MongoServer, documents: MongoDocuments, rows: int, condition: Condition, *, indexed: bool
) -> None:
    """A condition keeps to that order, by an index or without, and leaves out what does not fit."""
    fields = [("kind", string("wanted"))], [("other", string("unwanted"))]
    written = [
        document_of([("_id", identity), *fields[number % 3 == 0]])
        for number, identity in enumerate(MONGODB_IDS)
    ]
    insert(mongo, written)
    if indexed:
        mongo.client[KB][COLLECTION].create_index("kind")

    found = ids(pages(documents, rows=rows, condition=condition))
    wanted = [identity for number, identity in enumerate(MONGODB_IDS) if number % 3]
    assert len(wanted) == len(found)
    assert set(wanted) == set(found)
    assert [identity for identity in ids(pages(documents, rows=100)) if identity in found] == found


def test_long_ids_do_not_stop_the_pages(mongo: MongoServer, documents: MongoDocuments) -> None:
    """A position stays short however long the `_id`s are, and still leads to the next document."""
    texts = [letter * 1_000_000 for letter in "abcd"] + ["b", "bc", "zz" * LONGEST_NAMED_ID]
    insert(mongo, [document_of([("_id", string(text))]) for text in texts])

    for condition in (None, Condition("x", "missing")):
        found = pages(documents, rows=1, condition=condition)
        assert [string(text) for text in sorted(texts, reverse=True)] == ids(found)
        positions = [page.next for page in found if page.next]
        assert all(p.below is None or len(p.below.data) < LONGEST_NAMED_ID for p in positions)


def test_a_long_id_that_is_gone_is_told(mongo: MongoServer, documents: MongoDocuments) -> None:
    """A page that would begin below a document that is no more asks to begin anew."""
    insert(mongo, [document_of([("_id", string(letter * 1_000))]) for letter in "ab"])
    page = documents.page(KB, COLLECTION, TOP, rows=1)
    mongo.client[KB][COLLECTION].delete_one({"_id": "b" * 1_000})

    with pytest.raises(PositionGoneError, match="begin at the first"):
        documents.page(KB, COLLECTION, page.next or TOP, rows=1)


def test_a_page_goes_on_where_its_document_is_gone(
    mongo: MongoServer, documents: MongoDocuments
) -> None:
    """A position is a place in the order and needs no document."""
    numbered(mongo, 5)
    page = documents.page(KB, COLLECTION, TOP, rows=2)
    mongo.client[KB][COLLECTION].delete_one({"_id": 3})

    following = documents.page(KB, COLLECTION, page.next or TOP, rows=2)
    assert [value_of(2), value_of(1)] == ids([following])


@pytest.mark.parametrize("condition", [None, Condition("x", "missing")])
def test_there_is_nothing_below_the_least_id(
    mongo: MongoServer, documents: MongoDocuments, condition: Condition | None
) -> None:
    """A page that begins below MinKey is empty, and no error."""
    insert(mongo, [document_of([("_id", MIN_KEY)])])
    page = documents.page(KB, COLLECTION, Position(MIN_KEY), rows=1, condition=condition)

    assert ((), None) == (page.documents, page.next)


@pytest.mark.parametrize("condition", [None, Condition("x", "is", 1)])
def test_a_page_costs_the_same_everywhere(
    mongo: MongoServer, documents: MongoDocuments, condition: Condition | None
) -> None:
    """The server looks at as many keys and documents for the last page as for the first."""
    numbered(mongo, 20_000, x=1)
    asked = [TOP, Position(value_of(10_000)), Position(value_of(30))]
    costs = []
    for position in asked:
        with profiled(mongo) as operations:
            documents.page(KB, COLLECTION, position, rows=20, condition=condition)
        costs.append(examined(operations))

    assert all(keys <= 150 for keys, _ in costs), costs
    assert [2 * 20 + 1] * 3 == [found for _, found in costs]


def test_the_end_of_a_stretch_costs_no_document(
    mongo: MongoServer, documents: MongoDocuments
) -> None:
    """Finding nothing among 20,000 documents looks at each once, whatever the stretches."""
    numbered(mongo, 20_000, x=1)
    with profiled(mongo) as operations:
        page = documents.page(KB, COLLECTION, rows=20, condition=Condition("x", "is", 2))
    keys, found = examined(operations)

    assert () == page.documents
    assert page.next is None
    assert 20_000 == found
    assert keys <= 2 * 20_000 + 10 * len(operations)


def test_an_index_tells_what_is_few(mongo: MongoServer, documents: MongoDocuments) -> None:
    """Documents that an index finds are listed without a walk, and counted."""
    collection = mongo.client[KB][COLLECTION]
    collection.insert_many([{"_id": n, "name": f"n{n % 1000}"} for n in range(20_000)])
    collection.create_index("name")
    with profiled(mongo) as operations:
        page = documents.page(KB, COLLECTION, rows=15, condition=Condition("name", "is", "n7"))
    keys, found = examined(operations)

    assert [value_of(n) for n in range(19_007, 5_000, -1000)] == ids([page])
    assert 20 == page.matches
    assert page.walked is None
    assert keys < 100
    assert found < 100


def test_what_an_index_tells_of_many_is_walked(
    mongo: MongoServer, documents: MongoDocuments
) -> None:
    """Where more than a few fit, the walk finds a page's worth soon."""
    numbered(mongo, FEW + 500, name="n")
    mongo.client[KB][COLLECTION].create_index("name")
    page = documents.page(KB, COLLECTION, rows=15, condition=Condition("name", "is", "n"))

    assert [value_of(n) for n in range(FEW + 499, FEW + 484, -1)] == ids([page])
    assert page.matches is None
    assert 0 == page.walked


@pytest.mark.parametrize(
    "options",
    [
        {"sparse": True},
        {"partialFilterExpression": {"name": {"$gt": "n5"}}},
        {"collation": {"locale": "en", "strength": 1}},
    ],
    ids=str,
)
def test_an_index_that_does_not_tell_all_is_not_asked(
    mongo: MongoServer, documents: MongoDocuments, options: Document
) -> None:
    """An index that lacks documents, or compares otherwise, is no help."""
    collection = mongo.client[KB][COLLECTION]
    collection.insert_many([{"_id": n, "name": f"n{n}"} for n in range(9)])
    collection.create_index("name", **options)

    assert [3] == fitting(documents, Condition("name", "is", "n3"))
    assert (
        0 == documents.page(KB, COLLECTION, rows=1, condition=Condition("name", "is", "n3")).walked
    )


def test_a_search_that_takes_too_long_is_cut(mongo: MongoServer) -> None:
    """It tells how far it came, and the pages from there on find the rest, each once."""
    numbered(mongo, 200, x=1)
    mongo.client[KB][COLLECTION].update_many({"_id": {"$in": [150, 5]}}, {"$set": {"x": 2}})
    condition = Condition("x", "is", 2)
    with opened(mongo.url, query_timeout=0.6) as documents, slow(mongo, 60):
        found = pages(documents, rows=3, condition=condition)

    assert [True] * (len(found) - 1) == [page.cut for page in found[:-1]]
    assert len(found) > 2
    assert all(0 < (page.walked or 0) < 200 for page in found[:-1])
    assert not found[-1].cut
    assert [value_of(150), value_of(5)] == ids(found)


def test_a_search_in_which_nothing_is_compared_in_time_is_cut(mongo: MongoServer) -> None:
    """It says so, and goes on where it was to begin."""
    numbered(mongo, 3)
    position = Position(value_of(2))
    with opened(mongo.url, query_timeout=0.6) as documents, slow(mongo, 400):
        page = documents.page(KB, COLLECTION, position, rows=3, condition=Condition("x", "missing"))

    assert (True, 0, position, ()) == (page.cut, page.walked, page.next, page.documents)


@pytest.mark.parametrize(
    ("operator", "operand", "expected"),
    [
        ("is", "a", [7, 0]),
        ("is", "5", [1]),
        ("is", Int64(5), [3, 2]),
        ("is", 5.0, [3, 2]),
        ("is", Decimal128("5"), [3, 2]),
        ("at_least", Int64(5), [4, 3, 2]),
        ("at_most", 5.5, [4, 3, 2]),
        ("at_least", "5", [8, 7, 1, 0]),
        ("is", None, [5]),
        ("exists", None, [16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 5, 4, 3, 2, 1, 0]),
        ("missing", None, [6]),
        ("starts", "a", [8, 7, 0]),
        ("starts", ".*", []),
        ("starts", "$w", [9]),
        ("is", "$where", [9]),
        ("is", '{"$gt": ""}', []),
        ("is", ObjectId("f" * 24), [10]),
        ("at_least", ObjectId("0" * 24), [10]),
        ("is", True, [11]),
        ("at_most", DatetimeMS(10**15), [12]),
        ("is", Binary(b"u" * 16, 4), [13]),
        ("is", float("nan"), [14]),
        ("at_most", float("inf"), [4, 3, 2]),
    ],
)
def test_a_field_is_compared_with_a_value(
    mongo: MongoServer,
    documents: MongoDocuments,
    operator: Operator,
    operand: Operand,
    expected: list[int],
) -> None:
    """By its type: numbers with numbers, texts as texts, entries of arrays each for itself."""
    nested = {"y": {"z": "nested"}}
    values = ["a", "5", 5, 5.0, Decimal128("5.5"), None, ..., ["z", "a"], "ab", "$where"]
    values += [ObjectId("f" * 24), True, DatetimeMS(1), Binary(b"u" * 16, 4), float("nan")]
    values += [MinKey(), nested]
    mongo.client[KB][COLLECTION].insert_many(
        {"_id": n} if value is ... else {"_id": n, "x": value} for n, value in enumerate(values)
    )

    assert expected == fitting(documents, Condition("x", operator, operand))
    assert [16] == fitting(documents, Condition("x.y.z", "is", "nested"))
    mongo.client[KB][COLLECTION].create_index("x")
    assert expected == fitting(documents, Condition("x", operator, operand))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Condition("_id", "exists"), [5, 4, 3, 2, 1, 0]),
        (Condition("_id", "missing"), []),
        (Condition("_id", "is", 3.0), [3]),
        (Condition("_id", "at_least", 3), [5, 4, 3]),
        (Condition("_id", "at_most", 3), [3, 2, 1, 0]),
        (Condition("_id", "is", "3"), []),
    ],
)
def test_the_id_is_compared_as_well(
    mongo: MongoServer, documents: MongoDocuments, condition: Condition, expected: list[int]
) -> None:
    """Page by page, with documents of other types about."""
    numbered(mongo, 6)
    if condition.operator != "exists":
        mongo.client[KB][COLLECTION].insert_many([{"_id": "text"}, {"_id": MaxKey()}])
    for rows in (1, 4):
        found = ids(pages(documents, rows=rows, condition=condition))
        assert [value_of(number) for number in expected] == found


def test_a_search_by_id_costs_what_it_finds(mongo: MongoServer, documents: MongoDocuments) -> None:
    """Deep in a range of `_id`s a page looks at a page's worth."""
    numbered(mongo, 10_000)
    with profiled(mongo) as operations:
        page = documents.page(
            KB,
            COLLECTION,
            Position(value_of(500)),
            rows=5,
            condition=Condition("_id", "at_most", 9e9),
        )

    assert [value_of(n) for n in range(499, 494, -1)] == ids([page])
    assert max(examined(operations)) < 30


@settings(max_examples=30, deadline=None, suppress_health_check=FIXTURES)
@given(
    texts=st.lists(st.text(r"a.*^$\|[](){}?+\nB0 ö\0", max_size=4), unique=True, max_size=20),
    start=st.text(r"a.*^$\|[](){}?+\nB0 ö\0", max_size=2),
)
def test_starts_with_is_no_pattern(
    mongo: MongoServer, documents: MongoDocuments, texts: list[str], start: str
) -> None:
    """Whatever stands in a text, it is the beginning or it is not."""
    collection = mongo.client[KB][COLLECTION]
    collection.drop()
    if texts:
        collection.insert_many([{"_id": n, "x": text} for n, text in enumerate(texts)])
    expected = {n for n, text in enumerate(texts) if text.startswith(start)}

    assert expected == set(fitting(documents, Condition("x", "starts", start)))


@settings(max_examples=30, deadline=None, suppress_health_check=FIXTURES)
@given(
    identities=st.lists(VALUES, max_size=8, unique_by=lambda value: (value.type, value.data)),
    rows=st.integers(1, 4),
    searched=st.booleans(),
)
def test_pages_of_any_ids_are_complete(
    mongo: MongoServer,
    documents: MongoDocuments,
    identities: list[BsonValue],
    rows: int,
    *,
    searched: bool,
) -> None:
    """Whatever MongoDB takes for an `_id`, all come, each once, in MongoDB's order."""
    collection = mongo.client[KB][COLLECTION]
    collection.drop()
    for identity in identities:
        written = RawBSONDocument(document_of([("_id", identity)]))
        command = {"insert": COLLECTION, "documents": [written]}
        mongo.client[KB].command(command, codec_options=LENIENT)
    ordered = mongo.client[KB].command(
        {"find": COLLECTION, "sort": {"_id": -1}}, codec_options=RAW
    )["cursor"]["firstBatch"]

    condition = Condition("x", "missing") if searched else None
    assert [field_of(each.raw, "_id") for each in ordered] == ids(
        pages(documents, rows=rows, condition=condition)
    )


@settings(max_examples=50, deadline=None, suppress_health_check=FIXTURES)
@given(VALUES)
def test_a_document_is_read_as_it_is_held(
    mongo: MongoServer, documents: MongoDocuments, value: BsonValue
) -> None:
    """To the byte, whatever is in it, both on its page and in a listing."""
    collection = mongo.client[KB][COLLECTION]
    collection.drop()
    written = document_of([("_id", value_of(1)), ("x", object_of(("y", value)))])
    try:
        insert(mongo, [written])
    except AssertionError:  # a name that MongoDB does not take
        assume(condition=False)

    assert written == documents.document(KB, COLLECTION, value_of(1))
    [listed] = documents.page(KB, COLLECTION, rows=1).documents
    assert (written, len(written)) == (listed.bson, listed.size)


def test_every_document_is_found_by_its_id(mongo: MongoServer, documents: MongoDocuments) -> None:
    """Of whatever type it is; an `_id` that is not there has none."""
    written = [document_of([("_id", identity)]) for identity in MONGODB_IDS]
    insert(mongo, written)

    assert written == [documents.document(KB, COLLECTION, identity) for identity in MONGODB_IDS]
    assert documents.document(KB, COLLECTION, string("not there")) is None
    assert documents.document(KB, COLLECTION, object_of(("$gt", string("")))) is None


def test_large_documents_are_listed_without_their_content(
    mongo: MongoServer, documents: MongoDocuments
) -> None:
    """A page reads no large document, and no more of all than its limit."""
    large = {"_id": 100, "pad": b"x" * LARGEST_LISTED}
    fits = {"pad": b"x" * (LARGEST_LISTED - 1_000)}
    mongo.client[KB][COLLECTION].insert_many([large, *({"_id": n, **fits} for n in range(20))])
    listed = documents.page(KB, COLLECTION, rows=50).documents

    assert 21 == len(listed)
    assert len(encode(large)) == listed[0].size
    assert listed[0].bson is None
    read = [document for document in listed if document.bson is not None]
    assert LARGEST_PAGE // LARGEST_LISTED == len(read)
    assert sum(document.size for document in read) <= LARGEST_PAGE
    assert all(document.size == len(encode({"_id": 1, **fits})) for document in listed[1:])


def test_a_collection_with_a_collation_is_paged(
    mongo: MongoServer, documents: MongoDocuments
) -> None:
    """In the order that its collation gives."""
    collation = {"locale": "en", "strength": 2}
    mongo.client[KB].create_collection(COLLECTION, collation=collation)
    mongo.client[KB][COLLECTION].insert_many([{"_id": letter} for letter in "aBcDéz"])

    assert [string(letter) for letter in "zéDcBa"] == ids(pages(documents, rows=2))


def test_collections_are_told_with_their_types(
    mongo: MongoServer, documents: MongoDocuments
) -> None:
    """Views are told from collections, and MongoDB's own are left out."""
    numbered(mongo, 1)
    mongo.client[KB].command("create", "view", viewOn=COLLECTION, pipeline=[])
    mongo.client[KB].command("create", "ticks", timeseries={"timeField": "t"})
    mongo.client["shop"]["orders"].insert_one({})

    assert {
        COLLECTION: "collection",
        "view": "view",
        "ticks": "timeseries",
    } == documents.collections(KB)
    for name in ("shop", "none", "admin", "config", "", ".", "a.b", "a b", "$x", "a\0", "x" * 64):
        assert documents.collections(name) is None, name


def test_documents_are_counted_at_once(mongo: MongoServer, documents: MongoDocuments) -> None:
    """By what MongoDB knows without a look at them."""
    numbered(mongo, 3_000)
    with profiled(mongo) as operations:
        count = documents.count(KB, COLLECTION)

    assert 3_000 == count
    assert (0, 0) == examined(operations)


def test_a_server_that_says_nothing_is_no_answer() -> None:
    """Every question ends in time, and none makes the server's silence its own failure."""
    with (
        black_hole() as port,
        closing(
            MongoConnection(f"mongodb://{LOOPBACK}:{port}", timeout=0.2, query_timeout=0.3)
        ) as c,
    ):
        documents = MongoDocuments(c)
        for ask in (
            lambda: documents.collections(KB),
            lambda: documents.count(KB, COLLECTION),
            lambda: documents.document(KB, COLLECTION, value_of(1)),
            lambda: documents.page(KB, COLLECTION, rows=1),
            lambda: documents.page(KB, COLLECTION, rows=1, condition=Condition("x", "is", 1)),
        ):
            with pytest.raises(StoreError) as failure:
                ask()
            assert not isinstance(failure.value, QueryError)


def test_an_account_without_rights_is_told(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """One that may only read the knowledge base sees all; one without any right sees why not."""
    directory = tmp_path_factory.mktemp("guarded")
    with started(lambda: start_mongod(directory, arguments=("--auth",))) as server:
        with MongoClient[Document](server.url) as client:
            client.admin.command("createUser", "root", pwd="pw", roles=["root"])
        with MongoClient[Document](server.url, username="root", password="pw") as client:
            role = {"role": "read", "db": KB}
            client.admin.command("createUser", "reader", pwd="pw", roles=[role])
            client.admin.command("createUser", "nobody", pwd="pw", roles=[])
            client[KB][COLLECTION].insert_one({"_id": 1, "x": 1})
        with opened(server.url.replace("//", "//reader:pw@")) as documents:
            assert documents.collections(KB)
            assert 1 == documents.count(KB, COLLECTION)
            assert [1] == fitting(documents, Condition("x", "is", 1))
        with (
            opened(server.url.replace("//", "//nobody:pw@")) as documents,
            pytest.raises(QueryError, match="not authorized"),
        ):
            documents.page(KB, COLLECTION, rows=1)
