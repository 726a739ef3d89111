"""KATO's sessions: how many are alive, how many began and ended, and how long they lived."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.collectors.session_ledger import AGE_BOUNDS, DURATION_BOUNDS, END_REASONS
from kato_exporter.collectors.session_tracker import TrackerState
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import StoreError

ACTIVE = Family(
    name="kato_sessions_active",
    kind=Kind.GAUGE,
    help="Sessions alive now: KATO's session keys in Redis. Absent while events were missed and "
    "the next scan is not through.",
)
CREATED = Family(
    name="kato_sessions_created_total",
    kind=Kind.COUNTER,
    help="Sessions created since the exporter's start; those alive at its start do not count.",
)
ENDED = Family(
    name="kato_sessions_ended_total",
    kind=Kind.COUNTER,
    help="Sessions ended since the exporter's start, by reason; unknown: found gone by a scan.",
    labels=("reason",),
)
DURATION = Family(
    name="kato_session_duration_seconds",
    kind=Kind.HISTOGRAM,
    help="Time from a session's birth, which its name carries, to its end on the clock of Redis. "
    "Ends of unknown reason are left out, as their moment is unknown too.",
    bounds=DURATION_BOUNDS,
)
AGE = Family(
    name="kato_session_age_seconds",
    kind=Kind.GAUGE_HISTOGRAM,
    help="Time since the birth of the sessions alive, on the clock of Redis; up to 15 s old.",
    bounds=AGE_BOUNDS,
)
CONNECTED = Family(
    name="kato_session_events_connected",
    kind=Kind.GAUGE,
    help="1 while the feed of keyspace events is connected, else 0; absent in scan mode.",
)
MISSED = Family(
    name="kato_session_events_missed_total",
    kind=Kind.COUNTER,
    help="Changes that no event has told and a scan has found; they are in the totals as well.",
    labels=("change",),
)
TRACKING = Family(
    name="kato_session_tracking_info",
    kind=Kind.INFO,
    help="How sessions are counted: by keyspace events, or by scan only. Always 1.",
    labels=("mode",),
)


class SessionSource(Protocol):
    """Something that follows the sessions; see SessionTracker."""

    def state(self) -> TrackerState:
        """Give what is known now."""


class SessionsCollector:
    """The sessions, from the tracker's book; asks Redis nothing on the scrape.

    kato_sessions_active 12
    kato_sessions_created_total 240
    kato_sessions_ended_total{reason="expired"} 201
    kato_session_duration_seconds_bucket{le="60.0"} 17
    kato_session_tracking_info{mode="events"} 1
    """

    name = "sessions"
    store = "redis"
    families: Sequence[Family] = (
        ACTIVE,
        CREATED,
        ENDED,
        DURATION,
        AGE,
        CONNECTED,
        MISSED,
        TRACKING,
    )
    label_limits: Mapping[str, int] = {"reason": len(END_REASONS), "change": 2}
    skip_reasons: Sequence[str] = ("key_name", "key_type", "born_in_the_future")

    def __init__(self, source: SessionSource) -> None:
        self._source = source

    def collect(self, deadline: Deadline) -> Collection:
        """Read the tracker's state; StoreError until it has reached Redis for the first time."""
        del deadline
        state = self._source.state()
        if state.mode is None:
            raise StoreError("the session tracker has not reached Redis yet")
        accounts = state.accounts
        return Collection(
            families=[
                ACTIVE.sample(accounts.active),
                CREATED.sample(accounts.created),
                ENDED.samples(((reason,), n) for reason, n in accounts.ended.items()),
                DURATION.distributions([((), accounts.durations)]),
                AGE.distributions([((), state.ages)] if state.ages else []),
                CONNECTED.sample(state.connected if state.mode == "events" else None),
                MISSED.samples(((change,), n) for change, n in accounts.missed.items()),
                TRACKING.samples([((state.mode,), 1)]),
            ],
            skipped={
                "key_name": state.unparsable_keys,
                "key_type": state.foreign_keys,
                "born_in_the_future": accounts.undatable + state.born_in_future,
            },
        )
