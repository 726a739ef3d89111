"""A picture of a vector: its components as bars around zero, in SVG without any style."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

_MOST_BARS = 256
_HEIGHT = 80
_WIDEST = 512
_LEAST_STEP, _MOST_STEP = 4, 32
_BAR_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class Picture:
    """The SVG, and how its bars are to be read."""

    svg: Markup
    note: str


def vector_picture(components: Sequence[float | None]) -> Picture | None:
    """Draw a vector, the largest component at full height; None where there is nothing to draw.

    Of more than 256 components several share a bar, which spans from the least to the greatest of
    them, so that no peak is lost. A component that is None is left out.
    """
    known = [component for component in components if component is not None]
    if not known:
        return None
    largest = max(map(abs, known))
    per_bar = math.ceil(len(components) / _MOST_BARS)
    spans = [
        _span(components[first : first + per_bar], largest)
        for first in range(0, len(components), per_bar)
    ]
    step = max(_LEAST_STEP, min(_MOST_STEP, _WIDEST // len(spans)))
    bars = "".join(
        _bar(place * step, step * _BAR_SHARE, *span)
        for place, span in enumerate(spans)
        if span is not None
    )
    width = len(spans) * step
    middle = _HEIGHT // 2
    note = _note(len(components), len(spans), per_bar, largest)
    svg = Markup(
        '<svg class="vector" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' preserveAspectRatio="none" role="img" aria-label="{note}">'
        '<path d="M0 {middle}H{width}" stroke="currentColor" stroke-opacity="0.5"/>'
        '<path d="{bars}" fill="currentColor"/></svg>'
    ).format(width=width, height=_HEIGHT, middle=middle, bars=bars, note=note)
    return Picture(svg, note)


def _span(components: Sequence[float | None], largest: float) -> tuple[float, float] | None:
    """Give the least and the greatest, zero among them, as shares of the largest."""
    known = [component for component in components if component is not None]
    if not known or largest == 0:
        return None
    return min(0.0, *known) / largest, max(0.0, *known) / largest


def _bar(left: int, width: float, least: float, greatest: float) -> str:
    top = round(_HEIGHT / 2 * (1 - greatest), 1)
    height = round(_HEIGHT / 2 * (greatest - least), 1)
    return f"M{left} {top}h{width:g}v{height}h-{width:g}z"


def _note(components: int, bars: int, per_bar: int, largest: float) -> str:
    scale = f"full height is {largest:.4g}"
    if per_bar == 1:
        return f"{components:,} components as bars around zero; {scale}"
    return (
        f"{components:,} components as {bars:,} bars around zero, each from the least to the"
        f" greatest of {per_bar:,}; {scale}"
    )
