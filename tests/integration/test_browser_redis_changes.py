"""Deleting and editing sessions and keys by the pages, on a real Valkey 9 and a real Redis 7."""

import html
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.security import generate_password_hash
from werkzeug.test import TestResponse

from kato_exporter.browser.access.accounts import Account, Accounts, Role
from kato_exporter.browser.assembly import assemble
from kato_exporter.browser.records import desk as records_desk
from kato_exporter.demo.shapes import session_id, session_key, session_record
from kato_exporter.kato.sessions import SESSION_INDEX
from kato_exporter.settings import BrowserSettings
from kato_exporter.stores.redis.names import name_text
from support.servers import RedisServer

PASSWORD = "correct horse battery staple"
PASSWORD_HASH = generate_password_hash(PASSWORD, "scrypt:1024:8:1")
LIFE = 600
BORN = 1_790_000_000.0
HOSTILE = [
    b"<script>alert(1)</script>",
    b"\n\n{{7*7}}</textarea><img src=x>",
    "\u202egnirts".encode(),
    b"a\x00b\xff",
    b"\x1b[31mred",
    b"=cmd|' /C calc'!A0",
    b"two\r\nlines\n",
]


@dataclass(frozen=True, slots=True)
class Site:
    """A record browser on a server, and who uses it."""

    server: RedisServer
    web: FlaskClient

    def get(self, path: str, **query: str) -> TestResponse:
        """Ask for a page."""
        return self.web.get(path, query_string=query)

    def post(
        self, path: str, form: dict[str, Any], *, of: str = "/redis", **query: str
    ) -> TestResponse:
        """Send a form with the token that every form has, such as those of the page `of`."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.web.get(of).text)
        assert token is not None
        return self.web.post(
            path,
            query_string=query or None,
            data=form | {"csrf_token": token[1]},
            follow_redirects=True,
        )

    def edit(self, typed: dict[str, str], step: str, **query: str) -> TestResponse:
        """Send the form of an edit."""
        return self.post("/redis/key/edit", typed | {"step": step}, **query)


Open = Callable[..., Site]


@pytest.fixture(params=["valkey", "redis7"])
def server(request: pytest.FixtureRequest) -> RedisServer:
    """Give each of the servers in turn, emptied."""
    found: RedisServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def open_site(server: RedisServer, tmp_path: Path) -> Iterator[Open]:
    """Give a function that opens a record browser for a user with a role."""
    with ExitStack() as stack:

        def open_it(
            role: Role = "editor", *, writable: bool = True, keeps: bool = True, url: str = ""
        ) -> Site:
            settings = BrowserSettings(
                redis_url=url or server.url,
                browser_writable=writable,
                browser_data_dir=tmp_path / "data" if keeps else None,
                browser_page_rows=5,
            )
            accounts = Accounts({"alice": Account("alice", role, PASSWORD_HASH)})
            browser = stack.enter_context(assemble(settings, accounts, tls=False))
            site = Site(server, browser.app.test_client())
            site.post("/login", {"name": "alice", "password": PASSWORD}, of="/login")
            return site

        yield open_it


@pytest.fixture
def site(open_site: Open) -> Site:
    """Open a record browser for an editor."""
    return open_site()


def new_session(server: RedisServer, number: int, node: str = "alice") -> str:
    """Write a session with its index entry, and give its id."""
    identity = session_id(f"{number:032x}", BORN)
    record = session_record(identity, node, born=BORN, ttl=LIFE, metadata={})
    server.client.set(session_key(identity), json.dumps(record), ex=LIFE)
    server.client.sadd(SESSION_INDEX, identity)
    return identity


def form_of(page: TestResponse, action: str) -> dict[str, list[str]]:
    """Read the fields that a form of a page would send; boxes as if all were ticked."""
    for form in re.findall(r"<form[^>]*>.*?</form>", page.text, re.DOTALL):
        if f'action="{action}"' not in html.unescape(form):
            continue
        fields: dict[str, list[str]] = {}
        for tag in re.findall(r"<input[^>]*>", form):
            name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
            if name and value:
                fields.setdefault(name[1], []).append(html.unescape(value[1]))
        for name_, text in re.findall(
            r'<textarea[^>]* name="(\w+)"[^>]*>\n(.*?)</textarea>', form, re.DOTALL
        ):
            fields[name_] = [html.unescape(text)]
        return fields
    pytest.fail(f"no form to {action}: {page.text}")


def edit_form(site: Site, **query: str) -> dict[str, str]:
    """Open the page of an edit, and read its form."""
    page = site.get("/redis/key/edit", **query)
    assert 200 == page.status_code, page.text
    return typed_in(page)


def typed_in(page: TestResponse) -> dict[str, str]:
    """Read the last form of an edit on a page, with what is typed in it."""
    forms = re.findall(r"<form[^>]*multipart[^>]*>.*?</form>", page.text, re.DOTALL)
    fields = dict(
        re.findall(r'<input type="hidden" name="(version|escaped)" value="([^"]*)"', forms[-1])
    )
    [text] = re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", forms[-1], re.DOTALL)
    return fields | {"text": html.unescape(text)}


def confirm(site: Site, preview: TestResponse) -> TestResponse:
    """Press the button of a preview."""
    action = preview.request.path + "/confirm"
    fields = form_of(preview, action)
    return site.post(action, {"digest": fields["digest"]})


def undo(site: Site, done: TestResponse) -> TestResponse:
    """Press the button that puts everything back."""
    return site.post(done.request.path.removesuffix("/confirm") + "/restore", {})


def everything(server: RedisServer) -> dict[bytes, bytes]:
    """Give every key with its payload, but for the index, whose order is not its own."""
    keys: list[Any] = server.client.keys()
    return {key: server.client.dump(key) or b"" for key in keys if key != SESSION_INDEX.encode()}


def test_a_session_is_deleted_and_put_back(site: Site) -> None:
    """From its page, with a preview; its index entry goes and comes with it."""
    identity = new_session(site.server, 1)
    other = new_session(site.server, 2)
    before = everything(site.server)

    page = site.get(f"/sessions/{identity}")
    preview = site.post("/operations", form_of(page, "/operations"))
    assert f"Delete {identity}?" in preview.text
    assert "KATO 3&#39;s index of sessions" in preview.text
    assert before == everything(site.server), "nothing was done yet"
    done = confirm(site, preview)

    assert [session_key(other).encode()] == list(everything(site.server))
    assert {other.encode()} == site.server.client.smembers(SESSION_INDEX)
    assert 404 == site.get(f"/sessions/{identity}").status_code
    undo(site, done)
    assert before == everything(site.server)
    assert {identity.encode(), other.encode()} == site.server.client.smembers(SESSION_INDEX)
    assert LIFE - 60 < site.server.client.ttl(session_key(identity)) <= LIFE


def test_sessions_are_chosen_in_the_list(site: Site) -> None:
    """The boxes of a page, each with a name of its own."""
    for number in range(3):
        new_session(site.server, number)
    page = site.get("/sessions")

    fields = form_of(page, "/operations")
    assert 3 == len(fields["locator"])
    assert 3 == len(set(re.findall(r'aria-label="Select (session-[^"]+)"', page.text)))
    confirm(site, site.post("/operations", fields | {"locator": fields["locator"][:2]}))
    assert 1 == len(everything(site.server))
    assert 1 == site.server.client.scard(SESSION_INDEX)


def test_all_that_a_search_finds(site: Site) -> None:
    """On all pages of the search, and nothing else."""
    for number in range(60):
        new_session(site.server, number, node="alice" if number % 2 else "bob")
    page = site.get("/sessions", node="ali")
    action = "/sessions?node=ali"
    form_of(page, action)

    preview = site.post(action, {})

    assert "Delete 30 records of kind session?" in preview.text
    confirm(site, preview)
    assert 30 == len(everything(site.server)) == site.server.client.scard(SESSION_INDEX)
    left: list[Any] = site.server.client.mget(list(everything(site.server)))
    assert {"bob"} == {json.loads(record)["node_id"] for record in left}


def test_all_keys_that_a_search_finds(site: Site) -> None:
    """The glob of the page is the glob of the deletion."""
    site.server.client.mset({f"a:{number}": "v" for number in range(40)} | {"b": "v"})
    page = site.get("/redis/keys", match="a:*")
    form_of(page, "/redis/keys?match=a:*")

    preview = site.post("/redis/keys", {}, match="a:*")

    assert "Delete 40 records of kind Redis key?" in preview.text
    done = confirm(site, preview)
    assert [b"b"] == list(everything(site.server))
    undo(site, done)
    assert 41 == len(everything(site.server))


@pytest.mark.parametrize("path", ["/sessions", "/redis/keys"])
def test_a_search_that_says_nothing_deletes_nothing(site: Site, path: str) -> None:
    """Neither no search at all, nor one that finds nothing."""
    new_session(site.server, 1)
    no_search = site.post(path, {})
    nothing = site.post(path, {}, id="nobody", match="nobody")

    assert (400, 400) == (no_search.status_code, nothing.status_code)
    assert "Search first" in no_search.text
    assert "finds nothing" in nothing.text
    assert 1 == len(everything(site.server))


def test_one_operation_takes_so_many(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more there are, the first; the rest is found again."""
    monkeypatch.setattr("kato_exporter.browser.records.found.MOST_RECORDS", 20)
    site.server.client.mset({f"a:{number}": "v" for number in range(50)})

    preview = site.post("/redis/keys", {}, match="a:")

    assert "Delete 20 records" in preview.text
    assert "These are the first 20; when they are gone, search again for the rest." in preview.text
    assert records_desk.MOST_RECORDS >= 20


