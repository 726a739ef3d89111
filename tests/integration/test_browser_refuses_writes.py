"""Who may not write does not: every route of the URL map, by every method that writes.

On real stores, but for Qdrant, of which there is a stub. The routes are those that the application
has, so that one that is new is among them.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.security import generate_password_hash
from werkzeug.test import TestResponse

from kato_exporter.browser.access.accounts import Account, Accounts
from kato_exporter.browser.assembly import Browser, assemble
from kato_exporter.browser.records.journal import Journal
from kato_exporter.kato.vectors import point_of_symbol
from kato_exporter.settings import BrowserSettings
from kato_exporter.stores.mongodb.places import Place, text
from support.browsing import Stores, running_stores
from support.records import KB, ODD, VECTOR_SYMBOLS, VECTORS, Records, fill

PASSWORD = "correct horse battery"
WRITES = ("POST", "PUT", "PATCH", "DELETE")
OPEN_TO_ALL = {"/login", "/logout"}
FIELDS = {
    "kind": "Redis key",
    "container": "",
    "name": KB,
    "typed": KB,
    "digest": "0" * 64,
    "step": "save",
    "text": "changed",
    "version": "0" * 64,
    "action": "delete",
    "all": "1",
}
"""Such as forms have; with them a route would find something to do."""


@dataclass(frozen=True, slots=True)
class Site:
    """Stores that hold something, what that is, and what the URLs of its pages have in them."""

    stores: Stores
    parts: dict[str, str]
    queries: dict[str, dict[str, str]]
    directory: Path

    def open(self, *, writable: bool) -> Browser:
        """Assemble a browser on the stores."""
        settings = BrowserSettings(
            redis_url=self.stores.settings["KATO_REDIS_URL"],
            mongo_url=self.stores.settings["KATO_MONGO_URL"],
            qdrant_url=self.stores.settings["KATO_QDRANT_URL"],
            browser_writable=writable,
            browser_data_dir=self.directory,
        )
        hashed = generate_password_hash(PASSWORD, "scrypt:1024:8:1")
        accounts = [Account("editor", "editor", hashed), Account("viewer", "viewer", hashed)]
        return assemble(settings, Accounts({each.name: each for each in accounts}), tls=False)

    def path(self, rule: Rule) -> str:
        """Give a path that a rule fits, of a record where there is one."""
        return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: self.parts[found[1]], rule.rule)

    def everything(self) -> str:
        """Give a hash of all that the stores hold."""
        hashed = hashlib.sha256()
        redis, mongo, qdrant = self.stores.redis, self.stores.mongo, self.stores.qdrant
        keys: Any = redis.keys()
        for key in sorted(keys):
            hashed.update(key + bytes(redis.dump(key) or b""))
        for database in sorted(set(mongo.list_database_names()) - {"admin", "config", "local"}):
            for collection in sorted(mongo[database].list_collection_names()):
                raw = mongo[database].with_options(codec_options=CodecOptions(RawBSONDocument))
                for document in raw[collection].find().sort("_id"):
                    hashed.update(document.raw)
        for described in qdrant.get_collections().collections:
            points, _ = qdrant.scroll(described.name, limit=10_000, with_vectors=True)
            hashed.update("".join(point.model_dump_json() for point in points).encode())
        return hashed.hexdigest()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Fill stores; an operation that was planned in them waits for its confirmation."""
    directory = tmp_path_factory.mktemp("site")
    with running_stores(directory) as stores:
        records: Records = fill(stores.redis, stores.mongo, stores.qdrant)
        point = str(point_of_symbol(VECTOR_SYMBOLS[0]))
        parts = {
            "session_id": records.session,
            "kb": KB,
            "name": records.pattern,
            "collection": ODD,
            "text": "1",
            "point": point,
            "identity": "0" * 32,
            "filename": "browser.css",
            "below": "x",
        }
        key = records.keys["integer"]
        queries = {"/redis/key": {"name": key}, "/redis/key/edit": {"name": key}}
        site = Site(stores, parts, queries, directory / "data")
        with site.open(writable=True) as browser:
            locator = base64.urlsafe_b64encode(b"0:" + key.encode()).decode()
            form = {"kind": "Redis key", "locator": locator}
            planned = send(signed_in(browser, "editor"), "POST", "/operations", form)
            assert 303 == planned.status_code, planned.text
            parts["identity"] = planned.location.rpartition("/")[2]
        yield site


def signed_in(browser: Browser, name: str) -> FlaskClient:
    """Give a client, who is signed in unless the name is empty."""
    client = browser.app.test_client()
    if name:
        came = send(client, "POST", "/login", {"name": name, "password": PASSWORD})
        assert 303 == came.status_code
    return client


def send(client: FlaskClient, method: str, path: str, form: dict[str, str]) -> TestResponse:
    """Send a form as our own pages do, with a token that is right."""
    page = client.get("/login").text or ""
    if "csrf_token" not in page:
        page = client.get("/").text
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found is not None
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
    return client.open(path, method=method, data=form | {"csrf_token": found[1]}, headers=headers)


