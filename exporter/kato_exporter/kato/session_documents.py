"""A session's whole record as it is shown to people: what KATO writes, and whatever else is there.

KATO 2 and 3 write the same fields; KATO 3 has more of them.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Document = dict[str, Any]

KEY_PREFIX = "kato:session:"
"""What stands before a session's id in the key of its record."""


class DocumentError(ValueError):
    """The value is no JSON object; the message says why, in a few words for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """What a record says of its session; None where it does not say it as KATO does.

    `stm_events` and `symbols` count what short-term memory holds, symbols over all events. Times
    are in UTC. `unlike` names the fields that are missing or not of the type that KATO writes.
    """

    node_id: str | None
    created_at: datetime | None
    last_accessed: datetime | None
    expires_at: datetime | None
    stm_events: int | None
    symbols: int | None
    access_count: int | None
    unlike: tuple[str, ...]


def session_key(session_id: str) -> bytes:
    """Give the Redis key of a session's record."""
    return f"{KEY_PREFIX}{session_id}".encode(errors="surrogatepass")


def node_pointer_key(node_id: str) -> bytes:
    """Give the key at which KATOs before October 2025 noted the session of a node."""
    return f"{KEY_PREFIX}node:{node_id}:active".encode(errors="surrogatepass")


def read_document(value: bytes) -> Document:
    """Read a record; raise DocumentError where it is no JSON object."""
    try:
        document: Any = json.loads(value.decode())
    except UnicodeDecodeError as error:
        raise DocumentError("not UTF-8") from error
    except RecursionError as error:
        raise DocumentError("nested too deeply") from error
    except ValueError as error:
        raise DocumentError(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise DocumentError("JSON, but not an object")
    return document


def session_facts(document: Mapping[str, Any]) -> SessionFacts:
    """Read what a list of sessions shows of each, whatever types the fields have."""
    stm = document.get("stm")
    node_id, access_count = document.get("node_id"), document.get("access_count")
    times = {
        name: _moment(document.get(name)) for name in ("created_at", "last_accessed", "expires_at")
    }
    as_kato_writes = {
        "session_id": isinstance(document.get("session_id"), str),
        "node_id": isinstance(node_id, str),
        **{name: moment is not None for name, moment in times.items()},
        "stm": _is_stm(stm),
        "access_count": _is_count(access_count),
    }
    return SessionFacts(
        node_id=node_id if isinstance(node_id, str) else None,
        **times,
        stm_events=len(stm) if isinstance(stm, list) else None,
        symbols=_length(stm) if isinstance(stm, list) else None,
        access_count=access_count if _is_count(access_count) else None,
        unlike=tuple(name for name, is_so in as_kato_writes.items() if not is_so),
    )


def _length(events: Iterable[Any]) -> int:
    return sum(len(event) for event in events if isinstance(event, list))


def _is_stm(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(event, list) and all(isinstance(symbol, str) for symbol in event)
        for event in value
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _moment(value: Any) -> datetime | None:
    """Read a time with an offset, as KATO writes it."""
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (TypeError, ValueError, OverflowError):
        return None
