"""Reads expositions as the tests want them: values by name and labels."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Self

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

Series = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Samples:
    """All samples of one exposition."""

    values: dict[Series, float]

    @classmethod
    def of(cls, text: str) -> Self:
        """Parse an exposition in the text format; a series that comes twice is an error."""
        return cls.of_families(text_string_to_metric_families(text))

    @classmethod
    def of_families(cls, families: Iterable[Metric]) -> Self:
        """Take the samples of families; a series that comes twice is an error."""
        values: dict[Series, float] = {}
        for family in families:
            for sample in family.samples:
                series = sample.name, frozenset(sample.labels.items())
                assert series not in values, f"twice: {series}"
                values[series] = sample.value
        return cls(values)

    def value(self, name: str, **labels: str) -> float | None:
        """Give the value of one series, None where there is none."""
        return self.values.get((name, frozenset(labels.items())))

    def by(self, label: str, name: str, **fixed: str) -> dict[str, float]:
        """Give the values of a name's series by this label; all others must be as given."""
        return {
            dict(labels)[label]: value
            for (found, labels), value in self.values.items()
            if found == name
            and fixed == {k: v for k, v in labels if k != label}
            and label in dict(labels)
        }

    def asked_since(self, moment: float, *collectors: str) -> bool:
        """Tell whether all these collectors began and ended their last questions after a moment.

        It is in epoch seconds.
        """
        about = {
            what: self.by("collector", f"kato_exporter_collector_{what}")
            for what in ("success", "last_success_timestamp_seconds", "duration_seconds")
        }
        return all(
            about["success"].get(name) == 1
            and about["last_success_timestamp_seconds"][name] - about["duration_seconds"][name]
            > moment
            for name in collectors
        )

    def under(self, prefixes: tuple[str, ...]) -> dict[Series, float]:
        """Give the series whose names begin with one of the prefixes."""
        return {
            series: value for series, value in self.values.items() if series[0].startswith(prefixes)
        }

    def buckets(self, name: str, **labels: str) -> list[float]:
        """Give the cumulative buckets of a histogram's series, by ascending bound."""
        found = {
            float(dict(own)["le"]): value
            for (sample, own), value in self.values.items()
            if sample == f"{name}_bucket" and labels.items() <= dict(own).items()
        }
        return [found[bound] for bound in sorted(found)]


def cumulative_counts(bounds: Sequence[float], values: Iterable[float]) -> list[float]:
    """Count how many values are at most each bound, and how many there are."""
    counts = [0.0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    return list(accumulate(counts))


def quantile(q: float, bounds: Sequence[float], values: Iterable[float]) -> float:
    """Reckon what PromQL's `histogram_quantile` makes of values that lie in buckets."""
    counts = cumulative_counts(bounds, values)
    rank = q * counts[-1]
    bucket = next(index for index, count in enumerate(counts) if count >= rank)
    if bucket == len(bounds):
        return bounds[-1]
    below, lower = (counts[bucket - 1], bounds[bucket - 1]) if bucket else (0.0, 0.0)
    return lower + (bounds[bucket] - lower) * (rank - below) / (counts[bucket] - below)
