"""Writes as they are carried out, on records in memory: whatever fails, nothing is lost.

The process dies, or the store, at every step there is; then all is opened again.
"""

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from kato_exporter.browser.access.users import User
from kato_exporter.browser.records import audit
from kato_exporter.browser.records.desk import (
    MOST_RECORDS,
    ConflictError,
    Desk,
    NotPermittedError,
    RefusedError,
    StaleError,
    TooLargeError,
    TooManyError,
    UnavailableError,
)
from kato_exporter.browser.records.journal import Journal
from kato_exporter.browser.records.operations import Operations
from kato_exporter.browser.records.plans import (
    PLAN_SECONDS,
    TRASH_SECONDS,
    Operation,
    State,
)
from kato_exporter.browser.records.runner import Runner
from kato_exporter.browser.records.stores_at_hand import StoresAtHand
from kato_exporter.stores.errors import NotChangeableError, QueryError, StoreError
from kato_exporter.stores.records import Container, Outcome, Snapshot
from support.memory_records import (
    HUGE_CONTENT,
    REFUSED_CONTENT,
    DiedError,
    DyingJournal,
    MemoryContainer,
    MemoryRecords,
)
from support.waiting import eventually

ALICE, BOB = User("alice", "editor"), User("bob", "editor")
CAROL = User("carol", "viewer")
CLIENT = "192.0.2.7"
KEYS = [f"memo {number}".encode() for number in range(5)]

keys = strategies.sampled_from(KEYS)
contents = strategies.sampled_from([b"a", b"bb", b"ccc", REFUSED_CONTENT])


class Office:
    """A browser's journal, runner and desk on records in memory, which outlive it."""

    def __init__(self, directory: Path, memos: MemoryRecords, **options: Any) -> None:
        self.directory, self.memos = directory, memos
        self.container = MemoryContainer(memos)
        self._options = options
        self.open()

    def open(self) -> None:
        """Start as a process does."""
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.journal = DyingJournal(self.directory, self.memos.faults)
        self.operations = Operations(self.journal)
        stores = StoresAtHand({"memo": self.memos}, {"box": self._box})
        self.runner = Runner(self.operations, stores, self._count)
        self.runner.recover()
        self.desk = Desk(
            self.operations, self.runner, stores, **{"writable": True, **self._options}
        )

    def without_limits(self) -> None:
        """Let a user begin as many operations as they like."""
        self.desk._limit_rate = lambda user: None  # type: ignore[method-assign] # noqa: ARG005, SLF001

    def reopen(self) -> None:
        """Start again, after a process that died."""
        self.memos.faults.arm()
        self.runner._thread.shutdown(wait=True, cancel_futures=True)  # noqa: SLF001 - as death does
        self.journal.close()
        self.open()

    def close(self) -> None:
        """End as a process does that is told to."""
        self.runner.stop()
        self.journal.close()

    def plan(self, *names: bytes) -> str:
        """Plan to delete records."""
        return self.desk.plan_deletion("memo", names or KEYS, ALICE, CLIENT)

    def confirm(self, identity: str) -> None:
        """Confirm what was planned."""
        self.desk.confirm(identity, self.find(identity).digest, ALICE)

    def delete(self, *names: bytes) -> str:
        """Delete records."""
        identity = self.plan(*names)
        self.confirm(identity)
        return identity

    def find(self, identity: str) -> Operation:
        """Give an operation."""
        found = self.operations.find(identity)
        assert found is not None
        return found

    def states(self, identity: str) -> dict[str, int]:
        """Count records by what became of them."""
        return self.operations.states(identity)

    def entries(self) -> list[dict[str, Any]]:
        """Give the audit log."""
        return [dict(row) for row in self.journal.rows("SELECT * FROM audit ORDER BY number")]

    def _box(self, name: str) -> Container:
        del name
        return self.container

    def _count(self, store: str, action: str, result: str) -> None:
        self.counts[store, action, result] += 1


