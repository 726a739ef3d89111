"""The variables, which are the same on every dashboard, so that links can keep them."""

from grafana_foundation_sdk.builders.dashboard import (
    DatasourceVariable,
    QueryVariable,
    TextBoxVariable,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

_ALL = "$__all"
_BROWSER = "http://localhost:8098"
_TARGET = 'job=~"$job", instance=~"$instance"'


def datasource() -> DatasourceVariable:
    """Let the user choose a Prometheus; the provisioned one at first."""
    return (
        DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus")
        .current(VariableOption(text="Prometheus", value="prometheus"))
    )


def choices() -> list[QueryVariable]:
    """Let the user choose exporters, knowledge bases, containers and nodes, all at first."""
    return [
        _choice("job", "label_values(kato_exporter_build_info, job)"),
        _choice("instance", 'label_values(kato_exporter_build_info{job=~"$job"}, instance)'),
        _choice("kb", f"label_values(kato_patterns{{{_TARGET}}}, kb)"),
        _choice("container", f"label_values(kato_container_present{{{_TARGET}}}, name)"),
        _choice("node", f"label_values(kato_sessions_active_by_node{{{_TARGET}}}, node)"),
    ]


def browser() -> TextBoxVariable:
    """Let the user say where the record browser is, as far as the browser on the desk knows."""
    return (
        TextBoxVariable("browser")
        .label("Record browser")
        .default_value(_BROWSER)
        .current(VariableOption(text=_BROWSER, value=_BROWSER))
        .hide(VariableHide.HIDE_VARIABLE)
    )


def _choice(name: str, query: str) -> QueryVariable:
    return (
        QueryVariable(name)
        .label(name.title())
        .query(query)
        .datasource(DATASOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.NATURAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".+")
        .current(VariableOption(text=["All"], value=[_ALL]))
    )
