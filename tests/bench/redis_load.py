"""A Redis full of sessions, and what somebody who scrapes costs it."""

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import redis

from bench.running import resident_memory, scrape_durations, scraper
from kato_exporter.demo.servers import Server, start_redis

VALUE = b'{"node_id": "alice", "stm": [["a"]], "last_accessed": "2026-11-22T21:35:54+00:00"}'
TTL = 36_000
PORTION = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Median seconds of a scrape, Redis's CPU seconds for one, the exporter's resident bytes."""

    scrape: float
    redis_cpu: float
    memory: int


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


def redis_cpu(client: redis.Redis) -> float:
    """Read the CPU seconds that Redis has used."""
    info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def cost_of(running: Server, client: redis.Redis, *, times: int, within: float) -> Cost:
    """Scrape an exporter so often, or until so many seconds are over.

    The first scrape warms up, unless it is the only one.
    """
    with scraper(running) as http:
        before = redis_cpu(client)
        taken = scrape_durations(http, "/metrics", times + 1, pause=0, within=within)
        spent = redis_cpu(client) - before
    return Cost(
        scrape=statistics.median(taken[1:] or taken),
        redis_cpu=spent / len(taken),
        memory=resident_memory(running),
    )
