"""Changing records of MongoDB on a replica set, with accounts that may write, and that may not."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from pymongo import MongoClient

from kato_exporter.browser.knowledge.document_records import MongodbRecords, mongodb_records
from kato_exporter.demo.servers import LOOPBACK, Server, start_mongod
from kato_exporter.demo.shapes import INDEXES, Document
from kato_exporter.kato.knowledge import METADATA, PATTERNS, SYMBOLS
from kato_exporter.stores.mongodb.bson_elements import document_of, elements
from kato_exporter.stores.mongodb.connection import MongoConnection, NotPermittedError
from kato_exporter.stores.mongodb.learnings import TOTALS
from kato_exporter.stores.mongodb.places import Place
from kato_exporter.stores.records import Outcome, Snapshot
from support.bson_values import value_of
from support.servers import started
from support.waiting import eventually

KB = "alice_kato"
PASSWORD = "s3cret-word"
PATIENCE = 20.0
NAME = "0" * 40
ROLES: dict[str, list[object]] = {
    "writer": [{"role": "readWriteAnyDatabase", "db": "admin"}],
    "owner": [{"role": "readWriteAnyDatabase", "db": "admin"}, {"role": "dbAdmin", "db": KB}],
    "reader": [{"role": "readAnyDatabase", "db": "admin"}],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a replica set of one member that asks for a password."""
    directory = tmp_path_factory.mktemp("guarded")
    key = directory / "key"
    key.write_text("a2F0by1leHBvcnRlcg==")
    key.chmod(0o600)
    arguments = ("--auth", "--replSet", "rs0", "--keyFile", str(key))
    with started(lambda: start_mongod(directory, arguments=arguments)) as server:
        with MongoClient[Document](server.url, directConnection=True) as client:
            members = [{"_id": 0, "host": f"{LOOPBACK}:{server.port}"}]
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
            eventually(
                lambda: client.admin.command("hello")["isWritablePrimary"],
                within=PATIENCE,
                what="the only member is primary",
            )
            client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
        with as_root(server) as client:
            for name, roles in ROLES.items():
                client.admin.command("createUser", name, pwd=PASSWORD, roles=roles)
        yield server


def as_root(server: Server) -> MongoClient[Document]:
    """Connect as the administrator."""
    return MongoClient(server.url, username="root", password=PASSWORD, directConnection=True)


@pytest.fixture
def knowledge(server: Server) -> Iterator[MongoClient[Document]]:
    """Fill a knowledge base with one pattern."""
    with as_root(server) as client:
        client.drop_database(KB)
        for collection, indexes in INDEXES.items():
            if indexes:
                client[KB][collection].create_indexes(indexes)
        pattern = {
            "_id": 1,
            "name": NAME,
            "pattern_data": [["a", "b"]],
            "length": 2,
            "frequency": 3,
            "emotives": {},
            "metadata": {},
        }
        client[KB][PATTERNS].insert_one(pattern)
        client[KB][SYMBOLS].insert_many(
            [{"name": name, "frequency": 3, "pattern_member_frequency": 3} for name in "ab"]
        )
        totals = dict(zip(TOTALS, (3, 6, 6), strict=True))
        client[KB][METADATA].insert_one({"class": "totals", **totals})
        yield client


@contextmanager
def records_of(server: Server, user: str, *, options: str = "") -> Iterator[MongodbRecords]:
    """Open the records with an account."""
    url = server.url.replace("://", f"://{user}:{PASSWORD}@").rstrip("/")
    connection = MongoConnection(
        f"{url}/?authSource=admin&replicaSet=rs0{options}", timeout=PATIENCE, query_timeout=PATIENCE
    )
    with closing(connection):
        yield mongodb_records(connection)


def whole(client: MongoClient[Document]) -> dict[str, list[Document]]:
    """Give all documents of the knowledge base."""
    database = client[KB]
    names = sorted(database.list_collection_names())
    return {name: list(database[name].find().sort("_id")) for name in names}


def pattern_of(records: MongodbRecords) -> Snapshot:
    """Read the pattern."""
    [snapshot] = records.patterns.read([Place(KB, PATTERNS, value_of(1), NAME).locator])
    assert snapshot is not None
    return snapshot


@pytest.mark.parametrize("options", ["", "&readPreference=secondaryPreferred", "&w=1"])
def test_a_pattern_goes_and_comes_back_on_a_replica_set(
    server: Server, knowledge: MongoClient[Document], options: str
) -> None:
    """Whatever else the URL says, what is to be changed is read from the primary."""
    before = whole(knowledge)
    with records_of(server, "writer", options=options) as records:
        snapshot = pattern_of(records)
        assert [Outcome.DONE] == records.patterns.delete([snapshot])
        records.patterns.settle([snapshot], sign=-1, mark="a")
        records.patterns.forget([snapshot], mark="a")
        totals = knowledge[KB][METADATA].find_one({}, {"_id": False, "class": False})
        assert dict.fromkeys(TOTALS, 0) == totals
        assert [Outcome.DONE] == records.patterns.restore([snapshot])
        records.patterns.settle([snapshot], sign=1, mark="b")
        records.patterns.forget([snapshot], mark="b")
    assert before == whole(knowledge)


@pytest.mark.parametrize("user", ["writer", "owner"])
def test_a_knowledge_base_goes_and_comes_back(
    server: Server, knowledge: MongoClient[Document], user: str
) -> None:
    """An account that may read and write is enough."""
    before = whole(knowledge)
    with records_of(server, user) as records:
        kb = records.knowledge_base(KB)
        description = kb.describe()
        assert description is not None
        assert len(before[SYMBOLS]) + 2 == kb.count()
        deleted = []
        for locators in kb.locators(2):
            deleted += [each for each in kb.kind.read(locators) if each is not None]
        assert {Outcome.DONE} == set(kb.kind.delete(deleted))
        assert kb.remove()
        assert KB not in knowledge.list_database_names()
        assert Outcome.DONE is kb.make(description)
        assert {Outcome.DONE} == set(kb.kind.restore(deleted))
    assert before == whole(knowledge)


def test_an_account_that_only_reads_changes_nothing_and_is_told(
    server: Server, knowledge: MongoClient[Document]
) -> None:
    """Each way is refused by the server: nothing was done."""
    before = whole(knowledge)
    with records_of(server, "reader") as records:
        snapshot = pattern_of(records)
        fields = [(name, value) for name, value in elements(snapshot.content) if name != "metadata"]
        kb = records.knowledge_base(KB)
        description = kb.describe()
        assert description is not None
        for ask in (
            lambda: records.patterns.delete([snapshot]),
            lambda: records.patterns.replace(snapshot, document_of(fields)),
            lambda: records.patterns.settle([snapshot], sign=-1, mark="a"),
            lambda: records.patterns.forget([snapshot], mark="a"),
        ):
            with pytest.raises(NotPermittedError, match="not authorized"):
                ask()
        knowledge[KB][PATTERNS].delete_one({"_id": 1})
        with pytest.raises(NotPermittedError, match="not authorized"):
            records.patterns.restore([snapshot])
        knowledge[KB][PATTERNS].insert_one(before[PATTERNS][0])
        for collection in (PATTERNS, SYMBOLS, METADATA):
            knowledge[KB][collection].delete_many({})
        with pytest.raises(NotPermittedError, match="not authorized"):
            kb.remove()
        with pytest.raises(NotPermittedError, match="not authorized"):
            kb.make(description)
        assert set(before) == set(knowledge[KB].list_collection_names())
