"""Where the tests get their servers from: a URL in the environment, else a program, else nowhere.

`KATO_TEST_VALKEY_URL`, `KATO_TEST_REDIS_URL` and `KATO_TEST_MONGO_URL` name servers that the tests
empty again and again; one that holds something at the start is therefore refused.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import pytest
from pymongo import MongoClient
from redis import Redis

from kato_exporter.demo.servers import LOOPBACK, BinaryMissingError, Server
from kato_exporter.demo.shapes import Document
from kato_exporter.kato.knowledge import SYSTEM_DATABASES


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A Redis or Valkey that is at a test's disposal, and a client of it for the test."""

    url: str
    client: Redis


@dataclass(frozen=True, slots=True)
class MongoServer:
    """A MongoDB that is at a test's disposal, and a client of it for the test."""

    url: str
    client: MongoClient[Document]


def missing(reason: str) -> NoReturn:
    """Skip the test for want of a server; where `CI` is set, fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextmanager
def started(start: Callable[[], Server]) -> Iterator[Server]:
    """Start a server for a while; where its program is missing, skip or fail the test."""
    try:
        server = start()
    except BinaryMissingError as error:
        missing(str(error))
    with server:
        yield server


@contextmanager
def serving(variable: str, start: Callable[[], Server]) -> Iterator[str]:
    """Give the URL that the environment variable holds, else that of a server of our own."""
    url = os.environ.get(variable)
    if url:
        yield url
    else:
        with started(start) as server:
            yield server.url


def refuse_used_redis(variable: str, url: str) -> None:
    """Fail rather than empty a server that somebody uses."""
    with Redis.from_url(url) as client:
        if client.info("keyspace"):
            pytest.fail(f"{variable}: the tests empty the server that it names; this one is in use")


def refuse_used_mongodb(variable: str, url: str) -> None:
    """Fail rather than empty a server that somebody uses."""
    with MongoClient[Document](url) as client:
        if set(client.list_database_names()) - SYSTEM_DATABASES:
            pytest.fail(f"{variable}: the tests empty the server that it names; this one is in use")


def empty_redis(client: Redis) -> None:
    """Remove all keys and users, and take back all settings that tests change."""
    client.flushall()
    client.config_set("notify-keyspace-events", "")
    for user in map(_text, client.acl_users()):
        if user != "default":
            client.acl_deluser(user)


def empty_mongodb(client: MongoClient[Document]) -> None:
    """Remove all databases that are not MongoDB's own."""
    for name in client.list_database_names():
        if name not in SYSTEM_DATABASES:
            client.drop_database(name)


@contextmanager
def black_hole() -> Iterator[int]:
    """Give a port where connections come about and nobody ever says a word."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield listener.getsockname()[1]


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
