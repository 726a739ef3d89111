"""Chromium does each write as a user would; what the stores then hold is read from them."""

import json
import re
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, expect
from qdrant_client.models import Distance, PointStruct, VectorParams
from redis import Redis

from kato_exporter.browser.records.journal import FILE_NAME
from kato_exporter.browser.records.plans import PLAN_SECONDS
from kato_exporter.demo.shapes import DEFAULT_TTL, session_id, session_key, session_record
from kato_exporter.kato.sessions import SESSION_INDEX
from kato_exporter.kato.vectors import VECTOR_NAME, point_of_symbol
from support import store_truth
from support.browsing import READER, Site, Stores, sign_in
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


def kept(redis: Redis, sessions: list[str]) -> tuple[store_truth.Keys, set[str]]:
    """Read sessions, and which of them the index names."""
    named = {each for each in sessions if redis.sismember(SESSION_INDEX, each)}
    return store_truth.keys(redis, map(session_key, sessions)), named


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

    others = [sessions[0], *sessions[2:]]
    others_before = kept(redis, others)
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
    assert others_before == kept(redis, others)
    assert changed == kept(redis, sessions[1:2])


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


def whole(text: str) -> Callable[[str], str]:
    """Put a text in place of any other."""
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
            first=whole("1700"),
            second=whole("1800"),
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
            first=whole("17"),
            second=whole("18"),
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
    """Give the lines of the diff that are new, or old, once they have their style."""
    expect(reader.page.locator(".diff code").first).to_have_css("white-space", "pre-wrap")
    expect(reader.page.locator(".diff .sign").first).to_have_css("overflow-wrap", "normal")
    return "\n".join(reader.page.locator(f".diff .{kind}").all_inner_texts())


@pytest.mark.parametrize("name", ["pattern", "document", "string", "hash field", "point"])
def test_two_people_edit(site: Site, stores: Stores, records: Records, name: str) -> None:
    """One makes mistakes, corrects them and saves; the other meets that, and goes on from there.

    What both have done is taken back, and the store holds the same bytes as before.
    """
    case = cases(records)[name]
    before = case.truth(stores)
    fits = assert_fits if name != "hash field" else lambda _: None  # its page is a string's
    with closing(site.reader()) as reader, closing(site.reader()) as other:
        field, field_of_other = begin_to_edit(reader, case), begin_to_edit(other, case)
        text = field.input_value()
        for typed, fault in case.mistakes:
            field.fill(typed)
            check(reader)
            expect_fault(reader, field, typed, fault)
        fits(reader)
        field.fill(case.first(text))
        check(reader)
        expect(reader.page.locator(".diff")).to_be_visible()
        changes = said(reader, "removed"), said(reader, "added")
        assert changes[0] != changes[1]
        fits(reader)
        assert before == case.truth(stores)
        saved = save(reader)
        first = case.truth(stores)
        assert before != first

        field_of_other.fill(case.second(text))
        check(other)
        expect(other.page.get_by_text("Nothing was saved.")).to_be_visible()
        other.expect_status(HTTPStatus.CONFLICT)
        expect(other.page.get_by_role("heading", name="As it is now")).to_be_visible()
        assert said(other, "removed") == changes[1].replace("new", "old")
        expect(field_of_other).to_have_value(case.second(text))
        fits(other)
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


@pytest.fixture
def small(stores: Stores) -> Iterator[None]:
    """Make a knowledge base of twenty patterns, with its collection of vectors.

    Not compared by cosine, as KATO's are: the stub would make their length one, again and again.
    """
    mongo, qdrant = stores.mongo, stores.qdrant
    for name in mongo[KB].list_collection_names():
        indexes = list(mongo[KB][name].list_indexes())
        mongo[SMALL_KB].command("createIndexes", name, indexes=indexes)
        copied = {"db": SMALL_KB, "coll": name}
        mongo[KB][name].aggregate([{"$limit": 20}, {"$out": copied}])
    qdrant.create_collection(
        SMALL_VECTORS, vectors_config=VectorParams(size=4, distance=Distance.DOT)
    )
    points = [
        PointStruct(
            id=point_of_symbol(symbol),
            vector=[1.0, 0.0, 0.0, float(n)],
            payload={VECTOR_NAME: symbol, "camera": "left" if n % 2 else "right"},
        )
        for n, symbol in enumerate(VECTOR_SYMBOLS)
    ]
    qdrant.upsert(SMALL_VECTORS, points)
    yield
    mongo.drop_database(SMALL_KB)
    qdrant.delete_collection(SMALL_VECTORS)


