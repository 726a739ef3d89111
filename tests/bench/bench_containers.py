"""What watching containers costs, by strategy, on a Docker Engine that ends with the run."""

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from docker import APIClient

from bench.figures import NO_LOAD, ONE_SHOT, Figure, Section
from bench.parts import Part, Scale, Tell
from bench.report import table
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.docker.store import DockerStore
from support.docker_engine import DockerEngine, why_no_engine

ROUNDS = 5
SCRAPE_INTERVAL = 15.0
LOOP_PATIENCE = 130.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many containers there are, from few to most, and for how long all are watched."""

    containers: tuple[int, ...]
    watch_seconds: float


SIZES = {
    Scale.QUICK: Sizes(containers=(1, 3), watch_seconds=3),
    Scale.USUAL: Sizes(containers=(1, 20), watch_seconds=15),
    Scale.FULL: Sizes(containers=(1, 20, 50), watch_seconds=30),
}


def timed(collect: Callable[[], int], rounds: int) -> tuple[float, float, int]:
    """Collect so often; give the median and the longest time, and the containers answered."""
    times, answered = [], 0
    for _ in range(rounds):
        began = time.monotonic()
        answered = collect()
        times.append(time.monotonic() - began)
    return statistics.median(times), max(times), answered


def plain_loop(engine: DockerEngine, ids: list[str]) -> int:
    """Do what a simple program does: one call after another, each waiting for two samples."""
    give_up = time.monotonic() + LOOP_PATIENCE
    answered = 0
    for identity in ids:
        if time.monotonic() > give_up:
            break
        answered += bool(engine.client.stats(identity, stream=False)["read"])
    return answered


class Streams:
    """One open stream per container, of which the last sample is at hand."""

    def __init__(self, engine: DockerEngine, ids: list[str]) -> None:
        self._latest: dict[str, tuple[float, int]] = {}
        self._ended = threading.Event()
        self._client = APIClient(
            base_url=engine.host, version="1.41", timeout=30, max_pool_size=len(ids) + 2
        )
        self._streams = [self._client.stats(identity, stream=True) for identity in ids]
        self._pool = ThreadPoolExecutor(max_workers=len(ids))
        for identity, stream in zip(ids, self._streams, strict=True):
            self._pool.submit(self._read, identity, stream)

    def collect(self) -> int:
        """Give how many have a sample."""
        return len(self._latest)

    def oldest(self) -> float:
        """Give the age of the oldest of the last samples, in seconds."""
        return time.monotonic() - min(at for at, _ in self._latest.values())

    def close(self) -> None:
        """End all streams, each at its next sample."""
        self._ended.set()
        self._pool.shutdown(wait=True)
        self._client.close()

    def _read(self, identity: str, stream: Iterator[bytes]) -> None:
        with suppress(Exception):
            for sample in stream:
                usage = json.loads(sample)["memory_stats"].get("usage", 0)
                self._latest[identity] = time.monotonic(), usage
                if self._ended.is_set():
                    return


@contextmanager
def streams(engine: DockerEngine, ids: list[str]) -> Iterator[Streams]:
    """Open the streams, and wait until each has a sample."""
    opened = Streams(engine, ids)
    try:
        give_up = time.monotonic() + 20
        while opened.collect() < len(ids) and time.monotonic() < give_up:
            time.sleep(0.05)
        yield opened
    finally:
        opened.close()


def processor_seconds(engine: DockerEngine) -> float:
    """Add up the CPU time that dockerd and containerd have used."""
    used = 0.0
    for process in engine.processes:
        with suppress(psutil.Error):
            if process.name() in {"dockerd", "containerd"}:
                times = process.cpu_times()
                used += times.user + times.system
    return used


def engine_share(
    engine: DockerEngine, watching: Callable[[threading.Event], None], seconds: float
) -> float:
    """Give the part of a core that the engine takes while somebody watches."""
    ended = threading.Event()
    watcher = threading.Thread(target=watching, args=(ended,))
    before, began = processor_seconds(engine), time.monotonic()
    watcher.start()
    time.sleep(seconds)
    share = (processor_seconds(engine) - before) / (time.monotonic() - began)
    ended.set()
    watcher.join()
    return share


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds of one size: rows of a table, one per strategy, and ours beside the loop's."""

    rows: list[tuple[str, ...]]
    ours: float
    loop: float


