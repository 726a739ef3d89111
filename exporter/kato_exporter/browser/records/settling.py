"""Tells other records of those that were changed: each time once, whatever happens on the way."""

from collections.abc import Sequence

from kato_exporter.browser.records.operations import Operations
from kato_exporter.browser.records.plans import (
    Action,
    Aftermath,
    Item,
    Operation,
    edited,
    snapshot_of,
)
from kato_exporter.browser.records.stores_at_hand import StoresAtHand
from kato_exporter.stores.records import Snapshot


class Settling:
    """Adjusts what other records say, and then removes the marks by which that is known."""

    def __init__(self, operations: Operations, stores: StoresAtHand) -> None:
        self._operations = operations
        self._stores = stores

    def finish(self, operation: Operation) -> None:
        """Settle all that was done and is not settled; raises StoreError."""
        for batch in self._operations.unsettled(operation.id):
            self._finish(operation, batch)

    def _finish(self, operation: Operation, batch: Sequence[Item]) -> None:
        kind = self._stores.kind(batch[0]["kind"])
        sources = [each for each in self._operations.sources(batch) if each is not None]
        if operation.action is Action.RESTORE:
            gone, come = [], _put_back(sources)
        else:
            gone = [snapshot_of(item) for item in batch]
            come = [edited(item) for item in batch if item["after"] is not None]
        name = batch[0]["batch"]
        # What has come goes first: a count that is too small for what has gone would stay.
        marked = [(s, sign, f"{name}{sign:+}") for s, sign in ((come, 1), (gone, -1)) if s]
        if any(item["aftermath"] == Aftermath.DUE for item in batch):
            for snapshots, sign, mark in marked:
                kind.settle(snapshots, sign=sign, mark=mark)
            self._operations.set_aftermath(batch, Aftermath.SETTLED)
        for snapshots, _, mark in marked:
            kind.forget(snapshots, mark=mark)
        with self._operations.journal.transaction():
            self._operations.set_aftermath(batch, Aftermath.OVER)
            self._operations.take_out(sources, undone_by=operation.id)


def _put_back(sources: Sequence[Item]) -> list[Snapshot]:
    """Give what has come by putting records back.

    Where others were never told that they had gone, they are not told that they have come.
    """
    return [
        snapshot_of(source)
        for source in sources
        if source["content"] is not None
        and source["aftermath"] == Aftermath.OVER
        and source["undone_by"] is None
    ]
