"""What keys of Redis hold, in words for pages and downloads: strings and elements as text."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from kato_exporter.stores.redis.names import LONGEST_LINKED_NAME, name_text
from kato_exporter.stores.redis.values import (
    ConsumerGroup,
    Excerpt,
    HashField,
    ListItem,
    ScoredMember,
    StreamEntry,
    StringPart,
)

StringKind = Literal["integer", "JSON", "text", "binary"]

_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]{0,18})")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)
_DEEPEST_INDENT = 40


@dataclass(frozen=True, slots=True)
class Told:
    r"""Some bytes as text: exact, or in the spelling of names (`\xNN`) where they are no text.

    `size` is how many bytes there are in all; `cut` tells that these are the first ones.
    """

    text: str
    binary: bool
    size: int
    cut: bool


def told(excerpt: Excerpt) -> Told:
    """Tell an excerpt as text."""
    text = _as_text(excerpt.data)
    return Told(
        text=name_text(excerpt.data) if text is None else text,
        binary=text is None,
        size=excerpt.size,
        cut=excerpt.size > len(excerpt.data),
    )


def spelled(text: Told) -> str | None:
    """Spell some bytes as names are, None where they are cut or too long for a link."""
    if text.cut or text.size > LONGEST_LINKED_NAME:
        return None
    return text.text if text.binary else name_text(text.text.encode())


def string_facts(part: StringPart) -> dict[str, Any]:
    """Tell a string, or a part of one, which can be text or binary only."""
    kind = string_kind(part.data, whole=len(part.data) == part.size)
    return {
        "kind": kind,
        "text": name_text(part.data) if kind == "binary" else part.data.decode(),
        "offset": part.offset,
        "shown_bytes": len(part.data),
        "size": part.size,
    }


def string_kind(data: bytes, *, whole: bool) -> StringKind:
    """Recognise what a string holds: JSON is an object or a list, an integer has 64 bits or so."""
    text = _as_text(data)
    if text is None:
        return "binary"
    if whole and _INTEGER.fullmatch(data):
        return "integer"
    if whole and text.lstrip().startswith(("{", "[")):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return "text"
        return "JSON"
    return "text"


def laid_out(document: str) -> str:
    """Break a JSON text into indented lines; every value stays as it is spelled."""
    parts: list[str] = []
    depth = 0
    before = ""
    for piece in _PIECE.findall(document):
        if piece in "]}":
            depth -= 1
        if (before in ("[", "{", ",") or piece in "]}") and (before + piece not in ("[]", "{}")):
            parts.append("\n" + "  " * min(depth, _DEEPEST_INDENT))
        parts.append(": " if piece == ":" else piece)
        if piece in "[{":
            depth += 1
        before = piece
    return "".join(parts)


def hash_field(each: HashField) -> dict[str, Any]:
    """Tell a field of a hash."""
    return {"field": told(each.field), "value": told(each.value)}


def set_member(each: Excerpt) -> dict[str, Any]:
    """Tell a member of a set."""
    return {"member": told(each)}


def list_item(each: ListItem) -> dict[str, Any]:
    """Tell an element of a list."""
    return {"index": each.index, "value": told(each.value)}


def ranked_member(each: ScoredMember) -> dict[str, Any]:
    """Tell a member of a sorted set."""
    return {"rank": each.rank, "score": each.score, "member": told(each.member)}


def stream_entry(each: StreamEntry) -> dict[str, Any]:
    """Tell an entry of a stream; its id begins with the time at which it was added."""
    return {
        "id": each.id,
        "added": _added(each.id),
        "fields": [(told(field), told(value)) for field, value in each.fields],
        "fields_in_all": each.fields_in_all,
    }


def consumer_group(each: ConsumerGroup) -> dict[str, Any]:
    """Tell a group of a stream's consumers."""
    return {
        "name": told(each.name),
        "consumers": each.consumers,
        "pending": each.pending,
        "last_delivered": each.last_delivered,
        "lag": each.lag,
    }


def download_row(element: dict[str, Any]) -> dict[str, Any]:
    """Make an element flat: texts in place of what is told of them, and whether any is cut."""
    texts: list[Told] = []

    def flat(value: Any) -> Any:
        if isinstance(value, Told):
            texts.append(value)
            return value.text
        return (
            [[flat(part) for part in pair] for pair in value] if isinstance(value, list) else value
        )

    row = {name: flat(value) for name, value in element.items()}
    row["binary"] = any(text.binary for text in texts)
    row["cut"] = any(text.cut for text in texts)
    return row


def _as_text(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROLS.search(text) else text


def _added(identifier: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(identifier.partition("-")[0]) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
