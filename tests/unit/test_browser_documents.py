"""What pages make of BSON: values shown, `_id`s in URLs, extended JSON, and the search form."""

import json
import re
import struct
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import pytest
from bson import Binary, Decimal128, Int64, ObjectId, encode, json_util
from bson.datetime_ms import DatetimeMS
from bson.errors import InvalidBSON
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import BadRequest

from kato_exporter.browser.knowledge.bson_values import TYPE_NAMES, ShownValue, shown_value
from kato_exporter.browser.knowledge.document_facts import LARGEST_WHOLE, document_facts
from kato_exporter.browser.knowledge.document_ids import id_of, id_text
from kato_exporter.browser.knowledge.document_links import predicted, value_url
from kato_exporter.browser.knowledge.document_paths import (
    collection_name,
    collection_path,
    collection_text,
)
from kato_exporter.browser.knowledge.document_query import Query, query_arguments
from kato_exporter.browser.knowledge.document_rows import cell_row, columns_of, exact_row, row_facts
from kato_exporter.browser.knowledge.extended_json import beginning, read, write
from kato_exporter.browser.plain_values import plain
from kato_exporter.stores.mongodb.bson_elements import (
    BsonType,
    BsonValue,
    document_of,
    elements,
    field_of,
    string_data,
)
from kato_exporter.stores.mongodb.bson_parts import code_parts
from kato_exporter.stores.mongodb.document_conditions import Condition, WrongFieldError
from kato_exporter.stores.mongodb.documents import ListedDocument
from support.bson_values import (
    IDS,
    NAN_WITH_PAYLOAD,
    NULL,
    VALUES,
    code_with_scope,
    object_of,
    string,
    value_of,
)

KB = "alice_kato"
NAME = "0123456789abcdef0123456789abcdef01234567"
FORM = Flask("form")
SEGMENT = re.compile(r"[^/%\x00-\x1f]+")


def looks_like_a_spelling(value: BsonValue) -> bool:
    """Tell whether a document within looks like the spelling of a value, which JSON cannot tell."""
    if value.type is BsonType.JAVASCRIPT_WITH_SCOPE:
        return looks_like_a_spelling(BsonValue(BsonType.OBJECT, code_parts(value.data)[1]))
    if value.type not in (BsonType.OBJECT, BsonType.ARRAY):
        return False
    return any(
        name.startswith("$") or looks_like_a_spelling(entry) for name, entry in elements(value.data)
    )


def asked(**arguments: str) -> tuple[Query | None, Condition | None]:
    """Read the search form with these arguments."""
    with FORM.test_request_context("/", query_string=arguments):
        return query_arguments()


def refusal(**arguments: str) -> str:
    """Give the reason why the search form refuses these arguments."""
    with pytest.raises(BadRequest) as refused:
        asked(**arguments)
    return str(refused.value.description)


@given(VALUES)
def test_elements_are_written_as_they_were_read(value: BsonValue) -> None:
    """A document taken apart and put together is the same to the byte."""
    document = document_of([("a", value), ("", value), ("a", value)])

    assert document == document_of(elements(document))
    assert value == field_of(document, "a")
    assert field_of(document, "b") is None


@given(st.binary(max_size=60))
def test_bytes_that_are_no_document_are_refused(data: bytes) -> None:
    """Whatever the bytes, there is a document or one kind of error."""
    for document in (data, struct.pack("<i", len(data) + 5) + data + b"\0"):
        try:
            list(elements(document))
        except InvalidBSON:
            continue
        assert document == document_of(elements(document))


@given(VALUES.filter(lambda value: not looks_like_a_spelling(value)))
def test_extended_json_keeps_everything(value: BsonValue) -> None:
    """Every type, fields that occur twice and text that is not UTF-8 come back to the byte."""
    text = write(value)

    assert value == read(text)
    json.loads(text)
    text.encode()


