"""A machine as the documentation expects its reader's to be, to type the commands of the pages on.

Real are the engine with KATO's containers, Redis in one of them and on a port, MongoDB, Prometheus
with our rules, Alertmanager, exporter and record browser. Qdrant and KATO's API are stubs. The
containers of KATO itself, of MongoDB and of Qdrant hold a shell and no program of theirs, and
`sudo` does nothing but run what follows. Where a page names an address or a directory, the one of
this machine takes its place.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from signal import SIGTERM

import trustme
from pymongo import MongoClient
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, VectorParams
from redis import Redis

from kato_exporter.browser.access.accounts import Account, account_lines
from kato_exporter.browser.access.passwords import hash_password
from kato_exporter.browser.records.journal import Journal
from kato_exporter.demo.kato_api_stub import kato_api_stub
from kato_exporter.demo.qdrant_stub import qdrant_stub
from kato_exporter.demo.run import prometheus_config
from kato_exporter.demo.servers import (
    LOOPBACK,
    free_port,
    start_alertmanager,
    start_mongod,
    start_prometheus,
    start_redis,
)
from kato_exporter.demo.shapes import Document
from kato_exporter.demo.stub_server import serving
from support.browsing import RunningBrowser
from support.docker_engine import DockerEngine, running_engine
from support.documents import ROOT
from support.exporting import RunningExporter, environment_with
from support.images import load_image, stand_in
from support.servers import started
from support.waiting import eventually

PASSWORD = "correct horse battery staple"
"""What is typed where a command asks for a password."""

USER = "bob"
"""Who has an account of the record browser, as on the pages."""

KATO_NETWORK = "kato_kato-network"

_IMAGE = "kato/reader:test"
_APPLETS = ("df", "grep", "sh", "sleep", "tail", "wget", "xargs")
_CONTAINERS = ("kato", "kato-mongodb", "kato-qdrant", "kato-clickhouse")
_DIRECTORIES = (
    *("/etc/fish", "/etc/kato", "/etc/prometheus", "/etc/systemd", "/usr/local/share/zsh"),
    *("/usr/share/bash-completion", "/var/backups/kato", "/var/lib/kato"),
)
_THIS_MACHINES = re.compile(r"(?<![\w./-])/(?:etc|home|opt|root|srv|usr|var)/\S*")
_COLLECTION = "vectors_alice_kato"
_PATIENCE = 60.0
_HEALTHCHECK = {"test": ["CMD", "/bin/sh", "-c", "true"], "interval": 10**9, "timeout": 10**10}
_SAID = 'echo "POST /sessions 200"; echo "GET /health 10.0.0.9 200"'


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended, and what it said on either stream."""

    status: int
    said: str


@dataclass(frozen=True, slots=True)
class ReaderMachine:
    """Runs commands of the pages; `addresses` has what takes the place of what they name."""

    directory: Path
    engine: DockerEngine
    redis: Redis
    mongo: MongoClient[Document]
    prometheus_url: str
    addresses: Mapping[str, str]
    environment: Mapping[str, str]

    def here(self, text: str) -> str:
        """Put this machine's addresses and directories in the place of those of a page.

        What is left must not name a directory of the real machine.
        """
        for theirs, ours in self.addresses.items():
            text = text.replace(theirs, ours)
        ours_alone = tuple(map(str, (self.directory, self.engine.directory, ROOT)))
        theirs_too = [
            each for each in _THIS_MACHINES.findall(text) if not each.startswith(ours_alone)
        ]
        assert [] == theirs_too, "the reader's machine has no such directory"
        return text

    def write(self, path: str, text: str) -> None:
        """Write a file of the page's, by its path there."""
        file = Path(self.here(path))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.here(text), encoding="utf-8")

    def ask_redis(self, text: str) -> None:
        """Give Redis the commands of a block, one a line."""
        for line in text.splitlines():
            self.redis.execute_command(*shlex.split(line))  # type: ignore[no-untyped-call]

    def ask_mongodb(self, text: str) -> None:
        """Give MongoDB the commands of a block, as an administrator's shell would."""
        for command in re.findall(
            r"^db\.adminCommand\((.+?^\})\)$", text, re.MULTILINE | re.DOTALL
        ):
            self.mongo.admin.command(json.loads(command))

    def run(self, command: str, *, questions: int = 1) -> Outcome:
        """Type a command, and the password at each of its questions, and wait for its end.

        Containers that an earlier command has stopped run again.
        """
        for container in self.engine.client.containers(filters={"status": "exited"}):
            self.engine.client.start(container["Id"])
        done = subprocess.run(
            ["/bin/bash", "-o", "pipefail", "-c", self.here(command)],
            cwd=self.directory / "tree",
            env=dict(self.environment),
            input=f"{PASSWORD}\n" * questions,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            start_new_session=True,  # without a terminal a password is asked of standard input
            check=False,
        )
        return Outcome(done.returncode, done.stdout + done.stderr)

    def serve(self, command: str) -> Outcome:
        """Type a command that serves, wait until it does, and end it as a service manager would."""
        log = self.directory / "serving.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                ["/bin/bash", "-c", f"exec env {self.here(command)}"],
                cwd=self.directory / "tree",
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            eventually(
                lambda: process.poll() is not None or _answers(log.read_text()),
                within=_PATIENCE,
                what="it answers or ends",
            )
            process.send_signal(SIGTERM)
            return Outcome(process.wait(_PATIENCE), log.read_text())
        finally:
            process.kill()
            process.wait()


