"""Each store fails in each way: the record browser says so in time, and shows all the rest."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from kato_exporter.browser.records.pages import locator_text
from kato_exporter.kato.vectors import point_of_symbol
from support.browsing import EDITOR, PASSWORD, RunningBrowser, browsing
from support.leftovers import Held
from support.matrix import STORE_TIMEOUT, STORES_OF, Breakable, Fault, cell_id, cells
from support.matrix_page import PROMISES, Cell
from support.matrix_stores import RedisSubject, running_subjects
from support.records import KB, ODD, VECTOR_SYMBOLS, VECTORS, Records, fill
from support.waiting import eventually

QUERY_TIMEOUT = 1.0
PROMISE = PROMISES["browser"]
PATIENCE = 30.0
POOLED = 6
"""Connections that the pools may hold more at one time than at another, by how questions overlap.

Each cell asks in vain more often than that, so that one left behind by each would be seen.
"""

AT_ONCE = 8
FAILURES = (httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE)
TITLES = {store.name: store.title for store in STORES_OF["browser"]}
KEY = b"recent"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of the browser, and how many seconds it took."""

    address: str
    response: httpx.Response
    took: float

    @property
    def is_there(self) -> bool:
        """Whether it is a page, and no failure."""
        return self.response.status_code == httpx.codes.OK


@dataclass(slots=True)
class Scene:
    """A record browser on three stores, and an editor who is signed in.

    `pages` has addresses by store, `steady` those whose facts do not change by themselves;
    `at_rest` is the most that the browser may hold while all is well.
    """

    running: RunningBrowser
    client: httpx.Client
    threads: ThreadPoolExecutor
    stores: dict[str, Breakable]
    redis: RedisSubject
    pages: dict[str, list[str]]
    steady: dict[str, list[str]]
    at_rest: Held = field(default_factory=Held)

    def ask(self, addresses: list[str]) -> list[Page]:
        """Ask for pages, all at once; each must answer in time."""
        pages = list(self.threads.map(self._page, addresses))
        assert [] == [(each.address, each.took) for each in pages if each.took >= PROMISE.deadline]
        return pages

    def facts(self, addresses: list[str]) -> dict[str, Any]:
        """Ask for the JSON twins of pages, all at once."""
        return {each.address: each.response.json() for each in self.ask(twins(addresses))}

    def up(self) -> dict[str, bool]:
        """Ask the first page which stores answer."""
        [home] = self.ask(twins(["/"]))
        assert home.is_there
        return {each["store"]: each["up"] for each in home.response.json()["stores"]}

    def whole(self, store: str) -> bool:
        """Tell whether all pages of a store are there."""
        return all(each.is_there for each in self.ask(self.pages[store]))

    def all_whole(self) -> bool:
        """Tell whether all pages are there."""
        return all(self.whole(store) for store in self.stores)

    def nothing_left(self) -> bool:
        """Tell whether the browser holds no more than it does at rest."""
        return self.at_rest.most(Held.by(self.running.process)) == self.at_rest

    def _page(self, address: str) -> Page:
        began = time.monotonic()
        response = self.client.get(address)
        return Page(address, response, time.monotonic() - began)


def twins(addresses: list[str]) -> list[str]:
    """Give the addresses of the same in JSON."""
    return [f"{each}{'&' if '?' in each else '?'}format=json" for each in addresses]


def csrf_token(client: httpx.Client, page: str) -> str:
    """Read the token out of a page that has a form."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(page).text)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Run three stores and a browser, which has already seen all of them fail once."""
    directory = tmp_path_factory.mktemp("matrix")
    with ExitStack() as stack:
        three = stack.enter_context(running_subjects(directory))
        records = fill(three.redis.client, three.mongodb.client, three.qdrant.client)
        running = stack.enter_context(
            browsing(
                directory / "browser",
                KATO_STORE_TIMEOUT=f"{STORE_TIMEOUT:g}s",
                KATO_BROWSER_QUERY_TIMEOUT=f"{QUERY_TIMEOUT:g}s",
                KATO_BROWSER_WRITABLE="true",
                KATO_BROWSER_DATA_DIR=str(directory / "kept"),
                **three.redis.settings,
                **three.mongodb.settings,
                **three.qdrant.settings,
            )
        )
        client = stack.enter_context(
            httpx.Client(
                base_url=running.url,
                timeout=PATIENCE,
                trust_env=False,
                limits=httpx.Limits(max_keepalive_connections=0),
            )
        )
        form = {"name": EDITOR, "password": PASSWORD, "csrf_token": csrf_token(client, "/login")}
        assert httpx.codes.SEE_OTHER == client.post("/login", data=form).status_code
        scene = Scene(
            running,
            client,
            stack.enter_context(ThreadPoolExecutor(AT_ONCE)),
            {"redis": three.redis, "mongodb": three.mongodb, "qdrant": three.qdrant},
            three.redis,
            *_addresses(records),
        )
        assert scene.all_whole()
        _fill_pools(scene)
        yield scene


