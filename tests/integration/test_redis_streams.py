"""The streams of KATO 3, on a real Valkey 9 and a real Redis 7."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from redis import Redis
from redis.client import Pipeline

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.redis_streams import RedisStreamsCollector
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.redis.store import RedisStore, StreamSize, StreamStep
from support.exporting import StartExporter
from support.servers import RedisServer
from support.waiting import eventually

PASSWORD = "s3cret-word"
PATIENCE = 10.0
ENTRIES = "kato_redis_stream_entries"
MEMORY = "kato_redis_stream_memory_bytes"


@pytest.fixture(params=["valkey", "redis7"])
def server(request: pytest.FixtureRequest) -> RedisServer:
    """Give each of the servers in turn, emptied."""
    found: RedisServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    """Open the server as the exporter does."""
    with closing(RedisStore(server.url, timeout=2.0)) as store:
        yield store


def observe(client: Redis, *keys: str | bytes, entries: int = 1) -> None:
    """Add events to streams, as KATO 3 does."""
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        for number in range(entries):
            pipeline.xadd(
                key,
                {
                    "event_type": "observe",
                    "processor_id": "p",
                    "data": '{"strings": ["a", "b"]}',
                    "sequence_id": number,
                },
            )
    pipeline.execute()


def collect(store: RedisStore, *, load_share: float = 0.5) -> Collection:
    """Let a new collector run once."""
    return RedisStreamsCollector(store, load_share=load_share).collect(Deadline.after(60))


def values(collection: Collection, name: str) -> dict[str, float]:
    """Give the values of a family by stream."""
    [family] = [family for family in collection.families if family.name == name]
    return {sample.labels["stream"]: sample.value for sample in family.samples}


def as_user(server: RedisServer, *rules: str) -> RedisStore:
    """Open the server as a user with all rights but for these rules."""
    server.client.execute_command(  # type: ignore[no-untyped-call]
        "ACL", "SETUSER", "watcher", "on", f">{PASSWORD}", "~*", "&*", "+@all", *rules
    )
    return RedisStore(server.url.replace("//", f"//watcher:{PASSWORD}@"), timeout=2.0)


def test_no_streams_are_no_series_and_no_failure(server: RedisServer, store: RedisStore) -> None:
    """A KATO 2 has none, whatever else it keeps."""
    server.client.mset({f"kato:session:{number}": "" for number in range(2_500)})
    collection = collect(store)

    assert {} == values(collection, ENTRIES) | values(collection, MEMORY)
    assert ({"key_type": 0}, 0, []) == (
        collection.skipped,
        collection.dropped,
        list(collection.failures),
    )


def test_each_stream_has_its_entries_and_memory(server: RedisServer, store: RedisStore) -> None:
    """The figures are those of XLEN and MEMORY USAGE, for an empty stream too."""
    observe(server.client, "stm:global", entries=700)
    observe(server.client, "stm:events:alice", entries=300)
    observe(server.client, "stm:events:bob", "stm:eventsx", "stm:other")
    server.client.xtrim("stm:events:bob", maxlen=0)
    server.client.xgroup_create("stm:global", "stm_group_alice")
    server.client.mset({f"alice_kato:frequency:{number}": "" for number in range(2_500)})
    collection = collect(store)
    streams = ("stm:global", "stm:events:alice", "stm:events:bob")

    assert {"stm:global": 700, "stm:events:alice": 300, "stm:events:bob": 0} == values(
        collection, ENTRIES
    )
    assert {name: server.client.memory_usage(name) for name in streams} == values(
        collection, MEMORY
    )
    assert 0 == collection.dropped


def test_a_key_of_another_type_is_skipped_and_counted(
    server: RedisServer, store: RedisStore
) -> None:
    """A name alone makes no stream, and to ask it causes no error on the server."""
    server.client.set("stm:global", "1")
    server.client.hset("stm:events:alice", "a", "1")
    observe(server.client, "stm:events:bob")
    store.probe(Deadline.after(1))  # the library's greeting causes errors of its own
    before = server.client.info("stats")["total_error_replies"]
    collection = collect(store)

    assert {"stm:events:bob": 1} == values(collection, ENTRIES)
    assert {"key_type": 2} == collection.skipped
    assert [] == list(collection.failures)
    assert before == server.client.info("stats")["total_error_replies"]


def test_a_stream_that_goes_while_it_is_measured_is_left_out(
    server: RedisServer, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was a stream when asked for its type, and is no empty stream now."""
    observe(server.client, "stm:global", "stm:events:alice")
    ask = Pipeline.xlen

    def delete_and_ask(pipeline: Pipeline, key: bytes) -> object:
        if key == b"stm:events:alice":
            server.client.delete(key)
        return ask(pipeline, key)

    monkeypatch.setattr(Pipeline, "xlen", delete_and_ask)
    collection = collect(store)

    assert {"stm:global": 1} == values(collection, ENTRIES)
    assert [] == list(collection.failures)


