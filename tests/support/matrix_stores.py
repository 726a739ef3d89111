"""The stores of the fault matrix: each behind a proxy, and each with its own ways to fail."""

import json
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from pymongo import MongoClient
from qdrant_client import QdrantClient
from redis import Redis

from kato_exporter.demo.qdrant_stub import qdrant_stub
from kato_exporter.demo.servers import LOOPBACK, Server, free_port, start_mongod, start_valkey
from kato_exporter.demo.shapes import Document
from kato_exporter.demo.stub_server import serving
from support.docker_engine import DockerEngine, running_engine
from support.fault_proxy import FaultProxy
from support.http_answers import Answer, Answers
from support.servers import started

ACCOUNT = "observer"
PASSWORD = "s3cret-word"
"""Of the account by which exporter and browser come in."""

_OTHER_PASSWORD = "an0ther-word"
_ROOT = "root"
_KATO2 = Path(__file__).parents[1] / "fixtures" / "kato2"
_RECORDED = {
    "/": "root",
    "/health": "health",
    "/metrics": "metrics",
    "/sessions/count": "sessions_count",
    "/concurrency": "concurrency",
}
_ANSWER_SECONDS = 5.0
_INTERNAL_ERROR = 1
_NEVER_FAILS = frozenset({"configureFailPoint", "hello", "isMaster", "ismaster"})
_ENDLESS = "while true do end"


