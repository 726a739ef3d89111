"""The project's Markdown pages as data: their code blocks, links and anchors."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
"""Every page."""

HISTORY = ROOT / "CHANGELOG.md", *(ROOT / "docs" / "decisions").iterdir()
"""Pages whose sentences name commands that nobody is to type."""

_MARKDOWN = MarkdownIt("commonmark").enable("table")
_PROMPT = "$ "
_SHELL = ("sh", "console")
_PROGRAMS = {
    *("amtool", "curl", "docker", "kato-exporter", "make", "mkdir", "mongorestore", "pip"),
    *("promtool", "redis-cli", "sqlite3", "sudo", "systemctl"),
}
_HERE_DOCUMENT = re.compile(r"<<'?(\w+)'?$")
_PATH = re.compile(r"# (/\S+)\n")
_HTML_LINKS = ("href", "src", "srcset")


@dataclass(frozen=True, slots=True)
class Block:
    """A code block: where it begins, its kind, what is said beside the kind, and its text.

    `kind` is empty where a page does not give one.
    """

    page: Path
    line: int
    kind: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The path that a comment in its first line gives it, or None."""
        found = _PATH.match(self.text)
        return found[1] if found else None


@dataclass(frozen=True, slots=True)
class Link:
    """A link or a picture: the page that has it, and where it leads, as it is spelled."""

    page: Path
    target: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)} {self.target}"


@dataclass(frozen=True, slots=True)
class Command:
    """A shell command, with its here document, and the first block that has it."""

    text: str
    block: Block

    def __str__(self) -> str:
        return f"{self.block} {self.text.splitlines()[0]}"


@cache
def blocks(page: Path) -> Sequence[Block]:
    """Give the code blocks of a page, in their order."""
    return tuple(
        Block(page, token.map[0] + 1, *_kind(token), token.content)
        for token in _tokens(page)
        if token.type in ("code_block", "fence") and token.map is not None
    )


def blocks_of(*kinds: str) -> list[Block]:
    """Give the blocks of these kinds, of all pages."""
    return [block for page in PAGES for block in blocks(page) if block.kind in kinds]


@cache
def links(page: Path) -> Sequence[Link]:
    """Give the links and pictures of a page, those in HTML too."""
    found = []
    for token in _all_tokens(page):
        if token.type in ("link_open", "image"):
            found += [str(token.attrs.get("href") or token.attrs.get("src"))]
        elif token.type in ("html_block", "html_inline"):
            found += _HtmlLinks.of(token.content)
    return tuple(Link(page, target) for target in found)


@cache
def anchors(page: Path) -> frozenset[str]:
    """Give what a link can name of a page, by GitHub's rule; a repeated heading is numbered."""
    found: dict[str, int] = {}
    names = set()
    for opening, heading in pairwise(_tokens(page)):
        if opening.type == "heading_open":
            spelled = "".join(_shown(child) for child in heading.children or ()).lower()
            name = re.sub(r"[^\w\- ]", "", spelled).replace(" ", "-")
            before = found.get(name, 0)
            found[name] = before + 1
            names.add(f"{name}-{before}" if before else name)
    return frozenset(names)


def commands() -> list[Command]:
    """Give every shell command, each text once, in the order of the pages.

    Those of blocks, and those of sentences: code that begins with the name of a program, has three
    words at least, and no `...`.
    """
    found: dict[str, Command] = {}
    for page in PAGES:
        for block in sorted([*blocks(page), *_in_sentences(page)], key=lambda each: each.line):
            if block.kind in _SHELL:
                for text in _split(_typed(block)):
                    found.setdefault(text, Command(text, block))
    return list(found.values())


def _in_sentences(page: Path) -> Iterator[Block]:
    """Give the commands in the sentences of a page, as blocks."""
    for token in _tokens(page) if page not in HISTORY else ():
        for child in token.children or ():
            words = child.content.split() if child.type == "code_inline" else []
            if len(words) > 2 and words[0] in _PROGRAMS and "..." not in child.content:
                assert token.map is not None
                yield Block(page, token.map[0] + 1, "sh", "", " ".join(words))


def _typed(block: Block) -> str:
    """Give what a reader types: of a console, what follows a prompt."""
    if block.kind == "sh":
        return block.text
    lines = block.text.splitlines()
    return "\n".join(line.removeprefix(_PROMPT) for line in lines if line.startswith(_PROMPT))


def _split(script: str) -> Iterator[str]:
    """Give the commands of a script: a line each, and more where a quote or `<<` goes on."""
    pending: list[str] = []
    until = None
    for line in script.splitlines():
        pending.append(line)
        if until is not None:
            until = None if line == until else until
        elif here := _HERE_DOCUMENT.search(line):
            until = here[1]
        if until is None and _is_whole("\n".join(pending)):
            if command := "\n".join(pending).strip():
                yield command
            pending = []
    assert not pending, f"this command has no end: {pending[0]}"


def _is_whole(command: str) -> bool:
    """Tell whether every quote is closed and no line goes on."""
    if command.endswith("\\"):
        return False
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return _HERE_DOCUMENT.search(command.partition("\n")[0]) is not None
    return True


def _kind(token: Token) -> tuple[str, str]:
    """Read what stands beside a fence; an indented block is shell."""
    if token.type == "code_block":
        return "sh", ""
    kind, _, name = token.info.strip().partition(" ")
    return kind, name


@cache
def _tokens(page: Path) -> Sequence[Token]:
    return tuple(_MARKDOWN.parse(page.read_text(encoding="utf-8")))


def _all_tokens(page: Path) -> Iterator[Token]:
    for token in _tokens(page):
        yield token
        yield from token.children or ()


def _shown(token: Token) -> str:
    """Give the text that a reader sees of a part of a heading."""
    return token.content if token.type in ("text", "code_inline") else ""


class _HtmlLinks(HTMLParser):
    """Collects where the elements of a piece of HTML lead."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    @classmethod
    def of(cls, text: str) -> list[str]:
        parser = cls()
        parser.feed(text)
        return parser.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.found += [value for name, value in attrs if name in _HTML_LINKS and value]
