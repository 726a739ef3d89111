"""Documents and patterns as texts of forms: nothing lost, every mistake told beside its field."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from bson import Int64, decode, encode
from hypothesis import given
from hypothesis import strategies as st

from kato_exporter.browser.knowledge.bson_text import document_text, plain_text
from kato_exporter.browser.knowledge.document_form import (
    LARGEST_EDITED,
    document_texts,
    read_document,
)
from kato_exporter.browser.knowledge.extended_json import read
from kato_exporter.browser.knowledge.pattern_form import MOST_FREQUENT, pattern_texts, read_pattern
from kato_exporter.browser.records.form_faults import FormFaultsError, NotEditableError
from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, document_of, elements
from support.bson_values import IDS, NAMES, NAN_WITH_PAYLOAD, VALUES, object_of, string, value_of

IDENTITY = ("_id", value_of(7))


def fault_of(read_form: Any, content: bytes, typed: Mapping[str, str]) -> dict[str, str]:
    """Give what is wrong with what was typed."""
    with pytest.raises(FormFaultsError) as error:
        read_form(content, typed)
    return error.value.faults


@given(fields=st.lists(st.tuples(NAMES, VALUES), max_size=5))
def test_the_text_of_a_document_makes_the_same_bytes(fields: list[tuple[str, BsonValue]]) -> None:
    """Of every type; or it is said that it would not."""
    content = document_of([IDENTITY, *((n, value) for n, value in fields if n != "_id")])
    try:
        texts = document_texts(content)
    except NotEditableError:
        return
    assert content == read_document(content, texts)


@pytest.mark.parametrize("value", IDS, ids=lambda each: each.type.name)
def test_each_type_is_told_exactly_or_refused(value: BsonValue) -> None:
    """What is refused is what extended JSON has no spelling for."""
    content = document_of([("_id", value), ("also", value)])
    looks_like_a_spelling = object_of(("$oid", string("f" * 24)))
    old_binary = BsonValue(BsonType.BINARY, b"\1\0\0\0\x02z")
    if value in (NAN_WITH_PAYLOAD, looks_like_a_spelling, old_binary):
        with pytest.raises(NotEditableError):
            document_texts(content)
    else:
        assert content == read_document(content, document_texts(content))


@given(value=VALUES)
def test_plain_texts_are_read_back(value: BsonValue) -> None:
    """What canonical extended JSON tells exactly, the plain one does too."""
    canonical = document_of([IDENTITY, ("value", value)])
    try:
        document_texts(canonical)
    except NotEditableError:
        return
    assert value == read(plain_text(value))


def test_a_document_stands_on_lines() -> None:
    """Short values on one line, long ones over several, so that a diff is small."""
    content = encode({"_id": 7, "short": [1, 2], "long": ["x" * 30] * 3, "empty": {}})
    expected = """{
  "_id": {"$numberInt": "7"},
  "short": [{"$numberInt": "1"}, {"$numberInt": "2"}],
  "long": [
    "XXX",
    "XXX",
    "XXX"
  ],
  "empty": {}
}""".replace("XXX", "x" * 30)
    assert expected == document_text(content)
    assert "{}" == document_text(document_of([]))


def test_a_large_document_is_refused() -> None:
    """A form does not take it."""
    with pytest.raises(NotEditableError, match="at most"):
        document_texts(encode({"_id": 7, "text": "x" * LARGEST_EDITED}))


DOCUMENT = encode({"_id": 7, "value": 1, "nested": {"a": 1}})
WRONG_DOCUMENTS = {
    "": "Line 1, column 1: this is no JSON",
    '{"_id": 7,\n "value": }': "Line 2, column 11: this is no JSON",
    "[1]": "A document is an object",
    '{"$oid": "000000000000000000000000"}': "A document is an object",
    "{}": "_id cannot be changed",
    '{"_id": 8}': "_id cannot be changed",
    '{"_id": 7.0}': "_id cannot be changed",
    '{"_id": {"$numberLong": "7"}}': "_id cannot be changed",
    '{"value": 1, "_id": 7}': "_id cannot be changed, and stands first",
    '{"_id": 7, "value": 1, "value": 2}': "value stands twice",
    '{"_id": 7, "nested": [{"a": 1, "a": 2}]}': "a stands twice",
    '{"_id": 7, "value": NaN}': "no extended JSON",
    '{"_id": 7, "value": {"$oid": "1"}}': '"\\$oid" has a content',
    '{"_id": 7, "value": "\\ud800"}': "surrogate",
    '{"_id": 7, "value": 99999999999999999999}': "too large",
    f'{{"_id": 7, "value": {"[" * 300}{"]" * 300}}}': "deep",
    f'{{"_id": 7, "value": {"[" * 100_000}': "deep|no JSON",
    f'{{"_id": 7, "value": {"9" * 5_000}}}': "no extended JSON",
}


@pytest.mark.parametrize("text", WRONG_DOCUMENTS)
def test_a_wrong_document_is_told_with_its_place(text: str) -> None:
    """Beside the field."""
    faults = fault_of(read_document, DOCUMENT, {"text": text})
    assert ["text"] == list(faults)
    assert re.search(WRONG_DOCUMENTS[text], faults["text"]), faults


@given(text=st.text(max_size=200))
def test_any_text_is_a_document_or_told_to_be_none(text: str) -> None:
    """Nothing else is raised."""
    with suppress(FormFaultsError):
        read_document(DOCUMENT, {"text": text})


def test_fields_that_occur_twice_already_may_stay() -> None:
    """Whoever edits another field does not have to take them out."""
    content = document_of([IDENTITY, ("a", value_of(1)), ("a", value_of(2)), ("b", value_of(1))])
    text = document_texts(content)["text"].replace('"b": {"$numberInt": "1"}', '"b": 2')
    edited = read_document(content, {"text": text})
    assert [("a", value_of(1)), ("a", value_of(2)), ("b", value_of(2))] == [*elements(edited)][1:]


def pattern(**fields: Any) -> bytes:
    """Make a pattern as KATO does."""
    return encode(
        {
            "_id": 7,
            "name": "0" * 40,
            "pattern_data": [["a"], ["b"]],
            "length": 2,
            "frequency": 3,
            "emotives": [{"joy": 0.5}, {"joy": 1, "fear": 0.25}],
            "metadata": {"source": ["camera"]},
            **fields,
        }
    )


def test_a_pattern_has_three_texts() -> None:
    """Numbers are plain in them."""
    assert {
        "frequency": "3",
        "emotives": '[{"joy": 0.5}, {"joy": 1, "fear": 0.25}]',
        "metadata": '{"source": ["camera"]}',
    } == pattern_texts(pattern())


SHAPES = [
    {},
    [],
    [{}],
    [{"joy": 0.5}, {"joy": 1, "fear": -0.0}],
    {"joy": [0.5, 1], "fear": []},
]


@pytest.mark.parametrize("emotives", SHAPES)
def test_what_is_not_edited_keeps_its_bytes(emotives: object) -> None:
    """In every shape of emotives, whatever the others hold."""
    for frequency in (3, 3.0, Int64(3), "many", None):
        content = pattern(emotives=emotives, frequency=frequency, other={"kept": 1})
        typed = {name: text or "" for name, text in pattern_texts(content).items()}
        assert content == read_pattern(content, typed)
        assert content == read_pattern(content, {})


@given(
    emotives=st.sampled_from(SHAPES)
    | st.lists(
        st.dictionaries(
            st.text("abc", min_size=1), st.floats(allow_nan=False, allow_infinity=False)
        )
    ),
    frequency=st.integers(1, MOST_FREQUENT),
    metadata=st.dictionaries(
        st.text("abc", min_size=1), st.lists(st.text("xyz\u202e"), unique=True)
    ),
)
def test_what_is_typed_is_what_is_kept(
    emotives: object, frequency: int, metadata: dict[str, list[str]]
) -> None:
    """Only the fields edited change, and the others stand where they stood."""
    content = pattern(emotives=[{}] if isinstance(emotives, list) else {})
    typed = {
        "frequency": str(frequency),
        "emotives": json.dumps(emotives),
        "metadata": json.dumps(metadata),
    }
    expected = decode(content) | {
        "frequency": frequency,
        "emotives": emotives,
        "metadata": metadata,
    }
    edited = read_pattern(content, typed)
    assert expected == decode(edited)
    assert list(expected) == list(decode(edited))
    assert decode(encode(expected)) == decode(edited)


def test_a_frequency_keeps_its_type_where_that_is_whole() -> None:
    """An int stays int and a long a long; a double becomes an int."""
    for old, kind in ((3, BsonType.INT), (Int64(3), BsonType.LONG), (3.0, BsonType.INT)):
        edited = dict(elements(read_pattern(pattern(frequency=old), {"frequency": " 4 "})))
        assert kind is edited["frequency"].type
        assert 4 == decode(read_pattern(pattern(frequency=old), {"frequency": "4"}))["frequency"]


WRONG_FREQUENCIES = ["", "0", "-1", "1.5", "1e3", "three", str(2**31), "9" * 50, "٣", "1_0", "0x1"]


@pytest.mark.parametrize("text", WRONG_FREQUENCIES)
def test_a_frequency_is_a_whole_number_of_at_least_one(text: str) -> None:
    """In ASCII digits, up to what KATO's int holds."""
    faults = fault_of(read_pattern, pattern(), {"frequency": text})
    assert {"frequency": "Give a whole number from 1 to 2,147,483,647, in digits only."} == faults


