"""A stub of Qdrant's REST API, which is not a Qdrant: no Qdrant server is needed to try things out.

Behind it is the local mode of qdrant-client. It knows `/`, the health paths, collections with
their aliases (qdrant_collections_stub.py), and points (qdrant_points_stub.py). Everything has one
segment and is always green; queries go through all points, and indexes are only noted.
"""

import threading
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from flask import Flask, Response, request
from qdrant_client import QdrantClient

from kato_exporter.demo.qdrant_collections_stub import collections_stub
from kato_exporter.demo.qdrant_points_stub import READING, RefusedError, points_stub, refusal

TITLE = "a stub of Qdrant, which is none"
VERSION = f"{version('qdrant-client')}-stub"

_OPEN_PATHS = ("/", "/healthz", "/livez", "/readyz")
_BEARER = "Bearer "


def qdrant_stub(
    client: QdrantClient, *, api_key: str | None = None, read_only_api_key: str | None = None
) -> Flask:
    """Make the application that answers from a client in local mode.

    With a key, or two, one of them is asked for as Qdrant does: in `api-key`, or as bearer token.
    The read-only one is good for GET, and for what reads though it is a POST.
    """
    app = Flask(__name__, static_folder=None)
    keys = {api_key, read_only_api_key} - {None}
    lock = threading.Lock()

    @app.before_request
    def refuse() -> Response | None:
        given = request.headers.get("api-key") or request.headers.get(
            "Authorization", ""
        ).removeprefix(_BEARER)
        if not keys or request.path in _OPEN_PATHS:
            return None
        if not given:
            return Response("Must provide an API key or an Authorization bearer token", 401)
        reading = request.method == "GET" or request.endpoint in READING
        if given == api_key or (given == read_only_api_key and reading):
            return None
        if given == read_only_api_key:
            raise RefusedError(HTTPStatus.FORBIDDEN, "Forbidden: Global manage access is required")
        return Response("Invalid API key or JWT", 403)

    @app.errorhandler(RefusedError)
    def refused(error: RefusedError) -> tuple[dict[str, Any], int]:
        return refusal(error.status, str(error))

    @app.errorhandler(ValueError)
    def wrong(error: ValueError) -> tuple[dict[str, Any], int]:
        return refusal(HTTPStatus.BAD_REQUEST, f"Wrong input: {error}")

    @app.get("/")
    def root() -> dict[str, str]:
        return {"title": TITLE, "version": VERSION}

    @app.get("/readyz")
    @app.get("/livez")
    @app.get("/healthz")
    def health() -> Response:
        return Response("all shards are ready", mimetype="text/plain")

    app.register_blueprint(collections_stub(client, lock))
    app.register_blueprint(points_stub(client, lock))
    return app
