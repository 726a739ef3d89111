"""Editing a record: its form, what would change, and the save if it still is what was shown.

What is edited of a record is its value, in bytes: all of a document, the payload of a point, one
field of a hash. A subject knows how the value becomes the texts of a form, and these a value.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from flask import Blueprint, Response, abort, g, request
from werkzeug.wrappers import Response as AnyResponse

from kato_exporter.browser.access.users import current_user
from kato_exporter.browser.answers import answer
from kato_exporter.browser.records.desk import ConflictError, Desk
from kato_exporter.browser.records.differences import Lines
from kato_exporter.browser.records.form_faults import FormFaultsError, NotEditableError
from kato_exporter.browser.records.way_on import to_operation
from kato_exporter.stores.records import RecordKind, Snapshot

Texts = Mapping[str, str | None]
"""The texts of a form by the names of its fields; None for a field that it does not have."""

_STEPS = ("check", "save")
_FACTS: Mapping[str, Any] = {
    "faults": {},
    "diff": [],
    "seen": "",
    "conflict": None,
    "present": None,
    "unshown": None,
}


class Subject(Protocol):
    """What is edited of a record, and its form; `value` and `texts` may raise NotEditableError."""

    @property
    def kind(self) -> RecordKind:
        """The kind of the record."""

    @property
    def locator(self) -> bytes:
        """Where the record is."""

    @property
    def what(self) -> str:
        """What people call it."""

    @property
    def template(self) -> str:
        """The template, which extends records/edit.html."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the form's fields."""

    @property
    def whole(self) -> str:
        """The field beside which stands what is wrong with all; empty for above the form."""

    def value(self, content: bytes) -> bytes | None:
        """Give what is edited of a record's content; None where it has none of it."""

    def texts(self, value: bytes) -> Texts:
        """Give the texts of a form, of which `read` makes the very same value."""

    def read(self, value: bytes, typed: Mapping[str, str]) -> bytes:
        """Give the value that was typed in the form of another; raise FormFaultsError."""

    def content(self, content: bytes, value: bytes) -> bytes:
        """Give a record's content with another value."""

    def told(self, value: bytes) -> str:
        """Give a value as a text of many lines."""

    def diff(self, old: bytes, new: bytes) -> Lines:
        """Give what changes."""

    def about(self, value: bytes | None, texts: Texts) -> Mapping[str, Any]:
        """Give what else the template shows; the value is None where it is gone."""


def add_edit_page(
    pages: Blueprint, rule: str, endpoint: str, desk: Desk, subject: Callable[..., Subject]
) -> None:
    """Make the page of an edit; `subject` makes one of the parts of the URL.

    GET    a form
    POST   with the form's fields and its `version`; `step=check` shows what would change,
           `step=save` changes it, but where `seen` says that something else was shown
    """

    def edit(**parts: str) -> AnyResponse:
        desk.permit(current_user())
        editing = _Editing(desk, subject(**parts))
        return editing.change() if request.method == "POST" else editing.form()

    pages.add_url_rule(rule, endpoint, edit, methods=["GET", "POST"])


@dataclass(frozen=True, slots=True)
class _Editing:
    """One request for the page of an edit."""

    desk: Desk
    subject: Subject

    def form(self) -> Response:
        """Answer with the form."""
        now = self._now()
        value = None if now is None else self._value(now)
        if now is None or value is None:
            abort(404, f"There is no {self.subject.what} any more.")
        try:
            texts = self.subject.texts(value)
        except NotEditableError as error:
            _refuse(error)
        return self._page(value, texts, version=now.version)

    def change(self) -> AnyResponse:
        """Answer to what was typed: with what is wrong, with what would change, or by saving."""
        step, version = request.form.get("step"), request.form.get("version", "")
        if step not in _STEPS:
            abort(400, "step: give check or save")
        typed = {
            name: request.form[name].replace("\r\n", "\n")
            for name in self.subject.fields
            if name in request.form
        }
        now = self._now()
        value = None if now is None or now.version != version else self._value(now)
        if now is None or value is None:
            return self._conflict(typed, now)
        try:
            new = self._changed(value, typed)
        except FormFaultsError as error:
            return self._page(value, typed, version=version, faults=error.faults, status=400)
        if step == "save" and request.form.get("seen") in (None, _digest(new)):
            try:
                return self._saved(now, new)
            except ConflictError as conflict:
                return self._conflict(typed, conflict.now)
        return self._page(value, typed, version=version, **self._difference(value, new))

    def _now(self) -> Snapshot | None:
        [now] = self.subject.kind.read([self.subject.locator])
        return now

    def _value(self, now: Snapshot) -> bytes | None:
        try:
            return self.subject.value(now.content)
        except NotEditableError as error:
            return _refuse(error)

    def _changed(self, value: bytes, typed: Mapping[str, str]) -> bytes:
        new = self.subject.read(value, typed)
        if new == value:
            raise FormFaultsError(
                {self.subject.whole: "Nothing is changed, so there is nothing to save."}
            )
        return new

    def _saved(self, now: Snapshot, new: bytes) -> AnyResponse:
        """Save a value and go to what came of it; raises ConflictError."""
        name = self.subject.kind.name
        content = self.subject.content(now.content, new)
        author = (current_user(), g.client)
        return to_operation(self.desk.edit(name, now.locator, now.version, content, author))

    def _conflict(self, typed: Mapping[str, str], now: Snapshot | None) -> Response:
        """Show what is there now, and what was typed as a change of that, to go on from."""
        value = None
        try:
            if now is not None and (value := self.subject.value(now.content)) is not None:
                self.subject.texts(value)
        except NotEditableError as error:
            return self._page(None, typed, conflict="changed", unshown=str(error), status=409)
        if now is None or value is None:
            return self._page(None, typed, conflict="gone", status=409)
        facts: dict[str, Any] = {
            "conflict": "changed",
            "present": self.subject.told(value),
            "status": 409,
        }
        try:
            facts |= self._difference(value, self.subject.read(value, typed))
        except FormFaultsError as error:
            facts |= {"faults": error.faults}
        return self._page(value, typed, version=now.version, **facts)

    def _difference(self, old: bytes, new: bytes) -> Mapping[str, Any]:
        lines = self.subject.diff(old, new)
        return {"diff": lines, "seen": _digest(new) if lines else ""}

    def _page(
        self,
        value: bytes | None,
        texts: Texts,
        *,
        version: str = "",
        status: int = 200,
        **facts: Any,
    ) -> Response:
        all_texts = {name: texts.get(name) for name in self.subject.fields}
        about = self.subject.about(value, texts)
        shown = {**all_texts, **about, "version": version, **_FACTS, **facts}
        return answer(self.subject.template, shown, status=status)


def _refuse(error: NotEditableError) -> NoReturn:
    abort(400, f"This cannot be edited here. {error}")


def _digest(value: bytes) -> str:
    """Bind what is saved to what was shown."""
    return hashlib.sha256(value).hexdigest()
