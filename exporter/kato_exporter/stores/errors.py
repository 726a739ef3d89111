"""What can go wrong between us and a store."""

from collections.abc import Iterator
from contextlib import contextmanager


class StoreError(Exception):
    """The store gave no usable answer: refused, silent, cut off or without the rights.

    The message is one line, names no secret and can be shown to an operator.
    """


class QueryError(StoreError):
    """The store answered, but not this question: no right to it, too slow, not supported.

    `code` is the store's own number of the error, where it has one.
    """

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class NotChangeableError(QueryError):
    """A record is not for the record browser to change, or too large for it; says why."""


@contextmanager
def part_of_a_change(*, begun: bool) -> Iterator[None]:
    """Let a refusal be QueryError only where nothing was done before it, else StoreError."""
    try:
        yield
    except QueryError as error:
        if begun:
            raise StoreError(f"a part was done, the rest not: {error}") from error
        raise
