"""Each promise of the README stands on docs/promises.md, beside tests that exist."""

import ast
import re
from functools import cache

import pytest

from support.documents import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
ROWS = [(row[1].strip(), row[2].strip()) for row in re.finditer(r"(?m)^\|(.+)\|(.+)\|$", PAGE)][2:]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def words(text: str) -> str:
    """Give a text as one line."""
    return " ".join(text.split())


@cache
def names_of_tests(file: str) -> frozenset[str]:
    """Name the test functions of a file, without importing it."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(
        each.name
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
    )


def test_every_promise_of_the_readme_is_on_the_page() -> None:
    """What is bold in the list of what one can rely on."""
    section = README.partition("## What you can rely on")[2].partition("\n## ")[0]
    promises = re.findall(r"(?m)^- (\*\*.+?\*\*)", section)

    assert section.count("\n- ") == len(promises) > 1
    assert [] == [each for each in promises if each not in dict(ROWS)]


@pytest.mark.parametrize(("promise", "shown"), ROWS, ids=[promise for promise, _ in ROWS])
def test_a_promise_is_shown(promise: str, shown: str) -> None:
    """It is in the README word for word, and the tests beside it exist."""
    found = TEST.findall(shown)

    assert words(promise) in words(README)
    assert found
    assert not TEST.sub("", shown).strip()
    assert [] == [f"{file}::{name}" for file, name in found if name not in names_of_tests(file)]
