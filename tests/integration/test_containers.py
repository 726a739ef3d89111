"""The containers of a real Docker Engine, as the exporter sees them."""

import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
import structlog
import trustme
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest

from kato_exporter.collectors.container_choice import ContainerChoice
from kato_exporter.demo.servers import LOOPBACK
from kato_exporter.runtime.assembly import Exporter, assemble
from kato_exporter.settings import ExporterSettings
from kato_exporter.stores.deadline import Deadline
from support.container_samples import value_of
from support.docker_engine import DockerEngine
from support.exposition import Samples
from support.fault_proxy import FaultProxy
from support.socket_proxy import OUR_PATHS, silent_socket, socket_proxy
from support.waiting import at_most, eventually

MIB = 2**20
IDLE = "sleep 3600"
PATIENCE = 60.0
_MOST_WINDOWS = 10
PRESENT = "kato_container_present"

pytestmark = [
    pytest.mark.timeout(60),
    # The SDK leaves the socket of a failed connection attempt to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket .* family=1,:ResourceWarning"),
]


class Watch:
    """An exporter in this process that watches an engine, and what it logs."""

    def __init__(self, exporter: Exporter, log: list[Any]) -> None:
        self.exporter = exporter
        self.log = log

    def scrape(self, seconds: float = 9.0) -> Samples:
        """Scrape once."""
        families = self.exporter.runner.scrape(Deadline.after(seconds), ["containers"])

        class Scraped:
            def collect(self) -> Iterator[Metric]:
                yield from families

        registry = CollectorRegistry()
        registry.register(Scraped())
        return Samples.of(generate_latest(registry).decode())

    def until(self, what: str, fulfilled: Callable[[Samples], bool]) -> Samples:
        """Scrape until something is seen, and give that scrape."""

        def fitting() -> Samples | None:
            found = self.scrape()
            return found if fulfilled(found) else None

        return eventually(fitting, within=PATIENCE, what=what)

    def follows(self) -> "Watch":
        """Wait until events are followed."""
        self.until("events are followed", found_connected)
        return self

    def logged(self, *words: str) -> bool:
        """Tell whether a line has all of these words."""
        return any(all(word in str(line) for word in words) for line in self.log)


def found_connected(found: Samples) -> bool:
    """Tell whether the follower was connected at a scrape."""
    return found.value("kato_container_events_connected") == 1


WatchHost = Callable[..., Watch]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchHost]:
    """Give a function that watches the engine at an address; KATO's names unless told otherwise."""
    monkeypatch.setattr("kato_exporter.collectors.container_events.reconnect_pause", lambda _: 0.1)
    with ExitStack() as stack, structlog.testing.capture_logs() as log:

        def start(host: str, containers: str = "kato*", **settings: Any) -> Watch:
            choice = ContainerChoice.parse(containers)
            exporter = assemble(ExporterSettings(docker_host=host, containers=choice, **settings))
            return Watch(stack.enter_context(exporter), log)

        yield start
    gc.collect()


def rates_over(watched: Watch, seconds: float) -> Callable[[str], float]:
    """Scrape at both ends of a window, and give what computes a counter's rate over it."""
    before, began = watched.scrape(), time.monotonic()
    time.sleep(seconds)
    after, ended = watched.scrape(), time.monotonic()

    def rate(metric: str) -> float:
        values = [value_of(each, metric, name="kato") for each in (before, after)]
        assert values[0] is not None
        assert values[1] is not None
        return (values[1] - values[0]) / (ended - began)

    return rate


@pytest.mark.alone
def test_cpu_time_of_half_a_core_is_half_a_second_a_second(
    engine: DockerEngine, watch: WatchHost
) -> None:
    """The rate is what the limit allows, and the time held back is seen.

    Where other work keeps the container from its half core, a later window is measured.
    """
    engine.run("kato", "while :; do :; done", nano_cpus=500_000_000)
    watched = watch(engine.host)
    watched.scrape()
    for _ in range(_MOST_WINDOWS):
        rate = rates_over(watched, seconds=4)
        if rate("cpu_usage_seconds_total") == pytest.approx(0.5, rel=0.05):
            break

    assert rate("cpu_usage_seconds_total") == pytest.approx(0.5, rel=0.05)
    assert rate("cpu_user_seconds_total") == pytest.approx(0.5, rel=0.1)
    assert rate("cpu_throttled_seconds_total") > 0.1


