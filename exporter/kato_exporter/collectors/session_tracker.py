"""Follows the sessions in Redis: feeds the ledger from keyspace events and from scans."""

import random
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

import structlog

from kato_exporter.collectors.keyspace_notifications import (
    ENDS,
    KeyspaceNotifications,
    NotificationSetting,
)
from kato_exporter.collectors.session_ledger import EndReason, SessionAccounts, SessionLedger
from kato_exporter.kato.distribution import Distribution
from kato_exporter.kato.sessions import SessionHandle, looks_like_session_key, parse_session_key
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import StoreError
from kato_exporter.stores.reconnecting import reconnect_pause
from kato_exporter.stores.redis.store import Keyevent, ScanStep, SessionEvent

Mode = Literal["events", "scan"]

_log = structlog.get_logger("sessions")

_END_REASON: dict[Keyevent, EndReason] = {
    "del": "deleted",
    "expired": "expired",
    "evicted": "evicted",
}
_SIGN_OF_LIFE_INTERVAL = 5.0
_AGES_INTERVAL = 10.0
_LISTEN_STEP = 0.1
_GATHERING = 0.02
_PATIENCE_FOR_FIRST_SCAN = 5.0
_MOST_EVENTS_AT_ONCE = 1_000


class EventFeed(Protocol):
    """A subscription to keyspace events; see SessionEventFeed."""

    def next(self, timeout: float) -> SessionEvent | None:
        """Wait so many seconds for the next event."""

    def catch_up(self) -> list[SessionEvent]:
        """Give every event that was sent before this call."""

    def received(self) -> list[SessionEvent]:
        """Give the events that came before an error and have not been given yet."""

    def close(self) -> None:
        """End the subscription."""


