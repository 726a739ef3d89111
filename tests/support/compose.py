"""compose.yaml as data, and Debian's docker-compose to read it as an engine's client does."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from support.servers import missing

ROOT = Path(__file__).parents[2]
FILE = ROOT / "compose.yaml"
PROGRAM = "docker-compose"

_NEWER_THAN_PROGRAM = "name: "  # the project's name is an option of Debian's
_SECONDS = 120.0


def load(text: str) -> dict[str, Any]:
    """Read a Compose file, without the values of variables."""
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def compose(
    directory: Path,
    *arguments: str,
    overrides: Mapping[str, Any] | None = None,
    env_file: Path | None = None,
    profiles: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run docker-compose on compose.yaml with all of its profiles' services, and give its output.

    `overrides` is laid over the file; `env_file` stands in for the user's `.env`. What has to be
    written goes to the directory. Skips or fails the test where there is no docker-compose.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        missing("no docker-compose on the PATH: apt-get install docker-compose")
    name = load(FILE.read_text())["name"]
    lines = FILE.read_text().splitlines(keepends=True)
    ours = directory / "compose.yaml"
    ours.write_text("".join(line for line in lines if not line.startswith(_NEWER_THAN_PROGRAM)))
    files = [ours]
    if overrides is not None:
        files.append(directory / "overrides.yaml")
        files[-1].write_text(yaml.safe_dump(dict(overrides)))
    empty = directory / "empty.env"
    empty.touch()
    done = subprocess.run(
        [
            *(program, "--project-name", name, "--project-directory", str(ROOT)),
            *(part for file in files for part in ("--file", str(file))),
            *("--env-file", str(env_file or empty)),
            *(part for profile in profiles for part in ("--profile", profile)),
            *arguments,
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(directory), **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout
