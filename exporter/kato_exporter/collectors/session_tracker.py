"""Follows the sessions in Redis: feeds the ledger from keyspace events and from scans."""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

import structlog

from kato_exporter.collectors.session_ledger import EndReason, SessionAccounts, SessionLedger
from kato_exporter.kato.sessions import SessionHandle, looks_like_session_key, parse_session_key
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.redis import Keyevent, SessionEvent, reconnect_pause

Mode = Literal["events", "scan"]

_log = structlog.get_logger("sessions")

_END_REASON: dict[Keyevent, EndReason] = {
    "del": "deleted",
    "expired": "expired",
    "evicted": "evicted",
}
_ENDS: tuple[Keyevent, ...] = tuple(_END_REASON)
_SIGN_OF_LIFE_INTERVAL = 5.0
_LISTEN_STEP = 0.1


class EventFeed(Protocol):
    """A subscription to keyspace events."""

    def next(self, timeout: float) -> SessionEvent | None:
        """Wait so many seconds for the next event."""

    def catch_up(self) -> list[SessionEvent]:
        """Give every event that was sent before this call."""

    def close(self) -> None:
        """End the subscription."""


class SessionStore(Protocol):
    """What the tracker asks of Redis; see RedisStore."""

    def tells_new_keys(self) -> bool:
        """Tell whether the server has the event `new`."""

    def clock_offset(self) -> float:
        """Give how many seconds the clock of Redis is ahead of ours."""

    def scan_sessions(self, cursor: int) -> tuple[int, list[bytes]]:
        """Take one step of a scan."""

    def notification_flags(self) -> frozenset[str]:
        """Read which classes of events are on."""

    def set_notification_flags(self, flags: frozenset[str]) -> None:
        """Turn on exactly these classes."""

    def session_events(self, events: tuple[Keyevent, ...]) -> EventFeed:
        """Subscribe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerState:
    """What the tracker knows now; `mode` is None until Redis has been reached."""

    mode: Mode | None
    connected: bool
    accounts: SessionAccounts
    unparsable_keys: int


class SessionTracker:
    """A thread that keeps a ledger of the sessions.

    `interval` is the time in seconds from one reconciliation to the next; `load_share` the part of
    the time that scans may take of Redis; `manage_notifications` allows CONFIG SET of the event
    classes that are missing, which are taken back at the end.
    """

    def __init__(
        self,
        store: SessionStore,
        *,
        interval: float,
        load_share: float,
        manage_notifications: bool,
    ) -> None:
        self._store = store
        self._interval = interval
        self._load_share = load_share
        self._manage_notifications = manage_notifications
        self._ledger = SessionLedger()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="session-tracker", daemon=True)
        self._mode: Mode | None = None
        self._connected = False
        self._clock_offset = 0.0
        self._unparsable_keys = 0
        self._flags_added: frozenset[str] = frozenset()
        self._scan_only_explained = ""

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and take back the event classes that were added."""
        self._stopping.set()
        self._thread.join()
        if self._flags_added:
            with suppress(StoreError):
                self._store.set_notification_flags(
                    self._store.notification_flags() - self._flags_added
                )

    def state(self) -> TrackerState:
        """Give what is known now; costs the same however many sessions there are."""
        with self._lock:
            return TrackerState(
                mode=self._mode,
                connected=self._connected,
                accounts=self._ledger.accounts(),
                unparsable_keys=self._unparsable_keys,
            )

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                events = self._usable_events()
                if events:
                    self._follow_events(events)
                else:
                    self._follow_scans()
                failures = 0
            except StoreError as error:
                failures = 1 if self._ledger.is_current else failures + 1
                _log.warning("lost sight of the sessions", error=str(error))
            self._lose_sight()
            self._stopping.wait(reconnect_pause(failures))

    def _usable_events(self) -> tuple[Keyevent, ...]:
        """Give the events to subscribe to; empty where they are off and stay off."""
        begin: Keyevent = "new" if self._store.tells_new_keys() else "set"
        needed = frozenset("Egxe" + ("n" if begin == "new" else "$"))
        try:
            missing = needed - self._store.notification_flags()
            if missing and self._manage_notifications:
                self._add_flags(missing)
                missing = frozenset()
        except QueryError as error:
            self._explain_scan_only(f"CONFIG is refused ({error})", needed)
            return ()
        if missing:
            self._explain_scan_only("keyspace notifications are off", needed)
            return ()
        return (begin, *_ENDS)

    def _add_flags(self, missing: frozenset[str]) -> None:
        self._store.set_notification_flags(self._store.notification_flags() | missing)
        self._flags_added |= missing
        _log.info("turned on keyspace notifications", added="".join(sorted(missing)))

    def _explain_scan_only(self, reason: str, needed: frozenset[str]) -> None:
        if reason != self._scan_only_explained:
            self._scan_only_explained = reason
            _log.warning(
                "sessions are counted by scan only; short ones between two scans go unseen",
                reason=reason,
                remedy="redis-cli CONFIG SET notify-keyspace-events "
                f"{''.join(sorted(needed))} (add what is set already), "
                "or KATO_REDIS_MANAGE_NOTIFICATIONS=true",
            )

    def _follow_events(self, events: tuple[Keyevent, ...]) -> None:
        """Book events as they come; return when the notifications are off, raise StoreError."""
        feed = self._store.session_events(events)
        try:
            with self._lock:
                by_events = self._mode == "events"
                self._mode = "events"
                self._connected = True
            while not self._stopping.is_set():
                self._reconcile(feed, by_events=by_events)
                by_events = True
                self._listen(feed, self._interval)
                if not self._stopping.is_set() and self._usable_events() != events:
                    return
        finally:
            feed.close()

    def _follow_scans(self) -> None:
        """Reconcile at every interval; return when events have become usable."""
        with self._lock:
            self._mode = "scan"
        while not self._stopping.is_set():
            self._reconcile(None, by_events=False)
            self._stopping.wait(self._interval)
            if not self._stopping.is_set() and self._usable_events():
                return

    def _lose_sight(self) -> None:
        with self._lock:
            self._connected = False
            self._ledger.lose_sight()

    def _reconcile(self, feed: EventFeed | None, *, by_events: bool) -> None:
        """Compare the ledger with a scan, paced so that it takes its share of Redis at most."""
        self._clock_offset = self._store.clock_offset()
        with self._lock:
            self._ledger.begin_reconciliation(at=self._now())
        unparsable = 0
        cursor: int | None = None
        while cursor != 0:
            if self._stopping.is_set():
                return
            began = time.monotonic()
            cursor, keys = self._store.scan_sessions(cursor or 0)
            pause = (time.monotonic() - began) * (1 / self._load_share - 1)
            handles = [handle for key in keys if (handle := parse_session_key(key)) is not None]
            unparsable += len(keys) - len(handles)
            with self._lock:
                self._ledger.seen(handles)
            if cursor != 0:
                self._listen(feed, pause)
        remaining = feed.catch_up() if feed else []
        with self._lock:
            self._book(remaining)
            self._ledger.finish_reconciliation(by_events=by_events)
            self._unparsable_keys = unparsable

    def _listen(self, feed: EventFeed | None, seconds: float) -> None:
        """Book events for so long, or wait where there is no feed."""
        if feed is None:
            self._stopping.wait(seconds)
            return
        until = time.monotonic() + seconds
        proof_due = time.monotonic() + _SIGN_OF_LIFE_INTERVAL
        while not self._stopping.is_set() and (now := time.monotonic()) < until:
            event = feed.next(min(until - now, _LISTEN_STEP))
            if event is not None:
                with self._lock:
                    self._book([event])
            if now >= proof_due:
                remaining = feed.catch_up()
                with self._lock:
                    self._book(remaining)
                proof_due = time.monotonic() + _SIGN_OF_LIFE_INTERVAL

    def _book(self, events: Iterable[SessionEvent]) -> None:
        for event in events:
            if not looks_like_session_key(event.key):
                continue
            session = parse_session_key(event.key)
            if session is None:
                self._unparsable_keys += event.event == "new"
                continue
            self._enter(event.event, session)

    def _enter(self, event: Keyevent, session: SessionHandle) -> None:
        book: Callable[[SessionHandle], None]
        if event in _END_REASON:
            self._ledger.ended(session, _END_REASON[event], at=self._now())
        else:
            book = self._ledger.begun if event == "new" else self._ledger.written
            book(session)

    def _now(self) -> float:
        return time.time() + self._clock_offset