@contextmanager
def office_in(directory: Path, **options: Any) -> Iterator[Office]:
    """Open an office with a memo of each key."""
    memos = MemoryRecords()
    for number, key in enumerate(KEYS, start=1):
        memos.write(key, b"x" * number)
    office = Office(directory, memos, **options)
    try:
        yield office
    finally:
        office.close()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Give an office."""
    with office_in(tmp_path) as office:
        yield office


def assert_nothing_lost(office: Office) -> None:
    """Find in the trash all that we took out of the store and have not put back."""
    memos = office.memos
    kept = Counter(
        (row["locator"], row["content"])
        for row in office.journal.rows("SELECT locator, content FROM items WHERE content NOTNULL")
    )
    for locator, content in memos.owed:
        assert kept[locator, content] or memos.records.get(locator) == content


def assert_log_agrees(office: Office) -> None:
    """Compare the audit log with what the journal says of each record."""
    assert audit.verify(office.directory).fault is None
    noted = Counter(
        (entry["operation"], entry["record"], entry["result"])
        for entry in office.entries()
        if entry["kind"] == "memo" and entry["action"] != "remove"
    )
    became = Counter(
        (row["operation"], row["label"], row["state"])
        for row in office.journal.rows(
            "SELECT items.* FROM items JOIN operations ON operations.id = operation"
            " WHERE items.state NOT IN ('planned', 'kept') AND action <> 'remove'"
            " AND NOT (action = 'delete' AND version IS NULL)"
        )
    )
    assert became == noted


class AnyOrder(RuleBasedStateMachine):
    """Operations, changes by others, and failures at every step, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.memos = MemoryRecords()
        self.office = Office(Path(self.directory.name), self.memos, clock=lambda: 0.0)
        self.office.without_limits()
        self.planned: dict[str, set[tuple[bytes, bytes]]] = {}
        self.confirmed: set[tuple[bytes, bytes]] = set()
        self.certain = True

    def teardown(self) -> None:
        """End what is under way, and look once more."""
        try:
            self._finish()
        finally:
            self.office.close()
            self.directory.cleanup()

    def _finish(self) -> None:
        self.memos.faults.arm()
        self.memos.arrive()
        for state in (State.RUNNING, State.INTERRUPTED):
            for operation in self.office.operations.in_state(state):
                with suppress(RefusedError):
                    self.office.desk.resume(operation.id, ALICE, CLIENT)
        self.nothing_is_lost()
        self.only_what_was_confirmed_has_gone()
        assert_log_agrees(self.office)
        self._assert_total()

    @initialize(contents=strategies.lists(contents, min_size=3, max_size=len(KEYS)))
    def fill(self, contents: list[bytes]) -> None:
        """Begin with a few records."""
        for key, content in zip(KEYS, contents, strict=False):
            self.memos.write(key, content)

    @rule(key=keys, content=strategies.none() | contents)
    def change_by_kato(self, key: bytes, content: bytes | None) -> None:
        """Change or delete a record as KATO would, behind the browser's back."""
        self._interfere("", [key])
        self.memos.write(key, content)

    @rule()
    def late_orders_arrive(self) -> None:
        """Let the store carry out what it was asked before a connection broke."""
        self.memos.arrive()

    @rule(chosen=strategies.sets(keys, min_size=1))
    def plan(self, chosen: set[bytes]) -> None:
        """Plan to delete some records."""
        identity = self.office.plan(*sorted(chosen))
        self.planned[identity] = {
            (key, self.memos.records[key]) for key in chosen if key in self.memos.records
        }

    @precondition(lambda self: self.planned)
    @rule(data=strategies.data(), dies=strategies.booleans(), at=strategies.integers(0, 40))
    def confirm(self, data: strategies.DataObject, *, dies: bool, at: int) -> None:
        """Confirm a plan; the process may die at a step."""
        identity = data.draw(strategies.sampled_from(list(self.planned)))
        late = data.draw(strategies.booleans())
        self._interfere(identity, [key for key, _ in self.planned[identity]])
        self.confirmed |= self.planned.pop(identity)
        self._with_faults(
            lambda: self.office.confirm(identity), dies=dies, at=at, late=late and at > 0
        )

    @rule(key=keys, content=contents, dies=strategies.booleans(), at=strategies.integers(0, 30))
    def edit(self, key: bytes, content: bytes, *, dies: bool, at: int) -> None:
        """Give a record another content; the process may die at a step."""
        now = self.memos.records.get(key)
        if now is None:
            return
        version = hashlib.sha256(now).hexdigest()
        self._interfere("", [key])
        self.confirmed.add((key, now))
        self.confirmed.add((key, content))  # an undo takes that away again
        self._with_faults(
            lambda: self.office.desk.edit("memo", key, version, content, (ALICE, CLIENT)),
            dies=dies,
            at=at,
        )

    @rule(data=strategies.data(), dies=strategies.booleans(), at=strategies.integers(0, 40))
    def resume(self, data: strategies.DataObject, *, dies: bool, at: int) -> None:
        """Go on with what was interrupted; the process may die at a step."""
        identity = self._one_of(data, "state = 'interrupted'")
        if identity is not None:
            self._with_faults(
                lambda: self.office.desk.resume(identity, BOB, CLIENT), dies=dies, at=at
            )

    @rule(data=strategies.data(), dies=strategies.booleans(), at=strategies.integers(0, 40))
    def undo(self, data: strategies.DataObject, *, dies: bool, at: int) -> None:
        """Put records back; the process may die at a step."""
        identity = self._one_of(data, "action <> 'restore' AND state IN ('interrupted', 'done')")
        numbers = data.draw(strategies.none() | strategies.just([1, 2]))
        if identity is not None:
            rows = self.office.journal.rows(
                "SELECT locator FROM items WHERE operation = ?", [identity]
            )
            self._interfere(identity, [row["locator"] for row in rows])
            self._with_faults(
                lambda: self.office.desk.restore(identity, numbers, ALICE, CLIENT),
                dies=dies,
                at=at,
            )

    @invariant()
    def nothing_is_lost(self) -> None:
        """Each record is in the store or in the trash."""
        assert_nothing_lost(self.office)

    @invariant()
    def only_what_was_confirmed_has_gone(self) -> None:
        """Nobody lost a record that was not chosen."""
        assert set(self.memos.taken) <= self.confirmed

    @invariant()
    def the_log_is_whole(self) -> None:
        """Every entry follows the one before it."""
        assert audit.verify(self.office.directory).fault is None

    def _one_of(self, data: strategies.DataObject, condition: str) -> str | None:
        rows = self.office.journal.rows(
            f"SELECT id FROM operations WHERE {condition} ORDER BY planned_at"  # noqa: S608 - ours
        )
        identities = [row["id"] for row in rows]
        return data.draw(strategies.sampled_from(identities)) if identities else None

    def _interfere(self, identity: str, keys: Iterable[bytes]) -> None:
        """Note that records are changed of which another operation does not know what became."""
        for key in keys:
            in_flight = self.office.journal.rows(
                "SELECT 1 FROM items WHERE locator = ? AND operation <> ?"
                " AND (state = 'kept' OR content NOTNULL AND (doubtful OR state = 'missing'))",
                [key, identity],
            )
            self.certain = self.certain and not in_flight

    def _with_faults(
        self, act: Callable[[], object], *, dies: bool, at: int, late: bool = False
    ) -> None:
        """Act; where `at` is not 0 the process dies at that step, or the store fails from it on."""
        if at:
            self.memos.faults.arm(
                dies_at=at if dies else None, fails_at=None if dies else at, late=late
            )
            self.certain = self.certain and not late
        with suppress(DiedError, RefusedError, StoreError):
            act()
        if self.memos.faults.died:
            self.office.reopen()
            self.office.without_limits()
        self.memos.faults.arm()

    def _assert_total(self) -> None:
        """Compare what is said of records with the records, where nothing has become unclear."""
        unfinished = self.office.operations.in_state(State.INTERRUPTED)
        if self.certain and not any(map(self._in_flight, unfinished)):
            assert sum(map(len, self.memos.records.values())) == self.memos.total
            assert set() == self.memos.marks

    def _in_flight(self, operation: Operation) -> bool:
        return self.office.operations.in_flight(operation.id)


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)
TestAnyOrder = AnyOrder.TestCase


