"""The rules of Prometheus are sound, tested, explained, and about metrics that there are."""

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest

from support.alert_rules import (
    PROMETHEUS,
    ROOT,
    RULE_FILES,
    SETTINGS,
    TARGET_LABELS,
    TEST_FILES,
    Rule,
    Selector,
    content,
    exported_series,
    promtool_tests,
    rules,
)
from support.servers import missing

RULES = list(rules())
TESTS = list(promtool_tests())
ALERTS = [rule for rule in RULES if rule.is_alert]
RECORDS = [rule for rule in RULES if not rule.is_alert]
CONSTANTS = [rule for rule in RECORDS if rule.path == SETTINGS]
THRESHOLDS = [rule for rule in CONSTANTS if rule.name.startswith("kato:threshold:")]
RUNBOOKS = ROOT / "docs" / "runbooks"
SUBJECTS = {path.stem for path in RULE_FILES} - {"settings", "recording"}
DASHBOARDS = {f"kato-{name}" for name in (*SUBJECTS - {"kato"}, "overview")}
ALWAYS_FIRING = "KatoWatchdog"
RECORDED = {rule.name for rule in RECORDS}
LOWER_BOUNDS = {"kato:threshold:certificate_expiry_seconds"}
A_HUNDREDTH = 0.01

each_alert = pytest.mark.parametrize("alert", ALERTS, ids=str)


def promtool(*arguments: str | Path) -> str:
    """Run promtool and give what it says; fail where it finds a fault."""
    program = shutil.which("promtool")
    if program is None:
        missing("no promtool on the PATH")
    ran = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    said = ran.stdout + ran.stderr
    assert 0 == ran.returncode, said
    return said


