"""Puts records back that were deleted, as the trash has them."""

import secrets
from collections.abc import Sequence

from kato_exporter.browser.records.batches import Batches
from kato_exporter.browser.records.notebook import Result
from kato_exporter.browser.records.plans import (
    Item,
    ItemState,
    Operation,
    snapshot_of,
)
from kato_exporter.browser.records.refusals import read_each
from kato_exporter.stores.records import Outcome, RecordKind


class Restoring(Batches):
    """Carries out RESTORE."""

    def batch(self, operation: Operation, items: Sequence[Item]) -> None:
        """Put records back; `items` are of one kind. Raises StoreError."""
        kind = self._kind_of(items)
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
        kind = self._kind_of(items)
        found = read_each(kind, [item["locator"] for item in items])
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
        snapshots = [snapshot_of(source) for _, source in pairs]
        outcomes = self._asked(operation, kind.restore, snapshots)
        results = [
            Result(item, state, "", source["version"] if state == Outcome.DONE else "")
            for (item, source), state in zip(pairs, outcomes, strict=True)
        ]
        self._notebook.note(operation, kind, results)
        self._settling.finish(operation)
