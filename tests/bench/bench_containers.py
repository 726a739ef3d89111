"""What watching containers costs, by strategy: `make bench-containers`.

Bounded: about four minutes with a Docker Engine of its own, which ends with the run.
"""

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from docker import APIClient
from rich.console import Console

from bench.report import publish, table
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.docker.store import DockerStore
from support.docker_engine import DockerEngine, why_no_engine

SIZES = (1, 20, 50)
ROUNDS = 5
SCRAPE_INTERVAL = 15.0
WATCH_SECONDS = 30.0
LOOP_PATIENCE = 130.0

console = Console(stderr=True)


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


def engine_share(engine: DockerEngine, watching: Callable[[threading.Event], None]) -> float:
    """Give the part of a core that the engine takes while somebody watches."""
    ended = threading.Event()
    watcher = threading.Thread(target=watching, args=(ended,))
    before, began = processor_seconds(engine), time.monotonic()
    watcher.start()
    time.sleep(WATCH_SECONDS)
    share = (processor_seconds(engine) - before) / (time.monotonic() - began)
    ended.set()
    watcher.join()
    return share


def measure_times(engine: DockerEngine, ids: list[str]) -> list[tuple[str, ...]]:
    """Measure one size: a row per strategy."""
    store = DockerStore(engine.host, timeout=5, most_at_once=max(SIZES))

    def one_shot() -> int:
        return len(store.stats(ids, Deadline.after(20)))

    console.print(f"{len(ids)} containers: one-shot calls ...")
    shot = timed(one_shot, ROUNDS)
    store.close()
    console.print(f"{len(ids)} containers: open streams ...")
    with streams(engine, ids) as opened:
        stream = timed(opened.collect, ROUNDS)
        ages = []
        for _ in range(20):
            ages.append(opened.oldest())
            time.sleep(0.1)
    console.print(f"{len(ids)} containers: plain loop, up to {2 * len(ids) + 2} s ...")
    loop = timed(lambda: plain_loop(engine, ids), 1)
    rows = (
        ("one-shot calls in parallel (ours)", shot, "0 s"),
        ("open streams, last sample", stream, f"up to {max(ages):.1f} s"),
        ("plain loop of `stats(stream=False)`", loop, f"up to {loop[1]:.0f} s"),
    )
    return [
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
    ]


def measure_engine(engine: DockerEngine, ids: list[str]) -> list[tuple[str, str, str]]:
    """Measure the engine's CPU while all are watched for WATCH_SECONDS, by strategy."""
    store = DockerStore(engine.host, timeout=5, most_at_once=max(SIZES))

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

    shares = []
    for name, watching in (
        ("nobody watches", nothing),
        (f"one-shot calls every {SCRAPE_INTERVAL:g} s (ours)", scrapes),
        ("open streams", open_streams),
        ("plain loop without a pause", loop),
    ):
        console.print(f"engine's CPU, {name}: {WATCH_SECONDS:g} s ...")
        shares.append((name, engine_share(engine, watching)))
    store.close()
    idle = shares[0][1]
    ours = max(shares[1][1] - idle, 1e-4)
    return [
        (name, f"{share:.2%}", f"{(share - idle) / ours:.1f}" if name != shares[0][0] else "")
        for name, share in shares
    ]


def main() -> None:
    """Run all and write docs/benchmarks.md."""
    reason = why_no_engine()
    if reason:
        sys.exit(reason)
    rows: list[tuple[str, ...]] = []
    with TemporaryDirectory() as directory, DockerEngine(Path(directory) / "engine") as engine:
        ids: list[str] = []
        for size in SIZES:
            while len(ids) < size:
                ids.append(engine.run(f"bench-{len(ids)}", "sleep 3600"))
            rows += measure_times(engine, ids)
        shares = measure_engine(engine, ids)
        version = engine.client.version()
        cgroup = engine.client.info()["CgroupVersion"]
    times = (
        f"Docker Engine {version['Version']}, API {version['ApiVersion']}, cgroup v{cgroup}; "
        f"idle busybox containers without a network. Statistics of all of them, {ROUNDS} "
        "rounds (the loop: one); the ratio is to the loop in the same run."
    )
    load = (
        f"CPU of dockerd and containerd while {max(SIZES)} containers are watched for "
        f"{WATCH_SECONDS:g} s each; 100 % is one core."
    )
    publish(
        "Containers",
        "make bench-containers",
        [
            times,
            table(
                [
                    *("containers", "strategy", "median", "longest", "answered"),
                    *("age of a sample", "time : loop"),
                ],
                rows,
            ),
            load,
            table(["who watches", "engine's CPU", "load against ours"], shares),
        ],
    )


if __name__ == "__main__":
    main()
