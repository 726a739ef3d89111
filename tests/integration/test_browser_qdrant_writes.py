"""Points and collections changed by the pages, on the stub of Qdrant. No real Qdrant is had."""

import html
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import g
from flask.testing import FlaskClient
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams
from werkzeug.test import TestResponse

from kato_exporter.browser.access.accounts import Role
from kato_exporter.browser.access.users import User
from kato_exporter.browser.app import create_app
from kato_exporter.browser.qdrant.edit import qdrant_edit_pages
from kato_exporter.browser.qdrant.found import qdrant_found_pages
from kato_exporter.browser.qdrant.pages import qdrant_pages
from kato_exporter.browser.qdrant.payload_text import LONGEST
from kato_exporter.browser.records.desk import Desk
from kato_exporter.browser.records.journal import Journal
from kato_exporter.browser.records.operations import Operations
from kato_exporter.browser.records.pages import records_pages
from kato_exporter.browser.records.runner import Runner
from kato_exporter.browser.records.stores_at_hand import StoresAtHand
from kato_exporter.demo.qdrant_stub import qdrant_stub
from kato_exporter.demo.servers import LOOPBACK
from kato_exporter.demo.stub_server import serving
from kato_exporter.stores.qdrant.container import QdrantCollection
from kato_exporter.stores.qdrant.records import QdrantRecords
from kato_exporter.stores.qdrant.store import QdrantStore
from kato_exporter.stores.qdrant.writing import QdrantWriting

NAME = "vectors_alice_kato"
KEY = "s3cret-word"
READ_ONLY_KEY = "read-only-s3cret"
TIMEOUT = 10.0
ONE = [1.0, 0.0]
HOSTILE = "</textarea><script>alert(1)</script>{{7*7}}\u202e"
EDIT = f"/qdrant/{NAME}/points/1/edit"


@dataclass(frozen=True)
class Site:
    """A record browser on the stub, and who uses it."""

    client: QdrantClient
    web: FlaskClient

    def post(self, path: str, form: dict[str, Any]) -> TestResponse:
        """Send a form, and go where it leads."""
        return self.web.post(path, data=form, follow_redirects=True)

    def edit(self, typed: dict[str, str], step: str) -> TestResponse:
        """Send the form of an edit."""
        return self.post(EDIT, typed | {"step": step})

    def put(self, point: int, payload: dict[str, Any], collection: str = NAME) -> None:
        """Write a point as KATO would."""
        self.client.upsert(collection, [PointStruct(id=point, vector=ONE, payload=payload)])

    def everything(self, collection: str = NAME) -> dict[Any, tuple[Any, Any]]:
        """Give every point of a collection."""
        found, _ = self.client.scroll(collection, limit=1000, with_vectors=True)
        return {each.id: (each.payload, each.vector) for each in found}


@pytest.fixture(scope="module")
def stub() -> Iterator[tuple[QdrantClient, str]]:
    """Serve the stub with two keys."""
    with closing(QdrantClient(":memory:")) as client:
        app = qdrant_stub(client, api_key=KEY, read_only_api_key=READ_ONLY_KEY)
        with serving(app) as port:
            yield client, f"http://{LOOPBACK}:{port}"


@dataclass(frozen=True)
class Opener:
    """Opens record browsers for users."""

    client: QdrantClient
    url: str
    directory: Path
    stack: ExitStack

    def __call__(self, role: Role = "editor", *, writable: bool = True, key: str = KEY) -> Site:
        """Open one as the assembly does, but without a sign-in."""
        store = QdrantStore(self.url, timeout=TIMEOUT, api_key=key)
        writing = QdrantWriting(self.url, timeout=TIMEOUT, api_key=key)
        kind = QdrantRecords(writing)
        stores = StoresAtHand(
            {kind.name: kind}, {"collection": lambda name: QdrantCollection(writing, kind, name)}
        )
        journal = Journal(self.directory)
        operations = Operations(journal)
        runner = Runner(operations, stores, lambda *_: None)
        desk = Desk(operations, runner, stores, writable=writable)
        app = create_app(
            [
                qdrant_pages(store, page_rows=5),
                qdrant_found_pages(store, desk),
                qdrant_edit_pages(kind, desk),
                records_pages(desk, page_rows=50),
            ],
            [],
            export_rows=1000,
            grafana_url="https://grafana.example",
        )
        app.jinja_env.globals["csrf_token"] = lambda: "token"

        @app.before_request
        def sign_in() -> None:
            g.user, g.client = User("alice", role), "192.0.2.7"

        for close in (store.close, writing.close, journal.close, runner.stop):
            self.stack.callback(close)
        return Site(self.client, app.test_client())


