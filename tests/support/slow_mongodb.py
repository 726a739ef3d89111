"""A MongoDB that takes its time."""

from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.errors import OperationFailure

from kato_exporter.demo.shapes import Document
from support.servers import MongoServer, missing


@contextmanager
def slow(mongo: MongoServer, milliseconds: int) -> Iterator[None]:
    """Let the server wait before it answers each `find` of ours."""
    command: Document = {"configureFailPoint": "failCommand"}
    data = {
        "failCommands": ["find"],
        "blockConnection": True,
        "blockTimeMS": milliseconds,
        "appName": "kato-exporter",
    }
    try:
        mongo.client.admin.command(command | {"mode": "alwaysOn", "data": data})
    except OperationFailure as error:
        missing(f"fail points need mongod --setParameter enableTestCommands=1 ({error})")
    try:
        yield
    finally:
        mongo.client.admin.command(command | {"mode": "off"})