@pytest.mark.parametrize(
    "value",
    [
        1,
        Int64(1),
        1.5,
        1e300,
        float("nan"),
        float("inf"),
        -0.0,
        'text \0 \u202e \U0001f600 / "',
        True,
        None,
        ObjectId(b"0" * 12),
        Decimal128("-1.50E+3"),
        DatetimeMS(-(2**63)),
        Binary(b"ab", 0x80),
        {"a": [1, {"b": []}]},
    ],
    ids=str,
)
def test_extended_json_is_the_drivers(value: Any) -> None:
    """What the driver writes is the same JSON."""
    written = json_util.dumps({"": value}, json_options=json_util.CANONICAL_JSON_OPTIONS)

    assert json.loads(written)[""] == json.loads(write(value_of(value)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", value_of(5)),
        ("-2147483649", value_of(Int64(-2147483649))),
        ("0.5", value_of(0.5)),
        ("[1]", value_of([1])),
        ('{"$numberInt": "1", "a": 1}', value_of({"$numberInt": "1", "a": 1})),
    ],
)
def test_extended_json_may_be_written_by_hand(text: str, value: BsonValue) -> None:
    """Plain numbers have the type that they fit."""
    assert value == read(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        "9" * 30,
        "9" * 5_000,
        "[" * 200 + "]" * 200,
        "[" * 100_000,
        '"\\ud800"',
        '{"\\u0000": 1}',
        '{"$oid": "12"}',
        '{"$oid": 12}',
        '{"$oid": {}}',
        '{"$numberInt": "4294967296"}',
        '{"$numberInt": "1.5"}',
        '{"$numberDouble": "x"}',
        '{"$numberDecimal": "x"}',
        '{"$numberDecimal": {}}',
        '{"$date": "2025-10-13"}',
        '{"$timestamp": {"t": -1, "i": 0}}',
        '{"$timestamp": [1, 2]}',
        '{"$binary": {"base64": "!", "subType": "00"}}',
        '{"$binary": {"base64": ""}}',
        '{"$binary": {"base64": "", "subType": "100"}}',
        '{"$regularExpression": {"pattern": "a\\u0000", "options": ""}}',
        '{"$symbol": 1}',
        '{"$code": "x", "$scope": 1}',
        '{"$dbPointer": {"$ref": "a"}}',
        '{"$undefined": false}',
        '{"$minKey": {}}',
    ],
)
def test_what_is_no_extended_json_is_refused(text: str) -> None:
    """One kind of error, with a reason, whatever is wrong."""
    with pytest.raises(ValueError, match=r"\w"):
        read(text)


@given(st.text() | st.from_regex(r'\{"\$[a-zA-Z]+": .*\}', fullmatch=True))
def test_any_text_is_an_id_or_refused(text: str) -> None:
    """A URL that somebody made up has a value or one kind of error."""
    try:
        value = id_of(text)
    except ValueError:
        return
    assert value == id_of(id_text(value))


@given(VALUES | st.sampled_from(IDS))
def test_ids_survive_a_url(value: BsonValue) -> None:
    """An `_id` of any type is one segment of a URL, without what a web server takes for its own."""
    text = id_text(value)

    assert value == id_of(unquote(quote(text, safe="")))
    assert SEGMENT.fullmatch(text)
    assert text.strip(".")
    text.encode()


def test_ids_of_various_types_differ() -> None:
    """No two of them have the same spelling; hex digits are an ObjectId, quoted ones a text."""
    assert len(IDS) == len({id_text(value) for value in IDS})
    assert "3" * 24 == id_text(BsonValue(BsonType.OBJECT_ID, b"3" * 12))
    assert '"333333333333333333333333"' == id_text(string("3" * 24))
    assert '"a\\u002fb\\u0025"' == id_text(string("a/b%"))
    assert id_text(NAN_WITH_PAYLOAD).startswith("bytes:")


@pytest.mark.parametrize(
    "text",
    ["bytes:", "bytes:!", "bytes:AA==", "bytes:Ag==", "bytes:EAEAAAA=", "bytes:AgUAAABhYmMA"],
)
def test_bytes_that_are_no_id_are_refused(text: str) -> None:
    """Nothing goes to the server in this spelling but a value that has no other."""
    with pytest.raises(ValueError, match=r"no value|another spelling|valid|base64|padding|unpack"):
        id_of(text)


@pytest.mark.parametrize(
    "name", ["a", "a.b", "größe", "a/b", "a%2Fb", "~2f", "..", "a~b", "fs.files"]
)
def test_names_of_collections_survive_a_url(name: str) -> None:
    """A name is one segment that no server takes for its own."""
    text = collection_text(name)

    assert name == collection_name(unquote(quote(text, safe="")))
    assert SEGMENT.fullmatch(text)
    assert text.strip(".")


