"""What the stores hold, to the byte, as it is compared before and after a write."""

from collections.abc import Iterable, Mapping
from typing import Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from qdrant_client import QdrantClient
from redis import Redis

from kato_exporter.demo.shapes import Document

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(RawBSONDocument)

Keys = Mapping[str, tuple[bytes | None, int]]
"""Of each key the payload of DUMP, and the expiry in epoch milliseconds, -1 where it has none."""


def keys(redis: Redis, names: Iterable[str]) -> Keys:
    """Read what keys hold; one that is not there has no payload."""
    return {name: (redis.dump(name), redis.pexpiretime(name)) for name in names}


def database(mongo: MongoClient[Document], name: str) -> dict[str, tuple[object, list[bytes]]]:
    """Read the indexes and the documents, in the order of their ids, of each collection."""
    found: dict[str, tuple[object, list[bytes]]] = {}
    for collection in map(mongo[name].get_collection, sorted(mongo[name].list_collection_names())):
        documents = collection.with_options(_RAW).find().sort("_id")
        raws = [bytes(document.raw) for document in documents]
        found[collection.name] = (collection.index_information(), raws)
    return found


def collection(qdrant: QdrantClient, name: str) -> tuple[Any, list[Any]]:
    """Read the parameters and all points of a collection, with payloads and vectors."""
    points, following = qdrant.scroll(name, limit=1_000, with_payload=True, with_vectors=True)
    assert following is None
    params = qdrant.get_collection(name).config.params
    return params, sorted(points, key=lambda point: str(point.id))
