"""Anything asked of any route of the record browser, on stores whose every field is hostile."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from werkzeug.routing import Map, Rule
from werkzeug.test import TestResponse

from kato_exporter.browser.access.accounts import THIS_RUNS_USER, Accounts
from kato_exporter.browser.assembly import assemble
from kato_exporter.demo.shapes import session_id
from kato_exporter.kato.knowledge import METADATA, PATTERNS, SYMBOLS
from kato_exporter.settings import BrowserSettings
from support.browsing import Stores, running_stores, url_map
from support.fuzzing import ANY_JSON, TEXTS, examples
from support.hostile_records import HOSTILE_KB, ODD_KB, fill_hostile
from support.hostile_records import TEXTS as HOSTILE_TEXTS

MARK = "<fuzz'\"&>"
"""Markup that stands in no page but escaped."""

RULES: Map = url_map()
MOST_BYTES = 16 * 1024 * 1024
READS = ("GET", "GET", "GET", "HEAD", "OPTIONS")
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "X-ODD")
STORE_FAILED = {502, 503}
HEADERS = {
    "Content-Security-Policy",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy",
    "Permissions-Policy",
    "Referrer-Policy",
    "X-Content-Type-Options",
    "Cache-Control",
}
KNOWN = (
    *(HOSTILE_KB, ODD_KB, "admin", f"vectors_{HOSTILE_KB}", "vectors_{{7-7}}'&\u202e%3Cb%3E"),
    *(PATTERNS, SYMBOLS, METADATA, "ids", "texts", "system.views"),
    *(f"{number:040x}" for number in range(3)),
    *(session_id(f"{number:032x}", 1_790_000_000) for number in (0, 3, 107, 200, 206, 300)),
    *("hash", "list", "set", "zset", "stream", "large", "string:", "1", "0", "-1", "12345678901"),
    *("b64:AAAA", "oid:000000000000000000000000", "s:x", "i:1", "utf8:x", "hex:00"),
)
PARTS = st.one_of(
    st.sampled_from(KNOWN),
    st.sampled_from(KNOWN),
    st.sampled_from(HOSTILE_TEXTS),
    st.sampled_from([MARK, "..", ".", "%00", "/", "//", "a/b", "?", "#"]),
    TEXTS,
    ANY_JSON.map(json.dumps),
)
ARGUMENTS = (
    *("format", "action", "container", "digest", "escaped", "field", "id", "key", "kind", "least"),
    *("limit", "locator", "match", "most", "name", "next", "node", "number", "operator", "prefix"),
    *("q", "record", "seen", "some", "sort", "step", "symbol", "type", "typed", "user", "value"),
    *("vector", "version", "with", "cursor", "start", "after", "before", "op", "order", "all"),
    *("from", "to", "filter", "path", "password", "ttl", "text", "document", "payload"),
)
QUERIES = st.lists(
    st.tuples(st.sampled_from(ARGUMENTS) | TEXTS, PARTS)
    | st.tuples(st.just("format"), st.sampled_from(["json", "html", "csv", "jsonl", "x"])),
    max_size=5,
)
ACCEPTED = st.sampled_from(["text/html", "application/json", "*/*", "", ";;q=x,,", "a/b;q=9e9"])
HEADER_TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20)
MORE_HEADERS = st.dictionaries(
    st.sampled_from(
        ["Cookie", "Authorization", "Referer", "Origin", "Range", "If-None-Match", "Host",
         "X-Forwarded-For", "X-Forwarded-User", "Content-Type", "X-Requested-With", "Forwarded"]
    ),
    HEADER_TEXTS | st.sampled_from(["Basic eA==", "Basic //", "Bearer x", "a=b; session=x", "["]),
    max_size=2,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as it is drawn."""

    rule: str
    method: str
    parts: list[str]
    query: list[tuple[str, str]]
    headers: dict[str, str]
    form: list[tuple[str, str]] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The path, with the parts in the gaps of the rule."""
        parts = iter(self.parts)
        return re.sub(r"<[^>]+>", lambda _: quote(_bytes(next(parts)), safe=""), self.rule)

    @property
    def address(self) -> str:
        """The path and the query."""
        query = urlencode([(_bytes(name), _bytes(value)) for name, value in self.query])
        return f"{self.path}?{query}" if query else self.path


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def rules_with(*methods: str) -> list[Rule]:
    """Give the rules that take one of the methods."""
    return [rule for rule in RULES.iter_rules() if set(methods) & set(rule.methods or ())]


def asked(
    rules: list[Rule], methods: st.SearchStrategy[str], form: st.SearchStrategy[Any]
) -> st.SearchStrategy[Asked]:
    """Draw a request to one of the rules."""
    return st.builds(
        Asked,
        rule=st.sampled_from([rule.rule for rule in rules]),
        method=methods,
        parts=st.lists(PARTS, min_size=3, max_size=3),
        query=QUERIES,
        headers=st.builds(
            lambda accept, more: {"Accept": accept} | more, ACCEPTED, st.just({}) | MORE_HEADERS
        ),
        form=form,
    )


class Site:
    """A record browser in process, a signed-in editor and a stranger."""

    def __init__(self, stores: Stores, qdrant_writes: list[str], **settings: Any) -> None:
        accounts, password = Accounts.for_this_run()
        self.browser = assemble(
            BrowserSettings(
                redis_url=stores.settings["KATO_REDIS_URL"],
                mongo_url=stores.settings["KATO_MONGO_URL"],
                qdrant_url=stores.settings["KATO_QDRANT_URL"],
                browser_query_timeout=0.3,
                browser_page_rows=5,
                browser_export_rows=20,
                **settings,
            ),
            accounts,
            tls=False,
        )
        self.browser.app.config["RATELIMIT_ENABLED"] = False
        self.stranger = self.browser.app.test_client(use_cookies=False)
        self.editor = self.browser.app.test_client()
        self._stores = stores
        self._qdrant_writes = qdrant_writes
        self._sign_in(password)

    def written(self) -> tuple[Any, ...]:
        """Give what each write of the stores changes."""
        operations = self._stores.mongo.admin.command("serverStatus")["opcounters"]
        return (
            self._stores.redis.info("persistence")["rdb_changes_since_last_save"],
            *(operations[name] for name in ("insert", "update", "delete")),
            len(self._qdrant_writes),
        )

    def token(self) -> str:
        """Read the token of this login's forms."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.editor.get("/nowhere").text)
        assert found is not None
        return found[1]

    def answer(self, client: FlaskClient, request: Asked) -> TestResponse:
        """Ask, and see that the answer is in order, whatever it is."""
        with capture_logs() as log:
            response = client.open(
                request.address,
                method=request.method,
                headers=request.headers,
                data=urlencode([(_bytes(name), _bytes(value)) for name, value in request.form])
                if request.method not in READS
                else None,
                content_type="application/x-www-form-urlencoded" if request.form else None,
            )
            body = response.get_data()
        assert [] == [entry for entry in log if entry["log_level"] in {"error", "critical"}]
        assert response.status_code < 500 or response.status_code in STORE_FAILED, response.text
        assert HEADERS <= set(response.headers.keys()) | self._missing_of(request)
        assert len(body) <= MOST_BYTES
        _check_body(request, response, body)
        return response

    def _missing_of(self, request: Asked) -> set[str]:
        return {"Cache-Control"} if request.rule.startswith("/static") else set()

    def _sign_in(self, password: str) -> None:
        page = self.editor.get("/login").text
        found = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert found is not None
        form = {"name": THIS_RUNS_USER, "password": password, "csrf_token": found[1]}
        assert 303 == self.editor.post("/login", data=form).status_code


