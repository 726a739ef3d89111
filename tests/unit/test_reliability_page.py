"""docs/reliability.md has a measured cell for each fault of each store."""

import re
from pathlib import Path

import pytest

from support.matrix import FAULTS, STORES_OF, Side, cells
from support.matrix_page import COMMAND, FAILED, NOT_RUN, PROMISES, Cell, page

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
HEADINGS: dict[Side, str] = {"exporter": "The exporter", "browser": "The record browser"}
MEASURED = re.compile(r"(\d+\.\d\d) s, (\d+\.\d\d) s")


def matrix_of(text: str, side: Side) -> dict[tuple[str, str], str]:
    """Read the last table of a side: what each cell says, by titles of store and fault."""
    [section] = re.findall(rf"(?ms)^## {HEADINGS[side]}$(.+?)(?=^## |\Z)", text)
    [head, _, *rows] = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    return {
        (row[0], fault): cell for row in rows for fault, cell in zip(head[1:], row[1:], strict=True)
    }


@pytest.mark.parametrize("side", ["exporter", "browser"])
def test_the_page_has_every_cell_and_each_has_held(side: Side) -> None:
    """Rows and columns are those of the matrix, and each cell kept what it promises."""
    found = matrix_of(PAGE.read_text(encoding="utf-8"), side)
    titles = [(store.title, fault.title) for store in STORES_OF[side] for fault in FAULTS]

    assert titles == list(found), f"run: {COMMAND}"
    for where, cell in found.items():
        match = MEASURED.fullmatch(cell)
        assert match is not None, (where, cell)
        assert float(match[1]) < PROMISES[side].deadline, where
        assert float(match[2]) < PROMISES[side].recovery, where


def test_the_page_is_as_the_code_writes_it() -> None:
    """All but the measured cells and the machine is what the code would write today."""
    assert skeleton(page({})) == skeleton(PAGE.read_text(encoding="utf-8")), f"run: {COMMAND}"


def skeleton(text: str) -> str:
    """Leave out what differs from run to run."""
    text = re.sub(r"(?m)^Measured on .*$", "", text)
    return MEASURED.sub("*", text).replace(NOT_RUN, "*")


def test_a_cell_says_what_became_of_it() -> None:
    """Measured, failed or not run: the page shows which."""
    [first, second, *_] = [(store, fault.name) for store, fault in cells("browser")]
    held, broken = Cell(), Cell()
    held.measured(answered=0.512, recovered=1.0)
    found = matrix_of(page({("browser", *first): held, ("browser", *second): broken}), "browser")

    assert ["0.51 s, 1.00 s", FAILED, NOT_RUN] == list(found.values())[:3]
