"""Stores that hold something for every page of the record browser."""

import json
import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from bson import Binary, Code, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex
from bson.timestamp import Timestamp
from pymongo import MongoClient
from qdrant_client import QdrantClient
from qdrant_client.models import PointStruct
from redis import Redis

from kato_exporter.demo.shapes import (
    DEFAULT_TTL,
    VECTOR_SIZE,
    Document,
    session_id,
    session_key,
    session_record,
)
from kato_exporter.demo.workload import Workload
from kato_exporter.kato.vectors import VECTOR_NAME, point_of_symbol

NODE = "alice"
KB = "alice_kato"
VECTORS = f"vectors_{KB}"
VECTOR_SYMBOLS = [f"VCTR|{number:040x}" for number in range(20)]
ODD = "odd_documents"

_BORN = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Records:
    """What a reader may look for: ids, names, and a Redis key of each type."""

    session: str
    pattern: str
    symbol: str
    keys: Mapping[str, str]


def fill(redis: Redis, mongo: MongoClient[Document], qdrant: QdrantClient) -> Records:
    """Fill empty stores as KATO 2 does, with KATO 3's vectors and keys, and with odd things."""
    ago = 0.0
    workload = Workload(redis, mongo, qdrant, seed=11, clock=lambda: time.time() - ago)
    workload.fill()
    for number in range(60):
        ago = 50.0 * number
        session = workload.create_session()
        for _ in range(1 + number % 9):
            ago *= 0.8
            workload.update_session(session)
    learned = max(
        (
            each
            for each in workload.truth.knowledge_bases[KB].patterns.values()
            if each.emotives and each.metadata and each.pattern.length > 2
        ),
        key=lambda each: each.frequency,
    )
    _fill_qdrant(qdrant)
    mongo[KB][ODD].insert_many([_odd_document(), *({"_id": n, "n": n} for n in range(120))])
    return Records(
        session=session,
        pattern=learned.pattern.name,
        symbol=next(each for each in learned.pattern.symbols if "|" not in each),
        keys=_fill_redis(redis, learned.pattern.name),
    )


def _fill_redis(redis: Redis, pattern: str) -> dict[str, str]:
    """Add a session of KATO 3, and a key of each type; give those, by type."""
    identity = session_id(uuid.UUID(int=7).hex, _BORN.timestamp())
    record = session_record(
        identity, NODE, born=_BORN.timestamp(), ttl=DEFAULT_TTL, metadata={}
    ) | {
        "ttl_seconds": DEFAULT_TTL,
        "stm": [["a1", "b2"], VECTOR_SYMBOLS[:1]],
        "emotives_accumulator": [{"joy": 0.5}],
        "metadata_accumulator": [{"src": "camera"}],
        "percept_data": {"strings": ["a1"], "vectors": [[0.25] * 8], "emotives": {"joy": 0.5}},
        "predictions": [{"name": pattern, "confidence": 0.75}],
    }
    redis.set(session_key(identity), json.dumps(record), ex=DEFAULT_TTL)
    redis.sadd("kato:session:_active_index", identity)
    keys = {
        "integer": f"{KB}:frequency:{pattern}",
        "JSON": f"{KB}:metadata:{pattern}",
        "binary": "picture",
        "hash": f"{KB}:symbols:freq",
        "list": "recent",
        "set": f"{KB}:symbol_to_patterns:a1",
        "zset": "ranks",
        "stream": f"stm:events:{KB}",
    }
    redis.set(keys["integer"], 3)
    redis.set(keys["JSON"], json.dumps({"src": ["camera", "microphone"]}))
    redis.set(keys["binary"], bytes(range(256)) * 4)
    redis.hset(keys["hash"], mapping={f"s{number}": number for number in range(600)})
    redis.rpush(keys["list"], *(f"entry {number}" for number in range(600)))
    redis.sadd(keys["set"], *(f"{number:040x}" for number in range(600)))
    redis.zadd(keys["zset"], {f"m{number}": number / 3 for number in range(600)})
    for number in range(120):
        redis.xadd(keys["stream"], {"event_type": "observe", "data": json.dumps({"n": number})})
    redis.xgroup_create(keys["stream"], f"stm_group_{KB}", id="0")
    return keys


def _fill_qdrant(qdrant: QdrantClient) -> None:
    """Add points as KATO 3 names them, and some with numbers."""
    rolled = random.Random(11)  # noqa: S311 - points that are the same each time
    vectors = [[rolled.gauss(0, 1) for _ in range(VECTOR_SIZE)] for _ in range(100)]
    named = [
        PointStruct(
            id=point_of_symbol(symbol),
            vector=vectors.pop(),
            payload={VECTOR_NAME: symbol, "from_camera": number % 2 == 0, "frame": number},
        )
        for number, symbol in enumerate(VECTOR_SYMBOLS)
    ]
    numbered = [PointStruct(id=number, vector=vector) for number, vector in enumerate(vectors)]
    qdrant.upsert(VECTORS, [*named, *numbered])


def _odd_document() -> Document:
    """Make a document with a value of each type of BSON."""
    return {
        "_id": ObjectId("65f000000000000000000001"),
        "name": "every type",
        "double": 0.1,
        "nan": float("nan"),
        "infinite": float("-inf"),
        "int": 7,
        "long": Int64(2**53 + 1),
        "decimal": Decimal128("1E+3"),
        "bool": True,
        "null": None,
        "date": _BORN,
        "late": DatetimeMS(2**55),
        "binary": Binary(b"\x00\x01\xff"),
        "uuid": Binary.from_uuid(uuid.UUID(int=11)),
        "regex": Regex("^a+$", "i"),
        "code": Code("function () { return 1 }"),
        "timestamp": Timestamp(1_790_000_000, 1),
        "least": MinKey(),
        "greatest": MaxKey(),
        "array": [[1, "two"], []],
        "object": {"a.b": 1, "$c": 2, "": 3},
    }
