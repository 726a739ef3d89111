"""Qdrant's answers to families, with a source in Qdrant's place."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import Metric

from kato_exporter.collectors.collector import Collection, most_series
from kato_exporter.collectors.qdrant import QdrantCollector
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.json_values import parse_json
from kato_exporter.stores.qdrant.answers import CollectionInfo, collection_info, collection_names

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def answer(points: Any = 12, **result: Any) -> dict[str, Any]:
    """Give what Qdrant documents as the answer to `/collections/NAME`, as KATO configures it."""
    return {
        "result": {
            "status": "green",
            "optimizer_status": "ok",
            "indexed_vectors_count": 10,
            "points_count": points,
            "segments_count": 4,
            "config": {
                "params": {
                    "vectors": {"size": 512, "distance": "Euclid"},
                    "shard_number": 1,
                    "on_disk_payload": True,
                },
                "hnsw_config": {"m": 16, "ef_construct": 128, "full_scan_threshold": 10000},
            },
            "payload_schema": {},
            **result,
        },
        "status": "ok",
        "time": 0.000061,
    }


def with_vectors(vectors: Any) -> dict[str, Any]:
    """Give an answer with these vectors."""
    return answer(config={"params": {"vectors": vectors}})


class Source:
    """What a Qdrant answers: an exception stands for no answer."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = answers
        self.listed: list[Any] = []
        self.server: str | Exception = "1.15.4"

    def version(self, deadline: Deadline) -> str:
        """Give the version."""
        del deadline
        return str(_or_raise(self.server))

    def collections(self, deadline: Deadline) -> tuple[str, ...]:
        """Give what `listed` holds, one after the other, then the names of the answers."""
        del deadline
        return tuple(_or_raise(self.listed.pop(0) if self.listed else self.answers))

    def collection(self, name: str, deadline: Deadline) -> CollectionInfo:
        """Read the answer to one."""
        del deadline
        info = collection_info(_or_raise(self.answers.get(name, gone())))
        assert info is not None
        return info


def _or_raise(found: Any) -> Any:
    if isinstance(found, Exception):
        raise found
    return found


def gone() -> QueryError:
    """Give the error that tells of a collection that there is not."""
    return QueryError("404 Not found", code=404)


class Watched:
    """A collector and its source."""

    def __init__(self, most: int = 10, **answers: Any) -> None:
        self.source = Source(**answers)
        self.collector = QdrantCollector(self.source, most_collections=most)

    def collect(self) -> Collection:
        """Collect once."""
        return self.collector.collect(Deadline.after(10))

    def samples(self) -> dict[str, float]:
        """Collect once, and give the samples."""
        return samples(self.collect().families)


def samples(families: Any) -> dict[str, float]:
    """Give samples by name and label values, without the prefix."""
    metrics: list[Metric] = list(families)
    return {
        ",".join([sample.name.removeprefix("kato_qdrant_"), *sample.labels.values()]): sample.value
        for metric in metrics
        for sample in metric.samples
    }


def test_an_answer_maps_field_by_field() -> None:
    """As KATO makes its collections: one unnamed vector, Euclid."""
    assert {
        "info,1.15.4": 1,
        "collections": 1,
        "points,vectors_alice_kato": 12,
        "indexed_vectors,vectors_alice_kato": 10,
        "segments,vectors_alice_kato": 4,
        "collection_status,vectors_alice_kato,green": 1,
        "collection_status,vectors_alice_kato,yellow": 0,
        "collection_status,vectors_alice_kato,grey": 0,
        "collection_status,vectors_alice_kato,red": 0,
        "optimizer_ok,vectors_alice_kato": 1,
        "collection_vector_size,vectors_alice_kato,": 512,
        "collection_vector_info,vectors_alice_kato,,Euclid": 1,
        "points_lost_total,vectors_alice_kato": 0,
    } == Watched(vectors_alice_kato=answer()).samples()


@pytest.mark.parametrize("status", ["green", "yellow", "grey", "red"])
def test_each_status_is_one_of_four(status: str) -> None:
    """One is 1, the others are 0."""
    found = Watched(a=answer(status=status)).samples()
    states = {key: value for key, value in found.items() if key.startswith("collection_status")}
    assert 4 == len(states)
    assert [f"collection_status,a,{status}"] == [key for key, value in states.items() if value]


def test_a_status_of_a_later_version_is_unknown() -> None:
    """None of the four, rather than four zeros."""
    found = Watched(a=answer(status="purple")).samples()
    assert [] == [key for key in found if key.startswith("collection_status")]


