"""Anything in the place of what Qdrant answers: a valid exposition or a clean failure."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kato_exporter.settings import ExporterSettings
from support.fuzzed_exporter import ACCEPTED, assert_promtool_agrees, fuzzed_exporter
from support.fuzzed_http import FuzzedRoutes, answers_like, fuzzed_server, rounds
from support.fuzzing import ODD_TEXTS, examples
from support.http_answers import Answer

NAMES = ("vectors_alice_kato", "vectors_bob_kato", "other", *ODD_TEXTS)
SERVER = {"title": "qdrant - vector search engine", "version": "1.15.4", "commit": "x"}
COLLECTIONS = {
    "result": {"collections": [{"name": name} for name in NAMES[:3]]},
    "status": "ok",
    "time": 0.000021,
}


def collection(vectors: Any) -> dict[str, Any]:
    """Give what Qdrant documents as the answer on a collection."""
    return {
        "result": {
            "status": "green",
            "optimizer_status": "ok",
            "indexed_vectors_count": 10,
            "points_count": 12,
            "segments_count": 4,
            "config": {"params": {"vectors": vectors, "shard_number": 1}},
            "payload_schema": {},
        },
        "status": "ok",
        "time": 0.000061,
    }


VECTOR = {"size": 512, "distance": "Euclid"}
KNOWN = [
    collection(VECTOR),
    collection({"text": VECTOR, "": VECTOR, "other": {"size": 3, "distance": "Dot"}}),
    collection(dict.fromkeys(ODD_TEXTS, VECTOR)),
]
LISTS = st.lists(st.sampled_from(NAMES), max_size=6).map(
    lambda names: Answer.of({"result": {"collections": [{"name": name} for name in names]}})
)
ROUTES = {
    "/": st.just(Answer.of(SERVER)) | answers_like([SERVER]),
    "/collections": LISTS | answers_like([COLLECTIONS]),
    "/collections/vectors_alice_kato": answers_like(KNOWN),
    "/collections/.+": answers_like(KNOWN),
}
BODIES: list[str] = []


@pytest.fixture(scope="module")
def qdrant() -> Iterator[tuple[FuzzedRoutes, str]]:
    """Serve a stub of Qdrant."""
    with fuzzed_server() as server:
        yield server


@examples(30)
@given(answers=rounds(ROUTES))
def test_any_answer(qdrant: tuple[FuzzedRoutes, str], answers: list[dict[str, Answer]]) -> None:
    """No answer breaks the exposition, and no loss is taken back."""
    stub, address = qdrant
    stub.routes = answers[0]
    settings = ExporterSettings(qdrant_url=f"http://{address}", qdrant_most_collections=3)
    with fuzzed_exporter(settings) as exporter:
        for stub.routes in answers:
            for accept in ACCEPTED:
                exporter.scrape(accept)
        BODIES.extend(exporter.bodies)


def test_the_documented_answers_are_whole(qdrant: tuple[FuzzedRoutes, str]) -> None:
    """What is spoiled above gives a whole collection as it is."""
    stub, address = qdrant
    stub.routes = {
        "/": Answer.of(SERVER),
        "/collections": Answer.of(COLLECTIONS),
        "/collections/.+": Answer.of(KNOWN[0]),
    }
    with fuzzed_exporter(ExporterSettings(qdrant_url=f"http://{address}")) as exporter:
        samples = exporter.scrape()
    assert 1 == samples.value("kato_exporter_collector_success", collector="qdrant")


def test_promtool_agrees() -> None:
    """It has nothing to say of what came out above."""
    assert_promtool_agrees(BODIES)
