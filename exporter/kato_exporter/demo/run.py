"""The demo: KATO's stores with work on them, and the observatory, on this machine alone."""

import json
import os
import secrets
import shutil
import signal
import socket
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

from flask import Flask
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from qdrant_client import QdrantClient
from redis import Redis, RedisError
from rich.console import Console

from kato_exporter.browser.access.accounts import THIS_RUNS_USER, Account, account_lines
from kato_exporter.browser.access.passwords import hash_password
from kato_exporter.demo.kato_api_stub import kato_api_stub
from kato_exporter.demo.qdrant_stub import qdrant_stub
from kato_exporter.demo.servers import (
    LOOPBACK,
    Server,
    ServerError,
    StartCancelledError,
    answers_http,
    free_port,
    start_alertmanager,
    start_mongod,
    start_prometheus,
    start_valkey,
)
from kato_exporter.demo.shapes import Document
from kato_exporter.demo.stub_server import serving
from kato_exporter.demo.workload import DEFAULT_RATE, Workload

EXPORTER_PORT = 9898
BROWSER_PORT = 8098
PROMETHEUS_PORT = 9090
ALERTMANAGER_PORT = 9093

_SOURCE_TREE = Path(__file__).parents[3]
_INSTALLED = Path(sysconfig.get_path("data"), "share", "kato-exporter")

_SCRAPE_INTERVAL = "5s"
_LOOK_AFTER_SECONDS = 0.25
_STORE_TIMEOUT_SECONDS = 10
_TIME_TO_DIE_SECONDS = 1
"""A server that is being killed closes its connections a little before it is gone."""
_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class PartLostError(RuntimeError):
    """A part of the demo ended by itself, or a store refused the work."""


@dataclass(frozen=True, slots=True)
class Part:
    """One line of what the demo tells: what it is, where it is, and what is odd about it."""

    name: str
    place: str
    remark: str = ""

    def __str__(self) -> str:
        remark = f"   ({self.remark})" if self.remark else ""
        return f"{self.name:<14}{self.place}{remark}"