@contextmanager
def reader_machine(directory: Path) -> Iterator[ReaderMachine]:
    """Set the machine up for a while; skip or fail the test where a part of it cannot be had."""
    with ExitStack() as stack:
        engine = stack.enter_context(running_engine())
        _run_kato(engine)
        redis = stack.enter_context(
            started(lambda: start_redis(directory / "redis", arguments=("--save", "900 1")))
        )
        mongod = stack.enter_context(started(lambda: start_mongod(directory / "mongodb")))
        client = stack.enter_context(Redis.from_url(redis.url))
        qdrant = QdrantClient(":memory:")
        stack.callback(qdrant.close)
        qdrant.create_collection(
            _COLLECTION, vectors_config=VectorParams(size=2, distance=Distance.EUCLID)
        )
        qdrant_port = stack.enter_context(serving(qdrant_stub(qdrant)))
        api_port = stack.enter_context(serving(kato_api_stub(client, processors=2)))
        stores = {
            "KATO_REDIS_URL": redis.url,
            "KATO_MONGO_URL": mongod.url,
            "KATO_QDRANT_URL": f"http://{LOOPBACK}:{qdrant_port}",
            "KATO_API_URL": f"http://{LOOPBACK}:{api_port}",
        }
        _write_certificate(directory / "etc" / "kato")
        observatory = _run_observatory(stack, directory, stores)
        addresses = {
            "KATO_HOST=kato.example": " ".join(f"{name}={url}" for name, url in stores.items()),
            "kato.example:6379": f"{LOOPBACK}:{redis.port}",
            "kato.example:27017": f"{LOOPBACK}:{mongod.port}",
            'host = "kato.example"': "",
            "https://kato.example:8098": observatory["browser"],
            "openssl s_client -connect 127.0.0.1:9898": "openssl s_client -connect "
            + observatory["exporter with TLS"].removeprefix("https://"),
            "127.0.0.1:9898": observatory["exporter"].removeprefix("http://"),
            "127.0.0.1:9090": observatory["prometheus"].removeprefix("http://"),
            "127.0.0.1:9093": observatory["alertmanager"].removeprefix("http://"),
            "127.0.0.1:6333": f"{LOOPBACK}:{qdrant_port}",
            "127.0.0.1:8000": f"{LOOPBACK}:{api_port}",
            "127.0.0.1:8098": observatory["browser"].removeprefix("http://"),
            "0.0.0.0:9898": f"{LOOPBACK}:0",
            "0.0.0.0:8098": f"{LOOPBACK}:0",
            "/var/run/docker.sock": str(engine.socket),
            "/var/lib/docker": str(engine.directory),
            "/opt/kato-exporter/bin/": "",
            "/opt/kato-exporter/share/kato-exporter/systemd/": f"{ROOT}/deploy/systemd/",
            **{path: f"{directory}{path}" for path in _DIRECTORIES},
        }
        yield ReaderMachine(
            directory,
            engine,
            client,
            stack.enter_context(MongoClient[Document](mongod.url)),
            observatory["prometheus"],
            addresses,
            _environment(directory, engine),
        )


def _run_kato(engine: DockerEngine) -> None:
    """Start KATO's containers, and let them say a line or two."""
    programs = {
        "usr/local/bin/redis-server": "redis-server",
        "usr/local/bin/redis-cli": "redis-cli",
    }
    owned = {"data": 0, "data/db": 0, "qdrant": 0, "qdrant/storage": 0}
    load_image(engine.client, stand_in(programs=programs, owned=owned, applets=_APPLETS), _IMAGE)
    engine.client.create_network(KATO_NETWORK, driver="bridge")
    serve = "redis-server --dir /data --appendonly no --save ''"
    for name, script in (
        *((name, f"{_SAID}; sleep 600") for name in _CONTAINERS),
        ("kato-redis", f"exec {serve}"),
    ):
        engine.client.start(
            engine.client.create_container(
                _IMAGE,
                ["/bin/sh", "-c", script],
                name=name,
                healthcheck=_HEALTHCHECK,
                stop_signal="SIGKILL",
                host_config=engine.client.create_host_config(network_mode="none"),
            )["Id"]
        )
    eventually(
        lambda: b"Ready to accept" in engine.client.logs("kato-redis"),
        within=_PATIENCE,
        what="Redis is ready in its container",
    )
    engine.execute("kato-redis", "redis-cli", "XADD", "stm:global", "*", "event_type", "learn")


