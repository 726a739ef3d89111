"""The exporter's account of sessions beside the truth, and what is wrong with it. No I/O.

In clear sight nothing is lost: from one checkpoint to the next the exporter counts what happened,
by reason. What happens while Redis cannot be seen, and until a scan after, is either found by the
scan and counted as missed, or was a session that came and went unseen. In either case those alive
at the exporter's start and those created, less those ended, are the sessions alive.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from kato_exporter.demo.workload import Truth
from support.exposition import Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Sessions by what became of them."""

    active: int
    created: int
    deleted: int
    expired: int

    def __sub__(self, other: "Account") -> "Account":
        return Account(
            active=self.active - other.active,
            created=self.created - other.created,
            deleted=self.deleted - other.deleted,
            expired=self.expired - other.expired,
        )

    @classmethod
    def of_truth(cls, truth: Truth) -> Self:
        """Take it from a truth whose expired sessions have been booked."""
        return cls(
            active=len(truth.sessions),
            created=truth.created,
            deleted=truth.deleted,
            expired=truth.expired,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the exporter tells; `durations` is of how many ended sessions it told how long."""

    account: Account
    evicted: int
    unknown: int
    missed_begins: int
    missed_ends: int
    durations: int

    @classmethod
    def of(cls, samples: Samples) -> Self | None:
        """Take it from a scrape; None where the exporter says that it cannot see."""
        active = samples.value("kato_sessions_active")
        if active is None:
            return None
        ended = samples.by("reason", "kato_sessions_ended_total")
        missed = samples.by("change", "kato_session_events_missed_total")
        return cls(
            account=Account(
                active=int(active),
                created=int(samples.values["kato_sessions_created_total", frozenset()]),
                deleted=int(ended["deleted"]),
                expired=int(ended["expired"]),
            ),
            evicted=int(ended["evicted"]),
            unknown=int(ended["unknown"]),
            missed_begins=int(missed["created"]),
            missed_ends=int(missed["ended"]),
            durations=int(samples.values["kato_session_duration_seconds_count", frozenset()]),
        )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is told and what is true at a moment; `start` sessions were alive at the beginning."""

    start: int
    told: Told
    truth: Account

    @property
    def behind(self) -> Account:
        """What the exporter does not know of; what happened before its start is in it."""
        return self.truth - self.told.account


def imbalance(start: int, told: Told) -> Iterator[str]:
    """Say so if those at the start and those created, less those ended, are not those alive."""
    account = told.account
    ended = account.deleted + account.expired + told.evicted + told.unknown
    if start + account.created - ended != account.active:
        yield f"the account does not balance: {start} at the start, {told}"


def complaints(now: Checkpoint) -> Iterator[str]:
    """Say what does not hold that always must."""
    told = now.told
    account = told.account
    yield from imbalance(now.start, told)
    if account.active != now.truth.active:
        yield f"{now.truth.active} sessions are alive, not {account.active}"
    if told.unknown != told.missed_ends:
        yield f"{told.unknown} ends are unknown, and {told.missed_ends} missed"
    if told.evicted:
        yield f"{told.evicted} are said to be evicted"
    if told.durations != account.deleted + account.expired:
        yield f"of {told.durations} sessions the duration is told: {account}"


def complaints_in_clear_sight(before: Checkpoint, now: Checkpoint) -> Iterator[str]:
    """Say what was lost between two checkpoints though Redis could be seen all the time."""
    yield from complaints(now)
    if before.behind != now.behind:
        yield f"lost in clear sight: {now.behind - before.behind}"
    if _missed(before) != _missed(now):
        yield f"missed in clear sight: {_missed(before)} before, {_missed(now)} now"


def complaints_after_blindness(before: Checkpoint, now: Checkpoint) -> Iterator[str]:
    """Say what is not accounted for of a time in which Redis could not be seen."""
    yield from complaints(now)
    happened, unseen = now.truth - before.truth, now.behind - before.behind
    for name in ("created", "deleted", "expired"):
        if not 0 <= getattr(unseen, name) <= getattr(happened, name):
            yield f"{name}: {getattr(unseen, name)} unseen of {getattr(happened, name)}"
    missed = now.told.missed_begins - before.told.missed_begins
    if not 0 <= missed <= happened.created - unseen.created:
        yield f"{missed} begins missed: {happened} happened, {unseen} unseen"


def _missed(checkpoint: Checkpoint) -> tuple[int, int]:
    return checkpoint.told.missed_begins, checkpoint.told.missed_ends
