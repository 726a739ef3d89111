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

FAMILIES = (REQUESTS, DURATION)

_NO_ROUTE = "(none)"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def install_metrics(app: Flask) -> None:
    """Count every request, and serve the counts, which name no record, at GET /metrics."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    requests = Counter(REQUESTS.name, REQUESTS.help, REQUESTS.labels, registry=registry)
    durations = Histogram(
        DURATION.name, DURATION.help, DURATION.labels, registry=registry, buckets=DURATION.bounds
    )

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def count(response: Response) -> Response:
        route = str(request.url_rule) if request.url_rule else _NO_ROUTE
        method = request.method if request.method in _METHODS else "other"
        requests.labels(route, method, response.status_code).inc()
        if "began" in g:
            durations.labels(route).observe(time.perf_counter() - g.began)
        return response

    @app.get("/metrics")
    def metrics() -> Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(registry), content_type=content_type)
