"""Session records as people see them: any JSON, and what of it fits on a page."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies

from kato_exporter.browser.sessions.views import (
    MOST_EMOTIVES,
    MOST_ENTRIES,
    MOST_EVENTS,
    MOST_FIELDS,
    MOST_SYMBOLS,
    Event,
    emotives_table,
    latest,
    latest_events,
    other_fields,
    searchable,
)
from kato_exporter.kato.session_documents import (
    DocumentError,
    SessionFacts,
    node_pointer_key,
    read_document,
    session_facts,
    session_key,
)

RECORDED = Path(__file__).parents[1] / "fixtures" / "kato2" / "redis.json"

json_values = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats()
    | strategies.text(),
    lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner),
    max_leaves=8,
)  # fmt: skip
FIELDS = (
    "session_id",
    "node_id",
    "created_at",
    "last_accessed",
    "expires_at",
    "stm",
    "access_count",
)


def test_a_recorded_session_of_kato_2_says_everything() -> None:
    """All that the list shows is read from a real record."""
    recorded = json.loads(RECORDED.read_text())[1]["value"].encode()

    assert SessionFacts(
        node_id="project-x",
        created_at=datetime(2026, 11, 22, 21, 35, 54, 932330, UTC),
        last_accessed=datetime(2026, 11, 22, 21, 35, 55, 324776, UTC),
        expires_at=datetime(2026, 11, 22, 22, 35, 54, 932330, UTC),
        stm_events=1,
        symbols=1,
        access_count=104,
        unlike=(),
    ) == session_facts(read_document(recorded))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not JSON: Expecting value"),
        (b'{"node_id": "\xff"}', "not UTF-8"),
        (b"[]", "JSON, but not an object"),
        (b"null", "JSON, but not an object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"time": ' + b"9" * 5_000 + b"}", "not JSON: Exceeds the limit"),
    ],
)
def test_what_is_no_record_says_why(value: bytes, reason: str) -> None:
    """Broken JSON is told apart from JSON that is no object."""
    with pytest.raises(DocumentError, match=f"^{reason}"):
        read_document(value)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [None, True, -1, 1.5, "text", [5], [["a", 5]], {"a": 1}])
def test_a_field_of_another_type_is_named(name: str, value: object) -> None:
    """Only that field is unlike KATO's, and what it would have told is not known."""
    record = json.loads(json.loads(RECORDED.read_text())[0]["value"])
    facts = session_facts(record | {name: value})
    text = isinstance(value, str) and name in ("session_id", "node_id")

    assert (() if text else (name,)) == facts.unlike


def test_missing_fields_are_named() -> None:
    """An empty object has nothing that KATO writes."""
    assert set(FIELDS) == set(session_facts({}).unlike)


@pytest.mark.parametrize(
    "time",
    ["2026-11-22T21:35:54", "0001-01-01T00:00:00+14:00", "yesterday", 1_795_383_354, None],
)
def test_a_time_that_cannot_be_compared_is_unknown(time: object) -> None:
    """No offset, before the year 1, no time at all."""
    assert session_facts({"created_at": time}).created_at is None


@settings(deadline=None)
@given(strategies.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, json_values)))
def test_any_object_has_facts(document: dict[str, Any]) -> None:
    """Whatever the types, counts are counts and times are times in UTC."""
    facts = session_facts(document)

    assert all(n is None or n >= 0 for n in (facts.stm_events, facts.symbols, facts.access_count))
    assert all(t is None or t.tzinfo is UTC for t in (facts.created_at, facts.last_accessed))


def test_keys_are_those_of_kato() -> None:
    """A session's record, and the pointer of its node."""
    assert b"kato:session:session-a" == session_key("session-a")
    assert b"kato:session:node:al[i]ce:active" == node_pointer_key("al[i]ce")


@settings(deadline=None)
@given(json_values)
def test_views_take_any_json(value: Any) -> None:
    """What is not a list has no entries; nothing raises."""
    for view in (latest(value), latest_events(value)):
        assert not view.entries or isinstance(value, list)
    assert not emotives_table(value).rows or isinstance(value, list)


def test_a_short_memory_is_shown_whole() -> None:
    """Events with their places, and as they are where they are no lists."""
    view = latest_events([["a", "b"], [], "odd"])

    assert 0 == view.left_out
    assert [
        Event(1, ["a", "b"], 0, None),
        Event(2, [], 0, None),
        Event(3, None, 0, "odd"),
    ] == view.entries


def test_the_latest_events_are_kept() -> None:
    """Of more events than fit the newest are shown, and the others counted."""
    view = latest_events([[str(n)] for n in range(MOST_EVENTS + 50)])

    assert 50 == view.left_out
    assert MOST_EVENTS == len(view.entries)
    assert [
        Event(51, ["50"], 0, None),
        Event(MOST_EVENTS + 50, [str(MOST_EVENTS + 49)], 0, None),
    ] == [
        view.entries[0],
        view.entries[-1],
    ]


def test_many_symbols_are_bounded() -> None:
    """Neither one huge event nor many large ones make the page huge."""
    huge = latest_events([["a"], ["b"] * (MOST_SYMBOLS + 7)])
    large = latest_events([["c"] * (MOST_SYMBOLS // 2)] * 5)

    assert [(2, MOST_SYMBOLS, 7)] == [(e.place, len(e.symbols), e.more) for e in huge.entries]
    assert 1 == huge.left_out
    assert [4, 5] == [event.place for event in large.entries]
    assert 3 == large.left_out


def test_emotives_have_a_column_each() -> None:
    """Rows with different emotives share the columns; what is no object stands as it is."""
    table = emotives_table([{"joy": 0.5}, 3, {"fear": math.inf, "joy": None}])

    assert ["joy", "fear"] == table.names
    assert [(1, [0.5, ""], None), (2, None, 3), (3, [None, math.inf], None)] == table.rows


def test_emotives_are_bounded() -> None:
    """Many rows and many names are cut, and how many is told."""
    table = emotives_table([{f"e{n}": n for n in range(MOST_EMOTIVES + 3)}] * (MOST_ENTRIES + 2))

    assert (MOST_EMOTIVES, 3) == (len(table.names), table.names_left_out)
    assert (MOST_ENTRIES, 2) == (len(table.rows), table.left_out)
    assert 3 == table.rows[0][0]


def test_other_fields_are_those_without_a_place_of_their_own() -> None:
    """KATO 3's fields are among them, and so is what nobody knows."""
    record = {"node_id": "a", "stm": [], "percept_data": {}, "predictions": [], "colour": "blue"}

    assert ["percept_data", "predictions", "colour"] == other_fields(record).entries
    assert 5 == other_fields({str(n): n for n in range(MOST_FIELDS + 5)}).left_out


@pytest.mark.parametrize("node_id", ["a", "x/y&z", "<b>", "a b", "é", "a" * 200])
def test_a_node_can_be_searched_for(node_id: str) -> None:
    """What a URL carries and the search field takes."""
    assert searchable(node_id)


@pytest.mark.parametrize("value", ["", " a", "a\n", "a\0b", "\ud800", "a" * 201, None, 5, ["a"]])
def test_an_odd_node_cannot_be_searched_for(value: object) -> None:
    """What would come back changed, or not at all, is no link."""
    assert not searchable(value)
