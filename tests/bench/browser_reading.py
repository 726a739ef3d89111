"""Asks the record browser for pages, and measures how long that and other work takes."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import httpx

Facts = dict[str, Any]
"""A page's JSON twin."""

SLOW, SLOW_ROUNDS = 0.5, 3


class Reader:
    """Somebody who is signed in, on one connection."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def first_byte(self, path: str) -> float:
        """Give the seconds until the first byte of a page, which is then read to its end."""
        began = time.perf_counter()
        with self._http.stream("GET", path) as answer:
            chunks = answer.iter_raw()
            next(chunks)
            taken = time.perf_counter() - began
            answer.raise_for_status()
            for _ in chunks:
                pass
        return taken

    def facts(self, path: str) -> Facts:
        """Give a page's JSON twin."""
        answer = self._http.get(path, headers={"Accept": "application/json"})
        answer.raise_for_status()
        found: Facts = answer.json()
        return found

    def download(self, path: str) -> Iterator[bytes]:
        """Give a download as it comes."""
        with self._http.stream("GET", path) as answer:
            answer.raise_for_status()
            yield from answer.iter_raw()


def timed(work: Callable[[], object]) -> float:
    """Give the seconds that work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def times_of(*works: Callable[[], object], rounds: int) -> list[float]:
    """Give the medians of works that are done in turns."""
    return in_turns([partial(timed, work) for work in works], rounds)


def in_turns(measures: Sequence[Callable[[], float]], rounds: int) -> list[float]:
    """Measure each in turn, every other round from the last one on; give the medians.

    There are SLOW_ROUNDS at most where one takes longer than SLOW.
    """
    taken: list[list[float]] = [[] for _ in measures]
    for number in range(rounds):
        turns = list(zip(measures, taken, strict=True))
        for measure, times in turns if number % 2 == 0 else reversed(turns):
            times.append(measure())
        if number + 1 == SLOW_ROUNDS and max(map(min, taken)) > SLOW:
            break
    return [statistics.median(times) for times in taken]


def milliseconds(seconds: float) -> str:
    """Write a time."""
    return f"{1000 * seconds:,.1f} ms"
