"""Asks a store for a change of many records, and finds out which of them it refuses."""

from collections.abc import Callable, Sequence

from kato_exporter.browser.records.operations import ItemState
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.records import Snapshot

Change = Callable[[Sequence[Snapshot]], Sequence[str]]


def outcomes_of(change: Change, snapshots: Sequence[Snapshot]) -> tuple[list[str], str | None]:
    """Give what became of each, and why the first that was refused was.

    A store refuses a request as a whole and has then done nothing; so each record is asked for
    alone. Raises StoreError, of which QueryError where every one of them is refused.
    """
    try:
        return list(change(snapshots)), None
    except QueryError as error:
        if len(snapshots) == 1:
            raise
        refusal = error
    outcomes: list[str] = []
    reason: str | None = None
    for snapshot in snapshots:
        try:
            outcomes += change([snapshot])
        except QueryError as error:
            outcomes.append(ItemState.REFUSED)
            reason = reason or str(error)
    if set(outcomes) == {ItemState.REFUSED}:
        raise refusal
    return outcomes, reason
