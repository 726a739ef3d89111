"""Editing and deleting patterns, documents and knowledge bases by the pages, on a real mongod."""

import html
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from bson import ObjectId
from flask.testing import FlaskClient
from werkzeug.security import generate_password_hash
from werkzeug.test import TestResponse

from kato_exporter.browser.access.accounts import Account, Accounts, Role
from kato_exporter.browser.assembly import assemble
from kato_exporter.browser.records import desk as records_desk
from kato_exporter.demo.shapes import Document
from kato_exporter.demo.workload import Workload
from kato_exporter.kato.knowledge import METADATA, PATTERNS, PREDICTIONS, SYMBOLS
from kato_exporter.settings import BrowserSettings
from kato_exporter.stores.mongodb.bson_elements import document_of
from kato_exporter.stores.mongodb.patterns import MongoPatterns
from kato_exporter.stores.mongodb.writing import RAW, raw
from kato_exporter.stores.patterns import PatternPage, WrongKeyError
from support.bson_values import IDS, object_of, string
from support.records import ODD
from support.servers import MongoServer, RedisServer

KB = "alice_kato"
PASSWORD = "correct horse battery staple"
PASSWORD_HASH = generate_password_hash(PASSWORD, "scrypt:1024:8:1")
HOSTILE = [
    "<script>alert(1)</script>",
    "\n\n{{7*7}}</textarea><img src=x>",
    "\u202egnirts",
    "a\0b",
    "\x1b[31mred",
    "=cmd|' /C calc'!A0",
    "two\r\nlines\n",
]


