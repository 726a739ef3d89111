"""KATO 2's knowledge bases: the names of databases and collections, and what is read of them."""

import hashlib
import re
from dataclasses import dataclass

from kato_exporter.kato.distribution import Distribution

PATTERNS = "patterns_kb"
SYMBOLS = "symbols_kb"
PREDICTIONS = "predictions_kb"
ASSOCIATIVE_ACTIONS = "associative_action_kb"
METADATA = "metadata"

COLLECTIONS = (PATTERNS, SYMBOLS, PREDICTIONS, ASSOCIATIVE_ACTIONS, METADATA)
"""The collections of a knowledge base that KATO makes."""

SYSTEM_DATABASES = frozenset({"admin", "config", "local"})

FREQUENCY_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000)
"""Buckets of how often a pattern was learned; KATO starts at 1."""

LENGTH_BOUNDS = (2, 3, 4, 6, 8, 12, 16, 32, 64, 128, 256, 512, 1_024, 4_096)
"""Buckets of how many symbols a pattern has; KATO learns none shorter than 2."""

PATTERN_NAME = re.compile(r"^[0-9a-f]{40}\Z")
"""A pattern's name as the stores hold it: 40 hex digits, no prefix."""

_UNSAFE_IN_NODE = str.maketrans(dict.fromkeys('/\\."$*<>:|?- ', "_"))
_LONGEST_ID = 60
_HASH_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Totals:
    """The one document of class `totals` that KATO keeps in `metadata`; None where it has no int.

    Whenever it learns, KATO adds 1 to `pattern_frequencies`, the number of symbols to
    `symbol_frequencies`, and that of distinct symbols to `symbols_in_patterns_frequencies`.
    """

    pattern_frequencies: int | None
    symbol_frequencies: int | None
    symbols_in_patterns_frequencies: int | None


@dataclass(frozen=True, slots=True)
class PatternFrequency:
    """A pattern's name (SHA-1 in hex) and how often it was learned."""

    name: str
    frequency: int


@dataclass(frozen=True, slots=True)
class MeasuredDistribution:
    """A distribution over documents, and how many documents had no usable value."""

    distribution: Distribution
    unusable: int


def knowledge_base_of(node_id: str, service: str = "kato") -> str:
    """Name the knowledge base (KATO: processor id) that a node learns into.

    It is also the name of the MongoDB database, and after `vectors_` of the Qdrant collection.
    """
    node = node_id.translate(_UNSAFE_IN_NODE)
    suffix = service.replace("-", "_")
    if len(f"{node}_{suffix}") > _LONGEST_ID:
        digest = hashlib.md5(node.encode(), usedforsecurity=False).hexdigest()[:_HASH_LENGTH]
        room = _LONGEST_ID - len(suffix) - _HASH_LENGTH - 2
        node = f"{node[:room]}_{digest}"
    return f"{node}_{suffix}"


def is_pattern_name(name: object) -> bool:
    """Tell whether a value is a pattern name as the stores hold it."""
    return isinstance(name, str) and PATTERN_NAME.fullmatch(name) is not None


def pattern_name(events: list[list[str]]) -> str:
    """Name a pattern: the SHA-1 of the Python text of its list of events."""
    return hashlib.sha1(str(events).encode(), usedforsecurity=False).hexdigest()