class RedisSubject:
    """A real Valkey with an account, which keeps what it holds over a crash."""

    cut_after = 3

    def __init__(self, server: Server, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.client = Redis.from_url(server.url)
        self.settings = {
            "KATO_REDIS_URL": f"redis://{ACCOUNT}:{PASSWORD}@{LOOPBACK}:{proxy.port}/0"
        }
        self._server = server

    def lock_out(self) -> None:
        """Change the password of the account."""
        self._set_password(_OTHER_PASSWORD)
        self.proxy.cut()

    def let_in(self) -> None:
        """Change it back."""
        self._set_password(PASSWORD)

    def fail(self) -> None:
        """Run a script that does not end: everything is answered with BUSY."""
        self._script = self.client.connection_pool.get_connection()
        self._script.send_command("EVAL", _ENDLESS, 0)  # type: ignore[no-untyped-call]

    def recover(self) -> None:
        """End the script."""
        self.client.script_kill()
        self._script.disconnect()  # type: ignore[no-untyped-call]
        self.client.connection_pool.release(self._script)

    def kill(self) -> None:
        """Kill the server."""
        self._server.kill()

    def restart(self) -> None:
        """Start it; it reads its log of changes."""
        self._server.start()

    def _set_password(self, password: str) -> None:
        self.client.execute_command(  # type: ignore[no-untyped-call]
            "ACL", "SETUSER", ACCOUNT, "resetpass", f">{password}"
        )


class MongoSubject:
    """A real MongoDB that asks for a password."""

    cut_after = 30

    def __init__(self, server: Server, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.settings = {
            "KATO_MONGO_URL": f"mongodb://{ACCOUNT}:{PASSWORD}@{LOOPBACK}:{proxy.port}"
        }
        self._server = server
        with MongoClient[Document](server.url) as first:
            first.admin.command("createUser", _ROOT, pwd=PASSWORD, roles=["__system"])
        self.client = MongoClient[Document](server.url, username=_ROOT, password=PASSWORD)
        self.client.admin.command("createUser", ACCOUNT, pwd=PASSWORD, roles=[_ROOT])
        commands = self.client.admin.command("listCommands")["commands"]
        self._commands = sorted(commands.keys() - _NEVER_FAILS)

    def lock_out(self) -> None:
        """Change the password of the account."""
        self.client.admin.command("updateUser", ACCOUNT, pwd=_OTHER_PASSWORD)
        self.proxy.cut()

    def let_in(self) -> None:
        """Change it back."""
        self.client.admin.command("updateUser", ACCOUNT, pwd=PASSWORD)

    def fail(self) -> None:
        """Let a fail point answer every command with an internal error."""
        self._fail_point("alwaysOn", failCommands=self._commands, errorCode=_INTERNAL_ERROR)

    def recover(self) -> None:
        """Switch the fail point off."""
        self._fail_point("off")

    def kill(self) -> None:
        """Kill the server; the counts of its collections are on the disk before."""
        self.client.admin.command("fsync")
        self._server.kill()

    def restart(self) -> None:
        """Start it; it recovers."""
        self._server.start()

    def _fail_point(self, mode: str, **data: Any) -> None:
        command: Document = {"configureFailPoint": "failCommand", "mode": mode}
        self.client.admin.command(command | ({"data": data} if data else {}))


class Stub:
    """An application served on a port of its own, that can be ended and started again.

    `app` may be changed while it is served.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app
        self.port = free_port()  # port 0 could not be had again before its connections have aged
        self._served = ExitStack()

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        return self.app(environ, start)

    def start(self) -> None:
        """Serve it."""
        self._served.enter_context(serving(self, port=self.port))

    def end(self) -> None:
        """Serve it no more."""
        self._served.close()


class QdrantSubject:
    """A stub of Qdrant that asks for a key, except at `/`, as Qdrant does."""

    def __init__(self, stub: Stub, client: QdrantClient, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.client = client
        self.cut_after = _within_the_body(stub.port, "/")
        self.settings = {
            "KATO_QDRANT_URL": f"http://{LOOPBACK}:{proxy.port}",
            "KATO_QDRANT_API_KEY": PASSWORD,
        }
        self._stub = stub

    def lock_out(self) -> None:
        """Ask for another key."""
        self._stub.app = qdrant_stub(self.client, api_key=_OTHER_PASSWORD)

    def let_in(self) -> None:
        """Ask for the one that is known."""
        self._stub.app = qdrant_stub(self.client, api_key=PASSWORD)

    def fail(self) -> None:
        """Answer 500 to everything."""
        error = {"status": {"error": "Service internal error: task panicked"}}
        self.proxy.garbage(_http_answer(HTTPStatus.INTERNAL_SERVER_ERROR, error))

    def recover(self) -> None:
        """Let the stub answer."""
        self.proxy.heal()

    def kill(self) -> None:
        """End the stub."""
        self._stub.end()

    def restart(self) -> None:
        """Start it; its points are kept in this process."""
        self._stub.start()


class KatoApiSubject:
    """A stub of KATO's API, with the answers that a KATO 2 has given; it knows no credentials."""

    def __init__(self, stub: Stub, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.cut_after = _within_the_body(stub.port, "/")
        self.settings = {"KATO_API_URL": f"http://{LOOPBACK}:{proxy.port}"}
        self._stub = stub

    def lock_out(self) -> None:
        """Answer as a gate before KATO would that asks for a password."""
        self.proxy.garbage(_http_answer(HTTPStatus.UNAUTHORIZED, {"detail": "Not authenticated"}))

    def let_in(self) -> None:
        """Take the gate away."""
        self.proxy.heal()

    def fail(self) -> None:
        """Answer 500 to everything, as FastAPI does."""
        error = {"detail": "Internal Server Error"}
        self.proxy.garbage(_http_answer(HTTPStatus.INTERNAL_SERVER_ERROR, error))

    def recover(self) -> None:
        """Let the stub answer."""
        self.proxy.heal()

    def kill(self) -> None:
        """End the stub."""
        self._stub.end()

    def restart(self) -> None:
        """Start it."""
        self._stub.start()


class DockerSubject:
    """A real Docker Engine; its refusals and errors are the proxy's, in the engine's words."""

    def __init__(self, engine: DockerEngine, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.engine = engine
        self.cut_after = _within_the_body(engine.port, "/_ping")
        self.settings = {"KATO_DOCKER_HOST": f"tcp://{LOOPBACK}:{proxy.port}"}

    def lock_out(self) -> None:
        """Answer as a socket proxy does that lets nothing through."""
        refusal = {"message": "not on the allow-list"}
        self.proxy.garbage(_http_answer(HTTPStatus.FORBIDDEN, refusal))

    def let_in(self) -> None:
        """Let the engine answer."""
        self.proxy.heal()

    def fail(self) -> None:
        """Answer 500 to everything."""
        error = {"message": "server error"}
        self.proxy.garbage(_http_answer(HTTPStatus.INTERNAL_SERVER_ERROR, error))

    def recover(self) -> None:
        """Let the engine answer."""
        self.proxy.heal()

    def kill(self) -> None:
        """Kill the engine, with which its containerd dies."""
        self.engine.server.kill()
        self.engine.client.close()  # whose connection is dead
        # The new engine would wait for a containerd of this number, be it a zombie.
        (self.engine.directory / "exec" / "containerd" / "containerd.pid").unlink()

    def restart(self) -> None:
        """Start it."""
        self.engine.server.start()


@dataclass(frozen=True, slots=True)
class Subjects:
    """The stores that both sides read."""

    redis: RedisSubject
    mongodb: MongoSubject
    qdrant: QdrantSubject


@contextmanager
def running_subjects(directory: Path) -> Iterator[Subjects]:
    """Run the three stores that hold KATO's records, empty, each behind a proxy."""
    with ExitStack() as stack:

        def before(port: int) -> FaultProxy:
            return stack.enter_context(FaultProxy(port))

        users = directory / "users.acl"
        users.write_text(
            f"user default on nopass ~* &* +@all\nuser {ACCOUNT} on >{PASSWORD} ~* &* +@all\n"
        )
        valkey_arguments = (
            *("--aclfile", str(users), "--appendonly", "yes"),
            *("--notify-keyspace-events", "Egxen", "--busy-reply-threshold", "1"),
        )
        valkey = stack.enter_context(
            started(lambda: start_valkey(directory / "valkey", arguments=valkey_arguments))
        )
        mongod_arguments = ("--auth", "--setParameter", "enableTestCommands=1")
        mongod = stack.enter_context(
            started(lambda: start_mongod(directory / "mongodb", arguments=mongod_arguments))
        )
        points = QdrantClient(":memory:")
        stack.callback(points.close)
        stub = stack.enter_context(_running(Stub(qdrant_stub(points, api_key=PASSWORD))))
        redis = RedisSubject(valkey, before(valkey.port))
        stack.callback(redis.client.close)
        mongodb = MongoSubject(mongod, before(mongod.port))
        stack.callback(mongodb.client.close)
        yield Subjects(redis, mongodb, QdrantSubject(stub, points, before(stub.port)))


@contextmanager
def running_kato_api() -> Iterator[KatoApiSubject]:
    """Run the stub of KATO's API behind a proxy."""
    answers = {
        path: Answer((_KATO2 / f"api_{name}.json").read_bytes()) for path, name in _RECORDED.items()
    }
    with _running(Stub(Answers(answers))) as stub, FaultProxy(stub.port) as proxy:
        yield KatoApiSubject(stub, proxy)


@contextmanager
def running_docker() -> Iterator[DockerSubject]:
    """Run an engine behind a proxy; skip or fail the test where none can run."""
    with running_engine() as engine, FaultProxy(engine.port) as proxy:
        yield DockerSubject(engine, proxy)


@contextmanager
def _running(stub: Stub) -> Iterator[Stub]:
    stub.start()
    try:
        yield stub
    finally:
        stub.end()


def _http_answer(status: HTTPStatus, content: Any) -> bytes:
    """Write an answer in JSON that is the last on its connection."""
    body = json.dumps(content).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _within_the_body(port: int, path: str) -> int:
    """Ask for a path, and give the number of bytes up to the middle of the answer's body."""
    with socket.create_connection((LOOPBACK, port), timeout=_ANSWER_SECONDS) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(65_536)
    head, _, _ = answer.partition(b"\r\n\r\n")
    [length] = re.findall(rb"(?i)content-length: *(\d+)", head)
    return len(head) + 4 + int(length) // 2
