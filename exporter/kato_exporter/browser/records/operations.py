"""Operations as the journal has them: what was asked for, and what became of each record."""

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from kato_exporter.browser.records.audit import Author
from kato_exporter.browser.records.journal import Journal, Row
from kato_exporter.browser.records.plans import (
    PLAN_SECONDS,
    TRASH_SECONDS,
    Aftermath,
    Item,
    ItemState,
    Operation,
    Plan,
    Planned,
    State,
)
from kato_exporter.stores.records import Outcome, Snapshot

_MOST_NOTES = 20
_FORGOTTEN_AT_ONCE = 500
_VACUUMED_AT_ONCE = 1_000

_PLAIN_COLUMNS = (
    "operation, number, kind, locator, label, version, state, size, batch, aftermath, doubtful,"
    " kept_at, undone_by, source_operation, source_number"
)
_RESTORABLE = "state IN ('planned', 'done', 'missing', 'unclear')"
_IN_TRASH = f"operation = :source AND content IS NOT NULL AND {_RESTORABLE}"
_STAYS = frozenset({Outcome.CHANGED, Outcome.EXPIRED, ItemState.REFUSED})


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

    def take_from_trash(self, operation: str, source: str, numbers: Sequence[int] | None) -> None:
        """Plan to put back what the trash has of another operation, or its records by number."""
        chosen = "" if numbers is None else " AND number IN (SELECT value FROM json_each(:numbers))"
        self.journal.write(
            "INSERT INTO items (operation, number, kind, locator, label, version, state, size,"  # noqa: S608 - ours
            " source_operation, source_number)"
            " SELECT :operation, row_number() OVER (ORDER BY number), kind, locator, label,"
            f" version, 'planned', size, operation, number FROM items WHERE {_IN_TRASH}{chosen}",
            {"operation": operation, "source": source, "numbers": json.dumps(numbers)},
        )

    def edit_back(self, operation: str) -> None:
        """Make edits of records that are to be put back: to what they were.

        So what they became by the edits that are undone is kept in its turn.
        """
        self.journal.write(
            "UPDATE items SET version = NULL, after = (SELECT source.content FROM items AS source"
            " WHERE source.operation = items.source_operation"
            " AND source.number = items.source_number) WHERE operation = ?",
            [operation],
        )

    def append(self, operation: str, items: Sequence[Planned]) -> list[Item]:
        """Add records to an operation, and give them as items."""
        with self.journal.transaction():
            [last] = self.journal.rows(
                "SELECT coalesce(max(number), 0) AS number FROM items WHERE operation = ?",
                [operation],
            )
            first = last["number"] + 1
            self.journal.write_many(
                "INSERT INTO items (operation, number, kind, locator, label, version, state, size,"
                " after) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        *(operation, number, item.kind, item.locator, item.label, item.version),
                        *(item.state, item.size, item.after),
                    )
                    for number, item in enumerate(items, start=first)
                ],
            )
            return self.items(operation, above=first - 1, limit=len(items))

    def find(self, operation: str) -> Operation | None:
        """Give an operation, None where there is none."""
        row = self.journal.row("SELECT * FROM operations WHERE id = ?", [operation])
        return None if row is None else Operation.of(row)

    def begin(self, operation: str, *, state: State) -> bool:
        """Let an operation in this state run; False where it is in another, or has expired."""
        now = time.time()
        begun = self.journal.write(
            "UPDATE operations SET state = 'running', begun_at = coalesce(begun_at, :now),"
            " ended_at = NULL WHERE id = :id AND state = :state"
            " AND (state <> 'planned' OR planned_at >= :oldest)",
            {"id": operation, "state": state, "now": now, "oldest": now - PLAN_SECONDS},
        )
        return begun == 1

    def end(self, operation: str, *, state: State, problem: str | None = None) -> bool:
        """Note that an operation in this state has ended for good; False where it is in another."""
        ended = self.journal.write(
            "UPDATE operations SET state = 'done', ended_at = ?, problem = ?"
            " WHERE id = ? AND state = ?",
            [time.time(), problem, operation, state],
        )
        return ended == 1

    def add_note(self, operation: str, note: str) -> None:
        """Add a sentence for whoever reads of an operation, one of a few."""
        found = self.find(operation)
        if found is not None and note not in found.notes and len(found.notes) < _MOST_NOTES:
            self.change(operation, notes=json.dumps([*found.notes, note]))

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

    def put_container_back(self, operation: str, container: Row) -> None:
        """Note that a container that an operation had removed is there again."""
        self.journal.write(
            "UPDATE containers SET state = 'put back'"
            " WHERE operation = ? AND kind = ? AND name = ?",
            [operation, container["kind"], container["name"]],
        )

    def container_state(self, operation: str | None, container: Row) -> str | None:
        """Give the state that a container of the same name has in another operation."""
        row = self.journal.row(
            "SELECT state FROM containers WHERE operation = ? AND kind = ? AND name = ?",
            [operation, container["kind"], container["name"]],
        )
        return None if row is None else str(row["state"])

    def items(self, operation: str, *, above: int = 0, limit: int) -> list[Item]:
        """Give records of an operation in order, after the number given."""
        return self.journal.rows(
            f"SELECT {_PLAIN_COLUMNS}, content IS NOT NULL AND {_RESTORABLE} AS in_trash"  # noqa: S608 - ours
            " FROM items WHERE operation = ? AND number > ? ORDER BY number LIMIT ?",
            [operation, above, limit],
        )

    def portions(
        self, operation: str, state: str, *, at_once: int, size: int
    ) -> Iterator[list[Item]]:
        """Give the records in one state, a portion at a time.

        A portion is of one kind, and of no more bytes than `size`, but for a record that has more.
        What the caller does to it may put its records into another state. `after` is with them.
        """
        above = 0
        while True:
            rows = self.journal.rows(
                f"SELECT {_PLAIN_COLUMNS}, after FROM items"  # noqa: S608 - ours
                " WHERE operation = ? AND state = ? AND number > ? ORDER BY number LIMIT ?",
                [operation, state, above, at_once],
            )
            if not rows:
                return
            sizes = accumulate(row["size"] for row in rows)
            portion = [
                row
                for row, together in zip(rows, sizes, strict=True)
                if row is rows[0] or (row["kind"] == rows[0]["kind"] and together <= size)
            ]
            above = portion[-1]["number"]
            yield portion

    def unsettled(self, operation: str) -> list[list[Item]]:
        """Give the records whose aftermath is not over, batch by batch; with blobs."""
        batches: dict[str, list[Item]] = {}
        for row in self.journal.rows(
            "SELECT * FROM items WHERE operation = ? AND aftermath IN ('due', 'settled')"
            " ORDER BY number",
            [operation],
        ):
            batches.setdefault(row["batch"], []).append(row)
        return list(batches.values())

    def in_flight(self, operation: str) -> bool:
        """Tell whether it is open what became of a record, or of what others say of it."""
        row = self.journal.row(
            "SELECT 1 FROM items WHERE operation = ?"
            " AND (state = 'kept' OR aftermath IN ('due', 'settled')) LIMIT 1",
            [operation],
        )
        return row is not None

    def kinds(self, operation: str) -> set[str]:
        """Name the kinds of an operation's records."""
        rows = self.journal.rows("SELECT DISTINCT kind FROM items WHERE operation = ?", [operation])
        return {row["kind"] for row in rows}

    def item(self, operation: str, number: int) -> Item | None:
        """Give one record of an operation; with blobs."""
        return self.journal.row(
            "SELECT * FROM items WHERE operation = ? AND number = ?", [operation, number]
        )

    def sources(self, items: Sequence[Item]) -> list[Item | None]:
        """Give what each of some records is put back from, with blobs; None where it is gone."""
        return [
            None
            if item["source_operation"] is None
            else self.item(item["source_operation"], item["source_number"])
            for item in items
        ]

    def keep(self, items: Sequence[Item], snapshots: Sequence[Snapshot], batch: str) -> list[Item]:
        """Put records into the trash, before anything is done to them; give them as kept."""
        now = time.time()
        kept: list[Item] = [
            {
                **item,
                "batch": batch,
                "kept_at": now,
                "version": snapshot.version,
                "size": len(snapshot.content),
                "content": snapshot.content,
                "surroundings": snapshot.surroundings,
            }
            for item, snapshot in zip(items, snapshots, strict=True)
        ]
        self.journal.write_many(
            "UPDATE items SET state = 'kept', batch = :batch, kept_at = :kept_at,"
            " version = :version, size = :size, content = :content, surroundings = :surroundings"
            " WHERE operation = :operation AND number = :number",
            kept,
        )
        return kept

    def mark(self, items: Sequence[Item], states: Sequence[str], **columns: Any) -> None:
        """Note what became of records, and set columns of them all.

        What was kept of a record that certainly stays as it is leaves the trash. Of one that is
        gone it stays there: it may have been us after all, by an order that came late.
        """
        more = "".join(f", {name} = :{name}" for name in columns)
        places: dict[str, list[dict[str, Any]]] = {}
        for item, state in zip(items, states, strict=True):
            place = {"operation": item["operation"], "number": item["number"], "state": state}
            places.setdefault(state, []).append(place | columns)
        with self.journal.transaction():
            for state, rows in places.items():
                emptied = ", content = NULL, surroundings = NULL" if state in _STAYS else ""
                self.journal.write_many(
                    f"UPDATE items SET state = :state{more}{emptied}"  # noqa: S608 - names are ours
                    " WHERE operation = :operation AND number = :number",
                    rows,
                )

    def set_aftermath(self, items: Sequence[Item], aftermath: Aftermath) -> None:
        """Note how far other records have been told of these."""
        self.journal.write_many(
            "UPDATE items SET aftermath = ? WHERE operation = ? AND number = ?",
            [(aftermath, item["operation"], item["number"]) for item in items],
        )

    def take_out(self, items: Sequence[Item], *, undone_by: str) -> None:
        """Take records out of the trash that were put back.

        A doubtful one stays there: an order to delete it may still be on its way to the store.
        """
        with self.journal.transaction():
            for emptied, doubtful in (("content = NULL, surroundings = NULL, ", 0), ("", 1)):
                self.journal.write_many(
                    f"UPDATE items SET {emptied}undone_by = ?"  # noqa: S608 - ours
                    " WHERE operation = ? AND number = ?",
                    [
                        (undone_by, item["operation"], item["number"])
                        for item in items
                        if item["doubtful"] == doubtful
                    ],
                )

    def doubt(self, items: Sequence[Item]) -> None:
        """Note that the store was asked to change records, and gave no answer."""
        self.journal.write_many(
            "UPDATE items SET doubtful = 1 WHERE operation = ? AND number = ?",
            [(item["operation"], item["number"]) for item in items],
        )

    def states(self, operation: str) -> dict[str, int]:
        """Count the records of an operation by what became of them."""
        rows = self.journal.rows(
            "SELECT state, count(*) AS number FROM items WHERE operation = ? GROUP BY state",
            [operation],
        )
        return {row["state"]: row["number"] for row in rows}

    def size(self, operation: str) -> int:
        """Add up the bytes of an operation's records."""
        [row] = self.journal.rows(
            "SELECT coalesce(sum(size), 0) AS size FROM items WHERE operation = ?", [operation]
        )
        return int(row["size"])

    def in_trash(self, operation: str) -> int:
        """Count the records of an operation that can be put back."""
        [row] = self.journal.rows(
            f"SELECT count(*) AS number FROM items WHERE {_IN_TRASH}",  # noqa: S608 - ours
            {"source": operation},
        )
        return int(row["number"])

    def put_back_by(self, operation: str) -> str | None:
        """Name the operation that is putting records of another back."""
        row = self.journal.row(
            "SELECT id FROM operations WHERE state = 'running' AND undoes = ?", [operation]
        )
        return None if row is None else str(row["id"])

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

    def in_state(self, state: State) -> list[Operation]:
        """Give the operations in a state, the oldest first."""
        rows = self.journal.rows(
            "SELECT * FROM operations WHERE state = ? ORDER BY planned_at, id", [state]
        )
        return [Operation.of(row) for row in rows]

    def purge(self) -> int:
        """Forget plans that have expired, and operations that ended more than seven days ago.

        Those are not forgotten of which one that is not at its end puts records back. Gives how
        many were forgotten.
        """
        now = time.time()
        old = self.journal.rows(
            "SELECT id FROM operations WHERE (state = 'planned' AND planned_at < ?)"
            " OR (state = 'done' AND ended_at < ? AND id NOT IN (SELECT undoes FROM operations"
            " WHERE undoes IS NOT NULL AND state IN ('running', 'interrupted')))",
            [now - PLAN_SECONDS, now - TRASH_SECONDS],
        )
        for row in old:
            self._forget(row["id"])
        return len(old)

    def shrink(self) -> None:
        """Give the space back to the disk that is no longer used, a little at a time."""
        while self.journal.rows("PRAGMA freelist_count")[0]["freelist_count"]:
            self.journal.release(_VACUUMED_AT_ONCE)

    def _forget(self, operation: str) -> None:
        """Remove an operation, in portions, so that nobody waits long for the journal."""
        while self.journal.write(
            "DELETE FROM items WHERE operation = :id AND number IN"
            " (SELECT number FROM items WHERE operation = :id ORDER BY number LIMIT :most)",
            {"id": operation, "most": _FORGOTTEN_AT_ONCE},
        ):
            pass
        self.journal.write("DELETE FROM operations WHERE id = ?", [operation])


def _set(
    journal: Journal, table: str, condition: str, columns: dict[str, Any], place: dict[str, Any]
) -> None:
    settings = ", ".join(f"{name} = :{name}" for name in columns)
    journal.write(
        f"UPDATE {table} SET {settings} WHERE {condition}",  # noqa: S608 - names are ours
        columns | place,
    )
