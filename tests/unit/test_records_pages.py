"""The pages of operations, the trash and the audit log, on records in memory."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.security import generate_password_hash
from werkzeug.test import TestResponse

from kato_exporter.browser.access.accounts import Account, Accounts
from kato_exporter.browser.access.sign_in import SignInRules, protect
from kato_exporter.browser.app import create_app
from kato_exporter.browser.records.audit_pages import audit_pages
from kato_exporter.browser.records.desk import Desk
from kato_exporter.browser.records.operations import Operations
from kato_exporter.browser.records.pages import locator_text, records_pages
from kato_exporter.browser.records.plans import (
    PLAN_SECONDS,
    State,
)
from kato_exporter.browser.records.runner import Runner
from kato_exporter.browser.records.stores_at_hand import StoresAtHand
from support.memory_records import DiedError, DyingJournal, MemoryContainer, MemoryRecords

PASSWORD = "correct horse battery"
ROWS = 5
MANY = 12


class Site:
    """Pages with a few memos, and who reads them."""

    def __init__(self, directory: Path) -> None:
        self.memos = MemoryRecords()
        for number in range(MANY):
            self.memos.write(b"<b>memo %d" % number, b"x" * 1_000)
        self.journal = DyingJournal(directory, self.memos.faults)
        stores = StoresAtHand({"memo": self.memos}, {"box": lambda _: MemoryContainer(self.memos)})
        self.operations = Operations(self.journal)
        self.runner = Runner(self.operations, stores, lambda *_: None)
        desk = Desk(self.operations, self.runner, stores, writable=True)
        pages = [records_pages(desk, page_rows=ROWS), audit_pages(self.journal, page_rows=ROWS)]
        self.app = create_app(pages, [], export_rows=1_000)
        hashed = generate_password_hash(PASSWORD, "scrypt:1024:8:1")
        accounts = [Account("alice", "editor", hashed), Account("carol", "viewer", hashed)]
        protect(self.app, Accounts({each.name: each for each in accounts}), SignInRules())
        self.alice, self.carol = self._signed_in("alice"), self._signed_in("carol")

    def send(self, path: str, **form: str | list[str]) -> TestResponse:
        """Send a form as alice."""
        return send(self.alice, path, form)

    def plan(self) -> str:
        """Choose all memos, and give the path of the preview."""
        planned = self.send("/operations", kind="memo", locator=list(map(locator_text, self.names)))
        assert 303 == planned.status_code, planned.text
        return planned.location

    def confirm(self, path: str) -> TestResponse:
        """Press the button."""
        return self.send(f"{path}/confirm", digest=str(facts(self.alice, path)["digest"]))

    @property
    def names(self) -> list[bytes]:
        """The memos' names."""
        return [b"<b>memo %d" % number for number in range(MANY)]

    def _signed_in(self, name: str) -> FlaskClient:
        client = self.app.test_client()
        came = send(client, "/login", {"name": name, "password": PASSWORD}, page="/login")
        assert 303 == came.status_code
        return client


def send(
    client: FlaskClient, path: str, form: dict[str, str | list[str]], *, page: str = "/trash"
) -> TestResponse:
    """Send a form of ours."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get(page).text)
    assert token is not None
    return client.post(path, data=form | {"csrf_token": token[1]})


def facts(client: FlaskClient, path: str) -> dict[str, object]:
    """Read a page as JSON."""
    found: dict[str, object] = client.get(path, query_string={"format": "json"}).get_json()
    return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Give the pages."""
    site = Site(tmp_path)
    yield site
    site.runner.stop()
    site.journal.close()


def test_a_preview_lists_every_record_and_does_nothing(site: Site) -> None:
    """Page by page, and all of them to download; with how long it can be confirmed."""
    path = site.plan()
    page = site.alice.get(path)
    assert "Nothing was done yet. 12 records would be deleted" in page.text
    assert "The total has 12 of them." in page.text
    assert "&lt;b&gt;memo 0" in page.text
    assert "<b>memo" not in page.text
    assert re.search(r"can be confirmed for\s+<time data-expires", page.text)
    seen, following = [], path
    while following:
        found = site.alice.get(following, headers={"Accept": "application/json"}).get_json()
        seen += [each["record"] for each in found["records"]]
        following = found["next"]
    assert [name.decode() for name in site.names] == seen
    lines = site.alice.get(path, query_string={"format": "jsonl"}).text.splitlines()
    assert seen == [json.loads(line)["record"] for line in lines]
    assert [] == site.memos.taken


