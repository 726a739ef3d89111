"""Laid down answers to questions that are put in a body, as Qdrant's are."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from support.http_answers import Answer, Answers


@dataclass(slots=True)
class Questions(Answers):
    """Answers that remember the bodies that they were asked with, in `bodies`.

    `by_body` is asked with the path and the body before `by_path`, and may give None.
    """

    bodies: list[Any] = field(default_factory=list)
    by_body: Callable[[str, Any], Answer | None] = lambda path, body: None  # noqa: ARG005 - a default

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        """Answer one request."""
        if length := int(environ.get("CONTENT_LENGTH") or 0):
            body = json.loads(environ["wsgi.input"].read(length))
            self.bodies.append(body)
            answer = self.by_body(environ["PATH_INFO"], body)
            if answer is not None:
                self.by_path = {**self.by_path, environ["PATH_INFO"]: answer}
        return Answers.__call__(self, environ, start)
