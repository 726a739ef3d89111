"""Benchmark reports: tables with the machine's facts, one section each in docs/benchmarks.md."""

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "docs" / "benchmarks.md"

_HEAD = """\
# Benchmarks

Each section is the output of one run of its command, on the machine that it names. Figures that
stand side by side were measured in the same run; ratios travel better than absolute numbers.
"""


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write rows as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def machine() -> str:
    """Name the processor, its cores, the memory, the kernel and Python."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )


def publish(title: str, command: str, parts: Sequence[str]) -> None:
    """Print a section, and put it into docs/benchmarks.md in the place of the one before."""
    body = "\n\n".join([f"## {title}", f"`{command}` on {machine()}.", *parts])
    text = BENCHMARKS.read_text(encoding="utf-8") if BENCHMARKS.exists() else _HEAD
    sections = dict(re.findall(r"(?ms)^## (.*?)$\n(.*?)(?=^## |\Z)", text))
    sections[title] = body.partition("\n")[2].strip("\n") + "\n"
    joined = "\n".join(f"## {name}\n\n{part.strip()}\n" for name, part in sorted(sections.items()))
    BENCHMARKS.write_text(f"{_HEAD}\n{joined}", encoding="utf-8")
    print(body)  # noqa: T201 - the command's output
