"""Every page that links lead to: at every width, in both themes, for every reader."""

from http import HTTPStatus

import pytest

from browser.conftest import Site
from support.chromium import THEMES, WIDTHS, Reader, Theme
from support.crawling import Found, crawl

NO_PAGES = {"/static/<path:filename>", "/-/healthy", "/metrics", "/login"}
"""What can be asked for with GET and is no page of somebody who is signed in."""

FAILURES = {
    "/nowhere": HTTPStatus.NOT_FOUND,
    "/sessions/session-none": HTTPStatus.NOT_FOUND,
    "/sessions?sort=upwards": HTTPStatus.BAD_REQUEST,
}


@pytest.fixture(scope="module")
def found(site: Site) -> Found:
    """Follow the links of the record browser."""
    return crawl(site.client, site.rule_of, most_of_a_kind=3)


def test_links_lead_to_every_page(site: Site, found: Found) -> None:
    """None of the URL map is out of reach, and no link leads nowhere."""
    rules = {
        rule.rule for rule in site.rules.iter_rules() if "GET" in (rule.methods or ())
    } - NO_PAGES

    assert [] == [
        (address, answer.status_code)
        for address, answer in found.answers.items()
        if answer.status_code != HTTPStatus.OK
    ]
    assert rules == found.rules


def test_every_page_has_a_twin_in_json(site: Site, found: Found) -> None:
    """At the address with `format=json`, and where JSON is asked for."""
    for address in found.addresses:
        twin = site.client.get(address, params=None, headers={"Accept": "application/json"})
        assert "application/json" == twin.headers["content-type"], address
        assert isinstance(twin.json(), dict), address


def complaints_of(reader: Reader, addresses: dict[str, int]) -> list[str]:
    """Open pages; give what axe-core, the widths and Chromium have against them."""
    found = []
    for address, status in addresses.items():
        reader.resize(WIDTHS[0])
        reader.open(address, status=status)
        for width in WIDTHS:
            reader.resize(width)
            found += [f"{address} at {width} px: {each}" for each in reader.sticking_out()]
            if width != WIDTHS[-1]:
                found += [f"{address} at {width} px: {each}" for each in reader.barriers()]
    return found


@pytest.mark.parametrize("theme", THEMES)
def test_pages_suit_every_reader(site: Site, found: Found, theme: Theme) -> None:
    """Nothing stands out of the window, axe-core finds no barrier, Chromium has no complaint."""
    addresses = dict.fromkeys(found.addresses, HTTPStatus.OK) | FAILURES
    reader = site.reader(theme=theme)
    try:
        complaints = complaints_of(reader, addresses)
        reader.assert_content()
    finally:
        reader.close()
    assert not complaints, "\n\n".join(complaints)
