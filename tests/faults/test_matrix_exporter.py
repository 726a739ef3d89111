"""Each store fails in each way: the exporter tells it in time, keeps the rest and comes back."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from redis import RedisError

from kato_exporter.demo.shapes import session_id, session_key
from support.docker_engine import DockerEngine
from support.exporting import RunningExporter, exporters
from support.exposition import Samples, Series
from support.leftovers import Held
from support.matrix import STORE_TIMEOUT, TOLD_BY_THE_COLLECTOR, Breakable, Fault, cell_id, cells
from support.matrix_page import PROMISES, Cell
from support.matrix_stores import (
    RedisSubject,
    running_docker,
    running_kato_api,
    running_subjects,
)
from support.records import fill
from support.waiting import eventually

PROMISE = PROMISES["exporter"]
INTERVAL = PROMISE.recovery - PROMISE.deadline
"""Seconds from one run to the next, of what runs on the schedule."""

PATIENCE = 30.0
POOLED = 6
"""Connections that the pools may hold more at one time than at another, by how questions overlap.

Each cell asks in vain more often than that, so that one left behind by each would be seen.
"""

SETTINGS = {
    "KATO_STORE_TIMEOUT": f"{STORE_TIMEOUT:g}s",
    "KATO_LOAD_SHARE": "1",
    "KATO_CONTAINERS": "kato*",
    **{
        f"KATO_{name}_INTERVAL": f"{INTERVAL:g}s"
        for name in ("SESSIONS", "REDIS_STREAMS", "KNOWLEDGE", "PATTERNS", "QDRANT", "API")
    },
}
SERIES_OF = {
    "redis": ("kato_session", "kato_redis_"),
    "mongodb": (
        *("kato_mongodb_", "kato_knowledge_", "kato_kb_", "kato_pattern", "kato_symbol"),
        *("kato_predictions", "kato_totals_"),
    ),
    "qdrant": ("kato_qdrant_",),
    "kato_api": ("kato_api_",),
    "docker": ("kato_container_",),
}
"""How the names of each store's series begin."""

OURS = ("kato_exporter_", "kato_store_up", "process_", "python_")
COUNTED = ("counter", "histogram")
OF_THE_SERVER = {"redis": "kato_redis_", "mongodb": "kato_mongodb_"}
"""How the counters of the servers themselves begin, which a restart sets to 0."""


@dataclass(slots=True)
class Scene:
    """An exporter on five stores.

    `names` are those of its series while all is well, and `at_rest` is the most that it may hold.
    `sessions` is how many have begun since its start; `counters` is what each counter was last.
    """

    running: RunningExporter
    stores: dict[str, Breakable]
    redis: RedisSubject
    names: set[str] = field(default_factory=set)
    at_rest: Held = field(default_factory=Held)
    sessions: int = 0
    counters: dict[Series, float] = field(default_factory=dict)
    longest: float = 0.0

    def scrape(self) -> Samples:
        """Scrape as Prometheus does: it must answer in time, and no counter may have gone down."""
        began = time.monotonic()
        answer = self.running.get(
            accept="application/openmetrics-text; version=1.0.0",
            x_prometheus_scrape_timeout_seconds=f"{PROMISE.deadline:g}",
        )
        took = time.monotonic() - began
        assert took < PROMISE.deadline
        self.longest = max(self.longest, took)
        families: list[Metric] = list(
            openmetrics.text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
        )
        self._assert_nothing_falls(
            Samples.of_families(each for each in families if each.type in COUNTED).values
        )
        return Samples.of_families(families)

    def begin_session(self) -> None:
        """Create a session, past the proxy; where Redis itself is at fault, none begins."""
        key = session_key(session_id(uuid4().hex, time.time()))
        with suppress(RedisError):
            self.redis.client.set(key, "{}", ex=600)
            self.sessions += 1

    def whole(self) -> Samples | None:
        """Scrape, and give it where nothing is missing and every session has been counted."""
        now = self.scrape()
        whole = (
            {1} == set(now.by("store", "kato_store_up").values())
            and {1} == set(now.by("collector", "kato_exporter_collector_success").values())
            and self.names <= names_of(now)
            and self.sessions == now.value("kato_sessions_created_total")
        )
        return now if whole else None

    def nothing_left(self) -> bool:
        """Tell whether the exporter holds no more than it does at rest."""
        return self.at_rest.most(Held.by(self.running.process)) == self.at_rest

    def forget_counters_of(self, server: str) -> None:
        """Let the counters that a server itself keeps begin anew."""
        prefix = OF_THE_SERVER[server]
        self.counters = {
            series: value
            for series, value in self.counters.items()
            if not series[0].startswith(prefix)
        }

    def _assert_nothing_falls(self, now: dict[Series, float]) -> None:
        fallen = {
            series: (self.counters[series], value)
            for series, value in now.items()
            if series in self.counters and value < self.counters[series]
        }
        assert {} == fallen
        self.counters |= now