@dataclass(frozen=True, slots=True)
class Site:
    """A record browser on a server, and who uses it."""

    mongo: MongoServer
    web: FlaskClient

    def get(self, path: str, **query: str) -> TestResponse:
        """Ask for a page."""
        return self.web.get(path, query_string=query or None)

    def post(self, path: str, form: dict[str, Any], *, of: str = "/kb") -> TestResponse:
        """Send a form with the token that every form has, such as those of the page `of`."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.web.get(of).text)
        assert token is not None
        return self.web.post(path, data=form | {"csrf_token": token[1]}, follow_redirects=True)

    def find(self, collection: str, **condition: Any) -> Document | None:
        """Find a document."""
        return self.mongo.client[KB][collection].find_one(condition)


Open = Callable[..., Site]


@pytest.fixture
def open_site(mongo: MongoServer, valkey: RedisServer, tmp_path: Path) -> Iterator[Open]:
    """Give a function that opens a record browser for a user with a role."""
    Workload(valkey.client, mongo.client, seed=5).fill()
    with ExitStack() as stack:

        def open_it(role: Role = "editor", *, writable: bool = True, keeps: bool = True) -> Site:
            settings = BrowserSettings(
                mongo_url=mongo.url,
                browser_writable=writable,
                browser_data_dir=tmp_path / "data" if keeps else None,
                browser_page_rows=5,
                store_timeout=20,
                browser_query_timeout=20,
            )
            accounts = Accounts({"alice": Account("alice", role, PASSWORD_HASH)})
            browser = stack.enter_context(assemble(settings, accounts, tls=False))
            site = Site(mongo, browser.app.test_client())
            site.post("/login", {"name": "alice", "password": PASSWORD}, of="/login")
            return site

        yield open_it


@pytest.fixture
def site(open_site: Open) -> Site:
    """Open a record browser for an editor."""
    return open_site()


def forms_of(page: TestResponse) -> list[tuple[str, dict[str, list[str]]]]:
    """Read the forms that would be sent: where to, and with which fields; all boxes ticked."""
    found = []
    for form in re.findall(r"<form[^>]*>.*?</form>", page.text, re.DOTALL):
        [opening] = re.findall(r"^<form[^>]*>", form)
        if 'method="post"' not in opening:
            continue
        [action] = re.findall(r'action="([^"]*)"', opening)
        fields: dict[str, list[str]] = {}
        for tag in re.findall(r"<input[^>]*>", form):
            name, value = re.search(r' name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
            if name and value:
                fields.setdefault(name[1], []).append(html.unescape(value[1]))
        for name_, text in re.findall(
            r'<textarea[^>]* name="(\w+)"[^>]*>\n(.*?)</textarea>', form, re.DOTALL
        ):
            fields[name_] = [html.unescape(text)]
        found.append((html.unescape(action), fields))
    return found


def form_of(page: TestResponse, end: str, **having: str) -> tuple[str, dict[str, list[str]]]:
    """Read the form that goes to a path with this end and has these fields."""
    for action, fields in forms_of(page):
        if action.endswith(end) and all(fields.get(n) == [v] for n, v in having.items()):
            return action, fields
    pytest.fail(f"no form to {end}: {page.text}")


def edit_form(page: TestResponse) -> dict[str, str]:
    """Read the form of an edit, with what is typed in it."""
    _, fields = form_of(page, "/edit")
    return {name: values[0] for name, values in fields.items() if name != "csrf_token"}


def confirm(site: Site, preview: TestResponse) -> TestResponse:
    """Press the button of a preview."""
    action, fields = form_of(preview, "/confirm")
    done = site.post(action, fields)
    assert 200 == done.status_code, done.text
    return done


def undo(site: Site, done: TestResponse) -> TestResponse:
    """Press the button that takes an operation back."""
    action, fields = form_of(done, "/restore")
    undone = site.post(action, fields)
    assert 200 == undone.status_code, undone.text
    return undone


def edited(site: Site, path: str, **typed: str) -> TestResponse:
    """Edit as a user does: open the form, type, look at what changes, save."""
    page = site.get(path)
    assert 200 == page.status_code, page.text
    shown = site.post(path, edit_form(page) | typed | {"step": "check"})
    assert 200 == shown.status_code, shown.text
    assert "What changes" in shown.text
    return site.post(path, edit_form(shown) | {"step": "save"})


def whole(site: Site) -> dict[str, list[Document]]:
    """Give all documents of the knowledge base."""
    database = site.mongo.client[KB]
    return {
        name: list(database[name].find().sort("_id"))
        for name in sorted(database.list_collection_names())
    }


def a_pattern(site: Site, **condition: Any) -> Document:
    """Choose a pattern."""
    found = site.mongo.client[KB][PATTERNS].find_one(condition, sort=[("frequency", -1)])
    assert found is not None
    return found


def test_a_pattern_is_edited_with_a_diff_and_undone(site: Site) -> None:
    """KATO's counts follow its frequency; undone, all is as it was."""
    before = whole(site)
    pattern = a_pattern(site, emotives={"$type": "array"})
    path = f"/kb/{KB}/patterns/{pattern['name']}"
    assert f'href="{path}/edit"' in site.get(path).text
    totals = site.find(METADATA)
    assert totals is not None
    more = pattern["frequency"] + 10
    done = edited(
        site,
        f"{path}/edit",
        frequency=str(more),
        emotives='[{"joy": 0.25}]',
        metadata='{"source": ["camera"]}',
    )
    assert 200 == done.status_code, done.text
    assert "/operations/" in done.request.path
    changes = {"frequency": more, "emotives": [{"joy": 0.25}], "metadata": {"source": ["camera"]}}
    assert pattern | changes == site.find(PATTERNS, name=pattern["name"])
    now = site.find(METADATA)
    assert now is not None
    assert totals["total_pattern_frequencies"] + 10 == now["total_pattern_frequencies"]
    flat = [symbol for event in pattern["pattern_data"] for symbol in event]
    assert totals["total_symbol_frequencies"] + 10 * len(flat) == now["total_symbol_frequencies"]
    undo(site, done)
    assert before == whole(site)


def test_the_page_of_an_edit_says_what_katos_memory_does(site: Site) -> None:
    """And what is learned from the frequency."""
    text = site.get(f"/kb/{KB}/patterns/{a_pattern(site)['name']}/edit").text
    assert "KATO keeps patterns in memory" in text
    assert "settled" in text


