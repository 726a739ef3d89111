"""Carries operations out, one at a time, and finds out what became of one that was interrupted.

Each batch goes the same way: what is there now is read and compared with what was shown; it is kept
in the journal; the store is asked to change it on condition that it still is that; what came of it
is noted with the entry of the audit log; and what other records say of it is settled. A process
that ends anywhere on that way has lost nothing: see `reconcile`.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import structlog

from kato_exporter.browser.records.audit import Deed, append
from kato_exporter.browser.records.operations import (
    Action,
    Item,
    ItemState,
    Operation,
    Operations,
    Planned,
    State,
    clean,
    snapshot_of,
)
from kato_exporter.stores.errors import StoreError
from kato_exporter.stores.records import Container, Outcome, RecordKind, Snapshot

_log = structlog.get_logger("browser")

_AT_ONCE = 100
_SWEPT_AT_ONCE = 500
_MOST_SWEEPS = 20

ContainerKinds = Mapping[str, Callable[[str], Container]]
CountWrite = Callable[[str, str, str], None]
"""Takes store, action and result of one write."""


class InterruptedOperationError(Exception):
    """An operation cannot go on for now; the message says why."""


class Runner:
    """Runs the operations of a journal on the kinds of records given, in a thread of its own."""

    def __init__(
        self,
        operations: Operations,
        kinds: Mapping[str, RecordKind],
        containers: ContainerKinds,
        count: CountWrite,
    ) -> None:
        self._operations = operations
        self._kinds = kinds
        self._containers = containers
        self._count = count
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="records")
        self._stopped = threading.Event()

    def start(self, operation: str) -> Future[None]:
        """Carry an operation out as soon as those before it have ended; also one interrupted."""
        self._operations.change(operation, state=State.RUNNING, begun_at=time.time())
        return self._thread.submit(self._run, operation)

    def stop(self) -> None:
        """End after the batch under way; what is left can be resumed."""
        self._stopped.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def recover(self) -> None:
        """Mark as interrupted what was running when the process before this one ended."""
        for operation in self._operations.unfinished():
            self._interrupt(operation, "the browser ended while this was under way")

    def _run(self, identity: str) -> None:
        operation = self._operations.find(identity)
        if operation is None:
            return
        try:
            self.reconcile(operation)
            if operation.action is Action.REMOVE:
                self._remove(operation)
            if operation.action is Action.RESTORE:
                self._make_containers(operation)
            for portion in self._operations.portions(identity, ItemState.PLANNED, _AT_ONCE):
                self._raise_if_stopped()
                self._batch(operation, portion)
            self._operations.change(identity, state=State.DONE, ended_at=time.time(), problem=None)
        except (StoreError, InterruptedOperationError) as error:
            self._interrupt(operation, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the journal says where things stand
            _log.error("fault in an operation", operation=identity, exc_info=error)
            self._interrupt(operation, "a fault of the browser; its log says more")

    def reconcile(self, operation: Operation) -> None:
        """Find out what became of what was kept when the way was cut off; raises StoreError."""
        for portion in self._operations.portions(operation.id, ItemState.KEPT, _AT_ONCE):
            kind = self._kind(portion[0])
            if operation.action is Action.RESTORE:
                self._operations.mark(portion, [ItemState.PLANNED] * len(portion))
                continue
            found = kind.read([item["locator"] for item in portion])
            states = [_fate(item, now) for item, now in zip(portion, found, strict=True)]
            self._note(operation, kind, portion, states)
        for batch, items in self._operations.unsettled(operation.id).items():
            self._settle(operation, self._kind(items[0]), items, batch)

    def _batch(self, operation: Operation, portion: Sequence[Item]) -> None:
        if operation.action is Action.RESTORE:
            self._restore(operation, portion)
        else:
            self._change(operation, portion)

    def _change(self, operation: Operation, portion: Sequence[Item]) -> None:
        """Delete records, or give them another content, if they are what was shown."""
        kind = self._kind(portion[0])
        found = kind.read([item["locator"] for item in portion])
        pairs = [*zip(portion, found, strict=True)]
        other = [(item, _difference(item, now)) for item, now in pairs if _difference(item, now)]
        if other:
            self._note(operation, kind, [i for i, _ in other], [str(s) for _, s in other])
        same = [
            (item, now) for item, now in pairs if now is not None and not _difference(item, now)
        ]
        if not same:
            return
        items, snapshots = [item for item, _ in same], [now for _, now in same]
        batch = secrets.token_hex(8)
        self._operations.keep(items, snapshots, batch)
        if operation.action is Action.EDIT:
            outcomes = [
                kind.replace(snapshot, item["after"])
                for item, snapshot in zip(items, snapshots, strict=True)
            ]
        else:
            outcomes = kind.delete(snapshots)
        self._note(operation, kind, items, outcomes)
        done = [i for i, outcome in zip(items, outcomes, strict=True) if outcome is Outcome.DONE]
        if done and operation.action is not Action.REMOVE:
            kept = [self._with_blobs(item) for item in done]
            self._settle(operation, kind, kept, batch)

    def _restore(self, operation: Operation, portion: Sequence[Item]) -> None:
        """Put records back as they were: those deleted, and those changed."""
        kind = self._kind(portion[0])
        sources = [
            self._operations.item(item["source_operation"], item["source_number"])
            for item in portion
        ]
        there = [
            (item, source)
            for item, source in zip(portion, sources, strict=True)
            if source is not None and source["content"] is not None
        ]
        gone = [item for item in portion if item not in [each for each, _ in there]]
        self._note(operation, kind, gone, [Outcome.MISSING] * len(gone))
        if not there:
            return
        items = [item for item, _ in there]
        batch = next((item["batch"] for item in items if item["batch"]), secrets.token_hex(8))
        self._operations.mark(items, [ItemState.KEPT] * len(items), batch=batch)
        deleted = [(i, s) for i, s in there if s["after"] is None]
        changed = [(i, s) for i, s in there if s["after"] is not None]
        outcomes = dict(
            zip(
                [item["number"] for item, _ in deleted],
                kind.restore([snapshot_of(source) for _, source in deleted]) if deleted else [],
                strict=True,
            )
        )
        for item, source in changed:
            now = Snapshot(source["locator"], source["after"], source["surroundings"])
            outcomes[item["number"]] = kind.replace(now, source["content"])
        self._note(operation, kind, items, [outcomes[item["number"]] for item in items])
        done = [item for item in items if outcomes[item["number"]] is Outcome.DONE]
        if done:
            self._settle(operation, kind, [self._with_blobs(item) for item in done], batch)

    def _remove(self, operation: Operation) -> None:
        """Take containers with all that they hold, also what is written meanwhile."""
        for row in self._operations.containers(operation.id):
            if row["state"] == "removed":
                continue
            container = self._containers[row["kind"]](row["name"])
            description = row["description"] or container.describe()
            if description is None:
                self._operations.change_container(row, state="missing")
                continue
            self._operations.change_container(row, description=description)
            for _ in range(_MOST_SWEEPS):
                self._sweep(operation, container)
                if container.remove():
                    break
            else:
                raise InterruptedOperationError(
                    f"{row['name']} is written to all the time; stop its writers, and go on"
                )
            with self._operations.journal.transaction():
                self._operations.change_container(row, state="removed")
                self._record(operation, container.kind.store, row, "removed")

    def _sweep(self, operation: Operation, container: Container) -> None:
        kind = container.kind
        for locators in container.locators(_SWEPT_AT_ONCE):
            self._raise_if_stopped()
            planned = [
                Planned(kind=kind.name, locator=locator, label=clean(kind.label(locator)))
                for locator in locators
            ]
            items = self._operations.append(operation.id, planned)
            self._change(operation, items)

    def _make_containers(self, operation: Operation) -> None:
        for row in self._operations.containers(operation.id):
            if row["state"] == "made":
                continue
            container = self._containers[row["kind"]](row["name"])
            if container.make(row["description"]) is Outcome.TAKEN:
                raise InterruptedOperationError(
                    f"{row['name']} is there again; nothing was put back over it. Restore single "
                    "records into it, or remove it and go on"
                )
            with self._operations.journal.transaction():
                self._operations.change_container(row, state="made")
                self._record(operation, container.kind.store, row, "made")

    def _settle(
        self, operation: Operation, kind: RecordKind, items: Sequence[Item], batch: str
    ) -> None:
        """Adjust what other records say; `items` are done, with blobs."""
        if operation.action is Action.RESTORE:
            sources = [
                source
                for item in items
                if (
                    source := self._operations.item(item["source_operation"], item["source_number"])
                )
                is not None
                and source["content"] is not None
            ]
            gone = [_after(source) for source in sources if source["after"] is not None]
            come = [snapshot_of(source) for source in sources]
        else:
            sources = []
            gone = [snapshot_of(item) for item in items]
            come = [_after(item) for item in items if item["after"] is not None]
        marked = ((gone, -1, f"{batch}-"), (come, 1, f"{batch}+"))
        for snapshots, sign, mark in marked:
            if snapshots:
                kind.settle(snapshots, sign=sign, mark=mark)
        with self._operations.journal.transaction():
            self._operations.mark(items, [Outcome.DONE] * len(items), settled=1)
            if sources:
                self._operations.take_out(sources, undone_by=operation.id)
        for snapshots, _, mark in marked:
            if snapshots:
                kind.forget(snapshots, mark=mark)

    def _note(
        self,
        operation: Operation,
        kind: RecordKind,
        items: Sequence[Item],
        states: Sequence[str],
    ) -> None:
        """Write down what became of records, with their entries of the audit log.

        Of what goes with its container there is one entry a batch, and nothing to settle.
        """
        if not items:
            return
        decided = [
            (item, state)
            for item, state in zip(items, states, strict=True)
            if state != ItemState.PLANNED
        ]
        with self._operations.journal.transaction():
            swept = operation.action is Action.REMOVE
            self._operations.mark(items, [str(state) for state in states], settled=int(swept))
            deeds = [self._deed(operation, kind, item, state) for item, state in decided]
            if swept and deeds:
                deeds = [_together(deeds)]
            append(self._operations.journal, operation.author, deeds)
        for _, state in decided:
            self._count(kind.store, operation.action, str(state))

    def _deed(self, operation: Operation, kind: RecordKind, item: Item, state: str) -> Deed:
        stored = self._with_blobs(item)
        version = stored["version"] or ""
        changed = state == Outcome.DONE and operation.action is Action.EDIT
        put_back = state == Outcome.DONE and operation.action is Action.RESTORE
        return Deed(
            operation=operation.id,
            action=operation.action,
            store=kind.store,
            kind=kind.name,
            record=stored["label"],
            before="" if put_back else version,
            after=_after(stored).version if changed else version if put_back else "",
            result=str(state),
        )

    def _record(self, operation: Operation, store: str, row: Item, result: str) -> None:
        deed = Deed(
            operation=operation.id,
            action=operation.action,
            store=store,
            kind=row["kind"],
            record=clean(row["name"]),
            before="",
            after="",
            result=result,
        )
        append(self._operations.journal, operation.author, [deed])
        self._count(store, operation.action, result)

    def _interrupt(self, operation: Operation, problem: str) -> None:
        _log.warning("an operation was interrupted", operation=operation.id, problem=problem)
        with suppress(Exception):  # where not even that can be noted, the next start finds it
            self._operations.change(operation.id, state=State.INTERRUPTED, problem=problem)

    def _raise_if_stopped(self) -> None:
        if self._stopped.is_set():
            raise InterruptedOperationError("the browser was ended while this was under way")

    def _kind(self, item: Item) -> RecordKind:
        kind = self._kinds.get(item["kind"])
        if kind is None:
            raise InterruptedOperationError(
                f"the store of {item['kind']} records is not configured; set it, and go on"
            )
        return kind

    def _with_blobs(self, item: Item) -> Item:
        return self._operations.item(item["operation"], item["number"]) or item


def _difference(item: Item, now: Snapshot | None) -> str | None:
    """Say what a record is instead of what was shown; None where it is the same."""
    if now is None:
        return Outcome.MISSING
    return Outcome.CHANGED if item["version"] not in (None, now.version) else None


def _fate(item: Item, now: Snapshot | None) -> str:
    """Tell from what is there now what became of a record that was kept."""
    if item["after"] is None and now is None:
        return Outcome.DONE
    if now is not None and now.version == item["version"]:
        return ItemState.PLANNED
    if now is not None and item["after"] is not None and now.version == _after(item).version:
        return Outcome.DONE
    return ItemState.UNCLEAR


def _after(item: Item) -> Snapshot:
    """Give what a record became by an edit."""
    return Snapshot(item["locator"], item["after"], item["surroundings"] or b"")


def _together(deeds: Sequence[Deed]) -> Deed:
    """Make one entry of those of a batch, bound to all versions by their hash."""
    first = deeds[0]
    versions = hashlib.sha256("".join(deed.before for deed in deeds).encode()).hexdigest()
    results = sorted({deed.result for deed in deeds})
    return Deed(
        operation=first.operation,
        action=first.action,
        store=first.store,
        kind=first.kind,
        record=f"{len(deeds)} records from {first.record} on",
        before=versions,
        after="",
        result=", ".join(results),
    )
