"""The answers of KATO's API to families: recorded ones, and any others."""

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.family import Kind
from kato_exporter.collectors.kato_api import KatoApiCollector
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError

FIXTURES = Path(__file__).parents[1] / "fixtures" / "kato2"
QUESTIONS = ("health", "metrics", "session_count", "concurrency")
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def recorded(name: str) -> dict[str, Any]:
    """Give what a KATO 2 has answered."""
    content: dict[str, Any] = json.loads((FIXTURES / f"api_{name}.json").read_text())
    return content


RECORDED = {
    "health": recorded("health"),
    "metrics": recorded("metrics"),
    "session_count": recorded("sessions_count"),
    "concurrency": recorded("concurrency"),
}


class Source:
    """What a KATO answers: an exception stands for no answer."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers

    def __getattr__(self, question: str) -> Callable[[Deadline], Any]:
        def ask(_: Deadline) -> Any:
            answer = self._answers[question]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ask


def collect(**answers: Any) -> Collection:
    """Collect from the recorded answers, with others in their place."""
    return KatoApiCollector(Source(RECORDED | answers)).collect(Deadline.after(1))


def samples(collection: Collection) -> dict[str, float]:
    """Give samples by name and label values, without the prefix."""
    return {
        ",".join([sample.name.removeprefix("kato_api_"), *sample.labels.values()]): sample.value
        for metric in collection.families
        for sample in metric.samples
    }


def test_recorded_answers_map_field_by_field() -> None:
    """In base units; of what is always 0 or belongs to one database nothing is shown."""
    assert {
        "health_status,healthy": 1,
        "health_status,degraded": 0,
        "health_status,unhealthy": 0,
        "health_issues": 0,
        "uptime_seconds": 240.26754117012024,
        "requests": 172,
        "average_response_time_seconds": 0.0026013851165771484,
        "host_cpu_ratio": 0,
        "host_memory_ratio": 0.023,
        "disk_ratio": pytest.approx(0.299),
        "processors": 3,
        "max_processors": 100,
        "sessions_active": 3,
        "concurrency_status,healthy": 1,
        "concurrency_status,warning": 0,
        "concurrency_status,critical": 0,
        "concurrent_requests": 1,
        "concurrent_requests_peak": 1,
        "concurrent_requests_limit": 100,
    } == samples(collect())


def test_all_are_gauges_and_say_whose_word_it_is() -> None:
    """Each request may meet another worker, so what KATO counts goes up and down."""
    for family in KatoApiCollector.families:
        assert Kind.GAUGE is family.kind
        assert "as reported by one worker" in family.help


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_answer_stands_alone(question: str) -> None:
    """Without one of the four, what the three others tell is as before."""
    whole = samples(collect())
    collection = collect(**{question: QueryError("500")})
    found = samples(collection)
    assert ["500"] == collection.failures
    assert found.items() < whole.items()
    alone = samples(collect(**{each: StoreError("no") for each in QUESTIONS if each != question}))
    assert whole.items() - found.items() == alone.items()


def test_without_any_answer_the_store_gives_none() -> None:
    """The first reason is told."""
    with pytest.raises(StoreError, match="refused"):
        collect(**{each: StoreError("refused") for each in QUESTIONS})


def test_a_status_of_a_later_version_is_unknown() -> None:
    """None of the known ones, rather than three zeros."""
    found = samples(collect(health={"status": "tired"}, concurrency={"status": ["healthy"]}))
    assert [] == [key for key in found if "status" in key]


def places(content: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Give the way to every value in an object."""
    if not isinstance(content, dict):
        return [path]
    return [path, *(place for key in content for place in places(content[key], (*path, key)))]


PLACES = [(question, place) for question in QUESTIONS for place in places(RECORDED[question])[1:]]


NO_QUANTITY = (
    st.none()
    | st.booleans()
    | st.text(alphabet="0123456789.eE-")
    | st.integers(max_value=-1)
    | st.sampled_from([float("nan"), float("inf"), -0.5, 10**400])
    | st.dictionaries(st.just("value"), st.integers())
)


def replaced(place: tuple[str, tuple[str, ...]], odd: Any) -> dict[str, float]:
    """Give the samples with something else in one place of the recorded answers."""
    question, (*way, last) = place
    answer = deepcopy(RECORDED[question])
    inner: Any = answer
    for key in way:
        inner = inner[key]
    inner[last] = odd
    return samples(collect(**{question: answer}))


@given(st.sampled_from(PLACES), ANY_JSON)
def test_any_value_anywhere_does_no_harm(place: tuple[str, tuple[str, ...]], odd: Any) -> None:
    """Nothing raises, and no other series comes of it."""
    assert replaced(place, odd).keys() <= samples(collect()).keys()


@given(st.sampled_from(PLACES), NO_QUANTITY)
def test_what_is_no_quantity_is_absent(place: tuple[str, tuple[str, ...]], odd: Any) -> None:
    """It comes out as no number, least of all 0, and changes no other."""
    assert replaced(place, odd).items() <= samples(collect()).items()
