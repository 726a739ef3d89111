"""The dashboards: that they come from the code, keep the linter's rules and leave nothing out."""

import re
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pytest
import yaml

from kato_dashboards import palette
from kato_dashboards.pages import PAGES
from kato_dashboards.promql import METRICS, family_of, metrics_in, scoped
from kato_dashboards.thresholds import alerts_above, alerts_below
from support.alert_rules import exported_series, rules
from support.dashboards import (
    DIRECTORY,
    GRAFANA,
    dashboards,
    families_shown,
    panel_queries,
    panels,
)

DASHBOARDS = {dashboard["uid"]: dashboard for dashboard in dashboards()}

VARIABLES = ("datasource", "browser", "job", "instance", "kb", "container", "node")

UNITS = {
    *("none", "short", "percentunit", "bytes", "Bps", "s", "cpm", "ops", "iops"),
    *("dateTimeAsIso", "bool_yes_no"),
}
"""The units of Grafana that are in use."""

SHOWN_NOWHERE = {
    "kato_redis_commands_processed_total": "the sum of the calls by command, which are shown",
    "kato_redis_error_replies_total": "the sum of the error replies by error, which are shown",
    "kato_redis_pubsub_channels": "the exporter's own subscription, mostly",
    "kato_redis_aof_current_size_bytes": "tells nothing that the disk does not",
}
"""What neither a dashboard nor a rule reads, and why."""

LIGHT, DARK = "#ffffff", "#181b1f"
"""The grounds of Grafana's themes."""


@pytest.fixture(params=sorted(DASHBOARDS))
def dashboard(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """Give each dashboard in turn."""
    found: Mapping[str, Any] = DASHBOARDS[request.param]
    return found


def test_files_are_what_the_code_says() -> None:
    """`make dashboards` would change nothing, and no other file lies about."""
    assert {f"{page.name}.json": page.json() for page in PAGES} == {
        path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.iterdir()
    }


def test_dashboards_are_those_that_alerts_link_to(dashboard: Mapping[str, Any]) -> None:
    """Every link of an alert leads to a dashboard that has the variables in the link."""
    linked = {
        (found[1], variable)
        for rule in rules()
        for found in [re.search(r"/d/([\w-]+)", rule.annotations.get("dashboard_url", ""))]
        if found
        for variable in ["job", *re.findall(r"var-(\w+)", rule.annotations["dashboard_url"])]
    }

    assert {uid for uid, _ in linked} == set(DASHBOARDS)
    assert {variable for uid, variable in linked if uid == dashboard["uid"]} <= set(VARIABLES)


# --- what Grafana's dashboard-linter holds with --strict, without an exclusion ------------------


def test_data_source_is_chosen_by_a_variable(dashboard: Mapping[str, Any]) -> None:
    """template-datasource, panel-datasource: one variable, which all panels and queries name."""
    [variable] = [each for each in dashboard["templating"]["list"] if each["type"] == "datasource"]
    sources = [
        *(panel["datasource"] for panel in panels(dashboard)),
        *(target["datasource"] for panel in panels(dashboard) for target in panel["targets"]),
        *(mark["datasource"] for mark in dashboard["annotations"]["list"]),
    ]

    assert ("datasource", "Data source", "prometheus") == (
        variable["name"],
        variable["label"],
        variable["query"],
    )
    assert all({"type": "prometheus", "uid": "${datasource}"} == source for source in sources)


def test_variables_are_queries_with_all(dashboard: Mapping[str, Any]) -> None:
    """template-job, -instance, -label-promql, -on-time-change-reload; kb, container, node too."""
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}

    assert set(VARIABLES) == set(variables)
    for name in ("job", "instance", "kb", "container", "node"):
        variable = variables[name]
        assert "query" == variable["type"]
        assert name.title() == variable["label"]
        assert "${datasource}" == variable["datasource"]["uid"]
        assert re.fullmatch(r"label_values\(kato_\w+({.+})?, \w+\)", variable["query"])
        assert variable["multi"]
        assert variable["includeAll"]
        assert ".+" == variable["allValue"]
        assert 2 == variable["refresh"]


