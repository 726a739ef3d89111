"""The `docker compose` commands of the pages: they name services and options that there are.

They are not run, since the images cannot be had by their names; that the whole of compose.yaml
comes up and sees itself is shown by tests/integration/test_image.py.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import pairwise, takewhile

import pytest

from support.compose import FILE, PROGRAM, ROOT, load
from support.documents import commands
from support.servers import missing

KATOS = {"kato", "mongodb", "redis", "qdrant"}
"""Services of KATO's own Compose file, which some runbooks mean."""

SERVICES = set(load(FILE.read_text())["services"]) | KATOS
NEWER = {"logs": {"--since": True}, "kill": {"--signal": True}}
"""Options of Compose 2, by its documentation, which Debian's docker-compose has not."""

OPTION = re.compile(r' +(-[-\w, ]*?)((?: |=)(?:[A-Z][A-Z|_]*|"\w+"))?(?:  |$)')


def invocations(text: str) -> Iterator[list[str]]:
    """Give the words behind each `docker compose` of a command."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    for at, pair in enumerate(pairwise(words)):
        if ("docker", "compose") == pair:
            yield list(takewhile(lambda word: not set(word) <= set("|&;<>()"), words[at + 2 :]))


FOUND = [(each, words) for each in commands() for words in invocations(each.text)]


@cache
def help_of(*subcommand: str) -> str:
    """Give what docker-compose says of itself, or of a subcommand."""
    program = shutil.which(PROGRAM)
    if program is None:
        missing("no docker-compose on the PATH: apt-get install docker-compose")
    return subprocess.run(
        [program, *subcommand, "--help"], capture_output=True, text=True, timeout=60, check=True
    ).stdout


def options_of(text: str) -> dict[str, bool]:
    """Read the options in a help, and whether each takes a value."""
    found: dict[str, bool] = {}
    for line in text.splitlines():
        if match := OPTION.match(line):
            for name in re.findall(r"--?[a-zA-Z][\w-]*", match[1]):
                found[name] = match[2] is not None
    return found


def taken(words: list[str], known: dict[str, bool]) -> list[str]:
    """Take options, and their values, from the front of some words; give the rest."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        name, _, value = rest.pop(0).partition("=")
        assert name in known, f"{name} is no option"
        if known[name] and not value:
            argument = rest.pop(0)
            assert name != "--env-file" or (ROOT / argument).is_file()
    return rest


@pytest.mark.parametrize(
    "words", [words for _, words in FOUND], ids=[str(each) for each, _ in FOUND]
)
def test_a_command_names_what_there_is(words: list[str]) -> None:
    """Options before the subcommand, the subcommand, its options, and services."""
    subcommand, *behind = taken(words, options_of(help_of()))
    services = taken(behind, options_of(help_of(subcommand)) | NEWER.get(subcommand, {}))
    if subcommand in ("exec", "run"):
        services = services[:1]

    assert set(services) <= SERVICES, services
