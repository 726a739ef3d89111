"""Every link of every page leads somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from support.documents import PAGES, ROOT, Link, anchors, links

LINKS = [link for page in PAGES for link in links(page)]
INSIDE = [link for link in LINKS if not urlsplit(link.target).scheme]
OUTSIDE = [link for link in LINKS if urlsplit(link.target).scheme]
README = ROOT / "README.md"
ENTRANCE = ROOT / "docs" / "README.md"
BEHIND_A_TABLE = ("decisions", "runbooks")
"""Folders whose pages are found by a page of their own, or by their list."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    """To a file or a folder of this tree, and to a heading of that page where they name one."""
    assert [] == [fault for link in INSIDE if page == link.page for fault in faults(link)]


def test_links_to_elsewhere_are_addresses() -> None:
    """Of the web, with a host, and nothing in them that has to be escaped. Nobody is asked."""
    odd = [
        str(link)
        for link in OUTSIDE
        if urlsplit(link.target).scheme not in ("http", "https")
        or not urlsplit(link.target).hostname
        or not re.fullmatch(r"[!#-;=?-Z\[\]_a-z~%]+", link.target)
    ]

    assert OUTSIDE
    assert [] == odd


def test_every_page_is_found_from_the_entrance() -> None:
    """docs/README.md has a line for each page, so that nobody has to look into the folder."""
    linked = {(link.page.parent / link.target).resolve() for link in links(ENTRANCE)}
    pages = {
        page
        for page in PAGES
        if page != ENTRANCE and page.parent.name not in BEHIND_A_TABLE and page != README
    }

    assert [] == sorted(str(page.relative_to(ROOT)) for page in pages - linked)
    assert ENTRANCE in {(README.parent / link.target).resolve() for link in links(README)}


def test_every_decision_is_listed() -> None:
    """docs/README.md names each one."""
    linked = {(link.page.parent / link.target).resolve() for link in links(ENTRANCE)}

    assert set() == set((ROOT / "docs" / "decisions").glob("*.md")) - linked


def test_every_picture_is_shown() -> None:
    """No page lacks one, and none lies about."""
    shown = {(link.page.parent / link.target).resolve() for link in INSIDE}

    assert set() == set((ROOT / "docs" / "images").iterdir()) - shown


@pytest.mark.parametrize("target", ["docs/nowhere.md", "docs/browser.md#nothing", "#nothing"])
def test_a_broken_link_is_seen(target: str) -> None:
    """So that the tests above can fail."""
    assert [] != faults(Link(README, target))


def faults(link: Link) -> list[str]:
    """Say what is wrong with a link to this tree."""
    path, _, anchor = link.target.partition("#")
    file = (link.page.parent / unquote(path)).resolve() if path else link.page
    if not file.exists():
        return [f"{link}: there is no such file"]
    if not file.is_relative_to(ROOT):
        return [f"{link}: leads out of the tree"]
    if anchor and (file.suffix != ".md" or anchor not in anchors(file)):
        return [f"{link}: there is no such heading"]
    return []
