"""Links: from each dashboard to the others, and from series to the record browser."""

from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models.dashboard import DashboardLink as Link
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

TAG = "kato"
"""The tag by which the dashboards find each other."""

_BROWSER = "${browser:raw}"


def to_the_others() -> DashboardLink:
    """Link to all dashboards, with the variables and the time of this one."""
    return (
        DashboardLink("KATO dashboards")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(as_dropdown=False)
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
        .icon("external link")
        .tooltip("")
    )


def to_records(path: str) -> Link:
    """Link to a page of the record browser, which may name labels as in `/kb/{kb}`."""
    return _opening("Records", _BROWSER + _filled(path, "__field.labels"))


def to_records_of_row(path: str) -> Link:
    """Link a table's row to a page of the record browser; braces name columns."""
    return _opening("Records", _BROWSER + _filled(path, "__data.fields"))


def _filled(path: str, source: str) -> str:
    return path.replace("{", f"${{{source}.").replace("}", ":percentencode}")


def _opening(title: str, url: str) -> Link:
    return DashboardLink(title).type(DashboardLinkType.LINK).url(url).target_blank(True).build()  # noqa: FBT003 - the builder takes it so
