"""Chromium does each write as a user would; what the stores then hold is read from them."""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

import pytest
from bson import ObjectId
from playwright.sync_api import Locator, expect
from qdrant_client.models import Distance, PointStruct, VectorParams
from redis import Redis

from kato_exporter.demo.shapes import DEFAULT_TTL, session_id, session_key, session_record
from kato_exporter.kato.knowledge import PATTERNS
from kato_exporter.kato.sessions import SESSION_INDEX
from kato_exporter.kato.vectors import VECTOR_NAME, point_of_symbol
from support import store_truth
from support.browsing import PASSWORD, READER, Site, Stores, sign_in
from support.chromium import Reader
from support.editing import UNDO, assert_fits, confirm, count, operation, preview, select, undo
from support.records import KB, ODD, VECTOR_SYMBOLS, VECTORS, Records

BORN = 1_790_000_000.0
NODE = "carol"
OF_NODE = f"/sessions?node={NODE}"
SMALL_KB = "small_kato"
SMALL_VECTORS = f"vectors_{SMALL_KB}"
DELETE_ALL = "Delete all that this search finds…"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def stores(filled: tuple[Stores, Records]) -> Stores:
    """Give clients of the stores."""
    return filled[0]


@pytest.fixture
def editor(site: Site) -> Iterator[Reader]:
    """Open a window for an editor; Chromium may have no complaint at the end."""
    with closing(site.reader()) as reader:
        yield reader
        reader.assert_content()


@pytest.fixture
def sessions(stores: Stores) -> Iterator[list[str]]:
    """Give the ids of four sessions of one node, as KATO 3 keeps them."""
    ids = [session_id(uuid.UUID(int=900 + number).hex, BORN) for number in range(4)]
    for each in ids:
        record = session_record(each, NODE, born=BORN, ttl=DEFAULT_TTL, metadata={})
        stores.redis.set(session_key(each), json.dumps(record), ex=DEFAULT_TTL)
    stores.redis.sadd(SESSION_INDEX, *ids)
    yield ids
    stores.redis.delete(*map(session_key, ids))
    stores.redis.srem(SESSION_INDEX, *ids)


def kept(redis: Redis, sessions: list[str]) -> tuple[store_truth.Keys, set[bytes]]:
    """Read sessions, and which of them the index names."""
    named = [each for each in sessions if redis.sismember(SESSION_INDEX, each)]
    return store_truth.keys(redis, map(session_key, sessions)), {each.encode() for each in named}