class SessionStore(NotificationSetting, Protocol):
    """What the tracker asks of Redis; see RedisStore."""

    def clock_offset(self) -> float:
        """Give how many seconds the clock of Redis is ahead of ours."""

    def scan_sessions(self, cursor: int) -> ScanStep:
        """Take one step of a scan."""

    def foreign_keys(self, keys: Sequence[bytes]) -> set[bytes]:
        """Give those of the keys that hold no string."""

    def session_events(self, events: tuple[Keyevent, ...]) -> EventFeed:
        """Subscribe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerState:
    """What the tracker knows now; `mode` is None until Redis has been reached.

    `ages` of those alive, None until the first scan has ended. `unparsable_keys`, `foreign_keys`
    and `born_in_future` count keys that look like sessions but have a name that KATO does not make,
    hold no string, or carry a birth in the future.
    """

    mode: Mode | None
    connected: bool
    accounts: SessionAccounts
    ages: Distribution | None
    unparsable_keys: int
    foreign_keys: int
    born_in_future: int


class SessionTracker:
    """A thread that keeps a ledger of the sessions.

    `interval` is the time in seconds from one reconciliation to the next; `load_share` the part of
    the time that scans may take of Redis; `manage_notifications` allows CONFIG SET of the event
    classes that are missing, which are taken back at the end; `sample_size` bounds the keys that
    are kept for reading their values.
    """

    def __init__(
        self,
        store: SessionStore,
        *,
        interval: float,
        load_share: float,
        manage_notifications: bool,
        sample_size: int,
    ) -> None:
        self._store = store
        self._interval = interval
        self._load_share = load_share
        self._sample_size = sample_size
        self._notifications = KeyspaceNotifications(store, manage=manage_notifications)
        self._ledger = SessionLedger()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="session-tracker", daemon=True)
        self._mode: Mode | None = None
        self._connected = False
        self._begin: Keyevent = "new"
        self._clock_offset = 0.0
        self._ages: tuple[Distribution, int] | None = None
        self._ages_due = 0.0
        self._unparsable_keys = 0
        self._foreign: set[SessionHandle] = set()
        self._foreign_since_scan: set[SessionHandle] = set()
        self._sample: list[bytes] = []
        self._scanned = threading.Event()

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and take back the event classes that were added."""
        self._stopping.set()
        self._woken.set()
        self._thread.join()
        self._notifications.take_back()

    def hurry(self) -> None:
        """Connect again at once, where that would still be waited for after a failure."""
        self._woken.set()

    def state(self) -> TrackerState:
        """Give what is known now; costs the same however many sessions there are."""
        with self._lock:
            ages, born_in_future = self._ages or (None, 0)
            return TrackerState(
                mode=self._mode,
                connected=self._connected,
                accounts=self._ledger.accounts(),
                ages=ages if self._ledger.is_current else None,
                unparsable_keys=self._unparsable_keys,
                foreign_keys=len(self._foreign),
                born_in_future=born_in_future,
            )

    def sample(self, deadline: Deadline) -> list[bytes]:
        """Give keys chosen at random among those of the last scan, all where they are few.

        Waits for the first scan; raises StoreError where it does not end in time.
        """
        if not self._scanned.wait(min(_PATIENCE_FOR_FIRST_SCAN, deadline.remaining)):
            raise StoreError("the sessions have not been scanned yet")
        return self._sample

    def now(self) -> float:
        """Give the time on the clock of Redis, in epoch seconds."""
        return time.time() + self._clock_offset

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                events = self._notifications.usable_events()
                if events:
                    self._follow_events(events)
                else:
                    self._follow_scans()
                failures = 0
            except StoreError as error:
                failures = 1 if self._ledger.is_current else failures + 1
                if failures == 1:
                    _log.warning("lost sight of the sessions", error=str(error))
            except Exception:  # noqa: BLE001 - the thread must go on
                failures += 1
                _log.exception("fault in our own code", subject="session tracker")
            with self._lock:
                self._connected = False
                self._ledger.lose_sight()
            self._woken.wait(reconnect_pause(failures))
            self._woken.clear()

    def _follow_events(self, events: tuple[Keyevent, ...]) -> None:
        """Book events as they come; return when the notifications are off, raise StoreError."""
        feed = self._store.session_events(events)
        self._begin = events[0]
        try:
            with self._lock:
                by_events = self._mode == "events"
                self._mode = "events"
                self._connected = True
            while not self._stopping.is_set():
                self._reconcile(feed, by_events=by_events)
                by_events = True
                self._listen(feed, self._interval)
                if not self._stopping.is_set() and self._notifications.usable_events() != events:
                    return
        finally:
            feed.close()
            self._book(feed.received())

    def _follow_scans(self) -> None:
        """Reconcile at every interval; return when events have become usable."""
        with self._lock:
            by_events = self._mode == "events"
            self._mode = "scan"
        while not self._stopping.is_set():
            self._reconcile(None, by_events=by_events)
            by_events = False
            self._stopping.wait(self._interval)
            if not self._stopping.is_set() and self._notifications.usable_events():
                return

    def _reconcile(self, feed: EventFeed | None, *, by_events: bool) -> None:
        """Compare the ledger with a scan, paced so that it takes its share of Redis at most."""
        self._clock_offset = self._store.clock_offset()
        with self._lock:
            self._ledger.begin_reconciliation(at=self.now())
            self._foreign_since_scan = set()
        reservoir = _Reservoir(self._sample_size)
        foreign: set[bytes] = set()
        unparsable = 0
        cursor: int | None = None
        while cursor != 0:
            if self._stopping.is_set():
                return
            began = time.monotonic()
            step = self._store.scan_sessions(cursor or 0)
            pause = (time.monotonic() - began) * (1 / self._load_share - 1)
            cursor = step.cursor
            foreign |= step.foreign
            sessions = {key: handle for key in step.keys if (handle := parse_session_key(key))}
            unparsable += len(step.keys) - len(sessions)
            reservoir.offer(sessions)
            with self._lock:
                self._ledger.seen(sessions.values())
            if cursor != 0:
                self._listen(feed, pause)
        remaining = feed.catch_up() if feed else []
        self._book(remaining)
        with self._lock:
            self._ledger.finish_reconciliation(by_events=by_events)
            self._unparsable_keys = unparsable
            found = {handle for key in foreign if (handle := parse_session_key(key))}
            self._foreign = found | self._foreign_since_scan
        self._sample = reservoir.kept
        self._scanned.set()
        self._measure_ages()

    def _listen(self, feed: EventFeed | None, seconds: float) -> None:
        """Book events for so long, or wait where there is no feed."""
        if feed is None:
            self._stopping.wait(seconds)
            return
        until = time.monotonic() + seconds
        proof_due = time.monotonic() + _SIGN_OF_LIFE_INTERVAL
        while not self._stopping.is_set() and (now := time.monotonic()) < until:
            self._book(_available(feed, min(until - now, _LISTEN_STEP)))
            if now >= proof_due:
                self._book(feed.catch_up())
                proof_due = time.monotonic() + _SIGN_OF_LIFE_INTERVAL
            if now >= self._ages_due:
                self._measure_ages()

    def _measure_ages(self) -> None:
        with self._lock:
            self._ages = self._ledger.ages(at=self.now())
        self._ages_due = time.monotonic() + _AGES_INTERVAL

    def _book(self, events: Iterable[SessionEvent]) -> None:
        ours = [event for event in events if looks_like_session_key(event.key)]
        new = [event.key for event in ours if event.event == "new"]
        try:
            foreign = self._store.foreign_keys(new) if new else set()
        except StoreError:
            self._enter_all(ours, foreign=set())
            raise
        self._enter_all(ours, foreign=foreign)

    def _enter_all(self, events: Iterable[SessionEvent], *, foreign: set[bytes]) -> None:
        with self._lock:
            for event in events:
                session = parse_session_key(event.key)
                if session is None:
                    self._unparsable_keys += event.event == "new"
                elif event.key in foreign and event.event == "new":
                    self._foreign.add(session)
                    self._foreign_since_scan.add(session)
                elif session in self._foreign and event.event in ENDS:
                    self._foreign.discard(session)
                    self._foreign_since_scan.discard(session)
                else:
                    self._enter(event.event, session)

    def _enter(self, event: Keyevent, session: SessionHandle) -> None:
        if event in _END_REASON:
            self._ledger.ended(
                session,
                _END_REASON[event],
                at=self.now(),
                every_begin_seen=self._begin == "set",  # told of strings only
            )
        elif event == "new":
            self._ledger.begun(session)
        else:
            self._ledger.written(session)


class _Reservoir:
    """Keeps a number of keys out of a stream, each with the same chance."""

    def __init__(self, size: int) -> None:
        self.kept: list[bytes] = []
        self._size = size
        self._offered = 0

    def offer(self, keys: Iterable[bytes]) -> None:
        """Take some of the keys in, in the place of others where it is full."""
        for key in keys:
            self._offered += 1
            if len(self.kept) < self._size:
                self.kept.append(key)
            elif (place := random.randrange(self._offered)) < self._size:  # noqa: S311 - no secret
                self.kept[place] = key


def _available(feed: EventFeed, timeout: float) -> list[SessionEvent]:
    """Wait for an event, and give it with those that follow at once: together they cost less."""
    event = feed.next(timeout)
    events = [] if event is None else [event]
    gathered = Deadline.after(_GATHERING)
    with suppress(StoreError):  # it will be raised again when nothing is left to book
        while event is not None and len(events) < _MOST_EVENTS_AT_ONCE:
            event = feed.next(gathered.remaining)
            if event is not None:
                events.append(event)
    return events
