"""The stub of what Qdrant does with collections; it is no Qdrant, see qdrant_stub.py."""

from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import Any

from flask import Blueprint
from qdrant_client import QdrantClient
from qdrant_client.models import ChangeAliasesOperation, CreateCollection, CreateFieldIndex

from kato_exporter.demo.qdrant_points_stub import RefusedError, body_of, existing, result

Indexes = dict[str, dict[str, Any]]
"""The schema of each indexed field of each collection."""


def collections_stub(client: QdrantClient, lock: AbstractContextManager[Any]) -> Blueprint:
    """Make what reads and writes collections with a client in local mode, one at a time."""
    collections = Blueprint("collections", __name__)
    indexes: Indexes = {}

    @collections.get("/collections")
    def names() -> dict[str, Any]:
        with lock:
            found = client.get_collections()
        return result(found.model_dump(mode="json"))

    @collections.get("/collections/<name>")
    def collection(name: str) -> dict[str, Any]:
        with lock:
            existing(client, name)
            found = client.get_collection(name).model_dump(mode="json")
        return result({**found, "payload_schema": indexes.get(name, {})})

    @collections.put("/collections/<name>")
    def create(name: str) -> dict[str, Any]:
        body = body_of(CreateCollection)
        with lock:
            if client.collection_exists(name):
                words = f"Wrong input: Collection `{name}` already exists!"
                raise RefusedError(HTTPStatus.CONFLICT, words)
            client.create_collection(
                name,
                vectors_config=body.vectors,
                sparse_vectors_config=body.sparse_vectors,
                shard_number=body.shard_number,
                on_disk_payload=body.on_disk_payload,
                metadata=body.metadata,
            )
        return result(found=True)

    @collections.delete("/collections/<name>")
    def delete(name: str) -> dict[str, Any]:
        with lock:
            indexes.pop(name, None)
            return result(client.delete_collection(name))

    @collections.put("/collections/<name>/index")
    def index(name: str) -> dict[str, Any]:
        body = body_of(CreateFieldIndex).model_dump(mode="json", exclude_none=True)
        schema = body.get("field_schema")
        params = schema if isinstance(schema, dict) else None
        own = {
            "data_type": params["type"] if params else schema,
            **({"params": params} if params else {}),
            "points": 0,
        }
        with lock:
            existing(client, name)
            indexes.setdefault(name, {})[body["field_name"]] = own
        return result({"operation_id": 0, "status": "completed"})

    @collections.get("/aliases")
    def aliases() -> dict[str, Any]:
        with lock:
            found = client.get_aliases()
        return result(found.model_dump(mode="json"))

    @collections.post("/collections/aliases")
    def change_aliases() -> dict[str, Any]:
        body = body_of(ChangeAliasesOperation)
        with lock:
            client.update_collection_aliases(body.actions)
        return result(found=True)

    return collections
