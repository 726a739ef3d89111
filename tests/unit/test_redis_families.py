"""INFO to families, on what real servers have answered."""

import ast
from pathlib import Path
from typing import Any

import pytest
from redis._parsers.helpers import parse_info

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.redis import RedisCollector
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.redis.store import ServerFacts

RECORDED = Path(__file__).parents[1] / "fixtures" / "kato2" / "redis_info.txt"
KEYS_CALLED = {"cmdstat_keys": {"calls": 7, "usec": 70}}


class Answers:
    """A stub of a store: it gives these fields of INFO, and no more."""

    def __init__(self, info: dict[str, Any], save: str | None) -> None:
        self.info = info
        self.save = save

    def server_facts(self) -> ServerFacts:
        """Give what was put in."""
        return ServerFacts(info=self.info, save=self.save)


def collected(info: dict[str, Any], save: str | None = None) -> Collection:
    """Let a new collector map the fields of INFO."""
    return RedisCollector(Answers(info, save)).collect(Deadline.after(1))


def by_labels(collection: Collection) -> dict[str, float]:
    """Give the samples by name and label values."""
    return {
        ",".join([sample.name, *sample.labels.values()]): sample.value
        for metric in collection.families
        for sample in metric.samples
    }


def samples(info: dict[str, Any], save: str | None = None) -> dict[str, float]:
    """Map INFO and give the samples by name and label values."""
    return by_labels(collected(info, save))


def commands(number: int) -> dict[str, Any]:
    """Make up the statistics of so many commands, with a second for each."""
    return {
        f"cmdstat_b{each:03}": {"calls": 1, "usec": 1_000_000, "rejected_calls": 2}
        for each in range(number)
    }


@pytest.fixture
def recorded() -> dict[str, Any]:
    """Give what a KATO 2's Redis 7.0.15 has answered; fields with parts are recorded parsed."""
    fields = [line.partition(":") for line in RECORDED.read_text().splitlines()]
    parts = {name: ast.literal_eval(text) for name, _, text in fields if text.startswith("{")}
    plain = "\r\n".join(f"{name}:{text}" for name, _, text in fields if name not in parts)
    info: dict[str, Any] = parse_info(plain)  # type: ignore[no-untyped-call]
    return info | parts


def test_a_recorded_answer_maps_field_by_field(recorded: dict[str, Any]) -> None:
    """Values come unchanged, in base units."""
    found = samples(recorded)
    assert found["kato_redis_info,redis,7.0.15,standalone,master,noeviction"] == 1
    assert found["kato_redis_used_memory_bytes"] == 1189296
    assert found["kato_redis_used_memory_dataset_bytes"] == 252752
    assert found["kato_redis_keyspace_hits_total"] == 1421
    assert found["kato_redis_commands_processed_total"] == 1904
    assert found["kato_redis_cpu_seconds_total,user"] == 0.244118
    assert found["kato_redis_keys,0"] == 3
    assert found["kato_redis_rdb_last_save_timestamp_seconds"] == 1795383343
    assert found["kato_redis_rdb_last_bgsave_ok"] == 1
    assert found["kato_redis_rdb_bgsave_in_progress"] == 0
    assert found["kato_redis_aof_rewrite_in_progress"] == 0
    assert found["kato_redis_aof_last_bgrewrite_ok"] == 1
    assert found["kato_redis_connected_replicas"] == 0
    assert found["kato_redis_error_replies_total"] == 5
    assert found["kato_redis_error_replies_by_error_total,ERR"] == 5


def test_every_command_has_its_calls_and_seconds(recorded: dict[str, Any]) -> None:
    """KATO's KEYS are seen; microseconds become seconds."""
    found = samples(recorded)
    calls = {name: value for name, value in found.items() if "_command_calls_total" in name}

    assert found["kato_redis_command_calls_total,keys"] == 7
    assert found["kato_redis_command_seconds_total,keys"] == pytest.approx(98e-6)
    assert sum(calls.values()) == recorded["total_commands_processed"]
    assert found["kato_redis_rejected_calls_total"] == 0
    assert found["kato_redis_failed_calls_total"] == 0


def test_what_has_not_happened_is_absent(recorded: dict[str, Any]) -> None:
    """No dump, no fork and no master make no duration of one, and -1 is not a number of seconds."""
    found = samples(recorded)

    for name in (
        "rdb_last_bgsave_duration_seconds",
        "latest_fork_seconds",
        "aof_current_size_bytes",
        "master_link_up",
        "master_last_io_seconds",
        "rdb_configured",
    ):
        assert f"kato_redis_{name}" not in found
    after = samples({**recorded, "rdb_last_bgsave_time_sec": 0, "latest_fork_usec": 1500})
    assert after["kato_redis_rdb_last_bgsave_duration_seconds"] == 0
    assert after["kato_redis_latest_fork_seconds"] == 0.0015


@pytest.mark.parametrize(("save", "configured"), [("", 0), ("  ", 0), ("900 1 300 10", 1)])
def test_whether_dumps_are_configured(save: str, configured: int) -> None:
    """Any save point is one; KATO ships a Redis without."""
    assert samples({}, save)["kato_redis_rdb_configured"] == configured


def test_a_replica_tells_of_its_link() -> None:
    """Where the link is down, how long ago the master was heard is unknown."""
    up = samples({"master_link_status": "up", "master_last_io_seconds_ago": 0})
    down = samples({"master_link_status": "down", "master_last_io_seconds_ago": -1})

    assert up["kato_redis_master_link_up"] == 1
    assert up["kato_redis_master_last_io_seconds"] == 0
    assert down["kato_redis_master_link_up"] == 0
    assert "kato_redis_master_last_io_seconds" not in down


