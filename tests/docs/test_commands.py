"""Every command of the pages is typed on a machine like the reader's."""

import re
from pathlib import Path

import pytest

from support.documents import ROOT, Command, commands
from support.reader_machine import ReaderMachine, is_serving

NOT_RUN = {
    r"^docker compose|[(|] *docker compose": "test_compose_commands.py reads it",
    r"\bmongo(sh|dump|restore)? ": "cannot be had here; test_blocks.py reads the JavaScript",
    r"^docker (build|run) ": "tests/integration/test_image.py builds the image and runs it",
    r"pip install |-m venv |^(uvx|pipx) ": "tests/integration/test_package.py installs and runs it",
    r"^\.venv/bin/pytest": "is a part of the run that this is a part of",
    r"^make ": "test_blocks.py looks for the target",
    r"\bNAME\b|\bID$": "the reader fills in a name",
    r"^(sudo )?(systemctl|journalctl|dmesg|last)\b": "nothing here manages services",
    r"^docker (image|volume|system) prune|^docker volume rm": "asks first, or is what not to type",
    r"^docker update --cpus": "this machine may have fewer CPUs",
    r"^redis-cli -h": "is for typing at, on a machine with a Redis on its usual port",
    r"/snapshots": "the stub of Qdrant keeps no snapshots",
    r"-X PATCH http://127.0.0.1:6333": "the stub of Qdrant has no optimizer",
    r"-X POST http://127.0.0.1:8000/sessions": "the stub of KATO's API makes no sessions",
}
"""What is not run, by a pattern, and why."""

HERE = Path(__file__).parent
COMMANDS = commands()
RUN = [each for each in COMMANDS if not any(re.search(why, each.text) for why in NOT_RUN)]
WRONG_WORDS = re.compile(
    r"command not found|unknown (flag|command|shorthand)|unrecognized option|[Uu]sage: |ERR "
    r"|WRONGTYPE|No such container|Could not connect|No such file"
)
MAY_END_WITH = {r"\| grep ": 1, r"\| head ": 141, r"openssl s_client ": 1}
"""What else a part of a pipe may give: nothing was found, enough was read, nobody has signed it."""


@pytest.mark.parametrize("command", RUN, ids=str)
def test_a_command_does_what_it_should(machine: ReaderMachine, command: Command) -> None:
    """It ends with 0, or with what `grep` and `head` may make of that, and nothing is misspelt."""
    if is_serving(command.text):
        outcome = machine.serve(command.text)
        fine = {0}
    else:
        questions = len(re.findall(r"(?m):$", command.block.text))
        outcome = machine.run(command.text, questions=questions or 1)
        fine = {0} | {end for part, end in MAY_END_WITH.items() if re.search(part, command.text)}

    assert outcome.status in fine, outcome.said
    assert not WRONG_WORDS.search(outcome.said), outcome.said


@pytest.mark.parametrize(("pattern", "reason"), NOT_RUN.items())
def test_what_is_not_run_is_there(pattern: str, reason: str) -> None:
    """No line of the table is left over, and a test that it names exists."""
    named = re.findall(r"[\w/]+\.py", reason)

    assert any(re.search(pattern, each.text) for each in COMMANDS)
    assert [] == [file for file in named if not ((ROOT / file).exists() or (HERE / file).exists())]
