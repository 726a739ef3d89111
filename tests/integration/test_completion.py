"""Completion, in the shells themselves."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from kato_exporter.cli import cli
from kato_exporter.settings import COLLECTORS
from support.exporting import environment_with, run_command
from support.servers import missing
from support.terminal import Terminal

PROMPT = "ready> "
CLEAR_LINE = "\x15"

STARTS = {
    "bash": (["--norc", "--noprofile", "-i"], f"PS1='{PROMPT[:3]}''{PROMPT[3:]}'"),
    "zsh": (
        ["-f", "-i"],
        f"autoload -Uz compinit; compinit -D; bindkey -e; PS1='{PROMPT[:3]}''{PROMPT[3:]}'",
    ),
}
"""How a shell starts, and what makes its prompt one that can be told from the line that sets it."""

CASES = {
    "kato-exporter ser": "kato-exporter serve ",
    "kato-exporter audit ver": "kato-exporter audit verify ",
    "kato-exporter serve --redis-u": "kato-exporter serve --redis-url",
    "kato-exporter check --collectors redis,know": (
        "kato-exporter check --collectors redis,knowledge "
    ),
}
"""What is typed, and what the line becomes."""


def environment() -> dict[str, str]:
    """Let a shell find our command, on a terminal that moves no cursor."""
    ours = str(Path(sys.executable).parent)
    settings = environment_with({"TERM": "dumb", "LC_ALL": "C.UTF-8"})
    return settings | {"PATH": f"{ours}:{settings['PATH']}"}


@pytest.mark.parametrize("shell", STARTS)
def test_a_shell_completes_the_line(shell: str) -> None:
    """With the tabulator, after its script was read as the documentation has it."""
    if shutil.which(shell) is None:
        missing(f"no {shell} on the PATH")
    arguments, prepare = STARTS[shell]
    with Terminal([shell, *arguments], environment()) as terminal:
        terminal.type(f"{prepare}\r")
        terminal.until(PROMPT)
        terminal.type(f'eval "$(kato-exporter completion {shell})"\r')
        terminal.until(PROMPT)
        for typed, completed in CASES.items():
            terminal.type(f"{typed}\t")
            terminal.until(completed)
            terminal.type(f"{CLEAR_LINE}{prepare}\r")
            terminal.until(PROMPT)


def test_fish_completes_the_line() -> None:
    """Its script cuts what is offered at a comma, so a list ends with its first name."""
    fish = shutil.which("fish") or missing("no fish on the PATH")
    lines = ("kato-exporter ser", "kato-exporter serve --redis-u", "kato-exporter check --coll")
    asked = "\n".join(f"complete --do-complete '{line}'" for line in lines)
    offered = subprocess.run(
        [fish, "--no-config", "--command", f"kato-exporter completion fish | source\n{asked}"],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout

    assert ["serve", "--redis-url", "--redis-url-file", "--collectors"] == [
        line.partition("\t")[0] for line in offered.splitlines()
    ]


@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("", list(COLLECTORS)),
        ("redis", ["redis", "redis_streams"]),
        ("redis,re", ["redis,redis_streams"]),
        ("sessions,qdrant,k", ["sessions,qdrant,knowledge", "sessions,qdrant,kato_api"]),
        ("nothing", []),
    ],
)
def test_a_list_of_collectors_goes_on(begun: str, offered: list[str]) -> None:
    """With names that are not in it."""
    completer = BashComplete(cli, {}, "kato-exporter", "_KATO_EXPORTER_COMPLETE")
    found = completer.get_completions(["serve", "--collectors"], begun)

    assert offered == [each.value for each in found]


def test_a_shell_that_is_not_known_is_refused() -> None:
    """In one line that names those that are."""
    refused = run_command("completion", "tcsh")

    assert 2 == refused.returncode
    [line] = refused.stderr.splitlines()
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in line
