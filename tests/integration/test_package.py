"""Wheel and sdist: what is in them, and that they install and run where there is nothing else."""

import os
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path

import pytest

from kato_exporter import __version__
from support.compose import ROOT
from support.packages import (
    Built,
    Environment,
    build,
    constraints,
    install,
    interpreter,
    run,
    tool,
)

FULL = bool(os.environ.get("KATO_TEST_FULL"))
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
SAID = f"kato-exporter, version {__version__}\n"
PROGRAM = "exporter/kato_exporter"
SHARED = {
    "alertmanager": "alertmanager",
    "deploy/systemd": "systemd",
    "docs/runbooks": "docs/runbooks",
    "grafana/dashboards": "grafana/dashboards",
    "grafana/provisioning": "grafana/provisioning",
    "prometheus/prometheus.yml": "prometheus/prometheus.yml",
    "prometheus/remote-write.example.yml": "prometheus/remote-write.example.yml",
    "prometheus/rules": "prometheus/rules",
}
"""What a wheel brings beside the program, and where below share/kato-exporter."""

USER = """\
from kato_exporter import __version__
from kato_exporter.kato.sessions import born_at, parse_session_key

handle = parse_session_key(b"kato:session:session-" + b"0" * 32 + b"-1700000000000")
{asked}
name: str = __version__
born: float = born_at(handle)
"""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build wheel and sdist, once."""
    return build(ROOT, tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def source(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the sdist."""
    directory = tmp_path_factory.mktemp("source")
    with tarfile.open(built.sdist) as tar:
        tar.extractall(directory, filter="data")
    [unpacked] = directory.iterdir()
    return unpacked


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Install the wheel where there is nothing else."""
    return install(built.wheel, tmp_path_factory.mktemp("env") / "env", python=sys.executable)


def files(place: Path) -> Iterator[Path]:
    """Give a file, or all files below a directory but compiled ones."""
    below = place.rglob("*") if place.is_dir() else [place]
    return (each for each in below if each.is_file() and each.suffix != ".pyc")


def named(wheel: Path) -> list[str]:
    """Give the names of the files in a wheel."""
    with zipfile.ZipFile(wheel) as packed:
        return [each.filename for each in packed.infolist() if not each.is_dir()]


def test_the_wheel_has_the_program_and_what_its_neighbours_read(built: Built) -> None:
    """Each file once: the package with its types, rules, dashboards, units; nothing else."""
    names = named(built.wheel)
    program = {str(each.relative_to(ROOT / "exporter")) for each in files(ROOT / PROGRAM)}
    shared = {
        f"share/kato-exporter/{place}" + str(each).removeprefix(str(ROOT / ours))
        for ours, place in SHARED.items()
        for each in files(ROOT / ours)
    }
    data = f"kato_exporter-{__version__}.data/data/"
    info = f"kato_exporter-{__version__}.dist-info/"

    assert len(names) == len(set(names))
    assert program == {each for each in names if each.startswith("kato_exporter/")}
    assert "kato_exporter/py.typed" in program
    assert shared == {each.removeprefix(data) for each in names if each.startswith(data)}
    assert {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"} == {
        each.removeprefix(info) for each in names if each.startswith(info)
    }
    assert len(names) == len(program) + len(shared) + 5
    assert f"kato_exporter-{__version__}-py3-none-any.whl" == built.wheel.name


def test_the_sdist_builds_itself_and_the_wheel_of_the_same_bytes(
    built: Built, source: Path, tmp_path: Path
) -> None:
    """In another directory and at another time; and with a date, of that date."""
    again = build(source, tmp_path / "again")

    assert built.wheel.read_bytes() == again.wheel.read_bytes()
    assert built.sdist.read_bytes() == again.sdist.read_bytes()
    dated = tmp_path / "dated"
    made = {"SOURCE_DATE_EPOCH": "1700000000"}
    tool("hatchling", "build", "--target", "wheel", "--directory", str(dated), cwd=source, **made)
    with zipfile.ZipFile(dated / built.wheel.name) as packed:
        assert {(2023, 11, 14)} == {each.date_time[:3] for each in packed.infolist()}


def test_the_sdist_has_what_a_stranger_needs(source: Path) -> None:
    """Sources, tests, documents and locked requirements; nothing of a machine or a tool."""
    entries = {each.name for each in source.iterdir()}

    assert {"exporter", "tests", "docs", "requirements", "scripts", "prometheus"} <= entries
    assert {"README.md", "CHANGELOG.md", "LICENSE", "Makefile", "compose.yaml"} <= entries
    assert {".dockerignore", ".env.example", ".gitignore"} == {
        each for each in entries if each.startswith(".")
    }
    strays = re.compile(r"/(__pycache__|\.[a-z]+_cache|\.venv|dist|build)/|\.(pyc|sqlite3|log)$")
    assert [] == [str(each) for each in files(source) if strays.search(str(each))]


def test_a_package_index_can_show_it(built: Built) -> None:
    """Twine finds no fault, and the description leads nowhere that an index does not have."""
    tool("twine", "check", "--strict", str(built.wheel), str(built.sdist))
    with zipfile.ZipFile(built.wheel) as packed:
        metadata = packed.read(f"kato_exporter-{__version__}.dist-info/METADATA").decode()
    description = str(message_from_string(metadata).get_payload())

    assert description.startswith("# KATO observatory")
    assert "kato-exporter serve" in description
    assert [] == re.findall(r"\]\((?!https?:|#)[^)]*\)|<img|<picture|<source", description)


@pytest.mark.parametrize("version", VERSIONS if FULL else VERSIONS[::2])
def test_it_installs_and_runs_where_there_is_nothing_else(
    built: Built, installed: Environment, tmp_path: Path, version: str
) -> None:
    """With the locked requirements; it says its version, and what it lacks, in one line."""
    python = interpreter(version)
    environment = installed
    if python != sys.executable:
        environment = install(built.wheel, tmp_path / "env", python=python)
    refused = environment.run("kato-exporter", "check")

    assert SAID == environment.run("kato-exporter", "--version").stdout
    assert 2 == refused.returncode
    assert "" == refused.stdout
    [line] = refused.stderr.splitlines()
    assert line.startswith("kato-exporter: no store is configured: set KATO_HOST (--host)")


def test_it_brings_rules_dashboards_and_units(installed: Environment) -> None:
    """Below the environment's prefix, as they are in the source tree."""
    shared = installed.directory / "share" / "kato-exporter"

    for ours, place in SHARED.items():
        for each in files(ROOT / ours):
            relative = str(each).removeprefix(str(ROOT / ours)).lstrip("/")
            assert each.read_bytes() == (shared / place / relative).read_bytes()


