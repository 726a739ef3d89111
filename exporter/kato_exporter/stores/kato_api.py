"""KATO's own HTTP API: five paths that change nothing, and no others.

Every other path of KATO loads a processor, prolongs or rewrites a session, or scans Redis.
"""

from collections.abc import Mapping
from typing import Any

from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.http import JsonApi
from kato_exporter.stores.json_values import at, text
from kato_exporter.stores.store import StoreReport


class KatoApiStore:
    """KATO's API, by URL (`http://` or `https://`, perhaps with a prefix).

    `timeout` in seconds bounds every answer.
    """

    name = "kato_api"

    def __init__(self, url: str, *, timeout: float) -> None:
        self._timeout = timeout
        self._api = JsonApi(
            url, timeout=timeout, advice="KATO asks for no credentials, something before it does"
        )

    @property
    def address(self) -> str:
        """Where it is."""
        return self._api.address

    def probe(self, deadline: Deadline) -> None:
        """Ask `/`, for which KATO asks no store; raise StoreError where no answer comes."""
        self._object("/", deadline)

    def report(self) -> StoreReport:
        """Ask `/` for the version; raise StoreError."""
        root = self._object("/", Deadline.after(self._timeout))
        version = text(at(root, "version")) or "of unknown version"
        return StoreReport(version=f"{text(at(root, 'service')) or 'KATO API'} {version}")

    def health(self, deadline: Deadline) -> Mapping[str, Any]:
        """Ask `/health`, which looks at no database."""
        return self._object("/health", deadline)

    def metrics(self, deadline: Deadline) -> Mapping[str, Any]:
        """Ask `/metrics`, which is JSON."""
        return self._object("/metrics", deadline)

    def session_count(self, deadline: Deadline) -> Mapping[str, Any]:
        """Ask `/sessions/count`."""
        return self._object("/sessions/count", deadline)

    def concurrency(self, deadline: Deadline) -> Mapping[str, Any]:
        """Ask `/concurrency`."""
        return self._object("/concurrency", deadline)

    def close(self) -> None:
        """Give back every connection."""
        self._api.close()

    def _object(self, path: str, deadline: Deadline) -> Mapping[str, Any]:
        answer = self._api.get(path, deadline)
        if not isinstance(answer, Mapping):
            raise QueryError(f"{path}: not an object")
        return answer
