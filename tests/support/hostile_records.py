"""Stores whose every field holds what would do harm if a page were careless."""

import json
import uuid
from collections.abc import Callable
from typing import Any

from bson import Binary, Code, Regex, decode, encode
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.database import Database
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams
from redis import Redis

from kato_exporter.demo.shapes import INDEXES, Document, session_id, session_key
from kato_exporter.kato.knowledge import (
    ASSOCIATIVE_ACTIONS,
    METADATA,
    PATTERNS,
    PREDICTIONS,
    SYMBOLS,
)
from kato_exporter.kato.vectors import VECTOR_NAME
from support.chromium import RAN

HOSTILE_KB = "mallory_kato"
ODD_KB = "<b>{{7*7}}'&"
LARGE = 5 * 1024 * 1024

_RUN = f"window.{RAN}=1"
_LIFE = 3_600
_DEEP_JSON = '{"a":[' * 500 + "1" + "]}" * 500
_DEEP_BSON = 90

TEXTS = (
    f"<script>{_RUN}</script>",
    f"\"'><img src=x onerror='{_RUN}'><svg onload={_RUN}>",
    f"</title></textarea></pre></style></script><script>{_RUN}</script>",
    f"javascript:{_RUN}",
    "{{7*7}}{%for x in ()%}${7*7}#{7*7}<%=7*7%>",
    "\x1b[31mred\x1b[2J\x1b]0;title\x07\r\n",
    "\u202egnp.exe\u2066\u200b\ufeff\u2028",
    '=HYPERLINK("http://127.0.0.2/","x")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "a\0b",
    "../../../../etc/passwd%00%2e%2e%2f?a=b&c=d#e",
    "w" * 2_000,
    "",
)
"""Each stands in every field that takes a text; none is too long for a name."""


def nested(levels: int, value: object = "bottom") -> Any:
    """Give a value inside so many lists and objects, one in the other."""
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def fill_hostile(redis: Redis, mongo: MongoClient[Document], qdrant: QdrantClient) -> None:
    """Fill empty stores."""
    _fill_redis(redis)
    for collection, indexes in INDEXES.items():
        for index in indexes:
            mongo[HOSTILE_KB][collection].create_index(list(index.document["key"].items()))
    _fill_mongodb(mongo[HOSTILE_KB], [*TEXTS, "x" * 300_000])
    _fill_mongodb(mongo[ODD_KB], [*TEXTS, *_odd_bson()])
    _fill_qdrant(qdrant)


def odd_values() -> list[Any]:
    """Give values of other types than KATO writes, and too much of the right ones."""
    return [
        *(None, True, -1, 10**30, 1.5, [], {}, [[]], [None, 1, {"a": []}], "text"),
        nested(60),
        "x" * 300_000,
    ]


def _fill_redis(redis: Redis) -> None:
    for number, text in enumerate(TEXTS):
        _add_session(redis, number, _session_of(text))
    for number, value in enumerate(odd_values(), start=100):
        _add_session(redis, number, dict.fromkeys(_session_of(""), value))
    wholes: tuple[str | bytes, ...] = (
        _DEEP_JSON,
        json.dumps(_session_of("")).replace('""', _DEEP_JSON),
        "[" * 100_000,
        json.dumps(_session_of("y" * LARGE)),
        "\ud800".encode("utf-8", "surrogatepass") + b'{"\xff\xfe": NaN}',
        '{"stm": [["\\ud800"]], "node_id": "\\ud800\\u0000"}',
        "null",
        "",
    )
    for number, whole in enumerate(wholes, start=200):
        redis.set(_session_key(number), whole, ex=_LIFE)
    redis.rpush(_session_key(300), "no string")
    names = [*map(str.encode, TEXTS), b"\xff\xfe\x00<script>", b"n" * 20_000]
    large = b"v" * LARGE
    for name in names:
        redis.set(b"string:" + name, name)
    redis.set("large", large)
    fields: dict[Any, Any] = {**dict.fromkeys(names, large), **{name: name for name in names[1:]}}
    redis.hset("hash", mapping=fields)
    redis.rpush("list", *names, large)
    redis.sadd("set", *names, large)
    redis.zadd("zset", {name: (-1) ** place * float("inf") for place, name in enumerate(names)})
    for name in names:
        redis.xadd("stream", {name: name, b"large": large})
        redis.xgroup_create("stream", name or b"g", id="0")
    for name in (names[0], names[-1], names[-2]):
        redis.hset(b"kato:session:session-" + name, name, name)


