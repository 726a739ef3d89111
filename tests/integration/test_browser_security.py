"""What was done to browsers of databases elsewhere, tried on ours: by HTTP, on real stores.

Each store asks for a password, and the browser may write. Qdrant is a stub.
"""

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import httpx
import pytest
from flask import request
from pymongo import MongoClient
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams
from redis import Redis
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map

from kato_exporter.browser.access.accounts import Account, Accounts, account_lines
from kato_exporter.browser.access.passwords import hash_password
from kato_exporter.browser.app import LARGEST_BODY
from kato_exporter.browser.assembly import assemble
from kato_exporter.browser.records.pages import locator_text
from kato_exporter.demo.qdrant_stub import qdrant_stub
from kato_exporter.demo.servers import LOOPBACK, start_mongod, start_valkey
from kato_exporter.demo.shapes import Document
from kato_exporter.demo.stub_server import serving
from kato_exporter.kato.knowledge import PATTERNS
from kato_exporter.settings import BrowserSettings
from support.browsing import GRAFANA, PASSWORD, RunningBrowser, browsing
from support.crawling import Found, crawl
from support.servers import started

NOWHERE = "redis://127.0.0.1:1"
EDITORS = ("alice", "bob", "dave", "erin", "frank")
VIEWER = "carol"
SECRETS = ("redis-f3a1c9", "mongodb-77d20b", "qdrant-5be8e4")
KB = "<b>{{7*7}}'&_kato"
PRODUCT = str(7_777 * 7_777)
NAMES = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)><svg onload=alert(1)>",
    "javascript:alert(1)//</title></textarea>",
    "{{7777*7777}}{%print(7777*7777)%}${7777*7777}#{7777*7777}<%=7777*7777%>",
    '=HYPERLINK("http://127.0.0.2/","x")',
    "../../etc/passwd%00%2e%2e%2f",
    "a\r\nSet-Cookie: planted=1\r\n\r\n<b>",
    "\u202egnp.exe\u2066",
    "x\x1b[2Jts=0 level=info event=forged",
)
"""Of keys, fields, collections, ids: each would do harm in a page, a header, a file or a log."""

CODE = (
    "this.constructor.constructor('return process')().mainModule.require('child_process')",
    '{"$where": "sleep(9000) || true"}',
    '{"$expr": {"$function": {"body": "function() { sleep(9000) }", "args": [], "lang": "js"}}}',
    "'; while (true) {}; '",
    "__import__('os').system('sleep 9')",
    "\r\nFLUSHALL\r\n",
    NAMES[3],
)
"""What has been carried out by others: CVE-2019-10758 of mongo-express is the first."""

NOT_IN_COLLECTIONS = re.compile(r'[<>:"/\\|?*\0]')
"""What Qdrant takes in no name."""

HTTP_ERRORS = (400, 403, 404, 405, 409, 413, 415, 429)
ROOTS = {"/", "/collections"}
LONGEST = 5.0


def path_of(rule: str) -> str:
    """Fill the gaps of a rule."""
    return re.sub(r"<[^>]+>", "x", rule)


@dataclass(frozen=True, slots=True)
class Target:
    """A record browser, the stores behind it, and what Qdrant was asked for.

    `clients` are signed in, by name.
    """

    browser: RunningBrowser
    directory: Path
    redis: Redis
    mongo: MongoClient[Document]
    asked: list[str]
    url_map: Map
    clients: dict[str, httpx.Client] = field(default_factory=dict)

    @property
    def alice(self) -> httpx.Client:
        """Give an editor."""
        return self.clients["alice"]

    @property
    def writes(self) -> list[str]:
        """Give a path of each rule that takes a form, but for those of sign-in and sign-out."""
        rules = {each.rule for each in self.url_map.iter_rules() if "POST" in (each.methods or ())}
        return [path_of(rule) for rule in sorted(rules - {"/login", "/logout"})]

    def rule_of(self, path: str) -> str:
        """Name the rule of the URL map that a path belongs to; empty where there is none."""
        try:
            rule, _ = self.url_map.bind(LOOPBACK).match(unquote(path), return_rule=True)
        except (NotFound, MethodNotAllowed):
            return ""
        return str(rule.rule)

    def raw(self, *requests: bytes, patience: float = 3.0) -> list[bytes]:
        """Send requests over one connection, each after the answer before; give the answers."""
        parts = urlsplit(self.browser.url)
        with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
            connection.settimeout(patience)
            return [_answer(connection, each) for each in requests]

    def state(self) -> tuple[Any, ...]:
        """Give all that a write could have changed."""
        knowledge = {
            name: sorted(map(repr, self.mongo[KB][name].find()))
            for name in self.mongo[KB].list_collection_names()
        }
        keys = {key: self.redis.dump(key) for key in self.redis.scan_iter()}
        return keys, knowledge, self.alice.get("/audit?format=json").json()["entries"]


def _answer(connection: socket.socket, request_: bytes) -> bytes:
    """Send a request, and read one answer with its body, or what there is until the end."""
    got = b""
    try:
        connection.sendall(request_)
        while b"\r\n\r\n" not in got:
            got += (part := connection.recv(65_536))
            if not part:
                return got
        head, _, body = got.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        while length is not None and len(body) < int(length[1]):
            body += (part := connection.recv(65_536))
            if not part:
                break
        return head + b"\r\n\r\n" + body
    except (TimeoutError, ConnectionError):
        return got