def names_of(samples: Samples) -> set[str]:
    """Give the names of all series."""
    return {name for name, _ in samples.values}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Run five stores and an exporter, which has already seen all of them fail once."""
    directory = tmp_path_factory.mktemp("matrix")
    with ExitStack() as stack:
        three = stack.enter_context(running_subjects(directory))
        fill(three.redis.client, three.mongodb.client, three.qdrant.client)
        api = stack.enter_context(running_kato_api())
        docker = stack.enter_context(running_docker())
        scene = Scene(
            _start(stack, directory, three.redis, three.mongodb, three.qdrant, api, docker),
            {
                "redis": three.redis,
                "mongodb": three.mongodb,
                "qdrant": three.qdrant,
                "kato_api": api,
                "docker": docker,
            },
            three.redis,
        )
        _let_containers_count(scene, docker.engine)
        scene.begin_session()
        scene.names = names_of(eventually(scene.whole, within=PATIENCE, what="all is well"))
        _fill_pools(scene)
        yield scene


def _start(stack: ExitStack, directory: Path, *stores: Breakable) -> RunningExporter:
    start = stack.enter_context(exporters(directory))
    given = {name: value for store in stores for name, value in store.settings.items()}
    return start(**SETTINGS, **given)


def _let_containers_count(scene: Scene, engine: DockerEngine) -> None:
    """Have a container run and end, so that its counters are above 0."""
    eventually(
        lambda: scene.scrape().value("kato_container_events_connected") == 1,
        within=PATIENCE,
        what="events of containers are followed",
    )
    engine.run("kato-once", "true")
    eventually(
        lambda: scene.scrape().by("name", "kato_container_events_total", event="die")["kato-once"],
        within=PATIENCE,
        what="its end is counted",
    )


def _fill_pools(scene: Scene) -> None:
    """Let all stores fail at once, so that each pool of threads is full; then measure."""
    for store in scene.stores.values():
        store.proxy.black_hole()
    for _ in range(2):
        scene.scrape()
    for store in scene.stores.values():
        store.proxy.heal()
    eventually(scene.whole, within=PATIENCE, what="all is well again")
    held = Held.by(scene.running.process)
    scene.at_rest = Held(held.threads, held.files + POOLED)


def test_each_series_is_of_one_store(scene: Scene) -> None:
    """The prefixes below which series are looked for are those of all series that there are."""
    for name in scene.names:
        of = [store for store, prefixes in SERIES_OF.items() if name.startswith(prefixes)]
        assert len(of) == (0 if name.startswith(OURS) else 1), name
    for store, prefixes in SERIES_OF.items():
        assert [name for name in scene.names if name.startswith(prefixes)], store


@pytest.mark.parametrize(("store", "fault"), cells("exporter"), ids=cell_id)
def test_exporter_survives(scene: Scene, cell: Cell, store: str, fault: Fault) -> None:
    """Whatever happens to a store, it costs its own series and nothing else."""
    others = tuple(
        prefix for name, prefixes in SERIES_OF.items() if name != store for prefix in prefixes
    )
    stays_up = (store, fault.name) in TOLD_BY_THE_COLLECTOR
    expected = {each: int(each != store or stays_up) for each in SERIES_OF}
    before = eventually(scene.whole, within=PATIENCE, what="all is well")
    scene.begin_session()
    scene.longest = 0.0
    fault.begin(scene.stores[store])
    try:
        scene.begin_session()
        if stays_up:
            eventually(
                lambda: not scene.scrape().under(SERIES_OF[store]),
                within=PROMISE.recovery,
                what="the next look at it is in vain",
            )
        for _ in range(2):
            during = scene.scrape()
            up = during.by("store", "kato_store_up")

            assert expected == up
            assert {} == during.under(SERIES_OF[store])
            assert set() == before.under(others).keys() - during.values.keys()
    finally:
        if fault.name == "killed" and store in OF_THE_SERVER:
            scene.forget_counters_of(store)
        fault.end(scene.stores[store])
    answered = scene.longest
    began = time.monotonic()
    eventually(scene.whole, within=PROMISE.recovery, what="all is well again")
    cell.measured(answered, time.monotonic() - began)
    eventually(scene.nothing_left, within=PATIENCE, what="nothing is left behind")
