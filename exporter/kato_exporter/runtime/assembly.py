"""Puts the exporter together from its settings."""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from kato_exporter.collectors.collector import Collector
from kato_exporter.collectors.knowledge import KnowledgeCollector
from kato_exporter.collectors.patterns import PatternsCollector
from kato_exporter.collectors.redis import RedisCollector
from kato_exporter.collectors.session_tracker import SessionTracker
from kato_exporter.collectors.session_values import SessionValuesCollector
from kato_exporter.collectors.sessions import SessionsCollector
from kato_exporter.runtime.runner import Runner
from kato_exporter.settings import Settings
from kato_exporter.stores.mongodb import MongoStore
from kato_exporter.stores.redis import RedisStore
from kato_exporter.stores.store import Store

_MOST_SCAN_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """Everything that the settings ask for, not yet started.

    A context manager: inside, the collectors run; at its end nothing of it is left.
    """

    stores: tuple[Store, ...]
    collectors: tuple[Collector, ...]
    runner: Runner
    tracker: SessionTracker | None

    def __enter__(self) -> Self:
        if self.tracker is not None:
            self.tracker.start()
        self.runner.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.runner.stop()
        if self.tracker is not None:
            self.tracker.stop()
        for store in self.stores:
            store.close()


def assemble(settings: Settings) -> Exporter:
    """Build the stores that have a URL, and the collectors that read them."""
    redis = _redis(settings)
    mongodb = _mongodb(settings)
    tracker = None
    collectors: list[Collector] = []
    if redis is not None:
        if "sessions" in settings.collectors:
            tracker = _tracker(redis, settings)
            collectors.append(SessionsCollector(tracker))
            if "session_values" in settings.collectors:
                collectors.append(
                    SessionValuesCollector(redis, tracker, most_nodes=settings.sessions_most_nodes)
                )
        if "redis" in settings.collectors:
            collectors.append(RedisCollector(redis))
    if mongodb is not None:
        if "knowledge" in settings.collectors:
            collectors.append(KnowledgeCollector(mongodb, most_kbs=settings.knowledge_most_kbs))
        if "patterns" in settings.collectors:
            collectors.append(
                PatternsCollector(
                    mongodb,
                    most_kbs=settings.knowledge_most_kbs,
                    most_patterns=settings.patterns_top,
                )
            )
    stores = tuple(store for store in (redis, mongodb) if store is not None)
    runner = Runner(
        stores,
        collectors,
        intervals={
            "session_values": settings.sessions_interval,
            "knowledge": settings.knowledge_interval,
            "patterns": settings.patterns_interval,
        },
        load_share=settings.load_share,
    )
    return Exporter(stores=stores, collectors=tuple(collectors), runner=runner, tracker=tracker)


def _redis(settings: Settings) -> RedisStore | None:
    if settings.redis_url is None:
        return None
    return RedisStore(settings.redis_url, timeout=settings.store_timeout)


def _mongodb(settings: Settings) -> MongoStore | None:
    if settings.mongo_url is None:
        return None
    return MongoStore(
        settings.mongo_url,
        timeout=settings.store_timeout,
        query_timeout=settings.query_timeout,
    )


def _tracker(store: RedisStore, settings: Settings) -> SessionTracker:
    return SessionTracker(
        store,
        interval=settings.sessions_interval,
        load_share=min(settings.load_share, _MOST_SCAN_SHARE),
        manage_notifications=settings.redis_manage_notifications,
        sample_size=settings.sessions_sample,
    )