def status_of(answer: bytes) -> int:
    """Give the status of an answer, 0 where there was none."""
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    return int(found[1]) if found else 0


def token(client: httpx.Client, path: str = "/nowhere") -> str:
    """Read the token of the forms of this login."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path).text)
    assert found is not None
    return found[1]


def signed_in(url: str, name: str) -> httpx.Client:
    """Sign in by the form, as a web browser does."""
    client = httpx.Client(
        base_url=url, headers={"Accept": "text/html"}, timeout=20, trust_env=False
    )
    form = {"name": name, "password": PASSWORD, "csrf_token": token(client, "/login")}
    assert 303 == client.post("/login", data=form).status_code
    return client


@contextmanager
def guarded_stores(directory: Path, asked: list[str]) -> Iterator[dict[str, Any]]:
    """Run a Valkey, a MongoDB and a stub of Qdrant, each with a password; give clients and URLs."""
    redis_secret, mongo_secret, qdrant_secret = SECRETS
    with ExitStack() as stack:
        valkey = stack.enter_context(
            started(
                lambda: start_valkey(
                    directory / "valkey", arguments=("--requirepass", redis_secret)
                )
            )
        )
        mongod = stack.enter_context(
            started(lambda: start_mongod(directory / "mongodb", arguments=("--auth",)))
        )
        with MongoClient[Document](mongod.url) as client:
            client.admin.command("createUser", "kato", pwd=mongo_secret, roles=["root"])
        qdrant = QdrantClient(":memory:")
        stack.callback(qdrant.close)
        stub = qdrant_stub(qdrant, api_key=qdrant_secret)
        stub.before_request(lambda: asked.append(request.environ["REQUEST_URI"]))
        port = stack.enter_context(serving(stub))
        redis_url = valkey.url.replace("//", f"//:{redis_secret}@")
        mongo_url = mongod.url.replace("//", f"//kato:{mongo_secret}@")
        yield {
            "redis": stack.enter_context(Redis.from_url(redis_url)),
            "mongo": stack.enter_context(MongoClient[Document](mongo_url)),
            "qdrant": qdrant,
            "settings": {
                "KATO_REDIS_URL": redis_url,
                "KATO_MONGO_URL": mongo_url,
                "KATO_QDRANT_URL": f"http://{LOOPBACK}:{port}",
                "KATO_QDRANT_API_KEY": qdrant_secret,
            },
        }


def fill(redis: Redis, mongo: MongoClient[Document], qdrant: QdrantClient) -> None:
    """Put the names wherever a store takes one."""
    for number, name in enumerate(NAMES):
        redis.set(name, name)
        redis.hset("hash", name, name)
        redis.set(
            f"kato:session:session-{number:032x}-1790000000000",
            json.dumps({"session_id": name, "node_id": name, "stm": [[name]], name: name}),
            ex=3_600,
        )
        mongo[KB][PATTERNS].insert_one(
            {
                "name": f"{number:040x}",
                "pattern_data": [[name]],
                "frequency": 1,
                "length": 1,
                "emotives": [{name: 0.5}],
                "metadata": {name: [name]},
                name: name,
            }
        )
        mongo[KB][name.replace("$", "").replace("..", "-")].insert_one({"_id": name, name: name})
        collection = f"{number}{NOT_IN_COLLECTIONS.sub('.', name)}"
        vectors = VectorParams(size=2, distance=Distance.COSINE)
        qdrant.create_collection(collection, vectors_config=vectors)
        qdrant.upsert(collection, [PointStruct(id=1, vector=[1.0, 0.0], payload={name: name})])


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Give a record browser that may write, on stores that hold hostile names."""
    directory = tmp_path_factory.mktemp("security")
    accounts = directory / "accounts.toml"
    hashed = hash_password(PASSWORD)
    accounts.write_text(
        "".join(
            account_lines(Account(name, "viewer" if name == VIEWER else "editor", hashed))
            for name in (*EDITORS, VIEWER)
        )
    )
    asked: list[str] = []
    with ExitStack() as stack:
        stores = stack.enter_context(guarded_stores(directory, asked))
        fill(stores["redis"], stores["mongo"], stores["qdrant"])
        own = {
            "KATO_BROWSER_ACCOUNTS_FILE": str(accounts),
            "KATO_BROWSER_WRITABLE": "true",
            "KATO_BROWSER_DATA_DIR": str(directory / "data"),
            "KATO_GRAFANA_URL": GRAFANA,
        }
        browser = stack.enter_context(browsing(directory / "browser", **stores["settings"], **own))
        target = Target(
            browser, directory, stores["redis"], stores["mongo"], asked, url_map(directory / "map")
        )
        for name in (*EDITORS, VIEWER):
            target.clients[name] = signed_in(browser.url, name)
            stack.callback(target.clients[name].close)
        _leave_traces(target)
        yield target


def url_map(directory: Path) -> Map:
    """Give the URL map of a record browser that has everything."""
    settings = BrowserSettings(
        redis_url=NOWHERE,
        mongo_url="mongodb://127.0.0.1:1",
        qdrant_url="http://127.0.0.1:1",
        browser_writable=True,
        browser_data_dir=directory,
    )
    with assemble(settings, Accounts({}), tls=False) as browser:
        return browser.app.url_map


