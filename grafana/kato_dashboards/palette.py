"""Colours that colour-blind people can tell apart, on a light ground as on a dark one."""

from collections.abc import Sequence

BLUE = "#3288C8"
ORANGE = "#C77700"
GREEN = "#00966B"
PURPLE = "#C0639A"
VERMILLION = "#D55E00"
GREY = "#80868F"
VIOLET = "#7B6FD0"

SERIES: Sequence[str] = (BLUE, ORANGE, GREEN, PURPLE, GREY, VERMILLION, VIOLET)
"""For series that stand side by side, in this order, and again from the start."""

WELL = BLUE
INFO = PURPLE
WARNING = ORANGE
CRITICAL = VERMILLION
NEUTRAL = GREY

OF_SEVERITY = {"info": INFO, "warning": WARNING, "critical": CRITICAL}
"""The colour of an alert, by its severity."""
