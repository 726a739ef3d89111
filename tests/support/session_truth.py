"""The truth about sessions, kept apart from the exporter: a load as KATO's, and its own books.

`KatoLoad` knows each session that it has made and how it has ended it. `Witness` stands between
the tracker and its store and notes what the tracker has been told, so that what it cannot know is
known here. `Watch` looks at the tracker all the time.
"""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self
from uuid import uuid4

from redis import Redis

from kato_exporter.collectors.session_ledger import Change, EndReason
from kato_exporter.collectors.session_tracker import EventFeed, SessionTracker, TrackerState
from kato_exporter.demo.servers import LOOPBACK
from kato_exporter.demo.shapes import session_id, session_key
from kato_exporter.kato.sessions import SESSION_KEY_MATCH
from kato_exporter.stores.redis.store import Keyevent, RedisStore, ScanStep, SessionEvent
from support.waiting import eventually

PATIENCE = 15.0
LONG_TTL = 600
"""Seconds; no session of a test gets that old."""

_Call = Literal["next", "catch_up", "foreign_keys"]

_BATCH = 100
_SAME_MOMENT = 0.2
_REASONS: dict[Keyevent, EndReason] = {
    "del": "deleted",
    "expired": "expired",
    "evicted": "evicted",
}

real_time = time.time
"""The clock of this host, even where a test puts the one of the code under test wrong."""


def _resp(*words: bytes) -> bytes:
    """Put a command into the words of Redis's protocol."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


def new_key(age: float = 0.0) -> bytes:
    """Name a session that is born now, or was `age` seconds ago."""
    return session_key(session_id(uuid4().hex, real_time() - age)).encode()


@dataclass(slots=True)
class _Worker:
    """One connection of KATO's; `lock` is held while a batch is under way."""

    client: Redis
    lock: threading.Lock = field(default_factory=threading.Lock)
    alive: list[list[bytes]] = field(default_factory=list)


