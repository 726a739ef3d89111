"""Follows the links of the record browser, to find its pages."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx

_MOST_WITH_ARGUMENTS = 3
_WITHOUT_ELEMENTS = ("textarea", "title")

Kind = tuple[str, frozenset[str]]
"""The rule of a URL map that a path belongs to, and the names of the arguments."""


@dataclass(slots=True)
class Found:
    """What a crawl has seen.

    `kinds` has the addresses that were asked for, by kind; `answers` what came back, and `broken`
    says where nothing whole did. An address with the argument `format` is that of a twin, which is
    no page.
    """

    kinds: dict[Kind, list[str]] = field(default_factory=dict)
    answers: dict[str, httpx.Response] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    @property
    def rules(self) -> set[str]:
        """The rules that have been reached."""
        return {rule for rule, _ in self.kinds}

    @property
    def pages(self) -> list[str]:
        """All pages that are there."""
        return [
            address
            for (_, arguments), addresses in self.kinds.items()
            for address in addresses
            if "format" not in arguments and self._is_there(address)
        ]

    def one_of_each_rule(self) -> list[str]:
        """Give a page for each rule that was reached, with as few arguments as there is one."""
        first: dict[str, str] = {}
        for rule, arguments in sorted(self.kinds, key=lambda kind: len(kind[1])):
            for address in self.kinds[rule, arguments]:
                if "format" not in arguments and self._is_there(address):
                    first.setdefault(rule, address)
        return list(first.values())

    def pages_with_news(self, texts: Iterable[str]) -> list[str]:
        """Give pages that together show all that any shows.

        That is: each kind of element that a rule has, with each of the texts that stand in such an
        element or in an attribute of it.
        """
        wanted = tuple(texts)
        shown: set[tuple[object, ...]] = set()
        pages = []
        for (rule, arguments), addresses in self.kinds.items():
            for address in addresses if "format" not in arguments else ():
                if self._is_there(address):
                    parser = _Places(wanted)
                    parser.feed(self.answers[address].text)
                    news = {(rule, *place) for place in parser.found} - shown
                    shown |= news
                    pages += [address] if news else []
        return pages

    def _is_there(self, address: str) -> bool:
        return address in self.answers and self.answers[address].status_code == httpx.codes.OK


def crawl(client: httpx.Client, rule_of: Callable[[str], str], *, most_of_a_kind: int) -> Found:
    """Follow all links from `/`; ask for so many of each kind, for few of one with arguments."""
    found = Found()
    waiting = deque(["/"])
    known = set(waiting)
    while waiting:
        address = waiting.popleft()
        parts = urlsplit(address)
        arguments = frozenset(parse_qs(parts.query, keep_blank_values=True))
        alike = found.kinds.setdefault((rule_of(parts.path), arguments), [])
        if len(alike) >= (most_of_a_kind if len(arguments) <= 1 else _MOST_WITH_ARGUMENTS):
            continue
        alike.append(address)
        try:
            found.answers[address] = answer = client.get(address)
        except httpx.HTTPError as error:
            found.broken.append(f"{address[:300]}: {error}")
            continue
        if answer.headers.get("content-type", "").startswith("text/html"):
            links = set(links_of(answer.text, address)) - known
            known |= links
            waiting.extend(sorted(links))
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


class _Places(HTMLParser):
    """Finds elements by tag and class, and in which of them, or of their attributes, texts are."""

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__()
        self.found: set[tuple[str, ...]] = set()
        self._texts = texts
        self._last: tuple[str, ...] = ()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._last = (tag, dict(attrs).get("class") or "")
        self.found.add(self._last)
        for name, value in attrs:
            self._look(value or "", name)
        if tag in _WITHOUT_ELEMENTS:
            self.set_cdata_mode(tag)

    def handle_data(self, data: str) -> None:
        self._look(unescape(data), "")

    def _look(self, where: str, attribute: str) -> None:
        self.found.update((*self._last, attribute, text) for text in self._texts if text in where)