def test_mistakes_stand_beside_their_fields_and_nothing_is_lost(site: Site) -> None:
    """All at once, with what was typed; corrected, it is saved."""
    pattern = a_pattern(site, emotives={"$type": "array"})
    path = f"/kb/{KB}/patterns/{pattern['name']}/edit"
    typed = {"frequency": "0", "emotives": '{"joy": 1}', "metadata": '{"a": ["x", "x"]}'}
    page = site.post(path, edit_form(site.get(path)) | typed | {"step": "check"})
    assert 400 == page.status_code
    for name in typed:
        assert f'id="{name}-error"' in page.text
        assert re.search(rf'id="{name}"[^>]*aria-invalid="true"', page.text)
    form = edit_form(page)
    assert typed == {name: form[name] for name in typed}
    assert pattern == site.find(PATTERNS, name=pattern["name"])
    told = site.web.post(
        path,
        query_string={"format": "json"},
        data=form | typed | {"step": "check", "csrf_token": csrf(site)},
    )
    assert set(typed) == set(json.loads(told.text)["faults"])


def csrf(site: Site) -> str:
    """Give the token that every form has."""
    [token, *_] = re.findall(r'name="csrf_token" value="([^"]+)"', site.get("/kb").text)
    return str(token)


def test_what_was_not_shown_is_not_saved(site: Site) -> None:
    """Another text than that of the diff is shown first."""
    pattern = a_pattern(site)
    path = f"/kb/{KB}/patterns/{pattern['name']}/edit"
    shown = site.post(path, edit_form(site.get(path)) | {"frequency": "77", "step": "check"})
    page = site.post(path, edit_form(shown) | {"frequency": "78", "step": "save"})
    assert "What changes" in page.text
    page = site.post(path, edit_form(site.get(path)) | {"frequency": "79", "step": "save"})
    assert "What changes" in page.text
    assert pattern == site.find(PATTERNS, name=pattern["name"])


def test_nothing_changed_is_told(site: Site) -> None:
    """No operation is made of it."""
    path = f"/kb/{KB}/patterns/{a_pattern(site)['name']}/edit"
    page = site.post(path, edit_form(site.get(path)) | {"step": "check"})
    assert 400 == page.status_code
    assert "Nothing is changed" in page.text


def learn(site: Site, pattern: Document) -> None:
    """Learn a pattern once more, as KATO does."""
    site.mongo.client[KB][PATTERNS].update_one({"_id": pattern["_id"]}, {"$inc": {"frequency": 1}})


@pytest.mark.parametrize("step", ["check", "save"])
def test_a_pattern_that_kato_has_learned_meanwhile_is_a_conflict(site: Site, step: str) -> None:
    """Both versions are shown, and one goes on from the present one."""
    pattern = a_pattern(site)
    path = f"/kb/{KB}/patterns/{pattern['name']}/edit"
    form = edit_form(site.get(path)) | {"metadata": '{"typed": ["x"]}', "step": "check"}
    if step == "save":
        form = edit_form(site.post(path, form)) | {"step": "save"}
    learn(site, pattern)
    page = site.post(path, form)
    assert 409 == page.status_code
    assert "It has changed since it was shown" in page.text
    present = re.search(r'aria-labelledby="present">(.*?)</pre>', page.text, re.DOTALL)
    assert present is not None
    number = f'"frequency": {{"$numberInt": "{pattern["frequency"] + 1}"}}'
    assert number in html.unescape(present[1])
    again = edit_form(page)
    assert '{"typed": ["x"]}' == again["metadata"]
    again["frequency"] = str(pattern["frequency"] + 1)
    shown = site.post(path, again | {"step": "check"})
    assert 200 == shown.status_code
    assert 200 == site.post(path, edit_form(shown) | {"step": "save"}).status_code
    now = site.find(PATTERNS, name=pattern["name"])
    assert (
        pattern
        | {
            "frequency": pattern["frequency"] + 1,
            "metadata": {"typed": ["x"]},
        }
        == now
    )


