"""The collector of MongoDB's server on real ones: alone, a replica set of one, behind faults."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.mongodb import MongoCollector
from kato_exporter.demo.servers import Server, start_mongod
from kato_exporter.demo.shapes import Document
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.store import MongoStore
from support.exporting import StartExporter
from support.exposition import Samples
from support.fault_proxy import FaultProxy
from support.servers import MongoServer, missing, started
from support.waiting import at_most, eventually

PATIENCE = 10.0
MEBIBYTE = 1024 * 1024


def opened(url: str, timeout: float = PATIENCE) -> MongoStore:
    """Open a server as the exporter does."""
    return MongoStore(MongoConnection(url, timeout=timeout, query_timeout=timeout))


def collected(url: str) -> Collection:
    """Collect once with a connection of its own."""
    with closing(opened(url)) as store:
        return MongoCollector(store).collect(Deadline.after(PATIENCE))


def samples_of(collection: Collection) -> dict[str, float]:
    """Give the samples by name and label values."""
    return {
        ",".join([sample.name, *sample.labels.values()]): sample.value
        for metric in collection.families
        for sample in metric.samples
    }


def initiate(server: Server) -> None:
    """Make a replica set of this one member, and wait until it is its primary."""
    with MongoClient[Document](server.url, directConnection=True) as client:
        members = [{"_id": 0, "host": f"127.0.0.1:{server.port}"}]
        client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
        eventually(
            lambda: client.admin.command("hello")["isWritablePrimary"],
            within=PATIENCE,
            what="the only member is primary",
        )


@pytest.fixture(scope="module")
def set_of_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a replica set of one member, which has fail points."""
    directory = tmp_path_factory.mktemp("rs0")
    arguments = ("--replSet", "rs0", "--setParameter", "enableTestCommands=1")
    with started(lambda: start_mongod(directory, arguments=arguments)) as server:
        initiate(server)
        yield server


EQUAL: dict[str, Callable[[Document], float]] = {
    "kato_mongodb_wiredtiger_cache_max_bytes": lambda status: status["wiredTiger"]["cache"][
        "maximum bytes configured"
    ],
    "kato_mongodb_tickets_available,read": lambda status: status["wiredTiger"][
        "concurrentTransactions"
    ]["read"]["available"],
    "kato_mongodb_documents_total,inserted": lambda status: status["metrics"]["document"][
        "inserted"
    ],
    "kato_mongodb_documents_total,deleted": lambda status: status["metrics"]["document"]["deleted"],
    "kato_mongodb_opcounters_total,insert": lambda status: status["opcounters"]["insert"],
    "kato_mongodb_opcounters_total,delete": lambda status: status["opcounters"]["delete"],
    "kato_mongodb_op_latencies_operations_total,writes": lambda status: status["opLatencies"][
        "writes"
    ]["ops"],
    "kato_mongodb_op_latencies_seconds_total,writes": lambda status: (
        status["opLatencies"]["writes"]["latency"] / 1e6
    ),
    "kato_mongodb_transactions_started_total": lambda status: status["transactions"][
        "totalStarted"
    ],
    "kato_mongodb_asserts_total,regular": lambda status: status["asserts"]["regular"],
}
"""What stands still on a server that nobody writes to."""

RISING: dict[str, Callable[[Document], float]] = {
    "kato_mongodb_uptime_seconds": lambda status: status["uptime"],
    "kato_mongodb_connections_created_total": lambda status: status["connections"]["totalCreated"],
    "kato_mongodb_network_in_bytes_total": lambda status: status["network"]["bytesIn"],
    "kato_mongodb_network_out_bytes_total": lambda status: status["network"]["bytesOut"],
    "kato_mongodb_network_requests_total": lambda status: status["network"]["numRequests"],
    "kato_mongodb_opcounters_total,command": lambda status: status["opcounters"]["command"],
    "kato_mongodb_page_faults_total": lambda status: status["extra_info"]["page_faults"],
    "kato_mongodb_wiredtiger_cache_written_bytes_total": lambda status: status["wiredTiger"][
        "cache"
    ]["bytes written from cache"],
}
"""What only goes up meanwhile."""


def test_every_figure_is_the_servers_own(mongo: MongoServer) -> None:
    """Between two answers that the test gets itself lies what the exporter shows."""
    mongo.client["shop"]["orders"].insert_many([{"n": n} for n in range(50)])
    mongo.client["shop"]["orders"].delete_many({"n": {"$lt": 7}})
    before = mongo.client.admin.command("serverStatus")
    found = samples_of(collected(mongo.url))
    after = mongo.client.admin.command("serverStatus")

    for name, own in EQUAL.items():
        assert own(before) == own(after) == pytest.approx(found[name]), name
    for name, own in RISING.items():
        assert own(before) <= found[name] <= own(after), name
    assert (
        1 <= found["kato_mongodb_connections_active"] <= found["kato_mongodb_connections_current"]
    )
    assert MEBIBYTE < found["kato_mongodb_mem_resident_bytes"]
    assert found["kato_mongodb_mem_resident_bytes"] < found["kato_mongodb_mem_virtual_bytes"]
    version = before["version"]
    assert 1 == found[f"kato_mongodb_info,{before['host']},{version},mongod,wiredTiger,,"]


