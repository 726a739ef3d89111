"""Headers that tell a web browser what pages may do: next to nothing."""

from flask import Flask, Response, request

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_UNUSED_FEATURES = (
    *("camera", "display-capture", "geolocation", "hid", "microphone", "midi", "payment"),
    *("publickey-credentials-get", "serial", "usb"),
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _UNUSED_FEATURES),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TLS_FOR_A_YEAR = "max-age=31536000"


def add_security_headers(app: Flask, *, https: bool) -> None:
    """Put them on every answer, and keep what stores hold out of caches.

    With `https` a browser is told to speak nothing else to this host name for a year.
    """
    headers = _HEADERS | ({"Strict-Transport-Security": _TLS_FOR_A_YEAR} if https else {})

    @app.after_request
    def secure(response: Response) -> Response:
        response.headers.update(headers)
        if request.endpoint != "static":
            response.headers["Cache-Control"] = "no-store"
        return response
