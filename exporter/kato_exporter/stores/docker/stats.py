"""Turns what a container engine answers into plain data: Docker on cgroup v1 and v2, and Podman.

Pure. What an engine leaves out, gives as null or fills with "no limit" (2^63 or more, such as
2^64-1) is None or missing here, never 0.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

Health = Literal["starting", "healthy", "unhealthy"]
EventAction = Literal[
    "create", "start", "restart", "die", "oom", "health_status", "rename", "destroy"
]

HEALTHS: tuple[Health, ...] = get_args(Health)
EVENT_ACTIONS: tuple[EventAction, ...] = get_args(EventAction)

_NO_LIMIT = 2**63 - 2**16
"""The highest multiple of the largest page below 2^63: what cgroup v1 says for "no limit"."""

_NANOSECONDS = 1e9
_NEVER = "0001-01-01T"
_ALIVE = frozenset({"running", "paused"})
_ID = re.compile(r"[0-9a-f]{12,64}")
_HEALTH_IN_STATUS = re.compile(r"\((?:health: )?(starting|healthy|unhealthy)\)\s*$")
_PODMAN_ACTIONS = {"died": "die", "remove": "destroy"}
_PODMAN_INTERFACE = "network"

# Majors that the Linux kernel assigns to one driver for good (Documentation/admin-guide/devices).
_SCSI = (8, *range(65, 72), *range(128, 136))
_DRIVER_OF_MAJOR = {
    1: "ram",
    7: "loop",
    9: "md",
    11: "sr",
    43: "nbd",
    94: "dasd",
    98: "ubd",
    179: "mmc",
    202: "xvd",
    259: "blkext",
    **dict.fromkeys(_SCSI, "sd"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """An entry of `GET /containers/json`.

    `name` is without the leading slash, or the id's first 12 digits where there is none; `health`
    is None without a health check; `created_at` is in epoch seconds.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    state: str
    health: Health | None
    created_at: float | None

    @property
    def alive(self) -> bool:
        """Whether it has processes, so that there is something to measure."""
        return self.state in _ALIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCounters:
    """Bytes through one interface since the container's start, seen from inside."""

    received: int | None
    transmitted: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCounters:
    """Bytes and operations on the devices of one class; None where the engine does not say."""

    read_bytes: int | None = None
    write_bytes: int | None = None
    reads: int | None = None
    writes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStats:
    """An answer of `GET /containers/ID/stats`: times in seconds, memory in bytes.

    `online_cpus` are those of the host; `memory_ceiling` is the limit, or the host's memory where
    there is none. `networks` is by interface, `block_io` by class of device.
    """

    online_cpus: int | None
    cpu_usage: float | None
    cpu_user: float | None
    cpu_kernel: float | None
    cpu_throttled: float | None
    memory_usage: int | None
    memory_working_set: int | None
    memory_limit: int | None
    memory_ceiling: int | None
    networks: Mapping[str, NetworkCounters]
    block_io: Mapping[str, BlockCounters]
    pids: int | None
    pids_limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEvent:
    """An event of `GET /events`; `at` is in epoch nanoseconds on the engine's clock."""

    at: int
    action: EventAction
    id: str
    name: str
    labels: Mapping[str, str]


def containers(answer: Any) -> Iterator[Container]:
    """Map the answer to `GET /containers/json`; what is not a container is left out."""
    for entry in _entries(answer):
        identity = entry.get("Id")
        if isinstance(identity, str) and _ID.fullmatch(identity):
            state = str(entry.get("State") or "").lower()
            created = _count(entry.get("Created"))
            yield Container(
                id=identity,
                name=_name(entry.get("Names")) or identity[:12],
                labels=_texts(entry.get("Labels")),
                state=state,
                health=_health(entry) if state in _ALIVE else None,
                created_at=float(created) if created else None,
            )


def container_stats(answer: Any, *, host_memory: int | None) -> ContainerStats | None:
    """Map an answer to `GET /containers/ID/stats`; None where the container does not run.

    `host_memory` is the memory of this machine in bytes, which tells a missing limit.
    """
    answer = _mapping(answer)
    if str(answer.get("read", "")).startswith(_NEVER):
        return None
    cpu = _mapping(answer.get("cpu_stats"))
    usage = _mapping(cpu.get("cpu_usage"))
    memory = _mapping(answer.get("memory_stats"))
    pids = _mapping(answer.get("pids_stats"))
    limit = _memory_limit(memory, host_memory)
    return ContainerStats(
        online_cpus=_count(cpu.get("online_cpus")) or None,
        cpu_usage=_seconds(usage.get("total_usage")),
        cpu_user=_seconds(usage.get("usage_in_usermode")),
        cpu_kernel=_seconds(usage.get("usage_in_kernelmode")),
        cpu_throttled=_throttled(_mapping(cpu.get("throttling_data"))),
        memory_usage=_count(memory.get("usage")),
        memory_working_set=_working_set(memory),
        memory_limit=limit,
        memory_ceiling=limit or _count(memory.get("limit")) or None,
        networks=dict(_networks(_mapping(answer.get("networks")))),
        block_io=_block_io(_mapping(answer.get("blkio_stats"))),
        pids=_count(pids.get("current")),
        pids_limit=_count(pids.get("limit")) or None,
    )


