"""Anything in the place of what a container engine answers: a valid exposition or a failure."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kato_exporter.settings import ExporterSettings
from kato_exporter.stores.docker.stats import container_event
from support.fuzzed_exporter import (
    ACCEPTED,
    FuzzedExporter,
    assert_promtool_agrees,
    fuzzed_exporter,
)
from support.fuzzed_http import FuzzedRoutes, answers_like, fuzzed_server, rounds, with_headers
from support.fuzzing import ANY_JSON, examples, spoiled
from support.http_answers import Answer
from support.waiting import eventually

RECORDED = Path(__file__).parents[1] / "fixtures" / "docker"
IDS = ("616ed135d086064692ad209173de9911931fc417303ded0e99bf5165b169fa79", "a" * 64, "b" * 64)
API = ("Api-Version", "1.41")
VERSION = {"Version": "20.10.24", "ApiVersion": "1.41", "Components": [{"Name": "Engine"}]}


def recorded(name: str) -> Any:
    """Read what an engine has answered."""
    return json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))


def entry(identity: str, name: str) -> dict[str, Any]:
    """Give an entry of the list of containers."""
    return {
        "Id": identity,
        "Names": [name],
        "Image": "kato:latest",
        "Created": 1795388192,
        "Labels": {"com.docker.compose.project": "kato"},
        "State": "running",
        "Status": "Up 3 seconds (health: starting)",
        "NetworkSettings": {"Networks": {}},
    }


LISTED = [
    [entry(IDS[0], "/kato"), entry(IDS[1], "/other"), entry(IDS[2], "/kato-redis")],
    [entry(IDS[0], "/kato"), entry(IDS[0], "/kato-redis"), entry(IDS[1], "/kato")],
    [entry(IDS[0], "/\ud800"), entry(IDS[1], "/\\ud800")],
]
STATS = [recorded(path.stem) for path in sorted(RECORDED.glob("*_stats_*.json"))]
EVENTS = [recorded(path.stem) for path in sorted(RECORDED.glob("*_events.json"))]
PINGS = with_headers(
    st.just(Answer(b"OK")),
    st.just((API,))
    | st.tuples(st.tuples(st.just("Api-Version"), st.text("0123456789.x- ", max_size=8))),
)
ROUTES = {
    "/_ping": st.one_of(st.just(Answer(b"OK", headers=(API,))), PINGS, answers_like([VERSION])),
    "/version": answers_like([VERSION]),
    "/v[0-9.]+/containers/json": answers_like(LISTED),
    f"/v[0-9.]+/containers/{IDS[0]}/stats": answers_like(STATS),
    "/v[0-9.]+/containers/[^/]+/stats": answers_like(STATS),
}
LINES = st.lists(
    spoiled([event for events in EVENTS for event in events]) | ANY_JSON, max_size=8
).map(lambda events: "".join(f"{json.dumps(event)}\n" for event in events).encode())
FEEDS = st.one_of(
    LINES.map(Answer),
    st.builds(lambda lines, cut: Answer(lines[:-cut]), LINES, st.integers(1, 40)),
    answers_like([EVENTS[0][0]]),
    st.sampled_from([b"[" * 5_000 + b"\n", b"9" * 5_000 + b"\n", b"\xff\n\n{}\n"]).map(Answer),
)
BODIES: list[str] = []


@pytest.fixture(scope="module")
def engine() -> Iterator[tuple[FuzzedRoutes, ExporterSettings]]:
    """Serve a stub of an engine, and give the settings that watch it."""
    with fuzzed_server() as (stub, address):
        expected = frozenset({"kato", "gone"})
        yield (
            stub,
            ExporterSettings(
                docker_host=f"tcp://{address}",
                containers_expected=expected,
                docker_most_containers=3,
            ),
        )


@examples(30)
@given(answers=rounds(ROUTES))
def test_any_answer(
    engine: tuple[FuzzedRoutes, ExporterSettings], answers: list[dict[str, Answer]]
) -> None:
    """No answer breaks the exposition."""
    stub, settings = engine
    stub.routes = answers[0]
    with fuzzed_exporter(settings) as exporter:
        for stub.routes in answers:
            for accept in ACCEPTED:
                exporter.scrape(accept)
        BODIES.extend(exporter.bodies)


@pytest.fixture
def quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the follower come back without the pauses that an outage costs."""
    monkeypatch.setattr("kato_exporter.collectors.container_events.reconnect_pause", lambda _: 0.01)