def test_the_way_from_preview_to_undo(site: Site) -> None:
    """Each page says where things stand; a viewer sees it too, without buttons."""
    path = site.plan()
    assert 303 == site.confirm(path).status_code
    done = site.alice.get(path).text
    assert "Undo: put 12 records back" in done
    assert "Kept until" in done
    assert "http-equiv" not in done
    assert "Undo" not in site.carol.get(path).text
    assert 303 == site.send(f"{path}/restore", some="1", number=["1", "3"]).status_code
    assert 2 == len(site.memos.records)
    undone = site.send(f"{path}/restore").location
    assert "Takes back" in site.alice.get(undone).text
    assert MANY == len(site.memos.records)
    assert "put back</a>" in site.alice.get(path).text
    assert 3 == len(facts(site.alice, "/trash")["operations"])  # type: ignore[arg-type]
    entries = site.alice.get("/audit", query_string={"format": "jsonl"}).text.splitlines()
    assert 2 * MANY == len(entries)


def test_what_is_under_way_renews_itself_without_a_script(site: Site) -> None:
    """And once it is interrupted the page says why, and what can be done."""
    path = site.plan()
    identity = path.rpartition("/")[2]
    site.runner._under_way.add(identity)  # noqa: SLF001 - as one that waits for others
    site.operations.begin(identity, state=State.PLANNED)
    page = site.alice.get(path).text
    assert '<meta http-equiv="refresh" content="2">' in page
    assert "0 of 12 records" in page
    site.runner._under_way.clear()  # noqa: SLF001 - as where the journal could not be written
    page = site.alice.get(path).text
    assert "Interrupted: it was broken off" in page
    assert "Go on" in page
    assert "Give up" in page
    assert 303 == site.send(f"{path}/restore").status_code
    assert "given up" in str(facts(site.alice, path)["operation"])
    assert [] == site.memos.taken


def test_a_preview_that_has_expired_is_gone(site: Site) -> None:
    """Its page says how long one is kept."""
    path = site.plan()
    digest = str(facts(site.alice, path)["digest"])
    site.journal.write("UPDATE operations SET planned_at = planned_at - ?", [PLAN_SECONDS + 1])
    page = site.alice.get(path)
    assert 404 == page.status_code
    assert "forgotten after 15 minutes" in page.text
    assert 409 == site.send(f"{path}/confirm", digest=digest).status_code


def test_results_say_what_was_left_and_why(site: Site) -> None:
    """In words, not by a colour."""
    path = site.plan()
    site.memos.write(site.names[0], b"other")
    site.memos.write(site.names[1], None)
    site.confirm(path)
    page = site.alice.get(path).text
    assert "something else changed them since they were shown" in page
    assert "they were gone when it was their turn" in page


def test_an_interrupted_operation_goes_on_from_its_page(site: Site) -> None:
    """After the process has died."""
    path = site.plan()
    site.memos.faults.arm(dies_at=30)
    with suppress(DiedError):
        site.confirm(path)
    site.memos.faults.arm()
    site.runner.recover()
    assert "Interrupted: the browser ended while this was under way" in site.alice.get(path).text
    assert 303 == site.send(f"{path}/resume").status_code
    assert {"done": MANY} == facts(site.alice, path)["operation"]["states"]  # type: ignore[index]
    resumed = site.alice.get("/audit", query_string={"action": "resume"}).text
    assert "alice" in resumed


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/operations", {"kind": "memo", "locator": "%"}),
        ("/operations", {"kind": "memo", "locator": locator_text(b"garbage")}),
        ("/operations", {"container": "box", "name": "x", "typed": "x", "with": "nothing"}),
        ("/operations", {"container": "box", "name": "x", "typed": "y"}),
        ("/operations/<id>/restore", {"some": "1"}),
        ("/operations/<id>/restore", {"some": "1", "number": "1; DROP TABLE audit"}),
        ("/operations/<id>/restore", {"some": "1", "number": "9" * 400}),
    ],
)
def test_a_form_that_is_not_ours_is_a_400(site: Site, path: str, form: dict[str, str]) -> None:
    """With a sentence; a digest in other letters is a 409."""
    planned = site.plan()
    target = path.replace("/operations/<id>", planned)
    assert 400 == site.send(target, **form).status_code
    for form_of_answer in ("jsonl", "csv"):
        refused = site.send(f"{target}?format={form_of_answer}", **form)
        assert 400 == refused.status_code
        assert refused.content_type.startswith("text/plain")
    assert 409 == site.send(f"{planned}/confirm", digest="é").status_code


@pytest.mark.parametrize("key", ["bnVsbA", "WzEsMl0", "WyJ4IiwieCJd", "W3RydWUsIngiXQ", "!"])
def test_a_wrong_key_of_a_page_is_a_400(site: Site, key: str) -> None:
    """A list of other things, or none."""
    assert 400 == site.alice.get("/trash", query_string={"before": key}).status_code


def test_a_full_disk_is_told_on_the_page(site: Site) -> None:
    """Nothing was done, and the file is named."""
    site.journal.rows("PRAGMA query_only = true")
    refused = site.send("/operations", kind="memo", locator=locator_text(site.names[0]))
    site.journal.rows("PRAGMA query_only = false")
    assert 503 == refused.status_code
    assert "cannot be used, so nothing was done" in refused.text
    assert "records.sqlite3" in refused.text
