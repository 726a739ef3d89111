"""The account book of sessions: which are alive, how many began, how many ended and why.

Entries come from two sides. *Events* tell each change as it happens. A *reconciliation* compares
the book with a scan of the keys, and books what no event has told. Redis promises that a scan
returns every key that is there from its start to its end, and none that is away for as long; so a
key that an event names during the scan is judged by the event, and every other by the scan.

Pure and not thread-safe: no clock, no I/O, no lock.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from kato_exporter.kato.distribution import Distribution
from kato_exporter.kato.sessions import SessionHandle, born_at

EndReason = Literal["deleted", "expired", "evicted", "unknown"]
Change = Literal["created", "ended"]

END_REASONS: tuple[EndReason, ...] = ("deleted", "expired", "evicted", "unknown")
AGE_BOUNDS = DURATION_BOUNDS = (
    1,
    5,
    15,
    60,
    300,
    900,
    1_800,
    3_600,
    7_200,
    14_400,
    28_800,
    86_400,
    604_800,
)

_CLOCK_TOLERANCE = 2.0
_MINUTE = 60
_AGE_TO_THE_SECOND = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAccounts:
    """The state of the book at one moment.

    `active` is None until the first reconciliation has ended, and after a gap in the events until
    the next one has. `undatable` counts ended sessions whose name gives a birth after their end.
    """

    active: int | None
    created: int
    ended: dict[EndReason, int]
    missed: dict[Change, int]
    durations: Distribution
    undatable: int


@dataclass(slots=True)
class _Scan:
    """A scan under way: when it began, and what it found that the book does not know."""

    first: bool
    after_gap: bool
    began_at: float
    unknown: set[SessionHandle] = field(default_factory=set)
    ended_meanwhile: set[SessionHandle] = field(default_factory=set)


class SessionLedger:
    """Books every session once at its begin and once at its end.

    The first reconciliation opens the book: what it finds is alive and is not counted as created.
    From then on `alive at the opening + created - ended = alive now` always holds.
    """

    def __init__(self) -> None:
        self._alive: dict[SessionHandle, int] = {}  # the value: the last scan to see it
        self._scan_number = 0
        self._scan: _Scan | None = None
        self._opened = False
        self._current = False
        self._created = 0
        self._ended: dict[EndReason, int] = dict.fromkeys(END_REASONS, 0)
        self._missed: dict[Change, int] = {"created": 0, "ended": 0}
        self._lifetimes = [0] * (len(DURATION_BOUNDS) + 1)
        self._lifetime_sum = 0.0
        self._undatable = 0
        self._births: Counter[int] = Counter()  # of those alive, by epoch second
        self._to_the_minute_before = 0

    def begun(self, session: SessionHandle) -> None:
        """Book a session whose key an event has called new."""
        if session in self._alive and not self._opening:
            self._ended["unknown"] += 1
            self._missed["ended"] += 1
        self._created += 1
        self._enter(session)

    def written(self, session: SessionHandle) -> None:
        """Book a session that an event has called written, if that was its first time.

        For servers that do not tell new keys from old. While the scan after a gap is under way, a
        session that was born before it is taken as one that the scan would have found.
        """
        if session in self._alive:
            return
        scan = self._scan
        old = scan is not None and scan.after_gap and born_at(session) < scan.began_at
        if not (old and self._opening):
            self._created += 1
            self._missed["created"] += old
        self._enter(session)

    def ended(
        self,
        session: SessionHandle,
        reason: EndReason,
        *,
        at: float,
        every_begin_seen: bool = False,
    ) -> None:
        """Book the end that an event has told, at epoch second `at`.

        `every_begin_seen`: the events tell of every session's begin and of no other key's, so that
        without a gap an end of something unknown is not a session's.
        """
        if session in self._alive:
            self._leave(session)
        elif every_begin_seen and self._current:
            return
        elif not self._opening:
            self._created += 1
            self._missed["created"] += 1
        if self._scan is not None:
            self._scan.unknown.discard(session)
            self._scan.ended_meanwhile.add(session)
        self._ended[reason] += 1
        self._book_lifetime(at - born_at(session))

    def lose_sight(self) -> None:
        """Note that changes may go unseen; `active` is unknown until reconciled."""
        self._current = False
        self._scan = None

    def begin_reconciliation(self, *, at: float) -> None:
        """Start to compare with a scan, at epoch second `at`; book every event from here on."""
        self._round_births(before=int(at) - _AGE_TO_THE_SECOND)
        self._scan = _Scan(
            first=not self._opened, after_gap=not self._current, began_at=int(at * 1000) / 1000
        )
        self._scan_number += 1

    def seen(self, sessions: Iterable[SessionHandle]) -> None:
        """Note sessions that the scan has found; the same one may come more than once."""
        scan = self._scan_under_way()
        for session in sessions:
            if session in self._alive:
                self._alive[session] = self._scan_number
            elif session in scan.ended_meanwhile:
                continue
            elif scan.first:
                self._enter(session)
            else:
                scan.unknown.add(session)

    def finish_reconciliation(self, *, by_events: bool) -> None:
        """Book what the scan has shown and no event has told.

        Everything that events told before the scan's end must have been booked. `by_events` says
        that events were to tell every change, so what is booked here is what they missed.
        """
        scan = self._scan_under_way()
        gone = [session for session, seen in self._alive.items() if seen != self._scan_number]
        self._scan = None
        for session in gone:
            self._leave(session)
        for session in scan.unknown:
            self._enter(session)
        self._ended["unknown"] += len(gone)
        self._created += len(scan.unknown)
        if by_events:
            self._missed["ended"] += len(gone)
            self._missed["created"] += len(scan.unknown)
        self._opened = self._current = True

    def accounts(self) -> SessionAccounts:
        """Give the state of the book."""
        return SessionAccounts(
            active=len(self._alive) if self._current else None,
            created=self._created,
            ended=dict(self._ended),
            missed=dict(self._missed),
            durations=Distribution(DURATION_BOUNDS, tuple(self._lifetimes), self._lifetime_sum),
            undatable=self._undatable,
        )

    def ages(self, *, at: float) -> tuple[Distribution, int]:
        """Distribute those alive by their age at epoch second `at`.

        To the second, or to the minute above ten minutes. Also counts those left out, whose name
        gives a birth in the future.
        """
        past = [(max(0.0, at - birth), n) for birth, n in self._births.items() if birth <= at]
        ages = Distribution.of(AGE_BOUNDS, past)
        return ages, len(self._alive) - ages.count

    @property
    def is_current(self) -> bool:
        """Whether the book is reconciled and no change has gone unseen since."""
        return self._current

    @property
    def _opening(self) -> bool:
        return self._scan is not None and self._scan.first

    def _scan_under_way(self) -> _Scan:
        if self._scan is None:
            raise RuntimeError("no reconciliation has begun")
        return self._scan

    def _enter(self, session: SessionHandle) -> None:
        if session not in self._alive:
            self._births[self._birth(session)] += 1
        self._alive[session] = self._scan_number
        if self._scan is not None:
            self._scan.unknown.discard(session)
            self._scan.ended_meanwhile.discard(session)

    def _leave(self, session: SessionHandle) -> None:
        del self._alive[session]
        birth = self._birth(session)
        self._births[birth] -= 1
        if not self._births[birth]:
            del self._births[birth]

    def _birth(self, session: SessionHandle) -> int:
        birth = int(born_at(session))
        return birth if birth >= self._to_the_minute_before else birth - birth % _MINUTE

    def _round_births(self, *, before: int) -> None:
        """Keep older births to the minute only, which bounds their number."""
        self._to_the_minute_before = before - before % _MINUTE
        for birth in [birth for birth in self._births if birth < self._to_the_minute_before]:
            number = self._births.pop(birth)
            self._births[birth - birth % _MINUTE] += number

    def _book_lifetime(self, seconds: float) -> None:
        if seconds < -_CLOCK_TOLERANCE:
            self._undatable += 1
            return
        self._lifetimes[bisect_left(DURATION_BOUNDS, seconds)] += 1
        self._lifetime_sum += max(0.0, seconds)
