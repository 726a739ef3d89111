"""The payload of a point as text that people edit: JSON, in which nothing is invisible."""

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, NoReturn

LONGEST = 200_000
"""The most characters of a payload's text that a form takes."""

_DEEPEST = 100
_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**64 - 1
_HIDDEN_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_MAYBE_HIDDEN = re.compile(r"[^\n\x20-\x7e]")
_MOST_SHOWN = 60


class PayloadError(ValueError):
    """A text that is no payload; the message says what is wrong, and where."""


def payload_text(payload: Mapping[str, Any]) -> str:
    """Spell a payload on several lines; what nobody could see or would be misled by is escaped."""
    text = json.dumps(payload, ensure_ascii=False, indent=2, sort_keys=True)
    return _MAYBE_HIDDEN.sub(_escaped, text)


def payload_of_text(text: str) -> dict[str, Any]:
    """Read a payload; raise PayloadError for what Qdrant would not keep as it is written."""
    if len(text) > LONGEST:
        raise PayloadError(f"This has {len(text):,} characters; give at most {LONGEST:,}.")
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise PayloadError(
            f"Line {error.lineno}, column {error.colno}: this is no JSON: {error.msg}."
        ) from error
    except RecursionError as error:
        raise PayloadError(_TOO_DEEP) from error
    except PayloadError:
        raise
    except ValueError as error:  # an integer of more digits than Python reads
        raise PayloadError(_TOO_LARGE.format("A whole number")) from error
    if not isinstance(found, dict):
        raise PayloadError("A payload is an object: it begins with { and ends with }.")
    _check(found, 0)
    return found


_TOO_DEEP = f"This is nested too deeply; {_DEEPEST} levels are the most."
_TOO_LARGE = (
    "{} is beyond what Qdrant keeps: whole numbers go from -9223372036854775808 to "
    "18446744073709551615. Write it as a text, in quotes."
)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise PayloadError(f"The field {_shown(twice)} stands twice in one object.")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise PayloadError(f"{name} is no number of JSON; give a number, null or a text.")


def _check(value: Any, depth: int) -> None:
    if depth > _DEEPEST:
        raise PayloadError(_TOO_DEEP)
    if isinstance(value, dict):
        for key, entry in value.items():
            _check(key, depth)
            _check(entry, depth + 1)
    elif isinstance(value, list):
        for entry in value:
            _check(entry, depth + 1)
    elif isinstance(value, str):
        _check_text(value)
    elif isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise PayloadError("A number is too large for a float of 64 bits.")
    elif isinstance(value, int) and not _LEAST_INTEGER <= value <= _MOST_INTEGER:
        raise PayloadError(_TOO_LARGE.format(_shown(str(value))))


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PayloadError(
            f"{_shown(text)} has half of a surrogate pair, which is no character."
        ) from error


def _shown(text: str) -> str:
    return _MAYBE_HIDDEN.sub(_escaped, text)[:_MOST_SHOWN]


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    hidden = unicodedata.category(character) in _HIDDEN_CATEGORIES
    return json.dumps(character)[1:-1] if hidden else character
