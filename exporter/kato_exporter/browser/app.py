"""The Flask application of the record browser."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, Flask, Response

from kato_exporter import __version__
from kato_exporter.browser.answers import EXPORT_ROWS
from kato_exporter.browser.failures import install_failure_pages
from kato_exporter.browser.links import install_links
from kato_exporter.browser.metrics import BrowserMetrics, install_metrics
from kato_exporter.browser.shown_values import install_filters

LARGEST_BODY = 4 * 1024 * 1024
"""Bytes of the largest form: the identities of as many records as one operation takes."""


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the menu."""

    label: str
    path: str


def create_app(
    pages: Sequence[Blueprint],
    places: Sequence[Place],
    *,
    export_rows: int,
    grafana_url: str | None = None,
    metrics: BrowserMetrics | None = None,
) -> Flask:
    """Build the application from the pages of its subjects, still open to everybody.

    GET /-/healthy   200 while the process serves
    GET /metrics     counts and durations of requests, and the process's own figures
    """
    app = Flask(__name__)
    app.config[EXPORT_ROWS] = export_rows
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = LARGEST_BODY
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(places=tuple(places), product_version=__version__)
    install_filters(app)
    install_links(app, grafana_url=grafana_url)
    install_failure_pages(app)
    install_metrics(app, metrics or BrowserMetrics())
    for blueprint in pages:
        app.register_blueprint(blueprint)

    @app.get("/-/healthy")
    def healthy() -> Response:
        return Response("healthy\n", content_type="text/plain; charset=utf-8")

    return app
