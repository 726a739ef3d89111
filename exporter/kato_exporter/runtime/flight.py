"""One flight: at most one run of a question at a time, shared by all who ask meanwhile."""

import threading
import time
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from kato_exporter.runtime.question import Outcome, Question
from kato_exporter.stores.deadline import Deadline

T = TypeVar("T")


class Flight(Generic[T]):
    """Puts a question on an executor, never twice at once.

    Who asks while it runs shares the run. A run past its own deadline is given up: nobody waits
    for it any more, its answer is dropped, and no new one starts until it has ended.
    """

    def __init__(self, question: Question[T], executor: Executor) -> None:
        self._question = question
        self._executor = executor
        self._lock = threading.Lock()
        self._run: Future[Outcome[T] | None] | None = None
        self._run_deadline = Deadline.after(0)

    def board(self, deadline: Deadline) -> "Seat[T]":
        """Start a run, or join the one under way; does not wait."""
        with self._lock:
            if self._run is None or self._run.done():
                self._run_deadline = deadline
                self._run = self._executor.submit(self._fly, deadline)
            return Seat(self._run, self._run_deadline)

    def _fly(self, deadline: Deadline) -> Outcome[T] | None:
        """Ask, and drop an answer that comes late."""
        outcome = self._question.put(deadline)
        return None if deadline.expired else outcome


@dataclass(frozen=True, slots=True)
class Seat(Generic[T]):
    """A place on a run, for one who waits until a deadline of its own at most."""

    run: "Future[Outcome[T] | None]"
    run_deadline: Deadline

    def outcome(self, deadline: Deadline) -> Outcome[T]:
        """Wait for the run's end, but past neither deadline."""
        began = time.monotonic()
        with suppress(FutureTimeoutError):
            outcome = self.run.result(min(deadline.remaining, self.run_deadline.remaining))
            if outcome is not None:
                return outcome
        return Outcome(
            answer=None,
            error="no answer before the deadline",
            duration=time.monotonic() - began,
            finished_at=time.time(),
        )