def _run_observatory(stack: ExitStack, directory: Path, stores: dict[str, str]) -> dict[str, str]:
    """Start exporters, browser, Prometheus and Alertmanager, and give the URL of each."""
    web = directory / "etc" / "kato" / "tls.yml"
    web.write_text("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")
    exporter = RunningExporter(directory / "exporter.log", **stores)
    stack.callback(exporter.kill)
    port = free_port()
    with_tls = RunningExporter(
        directory / "exporter-tls.log",
        **stores,
        KATO_WEB_CONFIG_FILE=str(web),
        KATO_LISTEN=f"{LOOPBACK}:{port}",
    )
    stack.callback(with_tls.kill)
    accounts = directory / "etc" / "kato" / "browser-accounts.toml"
    accounts.write_text(account_lines(Account(USER, "viewer", hash_password(PASSWORD))))
    browser = RunningBrowser(
        directory / "browser", **stores, KATO_BROWSER_ACCOUNTS_FILE=str(accounts)
    )
    stack.callback(browser.kill)
    alertmanager = stack.enter_context(
        started(
            lambda: start_alertmanager(
                directory / "alertmanager", ROOT / "alertmanager" / "alertmanager.yml"
            )
        )
    )
    config = directory / "prometheus.json"
    config.write_text(
        prometheus_config(
            exporter.url.removeprefix("http://"),
            rules=ROOT / "prometheus" / "rules",
            alertmanager=f"{LOOPBACK}:{alertmanager.port}",
        )
    )
    prometheus = stack.enter_context(
        started(partial(start_prometheus, directory / "prometheus", config))
    )
    eventually(
        lambda: "url=https" in with_tls.log, within=_PATIENCE, what="the exporter with TLS serves"
    )
    return {
        "exporter": exporter.until_ready().url,
        "exporter with TLS": f"https://{LOOPBACK}:{port}",
        "browser": browser.url,
        "prometheus": prometheus.url,
        "alertmanager": alertmanager.url,
    }


def _write_certificate(directory: Path) -> None:
    """Put a certificate and its key where the pages expect them."""
    directory.mkdir(parents=True)
    issued = trustme.CA().issue_cert(LOOPBACK)
    issued.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    issued.private_key_pem.write_to_path(directory / "key.pem")


def _environment(directory: Path, engine: DockerEngine) -> dict[str, str]:
    """Give the reader's environment: a home, programs on the path, this tree to work in."""
    programs, home, tree = directory / "bin", directory / "home", directory / "tree"
    for each in (programs, home, tree, directory / "var" / "lib" / "kato"):
        each.mkdir(parents=True)
    sudo = programs / "sudo"
    sudo.write_text('#!/bin/sh\nexec "$@"\n')
    sudo.chmod(0o755)
    (home / ".curlrc").write_text("fail\n")
    for name in ("etc/systemd/system", "var/lib/kato-browser"):
        (directory / name).mkdir(parents=True)
    with closing(Journal(directory / "var" / "lib" / "kato-browser")):
        pass  # as a service has left it
    (tree / "accounts.toml").write_text('[alice]\nrole = "editor"\n')  # what compose would give
    for name in ("Makefile", "prometheus", "deploy", "scripts"):
        (tree / name).symlink_to(ROOT / name)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    return environment_with(
        {
            "PATH": path,
            "HOME": str(home),
            "DOCKER_HOST": engine.host,
            "KATO_LISTEN": f"{LOOPBACK}:0",
            "KATO_BROWSER_LISTEN": f"{LOOPBACK}:0",
            "LC_ALL": "C.UTF-8",
        }
    )


def _answers(log: str) -> bool:
    """Tell whether somebody answers at the address that a log names."""
    found = re.search(r" url=(https?://[^/\s]+)", log)
    if found is None:
        return False
    ask = ["curl", "--insecure", "--silent", "--output", os.devnull, f"{found[1]}/-/healthy"]
    return 0 == subprocess.run(ask, timeout=_PATIENCE, check=False).returncode


def is_serving(command: str) -> bool:
    """Tell whether a command goes on until it is told to end."""
    return re.search(r"\bkato-exporter (serve|browse)\b", command) is not None
