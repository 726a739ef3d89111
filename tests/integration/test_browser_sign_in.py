"""Sign-in and the gate, by a real server over HTTP and HTTPS."""

import base64
import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import httpx
import pytest
import trustme
from flask import Blueprint, Flask, Response
from itsdangerous import TimestampSigner
from structlog.testing import capture_logs
from werkzeug.security import generate_password_hash

from kato_exporter.browser.access.accounts import Account, Accounts
from kato_exporter.browser.access.sign_in import SignInRules, protect
from kato_exporter.browser.access.trusted_proxy import TrustedProxies
from kato_exporter.browser.access.users import current_user, require_editor
from kato_exporter.browser.app import Place, create_app
from kato_exporter.browser.assembly import assemble
from kato_exporter.demo.servers import free_port
from kato_exporter.runtime.server import listen
from kato_exporter.runtime.web_config import WebConfig, load_web_config
from kato_exporter.setting_kinds import Address
from kato_exporter.settings import BrowserSettings

AUTHORITY = trustme.CA()
PASSWORD = "correct horse battery"
OTHER_PASSWORD = "staple correct horse"
CHEAP = "scrypt:1024:8:1"
ACCOUNTS = (
    Account("alice", "editor", generate_password_hash(PASSWORD, CHEAP)),
    Account("bob", "viewer", generate_password_hash(OTHER_PASSWORD, CHEAP)),
    Account("carol", "viewer"),
)
HASH, OTHER_HASH = (
    generate_password_hash(password, "scrypt:8192:8:10") for password in (PASSWORD, OTHER_PASSWORD)
)
IDLE, LIFETIME = 1_800.0, 43_200.0
UNGUARDED = {"/login", "/static/<path:filename>", "/-/healthy", "/metrics"}
READER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
LOOPBACK = (ip_network("127.0.0.0/8"),)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now


def subject_pages(written: list[str]) -> Blueprint:
    """Make pages as subjects have them: some to read, and some that write.

    Among them two that nobody should make: one that writes where everybody may read, and one with
    a method that is no write to Flask-WTF.
    """
    pages = Blueprint("subject", __name__)

    @pages.get("/")
    @pages.get("/kb/<name>")
    def read(name: str = "home") -> Response:
        return Response(f"{name} for {current_user().name}, {current_user().role}")

    @pages.post("/kb/<name>")
    @pages.post("/metrics")
    @pages.route("/kb/<name>", methods=["PUT", "PATCH", "DELETE", "LINK"])
    def write(name: str = "metrics") -> Response:
        written.append(f"{name} by {require_editor().name}")
        return Response("written")

    @pages.get("/fault")
    def fault() -> Response:
        raise RuntimeError("a secret of the inside")

    return pages


class Site:
    """The record browser of a test: its accounts, its clock, what was written, and its server."""

    def __init__(self, accounts: Accounts, rules: SignInRules, ends: ExitStack) -> None:
        self._ends = ends
        self.clock = Clock()
        self.written: list[str] = []
        self.app: Flask = create_app(
            [subject_pages(self.written)], [Place("Knowledge", "/kb")], export_rows=10
        )
        protect(self.app, accounts, rules, clock=self.clock)
        self.url = ""
        self.trust: ssl.SSLContext | bool = False

    def client(self, **headers: str) -> httpx.Client:
        """Make a client with a jar of cookies of its own."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        client = httpx.Client(
            base_url=self.url, headers=READER | given, trust_env=False, verify=self.trust
        )
        return self._ends.enter_context(client)

    def signed_in(self, name: str = "alice", password: str = PASSWORD) -> httpx.Client:
        """Make a client who is signed in."""
        client = self.client()
        response = sign_in(client, name, password)
        assert 303 == response.status_code, response.text
        return client


StartSite = Callable[..., Site]


class Stage:
    """A server for all tests, which serves one application after another."""

    app: WSGIApplication
    url: str

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Let the application of this test answer."""
        return self.app(environ, start)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Serve over plain HTTP; a server takes half a second to end."""
    stage = Stage()
    with listen(stage, Address("127.0.0.1", 0), WebConfig()) as address:
        stage.url = f"http://{address}"
        yield stage


@pytest.fixture
def start(stage: Stage) -> Iterator[StartSite]:
    """Give a function that serves a site; its arguments are accounts and the rules of sign-in."""

    def started(accounts: Accounts | None = None, **rules: Any) -> Site:
        known = accounts or Accounts({account.name: account for account in ACCOUNTS})
        site = Site(known, SignInRules(**rules), ends)
        stage.app, site.url = site.app, stage.url
        return site

    with ExitStack() as ends:
        yield started


@pytest.fixture
def site(start: StartSite) -> Site:
    """Serve over plain HTTP."""
    return start()


def token(client: httpx.Client, path: str = "/login") -> str:
    """Read the token of the form on a page."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path).text)
    assert found is not None
    return found[1]


