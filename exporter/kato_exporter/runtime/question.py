"""A question to a store, asked again and again: what came of it, and a word when that changes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import StoreError

T = TypeVar("T")

_log = structlog.get_logger("collection")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[T]):
    """An answer, or the error that stood in its way.

    `duration` is in seconds, `finished_at` in epoch seconds.
    """

    answer: T | None
    error: str | None
    duration: float
    finished_at: float


class Question(Generic[T]):
    """Something to ask, which never raises; logs the first failure of a row, and its end."""

    def __init__(self, subject: str, ask: Callable[[Deadline], T]) -> None:
        self.subject = subject
        self._ask = ask
        self._failing = False

    def put(self, deadline: Deadline) -> Outcome[T]:
        """Ask once."""
        began = time.monotonic()
        answer, error = None, None
        try:
            answer = self._ask(deadline)
        except StoreError as refusal:
            error = str(refusal)
        except Exception as fault:  # noqa: BLE001 - one failure stays one failure
            error = f"{type(fault).__name__}: {fault}"
            _log.exception("fault in our own code", subject=self.subject)
        self._report_change(error)
        return Outcome(
            answer=answer,
            error=error,
            duration=time.monotonic() - began,
            finished_at=time.time(),
        )

    def _report_change(self, error: str | None) -> None:
        if error is not None and not self._failing:
            _log.warning("no answer", subject=self.subject, error=error)
        elif error is None and self._failing:
            _log.info("answers again", subject=self.subject)
        self._failing = error is not None
