"""A kind of record in memory, for tests of what carries writes out; it fails on command."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from kato_exporter.browser.records.journal import FILE_NAME, Journal
from kato_exporter.stores.errors import NotChangeableError, QueryError, StoreError
from kato_exporter.stores.records import Outcome, Snapshot

REFUSED_CONTENT = b"refused"
"""The content of a record that the store neither deletes nor takes."""

HUGE_CONTENT = b"huge"
"""The content of a record that is too large to be kept."""


class DiedError(BaseException):
    """The process has ended here, as by SIGKILL: nothing catches it."""


@dataclass(slots=True)
class Faults:
    """What goes wrong, and when: counted in steps from the last `arm` on.

    A step is before and after everything that the store or the journal does, and between two
    records of one request.
    """

    step: int = 0
    dies_at: int | None = None
    fails_at: int | None = None
    late: bool = False
    died: bool = False

    def arm(
        self, *, dies_at: int | None = None, fails_at: int | None = None, late: bool = False
    ) -> None:
        """Begin to count anew; with `late` an order that failed is carried out later after all."""
        self.step, self.died = 0, False
        self.dies_at, self.fails_at, self.late = dies_at, fails_at, late

    def pass_step(self, *, store: bool) -> None:
        """Go on, or die, or where the store is at work fail."""
        self.step += 1
        if self.died or self.step == self.dies_at:
            self.died = True
            raise DiedError
        if store and self.fails_at is not None and self.step >= self.fails_at:
            self.fails_at = None
            raise StoreError("the store has gone away")


class DyingJournal(Journal):
    """The journal, with a step before each transaction, before its end, and after it."""

    def __init__(self, directory: Path, faults: Faults) -> None:
        self._faults = faults
        directory.mkdir(exist_ok=True)
        if not (directory / FILE_NAME).exists():
            (directory / FILE_NAME).write_bytes(_empty_journal())
        super().__init__(directory)
        self._connection.execute("PRAGMA synchronous = OFF")  # it is the process that dies here

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do what the journal does."""
        outermost = not self._depth
        if outermost:
            self._faults.pass_step(store=False)
        with super().transaction():
            yield
            if outermost:
                self._faults.pass_step(store=False)
        if outermost:
            self._faults.pass_step(store=False)


@cache
def _empty_journal() -> bytes:
    """Give the file of a journal that is new, since to make one takes the disk a while."""
    with tempfile.TemporaryDirectory() as directory:
        with Journal(Path(directory)):
            pass
        return (Path(directory) / FILE_NAME).read_bytes()


