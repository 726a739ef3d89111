"""KATO's vectors: names of Qdrant's collections, and the points that KATO 3 writes into them."""

import re
import uuid

VECTOR_NAME = "vctr_name"
"""The payload field in which KATO 3 keeps a vector's symbol."""

_COLLECTION_PREFIX = "vectors_"
_SYMBOL = re.compile(r"VCTR\|[0-9a-f]{40}")


def knowledge_base_of_collection(collection: str) -> str | None:
    """Name the knowledge base that a Qdrant collection belongs to; None where it is none of KATO's.

    KATO calls the collection of a knowledge base `vectors_<kb>`.
    """
    kb = collection.removeprefix(_COLLECTION_PREFIX)
    return kb if kb and kb != collection else None


def collection_of_knowledge_base(kb: str) -> str:
    """Name the Qdrant collection of a knowledge base."""
    return f"{_COLLECTION_PREFIX}{kb}"


def is_vector_symbol(symbol: str) -> bool:
    """Tell whether a symbol names a vector: `VCTR|` and 40 hex digits, a SHA-1."""
    return _SYMBOL.fullmatch(symbol) is not None


def point_of_symbol(symbol: str) -> str:
    """Give the id of the point that KATO 3 writes for a vector's symbol.

    It is the UUIDv5 of the symbol, `VCTR|` included, in the namespace of DNS names.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, symbol))
