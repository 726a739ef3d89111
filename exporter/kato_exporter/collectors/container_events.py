"""Follows the events of a container engine in a thread of its own."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import structlog

from kato_exporter.collectors.container_ledger import ContainerLedger, Life, Tally
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.docker.stats import Container, ContainerEvent
from kato_exporter.stores.errors import StoreError
from kato_exporter.stores.reconnecting import reconnect_pause

_log = structlog.get_logger("containers")

_BASELINE_SECONDS = 30.0
_JOIN_SECONDS = 5.0
_NANOSECONDS = 1_000_000_000
_OVERLAP_SECONDS = 1


class EventFeed(AbstractContextManager["EventFeed"], Protocol):
    """Events as they come; see ContainerEventFeed."""

    was_quiet: bool

    def __iter__(self) -> Iterator[ContainerEvent]:
        """Give one after another until the feed ends; raise StoreError."""

    def close(self) -> None:
        """End the iteration, from another thread."""


class EventSource(Protocol):
    """What the follower asks of an engine; see DockerStore."""

    def clock(self) -> float:
        """Give the engine's time in epoch seconds."""

    def containers(self, deadline: Deadline) -> Sequence[Container]:
        """List all containers."""

    def events(self, *, since: int, until: int | None = None) -> EventFeed:
        """Open the feed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerState:
    """What the follower knows now.

    `lives` by the id of the container, empty while events may be missing; `tallies` by name, None
    until the engine was reached for the first time.
    """

    connected: bool
    lives: Mapping[str, Life]
    tallies: Mapping[str, Tally] | None


class ContainerEventFollower:
    """A thread that enters events into a ledger.

    At first it reads what the engine still remembers, for the lives only. From then on each event
    counts once: after a lost connection it asks for all since a second before the last event, and
    the ledger knows which of them it has had. A feed that is quiet for long is asked anew, too,
    which shows that the engine is alive.
    """

    def __init__(self, source: EventSource, ledger: ContainerLedger) -> None:
        self._source = source
        self._ledger = ledger
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="container-events", daemon=True)
        self._since: int | None = None
        self._count_from = 0
        self._connected = False
        self._feed: EventFeed | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._woken.set()
        with self._lock:
            if self._feed is not None:
                self._feed.close()
        self._thread.join(_JOIN_SECONDS)

    def hurry(self) -> None:
        """Connect again at once, where that would still be waited for after a failure."""
        self._woken.set()

    def state(self) -> FollowerState:
        """Give what is known now."""
        with self._lock:
            return FollowerState(
                connected=self._connected,
                lives=self._ledger.lives() if self._connected else {},
                tallies=self._ledger.tallies() if self._since is not None else None,
            )

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                since = self._since if self._since is not None else self._read_past()
                self._follow(since)
                failures = 0
                continue
            except StoreError as error:
                failures = 1 if self._connected else failures + 1
                if failures == 1 and not self._stopping.is_set():
                    _log.warning("lost sight of container events", error=str(error))
            except Exception:  # noqa: BLE001 - the thread must go on
                failures += 1
                _log.exception("fault in our own code", subject="container events")
            self._set_connected(now=False)
            self._woken.wait(reconnect_pause(failures))
            self._woken.clear()

    def _read_past(self) -> int:
        """Learn of lives from what the engine remembers; give the second from which to follow."""
        now = self._source.clock()
        with self._source.events(since=0, until=int(now)) as feed:
            for event in feed:
                with self._lock:
                    self._ledger.book(event, count=False)
        containers = self._source.containers(Deadline.after(_BASELINE_SECONDS))
        with self._lock:
            self._ledger.found(containers)
            self._count_from = int(now * _NANOSECONDS)
            self._since = int(now)
        return self._since

    def _follow(self, since: int) -> None:
        """Book events as they come; return after a quiet time, raise StoreError at the end."""
        with self._source.events(since=since) as feed:
            with self._lock:
                self._feed = feed
            if self._stopping.is_set():
                return
            self._set_connected(now=True)
            for event in feed:
                with self._lock:
                    self._ledger.book(event, count=event.at >= self._count_from)
                    self._since = event.at // _NANOSECONDS - _OVERLAP_SECONDS
        if not feed.was_quiet:
            raise StoreError("the engine has ended the feed of events")

    def _set_connected(self, *, now: bool) -> None:
        if now and not self._connected:
            _log.info("follows container events")
        with self._lock:
            self._connected = now
