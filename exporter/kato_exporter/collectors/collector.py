"""What a collector is, and what one collection gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Protocol

from prometheus_client.core import Metric

from kato_exporter.collectors.family import Family
from kato_exporter.stores.deadline import Deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """The outcome of one collection.

    `skipped` counts records that are not as KATO writes them, by reason; `dropped` counts series
    left out to keep within a limit; `failures` has a line for each part that gave no answer while
    the others did.
    """

    families: Sequence[Metric]
    skipped: Mapping[str, int] = field(default_factory=dict)
    dropped: int = 0
    failures: Sequence[str] = ()


def what_is_lacking(collection: Collection) -> str:
    """Say in one line which parts gave no answer; empty where the collection is whole."""
    if not collection.failures:
        return ""
    more = len(collection.failures) - 1
    return collection.failures[0] + (f" (and {more} more)" if more else "")


class Collector(Protocol):
    """Turns what one store says of one subject into metric families."""

    @property
    def name(self) -> str:
        """The value of the label `collector` and of `collect[]`."""

    @property
    def store(self) -> str:
        """The name of the store that it reads."""

    @property
    def families(self) -> Sequence[Family]:
        """Every family that it can yield."""

    @property
    def label_limits(self) -> Mapping[str, int]:
        """How many values each label takes at most; a label without a limit takes one."""

    @property
    def skip_reasons(self) -> Sequence[str]:
        """Every reason for which it can skip a record."""

    def collect(self, deadline: Deadline) -> Collection:
        """Ask the store; raise StoreError where it gives no answer."""


def most_series(families: Sequence[Family], label_limits: Mapping[str, int]) -> int:
    """Give the number of series that families make in the worst case.

    A label without a limit takes one value.
    """
    return sum(
        family.series_per_subject * prod(label_limits.get(label, 1) for label in family.labels)
        for family in families
    )