def test_the_working_set_is_what_a_container_holds(engine: DockerEngine, watch: WatchHost) -> None:
    """64 MiB held are 64 MiB; its limits are shown, and no limit makes no series."""
    holder = "dd if=/dev/zero of=/dev/shm/held bs=1M count=64 2>/dev/null; touch /tmp/held; " + IDLE
    engine.run("kato", holder, shm_size=128 * MIB, mem_limit=256 * MIB, pids_limit=20)
    engine.run("kato-free", IDLE)
    found = watch(engine.host).until(
        "the memory is held",
        lambda found: (value_of(found, "memory_usage_bytes", name="kato") or 0) > 64 * MIB,
    )
    working_set = value_of(found, "memory_working_set_bytes", name="kato")
    assert working_set == pytest.approx(64 * MIB, rel=0.05)
    assert found.by("name", "kato_container_memory_limit_bytes") == {"kato": 256 * MIB}
    assert found.by("name", "kato_container_pids_limit") == {"kato": 20}
    assert value_of(found, "pids", name="kato") == 1


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """Give a directory that is not in memory."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        yield Path(directory)


def test_a_file_that_is_read_is_usage_but_no_working_set(
    engine: DockerEngine, watch: WatchHost, on_disk: Path
) -> None:
    """Page cache that the kernel gives back first does not look like need.

    Several files, one after the other: a host may give cold pages back at once.
    """
    for number in range(4):
        past_the_cache = ("bs=1M", "count=200", "oflag=direct")  # or we are charged for its pages
        subprocess.run(
            ["/usr/bin/dd", "if=/dev/zero", f"of={on_disk}/{number}", *past_the_cache],
            check=True,
            capture_output=True,
        )
    reader = f"for file in /data/*; do wc -c $file; sleep 3; done; {IDLE}"
    engine.run("kato", reader, binds=[f"{on_disk}:/data:ro"], network="none")
    found = watch(engine.host).until(
        "the file has been read",
        lambda found: (value_of(found, "memory_usage_bytes", name="kato") or 0) > 200 * MIB,
    )
    working_set = value_of(found, "memory_working_set_bytes", name="kato")
    assert working_set is not None
    assert working_set < 20 * MIB


def test_bytes_over_a_network_are_counted_by_interface(
    engine: DockerEngine, watch: WatchHost
) -> None:
    """A megabyte sent is a megabyte and its headers, on both ends; without a network, no series."""
    size = 1_000_000
    with engine.network("kato-test") as network:
        server = engine.run("kato-server", f"{IDLE} | nc -l -p 9000 | wc -c", network=network)
        client = engine.run(
            "kato-client",
            f"while ! head -c {size} /dev/zero | nc kato-server 9000; do sleep 0.1; done; {IDLE}",
            network=network,
        )
        engine.run("kato-alone", IDLE)
        watched = watch(engine.host)
        name = "network_receive_bytes_total"
        found = watched.until(
            "the bytes have arrived",
            lambda found: (
                (value_of(found, name, name="kato-server", interface="eth0") or 0) >= size
            ),
        )
        received = value_of(found, name, name="kato-server", interface="eth0")
        sent = value_of(found, "network_transmit_bytes_total", name="kato-client", interface="eth0")
        assert received == pytest.approx(size, rel=0.1)
        assert sent == pytest.approx(size, rel=0.1)
        assert value_of(found, name, name="kato-alone", interface="eth0") is None
        for each in (server, client):
            engine.remove(each)


def test_health_goes_bad_and_good(engine: DockerEngine, watch: WatchHost) -> None:
    """Each turn of the health check is seen in its state, and counted as an event."""
    check = {
        "test": ["CMD", "/bin/test", "-e", "/ok"],
        "interval": 300_000_000,
        "timeout": 2_000_000_000,
        "retries": 1,
    }
    watched = watch(engine.host).follows()
    identity = engine.run("kato", IDLE, healthcheck=check)

    def healthy(found: Samples) -> list[str]:
        return [
            health
            for health in ("starting", "healthy", "unhealthy")
            if value_of(found, "health", name="kato", health=health)
        ]

    watched.until("it is unhealthy", lambda found: healthy(found) == ["unhealthy"])
    engine.execute(identity, "touch", "/ok")
    watched.until("it is healthy", lambda found: healthy(found) == ["healthy"])
    found = watched.until(
        "both turns have been told",
        lambda found: (
            (value_of(found, "events_total", name="kato", event="health_status") or 0) >= 2
        ),
    )
    assert value_of(found, "events_total", name="kato", event="die") == 0


def test_a_kill_for_want_of_memory_is_seen(engine: DockerEngine, watch: WatchHost) -> None:
    """The event is counted, and the container's end is put down to it."""
    watched = watch(engine.host).follows()
    engine.run("kato", "tail /dev/zero", mem_limit=16 * MIB, memswap_limit=16 * MIB)
    engine.run("kato-well", "true")
    found = watched.until(
        "the kill was told",
        lambda found: (
            value_of(found, "oom_killed", name="kato") == 1
            and value_of(found, "oom_killed", name="kato-well") == 0
        ),
    )
    assert value_of(found, "events_total", name="kato", event="oom") == 1
    assert value_of(found, "events_total", name="kato", event="die") == 1
    assert value_of(found, "state", name="kato", state="exited") == 1
    assert value_of(found, "cpu_usage_seconds_total", name="kato") is None


