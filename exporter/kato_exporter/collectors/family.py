"""Declares metric families once: what the exposition, the documentation and the limits share."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from prometheus_client.core import Metric

from kato_exporter.kato.distribution import Distribution


class Kind(StrEnum):
    """The types of OpenMetrics that we use; an info is a gauge of 1 with the facts as labels."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    GAUGE_HISTOGRAM = "gaugehistogram"
    INFO = "info"


_SUFFIX = {Kind.COUNTER: "_total", Kind.INFO: "_info"}
_SUMS = {Kind.HISTOGRAM: ("_count", "_sum"), Kind.GAUGE_HISTOGRAM: ("_gcount", "_gsum")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A metric family: its name as queries spell it, its help and its labels.

    `bounds` are the buckets' upper bounds of a histogram. A value of None or NaN is unknown and
    makes no sample.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.name.endswith(_SUFFIX.get(self.kind, "")):
            raise ValueError(f"{self.name}: a {self.kind} is called *{_SUFFIX[self.kind]}")

    @property
    def series_per_subject(self) -> int:
        """How many series one set of label values makes."""
        if self.kind in _SUMS:
            return len(self.bounds) + 1 + len(_SUMS[self.kind])
        return 1

    def sample(self, value: float | None) -> Metric:
        """Make the family of its one value, which has no labels."""
        return self.samples([((), value)])

    def samples(self, rows: Iterable[tuple[Sequence[str], float | None]]) -> Metric:
        """Make the family of rows, each its label values and its value.

        Where two have the same labels once lone surrogates are spelled out, the first counts.
        """
        values: dict[tuple[str, ...], float] = {}
        for labels, value in rows:
            if value is not None and not math.isnan(value):
                values.setdefault(_spelled(labels), value)
        metric = self._metric()
        for labels, value in values.items():
            metric.add_sample(self.name, dict(zip(self.labels, labels, strict=True)), value)
        return metric

    def sums(self, rows: Iterable[tuple[tuple[str, ...], float | None]]) -> Metric:
        """Make the family of rows whose labels may repeat: the values of equals are added.

        A value that is unknown makes the sum of its labels unknown.
        """
        sums: dict[tuple[str, ...], float | None] = {}
        for labels, value in rows:
            spelled = _spelled(labels)
            before = sums.get(spelled, 0)
            sums[spelled] = None if before is None or value is None else before + value
        return self.samples(sums.items())

    def distributions(self, rows: Iterable[tuple[Sequence[str], Distribution]]) -> Metric:
        """Make the family of rows, each its label values and its distribution."""
        metric = self._metric()
        count, total = _SUMS[self.kind]
        for labels, distribution in rows:
            named = dict(zip(self.labels, _spelled(labels), strict=True))
            for bound, at_most in distribution.cumulative():
                metric.add_sample(f"{self.name}_bucket", {**named, "le": bound}, at_most)
            metric.add_sample(self.name + count, named, distribution.count)
            metric.add_sample(self.name + total, named, distribution.total)
        return metric

    def _metric(self) -> Metric:
        return Metric(self.name.removesuffix(_SUFFIX.get(self.kind, "")), self.help, self.kind)


def _spelled(labels: Sequence[str]) -> tuple[str, ...]:
    """Spell lone surrogates out, which no encoding has."""
    return tuple(value.encode("utf-8", "backslashreplace").decode() for value in labels)