def sign_in(
    client: httpx.Client, name: str, password: str, *, way_back: str = "/", **headers: str
) -> httpx.Response:
    """Send the form of the sign-in as a web browser does."""
    form = {"name": name, "password": password, "next": way_back, "csrf_token": token(client)}
    return client.post("/login", data=form, headers=headers)


def basic(name: str, password: str) -> str:
    """Spell a header `Authorization`."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def cookie(client: httpx.Client) -> str:
    """Return the only cookie of a client."""
    (value,) = client.cookies.values()
    return value


def with_cookie(site: Site, value: str) -> httpx.Client:
    """Make a client who has got hold of a cookie."""
    client = site.client()
    client.cookies.set("kato-browser", value)
    return client


def test_a_reader_signs_in_and_out(site: Site) -> None:
    """From a page to the sign-in and back to the very page; after the sign-out it asks again."""
    client = site.client()
    asked = client.get("/kb/a%20b?n=1&after=%2F")
    assert 303 == asked.status_code
    form = client.get(asked.headers["Location"])
    assert 200 == form.status_code
    assert 'value="/kb/a%20b?n=1&amp;after=%2F"' in form.text
    back = sign_in(client, "alice", PASSWORD, way_back="/kb/a%20b?n=1&after=%2F")
    assert (303, "/kb/a%20b?n=1&after=%2F") == (back.status_code, back.headers["Location"])
    assert "a b for alice, editor" == client.get(back.headers["Location"]).text
    assert 303 == client.get("/login").status_code

    out = client.post("/logout", data={"csrf_token": token(client, "/nowhere")})
    assert (303, "/login") == (out.status_code, out.headers["Location"])
    assert 303 == client.get("/").status_code


def test_every_route_asks_who_is_there(site: Site) -> None:
    """Listed from the URL map itself, with every method, so that a new one cannot be forgotten."""
    client = site.client(Accept="application/json")
    asked = []
    for rule in site.app.url_map.iter_rules():
        if rule.rule in UNGUARDED:
            continue
        path = re.sub(r"<[^>]+>", "x", rule.rule)
        for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"):
            response = client.request(method, path)
            led_to_sign_in = (method, path) == ("POST", "/logout")
            assert (303 if led_to_sign_in else 401) == response.status_code, (method, path)
        asked.append(rule.rule)
    assert {"/", "/kb/<name>", "/fault", "/logout"} == set(asked)
    assert [] == site.written


def test_every_route_of_the_browser_asks_who_is_there() -> None:
    """All subjects as they are put together; no store is asked for anything, as none is there."""
    nowhere = f"127.0.0.1:{free_port()}"
    settings = BrowserSettings(
        redis_url=f"redis://{nowhere}",
        mongo_url=f"mongodb://{nowhere}",
        qdrant_url=f"http://{nowhere}",
    )
    with assemble(settings, Accounts({}), tls=False) as browser:
        client = browser.app.test_client()
        rules = {rule.rule for rule in browser.app.url_map.iter_rules()} - UNGUARDED - {"/logout"}
        for rule in sorted(rules):
            path = re.sub(r"<[^>]+>", "1", rule)
            for method in ("HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"):
                status = client.open(f"{path}?format=json", method=method).status_code
                assert 401 == status, (method, path)
            assert 303 == client.get(path).status_code, path
            assert 401 == client.get(f"{path}?format=json").status_code, path
    assert {"/", "/kb", "/sessions", "/redis", "/qdrant"} <= rules


@pytest.mark.parametrize(
    "path", ["/nowhere", "/kb/x/", "/kb//x", "/-/healthy/", "/staticx", "/%2e"]
)
def test_what_is_not_there_asks_as_well(site: Site, path: str) -> None:
    """Nobody learns which pages exist."""
    assert 401 == site.client(Accept="application/json").get(site.url + path).status_code
    assert 401 == site.client().post(site.url + path).status_code


@pytest.mark.parametrize("path", ["/-/healthy", "/metrics", "/static/browser.css", "/login"])
def test_what_is_open_to_everybody(site: Site, path: str) -> None:
    """Health, metrics, styles and the sign-in itself; there is nothing to write."""
    assert 200 == site.client().get(path).status_code
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        refused = 400 if (method, path) == ("POST", "/login") else 401
        assert refused == site.client().request(method, path).status_code, method
    assert [] == site.written


@pytest.mark.parametrize("query", ["?format=json", "?format=jsonl", "?format=csv"])
def test_programs_are_told_in_json(site: Site, query: str) -> None:
    """Instead of a page that they cannot read; a web browser does not ask with a box of its own."""
    response = site.client().get(f"/kb/x{query}")
    assert 401 == response.status_code
    assert {
        "status": 401,
        "error": "Unauthorized",
        "reason": "Sign in first, or send the right name and password by HTTP Basic.",
    } == response.json()
    assert response.headers["WWW-Authenticate"].startswith("Basic realm=")
    script = site.client(Sec_Fetch_Site="same-origin").get(f"/kb/x{query}")
    assert "WWW-Authenticate" not in script.headers


def test_a_write_of_nobody(site: Site) -> None:
    """A program gets JSON, and a reader whose login has ended a page."""
    program = site.client(Accept="*/*").post("/kb/x")
    assert (401, "application/json") == (program.status_code, program.headers["Content-Type"])
    assert "HTTP Basic is for reading only" in program.json()["reason"]
    assert "WWW-Authenticate" not in program.headers
    reader = site.client().post("/kb/x")
    assert 401 == reader.status_code
    assert "Nothing was done, as you are not signed in, or no longer." in reader.text
    assert [] == site.written


@pytest.mark.parametrize(
    "way_back",
    ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "evil", ""],
)
def test_the_sign_in_leads_to_no_other_site(site: Site, way_back: str) -> None:
    """Neither from the form nor from the address, signed in or not."""
    client = site.client()
    form = client.get("/login", params={"next": way_back})
    assert 'name="next" value="/"' in form.text
    assert "/" == sign_in(client, "alice", PASSWORD, way_back=way_back).headers["Location"]
    assert "/" == client.get("/login", params={"next": way_back}).headers["Location"]


def test_the_page_asked_for_may_be_no_path(site: Site) -> None:
    """What a request line can spell besides is refused, or leads home."""
    client, url = site.client(), httpx.URL(site.url)
    refused = client.get(url.copy_with(raw_path=b"//evil.example/"))
    assert (400, None) == (refused.status_code, refused.headers.get("Location"))
    asked = client.get(url.copy_with(raw_path=b"/\\evil.example"))
    assert (303, "/login?next=/") == (asked.status_code, asked.headers["Location"])


@pytest.mark.parametrize(
    ("name", "password", "status", "error"),
    [
        ("alice", "wrong", 403, "The name or the password is wrong."),
        ("nobody", PASSWORD, 403, "The name or the password is wrong."),
        ("carol", "x", 403, "The name or the password is wrong."),
        ("bob", PASSWORD, 403, "The name or the password is wrong."),
        ("alice", "", 400, "Enter your password."),
        (" ", "x", 400, "Enter your name."),
    ],
)
def test_a_sign_in_that_fails(
    site: Site, name: str, password: str, status: int, error: str
) -> None:
    """The error stands beside its field and does not tell whether there is such an account."""
    client = site.client()
    response = sign_in(client, name, password)
    assert status == response.status_code
    field = "name" if "name." in error else "password"
    assert (
        f'<span class="field-error" id="{field}-error" role="alert">{error}</span>' in response.text
    )
    assert f'aria-describedby="{field}-error"' in response.text
    assert f'value="{name.strip()}"' in response.text
    assert not password or f'"{password}"' not in response.text
    assert 303 == client.get("/").status_code


def test_hostile_names_do_nothing(site: Site) -> None:
    """Neither in the page nor in the log."""
    name = '"><script>alert(1)</script>{{7*7}}\r\nevent=forged \x1b[2J'
    with capture_logs() as logs:
        response = sign_in(site.client(), name, "x")
    assert "<script>alert" not in response.text
    assert "49" not in re.sub(r'csrf_token" value="[^"]+"', "", response.text)
    assert ["(no account)"] == [entry["user"] for entry in logs if "user" in entry]
    assert "forged" not in repr(logs)


def test_the_log_tells_of_sign_ins(site: Site) -> None:
    """Who came, who failed and who left, and from where."""
    with capture_logs() as logs:
        sign_in(site.client(), "alice", "wrong")
        client = site.signed_in()
        client.post("/logout", data={"csrf_token": token(client, "/nowhere")})
    told = [(entry["event"], entry["user"], entry["client"]) for entry in logs]
    assert [
        ("sign-in refused", "alice", "127.0.0.1"),
        ("signed in", "alice", "127.0.0.1"),
        ("signed out", "alice", "127.0.0.1"),
    ] == told
    assert PASSWORD not in repr(logs)


def test_a_cookie_from_before_is_worth_nothing_after(site: Site) -> None:
    """Whoever planted it in the reader's browser is not signed in with them (session fixation)."""
    client = site.client()
    client.get("/login")
    planted = cookie(client)
    sign_in(client, "alice", PASSWORD)
    assert planted != cookie(client)
    assert 303 == with_cookie(site, planted).get("/").status_code
    assert 200 == with_cookie(site, cookie(client)).get("/").status_code