def _check_body(request: Asked, response: TestResponse, body: bytes) -> None:
    kind = response.content_type
    bare = response.status_code in {204, 304} or 300 <= response.status_code < 400
    assert kind or bare or not body, request
    if kind == "application/json" and request.method != "HEAD" and body:
        json.loads(body, parse_constant=_refuse)
    if kind.startswith("text/html"):
        assert MARK.encode() not in body
        assert b"<fuzz" not in body
    if any(name == "format" for name, _ in request.query):
        return
    if request.headers["Accept"] == "application/json" and body and response.status_code == 200:
        plain = request.rule.startswith(("/static", "/metrics", "/-/"))
        assert plain or kind == "application/json" or request.method == "OPTIONS", kind


def _refuse(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


@pytest.fixture(scope="module")
def stack() -> Iterator[ExitStack]:
    """Give what ends everything."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory, stack: ExitStack) -> tuple[Site, Site]:
    """Give a record browser that only reads, and one that writes, on the same stores."""
    stores = stack.enter_context(running_stores(tmp_path_factory.mktemp("fuzzed")))
    fill_hostile(stores.redis, stores.mongo, stores.qdrant)
    writes: list[str] = []
    for name in ("upsert", "delete", "set_payload", "overwrite_payload", "delete_collection"):
        _watch(stores.qdrant, name, writes)
    kept: Path = tmp_path_factory.mktemp("kept")
    found = (
        Site(stores, writes),
        Site(stores, writes, browser_writable=True, browser_data_dir=kept / "data"),
    )
    for site in found:
        stack.enter_context(site.browser)
    return found


def _watch(client: Any, name: str, calls: list[str]) -> None:
    """Note each call of a method."""
    method = getattr(client, name)

    def noted(*arguments: Any, **options: Any) -> Any:
        calls.append(name)
        return method(*arguments, **options)

    setattr(client, name, noted)


NO_FORM: st.SearchStrategy[list[tuple[str, str]]] = st.just([])
FORMS = st.lists(
    st.tuples(st.sampled_from(ARGUMENTS) | TEXTS, PARTS | st.just("delete") | st.just("save")),
    max_size=6,
)


@examples(120)
@given(request=asked(rules_with("GET"), st.sampled_from(READS), NO_FORM))
def test_any_question(sites: tuple[Site, Site], request: Asked) -> None:
    """A page, its twin or an error that says what is wrong; and nothing is written."""
    for site in sites:
        before = site.written()
        site.answer(site.editor, request)
        assert before == site.written()


@examples(60)
@given(request=asked(list(RULES.iter_rules()), st.sampled_from(METHODS), FORMS))
def test_any_question_of_a_stranger(sites: tuple[Site, Site], request: Asked) -> None:
    """Whoever is not signed in gets no record, whatever the method."""
    reading, writing = sites
    before = reading.written()
    for site in (reading, writing):
        response = site.answer(site.stranger, request)
        assert response.status_code != 200 or request.method == "OPTIONS" or _is_open(request)
    assert before == reading.written()


def _is_open(request: Asked) -> bool:
    return request.rule in {"/static/<path:filename>", "/-/healthy", "/login", "/metrics"}


@examples(60)
@given(request=asked(rules_with("POST"), st.sampled_from(METHODS[3:]), FORMS))
def test_any_form_where_nothing_may_be_written(sites: tuple[Site, Site], request: Asked) -> None:
    """An editor's form changes nothing, even with the token of his login."""
    site, _ = sites
    if request.rule == "/logout":
        return
    before = site.written()
    request.form.append(("csrf_token", site.token()))
    site.answer(site.editor, request)
    assert before == site.written()


@examples(120)
@given(request=asked(rules_with("POST"), st.just("POST"), FORMS))
def test_any_form(sites: tuple[Site, Site], request: Asked) -> None:
    """A form of anything is carried out, shown again or refused."""
    _, site = sites
    if request.rule == "/logout":
        return
    request.form.append(("csrf_token", site.token()))
    request.headers.pop("Cookie", None)
    site.answer(site.editor, request)


@pytest.mark.parametrize("rule", sorted({rule.rule for rule in rules_with("GET")}))
def test_every_route_is_asked(sites: tuple[Site, Site], rule: str) -> None:
    """Each one answers when its gaps hold what is there, and what is not."""
    for site in sites:
        for parts in (list(KNOWN[:3]), [HOSTILE_KB, PATTERNS, KNOWN[11]], [MARK] * 3):
            for form in ("html", "json"):
                site.answer(
                    site.editor, Asked(rule, "GET", parts, [("format", form)], {"Accept": "*/*"})
                )