def test_two_restarts_between_two_scrapes_are_both_counted(
    engine: DockerEngine, watch: WatchHost
) -> None:
    """By command or by policy, each is one; the start time is the last one's."""
    watched = watch(engine.host).follows()
    by_command = engine.run("kato", IDLE)
    policy = {"Name": "on-failure", "MaximumRetryCount": 2}
    engine.run("kato-redis", "false", restart_policy=policy)
    before = time.time()
    for _ in range(2):
        engine.client.restart(by_command, timeout=0)
    found = watched.until(
        "all restarts were told, and the end that no restart follows",
        lambda found: (
            {"kato": 2, "kato-redis": 2} == found.by("name", "kato_container_restarts_total")
            and value_of(found, "events_total", name="kato-redis", event="die") == 3
        ),
    )
    assert value_of(found, "events_total", name="kato", event="restart") == 2
    started = value_of(found, "start_time_seconds", name="kato")
    assert started is not None
    assert before <= started <= time.time()


def test_the_start_before_ours_is_found_in_what_the_engine_remembers(
    engine: DockerEngine, watch: WatchHost
) -> None:
    """An exporter that starts late knows the start, and counts nothing that was before it."""
    began = time.time()
    identity = engine.run("kato", IDLE)
    engine.client.restart(identity, timeout=0)
    found = watch(engine.host).follows().scrape()
    started = value_of(found, "start_time_seconds", name="kato")
    assert started is not None
    assert began <= started <= time.time()
    assert value_of(found, "restarts_total", name="kato") == 0
    assert value_of(found, "events_total", name="kato", event="die") == 0


def test_a_pause_a_rename_and_a_removal_are_seen(engine: DockerEngine, watch: WatchHost) -> None:
    """No series of the old state or name is left, and what is expected is missed."""
    identity = engine.run("kato", IDLE)
    watched = watch(engine.host)
    assert value_of(watched.scrape(), "state", name="kato", state="running") == 1
    engine.client.pause(identity)
    paused = watched.scrape()
    assert value_of(paused, "state", name="kato", state="paused") == 1
    assert value_of(paused, "state", name="kato", state="running") == 0
    assert value_of(paused, "memory_usage_bytes", name="kato") is not None
    engine.client.unpause(identity)
    engine.client.rename(identity, "kato-new")
    renamed = watch(engine.host, "kato*", containers_expected=frozenset({"kato"})).scrape()
    assert renamed.by("name", PRESENT) == {"kato-new": 1, "kato": 0}
    assert renamed.by("name", "kato_container_pids") == {"kato-new": 1}
    engine.remove(identity)
    assert watched.scrape().by("name", PRESENT) == {}