def planned(target: Target, key: str, name: str = "alice") -> str:
    """Plan to delete a key of Redis, and give the page that asks whether to do so."""
    client = target.clients[name]
    locator = locator_text(b"0:" + key.encode())
    form = {"kind": "Redis key", "locator": locator, "csrf_token": token(client)}
    response = client.post("/operations", data=form)
    assert 303 == response.status_code, response.text
    return response.headers["Location"]


def confirmed(target: Target, page: str, name: str = "alice", **other: str) -> httpx.Response:
    """Confirm a plan as its page does."""
    client = target.clients[name]
    digest = client.get(f"{page}?format=json").json()["digest"]
    form = {"digest": digest, "csrf_token": token(client), **other}
    return client.post(f"{page}/confirm", data=form)


def _leave_traces(target: Target) -> None:
    """Delete a key of each name, so that trash and audit log have them; bring them back."""
    for name in NAMES:
        page = planned(target, name)
        assert 303 == confirmed(target, page).status_code
        form = {"csrf_token": token(target.alice)}
        assert 303 == target.alice.post(f"{page}/restore", data=form).status_code
    assert len(NAMES) == sum(target.redis.exists(name) for name in NAMES)


@pytest.fixture(scope="module")
def found(target: Target) -> Found:
    """Follow all links as an editor sees them."""
    return crawl(target.alice, target.rule_of, most_of_a_kind=12)


class Page(HTMLParser):
    """What a page consists of: its tags with their attributes, and its forms."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.forms: list[tuple[dict[str, str | None], dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        own = dict(attrs)
        self.tags.append((tag, own))
        if tag == "form":
            self.forms.append((own, {}))
        elif self.forms and tag in ("input", "textarea", "select") and own.get("name"):
            self.forms[-1][1][str(own["name"])] = own.get("value") or ""


def harm(page: Page) -> list[tuple[str, dict[str, str | None]]]:
    """Give the tags that a careful page does not have."""
    return [
        (tag, own)
        for tag, own in page.tags
        if (tag in ("b", "img", "iframe", "object", "embed", "base", "style"))
        or (tag == "script" and own != {"src": "/static/browser.js", "defer": None})
        or any(name.startswith("on") or name == "style" for name in own)
        or not re.match(r"$|[/?#](?!/)|" + re.escape(GRAFANA), own.get("href") or "")
    ]


def test_every_kind_of_page_was_seen(target: Target, found: Found) -> None:
    """Those that only an editor sees among them, so that the tests below mean something."""
    rules = {each.rule for each in target.url_map.iter_rules() if "GET" in (each.methods or ())}
    assert [] == found.broken
    missed = rules - found.rules - {"/login", "/metrics", "/-/healthy", "/static/<path:filename>"}
    assert set() == missed


def test_names_of_records_are_no_markup(target: Target, found: Found) -> None:
    """Stored in a name of a key, field, collection or id, then shown to an editor (stored XSS)."""
    shown = ""
    for address in (*found.pages, "/login?next=" + quote(NAMES[1])):
        page = target.alice.get(address).text
        shown += page
        assert [] == harm(Page(page)), address
    assert "&lt;script&gt;alert(1)" in shown
    assert PRODUCT not in shown


def test_no_answer_stays_in_a_cache_or_is_taken_for_another_type(found: Found) -> None:
    """Pages, twins, downloads and errors: the back button of the next reader shows nothing."""
    types = {"text/html; charset=utf-8", "application/json", "text/csv; charset=utf-8"}
    types |= {"application/x-ndjson; charset=utf-8", "text/plain; charset=utf-8"}
    for address, answer in found.answers.items():
        assert "no-store" == answer.headers["Cache-Control"], address
        assert "nosniff" == answer.headers["X-Content-Type-Options"], address
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"], address
        assert answer.headers["Content-Type"] in types, address


def test_names_of_downloads_are_plain(found: Found) -> None:
    """Whatever a collection or a knowledge base is called, one header stays one."""
    downloads = [
        answer for address, answer in found.answers.items() if re.search(r"=(csv|jsonl)", address)
    ]
    kept = [answer for answer in downloads if 200 == answer.status_code]
    assert len(kept) > len(NAMES)
    for answer in kept:
        name = answer.headers["Content-Disposition"]
        assert re.fullmatch(r'attachment; filename="?[A-Za-z0-9._-]+\.(csv|jsonl)"?', name), name
        assert "planted" not in answer.headers.get("Set-Cookie", "")


def test_no_cell_of_a_download_is_a_formula(found: Found) -> None:
    """In those of the trash and the audit log as well."""
    sheets = [
        answer.text
        for address, answer in found.answers.items()
        if "format=csv" in address and 200 == answer.status_code
    ]
    assert any("HYPERLINK" in sheet for sheet in sheets)
    for sheet in sheets:
        assert not re.search(r'(?m)(^|,)"?=', sheet), sheet


def test_no_answer_and_no_log_has_a_secret(target: Target, found: Found) -> None:
    """Neither the stores' passwords nor hashes, nor what a login is known by."""
    stored = re.findall(r'password = "([^"]+)"', (target.directory / "accounts.toml").read_text())
    cookies = [value for client in target.clients.values() for value in client.cookies.values()]
    secrets = (*SECRETS, PASSWORD, *stored, *cookies)
    told = [f"{answer.headers}{answer.text}" for answer in found.answers.values()]
    told += [target.browser.log, target.alice.get("/metrics").text]
    assert len(told) > len(found.rules)
    assert [] == [secret for secret in secrets if any(secret in each for each in told)]


