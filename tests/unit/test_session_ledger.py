"""The ledger against a simulated Redis that loses events, whole or in part."""

from collections import Counter

from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kato_exporter.collectors.session_ledger import EndReason, SessionLedger
from kato_exporter.kato.sessions import SessionHandle, born_at, parse_session_key

NOW = 1_800_000_000.0
TOLD_REASONS: tuple[EndReason, ...] = ("deleted", "expired", "evicted")


def session(number: int, born: float = NOW) -> SessionHandle:
    """Make the handle of a session."""
    handle = parse_session_key(f"kato:session:session-{number:032x}-{int(born * 1000)}".encode())
    assert handle is not None
    return handle


def opened(*alive: SessionHandle) -> SessionLedger:
    """Give a ledger that was opened on these sessions."""
    ledger = SessionLedger()
    reconcile(ledger, *alive, by_events=False)
    return ledger


def reconcile(ledger: SessionLedger, *alive: SessionHandle, by_events: bool = True) -> None:
    """Compare the ledger with a scan that nothing interrupts."""
    ledger.begin_reconciliation(at=NOW)
    ledger.seen(alive)
    ledger.finish_reconciliation(by_events=by_events)


def test_sessions_alive_at_the_opening_are_not_counted_as_created() -> None:
    """The first reconciliation sets the number alive and counts nothing."""
    accounts = opened(session(1), session(2)).accounts()
    assert accounts.active == 2
    assert accounts.created == 0
    assert sum(accounts.ended.values()) == 0


def test_active_is_unknown_before_the_opening_and_after_a_gap() -> None:
    """No number is given while events may have gone unseen."""
    ledger = SessionLedger()
    assert ledger.accounts().active is None
    reconcile(ledger, session(1))
    ledger.lose_sight()
    assert ledger.accounts().active is None


def test_events_are_counted_by_reason() -> None:
    """Each begin and each end that an event tells is booked once."""
    ledger = opened()
    for number, reason in enumerate(TOLD_REASONS):
        ledger.begun(session(number))
        ledger.ended(session(number), reason, at=NOW + 1)
    accounts = ledger.accounts()
    assert accounts.created == 3
    assert accounts.ended == {"deleted": 1, "expired": 1, "evicted": 1, "unknown": 0}
    assert accounts.missed == {"created": 0, "ended": 0}
    assert accounts.active == 0


def test_what_a_scan_finds_changed_is_booked_and_declared_missed() -> None:
    """A reconciliation adds what no event has told to the totals and to the missed changes."""
    ledger = opened(session(1), session(2))
    reconcile(ledger, session(2), session(3), session(4))
    accounts = ledger.accounts()
    assert accounts.created == 2
    assert accounts.ended["unknown"] == 1
    assert accounts.missed == {"created": 2, "ended": 1}
    assert accounts.active == 3


def test_without_events_nothing_is_called_missed() -> None:
    """In scan mode there is no feed that could have missed a change."""
    ledger = opened(session(1))
    reconcile(ledger, session(2), by_events=False)
    accounts = ledger.accounts()
    assert accounts.created == 1
    assert accounts.ended["unknown"] == 1
    assert accounts.missed == {"created": 0, "ended": 0}


def test_a_key_that_an_event_names_during_the_scan_is_judged_by_the_event() -> None:
    """A late scan result does not bring back a session that has ended meanwhile."""
    ledger = opened(session(1))
    ledger.begin_reconciliation(at=NOW)
    ledger.ended(session(1), "deleted", at=NOW + 1)
    ledger.begun(session(2))
    ledger.seen([session(1)])
    ledger.finish_reconciliation(by_events=True)
    accounts = ledger.accounts()
    assert accounts.active == 1
    assert accounts.created == 1
    assert accounts.missed == {"created": 0, "ended": 0}


