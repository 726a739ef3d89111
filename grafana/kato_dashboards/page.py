"""A dashboard: rows of panels under the same variables, marks and links."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard, DashboardCursorSync
from grafana_foundation_sdk.models.dashboard import Panel as Built

from kato_dashboards import links, variables
from kato_dashboards.annotations import ANNOTATIONS
from kato_dashboards.panels import Panel


@dataclass(frozen=True, slots=True)
class _Placed(Builder[Built]):
    panel: Built

    def build(self) -> Built:
        return self.panel


@dataclass(frozen=True, slots=True)
class Row:
    """A headline and its panels; `repeat` names a variable of which each value gets such a row."""

    title: str
    panels: Sequence[Panel]
    repeat: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One dashboard. `name` is the file's and the end of the uid."""

    name: str
    title: str
    about: str
    rows: Sequence[Row]

    def build(self) -> Dashboard:
        """Give it for Grafana; every panel has its place and number."""
        page = (
            build.Dashboard(self.title)
            .uid(f"kato-{self.name}")
            .description(self.about)
            .tags([links.TAG])
            .readonly()
            .time("now-3h", "now")
            .refresh("30s")
            .timezone("browser")
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .with_variable(variables.datasource())
            .with_variable(variables.browser())
            .link(links.to_the_others())
        )
        for choice in variables.choices():
            page.with_variable(choice)
        for annotation in ANNOTATIONS:
            page.annotation(annotation)
        numbers = count(1)
        for row in self.rows:
            headline = build.Row(row.title).id(next(numbers))
            page.with_row(headline.repeat(row.repeat) if row.repeat else headline)
            for panel in _numbered(row.panels, numbers):
                page.with_panel(panel)
        return page.build()

    def json(self) -> str:
        """Give the file's content."""
        return JSONEncoder(sort_keys=True, indent=2).encode(self.build()) + "\n"


def _numbered(panels: Sequence[Panel], numbers: Iterator[int]) -> Iterator[_Placed]:
    for panel in panels:
        built = panel.build()
        built.id_val = next(numbers)
        yield _Placed(built)
