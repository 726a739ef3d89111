"""Where pages hand in what is to be changed: permitted here or nowhere."""

import hmac
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as TookTooLongError
from contextlib import suppress
from dataclasses import replace

from kato_exporter.browser.access.users import User
from kato_exporter.browser.records.audit import Author, Deed, append
from kato_exporter.browser.records.operations import Operations
from kato_exporter.browser.records.plans import (
    Action,
    Item,
    ItemState,
    Operation,
    Plan,
    Planned,
    State,
    clean,
)
from kato_exporter.browser.records.refusals import read_each
from kato_exporter.browser.records.removal import to_make_again
from kato_exporter.browser.records.runner import Runner
from kato_exporter.browser.records.stores_at_hand import (
    InterruptedOperationError,
    StoresAtHand,
)
from kato_exporter.stores.errors import NotChangeableError, QueryError
from kato_exporter.stores.records import Container, Outcome, RecordKind, Snapshot

MOST_RECORDS = 10_000
"""How many records one operation deletes, but for those of a container."""

MOST_BYTES = 1024 * 1024 * 1024
"""How many bytes of records one operation deletes: they are read for the preview, and kept."""

_PLAN_SECONDS = 20.0
"""How long the reading for a preview may take."""

_READ_AT_ONCE = 100
_MOST_REFERENCES = 1_000
_MOST_REFERENCE_BYTES = 16 * 1024 * 1024
_PATIENCE_SECONDS = 3.0
_LOOKING_SECONDS = 10.0
_PER_MINUTE = 60
_MINUTE = 60.0


class RefusedError(Exception):
    """A write that is not carried out; `status` is that of HTTP, the message is for the user."""

    status = 400


class NotPermittedError(RefusedError):
    """Writes are off, or the user is no editor."""

    status = 403


class TooManyError(RefusedError):
    """More operations than one user may begin in a minute."""

    status = 429


class TooLargeError(RefusedError):
    """More than one operation takes."""

    status = 413


class UnavailableError(RefusedError):
    """This browser cannot do that for now."""

    status = 503


class StaleError(RefusedError):
    """What was confirmed is not, or no longer, what was shown."""

    status = 409


class ConflictError(StaleError):
    """A record is no longer what it was when the form was made; `now` is None where it is gone."""

    def __init__(self, label: str, now: Snapshot | None) -> None:
        change = "is gone" if now is None else "has changed"
        super().__init__(f"{label} {change} since it was shown; nothing was saved.")
        self.now = now


