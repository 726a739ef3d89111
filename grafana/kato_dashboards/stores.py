"""The vital signs of MongoDB, Redis and Qdrant."""

from kato_dashboards import palette
from kato_dashboards.mongodb_row import MONGODB
from kato_dashboards.page import Page, Row
from kato_dashboards.panels import UP_OR_DOWN, Graph, Table, Timeline, states
from kato_dashboards.promql import Query, column, most, state
from kato_dashboards.qdrant_row import QDRANT
from kato_dashboards.redis_row import REDIS

API_STATUSES = (
    ("healthy", palette.WELL),
    ("degraded", palette.WARNING),
    ("unhealthy", palette.CRITICAL),
)
API_LOADS = (
    ("healthy", palette.WELL),
    ("warning", palette.WARNING),
    ("critical", palette.CRITICAL),
)

_ALL = Row(
    "All stores",
    [
        Timeline(
            title="Up",
            about="When each store answered the exporter, and when it did not.",
            queries=[Query("min by (store) (kato_store_up)", "{{store}}")],
            unit="none",
            states=UP_OR_DOWN,
            width=12,
        ),
        Table(
            title="Servers",
            about="The servers that were asked, with their versions.",
            queries=[
                column("kato_redis_info", "product", "version", "role", "maxmemory_policy"),
                column("kato_mongodb_info", "host", "version", "storage_engine", "replica_set"),
                column("kato_qdrant_info", "version"),
            ],
            columns=[("Redis", "short"), ("MongoDB", "short"), ("Qdrant", "short")],
            sort_by="version",
            width=12,
        ),
        Timeline(
            title="KATO's API",
            about="What the API says of its health, which tells of no store.",
            queries=[
                state(
                    "kato_api_health_status",
                    "status",
                    [word for word, _ in API_STATUSES],
                    "instance",
                )
            ],
            unit="none",
            states=states(*API_STATUSES),
            height=5,
        ),
        Timeline(
            title="Load of KATO's API",
            about="What the API says of the requests that it has under way.",
            queries=[
                state(
                    "kato_api_concurrency_status",
                    "status",
                    [word for word, _ in API_LOADS],
                    "instance",
                )
            ],
            unit="none",
            states=states(*API_LOADS),
            height=5,
        ),
        Graph(
            title="Requests to KATO's API",
            about="Requests since the start of the worker that answered; no rate, as workers vary.",
            queries=[most("kato_api_requests", legend="requests")],
            height=5,
        ),
    ],
)

STORES = Page(
    name="stores",
    title="KATO / Stores",
    about="The vital signs of MongoDB, Redis and Qdrant, and what KATO's API says of itself.",
    rows=[_ALL, REDIS, MONGODB, QDRANT],
)