def test_a_server_alone_is_in_no_replica_set(mongo: MongoServer) -> None:
    """It is not asked for one: that would count as an error of its users."""

    def errors() -> int:
        status = mongo.client.admin.command("serverStatus")
        return int(status["metrics"]["commands"]["replSetGetStatus"]["total"])

    before = errors()
    collection = collected(mongo.url)
    found = samples_of(collection)

    assert before == errors()
    assert [] == list(collection.failures)
    assert 1 == found["kato_mongodb_permitted,serverStatus"]
    assert not [name for name in found if "replica_set_member" in name or "replSet" in name]


@pytest.mark.parametrize("options", ["", "?replicaSet=rs0", "?directConnection=true"])
def test_a_replica_set_of_one_has_a_primary(set_of_one: Server, options: str) -> None:
    """However the URL leads to it."""
    collection = collected(f"{set_of_one.url}/{options}")
    found = samples_of(collection)
    name = f"127.0.0.1:{set_of_one.port}"
    states = {k: v for k, v in found.items() if "_member_state," in k}

    assert [] == list(collection.failures)
    assert {f"kato_mongodb_replica_set_member_state,{name},PRIMARY"} == {
        state for state, value in states.items() if value
    }
    assert 10 == len(states)
    assert 1 == found[f"kato_mongodb_replica_set_member_health,{name}"]
    assert [each for each in found if each.endswith(",mongod,wiredTiger,rs0,PRIMARY")]
    assert 1 == found["kato_mongodb_permitted,replSetGetStatus"]
    assert not [each for each in found if "_lag_" in each]


def test_a_set_that_nobody_has_initiated_is_none(tmp_path: Path) -> None:
    """A server that waits for its replica set is in none yet; it has its own statistics."""
    with (
        started(lambda: start_mongod(tmp_path, arguments=("--replSet", "rs0"))) as server,
        closing(opened(f"{server.url}/?directConnection=true")) as store,
    ):
        collection = MongoCollector(store).collect(Deadline.after(PATIENCE))

    found = samples_of(collection)
    assert [] == list(collection.failures)
    assert "kato_mongodb_uptime_seconds" in found
    assert not [each for each in found if "replica_set_member" in each]


@contextmanager
def failing(server: Server, command: str, code: int) -> Iterator[None]:
    """Let the server answer the exporter's command with an error."""
    data = {"failCommands": [command], "errorCode": code, "appName": "kato-exporter"}
    with MongoClient[Document](server.url) as client:
        client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)
        try:
            yield
        finally:
            client.admin.command("configureFailPoint", "failCommand", mode="off")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *((13, (0, 0)), (8000, (0, 0)), (59, (None, 0)), (115, (None, 0)), (76, (None, 0))),
        (50, (None, 1)),
    ],
)
@pytest.mark.parametrize(
    ("command", "lost"),
    [("serverStatus", "kato_mongodb_uptime_seconds"), ("replSetGetStatus", "replica_set_member")],
)
def test_a_refused_command_takes_only_its_own_series(
    set_of_one: Server, command: str, lost: str, code: int, expected: tuple[int | None, int]
) -> None:
    """It fails the collector only where it should have worked: 50 is a time limit."""
    other = {"serverStatus": "replSetGetStatus", "replSetGetStatus": "serverStatus"}[command]
    with failing(set_of_one, command, code):
        collection = collected(set_of_one.url)
    found = samples_of(collection)

    permitted = found.get(f"kato_mongodb_permitted,{command}")
    assert expected == (permitted, len(collection.failures))
    assert 1 == found[f"kato_mongodb_permitted,{other}"]
    assert not [name for name in found if lost in name]
    assert (5 if command == "serverStatus" else 50) < len(found)


def test_another_name_of_the_set_is_an_error_that_says_so(set_of_one: Server) -> None:
    """The name in the URL must be the set's own."""
    for url in (
        f"{set_of_one.url}/?replicaSet=other",
        f"{set_of_one.url}/?replicaSet=other&directConnection=true",
    ):
        with closing(opened(url, 1.0)) as store, pytest.raises(StoreError, match="other") as error:
            store.probe(Deadline.after(1.0))
        assert "\n" not in str(error.value)


