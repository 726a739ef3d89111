"""Stores, record browsers on them, and a Chromium for all tests of pages."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

import httpx
import pytest
from playwright.sync_api import Browser, StorageState
from pymongo import MongoClient
from qdrant_client import QdrantClient
from redis import Redis
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map

from kato_exporter.demo.qdrant_stub import qdrant_stub
from kato_exporter.demo.servers import LOOPBACK, start_mongod, start_valkey
from kato_exporter.demo.shapes import Document
from kato_exporter.demo.stub_server import serving
from support.browsing import PASSWORD, READER, browsing, url_map
from support.chromium import Reader, Theme, chromium
from support.hostile_records import fill_hostile
from support.records import Records, fill
from support.servers import started

GRAFANA = "http://grafana.example:3000"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stores:
    """Clients of the three stores, and the settings that name them."""

    redis: Redis
    mongo: MongoClient[Document]
    qdrant: QdrantClient
    settings: dict[str, str]


@dataclass(frozen=True, slots=True)
class Site:
    """A record browser that serves: to a client that is signed in, and to readers."""

    url: str
    client: httpx.Client
    chromium: Browser
    signed_in: StorageState
    rules: Map

    def reader(
        self, *, theme: Theme = "light", width: int = 1280, script: bool = True
    ) -> Reader:
        """Open a window for somebody who is signed in; the caller closes it."""
        return Reader(
            *(self.chromium, self.url),
            theme=theme,
            width=width,
            script=script,
            signed_in=self.signed_in,
        )

    def rule_of(self, path: str) -> str:
        """Name the rule of the URL map that a path belongs to; empty where there is none."""
        try:
            rule, _ = self.rules.bind(LOOPBACK).match(unquote(path), return_rule=True)
        except NotFound:
            return ""
        return str(rule.rule)


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
    """Run a record browser, and sign a reader in."""
    settings = {"KATO_GRAFANA_URL": GRAFANA, "KATO_BROWSER_PAGE_ROWS": "40", **settings}
    with (
        browsing(directory, **settings) as browser,
        httpx.Client(
            base_url=browser.url, auth=(READER, PASSWORD), timeout=30, trust_env=False
        ) as client,
    ):
        reader = Reader(chromium, browser.url)
        reader.sign_in(READER, PASSWORD)
        reader.assert_content()
        signed_in = reader.context.storage_state()
        reader.close()
        yield Site(browser.url, client, chromium, signed_in, url_map())


@pytest.fixture(scope="session")
def chrome() -> Iterator[Browser]:
    """Give a Chromium for all tests."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stores, Records]]:
    """Give stores that hold something for every page."""
    with running_stores(tmp_path_factory.mktemp("filled")) as stores:
        yield stores, fill(stores.redis, stores.mongo, stores.qdrant)


@pytest.fixture(scope="session")
def records(filled: tuple[Stores, Records]) -> Records:
    """Tell what the filled stores hold."""
    return filled[1]


@pytest.fixture(scope="session")
def site(
    filled: tuple[Stores, Records], chrome: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Give a record browser on the filled stores."""
    with running_site(tmp_path_factory.mktemp("site"), chrome, filled[0].settings) as site:
        yield site


@pytest.fixture(scope="session")
def hostile_site(
    chrome: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Give a record browser on stores whose every field is hostile."""
    directory = tmp_path_factory.mktemp("hostile")
    with running_stores(directory) as stores:
        fill_hostile(stores.redis, stores.mongo, stores.qdrant)
        with running_site(directory, chrome, stores.settings) as site:
            yield site
