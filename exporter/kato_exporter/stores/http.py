"""What stores with an HTTP API share: they are asked in JSON and nothing else, within limits.

Questions are asked by GET. One that needs a body is asked by POST, and only of the paths that a
store has named as questions. What changes something is sent only where its owner has named that,
too, method by method; nothing else is ever sent.

Certificates are checked against the system's authorities, and those that `SSL_CERT_FILE` or
`SSL_CERT_DIR` name instead. Proxies of the environment are not used, and no redirect is followed.
"""

import json
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from kato_exporter import __version__
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.http_deadline import DeadlineTransport
from kato_exporter.stores.json_values import at, parse_json

_MOST_BYTES = 16 * 1024 * 1024
_MOST_WORDS_BYTES = 64 * 1024
_MOST_REASON = 300
_CHUNK = 64 * 1024

_NO_RIGHTS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_REFUSALS = frozenset(range(400, 500)) - {HTTPStatus.REQUEST_TIMEOUT}

Change = Literal["PUT", "POST", "DELETE"]


class TooMuchError(QueryError):
    """The answer is larger, or nested deeper, than what is read: less may be asked for."""


class NotPermittedError(StoreError):
    """The store asks for other credentials; `words` are its own, and may be empty."""

    def __init__(self, message: str, *, code: int, words: str) -> None:
        super().__init__(message)
        self.code = code
        self.words = words


