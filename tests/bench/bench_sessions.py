"""What watching sessions costs, and how soon a change is seen: `make bench-sessions`.

Bounded: about ten minutes, all on 127.0.0.1, every server ends with the run.
"""

import gc
import math
import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import httpx
import psutil
import redis
from rich.console import Console

from bench.report import publish, table
from bench.running import exporter, quantile
from kato_exporter.collectors.session_ledger import SessionLedger
from kato_exporter.demo.servers import Server, answers_http, free_port, start_redis
from kato_exporter.kato.sessions import SessionHandle, parse_session_key

SIZES = (10_000, 100_000, 1_000_000)
VALUE = b'{"node_id": "alice", "stm": [["a"]], "last_accessed": "2026-11-22T21:35:54+00:00"}'
TTL = 36_000
PORTION = 5_000
LATENCY_SESSIONS, LATENCY_RATE = 1_000, 200
LOAD_COMMANDS, LOAD_BATCH, LOAD_ROUNDS = 10_000, 50, 20

console = Console(stderr=True)


def new_key() -> bytes:
    """Name a session born within the last hour, as a live population is."""
    born = int((time.time() - int.from_bytes(os.urandom(2)) % 3600) * 1000)
    return f"kato:session:session-{uuid4().hex}-{born}".encode()


def write(client: redis.Redis, keys: list[bytes]) -> None:
    """Write sessions with SETEX, many in one round trip."""
    for start in range(0, len(keys), PORTION):
        pipeline = client.pipeline(transaction=False)
        for key in keys[start : start + PORTION]:
            pipeline.execute_command("SETEX", key, TTL, VALUE)  # type: ignore[no-untyped-call]
        pipeline.execute()


