"""Anything in the place of what KATO's API answers: a valid exposition or a clean failure."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from kato_exporter.settings import ExporterSettings
from support.fuzzed_exporter import ACCEPTED, assert_promtool_agrees, fuzzed_exporter
from support.fuzzed_http import FuzzedRoutes, answers_like, fuzzed_server, rounds
from support.fuzzing import examples
from support.http_answers import Answer
from support.waiting import eventually

RECORDED = Path(__file__).parents[1] / "fixtures" / "kato2"


def recorded(name: str) -> Any:
    """Read what a KATO has answered."""
    return json.loads((RECORDED / f"api_{name}.json").read_text(encoding="utf-8"))


PATHS = {
    "/": "root",
    "/health": "health",
    "/metrics": "metrics",
    "/sessions/count": "sessions_count",
    "/concurrency": "concurrency",
}
ROUTES = {path: answers_like([recorded(name)]) for path, name in PATHS.items()}
BODIES: list[str] = []
SUCCESS = "kato_exporter_collector_success"


@pytest.fixture(scope="module")
def kato() -> Iterator[tuple[FuzzedRoutes, str]]:
    """Serve a stub of KATO's API."""
    with fuzzed_server() as server:
        yield server


@examples(30)
@given(answers=rounds(ROUTES))
def test_any_answer(kato: tuple[FuzzedRoutes, str], answers: list[dict[str, Answer]]) -> None:
    """No answer breaks the exposition, whichever format it is asked in."""
    stub, address = kato
    stub.routes = answers[0]
    with fuzzed_exporter(ExporterSettings(api_url=f"http://{address}")) as exporter:
        for stub.routes in answers:
            for accept in ACCEPTED:
                exporter.scrape(accept)
        BODIES.extend(exporter.bodies)


def test_the_recorded_answers_are_whole(kato: tuple[FuzzedRoutes, str]) -> None:
    """What is spoiled above gives a whole collection as it is."""
    stub, address = kato
    stub.routes = {path: Answer.of(recorded(name)) for path, name in PATHS.items()}
    with fuzzed_exporter(ExporterSettings(api_url=f"http://{address}")) as exporter:
        eventually(
            lambda: 1 == exporter.scrape().value(SUCCESS, collector="kato_api"),
            within=20,
            what="a collection is whole",
        )


def test_promtool_agrees() -> None:
    """It has nothing to say of what came out above."""
    assert_promtool_agrees(BODIES)
