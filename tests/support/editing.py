"""What an editor does at a window of the record browser, and what there is to hold against it."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import Locator, expect

from support.chromium import WIDTHS, Reader

UNDO = re.compile("^Undo")
"""The button on the page of an operation that takes it back."""

_PREVIEW = re.compile(r"^Delete .*\?$", re.DOTALL)
_CONFIRM = re.compile("^Delete ")


def assert_fits(reader: Reader) -> None:
    """Fail where the page stands out of a narrow window, or axe-core finds a barrier in a theme.

    The window is a light one.
    """
    complaints = reader.barriers()
    reader.page.emulate_media(color_scheme="dark")
    complaints += reader.barriers(colours_only=True)
    reader.page.emulate_media(color_scheme="light")
    reader.resize(WIDTHS[0])
    complaints += reader.sticking_out()
    reader.resize(WIDTHS[1])
    assert not complaints, "\n\n".join([reader.page.url, *complaints])


def select(reader: Reader, *labels: str) -> None:
    """Choose rows of a list by what their boxes are called."""
    for label in labels:
        reader.page.get_by_role("checkbox", name=f"Select {label}", exact=True).check()


def preview(reader: Reader, button: str) -> str:
    """Press a button that leads to the preview of an operation, and give its path."""
    reader.page.get_by_role("button", name=button, exact=True).click()
    heading = reader.page.get_by_role("heading", level=1)
    expect(heading, reader.page.get_by_role("main").inner_text()[:500]).to_contain_text(_PREVIEW)
    return operation(reader)


def confirm(reader: Reader) -> None:
    """Have done what the preview shows, and wait for its end."""
    reader.page.get_by_role("main").get_by_role("button", name=_CONFIRM).click()
    expect(reader.page.get_by_role("button", name=UNDO)).to_be_visible()


def undo(reader: Reader) -> str:
    """Take back the operation whose page is open, and give the path of what does that."""
    undone = reader.page.url
    reader.page.get_by_role("button", name=UNDO).click()
    reader.page.wait_for_url(lambda url: url != undone)
    expect(count(reader, "Takes back")).to_be_visible()
    expect(reader.page.get_by_text("Under way since")).to_have_count(0)
    return operation(reader)


def operation(reader: Reader) -> str:
    """Give the path of the operation whose page is open."""
    path = urlsplit(reader.page.url).path
    assert path.startswith("/operations/"), path
    return path


def count(reader: Reader, state: str) -> Locator:
    """Find what the page of an operation has beside a word: how many records are in a state."""
    return reader.page.locator("dl.facts dt", has_text=re.compile(f"^{state}$")).locator("+ dd")
