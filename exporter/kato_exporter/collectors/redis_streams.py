"""The streams that KATO 3 keeps in Redis, which grow for ever: how long and how large they are."""

import time
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Protocol

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.collectors.selection import OTHER, Selection
from kato_exporter.kato.streams import GLOBAL_STREAM
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.redis.store import StreamSize, StreamStep

ENTRIES = Family(
    name="kato_redis_stream_entries",
    kind=Kind.GAUGE,
    help="Redis: entries of a stream of KATO 3's short-term memory (XLEN); KATO never trims them.",
    labels=("stream",),
)
MEMORY = Family(
    name="kato_redis_stream_memory_bytes",
    kind=Kind.GAUGE,
    help="Redis: memory that a stream of KATO 3's short-term memory takes (MEMORY USAGE, an "
    "estimate).",
    labels=("stream",),
)

_MOST_STREAMS = 100
_MOST_KEYS = 10_000
_GLOBAL = GLOBAL_STREAM.decode()


class StreamSource(Protocol):
    """What is asked of Redis; see RedisStore."""

    def scan_processor_streams(self, cursor: int) -> StreamStep:
        """Take one step of a scan; raise StoreError."""

    def stream_sizes(self, keys: Sequence[bytes]) -> dict[bytes, StreamSize | None]:
        """Measure streams, None where a key holds something else; raise StoreError."""


class RedisStreamsCollector:
    """The streams `stm:global` and `stm:events:*`.

    kato_redis_stream_entries{stream="stm:global"} 1204
    kato_redis_stream_memory_bytes{stream="stm:events:alice"} 91238

    Those of the processors are found by a SCAN of all keys, which takes `load_share` of the run's
    time at most and leaves Redis to others in between. To the schedule the pauses count as load,
    too: where there are many millions of keys, the runs are further apart than the interval says.
    What only grows can wait.
    """

    name = "redis_streams"
    store = "redis"
    families: Sequence[Family] = (ENTRIES, MEMORY)
    label_limits: Mapping[str, int] = {"stream": _MOST_STREAMS + 1}
    skip_reasons: Sequence[str] = ("key_type",)

    def __init__(self, store: StreamSource, *, load_share: float) -> None:
        self._store = store
        self._load_share = load_share
        self._selection = Selection(_MOST_STREAMS - 1)  # and GLOBAL_STREAM, always

    def collect(self, deadline: Deadline) -> Collection:
        """Find and measure the streams; that there are none is no failure."""
        sizes = self._store.stream_sizes([GLOBAL_STREAM])
        failures: list[str] = []
        unseen: list[tuple[tuple[str, ...], None]] = []
        try:
            self._measure_processors(sizes, deadline)
        except QueryError as error:
            failures.append(f"not all streams are known: {error}")
            unseen.append(((OTHER,), None))
        streams = [(_label(key), size) for key, size in sizes.items() if size is not None]
        if any(size.memory is None for _, size in streams):
            failures.append("MEMORY USAGE is refused: the memory of streams is unknown")
        names = {name for name, _ in streams}
        kept = self._selection.of(names - {_GLOBAL}) | {_GLOBAL}
        rows = [((name if name in kept else OTHER,), size) for name, size in streams]
        return Collection(
            families=[
                ENTRIES.sums(chain(((labels, size.entries) for labels, size in rows), unseen)),
                MEMORY.sums(chain(((labels, size.memory) for labels, size in rows), unseen)),
            ],
            skipped={"key_type": len(sizes) - len(streams)},
            dropped=len(self.families) * len(names - kept),
            failures=failures,
        )

    def _measure_processors(
        self, sizes: dict[bytes, StreamSize | None], deadline: Deadline
    ) -> None:
        """Add the processors' streams to `sizes`; QueryError where some remain unknown."""
        cursor: int | None = None
        while cursor != 0:
            began = time.monotonic()
            step = self._store.scan_processor_streams(cursor or 0)
            cursor = step.cursor
            sizes |= self._store.stream_sizes(step.keys)
            if cursor and len(sizes) > _MOST_KEYS:
                raise QueryError(f"more than {_MOST_KEYS:,} keys are called stm:events:*")
            if cursor and deadline.expired:
                raise QueryError("the scan of all keys did not end in time")
            if cursor:
                pause = (time.monotonic() - began) * (1 / self._load_share - 1)
                time.sleep(min(pause, deadline.remaining))


def _label(key: bytes) -> str:
    return key.decode(errors="backslashreplace")
