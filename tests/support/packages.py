"""The wheel and the sdist, and environments that have nothing but what is installed into them."""

import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.compose import ROOT
from support.exporting import environment_with

LOCKED = ROOT / "requirements"

_TOOLS = Path(sysconfig.get_path("scripts"))
_SECONDS = 150.0
_PINNED = re.compile(r"^([a-z0-9-]+==[^\s;]+(?: ; [^\\\n]+)?)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Built:
    """A wheel and an sdist."""

    wheel: Path
    sdist: Path


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment of its own."""

    directory: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.directory / "bin" / "python"

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program that is installed in it to its end."""
        return run(str(self.directory / "bin" / program), *arguments)


def build(source: Path, directory: Path) -> Built:
    """Make wheel and sdist of a source tree, as `make build` does."""
    tool("hatchling", "build", "--directory", str(directory), cwd=source)
    [wheel], [sdist] = directory.glob("*.whl"), directory.glob("*.tar.gz")
    return Built(wheel, sdist)


def install(wheel: Path, directory: Path, *, python: str, extra: str = "run") -> Environment:
    """Make an environment of a wheel and the requirements that are locked for an extra."""
    environment = Environment(directory)
    into = ("--quiet", "--python", str(environment.python))
    locked = str(LOCKED / f"{extra}.txt")
    tool("uv", "venv", "--quiet", "--no-project", "--python", python, str(directory))
    tool("uv", "pip", "install", *into, "--require-hashes", "--no-deps", "--requirements", locked)
    tool("uv", "pip", "install", *into, "--no-deps", str(wheel))
    tool("uv", "pip", "check", *into)
    return environment


def interpreter(version: str) -> str:
    """Find a Python by its version, such as 3.12; skips the test where there is none."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = run(_tool("uv"), "python", "find", "--system", "--no-python-downloads", version)
    if found.returncode:
        pytest.skip(f"there is no Python {version} on the PATH")
    return found.stdout.strip()


def constraints(file: Path) -> Path:
    """Write the locked versions in the form in which every installer takes constraints."""
    pinned = _PINNED.findall((LOCKED / "run.txt").read_text(encoding="utf-8"))
    file.write_text("\n".join(pinned), encoding="utf-8")
    return file


def tool(name: str, *arguments: str, cwd: Path = ROOT, **variables: str) -> str:
    """Run a tool that the tests are installed with, which must end with 0; give its output."""
    done = run(_tool(name), *arguments, cwd=cwd, **variables)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def run(
    program: str, *arguments: str, cwd: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, in an environment without settings of ours and of Python's."""
    environment = environment_with(variables)
    for name in ("PYTHONPATH", "VIRTUAL_ENV", "SOURCE_DATE_EPOCH"):
        if name not in variables:
            environment.pop(name, None)
    return subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def _tool(name: str) -> str:
    return str(_TOOLS / name)
