"""Grafana's dashboards as data: their panels, and every query that they ask."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kato_dashboards.promql import family_of, metrics_in
from support.alert_rules import ROOT

GRAFANA = ROOT / "grafana"
DIRECTORY = GRAFANA / "dashboards"

_STANDS_FOR = {
    "$__rate_interval": "1m",
    "$__range": "5m",
    "$__interval": "15s",
    "$job": ".+",
    "$instance": ".+",
    "$kb": ".+",
    "$container": ".+",
    "$node": ".+",
}
"""What Grafana puts in the place of its variables, where all are chosen."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A query of a dashboard: where it stands, and what it asks."""

    place: str
    expression: str

    @property
    def plain(self) -> str:
        """The query as Prometheus gets it."""
        return re.sub(r"\$\w+", lambda found: _STANDS_FOR[found[0]], self.expression)

    @property
    def metrics(self) -> Sequence[str]:
        """The series that it reads."""
        return metrics_in(self.expression)

    def __str__(self) -> str:
        return f"{self.place}: {self.plain}"


def dashboards() -> list[Mapping[str, Any]]:
    """Give the dashboards that are committed."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(DIRECTORY.glob("*"))]


def panels(dashboard: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give all panels but the headlines of rows."""
    for panel in dashboard["panels"]:
        yield from (each for each in [panel, *panel.get("panels", ())] if each["type"] != "row")


def panel_queries(dashboard: Mapping[str, Any]) -> Iterator[Asked]:
    """Give the queries of all panels."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            place = f"{dashboard['title']} / {panel['title']} {target['refId']}"
            yield Asked(place, target["expr"])


def annotation_queries(dashboard: Mapping[str, Any]) -> Iterator[Asked]:
    """Give the queries of all annotations."""
    for annotation in dashboard["annotations"]["list"]:
        yield Asked(f"{dashboard['title']} / mark {annotation['name']}", annotation["expr"])


def variable_queries(dashboard: Mapping[str, Any]) -> Iterator[Asked]:
    """Give what the variables ask: the series of whose labels they give the values."""
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert asked is not None, variable["query"]
            place = f"{dashboard['title']} / variable {variable['name']}"
            yield Asked(place, f"count by ({asked[2]}) ({asked[1]})")


def all_queries() -> list[Asked]:
    """Give every query of every dashboard."""
    return [
        asked
        for dashboard in dashboards()
        for queries in (panel_queries, annotation_queries, variable_queries)
        for asked in queries(dashboard)
    ]


def families_shown() -> set[str]:
    """Give the names under which docs/metrics.md has what the dashboards show."""
    return {family_of(metric) for asked in all_queries() for metric in asked.metrics}
