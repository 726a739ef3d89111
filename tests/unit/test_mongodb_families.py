"""serverStatus and replSetGetStatus to families, on what real servers have answered."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.mongodb import MongoCollector, server_families
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.mongodb.connection import NotPermittedError
from kato_exporter.stores.mongodb.store import Member, members_of

RECORDED = Path(__file__).parents[1] / "fixtures" / "kato2" / "mongodb_serverStatus.json"

LATER: dict[str, Any] = {
    "host": "mongo-1:27017",
    "extra_info": {"page_faults": 19},
    "opcountersRepl": {"insert": 31, "query": 32, "update": 33, "delete": 34, "getmore": 35},
    "repl": {"setName": "rs0", "isWritablePrimary": True, "secondary": False},
    "storageEngine": {"name": "wiredTiger"},
    "transactions": {
        "currentOpen": 41,
        "totalStarted": 42,
        "totalCommitted": 43,
        "totalAborted": 44,
    },
}
"""What the recording leaves out, in the shape of MongoDB 6.0."""

MONGOS: dict[str, Any] = {
    "host": "mongos-1:27017",
    "version": "6.0.5",
    "process": "mongos",
    "uptime": 12.0,
    "asserts": {"regular": 0, "warning": 0, "msg": 0, "user": 3, "tripwire": 0, "rollovers": 0},
    "connections": {"current": 4, "available": 100, "totalCreated": 9, "active": 1},
    "extra_info": {"note": "fields vary by platform", "page_faults": 0},
    "network": {"bytesIn": 10, "bytesOut": 20, "numRequests": 5},
    "opcounters": {"insert": 1, "query": 2, "update": 3, "delete": 4, "getmore": 5, "command": 6},
    "mem": {"bits": 64, "resident": 30, "virtual": 200, "supported": True},
    "metrics": {"cursor": {"timedOut": 0, "open": {"total": 1}}},
    "ok": 1.0,
}
"""Not recorded: made up from MongoDB's documentation, for want of a mongos."""

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, "7", b"7", [], [7], {}, math.nan, math.inf, -math.inf, -1, 10**400]
)
"""What no section and no number of serverStatus can be."""


class Source:
    """A stub of MongoStore that answers, or raises, what it was given."""

    def __init__(
        self,
        status: dict[str, Any] | StoreError | None,
        members: list[Member] | StoreError | None = None,
    ) -> None:
        self.status = status
        self.others = members

    def server_status(self, deadline: Deadline) -> dict[str, Any] | None:
        """Give the status."""
        assert not deadline.expired
        if isinstance(self.status, StoreError):
            raise self.status
        return self.status

    def members(self, deadline: Deadline) -> list[Member] | None:
        """Give the members."""
        assert not deadline.expired
        if isinstance(self.others, StoreError):
            raise self.others
        return self.others


def collected(source: Source) -> Collection:
    """Collect once."""
    return MongoCollector(source).collect(Deadline.after(5))


def samples_of(collection: Collection) -> dict[str, float]:
    """Give the samples by name and label values."""
    return {
        ",".join([sample.name, *sample.labels.values()]): sample.value
        for metric in collection.families
        for sample in metric.samples
    }


def samples(status: Mapping[str, Any]) -> dict[str, float]:
    """Map a status to samples."""
    return samples_of(Collection(families=list(server_families(status))))


def recorded_status() -> dict[str, Any]:
    """Give what a KATO 2's MongoDB 6.0.5 has answered."""
    status: dict[str, Any] = json.loads(RECORDED.read_text())
    return status


def full_status() -> dict[str, Any]:
    """Give the recorded answer with what it leaves out, and with 1 for each 0."""
    full: dict[str, Any] = ones_for_zeros(recorded_status() | LATER)
    full["wiredTiger"]["concurrentTransactions"] = {
        "read": {"out": 51, "available": 52},
        "write": {"out": 53, "available": 54},
    }
    full["metrics"]["ttl"] = {"deletedDocuments": 61}
    return full


def ones_for_zeros(value: Any) -> Any:
    """Replace each number 0, so that a 0 of the exposition is one that nobody said."""
    if isinstance(value, dict):
        return {key: ones_for_zeros(each) for key, each in value.items()}
    return 1 if value == 0 and not isinstance(value, bool) else value


def paths(value: Any, *above: str) -> list[tuple[str, ...]]:
    """List the paths to all parts of a nested answer."""
    found = [above] if above else []
    if isinstance(value, dict):
        found += [path for key, each in value.items() for path in paths(each, *above, key)]
    return found


