"""The checks of a soak on invented readings: they pass what is well, and nothing else."""

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from kato_exporter.demo.workload import Workload
from soak.courses import Course, Reading
from soak.running import RATE
from soak.scraping import Counters
from soak.session_accounts import (
    Account,
    Checkpoint,
    Told,
    complaints_after_blindness,
    complaints_in_clear_sight,
)
from soak.threads import Worker
from soak.working import Working
from support.waiting import eventually

HOUR = 3_600
MB = 1_000_000
NODE = ("kato_sessions_created_total", frozenset({("node", "alice")}))


def course(
    *, grows: float = 0.0, noise: float = 0.0, threads: float = 0.0, descriptors: float = 0.0
) -> Course:
    """Invent an hour: `grows` MB, `threads` and `descriptors` are how many more it ends with.

    `noise` is the share by which memory jumps up and down.
    """
    jumps = random.Random(1)  # noqa: S311 - no secret
    readings = [
        Reading(
            at=at,
            resident=int((90 + grows * at / HOUR) * MB * (1 + jumps.uniform(-noise, noise))),
            threads=30 + int(threads * at / HOUR),
            descriptors=15 + jumps.randint(0, 3) + int(descriptors * at / HOUR),
        )
        for at in range(0, HOUR, 5)
    ]
    return Course("exporter", readings[:9], readings, readings[::2])


def test_noise_is_flat() -> None:
    """Memory that jumps by a tenth, and connections that come and go, do not grow."""
    assert [] == course(noise=0.1).complaints()


def test_memory_that_settles_is_flat() -> None:
    """What grows in the warm-up only is not held against a process."""
    settled = course()
    early = [replace(each, resident=each.resident // 2) for each in settled.readings[:170]]
    settled.readings[:170] = early
    assert [] == settled.complaints()


def test_a_short_run_is_judged_by_what_it_has() -> None:
    """Two readings are enough: the first, and the last."""
    short = Course(
        "exporter",
        course().warm_up,
        course().readings[::700],
        course(threads=9).readings[::700],
    )
    assert 2 == len(short.readings)
    assert "exporter: threads at rest went from 30 to 38" in short.complaints()


def test_growing_memory_is_not_flat() -> None:
    """12 MB more an hour on 90 MB are a leak, with noise as well; half of it passes."""
    assert [] == course(grows=6).complaints()
    assert [
        "exporter: resident memory went from 94.5 MB in the second quarter to 100.5 MB in the last"
    ] == (course(grows=12).complaints())
    assert course(grows=12, noise=0.1).complaints()


@pytest.mark.parametrize(("what", "least"), [("threads", 2), ("descriptors", 5)])
def test_what_is_left_behind_is_not_flat(what: str, least: int) -> None:
    """A thread, or a few descriptors, in an hour are seen."""
    [complaint] = course(**{what: least}).complaints()
    assert complaint.startswith(f"exporter: {what} at rest went from ")


def test_a_counter_that_falls_is_seen() -> None:
    """Also if it was absent in between; one that stays or rises is well."""
    counters = Counters()
    assert [] == list(counters.fallen({NODE: 3.0}))
    assert [] == list(counters.fallen({}))
    assert [] == list(counters.fallen({NODE: 3.0}))
    assert [] == list(counters.fallen({NODE: 4.0}))
    assert [f"{NODE} went from 4.0 down to 3.0"] == list(counters.fallen({NODE: 3.0}))


BEFORE = Checkpoint(
    start=12,
    told=Told(
        account=Account(active=20, created=100, deleted=70, expired=22),
        evicted=0,
        unknown=0,
        missed_begins=0,
        missed_ends=0,
        durations=92,
    ),
    truth=Account(active=20, created=112, deleted=70, expired=22),
)
"""At the start 12 were alive, which the truth has created and the exporter has not."""


def after(
    told: Account, *, unknown: int = 0, missed_begins: int = 0, missed_ends: int = 0
) -> Checkpoint:
    """Invent what is told later; in truth 10 more were created, 6 deleted and 2 expired."""
    return Checkpoint(
        start=12,
        told=Told(
            account=told,
            evicted=0,
            unknown=unknown,
            missed_begins=missed_begins,
            missed_ends=missed_ends,
            durations=told.deleted + told.expired,
        ),
        truth=Account(active=22, created=122, deleted=76, expired=24),
    )


ALL = Account(active=22, created=110, deleted=76, expired=24)


def test_what_is_told_whole_is_well() -> None:
    """In clear sight, and as well if Redis could not be seen."""
    now = after(ALL)
    assert [] == list(complaints_in_clear_sight(BEFORE, now))
    assert [] == list(complaints_after_blindness(BEFORE, now))


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(after(replace(ALL, created=109, deleted=75)), id="one came and went unseen"),
        pytest.param(after(replace(ALL, deleted=75), unknown=1, missed_ends=1), id="an end missed"),
        pytest.param(after(ALL, missed_begins=1), id="a begin missed"),
    ],
)
def test_what_blindness_excuses_is_a_loss_in_clear_sight(now: Checkpoint) -> None:
    """The same account is well after a fault, and a complaint without one."""
    assert [] == list(complaints_after_blindness(BEFORE, now))
    assert list(complaints_in_clear_sight(BEFORE, now))


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(after(replace(ALL, created=111)), id="does not balance"),
        pytest.param(after(replace(ALL, active=21, expired=25)), id="not those alive"),
        pytest.param(after(replace(ALL, deleted=75), unknown=1), id="an end not declared"),
        pytest.param(after(replace(ALL, created=111, deleted=77)), id="more than happened"),
        pytest.param(
            after(replace(ALL, created=99, deleted=69, expired=20)), id="fewer than were known"
        ),
        pytest.param(after(ALL, missed_begins=11), id="more begins missed than were"),
    ],
)
def test_what_nothing_excuses(now: Checkpoint) -> None:
    """It is a complaint after a fault as well."""
    assert list(complaints_after_blindness(BEFORE, now))


def test_a_worker_that_fails_fails_the_soak() -> None:
    """At its end, at every look at it, and as a note to another failure."""

    def fail(_ending: threading.Event) -> None:
        raise ValueError("lost")

    with pytest.raises(ValueError, match="lost"), Worker("work", fail):
        pass
    with pytest.raises(RuntimeError, match="late") as error, Worker("work", fail):
        raise RuntimeError("late")
    assert ["the work had ended before: ValueError('lost')"] == error.value.__notes__


class Busy(Workload):
    """Work of which each step is nothing but a moment."""

    def __init__(self) -> None:
        self.is_at_work = False

    def run(self, wait: Callable[[float], bool], *, rate: float = RATE) -> None:
        """Step as often as the rate allows."""
        while not wait(1 / rate):
            self.is_at_work = True
            threading.Event().wait(1 / rate)
            self.is_at_work = False


def test_held_work_is_between_two_steps() -> None:
    """Whenever it is held; and it goes on after."""
    workload = Busy()
    working = Working(workload, rate=1_000)

    def has_done(more_than: int) -> bool:
        return working.steps > more_than

    with Worker("work", working.run):
        for steps in range(10, 500, 10):
            eventually(partial(has_done, steps), within=10, what="the work goes on")
            with working.held():
                assert not workload.is_at_work
    assert working.longest_step > 0