def test_each_sign_in_begins_anew(site: Site) -> None:
    """The login from before ends, and forms from before are refused."""
    client = site.signed_in()
    before, form = cookie(client), token(client, "/nowhere")
    stale = {"name": "alice", "password": PASSWORD, "csrf_token": form}
    assert 303 == client.post("/login", data=stale).status_code
    assert before != cookie(client)
    assert 303 == with_cookie(site, before).get("/").status_code
    assert 400 == client.post("/kb/x", data={"csrf_token": form}).status_code


def test_a_sign_out_ends_the_login_on_the_server(site: Site) -> None:
    """A cookie that somebody has copied is worth nothing any more; other logins stay."""
    client, other = site.signed_in(), site.signed_in()
    copied = cookie(client)
    assert 200 == with_cookie(site, copied).get("/").status_code
    client.post("/logout", data={"csrf_token": token(client, "/nowhere")})
    assert not client.cookies
    assert 303 == with_cookie(site, copied).get("/").status_code
    assert 200 == other.get("/").status_code


def test_a_forged_cookie(site: Site) -> None:
    """What we have not signed counts for nothing."""
    value = cookie(site.signed_in())
    for forged in (value[:-1], "x" + value, "x", ""):
        assert 303 == with_cookie(site, forged).get("/").status_code


