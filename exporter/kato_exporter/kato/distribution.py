"""A distribution of values over fixed bounds: what a Prometheus histogram is made of."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Self


@dataclass(frozen=True, slots=True)
class Distribution:
    """How many values fell at or below each bound and above the one before, and their sum.

    `bounds` ascend; `counts` has one entry more, for the values above the last bound.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.bounds) + 1:
            raise ValueError(f"{len(self.bounds)} bounds need one count more, not {self.counts}")
        if any(low >= high for low, high in pairwise(self.bounds)):
            raise ValueError(f"bounds must ascend: {self.bounds}")

    @classmethod
    def of(cls, bounds: Sequence[float], weighted: Iterable[tuple[float, int]]) -> Self:
        """Sort values, each given with how often it occurs, into the buckets of `bounds`."""
        counts = [0] * (len(bounds) + 1)
        total = 0.0
        for value, times in weighted:
            counts[bisect_left(bounds, value)] += times
            total += value * times
        return cls(tuple(bounds), tuple(counts), total)

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(self.counts)

    def cumulative(self) -> list[tuple[str, int]]:
        """Give the buckets as Prometheus wants them: (le, how many values are at most le)."""
        labels = [*(f"{float(bound)}" for bound in self.bounds), "+Inf"]
        return list(zip(labels, accumulate(self.counts), strict=True))
