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
    """Something to ask, which never raises; logs the first failure of a row, and its end.

    `lacking` says what an answer lacks, where it is not whole; that counts as a failure too.
    """

    def __init__(
        self,
        subject: str,
        ask: Callable[[Deadline], T],
        *,
        lacking: Callable[[T], str] = lambda _: "",
    ) -> None:
        self.subject = subject
        self._ask = ask
        self._lacking = lacking
        self._failing = False

    def put(self, deadline: Deadline) -> Outcome[T]:
        """Ask once."""
        began = time.monotonic()
        answer, error = None, None
        try:
            answer = self._ask(deadline)
            self._report_change(self._lacking(answer))
        except StoreError as refusal:
            error = str(refusal)
            self._report_change(error)
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

    def _report_change(self, error: str) -> None:
        if error and not self._failing:
            _log.warning("no whole answer", subject=self.subject, error=error)
        elif not error and self._failing:
            _log.info("answers again", subject=self.subject)
        self._failing = bool(error)
