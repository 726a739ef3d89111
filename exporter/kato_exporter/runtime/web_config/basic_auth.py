"""The section `basic_auth_users`: who may come in, by name and password."""

import base64
import hashlib
import re
import secrets
import threading
from collections.abc import Iterable, Mapping
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import bcrypt
from werkzeug import Response

from kato_exporter.runtime.web_config.sections import Section

_BCRYPT_HASH = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_BCRYPT_READS = 72
"""Bytes of a password that bcrypt looks at; htpasswd and Go pass over the rest without a word."""

_REMEMBERED = 1_000
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="kato-exporter"'}


def read_users(section: Section) -> dict[str, bytes]:
    """Give the bcrypt hash of each user; raise WebConfigError where one is none."""
    return {user: _bcrypt_hash(section, user) for user in section.values}


def _bcrypt_hash(section: Section, user: object) -> bytes:
    if not isinstance(user, str):
        raise section.error(repr(user), "is no text; put the name in quotes")
    if ":" in user:
        raise section.error(repr(user), "has a colon, which ends a name in HTTP; choose another")
    value = section.values[user]
    if not isinstance(value, str) or not _BCRYPT_HASH.fullmatch(value):
        problem = "the value (not shown) is no bcrypt hash; make one with `htpasswd -nBC 10 USER`"
        raise section.error(repr(user), problem)
    return value.encode()


def require_basic_auth(app: WSGIApplication, users: Mapping[str, bytes]) -> WSGIApplication:
    """Let requests through that name one of `users` (user to bcrypt hash) with the password.

    All others get 401 after the same work, whether the user exists or not. A success is remembered
    by a keyed hash, as bcrypt is slow by design and Prometheus asks every few seconds.
    Raises ValueError where there are no users, since nobody could ever pass.
    """
    door = _Doorkeeper(users)

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if door.admits(environ.get("HTTP_AUTHORIZATION", "")):
            return app(environ, start_response)
        return Response("Unauthorized\n", "401 Unauthorized", _CHALLENGE)(environ, start_response)

    return guarded


class _Doorkeeper:
    """Checks passwords, one at a time: bcrypt must not take every core of the host."""

    def __init__(self, users: Mapping[str, bytes]) -> None:
        self._users = {user.encode(): stored for user, stored in users.items()}
        # For users who do not exist; the dearest, as unequal costs would tell users from others.
        self._decoy = max(users.values(), key=lambda stored: stored.split(b"$")[2])
        self._secret = secrets.token_bytes(32)
        self._remembered: dict[bytes, None] = {}
        self._lock = threading.Lock()

    def admits(self, authorization: str) -> bool:
        digest = hashlib.blake2b(authorization.encode(), key=self._secret).digest()
        if digest in self._remembered:
            return True
        credentials = _credentials(authorization)
        if credentials is None:
            return False
        with self._lock:
            if digest not in self._remembered and self._check(*credentials):
                if len(self._remembered) >= _REMEMBERED:
                    del self._remembered[next(iter(self._remembered))]
                self._remembered[digest] = None
            return digest in self._remembered

    def _check(self, user: bytes, password: bytes) -> bool:
        right = bcrypt.checkpw(password[:_BCRYPT_READS], self._users.get(user, self._decoy))
        return right and user in self._users


def _credentials(header: str) -> tuple[bytes, bytes] | None:
    """Read user and password from a header `Authorization` (RFC 7617); None where it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
    except ValueError:
        return None
    return (user, password) if colon else None
