"""The ways into MongoDB: the accounts of docs/mongodb-account.md."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from kato_exporter.collectors.mongodb import MongoCollector
from kato_exporter.demo.servers import LOOPBACK, Server, start_mongod
from kato_exporter.demo.shapes import INDEXES, Document
from kato_exporter.kato.knowledge import METADATA, PATTERNS, PREDICTIONS, SYMBOLS
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import StoreError
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.knowledge import MongoKnowledge
from kato_exporter.stores.mongodb.store import MongoStore
from support.exporting import RunningExporter, exporters
from support.servers import started
from support.waiting import eventually

DOCUMENT = Path(__file__).parents[2] / "docs" / "mongodb-account.md"
PASSWORD = "s3cret-word"
PATIENCE = 10.0
KBS = ("alice_kato", "bob_kato")
LATER = "zoe_kato"
ACCOUNTS = ("everything", "built-in", "knowledge", "named", "server")
STORE_SERIES = (
    *("kato_mongodb_", "kato_knowledge", "kato_kb_", "kato_pattern", "kato_symbol"),
    *("kato_predictions", "kato_totals_"),
)

Commands = list[dict[str, Any]]


def account(name: str) -> Commands:
    """Read an account out of the document: the commands that an administrator runs."""
    blocks = re.findall(
        rf"^```javascript {name}\n(.+?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL
    )
    assert 1 == len(blocks), f"{DOCUMENT.name} has no single block `javascript {name}`"
    commands = re.findall(r"^db\.adminCommand\((.+?)^\}\)$", blocks[0], re.MULTILINE | re.DOTALL)
    return [json.loads(command.replace("PASSWORD", PASSWORD) + "}") for command in commands]


def promised() -> dict[str, tuple[set[str], set[str]]]:
    """Read the table of the document: by account what is missing, and which collectors fail."""
    rows = re.findall(r"^\| `([a-z-]+)` \|([^|]*)\|([^|]*)\|$", DOCUMENT.read_text(), re.MULTILINE)
    return {
        name: (set(re.findall(r"`([^`]+)`", lost)), set(re.findall(r"`([^`]+)`", fails)))
        for name, lost, fails in rows
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a replica set of one member that asks for a password, with knowledge."""
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
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[MongoClient[Document]]:
    """Give a client with all rights, of a server with two knowledge bases and without accounts."""
    with MongoClient[Document](
        server.url, directConnection=True, username="root", password=PASSWORD
    ) as client:
        remove_account(client)
        client.drop_database(LATER)
        for kb in KBS:
            client.drop_database(kb)
            fill(client, kb)
        yield client


def remove_account(client: MongoClient[Document]) -> None:
    """Remove the exporter's user and role, where there are any."""
    for user in client.admin.command("usersInfo", "exporter")["users"]:
        client.admin.command("dropUser", user["user"])
    for role in client.admin.command("rolesInfo", "katoExporter")["roles"]:
        client.admin.command("dropRole", role["role"])


def fill(client: MongoClient[Document], kb: str) -> None:
    """Make a knowledge base with something of every kind."""
    for collection in (PATTERNS, SYMBOLS):
        client[kb][collection].create_indexes(INDEXES[collection])
        client[kb][collection].insert_one({"name": "0" * 40, "frequency": 3, "length": 2})
    client[kb][METADATA].insert_one({"class": "totals", "total_pattern_frequencies": 3})
    client[kb][PREDICTIONS].insert_one({})


def make_user(server: Server, client: MongoClient[Document], commands: Commands) -> str:
    """Make the exporter's user, and give the URL with it."""
    for command in commands:
        client.admin.command(command)
    return (
        f"mongodb://exporter:{PASSWORD}@{LOOPBACK}:{server.port}/?authSource=admin&replicaSet=rs0"
    )


def whole(running: RunningExporter) -> bool:
    """Tell whether every collector has succeeded."""
    return {1} == set(running.scrape().by("collector", "kato_exporter_collector_success").values())


