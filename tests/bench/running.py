"""What the benchmarks run: the exporter as a child process, and what is asked of it."""

import math
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil

from kato_exporter.demo.servers import Server, answers_http, free_port

AS_PROMETHEUS = {
    "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
    "Accept-Encoding": "gzip",
    "X-Prometheus-Scrape-Timeout-Seconds": "60",
}
"""The headers of a scrape."""


@contextmanager
def exporter(**environment: str) -> Iterator[Server]:
    """Start our exporter, with settings as environment variables; it is ready."""
    port = free_port()
    with (
        TemporaryDirectory() as directory,
        Server(
            "exporter",
            [sys.executable, "-m", "kato_exporter", "serve"],
            directory=Path(directory),
            port=port,
            url=f"http://127.0.0.1:{port}",
            answers=answers_http("/-/ready"),
            environment=os.environ | {"KATO_LISTEN": f"127.0.0.1:{port}"} | environment,
            timeout=600,
        ) as running,
    ):
        yield running.start()


@contextmanager
def scraper(running: Server) -> Iterator[httpx.Client]:
    """Give a client that asks as Prometheus does, on one connection."""
    with httpx.Client(base_url=running.url, headers=AS_PROMETHEUS, timeout=120) as http:
        yield http


def scrape_durations(
    http: httpx.Client, path: str, times: int, *, pause: float, within: float = math.inf
) -> list[float]:
    """Give the seconds of each of so many scrapes, up to the last byte, unpacking left out.

    None begins when `within` seconds are over.
    """
    taken: list[float] = []
    while len(taken) < times and sum(taken) < within:
        began = time.monotonic()
        with http.stream("GET", path) as answer:
            answer.raise_for_status()
            for _ in answer.iter_raw():
                pass
        taken.append(time.monotonic() - began)
        time.sleep(pause)
    return taken


def quantile(values: Sequence[float], share: float) -> float:
    """Give a quantile."""
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]


def resident_memory(server: Server) -> int:
    """Read the resident memory of a server, in bytes."""
    return int(psutil.Process(server.pid).memory_info().rss)


def megabytes(size: float) -> str:
    """Write bytes."""
    return f"{size / 1e6:,.0f} MB"
