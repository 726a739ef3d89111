"""Stubs of stores with an HTTP API, which answer whatever a fuzz test draws."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from hypothesis import strategies as st

from kato_exporter.demo.servers import LOOPBACK
from kato_exporter.demo.stub_server import serving
from support.fuzzing import ANY_JSON, spoiled
from support.http_answers import NO_SUCH_PATH, Answer, Answers

_STATUSES = (201, 206, 301, 400, 401, 403, 404, 408, 409, 418, 429, 500, 502, 503)
_NO_JSON = (
    b"",
    b"null",
    b"[" * 5_000,
    b'{"a":' * 2_000,
    b"9" * 5_000,
    b'{"a": "\\ud800',
    b"\xff\xfe\x00{",
    b"\xef\xbb\xbf{}",
    b"<!DOCTYPE html>",
)

Route = tuple[str, Answer]


def answers_like(records: Sequence[Any]) -> st.SearchStrategy[Answer]:
    """Give answers like these records, more or less, and others."""
    documents = spoiled(records)
    like = documents.map(Answer.of)
    return st.one_of(
        like,
        like,
        like,
        like,
        st.builds(Answer.of, ANY_JSON),
        st.builds(Answer.of, documents | ANY_JSON, st.sampled_from(_STATUSES)),
        st.builds(_cut, documents, st.floats(0, 1)),
        st.sampled_from(_NO_JSON).map(Answer) | st.binary(max_size=40).map(Answer),
    )


def rounds(
    routes: Mapping[str, st.SearchStrategy[Answer]], *, most: int = 3
) -> st.SearchStrategy[list[dict[str, Answer]]]:
    """Draw answers for these routes, patterns of paths, several times over."""
    return st.lists(st.fixed_dictionaries(dict(routes)), min_size=1, max_size=most)


class FuzzedRoutes(Answers):
    """Answers by the first pattern that a path matches; `routes` may be changed at any time."""

    routes: Mapping[str, Answer]

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        """Answer one request."""
        path = environ["PATH_INFO"]
        self.by_path = {path: self._answer(path)}
        return super().__call__(environ, start)

    def _answer(self, path: str) -> Answer:
        found = (each for pattern, each in self.routes.items() if re.fullmatch(pattern, path))
        return next(found, NO_SUCH_PATH)


@contextmanager
def fuzzed_server() -> Iterator[tuple[FuzzedRoutes, str]]:
    """Serve them while the context lasts; give them and their address."""
    routes = FuzzedRoutes()
    with serving(routes) as port:
        yield routes, f"{LOOPBACK}:{port}"


def with_headers(
    answers: st.SearchStrategy[Answer], headers: st.SearchStrategy[tuple[tuple[str, str], ...]]
) -> st.SearchStrategy[Answer]:
    """Give answers with other headers."""
    return st.builds(lambda answer, own: replace(answer, headers=own), answers, headers)


def _cut(document: Any, share: float) -> Answer:
    body = json.dumps(document).encode()
    return Answer(body[: int(len(body) * share)])
