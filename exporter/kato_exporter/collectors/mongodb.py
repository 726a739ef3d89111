"""What a MongoDB server says of itself, in serverStatus and replSetGetStatus."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from prometheus_client.core import Metric

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.collectors.selection import Selection
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.mongodb.connection import NotPermittedError
from kato_exporter.stores.mongodb.store import MEMBER_STATES, Member, ServerStatus

T = TypeVar("T")

_MOST_MEMBERS = 50  # as many as a replica set may have
_MEBIBYTE = 1024 * 1024
_MICROSECOND = 1e-6
_OWN_STATES = {
    "isWritablePrimary": "PRIMARY",
    "ismaster": "PRIMARY",
    "secondary": "SECONDARY",
    "arbiterOnly": "ARBITER",
}


class ServerSource(Protocol):
    """A store that answers serverStatus and replSetGetStatus.

    Both raise NotPermittedError, QueryError or StoreError.
    """

    def server_status(self, deadline: Deadline) -> ServerStatus | None:
        """Give the sections of serverStatus, None where there is no such command."""

    def members(self, deadline: Deadline) -> list[Member] | None:
        """Give the members of the replica set, None where there is none."""


@dataclass(frozen=True, slots=True)
class _Mapped:
    """A family, and where in serverStatus its values are.

    For each set of label values the paths that servers of different age know it by: the first one
    that is there counts. Values are multiplied by `unit`.
    """

    family: Family
    paths: Mapping[tuple[str, ...], Sequence[str]]
    unit: float

    def metric(self, status: ServerStatus) -> Metric:
        return self.family.samples(
            (labels, self._value(status, paths)) for labels, paths in self.paths.items()
        )

    def _value(self, status: ServerStatus, paths: Sequence[str]) -> float | None:
        for path in paths:
            value = _number(_at(status, path))
            if value is not None and math.isfinite(value * self.unit):
                return value * self.unit
        return None


def _at(status: ServerStatus, path: str) -> Any:
    found: Any = status
    for key in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found


def _number(value: Any) -> float | None:
    """Give a number that can be a count or a size, None for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value <= sys.float_info.max else None


def _gauge(name: str, text: str, *paths: str, unit: float = 1) -> _Mapped:
    family = Family(name=f"kato_mongodb_{name}", kind=Kind.GAUGE, help=f"MongoDB: {text}.")
    return _Mapped(family, {(): paths}, unit)


def _counter(name: str, text: str, *paths: str) -> _Mapped:
    family = Family(name=f"kato_mongodb_{name}_total", kind=Kind.COUNTER, help=f"MongoDB: {text}.")
    return _Mapped(family, {(): paths}, 1)


def _by_type(
    kind: Kind, name: str, text: str, types: Iterable[str], *paths: str, unit: float = 1
) -> _Mapped:
    """Declare a family with the label `type`, whose value stands for `{}` in the paths."""
    family = Family(
        name=f"kato_mongodb_{name}", kind=kind, help=f"MongoDB: {text}.", labels=("type",)
    )
    return _Mapped(family, {(each,): [path.format(each) for path in paths] for each in types}, unit)


_OPERATIONS = ("insert", "query", "update", "delete", "getmore", "command")
_LATENCIES = ("reads", "writes", "commands", "transactions")
_QUEUES = ("readers", "writers")
_TICKETS = ("read", "write")
_DOCUMENTS = ("returned", "inserted", "updated", "deleted")
_ASSERTS = ("regular", "warning", "msg", "user", "tripwire")

INFO = Family(
    name="kato_mongodb_info",
    kind=Kind.INFO,
    help="MongoDB: the server that was asked: its own name, version, process (mongod, mongos), "
    "storage engine, replica set, and its state there (PRIMARY, SECONDARY, ARBITER); empty where "
    "there is none. Always 1.",
    labels=("host", "version", "process", "storage_engine", "replica_set", "replica_set_state"),
)
PERMITTED = Family(
    name="kato_mongodb_permitted",
    kind=Kind.GAUGE,
    help="MongoDB: 1 if the account may ask this command, 0 if not, and then its series are "
    "absent; absent where it was not asked or failed otherwise.",
    labels=("command",),
)
MEMBER_STATE = Family(
    name="kato_mongodb_replica_set_member_state",
    kind=Kind.GAUGE,
    help="MongoDB: 1 for the state that the member is in, as the server that was asked sees it, "
    "0 for the others.",
    labels=("member", "state"),
)
MEMBER_HEALTH = Family(
    name="kato_mongodb_replica_set_member_health",
    kind=Kind.GAUGE,
    help="MongoDB: 1 if the server that was asked reaches the member, else 0.",
    labels=("member",),
)
MEMBER_LAG = Family(
    name="kato_mongodb_replica_set_member_lag_seconds",
    kind=Kind.GAUGE,
    help="MongoDB: time between the last operation of the primary and the last one that the "
    "member has applied, to the second; absent without a primary and for a member that has none.",
    labels=("member",),
)

