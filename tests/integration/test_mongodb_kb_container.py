"""A knowledge base that goes with all that it holds, and comes back as it was, on a real mongod."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from bson import ObjectId, encode
from pymongo import MongoClient
from pymongo.errors import WriteError

from kato_exporter.browser.knowledge.document_records import place_label, place_path
from kato_exporter.demo.shapes import Document
from kato_exporter.demo.workload import Workload
from kato_exporter.kato.knowledge import METADATA, PATTERNS, PREDICTIONS
from kato_exporter.stores.errors import NotChangeableError, QueryError
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.kb_container import (
    KnowledgeBaseContainer,
    KnowledgeBaseDocuments,
)
from kato_exporter.stores.mongodb.kb_description import written
from kato_exporter.stores.mongodb.places import place_of
from kato_exporter.stores.mongodb.writing import RAW
from kato_exporter.stores.records import Outcome, Snapshot
from support.servers import MongoServer, RedisServer

KB = "alice_kato"


@pytest.fixture
def connection(mongo: MongoServer) -> Iterator[MongoConnection]:
    """Connect to the emptied server as the browser does."""
    connection = MongoConnection(mongo.url, timeout=20, query_timeout=20)
    with closing(connection):
        yield connection


@pytest.fixture
def container(connection: MongoConnection) -> KnowledgeBaseContainer:
    """Give the knowledge base."""
    return opened(connection)


def opened(connection: MongoConnection, kb: str = KB) -> KnowledgeBaseContainer:
    """Give a knowledge base as a container."""
    kind = KnowledgeBaseDocuments(connection, label=place_label, path=place_path)
    return KnowledgeBaseContainer(connection, kb, kind)


@pytest.fixture
def learned(mongo: MongoServer, valkey: RedisServer) -> None:
    """Fill knowledge bases as KATO has them after some hours, and one more collection."""
    Workload(valkey.client, mongo.client, seed=5).fill()
    odd = mongo.client[KB].create_collection(
        "odd things",
        validator={"value": {"$type": "int"}},
        validationAction="warn",
        collation={"locale": "de", "strength": 1},
    )
    odd.insert_many([{"_id": "a", "value": 1}, {"_id": ObjectId(), "value": 2}])
    odd.create_index(
        [("text", "text"), ("value", -1)],
        name="odd index",
        sparse=True,
        collation={"locale": "simple"},
    )
    odd.create_index("at", expireAfterSeconds=3600, partialFilterExpression={"value": {"$gt": 5}})
    mongo.client[KB].create_collection("capped", capped=True, size=4096, max=7)
    mongo.client[KB].create_collection(
        "view", viewOn=PATTERNS, pipeline=[{"$match": {"frequency": {"$gt": 1}}}]
    )


def whole(client: MongoClient[Document], kb: str = KB) -> dict[str, Any]:
    """Give all collections with options, indexes and documents, byte for byte."""
    database = client[kb].with_options(codec_options=RAW)
    found = {}
    for each in client[kb].list_collections():
        name = each["name"]
        if name == "system.views":
            continue
        view = each["type"] == "view"
        found[name] = (
            each["options"],
            {} if view else client[kb][name].index_information(),
            sorted(bytes(document.raw) for document in database[name].find()),
        )
    return found


def empty(container: KnowledgeBaseContainer) -> list[Snapshot]:
    """Delete all records, and give them."""
    deleted: list[Snapshot] = []
    for locators in container.locators(100):
        assert len(locators) <= 100
        snapshots = [each for each in container.kind.read(locators) if each is not None]
        assert {Outcome.DONE} == set(container.kind.delete(snapshots))
        deleted += snapshots
    return deleted


@pytest.mark.usefixtures("learned")
def test_a_knowledge_base_goes_and_comes_back_as_it_was(
    mongo: MongoServer, container: KnowledgeBaseContainer
) -> None:
    """With indexes, options, a view, KATO's totals; and no other is touched."""
    before, other = whole(mongo.client), whole(mongo.client, "bob_kato")
    description = container.describe()
    assert description is not None
    assert (
        sum(len(documents) for _, _, documents in before.values()) - len(before["view"][2])
        == container.count()
    )
    assert not container.remove(), "it holds documents"
    assert before == whole(mongo.client)
    deleted = empty(container)
    assert METADATA == place_of(deleted[-1].locator).collection, "the totals go last"
    assert 0 == container.count()
    assert container.remove()
    assert KB not in mongo.client.list_database_names()
    assert container.describe() is None
    assert container.remove(), "asked twice"
    assert [] == list(container.locators(100))
    assert Outcome.DONE is container.make(description)
    assert Outcome.DONE is container.make(description), "asked twice"
    assert {Outcome.DONE} == set(container.kind.restore(deleted))
    found = whole(mongo.client)
    for name in before:
        assert before[name] == found[name], name
    assert before.keys() == found.keys()
    assert Outcome.TAKEN is container.make(description)
    assert other == whole(mongo.client, "bob_kato")


def test_twenty_thousand_documents_go_and_come_back(
    mongo: MongoServer, container: KnowledgeBaseContainer, record_property: Any
) -> None:
    """In portions; how fast is told, and bounded far above what it takes."""
    things = mongo.client[KB][PREDICTIONS]
    things.insert_many(
        [{"unique_id": f"obs-{n}", "predictions": [{"name": "x" * 40}] * 3} for n in range(20_000)]
    )
    before = whole(mongo.client)
    begun = time.monotonic()
    deleted: list[Snapshot] = []
    for locators in container.locators(1_000):
        snapshots = [each for each in container.kind.read(locators) if each is not None]
        assert {Outcome.DONE} == set(container.kind.delete(snapshots))
        deleted += snapshots
    record_property("seconds to delete", time.monotonic() - begun)
    assert 20_000 == len(deleted)
    assert 0 == things.estimated_document_count()
    assert {Outcome.DONE} == set(container.kind.restore(deleted))
    assert before == whole(mongo.client)
    assert time.monotonic() - begun < 120