def test_promtool_finds_no_fault_in_the_rules() -> None:
    """`promtool check rules` has nothing to say, not even of style."""
    promtool("check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)


def test_promtool_finds_no_fault_in_the_configuration(tmp_path: Path) -> None:
    """It finds all rule files, and the remote-write example can be appended to it."""
    said = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    both = tmp_path / "prometheus.yml"
    both.write_text(
        "".join(
            (PROMETHEUS / name).read_text(encoding="utf-8")
            for name in ("prometheus.yml", "remote-write.example.yml")
        ),
        encoding="utf-8",
    )

    assert f"{len(RULE_FILES)} rule files found" in said
    promtool("check", "config", both)


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_rules_do_what_promtools_tests_expect(path: Path) -> None:
    """`promtool test rules` passes."""
    promtool("test", "rules", path)


@each_alert
def test_an_alert_has_a_test_that_sees_it_silent_then_firing_then_silent(alert: Rule) -> None:
    """In one test, at three times and by its severity."""
    stories = [test.tells(alert) for test in TESTS]

    assert any(re.search("-.*F.*-", story) for story in stories), stories


@pytest.mark.parametrize("record", [each for each in RECORDS if each.path != SETTINGS], ids=str)
def test_a_recording_rule_has_a_test_of_its_values(record: Rule) -> None:
    """A test asks for the series and expects some."""
    assert any(record.name in test.recorded for test in TESTS)


@each_alert
def test_an_alert_has_all_labels_and_annotations(alert: Rule) -> None:
    """Whoever gets it knows how urgent it is, what it says, and where to go on."""
    assert alert.holds_for is not None
    assert alert.severity in {"critical", "warning", "info"} or alert.name == ALWAYS_FIRING
    assert alert.path.stem == alert.labels["subject"]
    assert alert.annotations.keys() - {"records_url"} == {
        "summary",
        "description",
        "runbook_url",
        "dashboard_url",
    }
    assert alert.annotations["runbook_url"].endswith(f"/{alert.name}.md")
    assert re.findall(r"/d/([\w-]+)", alert.annotations["dashboard_url"])[0] in DASHBOARDS


def test_rendered_texts_are_whole() -> None:
    """No expected text shows an error of a template, nor a link with a hole."""
    rendered = [
        text
        for test in TESTS
        for expectation in test.expectations
        for alert in expectation.firing
        for text in alert["exp_annotations"].values()
    ]
    faults = re.compile(r"<error|<no value>|^/|=(&|$)|[{}]| {2}|%!|(is|than|of) [.,;]")

    assert rendered
    assert [] == [text for text in rendered if faults.search(text)]


@each_alert
def test_an_alert_has_a_runbook(alert: Rule) -> None:
    """The page that `runbook_url` names is there."""
    assert (RUNBOOKS / f"{alert.name}.md").is_file()


def test_a_runbook_has_an_alert() -> None:
    """No page explains an alert that is gone."""
    assert set() == {path.stem for path in RUNBOOKS.glob("Kato*.md")} - {
        alert.name for alert in ALERTS
    }


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_rule_reads_metrics_and_labels_that_there_are(rule: Rule) -> None:
    """Every metric is the exporter's, `up` or recorded, and so is every label beside it."""
    assert [] == list(_unknown(rule.expression.selectors, exported_series()))


def test_promtools_tests_are_given_series_that_there_are() -> None:
    """A rule that is tested on invented series is not tested."""
    known = exported_series()
    assert [] == [
        f"{test.path.name}, {test.name}: {fault}"
        for test in TESTS
        for fault in _unknown(test.inputs, known, complete=True)
    ]


@each_alert
def test_an_alert_has_no_number_of_its_own(alert: Rule) -> None:
    """What one may want to change stands in settings.yml; 0, 1 and durations are no thresholds."""
    assert set(alert.expression.numbers) <= {0, 1}


@pytest.mark.parametrize("threshold", THRESHOLDS, ids=str)
def test_a_threshold_is_what_an_alert_of_its_severity_compares_with(threshold: Rule) -> None:
    """And the alert's text tells it."""
    users = {
        alert.name
        for alert in ALERTS
        if threshold.severity == alert.severity
        for selector in alert.expression.selectors
        if threshold.name == selector.metric
    }
    told = f"{threshold.name}{{severity='{threshold.severity}'}}"

    assert users
    assert any(told in alert.annotations["description"] for alert in ALERTS if alert.name in users)


@each_alert
def test_an_alert_compares_with_thresholds_of_its_severity(alert: Rule) -> None:
    """And each of them is set in settings.yml."""
    known = {(each.name, f'="{each.severity}"') for each in THRESHOLDS}
    compared = {
        (selector.metric, selector.matchers["severity"])
        for selector in alert.expression.selectors
        if selector.metric.startswith("kato:threshold:")
    }

    assert compared <= known
    assert {severity for _, severity in compared} <= {f'="{alert.severity}"'}


def test_settings_are_constants_below_a_comment() -> None:
    """What each means stands above it, or above the first of those of the same name."""
    lines = SETTINGS.read_text(encoding="utf-8").splitlines()
    named = [(at, line) for at, line in enumerate(lines) if "- record:" in line]

    assert len(CONSTANTS) == len({str(each) for each in CONSTANTS}) == len(named)
    assert [] == [
        each.text for each in CONSTANTS if not re.fullmatch(r"vector\([\d.]+\)", each.text)
    ]
    assert [] == [
        line
        for (at, line), (_, before) in zip(named, [(0, ""), *named], strict=False)
        if line != before and not lines[at - 1].lstrip().startswith("# ")
    ]


@pytest.mark.parametrize("threshold", THRESHOLDS, ids=str)
def test_promtools_tests_stand_just_below_the_threshold(threshold: Rule, tmp_path: Path) -> None:
    """With the threshold a hundredth nearer something fires that should not."""
    tests = wordless_copy(
        tmp_path, {alert.name for alert in ALERTS if threshold.name in alert.text}
    )
    written(tmp_path, SETTINGS, nearer(threshold))

    with pytest.raises(AssertionError, match="FAILED"):
        promtool("test", "rules", *tests)


def test_the_copies_without_words_pass(tmp_path: Path) -> None:
    """So it is the threshold that makes them fail."""
    promtool("test", "rules", *wordless_copy(tmp_path, {"KatoContainerCpuHigh"}))


def wordless_copy(directory: Path, alerts: AbstractSet[str]) -> list[Path]:
    """Copy the rules, and promtool's tests of some alerts, without annotations.

    Those tell thresholds. Gives the copies of the tests.
    """
    copies = []
    for path in (*RULE_FILES, *TEST_FILES):
        copied = copy.deepcopy(content(path))
        for group in copied.get("groups", []):
            for rule in group["rules"]:
                rule.pop("annotations", None)
        tests = [
            test for test in copied.get("tests", []) if test["name"].partition(":")[0] in alerts
        ]
        for test in tests:
            for case in test["alert_rule_test"]:
                for expected in case.get("exp_alerts", []):
                    del expected["exp_annotations"]
        if tests or path in RULE_FILES:
            copies.append(written(directory, path, copied | ({"tests": tests} if tests else {})))
    return [path for path in copies if path.parent.name == "tests"]


def written(directory: Path, original: Path, changed: Any) -> Path:
    """Write what a file shall hold in a copy's place; JSON is YAML too, and quicker."""
    path = directory / original.relative_to(PROMETHEUS)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(changed), encoding="utf-8")
    return path


def nearer(threshold: Rule) -> Any:
    """Give the content of settings.yml with one threshold nearer to what is usual."""
    settings = copy.deepcopy(content(SETTINGS))
    [rule] = [
        rule
        for rule in settings["groups"][0]["rules"]
        if threshold.name == rule["record"] and threshold.severity == rule["labels"].get("severity")
    ]
    [value] = threshold.expression.numbers
    step = A_HUNDREDTH * value or A_HUNDREDTH
    rule["expr"] = f"vector({value + step if threshold.name in LOWER_BOUNDS else value - step})"
    return settings


def _unknown(
    selectors: Iterable[Selector], known: Mapping[str, frozenset[str]], *, complete: bool = False
) -> Iterator[str]:
    """Name what is read and is not there; `complete`: no label of a metric may be left out."""
    for selector in selectors:
        if selector.metric in RECORDED:
            continue
        labels = known.get(selector.metric)
        if labels is None:
            yield f"there is no {selector.metric}"
        elif not (own := selector.matchers.keys() - TARGET_LABELS) <= labels:
            yield f"{selector.metric} has no label {sorted(own - labels)}"
        elif complete and own != labels:
            yield f"{selector.metric} has a label {sorted(labels - own)} as well"
