"""The exporter in process, on stores that may answer anything; what it exposes is checked whole."""

import math
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from structlog.testing import capture_logs

from kato_exporter.runtime.assembly import assemble
from kato_exporter.runtime.runner import Runner
from kato_exporter.runtime.web import create_app
from kato_exporter.settings import ExporterSettings
from support.exposition import Samples, Series
from support.servers import missing

ACCEPTED = ("text/plain", "application/openmetrics-text;version=1.0.0")
_OWN_COUNTERS = (
    "kato_patterns_lost_total",
    "kato_qdrant_points_lost_total",
    "kato_container_restarts_total",
    "kato_container_events_total",
    "kato_sessions_",
    "kato_session_events_missed_total",
)
"""What the exporter counts by itself, so that no answer may make it go down."""

_TAKEN_FOR_KILOBYTES = "kato_kb_[a-z]+(_bytes)? metric names should not contain abbreviated units$"
"""What promtool says of `kb`, which stands for a knowledge base: see docs/decisions/0006."""


class FuzzedExporter:
    """All collectors of some stores, each asked on the scrape; none is on a schedule.

    `log` has all that was logged. `background` has the followers, which are not started.
    """

    def __init__(self, settings: ExporterSettings, log: list[Any]) -> None:
        exporter = assemble(settings)
        self.log = log
        self.background = exporter.background
        self.bodies: list[str] = []
        self._stores = exporter.stores
        self._runner = Runner(exporter.stores, exporter.collectors, intervals={}, load_share=1)
        self._client = create_app(self._runner).test_client()
        self._query = {"collect[]": [each.name for each in exporter.collectors]}
        self._store_of = {each.name: each.store for each in exporter.collectors}
        self._own: dict[Series, float] = {}
        self._runner.start()

    def scrape(self, accept: str = ACCEPTED[0]) -> Samples:
        """Scrape once: it must be valid, whatever the stores say, or a clean failure."""
        answer = self._client.get("/metrics", query_string=self._query, headers={"Accept": accept})
        assert 200 == answer.status_code, answer.text
        samples = checked_exposition(answer.text, answer.content_type)
        if answer.content_type.startswith("text/plain"):
            self.bodies.append(answer.text)
        self._assert_clean(samples)
        own = samples.under(_OWN_COUNTERS)
        fallen = {key for key in own if own[key] < self._own.get(key, 0)}
        assert set() == fallen
        self._own |= own
        return samples

    def close(self) -> None:
        """Give everything back."""
        self._runner.stop()
        for store in self._stores:
            store.close()

    def _assert_clean(self, samples: Samples) -> None:
        """No fault of our own, and each collection that is not whole has a word in the log."""
        faults = [entry for entry in self.log if entry["log_level"] in {"error", "critical"}]
        assert [] == faults, self.log[-3:]
        succeeded = samples.by("collector", "kato_exporter_collector_success")
        assert self._store_of.keys() == succeeded.keys()
        up = samples.by("store", "kato_store_up")
        assert set(self._store_of.values()) == up.keys()
        told = {entry.get("subject") for entry in self.log if entry["log_level"] == "warning"}
        failed = {store for store, answers in up.items() if not answers}
        assert failed <= told
        quiet = {name for name, whole in succeeded.items() if not whole} - told
        assert {self._store_of[name] for name in quiet} <= failed


@contextmanager
def fuzzed_exporter(settings: ExporterSettings) -> Iterator[FuzzedExporter]:
    """Give an exporter on these stores for a while."""
    with capture_logs() as log:
        exporter = FuzzedExporter(settings, log)
        try:
            yield exporter
        finally:
            exporter.close()


def checked_exposition(text: str, content_type: str) -> Samples:
    """Read an exposition by the official parser of its type, and see that nothing is wrong."""
    described = Counter(re.findall(r"(?m)^# (HELP|TYPE) (\S+)", text))
    assert {1} >= set(described.values()), described.most_common(3)
    if content_type.startswith("application/openmetrics-text"):
        families: list[Metric] = list(parse_openmetrics(text))  # type: ignore[no-untyped-call]
        assert text.endswith("# EOF\n")
    else:
        assert content_type.startswith("text/plain; version="), content_type
        families = list(parse_text(text))
    for family in families:
        _check(family)
    return Samples.of_families(families)


def _check(family: Metric) -> None:
    counts = family.type in {"counter", "histogram", "gaugehistogram"}
    for sample in family.samples:
        assert math.isfinite(sample.value), sample
        assert not counts or sample.value >= 0, sample
        assert all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label) for label in sample.labels)
        assert "" not in {sample.labels.get(label, "-") for label in ("store", "collector")}


def assert_promtool_agrees(bodies: Sequence[str], *, most: int = 10) -> None:
    """Let promtool check some of the expositions, evenly chosen."""
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("no promtool on the PATH")
    assert bodies
    for body in bodies[:: max(1, len(bodies) // most)]:
        assert [] == list(_complaints(promtool, body))


def _complaints(promtool: str, body: str) -> Iterable[str]:
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=body.encode(),
        capture_output=True,
        timeout=30,
        check=False,
    )
    said = (checked.stdout + checked.stderr).decode()
    return (line for line in said.splitlines() if not re.match(_TAKEN_FOR_KILOBYTES, line))
