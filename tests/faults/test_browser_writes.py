"""Bulk deletes by the record browser as a child process, that is killed, and whose store dies.

Each time: every record is in the store or in the trash, byte for byte; the audit log is whole and
says what became of each; and it can be gone on with, or undone.
"""

import json
import os
import random
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
import pytest
from bson import Int64, encode
from pymongo import MongoClient
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams
from redis import Redis

from kato_exporter.browser.records.audit import verify
from kato_exporter.browser.records.journal import FILE_NAME
from kato_exporter.browser.records.pages import locator_text
from kato_exporter.demo.qdrant_stub import qdrant_stub
from kato_exporter.demo.servers import LOOPBACK, start_mongod, start_valkey
from kato_exporter.demo.shapes import (
    DEFAULT_TTL,
    Document,
    session_id,
    session_key,
    session_record,
)
from kato_exporter.demo.stub_server import serving
from kato_exporter.kato.knowledge import METADATA, PATTERNS, SYMBOLS
from kato_exporter.kato.session_documents import KEY_PREFIX, node_pointer_key
from kato_exporter.kato.sessions import SESSION_INDEX
from kato_exporter.stores.mongodb.learnings import TOTALS
from kato_exporter.stores.mongodb.places import Place
from kato_exporter.stores.qdrant.content import Place as QdrantPlace
from kato_exporter.stores.qdrant.content import canonical
from support.browsing import EDITOR, PASSWORD, RunningBrowser, browsing
from support.bson_values import value_of
from support.fault_proxy import FaultProxy
from support.servers import started
from support.waiting import eventually

FULL = bool(os.environ.get("KATO_TEST_FULL"))
SOME = 350
BATCH = 100
LATEST = 4_102_444_800_000
"""When the keys expire, in epoch ms: in 2100."""

BORN = 1_790_000_000.0

Kept = dict[bytes, bytes]
"""The content of records by their locators."""


class Subject(Protocol):
    """Records of one kind in a store.

    `many` of them take a while to delete. `begun` is how many may be gone when the store dies
    after the first has gone.
    """

    kind: str
    settings: dict[str, str]
    many: int
    begun: range

    def fill(self, number: int) -> None:
        """Write so many records."""

    def present(self) -> Kept:
        """Give all records, byte for byte."""

    def beside(self) -> object:
        """Give what is kept of each record besides its content."""


def dumps(client: Redis, match: str) -> Kept:
    """Give what DUMP tells of keys."""
    names: Any = sorted(client.keys(match))
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.dump(name)
    return {b"0:" + name: dump for name, dump in zip(names, pipe.execute(), strict=True)}


class Keys:
    """Redis keys on a Valkey, each with an expiry."""

    kind = "Redis key"
    many = 10_000
    begun = range(BATCH, BATCH + 1)

    def __init__(self, url: str) -> None:
        self.settings = {"KATO_REDIS_URL": url}
        self.client = Redis.from_url(url)

    def fill(self, number: int) -> None:
        """Write them, of every size up to 2 KB."""
        pipe = self.client.pipeline(transaction=False)
        for each in range(number):
            pipe.set(f"key {each}", f"{each}" * (each % 400), pxat=LATEST + each)
        pipe.execute()

    def present(self) -> Kept:
        """Give all keys with what DUMP tells of them."""
        return dumps(self.client, "*")

    def beside(self) -> object:
        """Give when each expires, in epoch ms."""
        names: Any = sorted(self.client.keys())
        pipe = self.client.pipeline(transaction=False)
        for name in names:
            pipe.pexpiretime(name)
        return dict(zip(names, pipe.execute(), strict=True))


