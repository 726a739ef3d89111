"""Keys of pages as they stand in a URL: the values, of any type, at which a listing goes on."""

import base64
from collections.abc import Sequence
from typing import Any

from bson.codec_options import DatetimeConversion
from bson.json_util import CANONICAL_JSON_OPTIONS, dumps, loads

_LONGEST = 4096
_EXACT = CANONICAL_JSON_OPTIONS.with_options(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


def encode_key(values: Sequence[Any]) -> str:
    """Spell the values of a key, of any type that BSON has, in letters that a URL keeps."""
    text = dumps(list(values), json_options=_EXACT, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode_key(text: str) -> list[Any]:
    """Read what `encode_key` has written; raise ValueError for anything else."""
    if len(text) > _LONGEST:
        raise ValueError("too long")
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        values = loads(base64.b64decode(padded, altchars=b"-_", validate=True), json_options=_EXACT)
    except Exception as error:  # of base64, JSON, or whatever a broken value of BSON raises
        raise ValueError("not a key") from error
    if not isinstance(values, list):
        raise ValueError("not a key")  # noqa: TRY004 - the text is wrong, not its type
    return values