@pytest.fixture
def open_site(stub: tuple[QdrantClient, str], tmp_path: Path) -> Iterator[Opener]:
    """Give what opens record browsers on the stub, which has one empty collection."""
    client, url = stub
    for collection in client.get_collections().collections:
        client.delete_collection(collection.name)
    client.create_collection(NAME, VectorParams(size=2, distance=Distance.EUCLID))
    with ExitStack() as stack:
        yield Opener(client, url, tmp_path / "data", stack)


@pytest.fixture
def site(open_site: Opener) -> Site:
    """Open a record browser for an editor."""
    return open_site()


def form_of(page: TestResponse, action: str, field: str) -> dict[str, Any]:
    """Read what the last form to this address that has a field would send; boxes as if ticked."""
    found: dict[str, list[str]] | None = None
    for form in re.findall(r"<form[^>]*>.*?</form>", page.text, re.DOTALL):
        if f'action="{action}"' not in html.unescape(form) or f'name="{field}"' not in form:
            continue
        found = {}
        for tag in re.findall(r"<input[^>]*>", form):
            name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
            if name and value:
                found.setdefault(name[1], []).append(html.unescape(value[1]))
        for text in re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", form, re.DOTALL):
            found["text"] = [html.unescape(text)]
    assert found is not None, page.text
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def confirm(site: Site, preview: TestResponse) -> TestResponse:
    """Press the button of a preview."""
    action = f"{preview.request.path}/confirm"
    return site.post(action, form_of(preview, action, "digest"))


def undo(site: Site, done: TestResponse) -> TestResponse:
    """Press the button that puts everything back."""
    return site.post(done.request.path + "/restore", {})


def test_a_point_is_deleted_and_put_back(site: Site) -> None:
    """From its page, with a preview."""
    site.put(1, {"z": 1, "a": HOSTILE})
    site.put(2, {})
    before = site.everything()
    page = site.web.get(f"/qdrant/{NAME}/points/1")
    preview = site.post("/operations", form_of(page, "/operations", "locator"))
    assert f"Delete 1 in {NAME}?" in preview.text
    assert before == site.everything(), "nothing was done yet"
    done = confirm(site, preview)
    assert [2] == list(site.everything())
    undo(site, done)
    assert before == site.everything()


def test_points_are_chosen_in_the_list(site: Site) -> None:
    """The boxes of a page, each with a name of its own."""
    for number in range(7):
        site.put(number, {"n": number})
    before = site.everything()
    page = site.web.get(f"/qdrant/{NAME}")
    fields = form_of(page, "/operations", "locator")
    boxes = set(re.findall(r'aria-label="Select (point \d+)"', page.text))
    assert {f"point {number}" for number in range(5)} == boxes
    done = confirm(site, site.post("/operations", fields))
    assert [5, 6] == list(site.everything())
    undo(site, done)
    assert before == site.everything()


def test_all_that_a_search_finds(site: Site) -> None:
    """On all pages of the search, and nothing else; without a search nothing."""
    for number in range(30):
        site.put(number, {"even": str(number % 2 == 0), "text": HOSTILE})
    path = f"/qdrant/{NAME}?key=even&value=True"
    page = site.web.get(path)
    preview = site.post(path, form_of(page, path, "csrf_token"))
    assert "Delete 15 records of kind point?" in preview.text
    confirm(site, preview)
    assert list(range(1, 30, 2)) == list(site.everything())
    assert "delete all that this search" not in site.web.get(f"/qdrant/{NAME}").text.lower()
    for again, said in ((f"/qdrant/{NAME}", "Search first"), (path, "finds nothing any more")):
        answer = site.post(again, {})
        assert 400 == answer.status_code
        assert said in answer.text
    assert 404 == site.post("/qdrant/nowhere?key=a&value=b", {}).status_code
    assert 15 == len(site.everything())