def put(status: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a part of a nested answer, where what is above it is still there."""
    for key in path[:-1]:
        below = status.get(key)
        if not isinstance(below, dict):
            return
        status = below
    status[path[-1]] = value


def member(name: str, state: str | None, optime: float | None, *, healthy: bool = True) -> Member:
    """Make a member of a replica set."""
    return Member(name=name, state=state, healthy=healthy, optime=optime)


def test_a_recorded_answer_maps_field_by_field() -> None:
    """Values come in base units: microseconds and mebibytes do not."""
    found = samples(recorded_status())

    assert 1 == found["kato_mongodb_info,,6.0.5,mongod,,,"]
    assert 244 == found["kato_mongodb_uptime_seconds"]
    assert 10 == found["kato_mongodb_connections_current"]
    assert 15990 == found["kato_mongodb_connections_available"]
    assert 3 == found["kato_mongodb_connections_active"]
    assert 10 == found["kato_mongodb_connections_created_total"]
    assert 178 == found["kato_mongodb_opcounters_total,update"]
    assert 0.054842 == pytest.approx(found["kato_mongodb_op_latencies_seconds_total,reads"])
    assert 404 == found["kato_mongodb_op_latencies_operations_total,reads"]
    assert 274852 == found["kato_mongodb_network_in_bytes_total"]
    assert 191750 == found["kato_mongodb_network_out_bytes_total"]
    assert 749 == found["kato_mongodb_network_requests_total"]
    assert 135 * 1024 * 1024 == found["kato_mongodb_mem_resident_bytes"]
    assert 2554 * 1024 * 1024 == found["kato_mongodb_mem_virtual_bytes"]
    assert 579804 == found["kato_mongodb_wiredtiger_cache_bytes"]
    assert 12100567040 == found["kato_mongodb_wiredtiger_cache_max_bytes"]
    assert 0 == found["kato_mongodb_wiredtiger_cache_dirty_bytes"]
    assert 0 == found["kato_mongodb_wiredtiger_cache_read_bytes_total"]
    assert 619954 == found["kato_mongodb_wiredtiger_cache_written_bytes_total"]
    assert 0 == found["kato_mongodb_wiredtiger_cache_application_evictions_total"]
    assert 0 == found["kato_mongodb_current_queue,writers"]
    assert 0 == found["kato_mongodb_cursors_open"]
    assert 0 == found["kato_mongodb_cursors_timed_out_total"]
    assert 1021 == found["kato_mongodb_documents_total,returned"]
    assert 12 == found["kato_mongodb_asserts_total,user"]


def test_what_the_recording_lacks_is_absent() -> None:
    """It has neither tickets nor transactions, page faults, TTL or replication."""
    found = samples(recorded_status())

    for name in ("tickets", "transactions", "page_faults", "ttl", "opcounters_repl", "replica"):
        assert not [each for each in found if each.startswith(f"kato_mongodb_{name}")]


def test_every_family_has_a_value_in_a_full_answer() -> None:
    """No path is misspelt: with all sections there only what is new in 6.3 is missing."""
    full = collected(
        Source(full_status(), [member("a", "PRIMARY", 2), member("b", "SECONDARY", 1)])
    )
    named = {family.name for family in full.families if family.samples}
    missing = {
        family.name
        for family in MongoCollector.families
        if family.name.removesuffix("_total").removesuffix("_info")
        not in {name.removesuffix("_info") for name in named}
    }

    assert {"kato_mongodb_connections_rejected_total"} == missing
    found = samples(full_status())
    assert 1 == found["kato_mongodb_info,mongo-1:27017,6.0.5,mongod,wiredTiger,rs0,PRIMARY"]
    assert 54 == found["kato_mongodb_tickets_available,write"]
    assert 43 == found["kato_mongodb_transactions_committed_total"]
    assert 61 == found["kato_mongodb_ttl_deleted_documents_total"]


def test_tickets_are_found_where_newer_servers_have_them() -> None:
    """From MongoDB 8.0 they are in queues.execution, which counts if both are there."""
    queues = {"execution": {"read": {"out": 2, "available": 9}, "write": {"out": 0}}}
    found = samples(full_status() | {"queues": queues})

    assert 2 == found["kato_mongodb_tickets_out,read"]
    assert 0 == found["kato_mongodb_tickets_out,write"]
    assert 9 == found["kato_mongodb_tickets_available,read"]


@pytest.mark.parametrize(
    ("repl", "state"),
    [
        ({"setName": "rs0", "isWritablePrimary": True, "secondary": False}, "rs0,PRIMARY"),
        ({"setName": "rs0", "ismaster": True, "secondary": False}, "rs0,PRIMARY"),
        ({"setName": "rs0", "isWritablePrimary": False, "secondary": True}, "rs0,SECONDARY"),
        ({"setName": "rs0", "isWritablePrimary": False, "arbiterOnly": True}, "rs0,ARBITER"),
        ({"setName": "rs0", "isWritablePrimary": False, "secondary": False}, "rs0,"),
        ({"setName": 7, "isWritablePrimary": 1}, ","),
    ],
)
def test_the_own_state_is_that_of_hello(repl: dict[str, Any], state: str) -> None:
    """A member that is none of the three has no state there."""
    [info] = [name for name in samples(full_status() | {"repl": repl}) if "_info," in name]
    assert info.endswith(f",{state}")


def test_a_mongos_has_what_a_mongos_says() -> None:
    """Made up, not recorded: without storage engine there is no cache, queue or latency."""
    found = samples_of(collected(Source(MONGOS)))

    assert 1 == found["kato_mongodb_info,mongos-1:27017,6.0.5,mongos,,,"]
    assert 6 == found["kato_mongodb_opcounters_total,command"]
    assert 1 == found["kato_mongodb_permitted,serverStatus"]
    for name in ("wiredtiger", "current_queue", "tickets", "op_latencies", "documents", "replica"):
        assert not [each for each in found if each.startswith(f"kato_mongodb_{name}")]


@pytest.mark.parametrize(
    ("section", "prefixes"),
    [
        ("asserts", ("asserts",)),
        ("connections", ("connections",)),
        ("extra_info", ("page_faults",)),
        ("globalLock", ("current_queue", "active_clients")),
        ("mem", ("mem",)),
        ("metrics", ("cursors", "documents", "ttl")),
        ("network", ("network",)),
        ("opLatencies", ("op_latencies",)),
        ("opcounters", ("opcounters_total",)),
        ("opcountersRepl", ("opcounters_repl",)),
        ("transactions", ("transactions",)),
        ("uptime", ("uptime",)),
        ("wiredTiger", ("wiredtiger", "tickets")),
    ],
)
def test_a_section_that_is_missing_takes_only_its_own_series(
    section: str, prefixes: tuple[str, ...]
) -> None:
    """Whatever else the server says stays as it is."""
    full = full_status()
    before = samples(full)
    del full[section]
    gone = tuple(f"kato_mongodb_{prefix}" for prefix in prefixes)

    assert {k: v for k, v in before.items() if not k.startswith(gone)} == samples(full)
    assert [name for name in before if name.startswith(gone)]


ALL_PATHS = [path for path in paths(full_status()) if path[0] not in ("version", "process", "host")]


@given(st.lists(st.tuples(st.sampled_from(ALL_PATHS), ODD), min_size=1, max_size=20))
def test_an_odd_answer_is_absent_never_zero(
    changes: list[tuple[tuple[str, ...], Any]],
) -> None:
    """Whatever is wrong with some parts, nothing is raised and no value is made up."""
    status = full_status()
    sound = samples(status)
    for path, odd in changes:
        put(status, path, odd)
    found = samples(status)

    facts = {name: value for name, value in found.items() if "_info," not in name}
    assert facts.items() <= sound.items()
    assert 0 not in facts.values()


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.binary(),
        lambda below: st.lists(below) | st.dictionaries(st.text(), below),
    )
)
def test_any_list_of_members_is_survived(odd: Any) -> None:
    """What is no member is left out, whatever it is."""
    for answer in (
        {"members": odd},
        {"members": [odd]},
        {"members": [{"name": "a", "state": odd, "health": odd, "optime": odd}]},
        {"members": [{"name": "a", "optime": {"ts": odd}}, {"name": odd}]},
    ):
        for each in members_of(answer):
            assert isinstance(each.name, str)
            assert each.optime is None
            collected(Source(None, [each]))


def test_members_are_read() -> None:
    """State by number, since the text of one that is down is a sentence."""
    answer = {
        "members": [
            {"name": "a:1", "state": 1, "health": 1.0, "optime": {"ts": Timestamp(90, 3)}},
            {"name": "b:1", "state": 8, "stateStr": "(not reachable/healthy)", "health": 0.0}
            | {"optime": {"ts": Timestamp(0, 0)}},
            {"name": "c:1", "state": 7, "health": 1.0},
            {"name": "d:1", "state": 4, "health": 2},
            {"name": "a:1", "state": 2},
        ]
    }

    assert [
        member("a:1", "PRIMARY", 90.0),
        member("b:1", "DOWN", None, healthy=False),
        member("c:1", "ARBITER", None),
        Member(name="d:1", state=None, healthy=None, optime=None),
    ] == list(members_of(answer))


def test_members_have_state_health_and_lag() -> None:
    """One state is 1 and the others 0; the lag is behind the primary, and never below 0."""
    found = samples_of(
        collected(
            Source(
                None,
                [
                    member("a", "PRIMARY", 100.0),
                    member("b", "SECONDARY", 97.0),
                    member("c", "SECONDARY", 101.0),
                    member("d", "ARBITER", None),
                    member("e", "DOWN", None, healthy=False),
                    Member(name="f", state=None, healthy=None, optime=None),
                ],
            )
        )
    )
    states = {name: value for name, value in found.items() if "_member_state," in name}
    prefix = "kato_mongodb_replica_set_member_"

    assert 5 * 10 == len(states)
    assert {
        f"{prefix}state,{each}"
        for each in ("a,PRIMARY", "b,SECONDARY", "c,SECONDARY", "d,ARBITER", "e,DOWN")
    } == {name for name, value in states.items() if value == 1}
    assert {"a": 1, "b": 1, "c": 1, "d": 1, "e": 0} == by_member(found, f"{prefix}health")
    assert {"b": 3, "c": 0} == by_member(found, f"{prefix}lag_seconds")


def by_member(found: Mapping[str, float], name: str) -> dict[str, float]:
    """Give a family's values by member."""
    return {
        series.partition(",")[2]: value
        for series, value in found.items()
        if series.startswith(f"{name},")
    }


def test_without_a_primary_there_is_no_lag() -> None:
    """How far a secondary is behind nobody can then tell."""
    found = samples_of(
        collected(Source(None, [member("a", "SECONDARY", 100.0), member("b", "SECONDARY", 90.0)]))
    )
    assert not [name for name in found if "lag" in name]


def test_members_are_bounded_and_the_same_ones_stay() -> None:
    """Fifty have series; what is left out is counted, and a new name takes nobody's place."""
    many = [member(f"m{n:02}", "SECONDARY", 5.0) for n in range(52)]
    primary = member("primary", "PRIMARY", 9.0)
    source = Source(None, [primary, *many[2:]])
    collector = MongoCollector(source)

    def kept() -> tuple[set[str], int]:
        collection = collector.collect(Deadline.after(5))
        health = by_member(samples_of(collection), "kato_mongodb_replica_set_member_health")
        return set(health), collection.dropped

    first = {each.name for each in many[2:]}
    assert (first, 11) == kept()  # the primary, whose name is the last, has no lag
    source.others = [primary, *many]
    assert (first, 11 + 2 * 12) == kept()


def test_a_missing_right_is_no_failure_and_shows() -> None:
    """The other command goes on; the right that is missing is told by a series."""
    found = collected(Source(NotPermittedError("no"), [member("a", "PRIMARY", 1.0)]))
    named = samples_of(found)

    assert () == tuple(found.failures)
    assert 0 == named["kato_mongodb_permitted,serverStatus"]
    assert 1 == named["kato_mongodb_permitted,replSetGetStatus"]
    assert 1 == named["kato_mongodb_replica_set_member_state,a,PRIMARY"]
    assert not [name for name in named if "info" in name or "uptime" in name]


def test_a_command_that_is_not_there_is_no_failure() -> None:
    """A compatible server without both has no series at all, and none is 0."""
    found = collected(Source(None, None))

    assert {} == samples_of(found)
    assert () == tuple(found.failures)


def test_a_command_that_should_work_and_does_not_is_a_failure() -> None:
    """The other one's series are there."""
    found = collected(Source(full_status(), QueryError("too slow", code=50)))
    named = samples_of(found)

    assert ["replSetGetStatus: too slow"] == found.failures
    assert 61 == named["kato_mongodb_opcounters_total,insert"]
    assert "kato_mongodb_permitted,replSetGetStatus" not in named


def test_a_server_that_does_not_answer_fails_as_a_whole() -> None:
    """That is not one part's affair."""
    with pytest.raises(StoreError, match="gone"):
        collected(Source(full_status(), StoreError("gone")))


def test_a_size_beyond_all_bounds_is_absent() -> None:
    """It would be infinite once it is in bytes."""
    assert "kato_mongodb_mem_resident_bytes" not in samples({"mem": {"resident": 1e308}})
    assert 1048576 == samples({"mem": {"resident": 1}})["kato_mongodb_mem_resident_bytes"]
