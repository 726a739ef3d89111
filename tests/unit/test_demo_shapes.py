"""The demo's records have the shapes that a KATO 2 was recorded with."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from kato_exporter.demo import shapes
from kato_exporter.demo.shapes import Pattern
from kato_exporter.kato.sessions import born_at, parse_session_key

FIXTURES = Path(__file__).parents[1] / "fixtures" / "kato2"
RECORDED_SESSIONS: list[dict[str, Any]] = json.loads((FIXTURES / "redis.json").read_text())
RECORDED_BASES: list[dict[str, Any]] = [
    json.loads(path.read_text()) for path in sorted(FIXTURES.glob("mongodb_*_kato.json"))
]
RECORDED_PREDICTIONS: list[list[dict[str, Any]]] = [
    document["predictions"]
    for base in RECORDED_BASES
    for document in base["collections"]["predictions_kb"]["documents"]
]
APPROXIMATED = {
    "normalized_entropy",
    "global_normalized_entropy",
    "itfdf_similarity",
}


def created_session(recorded: dict[str, Any]) -> dict[str, Any]:
    """Make a session with the identity, node, birth and promised end of a recorded one."""
    born = datetime.fromisoformat(recorded["created_at"]).timestamp()
    expires = datetime.fromisoformat(recorded["expires_at"]).timestamp()
    return shapes.session_record(
        recorded["session_id"],
        recorded["node_id"],
        born=born,
        ttl=round(expires - born),
        metadata=recorded["metadata"],
    )


def test_a_new_session_is_written_as_kato_writes_it() -> None:
    """A session never used equals the recorded one but for its config's own microseconds."""
    recorded = json.loads(RECORDED_SESSIONS[0]["value"])
    made = created_session(recorded)
    for field in ("created_at", "updated_at"):
        recorded["session_config"][field] = made["session_config"][field] = ""

    assert json.dumps(recorded) == shapes.session_text(made)


@pytest.mark.parametrize("entry", RECORDED_SESSIONS)
def test_sessions_have_the_recorded_fields_in_order(entry: dict[str, Any]) -> None:
    """Both the session and its config name the same fields in the same order as KATO."""
    recorded = json.loads(entry["value"])
    made = created_session(recorded)

    assert list(recorded) == list(made)
    assert list(recorded["session_config"]) == list(made["session_config"])
    assert recorded["expires_at"] == made["expires_at"]


def test_a_session_key_carries_its_birth_in_milliseconds() -> None:
    """The key is one that the exporter knows, and tells when the session was born."""
    key = shapes.session_key(shapes.session_id("3faa148f5f0a4cb8bc1eca2cd3398ebd", 1795383353.898))
    handle = parse_session_key(key.encode())

    assert RECORDED_SESSIONS[0]["key"] == key
    assert handle is not None
    assert born_at(handle) == pytest.approx(1795383353.898)


def test_an_update_gets_the_whole_seconds_left() -> None:
    """The next ttl is what is left until `expires_at`, rounded down, and at least 1."""
    record = shapes.session_record("session-x", "alice", born=1000.0, ttl=600, metadata={})

    assert 599 == shapes.remaining_ttl(record, 1000.4)
    assert 1 == shapes.remaining_ttl(record, 1599.9)
    assert 1 == shapes.remaining_ttl(record, 1700.0)


@pytest.mark.parametrize("base", RECORDED_BASES, ids=lambda base: base["database"])
def test_indexes_are_the_recorded_ones(base: dict[str, Any]) -> None:
    """Every collection gets the recorded indexes, by name, key and options."""
    made = {
        collection: {
            index.document["name"]: {
                "key": [list(part) for part in index.document["key"].items()],
                "background": index.document["background"],
                "unique": index.document.get("unique", False),
            }
            for index in indexes
        }
        for collection, indexes in shapes.INDEXES.items()
    }
    recorded = {
        name: {
            index: {
                "key": facts["key"],
                "background": facts["background"],
                "unique": facts.get("unique", False),
            }
            for index, facts in collection["indexes"].items()
            if index != "_id_"
        }
        for name, collection in base["collections"].items()
    }

    assert recorded == made


def test_a_pattern_is_named_as_recorded() -> None:
    """The name and length of each recorded pattern follow from its events."""
    for base in RECORDED_BASES:
        for document in base["collections"]["patterns_kb"]["documents"]:
            pattern = Pattern(document["pattern_data"])

            assert (document["name"], document["length"]) == (pattern.name, pattern.length)


@pytest.mark.parametrize("together", RECORDED_PREDICTIONS)
def test_predictions_are_reckoned_as_recorded(together: list[dict[str, Any]]) -> None:
    """From what was observed follows each recorded prediction, in all but the approximations."""
    for recorded in together:
        [present] = recorded["present"]
        made = shapes.prediction(
            Pattern(recorded["sequence"]),
            frequency=recorded["frequency"],
            emotives=recorded["emotives"],
            observed=[extras or present for extras in recorded["extras"]],
            matched=len(recorded["past"]),
            probability=1 / len(together),
        )

        assert list(recorded) == list(made)
        for field in recorded.keys() - APPROXIMATED:
            value = recorded[field]
            assert (pytest.approx(value) if isinstance(value, float) else value) == made[field]
        for field in APPROXIMATED:
            assert isinstance(made[field], float)


def test_totals_count_repeated_symbols_apart_from_distinct_ones() -> None:
    """A pattern with a symbol twice adds 4 occurrences, but 3 symbols in patterns."""
    count = shapes.count_learning(Pattern([["b2"], ["g1"], ["b1"], ["b2"]]))

    assert {
        "$inc": {
            "total_pattern_frequencies": 1,
            "total_symbol_frequencies": 4,
            "total_symbols_in_patterns_frequencies": 3,
        }
    } == count._doc  # noqa: SLF001 - the driver shows it nowhere else


def test_totals_begin_as_the_recorded_document() -> None:
    """The totals document has the recorded fields, all numbers 0."""
    [recorded] = RECORDED_BASES[0]["collections"]["metadata"]["documents"]
    made = shapes.totals_document(ObjectId())

    assert list(recorded) == list(made)
    assert ["totals", 0, 0, 0] == list(made.values())[1:]


@pytest.mark.parametrize(
    ("stored", "mean"),
    [
        ({}, {}),
        ([{"joy": 0.2}, {"joy": 0.4, "fear": 1.0}], {"joy": pytest.approx(0.3), "fear": 1.0}),
        ({"joy": [0.2, 0.4]}, {"joy": pytest.approx(0.3)}),
        (None, {}),
    ],
)
def test_emotives_are_averaged_in_each_shape(stored: object, mean: dict[str, float]) -> None:
    """Objects, arrays of objects and objects of arrays all come out as one number an emotive."""
    assert mean == shapes.mean_emotives(stored)


def test_vector_collections_are_euclid_of_512() -> None:
    """A knowledge base's collection is named for it and has KATO's parameters."""
    made = shapes.vector_collection("project_x_kato")

    assert "vectors_project_x_kato" == made["collection_name"]
    assert (512, "Euclid") == (made["vectors_config"].size, made["vectors_config"].distance.value)
    assert (16, 128, 10_000) == (
        made["hnsw_config"].m,
        made["hnsw_config"].ef_construct,
        made["hnsw_config"].full_scan_threshold,
    )
    assert made["on_disk_payload"]
