"""What a document has to be like to be listed: one field compared with one value.

A condition is made of parts and never of a user's own query, so no operator of MongoDB's can get
into it: a text is compared as a text, whatever stands in it.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

Operator = Literal["is", "starts", "at_least", "at_most", "exists", "missing"]
Operand = str | int | float | bool | Decimal128 | ObjectId | DatetimeMS | Binary | None

_NULL_TYPE = 10
_PATTERN_SYNTAX = re.compile(r"([^A-Za-z0-9_\x80-\U0010ffff])")
_COMPARISONS = {"is": "$eq", "at_least": "$gte", "at_most": "$lte"}


class WrongFieldError(ValueError):
    """A path that MongoDB would not take for the name of a field; says why."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A field, by its path with dots, and what it is to be.

    A field that is an array fits where one of its entries does. Values of other types than the
    operand's do not fit, except that all kinds of numbers compare with each other.
    """

    field: str
    operator: Operator
    operand: Operand = None

    def __post_init__(self) -> None:
        for part in self.field.split("."):
            if not part:
                raise WrongFieldError("give names of fields with single dots between them")
            if part.startswith("$"):
                raise WrongFieldError(
                    "a name that begins with $ is an operator to MongoDB; give the name of a field"
                )
        if "\0" in self.field:
            raise WrongFieldError("no field's name can hold the character NUL")

    @property
    def filter(self) -> dict[str, Any]:
        """Give the condition as MongoDB's filter."""
        return {self.field: self._comparison()}

    def _comparison(self) -> dict[str, Any]:
        if self.operator in ("exists", "missing"):
            return {"$exists": self.operator == "exists"}
        if self.operator == "starts":
            return {"$regex": f"^{_PATTERN_SYNTAX.sub(_escaped, str(self.operand))}"}
        if self.operand is None:
            return {"$type": _NULL_TYPE}  # `$eq` would also fit where there is no such field
        return {_COMPARISONS[self.operator]: self.operand}


def _escaped(found: re.Match[str]) -> str:
    return "\\x00" if found[0] == "\0" else f"\\{found[0]}"
