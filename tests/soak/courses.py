"""What a process takes in the course of a run, and whether that stays flat."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Self

import psutil

MOST_GROWTH = 1.05
"""The median of resident memory in the last quarter of a run, over that in the second."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a process takes at a moment, in seconds since the run's begin; memory in bytes."""

    at: float
    resident: int
    threads: int
    descriptors: int

    @classmethod
    def of(cls, process: psutil.Process, at: float) -> Self:
        """Read it now."""
        with process.oneshot():
            return cls(at, process.memory_info().rss, process.num_threads(), process.num_fds())


@dataclass(slots=True)
class Course:
    """All readings of a process, and apart those at rest: before a fault, all well since a while.

    Those of the warm-up, when it took all the threads and connections that it ever needs, are apart
    too; the first quarter of the run still belongs to it.
    """

    name: str
    warm_up: list[Reading] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    at_rest: list[Reading] = field(default_factory=list)

    def quarter(self, number: int) -> Sequence[Reading]:
        """Give a quarter of the readings, 1 to 4."""
        return _quarter(self.readings, number)

    def resident(self, number: int) -> float:
        """Give the median of the resident memory, in bytes, in a quarter of the run."""
        return median(reading.resident for reading in self.quarter(number))

    @property
    def growth(self) -> float:
        """The memory of the last quarter over that of the second."""
        return self.resident(4) / self.resident(2)

    def complaints(self) -> list[str]:
        """Say what is not flat: memory, threads or descriptors; nothing where all are."""
        found = []
        if self.growth > MOST_GROWTH:
            found.append(
                f"{self.name}: resident memory went from {self.resident(2) / 1e6:.1f} MB in the"
                f" second quarter to {self.resident(4) / 1e6:.1f} MB in the last"
            )
        warm, late = self.warm, self.rest(4)
        for what, before, after in (
            ("threads", warm.threads, late.threads),
            ("descriptors", warm.descriptors, late.descriptors),
        ):
            if after > before:
                found.append(f"{self.name}: {what} at rest went from {before} to {after}")
        return found

    @property
    def warm(self) -> Reading:
        """The most that the process took in the warm-up, and then at rest in the first quarter."""
        return _reading(max, [*self.warm_up, *_quarter(self.at_rest, 1)])

    def rest(self, number: int) -> Reading:
        """Give the median of what the process took at rest in a quarter of the run."""
        return _reading(median, _quarter(self.at_rest, number))


def _quarter(readings: Sequence[Reading], number: int) -> Sequence[Reading]:
    """Cut out a quarter; of fewer than four readings it is one."""
    first = len(readings) * (number - 1) // 4
    return readings[first : max(first + 1, len(readings) * number // 4)]


def _reading(pick: Callable[[list[int]], float], readings: Sequence[Reading]) -> Reading:
    """Put together what is picked from all readings' memory, threads and descriptors."""
    return Reading(
        readings[-1].at,
        int(pick([reading.resident for reading in readings])),
        int(pick([reading.threads for reading in readings])),
        int(pick([reading.descriptors for reading in readings])),
    )