_MAPPED: tuple[_Mapped, ...] = (
    _gauge("uptime_seconds", "time since the server's start", "uptime"),
    _gauge(
        "connections_current", "connections from clients and other servers", "connections.current"
    ),
    _gauge("connections_available", "connections that may still come", "connections.available"),
    _gauge("connections_active", "connections with an operation under way", "connections.active"),
    _counter("connections_created", "connections accepted", "connections.totalCreated"),
    _counter(
        "connections_rejected", "connections refused for want of room", "connections.rejected"
    ),
    _by_type(
        Kind.COUNTER,
        "opcounters_total",
        "operations asked by clients (opcounters)",
        _OPERATIONS,
        "opcounters.{}",
    ),
    _by_type(
        Kind.COUNTER,
        "opcounters_repl_total",
        "operations applied by replication (opcountersRepl)",
        _OPERATIONS,
        "opcountersRepl.{}",
    ),
    _by_type(
        Kind.COUNTER,
        "op_latencies_seconds_total",
        "time that operations took (opLatencies)",
        _LATENCIES,
        "opLatencies.{}.latency",
        unit=_MICROSECOND,
    ),
    _by_type(
        Kind.COUNTER,
        "op_latencies_operations_total",
        "operations of which the time was taken (opLatencies)",
        _LATENCIES,
        "opLatencies.{}.ops",
    ),
    _counter("network_in_bytes", "bytes received (network.bytesIn)", "network.bytesIn"),
    _counter("network_out_bytes", "bytes sent (network.bytesOut)", "network.bytesOut"),
    _counter("network_requests", "requests received", "network.numRequests"),
    _gauge("mem_resident_bytes", "memory in RAM (mem.resident)", "mem.resident", unit=_MEBIBYTE),
    _gauge(
        "mem_virtual_bytes", "address space in use (mem.virtual)", "mem.virtual", unit=_MEBIBYTE
    ),
    _counter(
        "page_faults",
        "page faults that needed the disk (extra_info.page_faults)",
        "extra_info.page_faults",
    ),
    _gauge(
        "wiredtiger_cache_bytes",
        "data in WiredTiger's cache",
        "wiredTiger.cache.bytes currently in the cache",
    ),
    _gauge(
        "wiredtiger_cache_max_bytes",
        "limit of WiredTiger's cache",
        "wiredTiger.cache.maximum bytes configured",
    ),
    _gauge(
        "wiredtiger_cache_dirty_bytes",
        "data in WiredTiger's cache that is not on disk yet",
        "wiredTiger.cache.tracked dirty bytes in the cache",
    ),
    _counter(
        "wiredtiger_cache_read_bytes",
        "bytes read into WiredTiger's cache",
        "wiredTiger.cache.bytes read into cache",
    ),
    _counter(
        "wiredtiger_cache_written_bytes",
        "bytes written from WiredTiger's cache",
        "wiredTiger.cache.bytes written from cache",
    ),
    _counter(
        "wiredtiger_cache_application_evictions",
        "pages that operations had to evict from WiredTiger's cache themselves; more than a few "
        "means that the cache is too small",
        "wiredTiger.cache.pages evicted by application threads",
    ),
    _by_type(
        Kind.GAUGE,
        "current_queue",
        "operations that wait for a lock (globalLock.currentQueue)",
        _QUEUES,
        "globalLock.currentQueue.{}",
    ),
    _by_type(
        Kind.GAUGE,
        "active_clients",
        "clients with an operation under way (globalLock.activeClients)",
        _QUEUES,
        "globalLock.activeClients.{}",
    ),
    _by_type(
        Kind.GAUGE,
        "tickets_out",
        "operations at work in the storage engine (queues.execution, or before 8.0 "
        "wiredTiger.concurrentTransactions)",
        _TICKETS,
        "queues.execution.{}.out",
        "wiredTiger.concurrentTransactions.{}.out",
    ),
    _by_type(
        Kind.GAUGE,
        "tickets_available",
        "operations that the storage engine would admit besides; at 0 they queue",
        _TICKETS,
        "queues.execution.{}.available",
        "wiredTiger.concurrentTransactions.{}.available",
    ),
    _gauge("cursors_open", "open cursors", "metrics.cursor.open.total"),
    _counter("cursors_timed_out", "cursors closed for lack of use", "metrics.cursor.timedOut"),
    _by_type(
        Kind.COUNTER,
        "documents_total",
        "documents returned and changed (metrics.document)",
        _DOCUMENTS,
        "metrics.document.{}",
    ),
    _counter(
        "ttl_deleted_documents",
        "documents deleted by TTL indexes",
        "metrics.ttl.deletedDocuments",
    ),
    _gauge("transactions_open", "open transactions", "transactions.currentOpen"),
    _counter("transactions_started", "transactions begun", "transactions.totalStarted"),
    _counter("transactions_committed", "transactions committed", "transactions.totalCommitted"),
    _counter("transactions_aborted", "transactions aborted", "transactions.totalAborted"),
    _by_type(
        Kind.COUNTER,
        "asserts_total",
        "assertions raised; user: errors of clients, the rest of the server",
        _ASSERTS,
        "asserts.{}",
    ),
)


