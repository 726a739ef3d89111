"""Answers of container engines to typed data, on what real engines have answered."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies

from kato_exporter.stores.docker.stats import (
    BlockCounters,
    Container,
    ContainerEvent,
    ContainerStats,
    NetworkCounters,
    container_event,
    container_stats,
    containers,
    device_class,
    memory_total,
)

RECORDED = Path(__file__).parents[1] / "fixtures" / "docker"
HOST_OF_CGROUP2 = 3141390336
HOST_OF_PODMAN = 25276502016
IDENTITY = "616ed135d086064692ad209173de9911931fc417303ded0e99bf5165b169fa79"


def answer(name: str) -> Any:
    """Read a recorded answer."""
    return json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))


def stats(given_answer: Any, host_memory: int | None = None) -> ContainerStats:
    """Map an answer of a container that runs."""
    mapped = container_stats(given_answer, host_memory=host_memory)
    assert mapped is not None
    return mapped


def listed(**fields: Any) -> Container:
    """Map an entry of the list, with these fields in the place of the usual ones."""
    entry = {
        "Id": IDENTITY,
        "Names": ["/kato"],
        "Labels": {},
        "State": "running",
        "Status": "Up 3 seconds",
        "Created": 1795388192,
    }
    (container,) = containers([entry | fields])
    return container


def test_docker_on_cgroup_1_maps_in_base_units() -> None:
    """Nanoseconds become seconds; the working set leaves out total_inactive_file."""
    assert stats(answer("cgroup1_stats_busy")) == ContainerStats(
        online_cpus=2,
        cpu_usage=1.062150865,
        cpu_user=1.03,
        cpu_kernel=0.02,
        cpu_throttled=2.311222678,
        memory_usage=22241280,
        memory_working_set=22241280 - 65536,
        memory_limit=67108864,
        memory_ceiling=67108864,
        networks={"eth0": NetworkCounters(received=1096, transmitted=0)},
        block_io={},
        pids=1,
        pids_limit=50,
    )


def test_docker_on_cgroup_2_maps_in_base_units() -> None:
    """The working set leaves out inactive_file, and block I/O in lower case is seen."""
    assert stats(answer("cgroup2_stats_busy")) == ContainerStats(
        online_cpus=1,
        cpu_usage=2.9,
        cpu_user=2.89,
        cpu_kernel=0.01,
        cpu_throttled=4.44,
        memory_usage=21872640,
        memory_working_set=21872640 - 20971520,
        memory_limit=67108864,
        memory_ceiling=67108864,
        networks={"eth0": NetworkCounters(received=1112, transmitted=0)},
        block_io={"ubd": BlockCounters(read_bytes=0, write_bytes=20971520)},
        pids=1,
        pids_limit=50,
    )


@pytest.mark.parametrize("recorded", ["cgroup1_stats_idle", "cgroup2_stats_idle"])
def test_without_a_limit_the_host_is_the_ceiling(recorded: str) -> None:
    """What the engine gives for the limit is the host's memory; the limit itself is absent."""
    idle = answer(recorded)
    host = idle["memory_stats"]["limit"]
    mapped = container_stats(idle, host_memory=host)
    assert mapped is not None
    assert (mapped.memory_limit, mapped.memory_ceiling) == (None, host)


def test_podman_leaves_gaps_not_zeros() -> None:
    """No details of memory means no working set; empty throttling data are no measurement."""
    mapped = stats(answer("podman_stats_busy"))
    assert mapped.memory_usage == 24035328
    assert mapped.memory_working_set is None
    assert mapped.cpu_throttled is None
    assert mapped.block_io == {}
    assert mapped.networks == {"network": NetworkCounters(received=472, transmitted=1400)}


def test_zeros_of_podmans_network_are_absent() -> None:
    """On the host's network Podman has measured nothing, and says 0."""
    assert stats(answer("podman_stats_hostnet")).networks == {}


@pytest.mark.parametrize("name", ["cgroup1_stats_stopped", "cgroup2_stats_stopped"])
def test_a_stopped_container_has_no_statistics(name: str) -> None:
    """The zeros that the engine answers for it are not measured."""
    assert container_stats(answer(name), host_memory=None) is None