def test_it_is_typed(installed: Environment, tmp_path: Path) -> None:
    """Strict mypy accepts a program that uses it rightly, and refuses one that does not."""

    def judged(asked: str) -> str:
        (tmp_path / "user.py").write_text(USER.format(asked=asked))
        judging = ("-m", "mypy", "--strict", "--python-executable", str(installed.python))
        return run(sys.executable, *judging, "user.py", cwd=tmp_path).stdout

    assert "Success: no issues found in 1 source file" in judged("assert handle is not None")
    assert 'incompatible type "SessionHandle | None"' in judged("")


def test_a_demo_without_its_extra_says_what_to_install(installed: Environment) -> None:
    """One line, with the command."""
    refused = installed.run("kato-exporter", "demo")

    assert 2 == refused.returncode
    [line] = refused.stderr.splitlines()
    assert line.endswith("pip install 'kato-exporter[demo]'")


@pytest.mark.skipif(not FULL, reason="installs two servers; KATO_TEST_FULL=1 runs it")
def test_a_demo_of_the_wheel_has_the_rules(built: Built, tmp_path: Path) -> None:
    """Prometheus and Alertmanager are started with them. It is compiled, as pip would have it."""
    environment = install(built.wheel, tmp_path / "env", python=sys.executable, extra="demo")
    environment.run(
        "python", "-m", "compileall", "-q", "-j", "0", str(environment.directory / "lib")
    )
    ended = environment.run("kato-exporter", "demo", "--duration", "5")

    assert 0 == ended.returncode, ended.stderr
    assert re.search(r"^prometheus +http://127.0.0.1:", ended.stdout, re.MULTILINE)
    assert re.search(r"^alertmanager +http://127.0.0.1:", ended.stdout, re.MULTILINE)


def test_uvx_runs_it(built: Built, tmp_path: Path) -> None:
    """Without an installation, in an environment that uv makes for it."""
    locked = str(constraints(tmp_path / "constraints.txt"))
    said = tool(
        "uvx", "--constraints", locked, "--from", str(built.wheel), "kato-exporter", "--version"
    )

    assert SAID == said


def test_pipx_runs_it(built: Built, tmp_path: Path) -> None:
    """Likewise, with pip."""
    locked = constraints(tmp_path / "constraints.txt")
    said = tool(
        *("pipx", "run", "--no-cache", "--pip-args", f"--constraint {locked}"),
        *("--spec", str(built.wheel), "kato-exporter", "--version"),
        PIPX_HOME=str(tmp_path / "pipx"),
    )

    assert SAID == said
