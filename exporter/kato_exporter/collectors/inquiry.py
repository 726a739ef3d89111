"""Asks the same of many subjects, one after the other, where one failure stays one failure."""

from collections.abc import Callable
from typing import TypeVar

from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError

T = TypeVar("T")
U = TypeVar("U")


class Inquiry:
    """Puts questions until the deadline; `failures` has a line for each that got no answer."""

    def __init__(self, deadline: Deadline) -> None:
        self.failures: list[str] = []
        self._deadline = deadline
        self._out_of_time = False

    def ask(self, question: Callable[[str], T], subject: str, *, unanswered: U) -> T | U:
        """Ask about a subject; give `unanswered` where only this question has no answer.

        Raises StoreError where the store as a whole gives none.
        """
        if self._deadline.expired:
            if not self._out_of_time:
                self._out_of_time = True
                self.failures.append(f"{subject} and what follows it: out of time")
            return unanswered
        try:
            return question(subject)
        except QueryError as error:
            self.failures.append(f"{subject}: {error}")
            return unanswered