def test_no_error_has_a_secret(target: Target, tmp_path: Path) -> None:
    """Where a store refuses the password, page and log say so without it."""
    address = target.mongo.address
    assert address is not None
    settings = {
        "KATO_REDIS_URL": f"redis://:wrong-{SECRETS[0]}@{LOOPBACK}:{port_of(target.redis)}",
        "KATO_MONGO_URL": f"mongodb://kato:wrong-{SECRETS[1]}@{LOOPBACK}:{address[1]}",
        "KATO_STORE_TIMEOUT": "1",
    }
    told = []
    with (
        browsing(tmp_path, **settings) as browser,
        httpx.Client(base_url=browser.url, auth=("reader", PASSWORD), trust_env=False) as client,
    ):
        for path in ("/", "/sessions", "/redis", "/redis/keys", "/redis/key?name=x", "/kb"):
            for form in ("html", "json"):
                response = client.get(f"{path}{'&' if '?' in path else '?'}format={form}")
                assert ("/" == path) == (200 == response.status_code), path
                told.append(f"{response.headers}{response.text}")
        told.append(browser.log)
    assert [] == [each for each in told for secret in SECRETS if secret in each]
    assert any("WRONGPASS" in each or "invalid" in each for each in told)


def port_of(redis: Redis) -> int:
    """Give the port of a client's server."""
    return int(redis.connection_pool.connection_kwargs["port"])


