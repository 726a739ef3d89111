"""The image, built upon a base made here: what is in it, how it runs, and what it may ask.

No registry is needed. The engine is real, and so is the HAProxy before its socket, with the very
rules of compose.yaml's docker-socket-proxy.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest
import trustme
from docker import APIClient

from kato_exporter.browser.access.accounts import Account, account_lines
from kato_exporter.browser.access.passwords import hash_password
from kato_exporter.demo.servers import (
    LOOPBACK,
    Server,
    answers_http,
    free_port,
)
from support.browsing import PASSWORD, READER
from support.compose import FILE, ROOT, compose, load
from support.container_samples import value_of
from support.docker_engine import DockerEngine, running_engine
from support.exporting import RunningExporter, StartExporter
from support.exposition import Samples
from support.images import build_image, load_image, python_base, stand_in
from support.servers import MongoServer, RedisServer, black_hole, started
from support.waiting import at_most, eventually

BASE = "kato/python:test"
SERVICES = load(FILE.read_text())["services"]
IMAGE: str = SERVICES["exporter"]["image"]
PATIENCE = 30.0
GRACE = 10
"""What `docker stop` gives a container by default, in seconds."""
SOONER = {"healthcheck": {"interval": "1s"}}
"""How the test differs from compose.yaml."""
HARDENED: dict[str, Any] = {
    name: SERVICES["exporter"][name]
    for name in ("read_only", "cap_drop", "security_opt", "mem_limit", "pids_limit")
}
NO_CONTAINER = "0" * 64
HEALTHCHECK = ROOT / "deploy" / "healthcheck.py"


@dataclass(frozen=True, slots=True)
class StandIn:
    """A program of Debian's in place of a service's image, at the path that it has there."""

    programs: Mapping[str, str]
    files: Sequence[str] = ()
    owned: Mapping[str, int] = field(default_factory=dict)
    changes: Sequence[str] = ()


STAND_INS = {
    "docker-socket-proxy": StandIn({"usr/local/sbin/haproxy": "haproxy"}),
    "prometheus": StandIn(
        {"bin/prometheus": "prometheus"},
        owned={"prometheus": 65534},
        changes=['ENTRYPOINT ["/bin/prometheus"]'],
    ),
    "alertmanager": StandIn(
        {"bin/alertmanager": "prometheus-alertmanager"},
        files=["/usr/share/prometheus/alertmanager"],
        owned={"alertmanager": 65534},
        changes=['ENTRYPOINT ["/bin/alertmanager"]'],
    ),
    "redis": StandIn(
        {"usr/local/bin/redis-server": "redis-server", "usr/local/bin/redis-cli": "redis-cli"}
    ),
}

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    """Start an engine for all tests."""
    with running_engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def image(engine: DockerEngine, pytestconfig: pytest.Config) -> str:
    """Build the exporter's image, upon a base that is kept for the next run of the tests."""
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("images")
    with patient(engine) as client:
        load_image(client, python_base(cache), BASE)
        build_image(client, IMAGE, base=BASE, target="exporter")
    return IMAGE


