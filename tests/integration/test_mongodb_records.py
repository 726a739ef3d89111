"""MongoDB's records on a real mongod: deleted, changed, put back byte for byte, or not at all."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
from bson import Int64, ObjectId, Timestamp, encode
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st
from pymongo.errors import OperationFailure

from kato_exporter.browser.knowledge.document_records import place_label, place_path
from kato_exporter.kato.knowledge import METADATA, PATTERNS
from kato_exporter.stores.errors import NotChangeableError, QueryError, StoreError
from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, document_of
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.places import Place, place_of
from kato_exporter.stores.mongodb.records import LARGEST_EDIT, MongoRecords
from kato_exporter.stores.mongodb.writing import raw
from kato_exporter.stores.records import Outcome, Snapshot
from support.bson_values import IDS, NAMES, VALUES, object_of, string, value_of
from support.servers import MongoServer, black_hole

FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
KB, COLLECTION = "alice_kato", "things_kb"
PATIENT = 20.0
RAW: CodecOptions[RawBSONDocument] = CodecOptions(
    RawBSONDocument, unicode_decode_error_handler="replace"
)

MONGODB_IDS = [identity for identity in IDS if identity != object_of(("$oid", string("f" * 24)))]
EVERY_TYPE: list[BsonValue] = [
    *IDS,
    value_of([1, [2.5, {"a": None}], "x"]),
    BsonValue(BsonType.UNDEFINED, b""),
    BsonValue(BsonType.REGEX, b"^a\0i\0"),
    string("\udcff not UTF-8"),
]
assert set(BsonType) == {value.type for value in EVERY_TYPE}


@contextmanager
def connected(url: str, *, timeout: float = PATIENT) -> Iterator[MongoConnection]:
    """Connect as the browser does."""
    connection = MongoConnection(url, timeout=timeout, query_timeout=timeout)
    with closing(connection):
        yield connection


@pytest.fixture
def connection(mongo: MongoServer) -> Iterator[MongoConnection]:
    """Connect to the emptied server, where there is one collection."""
    mongo.client[KB].create_collection(COLLECTION)
    with connected(mongo.url) as connection:
        yield connection


@pytest.fixture
def documents(connection: MongoConnection) -> MongoRecords:
    """Give the kind `document`."""
    return MongoRecords(connection, label=place_label, path=place_path)


def located(identity: BsonValue, collection: str = COLLECTION, kb: str = KB) -> bytes:
    """Give the locator of a document."""
    return Place(kb, collection, identity).locator


def insert(mongo: MongoServer, *written: bytes, collection: str = COLLECTION) -> None:
    """Insert documents just as they are."""
    answer = mongo.client[KB].command({"insert": collection, "documents": [*map(raw, written)]})
    if answer["n"] != len(written):
        raise OperationFailure(str(answer))


def stored(mongo: MongoServer, collection: str = COLLECTION) -> list[bytes]:
    """Give all documents just as they are, in the order of `_id`."""
    database = mongo.client[KB].with_options(codec_options=RAW)
    return [bytes(each.raw) for each in database[collection].find().sort("_id")]


def read_one(kind: MongoRecords, locator: bytes) -> Snapshot:
    """Read a record that is there."""
    [snapshot] = kind.read([locator])
    assert snapshot is not None
    return snapshot


@pytest.mark.parametrize("identity", MONGODB_IDS, ids=lambda each: each.type.name)
def test_a_document_is_deleted_and_put_back_byte_for_byte(
    mongo: MongoServer, documents: MongoRecords, identity: BsonValue
) -> None:
    """Whatever its `_id` is, and with a value of every type, fields twice and wrong texts."""
    fields = [(f"field {number}", value) for number, value in enumerate(EVERY_TYPE)]
    written = document_of([("_id", identity), *fields, *fields[:3], ("\udcfe", string("wrong"))])
    insert(mongo, written)
    snapshot = read_one(documents, located(identity))
    assert written == snapshot.content
    assert [Outcome.DONE] == documents.delete([snapshot])
    assert [] == stored(mongo)
    assert [Outcome.MISSING] == documents.delete([snapshot])
    assert [Outcome.DONE] == documents.restore([snapshot])
    assert [written] == stored(mongo)
    assert [Outcome.DONE] == documents.restore([snapshot]), "asked twice"


@settings(max_examples=60, deadline=None, suppress_health_check=FIXTURES)
@given(fields=st.lists(st.tuples(NAMES, VALUES), max_size=6), other=VALUES)
def test_any_document_comes_back_as_it_was(
    mongo: MongoServer,
    documents: MongoRecords,
    fields: list[tuple[str, BsonValue]],
    other: BsonValue,
) -> None:
    """Deleted and put back, edited and edited back."""
    mongo.client[KB][COLLECTION].delete_many({})
    fields = [(name, value) for name, value in fields if name != "_id"]
    try:
        insert(mongo, document_of([("_id", value_of(1)), *fields]))
    except OperationFailure:
        reject()  # MongoDB does not take it
    [written] = stored(mongo)
    snapshot = read_one(documents, located(value_of(1)))
    assert written == snapshot.content
    assert [Outcome.DONE] == documents.delete([snapshot])
    assert [Outcome.DONE] == documents.restore([snapshot])
    assert [written] == stored(mongo)
    edited = document_of([("_id", value_of(1)), ("edited", other)])
    try:
        outcome = documents.replace(snapshot, edited)
    except QueryError:
        assert [written] == stored(mongo)
        return
    assert Outcome.DONE is outcome
    assert [edited] == stored(mongo)
    assert Outcome.DONE is documents.replace(Snapshot(snapshot.locator, edited), written)
    assert [written] == stored(mongo)


OTHERS: Mapping[str, tuple[Any, Any]] = {
    "another number": (1, 2),
    "a double for an int": (1, 1.0),
    "a long for an int": (1, Int64(1)),
    "a double for a long": (Int64(1), 1.0),
    "minus zero": (0.0, -0.0),
    "a longer array": ([1], [1, 2]),
    "null for a value": ("x", None),
}


@pytest.mark.parametrize(("kept", "present"), OTHERS.values(), ids=OTHERS.keys())
def test_what_has_changed_is_left_alone(
    mongo: MongoServer, documents: MongoRecords, kept: object, present: object
) -> None:
    """Also where MongoDB itself would see no difference."""
    insert(mongo, encode({"_id": 1, "value": kept}))
    snapshot = read_one(documents, located(value_of(1)))
    mongo.client[KB][COLLECTION].replace_one({"_id": 1}, {"value": present})
    changed = stored(mongo)
    assert [Outcome.CHANGED] == documents.delete([snapshot])
    assert Outcome.CHANGED is documents.replace(snapshot, encode({"_id": 1, "value": 3}))
    assert changed == stored(mongo)


def test_what_only_the_bytes_tell_apart_is_left_alone(
    mongo: MongoServer, documents: MongoRecords
) -> None:
    """A symbol for a string; the second of two fields of one name; the order of fields."""
    one, two = value_of(1), value_of(2)
    pairs = [
        ([("a", string("x"))], [("a", BsonValue(BsonType.SYMBOL, string("x").data))]),
        ([("a", one), ("a", one)], [("a", one), ("a", two)]),
        ([("a", one), ("b", two)], [("b", two), ("a", one)]),
    ]
    for number, (kept, present) in enumerate(pairs):
        identity = ("_id", value_of(number))
        insert(mongo, document_of([identity, *present]))
        snapshot = Snapshot(located(value_of(number)), document_of([identity, *kept]))
        assert [Outcome.CHANGED] == documents.delete([snapshot])
    assert len(pairs) == len(stored(mongo))


def test_a_change_between_comparison_and_deletion_is_seen_by_the_server(
    mongo: MongoServer, documents: MongoRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old document stands in the filter of the deletion, and of the edit."""
    insert(mongo, *(encode({"_id": n, "value": n}) for n in range(3)))
    snapshots = [read_one(documents, located(value_of(n))) for n in range(3)]
    with meanwhile(monkeypatch, lambda: change(mongo, 1)):
        outcomes = documents.delete(snapshots)
    assert [Outcome.DONE, Outcome.CHANGED, Outcome.DONE] == outcomes
    [left] = stored(mongo)
    assert encode({"_id": 1, "value": "changed"}) == left
    with meanwhile(monkeypatch, lambda: change(mongo, 1, "again")):
        outcome = documents.replace(Snapshot(snapshots[1].locator, left), encode({"_id": 1}))
    assert Outcome.CHANGED is outcome
    assert [encode({"_id": 1, "value": "again"})] == stored(mongo)


