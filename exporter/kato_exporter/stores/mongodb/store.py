"""MongoDB as a server: whether it answers, and what it says of itself."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bson.timestamp import Timestamp

from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.mongodb.connection import MongoConnection, NotPermittedError
from kato_exporter.stores.mongodb.knowledge import MongoKnowledge
from kato_exporter.stores.store import StoreReport

ServerStatus = Mapping[str, Any]
"""The answer to serverStatus: sections of numbers and text, nested."""

MEMBER_STATES = {
    0: "STARTUP",
    1: "PRIMARY",
    2: "SECONDARY",
    3: "RECOVERING",
    5: "STARTUP2",
    6: "UNKNOWN",
    7: "ARBITER",
    8: "DOWN",
    9: "ROLLBACK",
    10: "REMOVED",
}
"""The states of a member of a replica set, by the numbers of replSetGetStatus."""

_NOT_THERE = frozenset({59, 76, 94, 115})
"""Errors of a server that does not have a command, or that is in no replica set."""

_NOT_ASKED = ("catalogStats", "indexStats", "locks", "shardingStatistics", "tcmalloc")
"""Large or costly sections of serverStatus that nothing is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of a replica set, as the member that was asked sees it.

    `state` is one of MEMBER_STATES or None; `optime` is the time in epoch seconds of the last
    operation that it has applied. What is unknown is None.
    """

    name: str
    state: str | None
    healthy: bool | None
    optime: float | None


class MongoStore:
    """A mongod, replica set or mongos, through a connection that others may share."""

    name = "mongodb"

    def __init__(self, connection: MongoConnection) -> None:
        self._connection = connection

    @property
    def address(self) -> str:
        """Where it is, without user name, password or options."""
        return self._connection.address

    def probe(self, deadline: Deadline) -> None:
        """Send `ping`; raise StoreError where no answer comes."""
        with self._connection.asking_by(deadline) as client:
            client.admin.command("ping")

    def server_status(self, deadline: Deadline) -> ServerStatus | None:
        """Ask serverStatus; None of a compatible server that does not have it.

        Raises NotPermittedError, QueryError or StoreError.
        """
        return self._ask("serverStatus", deadline, **dict.fromkeys(_NOT_ASKED, 0))

    def members(self, deadline: Deadline) -> list[Member] | None:
        """Ask replSetGetStatus for the members; None of a server that is in no replica set.

        A server that is known to be in none, a standalone mongod or a mongos, is not asked, since
        it would count that as an error of its users. Raises NotPermittedError, QueryError or
        StoreError.
        """
        with self._connection.asking_by(deadline) as client:
            client.admin.command("ping")  # now the servers are known
            servers = client.topology_description.server_descriptions().values()
        if not any(server.replica_set_name for server in servers):
            return None
        answer = self._ask("replSetGetStatus", deadline)
        return None if answer is None else list(members_of(answer))

    def report(self) -> StoreReport:
        """Ask for the version and try what the collectors do; raise StoreError."""
        with self._connection.asking() as client:
            version = client.admin.command("buildInfo").get("version", "of unknown version")
        return StoreReport(
            version=f"MongoDB {version}",
            lacking=(*self._lacking_of_the_server(), *self._lacking_of_knowledge()),
        )

    def close(self) -> None:
        """Give back every connection."""
        self._connection.close()

    def _ask(self, command: str, deadline: Deadline, **options: Any) -> dict[str, Any] | None:
        try:
            with self._connection.asking_by(deadline) as client:
                answer: dict[str, Any] = client.admin.command(command, **options)
        except QueryError as error:
            if error.code in _NOT_THERE:
                return None
            raise
        return answer

    def _lacking_of_the_server(self) -> Iterator[str]:
        questions: tuple[tuple[str, Callable[[Deadline], object], str], ...] = (
            (
                "serverStatus",
                self.server_status,
                "kato_mongodb_* but those of the replica set's members",
            ),
            ("replSetGetStatus", self.members, "kato_mongodb_replica_set_member_*"),
        )
        for command, ask, series in questions:
            try:
                ask(Deadline.after(self._connection.timeout))
            except NotPermittedError:
                yield (
                    f"{command} is not permitted (the role clusterMonitor permits it): no {series}"
                )
            except QueryError as error:
                yield f"{command} has no answer: {error}: no {series}"

    def _lacking_of_knowledge(self) -> Iterator[str]:
        knowledge = MongoKnowledge(self._connection)
        try:
            for kb in knowledge.knowledge_bases()[:1]:
                knowledge.documents(kb)
                knowledge.totals(kb)
                knowledge.top_patterns(kb, 1)
        except QueryError as error:
            yield f"knowledge bases cannot be read: {error}"


def members_of(answer: Mapping[str, Any]) -> Iterator[Member]:
    """Read the members out of an answer to replSetGetStatus; one without a name is left out."""
    members = answer.get("members")
    seen: set[str] = set()
    for each in members if isinstance(members, list) else []:
        name = each.get("name") if isinstance(each, Mapping) else None
        if not isinstance(name, str) or name in seen:
            continue
        seen.add(name)
        yield Member(
            name=name,
            state=_state(each.get("state")),
            healthy=_healthy(each.get("health")),
            optime=_seconds(each.get("optime")),
        )


def _state(number: object) -> str | None:
    return MEMBER_STATES.get(number) if type(number) is int else None


def _healthy(health: object) -> bool | None:
    return bool(health) if isinstance(health, int | float) and health in (0, 1) else None


def _seconds(optime: object) -> float | None:
    """Read the time of an operation; a member that has applied none gives 0."""
    time = optime.get("ts") if isinstance(optime, Mapping) else optime
    return float(time.time) or None if isinstance(time, Timestamp) else None
