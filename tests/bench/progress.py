"""Shows how far the benchmarks have come: bars in a terminal, a line for each step in a log."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import ProgressColumn, Task, TaskID, TextColumn
from rich.progress_bar import ProgressBar
from rich.text import Text


def clock(seconds: float) -> str:
    """Write seconds as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


class _Share(ProgressColumn):
    """A bar of the time that is over, of the time that is expected."""

    def render(self, task: Task) -> ProgressBar:
        return ProgressBar(total=task.total, completed=min(task.elapsed or 0, task.total or 0))


class _Time(ProgressColumn):
    """Both times in figures."""

    def render(self, task: Task) -> Text:
        return Text(f"{clock(task.elapsed or 0)} of about {clock(task.total or 0)}")


class Progress:
    """What is being measured: the part, its step, the time it has taken and that is expected."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(TextColumn("{task.description}"), _Share(), _Time(), console=console)
        self._shown: list[TaskID] = []
        self._began = self._part_began = time.monotonic()
        self._expected = self._part_expected = 0.0
        self._part = ""

    @contextmanager
    def of(self, parts: Sequence[tuple[str, float]]) -> Iterator[Callable[[str], None]]:
        """Show parts of so many seconds while they run; give what tells that one begins."""
        seconds = dict(parts)
        self._expected = sum(seconds.values())
        self._began = time.monotonic()
        whole = self._bars.add_task(f"{len(parts)} parts", total=self._expected)
        current = self._bars.add_task("", total=None)

        def begins(name: str) -> None:
            number = list(seconds).index(name) + 1
            self._part = f"{name} ({number} of {len(parts)})"
            self._part_began, self._part_expected = time.monotonic(), seconds[name]
            self._bars.reset(current, total=seconds[name], description=self._part)
            self.tell("begins")

        self._shown = [whole, current]
        if self._console.is_terminal:
            with self._bars:
                yield begins
        else:
            yield begins

    def tell(self, step: str) -> None:
        """Show the step that begins."""
        if self._console.is_terminal:
            self._bars.update(self._shown[-1], description=f"{self._part}: {step}")
            return
        now = time.monotonic()
        self._console.print(
            f"{clock(now - self._began)} of about {clock(self._expected)} | {self._part} "
            f"{clock(now - self._part_began)} of about {clock(self._part_expected)} | {step}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
