"""Where pages hand in what is to be changed: permitted here or nowhere."""

import hmac
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLongError

from kato_exporter.browser.records.audit import Author
from kato_exporter.browser.records.operations import (
    Action,
    Item,
    ItemState,
    Operation,
    Operations,
    Plan,
    Planned,
    State,
    clean,
)
from kato_exporter.browser.records.runner import ContainerKinds, Runner
from kato_exporter.browser.users import User
from kato_exporter.stores.records import Container, Outcome, RecordKind, Snapshot

MOST_RECORDS = 10_000
"""How many records one operation deletes, but for those of a container."""

_READ_AT_ONCE = 100
_MOST_REFERENCES = 1_000
_PATIENCE_SECONDS = 3.0
_PER_MINUTE = 60
_MINUTE = 60.0


class RefusedError(Exception):
    """A write that is not carried out; `status` is that of HTTP, the message is for the user."""

    status = 400


class NotPermittedError(RefusedError):
    """Writes are off, or the user is no editor."""

    status = 403


class TooManyError(RefusedError):
    """More than one operation takes, or more operations than one user may begin in a minute."""

    status = 429


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
        kinds: Mapping[str, RecordKind],
        containers: ContainerKinds,
        *,
        writable: bool,
    ) -> None:
        self.operations = operations
        self._runner = runner
        self._kinds = kinds
        self._containers = containers
        self._writable = writable
        self._recent: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def may_write(self, user: User | None) -> bool:
        """Tell whether writes are on and this user is an editor."""
        return self._writable and user is not None and user.role == "editor"

    def kind(self, name: str) -> RecordKind:
        """Give a kind of record by its name."""
        kind = self._kinds.get(name)
        if kind is None:
            raise RefusedError(f"There is no kind of record that is called {name[:40]!r}.")
        return kind

    def plan_deletion(
        self, kind_name: str, locators: Sequence[bytes], user: User, client: str
    ) -> str:
        """Note which records are to be deleted, as they are now, and give the operation's id.

        Raises RefusedError, and StoreError where the records cannot be read.
        """
        self._permit(user)
        kind = self.kind(kind_name)
        wanted = list(dict.fromkeys(locators))
        if not wanted:
            raise RefusedError(f"No {kind.name} was chosen; choose one or more.")
        if len(wanted) > MOST_RECORDS:
            raise RefusedError(
                f"{len(wanted):,} records are more than one operation deletes; "
                f"choose at most {MOST_RECORDS:,}."
            )
        items, notes = self._as_they_are(kind, wanted)
        number = len(items)
        target = items[0].label if number == 1 else f"{number:,} records of kind {kind.name}"
        plan = Plan(action=Action.DELETE, target=target, items=items, notes=notes)
        return self._planned(plan, user, client)

    def plan_removal(
        self, containers: Sequence[tuple[str, str]], typed: str, user: User, client: str
    ) -> str:
        """Note that containers, given as kind and name, are to go with all that they hold.

        `typed` must be the name of the first. Raises RefusedError and StoreError.
        """
        self._permit(user)
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
        plan = Plan(action=Action.REMOVE, target=name, containers=there, notes=notes)
        return self._planned(plan, user, client)

    def confirm(self, identity: str, digest: str, user: User) -> None:
        """Carry out what was planned, if it is what this user was shown, and not long ago."""
        self._permit(user)
        operation = self._existing(identity)
        if operation.state is not State.PLANNED:
            raise StaleError("This was confirmed before.")
        if operation.user != user.name:
            raise NotPermittedError(f"Only {operation.user}, who was shown this, confirms it.")
        if not hmac.compare_digest(operation.digest, digest):
            raise StaleError("What was confirmed is not what was shown; nothing was done.")
        if operation.expires_at < time.time():
            raise StaleError("The confirmation came too late; look at it again.")
        self._carry_out(identity)

    def resume(self, identity: str, user: User) -> None:
        """Go on with an operation that was interrupted."""
        self._permit(user)
        if self._existing(identity).state is not State.INTERRUPTED:
            raise StaleError("This was not interrupted, or goes on already.")
        self._carry_out(identity)

    def restore(self, identity: str, numbers: Sequence[int] | None, user: User, client: str) -> str:
        """Put back what the trash holds of an operation, all or some of it; give the new one's id.

        All of an operation that has removed containers brings those back too.
        """
        self._permit(user)
        operation = self._existing(identity)
        if operation.state in (State.PLANNED, State.RUNNING):
            raise StaleError("This has not ended; wait for its end.")
        if operation.state is State.INTERRUPTED:
            self._runner.reconcile(operation)
        sources = self.operations.restorable(identity, numbers)
        containers = self._to_make_again(identity) if numbers is None else []
        if not sources and not containers:
            raise StaleError("Nothing of this is in the trash: put back before, or too long ago.")
        items = [
            Planned(
                kind=source["kind"],
                locator=source["locator"],
                label=source["label"],
                version=source["version"],
                source=(identity, source["number"]),
            )
            for source in sources
        ]
        target = items[0].label if len(items) == 1 else f"{len(items):,} records"
        plan = Plan(
            action=Action.RESTORE,
            target=operation.target if containers else target,
            items=items,
            containers=containers,
            undoes=identity,
        )
        undoing = self._planned(plan, user, client)
        self._carry_out(undoing)
        return undoing

    def edit(
        self, kind_name: str, locator: bytes, version: str, content: bytes, author: tuple[User, str]
    ) -> str:
        """Give a record another content if it still has the version given; give the operation's id.

        `author` is the user and their address. Raises ConflictError with what is there now.
        """
        user, client = author
        self._permit(user)
        kind = self.kind(kind_name)
        label = clean(kind.label(locator))
        [now] = kind.read([locator])
        if now is None or now.version != version:
            raise ConflictError(label, now)
        if now.content == content:
            raise RefusedError("Nothing was changed, so there is nothing to save.")
        item = Planned(kind=kind.name, locator=locator, label=label, version=version, after=content)
        plan = Plan(action=Action.EDIT, target=label, items=[item])
        identity = self._planned(plan, user, client)
        self._carry_out(identity)
        [outcome] = self.operations.states(identity)
        if outcome in (Outcome.CHANGED, Outcome.MISSING):
            [now] = kind.read([locator])
            raise ConflictError(label, now)
        return identity

    def path(self, item: Item) -> str | None:
        """Give the page of a record, None where its store is not configured."""
        kind = self._kinds.get(item["kind"])
        return None if kind is None else kind.path(item["locator"])

    def _as_they_are(
        self, kind: RecordKind, locators: Sequence[bytes]
    ) -> tuple[list[Planned], list[str]]:
        items: list[Planned] = []
        sample: list[Snapshot] = []
        for start in range(0, len(locators), _READ_AT_ONCE):
            portion = locators[start : start + _READ_AT_ONCE]
            for locator, now in zip(portion, kind.read(portion), strict=True):
                items.append(
                    Planned(
                        kind=kind.name,
                        locator=locator,
                        label=clean(kind.label(locator)),
                        version=None if now is None else now.version,
                        state=ItemState.PLANNED if now is not None else Outcome.MISSING,
                    )
                )
                if now is not None and len(sample) < _MOST_REFERENCES:
                    sample.append(now)
        notes = kind.references(sample) if sample else []
        if notes and len(items) > _MOST_REFERENCES:
            notes = [f"Of the first {_MOST_REFERENCES:,}: {note}" for note in notes]
        return items, notes

    def _container(self, kind: str, name: str) -> Container:
        make = self._containers.get(kind)
        if make is None:
            raise RefusedError(f"There is no {kind[:40]} to remove here.")
        return make(name)

    def _to_make_again(self, identity: str) -> list[tuple[str, str, bytes | None]]:
        return [
            (row["kind"], row["name"], row["description"])
            for row in self.operations.containers(identity)
            if row["state"] == "removed"
        ]

    def _planned(self, plan: Plan, user: User, client: str) -> str:
        self._limit_rate(user)
        self.operations.purge()
        return self.operations.plan(plan, Author(user.name, client))

    def _carry_out(self, identity: str) -> None:
        """Begin, and wait a little: most operations are done before a page could be read."""
        _wait(self._runner.start(identity))

    def _permit(self, user: User) -> None:
        if not self._writable:
            raise NotPermittedError(
                "This browser only reads. Whoever runs it turns writes on with "
                "KATO_BROWSER_WRITABLE=true."
            )
        if user.role != "editor":
            raise NotPermittedError(
                f"{user.name} is a {user.role}; only an editor changes or deletes records."
            )

    def _limit_rate(self, user: User) -> None:
        now = time.monotonic()
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


def _wait(under_way: Future[None]) -> None:
    try:
        under_way.result(_PATIENCE_SECONDS)
    except TookTooLongError:
        return