def typed_in(page: TestResponse) -> dict[str, str]:
    """Read the form in which a payload is typed."""
    found: dict[str, str] = form_of(page, EDIT, "text")
    return {name: found[name] for name in ("version", "text")}


def test_a_payload_is_edited_with_a_mistake_corrected(site: Site) -> None:
    """The fault beside the field, then what changes, then saved, then undone."""
    site.put(1, {"z": 1, "a": HOSTILE})
    before = site.everything()
    assert EDIT in site.web.get(f"/qdrant/{NAME}/points/1").text
    page = site.web.get(EDIT)
    assert "<script>alert" not in page.text
    assert "\u202e" not in page.text
    typed = typed_in(page)
    assert {"z": 1, "a": HOSTILE} == json.loads(typed["text"])

    wrong = site.edit(typed | {"text": '{"z": 2,,'}, "save")
    assert 400 == wrong.status_code
    assert 'aria-invalid="true"' in wrong.text
    assert "Line 1, column 9: this is no JSON" in wrong.text
    assert '{"z": 2,,' == typed_in(wrong)["text"], "what was typed stays"

    checked = site.edit(typed_in(wrong) | {"text": '{\r\n"z": 2, "a": "b"}'}, "check")
    assert 200 == checked.status_code
    assert re.search(r'class="removed">.*?z.*?: 1', checked.text, re.DOTALL)
    assert re.search(r'class="added">.*?z.*?: 2', checked.text, re.DOTALL)
    assert before == site.everything(), "nothing is saved yet"

    done = site.edit(typed_in(checked), "save")
    assert 200 == done.status_code
    assert {1: ({"z": 2, "a": "b"}, ONE)} == site.everything()
    undo(site, done)
    assert before == site.everything()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Line 1, column 1: this is no JSON"),
        ("[]", "A payload is an object"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": 1e999}', "too large for a float"),
        ('{"a": 18446744073709551616}', "whole numbers go from"),
        ('{"a": 1, "a": 2}', "The field a stands twice"),
        ('{"a": "\\ud800"}', "half of a surrogate pair"),
        ('{"a":' * 101 + "1" + "}" * 101, "nested too deeply"),
        ('{"a": "' + "x" * LONGEST + '"}', "give at most 200,000"),
        ('{ "z" : 1 }', "Nothing is changed"),
    ],
)
def test_what_is_no_payload_is_said_beside_the_field(site: Site, text: str, said: str) -> None:
    """Before anything is asked of Qdrant; what was typed is still there."""
    site.put(1, {"z": 1})
    typed = typed_in(site.web.get(EDIT))
    answer = site.edit(typed | {"text": text}, "check")
    assert 400 == answer.status_code
    [shown] = re.findall(r'id="text-error" role="alert">(.*?)</span>', answer.text)
    assert said in html.unescape(shown)
    assert text == typed_in(answer)["text"]
    assert {1: ({"z": 1}, ONE)} == site.everything()


@pytest.mark.parametrize("step", ["check", "save"])
def test_a_point_that_has_changed_meanwhile_gives_both_versions(site: Site, step: str) -> None:
    """409, and the form goes on from what is there now; a second try is on top of that."""
    site.put(1, {"z": 1})
    typed = typed_in(site.web.get(EDIT)) | {"text": '{"z": "mine"}'}
    site.put(1, {"z": "theirs"})
    answer = site.edit(typed, step)
    assert 409 == answer.status_code
    assert "has changed since it was shown. Nothing was saved" in answer.text
    assert "theirs" in html.unescape(answer.text)
    assert '{"z": "mine"}' == typed_in(answer)["text"]
    assert {1: ({"z": "theirs"}, ONE)} == site.everything()
    site.edit(typed_in(answer), "save")
    assert {1: ({"z": "mine"}, ONE)} == site.everything()


