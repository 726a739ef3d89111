"""The connection to MongoDB: one client, with a time limit on whatever is asked through it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from kato_exporter.stores.errors import QueryError, StoreError

Document = dict[str, Any]
Client = pymongo.MongoClient[Document]

_AUTHENTICATION_FAILED = 18
_DRIVER_DETAILS = re.compile(r" \(configured timeouts: [^)]*\)|, Timeout: .*")


class MongoConnection:
    """A mongod, replica set or mongos, by URL; connects when it is first used.

    `timeout` in seconds bounds the search for a server and every cheap question;
    `query_timeout` bounds each question that reads an index or a collection through, on the
    server too (`maxTimeMS`).
    """

    def __init__(self, url: str, *, timeout: float, query_timeout: float) -> None:
        milliseconds = int(timeout * 1000)
        self.timeout = timeout
        self.query_timeout = query_timeout
        self._client: Client = pymongo.MongoClient(
            url,
            appname="kato-exporter",
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            maxPoolSize=4,
            unicode_decode_error_handler="replace",
            connect=False,
        )
        self._seeds = url.partition("://")[2].partition("/")[0].rpartition("@")[2]

    @property
    def address(self) -> str:
        """Where it is, without user name, password or options."""
        return f"mongodb://{self._seeds}"

    @contextmanager
    def asking(self, seconds: float | None = None) -> Iterator[Client]:
        """Give the client for questions that end within so many seconds, `timeout` by default.

        Raises QueryError where the server refuses a question, and StoreError where it gives no
        answer at all.
        """
        with _mongodb_errors(), pymongo.timeout(self.timeout if seconds is None else seconds):
            yield self._client

    def close(self) -> None:
        """Give back every connection."""
        self._client.close()


@contextmanager
def _mongodb_errors() -> Iterator[None]:
    try:
        yield
    except OperationFailure as error:
        message = (error.details or {}).get("errmsg", str(error))
        if error.code == _AUTHENTICATION_FAILED:
            raise StoreError(f"authentication failed: {message}") from error
        raise QueryError(str(message).partition("\n")[0], code=error.code) from error
    except PyMongoError as error:
        raise StoreError(_DRIVER_DETAILS.sub("", str(error))) from error