def _session_key(number: int) -> str:
    return session_key(session_id(uuid.UUID(int=number).hex, 1_790_000_000))


def _add_session(redis: Redis, number: int, record: Document) -> None:
    redis.set(_session_key(number), json.dumps(record), ex=_LIFE)


def _session_of(text: str) -> Document:
    """Make a session with a text in every place that takes one."""
    return {
        "session_id": text,
        "node_id": text,
        "created_at": text,
        "last_accessed": text,
        "expires_at": text,
        "stm": [[text, text], [], [f"VCTR|{text}"]],
        "emotives_accumulator": [{text: 0.5}, {text: text}],
        "metadata_accumulator": [{text: text}],
        "time": text,
        "metadata": {text: text},
        "access_count": text,
        "session_config": {text: text, "version": text},
        "percept_data": {text: [text]},
        text: text,
    }


def _fill_mongodb(database: Database[Document], values: list[Any]) -> None:
    makers: dict[str, Callable[[Any], Document]] = {
        PATTERNS: lambda value: {
            "name": value,
            "pattern_data": [[value, value], [], value],
            "frequency": value,
            "length": value,
            "emotives": [{"joy": value}, value],
            "metadata": {"src": [value], "other": value},
        },
        SYMBOLS: lambda value: {
            "name": value,
            "frequency": value,
            "pattern_member_frequency": value,
            "emotives": {"joy": value},
        },
        PREDICTIONS: lambda value: {"unique_id": value, "predictions": [{"name": value}, value]},
        ASSOCIATIVE_ACTIONS: lambda value: {"name": value, "action": value, "frequency": value},
        METADATA: lambda value: {"class": "totals", "total_pattern_frequencies": value},
    }
    for collection, make in makers.items():
        database[collection].insert_many([make(value) for value in values])
    large = "z" * LARGE
    for field, value in (
        ("name", large),
        ("pattern_data", [[large]]),
        ("frequency", large),
        ("emotives", [{large: 1.0}]),
        ("metadata", {"src": [large]}),
    ):
        database[PATTERNS].insert_one({"name": f"large {field}", "frequency": 10**9, field: value})
    database[SYMBOLS].insert_one({"name": large})
    database[PATTERNS].insert_many(
        {
            "name": f"{number:040x}",
            "pattern_data": [[text], [text, "a"]],
            "frequency": number,
            "length": 3,
            "emotives": {_field(text): [0.5]},
            "metadata": {_field(text): [text]},
        }
        for number, text in enumerate(TEXTS)
    )
    for text in TEXTS:
        if name := _field(text).replace("$", "").replace("..", "-"):
            database[name[:60]].insert_one({"_id": text, _field(text): text})
    database["ids"].insert_many({"_id": each} for each in (*TEXTS, 1.5, None, Binary(b"\0")))
    database["texts"].insert_one(_invalid_utf8())


def _odd_bson() -> list[Any]:
    return [
        *(None, True, -1, 2**40, float("nan"), [], {}, [None, 1, {"a": []}], nested(_DEEP_BSON)),
        *("x" * 300_000, Regex("<script>", "i"), Code(_RUN), Binary(b"\xff<script>")),
    ]


def _field(text: str) -> str:
    """Give what of a text can be the name of a field."""
    return text.replace("\0", "")


def _invalid_utf8() -> RawBSONDocument:
    """Make a document with a string that is no UTF-8, which a server takes as it is."""
    valid = encode({"_id": 1, "name": "~~~~"})
    assert decode(valid)
    return RawBSONDocument(valid.replace(b"~~~~", b"\xff\xfe\xed\xa0"))


def _fill_qdrant(qdrant: QdrantClient) -> None:
    size = VectorParams(size=4, distance=Distance.COSINE)
    collections = (f"vectors_{HOSTILE_KB}", "vectors_{{7-7}}'&\u202e%3Cb%3E", "=1+1;..#a")
    for collection in collections:
        qdrant.create_collection(collection, vectors_config=size)
    payloads: list[Document] = [{VECTOR_NAME: text, text: [text, {text: text}]} for text in TEXTS]
    payloads += [{VECTOR_NAME: value, "value": value} for value in odd_values()]
    payloads += [{"large": "q" * LARGE}, {"deep": nested(100)}]
    qdrant.upsert(
        collections[0],
        [
            PointStruct(id=number, vector=[1.0, number, 0.0, -1.0], payload=payload)
            for number, payload in enumerate(payloads)
        ],
    )
    for collection in collections[1:]:
        qdrant.upsert(collection, [PointStruct(id=1, vector=[0.0, 0.0, 0.0, 1.0])])