def test_an_ordinary_name_is_spelled_as_it_is() -> None:
    """And `%2F`, that a web server leaves in a path, is a slash."""
    assert "/kb/alice_kato/collections/patterns_kb" == collection_path(KB, "patterns_kb")
    assert "a/b" == collection_name("a%2fb")


@given(VALUES, st.integers(1, 200))
def test_any_value_is_shown(value: BsonValue, most: int) -> None:
    """The text is bounded and can be sent, whatever the value."""
    shown = shown_value(value, most)

    assert TYPE_NAMES[value.type] == shown.type
    assert len(shown.text) <= most
    assert len(shown.note) < 400
    assert len(value.data) == shown.bytes
    (shown.text + shown.note).encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (value_of(1), ("int", "1", "")),
        (value_of(Int64(1)), ("long", "1", "")),
        (value_of(-0.0), ("double", "-0.0", "")),
        (value_of(float("nan")), ("double", "NaN", "")),
        (value_of(float("-inf")), ("double", "-Infinity", "")),
        (value_of(Decimal128("1.50")), ("decimal", "1.50", "")),
        (value_of(Decimal128("NaN")), ("decimal", "NaN", "")),
        (value_of(True), ("bool", "true", "")),  # noqa: FBT003
        (NULL, ("null", "null", "")),
        (BsonValue(BsonType.UNDEFINED, b""), ("undefined", "undefined", "")),
        (BsonValue(BsonType.MIN_KEY, b""), ("minKey", "minKey", "")),
        (string("<b>{{7*7}}\0"), ("string", "<b>{{7*7}}\0", "")),
        (
            string("a\udcffb"),
            ("string", "a\\xffb", "not UTF-8: the wrong bytes are shown as \\xNN"),
        ),
        (BsonValue(BsonType.SYMBOL, string_data("s")), ("symbol", "s", "")),
        (BsonValue(BsonType.JAVASCRIPT, string_data("1+1")), ("javascript", "1+1", "")),
        (
            code_with_scope("x", ("y", value_of("z"))),
            ("javascriptWithScope", "x", 'scope {"y": "z"}'),
        ),
        (
            value_of(ObjectId("65f0c0de0000000000000000")),
            ("objectId", "65f0c0de0000000000000000", "made 2024-03-12T20:53:50.000Z"),
        ),
        (value_of(DatetimeMS(1)), ("date", "1970-01-01T00:00:00.001Z", "1 ms")),
        (
            value_of(DatetimeMS(2**63 - 1)),
            (
                "date",
                "9223372036854775807 ms after 1970, outside the years 1 to 9999",
                "9223372036854775807 ms",
            ),
        ),
        (
            BsonValue(BsonType.TIMESTAMP, struct.pack("<II", 7, 60)),
            ("timestamp", "1970-01-01T00:01:00.000Z", "60 s, increment 7"),
        ),
        (
            value_of(Binary(b"\xff" * 16, 4)),
            (
                "binData",
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
                "subtype 4, UUID, 16 bytes",
            ),
        ),
        (value_of(Binary(b"z", 0x81)), ("binData", "7a", "subtype 129, user defined, 1 byte")),
        (value_of(Binary(b"z", 2)), ("binData", "7a", "subtype 2, old binary, 1 byte")),
        (BsonValue(BsonType.REGEX, b"^a\0i\0"), ("regex", "/^a/i", "")),
        (
            BsonValue(BsonType.DB_POINTER, string_data("c") + b"3" * 12),
            ("dbPointer", "33" * 12, "in the collection c"),
        ),
        (value_of([1]), ("array", '[{"$numberInt": "1"}]', "1 entry")),
        (
            value_of({"a": 1, "b": "x"}),
            ("object", '{"a": {"$numberInt": "1"}, "b": "x"}', "2 fields"),
        ),
        (value_of([]), ("array", "[]", "0 entries")),
    ],
)
def test_every_type_is_shown_exactly(value: BsonValue, expected: tuple[str, str, str]) -> None:
    """By MongoDB's name of the type, with what tells it from others."""
    shown = shown_value(value, 200)

    assert expected == (shown.type, shown.text, shown.note)
    assert not shown.cut