def test_a_search_that_takes_too_long(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused, and nothing is planned."""
    monkeypatch.setattr("kato_exporter.browser.records.found.SEARCH_SECONDS", 0.0)
    monkeypatch.setattr("kato_exporter.browser.redis.found._AT_ONCE", 5)
    site.server.client.mset({f"a:{number}": "v" for number in range(5_000)})

    answer = site.post("/redis/keys", {}, match="a:")

    assert 400 == answer.status_code
    assert "has not come to its end within 0 s" in answer.text


def test_a_key_that_is_too_large_to_be_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused with its size and the limit, alone; others that were chosen with it go."""
    monkeypatch.setattr("kato_exporter.stores.redis.payloads.LARGEST_KEPT", 1024 * 1024)
    site.server.client.set("large", b"x" * 1_500_000)
    site.server.client.mset({"a": "1", "b": "2"})
    page = site.get("/redis/key", name="large")

    refused = site.post("/operations", form_of(page, "/operations"))
    edit = site.get("/redis/key/edit", name="large")
    for answer in (refused, edit):
        assert 400 == answer.status_code
        assert re.search(r"large takes [2-9] MiB of memory: .*; at most 1 MiB are", answer.text)
        assert "Try again" not in answer.text

    preview = site.post("/operations", form_of(site.get("/redis/keys"), "/operations"))
    assert "Delete 2 records of kind Redis key?" in preview.text
    assert re.search(r"One stays as it is: large takes [2-9] MiB of memory", preview.text)
    assert re.search(r"<td>refused</td>", preview.text)
    done = confirm(site, preview)
    assert [b"large"] == list(everything(site.server))
    undo(site, done)
    assert 3 == len(everything(site.server))


@pytest.mark.parametrize("name", [b"plain", b"", b"\xff\x00 /?&#", "ü".encode()])
@pytest.mark.parametrize("kind", ["string", "hash", "list", "set", "zset", "stream"])
def test_a_key_is_deleted_and_put_back(site: Site, name: bytes, kind: str) -> None:
    """Of every type and name, from its page and from the list."""
    client = site.server.client
    writes: dict[str, Callable[[], object]] = {
        "string": lambda: client.set(name, "v", ex=LIFE),
        "hash": lambda: client.hset(name, "f", "v"),
        "list": lambda: client.rpush(name, "v"),
        "set": lambda: client.sadd(name, "v"),
        "zset": lambda: client.zadd(name, {"v": 1}),
        "stream": lambda: client.xadd(name, {"f": "v"}),
    }
    writes[kind]()
    before = everything(site.server)

    page = site.get("/redis/key", name=name_text(name))
    done = confirm(site, site.post("/operations", form_of(page, "/operations")))
    assert {} == everything(site.server)
    undo(site, done)
    assert before == everything(site.server)

    listed = site.get("/redis/keys")
    confirm(site, site.post("/operations", form_of(listed, "/operations")))
    assert {} == everything(site.server)


def test_a_key_of_a_session_is_said_to_be_one(site: Site) -> None:
    """As a key it goes alone, and the preview says so."""
    identity = new_session(site.server, 1)
    page = site.get("/redis/key", name=session_key(identity))

    preview = site.post("/operations", form_of(page, "/operations"))

    assert "1 of these keys is a session." in preview.text
    confirm(site, preview)
    assert 1 == site.server.client.scard(SESSION_INDEX)


def test_a_string_is_edited_with_a_mistake_corrected(site: Site) -> None:
    """Fault beside the field, then the difference, then saved, then undone."""
    site.server.client.set("k", '{"time": 3, "stm": []}', ex=LIFE)
    before = everything(site.server)
    assert "/redis/key/edit?name=k" in site.get("/redis/key", name="k").text
    typed = edit_form(site, name="k")
    assert '{"time": 3, "stm": []}' == typed["text"]

    wrong = site.edit(typed | {"text": '{"time": 4, "stm": []'}, "save", name="k")
    assert 400 == wrong.status_code
    assert 'aria-invalid="true"' in wrong.text
    assert "and this is none: Expecting" in wrong.text
    assert '{"time": 4, "stm": []' == typed_in(wrong)["text"], "what was typed stays"

    checked = site.edit(typed_in(wrong) | {"text": '{"time": 4, "stm": []}'}, "check", name="k")
    assert 200 == checked.status_code
    assert re.search(r'class="removed">.*?time.*?: 3', checked.text, re.DOTALL)
    assert re.search(r'class="added">.*?time.*?: 4', checked.text, re.DOTALL)
    assert before == everything(site.server), "nothing is saved yet"

    done = site.edit(typed_in(checked), "save", name="k")
    assert 200 == done.status_code
    assert done.request.path.startswith("/operations/")
    assert b'{"time": 4, "stm": []}' == site.server.client.get("k")
    assert LIFE - 60 < site.server.client.ttl("k") <= LIFE
    undo(site, done)
    assert before == everything(site.server)


@pytest.mark.parametrize("count", [3, 1_000])
def test_a_field_of_a_hash_is_edited(site: Site, count: int) -> None:
    """From its row; the other fields stay, and it can be undone."""
    field = b"\xff f"
    fields = {f"f{number}".encode(): b"v" for number in range(count)} | {field: b"7"}
    site.server.client.hset("h", items=[part for pair in fields.items() for part in pair])
    if count == 3:
        assert "name=h&amp;field=%5Cxff+f" in site.get("/redis/key", name="h").text
    typed = edit_form(site, name="h", field=name_text(field))
    assert "7" == typed["text"]

    fault = site.edit(typed | {"text": "x"}, "check", name="h", field=name_text(field))
    assert "give a whole number of 64 bits" in fault.text
    done = site.edit(typed | {"text": "8"}, "save", name="h", field=name_text(field))

    assert fields | {field: b"8"} == site.server.client.hgetall("h")
    undo(site, done)
    assert fields == site.server.client.hgetall("h")


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_are_edited_safely(site: Site, value: bytes) -> None:
    """They are shown as text, and stay what they are but for what is changed."""
    site.server.client.set(b"k" + value, value)
    name = name_text(b"k" + value)
    page = site.get("/redis/key/edit", name=name)
    assert "<script>alert" not in page.text
    assert "<img src=x>" not in page.text
    assert "\u202e" not in page.text
    typed = typed_in(page)

    same = site.edit(typed, "save", name=name)
    assert 400 == same.status_code
    assert "Nothing is changed" in same.text
    checked = site.edit(typed | {"text": typed["text"] + "!"}, "check", name=name)
    assert "<img src=x>" not in checked.text
    done = site.edit(typed_in(checked), "save", name=name)

    assert value + b"!" == site.server.client.get(b"k" + value)
    undo(site, done)
    assert value == site.server.client.get(b"k" + value)


@pytest.mark.parametrize("step", ["check", "save"])
def test_a_key_that_kato_has_written_meanwhile(site: Site, step: str) -> None:
    """409 with both versions; from there it goes on."""
    site.server.client.set("k", "first line\nold")
    typed = edit_form(site, name="k")
    site.server.client.set("k", "first line\nof KATO")

    conflict = site.edit(typed | {"text": "first line\nmine"}, step, name="k")

    assert 409 == conflict.status_code
    assert "It has changed since it was shown. Nothing was saved." in conflict.text
    assert "of KATO" in conflict.text
    assert "first line\nmine" == typed_in(conflict)["text"]
    assert b"first line\nof KATO" == site.server.client.get("k")
    again = site.edit(typed_in(conflict), "save", name="k")
    assert 200 == again.status_code
    assert b"first line\nmine" == site.server.client.get("k")


def test_a_change_between_the_last_look_and_the_save(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens between reading and writing, the server itself compares."""
    site.server.client.set("k", "old")
    typed = edit_form(site, name="k")
    edit = records_desk.Desk.edit

    def late(desk: records_desk.Desk, *arguments: Any) -> str:
        site.server.client.set("k", "of KATO")
        return edit(desk, *arguments)

    monkeypatch.setattr(records_desk.Desk, "edit", late)
    conflict = site.edit(typed | {"text": "mine"}, "save", name="k")

    assert 409 == conflict.status_code
    assert "of KATO" in conflict.text
    assert b"of KATO" == site.server.client.get("k")


def test_a_key_that_is_gone_meanwhile(site: Site) -> None:
    """409, with what was typed; there is nothing to go on from."""
    site.server.client.set("k", "old")
    typed = edit_form(site, name="k")
    site.server.client.delete("k")

    gone = site.edit(typed | {"text": "mine"}, "save", name="k")

    assert 409 == gone.status_code
    assert "It is gone since it was shown" in gone.text
    assert "mine" == typed_in(gone)["text"]
    assert 0 == site.server.client.exists("k")
    assert 404 == site.get("/redis/key/edit", name="k").status_code


def test_a_key_that_is_of_another_type_meanwhile(site: Site) -> None:
    """409 with what was typed and why that is the end of it; likewise where it is too large."""
    for write, said in (
        (lambda: site.server.client.rpush("k", "v"), "Only strings and single fields of hashes"),
        (lambda: site.server.client.set("k", b"x" * 300_000), "at most 262,144 are edited here"),
    ):
        site.server.client.set("k", "old")
        typed = edit_form(site, name="k") | {"text": "mine"}
        site.server.client.delete("k")
        write()

        answer = site.edit(typed, "save", name="k")

        assert 409 == answer.status_code
        assert "It has changed since it was shown" in answer.text
        assert said in answer.text
        assert "mine" == typed_in(answer)["text"]
        assert 'name="step"' not in answer.text


def test_what_was_not_shown_is_not_saved(site: Site) -> None:
    """What is typed after the difference was shown is shown first."""
    site.server.client.set("k", "old")
    typed = edit_form(site, name="k") | {"text": "mine"}
    [seen] = re.findall('name="seen" value="([^"]+)"', site.edit(typed, "check", name="k").text)

    shown = site.edit(typed | {"text": "other", "seen": seen}, "save", name="k")
    assert 200 == shown.status_code
    assert "What changes" in shown.text
    assert b"old" == site.server.client.get("k")
    site.edit(typed | {"seen": seen}, "save", name="k")
    assert b"mine" == site.server.client.get("k")


def test_what_is_not_edited(site: Site) -> None:
    """Other types, fields that are not there, and values that are too large for a form."""
    client = site.server.client
    client.rpush("list", "v")
    client.hset("hash", "f", "v")
    client.set("large", b"x" * 300_000)

    def status(**query: str) -> int:
        return site.get("/redis/key/edit", **query).status_code

    assert 400 == status(name="list")
    assert 400 == status(name="hash")
    assert 400 == status(name="large", field="f")
    assert 404 == status(name="hash", field="other")
    assert 404 == status(name="none")
    assert 400 == status(name="hash", field=r"\q")
    assert 400 == status()
    large = site.get("/redis/key/edit", name="large")
    assert 400 == large.status_code
    assert "300,000 bytes, and at most 262,144" in large.text
    client.set("k", "v")
    typed = edit_form(site, name="k")
    too_long = site.edit(typed | {"text": "x" * 300_000}, "save", name="k")
    assert 400 == too_long.status_code
    assert "300,000 bytes are too many" in too_long.text
    assert 400 == site.edit(typed, "other", name="k").status_code


def test_the_facts_of_an_edit_as_json(site: Site) -> None:
    """The page's twin has the version to send back."""
    site.server.client.set("k", b"\xff")

    facts = site.get("/redis/key/edit", name="k", format="json").get_json()

    assert r"\xff" == facts["text"]
    assert facts["escaped"] is True
    assert 64 == len(facts["version"])


WRITES = [
    ("/redis/key/edit?name=k", {"step": "save", "text": "mine", "version": ""}),
    ("/redis/key/edit?name=k", {"step": "check", "text": "mine", "version": ""}),
    ("/redis/keys?match=k", {}),
    ("/sessions?node=alice", {}),
]


@pytest.mark.parametrize(("path", "form"), WRITES)
@pytest.mark.parametrize("who", ["a viewer", "a browser that only reads", "one without a trash"])
def test_who_may_not_write(open_site: Open, path: str, form: dict[str, str], who: str) -> None:
    """No form, no button, and a refusal of what is sent all the same."""
    keeps = who != "one without a trash"
    role: Role = "viewer" if who == "a viewer" else "editor"
    site = open_site(role, writable=who == "a viewer", keeps=keeps)
    identity = new_session(site.server, 1)
    site.server.client.set("k", "v")
    site.server.client.hset("h", "f", "v")
    before = everything(site.server)

    refused = site.post(path, form)

    assert refused.status_code in ({403} if keeps else {404, 405})
    assert before == everything(site.server)
    assert (403 if keeps else 404) == site.get("/redis/key/edit", name="k").status_code
    for page in (
        site.get("/sessions", node="alice"),
        site.get(f"/sessions/{identity}"),
        site.get("/redis/keys", match="k"),
        site.get("/redis/key", name="k"),
        site.get("/redis/key", name="h"),
    ):
        assert 200 == page.status_code
        assert "Delete" not in page.text
        assert "checkbox" not in page.text
        assert "/edit" not in page.text


def test_an_account_that_can_only_read(open_site: Open, server: RedisServer) -> None:
    """The browser may write, Redis does not let it: the page names the command."""
    server.client.execute_command(  # type: ignore[no-untyped-call]
        "ACL",
        "SETUSER",
        "reader",
        "reset",
        "on",
        ">word",
        "%R~*",
        "+@read",
        "+client|setname",
        "+info",
        "+time",
        "+@connection",
    )
    site = open_site(url=server.url.replace("//", "//reader:word@"))
    identity = new_session(server, 1)
    before = everything(server)
    page = site.get(f"/sessions/{identity}")

    preview = site.post("/operations", form_of(page, "/operations"))
    interrupted = confirm(site, preview)

    assert "Interrupted: WATCH is refused: " in interrupted.text
    assert before == everything(server)
    typed_name = session_key(identity)
    refused = site.get("/redis/key/edit", name=typed_name)
    assert refused.status_code >= 400
    assert "MULTI is refused: " in refused.text or "RESTORE is refused: " in refused.text
