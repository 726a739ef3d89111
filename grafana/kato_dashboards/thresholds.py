"""The alerts' thresholds, read from prometheus/rules/settings.yml, and their colours."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kato_dashboards import palette

SETTINGS = Path(__file__).parents[2] / "prometheus" / "rules" / "settings.yml"


@dataclass(frozen=True, slots=True)
class Level:
    """From this value on (None: from the least one) the colour is this, and the word."""

    value: float | None
    colour: str
    word: str


UNJUDGED: Sequence[Level] = (Level(None, palette.WELL, ""),)


def alerts_above(threshold: str, *, times: float = 1.0) -> Sequence[Level]:
    """Give the levels of `kato:threshold:<threshold>`, in other units where `times` says so."""
    return (
        Level(None, palette.WELL, "well"),
        *(
            Level(value * times, palette.OF_SEVERITY[severity], severity)
            for value, severity in sorted(_settings(f"kato:threshold:{threshold}"))
        ),
    )


def alerts_below(threshold: str) -> Sequence[Level]:
    """Give the levels of a threshold below which it gets worse."""
    found = sorted(_settings(f"kato:threshold:{threshold}"))
    colours = [*(palette.OF_SEVERITY[severity] for _, severity in found), palette.WELL]
    words = [*(severity for _, severity in found), "well"]
    values = [None, *(value for value, _ in found)]
    return [Level(*each) for each in zip(values, colours, words, strict=True)]


def bad_above_zero(colour: str) -> Sequence[Level]:
    """Give the levels of a number that ought to be 0."""
    return (Level(None, palette.WELL, "none"), Level(1e-9, colour, "some"))


def _settings(name: str) -> Iterator[tuple[float, str]]:
    """Give the values of a series of settings.yml, each with its severity; KeyError without any."""
    found = [rule for rule in _rules() if rule["record"] == name]
    if not found:
        raise KeyError(name)
    for rule in found:
        constant = re.fullmatch(r"vector\((.+)\)", str(rule["expr"]))
        if constant is None:
            raise ValueError(f"{name} is no constant: {rule['expr']}")
        yield float(constant[1]), rule["labels"]["severity"]


@cache
def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]
