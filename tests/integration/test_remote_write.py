"""What Prometheus sends to a store of longer memory, with the example as it stands."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from kato_exporter.demo.servers import (
    LOOPBACK,
    Server,
    answers_http,
    free_port,
    start_prometheus,
)
from support.compose import ROOT
from support.exporting import StartExporter
from support.servers import RedisServer, started
from support.waiting import eventually

PATIENCE = 30.0

BROWSER_BY_NAME = """dns_sd_configs:
      - names: [browser]
        type: A
        port: 8098"""
"""How the record browser is found, which would ask a name server."""


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[Server]:
    """Run VictoriaMetrics; it shows what it gets at once and not, as usual, half a minute later."""
    port = free_port()
    server = Server(
        "VictoriaMetrics",
        [
            *("victoria-metrics", f"-storageDataPath={tmp_path / 'victoria' / 'data'}"),
            *(f"-httpListenAddr={LOOPBACK}:{port}", "-search.latencyOffset=0s"),
        ],
        directory=tmp_path / "victoria",
        port=port,
        url=f"http://{LOOPBACK}:{port}",
        answers=answers_http("/health"),
    )
    with started(server.start):
        yield server


def configuration(directory: Path, replaced: dict[str, str]) -> Path:
    """Append the example to prometheus.yml as it says; each of the texts to replace must be there.

    The rules are beside it as in the repository.
    """
    ours = ROOT / "prometheus"
    shutil.copytree(ours / "rules", directory / "rules")
    text = "".join(
        (ours / name).read_text() for name in ("prometheus.yml", "remote-write.example.yml")
    )
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    file = directory / "prometheus.yml"
    file.write_text(text)
    return file


def test_our_series_arrive_and_those_of_prometheus_do_not(
    tmp_path: Path, exporter: StartExporter, redis7: RedisServer, victoria: Server
) -> None:
    """Names and ports of hosts are replaced, and the intervals shortened; nothing else."""
    exporter_url = exporter(KATO_REDIS_URL=redis7.url).url
    nobody, port = f"{LOOPBACK}:{free_port()}", free_port()
    config = configuration(
        tmp_path,
        {
            "exporter:9898": exporter_url.removeprefix("http://"),
            "victoria-metrics:8428": f"{LOOPBACK}:{victoria.port}",
            "localhost:9090": f"{LOOPBACK}:{port}",
            BROWSER_BY_NAME: f"static_configs: [{{targets: [{nobody}]}}]",
            "alertmanager:9093": nobody,
            ": 15s": ": 1s",
            ": 10s": ": 1s",
        },
    )
    with (
        started(lambda: start_prometheus(tmp_path / "prometheus", config, port=port)),
        httpx.Client(base_url=victoria.url, trust_env=False) as client,
    ):

        def found(query: str) -> list[dict[str, str]]:
            answer = client.get("/api/v1/query", params={"query": query}).raise_for_status()
            return [each["metric"] for each in answer.json()["data"]["result"]]

        for query in ('kato_store_up{store="redis"} == 1', 'up{job="prometheus"} == 1', "ALERTS"):
            eventually(partial(found, query), within=PATIENCE, what=query)

        [series] = found("kato_sessions_active")
        assert {
            "__name__": "kato_sessions_active",
            "instance": exporter_url.removeprefix("http://"),
            "job": "kato",
        } == series
        assert found('{__name__=~"instance.*:kato_.*"}')
        assert [] == found('{__name__=~"prometheus_.*|go_.*|scrape_.*"}')