@pytest.fixture(autouse=True)
def clear(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave no container to the next test."""
    yield
    if "engine" in request.fixturenames:
        request.getfixturevalue("engine").clear()


@pytest.fixture
def proxy(engine: DockerEngine, tmp_path: Path) -> Iterator[Server]:
    """Run Debian's HAProxy with compose.yaml's rules; only its two addresses are others."""
    port = free_port()
    rules = (ROOT / "deploy" / "socket-proxy" / "haproxy.cfg").read_text()
    for theirs, ours in {
        "bind :2375": f"bind {LOOPBACK}:{port}",
        "server engine /var/run/docker.sock": f"server engine {engine.socket}",
    }.items():
        assert 1 == rules.count(theirs)
        rules = rules.replace(theirs, ours)
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(rules)
    server = Server(
        "HAProxy",
        ["haproxy", "-db", "-f", str(configuration)],
        directory=tmp_path,
        port=port,
        url=f"http://{LOOPBACK}:{port}",
        answers=answers_http("/_ping"),
    )
    with started(server.start):
        yield server


@contextmanager
def patient(engine: DockerEngine) -> Iterator[APIClient]:
    """Give a client for what takes an engine long."""
    client = APIClient(base_url=engine.host, version="1.41", timeout=120)
    try:
        yield client
    finally:
        client.close()


def python(engine: DockerEngine, image: str, program: str) -> str:
    """Run a Python program in a container of the image, hardened, and give its output."""
    settings = engine.client.create_host_config(network_mode="none", **HARDENED)
    made = engine.client.create_container(
        image, ["-c", program], entrypoint=["python3"], host_config=settings
    )
    engine.client.start(made["Id"])
    ended = engine.client.wait(made["Id"])
    said: str = engine.client.logs(made["Id"]).decode()
    assert 0 == ended["StatusCode"], said
    return said


def executed(engine: DockerEngine, container: str, command: Sequence[str]) -> tuple[int, str]:
    """Run a command in a container, and give its exit status and its output."""
    made = engine.client.exec_create(container, list(command))
    said: bytes = engine.client.exec_start(made["Id"])
    return int(engine.client.exec_inspect(made["Id"])["ExitCode"]), said.decode()


def test_it_holds_what_is_locked_and_nothing_that_installs_or_compiles(
    engine: DockerEngine, image: str
) -> None:
    """Each package has its locked version; pip, setuptools, ensurepip and compilers are absent."""
    found = json.loads(
        python(
            engine,
            image,
            "import importlib.metadata as m, importlib.util as u, json, shutil; print(json.dumps(["
            "[(d.name, d.version) for d in m.distributions(path=['/opt/kato'])],"
            "[n for n in ('pip', 'setuptools', 'wheel', 'ensurepip') if u.find_spec(n)],"
            "[n for n in ('pip', 'pip3', 'cc', 'gcc', 'make') if shutil.which(n)]]))",
        )
    )
    locked = re.findall(
        r"^([a-z0-9-]+==[^\s;]+)", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE
    )

    packages, modules, programs = found
    assert len(packages) > 20
    assert set() == {
        f"{re.sub('[-_.]+', '-', name).lower()}=={version}" for name, version in packages
    } - set(locked)
    assert [] == modules
    assert [] == programs


def test_it_says_how_it_runs(engine: DockerEngine, image: str) -> None:
    """As a number that is not root's, with a health check, and listening for other containers."""
    config = engine.client.inspect_image(image)["Config"]  # type: ignore[no-untyped-call]

    assert "65532:65532" == config["User"]
    assert ["CMD", "python3", "-IS", "/opt/kato/healthcheck.py", "KATO_LISTEN"] == config[
        "Healthcheck"
    ]["Test"]
    assert "KATO_LISTEN=0.0.0.0:9898" in config["Env"]
    assert not config.get("Volumes")


def test_it_serves_metrics_of_real_containers_and_stores_through_the_proxy(
    engine: DockerEngine, image: str, proxy: Server, redis7: RedisServer, mongo: MongoServer
) -> None:
    """Read-only, without capabilities, not as root; and it leaves no file behind."""
    watched = engine.run("kato-watched", "sleep 3600")
    port = free_port()
    settings = engine.client.create_host_config(network_mode="host", **HARDENED)
    exporter = engine.client.create_container(
        image,
        environment={
            "KATO_LISTEN": f"{LOOPBACK}:{port}",
            "KATO_REDIS_URL": redis7.url,
            "KATO_MONGO_URL": mongo.url,
            "KATO_DOCKER_HOST": f"tcp://{LOOPBACK}:{proxy.port}",
            "KATO_CONTAINERS": "kato-*",
        },
        host_config=settings,
    )["Id"]
    engine.client.start(exporter)

    def scraped() -> Samples | None:
        assert engine.client.inspect_container(exporter)["State"]["Running"], logs()
        try:
            answer = httpx.get(f"http://{LOOPBACK}:{port}/metrics", trust_env=False, timeout=10)
        except httpx.TransportError:
            return None
        found = Samples.of(answer.text)
        connected = found.value("kato_container_events_connected") == 1
        return found if connected and found.value("kato_knowledge_bases") is not None else None

    def logs() -> str:
        return str(engine.client.logs(exporter).decode())

    found = eventually(scraped, within=PATIENCE, what="the exporter serves and follows events")

    for store in ("redis", "mongodb", "docker"):
        assert 1 == found.value("kato_store_up", store=store), logs()
    assert 0 < (value_of(found, "memory_usage_bytes", name="kato-watched") or 0)
    assert 1 == value_of(found, "state", name="kato-watched", state="running")
    status, said = executed(
        engine, exporter, ["python3", "-IS", "/opt/kato/healthcheck.py", "KATO_LISTEN"]
    )
    assert 0 == status, said
    status, said = executed(
        engine,
        exporter,
        ["python3", "-c", "import os; print(os.getuid(), os.getgid()); open('/x', 'w')"],
    )
    assert 1 == status
    assert "65532 65532" in said
    assert "Read-only file system" in said
    assert [] == (engine.client.diff(exporter) or [])
    assert "Traceback" not in logs()
    engine.remove(watched)


def test_it_serves_records_to_those_who_have_an_account_and_ends_at_once(
    engine: DockerEngine, image: str, redis7: RedisServer, tmp_path: Path
) -> None:
    """The browser as compose.yaml has it, with its volume; and `docker stop` need not kill it."""
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(account_lines(Account(READER, "viewer", hash_password(PASSWORD))))
    accounts.chmod(0o444)
    url = f"http://{LOOPBACK}:{(port := free_port())}"
    settings = engine.client.create_host_config(
        network_mode="host",
        binds=[f"{accounts}:/run/secrets/browser_accounts:ro", "kato-records:/var/lib/kato"],
        **HARDENED,
    )
    browser = engine.client.create_container(
        image,
        command=SERVICES["browser"]["command"],
        environment={
            "KATO_BROWSER_LISTEN": f"{LOOPBACK}:{port}",
            "KATO_BROWSER_ACCOUNTS_FILE": "/run/secrets/browser_accounts",
            "KATO_BROWSER_DATA_DIR": "/var/lib/kato",
            "KATO_BROWSER_WRITABLE": "true",
            "KATO_REDIS_URL": redis7.url,
        },
        host_config=settings,
    )["Id"]
    engine.client.start(browser)

    def logs() -> str:
        return str(engine.client.logs(browser).decode())

    def healthy() -> bool:
        assert engine.client.inspect_container(browser)["State"]["Running"], logs()
        check = ["python3", "-IS", "/opt/kato/healthcheck.py", "KATO_BROWSER_LISTEN"]
        return 0 == executed(engine, browser, check)[0]

    eventually(healthy, within=PATIENCE, what="the browser is healthy")
    with httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE) as client:
        assert 200 == client.get("/-/healthy").status_code
        assert 401 == client.get("/?format=json").status_code
        home = client.get("/", auth=(READER, PASSWORD))
    assert 200 == home.status_code, logs()
    assert home.headers["content-type"].startswith("text/html")
    assert "<title>" in home.text

    with at_most(GRACE):
        engine.client.stop(browser, timeout=2 * GRACE)

    assert 0 == engine.client.inspect_container(browser)["State"]["ExitCode"], logs()
    assert "Traceback" not in logs()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/_ping", 200),
        ("/version", 200),
        ("/v1.41/version", 200),
        ("/v1.41/containers/json?all=1", 200),
        (f"/v1.41/containers/{NO_CONTAINER}/stats?stream=0", 404),
        ("/v1.41/events?since=0&until=1", 200),
    ],
)
def test_the_proxy_lets_through_what_the_exporter_asks(
    proxy: Server, path: str, status: int
) -> None:
    """Five kinds of GET reach the engine, with or without a version."""
    assert status == httpx.get(proxy.url + path, trust_env=False).status_code


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1.41/containers/{id}/json"),
        ("GET", "/v1.41/containers/{id}/logs?stdout=1"),
        ("GET", "/v1.41/containers/{id}/archive?path=/etc"),
        ("GET", "/v1.41/containers/{id}/export"),
        ("GET", "/v1.41/containers/{id}/top"),
        ("GET", "/v1.41/containers/{id}/stats/../json"),
        ("GET", "/v1.41/containers/{id}%2Fstats"),
        ("GET", "/v1.41/containers/kato-watched/stats"),
        ("GET", "/v1.41/images/json"),
        ("GET", "/v1.41/info"),
        ("GET", "/v1.41/secrets"),
        ("GET", "//v1.41/containers/json"),
        ("GET", "/containers/json/"),
        ("GET", "/metrics?x=/_ping"),
        ("HEAD", "/_ping"),
        ("POST", "/v1.41/containers/{id}/stop?t=0"),
        ("POST", "/v1.41/containers/{id}/exec"),
        ("POST", "/v1.41/containers/create"),
        ("DELETE", "/v1.41/containers/{id}?force=1"),
        ("PUT", "/v1.41/containers/{id}/archive?path=/"),
    ],
)
def test_the_proxy_refuses_everything_else(
    engine: DockerEngine, proxy: Server, method: str, path: str
) -> None:
    """Nothing that changes, and nothing that shows environment, log, files or other objects."""
    watched = engine.run("kato-watched", "sleep 3600")
    target = f"{proxy.url}{path}".format(id=watched)

    # httpx would make a path normal
    asked = httpx.Request(
        method, proxy.url, extensions={"target": target.removeprefix(proxy.url).encode()}
    )
    with httpx.Client(trust_env=False) as client:
        assert 403 == client.send(asked).status_code

    assert engine.client.inspect_container(watched)["State"]["Running"]
    assert f'"{method} ' in proxy.log_tail()


