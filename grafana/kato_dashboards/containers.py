"""Each container: what it uses of what it may, and how often it had to start again."""

from kato_dashboards import palette
from kato_dashboards.page import Page, Row
from kato_dashboards.panels import YES_OR_NO, Graph, Number, Table, Timeline, states
from kato_dashboards.promql import Query, column, each, increase, rate, state
from kato_dashboards.thresholds import alerts_above, bad_above_zero

STATES = (
    ("running", palette.WELL),
    ("created", palette.INFO),
    ("paused", palette.WARNING),
    ("restarting", palette.WARNING),
    ("removing", palette.WARNING),
    ("exited", palette.CRITICAL),
    ("dead", palette.CRITICAL),
)
HEALTHS = (
    ("healthy", palette.WELL),
    ("starting", palette.INFO),
    ("unhealthy", palette.CRITICAL),
)

CONTAINERS = Page(
    name="containers",
    title="KATO / Containers",
    about="Each container: what it uses of what it may, and how often it had to start again.",
    rows=[
        Row(
            "All containers",
            [
                Timeline(
                    title="State",
                    about="The state that each container is in.",
                    queries=[
                        state("kato_container_state", "state", [word for word, _ in STATES], "name")
                    ],
                    unit="none",
                    states=states(*STATES),
                ),
                Timeline(
                    title="Health",
                    about="What health checks say; nothing for a container without one.",
                    queries=[
                        state(
                            "kato_container_health", "health", [word for word, _ in HEALTHS], "name"
                        )
                    ],
                    unit="none",
                    states=states(*HEALTHS),
                ),
                Graph(
                    title="Restarts",
                    about="Starts of containers that had run before, whatever the cause.",
                    queries=[increase("kato_container_restarts_total", "name", window="15m")],
                    levels=alerts_above("container_restarts"),
                ),
                Number(
                    title="Events of the engine",
                    about="Whether the container engine's events are followed.",
                    queries=[Query("min(kato_container_events_connected)", "followed").now()],
                    unit="none",
                    states=YES_OR_NO,
                    height=8,
                ),
                Table(
                    title="Containers",
                    about="What there is: whether it is, since when it is, since when it runs.",
                    queries=[
                        column("kato_container_present", "instance", "name"),
                        column("1000 * kato_container_creation_time_seconds", "instance", "name"),
                        column("1000 * kato_container_start_time_seconds", "instance", "name"),
                        column("kato_container_online_cpus", "instance", "name"),
                        column("kato_container_memory_limit_bytes", "instance", "name"),
                        column("kato_container_pids_limit", "instance", "name"),
                    ],
                    columns=[
                        ("present", "bool_yes_no"),
                        ("created", "dateTimeAsIso"),
                        ("started", "dateTimeAsIso"),
                        ("CPUs", "short"),
                        ("memory limit", "bytes"),
                        ("limit of processes", "short"),
                    ],
                    sort_by="started",
                    width=12,
                ),
                Graph(
                    title="Events",
                    about="Ends, changes of health, restarts by command, and want of memory.",
                    queries=[
                        increase("kato_container_events_total", "name", "event"),
                    ],
                ),
            ],
        ),
        Row(
            "$container",
            [
                Graph(
                    title="CPU of the host",
                    about="CPU time, as part of all CPUs of the host.",
                    queries=[
                        Query(
                            "max by (name) (instance_name:kato_container_cpu_usage:ratio_rate5m)",
                            "{{name}}",
                        )
                    ],
                    unit="percentunit",
                    levels=alerts_above("container_cpu_ratio"),
                ),
                Graph(
                    title="CPU by mode",
                    about="CPU seconds a second: 1 is one core.",
                    queries=[
                        rate("kato_container_cpu_usage_seconds_total", legend="all"),
                        rate("kato_container_cpu_user_seconds_total", legend="user"),
                        rate("kato_container_cpu_kernel_seconds_total", legend="kernel"),
                    ],
                ),
                Graph(
                    title="CPU throttling",
                    about="Seconds a second that threads are held back by the CPU limit.",
                    queries=[rate("kato_container_cpu_throttled_seconds_total", "name")],
                    levels=alerts_above("container_throttled_ratio"),
                ),
                Graph(
                    title="Memory against its limit",
                    about="Working set, as part of the limit, or of the host's memory without one.",
                    queries=[
                        Query(
                            "max by (name) (instance_name:kato_container_memory:ratio)", "{{name}}"
                        )
                    ],
                    unit="percentunit",
                    levels=alerts_above("container_memory_ratio"),
                ),
                Graph(
                    title="Memory",
                    about="Memory charged, the part of it that is in use, and the ceiling.",
                    queries=[
                        each("kato_container_memory_usage_bytes", legend="usage"),
                        each("kato_container_memory_working_set_bytes", legend="working set"),
                        Query("sum(kato_container_memory_ceiling_bytes)", "ceiling", dashed=True),
                    ],
                    unit="bytes",
                ),
                Number(
                    title="Killed for want of memory",
                    about="Whether the kernel killed its last run; absent where no end was seen.",
                    queries=[Query("max by (name) (kato_container_oom_killed)", "{{name}}").now()],
                    levels=bad_above_zero(palette.CRITICAL),
                    worded=True,
                    height=8,
                ),
                Number(
                    title="Processes",
                    about="Processes and threads.",
                    queries=[each("kato_container_pids", "name").now()],
                    height=8,
                ),
                Graph(
                    title="Network",
                    about="Bytes a second, received and sent; absent on the host's network.",
                    queries=[
                        rate("kato_container_network_receive_bytes_total", legend="received"),
                        rate("kato_container_network_transmit_bytes_total", legend="sent"),
                    ],
                    unit="Bps",
                ),
                Graph(
                    title="Block I/O",
                    about="Bytes a second that were read from and written to block devices.",
                    queries=[
                        rate("kato_container_block_read_bytes_total", legend="read"),
                        rate("kato_container_block_write_bytes_total", legend="written"),
                    ],
                    unit="Bps",
                ),
                Graph(
                    title="Block operations",
                    about="Operations a second on block devices; cgroup v1 only.",
                    queries=[
                        rate("kato_container_block_reads_total", legend="reads"),
                        rate("kato_container_block_writes_total", legend="writes"),
                    ],
                    unit="iops",
                ),
            ],
            repeat="container",
        ),
    ],
)
