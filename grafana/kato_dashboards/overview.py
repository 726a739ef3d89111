"""Is KATO well, and if not, where to look."""

from kato_dashboards import palette
from kato_dashboards.page import Page, Row
from kato_dashboards.panels import UP_OR_DOWN, Graph, Number, Table, Timeline
from kato_dashboards.promql import Query, column, each, per_minute, ratio
from kato_dashboards.thresholds import alerts_above, bad_above_zero

OVERVIEW = Page(
    name="overview",
    title="KATO / Overview",
    about="Is KATO well? Every part, firing alerts, load and what is left of the capacity.",
    rows=[
        Row(
            "Is KATO well?",
            [
                Number(
                    title="Exporter",
                    about="Whether Prometheus reaches the exporter; if not, all else is unknown.",
                    queries=[Query("min by (instance) (up)", "{{instance}}").now()],
                    unit="none",
                    states=UP_OR_DOWN,
                ),
                Number(
                    title="Stores",
                    about="Whether each store answers the exporter, KATO's API among them.",
                    queries=[Query("min by (store) (kato_store_up)", "{{store}}").now()],
                    unit="none",
                    states=UP_OR_DOWN,
                    width=8,
                ),
                Number(
                    title="Containers that run",
                    about="How many of KATO's containers run.",
                    queries=[each('kato_container_state{state="running"}').now()],
                ),
                Number(
                    title="Alerts firing",
                    about=(
                        "How many alerts fire for these exporters; the dead man's switch and the "
                        "alert that no exporter is there have no instance and do not count. "
                        "Unknown where no exporter is up."
                    ),
                    queries=[
                        Query(
                            'count(ALERTS{alertstate="firing", severity!="none"}) or 0 * max(up)',
                            "alerts",
                        ).now()
                    ],
                    levels=bad_above_zero(palette.CRITICAL),
                ),
                Number(
                    title="Recommendation",
                    about=(
                        "What to do about capacity: well is nothing, warning is to plan for more, "
                        "critical is to add some now. By the part of kato:capacity:sessions in use "
                        "and the thresholds of the alert KatoSessionCapacity."
                    ),
                    queries=[
                        Query("max(instance:kato_sessions_active:ratio_of_capacity)", "load").now()
                    ],
                    unit="percentunit",
                    levels=alerts_above("session_capacity_ratio"),
                    worded=True,
                ),
                Timeline(
                    title="Stores over time",
                    about="When each store answered, and when it did not.",
                    queries=[Query("min by (store) (kato_store_up)", "{{store}}")],
                    unit="none",
                    states=UP_OR_DOWN,
                    width=12,
                ),
                Table(
                    title="Alerts",
                    about=(
                        "What fires or waits to fire. Empty where all is well. The alerts of "
                        "Prometheus have the texts, links and runbooks."
                    ),
                    queries=[
                        column(
                            'ALERTS{severity!="none"}', "alertname", "severity", "alertstate", "kb"
                        )
                    ],
                    columns=[("alerts", "short")],
                    sort_by="severity",
                    width=12,
                ),
            ],
        ),
        Row(
            "Load",
            [
                Graph(
                    title="Sessions alive",
                    about="Sessions that are alive now, and what the past hour leads to in four.",
                    queries=[
                        each("kato_sessions_active", legend="alive"),
                        Query(
                            "sum(instance:kato_sessions_active:predict4h)",
                            "in 4 hours",
                            dashed=True,
                        ),
                    ],
                    records="/sessions",
                ),
                Graph(
                    title="Capacity in use",
                    about="Sessions alive, as part of what a KATO is meant to carry.",
                    queries=[
                        Query(
                            "max by (instance) (instance:kato_sessions_active:ratio_of_capacity)",
                            "{{instance}}",
                        )
                    ],
                    unit="percentunit",
                    levels=alerts_above("session_capacity_ratio"),
                ),
                Graph(
                    title="Sessions that come and go",
                    about="New sessions a minute, and those that ended, for whatever reason.",
                    queries=[
                        per_minute("kato_sessions_created_total", legend="created"),
                        per_minute("kato_sessions_ended_total", legend="ended"),
                    ],
                    unit="cpm",
                    records="/sessions",
                ),
                Graph(
                    title="Learning",
                    about="Times a minute that something is learned, relearning included.",
                    queries=[
                        each(
                            "60 * deriv(kato_totals_pattern_frequencies[15m])",
                            legend="learned",
                        )
                    ],
                    unit="cpm",
                    records="/kb",
                ),
                Graph(
                    title="Patterns",
                    about="Patterns learned, by knowledge base.",
                    queries=[each("kato_patterns", "kb")],
                    records="/kb/{kb}",
                ),
                Graph(
                    title="Memory",
                    about="Memory of Redis and of the fullest container, as part of their limits.",
                    queries=[
                        Query("max(instance:kato_redis_memory:ratio)", "Redis"),
                        Query("max(instance_name:kato_container_memory:ratio)", "container"),
                    ],
                    unit="percentunit",
                    levels=alerts_above("redis_memory_ratio"),
                ),
            ],
        ),
        Row(
            "KATO's API",
            [
                Number(
                    title="Uptime of the API",
                    about="Time since the start of the worker that answered last.",
                    queries=[Query("min(kato_api_uptime_seconds)", "uptime").now()],
                    unit="s",
                    height=8,
                ),
                Number(
                    title="Issues that it names",
                    about="Issues that KATO's API names in its own report of health.",
                    queries=[Query("max(kato_api_health_issues)", "issues").now()],
                    levels=bad_above_zero(palette.WARNING),
                    height=8,
                ),
                Graph(
                    title="Requests under way",
                    about="As part of what a worker admits; each look meets any of the workers.",
                    queries=[
                        ratio(
                            each("kato_api_concurrent_requests", "instance"),
                            each("kato_api_concurrent_requests_limit", "instance"),
                        ),
                        Query(
                            "max(kato_api_concurrent_requests_peak)"
                            " / max(kato_api_concurrent_requests_limit > 0)",
                            "peak so far",
                            dashed=True,
                        ),
                    ],
                    unit="percentunit",
                    levels=alerts_above("api_concurrent_requests_ratio"),
                ),
                Graph(
                    title="Response time",
                    about="Mean response time of the last minute, as one worker tells it.",
                    queries=[Query("max(kato_api_average_response_time_seconds)", "mean")],
                    unit="s",
                ),
                Graph(
                    title="Processors",
                    about=(
                        "Processors that are loaded, of those that fit. To load one more KATO "
                        "drops another and deletes its Qdrant collection."
                    ),
                    queries=[
                        Query("max(kato_api_processors)", "loaded"),
                        Query("max(kato_api_max_processors)", "fit", dashed=True),
                    ],
                    width=12,
                ),
                Graph(
                    title="Host, by KATO's API",
                    about="CPU, memory and disk in use, as KATO's API tells of its own host.",
                    queries=[
                        Query("max(kato_api_host_cpu_ratio)", "CPU"),
                        Query("max(kato_api_host_memory_ratio)", "memory"),
                        Query("max(kato_api_disk_ratio)", "disk"),
                    ],
                    unit="percentunit",
                    width=12,
                ),
            ],
        ),
    ],
)
