"""Patterns that go, come back and get another frequency: KATO's counts stay right, exactly once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest
from bson import Decimal128, Int64, decode, encode
from pymongo import UpdateOne
from pymongo.database import Database

from kato_exporter.browser.knowledge.document_records import place_label, place_path
from kato_exporter.demo.shapes import Document
from kato_exporter.demo.workload import Workload
from kato_exporter.kato.knowledge import METADATA, PATTERNS, SYMBOLS
from kato_exporter.stores.errors import NotChangeableError, QueryError
from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, document_of
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.learnings import TOTALS
from kato_exporter.stores.mongodb.pattern_records import PatternRecords
from kato_exporter.stores.mongodb.places import Place
from kato_exporter.stores.mongodb.settling import MARKS
from kato_exporter.stores.mongodb.writing import RAW, raw
from kato_exporter.stores.records import Outcome, Snapshot
from support.bson_values import string, value_of
from support.servers import MongoServer, RedisServer

KB = "alice_kato"
Counts = tuple[dict[str, int], dict[str, tuple[int, int]]]


@pytest.fixture
def patterns(mongo: MongoServer) -> Iterator[PatternRecords]:
    """Give the kind `pattern` on the emptied server."""
    connection = MongoConnection(mongo.url, timeout=20, query_timeout=20)
    with closing(connection):
        yield PatternRecords(connection, label=place_label, path=place_path)


@pytest.fixture
def learned(mongo: MongoServer, valkey: RedisServer) -> Database[Document]:
    """Give a knowledge base as KATO has it after some hours."""
    Workload(valkey.client, mongo.client, seed=5).fill()
    return mongo.client[KB]


def locators(database: Database[Document], **condition: Any) -> list[bytes]:
    """Give the locators of patterns by name."""
    found = database[PATTERNS].find(condition).sort("name")
    return [
        Place(database.name, PATTERNS, value_of(each["_id"]), each["name"]).locator
        for each in found
    ]


def read(kind: PatternRecords, wanted: Sequence[bytes]) -> list[Snapshot]:
    """Read patterns that are there."""
    found = [each for each in kind.read(wanted) if each is not None]
    assert len(wanted) == len(found)
    return found


def kept_counts(database: Database[Document]) -> Counts:
    """Read the totals, and of each symbol the frequency and the learnings with it."""
    totals = database[METADATA].find_one({"class": "totals"})
    assert totals is not None
    symbols = {
        each["name"]: (each["frequency"], each["pattern_member_frequency"])
        for each in database[SYMBOLS].find()
    }
    return {total: totals[total] for total in TOTALS}, symbols


def right_counts(database: Database[Document]) -> Counts:
    """Count anew, from the patterns that are there; symbols that none has are 0."""
    totals = dict.fromkeys(TOTALS, 0)
    symbols = {each["name"]: (0, 0) for each in database[SYMBOLS].find()}
    for pattern in database[PATTERNS].find():
        flat = [symbol for event in pattern["pattern_data"] for symbol in event]
        times = pattern["frequency"]
        for total, amount in zip(TOTALS, (1, len(flat), len(set(flat))), strict=True):
            totals[total] += times * amount
        for symbol in set(flat):
            frequency, membership = symbols[symbol]
            symbols[symbol] = frequency + times * flat.count(symbol), membership + times
    return totals, symbols


def whole(database: Database[Document]) -> dict[str, list[Document]]:
    """Give all documents of all collections."""
    return {
        name: list(database[name].find().sort("_id"))
        for name in sorted(database.list_collection_names())
    }


def test_deleted_patterns_leave_kato_counts_as_if_never_learned(
    learned: Database[Document], patterns: PatternRecords
) -> None:
    """All counts are those of a fresh count; restored, everything is as it was before."""
    before = whole(learned)
    assert right_counts(learned) == kept_counts(learned), "the workload's own"
    snapshots = read(patterns, locators(learned)[:25])
    assert [Outcome.DONE] * 25 == patterns.delete(snapshots)
    patterns.settle(snapshots, sign=-1, mark="a")
    patterns.forget(snapshots, mark="a")
    assert right_counts(learned) == kept_counts(learned)
    assert before != whole(learned)
    assert [Outcome.DONE] * 25 == patterns.restore(snapshots)
    patterns.settle(snapshots, sign=1, mark="b")
    patterns.forget(snapshots, mark="b")
    assert before == whole(learned)


def test_all_patterns_can_go(learned: Database[Document], patterns: PatternRecords) -> None:
    """Then all counts are 0."""
    snapshots = read(patterns, locators(learned))
    patterns.delete(snapshots)
    patterns.settle(snapshots, sign=-1, mark="a")
    totals, symbols = kept_counts(learned)
    assert {0} == set(totals.values())
    assert {(0, 0)} == set(symbols.values())


def test_another_frequency_is_settled(
    learned: Database[Document], patterns: PatternRecords
) -> None:
    """What it becomes is added, what it was is taken away."""
    [before] = read(patterns, locators(learned)[:1])
    document = decode(before.content)
    after = encode({**document, "frequency": document["frequency"] + 7})
    assert Outcome.DONE is patterns.replace(before, after)
    for snapshot, sign, mark in (
        (Snapshot(before.locator, after), 1, "a+"),
        (before, -1, "a-"),
    ):
        for _ in range(2):
            patterns.settle([snapshot], sign=sign, mark=mark)
        patterns.forget([snapshot], mark=mark)
    assert right_counts(learned) == kept_counts(learned)
    assert not marked(learned)


def marked(database: Database[Document]) -> list[Document]:
    """Give the documents that still have a mark, or the field for them."""
    condition = {MARKS: {"$exists": True}}
    return [*database[SYMBOLS].find(condition), *database[METADATA].find(condition)]


def test_asked_again_it_changes_nothing(
    learned: Database[Document], patterns: PatternRecords
) -> None:
    """Before the marks are taken away; another mark is another time."""
    snapshots = read(patterns, locators(learned)[:5])
    patterns.delete(snapshots)
    for _ in range(3):
        patterns.settle(snapshots, sign=-1, mark="a")
    assert right_counts(learned) == kept_counts(learned)
    assert marked(learned)
    for _ in range(2):
        patterns.forget(snapshots, mark="a")
    assert not marked(learned)
    patterns.settle(snapshots, sign=1, mark="b")
    patterns.settle(snapshots, sign=-1, mark="c")
    assert right_counts(learned) == kept_counts(learned)
    patterns.forget(snapshots, mark="b")
    assert [["c"]] == [list(each) for each in {tuple(each[MARKS]) for each in marked(learned)}]


class KilledError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("killed_after", range(5))
def test_killed_anywhere_and_asked_again_it_counts_once(
    learned: Database[Document],
    patterns: PatternRecords,
    monkeypatch: pytest.MonkeyPatch,
    killed_after: int,
) -> None:
    """Some symbols are done, others not; KATO learns meanwhile."""
    monkeypatch.setattr("kato_exporter.stores.mongodb.settling._AT_ONCE", 7)
    snapshots = read(patterns, locators(learned)[:10])
    patterns.delete(snapshots)
    add: Callable[..., None] = settling("_add")
    calls: list[object] = []

    def add_or_die(*arguments: Any) -> None:
        if len(calls) == killed_after:
            raise KilledError
        calls.append(arguments)
        add(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr("kato_exporter.stores.mongodb.settling._add", add_or_die)
        with pytest.raises(KilledError):
            patterns.settle(snapshots, sign=-1, mark="a")
    learn_again(learned)
    patterns.settle(snapshots, sign=-1, mark="a")
    patterns.settle(snapshots, sign=-1, mark="a")
    patterns.forget(snapshots, mark="a")
    assert right_counts(learned) == kept_counts(learned)
    assert not marked(learned)


def settling(name: str) -> Any:
    """Give what is private to the module that settles."""
    return PatternRecords.settle.__globals__["settle"].__globals__[name]


def learn_again(database: Database[Document]) -> None:
    """Learn a pattern that is there once more, as KATO does."""
    pattern = database[PATTERNS].find_one_and_update({}, {"$inc": {"frequency": 1}})
    assert pattern is not None
    flat = [symbol for event in pattern["pattern_data"] for symbol in event]
    database[SYMBOLS].bulk_write(
        [
            UpdateOne(
                {"name": symbol},
                {"$inc": {"frequency": flat.count(symbol), "pattern_member_frequency": 1}},
            )
            for symbol in set(flat)
        ]
    )
    amounts = zip(TOTALS, (1, len(flat), len(set(flat))), strict=True)
    database[METADATA].update_one({"class": "totals"}, {"$inc": dict(amounts)})


def test_what_kato_counts_meanwhile_is_not_lost(
    learned: Database[Document], patterns: PatternRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at a count and its change."""
    snapshots = read(patterns, locators(learned)[:3])
    patterns.delete(snapshots)
    look = settling("_amounts")

    def look_and_learn(*arguments: Any) -> Any:
        found = look(*arguments)
        learn_again(learned)
        return found

    monkeypatch.setattr("kato_exporter.stores.mongodb.settling._amounts", look_and_learn)
    patterns.settle(snapshots, sign=-1, mark="a")
    assert right_counts(learned) == kept_counts(learned)