def test_a_session_that_ends_and_begins_again_during_the_scan_is_alive() -> None:
    """The last event about a key wins."""
    ledger = opened(session(1))
    ledger.begin_reconciliation(at=NOW)
    ledger.ended(session(1), "deleted", at=NOW)
    ledger.begun(session(1))
    ledger.finish_reconciliation(by_events=True)
    accounts = ledger.accounts()
    assert accounts.active == 1
    assert accounts.created == 1
    assert accounts.ended["deleted"] == 1


def test_the_end_of_a_session_never_seen_counts_its_begin_as_missed() -> None:
    """A session whose creation was lost still enters the totals when its end is told."""
    ledger = opened()
    ledger.ended(session(1), "expired", at=NOW + 5)
    accounts = ledger.accounts()
    assert accounts.created == 1
    assert accounts.missed == {"created": 1, "ended": 0}
    assert accounts.active == 0


def test_a_second_begin_of_a_live_session_means_that_its_end_was_missed() -> None:
    """Redis calls a key new only if it was away."""
    ledger = opened(session(1))
    ledger.begun(session(1))
    accounts = ledger.accounts()
    assert accounts.created == 1
    assert accounts.ended["unknown"] == 1
    assert accounts.missed == {"created": 0, "ended": 1}
    assert accounts.active == 1


def test_a_write_counts_as_a_begin_once() -> None:
    """On servers without the event `new`, the first write of a key is its begin."""
    ledger = opened(session(1))
    for _ in range(3):
        ledger.written(session(1))
        ledger.written(session(2))
    accounts = ledger.accounts()
    assert accounts.created == 1
    assert accounts.active == 2


def test_a_write_during_the_opening_tells_old_sessions_by_their_birth() -> None:
    """A session born before the first scan is not created by an update that comes during it."""
    ledger = SessionLedger()
    ledger.begin_reconciliation(at=NOW)
    ledger.written(session(1, born=NOW - 60))
    ledger.written(session(2, born=NOW + 1))
    ledger.seen([session(1, born=NOW - 60), session(2, born=NOW + 1)])
    ledger.finish_reconciliation(by_events=False)
    accounts = ledger.accounts()
    assert accounts.created == 1
    assert accounts.active == 2


def test_lifetimes_come_from_birth_and_end() -> None:
    """The histogram takes the time between the birth in the name and the end."""
    ledger = opened(session(1, born=NOW - 100))
    ledger.ended(session(1, born=NOW - 100), "expired", at=NOW)
    durations = ledger.accounts().durations
    assert durations.total == 100.0
    assert dict(durations.cumulative())["300.0"] == 1
    assert dict(durations.cumulative())["60.0"] == 0


def test_an_end_before_the_birth_has_no_lifetime() -> None:
    """A name from the future is counted as undatable, and its end all the same."""
    future = session(1, born=NOW + 3600)
    ledger = opened(future)
    ledger.ended(future, "deleted", at=NOW)
    accounts = ledger.accounts()
    assert accounts.undatable == 1
    assert accounts.durations.count == 0
    assert accounts.ended["deleted"] == 1


