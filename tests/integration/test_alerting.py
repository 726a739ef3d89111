"""From a fault to the message: real stores, exporter, Prometheus, Alertmanager and a webhook."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from redis import Redis

from kato_exporter.demo.servers import LOOPBACK, Server
from kato_exporter.demo.shapes import session_id, session_key
from support.alerting import Alert, Alerting, alerting
from support.docker_engine import DockerEngine
from support.exporting import StartExporter
from support.waiting import eventually

PATIENCE = 60.0
WATCHDOG = "KatoWatchdog"

pytestmark = pytest.mark.timeout(180)


def watched(
    stack: ExitStack, directory: Path, exporter: StartExporter, **settings: str
) -> Alerting:
    """Watch with an exporter; wait until the dead man's switch has been heard."""
    running = exporter(KATO_COLLECTORS="sessions,redis,mongodb,knowledge,containers", **settings)
    url = httpx.URL(running.until_ready().url)
    seen = stack.enter_context(alerting(directory, f"{LOOPBACK}:{url.port}"))
    receiver, _ = eventually(
        lambda: seen.firing(WATCHDOG), within=PATIENCE, what="the dead man's switch is heard"
    )
    assert "watchdog" == receiver
    eventually(
        lambda: seen.query("kato_store_up"), within=PATIENCE, what="Prometheus has the metrics"
    )
    return seen


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Give a stack that is undone at the end."""
    with ExitStack() as stack:
        yield stack


def test_a_store_that_dies_is_told_and_silences_what_follows(
    stack: ExitStack,
    tmp_path: Path,
    exporter: StartExporter,
    own_valkey: Server,
    own_mongod: Server,
) -> None:
    """One urgent message with its links, none of what follows from it; then it is over."""
    seen = watched(
        stack, tmp_path, exporter, KATO_REDIS_URL=own_valkey.url, KATO_MONGO_URL=own_mongod.url
    )
    own_mongod.kill()

    receiver, alert = eventually(
        lambda: seen.firing("KatoStoreDown", store="mongodb"),
        within=PATIENCE,
        what="the message has come",
    )
    assert "urgent" == receiver
    assert "critical" == alert["labels"]["severity"]
    annotations = alert["annotations"]
    assert "mongodb does not answer" == annotations["summary"]
    for link in ("runbook_url", "dashboard_url"):
        assert annotations[link].startswith("http"), link
        assert "{{" not in annotations[link]
    assert "KatoStoreDown" in annotations["runbook_url"]

    follows = {name: alert["labels"][name] for name in ("job", "instance", "store")} | {
        "alertname": "KatoMongodbConnectionsHigh",
        "severity": "warning",
    }

    def inhibited() -> bool:
        seen.tell(follows)
        return any(
            each["status"]["inhibitedBy"]
            for each in seen.alerts()
            if follows.items() <= each["labels"].items()
        )

    eventually(inhibited, within=PATIENCE, what="what follows from it is inhibited")
    assert [] == seen.messages("KatoMongodbConnectionsHigh")
    own_mongod.start()

    receiver, _ = eventually(
        lambda: seen.resolved("KatoStoreDown", store="mongodb"),
        within=PATIENCE,
        what="it is over",
    )
    assert "urgent" == receiver
    assert [] == seen.messages("KatoCollectorFailing")


def test_a_surge_of_sessions_is_told(
    stack: ExitStack, tmp_path: Path, exporter: StartExporter, own_valkey: Server
) -> None:
    """Against its own past, and with the number a minute; a steady rate before was no surge."""
    seen = watched(
        *(stack, tmp_path, exporter),
        KATO_REDIS_URL=own_valkey.url,
        KATO_REDIS_MANAGE_NOTIFICATIONS="true",
    )
    client = stack.enter_context(Redis.from_url(own_valkey.url))

    def create(number: int) -> None:
        for _ in range(number):
            client.set(session_key(session_id(uuid4().hex, time.time())), "{}", ex=600)

    def an_hour_has_passed() -> bool:
        create(1)
        past = seen.query("instance:kato_sessions_created:per_minute_avg1h offset 25s")
        return bool(past)

    eventually(an_hour_has_passed, within=PATIENCE, what="there is a past to compare with")
    assert [] == seen.messages("KatoSessionSurge")

    def told() -> tuple[str, Alert] | None:
        create(100)
        return seen.firing("KatoSessionSurge")

    receiver, alert = eventually(told, within=PATIENCE, what="the message has come")
    assert "daytime" == receiver
    assert alert["annotations"]["records_url"].endswith("/sessions")
    assert "new sessions a minute are a surge" in alert["annotations"]["summary"]


def test_a_container_that_is_removed_is_told(
    stack: ExitStack, tmp_path: Path, exporter: StartExporter, engine: DockerEngine
) -> None:
    """Its name is in the message, and when it is back, the message is that it is over."""
    identity = engine.run("kato-redis", "sleep 3600")
    seen = watched(stack, tmp_path, exporter, KATO_DOCKER_HOST=engine.host)
    eventually(
        lambda: seen.query('kato_container_present{name="kato-redis"} == 1'),
        within=PATIENCE,
        what="Prometheus knows the container",
    )
    engine.remove(identity)

    receiver, alert = eventually(
        lambda: seen.firing("KatoContainerMissing", name="kato-redis"),
        within=PATIENCE,
        what="the message has come",
    )
    assert "urgent" == receiver
    assert "kato-redis" in alert["annotations"]["summary"]
    engine.run("kato-redis", "sleep 3600")
    eventually(
        lambda: seen.resolved("KatoContainerMissing", name="kato-redis"),
        within=PATIENCE,
        what="it is over",
    )