def test_a_login_ends_when_it_is_not_used(site: Site) -> None:
    """Each request puts off the end."""
    client = site.signed_in()
    for _ in range(3):
        site.clock.now += IDLE - 1
        assert 200 == client.get("/").status_code
    site.clock.now += IDLE
    assert 303 == client.get("/").status_code
    assert 303 == client.get("/").status_code


def test_a_login_ends_in_any_case(site: Site) -> None:
    """However busy the reader is."""
    client = site.signed_in()
    for _ in range(int(LIFETIME / 1_000)):
        site.clock.now += 1_000
        assert 200 == client.get("/").status_code
    site.clock.now += 200
    assert 303 == client.get("/").status_code


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("[alice]", "[alicia]"),
        lambda text: text.replace('"editor"', '"viewer"'),
        lambda text: text.replace(HASH, OTHER_HASH),
    ],
)
def test_a_changed_account_ends_its_logins(
    start: StartSite, tmp_path: Path, change: Callable[[str], str]
) -> None:
    """Name, role or password: at once, without a restart; others stay."""
    accounts_file = tmp_path / "accounts.toml"
    accounts_file.write_text(
        f'[alice]\nrole = "editor"\npassword = "{HASH}"\n'
        f'[bob]\nrole = "viewer"\npassword = "{OTHER_HASH}"\n'
    )
    site = start(accounts=Accounts.of_file(accounts_file))
    alice, bob = site.signed_in(), site.signed_in("bob", OTHER_PASSWORD)
    accounts_file.write_text(change(accounts_file.read_text()))
    assert 303 == alice.get("/").status_code
    assert 200 == bob.get("/").status_code


