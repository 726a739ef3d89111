"""The record browser as a child process, with an account for the tests."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import psutil

from werkzeug.routing import Map

from kato_exporter.browser.accounts import Account, Accounts, account_lines
from kato_exporter.browser.assembly import assemble
from kato_exporter.browser.passwords import hash_password
from kato_exporter.browser.trusted_proxy import TrustedProxies
from kato_exporter.settings import BrowserSettings
from support.exporting import environment_with
from support.waiting import eventually

READER = "reader"
PASSWORD = "correct horse battery staple"

_COMMAND = (sys.executable, "-m", "kato_exporter", "browse")
_START_SECONDS = 20.0
_END_SECONDS = 15.0


class RunningBrowser:
    """`kato-exporter browse` on a free port; `settings` are environment variables."""

    def __init__(self, directory: Path, **settings: str) -> None:
        """Start it; its accounts and what it prints are in the directory."""
        directory.mkdir(exist_ok=True)
        accounts = directory / "accounts.toml"
        reader = Account(READER, "viewer", hash_password(PASSWORD))
        accounts.write_text(account_lines(reader), encoding="utf-8")
        own = {"KATO_BROWSER_LISTEN": "127.0.0.1:0", "KATO_BROWSER_ACCOUNTS_FILE": str(accounts)}
        self._log = directory / "browser.log"
        with self._log.open("wb") as file:
            self.process = psutil.Popen(
                _COMMAND,
                env=environment_with(own | settings),
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

        def said() -> re.Match[str] | None:
            assert self.process.poll() is None, self.log
            return re.search(r"url=(http://[^/\s]+)", self.log)

        return eventually(said, within=_START_SECONDS, what="the browser serves")[1]

    def end(self) -> int:
        """Ask it to end, and give its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return int(self.process.wait(_END_SECONDS))

    def kill(self) -> None:
        """See to it that nothing is left, whatever happened."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextmanager
def browsing(directory: Path, **settings: str) -> Iterator[RunningBrowser]:
    """Run a record browser for a while; it must end in order, and meet no fault of its own."""
    running = RunningBrowser(directory, **settings)
    try:
        yield running
        assert 0 == running.end(), running.log
        assert "Traceback" not in running.log, running.log
        assert "event=fault" not in running.log, running.log
    finally:
        running.kill()


def url_map() -> Map:
    """Give the URL map of a record browser that has all stores."""
    settings = BrowserSettings(
        redis_url="redis://127.0.0.1", mongo_url="mongodb://127.0.0.1", qdrant_url="http://127.0.0.1"
    )
    with assemble(settings, Accounts({}), TrustedProxies(), tls=False) as browser:
        return browser.app.url_map