@pytest.mark.usefixtures("quick_reconnects")
@examples(25)
@given(feeds=st.lists(FEEDS, min_size=1, max_size=3), listed=answers_like(LISTED))
def test_any_event(
    engine: tuple[FuzzedRoutes, ExporterSettings], feeds: list[Answer], listed: Answer
) -> None:
    """No event ends the thread that follows them, breaks the exposition or takes a count back."""
    stub, settings = engine
    with fuzzed_exporter(settings) as exporter:
        for feed in feeds:
            stub.routes = answering(feed, listed)
            exporter.scrape()
        follow(exporter, stub)
        exporter.scrape()
        BODIES.extend(exporter.bodies)


def answering(feed: Answer, listed: Answer) -> dict[str, Answer]:
    """Give the answers of an engine that ends its feed of events again and again."""
    return {
        "/_ping": Answer(b"OK", headers=(API,)),
        "/v[0-9.]+/containers/json": listed,
        "/v[0-9.]+/events": feed,
    }


def follow(exporter: FuzzedExporter, stub: FuzzedRoutes) -> None:
    """Let the exporter follow events until it has lost sight of them, and asked again."""
    (follower,) = exporter.background
    stub.asked.clear()
    follower.start()
    [thread] = [each for each in threading.enumerate() if each.name == "container-events"]
    try:
        eventually(
            lambda: len(stub.asked) >= 10 or not thread.is_alive(),
            within=20,
            what="the engine is asked again",
        )
        assert thread.is_alive()
    finally:
        follower.stop()


@pytest.mark.parametrize("listed", [{}, {"message": "no"}, "kato", 5, None])
def test_a_list_that_is_none(engine: tuple[FuzzedRoutes, ExporterSettings], listed: object) -> None:
    """Nobody knows of containers then: they are not said to be gone."""
    stub, settings = engine
    stub.routes = answering(Answer(b""), Answer.of(listed))
    with fuzzed_exporter(settings) as exporter:
        samples = exporter.scrape()
    assert 0 == samples.value("kato_exporter_collector_success", collector="containers")
    assert {} == samples.under(("kato_container_",))


@pytest.mark.usefixtures("quick_reconnects")
@pytest.mark.parametrize("feed", [b"[" * 5_000 + b"\n", b'{"a":' * 5_000 + b"\n", b"5\n"])
def test_an_event_that_is_none(engine: tuple[FuzzedRoutes, ExporterSettings], feed: bytes) -> None:
    """The thread goes on, and asks again."""
    stub, settings = engine
    with fuzzed_exporter(settings) as exporter:
        stub.routes = answering(Answer(feed), Answer.of(LISTED[0]))
        follow(exporter, stub)
        exporter.scrape()


@pytest.mark.usefixtures("quick_reconnects")
def test_a_fault_of_ours_does_not_end_the_thread(
    engine: tuple[FuzzedRoutes, ExporterSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged as one, and events are asked for again."""

    def fail(_: object) -> None:
        raise ZeroDivisionError

    stub, settings = engine
    monkeypatch.setattr("kato_exporter.stores.docker.event_feed.container_event", fail)
    with fuzzed_exporter(settings) as exporter:
        stub.routes = answering(Answer(b"{}\n"), Answer.of(LISTED[0]))
        follow(exporter, stub)
        assert "fault in our own code" in {entry["event"] for entry in exporter.log}


def test_the_recorded_answers_are_whole(engine: tuple[FuzzedRoutes, ExporterSettings]) -> None:
    """What is spoiled above gives a whole collection as it is."""
    stub, settings = engine
    events = "".join(f"{json.dumps(event)}\n" for event in EVENTS[0]).encode()
    assert [] != [event for event in map(container_event, EVENTS[0]) if event is not None]
    stub.routes = answering(Answer(events), Answer.of(LISTED[0])) | {
        "/v[0-9.]+/containers/[^/]+/stats": Answer.of(STATS[0])
    }
    with fuzzed_exporter(settings) as exporter:
        samples = exporter.scrape()
    assert 1 == samples.value("kato_exporter_collector_success", collector="containers")


def test_promtool_agrees() -> None:
    """It has nothing to say of what came out above."""
    assert_promtool_agrees(BODIES)
