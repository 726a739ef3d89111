"""The downloads that are measured, and the memory that they need."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from bench.browser_reading import Reader, milliseconds
from bench.large_stores import KB, LIST
from bench.parts import Tell
from bench.report import table
from bench.running import megabytes
from kato_exporter.kato.knowledge import PATTERNS

_LOOK_SECONDS = 0.01
_LAST_BYTES = 1_000

_DOWNLOADS = (
    ("patterns, JSON Lines", f"/kb/{KB}/patterns?format=jsonl"),
    ("patterns, CSV", f"/kb/{KB}/patterns?format=csv"),
    ("documents of patterns_kb, JSON Lines", f"/kb/{KB}/collections/{PATTERNS}?format=jsonl"),
    ("sessions, JSON Lines", "/sessions?format=jsonl"),
    ("elements of a list, JSON Lines", f"/redis/key?name={LIST}&format=jsonl"),
)


def measure_downloads(
    reader: Reader, process: psutil.Process, started: int, most: int, tell: Tell
) -> str:
    """Measure downloads of `most` rows, as many as one may have; `started` is the memory before."""
    rows = []
    for what, path in _DOWNLOADS:
        tell(f"download: {what}")
        rows.append(_measured(reader, process, what, path))
    return (
        f"Downloads one after the other, each of at most {most:,} rows, set by "
        "KATO_BROWSER_EXPORT_ROWS. The browser's resident memory was "
        f"{megabytes(started)} before its first page; the last columns tell it right before each "
        "download, and at most during it:\n\n"
        + table(
            ["download", "rows", "size", "time", "rows a second", "first byte", "before", "most"],
            rows,
        )
    )


def _measured(reader: Reader, process: psutil.Process, what: str, path: str) -> list[str]:
    """Download, and count rows and bytes."""
    before, began = process.memory_info().rss, time.perf_counter()
    first, lines, size, last = 0.0, 0, 0, b""
    with _watched(process) as most:
        for chunk in reader.download(path):
            first = first or time.perf_counter() - began
            lines += chunk.count(b"\n")
            size += len(chunk)
            last = (last + chunk)[-_LAST_BYTES:]
    taken = time.perf_counter() - began
    rows = lines - path.endswith("csv") - (b"_note" in last.splitlines()[-1])
    return [
        what,
        f"{rows:,}",
        megabytes(size),
        f"{taken:.1f} s",
        f"{rows / taken:,.0f}",
        milliseconds(first),
        megabytes(before),
        megabytes(max(most)),
    ]


@contextmanager
def _watched(process: psutil.Process) -> Iterator[list[int]]:
    """Give what resident memory a process has again and again, in bytes."""
    seen = [process.memory_info().rss]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_SECONDS):
            seen.append(process.memory_info().rss)

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield seen
    finally:
        ended.set()
        watch.join()
