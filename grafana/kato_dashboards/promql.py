"""PromQL, written without what is the same everywhere: matchers, windows and sums."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

from kato_exporter.reference import metrics_page

WINDOW = "$__rate_interval"

_METRIC = re.compile(r"\b(up|ALERTS|(?:instance\w*:)?kato_[\w:]+)\b(?:\{([^}]*)\})?")
_SECTION = re.compile(r"^## .+?\n\n(.+?)\n\n(.+?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_FAMILY = re.compile(r"^\| `(\w+)` \| \w+ \| ([^|]*) \|", re.MULTILINE)
_SUFFIX = re.compile(r"_(bucket|count|sum|gcount|gsum)$")
_TARGET = ('job=~"$job"', 'instance=~"$instance"')
_CHOSEN = {"kb": 'kb=~"$kb"', "name": 'name=~"$container"', "node": 'node=~"$node"'}
"""What a label is matched with, where a metric has it."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What docs/metrics.md says of a metric: its labels, and the setting by which it gets old."""

    labels: frozenset[str]
    interval: str


def _documented() -> dict[str, Metric]:
    found = {}
    for text, table in _SECTION.findall(metrics_page()):
        interval = re.search(r"every `(\w+)`", text)
        for name, labels in _FAMILY.findall(table):
            own = frozenset(re.findall(r"`(\w+)`", labels))
            found[name] = Metric(own, interval[1] if interval else "")
    return found


METRICS = _documented()


def family_of(series: str) -> str:
    """Give the name under which docs/metrics.md has a series, or its own where it has none."""
    return series if series in METRICS else _SUFFIX.sub("", series)


def metrics_in(expression: str) -> list[str]:
    """Give the names of the series that an expression reads, each once, in order."""
    return list(dict.fromkeys(found[1] for found in _METRIC.finditer(expression)))


def scoped(expression: str) -> str:
    """Give an expression with the matchers of the dashboard's variables on each metric."""
    return _METRIC.sub(_with_matchers, expression)


def _with_matchers(found: re.Match[str]) -> str:
    matchers = [*_TARGET, *(_CHOSEN[label] for label in _labels_of(found[1]) if label in _CHOSEN)]
    return f"{found[1]}{{{', '.join([*matchers, found[2]] if found[2] else matchers)}}}"


def _labels_of(series: str) -> Sequence[str]:
    if ":" in series:
        return series.partition(":")[0].split("_")
    family = METRICS.get(family_of(series))
    return sorted(family.labels) if family else ()


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and what its series are called; `names` where these are known beforehand."""

    expression: str
    legend: str = ""
    names: Sequence[str] = ()
    kind: Literal["range", "instant", "table", "heatmap"] = "range"
    dashed: bool = False

    def now(self) -> Self:
        """Give the same for the present moment only."""
        return replace(self, kind="instant")


def each(expression: str, *by: str, legend: str = "", names: Sequence[str] = ()) -> Query:
    """Ask for a gauge, summed up over all but the labels given."""
    return Query(_summed(expression, by), legend or _legend(by), names)


def most(expression: str, *by: str, legend: str = "", names: Sequence[str] = ()) -> Query:
    """Ask for the highest of a gauge that no sum makes sense of, for each of the labels given."""
    grouped = f"max by ({', '.join(by)}) ({expression})" if by else f"max({expression})"
    return Query(grouped, legend or _legend(by), names)


def rate(counter: str, *by: str, legend: str = "", names: Sequence[str] = ()) -> Query:
    """Ask how fast a counter goes up, per second."""
    return each(f"rate({counter}[{WINDOW}])", *by, legend=legend, names=names)


def per_minute(counter: str, *by: str, legend: str = "", names: Sequence[str] = ()) -> Query:
    """Ask how fast a counter goes up, per minute."""
    asked = rate(counter, *by, legend=legend, names=names)
    return replace(asked, expression=f"60 * {asked.expression}")


def increase(counter: str, *by: str, legend: str = "", window: str = WINDOW) -> Query:
    """Ask by how much a counter went up in a window."""
    return each(f"increase({counter}[{window}])", *by, legend=legend)


def ratio(part: Query, whole: Query, legend: str = "") -> Query:
    """Ask what part one sum is of another; nothing where the whole is nothing."""
    return Query(f"{part.expression} / ({whole.expression} > 0)", legend or part.legend, part.names)


def quantiles(histogram: str, *by: str) -> list[Query]:
    """Ask for median, 90th and 99th percentile of a histogram's observations in a window."""
    return _quantiles(f"rate({histogram}_bucket[{WINDOW}])", by)


def quantiles_now(histogram: str, *by: str) -> list[Query]:
    """Ask for the same of a gauge histogram: of what there is at the moment."""
    return _quantiles(f"{histogram}_bucket", by)


def heat(histogram: str) -> Query:
    """Ask how many observations of a histogram fell into each bucket in a window."""
    return Query(f"sum by (le) (increase({histogram}_bucket[{WINDOW}]))", "{{le}}", kind="heatmap")


def heat_now(histogram: str) -> Query:
    """Ask how many things of a gauge histogram are in each bucket at the moment."""
    return Query(f"sum by (le) ({histogram}_bucket)", "{{le}}", kind="heatmap")


def state(metric: str, label: str, values: Sequence[str], *by: str) -> Query:
    """Ask which of the values the label has, as a number from 1 on; 0 where it is none of them."""
    weighed = " or ".join(
        f'{number} * {metric}{{{label}="{value}"}}' for number, value in enumerate(values, start=1)
    )
    return Query(f"max by ({', '.join(by)}) ({weighed})", _legend(by))


def column(expression: str, *by: str) -> Query:
    """Ask for a column of a table, with a row for each set of labels."""
    return replace(each(expression, *by), kind="table")


def _quantiles(buckets: str, by: Sequence[str]) -> list[Query]:
    summed = _summed(buckets, ("le", *by))
    suffix = f" {_legend(by)}" if by else ""
    return [
        Query(f"histogram_quantile({quantile}, {summed})", f"{name}{suffix}")
        for quantile, name in ((0.5, "median"), (0.9, "p90"), (0.99, "p99"))
    ]


def _summed(expression: str, by: Sequence[str]) -> str:
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"


def _legend(by: Sequence[str]) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in by)
