"""An `_id` of any type as one segment of a URL, and back."""

import base64
import re
import struct

from bson.errors import BSONError

from kato_exporter.browser.knowledge.extended_json import read, write
from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, document_of, elements

_OBJECT_ID = re.compile(r"[0-9a-f]{24}")
_BYTES = "bytes:"


def id_text(identity: BsonValue) -> str:
    """Spell an `_id`.

    An ObjectId is its 24 hex digits, all else is canonical extended JSON, in which a slash and a
    percent sign are escapes: a web server would take them for its own. What JSON cannot tell
    exactly (a NaN with a payload) is `bytes:` and base64 of the type and the bytes.
    """
    if identity.type is BsonType.OBJECT_ID:
        return identity.data.hex()
    text = write(identity)
    if _told(text) != identity:
        code = base64.urlsafe_b64encode(bytes([identity.type]) + identity.data)
        return f"{_BYTES}{code.decode()}"
    return text.replace("/", "\\u002f").replace("%", "\\u0025")


def id_of(text: str) -> BsonValue:
    """Read what `id_text` has written, or any extended JSON; raise ValueError for all else."""
    if _OBJECT_ID.fullmatch(text):
        return BsonValue(BsonType.OBJECT_ID, bytes.fromhex(text))
    return _from_bytes(text) if text.startswith(_BYTES) else read(text)


def _from_bytes(text: str) -> BsonValue:
    code = text.removeprefix(_BYTES).encode()
    kind, *data = base64.b64decode(code, altchars=b"-_", validate=True)
    identity = BsonValue(BsonType(kind), bytes(data))
    try:
        if [("_id", identity)] != list(elements(document_of([("_id", identity)]))):
            raise ValueError("the bytes are no value")
        if id_text(identity) != text:
            raise ValueError("this value has another spelling")
    except (BSONError, struct.error) as error:
        raise ValueError("the bytes are no value") from error
    return identity


def _told(text: str) -> BsonValue | None:
    try:
        return read(text)
    except ValueError:
        return None