def test_a_point_that_is_gone_meanwhile_leaves_what_was_typed(site: Site) -> None:
    """409, and no button to go on with."""
    site.put(1, {"z": 1})
    typed = typed_in(site.web.get(EDIT)) | {"text": '{"z": "mine"}'}
    site.client.delete(NAME, [1])
    answer = site.edit(typed, "save")
    assert 409 == answer.status_code
    assert "is gone since it was shown" in answer.text
    assert "step" not in answer.text
    assert '{"z": "mine"}' == typed_in(answer)["text"]
    assert {} == site.everything()
    assert 404 == site.web.get(EDIT).status_code
    assert 404 == site.web.get(f"/qdrant/{NAME}/points/x/edit").status_code


def test_a_payload_too_large_for_a_form_is_said_to_be(site: Site) -> None:
    """With what to do instead."""
    site.put(1, {"text": "x" * LONGEST})
    answer = site.web.get(EDIT)
    assert 400 == answer.status_code
    assert "at most 200,000 are edited here" in answer.text


def test_a_step_that_there_is_not_is_refused(site: Site) -> None:
    """Rather than taken for one of them."""
    site.put(1, {"z": 1})
    answer = site.edit(typed_in(site.web.get(EDIT)) | {"text": "{}"}, "delete")
    assert 400 == answer.status_code
    assert {1: ({"z": 1}, ONE)} == site.everything()


def test_a_collection_is_deleted_by_its_name_and_comes_back(site: Site) -> None:
    """With its points; the page says that KATO makes it again, if it is KATO's."""
    for number in range(120):
        site.put(number, {"n": number})
    before, made = site.everything(), site.client.get_collection(NAME)
    page = site.web.get(f"/qdrant/{NAME}")
    assert "KATO makes it again, empty" in page.text
    form = form_of(page, "/operations", "typed")
    wrong = site.post("/operations", form | {"typed": "vectors_alice"})
    assert 400 == wrong.status_code
    preview = site.post("/operations", form | {"typed": NAME})
    assert f"The collection {NAME} goes, with 120 records." in preview.text
    assert before == site.everything(), "nothing was done yet"
    done = confirm(site, preview)
    assert not site.client.collection_exists(NAME)
    undo(site, done)
    assert made == site.client.get_collection(NAME)
    assert before == site.everything()
    site.client.create_collection("other", VectorParams(size=2, distance=Distance.EUCLID))
    assert "KATO makes it again" not in site.web.get("/qdrant/other").text


def test_the_page_of_a_collection_leads_to_its_store_in_grafana(site: Site) -> None:
    """To the dashboard of the stores."""
    assert 'href="https://grafana.example/d/kato-stores' in site.web.get(f"/qdrant/{NAME}").text


@pytest.mark.parametrize(
    ("role", "writable"), [("viewer", True), ("editor", False), ("viewer", False)]
)
def test_who_may_not_write_sees_no_forms_and_is_refused(
    open_site: Opener, role: Role, *, writable: bool
) -> None:
    """By every way there is."""
    site = open_site(role, writable=writable)
    site.put(1, {"z": 1})
    for path in (f"/qdrant/{NAME}", f"/qdrant/{NAME}?key=z&value=1", f"/qdrant/{NAME}/points/1"):
        shown = site.web.get(path).text
        assert 'method="post"' not in shown
        assert "/edit" not in shown
    assert 403 == site.web.get(EDIT).status_code
    for path in (EDIT, f"/qdrant/{NAME}?key=z&value=1", "/operations"):
        answer = site.post(path, {"step": "save", "text": "{}", "version": "", "kind": "point"})
        assert 403 == answer.status_code
    assert {1: ({"z": 1}, ONE)} == site.everything()


def test_with_a_read_only_key_the_store_refuses_and_the_page_says_so(open_site: Opener) -> None:
    """Whatever the browser permits; nothing is lost, and it says which key is needed."""
    site = open_site(key=READ_ONLY_KEY)
    site.put(1, {"z": 1})
    page = site.web.get(f"/qdrant/{NAME}/points/1")
    done = confirm(site, site.post("/operations", form_of(page, "/operations", "locator")))
    assert "Forbidden: Global manage access is required" in done.text
    assert "KATO_QDRANT_API_KEY" in done.text
    assert READ_ONLY_KEY not in done.text
    assert {1: ({"z": 1}, ONE)} == site.everything()
