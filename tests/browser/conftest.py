"""Stores, record browsers on them, and a Chromium for all tests of pages."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from support.browsing import Site, Stores, running_site, running_stores
from support.chromium import chromium
from support.hostile_records import fill_hostile
from support.records import Records, fill


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
    """Give a record browser on the filled stores, with short pages."""
    settings = filled[0].settings | {"KATO_BROWSER_PAGE_ROWS": "10"}
    with running_site(tmp_path_factory.mktemp("site"), chrome, settings) as site:
        yield site


@pytest.fixture(scope="session")
def hostile_site(chrome: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a record browser on stores whose every field is hostile."""
    directory = tmp_path_factory.mktemp("hostile")
    with running_stores(directory) as stores:
        fill_hostile(stores.redis, stores.mongo, stores.qdrant)
        with running_site(directory, chrome, stores.settings) as site:
            yield site
