"""A pattern's shapes, the conditions of a search and the links of a page; all without a server."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from bson.min_key import MinKey
from hypothesis import given
from hypothesis import strategies as st

from kato_exporter.browser.knowledge.bson_facts import bson_facts, document_url
from kato_exporter.browser.knowledge.symbol_links import patterns_with, stands_for
from kato_exporter.kato.patterns import (
    Emotive,
    Emotives,
    distinct_events,
    distinct_symbols,
    pattern_of,
    read_emotives,
    read_events,
    vector_of,
)
from kato_exporter.stores.mongodb.index_walk import HIGHEST, LOWEST
from kato_exporter.stores.mongodb.pattern_conditions import (
    at_or_behind,
    bounds_of,
    frequency_conditions,
    name_conditions,
    symbol_conditions,
)
from kato_exporter.stores.patterns import PatternFilter

SHA1 = "0123456789abcdef0123456789abcdef01234567"

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ([["a", "b"], ["c"]], (["a", "b"], ["c"])),
        ([], ()),
        ([[]], ([],)),
        ([["a"], "b"], None),
        ("ab", None),
        (None, None),
        ({"0": ["a"]}, None),
    ],
)
def test_events_are_lists_of_symbols(stored: Any, expected: Any) -> None:
    """What is no array of arrays is none."""
    assert expected == read_events(stored)


def test_symbols_and_events_are_told_once() -> None:
    """In the order in which they come; what is no text is no symbol."""
    events: list[list[Any]] = [["b", "a"], ["a", 7, None, "c"], ["b", "a"], []]

    assert ["b", "a", "c"] == distinct_symbols(events)
    assert [["b", "a"], ["a", 7, None, "c"], []] == distinct_events(events)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({}, Emotives("empty", ())),
        ([], Emotives("learnings", ())),
        (
            [{"joy": 1.0}, {"fear": 4}, {"joy": 2, "fear": math.nan}],
            Emotives(
                "learnings",
                (Emotive("joy", (1.0, None, 2), 1.5), Emotive("fear", (None, 4, math.nan), 4.0)),
            ),
        ),
        (
            {"joy": [1, 2, "x", True], "fear": []},
            Emotives("lists", (Emotive("joy", (1, 2, "x", True), 1.5), Emotive("fear", (), None))),
        ),
        ({"joy": 1}, None),
        ({"joy": [1], "fear": 2}, None),
        ([{"joy": 1}, 2], None),
        ("joy", None),
        (None, None),
        (7, None),
    ],
)
def test_emotives_are_read_in_each_of_their_shapes(stored: Any, expected: Emotives | None) -> None:
    """Any other shape is none; the mean is that of the finite numbers."""
    assert repr(expected) == repr(read_emotives(stored))


def test_the_mean_of_huge_emotives_is_finite() -> None:
    """Their sum would not be."""
    emotives = read_emotives({"joy": [1.7e308, 1.7e308]})

    assert emotives is not None
    assert 1.7e308 == emotives.emotives[0].mean


@given(VALUES)
def test_no_value_breaks_the_reading(value: Any) -> None:
    """Whatever is stored, it is read or it is none."""
    read_emotives(value)
    read_events(value)
    pattern_of(value)


@pytest.mark.parametrize(
    ("symbol", "pattern", "vector"),
    [
        (f"PTRN|{SHA1}", SHA1, None),
        (f"VCTR|{SHA1}", None, SHA1),
        (SHA1, None, None),
        (f"PTRN|{SHA1}0", None, None),
        (f"PTRN|{SHA1}\n", None, None),
        (f"PTRN|{SHA1.upper()}", None, None),
        (f"ptrn|{SHA1}", None, None),
        (7, None, None),
    ],
)
def test_symbols_stand_for_patterns_and_vectors(
    symbol: object, pattern: str | None, vector: str | None
) -> None:
    """By their prefix and a whole SHA-1, and by nothing less."""
    assert pattern == pattern_of(symbol)
    assert vector == vector_of(symbol)


def test_links_keep_every_character() -> None:
    """Of the name of the knowledge base and of the symbol."""
    assert "/kb/a%23b/patterns?symbol=%2F+%26%C3%A9%00" == patterns_with("/ &é\0", "a#b")
    assert f"/kb/a%23b/patterns/{SHA1}" == stands_for(f"PTRN|{SHA1}", "a#b")
    assert "/qdrant/vectors_a%23b" == stands_for(f"VCTR|{SHA1}", "a#b")


@pytest.mark.parametrize("symbol", ["", "x" * 1_001, 7, None, ["a"]])
def test_what_cannot_be_searched_has_no_link(symbol: object) -> None:
    """An empty or a very long symbol, and what is none."""
    assert patterns_with(symbol, "kb") is None
    assert stands_for(symbol, "kb") is None


def test_conditions_ask_for_text_and_numbers() -> None:
    """Nothing of what was typed becomes an operator."""
    wanted = PatternFilter(prefix="09f", symbol="$where", least=1, most=2)

    assert [{"name": {"$gte": "09f", "$lt": "09g"}}] == name_conditions(wanted)
    assert [{"frequency": {"$gte": 1, "$lte": 2}}] == frequency_conditions(wanted)
    assert [{"frequency": {"$lte": 0}}] == frequency_conditions(PatternFilter(most=0))
    [condition] = symbol_conditions(wanted)
    assert {"pattern_data": {"$elemMatch": {"$elemMatch": {"$eq": "$where"}}}} == condition
    for conditions in (name_conditions, frequency_conditions, symbol_conditions):
        assert [] == conditions(PatternFilter())


def test_bounds_hold_all_that_is_wanted() -> None:
    """Those of an order's own index; other conditions have none."""
    wanted = PatternFilter(prefix="09", symbol="a", least=0)

    assert ((math.inf, LOWEST), (0, HIGHEST)) == bounds_of("frequency", wanted)
    assert ((7, LOWEST), (-math.inf, HIGHEST)) == bounds_of("frequency", PatternFilter(most=7))
    assert (("09",), ("0:",)) == bounds_of("name", wanted)
    assert (None, None) == bounds_of("length", wanted)
    assert (None, None) == bounds_of("name", PatternFilter(least=1))


