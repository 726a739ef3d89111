"""Redis: memory, clients, commands, what it keeps."""

from kato_dashboards import palette
from kato_dashboards.page import Row
from kato_dashboards.panels import YES_OR_NO, Graph, Number
from kato_dashboards.promql import Query, each, increase, most, rate
from kato_dashboards.thresholds import alerts_above, bad_above_zero

REDIS = Row(
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