def _addresses(records: Records) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    point = f"/qdrant/{VECTORS}/points/{point_of_symbol(VECTOR_SYMBOLS[3])}"
    changing = {
        "redis": ["/sessions", f"/sessions/{records.session}", "/redis", "/redis/keys"],
        "mongodb": ["/kb", f"/kb/{KB}", f"/kb/{KB}/patterns"],
        "qdrant": ["/qdrant"],
    }
    steady = {
        "redis": ["/redis/key?name=picture", f"/redis/key?name={KEY.decode()}"],
        "mongodb": [f"/kb/{KB}/patterns/{records.pattern}", f"/kb/{KB}/collections/{ODD}"],
        "qdrant": [f"/qdrant/{VECTORS}", point, f"{point}/similar"],
    }
    return {store: changing[store] + steady[store] for store in steady}, steady


def _fill_pools(scene: Scene) -> None:
    """Let all stores fail at once, so that each pool of threads is full; then measure."""
    for store in scene.stores.values():
        store.proxy.black_hole()
    for _ in range(2):
        scene.ask(["/", *(address for pages in scene.pages.values() for address in pages)])
    for store in scene.stores.values():
        store.proxy.heal()
    eventually(scene.all_whole, within=PATIENCE, what="all is well again")
    held = Held.by(scene.running.process)
    scene.at_rest = Held(held.threads, held.files + POOLED)


@pytest.mark.parametrize(("store", "fault"), cells("browser"), ids=cell_id)
def test_browser_survives(scene: Scene, cell: Cell, store: str, fault: Fault) -> None:
    """Pages of the store say what is wrong, the first page too; those of the others are whole."""
    eventually(scene.all_whole, within=PATIENCE, what="all is well")
    others = [address for name in scene.steady if name != store for address in scene.steady[name]]
    before = scene.facts(others)
    fault.begin(scene.stores[store])
    try:
        failed = scene.ask(scene.pages[store])
        answered = max(page.took for page in failed)

        for page in failed:
            assert page.response.status_code in FAILURES, page.address
            [reason] = re.findall(r'<p class="failure">(.+?)</p>', page.response.text)
            assert reason.startswith(TITLES[store]), reason
            assert "Traceback" not in page.response.text
        assert {each: each != store for each in scene.stores} == scene.up()
        assert before == scene.facts(others)
    finally:
        fault.end(scene.stores[store])
    began = time.monotonic()
    eventually(lambda: scene.whole(store), within=PROMISE.recovery, what="its pages are back")
    cell.measured(answered, time.monotonic() - began)
    assert dict.fromkeys(scene.stores, True) == scene.up()
    eventually(scene.nothing_left, within=PATIENCE, what="nothing is left behind")


def test_a_delete_on_a_silent_store_is_refused(scene: Scene) -> None:
    """It is said, nothing is done then or later, and the same is taken when the store is back."""
    eventually(scene.all_whole, within=PATIENCE, what="all is well")
    form = {"kind": "Redis key", "locator": locator_text(b"0:" + KEY)}
    form["csrf_token"] = csrf_token(scene.client, "/audit")
    scene.redis.proxy.black_hole()
    try:
        refused = scene.client.post("/operations", data=form)

        assert httpx.codes.SERVICE_UNAVAILABLE == refused.status_code
        assert "gives no answer" in refused.text
    finally:
        scene.redis.proxy.heal()
    eventually(lambda: scene.whole("redis"), within=PROMISE.recovery, what="its pages are back")
    assert 1 == scene.redis.client.exists(KEY)
    assert [] == scene.client.get("/trash?format=json").json()["operations"]
    assert httpx.codes.SEE_OTHER == scene.client.post("/operations", data=form).status_code
