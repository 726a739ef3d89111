"""What changing records and putting them back have in common: a batch of one kind."""

from collections.abc import Sequence

from kato_exporter.browser.records.notebook import Notebook
from kato_exporter.browser.records.operations import Operations
from kato_exporter.browser.records.plans import (
    Item,
    Operation,
)
from kato_exporter.browser.records.refusals import Change, outcomes_of
from kato_exporter.browser.records.settling import Settling
from kato_exporter.browser.records.stores_at_hand import StoresAtHand
from kato_exporter.stores.records import RecordKind, Snapshot


class Batches:
    """What a batch is carried out with."""

    def __init__(
        self, operations: Operations, stores: StoresAtHand, notebook: Notebook, settling: Settling
    ) -> None:
        self._operations = operations
        self._stores = stores
        self._notebook = notebook
        self._settling = settling

    def _kind_of(self, items: Sequence[Item]) -> RecordKind:
        return self._stores.kind(items[0]["kind"])

    def _asked(
        self, operation: Operation, change: Change, snapshots: Sequence[Snapshot]
    ) -> Sequence[str]:
        """Ask for a change, and give what became of each; the operation says what was refused."""
        outcomes, refusal = outcomes_of(change, snapshots)
        if refusal is not None:
            self._say_refused(operation, refusal)
        return outcomes

    def _say_refused(self, operation: Operation, reason: str) -> None:
        self._operations.add_note(operation.id, f"Some were refused: {reason}")