@pytest.mark.usefixtures("learned")
def test_a_collection_without_its_documents_takes_none_while_it_goes(
    mongo: MongoServer, container: KnowledgeBaseContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What KATO learns right before stays, and KATO can go on; what it learns then is refused."""
    empty(container)
    drop: Any = KnowledgeBaseContainer.remove.__globals__["_holds_documents"]
    refused = []
    looks = []

    def look_and_learn(database: Any, collection: Any) -> bool:
        looks.append(collection.name)
        found = bool(drop(database, collection))
        if collection.name == PATTERNS and looks.count(PATTERNS) == 1:
            mongo.client[KB][PATTERNS].insert_one({"_id": 1, "name": "learned meanwhile"})
        if collection.name == PATTERNS and looks.count(PATTERNS) == 4:
            try:
                mongo.client[KB][PATTERNS].insert_one({"_id": 2})
            except WriteError as error:
                refused.append(error.code)
        return found

    module = "kato_exporter.stores.mongodb.kb_container._holds_documents"
    monkeypatch.setattr(module, look_and_learn)
    assert not container.remove()
    patterns = mongo.client[KB][PATTERNS]
    assert {"_id": 1, "name": "learned meanwhile"} == patterns.find_one()
    patterns.insert_one({"_id": 3, "name": "and goes on"})
    empty(container)
    assert container.remove()
    assert [121] == refused, "the code of a document that does not fit"
    assert KB not in mongo.client.list_database_names()


@pytest.mark.usefixtures("learned")
def test_one_that_was_half_removed_is_made_whole(
    mongo: MongoServer, container: KnowledgeBaseContainer
) -> None:
    """Also where a collection still refuses documents."""
    before = whole(mongo.client)
    description = container.describe()
    assert description is not None
    deleted = empty(container)
    mongo.client[KB].drop_collection("odd things")
    mongo.client[KB].drop_collection("view")
    mongo.client[KB].command("collMod", PATTERNS, validator={"$nor": [{}]})
    mongo.client[KB][PATTERNS].drop_index("name_1")
    assert Outcome.DONE is container.make(description)
    assert {Outcome.DONE} == set(container.kind.restore(deleted))
    found = whole(mongo.client)
    for name in before:
        assert before[name][1:] == found[name][1:], name


def test_what_is_there_again_is_not_overwritten(
    mongo: MongoServer, container: KnowledgeBaseContainer
) -> None:
    """A document, or a collection that the old one did not have."""
    mongo.client[KB].create_collection(PATTERNS)
    description = container.describe()
    assert description is not None
    mongo.client[KB].create_collection("new_kb")
    assert Outcome.TAKEN is container.make(description)
    mongo.client[KB].drop_collection("new_kb")
    mongo.client[KB][PATTERNS].insert_one({})
    assert Outcome.TAKEN is container.make(description)


@pytest.mark.parametrize("name", ["admin", "config", "local", "shop"])
def test_what_is_no_knowledge_base_is_refused(
    mongo: MongoServer, connection: MongoConnection, name: str
) -> None:
    """MongoDB's own databases and anybody else's."""
    mongo.client["shop"]["orders"].insert_one({})
    container = opened(connection, name)
    for ask in (container.describe, container.remove, lambda: list(container.locators(10))):
        with pytest.raises(NotChangeableError, match=name):
            ask()
    with pytest.raises(NotChangeableError, match=name):
        container.make(written([]))
    assert 1 == mongo.client["shop"]["orders"].estimated_document_count()


@pytest.mark.parametrize("name", ["", "a/b", "a b", "x" * 64, "gone", "\udcff", "a.b", "$"])
def test_there_is_no_knowledge_base_of_a_wrong_name(connection: MongoConnection, name: str) -> None:
    """Whatever a form sends."""
    assert opened(connection, name).describe() is None


@pytest.mark.parametrize("options", [{"timeseries": {"timeField": "at"}}], ids=["a time series"])
def test_what_could_not_be_made_again_is_refused(
    mongo: MongoServer, container: KnowledgeBaseContainer, options: dict[str, Any]
) -> None:
    """Then nothing goes."""
    mongo.client[KB].create_collection(PATTERNS)
    mongo.client[KB].create_collection("other", **options)
    with pytest.raises(QueryError, match="cannot be made again"):
        container.describe()
    with pytest.raises(QueryError):
        container.remove()
    assert PATTERNS in mongo.client[KB].list_collection_names()


def test_functions_of_the_server_are_refused(
    mongo: MongoServer, container: KnowledgeBaseContainer
) -> None:
    """They lie in `system.js`, which would go unseen."""
    mongo.client[KB].create_collection(PATTERNS)
    mongo.client[KB]["system.js"].insert_one({"_id": "f", "value": 1})
    with pytest.raises(QueryError, match="functions"):
        container.describe()


def test_documents_of_a_knowledge_base_are_not_edited(container: KnowledgeBaseContainer) -> None:
    """That kind is for what goes with a container."""
    with pytest.raises(QueryError, match="edited as what it is"):
        container.kind.replace(Snapshot(b"", b""), encode({}))


def test_large_documents_come_in_small_portions(
    mongo: MongoServer, container: KnowledgeBaseContainer
) -> None:
    """So that a portion can be held in memory."""
    for n in range(6):
        mongo.client[KB]["things_kb"].insert_one({"_id": n, "text": "x" * 9_000_000})
    portions = list(container.locators(100))
    assert [4, 2] == [len(portion) for portion in portions]
