"""A collection of Qdrant as something that holds points and goes with them."""

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.json_values import at, count
from kato_exporter.stores.qdrant.content import Place, canonical
from kato_exporter.stores.qdrant.names import PointId
from kato_exporter.stores.qdrant.records import QdrantRecords
from kato_exporter.stores.qdrant.writing import QdrantWriting
from kato_exporter.stores.records import Outcome

_AT_ONCE = 100

_PARAMETERS = (
    *("vectors", "sparse_vectors", "shard_number", "sharding_method", "replication_factor"),
    *("write_consistency_factor", "on_disk_payload", "payload", "id_tracker"),
)
_CONFIGURATION = {
    "hnsw_config": "hnsw_config",
    "wal_config": "wal_config",
    "optimizer_config": "optimizers_config",
    "quantization_config": "quantization_config",
    "strict_mode_config": "strict_mode_config",
    "metadata": "metadata",
}
"""The parts of a collection's configuration, and what they are called when one is made."""


class QdrantCollection:
    """A collection, as Container says.

    What it takes to make it again is its configuration, its indexes of payload fields, and its
    aliases. How its reading is spread over the replicas of a cluster (`read_fan_out_factor`) is
    not, for that can only be set later.
    """

    def __init__(self, writing: QdrantWriting, records: QdrantRecords, name: str) -> None:
        self._writing = writing
        self._records = records
        self._name = name

    @property
    def kind(self) -> QdrantRecords:
        """Points."""
        return self._records

    def describe(self) -> bytes | None:
        """Give what it takes to make it again; None also for an alias.

        Raises QueryError for a collection with shards by key, which could not be made again.
        """
        if not self._is_there():
            return None
        try:
            info = self._writing.info(self._name)
        except QueryError as error:
            if error.code == HTTPStatus.NOT_FOUND and not self._is_there():
                return None
            raise
        configuration = _creation(info)
        if configuration.get("sharding_method") == "custom":
            raise QueryError(
                f"{self._name} has shards by key, and could not be made again as it is; it is not "
                "removed here"
            )
        aliases = [
            alias
            for alias, collection in self._writing.aliases().items()
            if collection == self._name
        ]
        return canonical(
            {"create": configuration, "indexes": _indexes(info), "aliases": sorted(aliases)}
        )

    def locators(self, at_once: int) -> Iterator[list[bytes]]:
        """Name its points in the order of their ids."""
        start: PointId | None = None
        while True:
            found, start = self._writing.ids(self._name, most=min(at_once, _AT_ONCE), start=start)
            if found:
                yield [Place(self._name, point).locator for point in found]
            if start is None:
                return

    def count(self) -> int | None:
        """Give the number of points that Qdrant shows, which is approximate."""
        return count(self._writing.info(self._name).get("points_count"))

    def remove(self) -> bool:
        """Remove it if an exact count finds no point.

        A point that somebody writes between the count and the removal goes unseen.
        """
        if not self._is_there():
            return True
        if self._writing.exact_count(self._name):
            return False
        self._writing.drop(self._name)
        return not self._is_there()

    def make(self, description: bytes) -> Outcome:
        """Make it with its indexes and those of its aliases that nobody else has by now.

        One that is there, empty and of the same configuration is completed.
        """
        wanted = json.loads(description)
        there = self.describe()
        if there is None:
            self._writing.create(self._name, wanted["create"])
            indexes: Mapping[str, Any] = {}
        else:
            indexes = json.loads(there)["indexes"]
            if json.loads(there)["create"] != wanted["create"] or self._writing.exact_count(
                self._name
            ):
                return Outcome.TAKEN
        for field, schema in wanted["indexes"].items():
            if field not in indexes:
                self._writing.index(self._name, field, schema)
        taken = {*self._writing.aliases(), *self._writing.names()}
        if free := [alias for alias in wanted["aliases"] if alias not in taken]:
            self._writing.call(self._name, free)
        return Outcome.DONE

    def _is_there(self) -> bool:
        return self._name in self._writing.names()


def _creation(info: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a collection was made with, in the words in which one is made."""
    config = at(info, "config")
    if not isinstance(at(config, "params"), Mapping):
        raise QueryError("Qdrant does not tell the configuration, so it could not be made again")
    values = {
        **{name: at(config, "params", name) for name in _PARAMETERS},
        **{made: at(config, told) for told, made in _CONFIGURATION.items()},
    }
    return {name: value for name, value in values.items() if value is not None}


def _indexes(info: Mapping[str, Any]) -> dict[str, Any]:
    """Give the schema of each indexed field: its parameters, or its type where it has none."""
    schema = info.get("payload_schema")
    fields = schema if isinstance(schema, Mapping) else {}
    return {field: at(own, "params") or at(own, "data_type") for field, own in fields.items()}
