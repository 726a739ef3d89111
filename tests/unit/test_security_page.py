"""docs/security.md says what the tests show: they exist, and its numbers are those of ASVS 5.0."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
REQUIREMENTS = {
    1: (2, 10, 12, 3, 3),
    2: (3, 3, 5, 2),
    3: (1, 3, 5, 8, 8, 1, 5),
    4: (5, 5, 2, 4),
    5: (1, 6, 3, 3),
    6: (3, 12, 8, 6, 8, 4, 2, 4),
    7: (3, 4, 2, 5, 3, 2),
    8: (4, 4, 3, 2),
    11: (4, 5, 5, 4, 2, 2, 2),
    12: (5, 2, 5),
    13: (4, 6, 4, 7),
    14: (2, 8, 3),
    15: (5, 5, 7, 4),
    16: (1, 5, 4, 3, 4),
}
"""How many requirements the sections of the chapters of ASVS 5.0.0 have, where they concern us."""

MET, NOT_MET = 4, 3
"""Columns of the tables of what is met, and of what is not."""

NUMBER = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{1,2})")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
LINK = re.compile(r"\[[^]]+\]\(([^)#]*)(?:#([^)]+))?\)")


def rows(text: str, columns: int) -> list[list[str]]:
    """Give the cells of the rows about requirements that have so many."""
    lines = (line.strip(" |").split("|") for line in text.splitlines() if line.startswith("|"))
    cells = [[cell.strip() for cell in line] for line in lines]
    return [each for each in cells if len(each) == columns and each[0][:1].isdecimal()]


TEXT = PAGE.read_text(encoding="utf-8")
ALL_MET, ALL_NOT_MET = rows(TEXT, MET), rows(TEXT, NOT_MET)


@cache
def names_of_tests(file: str) -> frozenset[str]:
    """Name the test functions of a file, without importing it."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(
        each.name
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
    )


@cache
def anchors(file: Path) -> frozenset[str]:
    """Give what a link into a page can name: its headings, as they are spelled in links."""
    titles = re.findall(r"(?m)^#+ (.+)$", file.read_text(encoding="utf-8"))
    return frozenset(re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles)


def test_the_tables_are_read() -> None:
    """Every row that begins with a number, so that none is passed over below."""
    told = [line for line in TEXT.splitlines() if re.match(r"\| *V?\d", line)]
    assert len(told) == len(ALL_MET) + len(ALL_NOT_MET)
    assert ALL_MET
    assert ALL_NOT_MET


@pytest.mark.parametrize("row", [*ALL_MET, *ALL_NOT_MET], ids=lambda row: f"{row[0]} {row[1]}")
def test_a_number_is_one_of_asvs_5(row: list[str]) -> None:
    """Chapter, section and requirement, and there is such a one."""
    match = NUMBER.fullmatch(row[0])
    assert match is not None
    chapter, section, number = map(int, match.groups())
    sections = REQUIREMENTS[chapter]
    assert 1 <= section <= len(sections)
    assert 1 <= number <= sections[section - 1]
    assert row[1]


@pytest.mark.parametrize("row", ALL_MET, ids=lambda row: f"{row[0]} {row[1]}")
def test_what_is_met_is_shown(row: list[str]) -> None:
    """By tests that exist and nothing else, or by the page that it asks for."""
    shown = row[-1]
    for file, name in TEST.findall(shown):
        assert name in names_of_tests(file), f"{file}::{name}"
    if "`tests/" in shown:
        assert not TEST.sub("", shown).strip()
    else:
        assert shown.startswith("documented: ")
        assert LINK.search(shown)


@pytest.mark.parametrize("row", ALL_NOT_MET, ids=lambda row: f"{row[0]} {row[1]}")
def test_what_is_not_met_says_what_remains(row: list[str]) -> None:
    """A number alone would help nobody."""
    assert len(row[-1].split()) > 1


def test_each_requirement_is_met_once() -> None:
    """In the order of ASVS, in each table."""
    for table in (ALL_MET, ALL_NOT_MET):
        numbers = [tuple(map(int, row[0].split("."))) for row in table]
        assert sorted(set(numbers)) == numbers


def test_links_lead_somewhere() -> None:
    """To files that are there, and to headings in them."""
    for path, anchor in LINK.findall(TEXT):
        file = (PAGE.parent / path).resolve() if path else PAGE
        assert file.exists(), path
        assert not anchor or anchor in anchors(file), f"{path}#{anchor}"
