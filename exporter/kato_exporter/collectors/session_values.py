"""What the sessions hold: a sample of their values, read on the schedule."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.collectors.selection import OTHER, Selection
from kato_exporter.kato.distribution import Distribution
from kato_exporter.kato.session_records import RecordError, SessionRecord, parse_session_record
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.redis.store import SessionValue

STM_BOUNDS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024)
IDLE_BOUNDS = (1, 5, 15, 60, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400)

BY_NODE = Family(
    name="kato_sessions_active_by_node",
    kind=Kind.GAUGE,
    help="Sessions alive by node, among the kato_session_sample_size that were read.",
    labels=("node",),
)
STM_EVENTS = Family(
    name="kato_session_stm_events",
    kind=Kind.GAUGE_HISTOGRAM,
    help="Events in short-term memory, of the sessions that were read.",
    bounds=STM_BOUNDS,
)
IDLE = Family(
    name="kato_session_idle_seconds",
    kind=Kind.GAUGE_HISTOGRAM,
    help="Time since the last access that the session's record names, "
    "of the sessions that were read.",
    bounds=IDLE_BOUNDS,
)
SAMPLE_SIZE = Family(
    name="kato_session_sample_size",
    kind=Kind.GAUGE,
    help="Sessions whose records were read; all that are alive, up to KATO_SESSIONS_SAMPLE.",
)
INDEX_SIZE = Family(
    name="kato_session_index_size",
    kind=Kind.GAUGE,
    help="Members of kato:session:_active_index, by which KATO 3 counts its sessions; it keeps "
    "those that have expired. Absent where there is no such key.",
)


class KeySource(Protocol):
    """Something that knows session keys; see SessionTracker."""

    def sample(self, deadline: Deadline) -> list[bytes]:
        """Give keys chosen at random among those of the last scan; StoreError if there is none."""

    def now(self) -> float:
        """Give the time on the clock of Redis, in epoch seconds."""


class ValueStore(Protocol):
    """What is asked of Redis; see RedisStore."""

    def session_values(self, keys: Sequence[bytes]) -> Iterable[SessionValue]:
        """Read records; raise StoreError."""

    def session_index_size(self) -> int | None:
        """Count KATO 3's index; raise StoreError."""


class SessionValuesCollector:
    """A sample of the session records.

    kato_sessions_active_by_node{node="alice"} 7
    kato_session_stm_events_bucket{le="4.0"} 9
    kato_session_idle_seconds_gcount 12
    kato_session_sample_size 12
    """

    name = "session_values"
    store = "redis"
    families: Sequence[Family] = (BY_NODE, STM_EVENTS, IDLE, SAMPLE_SIZE, INDEX_SIZE)
    skip_reasons: Sequence[str] = ("too_large", "no_expiry", "json", "fields")

    def __init__(self, store: ValueStore, keys: KeySource, *, most_nodes: int) -> None:
        self._store = store
        self._keys = keys
        self._selection = Selection(most_nodes)
        self.label_limits: Mapping[str, int] = {"node": most_nodes + 1}

    def collect(self, deadline: Deadline) -> Collection:
        """Read the values of the sampled keys, and count the index."""
        records: list[SessionRecord] = []
        skipped = Counter(dict.fromkeys(self.skip_reasons, 0))
        for value in self._store.session_values(self._keys.sample(deadline)):
            skipped["no_expiry"] += not value.expires
            if value.data is None:
                skipped["too_large"] += 1
                continue
            try:
                records.append(parse_session_record(value.data))
            except RecordError as error:
                skipped[str(error)] += 1
        by_node = Counter(record.node_id for record in records)
        kept = self._selection.of(by_node)
        now = self._keys.now()
        return Collection(
            families=[
                BY_NODE.sums(
                    ((node if node in kept else OTHER,), count) for node, count in by_node.items()
                ),
                STM_EVENTS.distributions(
                    _one(STM_BOUNDS, (record.stm_events for record in records))
                ),
                IDLE.distributions(
                    _one(IDLE_BOUNDS, (max(0.0, now - r.last_accessed) for r in records))
                ),
                SAMPLE_SIZE.sample(len(records)),
                INDEX_SIZE.sample(self._store.session_index_size()),
            ],
            skipped=skipped,
            dropped=len(by_node) - len(kept),
        )


def _one(
    bounds: Sequence[float], values: Iterable[float]
) -> list[tuple[Sequence[str], Distribution]]:
    return [((), Distribution.of(bounds, ((value, 1) for value in values)))]
