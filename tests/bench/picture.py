"""Draws what was measured as an SVG: curves on logarithmic scales, and a bar for each ratio."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from bench.figures import Curves, Figure

_Point = tuple[float, float]

_WIDTH, _MARGIN = 880, 24
_ROW, _LINE, _HEADING = 36, 16, 40
_PLOT_WIDTH, _PLOT_HEIGHT, _PANEL_HEIGHT = 230, 150, 256
_AXIS_TEXT = 60
_BAR_LEFT, _BAR_RIGHT = 440, 790

_STYLE = """
svg { --ground: #ffffff; --text: #16202e; --soft: #566274; --grid: #d8dfe8; --ours: #2563c9;
  --other: #b3541e; --more: #7a4fb5; font: 13px system-ui, sans-serif }
@media (prefers-color-scheme: dark) {
  svg { --ground: #0f1620; --text: #e8edf4; --soft: #a3b0c2; --grid: #2c3848; --ours: #76aaff;
    --other: #f0a06c; --more: #c5a3f5 }
}
.ground { fill: var(--ground) }
text { fill: var(--text) }
.heading { font-size: 15px; font-weight: 600 }
.soft { fill: var(--soft); font-size: 12px }
.end { text-anchor: end }
.middle { text-anchor: middle }
.grid { stroke: var(--grid) }
.same { stroke: var(--soft); stroke-width: 1.5 }
.bar { fill: var(--ours) }
.line { fill: none; stroke-width: 2.5 }
.line0 { stroke: var(--ours) } .name0 { fill: var(--ours) }
.line1 { stroke: var(--other); stroke-dasharray: 7 4 } .name1 { fill: var(--other) }
.line2 { stroke: var(--more); stroke-dasharray: 2 4 } .name2 { fill: var(--more) }
"""


@dataclass(frozen=True, slots=True)
class _Scale:
    """A logarithmic scale: `low` lies at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Give where a value lies."""
        share = math.log10(value / self.low) / math.log10(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def decades(self) -> list[float]:
        """Give the powers of ten that it holds."""
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        return [10.0**power for power in range(first, last + 1)]


def picture(figures: Sequence[Figure], curves: Sequence[Curves]) -> str:
    """Draw all of them."""
    rows = math.ceil(len(curves) / 2)
    bars = _MARGIN + rows * _PANEL_HEIGHT
    height = bars + _HEADING + len(figures) * _ROW + _MARGIN + _LINE
    svg = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {_WIDTH} {height}",
            "role": "img",
            "aria-labelledby": "title desc",
        },
    )
    _add(svg, "title", {"id": "title"}, "What the benchmarks have measured")
    _add(svg, "desc", {"id": "desc"}, _told(figures, curves))
    _add(svg, "style", {}, _STYLE)
    _add(svg, "rect", {"class": "ground", "width": _WIDTH, "height": height, "rx": 12})
    for number, each in enumerate(curves):
        left = _MARGIN + number % 2 * (_WIDTH - _MARGIN) // 2
        _draw_curves(svg, each, left, _MARGIN + number // 2 * _PANEL_HEIGHT)
    if figures:
        _draw_bars(svg, figures, bars)
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


def _told(figures: Sequence[Figure], curves: Sequence[Curves]) -> str:
    """Say it in words, for those who do not see it."""
    lines = [
        f"{each.title}: {name} {_time(values[0][1])} at {values[0][0]:,} {each.sizes}, "
        f"{_time(values[-1][1])} at {values[-1][0]:,}."
        for each in curves
        for name, values in each.lines.items()
    ]
    return " ".join([*lines, *(f"{each.what}, beside {each.beside}: {each}." for each in figures)])


def _draw_curves(svg: ET.Element, curves: Curves, left: float, top: float) -> None:
    """Draw seconds against sizes."""
    sizes = [size for values in curves.lines.values() for size, _ in values]
    times = [taken for values in curves.lines.values() for _, taken in values]
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    start = left + _AXIS_TEXT
    bottom = top + _HEADING + _PLOT_HEIGHT
    across = _Scale(min(sizes), max(sizes), start, start + _PLOT_WIDTH)
    up = _Scale(10.0**low, 10.0 ** max(high, low + 1), bottom, top + _HEADING)
    panel = _add(svg, "g", {"class": "curves"})
    _add(panel, "text", {"class": "heading", "x": left, "y": top + _LINE}, curves.title)
    for taken in up.decades():
        y = up.at(taken)
        _rule(panel, "grid", (start, y), (start + _PLOT_WIDTH, y))
        _add(panel, "text", {"class": "soft end", "x": start - 8, "y": y + 4}, _time(taken))
    for size in sorted(set(sizes)):
        place = {"class": "soft middle", "x": across.at(size), "y": bottom + _LINE + 2}
        _add(panel, "text", place, f"{size:,}")
    middle = {"class": "soft middle", "x": start + _PLOT_WIDTH / 2, "y": bottom + 2 * _LINE + 2}
    _add(panel, "text", middle, curves.sizes)
    free = top + _HEADING
    ends = sorted((up.at(values[-1][1]), name) for name, values in curves.lines.items())
    for end, name in ends:
        number = list(curves.lines).index(name)
        points = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in curves.lines[name])
        _add(panel, "polyline", {"class": f"line line{number}", "points": points})
        y = max(free, end + 4)
        place = {"class": f"name{number}", "x": start + _PLOT_WIDTH + 8, "y": y}
        _add(panel, "text", place, name)
        free = y + _LINE


def _draw_bars(svg: ET.Element, figures: Sequence[Figure], top: float) -> None:
    """Draw each ratio from 1, which is the same: to the left less, to the right more."""
    ratios = [figure.ratio for figure in figures]
    scale = _Scale(min(0.5, *ratios) / 2, max(2.0, *ratios), _BAR_LEFT, _BAR_RIGHT)
    first, last = top + _HEADING, top + _HEADING + len(figures) * _ROW
    heading = {"class": "heading", "x": _MARGIN, "y": top + _LINE}
    _add(svg, "text", heading, "Ours divided by what stands beside it; less is better")
    for decade in scale.decades():
        x = scale.at(decade)
        name = f"1 : {1 / decade:,.0f}" if decade < 1 else f"{decade:,.0f}"
        _rule(svg, "same" if decade == 1 else "grid", (x, first), (x, last))
        _add(svg, "text", {"class": "soft middle", "x": x, "y": last + _LINE}, name)
    for number, figure in enumerate(figures):
        y = first + number * _ROW
        one, other = sorted((scale.at(1), scale.at(figure.ratio)))
        bar = {"class": "bar", "x": one, "y": y + 10, "width": max(2, other - one), "height": 16}
        _add(svg, "text", {"x": _MARGIN, "y": y + 14}, figure.what)
        _add(svg, "text", {"class": "soft", "x": _MARGIN, "y": y + 30}, f"beside {figure.beside}")
        _add(svg, "rect", bar)
        _add(svg, "text", {"class": "end", "x": _WIDTH - _MARGIN, "y": y + 23}, str(figure))


def _time(seconds: float) -> str:
    return f"{seconds:,.3g} s" if seconds >= 1 else f"{1000 * seconds:,.3g} ms"


def _rule(parent: ET.Element, kind: str, start: _Point, end: _Point) -> None:
    ends = dict(zip(("x1", "y1", "x2", "y2"), (*start, *end), strict=True))
    _add(parent, "line", {"class": kind, **ends})


def _add(parent: ET.Element, tag: str, attributes: dict[str, object], text: str = "") -> ET.Element:
    """Add an element; numbers get a decimal at most, and code in the text no marks."""
    written = {
        name: f"{value:.1f}" if isinstance(value, float) else str(value)
        for name, value in attributes.items()
    }
    added = ET.SubElement(parent, tag, written)
    added.text = text.replace("`", "") or None
    return added
