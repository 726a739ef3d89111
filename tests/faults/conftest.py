"""What the tests of faults have in common."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from support.matrix import Fault, Side
from support.matrix_page import COMMAND, Cell, page

RELIABILITY = os.environ.get("KATO_TEST_RELIABILITY", "")
"""The file that the cells of the fault matrix are written to at the end; empty for none."""

Key = tuple[Side, str, str]


@pytest.fixture
def quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tracker come back without the long pauses that a real outage may cost."""
    monkeypatch.setattr(
        "kato_exporter.collectors.session_tracker.reconnect_pause",
        lambda failures: min(0.1 * failures, 0.3),
    )


@pytest.fixture(scope="session")
def matrix() -> Iterator[dict[Key, Cell]]:
    """Gather the cells of the fault matrix, and write them down where that is asked for."""
    if RELIABILITY and "PYTEST_XDIST_WORKER" in os.environ:
        pytest.fail(f"one process must run all cells: {COMMAND}", pytrace=False)
    cells: dict[Key, Cell] = {}
    yield cells
    if RELIABILITY:
        Path(RELIABILITY).write_text(page(cells), encoding="utf-8")


@pytest.fixture
def cell(request: pytest.FixtureRequest, matrix: dict[Key, Cell]) -> Cell:
    """Give the cell that the test is about."""
    side = cast("Side", request.path.stem.removeprefix("test_matrix_"))
    store, fault = (request.node.callspec.params[name] for name in ("store", "fault"))
    assert isinstance(fault, Fault)
    return matrix.setdefault((side, store, fault.name), Cell())
