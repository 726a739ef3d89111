"""A replica set of three that loses its primary: the read preference of the URL decides."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pymongo import MongoClient

from kato_exporter.demo.servers import LOOPBACK, Server, start_mongod
from kato_exporter.demo.shapes import INDEXES, Document
from kato_exporter.kato.knowledge import METADATA, PATTERNS, SYMBOLS
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import StoreError
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.store import MongoStore
from support.exporting import StartExporter, exporters
from support.exposition import Samples
from support.servers import started
from support.waiting import at_most, eventually

PATIENCE = 30.0
TIMEOUT = 2.0
KB = "alice_kato"
MEMBER = "kato_mongodb_replica_set_member_"
QUICK = {
    "KATO_STORE_TIMEOUT": f"{TIMEOUT:g}s",
    "KATO_KNOWLEDGE_INTERVAL": "500ms",
    "KATO_PATTERNS_INTERVAL": "500ms",
}


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """Two members with data, of which only the first can be primary, and an arbiter."""

    first: Server
    second: Server
    arbiter: Server

    def url(self, options: str = "") -> str:
        """Give the URL of the members with data."""
        hosts = f"{name(self.first)},{name(self.second)}"
        return f"mongodb://{hosts}/?replicaSet=rs0{options}"

    @contextmanager
    def without_primary(self) -> Iterator[None]:
        """Kill the primary, as a crash would; start it again at the end, and wait for it."""
        self.first.kill()
        try:
            yield
        finally:
            self.first.start()
            self.until_primary()

    def until_primary(self) -> None:
        """Wait until the first member is primary and the second follows it."""
        with (
            MongoClient[Document](self.first.url, directConnection=True) as first,
            MongoClient[Document](self.second.url, directConnection=True) as second,
        ):
            eventually(
                lambda: (
                    first.admin.command("hello")["isWritablePrimary"]
                    and second.admin.command("hello")["secondary"]
                ),
                within=PATIENCE,
                what="the first member is primary, the second secondary",
            )


def name(server: Server) -> str:
    """Give the name of a member."""
    return f"{LOOPBACK}:{server.port}"


@pytest.fixture(scope="module")
def replica_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    """Start the three, with one knowledge base."""
    directory = tmp_path_factory.mktemp("rs0")
    arguments = ("--replSet", "rs0", "--oplogSize", "50")
    with ExitStack() as stack:
        first, second, arbiter = (
            stack.enter_context(
                started(lambda each=each: start_mongod(directory / each, arguments=arguments))  # type: ignore[misc]
            )
            for each in ("first", "second", "arbiter")
        )
        members = [
            {"_id": 0, "host": name(first)},
            {"_id": 1, "host": name(second), "priority": 0},
            {"_id": 2, "host": name(arbiter), "arbiterOnly": True},
        ]
        three = ReplicaSet(first, second, arbiter)
        with MongoClient[Document](first.url, directConnection=True) as client:
            client.admin.command(
                "replSetInitiate",
                {"_id": "rs0", "members": members, "settings": {"electionTimeoutMillis": 1000}},
            )
            three.until_primary()
            client.admin.command(
                "setDefaultRWConcern", defaultWriteConcern={"w": 1}, writeConcern={"w": 1}
            )
            for collection in (PATTERNS, SYMBOLS):
                client[KB][collection].create_indexes(INDEXES[collection])
                client[KB][collection].insert_one({"name": "0" * 40, "frequency": 3, "length": 2})
            client[KB][METADATA].insert_one({"class": "totals", "total_pattern_frequencies": 3})
            client.admin.command("fsync")  # a crash loses the metadata's counts of what came later
        with MongoClient[Document](
            second.url, directConnection=True, readPreference="secondaryPreferred"
        ) as client:
            eventually(
                lambda: client[KB][METADATA].find_one({}),
                within=PATIENCE,
                what="the second member has everything",
            )
        yield three
        for each in (first, second, arbiter):
            each.kill()  # asked to end, each would wait for the others


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[StartExporter]:
    """Give a function that starts exporters."""
    with exporters(tmp_path) as start:
        yield start


def states(samples: Samples) -> dict[str, str]:
    """Give each member's state."""
    return {
        dict(labels)["member"]: dict(labels)["state"]
        for (_, labels), value in samples.under((f"{MEMBER}state",)).items()
        if value == 1
    }


def asked(samples: Samples) -> str:
    """Give the state of the server that was asked."""
    [(_, labels)] = samples.under(("kato_mongodb_info",))
    return dict(labels)["replica_set_state"]


def whole(samples: Samples) -> bool:
    """Tell whether every collector has succeeded, and knowledge is there."""
    success = samples.by("collector", "kato_exporter_collector_success")
    return set(success.values()) == {1} and samples.value("kato_patterns", kb=KB) == 1