def edit_first(office: Office) -> None:
    """Give the first memo another content."""
    version = hashlib.sha256(b"x").hexdigest()
    office.desk.edit("memo", KEYS[0], version, b"edited", (ALICE, CLIENT))


def remove_box(office: Office) -> None:
    """Remove what holds all memos."""
    identity = office.desk.plan_removal([("box", "mine")], "mine", ALICE, CLIENT)
    office.confirm(identity)


def undo_all(office: Office) -> None:
    """Undo what the office has done first."""
    first = office.journal.row("SELECT id FROM operations ORDER BY planned_at")
    office.desk.restore(first["id"] if first else "", None, BOB, CLIENT)


def delete_all(office: Office) -> None:
    """Delete all memos."""
    office.delete()


def nothing(office: Office) -> None:
    """Do nothing."""


def resume_all(office: Office) -> None:
    """Go on with everything that was interrupted."""
    for operation in office.operations.in_state(State.INTERRUPTED):
        office.desk.resume(operation.id, BOB, CLIENT)


def assert_settled(office: Office) -> None:
    """Find the other record right, and without a mark."""
    assert sum(map(len, office.memos.records.values())) == office.memos.total
    assert set() == office.memos.marks
    for operation in office.operations.listed(None, 100):
        assert not office.operations.in_flight(operation.id)


@pytest.mark.parametrize("fault", ["dies_at", "fails_at"])
@pytest.mark.parametrize("last", [resume_all, undo_all])
@pytest.mark.parametrize(
    ("before", "act"),
    [
        (nothing, delete_all),
        (nothing, edit_first),
        (nothing, remove_box),
        (delete_all, undo_all),
        (edit_first, undo_all),
        (remove_box, undo_all),
    ],
)
def test_a_death_or_failure_at_any_step_loses_nothing_and_can_be_resumed_or_undone(
    tmp_path: Path,
    before: Callable[[Office], None],
    act: Callable[[Office], None],
    last: Callable[[Office], None],
    fault: str,
) -> None:
    """Whatever step it is: all is in store or trash, and then comes to an end, settled once."""
    for step in range(1, 200):
        with office_in(tmp_path / str(step)) as office:
            memos, at_first = office.memos, dict(office.memos.records)
            before(office)
            memos.faults.arm(
                dies_at=step if fault == "dies_at" else None,
                fails_at=step if fault == "fails_at" else None,
            )
            with suppress(DiedError, RefusedError, StoreError):
                act(office)
            came_to = memos.faults.step
            if memos.faults.died:
                office.reopen()
            memos.faults.arm()
            assert_nothing_lost(office)
            for end in (last, resume_all, undo_all if act is undo_all else nothing):
                with suppress(RefusedError):  # there may be nothing left to do
                    end(office)
            assert [] == office.operations.in_state(State.INTERRUPTED)
            assert_nothing_lost(office)
            assert_log_agrees(office)
            if not (before is nothing and act is remove_box):
                assert_settled(office)
            if act is undo_all or last is undo_all:
                assert at_first == memos.records
                assert office.container.there
        if came_to < step:
            break
    else:
        pytest.fail("there is no end of steps")
    assert 10 < step


def test_what_has_changed_since_the_preview_is_left_as_it_is(office: Office) -> None:
    """One was changed by KATO, one removed, one changed in the very moment of the deletion."""
    identity = office.plan(*KEYS[:4])
    office.memos.write(KEYS[0], b"other")
    office.memos.write(KEYS[1], None)
    office.memos.before_delete = lambda: office.memos.write(KEYS[2], b"new")
    office.confirm(identity)
    assert {"changed": 2, "missing": 1, "done": 1} == office.states(identity)
    assert {KEYS[0]: b"other", KEYS[2]: b"new", KEYS[4]: b"x" * 5} == office.memos.records
    assert [(KEYS[3], b"x" * 4)] == office.memos.taken
    assert_settled(office)
    assert {
        ("memory", "delete", "changed"): 2,
        ("memory", "delete", "missing"): 1,
        ("memory", "delete", "done"): 1,
    } == office.counts


