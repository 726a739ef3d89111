"""How records are changed, whatever store holds them: kept first, changed only if unchanged.

A kind of record is read exactly, deleted or replaced on condition that it still is what was read,
and put back. What a kind keeps of a record is its own business, and enough for an identical one.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """What became of one record.

    `CHANGED`: it is no longer what was kept, so nothing was done. `MISSING`: it is gone. `TAKEN`:
    something else has its name, so it was not put back. `EXPIRED`: by now it would have ended.
    """

    DONE = "done"
    CHANGED = "changed"
    MISSING = "missing"
    TAKEN = "taken"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A record as it was read: where it is, and all that it takes to make it again.

    `locator` is found again with `RecordKind.read`; `content` is what the record says, of which
    `version` is the hash; `surroundings` is the rest, such as an expiry, which may change without
    the record being another. All three are for the kind alone to read.
    """

    locator: bytes
    content: bytes
    surroundings: bytes = b""

    @property
    def version(self) -> str:
        """The SHA-256 of the content, in hex."""
        return hashlib.sha256(self.content).hexdigest()


class RecordKind(Protocol):
    """One kind of record of one store.

    Every method raises StoreError where the store gives no answer, after which nobody knows whether
    something was done; and QueryError where the store refuses, after which nothing was done: one
    that is NotChangeableError where that is for good, because of one of the records.
    """

    @property
    def name(self) -> str:
        """What people call it, in the singular: `session`, `pattern`, `Redis key`."""

    @property
    def store(self) -> str:
        """The value of the label `store`."""

    def label(self, locator: bytes) -> str:
        """Name a record for people, in one line."""

    def path(self, locator: bytes) -> str:
        """Give the browser's path of a record."""

    def read(self, locators: Sequence[bytes]) -> list[Snapshot | None]:
        """Read records exactly, in this order; None for one that is not there."""

    def delete(self, snapshots: Sequence[Snapshot]) -> list[Outcome]:
        """Delete each record that still has this content: DONE, CHANGED or MISSING."""

    def replace(self, snapshot: Snapshot, content: bytes) -> Outcome:
        """Give a record another content if it still has this one: DONE, CHANGED or MISSING.

        What surrounds it, such as its expiry, stays.
        """

    def restore(self, snapshots: Sequence[Snapshot]) -> list[Outcome]:
        """Put records back where nothing has their name: DONE, TAKEN or EXPIRED.

        DONE also where exactly this record is there, so that it can be asked twice.
        """

    def settle(self, snapshots: Sequence[Snapshot], *, sign: int, mark: str) -> None:
        """Adjust what other records say of these: `sign` -1 once deleted, 1 once restored.

        It can be asked again with the same mark, and changes nothing a second time.
        """

    def forget(self, snapshots: Sequence[Snapshot], *, mark: str) -> None:
        """Remove the traces by which `settle` knows what it has done."""

    def references(self, snapshots: Sequence[Snapshot]) -> list[str]:
        """Say, in a sentence each, what else refers to these records and is kept right."""


class Container(Protocol):
    """Something that holds records and goes with them: a knowledge base, a collection of vectors.

    It is emptied record by record, so that what is written meanwhile is not lost unseen.
    """

    @property
    def kind(self) -> RecordKind:
        """The kind of its records."""

    def describe(self) -> bytes | None:
        """Give what it takes to make it again, without its records; None where there is none."""

    def locators(self, at_once: int) -> Iterator[list[bytes]]:
        """Name its records, in portions."""

    def count(self) -> int | None:
        """Count its records from metadata; None where that cannot be told."""

    def remove(self) -> bool:
        """Remove it if it is empty; False where it holds records."""

    def make(self, description: bytes) -> Outcome:
        """Make it again, empty: DONE, or TAKEN where one of its name is there."""
