"""Debian's redis_exporter beside ours, on the same Redis: what each counts, and what it costs."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import redis

from bench.redis_load import Cost, cost_of
from bench.report import table
from bench.running import megabytes
from kato_exporter.demo.servers import Server, answers_http, free_port

SCRAPE_INTERVAL = 15.0
"""Of a Prometheus, usually."""

_SESSIONS = "kato:session:session-*"
_SCRAPES, _WITHIN = 20, 2.0


@dataclass(frozen=True, slots=True)
class Way:
    """A way to run redis_exporter: its options, and the samples that count the sessions."""

    name: str
    options: Sequence[str]
    samples: str


PLAIN = Way("redis_exporter, all keys together", (), r"redis_db_keys\{db=\"db0\"\} (\S+)")
COUNTING = Way(
    "redis_exporter `-count-keys`",
    (f"-count-keys=db0={_SESSIONS}",),
    r"redis_keys_count\{.*\} (\S+)",
)
GROUPING = Way(
    "redis_exporter `-check-key-groups`, with bytes",
    ("-check-key-groups=^(kato:session):session.*",),
    r"redis_key_group_count\{.*key_group=\"kato:session\"\} (\S+)",
)
EACH_KEY = Way(
    "redis_exporter `-check-keys`, each by itself",
    (f"-check-keys={_SESSIONS}",),
    r"redis_key_size\{.*\} (\S+)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """Somebody who scrapes: the sessions counted, and what that costs.

    `redis_share` is the part of a core that Redis takes for it at a scrape every SCRAPE_INTERVAL,
    with all that is done between two scrapes.
    """

    name: str
    counted: int
    cost: Cost
    redis_share: float

    def row(self, ours: "Watcher") -> list[str]:
        """Write it as a row of a table; `ours` is what it stands beside."""
        return [
            self.name,
            f"{self.counted:,}",
            f"{1000 * self.cost.scrape:,.1f} ms",
            "" if self is ours else f"{self.cost.scrape / ours.cost.scrape:,.1f}",
            f"{1000 * self.cost.redis_cpu:,.1f} ms",
            f"{self.redis_share:.2%}",
            megabytes(self.cost.memory),
        ]


def watch_as(way: Way, server: Server, client: redis.Redis) -> Watcher:
    """Scrape a redis_exporter again and again."""
    with _running(way, server) as running:
        text = httpx.get(f"{running.url}/metrics", timeout=120).text
        counts = re.findall(way.samples, text)
        cost = cost_of(running, client, times=_SCRAPES, within=_WITHIN)
    counted = len(counts) if way is EACH_KEY else int(float(counts[0]))
    share = cost.redis_cpu / SCRAPE_INTERVAL
    return Watcher(name=way.name, counted=counted, cost=cost, redis_share=share)


def watcher_table(sessions: int, watchers: Sequence[Watcher]) -> str:
    """Write watchers of so many sessions side by side; the first is ours."""
    ours, *_ = watchers
    head = ["who scrapes", "sessions counted", "scrape", "it : ours", "Redis's CPU for it"]
    return f"{sessions:,} sessions:\n\n" + table(
        [*head, f"with a scrape every {SCRAPE_INTERVAL:g} s", "memory"],
        [watcher.row(ours) for watcher in watchers],
    )


@contextmanager
def _running(way: Way, server: Server) -> Iterator[Server]:
    port = free_port()
    with (
        TemporaryDirectory() as directory,
        Server(
            "redis_exporter",
            [
                "prometheus-redis-exporter",
                f"-redis.addr={server.url}",
                f"-web.listen-address=127.0.0.1:{port}",
                *way.options,
            ],
            directory=Path(directory),
            port=port,
            url=f"http://127.0.0.1:{port}",
            answers=answers_http("/health"),
        ) as running,
    ):
        yield running.start()