def test_a_container_that_was_there_is_missed(engine: DockerEngine, watch: WatchHost) -> None:
    """A removed one is an alert and no gap, without any setting."""
    identity = engine.run("kato", IDLE)
    watched = watch(engine.host, "kato,kato-redis")
    assert watched.scrape().by("name", PRESENT) == {"kato": 1}
    engine.remove(identity)
    assert watched.scrape().by("name", PRESENT) == {"kato": 0}


def test_odd_names_and_labels_choose(engine: DockerEngine, watch: WatchHost) -> None:
    """Every character that the engine takes in a name passes; labels choose, whatever the name."""
    for name in ("0.Odd_Name-", "other", "x.." + "y" * 200):
        engine.run(name, IDLE, labels={"com.docker.compose.project": "kato"})
    engine.run("not-ours", IDLE)
    watched = watch(engine.host, "kato,label=com.docker.compose.project=kato")
    found = watched.scrape().by("name", "kato_container_pids")
    assert found == {"0.Odd_Name-": 1, "other": 1, "x.." + "y" * 200: 1}


@pytest.mark.alone
def test_containers_that_come_and_go_do_no_harm(engine: DockerEngine, watch: WatchHost) -> None:
    """While others appear and vanish every scrape is whole, and those that stay are in each."""
    engine.run("kato", IDLE)
    watched = watch(engine.host)
    stop = time.monotonic() + 5

    def churn(number: int) -> int:
        rounds = 0
        while time.monotonic() < stop:
            engine.remove(engine.run(f"kato-churn-{number}-{rounds}", IDLE))
            rounds += 1
        return rounds

    with ThreadPoolExecutor(2) as pool:
        churning = [pool.submit(churn, number) for number in range(2)]
        scrapes = []
        while time.monotonic() < stop:
            scrapes.append(watched.scrape())
        rounds = [each.result() for each in churning]
    assert min(rounds) >= 2
    for found in scrapes:
        assert found.value("kato_exporter_collector_success", collector="containers") == 1, (
            watched.log
        )
        assert value_of(found, "pids", name="kato") == 1


@pytest.mark.alone
def test_a_container_that_never_answers_costs_the_others_nothing(
    engine: DockerEngine, watch: WatchHost, tmp_path: Path
) -> None:
    """It keeps its state, the collection says what it lacks, and both come before the deadline."""
    engine.run("kato", IDLE)
    stuck = engine.run("kato-stuck", IDLE)
    with socket_proxy(tmp_path, engine.socket) as proxy:
        proxy.silent = stuck
        watched = watch(proxy.host)
        with at_most(2.5):
            found = watched.scrape(2.5)
    assert found.by("name", PRESENT) == {"kato": 1, "kato-stuck": 1}
    assert found.by("name", "kato_container_pids") == {"kato": 1}
    assert found.value("kato_exporter_collector_success", collector="containers") == 0
    assert watched.logged("no whole answer", "kato-stuck: no ")


