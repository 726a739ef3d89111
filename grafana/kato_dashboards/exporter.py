"""Whether the exporter itself sees everything, in time and whole; and who uses the browser."""

from kato_dashboards import palette
from kato_dashboards.page import Page, Row
from kato_dashboards.panels import YES_OR_NO, Graph, Number, Table, Timeline
from kato_dashboards.promql import (
    Query,
    column,
    each,
    most,
    per_minute,
    quantiles,
    rate,
    ratio,
)
from kato_dashboards.thresholds import alerts_above, alerts_below, bad_above_zero

EXPORTER = Page(
    name="exporter",
    title="KATO / Exporter",
    about="Whether the exporter itself sees everything, in time and whole.",
    rows=[
        Row(
            "Collectors",
            [
                Timeline(
                    title="Success",
                    about="Whether the last collection of each collector was whole.",
                    queries=[
                        Query(
                            "min by (collector) (kato_exporter_collector_success)", "{{collector}}"
                        )
                    ],
                    unit="none",
                    states=YES_OR_NO,
                    width=12,
                ),
                Table(
                    title="Collectors",
                    about="Each collector: success, last success, interval, age and duration.",
                    queries=[
                        column("kato_exporter_collector_success", "instance", "collector"),
                        column(
                            "1000 * kato_exporter_collector_last_success_timestamp_seconds",
                            "instance",
                            "collector",
                        ),
                        column("kato_exporter_collector_interval_seconds", "instance", "collector"),
                        column(
                            "kato_exporter_collector_snapshot_age_seconds", "instance", "collector"
                        ),
                        column("kato_exporter_collector_duration_seconds", "instance", "collector"),
                    ],
                    columns=[
                        ("success", "bool_yes_no"),
                        ("last success", "dateTimeAsIso"),
                        ("interval", "s"),
                        ("age", "s"),
                        ("took", "s"),
                    ],
                    sort_by="age",
                    width=12,
                ),
                Graph(
                    title="Duration",
                    about="How long the last collection took.",
                    queries=[most("kato_exporter_collector_duration_seconds", "collector")],
                    unit="s",
                ),
                Graph(
                    title="Age of snapshots",
                    about=(
                        "How old what a scrape shows is; nothing for what is asked on the scrape. "
                        "The alert asks for more than this line and the one beside."
                    ),
                    queries=[most("kato_exporter_collector_snapshot_age_seconds", "collector")],
                    unit="s",
                    levels=alerts_above("snapshot_age_least_seconds"),
                ),
                Graph(
                    title="Age in intervals",
                    about="Age of snapshots, as a number of the intervals that were asked for.",
                    queries=[
                        ratio(
                            each("kato_exporter_collector_snapshot_age_seconds", "collector"),
                            each("kato_exporter_collector_interval_seconds", "collector"),
                        )
                    ],
                    levels=alerts_above("snapshot_age_intervals"),
                ),
            ],
        ),
        Row(
            "What is left out",
            [
                Graph(
                    title="Series dropped",
                    about="Series that the last collection left out to keep within a limit.",
                    queries=[each("kato_exporter_series_dropped", "collector")],
                    levels=bad_above_zero(palette.INFO),
                ),
                Graph(
                    title="Records skipped",
                    about="Records left out because KATO cannot have written them so.",
                    queries=[each("kato_exporter_records_skipped", "collector", "reason")],
                    levels=bad_above_zero(palette.INFO),
                ),
                Graph(
                    title="Questions refused by MongoDB",
                    about="1 for a command that the exporter's account may ask, 0 if not.",
                    queries=[
                        Query("min by (command) (kato_mongodb_permitted)", "{{command}}"),
                    ],
                    unit="none",
                ),
            ],
        ),
        Row(
            "The record browser",
            [
                Graph(
                    title="Records changed",
                    about="Records that people changed, deleted or put back, by what came of it.",
                    queries=[per_minute("kato_browser_writes_total", "store", "action", "result")],
                    unit="short",
                    records="/audit",
                ),
                Graph(
                    title="Pages",
                    about="Requests that the record browser answered, by HTTP status.",
                    queries=[rate("kato_browser_requests_total", "status")],
                    unit="ops",
                ),
                Graph(
                    title="Time to a page",
                    about="Time to the first byte of an answer.",
                    queries=quantiles("kato_browser_request_duration_seconds"),
                    unit="s",
                ),
            ],
        ),
        Row(
            "The exporter",
            [
                Number(
                    title="Version",
                    about="Version of the exporter, and the Python that runs it.",
                    queries=[each("kato_exporter_build_info", "version", "python").now()],
                    unit="none",
                    named=True,
                ),
                Number(
                    title="Certificate",
                    about="Time until the exporter's certificate ends; absent without TLS.",
                    queries=[
                        Query(
                            "min(kato_exporter_web_certificate_expiry_timestamp_seconds) - time()",
                            "left",
                        ).now()
                    ],
                    unit="s",
                    levels=alerts_below("certificate_expiry_seconds"),
                ),
                Graph(
                    title="Reached by Prometheus",
                    about="1 where Prometheus reaches the exporter, 0 where not.",
                    queries=[Query("min by (instance) (up)", "{{instance}}")],
                    unit="none",
                    width=16,
                    height=4,
                ),
            ],
        ),
    ],
)