def test_the_cookie_is_for_pages_only(site: Site) -> None:
    """No script reads it, no other site sends it with a form, and it ends with the browser."""
    header = sign_in(site.client(), "alice", PASSWORD).headers["Set-Cookie"]
    name, *attributes = re.split("; |=", header, maxsplit=1)
    assert "kato-browser" == name
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} == set(attributes[0].split("; ")[1:])


@pytest.fixture
def tls(tmp_path: Path) -> WebConfig:
    """Give a web configuration with TLS."""
    certificate = AUTHORITY.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    file = tmp_path / "web.yml"
    file.write_text("tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n")
    return load_web_config(file)


def test_over_tls_the_cookie_is_bound_to_it(start: StartSite, tls: WebConfig) -> None:
    """It is Secure, has the prefix `__Host-`, and browsers stay with TLS; forms work."""
    site = start(https=True)
    site.trust = ssl.create_default_context()
    AUTHORITY.configure_trust(site.trust)
    with listen(site.app, Address("127.0.0.1", 0), tls) as address:
        site.url = f"https://{address}"
        client = site.client()
        response = sign_in(client, "alice", PASSWORD)
        assert 303 == response.status_code
        header = response.headers["Set-Cookie"]
        assert header.startswith("__Host-kato-browser=")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} == set(header.split("; ")[1:])
        page = client.get("/")
        assert "home for alice, editor" == page.text
        assert "max-age=31536000" == page.headers["Strict-Transport-Security"]
        written = client.post("/kb/x", data={"csrf_token": token(client, "/nowhere")})
        assert 200 == written.status_code
        assert ["x by alice"] == site.written


@pytest.mark.parametrize(
    "path", ["/", "/login", "/kb/x", "/nowhere", "/fault", "/static/browser.css", "/-/healthy"]
)
def test_every_answer_has_the_headers_of_safety(site: Site, path: str) -> None:
    """Pages, redirects, errors, faults and styles, signed in or not."""
    for client in (site.client(), site.signed_in()):
        headers = client.get(path).headers
        assert (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        ) == headers["Content-Security-Policy"]
        assert "nosniff" == headers["X-Content-Type-Options"]
        assert "no-referrer" == headers["Referrer-Policy"]
        assert "same-origin" == headers["Cross-Origin-Opener-Policy"]
        assert "same-origin" == headers["Cross-Origin-Resource-Policy"]
        assert "camera=()" in headers["Permissions-Policy"]
        assert "Strict-Transport-Security" not in headers
        static = path.startswith("/static/")
        assert static == ("no-store" != headers.get("Cache-Control"))


def test_a_fault_shows_nothing_of_the_inside(site: Site) -> None:
    """Its page names where the log has it."""
    response = site.signed_in().get("/fault")
    assert 500 == response.status_code
    assert "secret" not in response.text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_an_editor_writes_and_a_viewer_does_not(site: Site, method: str) -> None:
    """Whatever the method, by a form or by a script that sends the token in a header."""
    alice, bob = site.signed_in(), site.signed_in("bob", OTHER_PASSWORD)
    allowed = alice.request(method, "/kb/x", headers={"X-CSRFToken": token(alice, "/nowhere")})
    assert 200 == allowed.status_code
    refused = bob.request(method, "/kb/x", headers={"X-CSRFToken": token(bob, "/nowhere")})
    assert 403 == refused.status_code
    assert "bob is a viewer; only an editor changes or deletes records." in refused.text
    assert ["x by alice"] == site.written


def test_no_route_lets_a_viewer_write(site: Site) -> None:
    """Listed from the URL map itself, with every method, so that a new one cannot be forgotten."""
    bob = site.signed_in("bob", OTHER_PASSWORD)
    form = token(bob, "/nowhere")
    for rule in site.app.url_map.iter_rules():
        path = re.sub(r"<[^>]+>", "x", rule.rule)
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            if (method, path) not in (("POST", "/login"), ("POST", "/logout")):
                response = bob.request(method, path, headers={"X-CSRFToken": form})
                assert 403 == response.status_code, (method, path)
    assert [] == site.written