class Desk:
    """Takes orders for writes. Whatever changes something raises RefusedError where it must."""

    def __init__(
        self,
        operations: Operations,
        runner: Runner,
        stores: StoresAtHand,
        *,
        writable: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.operations = operations
        self._runner = runner
        self._stores = stores
        self._writable = writable
        self._clock = clock
        self._recent: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def may_write(self, user: User | None) -> bool:
        """Tell whether writes are on and this user is an editor."""
        return self._writable and user is not None and user.role == "editor"

    def permit(self, user: User) -> None:
        """Raise NotPermittedError for whoever may not write."""
        if not self._writable:
            raise NotPermittedError(
                "This browser only reads. Whoever runs it turns writes on with "
                "KATO_BROWSER_WRITABLE=true."
            )
        if user.role != "editor":
            raise NotPermittedError(
                f"{user.name} is a {user.role}; only an editor changes or deletes records."
            )

    def kind(self, name: str) -> RecordKind:
        """Give a kind of record by its name."""
        kind = self._stores.kinds.get(name)
        if kind is None:
            raise RefusedError(f"There is no kind of record here that is called {name[:40]!r}.")
        return kind

    def plan_deletion(
        self,
        kind_name: str,
        locators: Sequence[bytes],
        user: User,
        client: str,
        notes: Sequence[str] = (),
    ) -> str:
        """Note which records are to be deleted, as they are now, and give the operation's id.

        `notes` are more sentences for whoever confirms. Records that are not changed here stay,
        unless there are no others. Raises RefusedError, and
        StoreError where the records cannot be read, of which NotChangeableError.
        """
        self.permit(user)
        self._limit_rate(user)
        kind = self.kind(kind_name)
        wanted = list(dict.fromkeys(locators))
        if not wanted:
            raise RefusedError(f"No {kind.name} was chosen; choose one or more.")
        if len(wanted) > MOST_RECORDS:
            raise TooLargeError(
                f"{len(wanted):,} records are more than one operation deletes; "
                f"choose at most {MOST_RECORDS:,}."
            )
        items, references = self._as_they_are(kind, wanted)
        others = [item for item in items if item.state != ItemState.REFUSED]
        number = len(others)
        target = others[0].label if number == 1 else f"{number:,} records of kind {kind.name}"
        plan = Plan(action=Action.DELETE, target=target, items=items, notes=[*notes, *references])
        return self.operations.plan(plan, Author(user.name, client))

    def plan_removal(
        self, containers: Sequence[tuple[str, str]], typed: str, user: User, client: str
    ) -> str:
        """Note that containers, given as kind and name, are to go with all that they hold.

        `typed` must be the name of the first. Raises RefusedError and StoreError.
        """
        self.permit(user)
        self._limit_rate(user)
        [(_, name), *_] = containers
        if typed != name:
            raise RefusedError(f"What was typed is not {name}; nothing was done. Type the name.")
        there, notes = [], []
        for kind, each in containers:
            container = self._container(kind, each)
            if container.describe() is None:
                continue
            count = container.count()
            held = "records that nobody has counted" if count is None else f"{count:,} records"
            notes.append(f"The {kind} {each} goes, with {held}.")
            there.append((kind, each, None))
        if not there:
            raise RefusedError(f"There is no {containers[0][0]} that is called {name}.")
        plan = Plan(action=Action.REMOVE, target=clean(name), containers=there, notes=notes)
        return self.operations.plan(plan, Author(user.name, client))

    def confirm(self, identity: str, digest: str, user: User) -> None:
        """Carry out what was planned, if it is what this user was shown, and not long ago."""
        self.permit(user)
        operation = self._existing(identity)
        if operation.state is not State.PLANNED:
            raise StaleError("This was confirmed before.")
        if operation.user != user.name:
            raise NotPermittedError(f"Only {operation.user}, who was shown this, confirms it.")
        if not hmac.compare_digest(operation.digest.encode(), digest.encode()):
            raise StaleError("What was confirmed is not what was shown; nothing was done.")
        if operation.has_expired:
            raise StaleError("The confirmation came too late; look at it again.")
        self._carry_out(identity, State.PLANNED)

    def resume(self, identity: str, user: User, client: str) -> None:
        """Go on with an operation that was interrupted; the audit log says who did."""
        self.permit(user)
        self._limit_rate(user)
        self._runner.recover()
        operation = self._existing(identity)
        if operation.state is not State.INTERRUPTED:
            raise StaleError("This was not interrupted, or goes on already.")
        deed = Deed(
            operation=identity,
            action="resume",
            store="",
            kind="",
            record=operation.target,
            before="",
            after="",
            result="begun",
        )
        append(self.operations.journal, Author(user.name, client), [deed])
        self._carry_out(identity, State.INTERRUPTED)

    def restore(self, identity: str, numbers: Sequence[int] | None, user: User, client: str) -> str:
        """Put back what the trash holds of an operation, all or some of it; give the new one's id.

        All of an operation that has removed containers brings those back too. One that was
        interrupted is given up by that; where nothing of it is to be put back, its own id is given.
        Raises RefusedError and StoreError.
        """
        self.permit(user)
        self._limit_rate(user)
        self._runner.recover()
        operation = self._existing(identity)
        if operation.state is State.INTERRUPTED:
            self._look_again(operation)
        with self.operations.journal.transaction():
            given_up = numbers is None and self.operations.end(
                identity, state=State.INTERRUPTED, problem="given up"
            )
            undoing = self._plan_restoring(identity, numbers, Author(user.name, client))
        if undoing is not None:
            self._carry_out(undoing, State.PLANNED)
        elif not given_up:
            raise StaleError("Nothing of this is in the trash: put back before, or too long ago.")
        return undoing or identity

    def edit(
        self, kind_name: str, locator: bytes, version: str, content: bytes, author: tuple[User, str]
    ) -> str:
        """Give a record another content if it still has the version given; give the operation's id.

        `author` is the user and their address. Raises ConflictError with what is there now.
        """
        user, client = author
        self.permit(user)
        self._limit_rate(user)
        kind = self.kind(kind_name)
        label = _label(kind, locator)
        [now] = kind.read([locator])
        if now is None or now.version != version:
            raise ConflictError(label, now)
        if now.content == content:
            raise RefusedError("Nothing was changed, so there is nothing to save.")
        item = Planned(
            kind=kind.name,
            locator=now.locator,
            label=label,
            version=version,
            size=len(now.content),
            after=content,
        )
        plan = Plan(action=Action.EDIT, target=label, items=[item])
        identity = self.operations.plan(plan, Author(user.name, client))
        self._carry_out(identity, State.PLANNED)
        [outcome] = self.operations.states(identity)
        if outcome in (Outcome.CHANGED, Outcome.MISSING):
            [now] = kind.read([locator])
            raise ConflictError(label, now)
        return identity

    def path(self, item: Item) -> str | None:
        """Give the page of a record, None where its store is not configured, or is another."""
        kind = self._stores.find(item["kind"])
        if kind is None:
            return None
        with suppress(QueryError):
            return kind.path(item["locator"])
        return None

    def stands(self, operation: Operation) -> Operation:
        """Give an operation as it stands: nobody may be carrying out what the journal has so."""
        if operation.state is State.RUNNING and not self._runner.carries_out(operation.id):
            problem = operation.problem or "it was broken off, and the journal could not be written"
            return replace(operation, state=State.INTERRUPTED, problem=problem)
        return operation

    def _as_they_are(
        self, kind: RecordKind, locators: Sequence[bytes]
    ) -> tuple[list[Planned], list[str]]:
        """Read records, each once, and make items of them and sentences for whoever confirms.

        Raises NotChangeableError where none of them is changed here.
        """
        labels = {locator: _label(kind, locator) for locator in locators}
        items: dict[bytes, Planned] = {}
        refusals: list[NotChangeableError] = []
        sample: list[Snapshot] = []
        room = _MOST_REFERENCE_BYTES
        for locator, now in self._read(kind, locators):
            if isinstance(now, NotChangeableError):
                refusals.append(now)
                items[locator] = Planned(
                    kind=kind.name,
                    locator=locator,
                    label=labels[locator],
                    state=ItemState.REFUSED,
                )
                continue
            own = locator if now is None else now.locator
            items[own] = Planned(
                kind=kind.name,
                locator=own,
                label=labels[locator],
                version=None if now is None else now.version,
                state=ItemState.PLANNED if now is not None else Outcome.MISSING,
                size=0 if now is None else len(now.content),
            )
            if now is not None and room > 0 and len(sample) < _MOST_REFERENCES:
                sample.append(now)
                room -= len(now.content)
        notes = kind.references(sample) if sample else []
        if notes and len(items) - len(refusals) > len(sample):
            notes = [f"Of the first {len(sample):,}: {note}" for note in notes]
        if refusals:
            if len(refusals) == len(items):
                raise refusals[0]
            stay = (
                "One stays as it is"
                if len(refusals) == 1
                else f"{len(refusals):,} stay as they are"
            )
            notes = [f"{stay}: {refusals[0]}.", *notes]
        return list(items.values()), notes

    def _read(
        self, kind: RecordKind, locators: Sequence[bytes]
    ) -> Iterator[tuple[bytes, Snapshot | NotChangeableError | None]]:
        """Read records, within what one operation may take of bytes and of time."""
        give_up_at = self._clock() + _PLAN_SECONDS
        size = 0
        for start in range(0, len(locators), _READ_AT_ONCE):
            portion = locators[start : start + _READ_AT_ONCE]
            for locator, now in zip(portion, read_each(kind, portion), strict=True):
                size += len(now.content) if isinstance(now, Snapshot) else 0
                yield locator, now
            if size > MOST_BYTES:
                raise TooLargeError(
                    f"These {len(locators):,} records have more than {MOST_BYTES // 2**20:,} MiB; "
                    "choose fewer."
                )
            if self._clock() > give_up_at and start + _READ_AT_ONCE < len(locators):
                raise TooLargeError(
                    f"To read these {len(locators):,} records takes longer than "
                    f"{_PLAN_SECONDS:g} s; choose fewer."
                )

    def _container(self, kind: str, name: str) -> Container:
        make = self._stores.containers.get(kind)
        if make is None:
            raise RefusedError(f"There is no {kind[:40]} to remove here.")
        return make(name)

    def _to_make_again(self, identity: str) -> list[tuple[str, str, bytes | None]]:
        return [
            (row["kind"], row["name"], row["description"])
            for row in self.operations.containers(identity)
            if to_make_again(row)
        ]

    def _look_again(self, operation: Operation) -> None:
        looking = self._runner.look_again_soon(operation)
        try:
            looking.result(_LOOKING_SECONDS)
        except TookTooLongError:
            looking.cancel()
            raise UnavailableError("Other operations are under way; wait for their end.") from None
        except (InterruptedOperationError, CancelledError) as error:
            raise UnavailableError(f"This cannot be put back for now: {error}.") from error

    def _plan_restoring(
        self, identity: str, numbers: Sequence[int] | None, author: Author
    ) -> str | None:
        """Note what is to be put back of an operation; None where that is nothing."""
        operation = self._existing(identity)
        if operation.state in (State.PLANNED, State.RUNNING):
            raise StaleError("This has not ended; wait for its end.")
        if self.operations.put_back_by(identity) is not None:
            raise StaleError("This is being put back already; wait for the end of that.")
        containers = self._to_make_again(identity) if numbers is None else []
        part = "" if numbers is None else f"{len(numbers):,} of "
        if not containers and not self.operations.in_trash(identity):
            return None
        is_edit = operation.action is Action.EDIT
        plan = Plan(
            action=Action.EDIT if is_edit else Action.RESTORE,
            target=f"{part}{operation.target}",
            containers=containers,
            undoes=identity,
        )
        undoing = self.operations.plan(plan, author)
        self.operations.take_from_trash(undoing, identity, numbers)
        if is_edit:
            self.operations.edit_back(undoing)
        return undoing

    def _carry_out(self, identity: str, state: State) -> None:
        """Begin, and wait a little: most operations are done before a page could be read."""
        try:
            under_way = self._runner.start(identity, state=state)
        except InterruptedOperationError as error:
            raise UnavailableError(f"Nothing was begun: {error}.") from error
        if under_way is None:
            raise StaleError("This was begun before, or the preview has expired.")
        with suppress(TookTooLongError, CancelledError):
            under_way.result(_PATIENCE_SECONDS)

    def _limit_rate(self, user: User) -> None:
        now = self._clock()
        with self._lock:
            recent = self._recent.setdefault(user.name, deque())
            while recent and recent[0] < now - _MINUTE:
                recent.popleft()
            if len(recent) >= _PER_MINUTE:
                raise TooManyError(
                    f"{_PER_MINUTE} operations in a minute are the most; wait a moment."
                )
            recent.append(now)

    def _existing(self, identity: str) -> Operation:
        operation = self.operations.find(identity)
        if operation is None:
            raise StaleError("There is no such operation, or its preview has expired.")
        return operation


def _label(kind: RecordKind, locator: bytes) -> str:
    try:
        return clean(kind.label(locator))
    except QueryError as error:
        raise RefusedError(f"What was chosen is no {kind.name} of this store: {error}.") from error