class Documents:
    """Documents of a knowledge base on a MongoDB."""

    kind = "document"
    many = 10_000
    begun = range(BATCH, BATCH + 1)

    def __init__(self, url: str) -> None:
        self.settings = {"KATO_MONGO_URL": url}
        self.client: MongoClient[Document] = MongoClient(url)
        self._collection = self.client["faults_kato"]["predictions_kb"]

    def fill(self, number: int) -> None:
        """Write them, of every size up to 2 KB."""
        self._collection.insert_many(
            [{"_id": Int64(each), "text": f"{each}" * (each % 400)} for each in range(number)]
        )

    def present(self) -> Kept:
        """Give all documents as BSON."""
        return {
            self._locator(document["_id"]): encode(document) for document in self._collection.find()
        }

    def beside(self) -> object:
        """Give nothing: a document is all there is of it."""

    def _locator(self, identity: Int64) -> bytes:
        return Place("faults_kato", "predictions_kb", value_of(identity)).locator


class Sessions:
    """KATO 3's sessions on a Valkey, with their index; a third has a pointer of its node."""

    kind = "session"
    many = 5_000
    begun = range(BATCH, BATCH + 1)

    def __init__(self, url: str) -> None:
        self.settings = {"KATO_REDIS_URL": url}
        self.client = Redis.from_url(url)

    def fill(self, number: int) -> None:
        """Write them."""
        pipe = self.client.pipeline(transaction=False)
        for each in range(number):
            identity, node = session_id(f"{each:032x}", BORN), f"node {each}"
            record = session_record(identity, node, born=BORN, ttl=DEFAULT_TTL, metadata={})
            pipe.set(session_key(identity), json.dumps(record), pxat=LATEST + each)
            pipe.sadd(SESSION_INDEX, identity)
            if each % 3 == 0:
                pipe.set(node_pointer_key(node), identity, pxat=LATEST)
        pipe.execute()

    def present(self) -> Kept:
        """Give all sessions with what DUMP tells of their keys."""
        return dumps(self.client, f"{KEY_PREFIX}session-*")

    def beside(self) -> object:
        """Give the index, the pointers, and when each key expires, in epoch ms."""
        keys: Any = sorted(set(self.client.keys()) - {SESSION_INDEX.encode()})
        expiries = {key: self.client.pexpiretime(key) for key in keys}
        pointers = {key: self.client.get(key) for key in keys if key.endswith(b":active")}
        return expiries, pointers, self.client.smembers(SESSION_INDEX)


class Patterns:
    """Patterns of a knowledge base on a MongoDB, with KATO's counts of them."""

    kind = "pattern"
    many = 1_000
    begun = range(1, BATCH + 1)

    def __init__(self, url: str) -> None:
        self.settings = {"KATO_MONGO_URL": url}
        self.client: MongoClient[Document] = MongoClient(url)
        self._database = self.client["faults_kato"]

    def fill(self, number: int) -> None:
        """Learn them, each one to five times."""
        counted: Counter[str] = Counter()
        totals: Counter[str] = Counter()
        patterns = []
        for each in range(number):
            symbols, times = [f"s{each % 7}", f"t{each % 11}"], 1 + each % 5
            counted.update(dict.fromkeys(symbols, times))
            totals.update(dict(zip(TOTALS, (times, 2 * times, 2 * times), strict=True)))
            patterns.append(
                {
                    "_id": Int64(each),
                    "name": f"{each:040x}",
                    "pattern_data": [[symbol] for symbol in symbols],
                    "length": 2,
                    "frequency": times,
                }
            )
        self._database[PATTERNS].insert_many(patterns)
        self._database[SYMBOLS].insert_many(
            [
                {"name": name, "frequency": times, "pattern_member_frequency": times}
                for name, times in counted.items()
            ]
        )
        self._database[METADATA].insert_one({"class": "totals", **totals})

    def present(self) -> Kept:
        """Give all patterns as BSON."""
        return {
            Place(
                "faults_kato", PATTERNS, value_of(document["_id"]), document["name"]
            ).locator: encode(document)
            for document in self._database[PATTERNS].find()
        }

    def beside(self) -> object:
        """Give KATO's totals, and its counts of symbols."""
        return [list(self._database[name].find().sort("_id")) for name in (METADATA, SYMBOLS)]


