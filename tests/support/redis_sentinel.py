"""A Redis with a replica, and a Sentinel that watches both: three real servers."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import which

from redis import Redis
from redis.exceptions import RedisError

from kato_exporter.demo.servers import LOOPBACK, Server, free_port, start_redis
from support.servers import missing, started
from support.waiting import eventually

SERVICE = "kato"
PATIENCE = 40.0
_DOWN_AFTER_MS = 500


@dataclass(frozen=True, slots=True)
class Watched:
    """The three servers; which of the two that keep data is the master changes."""

    first: Server
    second: Server
    sentinel: Server

    @property
    def url(self) -> str:
        """The URL of the master, whichever it is."""
        return f"redis+sentinel://{LOOPBACK}:{self.sentinel.port}/{SERVICE}"

    def until_promoted(self, server: Server) -> None:
        """Wait until a server is the master, and the Sentinel says so."""
        eventually(
            lambda: "master" == role(server.port) and server.port == self.master_port(),
            within=PATIENCE,
            what="there is a new master",
        )

    def knows_replica(self) -> bool:
        """Ask the Sentinel whether there is one that it could promote."""
        with Redis(port=self.sentinel.port) as client:
            replicas = client.sentinel_slaves(SERVICE)
        return [True] == [each["master-link-status"] == "ok" for each in replicas]

    def master_port(self) -> int | None:
        """Ask the Sentinel where the master is."""
        with Redis(port=self.sentinel.port, decode_responses=True) as client:
            found = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(found[1]) if found else None


@contextmanager
def watched(directory: Path) -> Iterator[Watched]:
    """Run the three for a while; both that keep data tell of their sessions."""
    common = ("--notify-keyspace-events", "Egxen", "--repl-diskless-sync-delay", "0")
    with started(lambda: start_redis(directory / "first", arguments=common)) as first:
        follow = (*common, "--replicaof", f"{LOOPBACK} {first.port}")
        with (
            started(lambda: start_redis(directory / "second", arguments=follow)) as second,
            sentinel(directory / "sentinel", first.port, replicas=[second]) as watcher,
        ):
            trio = Watched(first, second, watcher)
            eventually(trio.knows_replica, within=PATIENCE, what="the Sentinel knows the replica")
            yield trio


@contextmanager
def sentinel(
    directory: Path, master_port: int, *lines: str, replicas: Sequence[Server] = ()
) -> Iterator[Server]:
    """Run a Sentinel that watches a master, and finds its replicas there at once.

    `lines` go to the beginning of its configuration.
    """
    binary = which("redis-server")
    if binary is None:
        missing("no redis-server on the PATH")
    for replica in replicas:
        eventually(partial(linked, replica.port), within=PATIENCE, what="the replica is in sync")
    port = free_port()
    directory.mkdir()
    configuration = directory / "sentinel.conf"
    configuration.write_text(
        "\n".join(
            [
                f"port {port}",
                f"bind {LOOPBACK}",
                f"dir {directory}",
                *lines,
                f"sentinel monitor {SERVICE} {LOOPBACK} {master_port} 1",
                f"sentinel down-after-milliseconds {SERVICE} {_DOWN_AFTER_MS}",
                f"sentinel failover-timeout {SERVICE} 2000",
                "",
            ]
        )
    )
    server = Server(
        "Sentinel",
        [binary, str(configuration), "--sentinel"],
        directory=directory,
        port=port,
        url=f"redis://{LOOPBACK}:{port}",
        answers=_answers,
    )
    with started(server.start):
        yield server


def role(port: int) -> str | None:
    """Give a server's role, None where it does not answer."""
    try:
        with Redis(port=port, socket_timeout=1) as client:
            return str(client.info("replication")["role"])
    except RedisError:
        return None


def linked(port: int) -> bool:
    """Tell whether a replica is in touch with its master."""
    with Redis(port=port) as client:
        return bool(client.info("replication").get("master_link_status") == "up")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False
