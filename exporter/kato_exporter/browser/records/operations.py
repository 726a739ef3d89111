"""Operations as the journal has them: what was asked for, and what became of each record."""

import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kato_exporter.browser.records.audit import Author
from kato_exporter.browser.records.journal import Journal, Row
from kato_exporter.stores.records import Outcome, Snapshot

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
    is kept, and something else has its place now.
    """

    PLANNED = "planned"
    KEPT = "kept"
    UNCLEAR = "unclear"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A record that an operation is for; `source` is the item that a restoring one puts back."""

    kind: str
    locator: bytes
    label: str
    version: str | None = None
    state: str = ItemState.PLANNED
    after: bytes | None = None
    source: tuple[str, int] | None = None


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


class Operations:
    """The operations of a journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def plan(self, plan: Plan, author: Author) -> str:
        """Note what is to be done, and give the operation's id."""
        identity = secrets.token_hex(16)
        with self.journal.transaction():
            self.journal.write(
                "INSERT INTO operations (id, action, target, user, client, state, digest, undoes,"
                " notes, planned_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    *(identity, plan.action, plan.target, author.user, author.client),
                    *(State.PLANNED, plan.digest, plan.undoes),
                    *(json.dumps(list(plan.notes)), time.time()),
                ],
            )
            self.journal.write_many(
                "INSERT INTO containers (operation, number, kind, name, description, state)"
                " VALUES (?, ?, ?, ?, ?, 'planned')",
                [(identity, number, *each) for number, each in enumerate(plan.containers, start=1)],
            )
            self.append(identity, plan.items)
        return identity

    def append(self, operation: str, items: Sequence[Planned]) -> list[Item]:
        """Add records to an operation, and give them as items."""
        with self.journal.transaction():
            [last] = self.journal.rows(
                "SELECT coalesce(max(number), 0) AS number FROM items WHERE operation = ?",
                [operation],
            )
            first = last["number"] + 1
            self.journal.write_many(
                "INSERT INTO items (operation, number, kind, locator, label, version, state, after,"
                " source_operation, source_number) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        *(operation, number, item.kind, item.locator, item.label, item.version),
                        *(item.state, item.after, *(item.source or (None, None))),
                    )
                    for number, item in enumerate(items, start=first)
                ],
            )
            return self.items(operation, above=first - 1, limit=len(items))

    def find(self, operation: str) -> Operation | None:
        """Give an operation, None where there is none."""
        row = self.journal.row("SELECT * FROM operations WHERE id = ?", [operation])
        return None if row is None else Operation.of(row)

    def change(self, operation: str, **columns: Any) -> None:
        """Set columns of an operation."""
        _set(self.journal, "operations", "id = :id", columns, {"id": operation})

    def containers(self, operation: str) -> list[Row]:
        """Give the containers that an operation removes or makes again, in order."""
        return self.journal.rows(
            "SELECT * FROM containers WHERE operation = ? ORDER BY number", [operation]
        )

    def change_container(self, container: Row, **columns: Any) -> None:
        """Set columns of a container."""
        place = {"operation": container["operation"], "number": container["number"]}
        condition = "operation = :operation AND number = :number"
        _set(self.journal, "containers", condition, columns, place)

    def items(self, operation: str, *, above: int = 0, limit: int) -> list[Item]:
        """Give records of an operation in order, after the number given."""
        return self.journal.rows(
            "SELECT operation, number, kind, locator, label, version, state, batch, kept_at,"
            " undone_by, source_operation, source_number, content IS NOT NULL AS in_trash"
            " FROM items WHERE operation = ? AND number > ? ORDER BY number LIMIT ?",
            [operation, above, limit],
        )

    def portions(self, operation: str, state: str, at_once: int) -> Iterator[list[Item]]:
        """Give the records in one state, a portion at a time, each of one kind; with blobs.

        What the caller does to a portion may put its records into another state.
        """
        above = 0
        while True:
            rows = self.journal.rows(
                "SELECT * FROM items WHERE operation = ? AND state = ? AND number > ?"
                " ORDER BY number LIMIT ?",
                [operation, state, above, at_once],
            )
            if not rows:
                return
            portion = [row for row in rows if row["kind"] == rows[0]["kind"]]
            above = portion[-1]["number"]
            yield portion

    def unsettled(self, operation: str) -> dict[str, list[Item]]:
        """Give the records whose consequences may not be settled, by batch; with blobs."""
        batches: dict[str, list[Item]] = {}
        for row in self.journal.rows(
            "SELECT * FROM items WHERE operation = ? AND settled = 0 AND state = 'done'"
            " ORDER BY number",
            [operation],
        ):
            batches.setdefault(row["batch"], []).append(row)
        return batches

    def item(self, operation: str, number: int) -> Item | None:
        """Give one record of an operation; with blobs."""
        return self.journal.row(
            "SELECT * FROM items WHERE operation = ? AND number = ?", [operation, number]
        )

    def keep(self, items: Sequence[Item], snapshots: Sequence[Snapshot], batch: str) -> None:
        """Put records into the trash, before anything is done to them."""
        now = time.time()
        self.journal.write_many(
            "UPDATE items SET state = 'kept', batch = ?, kept_at = ?, version = ?, content = ?,"
            " surroundings = ? WHERE operation = ? AND number = ?",
            [
                (
                    *(batch, now, snapshot.version, snapshot.content, snapshot.surroundings),
                    *(item["operation"], item["number"]),
                )
                for item, snapshot in zip(items, snapshots, strict=True)
            ],
        )

    def mark(self, items: Sequence[Item], states: Sequence[str], **columns: Any) -> None:
        """Note what became of records, and set columns of them all.

        What was kept of a record that stays as it is leaves the trash.
        """
        more = "".join(f", {name} = :{name}" for name in columns)
        stays = {Outcome.CHANGED, Outcome.MISSING, Outcome.EXPIRED, ItemState.PLANNED}
        with self.journal.transaction():
            for item, state in zip(items, states, strict=True):
                place = {"operation": item["operation"], "number": item["number"], "state": state}
                emptied = ", content = NULL, surroundings = NULL" if state in stays else ""
                self.journal.write(
                    f"UPDATE items SET state = :state{more}{emptied}"  # noqa: S608 - names are ours
                    " WHERE operation = :operation AND number = :number",
                    place | columns,
                )

    def take_out(self, items: Sequence[Item], *, undone_by: str) -> None:
        """Take records out of the trash that were put back."""
        self.journal.write_many(
            "UPDATE items SET content = NULL, surroundings = NULL, after = NULL, undone_by = ?"
            " WHERE operation = ? AND number = ?",
            [(undone_by, item["operation"], item["number"]) for item in items],
        )

    def restorable(self, operation: str, numbers: Sequence[int] | None) -> list[Item]:
        """Give the records of an operation that the trash holds, or those of certain numbers."""
        rows = self.journal.rows(
            "SELECT operation, number, kind, locator, label, version FROM items"
            " WHERE operation = ? AND content IS NOT NULL AND state IN ('done', 'unclear')"
            " ORDER BY number",
            [operation],
        )
        chosen = None if numbers is None else set(numbers)
        return rows if chosen is None else [row for row in rows if row["number"] in chosen]

    def states(self, operation: str) -> dict[str, int]:
        """Count the records of an operation by what became of them."""
        rows = self.journal.rows(
            "SELECT state, count(*) AS number FROM items WHERE operation = ? GROUP BY state",
            [operation],
        )
        return {row["state"]: row["number"] for row in rows}

    def in_trash(self, operation: str) -> int:
        """Count the records of an operation that can be put back."""
        [row] = self.journal.rows(
            "SELECT count(*) AS number FROM items WHERE operation = ? AND content IS NOT NULL"
            " AND state IN ('done', 'unclear')",
            [operation],
        )
        return int(row["number"])

    def listed(self, before: tuple[float, str] | None, limit: int) -> list[Operation]:
        """Give operations, the newest first, before a time and id."""
        moment, identity = before or (float("inf"), "")
        return [
            Operation.of(row)
            for row in self.journal.rows(
                "SELECT * FROM operations WHERE state <> 'planned' AND (planned_at, id) < (?, ?)"
                " ORDER BY planned_at DESC, id DESC LIMIT ?",
                [moment, identity, limit],
            )
        ]

    def unfinished(self) -> list[Operation]:
        """Give the operations that were running when the process ended."""
        rows = self.journal.rows("SELECT * FROM operations WHERE state = ?", [State.RUNNING])
        return [Operation.of(row) for row in rows]

    def purge(self) -> int:
        """Empty the trash of what is older than seven days, and forget plans that have expired.

        Gives how many records were taken out.
        """
        now = time.time()
        with self.journal.transaction():
            self.journal.write(
                "DELETE FROM operations WHERE state = 'planned' AND planned_at < ?",
                [now - PLAN_SECONDS],
            )
            purged = self.journal.write(
                "UPDATE items SET content = NULL, surroundings = NULL, after = NULL"
                " WHERE content IS NOT NULL AND kept_at < ? AND operation NOT IN"
                " (SELECT id FROM operations WHERE state IN ('running', 'interrupted'))",
                [now - TRASH_SECONDS],
            )
        self.journal.rows("PRAGMA incremental_vacuum")
        return purged


def clean(text: str) -> str:
    """Give a text that UTF-8 can carry: half of a surrogate pair becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def snapshot_of(item: Item) -> Snapshot:
    """Give what is kept of a record; `item` with blobs."""
    return Snapshot(item["locator"], item["content"], item["surroundings"])


def _set(
    journal: Journal, table: str, condition: str, columns: dict[str, Any], place: dict[str, Any]
) -> None:
    settings = ", ".join(f"{name} = :{name}" for name in columns)
    journal.write(
        f"UPDATE {table} SET {settings} WHERE {condition}",  # noqa: S608 - names are ours
        columns | place,
    )
