"""What KATO counts when it learns a pattern: in its totals, and in the records of symbols.

Each learning adds 1 to a pattern's frequency. To the totals it adds 1 learning, the number of
symbols, and that of distinct symbols; to each symbol how often it occurs, and 1 membership.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, elements, field_of
from kato_exporter.stores.mongodb.bson_parts import int_of, long_of

FREQUENCY = "frequency"
MEMBERSHIP = "pattern_member_frequency"
TOTALS = (
    "total_pattern_frequencies",
    "total_symbol_frequencies",
    "total_symbols_in_patterns_frequencies",
)

_MOST_FREQUENT = 2**31


@dataclass(frozen=True, slots=True)
class Learnings:
    """Sums over learnings, of one knowledge base; by symbol, or by the totals' field."""

    totals: Counter[str] = field(default_factory=Counter)
    occurrences: Counter[BsonValue] = field(default_factory=Counter)
    memberships: Counter[BsonValue] = field(default_factory=Counter)

    @property
    def symbols(self) -> list[BsonValue]:
        """The distinct symbols, whose counts change."""
        return [symbol for symbol in self.memberships if self.memberships[symbol]]

    def add(self, pattern: bytes, *, sign: int) -> bool:
        """Add or take away all learnings of a pattern, given as BSON.

        False, and nothing changes, where KATO cannot have written its frequency or its events.
        """
        frequency = frequency_of(pattern)
        symbols = _symbols(pattern)
        if frequency is None or symbols is None:
            return False
        times = sign * frequency
        occurrences = Counter(symbols)
        amounts = (1, len(symbols), len(occurrences))
        for total, amount in zip(TOTALS, amounts, strict=True):
            self.totals[total] += times * amount
        for symbol, count in occurrences.items():
            self.occurrences[symbol] += times * count
            self.memberships[symbol] += times
        return True


def frequency_of(pattern: bytes) -> int | None:
    """Read how often a pattern was learned; None where KATO cannot have written that."""
    value = field_of(pattern, FREQUENCY)
    if value is None or value.type not in (BsonType.INT, BsonType.LONG):
        return None
    number = int_of(value.data) if value.type is BsonType.INT else long_of(value.data)
    return number if 1 <= number < _MOST_FREQUENT else None


def has_emotives(pattern: bytes) -> bool:
    """Tell whether a pattern was learned with emotives, as far as it still says."""
    value = field_of(pattern, "emotives")
    nested = value is not None and value.type in (BsonType.OBJECT, BsonType.ARRAY)
    return nested and value is not None and any(True for _ in elements(value.data))


def _symbols(pattern: bytes) -> list[BsonValue] | None:
    events = field_of(pattern, "pattern_data")
    if events is None or events.type is not BsonType.ARRAY:
        return None
    entries = [event for _, event in elements(events.data)]
    if any(event.type is not BsonType.ARRAY for event in entries):
        return None
    symbols = list(_entries(entries))
    return symbols if {BsonType.STRING}.issuperset(each.type for each in symbols) else None


def _entries(events: list[BsonValue]) -> Iterator[BsonValue]:
    for event in events:
        for _, symbol in elements(event.data):
            yield symbol