class KatoLoad:
    """Does to a server what KATO does, and keeps account of it.

    `created`, `deleted` and `brief` (left to expire) are keys; `wiped` are those that a fault of
    the server has ended or may have ended. A session that is in none of the last three is alive.
    `writes` counts how often each was written.
    `age` in seconds is how old each session is at its creation.
    """

    def __init__(self, port: int, *, age: float = 0.0, value: str = "{}") -> None:
        self.created: set[bytes] = set()
        self.deleted: set[bytes] = set()
        self.brief: set[bytes] = set()
        self.wiped: set[bytes] = set()
        self.writes: Counter[bytes] = Counter()
        self._port = port
        self._age = age
        self._value = value
        self._workers: list[_Worker] = []

    @property
    def alive(self) -> set[bytes]:
        """Those that nothing has ended or will end soon."""
        return self.created - self.deleted - self.brief - self.wiped

    def create(self, client: Redis, number: int, *, value: str | None = None) -> list[bytes]:
        """Create sessions, each with a SETEX."""
        keys = [new_key(self._age) for _ in range(number)]
        self._write(client, keys, LONG_TTL, value)
        self.created.update(keys)
        return keys

    def burst(self, number: int) -> float:
        """Create sessions as fast as Redis takes them; give the seconds that it took."""
        keys = [new_key(self._age) for _ in range(number)]
        commands = b"".join(_resp(b"SETEX", key, b"%d" % LONG_TTL, b"{}") for key in keys)
        replies = b"+OK\r\n" * number
        with socket.create_connection((LOOPBACK, self._port), timeout=PATIENCE) as connection:
            began = time.monotonic()
            connection.sendall(commands)
            with connection.makefile("rb") as answer:
                assert replies == answer.read(len(replies))
            took = time.monotonic() - began
        self.created.update(keys)
        self.writes.update(keys)
        return took

    def update(self, client: Redis, keys: Sequence[bytes]) -> None:
        """Write sessions again, as KATO does at every observation."""
        self._write(client, keys, LONG_TTL)

    def let_expire(self, client: Redis, keys: Sequence[bytes]) -> None:
        """Write sessions for the last time, with one second to live."""
        self._write(client, keys, 1)
        self.brief.update(keys)

    def delete(self, client: Redis, keys: Sequence[bytes]) -> None:
        """Delete sessions; each must have been there."""
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.delete(key)
        replies = pipeline.execute()
        assert [1] * len(keys) == replies, "the truth is lost: a session was gone too early"
        self.deleted.update(keys)

    def mixed(self, number: int, *, workers: int) -> None:
        """Have so many sessions begin, each updated twice, and a third each deleted and brief."""

        def work(client: Redis, share: int) -> None:
            for _ in range(share // _BATCH):
                keys = self.create(client, _BATCH)
                self.update(client, keys)
                self.update(client, keys)
                self.delete(client, keys[::3])
                self.let_expire(client, keys[1::3])

        with ExitStack() as stack:
            threads = [
                threading.Thread(
                    target=work,
                    args=(stack.enter_context(Redis(port=self._port)), number // workers),
                )
                for _ in range(workers)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    @contextmanager
    def running(self, *, workers: int = 2) -> Iterator[None]:
        """Keep sessions coming and going; none that was deleted lived longer than 0.2 s or so."""
        stopping = threading.Event()
        failures: list[BaseException] = []

        def work(worker: _Worker) -> None:
            try:
                while not stopping.wait(0.01):
                    with worker.lock:
                        self._turn(worker)
            except BaseException as error:  # noqa: BLE001 - raised again below
                failures.append(error)

        with ExitStack() as stack:
            self._workers = [
                _Worker(stack.enter_context(Redis(port=self._port))) for _ in range(workers)
            ]
            threads = [
                threading.Thread(target=work, args=(worker,), name="kato")
                for worker in self._workers
            ]
            for thread in threads:
                thread.start()
            try:
                yield
            finally:
                stopping.set()
                for thread in threads:
                    thread.join()
        assert [] == failures

    @contextmanager
    def wiping(self) -> Iterator[None]:
        """Hold the load between two batches, for a fault that ends every session."""
        with ExitStack() as stack:
            for worker in self._workers:
                stack.enter_context(worker.lock)
            yield
            self.wiped |= self.created - self.deleted
            for worker in self._workers:
                worker.alive.clear()
                worker.client.connection_pool.disconnect()

    def _turn(self, worker: _Worker) -> None:
        worker.alive.append(self.create(worker.client, 5))
        if len(worker.alive) > 10:
            keys = worker.alive.pop(0)
            self.update(worker.client, keys)
            self.delete(worker.client, keys[:2])
            self.let_expire(worker.client, keys[2:4])

    def _write(
        self, client: Redis, keys: Sequence[bytes], ttl: int, value: str | None = None
    ) -> None:
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.execute_command("SETEX", key, ttl, value or self._value)  # type: ignore[no-untyped-call]
        pipeline.execute()
        self.writes.update(keys)


class Witness:
    """A store for the tracker that notes each event told, and what each whole scan has found.

    It also makes things happen at one precise moment: see `once_before`.
    """

    def __init__(self, store: RedisStore) -> None:
        self.told: list[SessionEvent] = []
        self.found: set[bytes] = set()
        self.whole_scans = 0
        self.scans_began: list[float] = []
        self._store = store
        self._scanned: set[bytes] = set()
        self._scan_through = False
        self._feeds = 0
        self._awaited: dict[_Call, Callable[[], object]] = {}

    def once_before(self, call: _Call, action: Callable[[], object]) -> None:
        """Do something in the thread of the tracker, right before its next call of this name."""
        self._awaited[call] = action

    def happen(self, call: _Call) -> None:
        """Do what has been ordered for this moment."""
        action = self._awaited.pop(call, None)
        if action is not None:
            action()

    def tells_new_keys(self) -> bool:
        """Ask the store."""
        return self._store.tells_new_keys()

    def notification_flags(self) -> frozenset[str]:
        """Ask the store."""
        return self._store.notification_flags()

    def set_notification_flags(self, flags: frozenset[str]) -> None:
        """Tell the store."""
        self._store.set_notification_flags(flags)

    def clock_offset(self) -> float:
        """Ask the store."""
        return self._store.clock_offset()

    def foreign_keys(self, keys: Sequence[bytes]) -> set[bytes]:
        """Ask the store."""
        self.happen("foreign_keys")
        return self._store.foreign_keys(keys)

    def scan_sessions(self, cursor: int) -> ScanStep:
        """Ask the store, and note the answer."""
        if cursor == 0:
            self.scans_began.append(real_time())
            self._scanned, self._scan_through = set(), False
        step = self._store.scan_sessions(cursor)
        self._scanned.update(step.keys)
        self._scan_through = step.cursor == 0
        if not self._feeds:
            self.note_proof()
        return step

    def session_events(self, events: tuple[Keyevent, ...]) -> EventFeed:
        """Ask the store for a feed, and note what it tells."""
        feed = _WitnessedFeed(self._store.session_events(events), self)
        self._feeds += 1
        return feed

    def note_proof(self) -> None:
        """Take what the last scan has found as known, if that scan is through."""
        if self._scan_through:
            self.found |= self._scanned
            self.whole_scans += 1
            self._scan_through = False

    def note_closed(self) -> None:
        """Note that a feed has ended."""
        self._feeds -= 1

    def keys(self, *events: Keyevent) -> set[bytes]:
        """Give the keys of which one of these events was told."""
        return {each.key for each in list(self.told) if each.event in events}


class _WitnessedFeed:
    def __init__(self, feed: EventFeed, witness: Witness) -> None:
        self._feed = feed
        self._witness = witness

    def next(self, timeout: float) -> SessionEvent | None:
        self._witness.happen("next")
        event = self._feed.next(timeout)
        if event is not None:
            self._witness.told.append(event)
        return event

    def catch_up(self) -> list[SessionEvent]:
        self._witness.happen("catch_up")
        events = list(self._feed.catch_up())
        self._witness.told += events
        self._witness.note_proof()
        return events

    def received(self) -> list[SessionEvent]:
        events = self._feed.received()
        self._witness.told += events
        return events

    def close(self) -> None:
        self._witness.note_closed()
        self._feed.close()


@dataclass(frozen=True, slots=True)
class Totals:
    """The exact numbers of a SessionLedger, as they should be or as they are."""

    active: int | None
    created: int
    ended: dict[EndReason, int]
    missed: Mapping[Change, int]

    @classmethod
    def of(cls, state: TrackerState) -> Self:
        """Take them from a tracker's state."""
        accounts = state.accounts
        return cls(accounts.active, accounts.created, accounts.ended, accounts.missed)


def due_totals(load: KatoLoad, witness: Witness, start: set[bytes], alive: set[bytes]) -> Totals:
    """Reckon what the tracker must say, given what it could know.

    A session counts if an event or a whole scan has named it. Its begin is missed if no event has
    told it, and so is its end, which then has no known reason.
    """
    ends = Counter(_REASONS[each.event] for each in list(witness.told) if each.event in _REASONS)
    begun = witness.keys("new", "set")
    ended = witness.keys("del", "expired", "evicted")
    known = (witness.found | begun | ended) & load.created
    unknown = len((known | start) - alive - ended)
    return Totals(
        active=len(alive),
        created=len(known),
        ended={
            "deleted": ends["deleted"],
            "expired": ends["expired"],
            "evicted": ends["evicted"],
            "unknown": unknown,
        },
        missed={"created": len(known - begun), "ended": unknown},
    )


def perhaps_missed(load: KatoLoad, witness: Witness) -> int:
    """Count the sessions whose begin may have gone untold to a tracker on Redis 6.2.

    There a creation is told as any other write. It was told for sure where all writes were; one at
    the very moment of a scan's begin cannot be judged.
    """
    told = Counter(each.key for each in list(witness.told) if each.event == "set")
    return sum(
        told[key] < writes or _born_at_begin_of_scan(key, witness)
        for key, writes in load.writes.items()
    )


def _born_at_begin_of_scan(key: bytes, witness: Witness) -> bool:
    born = int(key.rpartition(b"-")[2]) / 1000
    return any(began - _SAME_MOMENT < born < began for began in list(witness.scans_began))


def session_keys(client: Redis) -> set[bytes]:
    """Give the session keys that are on the server now."""
    return set(client.scan_iter(match=SESSION_KEY_MATCH, count=1_000))


class Watch:
    """Looks at a tracker all the time, and keeps whatever must not be.

    No counter ever goes down, and `start` + created - ended = active whenever `active` is known.
    `blind` are the moments, on the monotonic clock, at which it was not.
    """

    def __init__(self, tracker: SessionTracker, *, start: int) -> None:
        self.wrong: list[str] = []
        self.blind: list[float] = []
        self.looks = 0
        self._tracker = tracker
        self._start = start
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join()
        if error is None:
            assert [] == self.wrong

    def _run(self) -> None:
        before = _counters(self._tracker.state())
        while not self._ending.wait(0.005):
            state = self._tracker.state()
            now = _counters(state)
            self.wrong += [
                f"{name} went from {before[name]} down to {now[name]}"
                for name in now
                if now[name] < before[name]
            ]
            accounts = state.accounts
            if accounts.active is None:
                self.blind.append(time.monotonic())
            elif self._start + accounts.created - sum(accounts.ended.values()) != accounts.active:
                self.wrong.append(f"the book does not balance: {accounts}")
            before = now
            self.looks += 1


def _counters(state: TrackerState) -> dict[str, float]:
    accounts = state.accounts
    counters: dict[str, float] = {
        "created": accounts.created,
        "undatable": accounts.undatable,
        "durations sum": accounts.durations.total,
    }
    counters |= {f"ended {reason}": number for reason, number in accounts.ended.items()}
    counters |= {f"missed {change}": number for change, number in accounts.missed.items()}
    counters |= {f"bucket {i}": n for i, n in enumerate(accounts.durations.counts)}
    return counters


@dataclass(frozen=True, slots=True)
class Tracked:
    """A tracker at work, and the witness of what it is told."""

    tracker: SessionTracker
    witness: Witness

    def until(self, condition: Callable[[TrackerState], Any], *, what: str) -> TrackerState:
        """Wait until the state fulfils a condition, and give that state."""
        return eventually(
            lambda: state if condition(state := self.tracker.state()) else None,
            within=PATIENCE,
            what=what,
        )

    def reconciled(self) -> None:
        """Wait until a scan that begins from now on is through and booked."""
        wanted = self.witness.whole_scans + 2
        eventually(
            lambda: (
                self.witness.whole_scans >= wanted
                and self.tracker.state().accounts.active is not None
            ),
            within=PATIENCE,
            what="a new scan is through",
        )

    def settled(
        self, due: Callable[[], Totals], *, view: Callable[[Totals], Totals] = lambda same: same
    ) -> tuple[Totals, Totals]:
        """Wait until the totals, or a view of them, are as they are due; give both."""
        give_up_at = time.monotonic() + PATIENCE
        while (expected := view(due())) != (actual := view(Totals.of(self.tracker.state()))):
            if time.monotonic() > give_up_at:
                break
            time.sleep(0.05)
        return expected, actual


@contextmanager
def tracking(
    url: str, *, manage: bool = True, interval: float = 0.5, timeout: float = 0.5
) -> Iterator[Tracked]:
    """Track the sessions of a server, from when the book is open."""
    with closing(RedisStore(url, timeout=timeout)) as store:
        witness = Witness(store)
        tracker = SessionTracker(
            witness,
            interval=interval,
            load_share=0.5,
            manage_notifications=manage,
            sample_size=1_000,
        )
        tracked = Tracked(tracker, witness)
        tracker.start()
        try:
            tracked.until(lambda state: state.accounts.active is not None, what="the book is open")
            yield tracked
        finally:
            tracker.stop()
