"""The demo's own parts that need no server."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient
from redis import Redis

from kato_exporter.demo import run
from kato_exporter.demo.run import Ending, Part
from kato_exporter.demo.workload import LiveSession, Truth, Workload

if TYPE_CHECKING:
    from kato_exporter.demo.shapes import Document


def test_parts_are_told_in_columns() -> None:
    """Name, place and remark line up; without a remark nothing follows the place."""
    assert "redis         redis://x   (Valkey 9)" == str(Part("redis", "redis://x", "Valkey 9"))
    assert "exporter      http://x/metrics" == str(Part("exporter", "http://x/metrics"))


def test_the_end_is_announced() -> None:
    """The last line tells how the demo ends."""
    assert "Ctrl-C ends it" == str(Ending(None))
    assert "ends after 2.5 s" == str(Ending(2.5))


def test_a_demo_without_duration_ends_only_when_asked() -> None:
    """Asking works at once, and again."""
    ending = Ending(None)
    ending.start_the_clock()

    assert not ending.within(0.01)
    ending.ask()
    ending.ask()
    assert ending.asked()
    assert ending.within(60)


@pytest.mark.alone
def test_the_duration_cuts_a_sleep_short() -> None:
    """A sleep longer than what is left ends with the duration; nobody has asked for it."""
    ending = Ending(0.1)
    before = time.monotonic()

    assert not ending.due()
    ending.start_the_clock()
    assert ending.within(60)
    assert 0.1 == pytest.approx(time.monotonic() - before, abs=0.5)
    assert not ending.asked()


def targets(config: dict[str, Any]) -> dict[str, list[str]]:
    """Give the targets of each job."""
    return {
        each["job_name"]: each["static_configs"][0]["targets"] for each in config["scrape_configs"]
    }


def test_prometheus_scrapes_the_exporter_every_five_seconds() -> None:
    """The generated configuration names the one target and the interval."""
    config = json.loads(run.prometheus_config("127.0.0.1:9898"))

    assert "5s" == config["global"]["scrape_interval"]
    assert {"kato": ["127.0.0.1:9898"]} == targets(config)


def test_prometheus_scrapes_the_browser_where_there_is_one() -> None:
    """In a job of its own, as compose.yaml has it."""
    config = json.loads(run.prometheus_config("a:1", browser="b:2"))

    assert {"kato": ["a:1"], "kato-browser": ["b:2"]} == targets(config)


def test_prometheus_reads_rules_and_tells_alertmanager_where_there_are_any(tmp_path: Path) -> None:
    """Outside the source tree, or without an Alertmanager, both are left out."""
    bare = json.loads(run.prometheus_config("a:1", rules=tmp_path / "none"))
    whole = json.loads(run.prometheus_config("a:1", rules=tmp_path, alertmanager="b:2"))

    assert {"global", "scrape_configs"} == bare.keys()
    assert [f"{tmp_path}/*.yml"] == whole["rule_files"]
    [manager] = whole["alerting"]["alertmanagers"]
    assert [{"targets": ["b:2"]}] == manager["static_configs"]


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_of_nothing_is_refused(rate: float) -> None:
    """A workload that would never step says so before it connects to anything."""
    mongo: MongoClient[Document] = MongoClient("mongodb://127.0.0.1:1", connect=False)
    with mongo, Redis(port=1) as redis:
        workload = Workload(redis, mongo)
        with pytest.raises(ValueError, match="must be more than 0"):
            workload.run(lambda _: False, rate=rate)


def test_sessions_expire_when_their_time_has_come() -> None:
    """A session is live before Redis drops it, and expired, once, from then on."""
    truth = Truth(created=2)
    truth.sessions = {
        "short": LiveSession({"session_id": "short"}, dropped_at=10.0),
        "long": LiveSession({"session_id": "long"}, dropped_at=20.0),
    }

    assert ["short", "long"] == list(truth.live_sessions(9.9))
    assert ["long"] == list(truth.live_sessions(10.0))
    truth.expire(10.0)
    truth.expire(10.0)
    assert (1, ["long"]) == (truth.expired, list(truth.sessions))
