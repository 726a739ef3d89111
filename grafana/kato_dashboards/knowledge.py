"""What KATO has learned, how it grows, and whether any of it was lost."""

from kato_dashboards import palette
from kato_dashboards.page import Page, Row
from kato_dashboards.panels import Graph, Heatmap, Number, Table
from kato_dashboards.promql import Query, column, each, heat_now, increase, quantiles_now
from kato_dashboards.thresholds import alerts_above, bad_above_zero

KNOWLEDGE = Page(
    name="knowledge",
    title="KATO / Knowledge",
    about="What KATO has learned, how it grows, and whether any of it was lost.",
    rows=[
        Row(
            "Knowledge bases",
            [
                Number(
                    title="Knowledge bases",
                    about="How many knowledge bases there are.",
                    queries=[each("kato_knowledge_bases").now()],
                    records="/kb",
                ),
                Number(
                    title="Patterns",
                    about="Patterns learned in the chosen knowledge bases.",
                    queries=[each("kato_patterns").now()],
                    records="/kb",
                ),
                Number(
                    title="Symbols",
                    about="Distinct symbols in the chosen knowledge bases.",
                    queries=[each("kato_symbols").now()],
                    records="/kb",
                ),
                Number(
                    title="Predictions kept",
                    about="Predictions that are kept; KATO never removes any.",
                    queries=[each("kato_predictions").now()],
                    records="/kb",
                ),
                Number(
                    title="Disk",
                    about="Disk space allotted to documents and indexes.",
                    queries=[
                        Query("sum(kato_kb_storage_bytes) + sum(kato_kb_index_bytes)", "disk").now()
                    ],
                    unit="bytes",
                ),
                Number(
                    title="Patterns lost in this time",
                    about="Patterns that disappeared in the time that the dashboard shows.",
                    queries=[increase("kato_patterns_lost_total", window="$__range").now()],
                    levels=bad_above_zero(palette.CRITICAL),
                ),
                Table(
                    title="Each knowledge base",
                    about="Each knowledge base; a click on its name shows its records.",
                    queries=[
                        column("kato_patterns", "kb"),
                        column("kato_symbols", "kb"),
                        column("kato_predictions", "kb"),
                        column("kato_kb_data_bytes", "kb"),
                        column("kato_kb_storage_bytes", "kb"),
                        column("kato_kb_index_bytes", "kb"),
                    ],
                    columns=[
                        ("patterns", "short"),
                        ("symbols", "short"),
                        ("predictions", "short"),
                        ("data", "bytes"),
                        ("storage", "bytes"),
                        ("indexes", "bytes"),
                    ],
                    sort_by="patterns",
                    records="/kb/{kb}",
                    width=24,
                ),
            ],
        ),
        Row(
            "Growth",
            [
                Graph(
                    title="Patterns by kb",
                    about="Patterns of each knowledge base, and what six hours lead to in a day.",
                    queries=[
                        each("kato_patterns", "kb"),
                        Query(
                            "sum by (kb) (instance_kb:kato_patterns:predict1d)",
                            "{{kb}} in a day",
                            dashed=True,
                        ),
                    ],
                    records="/kb/{kb}",
                ),
                Graph(
                    title="Patterns a minute",
                    about="How fast each knowledge base grows; negative where it shrinks.",
                    queries=[each("instance_kb:kato_patterns:per_minute_deriv15m", "kb")],
                    unit="cpm",
                    records="/kb/{kb}",
                ),
                Graph(
                    title="Learning",
                    about="Times a minute that something is learned, relearning included.",
                    queries=[
                        each(
                            "instance_kb:kato_totals_pattern_frequencies:per_minute_deriv15m", "kb"
                        )
                    ],
                    unit="cpm",
                    records="/kb/{kb}",
                ),
                Graph(
                    title="Symbols by kb",
                    about="Distinct symbols of each knowledge base.",
                    queries=[each("kato_symbols", "kb")],
                    records="/kb/{kb}",
                ),
                Graph(
                    title="Predictions by kb",
                    about="KATO never removes any, so they grow until somebody does.",
                    queries=[each("kato_predictions", "kb")],
                    levels=alerts_above("predictions"),
                    records="/kb/{kb}",
                ),
                Graph(
                    title="Disk by kb",
                    about="Disk space allotted to documents and indexes, by knowledge base.",
                    queries=[
                        each("kato_kb_storage_bytes", "kb", legend="{{kb}} documents"),
                        each("kato_kb_index_bytes", "kb", legend="{{kb}} indexes"),
                    ],
                    unit="bytes",
                    records="/kb/{kb}",
                ),
            ],
        ),
        Row(
            "Patterns",
            [
                Table(
                    title="Most frequent patterns",
                    about="The patterns that were learned most often; a click shows the record.",
                    queries=[column("kato_pattern_frequency", "kb", "pattern")],
                    columns=[("frequency", "short")],
                    sort_by="frequency",
                    records="/kb/{kb}/patterns/{pattern}",
                    width=12,
                ),
                Heatmap(
                    title="Frequencies",
                    about="How many patterns were learned how often.",
                    queries=[heat_now("kato_pattern_frequency_distribution")],
                    width=6,
                ),
                Heatmap(
                    title="Lengths",
                    about="How many patterns have how many symbols.",
                    queries=[heat_now("kato_pattern_length_distribution")],
                    width=6,
                ),
                Graph(
                    title="Frequency",
                    about="How often patterns were learned.",
                    queries=quantiles_now("kato_pattern_frequency_distribution", "kb"),
                    records="/kb/{kb}",
                    width=12,
                ),
                Graph(
                    title="Length",
                    about="How many symbols patterns have.",
                    queries=quantiles_now("kato_pattern_length_distribution", "kb"),
                    records="/kb/{kb}",
                    width=12,
                ),
            ],
        ),
        Row(
            "Does it add up?",
            [
                Graph(
                    title="Patterns lost",
                    about="Patterns by which a knowledge base was seen to shrink.",
                    queries=[increase("kato_patterns_lost_total", "kb")],
                    levels=bad_above_zero(palette.CRITICAL),
                    records="/kb/{kb}",
                ),
                Graph(
                    title="Drift of KATO's totals",
                    about="How far KATO's own totals are off what was counted.",
                    queries=[
                        Query(
                            "max by (kb, total) (instance_kb:kato_totals:drift_ratio)",
                            "{{kb}} {{total}}",
                        )
                    ],
                    unit="percentunit",
                    levels=alerts_above("totals_drift_ratio"),
                    records="/kb/{kb}",
                ),
                Graph(
                    title="Learned, counted and told",
                    about="Frequencies of patterns and symbols, counted and by KATO's totals.",
                    queries=[
                        each("kato_pattern_observations", legend="patterns, counted"),
                        each("kato_totals_pattern_frequencies", legend="patterns, told"),
                        each("kato_symbol_occurrences", legend="symbols, counted"),
                        each("kato_totals_symbol_frequencies", legend="symbols, told"),
                        each(
                            "kato_totals_symbols_in_patterns_frequencies",
                            legend="distinct symbols, told",
                        ),
                    ],
                ),
                Graph(
                    title="Documents",
                    about="Documents in each of KATO's collections; other is what else there is.",
                    queries=[each("kato_kb_documents", "collection")],
                    width=24,
                ),
            ],
        ),
    ],
)