@dataclass(slots=True)
class MemoryRecords:
    """Records by name; `total` is what another record says of them: how many bytes they have.

    `owed` is what we have taken out of the store and not put back: locator and content. `taken` is
    all that we ever took. `late` are orders that are still on their way.
    """

    faults: Faults = field(default_factory=Faults)
    name: str = "memo"
    store: str = "memory"
    records: dict[bytes, bytes] = field(default_factory=dict)
    total: int = 0
    marks: set[str] = field(default_factory=set)
    owed: list[tuple[bytes, bytes]] = field(default_factory=list)
    taken: list[tuple[bytes, bytes]] = field(default_factory=list)
    late: list[Snapshot] = field(default_factory=list)
    before_delete: Callable[[], None] | None = None

    def write(self, locator: bytes, content: bytes | None) -> None:
        """Write or remove a record as KATO does, with its part of the total."""
        self.total -= len(self.records.pop(locator, b""))
        if content is not None:
            self.records[locator] = content
            self.total += len(content)

    def arrive(self) -> None:
        """Carry the orders out that were on their way."""
        late, self.late = self.late, []
        for snapshot in late:
            self._delete(snapshot)

    def label(self, locator: bytes) -> str:
        """Name a record."""
        if locator.startswith(b"garbage"):
            raise QueryError("this is no locator")
        return locator.decode("utf-8", "surrogateescape")

    def path(self, locator: bytes) -> str:
        """Give a path."""
        return f"/memos/{locator.hex()}"

    def read(self, locators: Sequence[bytes]) -> list[Snapshot | None]:
        """Read records."""
        self.faults.pass_step(store=True)
        if any(self.records.get(locator) == HUGE_CONTENT for locator in locators):
            raise NotChangeableError("this is too large to be kept")
        return [
            Snapshot(locator, self.records[locator]) if locator in self.records else None
            for locator in locators
        ]

    def delete(self, snapshots: Sequence[Snapshot]) -> list[Outcome]:
        """Delete records that are unchanged."""
        if self.before_delete is not None:
            self.before_delete()
        self._refuse(snapshots)
        outcomes = []
        try:
            for snapshot in snapshots:
                self.faults.pass_step(store=True)
                outcomes.append(self._delete(snapshot))
            self.faults.pass_step(store=True)
        except (StoreError, DiedError):
            if self.faults.late:
                self.late += snapshots[len(outcomes) :]
            raise
        return outcomes

    def replace(self, snapshot: Snapshot, content: bytes) -> Outcome:
        """Give an unchanged record another content."""
        self.faults.pass_step(store=True)
        now = self.records.get(snapshot.locator)
        if now is None:
            return Outcome.MISSING
        if now != snapshot.content:
            return Outcome.CHANGED
        self.records[snapshot.locator] = content
        self._gone(snapshot)
        self._came(Snapshot(snapshot.locator, content))
        self.faults.pass_step(store=True)
        return Outcome.DONE

    def restore(self, snapshots: Sequence[Snapshot]) -> list[Outcome]:
        """Put records back where there is none."""
        self._refuse(snapshots)
        outcomes = []
        for snapshot in snapshots:
            self.faults.pass_step(store=True)
            now = self.records.get(snapshot.locator)
            if now is None:
                self.records[snapshot.locator] = snapshot.content
                self._came(snapshot)
            same = now in (None, snapshot.content)
            outcomes.append(Outcome.DONE if same else Outcome.TAKEN)
        self.faults.pass_step(store=True)
        return outcomes

    def settle(self, snapshots: Sequence[Snapshot], *, sign: int, mark: str) -> None:
        """Adjust the total, once for a mark."""
        self.faults.pass_step(store=True)
        if mark not in self.marks:
            self.marks.add(mark)
            self.total += sign * sum(len(snapshot.content) for snapshot in snapshots)
        self.faults.pass_step(store=True)

    def forget(self, snapshots: Sequence[Snapshot], *, mark: str) -> None:
        """Forget a mark."""
        assert snapshots
        self.faults.pass_step(store=True)
        self.marks.discard(mark)
        self.faults.pass_step(store=True)

    def references(self, snapshots: Sequence[Snapshot]) -> list[str]:
        """Say what refers to records."""
        return [f"The total has {len(snapshots)} of them."]

    def _delete(self, snapshot: Snapshot) -> Outcome:
        now = self.records.get(snapshot.locator)
        if now is None:
            return Outcome.MISSING
        if now != snapshot.content:
            return Outcome.CHANGED
        del self.records[snapshot.locator]
        self._gone(snapshot)
        return Outcome.DONE

    def _gone(self, snapshot: Snapshot) -> None:
        self.owed.append((snapshot.locator, snapshot.content))
        self.taken.append((snapshot.locator, snapshot.content))

    def _came(self, snapshot: Snapshot) -> None:
        if (snapshot.locator, snapshot.content) in self.owed:
            self.owed.remove((snapshot.locator, snapshot.content))

    def _refuse(self, snapshots: Sequence[Snapshot]) -> None:
        self.faults.pass_step(store=True)
        if any(snapshot.content == REFUSED_CONTENT for snapshot in snapshots):
            raise QueryError("this is refused")


@dataclass(slots=True)
class MemoryContainer:
    """Something that holds all records of a kind; `there` says whether it is."""

    kind: MemoryRecords
    there: bool = True
    description: bytes = b"as it was"
    writes: Callable[[], None] | None = None

    def describe(self) -> bytes | None:
        """Describe it."""
        return self.description if self.there else None

    def locators(self, at_once: int) -> Iterator[list[bytes]]:
        """Name its records."""
        if not self.there:
            raise QueryError("there is nothing of that name")
        names = sorted(self.kind.records)
        for start in range(0, len(names), at_once):
            yield names[start : start + at_once]

    def count(self) -> int | None:
        """Count its records."""
        return len(self.kind.records)

    def remove(self) -> bool:
        """Remove it, if it is empty."""
        if self.writes is not None:
            self.writes()
        self.kind.faults.pass_step(store=True)
        if self.kind.records:
            return False
        self.there = False
        self.kind.faults.pass_step(store=True)
        return True

    def make(self, description: bytes) -> Outcome:
        """Make it again."""
        self.kind.faults.pass_step(store=True)
        if self.there and self.kind.records:
            return Outcome.TAKEN
        assert description == self.description
        self.there = True
        self.kind.faults.pass_step(store=True)
        return Outcome.DONE
