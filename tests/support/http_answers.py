"""An HTTP server that answers what a test has laid down, and remembers what it was asked."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import trustme
from cheroot.ssl import Adapter
from cheroot.ssl.builtin import BuiltinSSLAdapter

from kato_exporter.demo.servers import LOOPBACK
from kato_exporter.demo.stub_server import serving


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: a body with a status and headers."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)

    @classmethod
    def of(cls, content: Any, status: int = 200) -> "Answer":
        """Answer in JSON."""
        return cls(json.dumps(content).encode(), status)


HTML = Answer(b"<!DOCTYPE html><title>hello</title>", headers=(("Content-Type", "text/html"),))
NO_SUCH_PATH = Answer(b'{"detail":"Not Found"}', 404)


@dataclass(slots=True)
class Answers:
    """The application: `by_path` is what it answers, 404 otherwise; `asked` is what it was asked.

    `headers` has the headers of the last request, in lower case with `_`.
    """

    by_path: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        """Answer one request."""
        query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        self.asked.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{query}")
        self.headers = {
            name.removeprefix("HTTP_").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        answer = self.by_path.get(environ["PATH_INFO"], NO_SUCH_PATH)
        length = ("Content-Length", str(len(answer.body)))
        phrase = HTTPStatus(answer.status).phrase
        start(f"{answer.status} {phrase}", [*answer.headers, length])
        return [answer.body]


@contextmanager
def answering(answers: Answers, *, ssl_adapter: Adapter | None = None) -> Iterator[tuple[str, int]]:
    """Serve them while the context lasts, which gives the URL and the port."""
    scheme = "http" if ssl_adapter is None else "https"
    with serving(answers, ssl_adapter=ssl_adapter) as port:
        yield f"{scheme}://{LOOPBACK}:{port}", port


def tls(directory: Path) -> tuple[Adapter, Path]:
    """Make a certificate for 127.0.0.1; give what serves it, and the file of its authority."""
    authority = trustme.CA()
    own = authority.issue_cert(LOOPBACK)
    key, certificate, trusted = (directory / name for name in ("key.pem", "cert.pem", "ca.pem"))
    own.private_key_pem.write_to_path(key)
    own.cert_chain_pems[0].write_to_path(certificate)
    authority.cert_pem.write_to_path(trusted)
    return BuiltinSSLAdapter(str(certificate), str(key)), trusted