def test_a_record_that_goes_in_the_moment_of_its_deletion_stays_in_the_trash(
    office: Office,
) -> None:
    """It may have been our own order, which a client sent a second time."""
    identity = office.plan(KEYS[0])
    office.memos.before_delete = lambda: office.memos.write(KEYS[0], None)
    office.confirm(identity)
    assert {"missing": 1} == office.states(identity)
    assert 1 == office.operations.in_trash(identity)
    undo_all(office)
    assert b"x" == office.memos.records[KEYS[0]]


def test_an_order_that_comes_late_after_the_undo_loses_nothing(office: Office) -> None:
    """The store deletes what was put back; the trash still has it, and puts it back again."""
    identity = office.plan(KEYS[0])
    office.memos.faults.arm(fails_at=office.memos.faults.step + 12, late=True)
    for step in range(1, 30):  # to the moment in which the order is given
        office.memos.faults.arm(fails_at=step, late=True)
        with suppress(StoreError, StaleError):
            if office.find(identity).state is State.PLANNED:
                office.confirm(identity)
            else:
                office.desk.resume(identity, ALICE, CLIENT)
        if office.memos.late:
            break
    office.memos.faults.arm()
    undo_all(office)
    office.memos.arrive()
    assert KEYS[0] not in office.memos.records
    undo_all(office)
    assert b"x" == office.memos.records[KEYS[0]]


def test_one_record_that_is_refused_does_not_hold_up_the_others(office: Office) -> None:
    """It stays, is named, and the log has it."""
    office.memos.write(KEYS[2], REFUSED_CONTENT)
    identity = office.delete()
    assert {"done": 4, "refused": 1} == office.states(identity)
    assert {KEYS[2]: REFUSED_CONTENT} == office.memos.records
    assert ("Some were refused: this is refused",) == office.find(identity).notes[1:]
    assert Counter(done=4, refused=1) == Counter(each["result"] for each in office.entries())
    assert_settled(office)


def test_one_record_that_is_too_large_does_not_hold_up_the_others(office: Office) -> None:
    """The preview says that it stays, and why; alone it is refused, as an edit of it is."""
    office.memos.write(KEYS[2], HUGE_CONTENT)
    identity = office.plan()
    assert {"planned": 4, "refused": 1} == office.states(identity)
    planned = office.find(identity)
    assert "4 records of kind memo" == planned.target
    assert "One stays as it is: this is too large to be kept." == planned.notes[0]
    office.confirm(identity)
    assert {"done": 4, "refused": 1} == office.states(identity)
    assert {KEYS[2]: HUGE_CONTENT} == office.memos.records
    with pytest.raises(NotChangeableError, match="too large"):
        office.plan(KEYS[2])
    with pytest.raises(NotChangeableError, match="too large"):
        office.desk.edit("memo", KEYS[2], "", b"small", (ALICE, CLIENT))
    assert_settled(office)


def test_a_record_that_grows_after_the_preview_does_not_hold_up_the_others(office: Office) -> None:
    """It is refused by itself, with the reason and an entry of the log."""
    identity = office.plan()
    office.memos.write(KEYS[2], HUGE_CONTENT)
    office.confirm(identity)
    assert {"done": 4, "refused": 1} == office.states(identity)
    assert ("Some were refused: this is too large to be kept",) == office.find(identity).notes[1:]
    assert Counter(done=4, refused=1) == Counter(each["result"] for each in office.entries())
    assert_settled(office)


@pytest.mark.parametrize("button", ["resume", "restore"])
def test_a_record_that_grows_while_nobody_knows_what_became_of_it(
    office: Office, button: str
) -> None:
    """It stays as it is, what it was stays in the trash, and the operation comes to its end."""
    identity = office.plan()

    def fail() -> None:
        raise StoreError("the store has gone away")

    office.memos.before_delete = fail
    office.confirm(identity)
    assert {"kept": 5} == office.states(identity)
    office.memos.before_delete = None
    office.memos.write(KEYS[4], HUGE_CONTENT)
    if button == "resume":
        office.desk.resume(identity, ALICE, CLIENT)
    else:
        office.desk.restore(identity, None, ALICE, CLIENT)
    assert State.DONE is office.find(identity).state
    assert 1 == office.states(identity)["unclear"]
    assert HUGE_CONTENT == office.memos.records[KEYS[4]]
    kept = office.operations.item(identity, 5)
    assert kept is not None
    assert b"x" * 5 == kept["content"]


def test_where_all_are_refused_the_operation_says_why_and_can_go_on_later(office: Office) -> None:
    """So it is where the store's account may not write."""
    for key in KEYS:
        office.memos.write(key, REFUSED_CONTENT)
    identity = office.delete()
    assert (State.INTERRUPTED, "this is refused") == (
        office.find(identity).state,
        office.find(identity).problem,
    )
    assert len(KEYS) == len(office.memos.records)
    assert [] == office.memos.taken


