"""A reader finds every kind of record, by mouse and by keyboard, in all windows."""

import os
import re
from collections.abc import Callable
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from support.browsing import GRAFANA, Site, sign_in
from support.chromium import THEMES, WIDTHS, Reader, Theme
from support.records import KB, ODD, VECTOR_SYMBOLS, VECTORS, Records

WINDOWS = (
    [(theme, width) for theme in THEMES for width in WIDTHS]
    if os.environ.get("KATO_TEST_FULL")
    else list(zip((*THEMES, *THEMES), WIDTHS, strict=False))
)
each_window = pytest.mark.parametrize(("theme", "width"), WINDOWS)


def path(page: Page) -> str:
    """Give the path of the page."""
    return urlsplit(page.url).path


def looked_at(reader: Reader) -> None:
    """Look at a page: it has one heading of the first rank, and fits into the window."""
    expect(reader.page.get_by_role("heading", level=1)).to_have_count(1)
    assert [] == reader.sticking_out(), reader.page.url


def clicking(reader: Reader) -> Callable[..., None]:
    """Make a function that follows a link by its words, inside a part of the page."""

    def click(words: str | re.Pattern[str], within: str = "main") -> None:
        found = reader.page.locator(within).get_by_role("link", name=words, exact=True)
        found.first.click()
        looked_at(reader)

    return click


@each_window
def test_a_reader_with_a_mouse(site: Site, records: Records, theme: Theme, width: int) -> None:
    """From the first page to a session, a symbol, a pattern, a document, a key and a vector."""
    with closing(site.reader(theme=theme, width=width)) as reader:
        page = reader.open("/")
        click = clicking(reader)

        click("Sessions")
        page.get_by_label("Id contains").fill(records.session)
        page.get_by_role("button", name="Search", exact=True).click()
        click(records.session)
        expect(page.locator("ol.events > li")).not_to_have_count(0)
        expect(page.get_by_role("link", name=re.compile("Grafana"))).to_have_attribute(
            "href", re.compile(f"^{GRAFANA}/d/kato-sessions")
        )

        click("Knowledge", within="header")
        click(KB)
        click("All patterns")
        page.get_by_label("Has the symbol").fill(records.symbol)
        page.get_by_role("button", name="Search", exact=True).click()
        page.get_by_label("Name begins with").fill(records.pattern[:12])
        page.get_by_role("button", name="Search", exact=True).click()
        click(records.pattern)
        assert f"/kb/{KB}/patterns/{records.pattern}" == path(page)
        click(records.symbol)
        assert f"symbol={records.symbol}" in page.url
        expect(page.locator("main a.row")).not_to_have_count(0)

        click("Knowledge", within="header")
        click(KB)
        click(ODD)
        click("Next page")
        page.locator("main a.row").first.click()
        looked_at(reader)
        assert path(page).startswith(f"/kb/{KB}/collections/{ODD}/")

        click("Redis", within="header")
        page.get_by_role("searchbox").fill(records.keys["hash"])
        page.get_by_role("button", name=re.compile("Find|Search")).click()
        click(records.keys["hash"])
        assert "/redis/key" == path(page)

        click("Vectors", within="header")
        click(VECTORS)
        page.get_by_role("searchbox").fill(VECTOR_SYMBOLS[3])
        page.get_by_role("button", name="Go to the point").click()
        looked_at(reader)
        expect(page.locator("svg.vector")).to_have_count(1)
        click("Similar points")
        page.locator("main a.row").first.click()
        looked_at(reader)
        reader.assert_content()


@each_window
def test_a_reader_with_a_keyboard(site: Site, records: Records, theme: Theme, width: int) -> None:
    """Search, rows, pages, help and home have keys; what is typed into a field is text."""
    with closing(site.reader(theme=theme, width=width)) as reader:
        page = reader.open("/sessions")
        press = page.keyboard.press
        rows = page.locator("main a.row")

        press("j")
        expect(rows.nth(0)).to_be_focused()
        press("j")
        expect(rows.nth(1)).to_be_focused()
        press("k")
        expect(rows.nth(0)).to_be_focused()
        press("n")
        page.wait_for_url(re.compile("after="))
        press("k")
        expect(rows.last).to_be_focused()

        press("/")
        expect(page.get_by_role("searchbox").first).to_be_focused()
        page.keyboard.type("njk/?g")
        expect(page.get_by_role("searchbox").first).to_have_value("njk/?g")
        expect(page.get_by_role("dialog")).to_have_count(0)
        press("Control+A")
        press("Delete")
        press("Tab")
        page.keyboard.type(records.session)
        press("Enter")
        page.wait_for_url(re.compile(f"id={records.session}"))
        press("j")
        press("Enter")
        page.wait_for_url(f"**/sessions/{records.session}")

        press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        press("g")
        press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.locator("dialog button")).not_to_be_focused()
        assert f"/sessions/{records.session}" == path(page)
        press("g")
        page.wait_for_url(f"{site.url}/")
        looked_at(reader)

        press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        press("Enter")
        expect(page.locator("main")).to_be_focused()
        reader.assert_content()


def test_every_link_and_field_is_reached_by_tab(site: Site, records: Records) -> None:
    """In the order of the page, and the focus is seen."""
    with closing(site.reader()) as reader:
        page = reader.open(f"/sessions/{records.session}")
        kinds = ("a[href]", "button", "input", "select", "summary", "[tabindex='0']")
        there = page.locator(", ".join(f"{kind}:visible" for kind in kinds))
        reached = []
        for _ in range(there.count()):
            page.keyboard.press("Tab")
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            assert "none" != page.evaluate(outline), page.evaluate(
                "document.activeElement.outerHTML"
            )
            reached.append(page.evaluate("document.activeElement.outerHTML"))
        assert reached == there.evaluate_all("all => all.map((each) => each.outerHTML)")
        reader.assert_content()


def test_a_value_is_copied(site: Site, records: Records) -> None:
    """The button puts it on the clipboard, and says so."""
    with closing(site.reader()) as reader:
        reader.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url)
        page = reader.open(f"/sessions/{records.session}")
        button = page.get_by_role("button", name="Copy").first
        button.click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert records.session == page.evaluate("navigator.clipboard.readText()")
        expect(page.get_by_role("button", name="Copied")).to_have_count(0)
        reader.assert_content()


def test_the_time_to_live_counts_down(site: Site, records: Records) -> None:
    """Second by second, without the page being loaded again."""
    with closing(site.reader()) as reader:
        page = reader.open(f"/sessions/{records.session}")
        time = page.locator("time[data-expires]").first
        before = time.inner_text()
        expect(time).not_to_have_text(before)
        reader.assert_content()


def test_who_is_not_signed_in_comes_to_the_page_that_was_asked_for(
    site: Site, records: Records
) -> None:
    """A link from Grafana leads to the form, and from there to the record."""
    wanted = f"/sessions/{records.session}"
    with closing(site.stranger()) as reader:
        sign_in(reader, wanted)
        assert wanted == path(reader.page)
        reader.page.get_by_role("button", name="Sign out").click()
        reader.page.get_by_label("Password").wait_for()
        reader.assert_content()
