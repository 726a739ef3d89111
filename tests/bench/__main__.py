"""Measures what the product promises: `make bench`.

Bounded, all on 127.0.0.1, and every server ends with the run.
"""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from bench import bench_browser, bench_containers, bench_exposition, bench_sessions, bench_stores
from bench.apart import measure_apart
from bench.parts import Part, Run, Scale
from bench.progress import Progress, clock
from bench.report import BENCHMARKS

PARTS = {
    each.PART.name: each.PART
    for each in (bench_exposition, bench_containers, bench_sessions, bench_stores, bench_browser)
}


def main(arguments: Sequence[str]) -> int:
    """Measure, and give the exit status: 1 where a part failed, whose old section stays."""
    asked = _parser().parse_args(arguments)
    scale = Scale.QUICK if asked.quick else Scale.FULL if asked.full else Scale.USUAL
    console = Console(stderr=True)
    began = time.monotonic()
    run = Run(
        command=_command(scale, asked.only),
        scale=scale,
        progress=Progress(console),
        page=asked.write or (None if asked.quick else BENCHMARKS),
        measure=measure_apart,
    )
    failures = run.all(asked.only)
    for failure in failures:
        console.print(f"failed: {failure}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"measured in {clock(time.monotonic() - began)}", highlight=False)
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure what is promised.")
    scales = parser.add_mutually_exclusive_group()
    scales.add_argument("--full", action="store_true", help="all sizes, in about an hour")
    scales.add_argument(
        "--quick",
        action="store_true",
        help="sizes that show no more than that it works; writes only where --write says so",
    )
    parser.add_argument(
        "--only",
        type=_parts,
        default=list(PARTS.values()),
        metavar="PART,PART",
        help=f"of {', '.join(PARTS)}",
    )
    parser.add_argument(
        "--write",
        type=Path,
        nargs="?",
        const=BENCHMARKS,
        metavar="FILE",
        help="the page that the sections go to, instead of docs/benchmarks.md",
    )
    return parser


def _parts(names: str) -> list[Part]:
    unknown = set(names.split(",")) - set(PARTS)
    if unknown:
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(sorted(unknown))}")
    return [part for name, part in PARTS.items() if name in names.split(",")]


def _command(scale: Scale, parts: Sequence[Part]) -> str:
    given = [] if scale is Scale.USUAL else [f"--{scale.value}"]
    if len(parts) < len(PARTS):
        given.append(f"--only {','.join(part.name for part in parts)}")
    return f'make bench BENCH_ARGS="{" ".join(given)}"' if given else "make bench"


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)
    sys.exit(main(sys.argv[1:]))