def test_two_that_settle_the_same_at_once_count_once(
    learned: Database[Document], patterns: PatternRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One looks, the other changes, and the first changes nothing more."""
    snapshots = read(patterns, locators(learned)[:3])
    patterns.delete(snapshots)
    look = settling("_amounts")

    def look_and_be_overtaken(*arguments: Any) -> Any:
        found = look(*arguments)
        with monkeypatch.context() as patched:
            patched.setattr("kato_exporter.stores.mongodb.settling._amounts", look)
            patterns.settle(snapshots, sign=-1, mark="a")
        return found

    monkeypatch.setattr("kato_exporter.stores.mongodb.settling._amounts", look_and_be_overtaken)
    patterns.settle(snapshots, sign=-1, mark="a")
    assert right_counts(learned) == kept_counts(learned)


def test_a_symbol_that_comes_after_all_was_settled_is_left_alone(
    learned: Database[Document], patterns: PatternRecords
) -> None:
    """KATO learns it anew while the settling is asked for again."""
    [snapshot] = read(patterns, locators(learned)[:1])
    symbol = decode(snapshot.content)["pattern_data"][0][0]
    learned[SYMBOLS].delete_one({"name": symbol})
    patterns.delete([snapshot])
    patterns.settle([snapshot], sign=-1, mark="a")
    anew = {"name": symbol, "frequency": 100, "pattern_member_frequency": 100}
    learned[SYMBOLS].insert_one(dict(anew))
    patterns.settle([snapshot], sign=-1, mark="a")
    assert anew == learned[SYMBOLS].find_one({"name": symbol}, {"_id": False})


def pattern(identity: int, events: Any, frequency: Any, **more: Any) -> Document:
    """Make a pattern."""
    return {
        "_id": identity,
        "name": f"{identity:040x}",
        "pattern_data": events,
        "frequency": frequency,
        "length": 2,
        **more,
    }


def one(mongo: MongoServer, kind: PatternRecords, document: Document) -> Snapshot:
    """Insert a pattern and read it."""
    mongo.client[KB][PATTERNS].insert_one(document)
    [snapshot] = read(kind, [Place(KB, PATTERNS, value_of(document["_id"])).locator])
    return snapshot


def test_no_count_falls_below_zero(mongo: MongoServer, patterns: PatternRecords) -> None:
    """That one stays, the others change, and it is told beforehand."""
    database = mongo.client[KB]
    database[METADATA].insert_one({"class": "totals", **dict(zip(TOTALS, (2, 9, 9), strict=True))})
    database[SYMBOLS].insert_many(
        [
            {"name": "a", "frequency": 2, "pattern_member_frequency": 5},
            {"name": "b", "frequency": 3, "pattern_member_frequency": 2},
        ]
    )
    snapshot = one(mongo, patterns, pattern(1, [["a"], ["b"]], 3, emotives={}))
    said = patterns.references([snapshot])
    assert f"Totals of {KB} that stay, for they would fall below 0: {TOTALS[0]}." in said
    assert any("falls" in each or "fall below 0: 2." in each for each in said), said
    patterns.settle([snapshot], sign=-1, mark="a")
    totals, symbols = kept_counts(database)
    assert dict(zip(TOTALS, (2, 3, 3), strict=True)) == totals
    assert {"a": (2, 2), "b": (0, 2)} == symbols


def test_counts_of_other_types_stay_as_they_are(
    mongo: MongoServer, patterns: PatternRecords
) -> None:
    """Doubles, longs and decimals count; texts, NaN, arrays and nothing do not."""
    database = mongo.client[KB]
    database[METADATA].insert_one({"class": "totals", TOTALS[0]: "many", TOTALS[1]: 9.0})
    odd = {
        "double": (5.0, 3.0),
        "long": (Int64(5), Int64(3)),
        "decimal": (Decimal128("5.0"), Decimal128("3.0")),
        "text": ("5", "5"),
        "array": ([5], [5]),
        "bool": (True, True),
        "null": (None, None),
    }
    database[SYMBOLS].insert_many(
        [{"name": name, "frequency": value} for name, (value, _) in odd.items()]
    )
    database[SYMBOLS].insert_one({"name": "nan", "frequency": float("nan")})
    snapshot = one(mongo, patterns, pattern(1, [[*odd, "nan", "unknown"]], 2))
    patterns.settle([snapshot], sign=-1, mark="a")
    patterns.settle([snapshot], sign=-1, mark="a")
    patterns.forget([snapshot], mark="a")
    found = {each["name"]: each for each in database[SYMBOLS].find()}
    for name, (_, expected) in odd.items():
        assert (expected, type(expected)) == (
            found[name]["frequency"],
            type(found[name]["frequency"]),
        )
        assert {"_id", "name", "frequency"} == found[name].keys()
    assert str(found["nan"]["frequency"]) == "nan"
    assert "unknown" not in found
    totals = database[METADATA].find_one({}, {"_id": False})
    assert {"class": "totals", TOTALS[0]: "many", TOTALS[1]: 9.0} == totals


ODD_PATTERNS: list[tuple[Any, Any]] = [
    (None, 1),
    ("text", 1),
    ([["a"], "b"], 1),
    ([["a", 1]], 1),
    ([[["a"]]], 1),
    ([["a"]], 0),
    ([["a"]], -3),
    ([["a"]], 2.0),
    ([["a"]], True),
    ([["a"]], "2"),
    ([["a"]], 2**40),
    ([["a"]], None),
]


@pytest.mark.parametrize(("events", "frequency"), ODD_PATTERNS)
def test_what_kato_cannot_have_written_changes_no_count(
    mongo: MongoServer, patterns: PatternRecords, events: object, frequency: object
) -> None:
    """It is deleted and put back like any other, and this is told."""
    database = mongo.client[KB]
    database[METADATA].insert_one({"class": "totals", **dict.fromkeys(TOTALS, 9)})
    database[SYMBOLS].insert_one({"name": "a", "frequency": 9, "pattern_member_frequency": 9})
    snapshot = one(mongo, patterns, pattern(1, events, frequency))
    before = whole(database)
    assert any("cannot have written: 1." in each for each in patterns.references([snapshot]))
    assert [Outcome.DONE] == patterns.delete([snapshot])
    patterns.settle([snapshot], sign=-1, mark="a")
    patterns.forget([snapshot], mark="a")
    assert [Outcome.DONE] == patterns.restore([snapshot])
    assert before == whole(database)


def array_of(*values: BsonValue) -> BsonValue:
    """Make an array."""
    return BsonValue(BsonType.ARRAY, document_of((str(n), each) for n, each in enumerate(values)))


def test_symbols_of_any_text_are_settled(mongo: MongoServer, patterns: PatternRecords) -> None:
    """Text that is not UTF-8, like an operator, or empty; and a record with a field twice."""
    database = mongo.client[KB]
    names = [string(text) for text in ("\udcff", "$name", "", "a.b", "x")]
    documents = [
        document_of(
            [
                ("_id", value_of(number)),
                ("name", name),
                ("frequency", value_of(9)),
                ("pattern_member_frequency", value_of(9)),
                ("twice", value_of(1)),
                ("twice", value_of(2)),
            ]
        )
        for number, name in enumerate(names)
    ]
    database.command({"insert": SYMBOLS, "documents": [*map(raw, documents)]})
    content = document_of(
        [
            ("_id", value_of(1)),
            ("pattern_data", array_of(array_of(*names))),
            ("frequency", value_of(2)),
        ]
    )
    database.command({"insert": PATTERNS, "documents": [raw(content)]})
    [snapshot] = read(patterns, [Place(KB, PATTERNS, value_of(1)).locator])
    patterns.settle([snapshot], sign=-1, mark="$name")
    patterns.settle([snapshot], sign=-1, mark="$name")
    patterns.forget([snapshot], mark="$name")
    for number, (document, name) in enumerate(zip(documents, names, strict=True)):
        expected = document.replace(value_of(9).data, value_of(7).data)
        symbols = database.with_options(codec_options=RAW)[SYMBOLS]
        assert expected == bytes(symbols.find({"_id": number})[0].raw), name


def test_a_pattern_stays_the_same_pattern(mongo: MongoServer, patterns: PatternRecords) -> None:
    """Its name, events and length cannot be edited."""
    document = pattern(1, [["a"], ["b"]], 3, emotives={})
    snapshot = one(mongo, patterns, document)
    for wrong in (
        {"name": "f" * 40},
        {"pattern_data": [["a"]]},
        {"length": 3},
        {"length": 2.0},
    ):
        with pytest.raises(QueryError, match="cannot be changed"):
            patterns.replace(snapshot, encode({**document, **wrong}))
    assert Outcome.DONE is patterns.replace(snapshot, encode({**document, "frequency": 4}))


def test_only_patterns_are_patterns(mongo: MongoServer, patterns: PatternRecords) -> None:
    """Another collection is refused, and a pattern of another name is not there."""
    mongo.client[KB][SYMBOLS].insert_one({"_id": 1})
    with pytest.raises(NotChangeableError, match=f"patterns lie in {PATTERNS}"):
        patterns.read([Place(KB, SYMBOLS, value_of(1)).locator])
    one(mongo, patterns, pattern(1, [["a"]], 1))
    names = [f"{1:040x}", f"{2:040x}"]
    found = patterns.read([Place(KB, PATTERNS, value_of(1), name).locator for name in names])
    assert [True, False] == [each is not None for each in found]


def test_references_tell_what_is_kept_right_and_what_is_not(
    learned: Database[Document], patterns: PatternRecords
) -> None:
    """The amounts taken off the totals, how many symbols, and the emotives that stay."""
    wanted = locators(learned, emotives={"$ne": {}})[:1]
    [snapshot] = read(patterns, wanted)
    document = decode(snapshot.content)
    flat = [symbol for event in document["pattern_data"] for symbol in event]
    times = document["frequency"]
    said = patterns.references([snapshot])
    amounts = (times, times * len(flat), times * len(set(flat)))
    losses = ", ".join(f"{n:,} from {total}" for n, total in zip(amounts, TOTALS, strict=True))
    assert f"Taken off KATO's totals of {KB}: {losses}." == said[0]
    assert said[1].endswith(f"are lessened: {len(set(flat))}.")
    assert any("sums of emotives" in each for each in said)
    [plain] = read(patterns, locators(learned, emotives={})[:1])
    assert not any("sums of emotives" in each for each in patterns.references([plain]))


def test_a_knowledge_base_without_counts_settles_nothing(
    mongo: MongoServer, patterns: PatternRecords
) -> None:
    """No totals, no symbols: nothing is made."""
    snapshot = one(mongo, patterns, pattern(1, [["a"]], 1))
    before = whole(mongo.client[KB])
    patterns.settle([snapshot], sign=-1, mark="a")
    patterns.forget([snapshot], mark="a")
    assert before == whole(mongo.client[KB])