@pytest.mark.usefixtures("small")
def test_a_knowledge_base_goes_and_comes_back(editor: Reader, stores: Stores) -> None:
    """By typing its name, which is taken as it is; with its collection of vectors."""
    before = small_truth(stores)
    page = editor.open(f"/kb/{SMALL_KB}")
    remove(editor, "knowledge base", typed="small_kat")
    expect(page.get_by_text(f"What was typed is not {SMALL_KB}; nothing was done.")).to_be_visible()
    editor.expect_status(HTTPStatus.BAD_REQUEST)
    page.go_back()
    remove(editor, "knowledge base", typed=SMALL_KB)
    for kind, name in (("knowledge base", SMALL_KB), ("collection", SMALL_VECTORS)):
        expect(
            page.get_by_text(re.compile(f"The {kind} {name} goes, with [0-9]+ rec"))
        ).to_be_visible()
    assert before == small_truth(stores)
    assert_fits(editor)

    confirm(editor)
    assert_fits(editor)
    assert SMALL_KB not in stores.mongo.list_database_names()
    assert not stores.qdrant.collection_exists(SMALL_VECTORS)

    undo(editor)
    assert before == small_truth(stores)
    editor.open(f"/kb/{SMALL_KB}/patterns")
    expect(page.get_by_role("heading", level=1)).to_contain_text("20 in all")


@pytest.mark.usefixtures("small")
def test_a_collection_of_vectors_goes_and_comes_back(editor: Reader, stores: Stores) -> None:
    """By typing its name; the knowledge base stays."""
    before = small_truth(stores)
    page = editor.open(f"/qdrant/{SMALL_VECTORS}")
    remove(editor, "collection", typed=SMALL_KB)
    expect(page.get_by_text("nothing was done")).to_be_visible()
    editor.expect_status(HTTPStatus.BAD_REQUEST)
    page.go_back()
    remove(editor, "collection", typed=SMALL_VECTORS)
    confirm(editor)
    assert not stores.qdrant.collection_exists(SMALL_VECTORS)
    assert before[0] == small_truth(stores, vectors=False)[0]
    undo(editor)
    assert before == small_truth(stores)


def remove(reader: Reader, kind: str, *, typed: str) -> None:
    """Type a name to delete what is called so."""
    reader.page.get_by_label(f"To delete this {kind}").fill(typed)
    reader.page.get_by_role("button", name=f"Delete {kind}…").click()


def small_truth(stores: Stores, *, vectors: bool = True) -> tuple[object, object]:
    """Read the small knowledge base, and its vectors."""
    points = store_truth.collection(stores.qdrant, SMALL_VECTORS) if vectors else None
    return store_truth.database(stores.mongo, SMALL_KB), points


@pytest.fixture
def scratch(stores: Stores) -> Iterator[list[str]]:
    """Make keys of some types, more than a page has; give their names."""
    names = [f"scratch:{number:02}" for number in range(30)]
    for number, name in enumerate(names[:20]):
        stores.redis.set(name, b"\xff" * number, px=(number % 3) * 600_000 or None)
    for name in names[20:]:
        stores.redis.hset(name, mapping={"a": name, "b": 1})
    yield names
    stores.redis.delete(*names)


