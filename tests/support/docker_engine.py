"""A real Docker Engine for the tests: on a socket of its own, in a directory of its own.

It touches neither iptables nor the default bridge, and needs root and a kernel that lets a
container be made. Where Docker is missing, or cannot run here, the tests say so.
"""

import os
import shutil
import socket
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from subprocess import DEVNULL, run
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import psutil
from docker import APIClient
from docker.errors import APIError, DockerException

from kato_exporter.demo.servers import (
    LOOPBACK,
    BinaryMissingError,
    Server,
    ServerError,
    free_port,
)
from support.servers import missing

IMAGE = "kato/busybox:test"

_API = "1.41"
_APPLETS = (
    *("cat", "dd", "false", "head", "nc", "rm", "sh", "sleep", "sync", "tail", "test"),
    *("touch", "true", "wc"),
)
_BUSYBOX = "/bin/busybox"
_KILL_SECONDS = 5.0


class DockerEngine:
    """A dockerd with its containerd; a context manager that leaves no process behind.

    It listens on a Unix socket and, for faults on the way, on a TCP port of loopback; `tls` are its
    options for the latter.
    """

    def __init__(self, directory: Path, *, tls: Sequence[str] = ("--tls=false",)) -> None:
        self.directory = directory
        self.socket = directory / "docker.sock"
        self.port = free_port()
        self.host = f"unix://{self.socket}"
        self._exec_root = directory / "exec"
        command = [
            *("dockerd", "--data-root", str(directory / "data")),
            *("--exec-root", str(self._exec_root), "--pidfile", str(directory / "dockerd.pid")),
            *("--host", self.host, "--host", f"tcp://{LOOPBACK}:{self.port}", *tls),
            *("--storage-driver", "overlay2", "--bridge", "none", "--shutdown-timeout", "1"),
            *("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
            *("--userland-proxy=false", "--exec-opt", "native.cgroupdriver=cgroupfs"),
        ]
        self.server = Server(
            "Docker Engine",
            command,
            directory=directory,
            port=self.port,
            url=self.host,
            answers=lambda _: self._answers(),
            timeout=30.0,
        )
        self.client = APIClient(base_url=self.host, version=_API, timeout=30)

    def __enter__(self) -> Self:
        self.server.start()
        try:
            self.client.import_image_from_data(
                _root_file_system(), repository=IMAGE.partition(":")[0], tag="test"
            )
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    @property
    def processes(self) -> list[psutil.Process]:
        """The engine, its containerd, and the shims that hold its containers."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if any(str(self.directory) in part for part in process.cmdline()):
                    found.append(process)
        return found

    def run(  # noqa: PLR0913 - each is a fact of the container
        self,
        name: str,
        script: str,
        *,
        labels: dict[str, str] | None = None,
        healthcheck: dict[str, Any] | None = None,
        network: str = "none",
        start: bool = True,
        **host_config: Any,
    ) -> str:
        """Start a container with a shell script, and give its id."""
        settings = self.client.create_host_config(network_mode=network, **host_config)
        made = self.client.create_container(
            IMAGE,
            ["/bin/sh", "-c", script],
            name=name,
            labels=labels,
            healthcheck=healthcheck,
            stop_signal="SIGKILL",
            host_config=settings,
        )
        identity = str(made["Id"])
        if start:
            self.client.start(identity)
        return identity

    def execute(self, identity: str, *command: str) -> None:
        """Run a command inside a container, and wait for its end."""
        made: dict[str, str] = self.client.exec_create(identity, list(command))
        self.client.exec_start(made["Id"])

    def remove(self, identity: str) -> None:
        """Remove a container, running or not; one that is gone is no error."""
        with suppress(APIError):
            self.client.remove_container(identity, force=True, v=True)

    def clear(self) -> None:
        """Remove all containers and all networks of users."""
        for container in self.client.containers(all=True):
            self.remove(container["Id"])
        for network in self.client.networks(filters={"type": "custom"}):
            with suppress(APIError):
                self.client.remove_network(network["Id"])

    @contextmanager
    def network(self, name: str) -> Iterator[str]:
        """Make a bridge network for a while; pytest.skip is the caller's where that fails."""
        made = self.client.create_network(name, driver="bridge")
        try:
            yield name
        finally:
            self.client.remove_network(made["Id"])

    def end(self) -> None:
        """Remove all that was made, and end every process by its id."""
        with suppress(DockerException, OSError):
            self.clear()
        self.client.close()
        self.server.stop(grace=15)
        for process in self.processes:
            with suppress(psutil.Error):
                process.kill()
                process.wait(_KILL_SECONDS)
        for mount in _mounts_below(self.directory):
            run(["/bin/umount", "--lazy", mount], check=False, stdout=DEVNULL, stderr=DEVNULL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket))
                return bool(self.client.ping())
            except OSError:  # of the probe, or of an engine that is not yet through
                return False


@contextmanager
def running_engine() -> Iterator[DockerEngine]:
    """Start an engine for a while, skip or fail the test where none can run.

    Its paths are short, as those of Unix sockets must be.
    """
    reason = why_no_engine()
    if reason:
        missing(reason)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="kato-")))
        try:
            engine = stack.enter_context(DockerEngine(directory / "engine"))
            engine.remove(engine.run("can-run", "true"))
        except (BinaryMissingError, ServerError, APIError) as error:
            missing(f"no container can be run here: {error}")
        yield engine


def why_no_engine() -> str:
    """Say what is missing for an engine of our own; empty where nothing is."""
    absent = [name for name in ("dockerd", "containerd", "runc") if shutil.which(name) is None]
    if absent:
        return f"no {', '.join(absent)} on the PATH: apt-get install docker.io"
    if not Path(_BUSYBOX).exists() and shutil.which("busybox") is None:
        return "no busybox for the image: apt-get install busybox-static"
    if os.geteuid() != 0:
        return "a Docker Engine needs root"
    return ""


def _root_file_system() -> bytes:
    """Pack a tar of a root file system: the static busybox, and its applets as links to it."""
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)
        tar.add(os.path.realpath(shutil.which("busybox") or _BUSYBOX), "bin/busybox")
        for applet in _APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return packed.getvalue()


def _mounts_below(directory: Path) -> list[str]:
    """Find mounts that a killed engine has left, the innermost first."""
    targets = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((each for each in targets if each.startswith(f"{directory}/")), reverse=True)
