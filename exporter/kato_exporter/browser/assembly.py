"""Puts the record browser together from its settings."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from flask import Blueprint, Flask, Response, abort

from kato_exporter.browser.access.accounts import Accounts, refuse_open_door
from kato_exporter.browser.access.sign_in import SignInRules, protect
from kato_exporter.browser.access.trusted_proxy import TrustedProxies
from kato_exporter.browser.app import Place, create_app
from kato_exporter.browser.failures import name_in_failures
from kato_exporter.browser.home import Figure, Subject, home_pages
from kato_exporter.browser.knowledge.document_records import mongodb_records
from kato_exporter.browser.knowledge.documents import documents_pages
from kato_exporter.browser.knowledge.edit import knowledge_edit_pages
from kato_exporter.browser.knowledge.found import knowledge_found_pages
from kato_exporter.browser.knowledge.pages import knowledge_pages
from kato_exporter.browser.knowledge.patterns import patterns_pages
from kato_exporter.browser.metrics import BrowserMetrics
from kato_exporter.browser.qdrant.edit import qdrant_edit_pages
from kato_exporter.browser.qdrant.found import qdrant_found_pages
from kato_exporter.browser.qdrant.pages import qdrant_pages
from kato_exporter.browser.records.audit_pages import audit_pages
from kato_exporter.browser.records.desk import Desk
from kato_exporter.browser.records.janitor import Janitor
from kato_exporter.browser.records.journal import Journal, JournalError
from kato_exporter.browser.records.operations import Operations
from kato_exporter.browser.records.pages import no_records_pages, records_pages
from kato_exporter.browser.records.runner import Runner
from kato_exporter.browser.records.stores_at_hand import ContainerKinds, StoresAtHand
from kato_exporter.browser.redis.edit import redis_edit_pages
from kato_exporter.browser.redis.found import redis_found_pages
from kato_exporter.browser.redis.pages import redis_pages
from kato_exporter.browser.sessions.pages import sessions_pages
from kato_exporter.kato.knowledge import SYSTEM_DATABASES
from kato_exporter.settings import BrowserSettings
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.documents import MongoDocuments
from kato_exporter.stores.mongodb.knowledge import MongoKnowledge
from kato_exporter.stores.mongodb.patterns import MongoPatterns
from kato_exporter.stores.qdrant.container import QdrantCollection
from kato_exporter.stores.qdrant.records import QdrantRecords
from kato_exporter.stores.qdrant.store import QdrantStore
from kato_exporter.stores.qdrant.writing import QdrantWriting
from kato_exporter.stores.records import RecordKind
from kato_exporter.stores.redis.connection import RedisConnection
from kato_exporter.stores.redis.keys import RedisKeys
from kato_exporter.stores.redis.records import RedisKeyRecords
from kato_exporter.stores.redis.session_records import RedisSessionRecords
from kato_exporter.stores.redis.sessions import SessionRecords

_NAME = "kato-browser"


class Pages(Protocol):
    """Makes pages that may change something."""

    def __call__(self, desk: Desk | None) -> Blueprint:
        """Make the pages; without a desk nothing can be changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What the browser has of the store of this name, or in its stead where it is not configured.

    `kinds` and `containers` are what can be changed there; `of_containers` are kinds of records
    that only go and come with what holds them.
    """

    name: str
    pages: tuple[Pages, ...]
    places: tuple[Place, ...] = ()
    subjects: tuple[Subject, ...] = ()
    kinds: tuple[RecordKind, ...] = ()
    containers: ContainerKinds = field(default_factory=dict)
    of_containers: tuple[RecordKind, ...] = ()
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Browser:
    """The application, and what it holds open; a context manager that closes that.

    `https` says that people come to it by TLS.
    """

    app: Flask
    https: bool
    closes: tuple[Callable[[], None], ...]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with ExitStack() as ends:
            for close in reversed(self.closes):
                ends.callback(close)


def assemble(settings: BrowserSettings, accounts: Accounts, *, tls: bool) -> Browser:
    """Build the pages of the stores that have a URL, behind the sign-in.

    `tls` says that the server itself speaks it. Raises ValueError for settings that do not go
    together.
    """
    rules = SignInRules(
        proxies=TrustedProxies(
            settings.browser_trusted_proxies or (), settings.browser_user_header
        ),
        https=tls or (settings.browser_url or "").startswith("https://"),
        idle_timeout=settings.browser_idle_timeout,
        login_timeout=settings.browser_login_timeout,
    )
    refuse_open_door(settings.browser_listen, accounts, behind_proxies=bool(rules.proxies.networks))
    parts = (_redis(settings), _mongodb(settings), _qdrant(settings))
    metrics = BrowserMetrics()
    writing = _writing(settings, parts, metrics)
    desk = writing.desk if writing else None
    subjects = [subject for part in parts for subject in part.subjects]
    app = create_app(
        [
            home_pages(subjects, patience=settings.store_timeout),
            *(name_in_failures(make(desk), part.name) for part in parts for make in part.pages),
            *(_records_pages(writing, settings.browser_page_rows)),
        ],
        [
            Place("Home", "/"),
            *(place for part in parts for place in part.places),
            *([Place("Trash", "/trash"), Place("Audit", "/audit")] if writing else []),
        ],
        export_rows=settings.browser_export_rows,
        grafana_url=settings.grafana_url,
        metrics=metrics,
    )
    protect(app, accounts, rules)
    ends = [part.close for part in parts]
    return Browser(app, rules.https, (*([writing.close] if writing else []), *ends))


@dataclass(frozen=True, slots=True)
class Writing:
    """What it takes to change records, and to remember that."""

    journal: Journal
    runner: Runner
    janitor: Janitor
    desk: Desk

    def close(self) -> None:
        """End after the batch under way."""
        self.runner.stop()
        self.janitor.stop()
        self.journal.close()


def _writing(
    settings: BrowserSettings, parts: Sequence[Part], metrics: BrowserMetrics
) -> Writing | None:
    """Open trash and audit log where there are any; raise ValueError where they are missing."""
    if settings.browser_data_dir is None:
        if settings.browser_writable:
            raise ValueError(
                "KATO_BROWSER_WRITABLE is true, and KATO_BROWSER_DATA_DIR is not set; name a "
                "directory that lasts, for the trash and the audit log"
            )
        return None
    stores = StoresAtHand(
        kinds={kind.name: kind for part in parts for kind in part.kinds},
        containers={name: make for part in parts for name, make in part.containers.items()},
        of_containers={kind.name: kind for part in parts for kind in part.of_containers},
    )
    try:
        journal = Journal(settings.browser_data_dir)
    except JournalError as error:
        raise ValueError(f"KATO_BROWSER_DATA_DIR (--browser-data-dir): {error}") from error
    operations = Operations(journal)
    runner = Runner(operations, stores, metrics.count_write)
    runner.recover()
    janitor = Janitor(operations)
    janitor.start()
    desk = Desk(operations, runner, stores, writable=settings.browser_writable)
    return Writing(journal, runner, janitor, desk)


def _records_pages(writing: Writing | None, rows: int) -> list[Blueprint]:
    if writing is None:
        return [no_records_pages()]
    return [
        records_pages(writing.desk, page_rows=rows),
        audit_pages(writing.journal, page_rows=rows),
    ]


def _redis(settings: BrowserSettings) -> Part:
    if settings.redis_url is None:
        return _absent("Redis", "KATO_REDIS_URL", "/sessions", "/redis")
    connection = RedisConnection(
        settings.redis_url, timeout=settings.store_timeout, client_name=_NAME
    )
    keys = RedisKeys(connection)
    sessions = SessionRecords(connection, seconds=settings.browser_query_timeout)
    key_records = RedisKeyRecords(connection)
    rows = settings.browser_page_rows
    return Part(
        name="Redis",
        pages=(
            lambda _: sessions_pages(sessions, page_rows=rows),
            lambda _: redis_pages(keys, page_rows=rows),
            lambda desk: redis_edit_pages(key_records, desk),
            lambda desk: redis_found_pages(sessions, keys, desk),
        ),
        kinds=(key_records, RedisSessionRecords(connection)),
        places=(Place("Sessions", "/sessions"), Place("Redis", "/redis")),
        subjects=(
            Subject(
                title="Sessions",
                store="redis",
                address=connection.address,
                links=(("Sessions", "/sessions"), ("Redis and its keys", "/redis")),
                figures=lambda: _redis_figures(keys),
            ),
        ),
        close=connection.close,
    )


def _redis_figures(keys: RedisKeys) -> list[Figure]:
    told = keys.server()
    fields = {name: value for section in told.sections for name, value in section.fields}
    memory = fields.get("used_memory", "")
    return [
        Figure("version", fields.get("valkey_version") or fields.get("redis_version"), "text"),
        Figure("keys of any kind", told.keys),
        Figure("memory", int(memory) if memory.isdecimal() else None, "bytes"),
    ]


def _mongodb(settings: BrowserSettings) -> Part:
    if settings.mongo_url is None:
        return _absent("MongoDB", "KATO_MONGO_URL", "/kb")
    connection = MongoConnection(
        settings.mongo_url,
        timeout=settings.store_timeout,
        query_timeout=settings.browser_query_timeout,
        name=_NAME,
    )
    knowledge, patterns = MongoKnowledge(connection), MongoPatterns(connection)
    documents = MongoDocuments(connection)
    records = mongodb_records(connection)
    rows = settings.browser_page_rows
    return Part(
        name="MongoDB",
        pages=(
            lambda _: knowledge_pages(knowledge, patterns, page_rows=rows),
            lambda _: patterns_pages(patterns, knowledge, page_rows=rows),
            lambda _: documents_pages(documents, page_rows=rows),
            lambda desk: knowledge_edit_pages(records.documents, records.patterns, desk),
            lambda desk: knowledge_found_pages(patterns, documents, desk),
        ),
        kinds=(records.documents, records.patterns),
        containers={"knowledge base": records.knowledge_base},
        of_containers=(records.of_knowledge_bases,),
        places=(Place("Knowledge", "/kb"),),
        subjects=(
            Subject(
                title="Knowledge",
                store="mongodb",
                address=connection.address,
                links=(("Knowledge bases", "/kb"),),
                figures=lambda: _knowledge_figures(connection),
            ),
        ),
        close=connection.close,
    )


def _knowledge_figures(connection: MongoConnection) -> list[Figure]:
    with connection.asking() as client:
        version = client.server_info()["version"]
        listed = client.admin.command("listDatabases")
    names = {database["name"] for database in listed["databases"]}
    return [
        Figure("version", version, "text"),
        Figure("databases", len(names - SYSTEM_DATABASES)),
        Figure("on disk", listed.get("totalSize"), "bytes"),
    ]


def _qdrant(settings: BrowserSettings) -> Part:
    if settings.qdrant_url is None:
        return _absent("Qdrant", "KATO_QDRANT_URL", "/qdrant")
    store = QdrantStore(
        settings.qdrant_url,
        timeout=settings.store_timeout,
        query_timeout=settings.browser_query_timeout,
        api_key=settings.qdrant_api_key,
    )
    writing = QdrantWriting(
        settings.qdrant_url,
        timeout=settings.browser_query_timeout,
        api_key=settings.qdrant_api_key,
    )
    points = QdrantRecords(writing)
    return Part(
        name="Qdrant",
        pages=(
            lambda _: qdrant_pages(store, page_rows=settings.browser_page_rows),
            lambda desk: qdrant_edit_pages(points, desk),
            lambda desk: qdrant_found_pages(store, desk),
        ),
        kinds=(points,),
        containers={"collection": lambda name: QdrantCollection(writing, points, name)},
        places=(Place("Vectors", "/qdrant"),),
        subjects=(
            Subject(
                title="Vectors",
                store="qdrant",
                address=store.address,
                links=(("Collections", "/qdrant"),),
                figures=lambda: _qdrant_figures(store, settings.store_timeout),
            ),
        ),
        close=lambda: _close_both(store, writing),
    )


def _close_both(store: QdrantStore, writing: QdrantWriting) -> None:
    store.close()
    writing.close()


def _qdrant_figures(store: QdrantStore, patience: float) -> list[Figure]:
    deadline = Deadline.after(patience)
    return [
        Figure("version", store.version(deadline), "text"),
        Figure("collections", len(store.collections(deadline))),
    ]


def _absent(title: str, setting: str, *paths: str) -> Part:
    """Answer for the pages of a store that is not configured."""
    pages = Blueprint(f"no_{title.lower()}", __name__)

    def absent(below: str = "") -> Response:
        del below
        return abort(404, f"{title} is not configured; set {setting} and start the browser again.")

    for path in paths:
        pages.add_url_rule(path, view_func=absent)
        pages.add_url_rule(f"{path}/<path:below>", view_func=absent)
    return Part(name=title, pages=(lambda _: pages,))