def test_all_that_a_search_finds_is_deleted(
    site: Site, editor: Reader, stores: Stores, scratch: list[str]
) -> None:
    """The keys of all its pages, told one by one, and no other."""
    before, others = store_truth.keys(stores.redis, scratch), stores.redis.dbsize() - 30
    page = editor.open("/redis/keys")
    page.get_by_role("searchbox").fill("scratch:")
    page.get_by_role("button", name="Search", exact=True).click()
    path = preview(editor, DELETE_ALL)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Delete 30 records")
    page.get_by_role("link", name="More records").click()
    page.wait_for_url(re.compile("above=10"))
    expect(page.locator("tbody tr")).to_have_count(10)
    told = site.client.get(path, params={"format": "jsonl"}).text.splitlines()
    assert sorted(scratch) == sorted(json.loads(line)["record"] for line in told)
    assert before == store_truth.keys(stores.redis, scratch)

    confirm(editor)
    assert 0 == stores.redis.exists(*scratch)
    assert others == stores.redis.dbsize()
    undo(editor)
    assert before == store_truth.keys(stores.redis, scratch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search: its page, what is typed and chosen in its form, and what it finds."""

    page: str
    typed: dict[str, str]
    chosen: dict[str, str]
    button: str
    kind: str
    found: int
    truth: Callable[[], object]


@pytest.fixture
def searches(stores: Stores, sessions: list[str], small: None) -> dict[str, Search]:
    """Give a search for each kind of record but keys."""
    del small
    patterns = stores.mongo[SMALL_KB]["patterns_kb"].count_documents({"frequency": {"$gte": 4}})
    documents = stores.mongo[KB][ODD].count_documents({"n": {"$gte": 100}})
    return {
        "sessions": Search(
            page="/sessions",
            typed={"Node contains": NODE},
            chosen={},
            button="Search",
            kind="session",
            found=4,
            truth=lambda: kept(stores.redis, sessions),
        ),
        "patterns": Search(
            page=f"/kb/{SMALL_KB}/patterns",
            typed={"Frequency from": "4"},
            chosen={"Sorted by": "length"},
            button="Search",
            kind="pattern",
            found=patterns,
            truth=lambda: small_truth(stores),
        ),
        "documents": Search(
            page=f"/kb/{KB}/collections/{ODD}",
            typed={"Field": "n", "Value": "100"},
            chosen={"Comparison": "at_least"},
            button="Search",
            kind="document",
            found=documents,
            truth=lambda: store_truth.database(stores.mongo, KB),
        ),
        "points": Search(
            page=f"/qdrant/{SMALL_VECTORS}",
            typed={"Payload field": "camera", "Value": "left"},
            chosen={"Type": "keyword"},
            button="Filter",
            kind="point",
            found=10,
            truth=lambda: small_truth(stores),
        ),
    }


@pytest.mark.parametrize("name", ["sessions", "patterns", "documents", "points"])
def test_all_that_a_search_of_any_kind_finds_is_deleted(
    editor: Reader, searches: dict[str, Search], name: str
) -> None:
    """From the form of the search to the undo; nothing is found any more in between."""
    search = searches[name]
    before = search.truth()
    page = editor.open(search.page)
    assert 0 == page.get_by_role("button", name=DELETE_ALL).count(), "nothing was searched for"
    for label, text in search.typed.items():
        page.get_by_label(label, exact=True).fill(text)
    for label, text in search.chosen.items():
        page.get_by_label(label, exact=True).select_option(text)
    page.get_by_role("button", name=search.button, exact=True).click()
    page.wait_for_url("**?*")
    searched = page.url
    preview(editor, DELETE_ALL)
    expect(page.get_by_role("heading", level=1)).to_contain_text(
        f"Delete {search.found} records of kind {search.kind}"
    )
    assert before == search.truth()
    confirm(editor)
    expect(count(editor, "done")).to_have_text(str(search.found))
    assert before != search.truth()
    path = operation(editor)
    editor.open(searched)
    expect(page.locator("tbody tr")).to_have_count(0)
    editor.open(path)
    undo(editor)
    assert before == search.truth()


@contextmanager
def without_the_right_to_delete(redis: Redis) -> Iterator[None]:
    """Take it from the browser's account for a while."""
    account = "ACL", "SETUSER", "default"
    redis.execute_command(*account, "-unlink")  # type: ignore[no-untyped-call]
    yield
    redis.execute_command(*account, "+unlink")  # type: ignore[no-untyped-call]


def test_an_operation_that_was_interrupted(
    site: Site, editor: Reader, stores: Stores, scratch: list[str]
) -> None:
    """It says why, and can be given up, or gone on with; nothing is lost, and there is an end."""
    before = store_truth.keys(stores.redis, scratch)
    main = editor.page.get_by_role("main")
    for button in ("Give up", "Go on"):
        editor.open("/redis/keys?match=scratch:")
        path = preview(editor, DELETE_ALL)
        with without_the_right_to_delete(stores.redis):
            main.get_by_role("button", name="Delete 30 records").click()
            expect(main.get_by_text(re.compile("^Interrupted: UNLINK is refused"))).to_be_visible()
        if button == "Go on":
            assert_fits(editor)
        assert before == store_truth.keys(stores.redis, scratch)
        main.get_by_role("button", name=re.compile(f"^{button}")).click()
        expect(main.get_by_text(re.compile("^Interrupted"))).to_have_count(0)
        told = site.client.get(path, params={"format": "json"}).json()
        assert "done" == told["operation"]["state"]
        if button == "Go on":
            assert path == operation(editor)
            assert 0 == stores.redis.exists(*scratch)
            undo(editor)
        assert before == store_truth.keys(stores.redis, scratch)


def test_a_preview_that_has_expired(
    site: Site, editor: Reader, stores: Stores, scratch: list[str]
) -> None:
    """It is refused when it is confirmed, then forgotten; nothing was done."""
    before = store_truth.keys(stores.redis, scratch)
    page = editor.open("/redis/key?" + urlencode({"name": scratch[3]}))
    path = preview(editor, "Delete…")
    with closing(sqlite3.connect(site.data / FILE_NAME, timeout=10)) as journal, journal:
        journal.execute(
            "UPDATE operations SET planned_at = planned_at - ? WHERE id = ?",
            [PLAN_SECONDS + 1, path.rpartition("/")[2]],
        )
    page.get_by_role("main").get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("The confirmation came too late; look at it again.")).to_be_visible()
    editor.expect_status(HTTPStatus.CONFLICT)
    editor.open(path, status=HTTPStatus.NOT_FOUND)
    expect(page.get_by_text("A preview is forgotten after 15 minutes")).to_be_visible()
    assert before == store_truth.keys(stores.redis, scratch)


