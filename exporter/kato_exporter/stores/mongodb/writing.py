"""Asks MongoDB to change something: on the primary, byte for byte, and on a majority of members.

On a server that stands alone, a majority means its journal.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from pymongo.errors import BulkWriteError, OperationFailure, WriteConcernError
from pymongo.write_concern import WriteConcern

from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.mongodb.bson_elements import BsonType, BsonValue, document_of, string_data
from kato_exporter.stores.mongodb.connection import Client, MongoConnection, NotPermittedError

MAJORITY = WriteConcern("majority")

NOT_PERMITTED = 13
DUPLICATE_KEY = 11000

RAW: CodecOptions[RawBSONDocument] = CodecOptions(
    RawBSONDocument,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)

_ENDED_MIDWAY = frozenset({50, 64, 91, 189, 262, 11600, 11601, 11602})
"""Time was up, the operation was killed, the server stopped or is no longer the primary."""


class ExactDocument(RawBSONDocument):
    """A document that is sent as it is, and not looked into: a driver cannot read them all."""

    def __bool__(self) -> bool:
        return True


@contextmanager
def writing(connection: MongoConnection) -> Iterator[Client]:
    """Give the client for changes that end within the connection's `query_timeout`.

    Raises QueryError where nothing was done, and StoreError where something may have been.
    """
    with connection.asking(connection.query_timeout) as client:
        try:
            yield client
        except BulkWriteError as error:
            raise bulk_failure(error) from error
        except WriteConcernError as error:
            raise StoreError(f"not known to be kept by a majority: {error}") from error
        except OperationFailure as error:
            if error.code in _ENDED_MIDWAY:
                raise StoreError(f"it was ended midway: {error}") from error
            raise
        except BSONError as error:
            raise StoreError(f"an answer that cannot be read: {error}") from error


def primary(client: Client, database: str) -> Database[RawBSONDocument]:
    """Give a database whose primary is asked, once, and whose answers are BSON as it stands."""
    found = client.get_database(
        database,
        codec_options=RAW,
        read_preference=pymongo.ReadPreference.PRIMARY,
        write_concern=MAJORITY,
    )
    return cast("Database[RawBSONDocument]", found)


def bulk_failure(error: BulkWriteError) -> StoreError:
    """Say what a failed bulk write means."""
    details: Mapping[str, Any] = error.details
    refused = details.get("writeErrors") or []
    unsure = details.get("writeConcernErrors") or []
    done = sum(details.get(count, 0) for count in ("nInserted", "nRemoved", "nMatched"))
    message = str((refused or unsure or [{}])[0].get("errmsg", error)).partition("\n")[0]
    code = refused[0].get("code") if refused else None
    if done or unsure or code in _ENDED_MIDWAY:
        return StoreError(f"not all was done, or not kept by a majority: {message}")
    kind = NotPermittedError if code == NOT_PERMITTED else QueryError
    return kind(message, code=code)


def unchanged(documents: Mapping[BsonValue, bytes]) -> ExactDocument:
    """Make the filter that fits documents, by `_id`, which are still equal to these.

    To MongoDB 1, 1.0 and the long 1 are equal, as are a symbol and a string, and of fields that
    occur twice it compares one. Many documents in one filter are several times faster than many
    filters.
    """
    root = BsonValue(BsonType.STRING, string_data("$$ROOT"))
    literals = (BsonValue(BsonType.OBJECT, document) for document in documents.values())
    among = _array([root, _object(("$literal", _array(literals)))])
    return raw(
        document_of(
            [
                ("_id", _object(("$in", _array(documents)))),
                ("$expr", _object(("$in", among))),
            ]
        )
    )


def one_of(values: Iterable[BsonValue], field: str = "_id") -> ExactDocument:
    """Make the filter that fits where a field is one of some values."""
    return raw(document_of([(field, _object(("$in", _array(values))))]))


def raw(document: bytes) -> ExactDocument:
    """Make a document to be sent."""
    return ExactDocument(document, codec_options=RAW)


def _object(field: tuple[str, BsonValue]) -> BsonValue:
    return BsonValue(BsonType.OBJECT, document_of([field]))


def _array(values: Iterable[BsonValue]) -> BsonValue:
    entries = ((str(number), value) for number, value in enumerate(values))
    return BsonValue(BsonType.ARRAY, document_of(entries))
