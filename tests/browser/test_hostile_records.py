"""Whatever the stores hold: nothing of it runs, and no page breaks."""

import re
from contextlib import closing
from http import HTTPStatus
from urllib.parse import quote, urlencode, urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from support.browsing import Site
from support.chromium import RAN
from support.crawling import Found, crawl
from support.editing import confirm, preview, undo
from support.hostile_records import HOSTILE_KB, ODD_KB

LARGEST_PAGE = 1_000_000
WHOLE = {
    "html > body > main h1": 1,
    "html > body > footer.bottom": 1,
    "form.who": 1,
    "script": 1,
    "main [style]": 0,
    "img": 0,
    "iframe": 0,
    "object": 0,
    "embed": 0,
    "base": 0,
}
"""How many elements of a kind a page has, however hostile what it shows is."""

COUNT = """(selectors) => Object.fromEntries(
  selectors.map((each) => [each, document.querySelectorAll(each).length])
)"""

GONE = (HTTPStatus.OK, HTTPStatus.NOT_FOUND)
"""What a link may lead to: a session may name a knowledge base that is not there."""

MARKS = (
    RAN,
    *("<script>", "onerror=", "</textarea>", "javascript:", "{{7*7}}", "[31mred", "gnp.exe"),
    *("=HYPERLINK", "@SUM", "etc/passwd", "[[[", '{"a"'),
    *(letter * 60 for letter in "qvwxyz"),
)
"""What there is to see of hostile texts and values, some of each, and what would run of them."""

TOO_LARGE = re.compile("at most [0-9,]+ are edited here|too large to be kept")

LISTINGS = (
    f"/sessions?id=session-{'0' * 31}",
    "/redis/keys?match=string",
    f"/kb/{HOSTILE_KB}/patterns",
    f"/kb/{quote(ODD_KB)}/collections/symbols_kb",
    f"/qdrant/vectors_{HOSTILE_KB}",
)
"""Lists whose records are deleted and put back, none of which is too large for that."""

pytestmark = pytest.mark.timeout(300)


def is_refused_edit(address: str, answer: httpx.Response) -> bool:
    """Tell whether an answer says that a record is too large for a form."""
    return urlsplit(address).path.endswith("/edit") and TOO_LARGE.search(answer.text) is not None


@pytest.fixture(scope="module")
def operations(hostile_site: Site) -> list[str]:
    """Delete hostile records of each kind and put them back; give the pages that tell of it."""
    paths = []
    with closing(hostile_site.reader(width=360)) as reader:
        for listing in LISTINGS:
            page = reader.open(listing)
            page.get_by_role("checkbox", name="Select all on this page").check()
            paths.append(preview(reader, "Delete selected…"))
            assert [] == reader.sticking_out()
            confirm(reader)
            paths.append(undo(reader))
            reader.assert_content()
    return paths


@pytest.fixture(scope="module")
def found(hostile_site: Site, operations: list[str]) -> Found:
    """Follow the links of a record browser on hostile stores."""
    assert operations
    return crawl(hostile_site.client, hostile_site.rule_of, most_of_a_kind=34)


def test_no_answer_is_a_fault(found: Found) -> None:
    """Neither of a page nor of a twin, and no download breaks off."""
    assert [] == found.broken
    assert [] == [
        (address, answer.status_code)
        for address, answer in found.answers.items()
        if answer.status_code not in GONE and not is_refused_edit(address, answer)
    ]


def test_pages_are_bounded(found: Found) -> None:
    """Five megabytes in each of many fields are not five megabytes in a page."""
    assert {} == {
        page: len(found.answers[page].content)
        for page in found.pages
        if len(found.answers[page].content) > LARGEST_PAGE
    }


def test_every_kind_of_page_was_seen(hostile_site: Site, found: Found) -> None:
    """Hostile names do not cut off what lies behind them."""
    assert hostile_site.rules <= found.rules


def test_nothing_runs_and_no_page_breaks(hostile_site: Site, found: Found) -> None:
    """No script, dialog, request to elsewhere or breach of the policy; pages are whole."""
    with closing(hostile_site.reader(width=360)) as reader:
        for address in found.pages_with_news(MARKS):
            page = reader.open(address)
            assert WHOLE == page.evaluate(COUNT, list(WHOLE)), address
            assert [] == reader.sticking_out(), address
            reader.assert_content()


def test_a_template_is_text(hostile_site: Site) -> None:
    """What looks like a template of ours or of a framework is shown as it stands."""
    with closing(hostile_site.reader()) as reader:
        page = reader.open("/sessions?" + urlencode({"node": "{{7*7}}"}))
        expect(page.locator("tbody td").filter(has_text="{{7*7}}")).to_have_count(1)