def test_a_key_in_a_condition_is_a_literal() -> None:
    """A text like `$name` in a key would else be a field."""
    condition = at_or_behind(["$name", "$$ROOT"], {"frequency": -1, "name": 1})

    assert {
        "$expr": {
            "$or": [
                {"$lt": [{"$ifNull": ["$frequency", None]}, {"$literal": "$name"}]},
                {
                    "$and": [
                        {"$eq": [{"$ifNull": ["$frequency", None]}, {"$literal": "$name"}]},
                        {"$gte": [{"$ifNull": ["$name", None]}, {"$literal": "$$ROOT"}]},
                    ]
                },
            ]
        }
    } == condition


def test_values_of_bson_become_facts() -> None:
    """JSON's own types stay, others are extended JSON."""
    identity = ObjectId("6b03603ab636be16ae8806dd")
    when = datetime(2025, 1, 2, tzinfo=UTC)

    assert {
        "a": [1, 2.5, "t", None, True, 2**60],
        "b": {"$oid": str(identity)},
        "c": {"$numberDecimal": "1.10"},
        "d": {"$date": {"$numberLong": "1735776000000"}},
        "e": {"$binary": {"base64": "/w==", "subType": "00"}},
        "f": {"$minKey": 1},
    } == bson_facts(
        {
            "a": [1, 2.5, "t", None, True, Int64(2**60)],
            "b": identity,
            "c": Decimal128("1.10"),
            "d": when,
            "e": Binary(b"\xff"),
            "f": MinKey(),
        }
    )


def test_documents_have_a_path() -> None:
    """By their `_id`, unless it is too long for a link."""
    identity = ObjectId("6b03603ab636be16ae8806dd")

    assert "/kb/a%3Fb/collections/patterns_kb/6b03603ab636be16ae8806dd" == document_url(
        "a?b", "patterns_kb", identity
    )
    assert "/kb/k/collections/c/%22a%5Cu002fb%22" == document_url("k", "c", "a/b")
    assert document_url("k", "c", "x" * 2_000) is None
