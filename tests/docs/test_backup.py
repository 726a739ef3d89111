"""The backup of trash and audit log, as docs/operations.md has it, while somebody writes."""

import re
from contextlib import closing
from pathlib import Path

import pytest

from kato_exporter.browser.records.audit import Author, Deed, append, verify
from kato_exporter.browser.records.journal import FILE_NAME, Journal
from support.documents import ROOT, Command, commands
from support.reader_machine import ReaderMachine

PAGE = ROOT / "docs" / "operations.md"
AUTHOR = Author("alice", "127.0.0.1")
DEED = Deed(
    operation="1",
    action="delete",
    store="redis",
    kind="key",
    record="r",
    before="a",
    after="",
    result="done",
)


def of_the_page(pattern: str) -> list[Command]:
    """Give the commands of the page that have something in them; there must be some."""
    found = [each for each in commands() if PAGE == each.block.page and pattern in each.text]
    assert found
    return found


@pytest.fixture
def directory(machine: ReaderMachine) -> Path:
    """Give the data directory of the machine's record browser, without a file."""
    directory = Path(machine.here("/var/lib/kato"))
    for file in directory.iterdir():
        file.unlink()
    return directory


def test_a_backup_of_a_running_browser_is_put_back(machine: ReaderMachine, directory: Path) -> None:
    """All that was written before it is there again, and the log goes on from it."""
    with closing(Journal(directory)) as journal:
        append(journal, AUTHOR, [DEED] * 3)
        for command in of_the_page("/var/backups/kato")[:2]:
            assert 0 == machine.run(command.text).status
        append(journal, AUTHOR, [DEED])
    for command in of_the_page("/var/lib/kato/records.sqlite3-wal") + of_the_page(
        "install -m 0600"
    ):
        assert 0 == machine.run(command.text).status

    assert 3 == verify(directory).entries
    with closing(Journal(directory)) as journal:
        append(journal, AUTHOR, [DEED])
    assert (4, None) == (verify(directory).entries, verify(directory).fault)


def test_a_copy_is_made_with_python_alone(machine: ReaderMachine, directory: Path) -> None:
    """What `docker compose exec` runs in the container."""
    [command] = of_the_page("VACUUM INTO")
    python = re.sub(r"^docker compose exec -T browser ", "", command.text)
    with closing(Journal(directory)) as journal:
        append(journal, AUTHOR, [DEED] * 3)
        outcome = machine.run(python)
    copy = directory / "copied"
    copy.mkdir()
    (directory / "copy").rename(copy / FILE_NAME)

    assert 0 == outcome.status, outcome.said
    assert 3 == verify(copy).entries
    (copy / FILE_NAME).unlink()
    copy.rmdir()
