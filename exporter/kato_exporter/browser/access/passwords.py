"""Passwords as scrypt hashes: what is strong enough, made, and checked."""

import re
import threading
import unicodedata
from contextlib import suppress

from werkzeug.security import check_password_hash, generate_password_hash

_METHOD = "scrypt:65536:8:2"
"""One of the settings that OWASP holds to be equal; it takes 64 MiB, N = 2^17 takes 128."""

_HASH = re.compile(r"scrypt:([0-9]{1,9}):([0-9]{1,9}):([0-9]{1,9})\$[!-#%-~]{8,64}\$[0-9a-f]{128}")
_LEAST = ((2**17, 1), (2**16, 2), (2**15, 3), (2**14, 5), (2**13, 10))
"""OWASP's settings, as N and p; r is 8."""
_LEAST_R = 8
_MOST_MEMORY = 256 * 1024 * 1024
_MOST_WORK = 2**22

_DECOY = f"{_METHOD}$nobody-at-all$" + "0" * 128

_SHORTEST = 8
ADVISED_LENGTH = 15
"""Characters that NIST SP 800-63B-4 asks for where a password is all there is."""
_FEW_CHARACTERS = 4
_RUNS = ("01234567890123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm")

_MOST_AT_ONCE = 4


class TooBusyError(Exception):
    """So many passwords are being checked that one more would hold up other requests."""


def unfit_hash(text: str) -> str | None:
    """Say what is wrong with a hash, without showing it; None where it is right."""
    match = _HASH.fullmatch(text)
    if match is None:
        return "is no scrypt hash"
    n, r, p = (int(number) for number in match.groups())
    if n & (n - 1) or r < _LEAST_R or not any(n >= least and p >= times for least, times in _LEAST):
        return "is a scrypt hash that is too cheap to guess"
    if 128 * n * r > _MOST_MEMORY or n * r * p > _MOST_WORK:
        return "is a scrypt hash that takes too much memory or time"
    return None


def unfit_password(password: str, name: str) -> str | None:
    """Say why a password is not good enough for an account; None where it is.

    As NIST advises it is a matter of length, and of what everybody tries first.
    """
    try:
        password.encode()
    except UnicodeEncodeError:
        return "it is not text in UTF-8"
    if len(password) < _SHORTEST:
        return f"it has fewer than {_SHORTEST} characters; {ADVISED_LENGTH} or more are better"
    plain = password.casefold()
    if plain == name.casefold():
        return "it is the name"
    if len(set(plain)) < _FEW_CHARACTERS or any(plain in run for run in _RUNS):
        return "it is among the first that everybody tries"
    return None


def hash_password(password: str) -> str:
    """Give the hash to keep."""
    return generate_password_hash(_normal(password), _METHOD)


def _normal(password: str) -> str:
    """Give the same text for the same characters, however a keyboard composes them."""
    return unicodedata.normalize("NFKC", password)


class PasswordDesk:
    """Checks passwords one at a time: each takes memory and a core, and anyone may ask.

    `most` is how many may be there, with those that wait.
    """

    def __init__(self, most: int = _MOST_AT_ONCE) -> None:
        self._places = threading.BoundedSemaphore(most)
        self._turn = threading.Lock()

    def check(self, password: str, stored: str | None, others: list[str]) -> bool:
        """Tell whether a password belongs to a hash.

        Without a hash the answer is no, after the work that the dearest of the `others` takes, so
        that time does not tell who has an account. Raises TooBusyError.
        """
        if not self._places.acquire(blocking=False):
            raise TooBusyError
        try:
            with self._turn:
                right = check_password_hash(stored or dearest(others), _normal(password))
        finally:
            self._places.release()
        return right and stored is not None


def dearest(hashes: list[str]) -> str:
    """Give the hash that takes the most work, one of our own where there is none."""

    def work(text: str) -> int:
        with suppress(ValueError):
            n, r, p = map(int, text.partition("$")[0].split(":")[1:])
            return n * r * p
        return 0

    return max(hashes, key=work, default=_DECOY)
