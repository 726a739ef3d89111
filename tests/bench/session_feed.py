"""How soon the exporter tells of a session, and what telling it costs Redis."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass

import httpx
import redis

from bench.figures import COUNTED, NO_LOAD, Figure
from bench.redis_exporters import SCRAPE_INTERVAL
from bench.redis_load import new_key, redis_cpu, redis_server, write
from bench.report import table
from bench.running import exporter, quantile
from kato_exporter.demo.servers import Server

_RATE = 200
_COMMANDS, _BATCH = 10_000, 50
_PATIENCE_SECONDS = 600.0


def watching(server: Server) -> AbstractContextManager[Server]:
    """Start our exporter beside a Redis, with all that it asks a Redis."""
    return exporter(KATO_REDIS_URL=server.url, KATO_REDIS_MANAGE_NOTIFICATIONS="true")


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
        if time.monotonic() - began > _PATIENCE_SECONDS:
            raise TimeoutError(f"never saw {count} sessions")
        time.sleep(0.05)
    return time.monotonic() - began


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds from the return of SETEX to the counter in /metrics, and those of a request alone."""

    seen: list[float]
    requests: list[float]

    def paragraph(self) -> str:
        """Write them as a table."""
        row = [f"{1000 * quantile(self.seen, share):.1f} ms" for share in (0.5, 0.99)]
        row += [f"{1000 * max(self.seen):.1f} ms", f"{1000 * quantile(self.requests, 0.5):.1f} ms"]
        return (
            f"From SETEX's return to the counter in `/metrics`, {len(self.seen)} sessions at "
            f"{_RATE} a second; the time of the request that shows it is included:\n\n"
            + table(["p50", "p99", "longest", "a request alone, p50"], [row])
        )

    def figure(self) -> Figure:
        """Give them as a ratio."""
        return Figure(
            "From SETEX to the counter in `/metrics`, p99",
            f"a scrape interval of {SCRAPE_INTERVAL:g} s",
            quantile(self.seen, 0.99) / SCRAPE_INTERVAL,
            COUNTED,
        )


def measure_latency(sessions: int) -> Latencies:
    """Write sessions at a steady rate, and look for them."""
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
            for number in range(sessions):
                time.sleep(max(0.0, began + number / _RATE - time.monotonic()))
                write(client, [new_key()])
                returned.append(time.monotonic())

        creating = pool.submit(create)
        found = Latencies([], [])
        while len(found.seen) < sessions:
            asked = time.monotonic()
            seen = int(value_of(http, "kato_sessions_created_total"))
            now = time.monotonic()
            found.requests.append(now - asked)
            found.seen.extend(now - moment for moment in returned[len(found.seen) : seen])
        creating.result()
    return found


@dataclass(frozen=True, slots=True)
class Writes:
    """CPU seconds of Redis for one SETEX, without us and with us, by round."""

    what: str
    rounds: list[tuple[float, float]]

    @property
    def ratio(self) -> float:
        """The median of with us, divided by without us."""
        return statistics.median(with_us / without for without, with_us in self.rounds)

    def row(self) -> list[str]:
        """Write it as a row of a table."""
        return [
            self.what,
            f"{1e6 * statistics.median(without for without, _ in self.rounds):.1f} µs",
            f"{1e6 * statistics.median(with_us for _, with_us in self.rounds):.1f} µs",
            f"{self.ratio:.2f}",
        ]

    def figure(self) -> Figure:
        """Give it as a ratio."""
        return Figure(
            f"Redis's CPU for SETEX of {self.what}", "the same without us", self.ratio, NO_LOAD
        )


def measure_writes(rounds: int) -> list[Writes]:
    """Measure SETEX on two servers in turn, of which we watch one."""
    new, updated = Writes("a new session", []), Writes("an update", [])
    with (
        redis_server() as (_, alone),
        redis_server() as (server, watched),
        watching(server) as running,
        httpx.Client(base_url=running.url, timeout=60) as http,
    ):
        await_active(http, 0)
        for _ in range(rounds):
            keys = [new_key() for _ in range(_COMMANDS)]
            for writes in (new, updated):
                writes.rounds.append((_cpu_of(alone, keys), _cpu_of(watched, keys)))
    return [new, updated]


def writes_paragraph(found: list[Writes]) -> str:
    """Write them as a table."""
    return (
        "CPU time of Redis for one SETEX, on two servers in turn of which we watch one; median of "
        f"{len(found[0].rounds)} rounds of {_COMMANDS:,}, in batches of {_BATCH}, which leave "
        "Redis no time to idle:\n\n"
        + table(["SETEX of", "without us", "with us", "ratio"], [each.row() for each in found])
    )


def _cpu_of(client: redis.Redis, keys: list[bytes]) -> float:
    """Write sessions as fast as Redis takes them; give its CPU seconds for one SETEX."""
    before = redis_cpu(client)
    for start in range(0, len(keys), _BATCH):
        write(client, keys[start : start + _BATCH])
    return (redis_cpu(client) - before) / len(keys)