@pytest.mark.parametrize(
    ("name", "host_memory"),
    [
        ("cgroup1_stats_idle", None),
        ("cgroup2_stats_idle", HOST_OF_CGROUP2),
        ("podman_stats_idle", HOST_OF_PODMAN),
    ],
)
def test_no_memory_limit_is_absent(name: str, host_memory: int | None) -> None:
    """The host's memory is no limit: told by the kernel on cgroup v1, else by this machine's."""
    assert stats(answer(name), host_memory).memory_limit is None


def test_a_limit_that_may_be_real_is_kept() -> None:
    """Where it is not this machine's memory, nothing proves that there is none."""
    assert stats(answer("cgroup2_stats_idle"), 1024).memory_limit == HOST_OF_CGROUP2


def test_a_tighter_limit_above_counts() -> None:
    """On cgroup v1 the limit of a parent group is the one that holds."""
    busy = answer("cgroup1_stats_busy")
    busy["memory_stats"]["stats"]["hierarchical_memory_limit"] = 4096
    assert stats(busy).memory_limit == 4096


def test_cache_of_groups_below_counts_on_cgroup_1() -> None:
    """Usage is of the whole tree there, and so is total_inactive_file."""
    busy = answer("cgroup1_stats_busy")
    busy["memory_stats"]["stats"]["total_inactive_file"] = 2 * 65536
    assert stats(busy).memory_working_set == 22241280 - 2 * 65536


def test_no_limit_of_processes_is_absent() -> None:
    """2^64-1 is how cgroup v2 says that there is none."""
    assert stats(answer("cgroup2_stats_idle")).pids_limit is None


def test_cache_beyond_the_usage_leaves_nothing() -> None:
    """The kernel counts both at different moments; a working set is never below 0."""
    busy = answer("cgroup2_stats_busy")
    busy["memory_stats"]["stats"]["inactive_file"] = 2**40
    assert stats(busy).memory_working_set == 0


def test_block_io_is_summed_by_driver_in_either_case() -> None:
    """Two disks of one driver add up, a mapped device on top of them does not, totals are left."""
    entries = [
        {"major": 8, "minor": 0, "op": "Read", "value": 1},
        {"major": 8, "minor": 16, "op": "read", "value": 2},
        {"major": 8, "minor": 0, "op": "Total", "value": 1},
        {"major": 253, "minor": 0, "op": "Write", "value": 7},
        {"major": 253, "minor": 1, "op": "Write", "value": 2**64 - 1},
    ]
    blkio = {"io_service_bytes_recursive": entries, "io_serviced_recursive": entries[:1]}
    assert stats({"blkio_stats": blkio}).block_io == {
        "sd": BlockCounters(read_bytes=3, reads=1),
        "major-253": BlockCounters(write_bytes=7),
    }


@pytest.mark.parametrize(
    ("major", "name"), [(8, "sd"), (65, "sd"), (135, "sd"), (259, "blkext"), (254, "major-254")]
)
def test_a_device_class_is_its_driver(major: int, name: str) -> None:
    """Majors that Linux gives to one driver for good have its name, others their number."""
    assert device_class(major) == name


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """List the paths to all keys of an answer."""
    if not isinstance(value, dict):
        return []
    return [
        each
        for key, inner in value.items()
        for each in [(*path, key), *leaves(inner, (*path, key))]
    ]


STATS_FILES = sorted(path.stem for path in RECORDED.glob("*_stats_*.json"))
ODD_VALUES = strategies.one_of(
    strategies.none(),
    strategies.just(2**64 - 1),
    strategies.just("gone"),
    strategies.booleans(),
    strategies.floats(),
    strategies.integers(max_value=-1),
    strategies.lists(strategies.none(), max_size=2),
)


@given(data=strategies.data(), name=strategies.sampled_from(STATS_FILES))
def test_what_is_missing_or_odd_is_absent(data: strategies.DataObject, name: str) -> None:
    """Whatever keys are gone, null or not a count: no fault, no new number, nothing huge."""
    original = answer(name)
    before = container_stats(original, host_memory=None)
    damaged = answer(name)
    for path in data.draw(strategies.lists(strategies.sampled_from(leaves(original)), max_size=6)):
        holder = damaged
        for key in path[:-1]:
            holder = holder.get(key) if isinstance(holder, dict) else None
        if not isinstance(holder, dict):
            continue
        if data.draw(strategies.booleans()):
            holder.pop(path[-1], None)
        else:
            holder[path[-1]] = data.draw(ODD_VALUES)
    mapped = container_stats(damaged, host_memory=None)
    if mapped is None or before is None:
        return
    for field in ("cpu_usage", "cpu_user", "cpu_kernel", "memory_usage", "pids", "pids_limit"):
        assert getattr(mapped, field) in (None, getattr(before, field)), field
    assert mapped.memory_limit is None or mapped.memory_limit < 2**62
    assert set(mapped.networks) <= set(before.networks)
    assert set(mapped.block_io) <= set(before.block_io)