def test_a_write_needs_the_token_of_this_login(site: Site) -> None:
    """Missing, invented, from before or of somebody else: nothing is written."""
    alice, bob = site.signed_in(), site.signed_in("bob", OTHER_PASSWORD)
    for foreign in (None, "", "x", token(bob, "/nowhere"), token(site.client())):
        response = alice.post("/kb/x", data={} if foreign is None else {"csrf_token": foreign})
        assert 400 == response.status_code
        assert "Load the page again, and send the form once more." in response.text
    in_the_address = alice.post(f"/kb/x?csrf_token={token(alice, '/nowhere')}")
    assert 400 == in_the_address.status_code
    assert [] == site.written


@pytest.mark.parametrize("path", ["/login", "/logout", "/kb/x"])
@pytest.mark.parametrize(
    ("fetch_site", "through"),
    [
        ("cross-site", False),
        ("same-site", False),
        ("x", False),
        ("same-origin", True),
        ("none", True),
    ],
)
def test_a_write_from_another_site(
    site: Site, path: str, fetch_site: str, *, through: bool
) -> None:
    """A web browser tells where it comes from, and then the right token does not help."""
    client = site.signed_in()
    form = {"csrf_token": token(client, "/nowhere"), "name": "alice", "password": PASSWORD}
    response = client.post(path, data=form, headers={"Sec-Fetch-Site": fetch_site})
    assert through == (response.status_code in (200, 303))
    if not through:
        assert 403 == response.status_code
        assert "This comes from a page of another site; nothing was done." in response.text
        assert [] == site.written
        assert 200 == client.get("/").status_code


def test_the_sign_in_needs_a_token_too(site: Site) -> None:
    """Nobody is signed in by a form of someone else, as whom they do not know."""
    client = site.client()
    response = client.post("/login", data={"name": "alice", "password": PASSWORD})
    assert 400 == response.status_code
    assert 303 == client.get("/").status_code


