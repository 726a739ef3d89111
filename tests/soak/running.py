"""A soak: the demo's work, those who look on, and rounds of faults with rests between."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

from psutil import Process

from kato_exporter.demo.workload import DEFAULT_RATE
from soak import totals
from soak.courses import Course, Reading
from soak.page_reading import PageReader
from soak.scene import Scene
from soak.scraping import Scraper
from soak.session_audit import PATIENCE, SessionAudit
from soak.threads import Worker, again_and_again
from soak.weather import STORES, Weather
from soak.working import Working
from support.exposition import Samples
from support.fault_proxy import FaultProxy
from support.waiting import eventually

RATE = 10 * DEFAULT_RATE

_LONGEST_FAULT, _LONGEST_REST = 8.0, 5.0
_SHORTEST = 1.0
_LONGEST_SCRAPE_INTERVAL = 5.0
_READING_INTERVAL = 0.5
_SAMPLING_INTERVAL = 0.1
_ASKERS = 4
_COUNTING = ("knowledge", "patterns", "pattern_lengths", "qdrant")
"""The collectors of what is compared at the end."""
_PATIENCE_WITH_COUNTS = 180.0


class Soak:
    """A run of some seconds: rounds of faults, after a warm-up that is not counted."""

    def __init__(self, scene: Scene, parts: ExitStack, *, seconds: float, seed: int) -> None:
        """Start the work, warm up, and start those who look on; `parts` ends them."""
        self.scene = scene
        self.seconds = seconds
        self.rounds = 0
        self.rates: dict[str, float] = {}
        self.totals: totals.Totals = {}
        self.exporter = Course("exporter")
        self.browser = Course("record browser")
        self.weather = Weather(scene.proxies, seed=seed)
        self.working = Working(scene.workload, rate=RATE)
        self.audit = SessionAudit(scene.exporter, self.working)
        self.scraper = Scraper(scene.exporter, start=self.audit.first.truth.active)
        self.reader = PageReader(scene.browser, self.weather, seed=seed)
        parts.enter_context(closing(self.reader))
        self._workers = [parts.enter_context(Worker("work", self.working.run))]
        with Worker("sampler", again_and_again(self._note_warm_up, pause=_SAMPLING_INTERVAL)):
            self._warm_up()
        self._began = time.monotonic()
        self._before = self._spent()
        interval = min(_LONGEST_SCRAPE_INTERVAL, seconds / 45)
        self._workers += [
            parts.enter_context(Worker("scraper", again_and_again(self._scrape, pause=interval))),
            parts.enter_context(
                Worker("reader", again_and_again(self.reader.read_one, pause=_READING_INTERVAL))
            ),
        ]

    @property
    def age(self) -> float:
        """Seconds since the end of the warm-up."""
        return time.monotonic() - self._began

    @property
    def courses(self) -> tuple[Course, Course]:
        """What the exporter and the record browser took."""
        return self.exporter, self.browser

    def round(self) -> None:
        """Let faults come and go, and see that all recover; before that, rest."""
        self._rest()
        faults = self.weather.strike()
        time.sleep(self._at_most(_LONGEST_FAULT))
        self._recover(with_redis=any(fault.store == "redis" for fault in faults))
        self.rounds += 1

    def finish(self) -> None:
        """Compare all `totals` with the truth, once the work rests and all has been counted.

        `rates` are then the steps a second since the warm-up, and how many cores were taken.
        """
        self._rest()
        spent = self._spent()
        self.rates = {name: (spent[name] - self._before[name]) / self.age for name in spent}
        with self.working.held():
            self._await_new_counts()
            self.totals = due = totals.due(self.working.truth().knowledge_bases)
            samples = self.scene.exporter.scrape()
            assert due == totals.told(samples, due)
            assert len(due["kato_patterns"]) == samples.value("kato_knowledge_bases")
            for kb in due["kato_patterns"]:
                counted = totals.in_mongodb(self.scene.mongo, kb)
                assert counted == {name: due[name][kb] for name in counted}
            listed = eventually(
                lambda: self.reader.facts("/kb"), within=PATIENCE, what="the browser lists them"
            )
            for what in ("patterns", "symbols", "predictions"):
                of_kbs = {kb["name"]: kb[what] for kb in listed["knowledge_bases"]}
                assert due[f"kato_{what}"] == of_kbs

    def _warm_up(self) -> None:
        """Let exporter and browser take all the threads and connections that they ever need.

        They need most threads when no store says a word, and most connections when all are back.
        """
        self.weather.strike_all(FaultProxy.black_hole)
        self._crowd(lambda: self.reader.read("/"))
        self._recover(with_redis=True)
        self._crowd(self.reader.read_all)

    def _crowd(self, read: Callable[[], object]) -> None:
        """Have many scrape, and read in the browser, at once."""
        asks: tuple[Callable[[], object], ...] = (read, self.scene.exporter.scrape)
        with ThreadPoolExecutor(_ASKERS * len(asks)) as threads:
            asked = [threads.submit(ask) for ask in asks for _ in range(_ASKERS)]
        for each in asked:
            each.result()

    def _rest(self) -> None:
        """Leave all in peace, and see that nothing was lost meanwhile."""
        time.sleep(self._at_most(_LONGEST_REST))
        for worker in self._workers:
            worker.assert_well()
        self.audit.assert_nothing_lost()
        for course, process in self._processes():
            course.at_rest.append(Reading.of(process, self.age))

    def _recover(self, *, with_redis: bool) -> None:
        """Heal all, and wait until nothing is wrong any more."""
        self.weather.heal()
        if with_redis:
            self.audit.assert_loss_declared()
        eventually(
            self._exporter_is_well, within=PATIENCE, what="each collector of the exporter is whole"
        )
        eventually(self._browser_is_well, within=PATIENCE, what="the browser has all stores")
        self.weather.clear_up()

    def _exporter_is_well(self) -> bool:
        samples = self.scene.exporter.scrape()
        up = samples.by("store", "kato_store_up")
        success = samples.by("collector", "kato_exporter_collector_success")
        return dict.fromkeys(STORES, 1.0) == up and {1.0} == set(success.values())

    def _browser_is_well(self) -> bool:
        return all(store["up"] for store in self.reader.facts("/")["stores"])

    def _await_new_counts(self) -> None:
        now = time.time()
        chosen = "&".join(f"collect[]={name}" for name in _COUNTING)

        def are_new() -> bool:
            samples = Samples.of(self.scene.exporter.get(f"/metrics?{chosen}").text)
            return samples.asked_since(now, *_COUNTING)

        eventually(are_new, within=_PATIENCE_WITH_COUNTS, what="all has been counted once more")

    def _note_warm_up(self) -> None:
        for course, process in self._processes():
            course.warm_up.append(Reading.of(process, 0.0))

    def _scrape(self) -> None:
        self.scraper.scrape()
        for course, process in self._processes():
            course.readings.append(Reading.of(process, self.age))

    def _spent(self) -> dict[str, float]:
        ours: tuple[str, Process] = "soak itself", Process()
        named = [ours, *((course.name, process) for course, process in self._processes())]
        cpu = {name: process.cpu_times() for name, process in named}
        return {"steps": self.working.steps} | {
            name: times.user + times.system for name, times in cpu.items()
        }

    def _processes(self) -> Iterator[tuple[Course, Process]]:
        yield self.exporter, self.scene.exporter.process
        yield self.browser, self.scene.browser.process

    def _at_most(self, longest: float) -> float:
        """Give the seconds of a fault or a rest; in a short run they are shorter."""
        return self.weather.between(_SHORTEST, max(_SHORTEST, min(longest, self.seconds / 20)))