class Points:
    """Points on a stub of Qdrant, which is no Qdrant; it compares by a dot product."""

    kind = "point"
    many = 2_000
    begun = range(BATCH, BATCH + 1)

    def __init__(self, url: str, client: QdrantClient) -> None:
        self.settings = {"KATO_QDRANT_URL": url}
        self.client = client
        client.create_collection("vectors", VectorParams(size=2, distance=Distance.DOT))

    def fill(self, number: int) -> None:
        """Write them."""
        points = [
            PointStruct(id=each, vector=[1.0, float(each)], payload={"frame": each})
            for each in range(number)
        ]
        self.client.upsert("vectors", points)

    def present(self) -> Kept:
        """Give all points in their one spelling."""
        points, _ = self.client.scroll("vectors", limit=10_000, with_vectors=True)
        return {
            QdrantPlace("vectors", int(point.id)).locator: canonical(
                {"id": point.id, "payload": point.payload, "vector": point.vector}
            )
            for point in points
        }

    def beside(self) -> object:
        """Give nothing: a point is all there is of it."""


ALWAYS = ("documents",)
ALL = (*ALWAYS, "keys", "sessions", "patterns", "points")
KINDS = ALL if FULL else ALWAYS
DEATHS = [
    (kind, moment, button)
    for kind in ALL
    for moment in ("before the delete", "after the delete")
    for button in ("resume", "restore")
    if kind in KINDS or (moment, button) == ("after the delete", "resume")
]


@pytest.fixture
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """Give records of a kind, on a server of its own."""
    with ExitStack() as stack:
        if request.param in ("keys", "sessions"):
            valkey = stack.enter_context(started(lambda: start_valkey(tmp_path / "valkey")))
            of_redis = (Keys if request.param == "keys" else Sessions)(valkey.url)
            stack.enter_context(closing(of_redis.client))
            yield of_redis
        elif request.param == "points":
            client = stack.enter_context(closing(QdrantClient(":memory:")))
            port = stack.enter_context(serving(qdrant_stub(client)))
            yield Points(f"http://{LOOPBACK}:{port}", client)
        else:
            mongod = stack.enter_context(started(lambda: start_mongod(tmp_path / "mongodb")))
            of_mongo = (Documents if request.param == "documents" else Patterns)(mongod.url)
            stack.enter_context(closing(of_mongo.client))
            yield of_mongo


@dataclass(frozen=True, slots=True)
class Editor:
    """An editor who is signed in at a browser."""

    client: httpx.Client

    def send(
        self, path: str, form: dict[str, Any], *, page_with_form: str = "/audit"
    ) -> httpx.Response:
        """Send a form of ours."""
        page = self.client.get(page_with_form).text
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert token is not None, page
        return self.client.post(path, data=form | {"csrf_token": token[1]})

    def plan(self, kind: str, locators: Sequence[bytes]) -> str:
        """Choose records, and give the path of the preview."""
        form = {"kind": kind, "locator": [locator_text(each) for each in locators]}
        planned = self.send("/operations", form)
        assert 303 == planned.status_code, planned.text
        return planned.headers["Location"]

    def confirm(self, path: str) -> None:
        """Press the button of the preview."""
        digest = self.facts(path)["digest"]
        assert 303 == self.send(f"{path}/confirm", {"digest": digest}).status_code

    def press(self, path: str, button: str) -> str:
        """Press `resume` or `restore` on an operation; give the path of what came of it."""
        pressed = self.send(f"{path}/{button}", {})
        assert 303 == pressed.status_code, pressed.text
        return pressed.headers["Location"]

    def facts(self, path: str) -> dict[str, Any]:
        """Read a page as JSON."""
        found: dict[str, Any] = self.client.get(path, params={"format": "json"}).json()
        return found

    def ended(self, path: str) -> dict[str, Any]:
        """Wait for the end of an operation, and give it."""

        def end() -> dict[str, Any] | None:
            operation: dict[str, Any] = self.facts(path)["operation"]
            return None if operation["state"] == "running" else operation

        return eventually(end, within=90, what="the operation ends")


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the journal of a browser says, read beside it."""

    directory: Path

    def rows(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the file."""
        file = (self.directory / FILE_NAME).as_uri()
        with closing(sqlite3.connect(f"{file}?mode=ro", uri=True, timeout=10)) as connection:
            return connection.execute(question, values).fetchall()

    def count(self, condition: str) -> int:
        """Count records."""
        [(number,)] = self.rows(f"SELECT count(*) FROM items WHERE {condition}")  # noqa: S608 - ours
        return int(number)

    def kept(self) -> set[tuple[bytes, bytes]]:
        """Give what the trash has."""
        return set(self.rows("SELECT locator, content FROM items WHERE content NOTNULL"))

    def assert_agrees(self) -> None:
        """Compare the audit log with what became of each record."""
        assert verify(self.directory).fault is None
        of_log = Counter(self.rows("SELECT operation, record, result FROM audit WHERE store <> ''"))
        of_items = Counter(
            self.rows(
                "SELECT operation, label, state FROM items WHERE state NOT IN ('planned', 'kept')"
            )
        )
        assert of_items == of_log


