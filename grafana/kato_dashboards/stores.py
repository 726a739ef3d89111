"""The vital signs of MongoDB, Redis and Qdrant."""

from kato_dashboards import palette
from kato_dashboards.page import Page, Row
from kato_dashboards.panels import UP_OR_DOWN, YES_OR_NO, Graph, Number, Table, Timeline, states
from kato_dashboards.promql import Query, column, each, increase, most, rate, ratio, state
from kato_dashboards.thresholds import alerts_above, bad_above_zero

QDRANT_STATUSES = (
    ("green", palette.WELL),
    ("yellow", palette.WARNING),
    ("grey", palette.NEUTRAL),
    ("red", palette.CRITICAL),
)
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

_REDIS = Row(
    "Redis",
    [
        Number(
            title="Uptime of Redis",
            about="Time since the server's start.",
            queries=[most("kato_redis_uptime_seconds", "instance").now()],
            unit="s",
        ),
        Number(
            title="Hit ratio",
            about="Part of the look-ups of the past minutes that found their key.",
            queries=[
                most("instance:kato_redis_keyspace_hits:ratio_rate5m", legend="hits").now(),
            ],
            unit="percentunit",
        ),
        Number(
            title="Evicted in this time",
            about="Keys removed for want of memory in the time shown; each is a lost record.",
            queries=[increase("kato_redis_evicted_keys_total", window="$__range").now()],
            levels=bad_above_zero(palette.CRITICAL),
        ),
        Number(
            title="Last dump",
            about="Whether the last dump to disk succeeded.",
            queries=[Query("min(kato_redis_rdb_last_bgsave_ok)", "ok").now()],
            unit="none",
            states=YES_OR_NO,
        ),
        Number(
            title="Last dump, how long ago",
            about="Time since the last dump, or since the start where there was none.",
            queries=[
                Query("time() - max(kato_redis_rdb_last_save_timestamp_seconds)", "ago").now(),
            ],
            unit="s",
        ),
        Number(
            title="Changes at risk",
            about="Changes since the last dump, which a crash would lose without the append file.",
            queries=[each("kato_redis_rdb_changes_since_last_save").now()],
        ),
        Graph(
            title="Memory against its limit",
            about="Memory of Redis, as part of maxmemory, or of the host's memory without one.",
            queries=[most("instance:kato_redis_memory:ratio", "instance")],
            unit="percentunit",
            levels=alerts_above("redis_memory_ratio"),
            records="/redis",
        ),
        Graph(
            title="Memory of Redis",
            about="Memory allocated, in data, given by the host, highest so far, and the limits.",
            queries=[
                each("kato_redis_used_memory_bytes", legend="used"),
                each("kato_redis_used_memory_dataset_bytes", legend="data"),
                each("kato_redis_used_memory_rss_bytes", legend="resident"),
                each("kato_redis_used_memory_peak_bytes", legend="peak"),
                Query("sum(kato_redis_maxmemory_bytes)", "maxmemory", dashed=True),
                Query(
                    "sum(instance:kato_redis_used_memory_bytes:predict1d)", "in a day", dashed=True
                ),
            ],
            unit="bytes",
            records="/redis",
        ),
        Graph(
            title="Connections of Redis",
            about="Connections in use, as part of those that Redis allows.",
            queries=[most("instance:kato_redis_connections:ratio", "instance")],
            unit="percentunit",
            levels=alerts_above("redis_connections_ratio"),
        ),
        Graph(
            title="Clients",
            about="Clients that are connected, blocked, and those that came and were refused.",
            queries=[
                each("kato_redis_connected_clients", legend="connected"),
                each("kato_redis_blocked_clients", legend="blocked"),
                rate("kato_redis_connections_received_total", legend="new a second"),
                rate("kato_redis_rejected_connections_total", legend="refused a second"),
            ],
        ),
        Graph(
            title="Commands",
            about="Calls a second, by command.",
            queries=[rate("kato_redis_command_calls_total", "command")],
            unit="ops",
        ),
        Graph(
            title="Time in commands",
            about="Seconds a second in each command, while everybody else waits.",
            queries=[rate("kato_redis_command_seconds_total", "command")],
            unit="percentunit",
        ),
        Graph(
            title="Time in KEYS",
            about="Part of the time that Redis walks through all keys, while everybody waits.",
            queries=[most("instance:kato_redis_keys_command:ratio_rate5m", "instance")],
            unit="percentunit",
            levels=alerts_above("redis_keys_command_ratio"),
        ),
        Graph(
            title="Keys",
            about="Keys by database, and those that have a time to live.",
            queries=[
                each("kato_redis_keys", "db", legend="db {{db}}"),
                each("kato_redis_expiring_keys", "db", legend="db {{db}} expiring"),
            ],
            records="/redis",
        ),
        Graph(
            title="Keys that go",
            about="Keys a second that expired, and that were evicted for want of memory.",
            queries=[
                rate("kato_redis_expired_keys_total", legend="expired"),
                rate("kato_redis_evicted_keys_total", legend="evicted"),
            ],
            unit="ops",
        ),
        Graph(
            title="Errors",
            about="Error replies a second by their first word, and calls refused or failed.",
            queries=[
                rate("kato_redis_error_replies_by_error_total", "error"),
                rate("kato_redis_rejected_calls_total", legend="refused calls"),
                rate("kato_redis_failed_calls_total", legend="failed calls"),
            ],
            unit="ops",
        ),
        Graph(
            title="Network of Redis",
            about="Bytes a second from clients and to them.",
            queries=[
                rate("kato_redis_net_input_bytes_total", legend="in"),
                rate("kato_redis_net_output_bytes_total", legend="out"),
            ],
            unit="Bps",
        ),
        Graph(
            title="CPU of Redis",
            about="CPU seconds a second, of the server itself and of the kernel for it.",
            queries=[rate("kato_redis_cpu_seconds_total", "mode")],
        ),
        Graph(
            title="Saving",
            about="Dumps and rewrites under way, and whether the last ones and writes succeeded.",
            queries=[
                each("kato_redis_rdb_bgsave_in_progress", legend="dump under way"),
                each("kato_redis_aof_rewrite_in_progress", legend="rewrite under way"),
                Query("min(kato_redis_aof_last_bgrewrite_ok)", "last rewrite ok"),
                Query("min(kato_redis_aof_last_write_ok)", "last write ok"),
                Query("max(kato_redis_loading)", "loading"),
            ],
            unit="none",
        ),
        Graph(
            title="Stops for saving",
            about="How long the last dump took, and how long everybody waited for its fork.",
            queries=[
                most("kato_redis_rdb_last_bgsave_duration_seconds", legend="dump"),
                most("kato_redis_latest_fork_seconds", legend="fork"),
            ],
            unit="s",
        ),
        Graph(
            title="Streams",
            about="Entries of KATO 3's streams, which it never trims.",
            queries=[each("kato_redis_stream_entries", "stream")],
            levels=alerts_above("redis_stream_entries"),
            records="/redis",
        ),
        Graph(
            title="Memory of streams",
            about="Memory that KATO 3's streams take, estimated by Redis.",
            queries=[each("kato_redis_stream_memory_bytes", "stream")],
            unit="bytes",
            records="/redis",
        ),
        Graph(
            title="Fragmentation",
            about="Memory given by the host over memory used; far above 1 is waste.",
            queries=[most("kato_redis_mem_fragmentation_ratio", "instance")],
        ),
        Graph(
            title="Replication of Redis",
            about="Replicas that follow, and on a replica whether and when it heard of its master.",
            queries=[
                each("kato_redis_connected_replicas", legend="replicas"),
                Query("min(kato_redis_master_link_up)", "link to the master"),
                most("kato_redis_master_last_io_seconds", legend="seconds of silence"),
            ],
        ),
    ],
)

_MONGODB = Row(
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

_QDRANT = Row(
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

STORES = Page(
    name="stores",
    title="KATO / Stores",
    about="The vital signs of MongoDB, Redis and Qdrant, and what KATO's API says of itself.",
    rows=[_ALL, _REDIS, _MONGODB, _QDRANT],
)