def test_no_time_left_is_not_for_ever(mongo: MongoServer) -> None:
    """A deadline that has passed ends a question at once; pymongo takes 0 for no limit."""
    with FaultProxy(int(mongo.url.rpartition(":")[2])) as proxy:
        proxy.black_hole()
        url = f"mongodb://127.0.0.1:{proxy.port}"
        with closing(opened(url)) as store, at_most(1.0), pytest.raises(StoreError):
            store.probe(Deadline.after(0))


def test_an_answer_that_cannot_be_read_is_one_of_this_question(mongo: MongoServer) -> None:
    """Such as a date that Python does not have."""
    mongo.client["shop"]["orders"].insert_one({"date": DatetimeMS(2**62)})
    connection = MongoConnection(mongo.url, timeout=PATIENCE, query_timeout=PATIENCE)
    with (
        closing(connection),
        pytest.raises(QueryError, match="cannot be read") as error,
        connection.asking() as client,
    ):
        client["shop"]["orders"].find_one()
    assert "\n" not in str(error.value)


def test_a_lost_connection_is_not_seen(mongo: MongoServer) -> None:
    """A question whose connection was cut while nobody spoke is asked again."""
    with (
        FaultProxy(int(mongo.url.rpartition(":")[2])) as proxy,
        closing(opened(f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true")) as store,
    ):
        for _ in range(10):
            store.probe(Deadline.after(PATIENCE))
            proxy.cut()
            assert store.server_status(Deadline.after(PATIENCE)) is not None


FAULTS: dict[str, Callable[[FaultProxy], None]] = {
    "slow": lambda proxy: proxy.delay(60.0),
    "black hole": lambda proxy: proxy.black_hole(),
    "refused": lambda proxy: proxy.refuse(),
    "garbage": lambda proxy: proxy.garbage(),
    "cut short": lambda proxy: proxy.truncate(10),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_behind_a_fault_is_down_and_silent(
    mongo: MongoServer, exporter: StartExporter, fault: str
) -> None:
    """The scrape ends by its deadline, and shows nothing of MongoDB until it is back."""
    with FaultProxy(int(mongo.url.rpartition(":")[2])) as proxy:
        running = exporter(
            KATO_MONGO_URL=f"mongodb://127.0.0.1:{proxy.port}", KATO_STORE_TIMEOUT="1s"
        )
        assert has_mongodb(running.scrape())
        FAULTS[fault](proxy)
        for _ in range(2):
            with at_most(4.0):
                now = running.scrape(timeout=3.0)
            assert 0 == now.value("kato_store_up", store="mongodb")
            assert 0 == now.value("kato_exporter_collector_success", collector="mongodb")
            assert {} == now.under(("kato_mongodb_", "kato_knowledge"))
        proxy.heal()
        eventually(lambda: has_mongodb(running.scrape()), within=PATIENCE, what="MongoDB is back")


def has_mongodb(samples: Samples) -> bool:
    """Tell whether MongoDB is up, with what it says of itself."""
    return (
        samples.value("kato_store_up", store="mongodb") == 1
        and samples.value("kato_mongodb_uptime_seconds") is not None
    )


def test_promtool_finds_nothing_wrong(set_of_one: Server, exporter: StartExporter) -> None:
    """Names, types and helps are as Prometheus wants them."""
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("no promtool on the PATH")
    running = exporter(KATO_MONGO_URL=set_of_one.url)
    exposition = running.get().text
    assert "kato_mongodb_replica_set_member_state{" in exposition
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=exposition,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("", "") == (checked.stdout, checked.stderr)


def answered(url: str) -> dict[str, Any]:
    """Give what the store says of the knowledge that it names and lists."""
    connection = MongoConnection(url, timeout=PATIENCE, query_timeout=PATIENCE)
    try:
        with connection.asking() as client:
            return {
                "databases": client.list_database_names(),
                "collections": sorted(client["many"].list_collection_names()),
                "indexes": client["many"]["c000"].index_information(),
                "none": client["many"]["nothing"].index_information(),
                "version": client.admin.command("buildInfo")["version"],
            }
    finally:
        connection.close()


def test_names_come_as_the_driver_itself_gives_them(mongo: MongoServer) -> None:
    """Databases, more collections than one batch holds, indexes."""
    for n in range(150):
        mongo.client["many"].create_collection(f"c{n:03}")
    mongo.client["many"]["c000"].create_index([("frequency", -1), ("name", 1)], sparse=True)

    assert {
        "databases": mongo.client.list_database_names(),
        "collections": sorted(mongo.client["many"].list_collection_names()),
        "indexes": mongo.client["many"]["c000"].index_information(),
        "none": {},
        "version": mongo.client.server_info()["version"],
    } == answered(mongo.url)
