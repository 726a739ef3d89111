"""The grammar of KATO's session keys in Redis.

A live session is the string key `kato:session:session-<32 hex>-<epoch ms>`; KATO writes it with
SETEX at creation and again at every update.
"""

import re
from typing import NewType

SESSION_KEY_MATCH = "kato:session:session-*"
"""The Redis glob that every session key matches; other keys can match it too."""

SESSION_INDEX = "kato:session:_active_index"
"""KATO 3's set of session ids, from which expired ones are not taken."""

SessionHandle = NewType("SessionHandle", int)
"""A session's identity in 90 bits: its birth in epoch ms, above the low 49 bits of its UUID.

A Python int of this size takes 48 bytes where the key as a string takes 150. Two sessions share a
handle only when born in the same millisecond with UUIDs alike in 49 random bits.
"""

_UUID_BITS = 49
_KEY = re.compile(rb"kato:session:session-([0-9a-f]{32})-([0-9]{13})")


def looks_like_session_key(key: bytes) -> bool:
    """Tell whether a key claims to be a session, be its name well-formed or not."""
    return key.startswith(b"kato:session:session-")


def parse_session_key(key: bytes) -> SessionHandle | None:
    """Give the handle of a session key, or None where the name is not one that KATO makes."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    uuid_bits = int(match[1], 16) & ((1 << _UUID_BITS) - 1)
    return SessionHandle(int(match[2]) << _UUID_BITS | uuid_bits)


def born_at(handle: SessionHandle) -> float:
    """Give the birth of a session, which its name carries, in epoch seconds of KATO's clock."""
    return (handle >> _UUID_BITS) / 1000
