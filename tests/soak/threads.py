"""Threads of a soak, whose failures fail the soak."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Worker:
    """A thread that works as long as the context lasts; `work` is given the event of its end.

    A failure is raised by `assert_well` and at the end; where that comes by another error, it is
    noted there.
    """

    def __init__(self, name: str, work: Callable[[threading.Event], None]) -> None:
        self._work = work
        self._ending = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join()
        if error is None:
            self.assert_well()
        elif self._failure is not None:
            error.add_note(f"the {self._thread.name} had ended before: {self._failure!r}")

    def assert_well(self) -> None:
        """Raise what has ended it, if anything has."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._work(self._ending)
        except BaseException as error:  # noqa: BLE001 - raised again by assert_well
            self._failure = error


def again_and_again(
    look: Callable[[], object], *, pause: float
) -> Callable[[threading.Event], None]:
    """Make work of what is to be done every so many seconds."""

    def work(ending: threading.Event) -> None:
        while not ending.wait(pause):
            look()

    return work