def test_streams_are_bounded_and_their_sums_hold(server: RedisServer, store: RedisStore) -> None:
    """A hundred have series of their own, always the same; `other` has the rest."""
    names = [f"stm:events:{number:03}" for number in range(130)]
    observe(server.client, "stm:global", *names)
    collector = RedisStreamsCollector(store, load_share=0.5)
    first = collector.collect(Deadline.after(60))
    entries = values(first, ENTRIES)
    observe(server.client, "stm:events:!")
    second = collector.collect(Deadline.after(60))

    assert {"stm:global", *names[:99], "other"} == entries.keys()
    assert 31 == entries["other"]
    assert (
        sum(server.client.memory_usage(name) or 0 for name in names[99:])
        == (values(first, MEMORY)["other"])
    )
    assert (2 * 31, 2 * 32) == (first.dropped, second.dropped)
    assert {**entries, "other": 32} == values(second, ENTRIES)


def test_a_name_that_is_not_text_is_spelled(server: RedisServer, store: RedisStore) -> None:
    """Bytes that are no UTF-8 end up as what Python writes for them."""
    observe(server.client, b"stm:events:\xff\n\x00")

    assert {"stm:events:\\xff\n\x00": 1} == values(collect(store), ENTRIES)


def test_other_databases_are_not_looked_at(server: RedisServer, store: RedisStore) -> None:
    """The URL names the database."""
    with Redis.from_url(server.url.rpartition("/")[0] + "/3") as third:
        observe(third, "stm:global")

    assert {} == values(collect(store), ENTRIES)


def test_a_user_without_memory_usage_gets_the_entries(server: RedisServer) -> None:
    """The failure of one part stays one part, and is said."""
    observe(server.client, "stm:global", "stm:events:alice")
    with closing(as_user(server, "-memory")) as store:
        collection = collect(store)
        [lack] = store.report().lacking

    assert {"stm:global": 1, "stm:events:alice": 1} == values(collection, ENTRIES)
    assert {} == values(collection, MEMORY)
    assert ["MEMORY USAGE is refused: the memory of streams is unknown"] == collection.failures
    assert "MEMORY USAGE of stm:* is not permitted: the memory of streams is unknown" == lack


def test_a_user_without_scan_gets_the_global_stream(server: RedisServer) -> None:
    """Which other streams there are is then unknown, and their sum is not claimed to be 0."""
    observe(server.client, "stm:global", "stm:events:alice")
    with closing(as_user(server, "-scan")) as store:
        collection = collect(store)

    assert {"stm:global": 1} == values(collection, ENTRIES)
    [failure] = collection.failures
    assert failure.startswith("not all streams are known: not permitted: ")