@pytest.mark.parametrize(
    ("who", "writable"), [("editor", False), ("viewer", True), ("viewer", False), ("", True)]
)
def test_who_may_not_write_changes_nothing_on_any_route(
    site: Site,
    who: str,
    writable: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Refused as not permitted where there is such a route, else as no method of it."""
    before = site.everything()
    refusals: dict[tuple[str, str], int] = {}
    with site.open(writable=writable) as browser:
        client = signed_in(browser, who)
        rules = {rule.rule: rule for rule in browser.app.url_map.iter_rules()}
        takes = {
            (rule.rule, method)
            for rule in browser.app.url_map.iter_rules()
            for method in rule.methods or ()
        }
        for name, rule in rules.items():
            if name in OPEN_TO_ALL:
                continue
            for method in WRITES:
                query = site.queries.get(name, {})
                path = f"{site.path(rule)}?{urlencode(query)}"
                response = send(client, method, path, FIELDS | query)
                refusals[name, method] = response.status_code
    assert before == site.everything()
    denied = 401 if not who else 403
    expected = {
        each: denied if not who or who == "viewer" or each in takes else 405 for each in refusals
    }
    assert expected == refusals
    assert sum(each in takes for each in refusals) >= 9, "the routes that write are among them"
    with closing(Journal(site.directory)) as journal:
        assert [] == journal.rows("SELECT 1 FROM operations WHERE state <> 'planned'")
        assert [{"count": 1}] == journal.rows("SELECT count(*) AS count FROM operations")
        assert [] == journal.rows("SELECT 1 FROM audit")


def test_no_route_writes_by_get(site: Site) -> None:
    """Not for an editor who may, and not with the fields of a form in the query."""
    before = site.everything()
    with site.open(writable=True) as browser:
        client = signed_in(browser, "editor")
        for rule in browser.app.url_map.iter_rules():
            for method in ("GET", "HEAD", "OPTIONS"):
                query = FIELDS | {"_method": "DELETE"} | site.queries.get(rule.rule, {})
                response = client.open(
                    site.path(rule),
                    method=method,
                    query_string=query,
                    headers={"X-HTTP-Method-Override": "DELETE"},
                )
                assert response.status_code < 500, response.text
                response.close()
    assert before == site.everything()
    with closing(Journal(site.directory)) as journal:
        assert [{"count": 1}] == journal.rows("SELECT count(*) AS count FROM operations")
        assert [] == journal.rows("SELECT 1 FROM audit")


def locator(content: bytes) -> str:
    """Spell a locator as pages do."""
    return base64.urlsafe_b64encode(content).decode()


@pytest.mark.parametrize("kind", ["session", "Redis key", "document", "pattern", "point"])
@pytest.mark.parametrize(
    "spelled",
    [
        *(" ", "%%%", "é", "AAA", "A" * 100_001),
        *map(locator, [b"\0", b"\xff" * 9, b"0:", b"1:other", b"-1:x", b"{}", b"[" * 2_000]),
        locator(json.dumps({"collection": "../../x", "point": "../.."}).encode()),
        locator(Place("admin", "system.users", text("x")).locator),
        locator(Place("local", "startup_log", text("x")).locator),
        locator(Place("..", "$cmd", text("x")).locator),
        locator(Place(KB, "metadata", text("x")).locator),
        locator(Place(KB, "system.views", text("x")).locator),
    ],
)
def test_a_locator_that_none_of_our_pages_has_made_harms_nothing(
    site: Site, kind: str, spelled: str
) -> None:
    """It is refused, or names what is not there; it is no fault, and nothing is planned to go."""
    with site.open(writable=True) as browser:
        client = signed_in(browser, "editor")
        form = {"kind": kind, "locator": spelled}
        response = send(client, "POST", "/operations", form)
        assert response.status_code in (303, 400, 502), response.text
        if response.status_code == 303:
            preview = client.get(f"{response.location}?format=json").get_json()
            assert {"missing": 1} == preview["operation"]["states"]


@pytest.mark.parametrize(
    "form",
    [
        {
            "kind": "knowledge base document",
            "locator": locator(Place(KB, "metadata", text("x")).locator),
        },
        {"kind": "nothing", "locator": "AAAA"},
        {"kind": "__class__", "locator": "AAAA"},
        {"container": "knowledge base", "name": "admin", "typed": "admin"},
        {"container": "knowledge base", "name": "config", "typed": "config"},
        {"container": "knowledge base", "name": "a/../b", "typed": "a/../b"},
        {"container": "knowledge base", "name": KB, "typed": KB.upper()},
        {"container": "knowledge base", "name": KB, "typed": KB, "with": "no colon"},
        {"container": "knowledge base", "name": "", "typed": ""},
        {"container": "collection", "name": "../collections", "typed": "../collections"},
        {"container": "collection", "name": f"{VECTORS}?force=true", "typed": VECTORS},
        {"container": "server", "name": "x", "typed": "x"},
    ],
)
def test_an_order_that_no_page_has_is_refused(site: Site, form: dict[str, str]) -> None:
    """With a sentence; and there is no plan."""
    with site.open(writable=True) as browser:
        response = send(signed_in(browser, "editor"), "POST", "/operations", form)
        assert response.status_code in (400, 502), response.text
