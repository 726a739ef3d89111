"""A Redis that Sentinels watch: its URL, and connections to whichever server is the master."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast
from urllib.parse import unquote

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import (
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from kato_exporter.stores.redis.timed_connections import TimedReplies, connection_class

Address = tuple[str, int]
"""A host, without brackets, and a port."""

_URL = re.compile(
    r"(?P<scheme>rediss?)\+sentinel://(?P<account>[^/?#]*@)?(?P<sentinels>[^/?#@]+)"
    r"/(?P<service>[^/?#]+)(?P<database>/[0-9]+)?/?(?P<options>\?[^#]*)?"
)
_SENTINEL = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_USUAL_PORT = 26_379
_HIGHEST_PORT = 65_535
_OF_THE_SENTINELS = "sentinel_"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelUrl:
    """`redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/SERVICE[/DATABASE]`.

    With `rediss+sentinel://` both the Sentinels and the servers are asked by TLS. User and password
    are those of the servers; the Sentinels have theirs in the options `sentinel_username` and
    `sentinel_password`. All other options go to the library, as in a `redis://` URL.
    """

    sentinels: Sequence[Address]
    service: str
    tls: bool
    server_options: Mapping[str, Any]
    sentinel_options: Mapping[str, Any]
    place: str

    @staticmethod
    def speaks(url: str) -> bool:
        """Tell whether a URL claims to be of this kind."""
        return url.startswith(("redis+sentinel://", "rediss+sentinel://"))

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL; raise ValueError where it is not of this form."""
        match = _URL.fullmatch(url)
        if match is None:
            raise ValueError("no Sentinel URL")
        given = {name: part or "" for name, part in match.groupdict().items()}
        addresses = [_address(each) for each in given["sentinels"].split(",")]
        database, service = given["database"] or "/0", unquote(given["service"])
        scheme, named = given["scheme"], ",".join(map(_spelled, addresses))
        options: dict[str, Any] = parse_url(  # type: ignore[no-untyped-call]
            f"{scheme}://{given['account']}server{database}{given['options']}"
        )
        for name in ("host", "connection_class"):
            options.pop(name, None)
        own = {
            name.removeprefix(_OF_THE_SENTINELS): options.pop(name)
            for name in list(options)
            if name.startswith(_OF_THE_SENTINELS)
        }
        if not own.keys() <= {"username", "password"}:
            raise ValueError("an unknown option of the Sentinels")
        tls = scheme == "rediss"
        if tls:
            own |= {name: value for name, value in options.items() if name.startswith("ssl_")}
        return cls(
            sentinels=addresses,
            service=service,
            tls=tls,
            server_options=options,
            sentinel_options=own,
            place=f"{scheme}+sentinel://{named}/{service}",
        )


class _MasterConnection(TimedReplies, SentinelManagedConnection):
    """A connection that ends after an error, as all others of the library do.

    The library's own stays with a master that hangs, and never asks the Sentinels again.
    """

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read an answer."""
        options.setdefault("disconnect_on_error", True)
        return super().read_response(*arguments, **options)


class _MasterTlsConnection(_MasterConnection, SentinelManagedSSLConnection):
    """The same, by TLS."""


class SentinelMaster:
    """Opens connections to the server that the Sentinels name at that moment.

    Whoever loses a connection is led to the new master by opening the next. `timeout` in seconds
    bounds how long the Sentinels are waited for, all together.
    """

    def __init__(self, url: SentinelUrl, *, timeout: float) -> None:
        self.place = url.place
        self._service = url.service
        self._options = url.server_options
        self._tls = url.tls
        share = timeout / len(url.sentinels)
        self._sentinels = [
            (
                _spelled((host, port)),
                redis.Redis.from_pool(
                    redis.ConnectionPool(
                        connection_class=connection_class("rediss" if url.tls else "redis"),
                        host=host,
                        port=port,
                        socket_timeout=share,
                        socket_connect_timeout=share,
                        retry=Retry(NoBackoff(), 0),
                        **url.sentinel_options,
                    )
                ),
            )
            for host, port in url.sentinels
        ]

    def client(self, **options: Any) -> redis.Redis:
        """Make a client of the master; `options` are those of its connections."""
        pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
            self._service,
            self,
            connection_class=_MasterTlsConnection if self._tls else _MasterConnection,
            **(dict(self._options) | options),
        )
        return redis.Redis.from_pool(pool)

    def discover_master(self, service: str) -> Address:
        """Ask one Sentinel after the other, which the pool does for every new connection.

        Raises RedisError, which unlike a ConnectionError is not tried again at once.
        """
        reasons = []
        for place, sentinel in self._sentinels:
            try:
                found = cast(
                    "list[bytes] | None",
                    sentinel.execute_command(  # type: ignore[no-untyped-call]
                        "SENTINEL", "GET-MASTER-ADDR-BY-NAME", service
                    ),
                )
                if found:
                    host, port = found
                    return host.decode(), int(port)
                reasons.append(f"{place} knows no {service}")
            except (redis.exceptions.RedisError, OSError, ValueError, TypeError) as error:
                reasons.append(f"{place}: {error}")
        raise redis.exceptions.RedisError(f"no Sentinel names a master: {'; '.join(reasons)}")

    def close(self) -> None:
        """Give back the connections to the Sentinels."""
        for _, sentinel in self._sentinels:
            sentinel.close()


def _address(text: str) -> Address:
    match = _SENTINEL.fullmatch(text)
    port = int(match[3] or _USUAL_PORT) if match else 0
    if match is None or not 0 < port <= _HIGHEST_PORT:
        raise ValueError("no HOST or HOST:PORT")
    return match[1] or match[2], port


def _spelled(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
