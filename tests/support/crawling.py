"""Follows the links of the record browser, to find its pages."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx

Kind = tuple[str, frozenset[str]]


@dataclass(slots=True)
class Found:
    """What a crawl has seen.

    `pages` has the addresses by kind: the rule of the application's URL map, and the names of the
    arguments. `forms` has links to other forms of pages, which are no pages. `answers` has all.
    """

    pages: dict[Kind, list[str]] = field(default_factory=dict)
    forms: dict[Kind, list[str]] = field(default_factory=dict)
    answers: dict[str, httpx.Response] = field(default_factory=dict)

    @property
    def rules(self) -> set[str]:
        """The rules that have been reached."""
        return {rule for rule, _ in self.pages}

    @property
    def addresses(self) -> list[str]:
        """One page of each kind that is there, in the order in which they were found."""
        return [
            addresses[0]
            for addresses in self.pages.values()
            if self.answers[addresses[0]].status_code == httpx.codes.OK
        ]


def crawl(client: httpx.Client, rule_of: Callable[[str], str], *, most_of_a_kind: int) -> Found:
    """Follow all links from `/`; of each kind of page so many are read."""
    found = Found()
    waiting = deque(["/"])
    known = set(waiting)
    while waiting:
        address = waiting.popleft()
        arguments = parse_qs(urlsplit(address).query, keep_blank_values=True)
        kind = rule_of(urlsplit(address).path), frozenset(arguments)
        group = (found.forms if "format" in arguments else found.pages).setdefault(kind, [])
        if len(group) >= most_of_a_kind:
            continue
        group.append(address)
        try:
            found.answers[address] = answer = client.get(address)
        except httpx.HTTPError as error:
            error.add_note(f"asked for {address[:300]!r}")
            raise
        if "format" in arguments or "html" not in answer.headers.get("content-type", ""):
            continue
        for link in links_of(answer.text, address):
            if link not in known:
                known.add(link)
                waiting.append(link)
    return found


def links_of(page: str, address: str) -> Iterator[str]:
    """Give the addresses on the same server that a page links to, without fragments."""
    parser = _Links()
    parser.feed(page)
    for href in parser.found:
        parts = urlsplit(urljoin(address, href))
        if not parts.scheme and not parts.netloc:
            yield parts._replace(fragment="").geturl()


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]
