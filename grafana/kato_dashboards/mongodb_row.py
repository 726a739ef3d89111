"""MongoDB: operations, cache, connections, replication."""

from kato_dashboards import palette
from kato_dashboards.page import Row
from kato_dashboards.panels import Graph, Number, Timeline, states
from kato_dashboards.promql import Query, each, most, rate, ratio, state
from kato_dashboards.thresholds import alerts_above

MEMBER_STATES = (
    ("PRIMARY", palette.WELL),
    ("SECONDARY", palette.GREEN),
    ("ARBITER", palette.INFO),
    ("RECOVERING", palette.WARNING),
    ("STARTUP", palette.WARNING),
    ("STARTUP2", palette.WARNING),
    ("ROLLBACK", palette.CRITICAL),
    ("DOWN", palette.CRITICAL),
    ("REMOVED", palette.CRITICAL),
)
OPERATIONS = ("insert", "query", "update", "delete", "getmore", "command")

MONGODB = Row(
    "MongoDB",
    [
        Number(
            title="Uptime of MongoDB",
            about="Time since the server's start.",
            queries=[most("kato_mongodb_uptime_seconds", "instance").now()],
            unit="s",
        ),
        Number(
            title="Mean latency",
            about="Mean time of an operation in the past minutes, by kind.",
            queries=[
                ratio(
                    rate("kato_mongodb_op_latencies_seconds_total", "type"),
                    rate("kato_mongodb_op_latencies_operations_total", "type"),
                ).now()
            ],
            unit="s",
            width=12,
        ),
        Number(
            title="Open cursors",
            about="Cursors that are open.",
            queries=[each("kato_mongodb_cursors_open").now()],
        ),
        Number(
            title="Open transactions",
            about="Transactions that are open.",
            queries=[each("kato_mongodb_transactions_open").now()],
        ),
        Graph(
            title="Operations",
            about="Operations a second that clients asked for.",
            queries=[rate("kato_mongodb_opcounters_total", "type", names=OPERATIONS)],
            unit="ops",
        ),
        Graph(
            title="Latency",
            about="Mean time of an operation, by kind.",
            queries=[
                ratio(
                    rate("kato_mongodb_op_latencies_seconds_total", "type"),
                    rate("kato_mongodb_op_latencies_operations_total", "type"),
                )
            ],
            unit="s",
        ),
        Graph(
            title="Connections of MongoDB",
            about="Connections in use, as part of those that MongoDB allows.",
            queries=[most("instance:kato_mongodb_connections:ratio", "instance")],
            unit="percentunit",
            levels=alerts_above("mongodb_connections_ratio"),
        ),
        Graph(
            title="Clients of MongoDB",
            about="Connections with an operation under way, and those made and refused a second.",
            queries=[
                each("kato_mongodb_connections_active", legend="active"),
                rate("kato_mongodb_connections_created_total", legend="new a second"),
                rate("kato_mongodb_connections_rejected_total", legend="refused a second"),
            ],
        ),
        Graph(
            title="Cache",
            about="Data in WiredTiger's cache, what of it is not on disk yet, and the limit.",
            queries=[
                each("kato_mongodb_wiredtiger_cache_bytes", legend="cached"),
                each("kato_mongodb_wiredtiger_cache_dirty_bytes", legend="dirty"),
                Query("sum(kato_mongodb_wiredtiger_cache_max_bytes)", "limit", dashed=True),
            ],
            unit="bytes",
        ),
        Graph(
            title="Cache traffic",
            about="Bytes a second read into WiredTiger's cache and written from it.",
            queries=[
                rate("kato_mongodb_wiredtiger_cache_read_bytes_total", legend="read"),
                rate("kato_mongodb_wiredtiger_cache_written_bytes_total", legend="written"),
            ],
            unit="Bps",
        ),
        Graph(
            title="Cache too small?",
            about="Pages a second that operations had to evict themselves, and page faults.",
            queries=[
                rate(
                    "kato_mongodb_wiredtiger_cache_application_evictions_total",
                    legend="evictions by operations",
                ),
                rate("kato_mongodb_page_faults_total", legend="page faults"),
            ],
            unit="ops",
        ),
        Graph(
            title="Queues",
            about="Operations that wait for a lock, and clients at work.",
            queries=[
                each("kato_mongodb_current_queue", "type", legend="waiting {{type}}"),
                each("kato_mongodb_active_clients", "type", legend="active {{type}}"),
            ],
        ),
        Graph(
            title="Tickets",
            about="Operations at work in the storage engine, and how many more it would admit.",
            queries=[
                each("kato_mongodb_tickets_out", "type", legend="out {{type}}"),
                each("kato_mongodb_tickets_available", "type", legend="available {{type}}"),
            ],
        ),
        Graph(
            title="Documents",
            about="Documents a second returned and changed, and deleted by TTL indexes.",
            queries=[
                rate("kato_mongodb_documents_total", "type"),
                rate("kato_mongodb_ttl_deleted_documents_total", legend="deleted by TTL"),
            ],
            unit="ops",
        ),
        Graph(
            title="Memory of MongoDB",
            about="Memory in RAM, and address space in use.",
            queries=[
                each("kato_mongodb_mem_resident_bytes", legend="resident"),
                each("kato_mongodb_mem_virtual_bytes", legend="virtual"),
            ],
            unit="bytes",
        ),
        Graph(
            title="Network of MongoDB",
            about="Bytes a second received and sent.",
            queries=[
                rate("kato_mongodb_network_in_bytes_total", legend="in"),
                rate("kato_mongodb_network_out_bytes_total", legend="out"),
            ],
            unit="Bps",
        ),
        Graph(
            title="Requests and assertions",
            about="Requests a second, and assertions: user are errors of clients.",
            queries=[
                rate("kato_mongodb_network_requests_total", legend="requests"),
                rate("kato_mongodb_asserts_total", "type", legend="assertion {{type}}"),
                rate("kato_mongodb_cursors_timed_out_total", legend="cursors timed out"),
            ],
            unit="ops",
        ),
        Graph(
            title="Transactions",
            about="Transactions a second: begun, committed and aborted.",
            queries=[
                rate("kato_mongodb_transactions_started_total", legend="started"),
                rate("kato_mongodb_transactions_committed_total", legend="committed"),
                rate("kato_mongodb_transactions_aborted_total", legend="aborted"),
            ],
            unit="ops",
        ),
        Graph(
            title="Operations by replication",
            about="Operations a second that were applied from the primary.",
            queries=[rate("kato_mongodb_opcounters_repl_total", "type", names=OPERATIONS)],
            unit="ops",
        ),
        Timeline(
            title="Members",
            about="The state of each member of the replica set; nothing without a set.",
            queries=[
                state(
                    "kato_mongodb_replica_set_member_state",
                    "state",
                    [word for word, _ in MEMBER_STATES],
                    "member",
                )
            ],
            unit="none",
            states=states(*MEMBER_STATES),
        ),
        Graph(
            title="Replication lag",
            about="Time that each member of the replica set is behind the primary.",
            queries=[most("kato_mongodb_replica_set_member_lag_seconds", "member")],
            unit="s",
            levels=alerts_above("mongodb_lag_seconds"),
            width=16,
        ),
    ],
)
