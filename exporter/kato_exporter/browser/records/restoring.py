"""Puts records back that were deleted, as the trash has them."""

import secrets
from collections.abc import Sequence

from kato_exporter.browser.records.notebook import Notebook, Result
from kato_exporter.browser.records.operations import (
    Item,
    ItemState,
    Operation,
    Operations,
    snapshot_of,
)
from kato_exporter.browser.records.refusals import outcomes_of
from kato_exporter.browser.records.settling import Settling
from kato_exporter.browser.records.stores_at_hand import StoresAtHand
from kato_exporter.stores.records import Outcome, RecordKind


class Restoring:
    """Carries out RESTORE."""

    def __init__(
        self, operations: Operations, stores: StoresAtHand, notebook: Notebook, settling: Settling
    ) -> None:
        self._operations = operations
        self._stores = stores
        self._notebook = notebook
        self._settling = settling

    def batch(self, operation: Operation, items: Sequence[Item]) -> None:
        """Put records back; `items` are of one kind. Raises StoreError."""
        kind = self._stores.kind(items[0]["kind"])
        there, gone = self._sources(items)
        self._notebook.note(operation, kind, [Result(item, Outcome.MISSING) for item in gone])
        if not there:
            return
        batch = secrets.token_hex(8)
        self._operations.mark(
            [item for item, _ in there], [ItemState.KEPT] * len(there), batch=batch
        )
        self._put_back(operation, kind, there)

    def look_again(self, operation: Operation, items: Sequence[Item]) -> None:
        """Note what was put back when the way was cut off, and plan the rest once more."""
        kind = self._stores.kind(items[0]["kind"])
        found = kind.read([item["locator"] for item in items])
        pairs = [*zip(items, found, strict=True)]
        there, gone = self._sources([item for item, now in pairs if now is not None])
        again = [*gone, *(item for item, now in pairs if now is None)]
        self._notebook.note(operation, kind, [Result(item, ItemState.PLANNED) for item in again])
        if there:
            self._put_back(operation, kind, there)

    def _sources(self, items: Sequence[Item]) -> tuple[list[tuple[Item, Item]], list[Item]]:
        """Give the records with what they are put back from, and those that the trash has not."""
        there: list[tuple[Item, Item]] = []
        gone: list[Item] = []
        for item, source in zip(items, self._operations.sources(items), strict=True):
            if source is None or source["content"] is None:
                gone.append(item)
            else:
                there.append((item, source))
        return there, gone

    def _put_back(
        self, operation: Operation, kind: RecordKind, pairs: Sequence[tuple[Item, Item]]
    ) -> None:
        outcomes, refusal = outcomes_of(kind.restore, [snapshot_of(source) for _, source in pairs])
        if refusal is not None:
            self._operations.add_note(operation.id, f"Some were refused: {refusal}")
        results = [
            Result(item, state, "", source["version"] if state == Outcome.DONE else "")
            for (item, source), state in zip(pairs, outcomes, strict=True)
        ]
        self._notebook.note(operation, kind, results)
        self._settling.finish(operation)
