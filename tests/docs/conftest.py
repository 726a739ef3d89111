"""The machine of the reader, for all tests of the pages."""

from collections.abc import Iterator

import pytest

from support.documents import PAGES, blocks, blocks_of
from support.reader_machine import ReaderMachine, reader_machine

ACCOUNT = "everything"
"""The name of the accounts that the exporter uses."""

ONCE = "once"
"""The name of the commands that the others need to have been typed."""


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReaderMachine]:
    """Set up the machine, with the files and the accounts that the pages tell to make."""
    with reader_machine(tmp_path_factory.mktemp("reader")) as machine:
        for page in PAGES:
            for block in blocks(page):
                if (path := block.file) is not None:
                    machine.write(path, block.text)
        for block in blocks_of("acl", "javascript"):
            if ACCOUNT == block.name:
                (machine.ask_redis if "acl" == block.kind else machine.ask_mongodb)(block.text)
        for block in blocks_of("sh"):
            if ONCE == block.name:
                outcome = machine.run(block.text)
                assert 0 == outcome.status, outcome.said
        yield machine