class MongoCollector:
    """The server's own vital signs, and what it knows of its replica set.

    Each part stands alone: what the server does not have is absent, and so is what the account
    may not ask. Such a want of rights lasts until somebody grants them, so it is no failure:
    `kato_mongodb_permitted` is 0, and `kato-exporter check` names the role. A command that should
    work and does not is a failure.

    Asked on the scrape: serverStatus takes about 1 ms, half of it CPU time of mongod, however much
    is stored.

    kato_mongodb_info{version="6.0.5",process="mongod",storage_engine="wiredTiger",...} 1
    kato_mongodb_opcounters_total{type="insert"} 61
    kato_mongodb_op_latencies_seconds_total{type="reads"} 0.054842
    kato_mongodb_replica_set_member_state{member="mongo-1:27017",state="PRIMARY"} 1
    """

    name = "mongodb"
    store = "mongodb"
    families: Sequence[Family] = (
        INFO,
        PERMITTED,
        *(mapped.family for mapped in _MAPPED),
        MEMBER_STATE,
        MEMBER_HEALTH,
        MEMBER_LAG,
    )
    label_limits: Mapping[str, int] = {
        "command": 2,
        "member": _MOST_MEMBERS,
        "state": len(MEMBER_STATES),
        "type": max(len(mapped.paths) for mapped in _MAPPED),
    }
    skip_reasons: Sequence[str] = ()

    def __init__(self, store: ServerSource) -> None:
        self._store = store
        self._selection = Selection(_MOST_MEMBERS)

    def collect(self, deadline: Deadline) -> Collection:
        """Ask serverStatus and, of a member of a replica set, replSetGetStatus; once each."""
        status = _asked("serverStatus", self._store.server_status, deadline)
        replica_set = _asked("replSetGetStatus", self._store.members, deadline)
        members = replica_set.answer or []
        names = {member.name for member in members}
        shown = [*member_families(members, self._selection.of(names))]
        return Collection(
            families=[
                *server_families(status.answer or {}),
                PERMITTED.samples(
                    ((each.command,), each.permitted) for each in (status, replica_set)
                ),
                *shown,
            ],
            dropped=_size(member_families(members, names)) - _size(shown),
            failures=[each.failure for each in (status, replica_set) if each.failure],
        )


def server_families(status: ServerStatus) -> Iterator[Metric]:
    """Map the sections of serverStatus to families; a section that is not there makes no sample."""
    if status:
        yield INFO.samples([(_identity(status), 1)])
    for mapped in _MAPPED:
        yield mapped.metric(status)


def member_families(members: Sequence[Member], kept: AbstractSet[str]) -> Iterator[Metric]:
    """Make the families of those members of a replica set whose names are kept."""
    primary = max((each.optime for each in members if _is_primary(each) and each.optime), default=0)
    shown = [each for each in members if each.name in kept]
    yield MEMBER_STATE.samples(
        ((each.name, state), each.state == state)
        for each in shown
        if each.state is not None
        for state in MEMBER_STATES.values()
    )
    yield MEMBER_HEALTH.samples(((each.name,), each.healthy) for each in shown)
    yield MEMBER_LAG.samples(
        ((each.name,), max(0.0, primary - each.optime))
        for each in shown
        if primary and each.optime and not _is_primary(each)
    )


@dataclass(frozen=True, slots=True)
class _Asked(Generic[T]):
    """What came of a command; `permitted` is None where that cannot be told."""

    command: str
    answer: T | None = None
    permitted: bool | None = None
    failure: str = ""


def _asked(command: str, ask: Callable[[Deadline], T | None], deadline: Deadline) -> _Asked[T]:
    try:
        answer = ask(deadline)
    except NotPermittedError:
        return _Asked(command, permitted=False)
    except QueryError as error:
        return _Asked(command, failure=f"{command}: {error}")
    return _Asked(command, answer, permitted=None if answer is None else True)


def _identity(status: ServerStatus) -> tuple[str, ...]:
    return (
        _text(status, "host"),
        _text(status, "version"),
        _text(status, "process"),
        _text(status, "storageEngine.name"),
        _text(status, "repl.setName"),
        _own_state(status),
    )


def _own_state(status: ServerStatus) -> str:
    for field, state in _OWN_STATES.items():
        if _at(status, f"repl.{field}") is True:
            return state
    return ""


def _text(status: ServerStatus, path: str) -> str:
    found = _at(status, path)
    return found if isinstance(found, str) else ""


def _is_primary(member: Member) -> bool:
    return member.state == "PRIMARY"


def _size(families: Iterable[Metric]) -> int:
    return sum(len(family.samples) for family in families)
