"""A session's record: the JSON value of its key, of KATO 2 and of KATO 3."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

LARGEST_RECORD = 1024 * 1024
"""A record above this many bytes is not read; KATO's own are a few thousand."""


class RecordError(ValueError):
    """The value is not a session as KATO writes it; the message is a short constant reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """What monitoring needs of a session.

    `stm_events` is the number of events in short-term memory, `last_accessed` is in epoch seconds.
    """

    node_id: str
    stm_events: int
    last_accessed: float


def parse_session_record(value: bytes) -> SessionRecord:
    """Read `node_id`, `stm` and `last_accessed`, whatever other fields there are.

    Raises RecordError: `json` where the value is not a JSON object in UTF-8, `fields` where one of
    the three is missing or of another type.
    """
    try:
        document: Any = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise RecordError("json") from error
    if not isinstance(document, dict):
        raise RecordError("json")
    node_id, stm = document.get("node_id"), document.get("stm")
    if not isinstance(node_id, str) or not isinstance(stm, list):
        raise RecordError("fields")
    try:
        last_accessed = datetime.fromisoformat(document["last_accessed"])
        if last_accessed.tzinfo is None:
            raise RecordError("fields")
        return SessionRecord(
            node_id=node_id, stm_events=len(stm), last_accessed=last_accessed.timestamp()
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RecordError("fields") from error