def test_panels_say_what_they_show(dashboard: Mapping[str, Any]) -> None:
    """panel-title-description, panel-units, panel-no-targets; and "no data" is not 0."""
    titles = [panel["title"] for panel in panels(dashboard)]
    assert len(titles) == len(set(titles))
    for panel in panels(dashboard):
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["title"]
        assert "\n\nFrom `" in panel["description"], panel["title"]
        assert defaults["unit"] in UNITS
        assert "no data" == defaults["noValue"]
        assert panel["targets"]
        for override in panel["fieldConfig"]["overrides"]:
            for each in override["properties"]:
                assert each["id"] != "unit" or each["value"] in UNITS


def test_queries_keep_to_the_chosen_exporters(dashboard: Mapping[str, Any]) -> None:
    """target-job, target-instance: every selector has both matchers."""
    for asked in panel_queries(dashboard):
        selectors = re.findall(r"\b(?:up|ALERTS|[\w:]*kato_[\w:]+)\b({[^}]*})?", asked.expression)
        assert selectors, asked
        for matchers in selectors:
            assert matchers.startswith('{job=~"$job", instance=~"$instance"'), asked


def test_counters_are_rates_over_the_right_window(dashboard: Mapping[str, Any]) -> None:
    """target-rate-interval, target-counter-agg: rates first, sums after."""
    for asked in panel_queries(dashboard):
        counters = re.findall(r"(\w*\(?)\bkato_\w+_total\b", asked.expression)
        assert set(counters) <= {"rate(", "increase("}, asked
        assert set(re.findall(r"rate\([^[]+\[([^]]+)\]", asked.expression)) <= {"$__rate_interval"}
        assert not re.search(r"\b(rate|increase)\((sum|max|min)", asked.expression), asked


def test_nobody_edits_what_is_provisioned(dashboard: Mapping[str, Any]) -> None:
    """uneditable-dashboard; and no database id is kept."""
    assert dashboard["editable"] is False
    assert "id" not in dashboard


# --- and what we ask besides --------------------------------------------------------------------


def test_gauge_histograms_have_no_rates() -> None:
    """What can go down is not a counter, whatever its series are called."""
    gauges = {"kato_session_age_seconds", "kato_session_idle_seconds", "kato_session_stm_events"}
    for asked in (asked for each in DASHBOARDS.values() for asked in panel_queries(each)):
        for metric in asked.metrics:
            family = family_of(metric)
            if family in gauges or family.endswith("_distribution"):
                assert "rate(" not in asked.expression, asked
                assert "increase(" not in asked.expression, asked


def test_every_metric_is_somewhere() -> None:
    """On a dashboard, in a rule, or in the list with its reason; and the list is no longer."""
    in_rules = {
        family_of(selector.metric) for rule in rules() for selector in rule.expression.selectors
    }

    assert set(SHOWN_NOWHERE) == set(METRICS) - families_shown() - in_rules
    assert families_shown() - set(METRICS) - {rule.name for rule in rules()} == {"up", "ALERTS"}


def test_sums_are_by_labels_that_are_there(dashboard: Mapping[str, Any]) -> None:
    """What a query groups by, and what a legend names, is a label of each metric in the query."""
    exported = exported_series()
    for panel in panels(dashboard):
        for target in panel["targets"]:
            grouped = re.findall(r"\bby \(([^)]+)\)", target["expr"])
            named = re.findall(r"{{(\w+)}}", target["legendFormat"])
            wanted = {label for labels in grouped for label in labels.split(", ")} | set(named)
            for metric in set(metrics_in(target["expr"])) & set(exported):
                assert wanted <= exported[metric] | {"instance"}, target["expr"]
                assert set(named) <= {label for labels in grouped for label in labels.split(", ")}