def container_event(answer: Any) -> ContainerEvent | None:
    """Map an event; None for what is not one of EVENT_ACTIONS on a container."""
    answer = _mapping(answer)
    actor = _mapping(answer.get("Actor"))
    identity = actor.get("ID") or answer.get("id")
    action = str(answer.get("Action") or answer.get("status") or "").partition(":")[0]
    action = _PODMAN_ACTIONS.get(action, action)
    at = _count(answer.get("timeNano"))
    attributes = _texts(actor.get("Attributes"))
    if (
        answer.get("Type", "container") != "container"
        or action not in EVENT_ACTIONS
        or not isinstance(identity, str)
        or at is None
    ):
        return None
    return ContainerEvent(
        at=at,
        action=action,
        id=identity,
        name=attributes.get("name", "").removeprefix("/") or identity[:12],
        labels=attributes,
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _entries(value: Any) -> Iterator[Mapping[str, Any]]:
    return (each for each in value if isinstance(each, Mapping)) if _is_list(value) else iter(())


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _texts(value: Any) -> Mapping[str, str]:
    return {key: each for key, each in _mapping(value).items() if isinstance(each, str)}


def _count(value: Any) -> int | None:
    """Give a number that the kernel has counted, None for anything else and for "no limit"."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _NO_LIMIT:
        return value
    return None


def _seconds(nanoseconds: Any) -> float | None:
    count = _count(nanoseconds)
    return None if count is None else count / _NANOSECONDS


def _name(names: Any) -> str:
    """Choose the name of its own; one with a second slash is a link's alias of another."""
    entries = names if _is_list(names) else ()
    given = [name.removeprefix("/") for name in entries if isinstance(name, str)]
    return next((name for name in given if "/" not in name), given[0] if given else "")


def _health(entry: Mapping[str, Any]) -> Health | None:
    """Read the health from its own field, which came with API 1.52, else from the status text."""
    status = _mapping(entry.get("Health")).get("Status")
    if status in HEALTHS:
        return cast("Health", status)
    found = _HEALTH_IN_STATUS.search(str(entry.get("Status") or ""))
    return cast("Health", found[1]) if found and status is None else None


def _throttled(data: Mapping[str, Any]) -> float | None:
    """Give the time held back; None without a CPU limit, which has no periods.

    Podman fills zeros whatever the limit is, which leaves no periods either.
    """
    return _seconds(data.get("throttled_time")) if _count(data.get("periods")) else None


def _working_set(memory: Mapping[str, Any]) -> int | None:
    usage = _count(memory.get("usage"))
    details = _mapping(memory.get("stats"))
    inactive_file = _count(details.get("total_inactive_file", details.get("inactive_file")))
    if usage is None or inactive_file is None:
        return None
    return max(0, usage - inactive_file)


def _memory_limit(memory: Mapping[str, Any], host_memory: int | None) -> int | None:
    """Give the limit, None where there is none.

    Engines fill in the host's memory where there is no limit. On cgroup v1 the kernel's own number
    stands beside it; elsewhere a limit that is this machine's memory to the byte is none.
    """
    limit = _count(memory.get("limit")) or None
    details = _mapping(memory.get("stats"))
    if "hierarchical_memory_limit" in details:
        effective = _count(details["hierarchical_memory_limit"])
        return min(limit, effective) if limit and effective else None
    return None if limit == host_memory else limit


def _networks(networks: Mapping[str, Any]) -> Iterator[tuple[str, NetworkCounters]]:
    for interface, answer in networks.items():
        counters = _mapping(answer)
        received, transmitted = _count(counters.get("rx_bytes")), _count(counters.get("tx_bytes"))
        if interface == _PODMAN_INTERFACE and not received and not transmitted:
            continue  # Podman's sum of all interfaces: 0 also where it has not measured
        yield interface, NetworkCounters(received=received, transmitted=transmitted)


def _block_io(blkio: Mapping[str, Any]) -> Mapping[str, BlockCounters]:
    sizes = _by_device_and_operation(blkio.get("io_service_bytes_recursive"))
    numbers = _by_device_and_operation(blkio.get("io_serviced_recursive"))
    return {
        device: BlockCounters(
            read_bytes=sizes.get((device, "read")),
            write_bytes=sizes.get((device, "write")),
            reads=numbers.get((device, "read")),
            writes=numbers.get((device, "write")),
        )
        for device in sorted({device for device, _ in (*sizes, *numbers)})
    }


def _by_device_and_operation(answer: Any) -> Mapping[tuple[str, str], int]:
    """Add up the entries of one class; operations are "Read" on cgroup v1 and "read" on v2."""
    sums: dict[tuple[str, str], int] = {}
    for entry in _entries(answer):
        major, value = _count(entry.get("major")), _count(entry.get("value"))
        operation = str(entry.get("op")).lower()
        if major is not None and value is not None and operation in {"read", "write"}:
            key = device_class(major), operation
            sums[key] = sums.get(key, 0) + value
    return sums


def device_class(major: int) -> str:
    """Name the driver of a block device by its major number.

    Where the kernel gives numbers out as drivers come (device mapper, virtio, zram), the number is
    the name: each driver has its own, so that layers on top of each other are never added up.
    """
    return _DRIVER_OF_MAJOR.get(major, f"major-{major}")


def memory_total(meminfo: Iterable[str]) -> int | None:
    """Find MemTotal in the lines of /proc/meminfo, in bytes."""
    for line in meminfo:
        if found := re.match(r"MemTotal:\s+(\d+) kB", line):
            return int(found[1]) * 1024
    return None