def measure_times(engine: DockerEngine, ids: list[str], tell: Tell) -> Times:
    """Measure one size."""
    store = DockerStore(engine.host, timeout=5, most_at_once=len(ids))

    def one_shot() -> int:
        return len(store.stats(ids, Deadline.after(20)))

    tell(f"{len(ids)} containers: one-shot calls")
    shot = timed(one_shot, ROUNDS)
    store.close()
    tell(f"{len(ids)} containers: open streams")
    with streams(engine, ids) as opened:
        stream = timed(opened.collect, ROUNDS)
        ages = []
        for _ in range(20):
            ages.append(opened.oldest())
            time.sleep(0.1)
    tell(f"{len(ids)} containers: plain loop, up to {2 * len(ids) + 2} s")
    loop = timed(lambda: plain_loop(engine, ids), 1)
    rows = (
        ("one-shot calls in parallel (ours)", shot, "0 s"),
        ("open streams, last sample", stream, f"up to {max(ages):.1f} s"),
        ("plain loop of `stats(stream=False)`", loop, f"up to {loop[1]:.0f} s"),
    )
    return Times(
        rows=[
            (
                str(len(ids)),
                strategy,
                f"{median:.2f} s",
                f"{longest:.2f} s",
                str(answered),
                age,
                f"1 : {loop[0] / median:,.0f}" if median > 0.001 else "",
            )
            for strategy, (median, longest, answered), age in rows
        ],
        ours=shot[0],
        loop=loop[0],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Parts of a core that the engine takes, by who watches; beside nobody."""

    nobody: float
    ours: float
    streams: float
    loop: float

    def rows(self) -> list[list[str]]:
        """Write them as rows of a table."""
        ours = max(self.ours - self.nobody, 1e-4)
        watched = (
            (f"one-shot calls every {SCRAPE_INTERVAL:g} s (ours)", self.ours),
            ("open streams", self.streams),
            ("plain loop without a pause", self.loop),
        )
        return [
            ["nobody watches", f"{self.nobody:.2%}", ""],
            *(
                [name, f"{share:.2%}", f"{(share - self.nobody) / ours:.1f}"]
                for name, share in watched
            ),
        ]


def measure_engine(engine: DockerEngine, ids: list[str], seconds: float, tell: Tell) -> Shares:
    """Measure the engine's CPU while all are watched for so long, by strategy."""
    store = DockerStore(engine.host, timeout=5, most_at_once=len(ids))

    def nothing(ended: threading.Event) -> None:
        ended.wait()

    def scrapes(ended: threading.Event) -> None:
        while not ended.is_set():
            store.containers(Deadline.after(5))
            store.stats(ids, Deadline.after(10))
            ended.wait(SCRAPE_INTERVAL - 1)

    def open_streams(ended: threading.Event) -> None:
        with streams(engine, ids):
            ended.wait()

    def loop(ended: threading.Event) -> None:
        while not ended.is_set():
            for identity in ids:
                if ended.is_set():
                    return
                engine.client.stats(identity, stream=False)

    def share(who: str, watching: Callable[[threading.Event], None]) -> float:
        tell(f"the engine's CPU, {who}: {seconds:g} s")
        return engine_share(engine, watching, seconds)

    shares = Shares(
        nobody=share("watched by nobody", nothing),
        ours=share("one-shot calls", scrapes),
        streams=share("open streams", open_streams),
        loop=share("plain loop", loop),
    )
    store.close()
    return shares


def measure(scale: Scale, tell: Tell) -> Section:
    """Measure everything; `RuntimeError` where no engine can run."""
    reason = why_no_engine()
    if reason:
        raise RuntimeError(reason)
    sizes = SIZES[scale]
    times: list[Times] = []
    tell("starting a Docker Engine")
    with TemporaryDirectory() as directory, DockerEngine(Path(directory) / "engine") as engine:
        ids: list[str] = []
        for size in sizes.containers:
            while len(ids) < size:
                ids.append(engine.run(f"bench-{len(ids)}", "sleep 3600"))
            times.append(measure_times(engine, ids, tell))
        shares = measure_engine(engine, ids, sizes.watch_seconds, tell)
        version = engine.client.version()
        cgroup = engine.client.info()["CgroupVersion"]
        tell("ending the engine")
    most, last = len(ids), times[-1]
    return Section(
        title="Containers",
        paragraphs=[
            (
                f"Docker Engine {version['Version']}, API {version['ApiVersion']}, "
                f"cgroup v{cgroup}; idle busybox containers without a network. Statistics of all "
                f"of them, {ROUNDS} rounds (the loop: one); the ratio is to the loop in the same "
                "run."
            ),
            table(
                [
                    *("containers", "strategy", "median", "longest", "answered"),
                    *("age of a sample", "time : loop"),
                ],
                [row for each in times for row in each.rows],
            ),
            (
                f"CPU of dockerd and containerd while {most} containers are watched for "
                f"{sizes.watch_seconds:g} s each; 100 % is one core."
            ),
            table(["who watches", "engine's CPU", "load against ours"], shares.rows()),
        ],
        figures=[
            Figure(
                f"Statistics of {most} containers",
                "a plain loop of `stats(stream=False)`",
                last.ours / last.loop,
                ONE_SHOT,
            ),
            Figure(
                f"The engine's CPU while {most} containers are watched",
                "open streams",
                shares.ours / shares.streams,
                NO_LOAD,
            ),
        ],
    )


PART = Part(
    name="containers",
    measure=measure,
    expected={Scale.QUICK: 40, Scale.USUAL: 130, Scale.FULL: 270},
)
