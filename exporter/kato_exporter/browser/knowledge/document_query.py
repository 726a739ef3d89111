"""The form that searches documents: a field, how to compare it, and a value with its type.

Whatever is given is a name or a value, never a part of MongoDB's language.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast, get_args
from uuid import UUID

from bson.binary import Binary, UuidRepresentation
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from flask import request

from kato_exporter.browser.arguments import choice_argument, refuse, text_argument
from kato_exporter.stores.mongodb.document_conditions import (
    Condition,
    Operand,
    Operator,
    WrongFieldError,
)

OPERATORS: Mapping[Operator, str] = {
    "is": "is",
    "starts": "starts with",
    "at_least": "is at least",
    "at_most": "is at most",
    "exists": "exists",
    "missing": "is missing",
}
"""The comparisons, as the URL and as the page has them."""

GUESS = "guess"

TYPES: Mapping[str, str] = {
    GUESS: "as it looks",
    "text": "text",
    "number": "number",
    "objectid": "ObjectId",
    "date": "date",
    "boolean": "true or false",
    "null": "null",
    "decimal": "Decimal128",
    "uuid": "UUID",
}
"""The types of a value, as the URL and as the page has them."""

_LONGEST_VALUE = 1_000
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NUMBER = re.compile(
    r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|NaN|[+-]?Infinity", re.ASCII
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Query:
    """What the form holds; `guessed` where `type` is what the value looks like."""

    field: str
    operator: Operator
    type: str
    guessed: bool
    value: str


def query_arguments() -> tuple[Query | None, Condition | None]:
    """Read the form from the URL; 400 where it makes no sense, None where it is empty."""
    field = text_argument("field")
    value = request.args.get("value", "")
    operator = cast("Operator", choice_argument("operator", get_args(Operator), default="is"))
    kind = choice_argument("type", tuple(TYPES), default=GUESS)
    if len(value) > _LONGEST_VALUE:
        refuse("value", value, f"give at most {_LONGEST_VALUE:,} characters")
    if not field:
        if value:
            refuse("field", field, "give the name of the field that the value is compared with")
        return None, None
    try:
        if operator in ("exists", "missing"):
            condition = Condition(field, operator)
            return Query(field, operator, kind, guessed=False, value=""), condition
        found = _looks_like(value, operator) if kind == GUESS else kind
        condition = Condition(field, operator, _operand(found, operator, value))
    except WrongFieldError as error:
        refuse("field", field, str(error))
    except ValueError as error:
        refuse("value", value, str(error))
    return Query(field, operator, found, guessed=kind == GUESS, value=value), condition


def _looks_like(value: str, operator: Operator) -> str:
    text = value.strip()
    if operator == "starts":
        return "text"
    if _OBJECT_ID.fullmatch(text):
        return "objectid"
    if _NUMBER.fullmatch(text):
        return "number"
    if text in ("true", "false"):
        return "boolean"
    if text == "null" and operator == "is":
        return "null"
    return "date" if _DATE.fullmatch(text) and _moment(text) else "text"


def _operand(kind: str, operator: Operator, value: str) -> Operand:
    if operator == "starts" and kind != "text":
        raise ValueError("only a text starts with something; choose the type text")
    if operator != "is" and kind == "null":
        raise ValueError("null is not greater or less than anything; choose `is`")
    return value if kind == "text" else _READERS[kind](value.strip())


def _number(text: str) -> Operand:
    if _INTEGER.fullmatch(text):
        number = int(text)
        if -(2**63) <= number < 2**63:
            return Int64(number)
        raise ValueError("no int or long of MongoDB's is as large; choose Decimal128")
    if not _NUMBER.fullmatch(text):
        raise ValueError("give a number, such as 12, -0.5, 1e6, NaN or Infinity")
    return float(text)


def _object_id(text: str) -> Operand:
    if not _OBJECT_ID.fullmatch(text):
        raise ValueError("an ObjectId has 24 hex digits")
    return ObjectId(text)


def _date(text: str) -> Operand:
    when = _moment(text)
    if when is None:
        raise ValueError("give a date such as 2025-10-13 or 2025-10-13T08:30:00Z")
    return when


def _moment(text: str) -> DatetimeMS | None:
    try:
        when = datetime.fromisoformat(text)
        return DatetimeMS(when if when.tzinfo else when.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None


def _boolean(text: str) -> Operand:
    if text not in ("true", "false"):
        raise ValueError("give true or false")
    return text == "true"


def _null(text: str) -> Operand:
    if text not in ("", "null"):
        raise ValueError("null is a value of its own; leave this empty, or give null")
    return None


def _decimal(text: str) -> Operand:
    try:
        return Decimal128(text)
    except ArithmeticError as error:
        raise ValueError("give a number of at most 34 digits") from error


def _uuid(text: str) -> Operand:
    try:
        return Binary.from_uuid(UUID(text), UuidRepresentation.STANDARD)
    except ValueError as error:
        raise ValueError("give a UUID, 32 hex digits") from error


_READERS: Mapping[str, Callable[[str], Operand]] = {
    "number": _number,
    "objectid": _object_id,
    "date": _date,
    "boolean": _boolean,
    "null": _null,
    "decimal": _decimal,
    "uuid": _uuid,
}
