"""Who uses KATO, for how long, and whether every session is accounted for."""

from kato_dashboards import palette
from kato_dashboards.page import Page, Row
from kato_dashboards.panels import YES_OR_NO, Graph, Heatmap, Number
from kato_dashboards.promql import (
    Query,
    each,
    heat,
    heat_now,
    increase,
    per_minute,
    quantiles,
    quantiles_now,
)
from kato_dashboards.thresholds import bad_above_zero

REASONS = ("expired", "deleted", "evicted", "unknown")

SESSIONS = Page(
    name="sessions",
    title="KATO / Sessions",
    about="Who uses KATO, for how long, and whether every session is accounted for.",
    rows=[
        Row(
            "Sessions",
            [
                Number(
                    title="Alive",
                    about="Sessions that are alive now.",
                    queries=[each("kato_sessions_active", legend="alive").now()],
                    records="/sessions",
                ),
                Number(
                    title="Created in this time",
                    about="Sessions created in the time that the dashboard shows.",
                    queries=[
                        increase("kato_sessions_created_total", window="$__range").now(),
                    ],
                    records="/sessions",
                ),
                Number(
                    title="Ended in this time",
                    about="Sessions that ended in the time that the dashboard shows, by reason.",
                    queries=[
                        increase("kato_sessions_ended_total", "reason", window="$__range").now()
                    ],
                    width=16,
                ),
                Graph(
                    title="Alive over time",
                    about="Sessions that are alive, and what the past hour leads to in four.",
                    queries=[
                        each("kato_sessions_active", "instance"),
                        Query(
                            "sum(instance:kato_sessions_active:predict4h)",
                            "in 4 hours",
                            dashed=True,
                        ),
                    ],
                    records="/sessions",
                ),
                Graph(
                    title="Created and ended",
                    about=(
                        "New sessions a minute, and ended ones by reason. Evicted: Redis wanted "
                        "memory. Unknown: found gone by a scan."
                    ),
                    queries=[
                        per_minute("kato_sessions_created_total", legend="created"),
                        per_minute("kato_sessions_ended_total", "reason", names=REASONS),
                    ],
                    unit="cpm",
                ),
                Graph(
                    title="Churn against the past",
                    about="New sessions a minute, beside the mean of the past hour and day.",
                    queries=[
                        Query("sum(instance:kato_sessions_created:per_minute_rate5m)", "now"),
                        Query(
                            "sum(instance:kato_sessions_created:per_minute_avg1h)",
                            "mean of an hour",
                            dashed=True,
                        ),
                        Query(
                            "sum(instance:kato_sessions_created:per_minute_avg1d)",
                            "mean of a day",
                            dashed=True,
                        ),
                    ],
                    unit="cpm",
                ),
            ],
        ),
        Row(
            "Lifetimes and ages",
            [
                Heatmap(
                    title="Lifetimes",
                    about="How long the sessions lived that ended, by when they ended.",
                    queries=[heat("kato_session_duration_seconds")],
                    unit="s",
                ),
                Graph(
                    title="Lifetime",
                    about="How long sessions lived: half, nine tenths and 99 of 100 of them less.",
                    queries=quantiles("kato_session_duration_seconds"),
                    unit="s",
                ),
                Graph(
                    title="Age",
                    about="How old the sessions are that are alive.",
                    queries=quantiles_now("kato_session_age_seconds"),
                    unit="s",
                    records="/sessions",
                ),
                Heatmap(
                    title="Ages",
                    about="How many sessions that are alive are how old.",
                    queries=[heat_now("kato_session_age_seconds")],
                    unit="s",
                ),
                Heatmap(
                    title="Idle times",
                    about="How long ago sessions were used last, of those whose records were read.",
                    queries=[heat_now("kato_session_idle_seconds")],
                    unit="s",
                ),
                Graph(
                    title="Idle time",
                    about="How long ago sessions were used last, of those whose records were read.",
                    queries=quantiles_now("kato_session_idle_seconds"),
                    unit="s",
                    records="/sessions",
                ),
            ],
        ),
        Row(
            "What they hold",
            [
                Graph(
                    title="By node",
                    about="Sessions alive by node, of those whose records were read.",
                    queries=[each("kato_sessions_active_by_node", "node")],
                    records="/sessions",
                    stacked=True,
                ),
                Heatmap(
                    title="Short-term memories",
                    about="How many sessions have how many events in short-term memory.",
                    queries=[heat_now("kato_session_stm_events")],
                ),
                Graph(
                    title="Short-term memory",
                    about="Events in short-term memory, of the sessions whose records were read.",
                    queries=quantiles_now("kato_session_stm_events"),
                    records="/sessions",
                ),
            ],
        ),
        Row(
            "Are they all accounted for?",
            [
                Number(
                    title="Feed of events",
                    about="Whether the exporter hears Redis tell of keys; absent in scan mode.",
                    queries=[Query("min(kato_session_events_connected)", "connected").now()],
                    unit="none",
                    states=YES_OR_NO,
                    height=8,
                ),
                Number(
                    title="How they are counted",
                    about="By keyspace events, or by scan only.",
                    queries=[each("kato_session_tracking_info", "mode").now()],
                    unit="none",
                    named=True,
                    height=8,
                ),
                Graph(
                    title="Missed changes",
                    about="Changes that no event has told and a scan has found.",
                    queries=[
                        increase("kato_session_events_missed_total", "change"),
                    ],
                    levels=bad_above_zero(palette.INFO),
                ),
                Graph(
                    title="Drift from KATO's own counts",
                    about=(
                        "Sessions alive, beside KATO's index, its API's count, and the records "
                        "that were read. KATO 3 keeps those in its index that have expired."
                    ),
                    queries=[
                        each("kato_sessions_active", legend="alive"),
                        each("kato_session_index_size", legend="in KATO's index"),
                        Query("max(kato_api_sessions_active)", "by KATO's API"),
                        each("kato_session_sample_size", legend="read"),
                    ],
                ),
            ],
        ),
    ],
)