WRONG_EMOTIVES: list[tuple[object, str, str]] = [
    ([{}], "{", "no JSON"),
    ([{}], "{}", "Keep the shape: a list"),
    ([{}], "[1]", "Entry 1 has to be an object"),
    ([{}], '[{}, {"joy": "high"}]', "joy in entry 2 has to be a number"),
    ([{}], '[{"joy": true}]', "has to be a number"),
    ([{}], '[{"joy": null}]', "has to be a number"),
    ([{}], '[{"joy": 1e999}]', "finite"),
    ([{}], '[{"joy": {"$numberDouble": "NaN"}}]', "finite"),
    ([{}], '[{"joy": {"$numberDecimal": "1"}}]', "has to be a number"),
    ([{}], '[{"joy": 1, "joy": 2}]', "joy stands 2 times"),
    ([{}], '[{"a.b": 1}]', "cannot be a name"),
    ([{}], '[{"$inc": 1}]', "cannot be a name"),
    ([{}], '[{"": 1}]', "cannot be a name"),
    ({}, "[]", "Keep the shape: an object"),
    ({}, '{"joy": 1}', "joy has to be a list"),
    ({"joy": [1]}, '[{"joy": 1}]', "Keep the shape: an object"),
    ({"joy": [1]}, '{"joy": ["x"]}', "joy has to be a number"),
    ({"joy": [1]}, '{"joy": [1], "joy": [2]}', "joy stands 2 times"),
]


