"""Prometheus and Alertmanager with the product's own rules and routes, in less time than they take.

All durations of rules and routes are shortened by the same factor, so that an hour is a minute; the
receivers of `alertmanager.yml` send to a webhook of the tests. Nothing else is changed.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml

from kato_exporter.demo.run import prometheus_config
from kato_exporter.demo.servers import LOOPBACK, Server, start_alertmanager, start_prometheus
from support.servers import started

SOURCE_TREE = Path(__file__).parents[2]
RULES = SOURCE_TREE / "prometheus" / "rules"
ALERTMANAGER = SOURCE_TREE / "alertmanager" / "alertmanager.yml"

FASTER = 60
"""By how much every duration is shortened."""

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_WAITS = ("group_wait", "group_interval", "repeat_interval")

Alert = dict[str, Any]
Webhooks = list[tuple[str, Alert]]


@dataclass(frozen=True, slots=True)
class Alerting:
    """A Prometheus and an Alertmanager at work, and what came to the receivers.

    `told` has a pair of receiver and alert, as Alertmanager's webhook gives it, for each alert of
    each message.
    """

    prometheus: Server
    alertmanager: Server
    told: Webhooks

    def messages(self, alertname: str, **labels: str) -> list[tuple[str, Alert]]:
        """Give those of an alert that has these labels."""
        wanted = {"alertname": alertname, **labels}
        return [
            (receiver, alert)
            for receiver, alert in list(self.told)
            if wanted.items() <= alert["labels"].items()
        ]

    def firing(self, alertname: str, **labels: str) -> tuple[str, Alert] | None:
        """Give the first message that says that it fires."""
        found = self.messages(alertname, **labels)
        return next((each for each in found if each[1]["status"] == "firing"), None)

    def resolved(self, alertname: str, **labels: str) -> tuple[str, Alert] | None:
        """Give the first message that says that it is over."""
        found = self.messages(alertname, **labels)
        return next((each for each in found if each[1]["status"] == "resolved"), None)

    def alerts(self) -> list[Alert]:
        """Ask Alertmanager for all alerts that it has, the inhibited ones too."""
        answer = httpx.get(f"{self.alertmanager.url}/api/v2/alerts", trust_env=False)
        found: list[Alert] = answer.raise_for_status().json()
        return found

    def tell(self, labels: Mapping[str, str]) -> None:
        """Tell Alertmanager of an alert that no rule has made; it lasts for its resolve_timeout."""
        httpx.post(
            f"{self.alertmanager.url}/api/v2/alerts", json=[{"labels": labels}], trust_env=False
        ).raise_for_status()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Ask Prometheus for an instant vector."""
        answer = httpx.get(
            f"{self.prometheus.url}/api/v1/query", params={"query": expression}, trust_env=False
        )
        found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
        return found


@contextmanager
def alerting(directory: Path, target: str) -> Iterator[Alerting]:
    """Run both for a while, on an exporter at `host:port`; skip or fail where they are missing."""
    told: Webhooks = []
    with _webhook(told) as webhook:
        routes = directory / "alertmanager.yml"
        routes.write_text(yaml.safe_dump(_routes(webhook)), encoding="utf-8")
        rules = directory / "rules"
        rules.mkdir()
        for file in RULES.glob("*.yml"):
            (rules / file.name).write_text(_shortened_rules(file), encoding="utf-8")
        with started(lambda: start_alertmanager(directory / "alertmanager", routes)) as manager:
            config = json.loads(
                prometheus_config(target, rules=rules, alertmanager=f"{LOOPBACK}:{manager.port}")
            )
            config["global"] = dict.fromkeys(
                ("scrape_interval", "scrape_timeout", "evaluation_interval"), "1s"
            )
            file = directory / "prometheus.yml"
            file.write_text(json.dumps(config), encoding="utf-8")
            (directory / "prometheus").mkdir(exist_ok=True)
            with started(_prometheus(directory, file)) as prometheus:
                yield Alerting(prometheus, manager, told)


def _prometheus(directory: Path, config: Path) -> Callable[[], Server]:
    return lambda: start_prometheus(
        directory / "prometheus", config, arguments=("--rules.alert.resend-delay=1s",)
    )


def _routes(webhook: str) -> dict[str, Any]:
    """Take the product's routes, with a webhook in the place of each receiver's own ways."""
    config: dict[str, Any] = yaml.safe_load(ALERTMANAGER.read_text(encoding="utf-8"))
    config["templates"] = [str(ALERTMANAGER.parent / each) for each in config["templates"]]
    config["receivers"] = [
        {
            "name": receiver["name"],
            "webhook_configs": [{"url": f"{webhook}/{receiver['name']}", "send_resolved": True}],
        }
        for receiver in config["receivers"]
    ]
    for route in (config["route"], *config["route"]["routes"]):
        for wait in _WAITS:
            if wait in route:
                route[wait] = _shortened(route[wait])
    return config


def _shortened_rules(file: Path) -> str:
    rules: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    for group in rules["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            rule["expr"] = re.sub(
                r"(?<=\[)\w+(?=\])|(?<=offset )\w+", lambda m: _shortened(m[0]), rule["expr"]
            )
            if "for" in rule:
                rule["for"] = _shortened(rule["for"])
    return yaml.safe_dump(rules)


def _shortened(duration: str) -> str:
    seconds = sum(
        int(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)(ms|s|m|h|d)", duration)
    )
    return f"{max(100, round(1000 * seconds / FASTER))}ms"


@contextmanager
def _webhook(told: Webhooks) -> Iterator[str]:
    """Take what Alertmanager posts; the path is the receiver's name."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body: Mapping[str, Any] = json.loads(
                self.rfile.read(int(self.headers["Content-Length"]))
            )
            told.extend((self.path.removeprefix("/"), alert) for alert in body["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