def test_the_proxy_refuses_a_body(proxy: Server) -> None:
    """A GET has none; one that has could be another request in disguise."""
    for headers in ({"content-length": "2"}, {"transfer-encoding": "chunked"}):
        answer = httpx.request(
            "GET", f"{proxy.url}/_ping", headers=headers, content=iter([b"{}"]), trust_env=False
        )
        assert 403 == answer.status_code


def healthcheck(**environment: str) -> int:
    """Run the health check as the image does, and give its exit status."""
    return subprocess.run(
        [sys.executable, "-IS", str(HEALTHCHECK), "KATO_LISTEN"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    ).returncode


def test_an_exporter_that_serves_is_healthy(exporter: StartExporter, redis7: RedisServer) -> None:
    """Whether it listens on all addresses or on one."""
    address = exporter(KATO_REDIS_URL=redis7.url).url.removeprefix("http://")

    assert 0 == healthcheck(KATO_LISTEN=address)
    assert 0 == healthcheck(KATO_LISTEN=address.replace(LOOPBACK, "0.0.0.0"))  # noqa: S104


def test_an_exporter_that_does_not_answer_is_not_healthy() -> None:
    """Nobody listens, or somebody who never says a word."""
    assert 1 == healthcheck(KATO_LISTEN=f"{LOOPBACK}:{free_port()}")
    with black_hole() as port:
        assert 1 == healthcheck(KATO_LISTEN=f"{LOOPBACK}:{port}")


@pytest.mark.parametrize(
    "configuration",
    [
        "tls_server_config: {cert_file: both.pem, key_file: both.pem}",
        f"basic_auth_users: {{prometheus: {bcrypt.hashpw(b'x', bcrypt.gensalt(4)).decode()}}}",
    ],
    ids=["TLS", "users"],
)
def test_an_exporter_that_wants_tls_or_a_password_is_healthy(
    tmp_path: Path, redis7: RedisServer, configuration: str
) -> None:
    """The check has neither, but gets an answer; where none of them is set, it must be 200."""
    certificate = trustme.CA().issue_cert(LOOPBACK)
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    web = tmp_path / "web.yml"
    web.write_text(configuration)
    running = RunningExporter(
        tmp_path / "log", KATO_REDIS_URL=redis7.url, KATO_WEB_CONFIG_FILE=str(web)
    )
    try:
        address = eventually(
            lambda: re.search(r" url=https?://([^/]+)/metrics", running.log),
            within=PATIENCE,
            what="the exporter serves",
        )[1]

        assert 0 == healthcheck(KATO_LISTEN=address, KATO_WEB_CONFIG_FILE=str(web))
        assert 1 == healthcheck(KATO_LISTEN=address)
    finally:
        running.kill()


@pytest.fixture
def stack(engine: DockerEngine, image: str, tmp_path: Path) -> Mapping[str, str]:
    """Bring up all services whose program is at hand, and give their containers' ids."""
    assert image == SERVICES["exporter"]["image"]
    for name, given in STAND_INS.items():
        tar = stand_in(programs=given.programs, files=given.files, owned=given.owned)
        load_image(engine.client, tar, SERVICES[name]["image"], given.changes)
    services = ["exporter", *STAND_INS]
    settings = tmp_path / "stack.env"
    ports = (f"{name}_PORT={free_port()}" for name in ("EXPORTER", "PROMETHEUS", "ALERTMANAGER"))
    settings.write_text(
        "\n".join(
            [
                (ROOT / "deploy" / "demo.env").read_text(),
                "KATO_MONGO_URL_FILE=./deploy/defaults/none",
                "KATO_QDRANT_URL=",
                f"DOCKER_SOCKET={engine.socket}",
                *ports,
            ]
        )
    )
    compose(
        tmp_path,
        *("up", "--detach", "--no-build", *services),
        overrides={"services": dict.fromkeys(services, SOONER)},
        env_file=settings,
        profiles=["demo"],
        environment={"DOCKER_HOST": engine.host},
    )
    return {
        each["Labels"]["com.docker.compose.service"]: each["Id"]
        for each in engine.client.containers(all=True)
    }


def test_the_stack_comes_up_and_sees_itself(engine: DockerEngine, stack: Mapping[str, str]) -> None:
    """compose.yaml as it stands: every container becomes healthy, and Prometheus has its data.

    With the programs of Debian in place of the images that a registry has; Grafana, MongoDB and
    Qdrant are missing, since there are none.
    """

    def inspected(name: str) -> dict[str, Any]:
        found: dict[str, Any] = engine.client.inspect_container(stack[name])
        return found

    def ill() -> dict[str, Any]:
        states = {name: inspected(name)["State"] for name in stack}
        return {
            name: (state, engine.client.logs(stack[name], tail=5).decode())
            for name, state in states.items()
            if "healthy" != state["Health"]["Status"]
        }

    try:
        eventually(lambda: not ill(), within=PATIENCE, what="every container is healthy")
    except AssertionError:
        pytest.fail(f"not healthy: {ill()}", pytrace=False)

    def asked(name: str, url: str) -> tuple[int, str]:
        return executed(engine, stack[name], ["/bin/wget", "-q", "-O", "-", url])

    def networks(name: str) -> set[str]:
        return set(inspected(name)["NetworkSettings"]["Networks"])

    def scraped() -> bool:
        status, said = asked("prometheus", "http://127.0.0.1:9090/api/v1/query?query=kato_store_up")
        found = json.loads(said)["data"]["result"] if status == 0 and said else []
        return {"redis", "docker"} == {
            each["metric"]["store"] for each in found if "1" == each["value"][1]
        }

    eventually(scraped, within=PATIENCE, what="Prometheus has scraped the exporter")
    status, said = asked("prometheus", "http://exporter:9898/metrics")
    assert 0 == status, said
    names = set(Samples.of(said).by("name", "kato_container_memory_usage_bytes"))
    assert {*STAND_INS, "exporter"} == set(stack)
    assert {inspected(name)["Name"].removeprefix("/") for name in stack} == names
    assert 0 == asked("prometheus", "http://alertmanager:9093/-/ready")[0]
    assert {"kato-observatory_engine"} == networks("docker-socket-proxy")
    assert {"kato-observatory_observatory"} == networks("prometheus") | networks("alertmanager")
