"""What a Redis server says of itself, in INFO and in one setting."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from prometheus_client.core import Metric

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.collectors.selection import OTHER, Selection
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.redis.store import InfoSections, ServerFacts


class FactSource(Protocol):
    """A store that answers INFO."""

    def server_facts(self) -> ServerFacts:
        """Give the fields of INFO and a setting; raise StoreError."""


INFO = Family(
    name="kato_redis_info",
    kind=Kind.INFO,
    help="Redis: product, version, mode, role and eviction policy of the server. Always 1.",
    labels=("product", "version", "redis_mode", "role", "maxmemory_policy"),
)
RDB_CONFIGURED = Family(
    name="kato_redis_rdb_configured",
    kind=Kind.GAUGE,
    help="Redis: 1 if dumps are configured (CONFIG GET save), else 0; with kato_redis_aof_enabled "
    "0 as well, a restart destroys what KATO 3 has learned. Absent where CONFIG is refused.",
)
CPU = Family(
    name="kato_redis_cpu_seconds_total",
    kind=Kind.COUNTER,
    help="Redis: CPU time used by the server (used_cpu_user, used_cpu_sys).",
    labels=("mode",),
)
COMMAND_CALLS = Family(
    name="kato_redis_command_calls_total",
    kind=Kind.COUNTER,
    help="Redis: calls of a command (INFO commandstats). Each call of `keys` walks all keys while "
    "everybody else waits; KATO is known for storms of them.",
    labels=("command",),
)
COMMAND_SECONDS = Family(
    name="kato_redis_command_seconds_total",
    kind=Kind.COUNTER,
    help="Redis: time spent in a command (INFO commandstats), during which everybody else waits.",
    labels=("command",),
)
REJECTED_CALLS = Family(
    name="kato_redis_rejected_calls_total",
    kind=Kind.COUNTER,
    help="Redis: calls refused before they ran, for want of a right, of memory or of arguments "
    "(INFO commandstats, all commands).",
)
FAILED_CALLS = Family(
    name="kato_redis_failed_calls_total",
    kind=Kind.COUNTER,
    help="Redis: calls that failed while they ran (INFO commandstats, all commands).",
)
ERRORS = Family(
    name="kato_redis_error_replies_by_error_total",
    kind=Kind.COUNTER,
    help="Redis: error replies by the word that they begin with, such as OOM (INFO errorstats).",
    labels=("error",),
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
_MOST_COMMANDS = 60
_MOST_ERRORS = 20
_KEYS_COMMAND = "keys"

_Convert = Callable[[Any], float | None]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _unless_zero(value: Any) -> float | None:
    return _number(value) or None


def _unless_negative(value: Any) -> float | None:
    number = _number(value)
    return None if number is None or number < 0 else number


def _seconds(microseconds: Any) -> float | None:
    number = _unless_negative(microseconds)
    return None if number is None else number / 1e6


def _is(word: str) -> _Convert:
    return lambda value: float(value == word) if isinstance(value, str) else None


def _gauge(name: str, text: str) -> Family:
    return Family(name=f"kato_redis_{name}", kind=Kind.GAUGE, help=f"Redis: {text}.")


def _counter(name: str, text: str) -> Family:
    return Family(name=f"kato_redis_{name}_total", kind=Kind.COUNTER, help=f"Redis: {text}.")


_FIELDS: tuple[tuple[str, _Convert, Family], ...] = (
    ("uptime_in_seconds", _number, _gauge("uptime_seconds", "time since the server's start")),
    ("connected_clients", _number, _gauge("connected_clients", "client connections")),
    ("blocked_clients", _number, _gauge("blocked_clients", "clients in a blocking call")),
    ("maxclients", _number, _gauge("max_clients", "client connections that are allowed")),
    (
        "used_memory",
        _number,
        _gauge("used_memory_bytes", "memory that the server has allocated, for data and itself"),
    ),
    (
        "used_memory_dataset",
        _number,
        _gauge("used_memory_dataset_bytes", "used_memory less what the server needs for itself"),
    ),
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
        "rdb_bgsave_in_progress",
        _number,
        _gauge("rdb_bgsave_in_progress", "1 while a dump is being written, else 0"),
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
        _is("ok"),
        _gauge("rdb_last_bgsave_ok", "1 if the last dump succeeded or none was tried, else 0"),
    ),
    (
        "rdb_last_bgsave_time_sec",
        _unless_negative,
        _gauge(
            "rdb_last_bgsave_duration_seconds",
            "time that the last dump took; absent where there was none since the start",
        ),
    ),
    ("aof_enabled", _number, _gauge("aof_enabled", "1 if the append-only file is on, else 0")),
    (
        "aof_current_size",
        _number,
        _gauge("aof_current_size_bytes", "size of the append-only file; absent where it is off"),
    ),
    (
        "aof_rewrite_in_progress",
        _number,
        _gauge(
            "aof_rewrite_in_progress", "1 while the append-only file is being rewritten, else 0"
        ),
    ),
    (
        "aof_last_bgrewrite_status",
        _is("ok"),
        _gauge(
            "aof_last_bgrewrite_ok",
            "1 if the last rewrite of the append-only file succeeded or none was tried, else 0",
        ),
    ),
    (
        "aof_last_write_status",
        _is("ok"),
        _gauge(
            "aof_last_write_ok",
            "1 if the last write to the append-only file succeeded or none was tried, else 0",
        ),
    ),
    (
        "latest_fork_usec",
        lambda value: _unless_zero(_seconds(value)),
        _gauge(
            "latest_fork_seconds",
            "time that the last fork for a dump, a rewrite or a replica took, while everybody "
            "waited; absent where there was none",
        ),
    ),
    (
        "connected_slaves",
        _number,
        _gauge("connected_replicas", "replicas that follow this server"),
    ),
    (
        "master_link_status",
        _is("up"),
        _gauge(
            "master_link_up",
            "1 if a replica is in touch with its master, else 0; absent on a master",
        ),
    ),
    (
        "master_last_io_seconds_ago",
        _unless_negative,
        _gauge(
            "master_last_io_seconds",
            "time since a replica last heard from its master; absent on a master, and where the "
            "link is down",
        ),
    ),
    (
        "total_connections_received",
        _unless_negative,
        _counter("connections_received", "connections accepted"),
    ),
    (
        "rejected_connections",
        _unless_negative,
        _counter("rejected_connections", "connections refused because of maxclients"),
    ),
    (
        "total_commands_processed",
        _unless_negative,
        _counter("commands_processed", "commands processed"),
    ),
    (
        "total_error_replies",
        _unless_negative,
        _counter(
            "error_replies",
            "errors given as an answer; client libraries cause some whenever they connect",
        ),
    ),
    (
        "total_net_input_bytes",
        _unless_negative,
        _counter("net_input_bytes", "bytes read from clients"),
    ),
    (
        "total_net_output_bytes",
        _unless_negative,
        _counter("net_output_bytes", "bytes sent to clients"),
    ),
    ("keyspace_hits", _unless_negative, _counter("keyspace_hits", "look-ups that found their key")),
    (
        "keyspace_misses",
        _unless_negative,
        _counter("keyspace_misses", "look-ups that found no key"),
    ),
    ("expired_keys", _unless_negative, _counter("expired_keys", "keys whose time to live ran out")),
    (
        "evicted_keys",
        _unless_negative,
        _counter("evicted_keys", "keys removed for want of memory; each is a lost record"),
    ),
    ("pubsub_channels", _number, _gauge("pubsub_channels", "channels with a subscriber")),
)


class RedisCollector:
    """The server's own vital signs.

    kato_redis_info{product="redis",version="7.0.15",redis_mode="standalone",role="master",...} 1
    kato_redis_used_memory_bytes 1.189296e+06
    kato_redis_command_calls_total{command="keys"} 7
    kato_redis_keys{db="0"} 3
    """

    name = "redis"
    store = "redis"
    families: Sequence[Family] = (
        INFO,
        *(family for _, _, family in _FIELDS),
        RDB_CONFIGURED,
        CPU,
        COMMAND_CALLS,
        COMMAND_SECONDS,
        REJECTED_CALLS,
        FAILED_CALLS,
        ERRORS,
        KEYS,
        EXPIRING_KEYS,
    )
    label_limits: Mapping[str, int] = {
        "db": _MOST_DATABASES,
        "mode": 2,
        "command": _MOST_COMMANDS + 1,
        "error": _MOST_ERRORS + 1,
    }
    skip_reasons: Sequence[str] = ()

    def __init__(self, store: FactSource) -> None:
        self._store = store
        self._commands = Selection(_MOST_COMMANDS - 1)  # and `keys`, always
        self._errors = Selection(_MOST_ERRORS)

    def collect(self, deadline: Deadline) -> Collection:
        """Ask INFO and the setting `save` once."""
        del deadline  # the socket's own time limit holds
        facts = self._store.server_facts()
        commands, errors = _parts(facts.info, "cmdstat_"), _parts(facts.info, "errorstat_")
        kept = self._commands.of(commands.keys() - {_KEYS_COMMAND}) | {_KEYS_COMMAND}
        kept_errors = self._errors.of(errors)
        return Collection(
            families=[
                *server_families(facts),
                *command_families(commands, kept),
                ERRORS.sums(
                    (
                        (error if error in kept_errors else OTHER,),
                        _unless_negative(parts.get("count")),
                    )
                    for error, parts in errors.items()
                ),
                *keyspace_families(facts.info),
            ],
            dropped=2 * len(commands.keys() - kept)
            + len(errors.keys() - kept_errors)
            + 2 * max(0, len(_databases(facts.info)) - _MOST_DATABASES),
        )


def server_families(facts: ServerFacts) -> Iterator[Metric]:
    """Map the fields of INFO that stand alone; one that is not there makes no sample."""
    info = facts.info
    yield INFO.samples([(_identity(info), 1)])
    for field, convert, family in _FIELDS:
        yield family.sample(convert(info.get(field)))
    yield RDB_CONFIGURED.sample(None if facts.save is None else bool(facts.save.strip()))
    yield CPU.samples(
        [
            (("user",), _unless_negative(info.get("used_cpu_user"))),
            (("system",), _unless_negative(info.get("used_cpu_sys"))),
        ]
    )


def command_families(
    commands: Mapping[str, Mapping[str, Any]], kept: frozenset[str]
) -> Iterator[Metric]:
    """Map the parts of each command's statistics; the commands that are not kept are summed up."""
    rows = [
        ((command if command in kept else OTHER,), parts) for command, parts in commands.items()
    ]
    yield COMMAND_CALLS.sums(
        (labels, _unless_negative(parts.get("calls"))) for labels, parts in rows
    )
    yield COMMAND_SECONDS.sums((labels, _seconds(parts.get("usec"))) for labels, parts in rows)
    for family, part in ((REJECTED_CALLS, "rejected_calls"), (FAILED_CALLS, "failed_calls")):
        yield family.sums(((), _unless_negative(parts.get(part))) for _, parts in rows)


def keyspace_families(info: InfoSections) -> Iterator[Metric]:
    """Map the first databases."""
    databases = _databases(info)[:_MOST_DATABASES]
    for family, part in ((KEYS, "keys"), (EXPIRING_KEYS, "expires")):
        yield family.samples(((number,), _number(parts.get(part))) for number, parts in databases)


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


def _parts(info: InfoSections, prefix: str) -> dict[str, Mapping[str, Any]]:
    """Give the fields that begin so and have parts, by the rest of their names, in its order."""
    return {
        field.removeprefix(prefix): parts
        for field, parts in sorted(info.items())
        if field.startswith(prefix) and isinstance(parts, Mapping)
    }


def _databases(info: InfoSections) -> list[tuple[str, Mapping[str, Any]]]:
    found = _parts(info, "db").items()
    numbered = [each for each in found if re.fullmatch("[0-9]{1,9}", each[0])]
    return sorted(numbered, key=lambda each: int(each[0]))
