"""The section `http_server_config`: headers of the responses."""

import re
from collections.abc import Iterable, Mapping
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug import Response

from kato_exporter.runtime.web_config.sections import Section

KEYS = ("http2", "headers")
_PERMITTED: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
_VALUE = re.compile(r"[\x20-\x7e]*")


def read_headers(section: Section) -> dict[str, str]:
    """Give the headers that are not blank; raise WebConfigError where one is not right.

    `http2` is checked and has no effect: it permits what we do not speak.
    """
    section.get("http2", default=True)
    given = section.section("headers", _PERMITTED)
    headers = {name: _header(given, name) for name in given.values}
    return {name: value for name, value in headers.items() if value}


def _header(section: Section, name: str) -> str:
    value = section.get(name, "").strip()
    permitted = _PERMITTED[name]
    if value and permitted and value not in permitted:
        raise section.error(name, f"{value!r} is not permitted; use {' or '.join(permitted)}")
    if not _VALUE.fullmatch(value):
        raise section.error(name, f"{value!r} is not one line of ASCII; write it as one")
    return value


def add_headers(app: WSGIApplication, headers: Mapping[str, str]) -> WSGIApplication:
    """Add headers to each response of an application; one that it sets itself stays as it is."""

    def extended(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = Response.from_app(app, environ)
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        return response(environ, start_response)

    return extended