def test_optimizers_tell_of_errors() -> None:
    """An object with an error is 0, and anything else is unknown."""
    assert 0 == Watched(a=answer(optimizer_status={"error": "no disk"})).samples()["optimizer_ok,a"]
    assert "optimizer_ok,a" not in Watched(a=answer(optimizer_status="later")).samples()


def test_named_vectors_are_told_apart_and_bounded() -> None:
    """The first four by name; what is left out is counted."""
    vectors = {f"v{number}": {"size": number, "distance": "Dot"} for number in range(1, 11)}
    collection = Watched(a=with_vectors(vectors)).collect()
    found = samples(collection.families)
    sizes = [key for key in found if key.startswith("collection_vector_size")]
    assert 4 == len(sizes)
    assert 10 == found["collection_vector_size,a,v10"]
    assert "collection_vector_size,a,v9" not in found
    assert 1 == found["collection_vector_info,a,v1,Dot"]
    assert 2 * 6 == collection.dropped


def test_a_vector_that_is_called_size_is_a_vector() -> None:
    """It is an object, where the unnamed vector's size is a number."""
    found = Watched(a=with_vectors({"size": {"size": 3, "distance": "Cosine"}})).samples()
    assert 3 == found["collection_vector_size,a,size"]


@pytest.mark.parametrize("odd", [None, "12", -1, 1.5, True, [], {}, 10**400])
def test_a_count_that_is_none_is_unknown(odd: Any) -> None:
    """It is absent, no loss, and hides nothing else."""
    watched = Watched(a=answer())
    watched.collect()
    watched.source.answers["a"] = answer(points=odd)
    found = watched.samples()
    assert "points,a" not in found
    assert 4 == found["segments,a"]
    assert 0 == found["points_lost_total,a"]


def test_points_that_go_are_counted_and_stay_counted() -> None:
    """KATO deletes a processor's collection when it evicts it; the loss remains to be seen."""
    watched = Watched(a=answer(12), b=answer(5))
    watched.collect()
    watched.source.answers["b"] = answer(3)
    assert 2 == watched.samples()["points_lost_total,b"]
    del watched.source.answers["a"]
    for _ in range(2):
        found = watched.samples()
        assert 12 == found["points_lost_total,a"]
        assert "points,a" not in found
    watched.source.answers["a"] = answer(1)
    assert 12 == watched.samples()["points_lost_total,a"]


def test_no_answer_is_no_loss() -> None:
    """Of one collection, of the list, or of the server."""
    watched = Watched(a=answer(12), b=answer(5))
    watched.collect()
    watched.source.answers["a"] = QueryError("500")
    collection = watched.collect()
    assert ["a: 500"] == collection.failures
    assert 2 == samples(collection.families)["collections"]
    watched.source.listed = [StoreError("refused")]
    with pytest.raises(StoreError, match="refused"):
        watched.collect()
    watched.source.answers["a"] = answer(12)
    assert {"points_lost_total,a": 0, "points_lost_total,b": 0} == {
        key: value for key, value in watched.samples().items() if "lost" in key
    }


def test_a_collection_that_goes_while_it_is_asked_is_gone() -> None:
    """It is listed, then it is not: neither a failure nor there."""
    watched = Watched(a=answer(12), b=answer(5))
    watched.collect()
    del watched.source.answers["a"]
    watched.source.listed = [("a", "b")]
    collection = watched.collect()
    found = samples(collection.families)
    assert [] == collection.failures
    assert 1 == found["collections"]
    assert 12 == found["points_lost_total,a"]


def test_a_collection_that_is_listed_and_not_found_is_a_failure() -> None:
    """Something before Qdrant may be at fault; it is not lost."""
    watched = Watched(a=answer(12), b=answer(5))
    watched.collect()
    watched.source.answers["a"] = gone()
    collection = watched.collect()
    found = samples(collection.families)
    assert ["a: 404 Not found"] == collection.failures
    assert 2 == found["collections"]
    assert 0 == found["points_lost_total,a"]


def test_a_silent_collection_does_not_hide_the_others_and_a_silent_server_is_left_alone() -> None:
    """Two that hang are failures; with the third the store as a whole gives no answer."""
    silence = StoreError("no answer within 3 s")
    watched = Watched(a=silence, b=answer(5), c=silence, d=answer(6))
    collection = watched.collect()
    assert ["a: no answer within 3 s", "c: no answer within 3 s"] == collection.failures
    assert 6 == samples(collection.families)["points,d"]
    watched.source.answers["d"] = silence
    with pytest.raises(StoreError, match="no answer"):
        watched.collect()