@pytest.mark.parametrize(
    ("options", "state"),
    [
        ("", "PRIMARY"),
        ("&readPreference=primaryPreferred", "PRIMARY"),
        ("&readPreference=secondaryPreferred", "SECONDARY"),
        ("&readPreference=secondary", "SECONDARY"),
    ],
)
def test_the_read_preference_says_who_is_asked(
    replica_set: ReplicaSet, exporter: StartExporter, options: str, state: str
) -> None:
    """For commands as for queries; every member is seen, with its state and its lag."""
    replica_set.until_primary()
    members = {
        name(replica_set.first): "PRIMARY",
        name(replica_set.second): "SECONDARY",
        name(replica_set.arbiter): "ARBITER",
    }
    running = exporter(KATO_MONGO_URL=replica_set.url(options), **QUICK)
    samples = running.scrape()

    def all_seen() -> bool:  # a member learns of the others by heartbeats
        nonlocal samples
        samples = running.scrape()
        return (state, members) == (asked(samples), states(samples))

    eventually(all_seen, within=PATIENCE, what=f"{state} is asked, and sees all members")
    assert dict.fromkeys(members, 1) == samples.by("member", f"{MEMBER}health")
    lags = samples.by("member", f"{MEMBER}lag_seconds")
    assert [name(replica_set.second)] == list(lags)
    assert 0 <= lags[name(replica_set.second)] < PATIENCE


@pytest.mark.parametrize(
    "options", ["&readPreference=secondaryPreferred", "&readPreference=nearest"]
)
def test_with_a_read_preference_a_lost_primary_costs_nothing(
    replica_set: ReplicaSet, exporter: StartExporter, options: str
) -> None:
    """From the kill on, each scrape has the store up, its statistics and the knowledge."""
    running = exporter(KATO_MONGO_URL=replica_set.url(options), **QUICK)
    eventually(lambda: whole(running.scrape()), within=PATIENCE, what="everything is collected")
    with replica_set.without_primary():
        down = name(replica_set.first)

        def seen_as_down() -> bool:
            with at_most(5.0):
                samples = running.scrape()
            assert 1 == samples.value("kato_store_up", store="mongodb")
            assert 1 == samples.value("kato_patterns", kb=KB)
            assert samples.value("kato_mongodb_uptime_seconds") is not None
            return states(samples).get(down) == "DOWN"

        eventually(seen_as_down, within=PATIENCE, what="the primary is seen as down")
        samples = running.scrape()
        assert "SECONDARY" == asked(samples)
        assert 0 == samples.value(f"{MEMBER}health", member=down)
        assert {} == samples.under((f"{MEMBER}lag",))
        began = samples.value(
            "kato_exporter_collector_last_success_timestamp_seconds", collector="patterns"
        )
        assert began is not None
        eventually(
            lambda: (
                began
                < (
                    running.scrape().value(
                        "kato_exporter_collector_last_success_timestamp_seconds",
                        collector="patterns",
                    )
                    or 0
                )
            ),
            within=PATIENCE,
            what="patterns are read without a primary",
        )
        assert whole(running.scrape())
    eventually(
        lambda: states(running.scrape()).get(down) == "PRIMARY",
        within=PATIENCE,
        what="the primary is back",
    )


def test_without_a_read_preference_a_lost_primary_is_a_store_that_is_down(
    replica_set: ReplicaSet, exporter: StartExporter
) -> None:
    """Nothing of MongoDB is shown, the log says why, and all is back with the primary."""
    running = exporter(KATO_MONGO_URL=replica_set.url(), **QUICK)
    eventually(lambda: whole(running.scrape()), within=PATIENCE, what="everything is collected")
    with replica_set.without_primary():

        def down() -> bool:
            with at_most(5.0):
                samples = running.scrape()
            return samples.value("kato_store_up", store="mongodb") == 0

        eventually(down, within=PATIENCE, what="the store is down")
        samples = running.scrape()
        assert 0 == samples.value("kato_store_up", store="mongodb")
        assert {} == samples.under(("kato_mongodb_", "kato_patterns", "kato_knowledge"))
        connection = MongoConnection(replica_set.url(), timeout=TIMEOUT, query_timeout=TIMEOUT)
        with closing(MongoStore(connection)) as store, at_most(2 * TIMEOUT):
            with pytest.raises(StoreError, match=r"has no primary.*secondaryPreferred") as error:
                store.probe(Deadline.after(TIMEOUT))
            assert "\n" not in str(error.value)
    eventually(lambda: whole(running.scrape()), within=PATIENCE, what="all is back")
    assert "PRIMARY" == asked(running.scrape())


def test_a_direct_connection_asks_this_member_and_no_other(replica_set: ReplicaSet) -> None:
    """A secondary answers for itself, with a primary and without one."""

    def state() -> str:
        url = f"{replica_set.second.url}/?directConnection=true"
        connection = MongoConnection(url, timeout=TIMEOUT, query_timeout=TIMEOUT)
        with closing(MongoStore(connection)) as store:
            store.probe(Deadline.after(TIMEOUT))
            status = store.server_status(Deadline.after(TIMEOUT))
            assert status is not None
            assert store.members(Deadline.after(TIMEOUT))
            assert name(replica_set.second) == status["repl"]["me"]
            assert () == store.report().lacking
            return "SECONDARY" if status["repl"]["secondary"] else "?"

    replica_set.until_primary()
    assert "SECONDARY" == state()
    with replica_set.without_primary():
        assert "SECONDARY" == state()


def test_the_same_server_is_asked_every_time(replica_set: ReplicaSet) -> None:
    """With two that are as near the counters are those of one, whoever is asked first."""
    replica_set.until_primary()
    url = replica_set.url("&readPreference=nearest&localThresholdMS=1000")
    connection = MongoConnection(url, timeout=5.0, query_timeout=5.0)
    hosts = set()
    with closing(MongoStore(connection)) as store:
        for _ in range(30):
            status = store.server_status(Deadline.after(5.0))
            assert status is not None
            hosts.add(status["repl"]["me"])
    assert 1 == len(hosts)