@pytest.mark.parametrize("rule", ["-xlen", "-type", "resetkeys"])
def test_a_user_who_may_not_measure_is_told_so(server: RedisServer, rule: str) -> None:
    """Refusal is an error, and no claim that there are no streams."""
    observe(server.client, "stm:global", "stm:events:alice")
    with closing(as_user(server, rule)) as store:
        with pytest.raises(QueryError, match="not permitted"):
            collect(store)
        lacking = store.report().lacking

    assert "TYPE or XLEN of stm:* is not permitted: streams are not measured" in lacking


class Timed:
    """A real store, and the time in seconds that it was asked for."""

    def __init__(self, store: RedisStore) -> None:
        self.seconds = 0.0
        self.steps = 0
        self._store = store

    def scan_processor_streams(self, cursor: int) -> StreamStep:
        """Ask the store."""
        self.steps += 1
        began = time.monotonic()
        try:
            return self._store.scan_processor_streams(cursor)
        finally:
            self.seconds += time.monotonic() - began

    def stream_sizes(self, keys: Sequence[bytes]) -> dict[bytes, StreamSize | None]:
        """Ask the store."""
        began = time.monotonic()
        try:
            return self._store.stream_sizes(keys)
        finally:
            self.seconds += time.monotonic() - began


@pytest.mark.alone
def test_the_scan_of_all_keys_keeps_to_its_share(server: RedisServer, store: RedisStore) -> None:
    """During the run, not only over the interval, Redis is left to others for most of the time."""
    server.client.mset({f"alice_kato:frequency:{number}": "1" for number in range(100_000)})
    observe(server.client, "stm:events:alice")
    timed = Timed(store)
    began = time.monotonic()
    RedisStreamsCollector(timed, load_share=0.25).collect(Deadline.after(60))
    took = time.monotonic() - began

    assert timed.steps >= 50
    assert timed.seconds <= 0.25 * took * 1.2  # the last step has no pause behind it


def test_a_scan_that_does_not_end_in_time_is_said(server: RedisServer, store: RedisStore) -> None:
    """What has been found until then is shown; the sum of the rest is not."""
    observe(server.client, "stm:global", *(f"stm:events:{number}" for number in range(3_000)))
    collector = RedisStreamsCollector(store, load_share=0.5)
    collection = collector.collect(Deadline.after(0))
    entries = values(collection, ENTRIES)

    assert 100 == len(entries)
    assert 1 == entries["stm:global"]
    assert {"other"}.isdisjoint(entries.keys() | values(collection, MEMORY).keys())
    assert ["not all streams are known: the scan of all keys did not end in time"] == (
        collection.failures
    )


def test_too_many_keys_are_not_all_looked_at(server: RedisServer, store: RedisStore) -> None:
    """Memory is bounded; a sum that lacks streams is unknown, not too small."""
    server.client.mset({f"stm:events:{number}": "" for number in range(15_000)})
    observe(server.client, "stm:global")
    collection = collect(store)

    assert {"stm:global": 1} == values(collection, ENTRIES)
    assert 10_000 <= collection.skipped["key_type"] < 15_000
    assert ["not all streams are known: more than 10,000 keys are called stm:events:*"] == (
        collection.failures
    )


def test_a_server_that_is_gone_is_an_error() -> None:
    """No answer is not an answer without streams."""
    with (
        closing(RedisStore("redis://127.0.0.1:1", timeout=0.5)) as store,
        pytest.raises(StoreError),
    ):
        collect(store)


def test_the_exporter_shows_streams_on_its_schedule(
    server: RedisServer, exporter: StartExporter
) -> None:
    """From end to end, with the interval that is set."""
    observe(server.client, "stm:global", entries=3)
    running = exporter(KATO_REDIS_URL=server.url, KATO_REDIS_STREAMS_INTERVAL="200ms")

    assert 3 == running.scrape().value(ENTRIES, stream="stm:global")
    observe(server.client, "stm:global")
    eventually(
        lambda: 4 == running.scrape().value(ENTRIES, stream="stm:global"),
        within=PATIENCE,
        what="the stream has grown",
    )
    success = running.scrape().by("collector", "kato_exporter_collector_success")
    assert 1 == success["redis_streams"]
