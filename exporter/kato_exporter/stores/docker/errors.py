"""What goes wrong between us and a container engine, in one line each."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import requests
from docker.errors import DockerException
from urllib3.exceptions import HTTPError, ReadTimeoutError

from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.json_values import parse_json

_CHUNK = 64 * 1024
_MOST_REASON = 300
_TIMEOUTS = (requests.Timeout, ReadTimeoutError, TimeoutError)


class SilenceError(StoreError):
    """Nothing came within the time that the socket waits."""


class NoSuchContainerError(QueryError):
    """The container has gone or ended since it was listed."""


class EmptyAnswerError(StoreError):
    """The answer is 200 and nothing: so Docker says that a container went while it measured."""


@contextmanager
def engine_errors(patience: float) -> Iterator[None]:
    """Turn what requests, the SDK and the operating system raise into StoreError."""
    try:
        yield
    except (requests.RequestException, DockerException, HTTPError, OSError, ValueError) as error:
        if any(isinstance(each, _TIMEOUTS) for each in _causes(error)):
            raise SilenceError(f"no answer within {patience:.3g} s") from error
        raise StoreError(_reason(error)) from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give an exception and all that it wraps, as a cause or as an argument."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            inner = (*each.args, each.__cause__, each.__context__, getattr(each, "reason", None))
            waiting += [cause for cause in inner if isinstance(cause, BaseException)]


def _reason(error: BaseException) -> str:
    """Find the operating system's own words, which libraries bury; else take the outermost."""
    words = (each.strerror for each in _causes(error) if isinstance(each, OSError))
    found = next((word for word in words if isinstance(word, str)), None)
    return one_line(found or str(error) or type(error).__name__)


def one_line(text: str) -> str:
    """Put what an engine says into one line of bounded length."""
    return " ".join(text.split())[:_MOST_REASON]


def refusal(response: requests.Response) -> StoreError:
    """Say what an answer other than 200 means."""
    body = b""
    with suppress(requests.RequestException, HTTPError, OSError):
        body = next(iter(response.iter_content(_CHUNK)), b"")
    try:
        words = str(parse_json(body)["message"])
    except (ValueError, KeyError, TypeError):
        words = response.reason or ""
    status = response.status_code
    if status == requests.codes.not_found and "/containers/" in (response.url or ""):
        return NoSuchContainerError(one_line(f"{status} {words}"))
    if status == requests.codes.conflict:
        return NoSuchContainerError(one_line(f"{status} {words}"))
    return QueryError(one_line(f"{status} {words}"))
