"""Deleting all that a search finds: what it finds becomes a plan."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from flask import g
from werkzeug.wrappers import Response

from kato_exporter.browser.access.users import current_user
from kato_exporter.browser.records.desk import MOST_RECORDS, Desk, RefusedError
from kato_exporter.browser.records.way_on import to_operation
from kato_exporter.stores.deadline import Deadline

T = TypeVar("T")

Portion = Sequence[bytes | None]
"""The locators of a part of what a search finds; None for a record that has none in a listing."""

SEARCH_SECONDS = 30.0
"""How long a search may take."""


def plan_found(desk: Desk, kind: str, search: Iterator[Portion]) -> Response:
    """Plan to delete what a search finds, as far as one operation reaches; lead to the preview.

    The search begins only once it is known that the user may write. Raises RefusedError, and what
    the search raises.
    """
    user = current_user()
    desk.permit(user)
    found, more = _gone_through(search)
    there = [locator for locator in found if locator is not None]
    if not there:
        raise RefusedError("The search finds nothing any more; nothing was done.")
    notes = []
    if more:
        notes.append(
            f"The search finds more than one operation deletes. These are the first {len(there):,};"
            " when they are gone, search again for the rest."
        )
    if None in found:
        notes.append("Some of what the search finds cannot be chosen from a list, and stays.")
    return to_operation(desk.plan_deletion(kind, there, user, g.client, notes))


def require_search(search: T | None) -> T:
    """Give what is searched for; refuse to take all there is where that is nothing."""
    if not search:
        raise RefusedError("Search first; what the search finds is what is deleted.")
    return search


def _gone_through(search: Iterator[Portion]) -> tuple[list[bytes | None], bool]:
    """Give each record once, and whether there are more than these."""
    deadline = Deadline.after(SEARCH_SECONDS)
    found: dict[bytes | None, None] = {}
    for number, portion in enumerate(search):
        if number and deadline.expired:
            raise RefusedError(
                f"The search has not come to its end within {SEARCH_SECONDS:g} s; narrow it. "
                "Nothing was done."
            )
        found.update(dict.fromkeys(portion))
        if len(found) > MOST_RECORDS:
            return list(found)[:MOST_RECORDS], True
    return list(found), False