def test_no_memory_limit_is_absent(recorded: dict[str, Any]) -> None:
    """A maxmemory of 0 means that there is none."""
    assert "kato_redis_maxmemory_bytes" not in samples(recorded)
    assert samples({**recorded, "maxmemory": 100})["kato_redis_maxmemory_bytes"] == 100


def test_a_field_that_is_not_there_is_absent() -> None:
    """An older or compatible server leaves gaps, not zeros."""
    assert list(samples({})) == ["kato_redis_info,redis,,,,"]


@pytest.mark.parametrize(
    "odd", ["many", True, float("nan"), float("inf"), 10**400, None, [1], {"a": 1}]
)
def test_a_field_that_is_no_number_is_absent(odd: object) -> None:
    """Whatever a server says, in fields and in their parts, only a finite number is a value."""
    found = samples(
        {
            "used_memory": odd,
            "latest_fork_usec": odd,
            "rdb_last_bgsave_status": odd if not isinstance(odd, str) else None,
            "cmdstat_get": {"calls": odd, "usec": odd},
            "cmdstat_set": odd,
            "errorstat_ERR": {"count": odd},
            "db0": {"keys": odd},
        }
    )
    assert list(found) == ["kato_redis_info,redis,,,,"]


def test_valkey_is_called_by_its_name_and_version() -> None:
    """The Redis version that it claims compatibility with is not its own."""
    found = samples({"server_name": "valkey", "valkey_version": "9.1.2", "redis_version": "7.2.4"})
    assert "kato_redis_info,valkey,9.1.2,,," in found


def test_databases_are_bounded_and_the_rest_is_counted() -> None:
    """Sixteen databases have series; those left out show up as dropped."""
    collection = collected({f"db{n}": {"keys": n, "expires": 0} for n in range(20)})
    keys = next(f for f in collection.families if f.name == "kato_redis_keys")

    assert [sample.labels["db"] for sample in keys.samples] == [str(n) for n in range(16)]
    assert collection.dropped == 2 * 4


@pytest.mark.parametrize("field", ["db\u0663", "dbsize", "db-1", "db1.5", "db"])
def test_only_a_number_names_a_database(field: str) -> None:
    """Fields that merely begin as databases do are something else."""
    assert list(samples({field: {"keys": 1}})) == ["kato_redis_info,redis,,,,"]


def test_commands_are_bounded_and_their_sums_hold() -> None:
    """Sixty commands have series, KEYS always; `other` has the rest, which shows up as dropped."""
    collection = collected({**commands(100), "cmdstat_zzz": {"calls": 5, "usec": 0}} | KEYS_CALLED)
    found = by_labels(collection)
    calls = {name: value for name, value in found.items() if "_command_calls_total" in name}

    assert len(calls) == 61
    assert sum(calls.values()) == 100 + 5 + 7
    assert calls["kato_redis_command_calls_total,keys"] == 7
    assert calls["kato_redis_command_calls_total,other"] == 41 + 5
    assert found["kato_redis_command_seconds_total,other"] == 41
    assert collection.dropped == 2 * 42


def test_the_commands_that_are_kept_stay() -> None:
    """A command that comes later takes no place from one that had its series before."""
    answers = Answers(commands(100), None)
    collector = RedisCollector(answers)
    before = by_labels(collector.collect(Deadline.after(1)))
    answers.info = {"cmdstat_a": {"calls": 1, "usec": 1, "rejected_calls": 0}} | commands(100)
    after = by_labels(collector.collect(Deadline.after(1)))

    assert before.keys() == after.keys()
    assert after["kato_redis_command_calls_total,other"] == 42


def test_refused_calls_are_unknown_where_one_command_does_not_tell() -> None:
    """A sum with a gap would be too small; Redis 6.0 tells of none."""
    told = {"cmdstat_get": {"calls": 1, "usec": 1, "rejected_calls": 3, "failed_calls": 4}}
    found = samples(told)
    gap = samples({**told, "cmdstat_set": {"calls": 1, "usec": 1}})

    assert (3, 4) == (
        found["kato_redis_rejected_calls_total"],
        found["kato_redis_failed_calls_total"],
    )
    assert "kato_redis_rejected_calls_total" not in gap
    assert "kato_redis_failed_calls_total" not in gap


def test_errors_are_bounded_and_their_sum_holds() -> None:
    """Twenty kinds of errors have series, which Lua scripts can make at will."""
    collection = collected({f"errorstat_E{n:02}": {"count": 1} for n in range(30)})
    errors = next(f for f in collection.families if f.name.endswith("_by_error"))

    assert len(errors.samples) == 21
    assert sum(sample.value for sample in errors.samples) == 30
    assert collection.dropped == 10


def test_no_counter_is_negative() -> None:
    """What cannot have been counted is absent; a gauge may be anything."""
    counted = dict.fromkeys(("calls", "usec", "rejected_calls", "failed_calls", "count"), -1)
    found = samples(
        {
            **dict.fromkeys(("expired_keys", "used_cpu_user", "total_net_input_bytes"), -1),
            "cmdstat_get": counted,
            "errorstat_ERR": counted,
            "used_memory": -1,
        }
    )
    assert [-1.0] == [value for value in found.values() if value < 0]
