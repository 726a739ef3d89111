"""Prometheus's rules as data, and what promtool's tests say of them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kato_exporter.reference import metrics_page

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "prometheus"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
TEST_FILES = sorted((PROMETHEUS / "tests").glob("*.yml"))
SETTINGS = PROMETHEUS / "rules" / "settings.yml"
TARGET_LABELS = frozenset({"job", "instance", "kato"})
"""What Prometheus adds to every series of a target."""

_TOKEN = re.compile(
    r"""
      (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<duration>(?:\d+(?:ms|[smhdwy]))+\b)
    | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<word>[A-Za-z_:][\w:]*)
    | (?P<sign>\S)
    """,
    re.VERBOSE,
)
_OPERATORS = frozenset({"and", "or", "unless", "bool", "offset"})
_BEFORE_LABELS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_FAMILY = re.compile(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", re.MULTILINE)
_SUFFIXES: Mapping[str, Mapping[str, frozenset[str]]] = {
    "histogram": {"_bucket": frozenset({"le"}), "_count": frozenset(), "_sum": frozenset()},
    "gaugehistogram": {"_bucket": frozenset({"le"}), "_gcount": frozenset(), "_gsum": frozenset()},
}
_MINUTES = {"d": 1440.0, "h": 60.0, "m": 1.0, "s": 1 / 60}


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric that an expression reads, and the label matchers beside it, by label."""

    metric: str
    matchers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Expression:
    """What an expression reads, and the numbers in it that are no durations."""

    selectors: Sequence[Selector]
    numbers: Sequence[float]

    @classmethod
    def parse(cls, text: str) -> "Expression":
        """Read PromQL, as far as rules use it; ValueError for a word out of place."""
        tokens = [(match.lastgroup, match.group()) for match in _TOKEN.finditer(text)]
        signs = [word if kind == "sign" else "" for kind, word in tokens] + [""]
        selectors: list[Selector] = []
        numbers: list[float] = []
        at = 0
        while at < len(tokens):
            kind, word = tokens[at]
            at += 1
            if kind == "number":
                numbers.append(float(word))
            elif kind == "word" and word in _BEFORE_LABELS:
                at = signs.index(")", at) + 1 if signs[at] == "(" else at
            elif kind == "word" and word not in _OPERATORS and not _is_function(tokens[at:]):
                end = signs.index("}", at) if signs[at] == "{" else at
                selectors.append(Selector(word, _matchers([each for _, each in tokens[at:end]])))
                at = end
        return cls(selectors, numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule: what it is called, and what it asks. `severity` is empty for a recording rule."""

    name: str
    path: Path
    text: str
    expression: Expression
    is_alert: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    holds_for: str | None

    @property
    def severity(self) -> str:
        """The label of that name."""
        return self.labels.get("severity", "")

    def __str__(self) -> str:
        return f"{self.name} {self.severity}".strip()


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a promtool test expects of an alert at one time, in minutes."""

    alert: str
    minute: float
    firing: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromtoolTest:
    """A promtool test: the series that it is given, and what comes of them."""

    name: str
    path: Path
    inputs: Sequence[Selector]
    expectations: Sequence[Expectation]
    recorded: frozenset[str]

    def tells(self, rule: Rule) -> str:
        """Spell what the test expects of an alert in the course of time: `-` silent, `F` firing."""
        ours = [each for each in self.expectations if each.alert == rule.name]
        return "".join(
            "F" if any(_is_of(rule, alert) for alert in each.firing) else "-"
            for each in sorted(ours, key=lambda expectation: expectation.minute)
        )


@cache
def content(path: Path) -> Any:
    """Give what a file of YAML holds; not to be changed."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> Iterator[Rule]:
    """Give all rules, in the order of their files."""
    for path in RULE_FILES:
        for group in content(path)["groups"]:
            for rule in group["rules"]:
                text = str(rule["expr"])
                yield Rule(
                    name=rule.get("alert") or rule["record"],
                    path=path,
                    text=text,
                    expression=Expression.parse(text),
                    is_alert="alert" in rule,
                    labels=rule.get("labels", {}),
                    annotations=rule.get("annotations", {}),
                    holds_for=rule.get("for"),
                )


def promtool_tests() -> Iterator[PromtoolTest]:
    """Give all tests of promtool."""
    for path in TEST_FILES:
        for group in content(path)["tests"]:
            yield PromtoolTest(
                name=group["name"],
                path=path,
                inputs=[
                    selector
                    for each in group["input_series"]
                    for selector in Expression.parse(each["series"]).selectors
                ],
                expectations=[
                    Expectation(
                        case["alertname"], _minutes(case["eval_time"]), case.get("exp_alerts", [])
                    )
                    for case in group.get("alert_rule_test", [])
                ],
                recorded=frozenset(
                    case["expr"]
                    for case in group.get("promql_expr_test", [])
                    if case.get("exp_samples")
                ),
            )


def exported_series() -> dict[str, frozenset[str]]:
    """Give the labels of every series that the exporter can have, by the series' name."""
    found: dict[str, frozenset[str]] = {"up": frozenset()}
    for name, kind, labels in _FAMILY.findall(metrics_page()):
        own = frozenset(re.findall(r"`(\w+)`", labels))
        for suffix, more in _SUFFIXES.get(kind, {"": frozenset()}).items():
            found[name + suffix] = own | more
    return found


def _is_function(following: Sequence[tuple[str | None, str]]) -> bool:
    """Tell by what follows a word whether it is a function or an aggregation."""
    return bool(following) and following[0][1] in {"(", "by", "without"}


def _matchers(tokens: Sequence[str]) -> dict[str, str]:
    """Read `{ label = "value" , ...` up to, and without, the closing brace."""
    return {
        label: "".join(operator_and_value)
        for label, *operator_and_value in re.findall(
            r'(\w+) ([=!~]) ?([=!~]? ?"(?:[^"\\]|\\.)*")', " ".join(tokens[1:])
        )
    }


def _minutes(duration: str) -> float:
    return sum(float(n) * _MINUTES[unit] for n, unit in re.findall(r"(\d+)([dhms])", duration))


def _is_of(rule: Rule, alert: Mapping[str, Any]) -> bool:
    return bool(rule.severity == alert["exp_labels"].get("severity"))
