"""Removes what holds records, with all of them, and makes it again."""

from collections.abc import Callable

from kato_exporter.browser.records.changes import Changes
from kato_exporter.browser.records.journal import Row
from kato_exporter.browser.records.notebook import Notebook
from kato_exporter.browser.records.operations import Operations
from kato_exporter.browser.records.plans import (
    Operation,
    Planned,
    clean,
)
from kato_exporter.browser.records.stores_at_hand import (
    InterruptedOperationError,
    StoresAtHand,
)
from kato_exporter.stores.records import Container, Outcome

_SWEPT_AT_ONCE = 500
_MOST_SWEEPS = 20

PLANNED, REMOVED, MISSING, MADE, PUT_BACK = "planned", "removed", "missing", "made", "put back"
"""States of a container; PUT_BACK is that of a removed one, once it was made again."""


def to_make_again(container: Row) -> bool:
    """Tell whether an operation that has ended may have removed a container."""
    begun = container["state"] == PLANNED and container["description"] is not None
    return begun or bool(container["state"] == REMOVED)


class Removal:
    """Carries out the containers' part of REMOVE, and of RESTORE."""

    def __init__(
        self,
        operations: Operations,
        stores: StoresAtHand,
        notebook: Notebook,
        changes: Changes,
        *,
        check: Callable[[], None],
    ) -> None:
        """`check` raises InterruptedOperationError where no further batch may begin."""
        self._operations = operations
        self._stores = stores
        self._notebook = notebook
        self._changes = changes
        self._check = check

    def remove(self, operation: Operation) -> None:
        """Take containers with all that they hold, also what is written meanwhile.

        Raises StoreError and InterruptedOperationError.
        """
        for row in self._operations.containers(operation.id):
            if row["state"] in (REMOVED, MISSING):
                continue
            container = self._stores.container(row["kind"], row["name"])
            description = row["description"] or container.describe()
            if description is None:
                self._operations.change_container(row, state=MISSING)
                continue
            self._operations.change_container(row, description=description)
            self._empty_and_remove(operation, container, row["name"])
            self._notebook.note_container(operation, container.kind.store, row, REMOVED)

    def make_again(self, operation: Operation) -> None:
        """Make containers again, as they were but empty; raises likewise.

        One whose removal was interrupted is made whole, or is still as it was.
        """
        for row in self._operations.containers(operation.id):
            state = self._operations.container_state(operation.undoes, row)
            if row["state"] != PLANNED or state == PUT_BACK:
                continue
            container = self._stores.container(row["kind"], row["name"])
            if container.make(row["description"]) is not Outcome.TAKEN:
                self._notebook.note_container(operation, container.kind.store, row, MADE)
            elif state == REMOVED:
                raise InterruptedOperationError(
                    f"{row['name']} is there again; nothing was put back over it. Restore single "
                    "records into it, or remove it and go on"
                )
            elif operation.undoes is not None:
                self._operations.put_container_back(operation.undoes, row)

    def _empty_and_remove(self, operation: Operation, container: Container, name: str) -> None:
        for _ in range(_MOST_SWEEPS):
            if container.describe() is None:
                return  # by us, before the process ended, or by somebody else
            self._sweep(operation, container)
            if container.remove():
                return
        raise InterruptedOperationError(
            f"{name} is written to all the time; stop its writers, and go on"
        )

    def _sweep(self, operation: Operation, container: Container) -> None:
        kind = container.kind
        for locators in container.locators(_SWEPT_AT_ONCE):
            self._check()
            planned = [
                Planned(kind=kind.name, locator=locator, label=clean(kind.label(locator)))
                for locator in locators
            ]
            self._changes.batch(operation, self._operations.append(operation.id, planned))