def test_without_time_the_rest_is_unknown() -> None:
    """The first that is not asked is named, and nothing is lost."""
    watched = Watched(a=answer(12), b=answer(5))
    watched.collect()
    collection = watched.collector.collect(Deadline.after(-1))
    assert ["a and what follows it: out of time"] == collection.failures
    found = samples(collection.families)
    assert 2 == found["collections"]
    assert "points,a" not in found
    assert 0 == found["points_lost_total,a"]


def test_without_a_version_the_rest_is_there() -> None:
    """One failure stays one failure."""
    watched = Watched(a=answer())
    watched.source.server = QueryError("/: 500")
    collection = watched.collect()
    assert ["/: 500"] == collection.failures
    assert "points,a" in samples(collection.families)


def test_collections_beyond_the_limit_are_summed_up() -> None:
    """Counts go to `other`; states have no sum, and what is left out is counted."""
    watched = Watched(2, d=answer(8), c=answer(4), b=answer(2), a=answer(1))
    collection = watched.collect()
    found = samples(collection.families)
    assert {"points,a": 1, "points,b": 2, "points,other": 12} == {
        key: value for key, value in found.items() if key.startswith("points,")
    }
    assert 8 == found["segments,other"]
    assert "optimizer_ok,other" not in found
    assert 2 * 11 == collection.dropped
    watched.source.answers["d"] = answer(1)
    assert 7 == watched.samples()["points_lost_total,other"]


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    """`other` would go down while a collection of it does not answer."""
    watched = Watched(1, a=answer(1), b=answer(2), c=QueryError("500"))
    found = watched.samples()
    assert 1 == found["points,a"]
    assert "points,other" not in found


def test_the_worst_case_holds() -> None:
    """No more series than the command `check` prints."""
    vectors = {f"v{number}": {"size": 4, "distance": "Dot"} for number in range(20)}
    answers = {f"c{number}": with_vectors(vectors) for number in range(20)}
    watched = Watched(3, **answers)
    most = most_series(watched.collector.families, watched.collector.label_limits)
    watched.collect()
    watched.source.answers = {"other": answer(), **answers}
    assert len(watched.samples()) <= most


@pytest.mark.parametrize(
    "odd",
    [
        None,
        [],
        {},
        {"result": None},
        {"result": {"collections": {"name": "a"}}},
        {"result": {"collections": ["a"]}},
        {"result": {"collections": [{"name": "a"}, {}]}},
        {"result": {"collections": [{"name": ""}]}},
        {"result": {"collections": [{"name": 7}]}},
        {"result": {"collections": [{"name": "a" * 256}]}},
    ],
)
def test_a_list_that_is_not_understood_is_none(odd: Any) -> None:
    """Half a list would make collections look as if they were gone."""
    assert collection_names(odd) is None


def test_a_list_is_read() -> None:
    """Also an empty one."""
    listed: Mapping[str, Any] = {"result": {"collections": [{"name": "b"}, {"name": "a", "x": 1}]}}
    assert ("b", "a") == collection_names(listed)
    assert () == collection_names({"result": {"collections": []}})


@given(ANY_JSON)
def test_any_answer_is_read_or_left(found: object) -> None:
    """Nothing raises."""
    collection_names(found)
    collection_info(found)


FIELDS = ("status", "optimizer_status", "points_count", "indexed_vectors_count", "segments_count")


@given(st.sampled_from([*FIELDS, "config"]), ANY_JSON)
def test_any_value_anywhere_is_shown_or_absent(field: str, value: Any) -> None:
    """It does not raise, comes out as no zero that it is not, and hides no other."""
    found = Watched(a=answer(**{field: value})).samples()
    names = {
        "points_count": "points,a",
        "indexed_vectors_count": "indexed_vectors,a",
        "segments_count": "segments,a",
    }
    for each, name in names.items():
        if each != field:
            assert found[name] > 0
        elif type(value) is int and 0 <= value < 2**63:
            assert value == found[name]
        else:
            assert name not in found
    if field == "optimizer_status" and value != "ok":
        assert found.get("optimizer_ok,a", 0) == 0
        assert ("optimizer_ok,a" in found) == (
            isinstance(value, dict) and value.get("error") is not None
        )


@pytest.mark.parametrize("literal", ["NaN", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_unknown(literal: str) -> None:
    """As a broken proxy may write them."""
    body = f'{{"result": {{"points_count": {literal}, "segments_count": 2}}}}'.encode()
    found = Watched(a=parse_json(body)).samples()
    assert "points,a" not in found
    assert 2 == found["segments,a"]