@pytest.mark.parametrize(
    "value",
    [
        string("ö" * 3_000_000),
        string("\U0001f600" * 10),
        value_of(list(range(100_000))),
        value_of(b"x" * 99),
    ],
    ids=["text", "surrogates", "array", "binary"],
)
def test_a_large_value_is_cut(value: BsonValue) -> None:
    """It says so, is not mistaken for something that is not UTF-8, and tells its size."""
    shown = shown_value(value, 9)

    assert shown.cut
    assert 9 == len(shown.text)
    assert "UTF" not in shown.note
    assert len(value.data) == shown.bytes


def test_a_beginning_ends_where_told() -> None:
    """Only as much is spelled as is shown, however much there is."""
    assert ('[{"$numb', True) == beginning(value_of(list(range(1_000_000))), 8)
    assert ("[]", False) == beginning(value_of([]), 2)


@pytest.mark.parametrize(
    ("value", "kind", "operand"),
    [
        ("abc", "text", "abc"),
        (" 5 x", "text", " 5 x"),
        ("", "text", ""),
        ("$where", "text", "$where"),
        ('{"$gt": ""}', "text", '{"$gt": ""}'),
        ("0" * 40, "number", Int64(0)),
        (NAME, "text", NAME),
        ("f" * 24, "objectid", ObjectId("f" * 24)),
        ("5", "number", Int64(5)),
        ("-0.5", "number", -0.5),
        ("1e3", "number", 1000.0),
        ("Infinity", "number", float("inf")),
        ("true", "boolean", True),
        ("null", "null", None),
        ("1970-01-02", "date", DatetimeMS(86_400_000)),
        ("1970-01-01T01:00:00.001+01:00", "date", DatetimeMS(1)),
        ("2025-13-77", "text", "2025-13-77"),
    ],
)
def test_the_type_of_a_value_is_guessed_and_told(value: str, kind: str, operand: Any) -> None:
    """What looks like a number is one; what looks like an operator is a text."""
    query, condition = asked(field="a.b", value=value)

    assert query is not None
    assert condition is not None
    assert (kind, True) == (query.type, query.guessed)
    assert operand == condition.operand
    assert type(operand) is type(condition.operand)


@pytest.mark.parametrize(
    ("kind", "value", "operand"),
    [
        ("text", "5", "5"),
        ("number", " 5 ", Int64(5)),
        ("decimal", "0.1", Decimal128("0.1")),
        ("uuid", "ffffffff-ffff-ffff-ffff-ffffffffffff", Binary(b"\xff" * 16, 4)),
        ("null", "", None),
    ],
)
def test_the_type_of_a_value_can_be_chosen(kind: str, value: str, operand: Any) -> None:
    """And is then not guessed."""
    query, condition = asked(field="a", value=value, type=kind)

    assert Query("a", "is", kind, guessed=False, value=value) == query
    assert Condition("a", "is", operand) == condition


def test_what_looks_like_anything_starts_as_text() -> None:
    """Only texts start with something."""
    _, condition = asked(field="name", operator="starts", value="5")

    assert Condition("name", "starts", "5") == condition


