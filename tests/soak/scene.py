"""The demo's parts for a soak: stores, the exporter and the record browser behind fault proxies."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pymongo import MongoClient
from qdrant_client import QdrantClient
from redis import Redis

from kato_exporter.demo.kato_api_stub import kato_api_stub
from kato_exporter.demo.qdrant_stub import qdrant_stub
from kato_exporter.demo.servers import LOOPBACK, start_mongod, start_valkey
from kato_exporter.demo.shapes import Document
from kato_exporter.demo.stub_server import serving
from kato_exporter.demo.workload import NODES, Workload
from soak.weather import StoreName
from support.browsing import RunningBrowser, browsing
from support.exporting import RunningExporter, exporters
from support.fault_proxy import FaultProxy
from support.servers import started


@dataclass(frozen=True, slots=True)
class Scene:
    """A workload that goes to the stores directly, and those who see them through proxies."""

    workload: Workload
    mongo: MongoClient[Document]
    proxies: dict[StoreName, FaultProxy]
    exporter: RunningExporter
    browser: RunningBrowser


@contextmanager
def running_scene(directory: Path, *, seed: int) -> Iterator[Scene]:
    """Run it; Qdrant and KATO's API are stubs. Exporter and browser must end in order."""
    with ExitStack() as stack:
        valkey = stack.enter_context(started(lambda: start_valkey(directory / "valkey")))
        mongod = stack.enter_context(started(lambda: start_mongod(directory / "mongodb")))
        redis = stack.enter_context(Redis.from_url(valkey.url))
        mongo: MongoClient[Document] = stack.enter_context(MongoClient(mongod.url))
        qdrant = QdrantClient(":memory:")
        stack.callback(qdrant.close)
        workload = Workload(redis, mongo, qdrant, seed=seed)
        workload.fill()
        ports: dict[StoreName, int] = {
            "redis": valkey.port,
            "mongodb": mongod.port,
            "qdrant": stack.enter_context(serving(qdrant_stub(qdrant))),
            "kato_api": stack.enter_context(serving(kato_api_stub(redis, processors=len(NODES)))),
        }
        proxies = {
            store: stack.enter_context(FaultProxy(port, seed=seed)) for store, port in ports.items()
        }
        settings = {
            "KATO_REDIS_URL": f"redis://{LOOPBACK}:{proxies['redis'].port}/0",
            "KATO_MONGO_URL": f"mongodb://{LOOPBACK}:{proxies['mongodb'].port}",
            "KATO_QDRANT_URL": f"http://{LOOPBACK}:{proxies['qdrant'].port}",
        }
        start_exporter = stack.enter_context(exporters(directory))
        exporter = start_exporter(
            **settings,
            KATO_API_URL=f"http://{LOOPBACK}:{proxies['kato_api'].port}",
            KATO_REDIS_MANAGE_NOTIFICATIONS="true",
            KATO_SESSIONS_INTERVAL="5s",
            KATO_REDIS_STREAMS_INTERVAL="5s",
            KATO_KNOWLEDGE_INTERVAL="2s",
            KATO_PATTERNS_INTERVAL="5s",
            KATO_QDRANT_INTERVAL="5s",
            KATO_API_INTERVAL="5s",
            KATO_LOAD_SHARE="1",  # so that the intervals hold where a collection takes long
        )
        browser = stack.enter_context(browsing(directory / "browser", **settings))
        yield Scene(workload, mongo, proxies, exporter, browser)