@pytest.mark.alone
def test_fifty_containers_take_a_tick_and_overlapping_scrapes_share_it(
    engine: DockerEngine, watch: WatchHost, tmp_path: Path
) -> None:
    """All at once within 2.5 s; five scrapes at a time ask each container once."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: engine.run(f"kato-{n}", IDLE), range(50)))
    with socket_proxy(tmp_path, engine.socket) as proxy:
        watched = watch(proxy.host)
        began = time.monotonic()
        found = watched.scrape()
        took = time.monotonic() - began
        assert len(found.by("name", "kato_container_pids")) == 50
        assert took < 2.5
        proxy.asked.clear()
        with ThreadPoolExecutor(5) as pool:
            answers = list(pool.map(lambda _: watched.scrape(), range(5)))
    assert sum("/stats" in line for line in proxy.asked) == 50
    assert {len(each.by("name", "kato_container_pids")) for each in answers} == {50}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: engine.remove(each["Id"]), engine.client.containers(all=True)))


def test_a_socket_proxy_with_five_paths_is_enough(
    engine: DockerEngine, watch: WatchHost, tmp_path: Path
) -> None:
    """Nothing else is asked, so no environment variable is ever read; the report lacks nothing."""
    engine.run("kato", IDLE)
    with socket_proxy(tmp_path, engine.socket) as proxy:
        watched = watch(proxy.host).follows()
        found = watched.scrape()
        (store,) = watched.exporter.stores
        report = store.report()
    assert found.value("kato_exporter_collector_success", collector="containers") == 1
    assert value_of(found, "pids", name="kato") == 1
    assert proxy.refused == []
    assert report.lacking == ()
    assert report.version.startswith("Docker Engine ")


def test_without_the_right_to_events_the_rest_is_there(
    engine: DockerEngine, watch: WatchHost, tmp_path: Path
) -> None:
    """What events would tell is absent, and both the log and the report say why."""
    engine.run("kato", IDLE)
    with socket_proxy(tmp_path, engine.socket, allowed=OUR_PATHS[:-1]) as proxy:
        watched = watch(proxy.host)
        eventually(
            lambda: watched.logged("lost sight of container events", "403"),
            within=PATIENCE,
            what="a log line",
        )
        found = watched.scrape()
        (store,) = watched.exporter.stores
        lacking = store.report().lacking
    assert value_of(found, "pids", name="kato") == 1
    assert value_of(found, "restarts_total", name="kato") is None
    assert found.value("kato_container_events_connected") == 0
    assert len(lacking) == 1
    assert lacking[0].startswith("GET /events is refused")


def down(found: Samples) -> bool:
    """Tell whether a scrape shows the engine as down, with none of its other series."""
    return found.value("kato_store_up", store="docker") == 0 and not found.under(
        ("kato_container_",)
    )


def up(found: Samples) -> bool:
    """Tell whether a scrape shows the engine as up, and the container."""
    return (
        found.value("kato_store_up", store="docker") == 1
        and value_of(found, "pids", name="kato") == 1
    )


def test_an_engine_that_hangs_is_down_and_comes_back(
    engine: DockerEngine, watch: WatchHost
) -> None:
    """A scrape ends in time whatever the engine does, and events of the gap are counted."""
    identity = engine.run("kato", IDLE)
    with FaultProxy(engine.port) as proxy:
        watched = watch(f"tcp://{LOOPBACK}:{proxy.port}", store_timeout=0.5).follows()
        assert up(watched.scrape())
        proxy.black_hole()
        with at_most(3):
            assert down(watched.scrape(2.0))
        assert watched.logged("no whole answer", "no answer within")
        proxy.cut()
        engine.client.restart(identity, timeout=0)
        proxy.heal()
        watched.until("it is up again", up)
        found = watched.until(
            "the restart of the gap is counted",
            lambda found: value_of(found, "restarts_total", name="kato") == 1,
        )
        assert value_of(found, "events_total", name="kato", event="die") == 1
        assert watched.logged("answers again")


def test_an_engine_that_stops_is_down_and_comes_back(
    watch: WatchHost, shared_engine: DockerEngine
) -> None:
    """The log names the cause, and the container that the engine starts again counts."""
    del shared_engine  # it shows that an engine can be had
    with (
        tempfile.TemporaryDirectory(prefix="kato-") as directory,
        DockerEngine(Path(directory) / "engine") as own,
    ):
        own.run("kato", IDLE, restart_policy={"Name": "always"})
        watched = watch(own.host).follows()
        assert up(watched.scrape())
        own.server.stop(grace=10)
        assert down(watched.scrape())
        assert watched.logged("no whole answer", "docker", "Connection refused") or watched.logged(
            "no whole answer", "docker", "No such file"
        )
        own.server.start()
        watched.until("it is up again", up)
        watched.until(
            "its start by the engine counts",
            lambda found: value_of(found, "restarts_total", name="kato") == 1,
        )
        processes = own.processes
        assert len(processes) >= 3
    assert [each for each in processes if _runs(each)] == []


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_silent_socket_is_down_in_time(tmp_path: Path, watch: WatchHost) -> None:
    """An engine that takes connections and says nothing costs its time limit and no more."""
    with silent_socket(tmp_path) as path:
        watched = watch(f"unix://{path}", store_timeout=0.5)
        with at_most(2.5):
            assert down(watched.scrape(2.0))
        assert watched.logged("no whole answer", "no answer within 0.5 s")


def test_no_socket_is_down(tmp_path: Path, watch: WatchHost) -> None:
    """The log says in the system's words what is wrong."""
    watched = watch(f"unix://{tmp_path}/none.sock")
    assert down(watched.scrape())
    assert watched.logged("no whole answer", "No such file or directory")


