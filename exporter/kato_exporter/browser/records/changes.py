"""Deletes and edits records, batch by batch: read, compared, kept, asked for, noted, settled."""

import hashlib
import secrets
from collections.abc import Sequence

from kato_exporter.browser.records.notebook import Notebook, Result
from kato_exporter.browser.records.operations import (
    Action,
    Item,
    ItemState,
    Operation,
    Operations,
    edited,
)
from kato_exporter.browser.records.refusals import outcomes_of
from kato_exporter.browser.records.settling import Settling
from kato_exporter.browser.records.stores_at_hand import StoresAtHand
from kato_exporter.stores.records import Outcome, RecordKind, Snapshot


class Changes:
    """Carries out DELETE and EDIT, and the records' part of REMOVE."""

    def __init__(
        self, operations: Operations, stores: StoresAtHand, notebook: Notebook, settling: Settling
    ) -> None:
        self._operations = operations
        self._stores = stores
        self._notebook = notebook
        self._settling = settling

    def batch(self, operation: Operation, items: Sequence[Item]) -> None:
        """Change records that are what was shown; `items` are of one kind. Raises StoreError."""
        kind = self._stores.kind(items[0]["kind"])
        found = kind.read([item["locator"] for item in items])
        other: list[Result] = []
        same: list[tuple[Item, Snapshot]] = []
        for item, now in zip(items, found, strict=True):
            if now is None:
                other.append(Result(item, Outcome.MISSING, item["version"] or ""))
            elif item["version"] not in (None, now.version):
                other.append(Result(item, Outcome.CHANGED, item["version"]))
            else:
                same.append((item, now))
        self._notebook.note(operation, kind, other)
        if not same:
            return
        snapshots = [now for _, now in same]
        kept = self._operations.keep([item for item, _ in same], snapshots, secrets.token_hex(8))
        outcomes = self._outcomes(operation, kind, kept, snapshots)
        results = [_result(item, state) for item, state in zip(kept, outcomes, strict=True)]
        self._notebook.note(operation, kind, results)
        self._settling.finish(operation)

    def look_again(self, operation: Operation, items: Sequence[Item]) -> None:
        """Find out what became of records that were kept when the way was cut off."""
        kind = self._stores.kind(items[0]["kind"])
        found = kind.read([item["locator"] for item in items])
        results = [_result(item, _fate(item, now)) for item, now in zip(items, found, strict=True)]
        with self._operations.journal.transaction():
            self._operations.doubt(items)
            self._notebook.note(operation, kind, results)

    def _outcomes(
        self,
        operation: Operation,
        kind: RecordKind,
        items: Sequence[Item],
        snapshots: Sequence[Snapshot],
    ) -> Sequence[str]:
        if operation.action is Action.EDIT:
            return [
                self._replaced(kind, item, snapshot)
                for item, snapshot in zip(items, snapshots, strict=True)
            ]
        outcomes, refusal = outcomes_of(kind.delete, snapshots)
        if refusal is not None:
            self._operations.add_note(operation.id, f"Some were refused: {refusal}")
        return outcomes

    def _replaced(self, kind: RecordKind, item: Item, now: Snapshot) -> Outcome:
        """Give a record another content; DONE also where it has that, after an order asked twice.

        An edit that undoes another does so only where the record is what that one has made of it.
        """
        [source] = self._operations.sources([item])
        if source is not None and source["after"] is None:
            return Outcome.CHANGED
        expected = now if source is None else edited(source)
        outcome = kind.replace(expected, item["after"])
        if outcome is Outcome.CHANGED:
            [now_again] = kind.read([item["locator"]])
            if now_again is not None and now_again.content == item["after"]:
                return Outcome.DONE
        return outcome


def _result(item: Item, state: str) -> Result:
    was_edited = state == Outcome.DONE and item.get("after") is not None
    after = hashlib.sha256(item["after"]).hexdigest() if was_edited else ""
    return Result(item, state, item["version"], after)


def _fate(item: Item, now: Snapshot | None) -> str:
    """Tell from what is there now what became of a record that was kept."""
    if now is None:
        return Outcome.DONE if item["after"] is None else ItemState.UNCLEAR
    if now.version == item["version"]:
        return ItemState.PLANNED
    return Outcome.DONE if now.content == item["after"] else ItemState.UNCLEAR
