"""What every store can be asked, whichever it is."""

from dataclasses import dataclass, field
from typing import Protocol

from kato_exporter.stores.deadline import Deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """What a store said of itself: its product and version, and the rights that we lack.

    `lacking` has one line per thing that the account may not do, with what is lost by it.
    """

    version: str
    lacking: tuple[str, ...] = field(default=())


class Store(Protocol):
    """A server that KATO keeps its memory in."""

    @property
    def name(self) -> str:
        """The value of the label `store`."""

    @property
    def address(self) -> str:
        """Where it is, without user name, password or options."""

    def probe(self, deadline: Deadline) -> None:
        """Ask the cheapest question there is; raise StoreError where no answer comes."""

    def report(self) -> StoreReport:
        """Ask for the version and try every kind of question once; raise StoreError."""

    def close(self) -> None:
        """Give back every connection."""
