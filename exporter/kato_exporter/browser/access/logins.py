"""Who is signed in, kept on the server; a browser has no more than a random id."""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from kato_exporter.browser.access.accounts import Account

_MOST = 1_000


@dataclass(frozen=True, slots=True)
class _Login:
    account: Account
    began: float
    used: float


class Logins:
    """The logins of this process, the longest unused of which make room for others.

    Each ends after `idle` seconds without use, and `lifetime` seconds after its beginning.
    """

    def __init__(
        self, *, idle: float, lifetime: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._idle = idle
        self._lifetime = lifetime
        self._clock = clock
        self._logins: dict[str, _Login] = {}
        """The least recently used first."""
        self._lock = threading.Lock()

    def begin(self, account: Account) -> str:
        """Sign in, and give the id, which nobody knew before."""
        login_id = secrets.token_urlsafe(32)
        now = self._clock()
        with self._lock:
            if len(self._logins) >= _MOST:
                del self._logins[next(iter(self._logins))]
            self._logins[login_id] = _Login(account, now, now)
        return login_id

    def use(self, login_id: str) -> Account | None:
        """Give the account as it was at the sign-in, None where the login has ended."""
        now = self._clock()
        with self._lock:
            login = self._logins.pop(login_id, None)
            if (
                login is None
                or now - login.used >= self._idle
                or now - login.began >= self._lifetime
            ):
                return None
            self._logins[login_id] = _Login(login.account, login.began, now)
            return login.account

    def end(self, login_id: str) -> None:
        """Sign out; the id is worth nothing from now on."""
        with self._lock:
            self._logins.pop(login_id, None)