@contextmanager
def redis_server() -> Iterator[tuple[Server, redis.Redis]]:
    """Start an empty Redis 7."""
    with (
        TemporaryDirectory() as directory,
        start_redis(Path(directory)) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        yield server, client


def watching(server: Server) -> AbstractContextManager[Server]:
    """Start our exporter beside a Redis."""
    return exporter(
        KATO_REDIS_URL=server.url,
        KATO_REDIS_MANAGE_NOTIFICATIONS="true",
        KATO_COLLECTORS="sessions",
    )


@contextmanager
def peer(server: Server) -> Iterator[Server]:
    """Start Debian's redis_exporter on the same keys."""
    port = free_port()
    with (
        TemporaryDirectory() as directory,
        Server(
            "redis_exporter",
            [
                "prometheus-redis-exporter",
                f"-redis.addr={server.url}",
                f"-web.listen-address=127.0.0.1:{port}",
                "-check-keys=kato:session:*",
                "-check-keys-batch-size=1000",
            ],
            directory=Path(directory),
            port=port,
            url=f"http://127.0.0.1:{port}",
            answers=answers_http("/health"),
        ) as running,
    ):
        yield running.start()


def value_of(http: httpx.Client, name: str) -> float:
    """Read one value from /metrics, -1 where it is absent."""
    for line in http.get("/metrics?collect[]=sessions").text.splitlines():
        if line.startswith(name + " "):
            return float(line.partition(" ")[2])
    return -1


def await_active(http: httpx.Client, count: int) -> float:
    """Wait until so many sessions are counted; give the seconds that it took."""
    began = time.monotonic()
    while value_of(http, "kato_sessions_active") != count:
        if time.monotonic() - began > 300:
            raise TimeoutError(f"never saw {count} sessions")
        time.sleep(0.05)
    return time.monotonic() - began


def measure_latency() -> str:
    """From the return of SETEX to the counter in /metrics, at a steady rate."""
    with (
        redis_server() as (server, client),
        watching(server) as running,
        httpx.Client(base_url=running.url, timeout=60) as http,
        ThreadPoolExecutor(1) as pool,
    ):
        await_active(http, 0)
        returned: list[float] = []

        def create() -> None:
            began = time.monotonic()
            for number in range(LATENCY_SESSIONS):
                time.sleep(max(0.0, began + number / LATENCY_RATE - time.monotonic()))
                write(client, [new_key()])
                returned.append(time.monotonic())

        creating = pool.submit(create)
        latencies: list[float] = []
        while len(latencies) < LATENCY_SESSIONS:
            seen = int(value_of(http, "kato_sessions_created_total"))
            now = time.monotonic()
            latencies += [now - moment for moment in returned[len(latencies) : seen]]
        creating.result()
    row = [f"{1000 * quantile(latencies, share):.1f} ms" for share in (0.5, 0.99)]
    row.append(f"{1000 * max(latencies):.1f} ms")
    return (
        f"From SETEX's return to the counter in `/metrics`, {LATENCY_SESSIONS} sessions at "
        f"{LATENCY_RATE} a second; the time of the request that shows it is included:\n\n"
        + table(["p50", "p99", "longest"], [row])
    )


def redis_cpu(client: redis.Redis) -> float:
    """Read the CPU seconds that Redis has used."""
    info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def cpu_of(client: redis.Redis, keys: list[bytes]) -> float:
    """Write sessions as fast as Redis takes them; give its CPU seconds for one SETEX."""
    before = redis_cpu(client)
    for start in range(0, len(keys), LOAD_BATCH):
        write(client, keys[start : start + LOAD_BATCH])
    return (redis_cpu(client) - before) / len(keys)


def measure_load() -> str:
    """Redis's own CPU for SETEX, on two servers in turn, of which we watch one."""
    new: list[tuple[float, float]] = []
    updated: list[tuple[float, float]] = []
    with (
        redis_server() as (_, alone),
        redis_server() as (server, watched),
        watching(server) as running,
        httpx.Client(base_url=running.url, timeout=60) as http,
    ):
        await_active(http, 0)
        for _ in range(LOAD_ROUNDS):
            keys = [new_key() for _ in range(LOAD_COMMANDS)]
            new.append((cpu_of(alone, keys), cpu_of(watched, keys)))
            updated.append((cpu_of(alone, keys), cpu_of(watched, keys)))
    rows = [
        [
            what,
            f"{1e6 * statistics.median(without for without, _ in rounds):.1f} µs",
            f"{1e6 * statistics.median(with_us for _, with_us in rounds):.1f} µs",
            f"{statistics.median(with_us / without for without, with_us in rounds):.2f}",
        ]
        for what, rounds in (("a new session", new), ("an update", updated))
    ]
    return (
        f"CPU time of Redis for one SETEX, on two servers in turn of which we watch one; median of "
        f"{LOAD_ROUNDS} rounds of {LOAD_COMMANDS:,}, in batches of {LOAD_BATCH}, which leave Redis "
        "no time to idle:\n\n" + table(["SETEX of", "without us", "with us", "ratio"], rows)
    )


def ping(url: str, stop: Event, longest: "list[float]") -> None:
    """Ping as another client does, and note the longest wait."""
    with redis.Redis.from_url(url) as client:
        while not stop.is_set():
            began = time.monotonic()
            client.ping()
            longest[0] = max(longest[0], time.monotonic() - began)
            time.sleep(0.0005)


def longest_ping(url: str, seconds: float) -> float:
    """Ping for so long from a process of its own; give the longest wait in seconds."""
    context = get_context("spawn")
    stop = context.Event()
    with context.Manager() as manager:
        longest = manager.list([0.0])
        pinging = context.Process(target=ping, args=(url, stop, longest))
        pinging.start()
        time.sleep(seconds)
        stop.set()
        pinging.join()
        return float(longest[0])


def scan_seconds(client: redis.Redis) -> float:
    """Read how long Redis has worked on SCAN."""
    stats = client.info("commandstats").get("cmdstat_scan", {"usec": 0})
    return float(stats["usec"]) / 1e6


def measure_sizes() -> tuple[str, str]:
    """Reconciliation, scrapes, and the peer, at three sizes of the keyspace."""
    reconciliations, scrapes = [], []
    with redis_server() as (server, client):
        written = 0
        for size in SIZES:
            console.print(f"writing {size:,} sessions")
            write(client, [new_key() for _ in range(size - written)])
            written = size
            calm = longest_ping(server.url, 3)
            scanned = scan_seconds(client)
            with (
                watching(server) as running,
                httpx.Client(base_url=running.url, timeout=60) as http,
            ):
                began = time.monotonic()
                with ThreadPoolExecutor(1) as pool:
                    pinging = pool.submit(longest_ping, server.url, max(3, size / 30_000))
                    await_active(http, size)
                    took = time.monotonic() - began
                    share = (scan_seconds(client) - scanned) / took
                    pause = pinging.result()
                reconciliations.append(
                    [
                        f"{size:,}",
                        f"{took:.1f} s",
                        f"{100 * share:.1f} %",
                        f"{1000 * calm:.1f} ms",
                        f"{1000 * pause:.1f} ms",
                    ]
                )
                ours = durations(http, "/metrics?collect[]=sessions", 200)
            with peer(server) as running, httpx.Client(base_url=running.url, timeout=60) as http:
                theirs = durations(http, "/metrics", 3)
            scrapes.append((size, ours, theirs))
    _, our_smallest, their_smallest = scrapes[0]
    return (
        "The first reconciliation after a start, which reads every key:\n\n"
        + table(
            ["sessions", "time", "Redis's time spent", "longest PING before", "during"],
            reconciliations,
        ),
        "Scrape of the sessions, median, beside Debian's redis_exporter with "
        "`-check-keys 'kato:session:*'` on the same Redis; ratios to the smallest size:\n\n"
        + table(
            ["sessions", "ours", "ratio", "redis_exporter", "ratio"],
            [
                [
                    f"{size:,}",
                    f"{1000 * ours:.2f} ms",
                    f"{ours / our_smallest:.2f}",
                    "above 60 s" if theirs == math.inf else f"{1000 * theirs:.1f} ms",
                    f"{theirs / their_smallest:.1f}",
                ]
                for size, ours, theirs in scrapes
            ],
        ),
    )


def durations(http: httpx.Client, path: str, times: int) -> float:
    """Give the median duration of a request, after one that warms up; inf where it times out."""
    taken = []
    for _ in range(times + 1):
        began = time.monotonic()
        try:
            http.get(path).raise_for_status()
        except httpx.ReadTimeout:
            return math.inf
        taken.append(time.monotonic() - began)
    return statistics.median(taken[1:])


def handle() -> SessionHandle:
    """Make the handle of a new session."""
    made = parse_session_key(new_key())
    if made is None:
        raise ValueError("a key that we made is none")
    return made


def measure_memory() -> str:
    """Resident memory of a ledger with a million live sessions, beyond that of an empty one."""
    ledger = SessionLedger()
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    ledger.begin_reconciliation(at=time.time())
    for _ in range(SIZES[-1] // PORTION):
        ledger.seen([handle() for _ in range(PORTION)])
    ledger.finish_reconciliation(by_events=False)
    gc.collect()
    grown = process.memory_info().rss - before
    return f"Memory of a million live sessions, beyond an empty tracker: {grown / 1e6:.0f} MB."


def main() -> None:
    """Measure everything, and publish it."""
    parts = []
    with console.status("memory") as progress:
        parts.append(measure_memory())
        progress.update("latency of events")
        parts.insert(0, measure_latency())
        progress.update("CPU of Redis")
        parts.insert(1, measure_load())
        progress.update("sizes of the keyspace")
        reconciliation, scrapes = measure_sizes()
    publish("Sessions", "make bench-sessions", [*parts[:2], reconciliation, scrapes, parts[2]])


if __name__ == "__main__":
    main()
