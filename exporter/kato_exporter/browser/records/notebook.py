"""Writes down what became of records: in the journal and in the audit log, as one."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kato_exporter.browser.records.audit import Deed, append
from kato_exporter.browser.records.journal import Row
from kato_exporter.browser.records.operations import Operations
from kato_exporter.browser.records.plans import (
    Action,
    Aftermath,
    Item,
    ItemState,
    Operation,
    clean,
)
from kato_exporter.stores.records import Outcome, RecordKind

CountWrite = Callable[[str, str, str], None]
"""Takes store, action and result of one write."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a record; `before` and `after` are versions, empty where there is none."""

    item: Item
    state: str
    before: str = ""
    after: str = ""


class Notebook:
    """Notes the results of operations, and counts them."""

    def __init__(self, operations: Operations, count: CountWrite) -> None:
        self._operations = operations
        self._count = count

    def note(self, operation: Operation, kind: RecordKind, results: Sequence[Result]) -> None:
        """Write down results, with their entries of the audit log.

        Of what goes with its container there is one entry a batch, and nothing to settle.
        """
        if not results:
            return
        swept = operation.action is Action.REMOVE
        decided = [result for result in results if result.state != ItemState.PLANNED]
        done = [result.item for result in decided if result.state == Outcome.DONE]
        deeds = [_deed(operation, kind, result) for result in decided]
        with self._operations.journal.transaction():
            self._operations.mark(
                [result.item for result in results], [str(result.state) for result in results]
            )
            if not swept:
                self._operations.set_aftermath(done, Aftermath.DUE)
            append(
                self._operations.journal,
                operation.author,
                [_together(deeds)] if swept and deeds else deeds,
            )
        for result in decided:
            self._count(kind.store, operation.action, str(result.state))

    def note_container(self, operation: Operation, store: str, container: Row, state: str) -> None:
        """Write down that a container was removed or made again."""
        deed = Deed(
            operation=operation.id,
            action=operation.action,
            store=store,
            kind=container["kind"],
            record=clean(container["name"]),
            before="",
            after="",
            result=state,
        )
        with self._operations.journal.transaction():
            self._operations.change_container(container, state=state)
            if operation.undoes is not None:
                self._operations.put_container_back(operation.undoes, container)
            append(self._operations.journal, operation.author, [deed])
        self._count(store, operation.action, state)


def _deed(operation: Operation, kind: RecordKind, result: Result) -> Deed:
    return Deed(
        operation=operation.id,
        action=operation.action,
        store=kind.store,
        kind=kind.name,
        record=result.item["label"],
        before=result.before,
        after=result.after,
        result=str(result.state),
    )


def _together(deeds: Sequence[Deed]) -> Deed:
    """Make one entry of those of a batch, bound to all versions by their hash."""
    first = deeds[0]
    versions = hashlib.sha256("".join(deed.before for deed in deeds).encode()).hexdigest()
    return replace(
        first,
        record=f"{len(deeds):,} records from {first.record} on",
        before=versions,
        result=", ".join(sorted({deed.result for deed in deeds})),
    )
