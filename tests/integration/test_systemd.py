"""The units of systemd: that systemd understands them, how much they may do, and that they serve.

No systemd runs here. It judges the units without running them, and what they start is started as an
ordinary process, with their variables, with files in place of their credentials, and with the
system calls that they leave. Their users, their views of files and their limits are not in force.
"""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from kato_exporter.browser.access.accounts import Account, account_lines
from kato_exporter.browser.access.passwords import hash_password
from kato_exporter.demo.servers import LOOPBACK
from kato_exporter.settings import BrowserSettings, ExporterSettings, Settings, specs
from support.browsing import PASSWORD, READER
from support.compose import ROOT
from support.exporting import environment_with
from support.exposition import Samples
from support.servers import MongoServer, RedisServer, missing
from support.systemd_units import INSTALLED, UNITS, Unit
from support.waiting import eventually

NAMES = ("kato-exporter.service", "kato-browser.service")
MOST_EXPOSED = 15
"""In tenths, of the 10.0 that systemd gives a service that may do everything."""

PATIENCE = 60.0

SANDBOX = "CapabilityBoundingSet="
"""Where it begins, to the end of the unit."""


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze, which needs no systemd that runs."""
    program = shutil.which("systemd-analyze") or missing("no systemd-analyze on the PATH")
    return subprocess.run(
        [program, *arguments],
        env=environment_with({"LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": ""}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture(params=NAMES)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give a unit that starts a program which is there, since systemd asks for that."""
    copy = tmp_path / str(request.param)
    text = (UNITS / copy.name).read_text(encoding="utf-8")
    assert 1 == text.count(INSTALLED)
    copy.write_text(text.replace(INSTALLED, sys.executable), encoding="utf-8")
    return copy


def test_systemd_understands_it(unit: Path) -> None:
    """Without a word about it."""
    judged = analyze("verify", "--recursive-errors=no", str(unit))

    assert (0, "", "") == (judged.returncode, judged.stdout, judged.stderr)


def test_systemd_would_say_what_it_does_not_understand(unit: Path) -> None:
    """So that silence means something."""
    text = unit.read_text(encoding="utf-8")
    unit.write_text(text.replace("NoNewPrivileges=", "NoPrivileges="), encoding="utf-8")

    assert "Unknown key" in analyze("verify", "--recursive-errors=no", str(unit)).stderr


def test_it_may_do_little(unit: Path) -> None:
    """By systemd's own measure; less than 2 of 10 counts as safe."""
    judging = ("security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}")
    judged = analyze(*judging, str(unit))

    assert 0 == judged.returncode, judged.stdout


def test_both_are_held_alike() -> None:
    """The same sandbox."""
    exporter, browser = (
        (UNITS / name).read_text(encoding="utf-8").partition(SANDBOX)[2] for name in NAMES
    )

    assert exporter
    assert exporter == browser


@pytest.mark.parametrize(
    ("name", "settings"), [(NAMES[0], ExporterSettings), (NAMES[1], BrowserSettings)]
)
def test_every_secret_is_a_credential(name: str, settings: type[Settings]) -> None:
    """No address with a password is in a variable, which others could read."""
    unit = Unit.read(name)
    given = {each.partition("=")[0] for each in unit.settings["Environment"]}
    secrets = {f"{spec.variable}_FILE" for spec in specs(settings) if spec.secret}

    assert secrets <= given
    assert [] == [each for each in unit.settings["Environment"] if "URL=" in each]


@contextmanager
def confined(
    name: str, sources: Mapping[str, str], directory: Path, **settings: str
) -> Iterator[str]:
    """Run what a unit starts, with its variables and credentials; gives where it serves.

    `sources` are the files that the unit's credentials come from. At the end it must end in order.
    """
    unit = Unit.read(name)
    credentials = directory / "credentials"
    unit.load_credentials(sources, credentials)
    variables = unit.environment(credentials=credentials, state=directory)
    program = str(Path(sys.executable).with_name("kato-exporter"))
    log = directory / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "support.sandbox", name, *unit.command(program)],
            cwd=ROOT / "tests",
            env=environment_with(variables | settings),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )

    def said() -> re.Match[str] | None:
        assert process.poll() is None, log.read_text()
        return re.search(r"url=(http://[^/\s]+)", log.read_text())

    try:
        yield eventually(said, within=PATIENCE, what="it serves")[1]
        process.terminate()
        assert 0 == process.wait(PATIENCE), log.read_text()
        assert "level=error" not in log.read_text()
    finally:
        process.kill()
        process.wait()


def test_the_exporter_serves_as_its_unit_confines_it(redis7: RedisServer, tmp_path: Path) -> None:
    """The address of Redis is a credential; the store that has none is not configured."""
    sources = {"/etc/kato/exporter/redis_url": f"{redis7.url}\n"}
    listen = f"{LOOPBACK}:0"
    with confined("kato-exporter.service", sources, tmp_path, KATO_LISTEN=listen) as url:
        scraped = Samples.of(httpx.get(f"{url}/metrics", trust_env=False, timeout=PATIENCE).text)

    assert 1 == scraped.value("kato_store_up", store="redis")
    assert scraped.value("kato_store_up", store="mongodb") is None
    assert abs(time.time() - (scraped.value("process_start_time_seconds") or 0)) < 2 * PATIENCE


def test_the_browser_serves_as_its_unit_confines_it(mongo: MongoServer, tmp_path: Path) -> None:
    """Its accounts are a credential, and trash and audit log are in its state directory."""
    [state] = Unit.read("kato-browser.service").settings["StateDirectory"]
    (tmp_path / state).mkdir(mode=0o700)
    sources = {
        "/etc/kato/browser/mongo_url": mongo.url,
        "/etc/kato/browser/accounts.toml": account_lines(
            Account(READER, "viewer", hash_password(PASSWORD))
        ),
    }
    settings = {"KATO_BROWSER_LISTEN": f"{LOOPBACK}:0", "KATO_BROWSER_WRITABLE": "true"}
    with (
        confined("kato-browser.service", sources, tmp_path, **settings) as url,
        httpx.Client(
            base_url=url, auth=(READER, PASSWORD), trust_env=False, timeout=PATIENCE
        ) as client,
    ):
        home = client.get("/", params={"format": "json"}).json()

    assert {("mongodb", True)} == {(each["store"], each["up"]) for each in home["stores"]}
    assert (tmp_path / state / "records.sqlite3").exists()


def test_what_a_unit_does_not_allow_fails() -> None:
    """So that the confinement of the tests above means something."""
    program = "import os; os.nice(1)"
    ended = subprocess.run(
        [sys.executable, "-m", "support.sandbox", NAMES[0], sys.executable, "-c", program],
        cwd=ROOT / "tests",
        env=environment_with({}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert 1 == ended.returncode
    assert "Operation not permitted" in ended.stderr


def test_the_browser_does_not_start_without_accounts(tmp_path: Path) -> None:
    """There is nothing in place of the file, so that systemd refuses."""
    with pytest.raises(KeyError, match="accounts"):
        Unit.read("kato-browser.service").load_credentials({}, tmp_path / "credentials")
