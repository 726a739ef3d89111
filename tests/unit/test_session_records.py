"""Session records, of KATO 2 as recorded and of KATO 3, and what is made of a sample of them."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, strategies
from hypothesis.provisional import urls

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.session_values import SessionValuesCollector
from kato_exporter.kato.session_records import RecordError, SessionRecord, parse_session_record
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.redis.store import SessionValue

RECORDED = Path(__file__).parents[1] / "fixtures" / "kato2" / "redis.json"
NOW = 1_795_383_414.582639
KATO_3 = {
    "session_id": "session-x",
    "node_id": "alice",
    "stm": [["a", "b"], ["c"], []],
    "last_accessed": "2026-11-22T21:35:54.582639+00:00",
    "ttl_seconds": 3600,
    "percept_data": {"strings": ["a"], "vectors": [[0.1, 0.2]], "emotives": {}},
    "predictions": [{"name": "p"}],
}


def test_recorded_records_of_kato_2_parse() -> None:
    """Node, number of events in memory and last access, as the JSON has them."""
    records = [parse_session_record(r["value"].encode()) for r in json.loads(RECORDED.read_text())]
    assert [record.node_id for record in records] == ["alice", "project-x", "alice"]
    assert [record.stm_events for record in records] == [0, 1, 1]
    assert records[2].last_accessed == 1_795_383_354.582639


def test_a_record_of_kato_3_parses() -> None:
    """Fields that we do not know do not matter."""
    assert parse_session_record(json.dumps(KATO_3).encode()) == SessionRecord(
        node_id="alice", stm_events=3, last_accessed=1_795_383_354.582639
    )


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "json"),
        (b"{", "json"),
        (b'"text"', "json"),
        (b"[]", "json"),
        (b'{"node_id": "\xff"}', "json"),
        (b"[" * 100_000, "json"),
        (b"{}", "fields"),
        (json.dumps(KATO_3 | {"node_id": 7}).encode(), "fields"),
        (json.dumps(KATO_3 | {"stm": None}).encode(), "fields"),
        (json.dumps(KATO_3 | {"last_accessed": "yesterday"}).encode(), "fields"),
        (json.dumps(KATO_3 | {"last_accessed": "2026-11-22T21:35:54"}).encode(), "fields"),
        (json.dumps(KATO_3 | {"last_accessed": 5}).encode(), "fields"),
    ],
)
def test_what_is_no_record_has_a_reason(value: bytes, reason: str) -> None:
    """Broken JSON and wrong fields are told apart."""
    with pytest.raises(RecordError, match=f"^{reason}$"):
        parse_session_record(value)


json_values = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.floats() | strategies.text() | urls(),
    lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner),
    max_leaves=5,
)


@given(
    strategies.fixed_dictionaries(
        {}, optional=dict.fromkeys(("node_id", "stm", "last_accessed", "more"), json_values)
    )
)
def test_any_object_is_a_record_or_refused(document: dict[str, object]) -> None:
    """No JSON crashes the reader."""
    try:
        parse_session_record(json.dumps(document).encode())
    except RecordError as error:
        refused = str(error)
    else:
        refused = "fields"
    assert refused == "fields"


class Values:
    """A store and a tracker that give what the test says."""

    def __init__(self, *values: SessionValue, index: int | None = None) -> None:
        self._values = values
        self._index = index

    def session_values(self, keys: Sequence[bytes]) -> Iterable[SessionValue]:
        """Give one value for each key."""
        return self._values[: len(keys)]

    def session_index_size(self) -> int | None:
        """Give the size that the test says."""
        return self._index

    def sample(self, deadline: Deadline) -> list[bytes]:
        """Give as many keys as there are values."""
        del deadline
        return [b"key"] * len(self._values)

    def now(self) -> float:
        """Give a fixed time."""
        return NOW


def record(node: str = "alice", events: int = 2) -> SessionValue:
    """Make a value as KATO writes it, last accessed a minute ago."""
    document = KATO_3 | {"node_id": node, "stm": [["a"]] * events}
    return SessionValue(json.dumps(document).encode(), expires=True)


def collect(*values: SessionValue, nodes: int = 10, index: int | None = None) -> Collection:
    """Collect once."""
    source = Values(*values, index=index)
    return SessionValuesCollector(source, source, most_nodes=nodes).collect(Deadline.after(1))


def samples(collection: Collection) -> dict[str, float]:
    """Give the samples by name and label values."""
    return {
        ",".join([sample.name, *sample.labels.values()]): sample.value
        for family in collection.families
        for sample in family.samples
    }


def test_a_sample_is_counted_by_node_and_distributed() -> None:
    """Numbers are those of the records read, and their number is said."""
    found = samples(collect(record(), record(events=5), record("bob"), index=9))
    assert found["kato_sessions_active_by_node,alice"] == 2
    assert found["kato_sessions_active_by_node,bob"] == 1
    assert found["kato_session_sample_size"] == 3
    assert found["kato_session_stm_events_bucket,2.0"] == 2
    assert found["kato_session_stm_events_gsum"] == 9
    assert found["kato_session_idle_seconds_bucket,60.0"] == 3
    assert found["kato_session_idle_seconds_bucket,15.0"] == 0
    assert found["kato_session_index_size"] == 9


def test_without_the_index_of_kato_3_its_size_is_absent() -> None:
    """KATO 2 keeps no such key."""
    assert "kato_session_index_size" not in samples(collect())


def test_nodes_beyond_the_limit_are_summed_up() -> None:
    """The sum over all nodes stays the number of records read."""
    collection = collect(record("a"), record("b"), record("c"), record("c"), nodes=1)
    found = samples(collection)
    assert found["kato_sessions_active_by_node,a"] == 1
    assert found["kato_sessions_active_by_node,other"] == 3
    assert collection.dropped == 2


def test_odd_values_are_counted_by_reason() -> None:
    """Each is left out of the numbers, but not of the count of what was left out."""
    odd = [
        SessionValue(None, expires=True),
        SessionValue(b"{", expires=True),
        SessionValue(b"{}", expires=False),
    ]
    collection = collect(*odd, record())
    assert collection.skipped == {"too_large": 1, "no_expiry": 1, "json": 1, "fields": 1}
    assert samples(collection)["kato_session_sample_size"] == 1