@pytest.mark.parametrize(("emotives", "text", "reason"), WRONG_EMOTIVES)
def test_emotives_keep_their_shape(emotives: object, text: str, reason: str) -> None:
    """And are finite numbers; the message tells where it is not so."""
    faults = fault_of(read_pattern, pattern(emotives=emotives), {"emotives": text})
    assert ["emotives"] == list(faults)
    assert reason in faults["emotives"]


WRONG_METADATA = {
    "": "no JSON",
    "[]": "an object of lists of texts",
    '{"source": "camera"}': "source has to be a list",
    '{"source": [1]}': "no text",
    '{"source": ["a", "b", "a"]}': "'a' 2 times",
    '{"a.b": []}': "cannot be a name",
    '{"source": [], "source": []}': "source stands 2 times",
}


@pytest.mark.parametrize("text", WRONG_METADATA)
def test_metadata_are_lists_of_unique_texts(text: str) -> None:
    """As KATO keeps them."""
    faults = fault_of(read_pattern, pattern(), {"metadata": text})
    assert ["metadata"] == list(faults)
    assert WRONG_METADATA[text] in faults["metadata"]


def test_all_mistakes_are_told_at_once() -> None:
    """Each beside its field."""
    typed = {"frequency": "0", "emotives": "x", "metadata": "y"}
    assert set(typed) == set(fault_of(read_pattern, pattern(), typed))


def test_what_has_not_katos_shape_has_no_text_and_stays() -> None:
    """Whatever is typed for it."""
    content = pattern(emotives={"joy": 1}, metadata=["x"])
    texts = pattern_texts(content)
    assert (None, None) == (texts["emotives"], texts["metadata"])
    assert content == read_pattern(content, {"emotives": "[]", "metadata": "{}"})
    missing = encode({"_id": 7})
    assert [None] * 3 == list(pattern_texts(missing).values())
    assert missing == read_pattern(missing, {"frequency": "3"})


@given(typed=st.dictionaries(st.sampled_from(["frequency", "emotives", "metadata"]), st.text()))
def test_any_texts_make_a_pattern_or_are_told_to_be_wrong(typed: dict[str, str]) -> None:
    """Nothing else is raised."""
    with suppress(FormFaultsError):
        read_pattern(pattern(), typed)
