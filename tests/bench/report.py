"""docs/benchmarks.md: a table and a picture of all ratios, and a section of each part.

The ratios and curves of a section are kept in a comment at its end, so that a run of some parts
leaves those of the others as they were.
"""

import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.figures import Curves, Figure, Promise, Section
from bench.picture import picture

BENCHMARKS = Path(__file__).parents[2] / "docs" / "benchmarks.md"

_PICTURE = "images/benchmarks.svg"
_HEAD = f"""\
# Benchmarks

Figures that stand side by side were measured in the same run; ratios travel better than absolute
numbers. `make bench` measures all of it again, and each section says on which machine it was made.

![Scrapes against the size of the store, and all ratios of the table below]({_PICTURE})
"""
_RATIOS = "Ratios"
_RATIOS_TEXT = """\
What ours takes, divided by what stands beside it takes: 1.00 is the same, 1 : 70 a seventieth, and
less is better. Where the last column is empty, nothing is promised.
"""


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write rows as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def machine() -> str:
    """Name the processor, its cores, the memory, the kernel, Python, and what else was going on."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}; "
        f"load of the minute before {os.getloadavg()[0]:.1f}"
    )


def written(section: Section, origin: str) -> str:
    """Write a section; `origin` says what has made it."""
    return "\n\n".join([f"## {section.title}", origin, *section.paragraphs])


def publish(section: Section, origin: str, page: Path) -> None:
    """Put a section into a page in the place of the one before, and draw the picture anew."""
    text = f"{written(section, origin)}\n\n{_kept(section)}"
    sections = dict(sorted((_sections(page) | {section.title: text}).items()))
    found = {title: _found(text) for title, text in sections.items()}
    ratios = f"## {_RATIOS}\n\n{_RATIOS_TEXT}\n{_ratios(found)}\n"
    texts = [_HEAD, ratios, *(f"{text}\n" for text in sections.values())]
    drawn = page.parent / _PICTURE
    drawn.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(texts), encoding="utf-8")
    figures = [figure for part, _ in found.values() for figure in part]
    curves = [each for _, part in found.values() for each in part]
    drawn.write_text(picture(figures, curves), encoding="utf-8")


def _sections(page: Path) -> dict[str, str]:
    """Read the sections of a page that have been measured, by title."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    found = re.findall(r"(?ms)^(## (.*?)$.*?)(?=^## |\Z)", text)
    return {title: body.strip() for body, title in found if title != _RATIOS}


def _kept(section: Section) -> str:
    """Write figures and curves as a comment."""
    kept = {
        "figures": [asdict(figure) for figure in section.figures],
        "curves": [asdict(each) for each in section.curves],
    }
    return f"<!-- measured: {json.dumps(kept)} -->"


def _found(text: str) -> tuple[list[Figure], list[Curves]]:
    """Read figures and curves from the comment of a section; none where it has no comment."""
    comment = re.search(r"<!-- measured: (.*) -->", text)
    kept = json.loads(comment[1]) if comment else {"figures": [], "curves": []}
    figures = [
        Figure(**(each | {"promise": each["promise"] and Promise(**each["promise"])}))
        for each in kept["figures"]
    ]
    return figures, [Curves(**each) for each in kept["curves"]]


def _ratios(found: dict[str, tuple[list[Figure], list[Curves]]]) -> str:
    """Write all figures as a table, each with links to its section and to its promise."""
    rows = [
        [figure.what, figure.beside, f"[{figure}](#{title.lower()})", _promised(figure.promise)]
        for title, (figures, _) in found.items()
        for figure in figures
    ]
    return table(["what", "beside", "ratio", "promised"], rows)


def _promised(promise: Promise | None) -> str:
    return f"[{promise.words}]({promise.page})" if promise else ""
