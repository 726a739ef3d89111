"""Parts of the benchmarks that measure nothing: what may happen to one, in a process of its own."""

import os
import time

from bench.figures import Section
from bench.parts import Part, Scale, Tell


def stand_in(name: str) -> Part:
    """Make a part by its name, which is one of those below."""
    measure = {"tells": tells, "fails": fails, "ends": ends, "hangs": hangs}[name]
    return Part(name=name, measure=measure, expected={Scale.QUICK: 0.1})


def tells(_scale: Scale, tell: Tell) -> Section:
    """Tell two steps, and give a section."""
    tell("first")
    tell("second")
    return Section(title="Tells", paragraphs=[f"process {os.getpid()}"], figures=[])


def fails(_scale: Scale, _tell: Tell) -> Section:
    """Meet a fault."""
    raise ValueError("no such store\nand more of it")


def ends(_scale: Scale, _tell: Tell) -> Section:
    """End without a word."""
    os._exit(3)


def hangs(_scale: Scale, _tell: Tell) -> Section:
    """Never end."""
    time.sleep(600)
    raise AssertionError
