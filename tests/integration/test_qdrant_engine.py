"""What changes of Qdrant rest on, on Qdrant's own engine without its API (Qdrant Edge)."""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import qdrant_edge as edge

from kato_exporter.stores.qdrant.content import kept_point, point_as_it_was, same_point
from kato_exporter.stores.qdrant.records import filter_as_it_is

NUMBER = 300
PAYLOAD = {
    "z": 1,
    "a": {"y": [None, 1e-300, 0.1, 2**64 - 1, -(2**63)], "b": True},
    "\u202e\0": "\x1b",
    "vctr_name": "VCTR|x",
    "n": 7,
    "upper-uuid": "A3BB189E-8BF9-3888-9912-ACE4E6543002",
    "empty": "",
}


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Any]:
    """Give a collection with vectors of every kind."""
    multi = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
    vectors = {
        "": edge.EdgeVectorParams(64, edge.Distance.Cosine),
        "euclid": edge.EdgeVectorParams(3, edge.Distance.Euclid),
        "many": edge.EdgeVectorParams(5, edge.Distance.Cosine, multivector_config=multi),
        "half": edge.EdgeVectorParams(
            4, edge.Distance.Cosine, datatype=edge.VectorStorageDatatype.Float16
        ),
    }
    config = edge.EdgeConfig(
        vectors=vectors, sparse_vectors={"words": edge.EdgeSparseVectorParams()}
    )
    shard = edge.EdgeShard.create(str(tmp_path), config)
    yield shard
    shard.close()


def filled(shard: Any) -> None:
    """Write points of any length, from tiny to huge."""
    chance = random.Random(7)  # noqa: S311 - no secret

    def vector(size: int) -> list[float]:
        scale = 10 ** chance.uniform(-6, 6)
        return [chance.gauss(0, 1) * scale for _ in range(size)]

    points = [
        edge.Point(
            number,
            {
                "": vector(64),
                "euclid": [1e-45 * number, 3.4028234663852886e38, -0.0],
                "many": [vector(5), vector(5)],
                "half": vector(4),
                "words": edge.SparseVector([3, 1], vector(2)),
            },
            PAYLOAD,
        )
        for number in range(NUMBER)
    ]
    shard.update(edge.UpdateOperation.upsert_points(points))


def rows(shard: Any) -> dict[int, dict[str, Any]]:
    """Read all points as the API would give them."""
    found = shard.retrieve(list(range(NUMBER)), with_payload=True, with_vector=True)
    return {
        each.id: {"id": each.id, "payload": each.payload, "vector": plain(each.vector)}
        for each in found
    }


def plain(vectors: Mapping[str, Any]) -> dict[str, Any]:
    """Spell vectors as in JSON."""
    return {
        name: {"indices": each.indices, "values": each.values}
        if isinstance(each, edge.SparseVector)
        else each
        for name, each in vectors.items()
    }


def engine_filter(spelled: Mapping[str, Any]) -> Any:
    """Make the engine's filter of that of the API."""
    conditions: list[Any] = [
        edge.HasIdCondition(set(each["has_id"]))
        if "has_id" in each
        else edge.FieldCondition(each["key"], match=edge.MatchValue(each["match"]["value"]))
        for each in spelled["must"]
    ]
    return edge.Filter(must=conditions)


def test_points_come_back_to_the_last_bit(shard: Any) -> None:
    """Vectors normalised and others, and payloads with their order of fields.

    Only floats of 16 bits, whose length is never quite 1, may be rounded once more.
    """
    filled(shard)
    before = rows(shard)
    assert NUMBER == len(before)
    kept = {number: kept_point(row) for number, row in before.items()}
    shard.update(edge.UpdateOperation.delete_points(list(before)))
    assert {} == rows(shard)
    again = []
    for each in kept.values():
        point = point_as_it_was(each)
        words = point["vector"].pop("words")
        sparse = edge.SparseVector(words["indices"], words["values"])
        vectors = {**point["vector"], "words": sparse}
        again.append(edge.Point(point["id"], vectors, point["payload"]))
    shard.update(edge.UpdateOperation.upsert_points(again))
    after = rows(shard)
    now = {number: kept_point(row) for number, row in after.items()}
    assert all(same_point(kept[number].content, now[number].content) for number in before)
    for row in (*before.values(), *after.values()):
        del row["vector"]["half"]
    assert before == after


@pytest.mark.parametrize("indexed", [False, True])
def test_a_filter_is_of_the_point_as_it_was_kept(shard: Any, *, indexed: bool) -> None:
    """It finds the point that is unchanged, and not one of which a text or a number changed."""
    filled(shard)
    if indexed:
        for key, kind in (
            ("vctr_name", edge.PayloadSchemaType.Keyword),
            ("n", edge.PayloadSchemaType.Integer),
            ("upper-uuid", edge.PayloadSchemaType.Uuid),
        ):
            shard.update(edge.UpdateOperation.create_field_index(key, kind))
    kept = {number: kept_point(row) for number, row in rows(shard).items()}
    operation = edge.UpdateOperation
    for number, change in ((1, {"n": 8}), (2, {"vctr_name": "vctr|x"}), (3, {"empty": "x"})):
        shard.update(operation.set_payload([number], change))
    unchanged = [engine_filter(filter_as_it_is(kept[number].content)) for number in range(NUMBER)]
    shard.update(operation.delete_points_by_filter(edge.Filter(should=unchanged[:200])))
    assert [1, 2, 3, *range(200, NUMBER)] == sorted(rows(shard))
    for number in (1, 250):
        payload = {"new": number}
        shard.update(operation.overwrite_payload_by_filter(unchanged[number], payload))
    found = rows(shard)
    assert [{**PAYLOAD, "n": 8}, {"new": 250}] == [found[n]["payload"] for n in (1, 250)]


def test_a_point_is_not_put_over_another(shard: Any) -> None:
    """By the condition that goes with it."""
    filled(shard)
    before = rows(shard)
    shard.update(edge.UpdateOperation.delete_points([2]))
    condition = edge.Filter(must_not=[edge.HasIdCondition({1, 2})])
    points = [edge.Point(number, {"euclid": [1.0, 2.0, 3.0]}, {"mine": 1}) for number in (1, 2)]
    shard.update(edge.UpdateOperation.upsert_points(points, condition=condition))
    after = rows(shard)
    assert before[1] == after[1]
    assert {"mine": 1} == after[2]["payload"]
