"""What the pages show as a program's output is what it prints."""

import re

from support.documents import ROOT, blocks_of
from support.reader_machine import ReaderMachine

CONNECT = ROOT / "docs" / "connect.md"


def table(text: str) -> list[list[str]]:
    """Give the words of the table of collectors, by rows."""
    return [
        re.split(r" {2,}", line.strip()) for line in text[text.index("collector ") :].splitlines()
    ]


def test_the_sample_of_a_check_is_what_it_prints(machine: ReaderMachine) -> None:
    """Every collector, when it is asked, and how many series it makes at most."""
    [sample] = [
        block.text
        for block in blocks_of("text")
        if CONNECT == block.page and "series at most" in block.text
    ]
    outcome = machine.run("KATO_HOST=kato.example kato-exporter check")

    assert table(outcome.said) == table(sample)