def test_what_kato_changes_meanwhile_is_left(
    editor: Reader, stores: Stores, sessions: list[str]
) -> None:
    """All sessions on a page are deleted, but one that is another than the preview has shown."""
    redis, page = stores.redis, editor.open(OF_NODE)
    before = kept(redis, sessions)
    page.get_by_role("checkbox", name="Select all on this page").check()
    expect(page.get_by_role("checkbox", name=re.compile("Select session-"))).to_have_count(4)
    assert all(box.is_checked() for box in page.get_by_role("checkbox").all())
    preview(editor, "Delete selected…")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Delete 4 records")
    for each in sessions:
        expect(page.get_by_role("row").filter(has_text=each)).to_have_count(1)
    assert before == kept(redis, sessions)
    assert_fits(editor)

    redis.set(session_key(sessions[1]), "changed", keepttl=True)
    changed = kept(redis, sessions[1:2])
    confirm(editor)
    expect(count(editor, "done")).to_have_text("3")
    expect(count(editor, "changed")).to_contain_text("left as they are")
    row = page.get_by_role("row").filter(has_text=sessions[1])
    expect(row.get_by_role("cell", name="changed", exact=True)).to_be_visible()
    assert_fits(editor)
    assert 1 == redis.exists(*map(session_key, sessions))
    assert changed == kept(redis, sessions[1:2])

    undo(editor)
    expect(count(editor, "done")).to_have_text("3")
    others = [sessions[0], *sessions[2:]]
    redis.set(session_key(sessions[1]), "before", keepttl=True)  # the others alone are compared
    assert store_truth.keys(redis, map(session_key, others)).items() <= before[0].items()
    assert before[1] == kept(redis, sessions)[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A record that two people edit: its form's field, what is wrong there, and what is right.

    `mistakes` are texts and what is said of them; `first` and `second` make texts of what stands
    in the field; `truth` reads what a write could change.
    """

    record: str
    label: str
    mistakes: tuple[tuple[str, str], ...]
    first: Callable[[str], str]
    second: Callable[[str], str]
    truth: Callable[[Stores], object]


def frequency(text: str) -> Callable[[str], str]:
    """Replace a text as a whole."""
    return lambda _: text


def replaced(old: str, new: str) -> Callable[[str], str]:
    """Replace a part of a text, which must be there."""

    def replace(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return replace


def cases(records: Records) -> dict[str, Case]:
    """Give a case of each kind of record."""
    text_key, hash_key = records.keys["JSON"], records.keys["hash"]
    point = point_of_symbol(VECTOR_SYMBOLS[5])
    return {
        "pattern": Case(
            record=f"/kb/{KB}/patterns/{records.pattern}",
            label="Frequency",
            mistakes=(("0", "whole number from 1"), ("seven", "in digits only")),
            first=frequency("1700"),
            second=frequency("1800"),
            truth=lambda stores: store_truth.database(stores.mongo, KB),
        ),
        "document": Case(
            record=f"/kb/{KB}/collections/{ODD}/65f000000000000000000001",
            label="Document, as extended JSON",
            mistakes=(('{"_id": ', "this is no JSON"), ('{"_id": 1}', "_id cannot be changed")),
            first=replaced("every type", "all types"),
            second=replaced("every type", "any type"),
            truth=lambda stores: store_truth.database(stores.mongo, KB),
        ),
        "string": Case(
            record="/redis/key?" + urlencode({"name": text_key}),
            label="Value",
            mistakes=(('{"src": ["camera"', "this is none"), ("camera", "this is none")),
            first=replaced("microphone", "lidar"),
            second=replaced("microphone", "radar"),
            truth=lambda stores: store_truth.keys(stores.redis, [text_key]),
        ),
        "hash field": Case(
            record="/redis/key?" + urlencode({"name": hash_key}),
            label="Value",
            mistakes=(("many", "give a whole number"), ("1.5", "give a whole number")),
            first=frequency("17"),
            second=frequency("18"),
            truth=lambda stores: store_truth.keys(stores.redis, [hash_key]),
        ),
        "point": Case(
            record=f"/qdrant/{VECTORS}/points/{point}",
            label="Payload",
            mistakes=(("[1]", "A payload is an object"), ('{"a": NaN}', "NaN")),
            first=replaced('"frame": 5', '"frame": 17'),
            second=replaced('"frame": 5', '"frame": 18'),
            truth=lambda stores: store_truth.collection(stores.qdrant, VECTORS),
        ),
    }


def begin_to_edit(reader: Reader, case: Case) -> Locator:
    """Open a record, and from there its form; give the field."""
    page = reader.open(case.record)
    page.get_by_role("link", name=re.compile("^Edit")).first.click()
    field = page.get_by_label(case.label, exact=True)
    expect(field).to_be_visible()
    return field


def check(reader: Reader) -> None:
    """Ask for what would change."""
    reader.page.get_by_role("button", name="Show what changes").click()


def save(reader: Reader) -> str:
    """Save what is shown, and give the path of the operation."""
    reader.page.get_by_role("button", name="Save", exact=True).click()
    expect(reader.page.get_by_role("button", name=UNDO)).to_be_visible()
    return operation(reader)


def expect_fault(reader: Reader, field: Locator, typed: str, fault: str) -> None:
    """Expect that what was typed is kept, and what is wrong stands beside it."""
    expect(field).to_have_attribute("aria-invalid", "true")
    reader.expect_status(HTTPStatus.BAD_REQUEST)
    expect(field).to_have_value(typed)
    beside = field.locator("xpath=..").get_by_role("alert")
    expect(beside).to_contain_text(fault)
    described_by = (field.get_attribute("aria-describedby") or "").split()
    assert beside.get_attribute("id") in described_by


def said(reader: Reader, kind: str) -> str:
    """Give the lines of the diff that are new, or old."""
    return "\n".join(reader.page.locator(f".diff .{kind}").all_inner_texts())


@pytest.mark.parametrize("name", ["pattern", "document", "string", "hash field", "point"])
def test_two_people_edit(site: Site, stores: Stores, records: Records, name: str) -> None:
    """One makes mistakes, corrects them and saves; the other meets that, and goes on from there.

    What both have done is taken back, and the store holds the same bytes as before.
    """
    case = cases(records)[name]
    before = case.truth(stores)
    with closing(site.reader()) as reader, closing(site.reader()) as other:
        field, field_of_other = begin_to_edit(reader, case), begin_to_edit(other, case)
        text = field.input_value()
        for typed, fault in case.mistakes:
            field.fill(typed)
            check(reader)
            expect_fault(reader, field, typed, fault)
        assert_fits(reader)
        field.fill(case.first(text))
        check(reader)
        expect(reader.page.locator(".diff")).to_be_visible()
        changes = said(reader, "removed"), said(reader, "added")
        assert changes[0] != changes[1]
        assert_fits(reader)
        assert before == case.truth(stores)
        saved = save(reader)
        assert_fits(reader)
        first = case.truth(stores)
        assert before != first

        field_of_other.fill(case.second(text))
        check(other)
        expect(other.page.get_by_text("Nothing was saved.")).to_be_visible()
        other.expect_status(HTTPStatus.CONFLICT)
        expect(other.page.get_by_role("heading", name="As it is now")).to_be_visible()
        assert said(other, "removed") == changes[1].replace("new", "old")
        expect(field_of_other).to_have_value(case.second(text))
        assert_fits(other)
        assert first == case.truth(stores)
        check(other)
        save(other)
        second = case.truth(stores)
        assert second not in (before, first)

        undo(other)
        assert first == case.truth(stores)
        reader.open(saved)
        undo(reader)
        assert before == case.truth(stores)
        for each in (reader, other):
            each.assert_content()
