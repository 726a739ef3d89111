"""The demo's workload on stores that somebody else runs."""

import subprocess
import sys

import pytest
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, VectorParams

from kato_exporter.demo.on_stores import StoresInUseError, work
from kato_exporter.demo.servers import LOOPBACK, free_port
from kato_exporter.demo.workload import NODES
from kato_exporter.kato.knowledge import PATTERNS, SYSTEM_DATABASES, knowledge_base_of
from support.servers import MongoServer, RedisServer

KBS = {knowledge_base_of(node) for node in NODES}


@pytest.fixture
def qdrant() -> QdrantClient:
    """Give an empty Qdrant: the local mode of its client."""
    return QdrantClient(":memory:")


def content(valkey: RedisServer, mongo: MongoServer, qdrant: QdrantClient) -> tuple[object, ...]:
    """Give what the stores hold, in names and numbers."""
    databases = set(mongo.client.list_database_names()) - SYSTEM_DATABASES
    return (
        {name: mongo.client[name][PATTERNS].count_documents({}) for name in sorted(databases)},
        sorted(valkey.client.keys()),
        sorted(each.name for each in qdrant.get_collections().collections),
    )


def test_empty_stores_are_filled(
    valkey: RedisServer, mongo: MongoServer, qdrant: QdrantClient
) -> None:
    """Knowledge bases, sessions and collections as KATO has them, and a mark."""
    truth = work(valkey.client, mongo.client, qdrant).truth

    assert KBS | {"kato_demo"} == set(mongo.client.list_database_names()) - SYSTEM_DATABASES
    assert len(truth.sessions) + 1 == valkey.client.dbsize()
    assert {f"vectors_{kb}" for kb in KBS} == {
        each.name for each in qdrant.get_collections().collections
    }


def test_a_workload_that_starts_again_begins_anew(
    valkey: RedisServer, mongo: MongoServer, qdrant: QdrantClient
) -> None:
    """What the last one left is replaced, also where a store has lost it meanwhile."""
    work(valkey.client, mongo.client, qdrant)
    valkey.client.flushall()
    truth = work(valkey.client, mongo.client, qdrant).truth

    patterns, keys, collections = content(valkey, mongo, qdrant)
    assert {kb: len(of.patterns) for kb, of in truth.knowledge_bases.items()} | {
        "kato_demo": 0
    } == patterns
    assert len(truth.sessions) + 1 == len(keys)  # type: ignore[arg-type]
    assert len(KBS) == len(collections)  # type: ignore[arg-type]


@pytest.mark.parametrize("used", ["MongoDB", "Redis", "Qdrant"])
def test_a_store_in_use_is_not_touched(
    valkey: RedisServer, mongo: MongoServer, qdrant: QdrantClient, used: str
) -> None:
    """Whichever of the three holds something that is not the demo's, nothing at all is changed."""
    if used == "MongoDB":
        mongo.client["alice_kato"][PATTERNS].insert_one({"name": "a" * 40})
    elif used == "Redis":
        valkey.client.set("kato:session:session-1", "{}")
    else:
        size = VectorParams(size=4, distance=Distance.DOT)
        qdrant.create_collection("vectors_theirs", vectors_config=size)
    before = content(valkey, mongo, qdrant)

    with pytest.raises(StoresInUseError, match=used):
        work(valkey.client, mongo.client, qdrant)

    assert before == content(valkey, mongo, qdrant)


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [sys.executable, "-m", "kato_exporter.demo.on_stores"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_store_that_is_not_named_ends_the_program() -> None:
    """One line says which."""
    ended = run(KATO_REDIS_URL="redis://127.0.0.1:1/0")

    assert 1 == ended.returncode
    assert (
        "the workload needs KATO_MONGO_URL, the address of a store that it may empty\n"
        == ended.stderr
    )


def test_a_store_that_does_not_answer_ends_the_program(
    valkey: RedisServer, mongo: MongoServer
) -> None:
    """One line and status 1; the engine starts it again."""
    ended = run(
        KATO_REDIS_URL=valkey.url,
        KATO_MONGO_URL=mongo.url,
        KATO_QDRANT_URL=f"http://{LOOPBACK}:{free_port()}",
    )

    assert 1 == ended.returncode
    assert ended.stderr.startswith("the workload ended: ")
    assert 1 == ended.stderr.count("\n")
