"""Deletes and edits records, batch by batch: read, compared, kept, asked for, noted, settled."""

import hashlib
import secrets
from collections.abc import Sequence

from kato_exporter.browser.records.batches import Batches
from kato_exporter.browser.records.notebook import Result
from kato_exporter.browser.records.plans import (
    Action,
    Item,
    ItemState,
    Operation,
    edited,
)
from kato_exporter.browser.records.refusals import read_each
from kato_exporter.stores.errors import NotChangeableError
from kato_exporter.stores.records import Outcome, RecordKind, Snapshot


class Changes(Batches):
    """Carries out DELETE and EDIT, and the records' part of REMOVE."""

    def batch(self, operation: Operation, items: Sequence[Item]) -> None:
        """Change records that are what was shown; `items` are of one kind. Raises StoreError."""
        kind = self._kind_of(items)
        found = read_each(kind, [item["locator"] for item in items])
        other: list[Result] = []
        same: list[tuple[Item, Snapshot]] = []
        for item, now in zip(items, found, strict=True):
            if now is None:
                other.append(Result(item, Outcome.MISSING, item["version"] or ""))
            elif isinstance(now, NotChangeableError):
                other.append(Result(item, ItemState.REFUSED, item["version"] or ""))
                self._say_refused(operation, str(now))
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
        kind = self._kind_of(items)
        found = read_each(kind, [item["locator"] for item in items])
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
        return self._asked(operation, kind.delete, snapshots)

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
            [now_again] = read_each(kind, [item["locator"]])
            if isinstance(now_again, Snapshot) and now_again.content == item["after"]:
                return Outcome.DONE
        return outcome


def _result(item: Item, state: str) -> Result:
    was_edited = state == Outcome.DONE and item.get("after") is not None
    after = hashlib.sha256(item["after"]).hexdigest() if was_edited else ""
    return Result(item, state, item["version"], after)


def _fate(item: Item, now: Snapshot | NotChangeableError | None) -> str:
    """Tell from what is there now what became of a record that was kept."""
    if now is None:
        return Outcome.DONE if item["after"] is None else ItemState.UNCLEAR
    if isinstance(now, NotChangeableError):
        return ItemState.UNCLEAR
    if now.version == item["version"]:
        return ItemState.PLANNED
    return Outcome.DONE if now.content == item["after"] else ItemState.UNCLEAR
