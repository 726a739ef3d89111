"""The runner: puts the answers of all collectors and stores together for one scrape."""

import threading
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Collection as Names
from concurrent.futures import ThreadPoolExecutor
from time import time
from types import MappingProxyType

from prometheus_client.core import Metric

from kato_exporter.collectors.collector import Collection, Collector, what_is_lacking
from kato_exporter.runtime.exposition import Exposer
from kato_exporter.runtime.flight import Flight
from kato_exporter.runtime.question import Outcome, Question
from kato_exporter.runtime.schedule import Schedule
from kato_exporter.runtime.self_metrics import STORE_UP, CollectorState, exporter_families
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.store import Store

_FIRST_PROBE_SECONDS = 10.0

Hurries = Mapping[str, Sequence[Callable[[], None]]]
"""By store, what to call when it answers again after an outage."""


class Runner:
    """Answers scrapes.

    Collectors named in `intervals` run on the schedule and answer with their last snapshot; the
    others are asked on the scrape, all at once. A store that does not answer has none of its
    collectors' families. A store that is back has its snapshots renewed, and its `hurries` called.
    The `exposer` has prepared the snapshots.
    """

    def __init__(
        self,
        stores: Sequence[Store],
        collectors: Sequence[Collector],
        *,
        intervals: Mapping[str, float],
        load_share: float,
        hurries: Hurries = MappingProxyType({}),
    ) -> None:
        self.stores = {store.name: store for store in stores}
        self.collectors = {collector.name: collector for collector in collectors}
        scheduled = {c.name: c for c in collectors if c.name in intervals}
        on_scrape = {c.name: c for c in collectors if c.name not in intervals}
        self.exposer = Exposer()
        self._schedule = Schedule(
            scheduled,
            intervals=intervals,
            load_share=load_share,
            probes={store.name: store.probe for store in stores},
            prepare=self.exposer.prepare,
        )
        self._executor = ThreadPoolExecutor(
            max_workers=len(stores) + len(on_scrape) or 1, thread_name_prefix="scrape"
        )
        self._probes = {
            store.name: Flight(Question(store.name, store.probe), self._executor)
            for store in stores
        }
        self._flights = {
            name: Flight(Question(name, collector.collect, lacking=what_is_lacking), self._executor)
            for name, collector in on_scrape.items()
        }
        self._scheduled = frozenset(scheduled)
        self._hurries = hurries
        self._lock = threading.Lock()
        self._down: set[str] = set()
        self._last_success: dict[str, float] = {}

    def start(self) -> None:
        """Try every store, so that the log tells of one that is down, and start the schedule."""
        for probe in self._probes.values():
            probe.board(Deadline.after(_FIRST_PROBE_SECONDS))
        self._schedule.start()

    def stop(self) -> None:
        """Ask nothing more."""
        self._schedule.stop()
        self._executor.shutdown(wait=False, cancel_futures=True)

    @property
    def ready(self) -> bool:
        """Whether every scheduled collector has a first outcome."""
        return self._schedule.has_run

    def cadence(self, name: str) -> str:
        """Say in words when a collector is asked."""
        if name in self._scheduled:
            return f"every {self._schedule.interval(name):g} s"
        return "on the scrape"

    def scrape(self, deadline: Deadline, names: Names[str]) -> list[Metric]:
        """Give the families of the named collectors, and what the exporter says of itself."""
        collectors = [collector for name, collector in self.collectors.items() if name in names]
        up, outcomes = self._ask(collectors, deadline)
        self._hurry_after_outage(up)
        states = [
            self._state(collector, outcomes.get(collector.name), up=up[collector.store])
            for collector in collectors
        ]
        shown = [state.collection for state in states if state.collection is not None]
        families = [
            STORE_UP.samples(((store,), answers) for store, answers in up.items()),
            *(family for collection in shown for family in collection.families),
            *exporter_families(states),
        ]
        return [family for family in families if family.samples]

    def _ask(
        self, collectors: Sequence[Collector], deadline: Deadline
    ) -> tuple[dict[str, bool], dict[str, Outcome[Collection]]]:
        """Ask the collectors and their stores, all at once: who is up, and what came of it."""
        stores = {collector.store for collector in collectors}
        probes = {
            name: probe.board(deadline) for name, probe in self._probes.items() if name in stores
        }
        seats = {
            collector.name: self._flights[collector.name].board(deadline)
            for collector in collectors
            if collector.name not in self._scheduled
        }
        up = {name: seat.outcome(deadline).error is None for name, seat in probes.items()}
        outcomes = {name: seat.outcome(deadline) for name, seat in seats.items()}
        for collector in collectors:
            if collector.name in self._scheduled:
                snapshot = self._schedule.outcome(collector.name)
                if snapshot is not None:
                    outcomes[collector.name] = snapshot
        return up, outcomes

    def _state(
        self, collector: Collector, outcome: Outcome[Collection] | None, *, up: bool
    ) -> CollectorState:
        name = collector.name
        collection = outcome.answer if up and outcome is not None else None
        whole = collection is not None and not collection.failures
        with self._lock:
            if whole and outcome is not None:
                self._last_success[name] = outcome.finished_at
            last_success = self._last_success.get(name)
        scheduled = name in self._scheduled
        return CollectorState(
            name=name,
            success=whole if outcome is not None else None,
            duration=outcome.duration if outcome is not None else None,
            last_success=last_success,
            interval=self._schedule.interval(name) if scheduled else None,
            snapshot_age=(
                max(0.0, time() - outcome.finished_at)
                if scheduled and collection is not None and outcome is not None
                else None
            ),
            collection=collection,
        )

    def _hurry_after_outage(self, up: Mapping[str, bool]) -> None:
        """Renew at once the snapshots of stores that are up again, and follow them again."""
        with self._lock:
            back = {store for store, answers in up.items() if answers} & self._down
            self._down |= {store for store, answers in up.items() if not answers}
            self._down -= back
        for store in back:
            self._schedule.hurry(store)
            for hurry in self._hurries.get(store, ()):
                hurry()
