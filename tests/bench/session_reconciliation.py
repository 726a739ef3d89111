"""How long the exporter takes to know all sessions, and whom that holds up."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Event

import httpx
import redis

from bench.report import table
from bench.session_feed import await_active
from kato_exporter.demo.servers import Server

_SESSIONS_A_SECOND = 30_000
_PING_PAUSE = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """The first look at every key: its seconds, the share of Redis's time that SCAN took.

    `pause` is the longest PING meanwhile, `calm` that of before, both in seconds.
    """

    sessions: int
    seconds: float
    share: float
    calm: float
    pause: float

    def row(self) -> list[str]:
        """Write it as a row of a table."""
        return [
            f"{self.sessions:,}",
            f"{self.seconds:.1f} s",
            f"{100 * self.share:.1f} %",
            f"{1000 * self.calm:.1f} ms",
            f"{1000 * self.pause:.1f} ms",
        ]


def reconcile(
    running: Server, server: Server, client: redis.Redis, *, sessions: int, calm: float
) -> Reconciliation:
    """Wait until an exporter that has just started knows all sessions of a Redis."""
    scanned, began = _scan_seconds(client), time.monotonic()
    with httpx.Client(base_url=running.url, timeout=60) as http, ThreadPoolExecutor(1) as pool:
        pinging = pool.submit(longest_ping, server.url, max(3, sessions / _SESSIONS_A_SECOND))
        await_active(http, sessions)
        seconds = time.monotonic() - began
        share = (_scan_seconds(client) - scanned) / seconds
        pause = pinging.result()
    return Reconciliation(
        sessions=sessions,
        seconds=seconds,
        share=share,
        calm=calm,
        pause=pause,
    )


def reconciliation_paragraph(found: list[Reconciliation]) -> str:
    """Write them as a table."""
    return "The first reconciliation after a start, which reads every key:\n\n" + table(
        ["sessions", "time", "Redis's time spent", "longest PING before", "during"],
        [each.row() for each in found],
    )


def longest_ping(url: str, seconds: float) -> float:
    """Ping for so long from a process of its own; give the longest wait in seconds."""
    context = get_context("spawn")
    stop = context.Event()
    with context.Manager() as manager:
        longest = manager.list([0.0])
        pinging = context.Process(target=_ping, args=(url, stop, longest))
        pinging.start()
        time.sleep(seconds)
        stop.set()
        pinging.join()
        return float(longest[0])


def _ping(url: str, stop: Event, longest: "list[float]") -> None:
    """Ping as another client does, and note the longest wait."""
    with redis.Redis.from_url(url) as client:
        while not stop.is_set():
            began = time.monotonic()
            client.ping()
            longest[0] = max(longest[0], time.monotonic() - began)
            time.sleep(_PING_PAUSE)


def _scan_seconds(client: redis.Redis) -> float:
    """Read how long Redis has worked on SCAN."""
    stats = client.info("commandstats").get("cmdstat_scan", {"usec": 0})
    return float(stats["usec"]) / 1e6