class JsonApi:
    """An HTTP API at a URL, perhaps below a prefix, that answers with JSON.

    `timeout` in seconds bounds every answer as a whole. `key`, if any, is sent as `api-key`, and is
    in no message; `advice` says what to check where an answer is refused. `questions` are the
    paths that read though they are asked by POST; `changes` are what writes, as method and path
    with a space in between. Without any it can only be read.
    """

    def __init__(  # noqa: PLR0913 - what may be asked, and how
        self,
        url: str,
        *,
        timeout: float,
        key: str | None = None,
        advice: str = "",
        questions: re.Pattern[str] | None = None,
        changes: re.Pattern[str] | None = None,
    ) -> None:
        self.address = url.rstrip("/")
        self._questions = questions
        self._changes = changes
        self._timeout = timeout
        self._key = key
        self._advice = f": {advice}" if advice else ""
        self._transport = DeadlineTransport(_trust(self.address))
        self._client = httpx.Client(
            transport=self._transport,
            headers={
                "User-Agent": f"kato-exporter/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # what is packed can be larger than any limit
                **({} if key is None else {"api-key": key}),
            },
            trust_env=False,
        )

    @property
    def tells_its_key(self) -> bool:
        """Whether the key goes over the network as it is."""
        parts = urlsplit(self.address)
        return self._key is not None and parts.scheme == "http" and not is_loopback(parts.hostname)

    def get(self, path: str, deadline: Deadline) -> Any:
        """Ask for a path, which begins with `/`, and give the JSON of the answer.

        Raises QueryError where the answer is another status, no JSON or an error in an object,
        TooMuchError where it is too large, and StoreError where none comes, or where the store
        asks for other credentials.
        """
        return self._ask("GET", path, None, deadline)

    def post(self, path: str, question: Mapping[str, Any], deadline: Deadline) -> Any:
        """Ask a question that is put in a body; raises as `get` does.

        Raises ValueError where the path is none of the `questions`.
        """
        if self._questions is None or not self._questions.fullmatch(path):
            raise ValueError(f"POST {path} is no question")
        return self._ask("POST", path, json.dumps(question).encode(), deadline)

    def change(
        self, method: Change, path: str, order: Mapping[str, Any] | None, deadline: Deadline
    ) -> Any:
        """Ask for a change, and give the JSON of the answer.

        Raises QueryError where it is refused, by a status from 400 on, for nothing was done then.
        After any other StoreError nobody knows whether it was; so it is where the server itself
        failed, or its answer is not understood. Raises ValueError where it is none of the
        `changes`.
        """
        if self._changes is None or not self._changes.fullmatch(f"{method} {path}"):
            raise ValueError(f"{method} {path} is no change that may be asked for")
        body = None if order is None else json.dumps(order, allow_nan=False).encode()
        try:
            return self._ask(method, path, body, deadline)
        except NotPermittedError as error:
            said = f": {error.words}" if error.words else ""
            raise QueryError(f"{error}{said}", code=error.code) from error
        except QueryError as error:
            if error.code in _REFUSALS:
                raise
            raise StoreError(f"nobody knows whether it was done: {error}") from error

    def _ask(
        self,
        method: Literal["GET"] | Change,
        path: str,
        body: bytes | None,
        deadline: Deadline,
    ) -> Any:
        deadline = deadline.within(self._timeout)
        headers = {} if body is None else {"Content-Type": "application/json"}
        with (
            self._errors(deadline.remaining),
            self._transport.within(deadline),
            self._client.stream(
                method,
                self.address + path,
                content=body,
                headers=headers,
                timeout=deadline.remaining,
            ) as response,
        ):
            if response.status_code != HTTPStatus.OK:
                raise self._refusal(response)
            body = _read(response, _MOST_BYTES)
        if body is None:
            raise TooMuchError(f"{path}: an answer of more than {_MOST_BYTES} bytes")
        try:
            answer = parse_json(body)
        except ValueError as error:
            if isinstance(error.__cause__, RecursionError):
                raise TooMuchError(
                    f"{path}: not JSON but nested too deeply: {self._shown(body[:40])}"
                ) from error
            raise QueryError(f"{path}: not JSON but {self._shown(body[:40])}") from error
        if (words := _error_in(answer)) is not None:
            raise QueryError(f"{path}: {self._shown(words)}")
        return answer

    def close(self) -> None:
        """Give back every connection."""
        self._client.close()

    @contextmanager
    def _errors(self, patience: float) -> Iterator[None]:
        """Turn what httpx raises into StoreError."""
        try:
            yield
        except httpx.TimeoutException as error:
            raise StoreError(f"no answer within {patience:.3g} s") from error
        except (
            *(httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError),
            RuntimeError,  # the client has been closed
        ) as error:
            raise StoreError(self._shown(str(error) or type(error).__name__)) from error

    def _refusal(self, response: httpx.Response) -> StoreError:
        """Say what an answer other than 200 means."""
        status = response.status_code
        words: Any = None
        with suppress(ValueError):
            words = _error_in(parse_json(_read(response, _MOST_WORDS_BYTES) or b""))
        if status in _NO_RIGHTS:
            message = f"not permitted ({status}){self._advice}"
            return NotPermittedError(message, code=status, words=self._shown(words or ""))
        return QueryError(
            f"{response.url.path}: {status} {self._shown(words or response.reason_phrase)}",
            code=status,
        )

    def _shown(self, words: object) -> str:
        """Put words of the server into one line, without our key."""
        line = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
        if self._key is not None:
            line = line.replace(self._key, "***")
        return " ".join(line.split())[:_MOST_REASON]


def _read(response: httpx.Response, most: int) -> bytes | None:
    """Read a body as it came; None where it is longer."""
    body = bytearray()
    for chunk in response.iter_raw(_CHUNK):
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


def _trust(address: str) -> ssl.SSLContext:
    """Give what certificates are checked against; for plain HTTP nothing is read for it."""
    if urlsplit(address).scheme == "https":
        return ssl.create_default_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _error_in(answer: Any) -> Any:
    """Give what an answer says of an error, as Qdrant, KATO and FastAPI say it; None for none."""
    if not isinstance(answer, Mapping):
        return None
    found = (at(answer, "status", "error"), answer.get("error"), answer.get("detail"))
    return next((words for words in found if words not in (None, "", False)), None)


def is_loopback(host: str | None) -> bool:
    """Tell whether a host is this machine by its name or number."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ip_address(host or "").is_loopback
    return False
