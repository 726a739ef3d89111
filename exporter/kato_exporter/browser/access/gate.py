"""The gate that every request passes before any page is made."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import structlog
from flask import Response, abort, g, jsonify, make_response, redirect, request, session, url_for
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]
from werkzeug.exceptions import HTTPException, TooManyRequests

from kato_exporter.browser.access.accounts import Account, Accounts
from kato_exporter.browser.access.doorkeeper import Doorkeeper, MustWaitError
from kato_exporter.browser.access.logins import Logins
from kato_exporter.browser.access.trusted_proxy import TrustedProxies
from kato_exporter.browser.access.users import User, require_editor
from kato_exporter.browser.access.way_back import local_address
from kato_exporter.browser.answers import wanted_form

_log = structlog.get_logger("browser")

SIGN_IN, SIGN_OUT = "/login", "/logout"

_UNGUARDED = frozenset({"/static/<path:filename>", "/-/healthy", "/metrics"})
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_FROM_OUR_PAGES = frozenset({"same-origin", "none"})

_LOGIN_ID = "login"
"""Where the signed cookie keeps the id of a login."""


class Gate:
    """Finds out who asks, and whether they may."""

    def __init__(
        self,
        accounts: Accounts,
        *,
        proxies: TrustedProxies,
        logins: Logins,
        doorkeeper: Doorkeeper,
        csrf: CSRFProtect,
    ) -> None:
        self._accounts = accounts
        self._proxies = proxies
        self._logins = logins
        self._doorkeeper = doorkeeper
        self._csrf = csrf

    def check(self) -> Response | None:
        """Answer in place of the page, or let the request through.

        `g.user` is then its user, and `g.client` the address that it came from.
        """
        rule = None if request.url_rule is None else request.url_rule.rule
        writing = request.method not in _READS
        if rule in _UNGUARDED and not writing:
            return None
        g.client = self._proxies.client(request)
        if writing:
            with _noting_refusals():
                _refuse_foreign()
        account = self._account()
        g.user = None if account is None else User(account.name, account.role)
        if account is None and rule != SIGN_IN:
            leaving = writing and rule == SIGN_OUT
            return see_other(SIGN_IN) if leaving else _ask_to_sign_in()
        if writing:
            with _noting_refusals():
                self._refuse_forged()
                if rule not in (SIGN_IN, SIGN_OUT):
                    require_editor()
        return None

    def sign_in(self, name: str, password: str) -> Account | None:
        """Begin a login in place of any before; None where name or password are wrong.

        Raises MustWaitError.
        """
        client = self._proxies.client(request)
        account = self._doorkeeper.admit(name, password, client=client)
        if account is not None:
            self._logins.end(session.get(_LOGIN_ID, ""))
            session.clear()
            session[_LOGIN_ID] = self._logins.begin(account)
            _log.info("signed in", user=account.name, client=client, by="form")
        return account

    def sign_out(self) -> None:
        """End the login on the server, and forget it in the web browser."""
        self._logins.end(session.get(_LOGIN_ID, ""))
        session.clear()
        _log.info("signed out", user=g.user.name, client=self._proxies.client(request))

    def named_by_proxy(self) -> bool:
        """Tell whether a proxy has signed the user in, and so must sign them out."""
        return self._proxies.user_name(request) is not None

    def _account(self) -> Account | None:
        name = self._proxies.user_name(request)
        if name is not None:
            return self._accounts.find(name) or self._refuse_stranger(name)
        if _LOGIN_ID in session:
            return self._signed_in()
        if "Authorization" in request.headers and request.method in _READS:
            return self._by_authorization()
        return None

    def _refuse_stranger(self, name: str) -> Account:
        _log.warning(
            "sign-in refused",
            user=_one_line(name),
            client=self._proxies.client(request),
            reason="named by a proxy, and has no account",
        )
        abort(403, f"{name[:100]} has no account here; ask whoever keeps the accounts file.")

    def _signed_in(self) -> Account | None:
        login_id = session[_LOGIN_ID]
        account = self._logins.use(login_id)
        if account is not None and self._accounts.find(account.name) != account:
            self._logins.end(login_id)
            _log.info("ended a login, as the account has changed", user=account.name)
            account = None
        if account is None:
            session.clear()
        return account

    def _by_authorization(self) -> Account | None:
        header = request.headers["Authorization"]
        try:
            return self._doorkeeper.recognise(header, client=self._proxies.client(request))
        except MustWaitError as error:
            raise TooManyRequests(str(error), retry_after=error.seconds) from None

    def _refuse_forged(self) -> None:
        try:
            self._csrf.protect()
        except CSRFError as error:
            abort(400, f"{error.description} Load the page again, and send the form once more.")


@contextmanager
def _noting_refusals() -> Iterator[None]:
    """Log a write that is refused: who asked for it, from where, at which route, and why not."""
    try:
        yield
    except HTTPException as error:
        user: User | None = g.get("user")
        _log.warning(
            "write refused",
            user="(nobody)" if user is None else user.name,
            client=g.client,
            route=str(request.url_rule),
            reason=error.description,
        )
        raise


def see_other(address: str) -> Response:
    """Lead to another page of this site, by GET."""
    return make_response(redirect(address, HTTPStatus.SEE_OTHER))


def _ask_to_sign_in() -> Response:
    """Lead a reader to the sign-in and back, and tell a program that it must sign in."""
    reading = request.method in ("GET", "HEAD")
    programmed = "Authorization" in request.headers
    if reading and not programmed and wanted_form() == "html":
        way_back = local_address(request.environ.get("REQUEST_URI", ""))
        return see_other(url_for("sign_in.form", next=way_back))
    if not reading and any(kind == "text/html" for kind, _ in request.accept_mimetypes):
        abort(401, "Nothing was done, as you are not signed in, or no longer. Sign in first.")
    reason = (
        "Sign in first, or send the right name and password by HTTP Basic."
        if reading
        else f"Sign in first, at {SIGN_IN}; HTTP Basic is for reading only."
    )
    status = HTTPStatus.UNAUTHORIZED
    response = jsonify(status=status, error=status.phrase, reason=reason)
    response.status_code = status
    if reading and "Sec-Fetch-Site" not in request.headers:  # a web browser would ask by itself
        response.headers["WWW-Authenticate"] = 'Basic realm="KATO records", charset="UTF-8"'
    return response


def _refuse_foreign() -> None:
    """Refuse a write that comes from a page of someone else, as far as the web browser tells."""
    if request.headers.get("Sec-Fetch-Site", "none") not in _FROM_OUR_PAGES:
        abort(403, "This comes from a page of another site; nothing was done.")
    if request.method not in _WRITES:
        abort(405)


def _one_line(name: str) -> str:
    """Spell a name from outside so that it stays harmless in the log."""
    return ascii(name[:100])[1:-1]