class Ending:
    """Whether the demo is to end: a signal asked for it, or its time is over."""

    def __init__(self, duration: float | None) -> None:
        self._asked = False
        self._duration = duration
        self._deadline: float | None = None

    def __str__(self) -> str:
        return "Ctrl-C ends it" if self._duration is None else f"ends after {self._duration:g} s"

    def ask(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Ask for the end; fit to be a signal's handler, and repeatable."""
        self._asked = True

    def start_the_clock(self) -> None:
        """Let the duration, in seconds, begin now."""
        if self._duration is not None:
            self._deadline = time.monotonic() + self._duration

    def asked(self) -> bool:
        """Tell whether a signal has asked for the end."""
        return self._asked

    def due(self) -> bool:
        """Tell whether to end, for either reason."""
        return self._asked or (self._deadline is not None and time.monotonic() >= self._deadline)

    def within(self, seconds: float) -> bool:
        """Sleep the seconds given, less when the end comes before; tell whether to end."""
        wake = time.monotonic() + seconds
        while not self.due() and (left := wake - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
        return self.due()


def run_demo(*, duration: float | None, seed: int | None, rate: float = DEFAULT_RATE) -> int:
    """Run the demo until Ctrl-C, SIGTERM, SIGHUP or the end of `duration` (seconds, from ready).

    Starts Valkey and MongoDB with invented knowledge and sessions, stubs of Qdrant and of KATO's
    API, the exporter, the record browser, and Prometheus and Alertmanager where they are on the
    PATH; then works on the stores `rate` steps a second, the same work for the same `seed`. Tells
    on stdout where each part is; progress and errors go to stderr. Gives the exit status: 0, or 1
    when a part could not start or was lost. No process and no file is left in either case. To be
    called from the main thread.
    """
    console = Console(stderr=True)
    ending = Ending(duration)
    try:
        with (
            _asked_by_signals(ending),
            TemporaryDirectory(prefix="kato-demo-") as directory,
            ExitStack() as parts,
        ):
            Demo(Path(directory), parts, ending, console).run(seed=seed, rate=rate)
    except StartCancelledError:
        return 0
    except (ServerError, PartLostError) as error:
        console.print(
            f"kato-exporter demo: {error}",
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return 1
    return 0


class Demo:
    """The parts of a running demo; what it starts is entered into an `ExitStack` that stops it."""

    def __init__(self, directory: Path, parts: ExitStack, ending: Ending, console: Console) -> None:
        """Take the directory for all files, which the caller removes after closing `parts`."""
        self._directory = directory
        self._parts = parts
        self._ending = ending
        self._console = console
        self._servers: list[Server] = []
        self._told: list[Part] = []

    def run(self, *, seed: int | None, rate: float) -> None:
        """Start everything, tell where it is, and work until the end.

        Raises `ServerError` where a part does not start, `StartCancelledError` when asked to end
        meanwhile, and `PartLostError` when one is lost later.
        """
        with self._losses_explained():
            workload = self._start(seed)
            self._tell()
            self._ending.start_the_clock()
            self._work(workload, rate)

    def _start(self, seed: int | None) -> Workload:
        with self._console.status("starting Valkey") as progress:
            redis = self._start_redis()
            progress.update("starting MongoDB")
            mongo = self._start_mongodb()
            progress.update("learning patterns")
            workload = self._fill_stores(redis, mongo, seed)
            progress.update("starting the exporter")
            exporter = self._start_exporter()
            progress.update("starting the record browser")
            browser = self._start_browser()
            progress.update("starting Alertmanager")
            alertmanager = self._start_alertmanager()
            progress.update("starting Prometheus")
            self._start_prometheus(exporter, browser, alertmanager)
        return workload

    def _start_redis(self) -> Redis:
        server = self._keep(start_valkey(self._directory / "valkey", cancelled=self._ending.asked))
        redis = Redis.from_url(
            server.url,
            socket_timeout=_STORE_TIMEOUT_SECONDS,
            socket_connect_timeout=_STORE_TIMEOUT_SECONDS,
        )
        self._parts.callback(redis.close)
        information = redis.info("server")
        self._told.append(Part("redis", server.url, f"Valkey {information['valkey_version']}"))
        return redis

    def _start_mongodb(self) -> MongoClient[Document]:
        server = self._keep(start_mongod(self._directory / "mongodb", cancelled=self._ending.asked))
        mongo: MongoClient[Document] = self._parts.enter_context(
            MongoClient(
                server.url,
                serverSelectionTimeoutMS=_STORE_TIMEOUT_SECONDS * 1000,
                timeoutMS=_STORE_TIMEOUT_SECONDS * 1000,
            )
        )
        version = mongo.server_info()["version"]
        self._told.append(Part("mongodb", server.url, f"MongoDB {version}"))
        return mongo

    def _fill_stores(
        self, redis: Redis, mongo: MongoClient[Document], seed: int | None
    ) -> Workload:
        qdrant = QdrantClient(":memory:")
        self._parts.callback(qdrant.close)
        workload = Workload(redis, mongo, qdrant, seed=seed)
        workload.fill()
        collections = len(qdrant.get_collections().collections)
        self._serve_stub(
            "qdrant", qdrant_stub(qdrant), f"a stub: {collections} collections in process"
        )
        self._serve_stub("kato-api", kato_api_stub(redis, processors=collections), "a stub")
        return workload

    def _serve_stub(self, name: str, app: Flask, remark: str) -> None:
        port = self._parts.enter_context(serving(app))
        self._told.append(Part(name, f"http://{LOOPBACK}:{port}", remark))

    def _port_near(self, preferred: int) -> tuple[int, str]:
        """Give the preferred port, or a free one and the remark that the other is taken.

        Two demos that begin at the same moment would both find it free: so the first one claims it,
        by an abstract socket, which ends with its process.
        """
        claim = self._parts.enter_context(socket.socket(socket.AF_UNIX))
        try:
            claim.bind(f"\0kato-exporter-demo-{preferred}")
            port = free_port(preferred)
        except OSError:
            port = free_port()
        return port, "" if port == preferred else f"{preferred} is taken"

    def _start_exporter(self) -> Server:
        port, remark = self._port_near(EXPORTER_PORT)
        places = {part.name: part.place for part in self._told}
        exporter = Server(
            "the exporter",
            [sys.executable, "-m", "kato_exporter", "serve"],
            directory=self._directory / "exporter",
            port=port,
            url=f"http://{LOOPBACK}:{port}",
            answers=answers_http("/-/ready"),
            environment=_environment_without_kato()
            | {
                "KATO_REDIS_URL": places["redis"],
                "KATO_MONGO_URL": places["mongodb"],
                "KATO_QDRANT_URL": places["qdrant"],
                "KATO_API_URL": places["kato-api"],
                "KATO_LISTEN": f"{LOOPBACK}:{port}",
                "KATO_REDIS_MANAGE_NOTIFICATIONS": "true",
                "KATO_SESSIONS_INTERVAL": "5s",
                "KATO_KNOWLEDGE_INTERVAL": "2s",
                "KATO_PATTERNS_INTERVAL": "5s",
                "KATO_QDRANT_INTERVAL": "5s",
                "KATO_API_INTERVAL": "5s",
            },
        )
        self._keep(exporter.start(self._ending.asked))
        self._told.insert(0, Part("exporter", f"{exporter.url}/metrics", remark))
        return exporter

    def _start_browser(self) -> Server:
        """Start it with one account, whose password is told and is good for this run."""
        port, remark = self._port_near(BROWSER_PORT)
        places = {part.name: part.place for part in self._told}
        password = secrets.token_urlsafe(12)
        account = Account(THIS_RUNS_USER, "editor", hash_password(password))
        accounts = self._directory / "accounts.toml"
        accounts.write_text(account_lines(account), encoding="utf-8")
        browser = Server(
            "the record browser",
            [sys.executable, "-m", "kato_exporter", "browse"],
            directory=self._directory / "browser",
            port=port,
            url=f"http://{LOOPBACK}:{port}",
            answers=answers_http("/-/healthy"),
            environment=_environment_without_kato()
            | {
                "KATO_REDIS_URL": places["redis"],
                "KATO_MONGO_URL": places["mongodb"],
                "KATO_QDRANT_URL": places["qdrant"],
                "KATO_BROWSER_LISTEN": f"{LOOPBACK}:{port}",
                "KATO_BROWSER_ACCOUNTS_FILE": str(accounts),
                "KATO_BROWSER_WRITABLE": "true",
                "KATO_BROWSER_DATA_DIR": str(self._directory / "records"),
            },
        )
        self._keep(browser.start(self._ending.asked))
        sign_in = f"user {account.name}, password {password}"
        remarks = f"{sign_in}; {remark}" if remark else sign_in
        self._told.insert(1, Part("records", browser.url, remarks))
        return browser

    def _start_alertmanager(self) -> Server | None:
        """Start it where it is to be had; the rules and routes are those that come with us."""
        config = _observatory() / "alertmanager" / "alertmanager.yml"
        if not config.exists():
            self._told.insert(2, Part("alerts", f"left out: there is no {config}"))
            return None
        if not (shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")):
            self._told.insert(2, Part("alertmanager", "left out: not on the PATH"))
            return None
        port, remark = self._port_near(ALERTMANAGER_PORT)
        directory = self._directory / "alertmanager"
        directory.mkdir()
        server = start_alertmanager(directory, config, port=port, cancelled=self._ending.asked)
        self._keep(server)
        self._told.insert(2, Part("alertmanager", server.url, remark))
        return server

    def _start_prometheus(
        self, exporter: Server, browser: Server, alertmanager: Server | None
    ) -> None:
        if shutil.which("prometheus") is None:
            self._told.insert(2, Part("prometheus", "left out: not on the PATH"))
            return
        port, remark = self._port_near(PROMETHEUS_PORT)
        directory = self._directory / "prometheus"
        directory.mkdir()
        config = directory / "prometheus.yml"
        config.write_text(
            prometheus_config(
                f"{LOOPBACK}:{exporter.port}",
                browser=f"{LOOPBACK}:{browser.port}",
                rules=_observatory() / "prometheus" / "rules",
                alertmanager=f"{LOOPBACK}:{alertmanager.port}" if alertmanager else None,
            )
        )
        runbooks = _observatory() / "docs" / "runbooks"
        server = start_prometheus(
            directory,
            config,
            port=port,
            arguments=[f"--web.user-assets={runbooks}"] if runbooks.is_dir() else [],
            cancelled=self._ending.asked,
        )
        self._keep(server)
        self._told.insert(2, Part("prometheus", server.url, remark))

    def _keep(self, server: Server) -> Server:
        self._servers.append(self._parts.enter_context(server))
        if self._ending.asked():
            raise StartCancelledError("the demo was asked to end")
        return server

    def _tell(self) -> None:
        for part in self._told:
            print(part)  # noqa: T201 - the command's output
        print(self._ending, flush=True)  # noqa: T201 - likewise

    def _work(self, workload: Workload, rate: float) -> None:
        look_after = time.monotonic()

        def wait(seconds: float) -> bool:
            nonlocal look_after
            if time.monotonic() >= look_after:
                self._raise_if_lost()
                look_after = time.monotonic() + _LOOK_AFTER_SECONDS
            return self._ending.within(seconds)

        workload.run(wait, rate=rate)

    @contextmanager
    def _losses_explained(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, PyMongoError) as error:
            patience = time.monotonic() + _TIME_TO_DIE_SECONDS
            while time.monotonic() < patience:
                self._raise_if_lost()
                time.sleep(_TIME_TO_DIE_SECONDS / 10)
            raise PartLostError(f"a store refused the work: {error}") from error

    def _raise_if_lost(self) -> None:
        for lost in self._servers:
            if not lost.alive:
                self._kill_all()  # asked to end in order, some would wait for the lost one
                raise PartLostError(
                    f"{lost.name} ended with status {lost.status}; the end of its log:\n"
                    f"{lost.log_tail()}"
                )

    def _kill_all(self) -> None:
        for server in self._servers:
            server.kill()


def prometheus_config(
    target: str,
    *,
    browser: str | None = None,
    rules: Path | None = None,
    alertmanager: str | None = None,
) -> str:
    """Write a Prometheus configuration, as JSON, that scrapes one exporter at `host:port`.

    It scrapes a record browser too where one is given, reads the rules of a directory, where it is
    there, and sends alerts to an Alertmanager.
    """
    jobs = {"kato": target} | ({} if browser is None else {"kato-browser": browser})
    config: dict[str, Any] = {
        "global": {
            "scrape_interval": _SCRAPE_INTERVAL,
            "scrape_timeout": _SCRAPE_INTERVAL,
            "evaluation_interval": _SCRAPE_INTERVAL,
        },
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [address]}]}
            for job, address in jobs.items()
        ],
    }
    if rules is not None and rules.is_dir():
        config["rule_files"] = [str(rules / "*.yml")]
    if alertmanager is not None:
        managers = [{"static_configs": [{"targets": [alertmanager]}]}]
        config["alerting"] = {"alertmanagers": managers}
    return json.dumps(config, indent=2)


def _observatory() -> Path:
    """Find rules, routes and runbooks: in the source tree, or where a wheel has put them."""
    return _SOURCE_TREE if (_SOURCE_TREE / "prometheus").is_dir() else _INSTALLED


def _environment_without_kato() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("KATO_")}


@contextmanager
def _asked_by_signals(ending: Ending) -> Iterator[None]:
    """Let signals ask for the end, as often as they come, instead of interrupting."""
    before = {
        number: signal.signal(number, ending.ask)
        for number in _ENDING_SIGNALS
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN  # nohup
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
