"""What a Redis server says of itself, in INFO."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from prometheus_client.core import Metric

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.redis import InfoSections


class InfoSource(Protocol):
    """A store that answers INFO."""

    def info(self) -> InfoSections:
        """Give the fields of INFO; raise StoreError."""


INFO = Family(
    name="kato_redis_info",
    kind=Kind.INFO,
    help="Redis: product, version, mode, role and eviction policy of the server. Always 1.",
    labels=("product", "version", "redis_mode", "role", "maxmemory_policy"),
)
CPU = Family(
    name="kato_redis_cpu_seconds_total",
    kind=Kind.COUNTER,
    help="Redis: CPU time used by the server (used_cpu_user, used_cpu_sys).",
    labels=("mode",),
)
KEYS = Family(
    name="kato_redis_keys",
    kind=Kind.GAUGE,
    help="Redis: keys in a database (INFO keyspace).",
    labels=("db",),
)
EXPIRING_KEYS = Family(
    name="kato_redis_expiring_keys",
    kind=Kind.GAUGE,
    help="Redis: keys in a database that have a time to live (INFO keyspace).",
    labels=("db",),
)

_MOST_DATABASES = 16


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _unless_zero(value: Any) -> float | None:
    return _number(value) or None


def _is_ok(value: Any) -> float | None:
    return None if value is None else float(value == "ok")


def _gauge(name: str, text: str) -> Family:
    return Family(name=f"kato_redis_{name}", kind=Kind.GAUGE, help=f"Redis: {text}.")


def _counter(name: str, text: str) -> Family:
    return Family(name=f"kato_redis_{name}_total", kind=Kind.COUNTER, help=f"Redis: {text}.")


_FIELDS: tuple[tuple[str, Callable[[Any], float | None], Family], ...] = (
    ("uptime_in_seconds", _number, _gauge("uptime_seconds", "time since the server's start")),
    ("connected_clients", _number, _gauge("connected_clients", "client connections")),
    ("blocked_clients", _number, _gauge("blocked_clients", "clients in a blocking call")),
    ("maxclients", _number, _gauge("max_clients", "client connections that are allowed")),
    ("used_memory", _number, _gauge("used_memory_bytes", "memory that the data takes")),
    (
        "used_memory_rss",
        _number,
        _gauge("used_memory_rss_bytes", "memory that the operating system has given"),
    ),
    ("used_memory_peak", _number, _gauge("used_memory_peak_bytes", "highest used_memory so far")),
    (
        "maxmemory",
        _unless_zero,
        _gauge("maxmemory_bytes", "limit of used_memory; absent where there is none"),
    ),
    (
        "total_system_memory",
        _unless_zero,
        _gauge("total_system_memory_bytes", "memory of the host"),
    ),
    (
        "mem_fragmentation_ratio",
        _number,
        _gauge("mem_fragmentation_ratio", "used_memory_rss over used_memory"),
    ),
    ("loading", _number, _gauge("loading", "1 while the server loads a dump, else 0")),
    (
        "rdb_changes_since_last_save",
        _number,
        _gauge("rdb_changes_since_last_save", "changes since the last dump"),
    ),
    (
        "rdb_last_save_time",
        _number,
        _gauge(
            "rdb_last_save_timestamp_seconds",
            "time of the last dump, or of the start where there was none",
        ),
    ),
    (
        "rdb_last_bgsave_status",
        _is_ok,
        _gauge("rdb_last_bgsave_ok", "1 if the last dump succeeded or none was tried, else 0"),
    ),
    ("aof_enabled", _number, _gauge("aof_enabled", "1 if the append-only file is on, else 0")),
    (
        "aof_last_write_status",
        _is_ok,
        _gauge(
            "aof_last_write_ok", "1 if the last write to the append-only file succeeded, else 0"
        ),
    ),
    (
        "total_connections_received",
        _number,
        _counter("connections_received", "connections accepted"),
    ),
    (
        "rejected_connections",
        _number,
        _counter("rejected_connections", "connections refused because of maxclients"),
    ),
    ("total_commands_processed", _number, _counter("commands_processed", "commands processed")),
    ("total_net_input_bytes", _number, _counter("net_input_bytes", "bytes read from clients")),
    ("total_net_output_bytes", _number, _counter("net_output_bytes", "bytes sent to clients")),
    ("keyspace_hits", _number, _counter("keyspace_hits", "look-ups that found their key")),
    ("keyspace_misses", _number, _counter("keyspace_misses", "look-ups that found no key")),
    ("expired_keys", _number, _counter("expired_keys", "keys whose time to live ran out")),
    (
        "evicted_keys",
        _number,
        _counter("evicted_keys", "keys removed for want of memory; each is a lost record"),
    ),
    ("pubsub_channels", _number, _gauge("pubsub_channels", "channels with a subscriber")),
)


class RedisCollector:
    """The server's own vital signs.

    kato_redis_info{product="redis",version="7.0.15",redis_mode="standalone",role="master",...} 1
    kato_redis_used_memory_bytes 1.189296e+06
    kato_redis_keys{db="0"} 3
    """

    name = "redis"
    store = "redis"
    families: Sequence[Family] = (
        INFO,
        *(family for _, _, family in _FIELDS),
        CPU,
        KEYS,
        EXPIRING_KEYS,
    )
    label_limits: Mapping[str, int] = {"db": _MOST_DATABASES, "mode": 2}
    skip_reasons: Sequence[str] = ()

    def __init__(self, store: InfoSource) -> None:
        self._store = store

    def collect(self, deadline: Deadline) -> Collection:
        """Ask INFO once."""
        del deadline  # the socket's own time limit holds
        info = self._store.info()
        return Collection(families=list(redis_families(info)), dropped=_databases_dropped(info))


def redis_families(info: InfoSections) -> Iterable[Metric]:
    """Map the fields of INFO to families; a field that is not there makes no sample."""
    yield INFO.samples([(_identity(info), 1)])
    for field, convert, family in _FIELDS:
        yield family.sample(convert(info.get(field)))
    yield CPU.samples(
        [
            (("user",), _number(info.get("used_cpu_user"))),
            (("system",), _number(info.get("used_cpu_sys"))),
        ]
    )
    databases = _databases(info)[:_MOST_DATABASES]
    yield KEYS.samples(((number,), facts.get("keys")) for number, facts in databases)
    yield EXPIRING_KEYS.samples(((number,), facts.get("expires")) for number, facts in databases)


def _identity(info: InfoSections) -> tuple[str, ...]:
    product = str(info.get("server_name", "redis"))
    version = info.get(f"{product}_version", info.get("redis_version", ""))
    return (
        product,
        str(version),
        str(info.get("redis_mode", info.get("server_mode", ""))),
        str(info.get("role", "")),
        str(info.get("maxmemory_policy", "")),
    )


def _databases(info: InfoSections) -> list[tuple[str, Mapping[str, Any]]]:
    numbers = sorted(
        int(field.removeprefix("db"))
        for field, facts in info.items()
        if field.startswith("db") and field[2:].isdecimal() and isinstance(facts, Mapping)
    )
    return [(str(number), info[f"db{number}"]) for number in numbers]


def _databases_dropped(info: InfoSections) -> int:
    return 2 * max(0, len(_databases(info)) - _MOST_DATABASES)