def test_trash_and_audit_tell_of_it(site: Site, editor: Reader, stores: Stores) -> None:
    """Who did what to which record, with filters, links, and downloads."""
    name = "audited"
    stores.redis.set(name, "once")
    before = store_truth.keys(stores.redis, [name])
    page = editor.open("/redis/key?" + urlencode({"name": name}))
    deleted = preview(editor, "Delete…")
    confirm(editor)
    page.get_by_role("link", name="Trash", exact=True).first.click()
    row = page.get_by_role("row").filter(has_text=f"delete {name}").first
    expect(row.get_by_role("cell").nth(1)).to_have_text("editor")
    expect(row.get_by_role("cell").last).to_have_text("1")
    row.get_by_role("link").click()
    assert deleted == operation(editor)
    restored = undo(editor)
    assert before == store_truth.keys(stores.redis, [name])

    page.get_by_role("link", name="Audit", exact=True).click()
    page.get_by_label("Record contains").fill(name)
    page.get_by_role("button", name="Search", exact=True).click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("restore")
    expect(rows.nth(1)).to_contain_text("delete")
    page.get_by_label("Action").select_option("restore")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(rows).to_have_count(1)
    told = site.client.get(page.get_by_role("link", name="JSON Lines").get_attribute("href") or "")
    [entry] = map(json.loads, told.text.splitlines())
    assert ["editor", "restore", name] == [entry[key] for key in ("user", "action", "record")]
    table = site.client.get(page.get_by_role("link", name="CSV").get_attribute("href") or "")
    assert 2 == len(table.text.splitlines())
    rows.nth(0).get_by_role("link").click()
    assert restored == operation(editor)
    stores.redis.delete(name)


def means(reader: Reader, paths: list[str]) -> list[int]:
    """Count what on pages would change something: forms but searches and the way out, and links."""
    found = []
    for path in paths:
        page = reader.open(path)
        forms = page.locator("main form[method=post], main input[type=checkbox]").count()
        links = page.locator("main a").filter(has_text=re.compile("^Edit|Delete")).count()
        found.append(forms + links)
    return found