def test_a_change_at_the_very_moment_of_saving_is_a_conflict(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the page has compared versions, before the desk does."""
    pattern = a_pattern(site)
    path = f"/kb/{KB}/patterns/{pattern['name']}/edit"
    shown = site.post(path, edit_form(site.get(path)) | {"frequency": "99", "step": "check"})
    edit = records_desk.Desk.edit

    def learn_and_edit(*arguments: Any) -> str:
        learn(site, pattern)
        return edit(*arguments)

    monkeypatch.setattr(records_desk.Desk, "edit", learn_and_edit)
    page = site.post(path, edit_form(shown) | {"step": "save"})
    assert 409 == page.status_code
    now = site.find(PATTERNS, name=pattern["name"])
    assert now is not None
    assert pattern["frequency"] + 1 == now["frequency"]


def test_a_pattern_that_is_gone_is_told(site: Site) -> None:
    """What was typed can still be copied."""
    pattern = a_pattern(site)
    path = f"/kb/{KB}/patterns/{pattern['name']}/edit"
    form = edit_form(site.get(path))
    site.mongo.client[KB][PATTERNS].delete_one({"_id": pattern["_id"]})
    assert 404 == site.get(path).status_code
    assert 404 == site.post(path, form | {"step": "check"}).status_code


def test_a_document_that_is_gone_is_told_with_what_was_typed(site: Site) -> None:
    """Nothing can be saved then."""
    document = site.find(PREDICTIONS)
    assert document is not None
    path = f"/kb/{KB}/collections/{PREDICTIONS}/{document['_id']}/edit"
    form = edit_form(site.get(path))
    site.mongo.client[KB][PREDICTIONS].delete_one({"_id": document["_id"]})
    page = site.post(path, form | {"step": "check"})
    assert 409 == page.status_code
    assert "It is gone since it was shown" in page.text
    assert form["text"] == edit_form(page)["text"]
    assert 404 == site.get(path).status_code


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_edited_as_they_are(site: Site, text: str) -> None:
    """Shown, compared, typed and saved; nothing of them is carried out."""
    site.mongo.client[KB][ODD].insert_one({"_id": text, "value": text, "number": 1})
    [row] = json.loads(site.get(f"/kb/{KB}/collections/{ODD}", format="json").text)["documents"]
    page = site.get(f"{row['url']}/edit")
    assert "<script>alert" not in page.text
    assert "<img src=x>" not in page.text
    assert "\u202e" not in page.text
    form = edit_form(page)
    done = edited(site, f"{row['url']}/edit", text=form["text"].replace('"1"', '"2"'))
    assert 200 == done.status_code, done.text
    assert {"_id": text, "value": text, "number": 2} == site.find(ODD)
    undo(site, done)
    assert {"_id": text, "value": text, "number": 1} == site.find(ODD)


def test_the_totals_and_patterns_are_not_edited_as_documents(site: Site) -> None:
    """The pages offer nothing, and refuse what is sent all the same."""
    for collection, offered in ((METADATA, False), (PATTERNS, True), (PREDICTIONS, True)):
        document = site.find(collection)
        assert document is not None
        path = f"/kb/{KB}/collections/{collection}/{document['_id']}"
        page = site.get(path).text
        assert offered == ("Delete…" in page)
        assert (collection == PREDICTIONS) == ("/edit" in page)
        answer = site.get(f"{path}/edit")
        assert (200 == answer.status_code) == (collection == PREDICTIONS), answer.text
        listing = site.get(f"/kb/{KB}/collections/{collection}").text
        assert offered == ('name="locator"' in listing)
    before = whole(site)
    totals = site.find(METADATA)
    assert totals is not None
    path = f"/kb/{KB}/collections/{METADATA}/{totals['_id']}/edit"
    refused = site.post(path, {"text": "{}", "version": "", "step": "save"})
    assert 400 <= refused.status_code
    assert before == whole(site)


def test_selected_patterns_are_deleted_and_put_back(site: Site) -> None:
    """From the listing; the preview tells what else is kept right."""
    before = whole(site)
    action, fields = form_of(site.get(f"/kb/{KB}/patterns"), "/operations", kind="pattern")
    assert 5 == len(fields["locator"])
    preview = site.post(action, fields)
    assert "from total_pattern_frequencies" in preview.text
    assert before == whole(site)
    done = confirm(site, preview)
    now = whole(site)
    assert len(before[PATTERNS]) - 5 == len(now[PATTERNS])
    frequencies = sum(each["frequency"] for each in now[PATTERNS])
    assert frequencies == now[METADATA][0]["total_pattern_frequencies"]
    assert all("kato_exporter" not in "".join(each) for each in [*now[SYMBOLS], *now[METADATA]])
    undo(site, done)
    assert before == whole(site)


@pytest.mark.parametrize("where", ["pattern", "document"])
def test_a_pattern_is_deleted_from_its_page_and_from_its_documents(site: Site, where: str) -> None:
    """Both ways keep KATO's counts right."""
    before = whole(site)
    pattern = a_pattern(site)
    path = {
        "pattern": f"/kb/{KB}/patterns/{pattern['name']}",
        "document": f"/kb/{KB}/collections/{PATTERNS}/{pattern['_id']}",
    }[where]
    action, fields = form_of(site.get(path), "/operations")
    done = confirm(site, site.post(action, fields))
    assert site.find(PATTERNS, name=pattern["name"]) is None
    totals = site.find(METADATA)
    assert totals is not None
    was = before[METADATA][0]["total_pattern_frequencies"]
    assert was - pattern["frequency"] == totals["total_pattern_frequencies"]
    undo(site, done)
    assert before == whole(site)


def test_documents_with_an_id_of_any_type_are_deleted_and_put_back(site: Site) -> None:
    """Selected in the listing, or by the button on the page of each."""
    refused = object_of(("$oid", string("f" * 24)))
    odd = [value for value in IDS if value != refused]
    written = [raw(document_of([("_id", value), ("kept", value)])) for value in odd]
    database = site.mongo.client[KB]
    database.command({"insert": ODD, "documents": written})
    things = database.with_options(codec_options=RAW)[ODD]
    before = {bytes(each.raw) for each in things.find()}
    operations = []
    page = site.get(f"/kb/{KB}/collections/{ODD}")
    while 'name="locator"' in page.text:
        action, fields = form_of(page, "/operations", kind="document")
        operations.append(confirm(site, site.post(action, fields)))
        page = site.get(f"/kb/{KB}/collections/{ODD}")
    assert [] == list(things.find())
    assert len(odd) // 5 <= len(operations)
    for done in operations:
        undo(site, done)
    assert before == {bytes(each.raw) for each in things.find()}


def test_all_patterns_that_a_search_finds(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """On all pages of the search, and no other; KATO's counts follow, and all comes back."""
    before = whole(site)
    symbols = Counter(
        symbol
        for each in before[PATTERNS]
        for symbol in {symbol for event in each["pattern_data"] for symbol in event}
    )
    [(symbol, _)] = symbols.most_common(1)
    frequent = [each for each in before[PATTERNS] if each["frequency"] >= 9]
    having = [
        each for each in before[PATTERNS] if any(symbol in event for event in each["pattern_data"])
    ]
    for search, at_once, found in (
        ("least=9", 3, frequent),
        ("least=9&sort=length", 1_000, frequent),
        (f"symbol={quote(symbol)}", 3, having),
    ):
        monkeypatch.setattr("kato_exporter.browser.knowledge.found._AT_ONCE", at_once)
        path = f"/kb/{KB}/patterns?{search}"
        assert 3 < len(found) < len(before[PATTERNS])
        action, fields = form_of(site.get(path), path)
        preview = site.post(action, fields)
        assert f"Delete {len(found):,} records of kind pattern?" in preview.text
        assert "search again for the rest" not in preview.text
        assert before == whole(site)

        done = confirm(site, preview)
        now = whole(site)
        assert [each for each in before[PATTERNS] if each not in found] == now[PATTERNS]
        frequencies = sum(each["frequency"] for each in now[PATTERNS])
        assert frequencies == now[METADATA][0]["total_pattern_frequencies"]
        undo(site, done)
        assert before == whole(site)


def test_all_documents_that_a_search_finds(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their `_id` is; those that do not fit stay."""
    written = [raw(document_of([("_id", value), ("kept", value)])) for value in IDS]
    database = site.mongo.client[KB]
    database.command({"insert": ODD, "documents": written})
    others = {f"other {number}" for number in range(5)}
    database[ODD].insert_many([{"_id": each} for each in others])
    things = database.with_options(codec_options=RAW)[ODD]
    before = {bytes(each.raw) for each in things.find()}
    path = f"/kb/{KB}/collections/{ODD}?field=kept&operator=exists"
    for at_once in (2, 1_000):
        monkeypatch.setattr("kato_exporter.browser.knowledge.found._AT_ONCE", at_once)
        action, fields = form_of(site.get(path), path)
        done = confirm(site, site.post(action, fields))
        assert others == {each["_id"] for each in database[ODD].find()}
        undo(site, done)
        assert before == {bytes(each.raw) for each in things.find()}


def test_patterns_that_are_searched_as_documents_go_as_patterns(site: Site) -> None:
    """KATO's counts follow."""
    before = whole(site)
    path = f"/kb/{KB}/collections/{PATTERNS}?field=frequency&operator=at_least&value=9"
    action, fields = form_of(site.get(path), path)
    preview = site.post(action, fields)
    assert "records of kind pattern?" in preview.text
    done = confirm(site, preview)
    now = whole(site)
    assert [each for each in before[PATTERNS] if each["frequency"] < 9] == now[PATTERNS]
    frequencies = sum(each["frequency"] for each in now[PATTERNS])
    assert frequencies == now[METADATA][0]["total_pattern_frequencies"]
    undo(site, done)
    assert before == whole(site)


def test_of_more_than_one_operation_takes_the_first_go(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the preview says that there are more; when no more are left, it does not."""
    monkeypatch.setattr("kato_exporter.browser.records.found.MOST_RECORDS", 6)
    number = site.mongo.client[KB][PATTERNS].count_documents({"frequency": {"$gte": 9}})
    path = f"/kb/{KB}/patterns?least=9"
    left = number
    while left > 0:
        preview = site.post(path, {})
        assert (left > 6) == ("These are the first 6; when they are gone" in preview.text)
        confirm(site, preview)
        left -= 6
    assert 0 == site.mongo.client[KB][PATTERNS].count_documents({"frequency": {"$gte": 9}})


def test_a_search_that_says_nothing_deletes_nothing(site: Site) -> None:
    """Neither no search at all, nor one that finds nothing, nor one of what stays."""
    before = whole(site)
    for path, said in (
        ("patterns", "Search first"),
        ("patterns?sort=name", "Search first"),
        ("patterns?least=1000000", "finds nothing any more"),
        ("patterns?prefix=x", "give hex digits"),
        (f"collections/{PREDICTIONS}", "Search first"),
        (f"collections/{PREDICTIONS}?field=no&value=5", "finds nothing any more"),
        (f"collections/{PREDICTIONS}?field=%24where&value=5", "operator to MongoDB"),
        (f"collections/{METADATA}?field=_id&operator=exists", "only KATO changes them"),
    ):
        answer = site.post(f"/kb/{KB}/{path}", {})
        assert 400 == answer.status_code, path
        assert said in answer.text
        assert "Delete all that this search" not in site.get(f"/kb/{KB}/{path}").text
        assert 404 == site.post(f"/kb/gone_kato/{path}", {}).status_code
    assert before == whole(site)


def test_a_search_that_a_store_cannot_bring_to_its_end_deletes_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and nothing is planned."""

    def stopped(*_: object) -> PatternPage:
        return PatternPage(rows=(), stopped="Time was up.")

    def gone(*_: object) -> PatternPage:
        raise WrongKeyError("the pattern with which that page began is gone")

    for page, status, said in (
        (stopped, 400, "Time was up. Nothing was done."),
        (gone, 409, "has changed under it"),
    ):
        monkeypatch.setattr(MongoPatterns, "page", page)
        answer = site.post(f"/kb/{KB}/patterns?least=9", {})
        assert status == answer.status_code
        assert said in answer.text


def test_a_knowledge_base_is_deleted_by_typing_its_name_and_put_back(site: Site) -> None:
    """With KATO's totals, indexes and all; another name does nothing."""
    before = whole(site)
    indexes = site.mongo.client[KB][PATTERNS].index_information()
    page = site.get(f"/kb/{KB}")
    action, fields = form_of(page, "/operations", container="knowledge base")
    assert 400 <= site.post(action, fields | {"typed": "bob_kato"}).status_code
    assert before == whole(site)
    preview = site.post(action, fields | {"typed": KB})
    assert 200 == preview.status_code, preview.text
    done = confirm(site, preview)
    assert KB not in site.mongo.client.list_database_names()
    assert "bob_kato" in site.mongo.client.list_database_names()
    undo(site, done)
    assert before == whole(site)
    assert indexes == site.mongo.client[KB][PATTERNS].index_information()


@pytest.mark.parametrize(
    ("role", "writable", "keeps"),
    [("viewer", True, True), ("editor", False, True), ("editor", False, False)],
    ids=["a viewer", "writes off", "nowhere to keep"],
)
def test_whoever_may_not_write_finds_no_button_and_no_way(
    open_site: Open,
    role: Role,
    writable: bool,  # noqa: FBT001 - a fact of the case
    keeps: bool,  # noqa: FBT001 - likewise
) -> None:
    """On any page, nor by sending the form all the same."""
    site = open_site(role, writable=writable, keeps=keeps)
    before = whole(site)
    pattern = a_pattern(site)
    document = site.find(PREDICTIONS)
    assert document is not None
    pages = [
        f"/kb/{KB}",
        f"/kb/{KB}/patterns",
        f"/kb/{KB}/patterns/{pattern['name']}",
        f"/kb/{KB}/collections/{PREDICTIONS}",
        f"/kb/{KB}/collections/{PREDICTIONS}/{document['_id']}",
    ]
    for path in pages:
        page = site.get(path)
        assert 200 == page.status_code
        for word in ("Delete", "Edit…", 'name="locator"', "/edit"):
            assert word not in page.text, path
    for path in (pages[2], pages[4]):
        assert site.get(f"{path}/edit").status_code in (403, 404)
        typed = {"frequency": "9", "text": "{}", "version": "x", "step": "save"}
        assert site.post(f"{path}/edit", typed).status_code in (403, 404, 405)
    assert before == whole(site)


def test_wrong_addresses_of_edits_are_told(site: Site) -> None:
    """No fault of the browser's in any."""
    missing = ObjectId()
    for path, status in (
        (f"/kb/{KB}/patterns/{'f' * 40}/edit", 404),
        (f"/kb/{KB}/patterns/short/edit", 404),
        (f"/kb/gone_kato/patterns/{'f' * 40}/edit", 404),
        (f"/kb/a%20b/patterns/{'f' * 40}/edit", 404),
        (f"/kb/{KB}/collections/{PREDICTIONS}/{missing}/edit", 404),
        (f"/kb/{KB}/collections/{PREDICTIONS}/no id/edit", 404),
        (f"/kb/{KB}/collections/gone/{missing}/edit", 404),
        (f"/kb/a%20b/collections/gone/{missing}/edit", 400),
        (f"/kb/admin/collections/system.users/{missing}/edit", 400),
    ):
        answer = site.get(path)
        told = answer.status_code
        assert status == told or (status == 400 and 400 <= told < 600 and told != 500), answer.text
        assert site.post(path, {"step": "check"}).status_code >= 400
    document = site.find(PREDICTIONS)
    assert document is not None
    path = f"/kb/{KB}/collections/{PREDICTIONS}/{document['_id']}/edit"
    assert 400 == site.post(path, {"text": "{}", "step": "nonsense"}).status_code


def test_what_a_form_cannot_tell_is_not_edited(site: Site) -> None:
    """A document too large, or with a value that extended JSON does not tell."""
    things = site.mongo.client[KB][ODD]
    things.insert_many(
        [
            {"_id": 1, "text": "x" * 600_000},
            {"_id": 2, "looks": {"$oid": "0" * 24}},
            {"_id": 3, "$set": 1},
        ]
    )
    for identity, reason in ((1, "at most"), (2, "does not tell exactly"), (3, "begins with")):
        number = f'{{"$numberInt": "{identity}"}}'
        page = site.get(f"/kb/{KB}/collections/{ODD}/{number}/edit")
        assert 400 == page.status_code
        assert reason in page.text
