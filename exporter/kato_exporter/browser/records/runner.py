"""Carries operations out, one at a time, and finds out what became of one that was interrupted.

Each batch goes the same way: what is there now is read and compared with what was shown; it is kept
in the journal; the store is asked to change it on condition that it still is that; what came of it
is noted with the entry of the audit log; and what other records say of it is settled. A process
that ends anywhere on that way has lost nothing: see `look_again`.
"""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import structlog

from kato_exporter.browser.records.changes import Changes
from kato_exporter.browser.records.journal import JournalError
from kato_exporter.browser.records.notebook import CountWrite, Notebook
from kato_exporter.browser.records.operations import Operations
from kato_exporter.browser.records.plans import (
    Action,
    ItemState,
    Operation,
    State,
    clean,
)
from kato_exporter.browser.records.removal import Removal
from kato_exporter.browser.records.restoring import Restoring
from kato_exporter.browser.records.settling import Settling
from kato_exporter.browser.records.stores_at_hand import (
    InterruptedOperationError,
    StoresAtHand,
)
from kato_exporter.stores.errors import StoreError

_log = structlog.get_logger("browser")

_AT_ONCE = 100
_BYTES_AT_ONCE = 16 * 1024 * 1024
_ENDED = "the browser ended while this was under way"


class Runner:
    """Runs the operations of a journal on the stores at hand, in a thread of its own."""

    def __init__(self, operations: Operations, stores: StoresAtHand, count: CountWrite) -> None:
        self._operations = operations
        self._stores = stores
        notebook = Notebook(operations, count)
        self._settling = Settling(operations, stores)
        self._changes = Changes(operations, stores, notebook, self._settling)
        self._restoring = Restoring(operations, stores, notebook, self._settling)
        self._removal = Removal(
            operations, stores, notebook, self._changes, check=self._raise_if_stopped
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="records")
        self._stopped = threading.Event()
        self._starting = threading.Lock()
        self._under_way: set[str] = set()

    def start(self, operation: str, *, state: State) -> Future[None] | None:
        """Carry an operation out that is in this state, as soon as those before it have ended.

        None where it is in another state by now. Raises InterruptedOperationError where this
        browser is about to end.
        """
        with self._starting:
            if operation in self._under_way or not self._operations.begin(operation, state=state):
                return None
            self._under_way.add(operation)
        try:
            return self._thread.submit(self._run, operation)
        except RuntimeError as error:
            self._interrupt(operation, _ENDED)
            raise InterruptedOperationError("this browser is about to end") from error

    def carries_out(self, operation: str) -> bool:
        """Tell whether an operation is under way, or waits for those before it."""
        return operation in self._under_way

    def stop(self) -> None:
        """End after the batch under way; what is left can be resumed."""
        self._stopped.set()
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._under_way.clear()
        with suppress(JournalError):  # the next start finds them
            self.recover()

    def recover(self) -> None:
        """Mark as interrupted what the journal has as running, and nobody carries out."""
        with self._starting:
            for operation in self._operations.in_state(State.RUNNING):
                if operation.id not in self._under_way:
                    self._interrupt(operation.id, _ENDED)

    def look_again_soon(self, operation: Operation) -> Future[None]:
        """Look again, as soon as what is under way has ended."""
        return self._thread.submit(self.look_again, operation)

    def look_again(self, operation: Operation) -> None:
        """Find out what became of records when the way was cut off, and settle what was done.

        Raises StoreError and InterruptedOperationError.
        """
        part = self._restoring if operation.action is Action.RESTORE else self._changes
        for portion in self._operations.portions(
            operation.id, ItemState.KEPT, at_once=_AT_ONCE, size=_BYTES_AT_ONCE
        ):
            part.look_again(operation, portion)
        self._settling.finish(operation)

    def _run(self, identity: str) -> None:
        try:
            operation = self._operations.find(identity)
            if operation is not None and operation.state is State.RUNNING:
                self._carry_out(operation)
                self._operations.end(identity, state=State.RUNNING)
        except (StoreError, InterruptedOperationError, JournalError) as error:
            self._interrupt(identity, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the journal says where things stand
            _log.error("fault in an operation", operation=identity, exc_info=error)
            self._interrupt(identity, "a fault of the browser; its log says more")
        finally:
            self._under_way.discard(identity)

    def _carry_out(self, operation: Operation) -> None:
        self._raise_if_stopped()
        self._look_again_at_others(operation)
        self.look_again(operation)
        if operation.action is Action.RESTORE:
            self._removal.make_again(operation)
        for portion in self._operations.portions(
            operation.id, ItemState.PLANNED, at_once=_AT_ONCE, size=_BYTES_AT_ONCE
        ):
            self._raise_if_stopped()
            if operation.action is Action.RESTORE:
                self._restoring.batch(operation, portion)
            else:
                self._changes.batch(operation, portion)
        if operation.action is Action.REMOVE:
            self._removal.remove(operation)

    def _look_again_at_others(self, operation: Operation) -> None:
        """Find out first what interrupted operations have done to what may be the same records."""
        for other in self._operations.in_state(State.INTERRUPTED):
            if not self._operations.in_flight(other.id):
                continue
            try:
                self.look_again(other)
            except (StoreError, InterruptedOperationError) as error:
                if self._touched(operation) & self._touched(other):
                    raise InterruptedOperationError(
                        f"{other.id[:8]} was interrupted, and what it did comes first: {error}"
                    ) from error

    def _touched(self, operation: Operation) -> set[str]:
        """Name the stores that an operation is about."""
        found = {self._stores.find(kind) for kind in self._operations.kinds(operation.id)}
        stores = {kind.store for kind in found if kind is not None}
        for row in self._operations.containers(operation.id):
            make = self._stores.containers.get(row["kind"])
            stores |= set() if make is None else {make(row["name"]).kind.store}
        return stores

    def _interrupt(self, identity: str, problem: str) -> None:
        _log.warning("an operation was interrupted", operation=identity, problem=problem)
        with suppress(JournalError):  # where not even that can be noted, `recover` finds it
            self._operations.change(identity, state=State.INTERRUPTED, problem=clean(problem))
        self._under_way.discard(identity)

    def _raise_if_stopped(self) -> None:
        if self._stopped.is_set():
            raise InterruptedOperationError(_ENDED)
