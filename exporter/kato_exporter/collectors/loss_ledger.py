"""The book of what was lost: pure, fed with how much each of many names holds."""

from collections.abc import Mapping

from kato_exporter.collectors.selection import OTHER


class LossLedger:
    """Adds up by how much the count of each name was seen to go down.

    What grows again between two observations goes unseen. At most `most_names` names have a loss
    of their own; what the others lose goes to `other`. A name with a loss keeps it for good, so
    that each is a true counter; one that is gone without any makes room for others.
    """

    def __init__(self, most_names: int) -> None:
        self._most = most_names
        self._counts: dict[str, int] = {}
        self._lost: dict[str, int] = {}
        self._lost_by_others: int | None = None

    def observe(self, counts: Mapping[str, int | None]) -> None:
        """Compare with the last known counts.

        Every name that exists is a key: None where its count is not known now, which is no loss.
        A name that is not a key is gone, and has lost all that it held.
        """
        for name, before in self._counts.items():
            now = counts.get(name, 0)
            if now is not None and now < before:
                self._book(name, before - now)
        known = {name: count for name, count in counts.items() if count is not None}
        unknown = {name: self._counts[name] for name in counts.keys() & self._counts - known.keys()}
        self._counts = known | unknown
        self._admit(counts, known)

    @property
    def lost(self) -> Mapping[str, int]:
        """What was lost by name, 0 included, since the first count of each; `other` if needed."""
        if self._lost_by_others is None:
            return dict(self._lost)
        return {**self._lost, OTHER: self._lost_by_others}

    def _book(self, name: str, loss: int) -> None:
        if name in self._lost:
            self._lost[name] += loss
        else:
            self._lost_by_others = (self._lost_by_others or 0) + loss

    def _admit(self, existing: Mapping[str, object], known: Mapping[str, int]) -> None:
        """Give names a loss of their own, in the order of the alphabet, as far as there is room."""
        waiting = sorted(known.keys() - self._lost - {OTHER})
        vacant = [name for name, loss in self._lost.items() if not loss and name not in existing]
        for name in vacant[: max(0, len(self._lost) + len(waiting) - self._most)]:
            del self._lost[name]
        room = self._most - len(self._lost)
        self._lost |= dict.fromkeys(waiting[:room], 0)
        if waiting[room:] or OTHER in known:
            self._lost_by_others = self._lost_by_others or 0