@given(
    strategies.recursive(
        strategies.one_of(strategies.none(), strategies.integers(), strategies.text()),
        lambda inner: (
            strategies.lists(inner, max_size=3)
            | strategies.dictionaries(
                strategies.sampled_from(
                    ["Id", "Names", "Labels", "State", "Status", "Health", "Actor", "timeNano"]
                ),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_no_answer_is_a_fault(odd: Any) -> None:
    """Any JSON is survived by all three mappings."""
    container_stats(odd, host_memory=None)
    container_event(odd)
    assert all(container.name for container in containers(odd))


def test_a_name_loses_its_slash() -> None:
    """Docker writes /kato, Podman kato; aliases of links belong to others."""
    assert listed(Names=["/web/alias", "/kato-redis"]).name == "kato-redis"
    assert listed(Names=["kato"]).name == "kato"
    assert listed(Names=None).name == "616ed135d086"


def test_an_id_that_is_none_is_left_out() -> None:
    """An id becomes part of a path, so only hexadecimal digits will do."""
    assert list(containers([{"Id": "../../info", "Names": ["/x"]}])) == []


@pytest.mark.parametrize(
    ("fields", "health"),
    [
        ({"Status": "Up 2 minutes (healthy)"}, "healthy"),
        ({"Status": "Up 2 minutes (unhealthy)"}, "unhealthy"),
        ({"Status": "Up 2 minutes (health: starting)"}, "starting"),
        ({"Status": "Up 2 minutes"}, None),
        ({"Status": "Up 2 minutes (Paused)", "State": "paused"}, None),
        ({"Status": "Exited (0) 3 seconds ago", "State": "exited"}, None),
        ({"Health": {"Status": "healthy"}, "Status": "Up 2 minutes"}, "healthy"),
        ({"Health": {"Status": "none"}, "Status": "Up 2 minutes (healthy)"}, None),
        ({"Health": {"Status": "unhealthy"}, "State": "exited"}, None),
    ],
)
def test_health_comes_from_its_field_or_the_status(
    fields: dict[str, Any], health: str | None
) -> None:
    """The field of newer engines wins; without a health check there is none."""
    assert listed(**fields).health == health


def test_events_of_other_kinds_are_left_out() -> None:
    """Commands of health checks, which may hold secrets, and networks make no event."""
    mapped = [container_event(each) for each in answer("cgroup1_events")]
    actions = [each.action for each in mapped if each is not None]
    assert Counter(actions) == {
        "create": 5,
        "start": 7,
        "die": 4,
        "oom": 3,
        "health_status": 2,
    }


def test_an_event_keeps_time_name_and_labels() -> None:
    """The time is in nanoseconds; labels stand beside the name."""
    event = container_event(answer("cgroup2_events")[4])
    assert event is not None
    assert event == ContainerEvent(
        at=1795381606020824559,
        action="create",
        id="c9b72d135a0ec3e3c26cad40c73492715949d71666e69c48883b0aa3c26ebc2d",
        name="busy",
        labels={
            "com.docker.compose.service": "web",
            "image": "local/busybox:test",
            "name": "busy",
        },
    )


def test_podmans_words_are_translated() -> None:
    """Podman removes where Docker destroys."""
    event = {"Type": "container", "Action": "remove", "id": IDENTITY, "timeNano": 1}
    mapped = container_event(event)
    assert mapped is not None
    assert mapped.action == "destroy"


def test_this_machines_memory_is_read_in_bytes() -> None:
    """MemTotal is in kibibytes; a file without it gives nothing."""
    assert memory_total(["MemFree: 1 kB\n", "MemTotal:  24683 kB\n"]) == 24683 * 1024
    assert memory_total([]) is None


@pytest.mark.parametrize("names", [5, {"a": 1}, "kato", None, [None]])
def test_names_that_are_no_list_are_none(names: object) -> None:
    """The container is then called by its id."""
    assert IDENTITY[:12] == listed(Names=names).name
