"""The schedule: collections that cost more than a scrape may take, each within its load budget."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from prometheus_client.core import Metric

from kato_exporter.collectors.collector import Collection, Collector, what_is_lacking
from kato_exporter.runtime.question import Outcome, Question
from kato_exporter.stores.deadline import Deadline

_LONGEST_RUN_IN_INTERVALS = 10
_LONGEST_RUN_AT_LEAST = 60.0
_JITTER = 0.1

_Prepare = Callable[[Sequence[Metric], Sequence[Metric]], Sequence[Metric]]
_Probe = Callable[[Deadline], None]


class _Timetable:
    """One collector's runs: the last outcome, and when the next may start."""

    def __init__(
        self,
        collector: Collector,
        interval: float,
        load_share: float,
        *,
        probe: _Probe,
        prepare: _Prepare,
    ) -> None:
        self.interval = interval
        self.store = collector.store
        self.outcome: Outcome[Collection] | None = None
        self.earliest = datetime.now(UTC)
        self.running = False
        self._load_share = load_share
        self._load = 0.0
        self._probe = probe
        self._collector = collector
        self._prepare = prepare
        self._question = Question(collector.name, self._collect, lacking=what_is_lacking)

    def run(self) -> datetime:
        """Collect once and give the time of the next run.

        After a run of d seconds the next starts no sooner than d / share after this one's start;
        a run in vain was no load, nor is the wait for a store that is about to answer.
        """
        began = datetime.now(UTC)
        limit = max(_LONGEST_RUN_AT_LEAST, _LONGEST_RUN_IN_INTERVALS * self.interval)
        self.outcome = self._question.put(Deadline.after(limit))
        load = self._load if self.outcome.answer is not None else 0.0
        self.earliest = began + timedelta(seconds=load / self._load_share)
        pause = self.interval * random.uniform(1 - _JITTER, 1)  # noqa: S311 - not a secret
        return max(began + timedelta(seconds=pause), self.earliest)

    def _collect(self, deadline: Deadline) -> Collection:
        self._probe(deadline)
        began = time.monotonic()
        collection = self._collector.collect(deadline)
        self._load = time.monotonic() - began
        before = self.outcome.answer if self.outcome is not None else None
        families = self._prepare(collection.families, before.families if before is not None else ())
        return replace(collection, families=families)


class Schedule:
    """Runs collectors on their intervals, in threads of APScheduler.

    `intervals` gives the seconds from start to start by the collector's name; `load_share` is the
    part of the time that may be spent on a store, which its collectors divide equally. `probes` has
    for each store what raises StoreError unless it answers. `prepare` takes the families of a new
    snapshot and of the one before, and gives those to show, before any scrape sees them.
    """

    def __init__(
        self,
        collectors: Mapping[str, Collector],
        *,
        intervals: Mapping[str, float],
        load_share: float,
        probes: Mapping[str, _Probe],
        prepare: _Prepare,
    ) -> None:
        sharing = Counter(collector.store for collector in collectors.values())
        self._timetables = {
            name: _Timetable(
                collector,
                intervals[name],
                load_share / sharing[collector.store],
                probe=probes[collector.store],
                prepare=prepare,
            )
            for name, collector in collectors.items()
        }
        self._lock = threading.Lock()
        self._stopped = False
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(max(1, len(collectors)))},
            job_defaults={"misfire_grace_time": None},
            timezone=UTC,
        )

    def start(self) -> None:
        """Run every collector now, and from then on by its interval."""
        for name in self._timetables:
            self._plan(name, datetime.now(UTC))
        self._scheduler.start()

    def stop(self) -> None:
        """Start nothing more; a run under way is not waited for."""
        with self._lock:
            self._stopped = True
        self._scheduler.remove_all_jobs()  # else one may start while the threads are given back
        self._scheduler.shutdown(wait=False)

    def interval(self, name: str) -> float:
        """Give the seconds between two runs of a collector."""
        return self._timetables[name].interval

    def outcome(self, name: str) -> Outcome[Collection] | None:
        """Give the outcome of a collector's last run, None before the first has ended."""
        return self._timetables[name].outcome

    @property
    def has_run(self) -> bool:
        """Whether every collector has run once."""
        return all(timetable.outcome for timetable in self._timetables.values())

    def hurry(self, store: str) -> None:
        """Run the collectors of a store that is back, as soon as the load budget lets them."""
        for name, timetable in self._timetables.items():
            with self._lock:
                due = timetable.store == store and not timetable.running
            if due:
                self._plan(name, timetable.earliest)

    def _plan(self, name: str, at: datetime) -> None:
        with self._lock:
            if not self._stopped:
                self._scheduler.add_job(
                    self._run, "date", run_date=at, args=[name], id=name, replace_existing=True
                )

    def _run(self, name: str) -> None:
        timetable = self._timetables[name]
        with self._lock:
            timetable.running = True
        following = timetable.run()
        with self._lock:
            timetable.running = False
        self._plan(name, following)
