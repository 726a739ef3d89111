"""The exporter as a child process, the way in which an operator runs it."""

import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import httpx
import psutil

from support.exposition import Samples
from support.waiting import eventually

_COMMAND = (sys.executable, "-m", "kato_exporter")
_START_SECONDS = 20.0
_END_SECONDS = 15.0
_TLS = ssl.create_default_context()  # never used; httpx would make one for each request


def environment_with(settings: dict[str, str]) -> dict[str, str]:
    """Give our environment with these settings of the exporter's and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KATO_")}
    return inherited | settings


def run_command(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the exporter's to its end; `settings` are environment variables."""
    return subprocess.run(
        [*_COMMAND, *arguments],
        env=environment_with(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_START_SECONDS,
        check=False,
    )


class RunningExporter:
    """`kato-exporter serve` on a free port; `settings` are environment variables."""

    def __init__(self, log: Path, *arguments: str, **settings: str) -> None:
        """Start it; what it prints goes to the file `log`."""
        self._log = log
        with log.open("wb") as file:
            self.process = psutil.Popen(
                [*_COMMAND, "serve", *arguments],
                env=environment_with({"KATO_LISTEN": "127.0.0.1:0", **settings}),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(encoding="utf-8")

    @cached_property
    def url(self) -> str:
        """Where it serves, without a path; waits until it has said so."""
        found = eventually(
            lambda: re.search(r" url=(http://\S+)/metrics", self._log_while_alive()),
            within=_START_SECONDS,
            what="the exporter serves",
        )
        return found[1]

    def until_ready(self) -> "RunningExporter":
        """Wait until every scheduled collector has a first outcome."""
        eventually(
            lambda: httpx.codes.OK == self.get("/-/ready").status_code,
            within=_START_SECONDS,
            what="the exporter is ready",
        )
        return self

    def get(self, path: str = "/metrics", **headers: str) -> httpx.Response:
        """Ask for a path; underscores in the names of headers stand for hyphens."""
        return self.ask("GET", path, **headers)

    def ask(self, method: str, path: str, **headers: str) -> httpx.Response:
        """Send a request without a body."""
        return httpx.request(
            method,
            self.url + path,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            timeout=_START_SECONDS,
            trust_env=False,
            verify=_TLS,
        )

    def scrape(self, timeout: float = 10.0) -> Samples:
        """Scrape it as a Prometheus does that waits `timeout` seconds."""
        response = self.get(x_prometheus_scrape_timeout_seconds=f"{timeout:g}")
        assert httpx.codes.OK == response.status_code, response.text
        return Samples.of(response.text)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end by a signal, and give its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return int(self.process.wait(_END_SECONDS))

    def kill(self) -> None:
        """See to it that nothing is left, whatever happened."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _log_while_alive(self) -> str:
        assert self.process.poll() is None, self.log
        return self.log


StartExporter = Callable[..., RunningExporter]


@contextmanager
def exporters(directory: Path) -> Iterator[StartExporter]:
    """Give a function that starts an exporter and waits until it is ready.

    Its arguments are those of RunningExporter without the log. At the end each one that still runs
    gets SIGTERM and must end with 0, and none may have met a fault of its own.
    """
    running: list[RunningExporter] = []

    def start(*arguments: str, **settings: str) -> RunningExporter:
        log = directory / f"exporter-{len(running)}.log"
        running.append(RunningExporter(log, *arguments, **settings))
        exit_stack.callback(running[-1].kill)
        return running[-1].until_ready()

    with ExitStack() as exit_stack:
        yield start
        for each in running:
            assert 0 == each.end(), each.log
            assert "Traceback" not in each.log, each.log
