"""The parts of the benchmarks, and how they are run one after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from bench.figures import Section
from bench.progress import Progress
from bench.report import machine, publish, written

Tell = Callable[[str], None]
"""Tells the step that begins."""


class Scale(Enum):
    """How much is measured: whether it works at all, what is usual, or all there is."""

    QUICK = "quick"
    USUAL = "usual"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part: what measures it, and the seconds that this takes on two cores."""

    name: str
    measure: Callable[[Scale, Tell], Section]
    expected: Mapping[Scale, float]

    def limit(self, scale: Scale) -> float:
        """Give the seconds after which it has failed."""
        return 60 + 2 * self.expected[scale]


class PartFailedError(RuntimeError):
    """A part gave no section; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of some parts, each by `measure`; `page` is what their sections go to, if any."""

    command: str
    scale: Scale
    progress: Progress
    page: Path | None
    measure: Callable[[Part, Scale, Tell], Section]

    def all(self, parts: Sequence[Part]) -> list[str]:
        """Measure all, whichever fail; give what these say.

        Each section is printed, and put into the page as soon as it is there.
        """
        failures = []
        with self.progress.of([(part.name, part.expected[self.scale]) for part in parts]) as began:
            for part in parts:
                began(part.name)
                origin = f"`{self.command}` on {machine()}."
                try:
                    section = self.measure(part, self.scale, self.progress.tell)
                except PartFailedError as error:
                    failures.append(f"{part.name}: {error}")
                    self.progress.tell(f"failed: {error}")
                    continue
                print(written(section, origin), flush=True)  # noqa: T201 - the command's output
                if self.page:
                    publish(section, origin, self.page)
        return failures