def test_a_viewer_has_no_means_to_write(
    site: Site, editor: Reader, stores: Stores, records: Records, scratch: list[str]
) -> None:
    """No button, no box, no form; and what is sent nevertheless is refused."""
    editor.open("/redis/key?" + urlencode({"name": scratch[3]}))
    path = preview(editor, "Delete…")
    confirm(editor)
    paths = [
        *(path, "/sessions", f"/sessions/{records.session}", "/redis/keys"),
        *(f"/redis/key?{urlencode({'name': records.keys[each]})}" for each in ("JSON", "hash")),
        *(f"/kb/{KB}", f"/kb/{KB}/patterns", f"/kb/{KB}/patterns/{records.pattern}"),
        *(f"/kb/{KB}/collections/{ODD}", f"/kb/{KB}/collections/{ODD}/7"),
        *(f"/qdrant/{VECTORS}", f"/qdrant/{VECTORS}/points/7"),
    ]
    assert 0 not in means(editor, paths)
    with closing(site.stranger()) as viewer:
        sign_in(viewer, name=READER)
        assert [0] * len(paths) == means(viewer, paths)
        edits = [
            "/redis/key/edit?" + urlencode({"name": scratch[4]}),
            f"/kb/{KB}/patterns/{records.pattern}/edit",
            f"/kb/{KB}/collections/{ODD}/7/edit",
            f"/qdrant/{VECTORS}/points/7/edit",
        ]
        for edit in edits:
            page = viewer.open(edit, status=HTTPStatus.FORBIDDEN)
        token = page.locator("input[name=csrf_token]").first.input_value()
        for address in (*edits, f"{path}/restore", "/operations", "/redis/keys?match=scratch"):
            form: dict[str, str | float | bool] = {
                "csrf_token": token,
                "step": "save",
                "kind": "Redis key",
            }
            refused = viewer.context.request.post(address, form=form)
            assert HTTPStatus.FORBIDDEN == refused.status, address
        viewer.assert_content()
    assert 29 == stores.redis.exists(*scratch)
    editor.open(path)
    undo(editor)


def tab_to(reader: Reader, target: Locator) -> None:
    """Press Tab until something has the focus, and see that this is seen."""
    for _ in range(80):
        reader.page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            break
    expect(target).to_be_focused()
    assert target.evaluate("element => getComputedStyle(element).outlineStyle") != "none"


def test_a_keyboard_suffices(editor: Reader, stores: Stores, sessions: list[str]) -> None:
    """To choose, preview, delete and undo."""
    before = kept(stores.redis, sessions)
    page = editor.open(OF_NODE)
    button, press = page.get_by_role("main").get_by_role, page.keyboard.press
    for each in sessions[:2]:
        tab_to(editor, page.get_by_role("checkbox", name=f"Select {each}"))
        press("Space")
    tab_to(editor, button("button", name="Delete selected…"))
    press("Enter")
    page.wait_for_url("**/operations/*")
    tab_to(editor, button("button", name="Delete 2 records"))
    press("Enter")
    expect(button("button", name=UNDO)).to_be_visible()
    assert 2 == stores.redis.exists(*map(session_key, sessions))
    tab_to(editor, button("button", name=UNDO))
    press("Enter")
    expect(count(editor, "Takes back")).to_be_visible()
    assert before == kept(stores.redis, sessions)


def test_no_write_needs_a_script(
    site: Site, stores: Stores, records: Records, sessions: list[str]
) -> None:
    """Sessions are chosen one by one, deleted and put back; a hash field is edited, and back."""
    before = kept(stores.redis, sessions)
    with closing(site.reader(script=False)) as reader:
        reader.open(OF_NODE)
        select(reader, *sessions[:2])
        preview(reader, "Delete selected…")
        confirm(reader)
        assert 2 == stores.redis.exists(*map(session_key, sessions))
        undo(reader)
        assert before == kept(stores.redis, sessions)

        case = cases(records)["hash field"]
        held = case.truth(stores)
        field = begin_to_edit(reader, case)
        field.fill(case.mistakes[0][0])
        check(reader)
        expect_fault(reader, field, *case.mistakes[0])
        field.fill("19")
        check(reader)
        save(reader)
        assert held != case.truth(stores)
        undo(reader)
        assert held == case.truth(stores)
        reader.assert_content()
