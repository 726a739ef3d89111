"""Anything in the place of what MongoDB answers: a valid exposition or a clean failure."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from kato_exporter.settings import ExporterSettings
from support.fuzzed_exporter import ACCEPTED, assert_promtool_agrees, fuzzed_exporter
from support.fuzzed_mongodb import Command, Document, FuzzedMongo, fuzzed_mongodb
from support.fuzzing import examples, spoiled

RECORDED = Path(__file__).parents[1] / "fixtures" / "kato2"
STATUS = json.loads((RECORDED / "mongodb_serverStatus.json").read_text(encoding="utf-8"))
KB = json.loads((RECORDED / "mongodb_alice_kato.json").read_text(encoding="utf-8"))
PATTERN = "a7938edb9478f7280132d45120f0ee0ebd58a9c3"
KBS = ("alice_kato", "other", "b")
COLLECTIONS = ("patterns_kb", "symbols_kb", "metadata", "predictions_kb", "more", "other")
ODD_BSON: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [None, True, 0, -1, 2**31, Int64(-5), Int64(2**63 - 1), 1e308, 1.7e308, -0.5, float("nan"),
         float("inf"), float("-inf"), "", "a\0b", "other", "\u202e", [], {}, [[]], {"": 1}, [{}],
         Decimal128("NaN"), Decimal128("1E+6000"), Decimal128("-1"), Decimal128("Infinity"),
         ObjectId("0" * 24), Timestamp(1, 1), Regex("a"), Code("x"), Binary(b"\xff"), MinKey(),
         MaxKey(), datetime(2026, 1, 1, tzinfo=UTC), 10**17]
    ),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10),
)  # fmt: skip
FAILURES = [
    {"ok": 0.0, "code": code, "codeName": "X", "errmsg": f"no\n{code}"}
    for code in (13, 18, 26, 50, 59, 76, 166, 8000, -1)
] + [{"ok": 0.0}, {}, {"ok": 1.0}, {"ok": "x"}, {"ok": 1.0, "cursor": {}}, {"ok": 0.0, "errmsg": 5}]


def cursor(*batch: Any) -> Document:
    """Give a reply with a cursor that has all."""
    return {"cursor": {"firstBatch": list(batch), "id": 0, "ns": "a.b"}, "ok": 1.0}


def buckets(*edges: Any) -> Document:
    """Give the reply to a `$bucket` stage."""
    return cursor(*({"_id": edge, "patterns": 2, "total": 2.0} for edge in edges))


KNOWN: dict[str, list[Document]] = {
    "serverStatus": [STATUS | {"ok": 1.0}],
    "replSetGetStatus": [{"members": [], "ok": 1.0}],
    "listDatabases": [{"databases": [{"name": name} for name in KBS], "ok": 1.0}],
    "listCollections": [
        cursor(*({"name": name, "type": "collection"} for name in COLLECTIONS)),
        cursor({"name": "patterns_kb"}),
    ],
    "dbStats": [KB["stats"]],
    "dbstats": [KB["stats"]],
    "listIndexes": [
        cursor(
            {"v": 2, "key": {"_id": 1}, "name": "_id_"},
            {"v": 2, "key": {"frequency": -1, "name": 1}, "name": "frequency_-1_name_1"},
        )
    ],
    "find metadata": [cursor({"class": "totals", "total_pattern_frequencies": 12})],
    "find patterns_kb": [
        cursor({"name": PATTERN, "frequency": 3}, {"name": "b" * 40, "frequency": 2.0}),
        cursor(),
    ],
    "aggregate $collStats": [cursor({"ns": "a", "count": 12}, {"count": 3}), cursor()],
    "aggregate $project": [buckets(1.0, "unusable"), buckets(1, 2.0000000000000004), cursor()],
    "aggregate $match": [cursor({"_id": None, "total": 40}), cursor()],
}


class Answers(dict[str, Document]):
    """Replies by command; too many to be shown."""

    def __repr__(self) -> str:
        shown = {name: reply for name, reply in self.items() if name != "serverStatus"}
        return f"Answers({repr(shown)[:3_000]})"

    def reply(self, command: Command) -> Document:
        """Choose by the command, and by what tells questions of the same command apart."""
        name = next(iter(command), "")
        if name == "find":
            name = f"find {command['find']}"
        if name == "aggregate":
            name = f"aggregate {next(iter(command['pipeline'][0]))}"
        return self.get(name, {"ok": 1.0})


def _with_ok(found: Any) -> Document:
    return found | {"ok": 1.0} if isinstance(found, dict) else {"ok": 1.0, "odd": found}


def replies(name: str) -> st.SearchStrategy[Document]:
    """Give replies like the known ones, more or less, and failures."""
    like = spoiled(KNOWN[name], ODD_BSON).map(_with_ok)
    return st.one_of(st.sampled_from(KNOWN[name]), like, like, st.sampled_from(FAILURES))


ANSWERS = st.fixed_dictionaries({name: replies(name) for name in KNOWN}).map(Answers)
ALL_KNOWLEDGE = {"knowledge", "patterns", "pattern_lengths"}
DISTRIBUTIONS = {"patterns", "pattern_lengths"}
BODIES: list[str] = []


@pytest.fixture(scope="module")
def mongo() -> Iterator[FuzzedMongo]:
    """Serve a stub of MongoDB."""
    with fuzzed_mongodb() as server:
        yield server


def settings_of(mongo: FuzzedMongo) -> ExporterSettings:
    """Give the settings that watch the stub."""
    return ExporterSettings(
        mongo_url=f"mongodb://127.0.0.1:{mongo.server_address[1]}/?directConnection=true",
        store_timeout=2,
        query_timeout=2,
        knowledge_most_kbs=2,
    )


@examples(30)
@given(answers=st.lists(ANSWERS, min_size=1, max_size=3))
def test_any_answer(mongo: FuzzedMongo, answers: list[Answers]) -> None:
    """No reply breaks the exposition, and no loss is taken back."""
    mongo.replies = answers[0].reply
    with fuzzed_exporter(settings_of(mongo)) as exporter:
        for answer in answers:
            mongo.replies = answer.reply
            for accept in ACCEPTED:
                exporter.scrape(accept)
        BODIES.extend(exporter.bodies)


def test_the_recorded_answers_are_whole(mongo: FuzzedMongo) -> None:
    """What is spoiled above gives whole collections as it is."""
    mongo.replies = Answers({name: known[0] for name, known in KNOWN.items()}).reply
    with fuzzed_exporter(settings_of(mongo)) as exporter:
        samples = exporter.scrape()
    succeeded = samples.by("collector", "kato_exporter_collector_success")
    assert {"mongodb": 1, "knowledge": 1, "patterns": 1, "pattern_lengths": 1} == succeeded
    assert 15 == samples.value("kato_patterns", kb="alice_kato")


@pytest.mark.parametrize(
    ("command", "reply", "failed"),
    [
        ("listDatabases", {"databases": [{"name": 5}], "ok": 1.0}, ALL_KNOWLEDGE),
        ("listDatabases", {"ok": 1.0}, ALL_KNOWLEDGE),
        ("listCollections", cursor({"name": None}), ALL_KNOWLEDGE),
        ("aggregate $collStats", cursor({"count": "x"}), {"knowledge"}),
        ("aggregate $collStats", cursor({"count": Int64(-5)}), {"knowledge"}),
        ("aggregate $collStats", cursor({"count": float("inf")}), {"knowledge"}),
        ("aggregate $project", cursor({"_id": 1, "patterns": "x", "total": 1}), DISTRIBUTIONS),
        ("aggregate $project", cursor({"_id": 1, "patterns": 1, "total": -1.0}), DISTRIBUTIONS),
        (
            "aggregate $project",
            cursor({"_id": 1, "patterns": 1, "total": Decimal128("NaN")}),
            DISTRIBUTIONS,
        ),
        ("find patterns_kb", cursor({"name": PATTERN, "frequency": float("inf")}), set()),
        ("find patterns_kb", cursor({"name": 7, "frequency": 3}), set()),
        ("find patterns_kb", {"ok": 0.0, "code": 50, "errmsg": 5}, {"patterns"}),
        ("serverStatus", {**STATUS, "mem": {"resident": 1.7e308}, "ok": 1.0}, set()),
    ],
)
def test_an_answer_of_another_type(
    mongo: FuzzedMongo, command: str, reply: Document, failed: set[str]
) -> None:
    """Its collector fails, and no other; or what has the odd value is left out."""
    whole = {name: known[0] for name, known in KNOWN.items()}
    mongo.replies = Answers(whole | {command: reply}).reply
    with fuzzed_exporter(settings_of(mongo)) as exporter:
        samples = exporter.scrape()
    succeeded = samples.by("collector", "kato_exporter_collector_success")
    assert failed == {name for name, whole in succeeded.items() if not whole}


def test_promtool_agrees() -> None:
    """It has nothing to say of what came out above."""
    assert_promtool_agrees(BODIES)
