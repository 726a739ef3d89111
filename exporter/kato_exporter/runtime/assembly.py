"""Puts the exporter together from its settings."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import structlog

from kato_exporter.collectors.collector import Collector
from kato_exporter.collectors.container_events import ContainerEventFollower
from kato_exporter.collectors.container_ledger import ContainerLedger
from kato_exporter.collectors.containers import ContainersCollector
from kato_exporter.collectors.kato_api import KatoApiCollector
from kato_exporter.collectors.knowledge import KnowledgeCollector
from kato_exporter.collectors.mongodb import MongoCollector
from kato_exporter.collectors.patterns import PatternLengthsCollector, PatternsCollector
from kato_exporter.collectors.qdrant import QdrantCollector
from kato_exporter.collectors.redis import RedisCollector
from kato_exporter.collectors.redis_streams import RedisStreamsCollector
from kato_exporter.collectors.session_tracker import SessionTracker
from kato_exporter.collectors.session_values import SessionValuesCollector
from kato_exporter.collectors.sessions import SessionsCollector
from kato_exporter.runtime.runner import Runner
from kato_exporter.settings import ExporterSettings
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.docker.store import DockerStore
from kato_exporter.stores.kato_api import KatoApiStore
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.knowledge import MongoKnowledge
from kato_exporter.stores.mongodb.store import MongoStore
from kato_exporter.stores.qdrant.store import QdrantStore
from kato_exporter.stores.redis.store import RedisStore
from kato_exporter.stores.store import Store

_log = structlog.get_logger("exporter")

_PATIENCE_AT_THE_END = 5.0


class Background(Protocol):
    """Something that follows a store in a thread of its own."""

    def start(self) -> None:
        """Begin to follow."""

    def stop(self) -> None:
        """End the thread."""

    def hurry(self) -> None:
        """Connect again at once, where that would still be waited for after a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A store, and what watches it."""

    store: Store
    collectors: tuple[Collector, ...]
    background: tuple[Background, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """Everything that the settings ask for, not yet started.

    A context manager: inside, the collectors run; at its end nothing of it is left.
    """

    stores: tuple[Store, ...]
    collectors: tuple[Collector, ...]
    background: tuple[Background, ...]
    runner: Runner

    def __enter__(self) -> Self:
        for follower in self.background:
            follower.start()
        self.runner.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        patience = Deadline.after(_PATIENCE_AT_THE_END)
        _all([self.runner.stop, *(follower.stop for follower in self.background)], patience)
        _all([store.close for store in self.stores], patience)


def _all(ends: Sequence[Callable[[], None]], patience: Deadline) -> None:
    """Do all at once, and leave alone what waits too long for a store that hangs."""
    threads = [threading.Thread(target=end, daemon=True) for end in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience.remaining)


def assemble(settings: ExporterSettings) -> Exporter:
    """Build the stores that have a URL, and the collectors that read them."""
    watches = [
        watch
        for build in (_redis, _mongodb, _qdrant, _kato_api, _docker)
        if (watch := build(settings)) is not None
    ]
    stores = tuple(watch.store for watch in watches)
    collectors = tuple(
        collector
        for watch in watches
        for collector in watch.collectors
        if collector.name in settings.collectors
    )
    return Exporter(
        stores=stores,
        collectors=collectors,
        background=tuple(follower for watch in watches for follower in watch.background),
        runner=Runner(
            stores,
            collectors,
            intervals={
                "session_values": settings.sessions_interval,
                "redis_streams": settings.redis_streams_interval,
                "knowledge": settings.knowledge_interval,
                "patterns": settings.patterns_interval,
                "pattern_lengths": settings.patterns_interval,
                "qdrant": settings.qdrant_interval,
                "kato_api": settings.api_interval,
            },
            load_share=settings.load_share,
            hurries={
                watch.store.name: [follower.hurry for follower in watch.background]
                for watch in watches
            },
        ),
    )


def _redis(settings: ExporterSettings) -> Watch | None:
    if settings.redis_url is None:
        return None
    store = RedisStore(settings.redis_url, timeout=settings.store_timeout)
    tracker = SessionTracker(
        store,
        interval=settings.sessions_interval,
        load_share=settings.load_share,
        manage_notifications=settings.redis_manage_notifications,
        sample_size=settings.sessions_sample,
    )
    tracked = {"sessions", "session_values"} & settings.collectors
    return Watch(
        store=store,
        collectors=(
            SessionsCollector(tracker),
            SessionValuesCollector(store, tracker, most_nodes=settings.sessions_most_nodes),
            RedisCollector(store),
            RedisStreamsCollector(store, load_share=settings.load_share),
        ),
        background=(tracker,) if tracked else (),
    )


def _mongodb(settings: ExporterSettings) -> Watch | None:
    if settings.mongo_url is None:
        return None
    connection = MongoConnection(
        settings.mongo_url, timeout=settings.store_timeout, query_timeout=settings.query_timeout
    )
    knowledge = MongoKnowledge(connection)
    most_kbs = settings.knowledge_most_kbs
    store = MongoStore(connection)
    return Watch(
        store=store,
        collectors=(
            MongoCollector(store),
            KnowledgeCollector(knowledge, most_kbs=most_kbs),
            PatternsCollector(knowledge, most_kbs=most_kbs, most_patterns=settings.patterns_top),
            PatternLengthsCollector(knowledge, most_kbs=most_kbs),
        ),
    )


def _qdrant(settings: ExporterSettings) -> Watch | None:
    if settings.qdrant_url is None:
        return None
    store = QdrantStore(
        settings.qdrant_url, timeout=settings.store_timeout, api_key=settings.qdrant_api_key
    )
    if store.tells_its_key:
        _log.warning(
            "the API key of Qdrant goes over the network unencrypted; use https",
            url=settings.qdrant_url,
        )
    most = settings.qdrant_most_collections
    return Watch(store=store, collectors=(QdrantCollector(store, most_collections=most),))


def _kato_api(settings: ExporterSettings) -> Watch | None:
    if settings.api_url is None:
        return None
    store = KatoApiStore(settings.api_url, timeout=settings.store_timeout)
    return Watch(store=store, collectors=(KatoApiCollector(store),))


def _docker(settings: ExporterSettings) -> Watch | None:
    if settings.docker_host is None:
        return None
    most = settings.docker_most_containers
    store = DockerStore(
        settings.docker_host,
        timeout=settings.store_timeout,
        most_at_once=most,
        cert_path=settings.docker_cert_path,
    )
    expected = settings.containers_expected or frozenset()
    choice = settings.containers.including(expected)
    follower = ContainerEventFollower(store, ContainerLedger(choice.matches, most_names=most))
    return Watch(
        store=store,
        collectors=(
            ContainersCollector(store, follower, choice, expected=expected, most_containers=most),
        ),
        background=(follower,) if "containers" in settings.collectors else (),
    )
