"""Fills empty stores with as many records as the record browser is measured on."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from bson import ObjectId
from pymongo import MongoClient
from qdrant_client import QdrantClient
from redis import Redis

from bench.bench_stores import insert, pattern
from kato_exporter.demo.shapes import (
    DEFAULT_TTL,
    INDEXES,
    Document,
    Pattern,
    prediction,
    predictions_document,
    session_id,
    session_key,
    session_record,
    session_text,
    totals_document,
    vector_collection,
    vector_point,
)
from kato_exporter.kato.knowledge import METADATA, PATTERNS, PREDICTIONS, SYMBOLS

KB = "bench_kato"
VECTORS = f"vectors_{KB}"
LIST = f"{KB}:recent"

OFTEN, OFTEN_ONE_IN = "often", 10
RARE = "rare"
NODES, RARE_NODE = 1_000, "node-rare"

_PORTION = 5_000
_POINTS_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many records of each kind there are."""

    patterns: int
    predictions: int
    sessions: int
    keys: int
    points: int

    def share(self, share: float) -> "Sizes":
        """Give a share of all of them, of which there are still several pages."""
        return Sizes(
            patterns=max(1_000, round(share * self.patterns)),
            predictions=max(1_000, round(share * self.predictions)),
            sessions=max(1_000, round(share * self.sessions)),
            keys=max(1_000, round(share * self.keys)),
            points=max(1_000, round(share * self.points)),
        )


def fill_knowledge(mongo: MongoClient[Document], sizes: Sizes) -> None:
    """Make one knowledge base with KATO's indexes, which are built at the end.

    One pattern in OFTEN_ONE_IN has the symbol OFTEN. The first one has the symbol RARE, a source of
    that name, and the lowest frequency, so that it is the last of nearly every listing.
    """
    database = mongo[KB]
    insert(database[PATTERNS], range(sizes.patterns), _learned)
    insert(database[PREDICTIONS], range(sizes.predictions), _predicted)
    names = (OFTEN, RARE, *(f"s{number}" for number in range(5_000)))
    database[SYMBOLS].insert_many(
        [{"name": name, "frequency": 1, "pattern_member_frequency": 1} for name in names]
    )
    database[METADATA].insert_one(totals_document(ObjectId()))
    for collection, indexes in INDEXES.items():
        if indexes:
            database[collection].create_indexes(indexes)
    mongo.admin.command("fsync")


def fill_redis(redis: Redis, sizes: Sizes) -> None:
    """Add sessions, among them one of RARE_NODE, keys of three types, and a long list."""
    now = time.time()
    for numbers in _portions(sizes.sessions):
        sessions = redis.pipeline(transaction=False)
        for number in numbers:
            sessions.setex(*_session(number, now))
        sessions.execute()
    for numbers in _portions(sizes.keys):
        pipeline = redis.pipeline(transaction=False)
        for number in numbers:
            name = pattern(number)["name"]
            match number % 3:
                case 0:
                    pipeline.set(f"{KB}:frequency:{name}", number)
                case 1:
                    pipeline.set(f"{KB}:metadata:{name}", json.dumps({"source": ["camera"]}))
                case _:
                    pipeline.sadd(f"{KB}:symbol_to_patterns:s{number}", name, RARE)
        pipeline.execute()
    for numbers in _portions(sizes.patterns):
        redis.rpush(LIST, *(f"observed {number}" for number in numbers))


def fill_qdrant(qdrant: QdrantClient, sizes: Sizes) -> None:
    """Add points as KATO 3 does."""
    qdrant.create_collection(**vector_collection(KB))
    for start in range(0, sizes.points, _POINTS_AT_ONCE):
        numbers = range(start, min(sizes.points, start + _POINTS_AT_ONCE))
        qdrant.upsert(VECTORS, [vector_point(f"VCTR|{number:040x}") for number in numbers])


def _portions(count: int) -> Iterator[range]:
    for start in range(0, count, _PORTION):
        yield range(start, min(count, start + _PORTION))


def _learned(number: int) -> Document:
    document = pattern(number)
    if number == 0:
        marks = {"pattern_data": [[RARE]], "frequency": 1, "metadata": {"source": [RARE]}}
        return document | marks | {"length": 1}
    if number % OFTEN_ONE_IN == 0:
        events = [*document["pattern_data"], [OFTEN]]
        return document | {"pattern_data": events, "length": len(events)}
    return document


def _predicted(number: int) -> Document:
    learned = Pattern([[f"s{number % 5_000}", OFTEN], [f"s{number % 4_999}"]])
    expected = prediction(
        learned,
        frequency=1 + number % 7,
        emotives={},
        observed=learned.events[:1],
        matched=0,
        probability=0.5,
    )
    return predictions_document(ObjectId(), uuid.UUID(int=number).hex, [expected])


def _session(number: int, now: float) -> tuple[str, int, str]:
    """Give key, life and value of a session of the last hour, with eight events."""
    born = now - number % 3_600
    identity = session_id(uuid.uuid4().hex, born)
    node = RARE_NODE if number == 0 else f"node-{number % NODES:03d}"
    stm = [[f"s{(number + step) % 5_000}", f"s{(number * step) % 5_000}"] for step in range(8)]
    record = session_record(identity, node, born=born, ttl=DEFAULT_TTL, metadata={}) | {"stm": stm}
    return session_key(identity), DEFAULT_TTL, session_text(record)
