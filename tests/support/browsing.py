"""The record browser as a child process on stores of its own, and readers who are signed in."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

import httpx
import psutil
from playwright.sync_api import Browser, StorageState
from pymongo import MongoClient
from qdrant_client import QdrantClient
from redis import Redis
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map

from kato_exporter.browser.access.accounts import Account, Accounts, account_lines
from kato_exporter.browser.access.passwords import hash_password
from kato_exporter.browser.assembly import assemble
from kato_exporter.demo.qdrant_stub import qdrant_stub
from kato_exporter.demo.servers import LOOPBACK, start_mongod, start_valkey
from kato_exporter.demo.shapes import Document
from kato_exporter.demo.stub_server import serving
from kato_exporter.settings import BrowserSettings
from support.chromium import Reader, Theme
from support.exporting import environment_with
from support.servers import started
from support.waiting import eventually

GRAFANA = "http://grafana.example:3000"
READER = "reader"
EDITOR = "editor"
PASSWORD = "correct horse battery staple"
"""Of both accounts, of which one only reads."""

_COMMAND = (sys.executable, "-m", "kato_exporter", "browse")
_NO_PAGES = {"/static/<path:filename>", "/-/healthy", "/metrics", "/login"}
_START_SECONDS = 20.0
_END_SECONDS = 15.0


_hashed = cache(hash_password)


class RunningBrowser:
    """`kato-exporter browse` on a free port; `settings` are environment variables."""

    def __init__(self, directory: Path, **settings: str) -> None:
        """Start it; its accounts and what it prints are in the directory."""
        directory.mkdir(exist_ok=True)
        accounts = directory / "accounts.toml"
        hashed = _hashed(PASSWORD)
        known = Account(READER, "viewer", hashed), Account(EDITOR, "editor", hashed)
        accounts.write_text("".join(map(account_lines, known)), encoding="utf-8")
        own = {"KATO_BROWSER_LISTEN": "127.0.0.1:0", "KATO_BROWSER_ACCOUNTS_FILE": str(accounts)}
        self._log = directory / "browser.log"
        with self._log.open("wb") as file:
            self.process = psutil.Popen(
                _COMMAND,
                env=environment_with(own | settings),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(encoding="utf-8")

    @property
    def faults(self) -> list[str]:
        """The beginnings of what it has printed of faults of its own."""
        return [line[:2_000] for line in self.log.splitlines() if "level=error" in line]

    @cached_property
    def url(self) -> str:
        """Where it serves, without a path; waits until it has said so."""

        def said() -> re.Match[str] | None:
            assert self.process.poll() is None, self.log
            return re.search(r"url=(http://[^/\s]+)", self.log)

        return eventually(said, within=_START_SECONDS, what="the browser serves")[1]

    def end(self) -> int:
        """Ask it to end, and give its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return int(self.process.wait(_END_SECONDS))

    def kill(self) -> None:
        """See to it that nothing is left, whatever happened."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextmanager
def browsing(directory: Path, **settings: str) -> Iterator[RunningBrowser]:
    """Run a record browser for a while; it must end in order, and meet no fault of its own."""
    running = RunningBrowser(directory, **settings)
    try:
        yield running
        assert 0 == running.end(), running.log
        assert [] == running.faults
    finally:
        running.kill()


@dataclass(frozen=True, slots=True)
class Stores:
    """Clients of the three stores, and the settings that name them."""

    redis: Redis
    mongo: MongoClient[Document]
    qdrant: QdrantClient
    settings: dict[str, str]


@dataclass(frozen=True, slots=True)
class Site:
    """A record browser that serves and writes: to a client, and to readers, who may be editors.

    `data` is the directory of its trash and its audit log.
    """

    url: str
    data: Path
    client: httpx.Client
    chromium: Browser
    signed_in: StorageState
    url_map: Map

    @property
    def rules(self) -> set[str]:
        """The rules of its pages: what an editor who is signed in can ask for with GET."""
        rules = {each.rule for each in self.url_map.iter_rules() if "GET" in (each.methods or ())}
        return rules - _NO_PAGES

    def reader(self, *, theme: Theme = "light", width: int = 1280, script: bool = True) -> Reader:
        """Open a window for an editor who is signed in; the caller closes it."""
        return Reader(
            *(self.chromium, self.url),
            theme=theme,
            width=width,
            script=script,
            signed_in=self.signed_in,
        )

    def stranger(self, *, theme: Theme = "light", script: bool = True) -> Reader:
        """Open a window for somebody who is not signed in; the caller closes it."""
        return Reader(self.chromium, self.url, theme=theme, script=script)

    def rule_of(self, path: str) -> str:
        """Name the rule of the URL map that a path belongs to; empty where there is none."""
        try:
            rule, _ = self.url_map.bind(LOOPBACK).match(unquote(path), return_rule=True)
        except NotFound:
            return ""
        return str(rule.rule)


def sign_in(reader: Reader, path: str = "/", *, name: str = READER) -> None:
    """Come in by the form to which every page leads."""
    reader.open(path)
    reader.fill_in(name, PASSWORD)
    reader.page.get_by_role("button", name="Sign out").wait_for()


@contextmanager
def running_stores(directory: Path) -> Iterator[Stores]:
    """Run a Valkey, a MongoDB, and a stub of Qdrant, all empty."""
    with ExitStack() as stack:
        valkey = stack.enter_context(started(lambda: start_valkey(directory / "valkey")))
        mongod = stack.enter_context(started(lambda: start_mongod(directory / "mongodb")))
        qdrant = QdrantClient(":memory:")
        stack.callback(qdrant.close)
        port = stack.enter_context(serving(qdrant_stub(qdrant)))
        yield Stores(
            stack.enter_context(Redis.from_url(valkey.url)),
            stack.enter_context(MongoClient(mongod.url)),
            qdrant,
            {
                "KATO_REDIS_URL": valkey.url,
                "KATO_MONGO_URL": mongod.url,
                "KATO_QDRANT_URL": f"http://{LOOPBACK}:{port}",
            },
        )


@contextmanager
def running_site(directory: Path, chromium: Browser, settings: dict[str, str]) -> Iterator[Site]:
    """Run a record browser that writes, and sign an editor in."""
    data = directory / "kept"
    settings = {
        "KATO_GRAFANA_URL": GRAFANA,
        "KATO_BROWSER_PAGE_ROWS": "25",
        "KATO_BROWSER_WRITABLE": "true",
        "KATO_BROWSER_DATA_DIR": str(data),
        **settings,
    }
    with (
        browsing(directory, **settings) as browser,
        httpx.Client(
            base_url=browser.url, auth=(EDITOR, PASSWORD), timeout=30, trust_env=False
        ) as client,
    ):
        with closing(Reader(chromium, browser.url)) as reader:
            sign_in(reader, name=EDITOR)
            reader.assert_content()
            signed_in = reader.context.storage_state()
        yield Site(browser.url, data, client, chromium, signed_in, url_map())


def url_map() -> Map:
    """Give the URL map of a record browser that has all stores and may change them."""
    with TemporaryDirectory() as directory:
        settings = BrowserSettings(
            redis_url="redis://127.0.0.1",
            mongo_url="mongodb://127.0.0.1",
            qdrant_url="http://127.0.0.1",
            browser_writable=True,
            browser_data_dir=Path(directory),
        )
        with assemble(settings, Accounts({}), tls=False) as browser:
            return browser.app.url_map