def test_a_deletion_between_comparison_and_change_is_seen(
    mongo: MongoServer, documents: MongoRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone it is missing, and an edit never makes it anew."""
    insert(mongo, encode({"_id": 1}))
    snapshot = read_one(documents, located(value_of(1)))

    def delete() -> None:
        mongo.client[KB][COLLECTION].delete_many({})

    with meanwhile(monkeypatch, delete):
        assert [Outcome.MISSING] == documents.delete([snapshot])
    insert(mongo, encode({"_id": 1}))
    with meanwhile(monkeypatch, delete):
        assert Outcome.MISSING is documents.replace(snapshot, encode({"_id": 1, "new": 1}))
    assert [] == stored(mongo)


@contextmanager
def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> Iterator[None]:
    """Do something right after the next reading of documents."""
    module = "kato_exporter.stores.mongodb.records._documents"
    read: Callable[..., Any] = MongoRecords.__init__.__globals__["_documents"]
    calls = []

    def read_and_act(*arguments: Any) -> Any:
        found = read(*arguments)
        calls.append(found)
        if len(calls) == 1:
            act()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(module, read_and_act)
        yield
    assert calls


def change(mongo: MongoServer, identity: int, value: str = "changed") -> None:
    """Change a document as somebody else."""
    mongo.client[KB][COLLECTION].update_one({"_id": identity}, {"$set": {"value": value}})


def test_missing_and_present_are_told_apart_in_one_deletion(
    mongo: MongoServer, documents: MongoRecords
) -> None:
    """Each has its own outcome, in the order asked."""
    insert(mongo, *(encode({"_id": n, "value": n}) for n in range(4)))
    locators = [located(value_of(n)) for n in (3, 1, 9, 0, 2)]
    snapshots = documents.read(locators)
    assert snapshots[2] is None
    kept = [each or Snapshot(locators[2], encode({"_id": 9})) for each in snapshots]
    change(mongo, 0)
    mongo.client[KB][COLLECTION].delete_one({"_id": 1})
    expected = [Outcome.DONE, Outcome.MISSING, Outcome.MISSING, Outcome.CHANGED, Outcome.DONE]
    assert expected == documents.delete(kept)


def test_an_id_of_another_type_is_another_document(
    mongo: MongoServer, documents: MongoRecords
) -> None:
    """MongoDB finds 1.0 where 1 is asked for; that is not the record."""
    insert(mongo, encode({"_id": 1.0}))
    assert [None] == documents.read([located(value_of(1))])
    snapshot = Snapshot(located(value_of(1)), encode({"_id": 1}))
    assert [Outcome.MISSING] == documents.delete([snapshot])
    assert [Outcome.TAKEN] == documents.restore([snapshot])
    assert [encode({"_id": 1.0})] == stored(mongo)


def test_a_place_that_is_taken_is_told(mongo: MongoServer, documents: MongoRecords) -> None:
    """By the `_id`, or by a unique index; the others of the batch come back."""
    things = mongo.client[KB][COLLECTION]
    things.create_index("name", unique=True)
    insert(mongo, *(encode({"_id": n, "name": f"n{n}"}) for n in range(4)))
    snapshots = [read_one(documents, located(value_of(n))) for n in range(4)]
    assert [Outcome.DONE] * 4 == documents.delete(snapshots)
    insert(mongo, encode({"_id": 0, "name": "other"}), encode({"_id": 99, "name": "n2"}))
    expected = [Outcome.TAKEN, Outcome.DONE, Outcome.TAKEN, Outcome.DONE]
    assert expected == documents.restore(snapshots)
    assert [0, 1, 3, 99] == [each["_id"] for each in things.find().sort("_id")]
    assert {"_id": 0, "name": "other"} == things.find_one({"_id": 0})


def test_an_id_cannot_be_edited(mongo: MongoServer, documents: MongoRecords) -> None:
    """Nor can it stand elsewhere than first, where MongoDB would take operators for fields."""
    insert(mongo, encode({"_id": 1, "value": 1}))
    snapshot = read_one(documents, located(value_of(1)))
    late = document_of([("value", value_of(2)), ("_id", value_of(1))])
    for content in (encode({"_id": 2}), late, encode({}), encode({"_id": 1.0})):
        with pytest.raises(QueryError, match="_id"):
            documents.replace(snapshot, content)
    with pytest.raises(QueryError, match="no document"):
        documents.replace(snapshot, b"text")
    assert [snapshot.content] == stored(mongo)


def test_nothing_in_a_content_is_carried_out(mongo: MongoServer, documents: MongoRecords) -> None:
    """What looks like operators and paths is text; at the top MongoDB takes it only if inserted."""
    insert(mongo, encode({"_id": 1, "value": 1}))
    snapshot = read_one(documents, located(value_of(1)))
    content = encode({"_id": 1, "text": "$value", "a.b": {"$inc": {"value": 1}}})
    assert Outcome.DONE is documents.replace(snapshot, content)
    assert [content] == stored(mongo)
    for operator in ({"$set": {"text": 1}}, {"text": 1, "$where": "1"}):
        with pytest.raises(QueryError, match="begins with"):
            documents.replace(Snapshot(snapshot.locator, content), encode({"_id": 1, **operator}))
    insert(mongo, encode({"_id": 2, "$set": {"value": 2}}))
    odd = read_one(documents, located(value_of(2)))
    with pytest.raises(QueryError, match="it can be deleted"):
        documents.replace(odd, encode({"_id": 2}))
    assert [Outcome.DONE] == documents.delete([odd])
    assert [Outcome.DONE] == documents.restore([odd])
    assert [content, odd.content] == stored(mongo)


def test_what_mongodb_would_not_keep_is_refused(
    mongo: MongoServer, documents: MongoRecords
) -> None:
    """An empty timestamp becomes the time when it is inserted; so it is neither taken nor made."""
    insert(mongo, encode({"_id": 1}), encode({"_id": 2, "value": 1}))
    mongo.client[KB][COLLECTION].update_one({"_id": 1}, {"$set": {"at": Timestamp(0, 0)}})
    snapshots = [read_one(documents, located(value_of(n))) for n in (2, 1)]
    with pytest.raises(QueryError, match="the field at is an empty timestamp"):
        documents.delete(snapshots)
    with pytest.raises(QueryError, match="empty timestamp"):
        documents.replace(snapshots[0], encode({"_id": 2, "at": Timestamp(0, 0)}))
    assert 2 == len(stored(mongo))


def test_a_document_of_the_largest_size_is_deleted_and_put_back(
    mongo: MongoServer, documents: MongoRecords
) -> None:
    """MongoDB takes 16 MiB; an edit of it would be told both, so it is refused."""
    without = len(encode({"_id": 1, "text": ""}))
    written = encode({"_id": 1, "text": "x" * (16 * 1024 * 1024 - without)})
    insert(mongo, written)
    snapshot = read_one(documents, located(value_of(1)))
    assert written == snapshot.content
    assert [Outcome.DONE] == documents.delete([snapshot])
    assert [] == stored(mongo)
    assert [Outcome.DONE] == documents.restore([snapshot])
    assert [written] == stored(mongo)
    with pytest.raises(QueryError, match=f"more than {LARGEST_EDIT:,} bytes"):
        documents.replace(snapshot, encode({"_id": 1}))
    assert [written] == stored(mongo)


def test_an_edit_of_the_largest_size_is_carried_out(
    mongo: MongoServer, documents: MongoRecords
) -> None:
    """Up to the limit, MongoDB takes what is before and what is after."""
    without = len(encode({"_id": 1, "text": ""}))
    written = encode({"_id": 1, "text": "x" * (LARGEST_EDIT // 2 - without)})
    insert(mongo, written)
    snapshot = read_one(documents, located(value_of(1)))
    edited = written.replace(b"x", b"y")
    assert Outcome.DONE is documents.replace(snapshot, edited)
    assert [edited] == stored(mongo)


REFUSED_PLACES: Mapping[str, tuple[str, str, str]] = {
    "KATO's totals": (KB, METADATA, "totals"),
    "patterns": (KB, PATTERNS, "as a pattern"),
    "MongoDB's own collection": (KB, "system.views", "MongoDB's own"),
    "a view": (KB, "view", "is a view"),
    "MongoDB's own database": ("admin", "things_kb", "MongoDB's own"),
    "configuration": ("config", "things_kb", "MongoDB's own"),
    "another database": ("shop", "orders", "no knowledge base"),
}


@pytest.mark.parametrize(
    ("kb", "collection", "reason"), REFUSED_PLACES.values(), ids=REFUSED_PLACES.keys()
)
def test_places_that_are_never_changed_are_refused(
    mongo: MongoServer, documents: MongoRecords, kb: str, collection: str, reason: str
) -> None:
    """Whoever asks, and whatever for; nothing is done."""
    mongo.client["shop"]["orders"].insert_one({"_id": 1})
    mongo.client[KB].create_collection("view", viewOn=COLLECTION)
    for name in (METADATA, PATTERNS):
        mongo.client[KB][name].insert_one({"_id": 1})
    mongo.client["admin"]["things"].drop()
    snapshot = Snapshot(located(value_of(1), collection, kb), encode({"_id": 1}))
    asked: list[Callable[[], object]] = [
        lambda: documents.read([snapshot.locator]),
        lambda: documents.delete([snapshot]),
        lambda: documents.replace(snapshot, encode({"_id": 1, "value": 1})),
        lambda: documents.restore([snapshot]),
    ]
    for ask in asked:
        with pytest.raises(NotChangeableError, match=reason):
            ask()
    assert {"_id": 1} == mongo.client["shop"]["orders"].find_one()
    assert {"_id": 1} == mongo.client[KB][METADATA].find_one()


def test_a_knowledge_base_or_collection_that_is_gone_has_no_records(
    mongo: MongoServer, documents: MongoRecords
) -> None:
    """They are missing; and nothing is put back into a collection that is not there."""
    snapshots = [
        Snapshot(located(value_of(1), kb="gone_kato"), encode({"_id": 1})),
        Snapshot(located(value_of(1), "gone_kb"), encode({"_id": 1})),
    ]
    for snapshot in snapshots:
        assert [None] == documents.read([snapshot.locator])
        assert [Outcome.MISSING] == documents.delete([snapshot])
        assert Outcome.MISSING is documents.replace(snapshot, encode({"_id": 1, "a": 1}))
        with pytest.raises(QueryError, match="no collection"):
            documents.restore([snapshot])
    assert "gone_kato" not in mongo.client.list_database_names()


LOCATORS: Mapping[str, bytes] = {
    "nothing": b"",
    "no BSON": b"abc",
    "no fields": encode({}),
    "a number for a name": encode({"db": 1, "collection": "a", "_id": 1}),
    "another order": encode({"_id": 1, "db": KB, "collection": COLLECTION}),
    "more": encode({"db": KB, "collection": COLLECTION, "_id": 1, "name": "a", "more": 1}),
    "a database that cannot be": encode({"db": "a/b", "collection": COLLECTION, "_id": 1}),
    "no database": encode({"db": "", "collection": COLLECTION, "_id": 1}),
    "a pattern for an _id": encode({"db": KB, "collection": COLLECTION, "_id": [1]}),
    "a wrong text": document_of(
        [("db", string("\udcff")), ("collection", string("a")), ("_id", value_of(1))]
    ),
}


@pytest.mark.parametrize("locator", LOCATORS.values(), ids=LOCATORS.keys())
def test_a_locator_of_nothing_is_refused(documents: MongoRecords, locator: bytes) -> None:
    """Whatever a form sends."""
    with pytest.raises(QueryError, match=r"locator|can be no"):
        documents.read([locator])


@given(locator=st.binary(max_size=60))
def test_any_bytes_are_a_locator_or_refused(locator: bytes) -> None:
    """Nothing else is raised."""
    try:
        place = place_of(locator)
    except QueryError:
        return
    assert locator == place.locator


@settings(max_examples=40, deadline=None, suppress_health_check=FIXTURES)
@given(identity=VALUES)
def test_an_id_that_no_document_has_is_not_found(
    mongo: MongoServer, documents: MongoRecords, identity: BsonValue
) -> None:
    """An operator, a regular expression or broken BSON finds nothing, or is refused."""
    assume(identity != value_of(1))
    mongo.client[KB][COLLECTION].replace_one({"_id": 1}, {"value": 1}, upsert=True)
    with suppress(QueryError):
        assert [None] == documents.read([located(identity)])


def test_the_words_for_people_tell_place_and_page(documents: MongoRecords) -> None:
    """A pattern is called by its name, all else by its collection and `_id`."""
    name = "0123456789" * 4
    pattern = Place(KB, PATTERNS, value_of(1), name).locator
    thing = located(value_of(ObjectId("0" * 24)))
    assert f"{KB} {name}" == documents.label(pattern)
    assert f"/kb/{KB}/patterns/{name}" == documents.path(pattern)
    assert f"{KB} {COLLECTION} {'0' * 24}" == documents.label(thing)
    assert f"/kb/{KB}/collections/{COLLECTION}/{'0' * 24}" == documents.path(thing)
    long = located(string("x" * 5_000))
    assert f"/kb/{KB}/collections/{COLLECTION}" == documents.path(long)
    assert len(documents.label(long)) < 300


FAILURES: Mapping[str, tuple[dict[str, Any], type[StoreError], bool]] = {
    "not permitted": ({"errorCode": 13}, QueryError, False),
    "the time is up": ({"errorCode": 50}, StoreError, False),
    "the connection breaks": ({"closeConnection": True}, StoreError, False),
    "no majority": (
        {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
        StoreError,
        True,
    ),
}


@pytest.mark.parametrize(("failure", "raised", "done"), FAILURES.values(), ids=FAILURES.keys())
def test_a_refusal_means_that_nothing_was_done(
    mongo: MongoServer,
    documents: MongoRecords,
    failure: dict[str, Any],
    raised: type[StoreError],
    done: bool,  # noqa: FBT001 - a fact of the case
) -> None:
    """All other failures mean that nobody knows."""
    insert(mongo, encode({"_id": 1}), encode({"_id": 2}))
    locators = [located(value_of(n)) for n in (1, 2, 3)]
    first, second = (read_one(documents, locator) for locator in locators[:2])
    third = Snapshot(locators[2], encode({"_id": 3}))
    asked: Mapping[str, Callable[[], object]] = {
        "delete": lambda: documents.delete([first]),
        "update": lambda: documents.replace(second, encode({"_id": 2, "value": 1})),
        "insert": lambda: documents.restore([third]),
    }
    for command, ask in asked.items():
        before = stored(mongo)
        with failing(mongo, command, failure), pytest.raises(StoreError) as error:
            ask()
        assert raised is QueryError or not isinstance(error.value, QueryError)
        assert isinstance(error.value, raised)
        assert done == (before != stored(mongo))


@contextmanager
def failing(mongo: MongoServer, command: str, failure: dict[str, Any]) -> Iterator[None]:
    """Let a command of ours fail."""
    data = {"failCommands": [command], "appName": "kato-exporter", **failure}
    try:
        mongo.client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)
    except OperationFailure:
        pytest.skip("this server has no fail points")
    try:
        yield
    finally:
        mongo.client.admin.command("configureFailPoint", "failCommand", mode="off")


def test_a_refusal_after_a_part_was_done_is_none(
    mongo: MongoServer, documents: MongoRecords
) -> None:
    """Then somebody has to look what was done."""
    insert(mongo, encode({"_id": 1}))
    snapshots = [read_one(documents, located(value_of(1)))]
    snapshots.append(Snapshot(located(value_of(1), METADATA), encode({"_id": 1})))
    with pytest.raises(StoreError, match="a part was done") as error:
        documents.delete(snapshots)
    assert not isinstance(error.value, QueryError)
    assert [] == stored(mongo)


def test_a_silent_server_gives_no_answer_in_time() -> None:
    """It is a StoreError, after the time limit."""
    with black_hole() as port, connected(f"mongodb://127.0.0.1:{port}", timeout=0.2) as connection:
        documents = MongoRecords(connection, label=place_label, path=place_path)
        with pytest.raises(StoreError) as error:
            documents.read([located(value_of(1))])
    assert not isinstance(error.value, QueryError)


def test_many_documents_are_deleted_in_several_messages(
    mongo: MongoServer, documents: MongoRecords
) -> None:
    """By number and by bytes; each has its outcome."""
    numbers = range(2_500)
    insert(mongo, *(encode({"_id": n, "value": n}) for n in numbers))
    for n in range(3_000, 3_005):
        insert(mongo, encode({"_id": n, "text": "x" * 9_000_000}))
    snapshots = []
    for portion in (numbers, range(3_000, 3_005)):
        found = documents.read([located(value_of(n)) for n in portion])
        snapshots += [each for each in found if each is not None]
    change(mongo, 1_234)
    outcomes = documents.delete(snapshots)
    assert 2_505 == len(outcomes)
    assert [1_234] == [n for n, each in enumerate(outcomes) if each is not Outcome.DONE]
    assert 1 == len(stored(mongo))
    changed = snapshots.pop(1_234)
    assert {Outcome.DONE} == set(documents.restore(snapshots))
    assert [Outcome.TAKEN] == documents.restore([changed])
    assert 2_505 == len(stored(mongo))


def test_too_many_bytes_at_once_are_refused(
    mongo: MongoServer, documents: MongoRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not read into memory."""
    monkeypatch.setattr("kato_exporter.stores.mongodb.records.LARGEST_READ", 20_000)
    insert(mongo, *(encode({"_id": n, "text": "x" * 9_000}) for n in range(3)))
    locators = [located(value_of(n)) for n in range(3)]
    assert None not in documents.read(locators[:2])
    with pytest.raises(QueryError, match="fewer at once"):
        documents.read(locators)
