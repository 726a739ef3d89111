"""The exporter's HTTP interface."""

from collections.abc import Callable

from flask import Flask, Response, abort, render_template, request
from prometheus_client import REGISTRY
from werkzeug.exceptions import HTTPException

from kato_exporter import __version__
from kato_exporter.runtime.runner import Runner
from kato_exporter.runtime.self_metrics import CERTIFICATE_EXPIRY
from kato_exporter.stores.deadline import Deadline

_DEFAULT_SCRAPE_TIMEOUT = 10.0
_LONGEST_SCRAPE_TIMEOUT = 120.0
_LARGEST_MARGIN = 0.5
_MARGIN_SHARE = 0.1

_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_app(
    runner: Runner, certificate_expiry: Callable[[], float | None] = lambda: None
) -> Flask:
    """Build the WSGI application.

    `certificate_expiry` gives when the certificate served now ends, in epoch seconds, or None.

    GET /metrics     the exposition; `?collect[]=NAME`, repeated, restricts it to collectors
    GET /-/healthy   200 while the process serves
    GET /-/ready     200 once every scheduled collector has a first outcome, 503 before
    GET /            a landing page
    """
    app = Flask(__name__, static_folder="static")

    @app.get("/metrics")
    def metrics() -> Response:
        families = runner.scrape(_deadline(), _chosen(runner))
        expiry = certificate_expiry()
        if expiry is not None:
            families.append(CERTIFICATE_EXPIRY.sample(expiry))
        if not request.args.getlist("collect[]"):
            families += list(REGISTRY.collect())
        exposition = runner.exposer.expose(
            families,
            accept=request.headers.get("Accept", ""),
            compress=request.accept_encodings["gzip"] > 0,
        )
        return Response(exposition.body, headers=exposition.headers)

    @app.get("/-/healthy")
    def healthy() -> Response:
        return _plain("healthy\n")

    @app.get("/-/ready")
    def ready() -> Response:
        if runner.ready:
            return _plain("ready\n")
        return _plain("the first collections are under way\n", status=503)

    @app.get("/")
    def landing() -> str:
        return render_template(
            "landing.html",
            version=__version__,
            stores=runner.stores.values(),
            collectors=runner.collectors.values(),
            cadence=runner.cadence,
        )

    @app.errorhandler(HTTPException)
    def plain_error(error: HTTPException) -> Response:
        return _plain(f"{error.description}\n", status=error.code or 500)

    @app.after_request
    def secure(response: Response) -> Response:
        response.headers.extend(_SECURITY_HEADERS)
        return response

    return app


def _plain(text: str, status: int = 200) -> Response:
    return Response(text, status=status, content_type="text/plain; charset=utf-8")


def _deadline() -> Deadline:
    """Give the time that Prometheus leaves us, less a margin for the way back."""
    timeout = request.headers.get(
        "X-Prometheus-Scrape-Timeout-Seconds", _DEFAULT_SCRAPE_TIMEOUT, type=float
    )
    if not 0 < timeout <= _LONGEST_SCRAPE_TIMEOUT:
        timeout = _DEFAULT_SCRAPE_TIMEOUT
    return Deadline.after(timeout - min(_LARGEST_MARGIN, _MARGIN_SHARE * timeout))


def _chosen(runner: Runner) -> frozenset[str]:
    """Give the collectors that the query names, all where it names none."""
    names = frozenset(request.args.getlist("collect[]"))
    unknown = sorted(names - runner.collectors.keys())
    if unknown:
        known = ", ".join(runner.collectors)
        abort(400, f"collect[]={unknown[0]}: no such collector; there are: {known}")
    return names or frozenset(runner.collectors)