def test_the_confirmation_is_bound_to_what_was_shown(office: Office) -> None:
    """Another digest, another user, a second time, too late: nothing is done."""
    identity = office.plan()
    digest = office.find(identity).digest
    for wrong in ("", digest[:-1], "é", office.find(office.plan(KEYS[0])).digest):
        with pytest.raises(StaleError, match="not what was shown"):
            office.desk.confirm(identity, wrong, ALICE)
    with pytest.raises(NotPermittedError, match="Only alice"):
        office.desk.confirm(identity, digest, BOB)
    with pytest.raises(StaleError, match="no such operation"):
        office.desk.confirm("nothing", digest, ALICE)
    age(office, identity, planned_at=PLAN_SECONDS + 1)
    with pytest.raises(StaleError, match="too late"):
        office.desk.confirm(identity, digest, ALICE)
    assert [] == office.memos.taken
    age(office, identity, planned_at=-PLAN_SECONDS)
    office.desk.confirm(identity, digest, ALICE)
    with pytest.raises(StaleError, match="confirmed before"):
        office.desk.confirm(identity, digest, ALICE)
    assert len(KEYS) == len(office.memos.taken)


def test_a_plan_begins_once_however_often_it_is_confirmed_at_once(office: Office) -> None:
    """The journal itself lets it begin from one state only."""
    identity = office.plan()
    assert office.operations.begin(identity, state=State.PLANNED)
    assert not office.operations.begin(identity, state=State.PLANNED)
    other = office.plan(KEYS[0])
    age(office, other, planned_at=PLAN_SECONDS + 1)
    assert not office.operations.begin(other, state=State.PLANNED)


def age(office: Office, identity: str, **seconds: float) -> None:
    """Let an operation be older."""
    for column, by in seconds.items():
        office.journal.write(
            f"UPDATE operations SET {column} = {column} - ? WHERE id = ?",  # noqa: S608 - ours
            [by, identity],
        )


def test_the_digest_covers_each_record_and_its_version(office: Office) -> None:
    """Each of number, order of bytes, and content makes another."""
    digests = [office.find(office.plan(*KEYS[:2])).digest for _ in range(2)]
    assert digests[0] == digests[1]
    digests.append(office.find(office.plan(KEYS[0])).digest)
    digests.append(office.find(office.plan(KEYS[0], KEYS[2])).digest)
    office.memos.write(KEYS[0], b"other")
    digests.append(office.find(office.plan(*KEYS[:2])).digest)
    assert 4 == len(set(digests))


def orders(office: Office, user: User) -> list[Callable[[], object]]:
    """Give everything that can be asked of the desk by a user."""
    desk, identity = office.desk, "0" * 32
    return [
        lambda: desk.plan_deletion("memo", KEYS, user, CLIENT),
        lambda: desk.plan_removal([("box", "mine")], "mine", user, CLIENT),
        lambda: desk.confirm(identity, "", user),
        lambda: desk.resume(identity, user, CLIENT),
        lambda: desk.restore(identity, None, user, CLIENT),
        lambda: desk.edit("memo", KEYS[0], "", b"", (user, CLIENT)),
    ]


def test_the_desk_itself_refuses_whoever_may_not_write(tmp_path: Path) -> None:
    """Where writes are off nobody may, and a viewer never; before anything is looked at."""
    for options, user, reason in (
        ({"writable": False}, ALICE, "only reads"),
        ({"writable": True}, CAROL, "a viewer"),
    ):
        with office_in(tmp_path / user.name, **options) as office:
            begun = office.memos.faults.step
            assert not office.desk.may_write(user)
            assert not office.desk.may_write(None)
            for order in orders(office, user):
                with pytest.raises(NotPermittedError, match=reason):
                    order()
            assert begun == office.memos.faults.step
            assert [] == office.operations.listed(None, 10)


def test_a_user_begins_so_many_operations_in_a_minute(tmp_path: Path) -> None:
    """Then comes a refusal, before the store is asked; others and the next minute are free."""
    now = 0.0
    with office_in(tmp_path, clock=lambda: now) as office:
        for _ in range(60):
            office.plan(KEYS[0])
        begun = office.memos.faults.step
        for order in orders(office, ALICE):
            if "confirm" not in order.__code__.co_names:
                with pytest.raises(TooManyError):
                    order()
        assert begun == office.memos.faults.step
        office.desk.plan_deletion("memo", KEYS, BOB, CLIENT)
        now = 60.1
        office.plan(KEYS[0])


