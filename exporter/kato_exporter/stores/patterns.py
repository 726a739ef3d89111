"""How single patterns are read, whatever store holds them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

Order = Literal["frequency", "name", "length"]
"""How a listing is sorted: the most frequent or longest first, equals by name; or by name."""

ORDERS: tuple[Order, ...] = get_args(Order)

Key = Sequence[Any]
"""Where a page begins, as the page before it gave it; BSON values, for nobody else to read."""


class WrongKeyError(ValueError):
    """No page of this listing gave that key, or what it pointed to is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternFilter:
    """Which patterns are wanted; all that is said must hold.

    `prefix` begins the name, `symbol` stands in one of the events, `least` and `most` bound the
    frequency and belong to the range; with one of these, a frequency that is no number is not
    wanted.
    """

    prefix: str = ""
    symbol: str | None = None
    least: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternRow:
    """A pattern in a listing; values are as they are stored, None where there is none.

    `events` counts the events, and `beginning` holds the first of them, both None where the events
    are no array, and `beginning` also where the record is large. `bytes` is the record's size.
    `large` names the fields that are too large for a listing, with their bytes; they are None here.
    """

    identity: Any
    name: Any
    frequency: Any
    length: Any
    events: int | None
    beginning: Sequence[Any] | None
    bytes: int
    large: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternPage:
    """A page of patterns.

    `following` begins the next page, None where there is none. `stopped` says why the page ends
    before it is full though more may follow, `left_out` what this listing does not show.
    """

    rows: tuple[PatternRow, ...]
    following: Key | None = None
    stopped: str | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BoundedCount:
    """How many there are; with `more`, at least that many, and nobody has counted on."""

    number: int
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolFacts:
    """A symbol's record; values are as they are stored, None where there is none or a large one."""

    identity: Any
    frequency: Any
    pattern_member_frequency: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeBasePage:
    """Names of knowledge bases, sorted by code points.

    `following` begins the next page. `stopped` says why the page ends before it is full,
    `unreadable` counts databases on the way that this account may not look into.
    """

    names: tuple[str, ...]
    following: str | None = None
    stopped: str | None = None
    unreadable: int = 0


class PatternReader(Protocol):
    """Answers about knowledge bases and their patterns, each bounded in time and size.

    Every method raises QueryError where only this question has no answer, and StoreError where
    the store as a whole gives none.
    """

    def knowledge_base_page(self, prefix: str, start: str | None, limit: int) -> KnowledgeBasePage:
        """Name knowledge bases whose name begins with a text, from a name on."""

    def is_knowledge_base(self, kb: str) -> bool:
        """Tell whether there is a knowledge base of this name."""

    def page(
        self, kb: str, order: Order, wanted: PatternFilter, start: Key | None, limit: int
    ) -> PatternPage:
        """List patterns in an order; raise WrongKeyError where `start` is not from this listing."""

    def count(self, kb: str, wanted: PatternFilter) -> BoundedCount | None:
        """Count patterns as far as that is cheap; None where it is not."""

    def pattern(self, kb: str, name: str) -> Mapping[str, Any] | None:
        """Read a pattern's whole record, with its `_id`; None where there is none."""

    def more_frequent(self, kb: str, frequency: float) -> BoundedCount:
        """Count the patterns that were learned more often than that."""

    def symbols(self, kb: str, names: Sequence[str]) -> Mapping[str, SymbolFacts]:
        """Look up symbols by name; those without a record are left out."""

    def with_event(self, kb: str, event: Sequence[Any], limit: int) -> tuple[PatternRow, ...]:
        """Give some patterns that have an event of exactly these symbols, by name."""
