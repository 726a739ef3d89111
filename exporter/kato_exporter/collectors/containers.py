"""KATO's containers: whether they are there, how they are, and what they use."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Collection as Names
from typing import Protocol, TypeVar

from prometheus_client.core import Metric

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.container_choice import ContainerChoice
from kato_exporter.collectors.container_events import FollowerState
from kato_exporter.collectors.container_ledger import COUNTED_EVENTS, Tally
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.collectors.selection import OTHER
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.docker.stats import (
    HEALTHS,
    BlockCounters,
    Container,
    ContainerStats,
    NetworkCounters,
)
from kato_exporter.stores.errors import StoreError

T = TypeVar("T")

STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")

_MOST_INTERFACES = 8
_MOST_DEVICES = 8


class ContainerSource(Protocol):
    """What the collector asks of an engine; see DockerStore."""

    def containers(self, deadline: Deadline) -> Sequence[Container]:
        """List all containers; raise StoreError."""

    def stats(
        self, ids: Sequence[str], deadline: Deadline
    ) -> Mapping[str, ContainerStats | StoreError]:
        """Ask for the statistics of all these at once."""


class EventsState(Protocol):
    """What has followed the events; see ContainerEventFollower."""

    def state(self) -> FollowerState:
        """Give what is known now."""


def _gauge(name: str, text: str, *more_labels: str) -> Family:
    return Family(
        name=f"kato_container_{name}", kind=Kind.GAUGE, help=text, labels=("name", *more_labels)
    )


def _counter(name: str, text: str, *more_labels: str) -> Family:
    return Family(
        name=f"kato_container_{name}_total",
        kind=Kind.COUNTER,
        help=text,
        labels=("name", *more_labels),
    )


PRESENT = _gauge(
    "present",
    "1 if there is such a container, running or not; 0 if one is missing that "
    "KATO_CONTAINERS_EXPECTED names, or that KATO_CONTAINERS names without a wildcard and that "
    "was there since the exporter's start.",
)
STATE = _gauge(
    "state",
    "1 for the state that the container is in, 0 for the others; no 1 for a state that Docker "
    "does not have.",
    "state",
)
HEALTH = _gauge(
    "health",
    "1 for what its health check says, 0 for the others; absent without a health check and while "
    "it does not run.",
    "health",
)
CREATED = _gauge("creation_time_seconds", "When the container was created (Created of the list).")
STARTED = _gauge(
    "start_time_seconds",
    "When the container was last started, by its start event; absent while it does not run, and "
    "where the engine no longer remembers that event.",
)
RESTARTS = _counter(
    "restarts",
    "Starts of a container that had run before, whatever the cause, since the exporter's start; "
    "by start events, so that none between two scrapes is lost.",
)
OOM_KILLED = _gauge(
    "oom_killed",
    "1 if the kernel killed for want of memory in the container's last run that ended, else 0, by "
    "its events; absent where the end of no run was seen.",
)
EVENTS = _counter(
    "events",
    "Events of the container since the exporter's start: oom, die (its end), health_status (a "
    "change of health), restart (by command; a restart policy sends none on Docker).",
    "event",
)
CONNECTED = Family(
    name="kato_container_events_connected",
    kind=Kind.GAUGE,
    help="1 while the engine's events are followed, else 0.",
)

_PLAIN: tuple[tuple[Callable[[ContainerStats], float | None], Family], ...] = (
    (
        lambda stats: stats.cpu_usage,
        _counter("cpu_usage_seconds", "CPU time used (cpu_usage.total_usage); 1 a second a core."),
    ),
    (
        lambda stats: stats.cpu_user,
        _counter("cpu_user_seconds", "CPU time in user mode (usage_in_usermode)."),
    ),
    (
        lambda stats: stats.cpu_kernel,
        _counter("cpu_kernel_seconds", "CPU time in the kernel (usage_in_kernelmode)."),
    ),
    (
        lambda stats: stats.cpu_throttled,
        _counter(
            "cpu_throttled_seconds",
            "Time that the container's threads were held back by its CPU limit (throttled_time); "
            "absent where there is none, and on Podman, which does not tell.",
        ),
    ),
    (
        lambda stats: stats.online_cpus,
        _gauge("online_cpus", "CPUs of the host that the engine counts for it (online_cpus)."),
    ),
    (
        lambda stats: stats.memory_usage,
        _gauge("memory_usage_bytes", "Memory charged to the container, page cache included."),
    ),
    (
        lambda stats: stats.memory_working_set,
        _gauge(
            "memory_working_set_bytes",
            "Memory usage less the page cache that the kernel gives back first "
            "(total_inactive_file on cgroup v1, inactive_file on v2); absent on Podman, which does "
            "not tell it.",
        ),
    ),
    (
        lambda stats: stats.memory_limit,
        _gauge(
            "memory_limit_bytes",
            "Memory limit; absent where there is none. Engines report the host's memory instead: "
            "on cgroup v1 the kernel's own number unmasks it, elsewhere it must equal MemTotal of "
            "the exporter's /proc/meminfo, so that for a remote engine with cgroup v2 it stays.",
        ),
    ),
    (
        lambda stats: stats.memory_ceiling,
        _gauge(
            "memory_ceiling_bytes",
            "The memory limit, or the host's memory where there is none (memory_stats.limit).",
        ),
    ),
    (lambda stats: stats.pids, _gauge("pids", "Processes and threads (pids_stats.current).")),
    (
        lambda stats: stats.pids_limit,
        _gauge("pids_limit", "Limit of processes and threads; absent where there is none."),
    ),
)
_NETWORK: tuple[tuple[Callable[[NetworkCounters], float | None], Family], ...] = (
    (
        lambda counters: counters.received,
        _counter(
            "network_receive_bytes",
            "Bytes received by an interface of the container (rx_bytes); absent on the host's "
            "network. Podman sums up its interfaces as `network`.",
            "interface",
        ),
    ),
    (
        lambda counters: counters.transmitted,
        _counter(
            "network_transmit_bytes",
            "Bytes sent by an interface of the container (tx_bytes).",
            "interface",
        ),
    ),
)
_BLOCK: tuple[tuple[Callable[[BlockCounters], float | None], Family], ...] = (
    (
        lambda counters: counters.read_bytes,
        _counter(
            "block_read_bytes",
            "Bytes read from block devices (io_service_bytes_recursive), by the devices' driver: "
            "sd, blkext (NVMe), md, loop, xvd, mmc ..., or `major-N` where the kernel numbers "
            "drivers as they come (device mapper, virtio). One on top of another counts again.",
            "device",
        ),
    ),
    (
        lambda counters: counters.write_bytes,
        _counter("block_write_bytes", "Bytes written to block devices, likewise.", "device"),
    ),
    (
        lambda counters: counters.reads,
        _counter(
            "block_reads",
            "Read operations on block devices (io_serviced_recursive); cgroup v1 only.",
            "device",
        ),
    ),
    (
        lambda counters: counters.writes,
        _counter("block_writes", "Write operations on block devices, likewise.", "device"),
    ),
)
_SERIES_OF_LISTED = 1 + len(STATES)


class ContainersCollector:
    """Presence, state, health and use of containers.

    kato_container_present{name="kato-redis"} 1
    kato_container_state{name="kato-redis",state="running"} 1
    kato_container_cpu_usage_seconds_total{name="kato-redis"} 12.87
    kato_container_network_receive_bytes_total{name="kato-redis",interface="eth0"} 70578
    kato_container_events_total{name="kato-redis",event="oom"} 0
    """

    name = "containers"
    store = "docker"
    families: Sequence[Family] = (
        PRESENT,
        STATE,
        HEALTH,
        CREATED,
        STARTED,
        RESTARTS,
        OOM_KILLED,
        EVENTS,
        CONNECTED,
        *(family for _, family in _PLAIN),
        *(family for _, family in _NETWORK),
        *(family for _, family in _BLOCK),
    )
    skip_reasons: Sequence[str] = ()

    def __init__(
        self,
        source: ContainerSource,
        events: EventsState,
        choice: ContainerChoice,
        *,
        expected: Names[str],
        most_containers: int,
    ) -> None:
        self._source = source
        self._events = events
        self._choice = choice
        self._expected = frozenset(expected)
        self._seen: set[str] = set()
        self._kept: list[str] = []
        self._most = most_containers
        self.label_limits: Mapping[str, int] = {
            "name": most_containers,
            "state": len(STATES),
            "health": len(HEALTHS),
            "event": len(COUNTED_EVENTS),
            "interface": _MOST_INTERFACES,
            "device": _MOST_DEVICES,
        }

    def collect(self, deadline: Deadline) -> Collection:
        """List the containers, and ask all that run for their statistics at once.

        Raises StoreError where there is no list. A container whose statistics do not come is a
        failure of its own, and keeps what the list says.
        """
        listed = {each.name: each for each in self._source.containers(deadline)}
        ours = [each for each in listed.values() if self._choice.matches(each.name, each.labels)]
        self._seen |= self._choice.plain_names & listed.keys()
        missing = (self._expected | self._seen) - listed.keys()
        shown = self._bounded(ours, self._most - len(missing))
        names = {each.id: each.name for each in shown if each.alive}
        answers = self._source.stats(list(names), deadline)
        stats = {
            names[identity]: answer
            for identity, answer in answers.items()
            if isinstance(answer, ContainerStats)
        }
        return Collection(
            families=[
                PRESENT.samples(
                    [*(((each.name,), 1) for each in shown), *(((name,), 0) for name in missing)]
                ),
                *_listed_families(shown),
                *_event_families(shown, self._events.state(), self._most),
                *_stats_families(stats),
            ],
            dropped=_SERIES_OF_LISTED * (len(ours) - len(shown)),
            failures=[
                f"{names[identity]}: {answer}"
                for identity, answer in answers.items()
                if isinstance(answer, StoreError)
            ],
        )

    def _bounded(self, ours: Sequence[Container], most: int) -> list[Container]:
        """Keep at most so many: the expected ones, those kept before, then the first by name."""
        by_name = {container.name: container for container in ours}
        before = dict.fromkeys(self._kept)
        order = sorted(
            by_name, key=lambda name: (name not in self._expected, name not in before, name)
        )
        self._kept = order[: max(0, most)]
        return [by_name[name] for name in self._kept]


def _listed_families(shown: Sequence[Container]) -> Iterator[Metric]:
    yield STATE.samples(
        ((each.name, state), each.state == state) for each in shown for state in STATES
    )
    yield HEALTH.samples(
        ((each.name, health), each.health == health)
        for each in shown
        if each.health is not None
        for health in HEALTHS
    )
    yield CREATED.samples(((each.name,), each.created_at) for each in shown)


def _event_families(
    shown: Sequence[Container], state: FollowerState, most: int
) -> Iterator[Metric]:
    """Map what the follower knows: of names that are listed, and of the last that are no longer.

    A name that is listed and has no event yet counts 0.
    """
    lives = [(each.name, state.lives[each.id]) for each in shown if each.id in state.lives]
    yield STARTED.samples(((name,), life.started_at) for name, life in lives)
    yield OOM_KILLED.samples(((name,), life.ended_by_oom) for name, life in lives)
    yield CONNECTED.sample(state.connected)
    if state.tallies is None:
        return
    names = dict.fromkeys([*(each.name for each in shown), *reversed([*state.tallies])])
    tallies = {name: state.tallies.get(name, Tally()) for name in [*names][:most]}
    yield RESTARTS.samples(((name,), tally.restarts) for name, tally in tallies.items())
    yield EVENTS.samples(
        ((name, event), count)
        for name, tally in tallies.items()
        for event, count in tally.events.items()
    )


def _stats_families(stats: Mapping[str, ContainerStats]) -> Iterator[Metric]:
    for value, family in _PLAIN:
        yield family.samples(((name,), value(each)) for name, each in stats.items())
    for received_or_sent, family in _NETWORK:
        yield _bounded_rows(
            family,
            ((name, each.networks, received_or_sent) for name, each in stats.items()),
            _MOST_INTERFACES,
        )
    for count, family in _BLOCK:
        yield _bounded_rows(
            family, ((name, each.block_io, count) for name, each in stats.items()), _MOST_DEVICES
        )


def _bounded_rows(
    family: Family,
    rows: Iterable[tuple[str, Mapping[str, T], Callable[[T], float | None]]],
    most: int,
) -> Metric:
    """Make a family with a second label of at most so many values; the rest is summed as `other`.

    A value that is unknown makes the sum of the rest unknown.
    """
    samples: list[tuple[tuple[str, str], float | None]] = []
    for name, parts, value in rows:
        own, rest = _split(parts, most)
        samples += [((name, part), value(parts[part])) for part in own]
        if rest:
            values = [value(parts[part]) for part in rest]
            known = [each for each in values if each is not None]
            samples.append(((name, OTHER), sum(known) if len(known) == len(values) else None))
    return family.samples(samples)


def _split(names: Names[str], most: int) -> tuple[list[str], list[str]]:
    """Part names into those with series of their own and the rest, which takes one of `most`."""
    ordered = sorted(set(names) - {OTHER})
    if OTHER not in names and len(ordered) <= most:
        return ordered, []
    own = ordered[: most - 1]
    return own, sorted(set(names).difference(own))