class LedgerBesideRedis(RuleBasedStateMachine):
    """Random changes to a set of keys, whose events arrive or are lost, beside random scans.

    A scan returns each key that is there at the moment when the scan comes past it.
    """

    sessions = strategies.integers(0, 8).map(session)

    def __init__(self) -> None:
        super().__init__()
        self.ledger = SessionLedger()
        self.alive: set[SessionHandle] = set()
        self.created = 0
        self.ended: Counter[EndReason] = Counter()
        self.lost: Counter[str] = Counter()
        self.to_scan: list[SessionHandle] | None = None
        self.at_opening: int | None = None
        self.gap = False

    @initialize(alive=strategies.sets(sessions))
    def open(self, alive: set[SessionHandle]) -> None:
        """Start beside a Redis that holds sessions already."""
        self.alive = set(alive)
        reconcile(self.ledger, *alive, by_events=False)
        self.at_opening = len(alive)

    @rule(chosen=sessions, told=strategies.booleans())
    def create(self, chosen: SessionHandle, *, told: bool) -> None:
        """Write a key that was not there; its event arrives or is lost."""
        if chosen in self.alive:
            return
        if not told and not self.lose():
            return
        self.alive.add(chosen)
        self.created += 1
        if told:
            self.ledger.begun(chosen)

    @rule(chosen=sessions, reason=strategies.sampled_from(TOLD_REASONS), told=strategies.booleans())
    def end(self, chosen: SessionHandle, reason: EndReason, *, told: bool) -> None:
        """Remove a key that was there; its event arrives or is lost."""
        if chosen not in self.alive:
            return
        if not told and not self.lose():
            return
        self.alive.remove(chosen)
        self.ended[reason] += 1
        if told:
            self.ledger.ended(chosen, reason, at=born_at(chosen) + 1)

    def lose(self) -> bool:
        """Lose an event: only outside a scan, as a lost feed ends the scan."""
        if self.to_scan is not None:
            return False
        self.gap = True
        self.lost["events"] += 1
        return True

    @precondition(lambda self: self.to_scan is None)
    @rule()
    def begin_scan(self) -> None:
        """Begin to walk the keys that are there."""
        self.to_scan = sorted(self.alive)
        self.ledger.begin_reconciliation(at=NOW)

    @precondition(lambda self: self.to_scan)
    @rule(late=strategies.booleans())
    def step(self, *, late: bool) -> None:
        """Come past one key; a late reply still names a key that has gone meanwhile."""
        assert self.to_scan is not None
        key = self.to_scan.pop()
        if late or key in self.alive:
            self.ledger.seen([key])

    @precondition(lambda self: self.to_scan == [])
    @rule()
    def finish_scan(self) -> None:
        """Come to the end; from here on the ledger must know who is alive."""
        self.ledger.finish_reconciliation(by_events=True)
        self.to_scan = None
        self.gap = False
        assert self.ledger.accounts().active == len(self.alive)

    @rule()
    def lose_sight(self) -> None:
        """Cut the feed, which ends a scan that is under way."""
        self.ledger.lose_sight()
        self.to_scan = None

    @invariant()
    def books_balance(self) -> None:
        """Alive at the opening + created - ended = alive, once nothing is unseen."""
        accounts = self.ledger.accounts()
        if self.at_opening is None or self.gap or accounts.active is None:
            return
        assert len(self.alive) == accounts.active
        ended = sum(accounts.ended.values())
        assert accounts.active == self.at_opening + accounts.created - ended

    @invariant()
    def every_told_change_is_counted(self) -> None:
        """Told ends count by reason; the totals fall short of the truth by lost changes at most."""
        accounts = self.ledger.accounts()
        lost = self.lost["events"]
        assert accounts.created <= self.created + lost
        assert self.created - lost <= accounts.created + sum(accounts.missed.values())
        for reason in TOLD_REASONS:
            assert self.ended[reason] - lost <= accounts.ended[reason] <= self.ended[reason]
        if lost == 0:
            assert self.created == accounts.created
            assert accounts.missed == {"created": 0, "ended": 0}


LedgerBesideRedis.TestCase.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None
)
TestLedgerBesideRedis = LedgerBesideRedis.TestCase


def test_ages_are_to_the_second_when_young_and_to_the_minute_when_old() -> None:
    """Rounding moves with time, and what leaves is taken from where it stood."""
    young, old = session(1, born=NOW - 3), session(2, born=NOW - 899)
    ledger = opened(young, old)
    ages, left_out = ledger.ages(at=NOW)
    assert dict(ages.cumulative())["5.0"] == 1
    assert dict(ages.cumulative())["1.0"] == 0
    assert ages.count == 2
    assert left_out == 0
    ledger.begin_reconciliation(at=NOW + 3600)
    ledger.ended(young, "expired", at=NOW + 3600)
    ledger.ended(old, "expired", at=NOW + 3600)
    assert ledger.ages(at=NOW + 3600)[0].count == 0


def test_sessions_from_the_future_have_no_age() -> None:
    """They are alive, and counted as left out."""
    ages, left_out = opened(session(1, born=NOW + 3600)).ages(at=NOW)
    assert ages.count == 0
    assert left_out == 1
