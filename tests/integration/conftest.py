"""Real servers for the tests, and the exporter as a child process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient
from redis import Redis

from kato_exporter.demo.servers import (
    Server,
    start_mongod,
    start_redis,
    start_valkey,
)
from kato_exporter.demo.shapes import Document
from support.docker_engine import DockerEngine, running_engine
from support.exporting import StartExporter, exporters
from support.servers import (
    MongoServer,
    RedisServer,
    empty_mongodb,
    empty_redis,
    refuse_used_mongodb,
    refuse_used_redis,
    serving,
    started,
)

ALLOW_FAIL_POINTS = ("--setParameter", "enableTestCommands=1")


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a Valkey 9 for all tests."""
    directory = tmp_path_factory.mktemp("valkey")
    with serving("KATO_TEST_VALKEY_URL", lambda: start_valkey(directory)) as url:
        refuse_used_redis("KATO_TEST_VALKEY_URL", url)
        yield url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a Redis 7 for all tests."""
    directory = tmp_path_factory.mktemp("redis")
    with serving("KATO_TEST_REDIS_URL", lambda: start_redis(directory)) as url:
        refuse_used_redis("KATO_TEST_REDIS_URL", url)
        yield url


@pytest.fixture(scope="session")
def mongo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a MongoDB for all tests."""
    directory = tmp_path_factory.mktemp("mongodb")
    with serving(
        "KATO_TEST_MONGO_URL", lambda: start_mongod(directory, arguments=ALLOW_FAIL_POINTS)
    ) as url:
        refuse_used_mongodb("KATO_TEST_MONGO_URL", url)
        yield url


@pytest.fixture
def valkey(valkey_url: str) -> Iterator[RedisServer]:
    """Give an emptied Valkey."""
    with Redis.from_url(valkey_url) as client:
        empty_redis(client)
        yield RedisServer(valkey_url, client)


@pytest.fixture
def redis7(redis_url: str) -> Iterator[RedisServer]:
    """Give an emptied Redis."""
    with Redis.from_url(redis_url) as client:
        empty_redis(client)
        yield RedisServer(redis_url, client)


@pytest.fixture
def mongo(mongo_url: str) -> Iterator[MongoServer]:
    """Give an emptied MongoDB."""
    with MongoClient[Document](mongo_url) as client:
        empty_mongodb(client)
        yield MongoServer(mongo_url, client)


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Server]:
    """Start a Valkey that the test may stop and kill."""
    with started(lambda: start_valkey(tmp_path / "valkey")) as server:
        yield server


@pytest.fixture
def own_mongod(tmp_path: Path) -> Iterator[Server]:
    """Start a MongoDB that the test may stop and kill."""
    with started(lambda: start_mongod(tmp_path / "mongodb")) as server:
        yield server


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[DockerEngine]:
    """Start an engine for all tests."""
    with running_engine() as engine:
        yield engine


@pytest.fixture
def engine(shared_engine: DockerEngine) -> Iterator[DockerEngine]:
    """Give the engine without containers."""
    yield shared_engine
    shared_engine.clear()


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[StartExporter]:
    """Give a function that starts exporters, see `exporters`."""
    with exporters(tmp_path) as start:
        yield start
