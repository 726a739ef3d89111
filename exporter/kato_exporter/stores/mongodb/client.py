"""A client of MongoDB that reads where its URL says, and always from the same server."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import pymongo
from pymongo.collection import Collection
from pymongo.command_cursor import CommandCursor
from pymongo.database import Database
from pymongo.errors import AutoReconnect, OperationFailure, ServerSelectionTimeoutError
from pymongo.server_description import ServerDescription

T = TypeVar("T")

_NO_SUCH_COLLECTION = 26


class SameServer:
    """Keeps to one of the servers that a question may go to for as long as it is among them.

    Each member of a replica set and each mongos counts for itself, so counters read from now one,
    now another would jump up and down. The first choice is the one that answers soonest.
    """

    def __init__(self) -> None:
        self._address: tuple[str, int | None] | None = None

    def __call__(self, servers: Sequence[ServerDescription]) -> Sequence[ServerDescription]:
        """Give the one server to ask, nothing where there is none."""
        if not servers:
            return servers
        same = [server for server in servers if server.address == self._address]
        [chosen] = same or [min(servers, key=_round_trip)]
        self._address = chosen.address
        return [chosen]


class ReadingClient(pymongo.MongoClient[dict[str, Any]]):
    """Asks whatever it asks by the URL's read preference.

    pymongo alone has a primary answer commands and lists of names, whatever the URL says.
    """

    def __getitem__(self, name: str) -> "ReadingDatabase":
        return ReadingDatabase(self, name)

    def list_database_names(self, *_: Any, **options: Any) -> list[str]:
        """Name all databases that the account may see."""
        answer = self["admin"].command("listDatabases", nameOnly=True, **options)
        return _names(answer["databases"])


class ReadingDatabase(Database[dict[str, Any]]):
    """A database of a ReadingClient."""

    def __getitem__(self, name: str) -> "ReadingCollection":
        return ReadingCollection(self, name)

    def command(self, *command: Any, **options: Any) -> Any:
        """Ask something that has one answer."""
        options = {"read_preference": self.read_preference, **options}
        ask = super().command
        return _once_more(lambda: ask(*command, **options))

    def cursor_command(self, *command: Any, **options: Any) -> CommandCursor[dict[str, Any]]:
        """Ask something that is answered with a cursor."""
        options = {"read_preference": self.read_preference, **options}
        ask = super().cursor_command
        return _once_more(lambda: ask(*command, **options))

    def list_collection_names(self, *_: Any, **options: Any) -> list[str]:
        """Name all collections and views."""
        with self.cursor_command("listCollections", nameOnly=True, **options) as collections:
            return _names(collections)


class ReadingCollection(Collection[dict[str, Any]]):
    """A collection of a ReadingDatabase."""

    def index_information(self, *_: Any, **options: Any) -> dict[str, Any]:
        """Describe the indexes, by name; empty where there is no such collection."""
        try:
            with self.database.cursor_command("listIndexes", self.name, **options) as indexes:
                return {index.pop("name"): _with_key_pairs(index) for index in indexes}
        except OperationFailure as error:
            if error.code == _NO_SUCH_COLLECTION:
                return {}
            raise


def _names(entries: Iterable[dict[str, Any]]) -> list[str]:
    names = [entry["name"] for entry in entries]
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a name that is no text")
    return names


def _with_key_pairs(index: dict[str, Any]) -> dict[str, Any]:
    return {**index, "key": list(index["key"].items())}


def _once_more(ask: Callable[[], T]) -> T:
    """Ask again where the connection was lost, within the same time limit."""
    try:
        return ask()
    except ServerSelectionTimeoutError:
        raise
    except AutoReconnect:
        return ask()


def _round_trip(server: ServerDescription) -> float:
    return math.inf if server.round_trip_time is None else server.round_trip_time