def names(running: RunningExporter) -> set[str]:
    """Give the names of MongoDB's series."""
    return {name for name, _ in running.scrape().under(STORE_SERIES)}


def questions(url: str) -> dict[str, str]:
    """Ask whatever the exporter asks; give what did not work, and why."""
    connection = MongoConnection(url, timeout=PATIENCE, query_timeout=PATIENCE)
    knowledge = MongoKnowledge(connection)
    kb = KBS[0]
    with closing(MongoStore(connection)) as store:
        asked: dict[str, Callable[[], object]] = {
            "serverStatus": lambda: store.server_status(Deadline.after(PATIENCE)),
            "replSetGetStatus": lambda: store.members(Deadline.after(PATIENCE)),
            "knowledge bases": knowledge.knowledge_bases,
            "documents": lambda: knowledge.documents(kb),
            "size": lambda: knowledge.size(kb),
            "totals": lambda: knowledge.totals(kb),
            "top": lambda: knowledge.top_patterns(kb, 3),
            "frequencies": lambda: knowledge.frequency_distribution(kb),
            "lengths": lambda: knowledge.length_distribution(kb),
            "symbols": lambda: knowledge.symbol_occurrences(kb),
        }
        lacking = {}
        for name, question in asked.items():
            try:
                question()
            except StoreError as error:
                lacking[name] = str(error)
        return lacking


@pytest.mark.parametrize("name", ["everything", "built-in"])
def test_both_accounts_for_everything_serve_everything(
    server: Server, client: MongoClient[Document], tmp_path: Path, name: str
) -> None:
    """An exporter with exactly this account lacks nothing, in a later knowledge base neither."""
    url = make_user(server, client, account(name))
    with exporters(tmp_path) as start:
        running = start(
            KATO_MONGO_URL=url, KATO_KNOWLEDGE_INTERVAL="200ms", KATO_PATTERNS_INTERVAL="200ms"
        )
        eventually(lambda: whole(running), within=PATIENCE, what="everything is collected")
        samples = running.scrape()
        assert {"serverStatus": 1, "replSetGetStatus": 1} == samples.by(
            "command", "kato_mongodb_permitted"
        )
        assert dict.fromkeys(KBS, 1) == samples.by("kb", "kato_patterns")
        fill(client, LATER)
        eventually(
            lambda: LATER in running.scrape().by("kb", "kato_patterns"),
            within=PATIENCE,
            what="the new knowledge base is seen",
        )
        assert whole(running)
    assert {} == questions(url)
    with closing(MongoStore(MongoConnection(url, timeout=5.0, query_timeout=5.0))) as store:
        assert () == store.report().lacking


def test_the_account_with_the_least_rights_reads_nothing_else(
    server: Server, client: MongoClient[Document]
) -> None:
    """Documents of other collections and every write are refused."""
    client["shop"]["orders"].insert_one({"secret": 1})
    url = make_user(server, client, account("everything"))
    with MongoClient[Document](url) as own:
        kb = own[KBS[0]]
        for forbidden in (
            own["shop"]["orders"].find_one,
            kb[PREDICTIONS].find_one,
            own["admin"]["system.users"].find_one,
            own["local"]["oplog.rs"].find_one,
            lambda: kb[PATTERNS].insert_one({}),
            lambda: kb[PATTERNS].delete_many({}),
            lambda: kb[PATTERNS].update_one({}, {"$set": {"a": 1}}),
            kb[PATTERNS].drop,
            lambda: own.drop_database(KBS[0]),
            lambda: own.admin.command("shutdown"),
        ):
            with pytest.raises(OperationFailure) as error:
                forbidden()
            assert 13 == error.value.code


def without_each_right(commands: Commands) -> Iterator[tuple[str, Commands]]:
    """Take the rights of the role away, one at a time."""
    for p, privilege in enumerate(commands[0]["privileges"]):
        for right in privilege["actions"]:
            fewer = copy.deepcopy(commands)
            fewer[0]["privileges"][p]["actions"].remove(right)
            fewer[0]["privileges"] = [each for each in fewer[0]["privileges"] if each["actions"]]
            yield f"{right} on {privilege['resource']}", fewer


