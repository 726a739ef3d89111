"""Bounds a label whose values come from data: which of them get a series of their own."""

from collections.abc import Collection

OTHER = "other"
"""The label value that stands for all that are not kept."""


class Selection:
    """Keeps at most so many names, and the same ones for as long as they exist.

    A name that is itself `other` is never kept, so that it cannot be mistaken for the rest.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: list[str] = []

    def of(self, names: Collection[str]) -> frozenset[str]:
        """Choose among the names that exist now: those kept before, then the first by name."""
        existing = set(names) - {OTHER}
        self._kept = [name for name in self._kept if name in existing]
        room = self._most - len(self._kept)
        self._kept += sorted(existing.difference(self._kept))[:room]
        return frozenset(self._kept)
