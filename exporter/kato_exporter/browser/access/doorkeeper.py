"""Decides who comes in by name and password."""

import base64
import hashlib
import math
import secrets
import threading
import time
from collections.abc import Callable

import structlog

from kato_exporter.browser.access.accounts import Account, Accounts
from kato_exporter.browser.access.passwords import PasswordDesk, TooBusyError
from kato_exporter.browser.access.rate_limits import SignInLimits

_log = structlog.get_logger("browser")

_REMEMBERED_SECONDS = 300.0
_MOST_REMEMBERED = 1_000
_BUSY_SECONDS = 2


class MustWaitError(Exception):
    """Not now: there were too many failures, or there are too many attempts at once.

    `seconds` says how long to wait, and the text says it to the reader.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(
            f"Too many attempts have failed, or there are too many at once. "
            f"Try again in {seconds:,} s."
        )
        self.seconds = seconds


class Doorkeeper:
    """Checks names and passwords, and slows down whoever guesses.

    The log has each decision; of names those of accounts only, as others may be passwords that
    were typed into the wrong field.
    """

    def __init__(self, accounts: Accounts, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._accounts = accounts
        self._clock = clock
        self._limits = SignInLimits(clock)
        self._desk = PasswordDesk()
        self._secret = secrets.token_bytes(32)
        self._remembered: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def admit(self, name: str, password: str, *, client: str) -> Account | None:
        """Give the account if name and password are right, after the same work if they are not.

        Raises MustWaitError.
        """
        account = self._accounts.find(name)
        shown = "(no account)" if account is None else account.name
        if wait := self._limits.attempt(client, name):
            _log.warning("sign-in refused", user=shown, client=client, reason="too many failures")
            raise MustWaitError(math.ceil(wait))
        stored = None if account is None else account.password
        try:
            right = self._desk.check(password, stored, self._accounts.hashes())
        except TooBusyError:
            self._limits.forgive(client, name)
            _log.warning("sign-in refused", user=shown, client=client, reason="too many at once")
            raise MustWaitError(_BUSY_SECONDS) from None
        if not right:
            reason = "wrong name or password"
            _log.warning("sign-in refused", user=shown, client=client, reason=reason)
            return None
        self._limits.forgive(client, name)
        return account

    def recognise(self, authorization: str, *, client: str) -> Account | None:
        """Admit by a header `Authorization`; what was right is remembered for a short time.

        It is forgotten when the account changes. Raises MustWaitError.
        """
        credentials = _credentials(authorization)
        if credentials is None:
            return None
        name, password = credentials
        account = self._accounts.find(name)
        if account is not None and self._remembers(account, password):
            return account
        account = self.admit(name, password, client=client)
        if account is not None:
            _log.info("signed in", user=account.name, client=client, by="HTTP Basic")
            self._remember(account, password)
        return account

    def _remembers(self, account: Account, password: str) -> bool:
        with self._lock:
            return self._remembered.get(self._digest(account, password), 0.0) > self._clock()

    def _remember(self, account: Account, password: str) -> None:
        digest = self._digest(account, password)
        with self._lock:
            self._remembered.pop(digest, None)
            if len(self._remembered) >= _MOST_REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[digest] = self._clock() + _REMEMBERED_SECONDS

    def _digest(self, account: Account, password: str) -> bytes:
        parts = (account.name, account.role, account.password, password)
        return hashlib.blake2b(repr(parts).encode(), key=self._secret).digest()


def _credentials(header: str) -> tuple[str, str] | None:
    """Read name and password from a header `Authorization` (RFC 7617); None where it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return None
    return (name, password) if colon else None
