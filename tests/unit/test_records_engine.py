"""Writes as they are carried out, on records in memory: whatever fails, nothing is lost.

The process dies, or the store, at every step there is; then all is opened again.
"""

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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
from kato_exporter.browser.records.operations import (
    PLAN_SECONDS,
    TRASH_SECONDS,
    Operation,
    Operations,
    State,
)
from kato_exporter.browser.records.runner import Runner
from kato_exporter.browser.records.stores_at_hand import StoresAtHand
from kato_exporter.browser.users import User
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.records import Container, Outcome, Snapshot
from support.memory_records import (
    REFUSED_CONTENT,
    DiedError,
    DyingJournal,
    Faults,
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
        if entry["kind"] == "memo"
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
        self.office.desk._limit_rate = lambda _: None  # type: ignore[method-assign]  # noqa: SLF001
        self.planned: dict[str, set[tuple[bytes, bytes]]] = {}
        self.confirmed: set[tuple[bytes, bytes]] = set()
        self.certain = True

    def teardown(self) -> None:
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
        for key, content in zip(KEYS, contents, strict=False):
            self.memos.write(key, content)

    @rule(key=keys, content=strategies.none() | contents)
    def change_by_kato(self, key: bytes, content: bytes | None) -> None:
        in_flight = self.office.journal.rows(
            "SELECT 1 FROM items WHERE locator = ? AND state = 'kept'", [key]
        )
        self.certain = self.certain and not in_flight
        self.memos.write(key, content)

    @rule()
    def late_orders_arrive(self) -> None:
        self.memos.arrive()

    @rule(chosen=strategies.sets(keys, min_size=1))
    def plan(self, chosen: set[bytes]) -> None:
        identity = self.office.plan(*sorted(chosen))
        self.planned[identity] = {
            (key, self.memos.records[key]) for key in chosen if key in self.memos.records
        }

    @precondition(lambda self: self.planned)
    @rule(data=strategies.data(), dies=strategies.booleans(), at=strategies.integers(0, 40))
    def confirm(self, data: strategies.DataObject, *, dies: bool, at: int) -> None:
        identity = data.draw(strategies.sampled_from(list(self.planned)))
        late = data.draw(strategies.booleans())
        self.confirmed |= self.planned.pop(identity)
        self._with_faults(
            lambda: self.office.confirm(identity), dies=dies, at=at, late=late and at > 0
        )

    @rule(key=keys, content=contents, dies=strategies.booleans(), at=strategies.integers(0, 30))
    def edit(self, key: bytes, content: bytes, *, dies: bool, at: int) -> None:
        now = self.memos.records.get(key)
        if now is None:
            return
        version = hashlib.sha256(now).hexdigest()
        self.confirmed.add((key, now))
        self.confirmed.add((key, content))  # an undo takes that away again
        self._with_faults(
            lambda: self.office.desk.edit("memo", key, version, content, (ALICE, CLIENT)),
            dies=dies,
            at=at,
        )

    @rule(data=strategies.data(), dies=strategies.booleans(), at=strategies.integers(0, 40))
    def resume(self, data: strategies.DataObject, *, dies: bool, at: int) -> None:
        identity = self._one_of(data, "state = 'interrupted'")
        if identity is not None:
            self._with_faults(
                lambda: self.office.desk.resume(identity, BOB, CLIENT), dies=dies, at=at
            )

    @rule(data=strategies.data(), dies=strategies.booleans(), at=strategies.integers(0, 40))
    def undo(self, data: strategies.DataObject, *, dies: bool, at: int) -> None:
        identity = self._one_of(data, "action <> 'restore' AND state IN ('interrupted', 'done')")
        numbers = data.draw(strategies.none() | strategies.just([1, 2]))
        if identity is not None:
            self._with_faults(
                lambda: self.office.desk.restore(identity, numbers, ALICE, CLIENT),
                dies=dies,
                at=at,
            )

    @invariant()
    def nothing_is_lost(self) -> None:
        assert_nothing_lost(self.office)

    @invariant()
    def only_what_was_confirmed_has_gone(self) -> None:
        assert set(self.memos.taken) <= self.confirmed

    @invariant()
    def the_log_is_whole(self) -> None:
        assert audit.verify(self.office.directory).fault is None

    def _one_of(self, data: strategies.DataObject, condition: str) -> str | None:
        rows = self.office.journal.rows(
            f"SELECT id FROM operations WHERE {condition} ORDER BY planned_at"  # noqa: S608 - ours
        )
        identities = [row["id"] for row in rows]
        return data.draw(strategies.sampled_from(identities)) if identities else None

    def _with_faults(
        self, act: Callable[[], object], *, dies: bool, at: int, late: bool = False
    ) -> None:
        """Act; where `at` is not 0 the process dies at that step, or the store fails from it on."""
        if at:
            self.memos.faults.arm(**{"dies_at" if dies else "fails_at": at}, late=late)
            self.certain = self.certain and not late
        with suppress(DiedError, RefusedError, StoreError):
            act()
        if self.memos.faults.died:
            self.office.reopen()
            self.office.desk._limit_rate = lambda _: None  # type: ignore[method-assign]  # noqa: SLF001
        self.memos.faults.arm()

    def _assert_total(self) -> None:
        """Compare what is said of records with the records, where nothing has become unclear."""
        unfinished = self.office.operations.in_state(State.INTERRUPTED)
        if self.certain and not any(map(self._in_flight, unfinished)):
            assert sum(map(len, self.memos.records.values())) == self.memos.total
            assert set() == self.memos.marks

    def _in_flight(self, operation: Operation) -> bool:
        return self.office.operations.in_flight(operation.id)


AnyOrder.TestCase.settings = settings(max_examples=500, stateful_step_count=20, deadline=None)
TestAnyOrder = AnyOrder.TestCase
