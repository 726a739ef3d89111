"""One answer in the form that was asked for: a page, JSON, JSON Lines or CSV.

Every page has a JSON twin with the same facts, at the same URL with `?format=json` or by `Accept`.
What a listing lists can be downloaded whole, as JSON Lines or as CSV.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from flask import Response, abort, current_app, render_template, request

from kato_exporter.browser.exports import Export, stream
from kato_exporter.browser.plain_values import plain

FORMATS = ("html", "json", "jsonl", "csv")

EXPORT_ROWS = "KATO_EXPORT_ROWS"
"""Where the application's configuration keeps how many rows one download has."""

_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_FILE_NAME = 100

_STREAMED = {"jsonl": "application/x-ndjson", "csv": "text/csv"}


def answer(
    template: str, facts: Mapping[str, Any], *, export: Export | None = None, status: int = 200
) -> Response:
    """Answer with a page made of the facts, or with the facts themselves.

    `export` is for listings, and gives all that is listed from this page on.
    """
    form = wanted_form()
    if form in _STREAMED:
        if export is None:
            abort(400, f"format={form}: only listings have it; give html or json")
        body = stream(export, form, most_rows=current_app.config[EXPORT_ROWS])
        response = Response(body, content_type=f"{_STREAMED[form]}; charset=utf-8")
        name = _NOT_IN_FILE_NAMES.sub("_", export.name)[:_LONGEST_FILE_NAME]
        response.headers.set("Content-Disposition", "attachment", filename=f"{name}.{form}")
        return response
    if form == "json":
        text = json.dumps(plain(facts), ensure_ascii=False, allow_nan=False)
        return Response(f"{text}\n", status, content_type="application/json")
    page = render_template(template, **facts, exportable=export is not None)
    return Response(page, status, content_type="text/html; charset=utf-8")


def wanted_form() -> str:
    """Give the form that the URL asks for, or else the `Accept` header; 400 where it is unknown."""
    form = request.args.get("format")
    if form is None:
        accepts = request.accept_mimetypes
        best = accepts.best_match(["text/html", "application/json"], "text/html")
        return "json" if best == "application/json" else "html"
    if form not in FORMATS:
        abort(400, f"format={form[:20]}: there is no such form; give one of {', '.join(FORMATS)}")
    return form
