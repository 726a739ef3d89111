"""What is to be done to records, and where it stands; no I/O."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from kato_exporter.browser.records.audit import Author
from kato_exporter.browser.records.journal import Row
from kato_exporter.stores.records import Snapshot

PLAN_SECONDS = 15 * 60
"""How long a preview can be confirmed."""

TRASH_SECONDS = 7 * 24 * 3600
"""How long is kept what was deleted or changed."""

Item = Row
"""A row of `items`; of its blobs only the locator, where nothing else is said."""


class Action(StrEnum):
    """What an operation does; REMOVE takes a container with all its records."""

    DELETE = "delete"
    REMOVE = "remove"
    EDIT = "edit"
    RESTORE = "restore"


class State(StrEnum):
    """Where an operation stands."""

    PLANNED = "planned"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    DONE = "done"


class ItemState(StrEnum):
    """What became of a record, besides the values of Outcome.

    `KEPT`: it is in the journal, and nobody knows yet whether the store has followed. `UNCLEAR`: it
    is kept, and something else has its place now. `REFUSED`: the store did not take it.
    """

    PLANNED = "planned"
    KEPT = "kept"
    UNCLEAR = "unclear"
    REFUSED = "refused"


class Aftermath(StrEnum):
    """What other records have yet to be told of one that was changed.

    `DUE`: they may not have been adjusted. `SETTLED`: they are, and bear a mark of that. `OVER`:
    they are, without a mark.
    """

    NONE = "none"
    DUE = "due"
    SETTLED = "settled"
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An operation, without its records; times are in epoch seconds."""

    id: str
    action: Action
    target: str
    user: str
    client: str
    state: State
    digest: str
    undoes: str | None
    notes: tuple[str, ...]
    problem: str | None
    planned_at: float
    begun_at: float | None
    ended_at: float | None

    @classmethod
    def of(cls, row: Row) -> "Operation":
        """Read a row."""
        changed = {
            "action": Action(row["action"]),
            "state": State(row["state"]),
            "notes": tuple(json.loads(row["notes"])),
        }
        return cls(**{**row, **changed})

    @property
    def author(self) -> Author:
        """Who asked for it, and from where."""
        return Author(self.user, self.client)

    @property
    def expires_at(self) -> float:
        """When it can no longer be confirmed."""
        return self.planned_at + PLAN_SECONDS

    @property
    def has_expired(self) -> bool:
        """Tell whether it is a plan that can no longer be confirmed."""
        return self.state is State.PLANNED and self.expires_at < time.time()


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A record that an operation is for; `size` is that of its content, in bytes."""

    kind: str
    locator: bytes
    label: str
    version: str | None = None
    state: str = ItemState.PLANNED
    size: int = 0
    after: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done, and to what.

    `containers` are kind, name and, where they are to be made again, description. `notes` are
    sentences for whoever confirms it. `undoes` is the operation that it takes back.
    """

    action: Action
    target: str
    items: Sequence[Planned] = ()
    containers: Sequence[tuple[str, str, bytes | None]] = ()
    notes: Sequence[str] = ()
    undoes: str | None = None

    @property
    def digest(self) -> str:
        """The SHA-256 over exactly these records, with the versions that were shown."""
        hashed = hashlib.sha256()
        parts = [
            *((i.kind.encode(), i.locator, (i.version or "").encode()) for i in self.items),
            *((kind.encode(), name.encode(), b"") for kind, name, _ in self.containers),
        ]
        for part in parts:
            for piece in part:
                hashed.update(len(piece).to_bytes(8, "big") + piece)
        return hashed.hexdigest()


def clean(text: str) -> str:
    """Give a text that UTF-8 can carry: half of a surrogate pair becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def snapshot_of(item: Item) -> Snapshot:
    """Give what is kept of a record; `item` with blobs."""
    return Snapshot(item["locator"], item["content"], item["surroundings"])


def edited(item: Item) -> Snapshot:
    """Give what a record became by an edit; `item` with blobs."""
    return Snapshot(item["locator"], item["after"], item["surroundings"] or b"")
