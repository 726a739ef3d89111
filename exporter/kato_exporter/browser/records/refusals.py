"""Asks a store about many records, and finds out which of them it refuses."""

from collections.abc import Callable, Sequence

from kato_exporter.browser.records.plans import (
    ItemState,
)
from kato_exporter.stores.errors import NotChangeableError, QueryError
from kato_exporter.stores.records import RecordKind, Snapshot

Change = Callable[[Sequence[Snapshot]], Sequence[str]]


def read_each(
    kind: RecordKind, locators: Sequence[bytes]
) -> list[Snapshot | NotChangeableError | None]:
    """Read records; where the store refuses so many, fewer at once.

    In the place of one that is not changed here stands why. Raises StoreError.
    """
    try:
        return list(kind.read(locators))
    except QueryError as error:
        if len(locators) > 1:
            half = len(locators) // 2
            return read_each(kind, locators[:half]) + read_each(kind, locators[half:])
        if isinstance(error, NotChangeableError):
            return [error]
        raise


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
