"""What the browser counts of itself, and its own /metrics."""

import time

from flask import Flask, Response, g, request
from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder

from kato_exporter.collectors.family import Family, Kind

REQUESTS = Family(
    name="kato_browser_requests_total",
    kind=Kind.COUNTER,
    help="Requests that the record browser has answered.",
    labels=("route", "method", "status"),
)
DURATION = Family(
    name="kato_browser_request_duration_seconds",
    kind=Kind.HISTOGRAM,
    help="Time to the first byte of an answer, by route.",
    labels=("route",),
    bounds=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)

WRITES = Family(
    name="kato_browser_writes_total",
    kind=Kind.COUNTER,
    help="Records that the record browser was asked to change, by what came of it.",
    labels=("store", "action", "result"),
)

FAMILIES = (REQUESTS, DURATION, WRITES)

_NO_ROUTE = "(none)"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class BrowserMetrics:
    """The counts of one browser."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._requests = self._counter(REQUESTS)
        self._writes = self._counter(WRITES)
        self._durations = Histogram(
            DURATION.name,
            DURATION.help,
            DURATION.labels,
            registry=self.registry,
            buckets=DURATION.bounds,
        )

    def count_write(self, store: str, action: str, result: str) -> None:
        """Count what came of a write of one record."""
        self._writes.labels(store, action, result).inc()

    def count_request(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """Count an answer, and how long it took to begin."""
        self._requests.labels(route, method, status).inc()
        if seconds is not None:
            self._durations.labels(route).observe(seconds)

    def _counter(self, family: Family) -> Counter:
        return Counter(family.name, family.help, family.labels, registry=self.registry)


def install_metrics(app: Flask, metrics: BrowserMetrics) -> None:
    """Count every request, and serve the counts, which name no record, at GET /metrics."""

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def count(response: Response) -> Response:
        route = str(request.url_rule) if request.url_rule else _NO_ROUTE
        method = request.method if request.method in _METHODS else "other"
        seconds = time.perf_counter() - g.began if "began" in g else None
        metrics.count_request(route, method, response.status_code, seconds)
        return response

    @app.get("/metrics")
    def exposition() -> Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(metrics.registry), content_type=content_type)
