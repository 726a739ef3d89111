"""Qdrant, by its REST API: `GET /`, `/collections` and `/collections/NAME`; and its points."""

from typing import Any

from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.http import JsonApi
from kato_exporter.stores.json_values import at, text
from kato_exporter.stores.qdrant.answers import (
    CollectionDescription,
    CollectionInfo,
    collection_description,
    collection_info,
    collection_names,
)
from kato_exporter.stores.qdrant.names import collection_path
from kato_exporter.stores.qdrant.points import QUESTIONS, QdrantPoints
from kato_exporter.stores.store import StoreReport


class QdrantStore:
    """A Qdrant server, by URL (`http://` or `https://`, perhaps with a prefix).

    `timeout` in seconds bounds every answer; that to a question on points `query_timeout` instead,
    where it is given. A read-only `api_key` is enough.
    """

    name = "qdrant"

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        query_timeout: float | None = None,
        api_key: str | None = None,
    ) -> None:
        self._timeout = timeout
        patience = timeout if query_timeout is None else query_timeout
        self._api = JsonApi(
            url,
            timeout=max(timeout, patience),
            key=api_key,
            advice="check KATO_QDRANT_API_KEY (--qdrant-api-key)",
            questions=QUESTIONS,
        )
        self.points = QdrantPoints(self._api, timeout=patience)

    @property
    def address(self) -> str:
        """Where it is."""
        return self._api.address

    @property
    def tells_its_key(self) -> bool:
        """Whether the API key goes over the network as it is."""
        return self._api.tells_its_key

    def probe(self, deadline: Deadline) -> None:
        """Ask `/`, which needs no key; raise StoreError where Qdrant does not answer."""
        self.version(deadline)

    def report(self) -> StoreReport:
        """Ask for the version, and for the collections to try the key; raise StoreError."""
        version = self.version(Deadline.after(self._timeout))
        self.collections(Deadline.after(self._timeout))
        return StoreReport(version=f"Qdrant {version}")

    def version(self, deadline: Deadline) -> str:
        """Ask `/` for the server's version."""
        version = text(at(self._get("/", deadline), "version"))
        if version is None:
            raise QueryError("/: not an answer of Qdrant")
        return version

    def collections(self, deadline: Deadline) -> tuple[str, ...]:
        """Ask `/collections` for the names of all."""
        names = collection_names(self._get("/collections", deadline))
        if names is None:
            raise QueryError("/collections: not a list of collections")
        return names

    def collection(self, name: str, deadline: Deadline) -> CollectionInfo:
        """Ask `/collections/NAME`; QueryError with code 404 where it is gone."""
        path = collection_path(name)
        info = collection_info(self._get(path, deadline))
        if info is None:
            raise QueryError(f"{path}: not a collection")
        return info

    def describe(self, name: str, deadline: Deadline) -> CollectionDescription:
        """Ask the same for all that the answer has."""
        path = collection_path(name)
        description = collection_description(self._get(path, deadline))
        if description is None:
            raise QueryError(f"{path}: not a collection")
        return description

    def close(self) -> None:
        """Give back every connection."""
        self._api.close()

    def _get(self, path: str, deadline: Deadline) -> Any:
        return self._api.get(path, deadline.within(self._timeout))