def assert_nothing_lost(ledger: Ledger, subject: Subject, at_first: Kept) -> None:
    """Find each record in the store or in the trash, byte for byte."""
    present, kept = subject.present(), ledger.kept()
    lost = [
        locator
        for locator, content in at_first.items()
        if present.get(locator) != content and (locator, content) not in kept
    ]
    assert [] == lost
    ledger.assert_agrees()


def browser_on(directory: Path, subject: Subject) -> RunningBrowser:
    """Start a browser that may write, and has patience with a store on a slow machine."""
    return RunningBrowser(
        directory,
        KATO_BROWSER_QUERY_TIMEOUT="60",
        KATO_BROWSER_WRITABLE="true",
        KATO_BROWSER_DATA_DIR=str(directory / "data"),
        **subject.settings,
    )


@contextmanager
def editor_at(url: str) -> Iterator[Editor]:
    """Sign in."""
    with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
        editor = Editor(client)
        form = {"name": EDITOR, "password": PASSWORD}
        came = editor.send("/login", form, page_with_form="/login")
        assert 303 == came.status_code, came.text
        yield editor


class Siege:
    """A browser that is started and killed again and again, with the same directory and store."""

    def __init__(self, directory: Path, subject: Subject, seed: int) -> None:
        self.ledger = Ledger(directory / "data")
        self._start = partial(browser_on, directory, subject)
        self._rolled = random.Random(seed)  # noqa: S311 - no secret

    @contextmanager
    def browser(self) -> Iterator[Editor]:
        """Run a browser for an editor, and kill it at the end."""
        running = self._start()
        try:
            with editor_at(running.url) as editor:
                yield editor
                running.kill()
        finally:
            running.kill()

    def kill_after(self, number: int, press: Callable[[Editor], object], *, action: str) -> None:
        """Press a button, and kill the browser when so many records of an action are done."""
        with ThreadPoolExecutor(1) as pool, self.browser() as editor:
            before = self.done(action)
            pressed = pool.submit(press, editor)
            eventually(
                lambda: self.done(action) >= max(before + 1, number) or self.is_done(action),
                within=60,
                what=f"{number} records are done",
            )
            time.sleep(self._rolled.uniform(0, 0.03))  # to whatever step that is
        assert pressed.done()

    def done(self, action: str) -> int:
        """Count the records that an action is done with."""
        [(number,)] = self.ledger.rows(
            "SELECT count(*) FROM items JOIN operations ON id = operation"
            " WHERE items.state = 'done' AND action = ?",
            action,
        )
        return int(number)

    def is_done(self, action: str) -> bool:
        """Tell whether the operation is at its end."""
        return [("done",)] == self.ledger.rows(
            "SELECT state FROM operations WHERE action = ?", action
        )

    def path(self, action: str) -> str:
        """Give the page of the operation."""
        [(identity,)] = self.ledger.rows("SELECT id FROM operations WHERE action = ?", action)
        return f"/operations/{identity}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("subject", KINDS, indirect=True)
