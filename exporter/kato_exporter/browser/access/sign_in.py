"""Sign-in and sign-out, and all that makes an application safe to put before people."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from flask import Blueprint, Flask, Response, g, request
from flask_wtf.csrf import CSRFProtect  # type: ignore[import-untyped]

from kato_exporter.browser.access.accounts import Accounts
from kato_exporter.browser.access.doorkeeper import Doorkeeper, MustWaitError
from kato_exporter.browser.access.gate import SIGN_IN, SIGN_OUT, Gate, see_other
from kato_exporter.browser.access.logins import Logins
from kato_exporter.browser.access.security_headers import add_security_headers
from kato_exporter.browser.access.trusted_proxy import TrustedProxies
from kato_exporter.browser.access.way_back import local_address
from kato_exporter.browser.answers import answer


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInRules:
    """How people come in, and how long they stay.

    `https` says that they come by TLS, ours or a proxy's. A login ends after `idle_timeout` seconds
    without a request, and `login_timeout` seconds after its beginning.
    """

    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    https: bool = False
    idle_timeout: float = 1_800.0
    login_timeout: float = 43_200.0


def protect(
    app: Flask,
    accounts: Accounts,
    rules: SignInRules,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Let nobody at any page who is not signed in, and nothing be changed but by an editor.

    What is open to everybody is /login, /static/, /-/healthy and /metrics.
    """
    app.secret_key = secrets.token_bytes(32)
    app.config.update(
        SESSION_COOKIE_NAME="__Host-kato-browser" if rules.https else "kato-browser",
        SESSION_COOKIE_SECURE=rules.https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",  # so that a link from Grafana finds its reader signed in
        SESSION_COOKIE_PATH="/",
        WTF_CSRF_CHECK_DEFAULT=False,  # the gate asks, once it knows who is there
        WTF_CSRF_SSL_STRICT=False,  # our pages send no referrer
        WTF_CSRF_TIME_LIMIT=None,  # as long as the login
    )
    gate = Gate(
        accounts,
        proxies=rules.proxies,
        logins=Logins(idle=rules.idle_timeout, lifetime=rules.login_timeout, clock=clock),
        doorkeeper=Doorkeeper(accounts, clock=clock),
        csrf=CSRFProtect(app),
    )
    app.before_request(gate.check)
    app.register_blueprint(_sign_in_pages(gate))
    app.context_processor(lambda: {"user": g.get("user")})
    add_security_headers(app, https=rules.https)


def _sign_in_pages(gate: Gate) -> Blueprint:
    """Make the pages of sign-in and sign-out.

    GET  /login    a form for name and password
    POST /login    signs in, and leads to the local address `next`
    POST /logout   signs out
    """
    pages = Blueprint("sign_in", __name__)

    @pages.get(SIGN_IN)
    def form() -> Response:
        way_back = local_address(request.args.get("next", ""))
        return _form(way_back) if g.user is None else see_other(way_back)

    @pages.post(SIGN_IN)
    def sign_in() -> Response:
        way_back = local_address(request.form.get("next", ""))
        name, password = request.form.get("name", "").strip(), request.form.get("password", "")
        given = {"name": name, "password": password}
        errors = {field: f"Enter your {field}." for field, value in given.items() if not value}
        if errors:
            return _form(way_back, name=name, errors=errors, status=400)
        try:
            account = gate.sign_in(name, password)
        except MustWaitError as error:
            response = _form(way_back, name=name, errors={"password": str(error)}, status=429)
            response.headers["Retry-After"] = str(error.seconds)
            return response
        if account is None:
            errors = {"password": "The name or the password is wrong."}
            return _form(way_back, name=name, errors=errors, status=403)
        return see_other(way_back)

    @pages.post(SIGN_OUT)
    def sign_out() -> Response:
        if gate.named_by_proxy():
            return answer("sign_in/by_proxy.html", {"user_name": g.user.name})
        gate.sign_out()
        return see_other(SIGN_IN)

    return pages


def _form(
    way_back: str, *, name: str = "", errors: dict[str, str] | None = None, status: int = 200
) -> Response:
    facts = {"name": name, "next": way_back, "errors": errors or {}}
    return answer("sign_in/login.html", facts, status=status)