def test_a_plan_is_bounded_in_number_bytes_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More is refused with what would be right, and nothing of it stays in the journal."""
    now = [0.0]
    with office_in(tmp_path, clock=lambda: now[0]) as office:
        many = [b"%d" % number for number in range(MOST_RECORDS + 1)]
        with pytest.raises(TooLargeError, match=r"10,001 records .* at most 10,000"):
            office.plan(*many)
        with pytest.raises(RefusedError, match="No memo was chosen"):
            office.desk.plan_deletion("memo", [], ALICE, CLIENT)
        monkeypatch.setattr("kato_exporter.browser.records.desk.MOST_BYTES", 14)
        with pytest.raises(TooLargeError, match="choose fewer"):
            office.plan()
        monkeypatch.undo()
        read = office.memos.read
        monkeypatch.setattr(
            MemoryRecords,
            "read",
            lambda _, names: (now.__setitem__(0, now[0] + 15), read(names))[1],
        )
        with pytest.raises(TooLargeError, match="longer than 20 s"):
            office.plan(*many[:300])
        office.plan(*many[:200])
        assert 1 == len(office.journal.rows("SELECT 1 FROM operations"))


def test_a_record_that_is_chosen_twice_is_one(office: Office, monkeypatch: Any) -> None:
    """Also where it is spelled in two ways, which the kind makes one."""
    read = office.memos.read

    def canonical(_: MemoryRecords, locators: Sequence[bytes]) -> list[Snapshot | None]:
        return read([locator.strip() for locator in locators])

    monkeypatch.setattr(MemoryRecords, "read", canonical)
    identity = office.desk.plan_deletion("memo", [KEYS[0], b" " + KEYS[0]], ALICE, CLIENT)
    office.confirm(identity)
    assert {"done": 1} == office.states(identity)
    assert_settled(office)


def test_what_is_no_record_or_no_kind_is_refused(office: Office) -> None:
    """A page that was tampered with gets a sentence."""
    with pytest.raises(RefusedError, match="no memo of this store: this is no locator"):
        office.plan(b"garbage")
    with pytest.raises(RefusedError, match="no memo of this store"):
        office.desk.edit("memo", b"garbage", "", b"", (ALICE, CLIENT))
    with pytest.raises(RefusedError, match="no kind of record here that is called 'box'"):
        office.desk.plan_deletion("box", KEYS, ALICE, CLIENT)
    with pytest.raises(RefusedError, match="no shelf to remove"):
        office.desk.plan_removal([("shelf", "mine")], "mine", ALICE, CLIENT)
    with pytest.raises(RefusedError, match="Type the name"):
        office.desk.plan_removal([("box", "mine")], "yours", ALICE, CLIENT)
    assert [] == office.journal.rows("SELECT 1 FROM operations")


def test_kinds_that_go_with_what_holds_them_cannot_be_chosen(tmp_path: Path) -> None:
    """But the runner knows them."""
    memos = MemoryRecords(name="part")
    stores = StoresAtHand({}, {}, {"part": memos})
    with Journal(tmp_path) as journal:
        operations = Operations(journal)
        desk = Desk(operations, Runner(operations, stores, print), stores, writable=True)
        with pytest.raises(RefusedError, match="no kind of record here"):
            desk.plan_deletion("part", KEYS, ALICE, CLIENT)
        assert memos is stores.kind("part")


def test_of_two_editors_the_second_gets_what_is_there_now(office: Office) -> None:
    """Nothing of theirs is saved, and nothing of the first is lost."""
    version = hashlib.sha256(b"x").hexdigest()
    edit_first(office)
    with pytest.raises(ConflictError, match="has changed since") as conflict:
        office.desk.edit("memo", KEYS[0], version, b"mine", (BOB, CLIENT))
    assert Snapshot(KEYS[0], b"edited") == conflict.value.now
    office.memos.write(KEYS[0], None)
    with pytest.raises(ConflictError, match="is gone since") as conflict:
        office.desk.edit("memo", KEYS[0], version, b"mine", (BOB, CLIENT))
    assert conflict.value.now is None


def test_an_edit_that_comes_in_between_is_a_conflict(office: Office, monkeypatch: Any) -> None:
    """KATO changes the record after the desk has looked, and before the store is asked."""
    replace = office.memos.replace

    def late(_: MemoryRecords, snapshot: Snapshot, content: bytes) -> Outcome:
        office.memos.write(KEYS[0], b"by KATO")
        return replace(snapshot, content)

    monkeypatch.setattr(MemoryRecords, "replace", late)
    with pytest.raises(ConflictError) as conflict:
        edit_first(office)
    assert conflict.value.now is not None
    assert b"by KATO" == conflict.value.now.content
    assert b"by KATO" == office.memos.records[KEYS[0]]


def test_an_edit_that_a_client_sends_twice_is_done_and_noted_once(
    office: Office, monkeypatch: Any
) -> None:
    """The second order finds the content that the first has made."""
    replace = office.memos.replace

    def twice(_: MemoryRecords, snapshot: Snapshot, content: bytes) -> Outcome:
        replace(snapshot, content)
        return replace(snapshot, content)

    monkeypatch.setattr(MemoryRecords, "replace", twice)
    edit_first(office)
    [entry] = office.entries()
    assert ("edit", "done", hashlib.sha256(b"edited").hexdigest()) == (
        entry["action"],
        entry["result"],
        entry["after"],
    )
    assert_settled(office)


def test_an_undone_edit_can_be_done_again(office: Office) -> None:
    """An undo is an edit, and what it takes away is kept as well."""
    edit_first(office)
    undo_all(office)
    assert b"x" == office.memos.records[KEYS[0]]
    [_, undoing] = office.journal.rows("SELECT id FROM operations ORDER BY planned_at")
    office.desk.restore(undoing["id"], None, ALICE, CLIENT)
    assert b"edited" == office.memos.records[KEYS[0]]
    assert_settled(office)


def test_some_records_are_put_back_and_later_the_rest(office: Office) -> None:
    """What is back is not put back twice."""
    identity = office.delete()
    office.desk.restore(identity, [2, 3], ALICE, CLIENT)
    assert {KEYS[1]: b"xx", KEYS[2]: b"xxx"} == office.memos.records
    office.desk.restore(identity, None, ALICE, CLIENT)
    assert 5 == len(office.memos.records)
    assert_settled(office)
    with pytest.raises(StaleError, match="Nothing of this is in the trash"):
        office.desk.restore(identity, None, ALICE, CLIENT)


def test_nothing_is_put_back_over_what_has_its_name(office: Office) -> None:
    """It says so, and the record stays in the trash."""
    identity = office.delete(KEYS[0])
    office.memos.write(KEYS[0], b"new")
    undoing = office.desk.restore(identity, None, ALICE, CLIENT)
    assert {"taken": 1} == office.states(undoing)
    assert b"new" == office.memos.records[KEYS[0]]
    assert 1 == office.operations.in_trash(identity)


def test_two_operations_on_one_record_take_it_once(office: Office) -> None:
    """The second finds it missing, and the other record is right."""
    first, second = office.plan(KEYS[0]), office.plan(KEYS[0])
    office.confirm(first)
    office.confirm(second)
    assert [{"done": 1}, {"missing": 1}] == [office.states(first), office.states(second)]
    assert_settled(office)


def test_what_an_interrupted_operation_has_done_is_found_out_before_the_next(
    tmp_path: Path,
) -> None:
    """Else both would claim the same record; at whichever step the first was cut off."""
    for step in range(1, 40):
        with office_in(tmp_path / str(step)) as office:
            first, second = office.plan(KEYS[0]), office.plan(KEYS[0])
            office.memos.faults.arm(dies_at=step)
            with suppress(DiedError):
                office.confirm(first)
            if not office.memos.faults.died:
                return
            office.reopen()
            office.confirm(second)
            resume_all(office)
            done = sum(office.states(each).get("done", 0) for each in (first, second))
            assert 1 == done
            assert_settled(office)
    pytest.fail("there is no end of steps")


def test_an_operation_of_a_store_that_is_no_longer_configured_waits(office: Office) -> None:
    """It says what to set; with the store back it goes on."""
    identity = office.plan()
    office.memos.faults.arm(dies_at=12)
    with suppress(DiedError):
        office.confirm(identity)
    office.reopen()
    kinds = office.runner._stores.kinds  # noqa: SLF001 - as a start without the setting has it
    assert isinstance(kinds, dict)
    del kinds["memo"]
    office.desk.resume(identity, ALICE, CLIENT)
    assert "the store of memo records is not configured; set it, and go on" == (
        office.find(identity).problem
    )
    with pytest.raises(UnavailableError, match="not configured"):
        office.desk.restore(identity, None, ALICE, CLIENT)
    kinds["memo"] = office.memos
    office.desk.resume(identity, ALICE, CLIENT)
    assert State.DONE is office.find(identity).state


def test_the_log_says_who_went_on_with_an_operation(office: Office) -> None:
    """The records are in the name of who asked for their deletion."""
    identity = office.plan(KEYS[0])
    office.memos.faults.arm(dies_at=8)
    with suppress(DiedError):
        office.confirm(identity)
    office.reopen()
    office.desk.resume(identity, BOB, "198.51.100.1")
    assert [("bob", "198.51.100.1", "resume"), ("alice", CLIENT, "delete")] == [
        (entry["user"], entry["client"], entry["action"]) for entry in office.entries()
    ]


def test_an_operation_that_nobody_carries_out_stands_as_interrupted(office: Office) -> None:
    """The journal says that it runs, as the disk was full when that should be noted."""
    identity = office.plan(KEYS[0])
    office.operations.begin(identity, state=State.PLANNED)
    assert State.INTERRUPTED is office.desk.stands(office.find(identity)).state
    office.desk.resume(identity, ALICE, CLIENT)
    assert State.DONE is office.desk.stands(office.find(identity)).state


def test_a_browser_that_is_told_to_end_ends_after_the_batch(tmp_path: Path) -> None:
    """The rest, and what waited, is interrupted; nothing new is begun."""
    with office_in(tmp_path) as office:
        for number in range(250):
            office.memos.write(b"%d" % number, b"x")
        identity = office.plan(*(b"%d" % number for number in range(250)))
        office.memos.before_delete = office.runner._stopped.set  # noqa: SLF001 - as a signal does
        office.confirm(identity)
        assert {"done": 100, "planned": 150} == office.states(identity)
        assert State.INTERRUPTED is office.find(identity).state
        other = office.plan(KEYS[0])
        office.runner.stop()
        with pytest.raises(UnavailableError, match="about to end"):
            office.confirm(other)
        assert State.INTERRUPTED is office.find(other).state
        office.journal.close()
        office.open()
        office.memos.before_delete = None
        resume_all(office)
        assert {"done": 250} == office.states(identity)
        assert {"done": 1} == office.states(other)


def test_batches_are_bounded_in_number_and_in_bytes(office: Office, monkeypatch: Any) -> None:
    """One that has more than a batch goes alone."""
    monkeypatch.setattr("kato_exporter.browser.records.runner._BYTES_AT_ONCE", 6)
    batches: list[int] = []
    delete = office.memos.delete

    def noted(_: MemoryRecords, snapshots: Sequence[Snapshot]) -> list[Outcome]:
        batches.append(len(snapshots))
        return delete(snapshots)

    monkeypatch.setattr(MemoryRecords, "delete", noted)
    office.memos.write(b"large", b"y" * 20)
    office.delete(*KEYS, b"large")  # of 1, 2, 3, 4, 5 and 20 bytes
    assert [3, 1, 1, 1] == batches


def test_where_a_store_refuses_to_read_so_many_at_once_fewer_are(
    office: Office, monkeypatch: Any
) -> None:
    """A single one that it refuses ends the plan with its reason."""
    read = office.memos.read

    def careful(_: MemoryRecords, locators: Sequence[bytes]) -> list[Snapshot | None]:
        if len(locators) > 2 or b"huge" in locators:
            raise QueryError("too large")
        return read(locators)

    monkeypatch.setattr(MemoryRecords, "read", careful)
    assert {"planned": 5} == office.states(office.plan())
    with pytest.raises(QueryError, match="too large"):
        office.plan(*KEYS, b"huge")


def test_a_container_takes_with_it_what_is_written_meanwhile(office: Office) -> None:
    """It is emptied once more, until it is empty; all of it is in the trash."""
    news = iter([b"n1", b"n2"])

    def write() -> None:
        name = next(news, None)
        if name is not None:
            office.memos.write(name, b"new")

    office.container.writes = write
    remove_box(office)
    [operation] = office.operations.listed(None, 10)
    assert {"done": 7} == office.states(operation.id)
    gone = not office.container.there
    assert gone
    assert ["5 records from memo 0 on", "1 records from n1 on", "1 records from n2 on", "mine"] == [
        entry["record"] for entry in office.entries()
    ]
    undo_all(office)
    assert office.container.there
    assert 7 == len(office.memos.records)
    with pytest.raises(StaleError, match="Nothing of this"):
        undo_all(office)


def test_a_container_that_is_written_to_all_the_time_is_not_chased_for_ever(
    office: Office,
) -> None:
    """The operation waits, and says for what."""
    office.container.writes = lambda: office.memos.write(b"again", b"new")
    remove_box(office)
    [operation] = office.operations.listed(None, 10)
    assert "mine is written to all the time; stop its writers, and go on" == operation.problem
    office.container.writes = None
    resume_all(office)
    assert not office.container.there


def test_a_container_of_that_name_is_not_written_over(office: Office) -> None:
    """The undo waits; single records can be put into the new one."""
    remove_box(office)
    [operation] = office.operations.listed(None, 10)
    office.container.there = True
    office.memos.write(b"other", b"new")
    undo_all(office)
    [undoing] = office.operations.in_state(State.INTERRUPTED)
    assert undoing.problem is not None
    assert undoing.problem.startswith("mine is there again; nothing was put back over it.")
    office.desk.restore(operation.id, [1], ALICE, CLIENT)
    assert {b"other": b"new", KEYS[0]: b"x"} == office.memos.records


def test_the_trash_is_kept_for_seven_days(office: Office) -> None:
    """Then all of an operation goes but its entries of the log; not what is interrupted."""
    old, young, planned = office.delete(KEYS[0]), office.delete(KEYS[1]), office.plan(KEYS[2])
    interrupted = office.plan(KEYS[3])
    office.memos.faults.arm(dies_at=12)
    with suppress(DiedError):
        office.confirm(interrupted)
    office.reopen()
    source = office.delete(KEYS[4])
    office.memos.write(KEYS[4], None)
    office.memos.faults.arm(fails_at=1)
    undoing = office.desk.restore(source, None, ALICE, CLIENT)
    office.memos.faults.arm()
    assert State.INTERRUPTED is office.find(undoing).state
    entries = office.entries()
    for identity in (old, source, interrupted, undoing):
        age(office, identity, planned_at=TRASH_SECONDS + 1, begun_at=TRASH_SECONDS + 1)
        age(office, identity, ended_at=TRASH_SECONDS + 1)
    age(office, young, ended_at=TRASH_SECONDS - 60)
    age(office, planned, planned_at=PLAN_SECONDS + 1)
    assert 2 == office.operations.purge()
    office.operations.shrink()
    left = {row["id"] for row in office.journal.rows("SELECT id FROM operations")}
    assert {young, interrupted, source, undoing} == left
    assert [] == office.journal.rows(
        "SELECT 1 FROM items WHERE operation NOT IN (SELECT id FROM operations)"
    )
    assert entries == office.entries()
    assert [{"freelist_count": 0}] == office.journal.rows("PRAGMA freelist_count")
    office.desk.resume(undoing, ALICE, CLIENT)
    assert b"x" * 5 == office.memos.records[KEYS[4]]


def test_names_with_line_ends_and_halves_of_characters_do_no_harm(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are one entry of the log, which verifies, and no line of their own anywhere."""
    name = b'a\n2026 [info] forged=1\r\x1b[31m\0\xff"'
    office.memos.write(name, b"content")
    identity = office.delete(name)
    [entry] = office.entries()
    assert entry["record"] == name.decode("utf-8", "backslashreplace").replace("\\xff", "\\udcff")
    assert audit.verify(office.directory).fault is None
    assert [json.loads(json.dumps(entry))] == office.entries()
    office.desk.restore(identity, None, ALICE, CLIENT)
    assert b"content" == office.memos.records[name]
    assert "forged" not in capsys.readouterr().out
    eventually(lambda: audit.verify(office.directory).entries == 2, within=1, what="noted")