def test_a_browser_that_is_killed_again_and_again_loses_nothing(
    subject: Subject, tmp_path: Path
) -> None:
    """At moments of a bulk delete and of its undo, which are gone on with each time."""
    many = subject.many
    subject.fill(many)
    at_first, beside = subject.present(), subject.beside()
    siege = Siege(tmp_path, subject, seed=11)
    with siege.browser() as editor:
        planned = editor.plan(subject.kind, list(at_first))
    buttons: list[tuple[str, Callable[[Editor], object], range]] = [
        (
            "delete",
            lambda editor: editor.confirm(planned),
            range(0, many, many // (8 if FULL else 2)),
        ),
        (
            "restore",
            lambda editor: editor.press(planned, "restore"),
            range(0, many, many // (4 if FULL else 2)),
        ),
    ]
    for action, press, points in buttons:
        for point in points:
            siege.kill_after(point, press, action=action)
            assert_nothing_lost(siege.ledger, subject, at_first)
            path = siege.path(action)
            press = partial(Editor.press, path=path, button="resume")  # noqa: PLW2901 - from now on
        assert not siege.is_done(action), "each was in the middle"
        with siege.browser() as editor:
            press(editor)
            ended = editor.ended(path)
            assert ("done", {"done": many}) == (ended["state"], ended["states"])
        assert (at_first if action == "restore" else {}) == subject.present()
    assert beside == subject.beside()
    assert_nothing_lost(siege.ledger, subject, at_first)


@contextmanager
def proxy_before(subject: Subject) -> Iterator[FaultProxy]:
    """Let the browser come to the store by a proxy that fails on command."""
    [(setting, url)] = subject.settings.items()
    port = urlsplit(url).port
    assert port is not None
    with FaultProxy(port) as proxy:
        subject.settings = {setting: url.replace(f":{port}", f":{proxy.port}")}
        yield proxy


@pytest.mark.parametrize(("subject", "moment", "button"), DEATHS, indirect=["subject"])
def test_a_store_that_dies_around_a_delete_loses_nothing(
    subject: Subject, tmp_path: Path, moment: str, button: str
) -> None:
    """Between trash and delete, and between delete and audit; then it comes back."""
    subject.fill(SOME)
    at_first, beside = subject.present(), subject.beside()
    ledger = Ledger(tmp_path / "data")
    with (
        ExitStack() as stack,
        proxy_before(subject) as proxy,
        browsing(
            tmp_path,
            KATO_BROWSER_WRITABLE="true",
            KATO_BROWSER_DATA_DIR=str(tmp_path / "data"),
            KATO_STORE_TIMEOUT="2",
            **subject.settings,
        ) as browser,
    ):
        editor = stack.enter_context(editor_at(browser.url))
        operation = editor.plan(subject.kind, list(at_first))
        proxy.delay(0.25)
        with ThreadPoolExecutor(1) as pool:
            confirmed = pool.submit(editor.confirm, operation)
            if moment == "before the delete":
                eventually(lambda: ledger.count("state = 'kept'"), within=20, what="they are kept")
            else:
                eventually(
                    lambda: len(subject.present()) < SOME, within=20, what="some are deleted"
                )
            proxy.black_hole()  # what is on its way arrives nowhere
            confirmed.result()
        stands = editor.ended(operation)
        proxy.refuse()
        assert "interrupted" == stands["state"], stands
        assert {"kept": BATCH, "planned": SOME - BATCH} == stands["states"]
        gone = SOME - len(subject.present())
        assert gone in ([0] if moment == "before the delete" else subject.begun)
        assert_nothing_lost(ledger, subject, at_first)
        proxy.heal()
        after = editor.press(operation, button)
        ended = editor.ended(after)
        assert "done" == ended["state"], ended
        if button == "resume":
            assert {"done": SOME} == ended["states"]
            assert {} == subject.present()
            ended = editor.ended(editor.press(operation, "restore"))
        assert at_first == subject.present()
        assert beside == subject.beside()
        assert_nothing_lost(ledger, subject, at_first)


@pytest.mark.parametrize("subject", KINDS, indirect=True)
def test_a_browser_that_is_told_to_end_in_the_middle_ends_in_order(
    subject: Subject, tmp_path: Path
) -> None:
    """After the batch under way; what is left is gone on with."""
    subject.fill(subject.many)
    at_first = subject.present()
    ledger = Ledger(tmp_path / "data")
    with proxy_before(subject) as proxy:
        browser = browser_on(tmp_path, subject)
        try:
            with editor_at(browser.url) as editor, ThreadPoolExecutor(1) as pool:
                operation = editor.plan(subject.kind, list(at_first))
                proxy.delay(0.02)  # so that it is not done before it is told to end
                pressed = pool.submit(editor.confirm, operation)
                eventually(
                    lambda: ledger.count("state = 'done'"), within=30, what="some are deleted"
                )
                assert 0 == browser.end()
            assert pressed.done()
            assert [] == browser.faults
        finally:
            browser.kill()
        proxy.heal()
        _assert_interrupted_and_go_on(Siege(tmp_path, subject, seed=0), subject, at_first)


def _assert_interrupted_and_go_on(siege: Siege, subject: Subject, at_first: Kept) -> None:
    assert 0 == siege.ledger.count("state = 'kept'")
    assert [("interrupted",)] == siege.ledger.rows("SELECT state FROM operations")
    assert 0 < len(subject.present()) < subject.many
    assert_nothing_lost(siege.ledger, subject, at_first)
    with siege.browser() as editor:
        operation = siege.path("delete")
        editor.press(operation, "resume")
        assert {"done": subject.many} == editor.ended(operation)["states"]
    assert {} == subject.present()


def test_of_editors_who_save_at_once_one_does(tmp_path: Path) -> None:
    """The others get 409; each time what one of them typed is there, whole."""
    with started(lambda: start_valkey(tmp_path / "valkey")) as valkey:
        keys = Keys(valkey.url)
        with (
            closing(keys.client),
            browsing(
                tmp_path,
                KATO_BROWSER_WRITABLE="true",
                KATO_BROWSER_DATA_DIR=str(tmp_path / "data"),
                **keys.settings,
            ) as browser,
            ThreadPoolExecutor(4) as pool,
            ExitStack() as stack,
        ):
            editors = [stack.enter_context(editor_at(browser.url)) for _ in range(4)]
            for turn in range(3):
                keys.client.set("shared", f"turn {turn}")
                forms = [_edit_form(editor) for editor in editors]
                saves: list[Callable[[], httpx.Response]] = [
                    partial(
                        editor.send,
                        "/redis/key/edit?name=shared",
                        form | {"text": f"{turn} by {number}", "step": "save"},
                    )
                    for number, (editor, form) in enumerate(zip(editors, forms, strict=True))
                ]
                answers = [each.result() for each in [pool.submit(save) for save in saves]]
                statuses = [answer.status_code for answer in answers]
                assert [303, 409, 409, 409] == sorted(statuses)
                assert f"{turn} by {statuses.index(303)}".encode() == keys.client.get("shared")
            assert 3 == Ledger(tmp_path / "data").count("state = 'done'")


def _edit_form(editor: Editor) -> dict[str, str]:
    page = editor.client.get("/redis/key/edit", params={"name": "shared"}).text
    return dict(re.findall(r'<input type="hidden" name="(version|escaped)" value="([^"]*)"', page))
