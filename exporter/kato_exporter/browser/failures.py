"""What is answered when something fails: a page that says what, and what to do."""

import secrets
from http import HTTPStatus

import structlog
from flask import Flask, Response, make_response, request
from werkzeug.exceptions import HTTPException

from kato_exporter.browser.answers import FORMATS, answer
from kato_exporter.stores.errors import QueryError, StoreError

_log = structlog.get_logger("browser")

_RETRY_SECONDS = 5


def install_failure_pages(app: Flask) -> None:
    """Answer every error with a page or its JSON twin; nothing of the inside is in it."""
    app.register_error_handler(HTTPException, _http_failure)
    app.register_error_handler(StoreError, _store_failure)
    app.register_error_handler(Exception, _fault)


def _http_failure(error: HTTPException) -> Response:
    status = error.code or 500
    response = _failure(status, error.description or "")
    if error.response is not None:  # a redirect, or an answer that is ready
        return make_response(error.get_response())
    response.headers.extend(
        [(name, value) for name, value in error.get_headers() if name in ("Allow", "Retry-After")]
    )
    return response


def _store_failure(error: StoreError) -> Response:
    if isinstance(error, QueryError):
        return _failure(
            HTTPStatus.BAD_GATEWAY, f"The store refused this question: {error}", retry=True
        )
    response = _failure(
        HTTPStatus.SERVICE_UNAVAILABLE, f"The store gives no answer: {error}", retry=True
    )
    response.headers["Retry-After"] = str(_RETRY_SECONDS)
    return response


def _fault(error: Exception) -> Response:
    reference = secrets.token_hex(4)
    _log.error("fault", reference=reference, path=request.path, exc_info=error)
    reason = f"This is a fault of the browser. The log has it under {reference}."
    return _failure(HTTPStatus.INTERNAL_SERVER_ERROR, reason, retry=True)


def _failure(status: int, reason: str, *, retry: bool = False) -> Response:
    facts = {"status": status, "error": HTTPStatus(status).phrase, "reason": reason}
    if request.args.get("format") not in (None, *FORMATS[:2]):
        return Response(f"{reason}\n", status, content_type="text/plain; charset=utf-8")
    return answer("error.html", {**facts, "retry": retry}, status=status)