def test_panels_fill_the_grid(dashboard: Mapping[str, Any]) -> None:
    """Numbers are unique, no panel lies on another, and each line is full."""
    boxes = [panel["gridPos"] for panel in dashboard["panels"]]
    numbers = [panel["id"] for panel in dashboard["panels"]]

    assert len(numbers) == len(set(numbers))
    for one, other in combinations(boxes, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        under = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or under, (one, other)
    for top in {box["y"] for box in boxes}:
        assert 24 == sum(box["w"] for box in boxes if box["y"] == top)


def test_graphs_have_legends_that_sort(dashboard: Mapping[str, Any]) -> None:
    """Lines have names and a table to sort them by, and a colour of ours."""
    for panel in panels(dashboard):
        if panel["type"] == "timeseries":
            assert "table" == panel["options"]["legend"]["displayMode"]
            assert panel["options"]["legend"]["sortDesc"]
            assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
            assert panel["fieldConfig"]["overrides"]


def test_links_keep_variables_and_time(dashboard: Mapping[str, Any]) -> None:
    """All dashboards link to those with their tag."""
    [link] = dashboard["links"]

    assert ["kato"] == dashboard["tags"] == link["tags"]
    assert "dashboards" == link["type"]
    assert link["includeVars"]
    assert link["keepTime"]


def test_records_are_one_click_away() -> None:
    """Data links lead to the record browser's pages, with what they name escaped."""
    urls = {
        link["url"]
        for dashboard in DASHBOARDS.values()
        for panel in panels(dashboard)
        for link in panel["fieldConfig"]["defaults"]["links"]
    }

    assert {
        "${browser:raw}/sessions",
        "${browser:raw}/redis",
        "${browser:raw}/audit",
        "${browser:raw}/kb",
        "${browser:raw}/kb/${__field.labels.kb:percentencode}",
        "${browser:raw}/kb/${__data.fields.kb:percentencode}",
        (
            "${browser:raw}/kb/${__data.fields.kb:percentencode}"
            "/patterns/${__data.fields.pattern:percentencode}"
        ),
        "${browser:raw}/qdrant",
        "${browser:raw}/qdrant/${__field.labels.collection:percentencode}",
        "${browser:raw}/qdrant/${__data.fields.collection:percentencode}",
    } == urls


def test_levels_are_the_alerts_thresholds() -> None:
    """Levels come from settings.yml, the worse the later, or the worse the earlier."""
    above = alerts_above("redis_memory_ratio")
    below = alerts_below("certificate_expiry_seconds")

    assert [None, 0.85, 0.95] == [level.value for level in above]
    assert ["well", "warning", "critical"] == [level.word for level in above]
    assert [None, 172800, 1209600] == [level.value for level in below]
    assert ["critical", "warning", "well"] == [level.word for level in below]
    with pytest.raises(KeyError):
        alerts_above("nothing")


def test_matchers_follow_the_labels_of_a_metric() -> None:
    """Metrics are matched by what they have: kb, container, node; and what was there is kept."""
    target = 'job=~"$job", instance=~"$instance"'

    assert f"sum(kato_sessions_active{{{target}}})" == scoped("sum(kato_sessions_active)")
    assert f'kato_patterns{{{target}, kb=~"$kb"}}' == scoped("kato_patterns")
    assert f'up{{{target}, a="b"}}' == scoped('up{a="b"}')
    assert f'kato_container_pids{{{target}, name=~"$container"}}' == scoped("kato_container_pids")
    assert f'instance_kb:kato_patterns:predict1d{{{target}, kb=~"$kb"}}' == scoped(
        "instance_kb:kato_patterns:predict1d"
    )


@pytest.mark.parametrize("ground", [LIGHT, DARK])
@pytest.mark.parametrize("colour", palette.SERIES)
def test_colours_stand_out_in_both_themes(colour: str, ground: str) -> None:
    """The contrast is at least the 3 to 1 that WCAG asks of graphics."""
    lighter, darker = sorted((_luminance(colour), _luminance(ground)), reverse=True)

    assert (lighter + 0.05) / (darker + 0.05) >= 3


def test_the_datasource_has_a_uid_of_its_own() -> None:
    """Dashboards begin with the provisioned Prometheus."""
    path = GRAFANA / "provisioning" / "datasources" / "prometheus.yml"
    [source] = yaml.safe_load(path.read_text(encoding="utf-8"))["datasources"]

    for dashboard in DASHBOARDS.values():
        [variable] = [v for v in dashboard["templating"]["list"] if v["name"] == "datasource"]
        assert source["uid"] == variable["current"]["value"]


def _luminance(colour: str) -> float:
    """Give the relative luminance of `#rrggbb`, as WCAG defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
