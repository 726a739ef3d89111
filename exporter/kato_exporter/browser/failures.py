"""What is answered when something fails: a page that says what, and what to do."""

import secrets
from functools import partial
from http import HTTPStatus

import structlog
from flask import Blueprint, Flask, Response, make_response, request
from werkzeug.exceptions import HTTPException

from kato_exporter.browser.answers import FORMATS, answer
from kato_exporter.stores.errors import NotChangeableError, QueryError, StoreError

_log = structlog.get_logger("browser")

_RETRY_SECONDS = 5


def install_failure_pages(app: Flask) -> None:
    """Answer every error with a page or its JSON twin; nothing of the inside is in it."""
    app.register_error_handler(HTTPException, _http_failure)
    app.register_error_handler(StoreError, _store_failure)
    app.register_error_handler(Exception, _fault)


def name_in_failures(pages: Blueprint, store: str) -> Blueprint:
    """Have these pages say which store it is that fails, and give them back."""
    pages.register_error_handler(StoreError, partial(_store_failure, store=store))
    return pages


def _http_failure(error: HTTPException) -> Response:
    status = error.code or 500
    response = failure(status, error.description or "")
    if error.response is not None:  # a redirect, or an answer that is ready
        return make_response(error.get_response())
    response.headers.extend(
        [(name, value) for name, value in error.get_headers() if name in ("Allow", "Retry-After")]
    )
    return response


def _store_failure(error: StoreError, store: str = "The store") -> Response:
    if isinstance(error, NotChangeableError):
        return failure(HTTPStatus.BAD_REQUEST, f"{error}.", error="Refused")
    if isinstance(error, QueryError):
        return failure(
            HTTPStatus.BAD_GATEWAY, f"{store} refused this question: {error}", retry=True
        )
    response = failure(
        HTTPStatus.SERVICE_UNAVAILABLE, f"{store} gives no answer: {error}", retry=True
    )
    response.headers["Retry-After"] = str(_RETRY_SECONDS)
    return response


def _fault(error: Exception) -> Response:
    reference = secrets.token_hex(4)
    _log.error("fault", reference=reference, path=request.path, exc_info=error)
    reason = f"This is a fault of the browser. The log has it under {reference}."
    return failure(HTTPStatus.INTERNAL_SERVER_ERROR, reason, retry=True)


def failure(status: int, reason: str, *, error: str = "", retry: bool = False) -> Response:
    """Answer with the page of an error, its JSON twin, or a line where a download was wanted."""
    facts = {"status": status, "error": error or HTTPStatus(status).phrase, "reason": reason}
    if request.args.get("format") not in (None, *FORMATS[:2]):
        return Response(f"{reason}\n", status, content_type="text/plain; charset=utf-8")
    return answer("error.html", {**facts, "retry": retry}, status=status)