def test_a_form_is_good_as_long_as_its_login(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever thinks about a change for hours may still save it."""
    client = site.signed_in()
    form = token(client, "/nowhere")
    later = int(time.time() + LIFETIME - 60)
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _signer: later)
    assert 200 == client.post("/kb/x", data={"csrf_token": form}).status_code


def test_methods_that_nobody_knows(site: Site) -> None:
    """They are refused, whoever asks."""
    client = site.signed_in()
    assert 405 == client.request("LINK", "/kb/x").status_code
    assert [] == site.written


def test_guessing_must_wait(site: Site) -> None:
    """After some failures even the right password waits; the page and the header say how long."""
    client = site.client()
    for _ in range(6):
        assert 403 == sign_in(client, "alice", "wrong").status_code
    response = sign_in(client, "alice", PASSWORD)
    assert (429, "1") == (response.status_code, response.headers["Retry-After"])
    assert "Try again in 1 s." in response.text
    by_header = site.client(Authorization=basic("bob", OTHER_PASSWORD)).get("/")
    assert (429, "1") == (by_header.status_code, by_header.headers["Retry-After"])
    site.clock.now += 1
    assert 303 == sign_in(client, "alice", PASSWORD).status_code


def test_who_is_signed_in_does_not_wait(site: Site) -> None:
    """Whoever guesses at the same address keeps nobody from reading."""
    reader = site.signed_in()
    for _ in range(6):
        sign_in(site.client(), "alice", "wrong")
    assert 200 == reader.get("/").status_code


def test_scripts_read_with_name_and_password(site: Site) -> None:
    """By HTTP Basic, and without a cookie for the next one."""
    client = site.client(Authorization=basic("bob", OTHER_PASSWORD))
    response = client.get("/kb/x")
    assert (200, "x for bob, viewer") == (response.status_code, response.text)
    assert 200 == client.head("/kb/x").status_code
    assert not client.cookies
    wrong = site.client(Authorization=basic("bob", "wrong")).get("/kb/x")
    assert (401, "application/json") == (wrong.status_code, wrong.headers["Content-Type"])


def test_scripts_do_not_write_with_name_and_password(site: Site) -> None:
    """Web browsers send them by themselves, from forms of other sites too."""
    client = site.client(Authorization=basic("alice", PASSWORD))
    form = token(site.signed_in(), "/nowhere")
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert 401 == client.request(method, "/kb/x", headers={"X-CSRFToken": form}).status_code
    assert [] == site.written


def test_a_trusted_proxy_names_the_user(start: StartSite) -> None:
    """The role is that of the accounts file, whether the account has a password or not."""
    site = start(proxies=TrustedProxies(LOOPBACK, "X-Forwarded-User"))
    carol = site.client(X_Forwarded_User="carol")
    assert "home for carol, viewer" == carol.get("/").text
    assert "/kb/x" == carol.get("/login?next=/kb/x").headers["Location"]
    alice = site.client(X_Forwarded_User="alice")
    written = alice.post("/kb/x", data={"csrf_token": token(alice, "/nowhere")})
    assert 200 == written.status_code
    assert 400 == alice.post("/kb/x").status_code
    assert ["x by alice"] == site.written
    out = alice.post("/logout", data={"csrf_token": token(alice, "/nowhere")})
    assert "Sign out at your proxy" in out.text


def test_a_proxy_counts_before_a_login(start: StartSite) -> None:
    """It knows who is there now."""
    site = start(proxies=TrustedProxies(LOOPBACK, "X-Forwarded-User"))
    client = site.signed_in()
    assert "home for alice, editor" == client.get("/").text
    response = client.get("/", headers={"X-Forwarded-User": "carol"})
    assert "home for carol, viewer" == response.text


def test_a_proxy_names_somebody_without_an_account(start: StartSite) -> None:
    """The page says so, and the log has the name on one line."""
    site = start(proxies=TrustedProxies(LOOPBACK, "X-Forwarded-User"))
    with capture_logs() as logs:
        hostile = {"X-Forwarded-User": "mallory\x1b[2J\xa0\x85event=forged"}
        response = site.app.test_client().get("/", headers=hostile)
    assert 403 == response.status_code
    assert "has no account here; ask whoever keeps the accounts file." in response.text
    assert ["sign-in refused"] == [entry["event"] for entry in logs]
    assert "mallory\\x1b[2J\\xa0\\x85event=forged" == logs[0]["user"]


@pytest.mark.parametrize(
    "proxies",
    [
        TrustedProxies(),
        TrustedProxies(LOOPBACK),
        TrustedProxies((ip_network("192.0.2.0/24"),), "X-Forwarded-User"),
    ],
)
def test_nobody_else_names_the_user(start: StartSite, proxies: TrustedProxies) -> None:
    """The header is as if it were not there."""
    site = start(proxies=proxies)
    client = site.client(X_Forwarded_User="alice", X_Forwarded_For="192.0.2.1")
    assert 303 == client.get("/").status_code
    assert 401 == client.post("/kb/x").status_code


def test_clients_behind_a_proxy_are_told_apart(start: StartSite) -> None:
    """Guesses of one do not make others wait; what a client claims itself does not count."""
    site = start(proxies=TrustedProxies(LOOPBACK))
    for number in range(6):
        claimed = f"198.51.100.{number}, 203.0.113.1"
        sign_in(site.client(), "alice", "wrong", **{"X-Forwarded-For": claimed})
    guessing = {"X-Forwarded-For": "203.0.113.1"}
    assert 429 == sign_in(site.client(), "alice", PASSWORD, **guessing).status_code
    with capture_logs() as logs:
        other = {"X-Forwarded-For": "203.0.113.2"}
        assert 303 == sign_in(site.client(), "alice", PASSWORD, **other).status_code
    assert ["203.0.113.2"] == [entry["client"] for entry in logs]


def test_without_a_trusted_proxy_nobody_chooses_their_address(site: Site) -> None:
    """All guesses are those of the one who sends them."""
    for number in range(6):
        sign_in(site.client(), "alice", "wrong", **{"X-Forwarded-For": f"203.0.113.{number}"})
    changed = {"X-Forwarded-For": "203.0.113.99"}
    assert 429 == sign_in(site.client(), "alice", PASSWORD, **changed).status_code
