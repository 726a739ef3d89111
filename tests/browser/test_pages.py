"""Every page that links lead to: at every width, in both themes, with and without a script."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from http import HTTPStatus
from urllib.parse import urlencode

import pytest

from support.browsing import Site, sign_in
from support.chromium import THEMES, WIDTHS, Reader, Theme
from support.crawling import Found, crawl
from support.editing import confirm, operation, preview, select
from support.records import KB, ODD, Records

FAILURES: dict[str, int] = {
    "/nowhere": HTTPStatus.NOT_FOUND,
    "/sessions/session-none": HTTPStatus.NOT_FOUND,
    "/sessions?sort=upwards": HTTPStatus.BAD_REQUEST,
}

pytestmark = pytest.mark.timeout(300)

EMPTY = ("/sessions?node=nobody", "/kb?prefix=nobody", "/redis/keys?match=nobody", "/qdrant?q=no")


OUTLINE = """() => [
  document.title,
  ...[...document.querySelectorAll("h1, h2, h3, a, th:not(.select), dt, label")]
    .filter((each) => each.checkVisibility())
    .map((each) => each.innerText),
  document.querySelectorAll("td, dd, li").length,
].map((each) => `${each}`.replace(/ ?Copy$/, ""))"""
"""What a page says, but for values that change and for buttons that need a script."""


@pytest.fixture(scope="module")
def operations(site: Site) -> list[str]:
    """Delete some documents, put one of them back, preview another deletion; give those pages."""
    with closing(site.reader()) as reader:
        reader.open(f"/kb/{KB}/collections/{ODD}")
        select(reader, *(f"document {number}" for number in (117, 118, 119)))
        deleted = preview(reader, "Delete selected…")
        confirm(reader)
        select(reader, "record 2")
        reader.page.get_by_role("button", name="Put selected back").click()
        reader.page.wait_for_url(lambda url: not url.endswith(deleted))
        put_back = operation(reader)
        reader.open(f"/kb/{KB}/collections/{ODD}/110")
        planned = preview(reader, "Delete…")
        reader.assert_content()
    return [deleted, put_back, planned]


@pytest.fixture(scope="module")
def found(site: Site, operations: list[str]) -> Found:
    """Follow the links of the record browser."""
    assert operations
    return crawl(site.client, site.rule_of, most_of_a_kind=3)


@pytest.fixture(scope="module")
def addresses(found: Found, records: Records, operations: list[str]) -> list[str]:
    """Give a page of each rule, one for each type of a Redis key, operations, empty listings."""
    keys = ["/redis/key?" + urlencode({"name": name}) for name in records.keys.values()]
    return [*found.one_of_each_rule(), *keys, *operations, *EMPTY]


def test_links_lead_to_every_page(site: Site, found: Found) -> None:
    """None of the URL map is out of reach, no link leads nowhere, and no download breaks off."""
    assert [] == found.broken
    assert [] == [
        (address, answer.status_code)
        for address, answer in found.answers.items()
        if answer.status_code != HTTPStatus.OK
    ]
    assert site.rules == found.rules


def test_every_page_has_a_twin_in_json(site: Site, addresses: list[str]) -> None:
    """At the same address, for whoever asks for JSON."""
    for address in addresses:
        twin = site.client.get(address, headers={"Accept": "application/json"})
        assert "application/json" == twin.headers["content-type"], address
        assert isinstance(twin.json(), dict), address


def complaints_of(
    reader: Reader,
    pages: dict[str, int],
    *,
    looked_at: Sequence[int] = WIDTHS[:2],
    colours_only: bool = False,
) -> Iterator[str]:
    """Open pages; give what the widths, and at some of them axe-core, have against them."""
    for address, status in pages.items():
        reader.open(address, status=status)
        for width in looked_at if colours_only else WIDTHS:
            reader.resize(width)
            for each in reader.sticking_out():
                yield f"{address} at {width} px stands out: {each}"
            if width in looked_at:
                for each in reader.barriers(colours_only=colours_only):
                    yield f"{address} at {width} px: {each}"


@pytest.mark.parametrize("theme", THEMES)
def test_pages_suit_every_reader(site: Site, addresses: list[str], theme: Theme) -> None:
    """Nothing stands out of the window, axe-core finds no barrier, Chromium has no complaint."""
    with closing(site.reader(theme=theme)) as reader:
        pages: dict[str, int] = dict.fromkeys(addresses, HTTPStatus.OK) | FAILURES
        dark = theme == "dark"  # which has other colours, and nothing else
        looked_at = WIDTHS[1:2] if dark else WIDTHS[:1]
        complaints = list(complaints_of(reader, pages, looked_at=looked_at, colours_only=dark))
        reader.assert_content()
    assert not complaints, "\n\n".join(complaints)


@pytest.mark.parametrize("theme", THEMES)
def test_the_way_in_suits_every_reader(site: Site, theme: Theme) -> None:
    """The form for name and password, at first and after a wrong password, and the help."""
    with closing(site.stranger(theme=theme)) as reader:
        complaints = list(complaints_of(reader, {"/login": HTTPStatus.OK}))
        reader.fill_in("mallory", "a wrong one")
        reader.page.get_by_role("alert").wait_for()
        complaints += reader.barriers()
        reader.expect_status(HTTPStatus.FORBIDDEN)
        reader.assert_content()
    with closing(site.reader(theme=theme)) as reader:
        reader.open("/")
        reader.page.keyboard.press("?")
        reader.page.get_by_role("dialog").wait_for()
        complaints += reader.barriers()
        reader.assert_content()
    assert not complaints, "\n\n".join(complaints)


def test_no_page_needs_a_script(site: Site, addresses: list[str]) -> None:
    """Without one there is the same text, but for what counts down, and nothing that needs one."""
    with (
        closing(site.reader()) as with_script,
        closing(site.reader(script=False)) as without,
    ):
        for address in addresses:
            seen = [reader.open(address).evaluate(OUTLINE) for reader in (with_script, without)]
            assert seen[0] == seen[1], address
            assert not without.page.locator(".with-script:visible").count(), address
        without.assert_content()


def test_forms_work_without_a_script(site: Site, records: Records) -> None:
    """Sign in, search, open what was found, sign out."""
    with closing(site.stranger(script=False)) as reader:
        sign_in(reader)
        page = reader.open("/sessions")
        page.get_by_label("Id contains").fill(records.session)
        page.get_by_role("button", name="Search", exact=True).click()
        page.get_by_role("link", name=records.session).click()
        assert records.session in page.get_by_role("heading", level=1).inner_text()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Password").wait_for()
        reader.assert_content()
