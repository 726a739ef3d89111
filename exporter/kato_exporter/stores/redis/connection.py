"""The connection to Redis or Valkey: one pooled client, with a time limit on every reply."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.redis.sentinel import SentinelMaster, SentinelUrl
from kato_exporter.stores.redis.timed_connections import connection_class


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn what goes wrong within into QueryError or StoreError."""
    try:
        yield
    except redis.exceptions.NoPermissionError as error:
        raise QueryError(f"not permitted: {error}") from error
    except redis.exceptions.AuthenticationError as error:
        raise StoreError(f"authentication failed: {error}") from error
    except redis.exceptions.ResponseError as error:
        raise QueryError(str(error)) from error
    except (redis.exceptions.RedisError, OSError) as error:
        raise StoreError(str(error) or type(error).__name__) from error
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise StoreError(f"not an answer of Redis: {error}") from error


class RedisConnection:
    """A Redis-compatible server, by URL (`redis://`, `rediss://` or `unix://`).

    With `redis+sentinel://` or `rediss+sentinel://` it is whichever the Sentinels call the master.
    `timeout` in seconds bounds every connection attempt and every reply. `client_name` is what
    the server shows of us in CLIENT LIST.

    `client` has a pool; one retry renews a connection that the server has closed.
    """

    def __init__(self, url: str, *, timeout: float, client_name: str = "kato-exporter") -> None:
        self.timeout = timeout
        self._url = url
        self._client_name = client_name
        self._sentinels = (
            SentinelMaster(SentinelUrl.parse(url), timeout=timeout)
            if SentinelUrl.speaks(url)
            else None
        )
        self.client = self.open(retries=1)
        self.database = int(self.client.get_connection_kwargs().get("db") or 0)

    @property
    def address(self) -> str:
        """Where it is, without user name, password or options."""
        if self._sentinels is not None:
            return f"{self._sentinels.place}/{self.database}"
        parts = urlsplit(self._url)
        if parts.scheme == "unix":
            return f"unix://{parts.path}"
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}:{parts.port or 6379}/{self.database}"

    def open(self, *, retries: int = 0) -> redis.Redis:
        """Make a client of its own, which its user closes; it connects when first used."""
        options: dict[str, Any] = {
            "socket_timeout": self.timeout,
            "socket_connect_timeout": self.timeout,
            "client_name": self._client_name,
            "retry": Retry(
                NoBackoff(), retries, supported_errors=(redis.exceptions.ConnectionError,)
            ),
        }
        if self._sentinels is not None:
            return self._sentinels.client(**options)
        scheme = urlsplit(self._url).scheme
        return redis.Redis.from_url(self._url, connection_class=connection_class(scheme), **options)

    def close(self) -> None:
        """Give back every connection of the pool, and those to the Sentinels."""
        self.client.close()
        if self._sentinels is not None:
            self._sentinels.close()
