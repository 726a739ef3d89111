"""Bounded waits: on a condition, and on how long something took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.05


def eventually(ask: Callable[[], T | None], *, within: float, what: str) -> T:
    """Ask again and again until the answer is truthy, and give it; fail after `within` seconds."""
    give_up_at = time.monotonic() + within
    while not (answer := ask()):
        assert time.monotonic() < give_up_at, f"not within {within:g} s: {what}"
        time.sleep(_POLL_SECONDS)
    return answer


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Fail where the block takes longer, be it that it raises or not."""
    began = time.monotonic()
    try:
        yield
    finally:
        took = time.monotonic() - began
        assert took < seconds, f"took {took:.2f} s, not {seconds:g} s at most"