def test_the_account_with_the_least_rights_has_none_too_many(
    server: Server, client: MongoClient[Document]
) -> None:
    """Each right by itself is needed: without it something does not work."""
    needless = []
    for right, commands in without_each_right(account("everything")):
        url = make_user(server, client, commands)
        if not questions(url):
            needless.append(right)
        remove_account(client)

    assert [] == needless


def missing_names(found: set[str], patterns: set[str]) -> set[str]:
    """Give the names that one of the patterns stands for; a permission shows always."""
    return {
        name
        for name in found - {"kato_mongodb_permitted"}
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


@pytest.mark.parametrize("name", ACCOUNTS)
def test_what_goes_missing_is_what_the_document_says(
    server: Server, client: MongoClient[Document], tmp_path: Path, name: str
) -> None:
    """Of the series of an exporter with all rights, exactly those; and these collectors fail."""
    lost, fails = promised()[name]
    for directory in (tmp_path / "all", tmp_path / "own"):
        directory.mkdir()
    root = server.url.replace("//", f"//root:{PASSWORD}@") + "/?replicaSet=rs0"
    with exporters(tmp_path / "all") as start:
        running = start(KATO_MONGO_URL=root)
        eventually(lambda: whole(running), within=PATIENCE, what="everything is collected")
        everything = names(running)
    url = make_user(server, client, account(name))
    with exporters(tmp_path / "own") as start:
        running = start(KATO_MONGO_URL=url)
        samples = running.scrape()
        assert everything - missing_names(everything, lost) == names(running)
        success = samples.by("collector", "kato_exporter_collector_success")
        assert fails == {collector for collector, whole in success.items() if not whole}
        assert 1 == samples.value("kato_store_up", store="mongodb")
        if name == "named":
            assert {KBS[0]} == samples.by("kb", "kato_patterns").keys()


def test_every_account_of_the_document_is_tried() -> None:
    """The table and the blocks speak of the same accounts."""
    blocks = re.findall(r"^```javascript (?!browser-)(.+)$", DOCUMENT.read_text(), re.MULTILINE)
    assert list(ACCOUNTS) == blocks == list(promised())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("knowledge", ("serverStatus", "replSetGetStatus")),
        ("server", ("knowledge bases",)),
    ],
)
def test_a_missing_right_is_told_by_the_report(
    server: Server, client: MongoClient[Document], name: str, told: tuple[str, ...]
) -> None:
    """One line each, with the role that permits it and the series that it costs."""
    url = make_user(server, client, account(name))
    with closing(MongoStore(MongoConnection(url, timeout=5.0, query_timeout=5.0))) as store:
        lacking = store.report().lacking

    assert len(told) == len(lacking)
    for begin, line in zip(told, lacking, strict=True):
        assert line.startswith(begin)
        assert "\n" not in line
        if name == "knowledge":
            assert "clusterMonitor" in line
            assert "kato_mongodb_" in line


def test_a_right_that_is_granted_later_is_used_at_once(
    server: Server, client: MongoClient[Document]
) -> None:
    """And one that is taken away is missed without a failure."""
    url = make_user(server, client, account("knowledge"))
    with closing(MongoStore(MongoConnection(url, timeout=5.0, query_timeout=5.0))) as store:
        collector = MongoCollector(store)

        def permitted() -> list[float]:
            collection = collector.collect(Deadline.after(5.0))
            assert () == tuple(collection.failures)
            [family] = [f for f in collection.families if f.name == "kato_mongodb_permitted"]
            return [sample.value for sample in family.samples]

        assert [0, 0] == permitted()
        client.admin.command("grantRolesToUser", "exporter", roles=["clusterMonitor"])
        assert [1, 1] == permitted()
        client.admin.command("revokeRolesFromUser", "exporter", roles=["clusterMonitor"])
        assert [0, 0] == permitted()
