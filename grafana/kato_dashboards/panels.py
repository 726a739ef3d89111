"""The kinds of panels: each says what it asks, in what unit, and which values are bad."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

from grafana_foundation_sdk.builders import common as build
from grafana_foundation_sdk.builders import heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphThresholdsStyleMode,
    HeatmapCellLayout,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardFieldConfigSourceOverrides,
    DashboardLink,
    DashboardRangeMapOptions,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColor,
    FieldColorModeId,
    FieldConfig,
    FieldConfigSource,
    GridPos,
    MatcherConfig,
    RangeMap,
    Threshold,
    ThresholdsConfig,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.dashboard import Panel as Built
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from kato_dashboards import links, palette
from kato_dashboards.promql import METRICS, Query, family_of, metrics_in, scoped
from kato_dashboards.thresholds import UNJUDGED, Level
from kato_dashboards.variables import DATASOURCE

NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class State:
    """A value that is a state: what it is called, and its colour."""

    value: int
    word: str
    colour: str


UP_OR_DOWN = (State(0, "down", palette.CRITICAL), State(1, "up", palette.WELL))
YES_OR_NO = (State(0, "no", palette.CRITICAL), State(1, "yes", palette.WELL))


def states(*words: tuple[str, str]) -> Sequence[State]:
    """Give the states 1, 2, ... by word and colour, and 0 for one that nobody knows."""
    known = [State(number, *word) for number, word in enumerate(words, start=1)]
    return [State(0, "unknown", palette.NEUTRAL), *known]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What all kinds have. `about` says what is shown; metrics and their age are told after it."""

    title: str
    about: str
    queries: Sequence[Query]
    unit: str = "short"
    levels: Sequence[Level] = UNJUDGED
    states: Sequence[State] = ()
    records: str = ""
    """A path in the record browser, such as `/kb/{kb}` where series have that label."""
    width: int = 8
    height: int = 8

    def build(self) -> Built:
        """Give the panel for Grafana, without a place and a number."""
        panel = self._plain()
        config = panel.field_config or FieldConfigSource(defaults=FieldConfig(), overrides=[])
        config.defaults.unit = self.unit
        config.defaults.no_value = NO_DATA
        config.defaults.mappings = [*self._mappings()]
        config.defaults.thresholds = _thresholds(self.levels)
        config.defaults.links = self._links()
        config.defaults.color = config.defaults.color or FieldColor(FieldColorModeId.THRESHOLDS)
        config.overrides = [*(config.overrides or ()), *self._overrides()]
        panel.field_config = config
        panel.title = self.title
        panel.description = self.about + described(self.queries)
        panel.datasource = DATASOURCE
        panel.targets = [
            _target(query, chr(ord("A") + number)).build()
            for number, query in enumerate(self.queries)
        ]
        panel.grid_pos = GridPos(h=self.height, w=self.width, x=0, y=0)
        return panel

    def _plain(self) -> Built:
        raise NotImplementedError

    def _mappings(self) -> Iterator[ValueMapping]:
        if self.states:
            yield ValueMap({str(s.value): _shown(s.word, s.colour) for s in self.states})

    def _links(self) -> list[DashboardLink]:
        return [links.to_records(self.records)] if self.records else []

    def _overrides(self) -> Iterator[DashboardFieldConfigSourceOverrides]:
        yield from ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph(Panel):
    """Lines over time, with a legend that sorts; thresholds are dashed lines."""

    stacked: bool = False

    def _plain(self) -> Built:
        panel = (
            timeseries.Panel()
            .legend(
                build.VizLegendOptions()
                .display_mode(LegendDisplayMode.TABLE)
                .placement(LegendPlacement.BOTTOM)
                .show_legend(show_legend=True)
                .calcs(["lastNotNull", "max"])
                .sort_by("Last *")
                .sort_desc(sort_desc=True)
            )
            .tooltip(
                build.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
            )
            .line_width(2)
            .fill_opacity(25 if self.stacked else 0)
            .show_points(VisibilityMode.AUTO)
            .span_nulls(span_nulls=False)
            .thresholds_style(
                build.GraphThresholdsStyleConfig().mode(
                    GraphThresholdsStyleMode.OFF
                    if self.levels is UNJUDGED
                    else GraphThresholdsStyleMode.DASHED
                )
            )
            .stacking(
                build.StackingConfig().mode(
                    StackingMode.NORMAL if self.stacked else StackingMode.NONE
                )
            )
            .build()
        )
        if panel.field_config:
            panel.field_config.defaults.color = FieldColor(FieldColorModeId.PALETTE_CLASSIC)
        return panel

    def _overrides(self) -> Iterator[DashboardFieldConfigSourceOverrides]:
        colours = cycle(palette.SERIES)
        for number, query in enumerate(self.queries):
            for name in query.names:
                yield _override("byName", name, color=_fixed(next(colours)))
            if not query.names:
                many = FieldColorModeId.SHADES if "{{" in query.legend else FieldColorModeId.FIXED
                colour = FieldColor(many, fixed_color=next(colours))
                yield _override("byFrameRefID", chr(ord("A") + number), color=colour)
            if query.dashed:
                style = {"fill": "dash", "dash": [8, 8]}
                yield _override(
                    "byFrameRefID", chr(ord("A") + number), **{"custom.lineStyle": style}
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Panel):
    """Large numbers of this moment, in the colour of their level."""

    width: int = 4
    height: int = 4
    worded: bool = False
    """Show the levels' words in place of the numbers."""
    named: bool = False
    """Show the names of the series in place of the numbers."""

    def _plain(self) -> Built:
        return (
            stat.Panel()
            .color_mode(BigValueColorMode.VALUE)
            .graph_mode(BigValueGraphMode.NONE)
            .reduce_options(build.ReduceDataOptions().calcs(["lastNotNull"]))
            .text_mode(BigValueTextMode.NAME if self.named else BigValueTextMode.AUTO)
            .wide_layout(wide_layout=True)
            .build()
        )

    def _mappings(self) -> Iterator[ValueMapping]:
        yield from Panel._mappings(self)  # noqa: SLF001 - slots leave no super()
        if self.worded:
            ends = [*(level.value for level in self.levels[1:]), None]
            for level, end in zip(self.levels, ends, strict=True):
                span = DashboardRangeMapOptions(level.value, end, _shown(level.word, level.colour))
                yield RangeMap(span)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline(Panel):
    """States over time, a row for each thing; a gap is a time without data."""

    def _plain(self) -> Built:
        return (
            statetimeline.Panel()
            .show_value(VisibilityMode.AUTO)
            .merge_values(merge_values=True)
            .row_height(0.8)
            .fill_opacity(80)
            .legend(
                build.VizLegendOptions()
                .display_mode(LegendDisplayMode.LIST)
                .placement(LegendPlacement.BOTTOM)
                .show_legend(show_legend=True)
            )
            .build()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap(Panel):
    """How a distribution goes on over time: the darker a cell, the more is in it."""

    def _plain(self) -> Built:
        return (
            heatmap.Panel()
            .calculate(calculate=False)
            .rows_frame(heatmap.RowsHeatmapOptions().layout(HeatmapCellLayout.LE))
            .color(
                heatmap.HeatmapColorOptions()
                .mode(HeatmapColorMode.SCHEME)
                .scheme("Blues")
                .steps(32)
            )
            .y_axis(heatmap.YAxisConfig().unit(self.unit))
            .show_legend()
            .build()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Panel):
    """A row for each set of labels, and a column for each query, called by its legend."""

    columns: Sequence[tuple[str, str]] = ()
    """Name and unit of the column that each query makes."""
    sort_by: str = ""

    def _plain(self) -> Built:
        names = {
            f"Value #{chr(ord('A') + number)}" if len(self.columns) > 1 else "Value": name
            for number, (name, _) in enumerate(self.columns)
        }
        hidden = {"Time": True, "__name__": True, "job": True}
        return (
            table.Panel()
            .show_header(show_header=True)
            .filterable(filterable=True)
            .sort_by([build.TableSortByFieldState().display_name(self.sort_by).desc(desc=True)])
            .with_transformation(DataTransformerConfig("merge", options={}))
            .with_transformation(
                DataTransformerConfig(
                    "organize", options={"excludeByName": hidden, "renameByName": names}
                )
            )
            .build()
        )

    def _links(self) -> list[DashboardLink]:
        return [links.to_records_of_row(self.records)] if self.records else []

    def _overrides(self) -> Iterator[DashboardFieldConfigSourceOverrides]:
        for name, unit in self.columns:
            yield _override("byName", name, unit=unit)


def described(queries: Sequence[Query]) -> str:
    """Tell the metrics that queries read, and how old their values may be."""
    metrics = list(dict.fromkeys(m for query in queries for m in metrics_in(query.expression)))
    intervals = sorted({_interval(metric) for metric in metrics} - {""})
    old = "".join(f", or `{interval}` where the exporter asks less often" for interval in intervals)
    names = ", ".join(f"`{metric}`" for metric in metrics)
    return f"\n\nFrom {names}. As old as the last scrape{old}."


def _interval(metric: str) -> str:
    family = METRICS.get(family_of(metric))
    return family.interval if family else ""


def _target(query: Query, reference: str) -> Dataquery:
    target = (
        Dataquery().expr(scoped(query.expression)).legend_format(query.legend).ref_id(reference)
    ).datasource(DATASOURCE)
    match query.kind:
        case "instant":
            return target.instant()
        case "table":
            return target.instant().format(PromQueryFormat.TABLE)
        case "heatmap":
            return target.range().format(PromQueryFormat.HEATMAP)
        case "range":
            return target.range()


def _thresholds(levels: Sequence[Level]) -> ThresholdsConfig:
    steps = [Threshold(level.value, level.colour) for level in levels]
    return ThresholdsConfig(ThresholdsMode.ABSOLUTE, steps)


def _shown(word: str, colour: str) -> ValueMappingResult:
    return ValueMappingResult(text=word, color=colour)


def _fixed(colour: str) -> FieldColor:
    return FieldColor(FieldColorModeId.FIXED, fixed_color=colour)


def _override(matcher: str, what: str, **values: object) -> DashboardFieldConfigSourceOverrides:
    properties = [DynamicConfigValue(name, value) for name, value in values.items()]
    return DashboardFieldConfigSourceOverrides(MatcherConfig(matcher, what), properties)
