"""MongoDB as a server: whether it answers, and what it says of itself."""

from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.mongodb_connection import MongoConnection
from kato_exporter.stores.mongodb_knowledge import MongoKnowledge
from kato_exporter.stores.store import StoreReport


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
        with self._connection.asking(min(self._connection.timeout, deadline.remaining)) as client:
            client.admin.command("ping")

    def report(self) -> StoreReport:
        """Ask for the version and try what the collectors do; raise StoreError."""
        with self._connection.asking() as client:
            version = str(client.server_info()["version"])
        lacking = []
        knowledge = MongoKnowledge(self._connection)
        try:
            for kb in knowledge.knowledge_bases()[:1]:
                knowledge.counts(kb)
                knowledge.totals(kb)
                knowledge.top_patterns(kb, 1)
        except QueryError as error:
            lacking.append(f"knowledge bases cannot be read: {error}")
        return StoreReport(version=f"MongoDB {version}", lacking=tuple(lacking))

    def close(self) -> None:
        """Give back every connection."""
        self._connection.close()