def test_an_empty_form_is_no_search() -> None:
    """As is one whose choices stand as they came."""
    assert (None, None) == asked()
    assert (None, None) == asked(field=" ", operator="exists", type="text", value="")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"field": "$where"}, "field=$where: a name that begins with $ is an operator"),
        ({"field": "a.$gt"}, "is an operator to MongoDB; give the name of a field"),
        ({"field": "$"}, "is an operator"),
        ({"field": "a\0"}, "NUL"),
        ({"field": "a..b"}, "single dots"),
        ({"field": "."}, "single dots"),
        ({"field": "a" * 201}, "at most 200 characters"),
        ({"value": "x"}, "give the name of the field"),
        ({"field": "a", "operator": "$where"}, "operator=$where: give one of is, starts"),
        ({"field": "a", "type": "javascript"}, "type=javascript: give one of guess, text"),
        ({"field": "a", "value": "x" * 1_001}, "at most 1,000 characters"),
        ({"field": "a", "type": "number", "value": "x"}, "give a number"),
        ({"field": "a", "type": "number", "value": "9" * 20}, "choose Decimal128"),
        ({"field": "a", "type": "objectid", "value": "x"}, "24 hex digits"),
        ({"field": "a", "type": "date", "value": "yesterday"}, "give a date"),
        ({"field": "a", "type": "date", "value": "0001-01-01T00:00+14:00"}, "give a date"),
        ({"field": "a", "type": "boolean", "value": "1"}, "true or false"),
        ({"field": "a", "type": "null", "value": "0"}, "null is a value"),
        ({"field": "a", "type": "decimal", "value": "x"}, "34 digits"),
        ({"field": "a", "type": "uuid", "value": "x"}, "32 hex digits"),
        ({"field": "a", "type": "number", "operator": "starts", "value": "1"}, "only a text"),
        ({"field": "a", "type": "null", "operator": "at_most"}, "null is not greater"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused(arguments: Mapping[str, str], reason: str) -> None:
    """The reason names the argument, and says what is right."""
    assert reason in refusal(**arguments)


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_form_is_a_search_or_refused(field: str, value: str) -> None:
    """Whatever is typed, no operator gets into the filter and nothing else is raised."""
    try:
        _, condition = asked(field=field, value=value)
    except BadRequest:
        return
    if condition is not None:
        [(path, comparison)] = condition.filter.items()
        assert not any(part.startswith("$") for part in path.split("."))
        assert ["$eq"] == list(comparison) or {"$type": 10} == comparison


@pytest.mark.parametrize("field", ["", "$a", "a.$b", "a.", ".a", "a\0b"])
def test_a_condition_has_the_name_of_a_field(field: str) -> None:
    """The store refuses as well what the form would."""
    with pytest.raises(WrongFieldError):
        Condition(field, "exists")


def test_names_and_references_lead_on() -> None:
    """Patterns, symbols and documents of the same knowledge base have links, others have none."""
    oid = value_of(ObjectId("f" * 24))
    reference = [("$ref", string("b_kb")), ("$id", oid)]
    expected = f"/kb/{KB}/collections/b_kb/{'f' * 24}"

    assert f"/kb/{KB}/patterns/{NAME}" == value_url(KB, "patterns_kb", "name", string(NAME))
    assert f"/kb/{KB}/patterns?symbol=a%26b" == value_url(KB, "symbols_kb", "name", string("a&b"))
    assert expected == value_url(KB, "any", "x", object_of(*reference))
    assert expected == value_url(
        KB, "any", "x", BsonValue(BsonType.DB_POINTER, string_data(f"{KB}.b_kb") + b"\xff" * 12)
    )
    for collection, field, value in (
        ("patterns_kb", "name", string("no name of KATO's")),
        ("patterns_kb", "name", value_of(5)),
        ("patterns_kb", "other", string(NAME)),
        ("symbols_kb", "name", string("\0")),
        ("symbols_kb", "name", string("x" * 5_000_000)),
        ("any", "x", object_of(*reference, ("$db", string("other")))),
        ("any", "x", object_of(*reference, ("$db", value_of(5)))),
        ("any", "x", object_of(("$ref", value_of(5)), ("$id", oid))),
        ("any", "x", object_of(("$ref", string("\udcff")), ("$id", oid))),
        ("any", "x", object_of(("$ref", string("")), ("$id", oid))),
        ("any", "x", object_of(("$ref", string("b_kb")), ("$id", string("x" * 5_000)))),
    ):
        assert value_url(KB, collection, field, value) is None, (collection, field, value.type)


def test_predictions_lead_to_their_patterns() -> None:
    """Of whatever shape the predictions are, those with the name of a pattern have a link."""
    rows: list[Any] = [{"name": NAME}, {"name": 5}, {"name": "x"}, {}, "x", None]
    found = [{"name": NAME, "url": f"/kb/{KB}/patterns/{NAME}"}]

    assert found == predicted(KB, "predictions_kb", encode({"predictions": rows}))
    assert [] == predicted(KB, "predictions_kb", encode({"predictions": "x"}))
    assert [] == predicted(KB, "predictions_kb", encode({}))
    assert [] == predicted(KB, "other_kb", encode({"predictions": rows}))
    assert 100 == len(predicted(KB, "predictions_kb", encode({"predictions": rows[:1] * 200})))


def listed(**fields: Any) -> ListedDocument:
    """Make a document of a listing."""
    bson = encode({"_id": 1, **fields})
    return ListedDocument(value_of(1), len(bson), bson)


def test_columns_are_what_most_documents_have() -> None:
    """KATO's fields first where it is KATO's collection; names that are too long are left out."""
    documents = [listed(a=1), listed(b=1, a=2), ListedDocument(value_of(2), 9**9, None)]

    assert ("a", "b") == columns_of("any", documents)
    assert ("name", "frequency", "pattern_member_frequency", "a", "b") == columns_of(
        "symbols_kb", documents
    )
    assert () == columns_of("any", [listed(**{"x" * 300: 1})])
    assert 6 == len(columns_of("any", [listed(**dict.fromkeys("abcdefghij", 1))]))


def test_a_row_has_a_cell_for_each_column() -> None:
    """A field that is missing has none, and a document too large for a listing has no cells."""
    row = row_facts(KB, "any", listed(a="x"), ["a", "b"])
    large = row_facts(KB, "any", ListedDocument(string("l" * 5_000), 9**9, None), ["a", "b"])

    shown = ShownValue(type="string", text="x", note="", cut=False, bytes=6)
    assert [{"value": shown, "url": None}, None] == row["cells"]
    assert "/kb/alice_kato/collections/any/%7B%22%24numberInt%22%3A%20%221%22%7D" == row["url"]
    assert [] == large["cells"]
    assert not large["read"]
    assert large["url"] is None
    assert 160 == len(large["_id"].text)


def test_a_download_is_exact_or_fit_for_a_spreadsheet() -> None:
    """JSON Lines have canonical extended JSON; cells have plain numbers and texts."""
    document = encode(
        {"_id": ObjectId("f" * 24), "a": 1, "b": Int64(2), "c": 0.5, "d": "x", "e": float("nan")}
    )

    assert {
        "_id": {"$oid": "f" * 24},
        "a": {"$numberInt": "1"},
        "b": {"$numberLong": "2"},
        "c": {"$numberDouble": "0.5"},
        "d": "x",
        "e": {"$numberDouble": "NaN"},
    } == exact_row(document)
    assert {
        "_id": "f" * 24,
        "a": 1,
        "b": 2,
        "c": 0.5,
        "d": "x",
        "e": {"$numberDouble": "NaN"},
    } == cell_row(document)


@given(st.lists(st.tuples(st.text("abc", max_size=2), VALUES), max_size=5))
def test_any_document_has_facts(fields: list[tuple[str, BsonValue]]) -> None:
    """They are plain, so the page's JSON twin can have them."""
    document = document_of([("_id", string("x")), *fields])
    facts = plain(document_facts(KB, "predictions_kb", document))

    json.dumps(facts, allow_nan=False).encode()
    assert 1 + len(fields) == facts["field_count"] == len(facts["fields"])
    assert '"x"' == facts["id"]


def test_a_large_document_is_cut_and_says_so() -> None:
    """The page has the beginning of it, and says how to get the rest."""
    facts = document_facts(KB, "any", encode({"_id": 1, "a": "x" * LARGEST_WHOLE}))

    assert facts["document"] is None
    assert facts["beginning"].startswith('{"_id": {"$numberInt": "1"}, "a": "xxx')
    assert 64 * 1024 == len(facts["beginning"])
    assert "download that as JSON Lines" in facts["notices"][0]


def test_many_fields_and_fields_that_occur_twice_are_told() -> None:
    """The list of fields ends, and a name that occurs twice is named."""
    many = document_facts(KB, "any", encode({str(n): n for n in range(500)}))
    twice = document_facts(KB, "any", document_of([("a", value_of(1)), ("a", value_of(2))]))

    assert 200 == len(many["fields"])
    assert ["The first 200 of 500 fields are listed."] == many["notices"]
    assert ["1", "2"] == [field["value"].text for field in twice["fields"]]
    assert twice["notices"][0].startswith("Fields occur twice: a.")


def test_the_totals_are_read_only() -> None:
    """KATO's metadata is marked, so that no page offers to change it."""
    assert document_facts(KB, "metadata", encode({}))["read_only"]
    assert not document_facts(KB, "patterns_kb", encode({}))["read_only"]
