"""Every query of the dashboards, asked of a real Prometheus that scrapes the demo's stores.

What the demo has not (containers, a replica set, a certificate, streams, a replica of Redis, what a
newer MongoDB tells) comes from a stub: series made from docs/metrics.md, so that at least names and
labels are held to it.
"""

import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import httpx
import pytest
from pymongo import MongoClient
from qdrant_client import QdrantClient
from qdrant_client.models import Filter
from redis import Redis, ResponseError

from kato_exporter.demo.kato_api_stub import kato_api_stub
from kato_exporter.demo.qdrant_stub import qdrant_stub
from kato_exporter.demo.run import prometheus_config
from kato_exporter.demo.servers import LOOPBACK, start_mongod, start_prometheus, start_valkey
from kato_exporter.demo.shapes import Document
from kato_exporter.demo.stub_server import serving
from kato_exporter.demo.workload import Workload
from kato_exporter.kato.knowledge import SYSTEM_DATABASES
from support.alert_rules import PROMETHEUS, exported_series
from support.dashboards import Asked, all_queries, annotation_queries, dashboards
from support.exporting import exporters
from support.servers import started
from support.waiting import eventually

PATIENCE = 40.0
STEPS_AT_ONCE = 20

NOT_IN_THE_DEMO = re.compile(
    r"kato_container_.*|kato_mongodb_(replica_set_member|opcounters_repl)_.*"
    r"|kato_mongodb_transactions_.*|kato_redis_(stream|master)_.*|kato_session_index_size"
    r"|kato_mongodb_connections_rejected_total|kato_exporter_web_.*|kato_redis_error_replies_by_error_total"
    r"|kato_browser_.*"
)
"""The series that the stub gives."""

LABEL_VALUES = {
    "kato_container_state": {"state": "running"},
    "kato_container_health": {"health": "healthy"},
    "kato_mongodb_replica_set_member_state": {"state": "PRIMARY"},
    "kato_browser_writes_total": {"result": "done"},
}

EMPTY_IN_THE_DEMO = {
    "instance:kato_sessions_active:predict4h": "asks for an hour of the past",
    "instance_kb:kato_patterns:predict1d": "asks for six hours of the past",
    "instance:kato_redis_used_memory_bytes:predict1d": "likewise",
}
"""Recording rules without data in so short a time; promtool's tests of the rules have them all."""

QUICK = {
    "KATO_SESSIONS_INTERVAL": "1s",
    "KATO_KNOWLEDGE_INTERVAL": "1s",
    "KATO_PATTERNS_INTERVAL": "1s",
    "KATO_QDRANT_INTERVAL": "1s",
    "KATO_API_INTERVAL": "1s",
    "KATO_REDIS_MANAGE_NOTIFICATIONS": "true",
}


Breaking = Callable[[], object]


class Asking:
    """A Prometheus that is asked, and the work that goes on meanwhile."""

    def __init__(
        self, client: httpx.Client, work: Callable[[], None], breaking: Mapping[str, Breaking]
    ) -> None:
        """Take a client of Prometheus, what is to be done between questions, and ways to break."""
        self._client = client
        self.work = work
        self.breaking = breaking

    def has_data(self, asked: Asked) -> bool:
        """Tell whether a query gives any value; its error fails the test."""
        return any(not math.isnan(value) for value in self.values(asked))

    def values(self, asked: Asked) -> list[float]:
        """Ask a query; its error fails the test."""
        response = self._client.post("/api/v1/query", data={"query": asked.plain})
        answer = response.json()
        assert "success" == answer["status"], (str(asked), answer)
        return [float(row["value"][1]) for row in answer["data"]["result"]]


def stubbed_series() -> str:
    """Give the exposition of the stub: counters go up, and everything else is 1."""
    lines = []
    for name, labels in exported_series().items():
        if NOT_IN_THE_DEMO.fullmatch(name):
            values = dict.fromkeys(sorted(labels), "stubbed") | LABEL_VALUES.get(name, {})
            goes_up = name.endswith(("_total", "_bucket"))
            for bound in ("0.1", "+Inf") if name.endswith("_bucket") else ("stubbed",):
                bounded = values | ({"le": bound} if "le" in values else {})
                braces = ",".join(f'{label}="{value}"' for label, value in bounded.items())
                lines.append(f"{name}{{{braces}}} {time.time() if goes_up else 1}")
    return "\n".join([*lines, ""])


