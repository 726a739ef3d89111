"""The book of what happened to containers: pure, fed with events."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar, get_args

from kato_exporter.stores.docker.stats import Container, ContainerEvent

CountedEvent = Literal["oom", "die", "health_status", "restart"]
K = TypeVar("K")
V = TypeVar("V")

COUNTED_EVENTS: tuple[CountedEvent, ...] = get_args(CountedEvent)

_NANOSECONDS = 1e9
_MOST_REMEMBERED = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What is known of one container, by its id.

    `started_at` in epoch seconds, None where it does not run or its start was not seen;
    `ended_by_oom` tells of the last end, None where none was seen.
    """

    started_at: float | None
    ended_by_oom: bool | None


@dataclass(slots=True)
class Tally:
    """What was counted under one name."""

    restarts: int = 0
    events: dict[CountedEvent, int] = field(
        default_factory=lambda: dict.fromkeys(COUNTED_EVENTS, 0)
    )

    def copy(self) -> "Tally":
        """Give one of its own."""
        return Tally(self.restarts, dict(self.events))


@dataclass(slots=True)
class _Run:
    has_run: bool = False
    running_since: float | None = None
    saw_oom: bool = False
    ended_by_oom: bool | None = None


class ContainerLedger:
    """Counts events by name and follows lives by id, of at most so many containers each.

    Of names beyond `most_names`, those without an event for the longest time are forgotten.
    """

    def __init__(
        self, is_ours: Callable[[str, Mapping[str, str]], bool], *, most_names: int
    ) -> None:
        self._is_ours = is_ours
        self._most = most_names
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._tallies: OrderedDict[str, Tally] = OrderedDict()
        self._remembered: OrderedDict[tuple[int, str, str], None] = OrderedDict()

    def found(self, containers: Iterable[Container]) -> None:
        """Take note of containers that have run before, though no event told of it."""
        for container in containers:
            if self._is_ours(container.name, container.labels) and container.state != "created":
                self._run(container.id).has_run = True

    def book(self, event: ContainerEvent, *, count: bool = True) -> None:
        """Enter an event; one that was entered before changes nothing.

        Without `count` it tells of lives only: it happened before we began to count.
        """
        key = event.at, event.id, event.action
        if key in self._remembered or not self._is_ours(event.name, event.labels):
            return
        _remember(self._remembered, key, None, _MOST_REMEMBERED)
        restarted = self._follow(event)
        if not count:
            return
        tally = self._tallies.get(event.name) or Tally()
        _remember(self._tallies, event.name, tally, self._most)
        tally.restarts += restarted
        for counted in COUNTED_EVENTS:
            tally.events[counted] += event.action == counted

    def lives(self) -> Mapping[str, Life]:
        """Give what is known of each container, by id."""
        return {
            identity: Life(started_at=run.running_since, ended_by_oom=run.ended_by_oom)
            for identity, run in self._runs.items()
        }

    def tallies(self) -> Mapping[str, Tally]:
        """Give what was counted, by name; names without an event have none."""
        return {name: tally.copy() for name, tally in self._tallies.items()}

    def _run(self, identity: str) -> _Run:
        run = self._runs.get(identity) or _Run()
        _remember(self._runs, identity, run, self._most)
        return run

    def _follow(self, event: ContainerEvent) -> bool:
        """Tell a life on; whether it is a start after an end."""
        if event.action == "destroy":
            self._runs.pop(event.id, None)
            return False
        run = self._run(event.id)
        restarted = False
        if event.action == "start":
            restarted = run.has_run
            run.has_run, run.running_since, run.saw_oom = True, event.at / _NANOSECONDS, False
        elif event.action == "die":
            run.ended_by_oom = run.saw_oom
            run.has_run, run.running_since, run.saw_oom = True, None, False
        elif event.action == "oom" and run.running_since is None and run.ended_by_oom is not None:
            run.ended_by_oom = True
        elif event.action == "oom":
            run.saw_oom = True
        return restarted


def _remember(book: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    """Put an entry at the end, and forget the first ones beyond so many."""
    book[key] = value
    book.move_to_end(key)
    while len(book) > most:
        book.popitem(last=False)
