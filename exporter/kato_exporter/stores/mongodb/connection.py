"""The connection to MongoDB: one client, with a time limit on whatever is asked through it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymongo
from bson.errors import BSONError
from pymongo.errors import OperationFailure, PyMongoError

from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.mongodb.client import ReadingClient, SameServer

Document = dict[str, Any]
Client = ReadingClient

_AUTHENTICATION_FAILED = 18
_NOT_PERMITTED = frozenset({13, 8000})  # 8000 is Atlas's, where the tier does not allow it
_DRIVER_DETAILS = re.compile(r" \(configured timeouts: [^)]*\)|, Timeout: .*|, full error: .*")
_NO_PRIMARY = 'No replica set members match selector "Primary()"'
_LEAST_SECONDS = 0.001  # 0 would mean for ever


class NotPermittedError(QueryError):
    """The account lacks the right to ask this."""


class MongoConnection:
    """A mongod, replica set or mongos, by URL; connects when it is first used.

    Whatever is asked obeys the URL's read preference, and goes to the same server for as long as
    that may be asked. Without a read preference it goes to the primary.

    `timeout` in seconds bounds the search for a server and every cheap question;
    `query_timeout` bounds each question that reads an index or a collection through, on the
    server too (`maxTimeMS`). `name` is what the server shows of us in currentOp and its log.
    """

    def __init__(
        self, url: str, *, timeout: float, query_timeout: float, name: str = "kato-exporter"
    ) -> None:
        milliseconds = int(timeout * 1000)
        self.timeout = timeout
        self.query_timeout = query_timeout
        self._client = Client(
            url,
            appname=name,
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            maxPoolSize=8,
            serverMonitoringMode="poll",  # else a refused sign-in bars the next one for 10 s
            server_selector=SameServer(),
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
        limit = max(_LEAST_SECONDS, self.timeout if seconds is None else seconds)
        with _mongodb_errors(), pymongo.timeout(limit):
            yield self._client

    @contextmanager
    def asking_by(self, deadline: Deadline) -> Iterator[Client]:
        """Give the client for cheap questions that end by a deadline, and within `timeout`."""
        with self.asking(min(self.timeout, deadline.remaining)) as client:
            yield client

    def close(self) -> None:
        """Give back every connection."""
        self._client.close()


@contextmanager
def _mongodb_errors() -> Iterator[None]:
    try:
        yield
    except OperationFailure as error:
        message = str((error.details or {}).get("errmsg", error)).partition("\n")[0]
        if error.code == _AUTHENTICATION_FAILED:
            raise StoreError(f"authentication failed: {message}") from error
        refusal = NotPermittedError if error.code in _NOT_PERMITTED else QueryError
        raise refusal(message, code=error.code) from error
    except BSONError as error:
        raise QueryError(f"an answer that cannot be read: {error}") from error
    except PyMongoError as error:
        message = _DRIVER_DETAILS.sub("", str(error))
        if message == _NO_PRIMARY:
            message = "the replica set has no primary; readPreference=secondaryPreferred reads on"
        raise StoreError(message) from error
    except (LookupError, TypeError, AttributeError, ArithmeticError, AssertionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise QueryError(f"an answer that is not as MongoDB's: {reason}") from error