def stub(_environment: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Serve the stub's exposition."""
    start_response("200 OK", [("Content-Type", "text/plain; version=0.0.4")])
    return [stubbed_series().encode()]


def quick_rules(directory: Path) -> Path:
    """Copy the rules, with all groups evaluated at the same short interval."""
    directory.mkdir()
    for path in (PROMETHEUS / "rules").glob("*.yml"):
        text = re.sub(r"(?m)^    interval: .+\n", "", path.read_text(encoding="utf-8"))
        (directory / path.name).write_text(text, encoding="utf-8")
    return directory


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """Give a Prometheus of the demo's stores and the stub, which it looks at every second."""
    directory = tmp_path_factory.mktemp("dashboards")
    with ExitStack() as parts:
        enter = parts.enter_context
        valkey = enter(
            started(lambda: start_valkey(directory / "valkey", arguments=("--maxmemory", "1gb")))
        )
        mongod = enter(started(lambda: start_mongod(directory / "mongodb")))
        redis = enter(Redis.from_url(valkey.url))
        mongo: MongoClient[Document] = enter(MongoClient(mongod.url))
        qdrant = QdrantClient(":memory:")
        parts.callback(qdrant.close)
        workload = Workload(redis, mongo, qdrant, seed=7)
        workload.fill()
        redis.bgsave()
        [collection, *_] = (each.name for each in qdrant.get_collections().collections)
        exporter = enter(exporters(directory))(
            KATO_REDIS_URL=valkey.url,
            KATO_MONGO_URL=mongod.url,
            KATO_QDRANT_URL=f"http://{LOOPBACK}:{enter(serving(qdrant_stub(qdrant)))}",
            KATO_API_URL=f"http://{LOOPBACK}:{enter(serving(kato_api_stub(redis, processors=3)))}",
            **QUICK,
        )
        config = json.loads(
            prometheus_config(
                exporter.url.removeprefix("http://"), rules=quick_rules(directory / "rules")
            )
        )
        config["global"] = dict.fromkeys(config["global"], "1s")
        config["scrape_configs"][0]["static_configs"][0]["targets"].append(
            f"{LOOPBACK}:{enter(serving(stub))}"
        )
        (directory / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")
        prometheus = enter(
            started(
                lambda: start_prometheus(directory / "prometheus", directory / "prometheus.yml")
            )
        )

        def work() -> None:
            for _ in range(STEPS_AT_ONCE):
                workload.step()
            redis.keys("kato:none:*")
            with pytest.raises(ResponseError):
                redis.execute_command("GET")

        def evict() -> None:
            redis.config_set("maxmemory-policy", "allkeys-random")
            redis.config_set("maxmemory", "1mb")

        [kb, *_] = set(mongo.list_database_names()) - SYSTEM_DATABASES
        yield Asking(
            enter(httpx.Client(base_url=prometheus.url, trust_env=False)),
            work,
            {
                "Sessions evicted": evict,
                "Patterns lost": lambda: mongo[kb]["patterns_kb"].delete_many({}),
                "Vectors lost": lambda: qdrant.delete(collection, Filter()),
                "Store outages": mongod.kill,
            },
        )


def test_every_query_has_data(asking: Asking) -> None:
    """Nothing is misspelt and nothing matches nothing, but for what is listed with its reason."""
    empty = {
        asked.plain: asked
        for asked in all_queries()
        if not set(asked.metrics) & set(EMPTY_IN_THE_DEMO)
    }
    assert len(empty) > 200

    def answered() -> bool:
        asking.work()
        for asked in [asked for asked in empty.values() if asking.has_data(asked)]:
            del empty[asked.plain]
        return not empty

    try:
        eventually(answered, within=PATIENCE, what="every query has data")
    except AssertionError as error:
        raise AssertionError("\n".join(map(str, empty.values()))) from error


def test_what_is_listed_as_empty_is_valid_and_empty(asking: Asking) -> None:
    """The list is no longer than it must be, and its queries are no errors."""
    listed = [a for a in all_queries() if set(a.metrics) & set(EMPTY_IN_THE_DEMO)]

    assert set(EMPTY_IN_THE_DEMO) == {m for a in listed for m in a.metrics} & set(EMPTY_IN_THE_DEMO)
    assert [] == [str(asked) for asked in listed if asking.has_data(asked)]


def test_what_breaks_leaves_a_mark(asking: Asking) -> None:
    """The marks of a healthy system are at 0; each rises when what it is for happens.

    Those of containers and of the record browser come from the stub.
    """
    marks = {
        asked.place.partition(" / mark ")[2]: asked
        for dashboard in dashboards()
        for asked in annotation_queries(dashboard)
    }
    stubbed = {"Container restarts", "Deploys", "Records changed"}
    assert set(marks) == set(asking.breaking) | stubbed

    for name, break_it in asking.breaking.items():
        assert {0.0} >= set(asking.values(marks[name])), name
        break_it()

        def rises(mark: Asked = marks[name]) -> bool:
            return max(asking.values(mark), default=0) > 0

        eventually(rises, within=PATIENCE, what=f"the mark {name}")
