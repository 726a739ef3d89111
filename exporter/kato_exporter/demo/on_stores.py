"""The demo's workload on stores that run elsewhere: `python -m kato_exporter.demo.on_stores`.

The environment names them, as it does for the exporter: `KATO_REDIS_URL`, `KATO_MONGO_URL` and
`KATO_QDRANT_URL`. Their content is replaced, so they must be empty or this workload's own.
"""

import os
import signal
import sys
import threading

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ApiException
from redis import Redis, RedisError

from kato_exporter.demo.shapes import Document, vector_collection
from kato_exporter.demo.workload import NODES, Workload
from kato_exporter.kato.knowledge import SYSTEM_DATABASES, knowledge_base_of

_MARK = "kato_demo"
"""A database, and a key, that say that the content is the demo's."""

_COLLECTIONS = {vector_collection(knowledge_base_of(node))["collection_name"] for node in NODES}

_TIMEOUT_SECONDS = 5


class StoresInUseError(RuntimeError):
    """A store holds what is not the demo's."""


def work(redis: Redis, mongo: MongoClient[Document], qdrant: QdrantClient) -> Workload:
    """Empty the stores if they are the demo's, fill them, and give the workload to go on with.

    Raises `StoresInUseError` before anything is changed where one holds something and is not
    marked as the demo's.
    """
    databases = set(mongo.list_database_names()) - SYSTEM_DATABASES
    if databases and _MARK not in databases:
        raise StoresInUseError("MongoDB holds databases that are not the demo's")
    if redis.dbsize() and not redis.exists(_MARK):
        raise StoresInUseError("Redis holds keys that are not the demo's")
    collections = {each.name for each in qdrant.get_collections().collections}
    if collections - _COLLECTIONS:
        raise StoresInUseError("Qdrant holds collections that are not the demo's")
    mongo[_MARK]["mark"].replace_one({}, {}, upsert=True)
    redis.flushdb()
    redis.set(_MARK, "")
    for collection in collections:
        qdrant.delete_collection(collection)
    for database in databases - {_MARK}:
        mongo.drop_database(database)
    workload = Workload(redis, mongo, qdrant)
    workload.fill()
    return workload


def main() -> None:
    """Work until SIGTERM or Ctrl-C; end with one line and status 1 where a store refuses."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        redis_url, mongo_url, qdrant_url = (
            os.environ[f"KATO_{store}_URL"] for store in ("REDIS", "MONGO", "QDRANT")
        )
    except KeyError as missing:
        sys.exit(f"the workload needs {missing.args[0]}, the address of a store that it may empty")
    try:
        with (
            Redis.from_url(redis_url, socket_timeout=_TIMEOUT_SECONDS) as redis,
            MongoClient[Document](mongo_url, timeoutMS=_TIMEOUT_SECONDS * 1000) as mongo,
        ):
            qdrant = QdrantClient(qdrant_url, timeout=_TIMEOUT_SECONDS, check_compatibility=False)
            work(redis, mongo, qdrant).run(ended.wait)
    except (RedisError, PyMongoError, ApiException, StoresInUseError) as error:
        sys.exit(f"the workload ended: {error}")


if __name__ == "__main__":
    main()