def test_an_engine_with_an_old_api_is_down(
    engine: DockerEngine, watch: WatchHost, tmp_path: Path
) -> None:
    """The log says which version it speaks and which one is needed."""
    with socket_proxy(tmp_path, engine.socket, api="1.40") as proxy:
        watched = watch(proxy.host)
        assert down(watched.scrape())
        assert watched.logged("no whole answer", "1.40", "too old", "1.41")


def test_a_socket_without_the_right_to_it_is_down(engine: DockerEngine) -> None:
    """A process of another user is told so, in one line."""
    engine.socket.chmod(0o660)
    program = (
        "import os, sys\n"
        "from kato_exporter.stores.docker.store import DockerStore\n"
        "from kato_exporter.stores.deadline import Deadline\n"
        "from kato_exporter.stores.errors import StoreError\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "store = DockerStore(sys.argv[1], timeout=2, most_at_once=1)\n"
        "try:\n"
        "    store.probe(Deadline.after(2))\n"
        "except StoreError as error:\n"
        "    print(error)\n"
    )
    engine.directory.parent.chmod(0o755)
    engine.directory.chmod(0o755)
    answered = subprocess.run(
        [sys.executable, "-c", program, engine.host],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert answered.stdout == "Permission denied\n"


@pytest.fixture(scope="module")
def tls_engine(shared_engine: DockerEngine) -> Iterator[tuple[str, Path]]:
    """Start an engine that asks for certificates; give its address and a client's directory."""
    del shared_engine  # it shows that an engine can be had
    authority = trustme.CA()
    with tempfile.TemporaryDirectory(prefix="kato-") as name:
        files = Path(name)
        for whose in ("server", "client"):
            certificate = authority.issue_cert(LOOPBACK)
            (files / whose).mkdir()
            authority.cert_pem.write_to_path(str(files / whose / "ca.pem"))
            certificate.private_key_pem.write_to_path(str(files / whose / "key.pem"))
            certificate.cert_chain_pems[0].write_to_path(str(files / whose / "cert.pem"))
        options = [
            "--tlsverify",
            *("--tlscacert", str(files / "server" / "ca.pem")),
            *("--tlscert", str(files / "server" / "cert.pem")),
            *("--tlskey", str(files / "server" / "key.pem")),
        ]
        with DockerEngine(files / "engine", tls=options) as engine:
            yield f"tcp://{LOOPBACK}:{engine.port}", files / "client"


def test_an_engine_with_tls_is_asked_with_a_certificate(
    tls_engine: tuple[str, Path], watch: WatchHost
) -> None:
    """Both sides show theirs."""
    host, certificates = tls_engine
    watched = watch(host, docker_cert_path=certificates).follows()
    assert watched.scrape().value("kato_store_up", store="docker") == 1


def test_an_engine_with_the_certificate_of_another_is_down(
    tls_engine: tuple[str, Path], watch: WatchHost, tmp_path: Path
) -> None:
    """It is not trusted, and asked nothing."""
    host, _ = tls_engine
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    watched = watch(host, docker_cert_path=tmp_path)
    assert down(watched.scrape())
    assert watched.logged("no whole answer", "certificate verify failed")


def test_a_directory_without_certificates_is_down(
    tls_engine: tuple[str, Path], watch: WatchHost, tmp_path: Path
) -> None:
    """The log names what is missing; nothing goes over the network in the clear."""
    host, _ = tls_engine
    watched = watch(host, docker_cert_path=tmp_path)
    assert down(watched.scrape())
    assert watched.logged("no whole answer", "CA certificate")