def test_metrics_name_no_record_and_nobody(target: Target, found: Found) -> None:
    """The routes are those of the URL map, whatever was asked for."""
    target.alice.request("GOPHER", "/kb/forged")
    target.alice.get("/forged")
    text = target.alice.get("/metrics").text
    routes = set(re.findall(r'route="([^"]*)"', text))
    assert routes <= {each.rule for each in target.url_map.iter_rules()} | {"(none)"}
    methods = set(re.findall(r'method="([^"]*)"', text))
    assert methods <= {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"}
    assert "(none)" in routes
    assert len(found.answers) > len(routes)
    for word in (*EDITORS, "forged", "alert", '_kato"', "session-"):
        assert word not in text


def carried_out(target: Target) -> dict[str, int]:
    """Count what only somebody who has broken out of a value makes the stores do."""
    operators = target.mongo.admin.command("serverStatus")["metrics"]["operatorCounters"]
    counts = {
        name: operators[place][name]
        for place, name in (("match", "$where"), ("expressions", "$function"))
    }
    stats = target.redis.info("commandstats")
    for command in ("eval", "fcall", "config|set", "module|load", "flushall", "replicaof"):
        counts[command] = stats.get(f"cmdstat_{command}", {}).get("calls", 0)
    return counts


def test_nothing_typed_into_a_search_is_carried_out(target: Target, found: Found) -> None:
    """Every field of every form that searches, with code of the stores, of Python, of templates.

    And the names of the fields as operators, as PHP and Express take them.
    """
    before = carried_out(target)
    fields = {
        (urlsplit(address).path, name)
        for address in found.one_of_each_rule()
        for form, names in Page(found.answers[address].text).forms
        if form.get("method", "get") == "get"
        for name in names
    }
    assert len(fields) > 10
    for path, name in sorted(fields):
        for code in CODE:
            for query in ({name: code}, {f"{name}[$ne]": code, f"{name}[]": code}):
                began = time.monotonic()
                response = target.alice.get(path, params=query)
                assert response.status_code in (200, 302, 303, *HTTP_ERRORS), (path, query)
                assert PRODUCT not in response.text, (path, query)
                assert time.monotonic() - began < LONGEST, (path, query)
    assert before == carried_out(target)


def test_nothing_typed_into_a_form_is_carried_out(target: Target, found: Found) -> None:
    """Every field of every form that writes: a document is text, never a program."""
    before = carried_out(target)
    forms = {
        (own.get("action") or address, tuple(sorted(names)))
        for address in found.pages
        for own, names in Page(found.answers[address].text).forms
        if own.get("method") == "post" and own.get("action") != "/logout"
    }
    paths = {urlsplit(action)._replace(query="").geturl() for action, _ in forms}
    assert {"/operations", "/redis/key/edit"} <= paths
    for number, code in enumerate(CODE):
        client = target.clients[("dave", "erin")[number % 2]]  # each may begin 60 in a minute
        form_token = token(client)
        for action, names in sorted(forms):
            form = dict.fromkeys(names, code) | {"step": "check", "csrf_token": form_token}
            response = client.post(action, data=form)
            if 303 == response.status_code:  # to the preview of a deletion
                assert response.headers["Location"].startswith("/operations/"), action
                continue
            assert response.status_code in (200, 400, 403, 404, 409), (action, code)
            assert PRODUCT not in response.text
            assert [] == harm(Page(response.text)), action
    assert before == carried_out(target)


def forgeries(target: Target) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give requests as another site can make an editor's web browser send them."""
    own, foreign = token(target.alice), token(target.clients["bob"])
    text = {"Content-Type": "text/plain"}
    yield "without a token", {}
    yield "with the token of somebody else", {"data": {"csrf_token": foreign}}
    yield "with a token of nobody", {"data": {"csrf_token": "x"}}
    yield "with the token in the address", {"params": {"csrf_token": own}}
    yield "with the token in a cookie", {"headers": {"Cookie": f"csrf_token={own}"}}
    yield "as JSON", {"json": {"csrf_token": own}}
    yield "as text", {"content": f"csrf_token={own}", "headers": text}
    for site in ("cross-site", "same-site"):
        headers = {"Sec-Fetch-Site": site}
        yield site, {"data": {"csrf_token": own}, "headers": headers}


def test_no_write_can_be_forged(target: Target) -> None:
    """At each address of the URL map that takes a form, so that a new one cannot be forgotten."""
    before = target.state()
    assert {"/operations", "/operations/x/confirm", "/redis/keys"} <= set(target.writes)
    for path in target.writes:
        for kind, how in forgeries(target):
            response = target.alice.post(path, **how)
            refused = 403 if kind.endswith("-site") else 400
            if kind == "with the token in a cookie":
                refused = 401  # the forged header takes the place of the login
            assert refused == response.status_code, (path, kind)
    assert before == target.state()


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_reading_request_stays_one(target: Target, header: str, method: str) -> None:
    """Neither a header nor an argument makes a write of it, which would need no token."""
    before = target.state()
    query = {"_method": method, "kind": "Redis key", "locator": locator_text(b"0:hash")}
    overridden = {header: method}
    for path in target.writes:
        response = target.alice.get(path, params=query, headers=overridden)
        assert response.status_code in (200, 400, 404, 405), path
    assert 200 == target.alice.get("/", params=query, headers=overridden).status_code
    assert 405 == target.alice.get("/operations", headers=overridden).status_code
    assert before == target.state()


@contextmanager
def lure() -> Iterator[tuple[str, Callable[[], int]]]:
    """Give the address of a port where nobody should come, and how many did."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.settimeout(0.2)

        def came() -> int:
            count = 0
            while True:
                try:
                    listener.accept()[0].close()
                except TimeoutError:
                    return count
                count += 1

        yield f"{LOOPBACK}:{listener.getsockname()[1]}", came


def test_nobody_chooses_whom_the_browser_asks(target: Target) -> None:
    """Hosts come from the settings alone: not from addresses, arguments, headers (SSRF)."""
    target.asked.clear()
    client = target.alice
    with lure() as (place, came):
        names = ("url", "host", "server", "redis_url", "mongo_url", "qdrant_url", "uri", "next")
        schemes = ("http", "redis", "mongodb", "gopher", "file")
        for scheme in schemes:
            query = dict.fromkeys(names, f"{scheme}://{place}/")
            inside = quote(f"{scheme}://{place}/", safe="")
            for path in ("/", "/sessions", "/kb", "/redis", "/redis/keys", "/qdrant", "/login"):
                assert client.get(path, params=query).status_code in (200, 303)
            for path in (f"/qdrant/{inside}", f"/kb/{inside}", f"/qdrant/{inside}/points/1"):
                assert client.get(path).status_code in (400, 404)
        headers = {"Host": place, "X-Forwarded-Host": place, "X-Forwarded-Server": place}
        assert 200 == client.get("/qdrant", headers=headers).status_code
        assert 400 == status_of(
            target.raw(f"GET http://{place}/ HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())[0]
        )
        assert 0 == came()
        socket.create_connection(tuple(place.split(":")), timeout=5).close()  # type: ignore[arg-type]
        assert 1 == came()
    assert target.asked
    assert [] == [path for path in target.asked if place in unquote(path).split("/collections")[0]]


def test_a_host_of_the_clients_choice_is_in_no_answer(target: Target) -> None:
    """Not in links, not in where a redirect leads (cache poisoning, reset of passwords)."""
    evil = "evil.example"
    headers = {"Host": evil, "X-Forwarded-Host": evil, "X-Forwarded-Proto": "gopher"}
    headers |= {"X-Original-URL": "/sessions", "X-Rewrite-URL": "/sessions", "Forwarded": evil}
    with httpx.Client(base_url=target.browser.url, trust_env=False) as stranger:
        led = stranger.get("/sessions", headers=headers | {"Accept": "text/html"})
        form = stranger.get("/login", headers=headers)
    assert (303, "/login?next=/sessions") == (led.status_code, led.headers["Location"])
    assert "<h1>Sign in</h1>" in form.text
    for response in (led, form, *(target.alice.get(path, headers=headers) for path in ("/", "/x"))):
        assert evil not in f"{response.headers}{response.text}"
        assert "gopher" not in f"{response.headers}{response.text}"


CLIMBS = (
    "",
    ".",
    "../../../../../../etc/passwd",
    "..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%252f..%252f..%252f..%252fetc%252fpasswd",
    "%252e%252e%252f%252e%252e%252fetc%252fpasswd",
    "..%c0%af..%c0%afetc%c0%afpasswd",
    "..\\..\\..\\etc\\passwd",
    "..%5c..%5c..%5cetc%5cpasswd",
    "....//....//etc/passwd",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "..%2fapp.py",
    "../app.py%00.css",
    "../../data/records.sqlite3",
    "..%2f..%2fcluster",
    "x%2fpoints%2f..%2f..%2f..%2ftelemetry",
)


def test_no_path_climbs(target: Target) -> None:
    """In the address of a file of ours and of a record: encoded, doubly encoded, or plain."""
    target.asked.clear()
    parts = {re.sub(r"<[^>]+>.*", "", each.rule) for each in target.url_map.iter_rules()}
    cookie = "; ".join(f"{name}={value}" for name, value in target.alice.cookies.items())
    assert {"/static/", "/kb/", "/qdrant/", "/operations/", "/sessions/"} <= parts
    for part in sorted(part for part in parts if part.endswith("/")):
        for climb in CLIMBS:
            line = f"GET {part}{climb} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n"
            [answer] = target.raw(line.encode())
            assert status_of(answer) in (400, 404, 405, 308, 200), (part, climb, answer[:100])
            if part != "/":
                assert 200 != status_of(answer), (part, climb)
            for word in (b"root:x:0", b"SQLite format", b"def create_app"):
                assert word not in answer, (part, climb)
    assert [] == [path for path in target.asked if not asks_for_collections(path)]


def asks_for_collections(path: str) -> bool:
    """Tell whether a path of Qdrant is below the collections, and cannot be read as another."""
    names = [unquote(each) for each in urlsplit(path).path.split("/")]
    if {".", ".."} & set(names) or any("/" in name for name in names):
        return False
    return path in ROOTS or names[1] == "collections"


def test_no_other_origin_reads(target: Target) -> None:
    """There is no CORS, and no JSONP: an answer in JSON is no script, whoever asks for one."""
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method in ("GET", "OPTIONS", "HEAD"):
        for path in ("/sessions?format=json&callback=steal", "/login", "/metrics"):
            headers = target.alice.request(method, path, headers=origin).headers
            assert [] == [name for name in headers if name.startswith("access-control-")]
            assert "same-origin" == headers["Cross-Origin-Resource-Policy"]
    twin = target.alice.get("/sessions?format=json&callback=steal&jsonp=steal")
    assert "application/json" == twin.headers["Content-Type"]
    assert twin.text.startswith("{")


@pytest.mark.parametrize(
    "method", ["TRACE", "TRACK", "CONNECT", "DEBUG", "PROPFIND", "MKCOL", "PURGE", "SEARCH", "X"]
)
def test_methods_of_others_are_refused(target: Target, method: str) -> None:
    """Nothing is sent back of what was sent, and nothing is passed on."""
    cookie = "; ".join(f"{name}={value}" for name, value in target.alice.cookies.items())
    for place in ("/", "/kb/x", "/metrics", "/static/browser.css", "127.0.0.1:22", "*"):
        for header in (f"Cookie: {cookie}; echo=sent-back", "X: sent-back"):
            line = f"{method} {place} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n"
            [answer] = target.raw(line.encode())
            assert status_of(answer) in (400, 401, 404, 405), (place, answer[:100])
            assert b"sent-back" not in answer


def test_the_password_is_hidden_and_may_be_pasted(target: Target) -> None:
    """Its field is one that password managers know; nothing shortens what they fill in."""
    with httpx.Client(base_url=target.browser.url, trust_env=False) as stranger:
        page = Page(stranger.get("/login").text)
    [own] = [own for tag, own in page.tags if tag == "input" and own.get("name") == "password"]
    assert ("password", "current-password") == (own["type"], own["autocomplete"])
    assert not {"maxlength", "pattern", "minlength", "onpaste"} & set(own)


def test_names_of_accounts_cannot_be_found_out(tmp_path: Path) -> None:
    """A wrong password and a wrong name have the same answer, and must wait after as many."""

    def refusals(client: httpx.Client, name: str, address: str) -> dict[int, str]:
        told: dict[int, str] = {}
        headers = {"X-Forwarded-For": address, "Accept": "text/html"}
        while 429 not in told:
            form = {"name": name, "password": "wrong", "csrf_token": token(client, "/login")}
            response = client.post("/login", data=form, headers=headers)
            text = re.sub(r'(csrf_token"|id="name"[^>]*) value="[^"]*"', "", response.text)
            told[response.status_code] = re.sub(r"in \d+ s\.", "in a while.", text)
            assert told.keys() <= {403, 429}
        return told

    settings = {"KATO_REDIS_URL": NOWHERE, "KATO_BROWSER_TRUSTED_PROXIES": LOOPBACK}
    with (
        browsing(tmp_path, **settings) as browser,
        httpx.Client(base_url=browser.url, trust_env=False) as client,
    ):
        known = refusals(client, "reader", "198.51.100.1")
        unknown = refusals(client, "nobody", "198.51.100.2")
        wrong = [
            client.get("/", auth=(name, "wrong"), headers={"X-Forwarded-For": address})
            for name, address in (("reader", "198.51.100.3"), ("nobody", "198.51.100.4"))
        ]
    assert {403, 429} == set(known)
    assert known == unknown
    assert [(401, wrong[0].text)] * 2 == [(each.status_code, each.text) for each in wrong]


FORGED = "\r\nts=2026-01-01T00:00:00Z level=info logger=browser event=forged"


def test_the_log_tells_of_refused_writes(target: Target) -> None:
    """Who asked for one, from where, at which route, and why it was refused."""
    carol, alice = target.clients[VIEWER], target.alice
    assert 403 == carol.post("/operations", data={"csrf_token": token(carol)}).status_code
    assert 400 == alice.post("/operations/x/confirm").status_code
    assert 403 == alice.post("/redis/keys", headers={"Sec-Fetch-Site": "cross-site"}).status_code
    refusals = [
        re.search(r'event="write refused" user=(\S+) client=(\S+) route=(\S+) reason="(.*)"', line)
        for line in target.browser.log.splitlines()
    ]
    told = [found.groups() for found in refusals if found is not None][-3:]
    assert [
        ("carol", LOOPBACK, "/operations"),
        ("alice", LOOPBACK, "/operations/<identity>/confirm"),
        ("(nobody)", LOOPBACK, "/redis/keys"),
    ] == [each[:3] for each in told]
    for words, (*_, reason) in zip(("only an editor", "token", "another site"), told, strict=True):
        assert words in reason


def test_nobody_writes_lines_into_the_log(tmp_path: Path) -> None:
    """Whatever is in addresses, names, headers and broken requests."""
    settings = {
        "KATO_REDIS_URL": NOWHERE,
        "KATO_BROWSER_TRUSTED_PROXIES": LOOPBACK,
        "KATO_BROWSER_USER_HEADER": "X-Forwarded-User",
    }
    with (
        browsing(tmp_path, **settings) as browser,
        httpx.Client(base_url=browser.url, trust_env=False) as client,
    ):
        parts = urlsplit(browser.url)
        client.get(f"/sessions/{quote(FORGED)}", auth=("reader", PASSWORD))
        client.get("/redis/key", params={"name": FORGED}, auth=("reader", PASSWORD))
        client.get("/", auth=(f"reader{FORGED}", "x"))
        form = {"name": f"reader{FORGED}", "password": FORGED}
        client.post("/login", data=form | {"csrf_token": token(client, "/login")})
        client.get("/", headers=[(b"X-Forwarded-User", b"\x1b[2J event=forged \xa0\x85")])
        client.get("/", headers={"X-Forwarded-For": "198.51.100.9 event=forged"})
        for line in (f"GET /{FORGED} HTTP/1.1", FORGED, f"\x1b[2J{FORGED} / HTTP/1.1"):
            with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
                connection.settimeout(2)
                _answer(connection, f"{line}\r\nHost: x\r\n\r\n".encode())
        browser.end()
        lines = browser.log.splitlines()
    assert any("sign-in refused" in line for line in lines)
    for line in lines:
        assert re.match(r"ts=20\S+ level=\w+ logger=\S+ event=", line), line
        assert line.isprintable(), line
        assert not line.startswith(FORGED.strip()), line


def body(length: int) -> bytes:
    """Give a form of so many bytes."""
    return b"name=" + b"x" * (length - 5)


FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
HOST = b"Host: x\r\n"
NEXT = b"GET /login?smuggled HTTP/1.1\r\nHost: x\r\nX: "
HEALTHY = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
"""Asked after a request that is broken: whoever comes next gets their own answer, or none."""


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /login?" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        (b"GET /login HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 413),
        (b"GET /login HTTP/1.1\r\n" + b"X: y\r\n" * 5_000 + b"\r\n", 413),
        (b"POST /login HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999\r\n\r\n", 413),
        (b"POST /login HTTP/1.1\r\n" + HOST + b"Content-Length: %s\r\n\r\n" % (b"9" * 5_000), 400),
        (b"POST /login HTTP/1.1\r\n" + HOST + b"Content-Length: five\r\n\r\n", 400),
        (b"GET /login HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", 400),
        (b"GET /login HTTP/1.1\r\nHost x\r\n\r\n", 400),
        (b"GET /login HTTP/2.0\r\n" + HOST + b"\r\n", 505),
        (b"GET login HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /login\r\n" + HOST + b"\r\n", 400),
        (b"get /login HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00" + b"\0" * 300 + b"\r\n\r\n", 400),
    ],
    ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else None,
)
def test_a_broken_request_is_refused(target: Target, request_: bytes, status: int) -> None:
    """Quickly, and the server serves on."""
    [answer] = target.raw(request_)
    assert status == status_of(answer), answer[:200]
    assert b"Traceback" not in answer
    assert [200] == [status_of(each) for each in target.raw(HEALTHY)]


@pytest.mark.parametrize(
    "path",
    [
        *("/%", "/%zz", "/%u0041", "/%ff%fe", "/%c0%af", "/%00", "/%0d%0aSet-Cookie:x=1"),
        *("/kb/%ff/patterns", "/kb/%ed%a0%80", "/sessions/%ff%00", "/qdrant/%ff/points/%ff"),
        *("/sessions?id=%ff%fe&id=%00&=&&;", "/redis/key?name=%", "/redis/key?name=%ff%zz"),
        *("/kb/x/collections/y/%ff", "/kb?after=%ff", "/trash?before=%00", "/operations/%ff"),
        "/redis/keys?match=%ed%a0%80",
    ],
)
def test_what_is_no_text_is_no_fault(target: Target, path: str) -> None:
    """Broken escapes, broken UTF-8, half characters: refused, not found, or taken as shown."""
    url = httpx.URL(target.browser.url)
    for form in ("html", "json", "csv"):
        whole = f"{path}{'&' if '?' in path else '?'}format={form}"
        response = target.alice.get(url.copy_with(raw_path=whole.encode()))
        assert response.status_code in (200, *HTTP_ERRORS), (form, response.text)
        assert "Set-Cookie" not in response.headers


def test_an_argument_that_is_given_twice_counts_once(target: Target) -> None:
    """The first of them; one in a form is not mixed up with one in the address."""
    twin = target.alice.get("/sessions?format=json&id=first&id=second").json()
    assert "first" in json.dumps(twin)
    assert "second" not in json.dumps({**twin, "next": None})
    form = {"csrf_token": token(target.alice), "kind": "Redis key"}
    in_address = {"locator": locator_text(b"0:hash")}
    response = target.alice.post("/operations", params=in_address, data=form)
    assert 400 == response.status_code


def test_ten_thousand_arguments_cost_little(target: Target) -> None:
    """In the address, in a form, and in a form of many parts."""
    began = time.monotonic()
    many = "&".join(f"{number:x}" for number in range(3_000))
    assert 200 == target.alice.get(f"/sessions?{many}").status_code
    form = {"csrf_token": token(target.alice)} | {f"a{number}": "x" for number in range(10_000)}
    assert 400 == target.alice.post("/operations", data=form).status_code
    parts = {f"a{number}": (None, "x") for number in range(10_000)}
    assert target.alice.post("/operations", files=parts).status_code in (400, 413)
    assert time.monotonic() - began < LONGEST


@pytest.mark.parametrize("path", ["/login", "/logout", "/operations"])
def test_a_form_has_a_largest_size(target: Target, path: str) -> None:
    """Said by its length, before it is sent."""
    length = LARGEST_BODY + 1
    head = b"POST %s HTTP/1.1\r\n%s%sContent-Length: %d\r\n\r\n" % (
        *(path.encode(), HOST, FORM),
        length,
    )
    [answer] = target.raw(head)
    assert 413 == status_of(answer)


def test_what_is_packed_is_not_unpacked(target: Target) -> None:
    """A kilobyte that would be a gigabyte stays a kilobyte."""
    packed = {"Content-Encoding": "gzip", "Content-Type": "application/x-www-form-urlencoded"}
    response = target.alice.post("/operations", content=b"\x1f\x8b" + b"\0" * 1_000, headers=packed)
    assert 400 == response.status_code
    assert "token" in response.text


@pytest.mark.parametrize(
    ("head", "rest"),
    [
        (b"Transfer-Encoding: chunked", NEXT),
        (b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(NEXT), NEXT)),
        (
            b"Content-Length: %d\r\nTransfer-Encoding: chunked" % (len(NEXT) + 5),
            b"0\r\n\r\n" + NEXT,
        ),
        (b"Transfer-Encoding: xchunked", NEXT),
        (b"Transfer-Encoding:\x0bchunked", NEXT),
        (b"Transfer-Encoding : chunked\r\nContent-Length: 0", NEXT),
        (b"Content-Length: %d\r\nContent-Length: 0" % len(NEXT), NEXT),
        (b"Content-Length: +0", NEXT),
        (b"Content-Length: -1", NEXT),
        (b"Content-Length: 0_0", NEXT),
        (b"Content-Length : %d" % len(NEXT), NEXT),
    ],
    ids=repr,
)
def test_where_a_request_ends_is_beyond_doubt(target: Target, head: bytes, rest: bytes) -> None:
    """What a proxy might take for a body never is the next reader's request (smuggling)."""
    for line in (b"POST /login HTTP/1.1", b"GET /-/healthy HTTP/1.1"):
        answers = target.raw(line + b"\r\n" + HOST + head + b"\r\n\r\n" + rest, HEALTHY)
        assert b"Sign in" not in answers[1]
        assert status_of(answers[0]) in (400, 411, 501)
        assert status_of(answers[1]) in (0, 400)


def test_only_who_was_shown_a_deletion_confirms_it(target: Target) -> None:
    """And only what was shown, once; the steps have an order."""
    target.redis.set("kept", "1")
    page = planned(target, "kept")
    assert 403 == confirmed(target, page, "bob").status_code
    assert 403 == confirmed(target, page, VIEWER).status_code
    assert 409 == confirmed(target, page, digest="0" * 64).status_code
    restored = target.alice.post(f"{page}/restore", data={"csrf_token": token(target.alice)})
    assert 409 == restored.status_code
    assert target.redis.exists("kept")
    assert 303 == confirmed(target, page).status_code
    assert 409 == confirmed(target, page, digest="x").status_code
    assert not target.redis.exists("kept")


def test_one_operation_takes_so_many_records(target: Target) -> None:
    """And no more, however they are named."""
    form: list[tuple[str, str]] = [("csrf_token", token(target.alice)), ("kind", "Redis key")]
    form += [("locator", locator_text(b"0:%d" % number)) for number in range(10_001)]
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = target.alice.post("/operations", content=urlencode(form), headers=headers)
    assert 413 == response.status_code
    assert "choose at most 10,000" in response.text


def test_nobody_begins_operations_without_end(target: Target) -> None:
    """Sixty in a minute, counted for each editor."""
    frank = target.clients["frank"]
    form = {"csrf_token": token(frank), "kind": "Redis key"}
    statuses = [frank.post("/operations", data=form).status_code for _ in range(61)]
    assert [400] * 60 + [429] == statuses
    form["csrf_token"] = token(target.alice)
    assert 400 == target.alice.post("/operations", data=form).status_code


def test_trash_and_audit_log_are_for_their_owner(target: Target) -> None:
    """Others on the machine do not read what was deleted; no page gives the file away."""
    data = target.directory / "data"
    assert 0o700 == data.stat().st_mode & 0o777
    files = {file.name: file.stat().st_mode & 0o777 for file in data.iterdir()}
    assert {"records.sqlite3", "records.lock"} <= set(files)
    assert {0o600} == set(files.values()), files


def test_our_script_makes_no_markup_and_keeps_nothing(target: Target) -> None:
    """So a value cannot become a page by it, and nothing is left in the web browser."""
    script = target.alice.get("/static/browser.js").text
    words = (
        *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("),
        *("localStorage", "sessionStorage", "indexedDB", "postMessage", "onmessage"),
    )
    assert "addEventListener" in script
    assert [] == [word for word in words if word in script]
