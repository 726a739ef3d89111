"""Qdrant: collections, their state, points."""

from kato_dashboards import palette
from kato_dashboards.page import Row
from kato_dashboards.panels import Graph, Number, Table, Timeline, states
from kato_dashboards.promql import Query, column, each, increase, state
from kato_dashboards.thresholds import bad_above_zero

QDRANT_STATUSES = (
    ("green", palette.WELL),
    ("yellow", palette.WARNING),
    ("grey", palette.NEUTRAL),
    ("red", palette.CRITICAL),
)

QDRANT = Row(
    "Qdrant",
    [
        Timeline(
            title="Status of collections",
            about="Green is well, yellow is being optimized, grey waits for it, red has failed.",
            queries=[
                state(
                    "kato_qdrant_collection_status",
                    "status",
                    [word for word, _ in QDRANT_STATUSES],
                    "collection",
                )
            ],
            unit="none",
            states=states(*QDRANT_STATUSES),
            records="/qdrant/{collection}",
            width=12,
        ),
        Table(
            title="Each collection",
            about="Each collection; a click shows its records.",
            queries=[
                column("kato_qdrant_points", "collection"),
                column("kato_qdrant_indexed_vectors", "collection"),
                column("kato_qdrant_segments", "collection"),
                column("kato_qdrant_optimizer_ok", "collection"),
                column("kato_qdrant_collection_vector_size", "collection", "vector"),
                column("kato_qdrant_collection_vector_info", "collection", "vector", "distance"),
            ],
            columns=[
                ("points", "short"),
                ("indexed", "short"),
                ("segments", "short"),
                ("optimizer ok", "bool_yes_no"),
                ("dimensions", "short"),
                ("vectors", "short"),
            ],
            sort_by="points",
            records="/qdrant/{collection}",
            width=12,
        ),
        Number(
            title="Collections",
            about="How many collections there are.",
            queries=[each("kato_qdrant_collections").now()],
            records="/qdrant",
            height=8,
        ),
        Graph(
            title="Points",
            about="Points of each collection, which Qdrant counts approximately.",
            queries=[each("kato_qdrant_points", "collection")],
            records="/qdrant/{collection}",
        ),
        Graph(
            title="Points without an index",
            about="Vectors that no index has yet, as searches must look at each of them.",
            queries=[
                Query(
                    "sum by (collection) (kato_qdrant_points)"
                    " - sum by (collection) (kato_qdrant_indexed_vectors)",
                    "{{collection}}",
                )
            ],
            records="/qdrant/{collection}",
            width=6,
        ),
        Graph(
            title="Points lost",
            about="Points by which a collection was seen to shrink, all of them when it is gone.",
            queries=[increase("kato_qdrant_points_lost_total", "collection")],
            levels=bad_above_zero(palette.CRITICAL),
            records="/qdrant/{collection}",
            width=6,
        ),
    ],
)
