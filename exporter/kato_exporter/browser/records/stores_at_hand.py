"""The kinds of records and the containers that operations are carried out on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kato_exporter.stores.records import Container, RecordKind

ContainerKinds = Mapping[str, Callable[[str], Container]]
"""Makes a container of its name, by what people call it."""


class InterruptedOperationError(Exception):
    """An operation cannot go on for now; the message says why."""


@dataclass(frozen=True, slots=True)
class StoresAtHand:
    """What the configured stores hold.

    `of_containers` are kinds of records that only go and come with what holds them.
    """

    kinds: Mapping[str, RecordKind]
    containers: ContainerKinds = field(default_factory=dict)
    of_containers: Mapping[str, RecordKind] = field(default_factory=dict)

    def find(self, kind: str) -> RecordKind | None:
        """Give a kind by its name, None where its store is not configured."""
        return self.kinds.get(kind) or self.of_containers.get(kind)

    def kind(self, name: str) -> RecordKind:
        """Give a kind by its name; raises InterruptedOperationError."""
        kind = self.find(name)
        if kind is None:
            raise InterruptedOperationError(
                f"the store of {name} records is not configured; set it, and go on"
            )
        return kind

    def container(self, kind: str, name: str) -> Container:
        """Give a container; raises InterruptedOperationError."""
        make = self.containers.get(kind)
        if make is None:
            raise InterruptedOperationError(
                f"the store of the {kind} {name} is not configured; set it, and go on"
            )
        return make(name)
