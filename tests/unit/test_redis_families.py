"""INFO to families, on what real servers have answered."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import Metric
from redis._parsers.helpers import parse_info

from kato_exporter.collectors.redis import RedisCollector, redis_families
from kato_exporter.stores.deadline import Deadline

RECORDED = Path(__file__).parents[1] / "fixtures" / "kato2" / "redis_info.txt"


def samples(info: dict[str, Any]) -> dict[str, float]:
    """Map INFO and give the samples by name and label values."""
    metrics: list[Metric] = list(redis_families(info))
    return {
        ",".join([sample.name, *sample.labels.values()]): sample.value
        for metric in metrics
        for sample in metric.samples
    }


@pytest.fixture
def recorded() -> dict[str, Any]:
    """Give what a KATO 2's Redis 7.0.15 has answered."""
    lines = [
        line for line in RECORDED.read_text().splitlines() if line.partition(":")[2][:1] != "{"
    ]
    info: dict[str, Any] = parse_info("\r\n".join(lines))  # type: ignore[no-untyped-call]
    return info | {"db0": {"keys": 3, "expires": 3, "avg_ttl": 2371550}}


def test_a_recorded_answer_maps_field_by_field(recorded: dict[str, Any]) -> None:
    """Values come unchanged, in base units."""
    found = samples(recorded)
    assert found["kato_redis_info,redis,7.0.15,standalone,master,noeviction"] == 1
    assert found["kato_redis_used_memory_bytes"] == 1189296
    assert found["kato_redis_keyspace_hits_total"] == 1421
    assert found["kato_redis_commands_processed_total"] == 1904
    assert found["kato_redis_cpu_seconds_total,user"] == 0.244118
    assert found["kato_redis_keys,0"] == 3
    assert found["kato_redis_rdb_last_save_timestamp_seconds"] == 1795383343
    assert found["kato_redis_rdb_last_bgsave_ok"] == 1


def test_no_memory_limit_is_absent(recorded: dict[str, Any]) -> None:
    """A maxmemory of 0 means that there is none."""
    assert "kato_redis_maxmemory_bytes" not in samples(recorded)
    assert samples({**recorded, "maxmemory": 100})["kato_redis_maxmemory_bytes"] == 100


def test_a_field_that_is_not_there_or_not_a_number_is_absent() -> None:
    """An older or compatible server leaves gaps, not zeros."""
    assert list(samples({})) == ["kato_redis_info,redis,,,,"]
    assert "kato_redis_used_memory_bytes" not in samples({"used_memory": "many"})


def test_valkey_is_called_by_its_name_and_version() -> None:
    """The Redis version that it claims compatibility with is not its own."""
    found = samples({"server_name": "valkey", "valkey_version": "9.1.2", "redis_version": "7.2.4"})
    assert "kato_redis_info,valkey,9.1.2,,," in found


def test_databases_are_bounded_and_the_rest_is_counted() -> None:
    """Sixteen databases have series; those left out show up as dropped."""

    class Source:
        def info(self) -> dict[str, Any]:
            return {f"db{n}": {"keys": n, "expires": 0} for n in range(20)}

    collection = RedisCollector(Source()).collect(Deadline.after(1))
    keys = next(f for f in collection.families if f.name == "kato_redis_keys")
    assert [sample.labels["db"] for sample in keys.samples] == [str(n) for n in range(16)]
    assert collection.dropped == 2 * 4
