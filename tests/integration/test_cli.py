"""The command line as an operator meets it: what is wrong, what is right, and how it ends."""

import io
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import click
import pytest

from kato_exporter import __version__
from kato_exporter.cli import cli, main
from kato_exporter.demo.servers import LOOPBACK, free_port
from kato_exporter.demo.shapes import INDEXES
from kato_exporter.kato.knowledge import PATTERNS
from support.exporting import RunningExporter, environment_with, run_command
from support.servers import MongoServer, RedisServer
from support.waiting import at_most

PASSWORD = "s3cret-word"
NOWHERE = {"KATO_REDIS_URL": f"redis://{LOOPBACK}:1", "KATO_LISTEN": f"{LOOPBACK}:0"}

WRONG: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "no store": (
        {"KATO_REDIS_URL": "", "KATO_MONGO_URL": ""},
        ("KATO_HOST", "--host", "KATO_REDIS_URL", "KATO_MONGO_URL"),
    ),
    "host": ({"KATO_HOST": "http://kato"}, ("KATO_HOST", "--host", "'http://kato'", "host name")),
    "redis scheme": (
        {"KATO_REDIS_URL": f"http://me:{PASSWORD}@kato"},
        ("KATO_REDIS_URL", "--redis-url", "'http://***@kato'", "redis://"),
    ),
    "redis without scheme": (
        {"KATO_REDIS_URL": f"me:{PASSWORD}@kato"},
        ("KATO_REDIS_URL", "'***@kato'", "redis://"),
    ),
    "redis port": (
        {"KATO_REDIS_URL": f"redis://me:{PASSWORD}@kato:port"},
        ("KATO_REDIS_URL", "'redis://***@kato:port'", "redis://"),
    ),
    "redis database": (
        {"KATO_REDIS_URL": f"redis://me:{PASSWORD}@kato/zero"},
        ("KATO_REDIS_URL", "'redis://***@kato/zero'", "DATABASE"),
    ),
    "redis options": (
        {"KATO_REDIS_URL": f"redis://kato?password={PASSWORD}&socket_timeout=soon"},
        ("KATO_REDIS_URL", "'redis://kato?***'", "redis://"),
    ),
    "mongo scheme": (
        {"KATO_MONGO_URL": f"mongo://me:{PASSWORD}@kato"},
        ("KATO_MONGO_URL", "--mongo-url", "'mongo://***@kato'", "mongodb://"),
    ),
    "mongo password not quoted": (
        {"KATO_MONGO_URL": f"mongodb://me:{PASSWORD}/@/@kato"},
        ("KATO_MONGO_URL", "'mongodb://***@kato'", "mongodb://"),
    ),
    "mongo srv": ({"KATO_MONGO_URL": "mongodb+srv://"}, ("KATO_MONGO_URL", "mongodb+srv://HOST")),
    "collector": (
        {"KATO_COLLECTORS": "redis,sesions"},
        ("KATO_COLLECTORS", "--collectors", "'redis,sesions'", "sessions, session_values, redis"),
    ),
    "interval in words": (
        {"KATO_SESSIONS_INTERVAL": "soon"},
        ("KATO_SESSIONS_INTERVAL", "--sessions-interval", "'soon'", "100ms to 24h", "30s"),
    ),
    "interval of nothing": (
        {"KATO_PATTERNS_INTERVAL": "0"},
        ("KATO_PATTERNS_INTERVAL", "'0'", "100ms to 24h"),
    ),
    "interval too long": (
        {"KATO_KNOWLEDGE_INTERVAL": "25h"},
        ("KATO_KNOWLEDGE_INTERVAL", "'25h'", "100ms to 24h"),
    ),
    "share": (
        {"KATO_LOAD_SHARE": "10%"},
        ("KATO_LOAD_SHARE", "--load-share", "'10%'", "above 0 and at most 1"),
    ),
    "number": (
        {"KATO_PATTERNS_TOP": "0"},
        ("KATO_PATTERNS_TOP", "--patterns-top", "0", "1<=x<=1000"),
    ),
    "choice": (
        {"KATO_LOG_LEVEL": "loud"},
        ("KATO_LOG_LEVEL", "--log-level", "'loud'", "'warning'"),
    ),
    "boolean": (
        {"KATO_REDIS_MANAGE_NOTIFICATIONS": "perhaps"},
        ("KATO_REDIS_MANAGE_NOTIFICATIONS", "'perhaps'", "true"),
    ),
    "address": (
        {"KATO_LISTEN": "9898"},
        ("KATO_LISTEN", "--listen", "'9898'", "127.0.0.1:9898"),
    ),
    "settings file missing": (
        {"KATO_CONFIG_FILE": "/nowhere/kato.toml"},
        ("KATO_CONFIG_FILE", "--config-file", "'/nowhere/kato.toml'", "does not exist"),
    ),
    "secret file missing": (
        {"KATO_MONGO_URL_FILE": "/nowhere/url"},
        ("KATO_MONGO_URL_FILE", "--mongo-url-file", "'/nowhere/url'", "does not exist"),
    ),
    "secret file is a folder": (
        {"KATO_REDIS_URL_FILE": "/"},
        ("KATO_REDIS_URL_FILE", "--redis-url-file", "'/'", "is a directory"),
    ),
    "web config missing": (
        {"KATO_WEB_CONFIG_FILE": "/nowhere/web.yml"},
        ("KATO_WEB_CONFIG_FILE", "--web-config-file", "'/nowhere/web.yml'", "does not exist"),
    ),
    "secret twice": (
        {"KATO_REDIS_URL": f"redis://:{PASSWORD}@kato", "KATO_REDIS_URL_FILE": __file__},
        ("KATO_REDIS_URL", "KATO_REDIS_URL_FILE", "give one of them"),
    ),
}

WRONG_FILES = {
    "not TOML": ("[redis\n", ("is not TOML",)),
    "a setting misspelled": ('[redis]\nulr = "redis://kato"', ("[redis] ulr", "[redis] url")),
    "a table misspelled": ('[radis]\nurl = "redis://kato"', ("[radis] url", "[redis] url")),
    "a setting of no kind": ("zzz = 1", ("zzz", "docs/settings.md")),
    "a wrong value": (
        f'[redis]\nurl = "redis://me:{PASSWORD}@kato:port"',
        ("KATO_REDIS_URL", "'redis://***@kato:port'", "redis://"),
    ),
    "a wrong type": ("[sessions]\ninterval = true", ("KATO_SESSIONS_INTERVAL", "True", "30s")),
    "a list for a text": ('[redis]\nurl = ["redis://kato"]', ("KATO_REDIS_URL", "redis://")),
    "a wrong list": ('collectors = ["redis", "x"]', ("KATO_COLLECTORS", "'x'", "sessions")),
}


def run_here(*arguments: str, **settings: str) -> tuple[int, str, str]:
    """Run a command in this process, for the many that end while they read their settings.

    Gives the exit status, and what went to standard output and to standard error.
    """
    output, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(output),
        redirect_stderr(errors),
    ):
        for name in [name for name in os.environ if name.startswith("KATO_")]:
            patch.delenv(name)
        for name, value in settings.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["kato-exporter", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0), output.getvalue(), errors.getvalue()


def one_line_of(status: int, output: str, errors: str) -> str:
    """Give the one line that a command prints whose settings are wrong."""
    assert 2 == status, output + errors
    assert "" == output
    [line] = errors.splitlines()
    assert line.startswith("kato-exporter: ")
    assert PASSWORD not in line
    return line


def cannot_serve(**settings: str) -> str:
    """Run `serve` to its end, and give the one line that it prints."""
    ended = run_command("serve", **settings)
    return one_line_of(ended.returncode, ended.stdout, ended.stderr)


def table_of(output: str) -> dict[str, tuple[str, str, int]]:
    """Read the table that `check` prints: by the collector, its store, cadence and series."""
    rows = re.findall(
        r"^(\S+) +(redis|mongodb)? +(on the scrape|every \S+ s)? +([\d,]+)$",
        output.partition("series at most\n")[2],
        re.MULTILINE,
    )
    return {
        collector: (store, cadence, int(series.replace(",", "")))
        for collector, store, cadence, series in rows
    }


def collectors_of(table: Iterable[str]) -> set[str]:
    """Give the names of the collectors in a table."""
    return set(table) - {"(itself)", "total"}


def asked(*arguments: str, **settings: str) -> str:
    """Give what `check` says of when records of sessions are read, of a Redis that is down."""
    ended = run_command("check", *arguments, **settings)

    assert 1 == ended.returncode, ended.stderr
    return table_of(ended.stdout)["session_values"][1]


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_ends_the_start_with_one_line(case: str) -> None:
    """Status 2, and one line with the setting's names, its value without secrets, what is right."""
    settings, fragments = WRONG[case]
    line = one_line_of(*run_here("check", **(NOWHERE | settings)))

    assert [] == [fragment for fragment in fragments if fragment not in line], line


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_wrong_settings_file_ends_the_start_with_one_line(tmp_path: Path, case: str) -> None:
    """A mistake in the file is told as briefly, with the file or the setting that it is in."""
    content, fragments = WRONG_FILES[case]
    file = tmp_path / "kato.toml"
    file.write_text(content)
    line = one_line_of(*run_here("check", "--config-file", str(file), "--host", LOOPBACK))

    assert [] == [fragment for fragment in fragments if fragment not in line], line


def test_a_wrong_flag_is_told_as_a_wrong_variable_is() -> None:
    """The setting has its names, however it was given."""
    ended = run_command("check", "--redis-url", f"redis://me:{PASSWORD}@kato:port")
    line = one_line_of(ended.returncode, ended.stdout, ended.stderr)

    assert "KATO_REDIS_URL (--redis-url): 'redis://***@kato:port' is not a Redis URL" in line


@pytest.mark.parametrize("content", [b"redis://me:s3cret-word@kato:port\n", b"\xff\xfe"])
def test_a_wrong_secret_in_a_file_is_told_without_it(tmp_path: Path, content: bytes) -> None:
    """The line names the setting and the file, and keeps the secret."""
    file = tmp_path / "redis-url"
    file.write_bytes(content)
    line = one_line_of(*run_here("check", KATO_REDIS_URL_FILE=str(file)))

    assert "KATO_REDIS_URL_FILE" in line
    assert str(file) in line


@pytest.mark.parametrize("arguments", [["serve", "--colour", "red"], ["server"]])
def test_an_unknown_word_is_told(arguments: list[str]) -> None:
    """An option or a command that is not there is named, in one line."""
    line = one_line_of(*run_here(*arguments, KATO_HOST="kato"))

    assert repr(arguments[-2] if len(arguments) > 1 else arguments[0]) in line


def test_a_port_in_use_is_told() -> None:
    """The line has the setting, the address, the reason and what to do."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        address = f"{LOOPBACK}:{taken.getsockname()[1]}"
        line = cannot_serve(**(NOWHERE | {"KATO_LISTEN": address}))

    assert f"KATO_LISTEN (--listen): cannot listen on {address}" in line
    assert "Address already in use" in line


def test_a_foreign_address_is_told() -> None:
    """An address of another machine cannot be listened on, and the reason says so."""
    line = cannot_serve(**(NOWHERE | {"KATO_LISTEN": "192.0.2.1:9898"}))

    assert "KATO_LISTEN (--listen): cannot listen on 192.0.2.1:9898" in line
    assert "Cannot assign requested address" in line


def test_a_check_of_stores_that_answer(valkey: RedisServer, mongo: MongoServer) -> None:
    """Status 0, the products with their addresses, and a table whose total is its sum."""
    mongo.client["alice_kato"][PATTERNS].create_indexes(INDEXES[PATTERNS])
    ended = run_command("check", KATO_REDIS_URL=valkey.url, KATO_MONGO_URL=mongo.url)
    redis, mongodb = (line.split() for line in ended.stdout.splitlines()[:2])
    table = table_of(ended.stdout)
    series = {name: cells[-1] for name, cells in table.items()}

    assert 0 == ended.returncode, ended.stdout + ended.stderr
    assert "" == ended.stderr
    assert ["redis", valkey.url, "Valkey"] == redis[:3]
    assert ["mongodb", mongo.url, "MongoDB"] == mongodb[:3]
    assert {
        *("sessions", "session_values", "redis", "redis_streams"),
        *("mongodb", "knowledge", "patterns", "pattern_lengths"),
    } == collectors_of(table)
    assert ("redis", "on the scrape") == table["sessions"][:2]
    assert ("mongodb", "every 60 s") == table["patterns"][:2]
    assert series.pop("total") == sum(series.values())


def test_the_table_of_a_check_has_columns() -> None:
    """Whatever the names in it, every row has its cells below the headings."""
    ended = run_command("check", **NOWHERE, KATO_MONGO_URL="")
    head, *rows = ended.stdout.split("\n\n")[1].splitlines()
    store, asked_when = head.index("store"), head.index("asked")

    assert {len(head)} == {len(row) for row in rows}
    assert {" "} == {row[index - 1] for row in rows for index in (store, asked_when)}
    assert {"redis", ""} == {row[store:asked_when].strip() for row in rows}


def test_a_check_of_stores_that_are_down() -> None:
    """Status 1 and the reason for each, without a password; the table comes all the same."""
    port = free_port()
    ended = run_command(
        "check",
        KATO_REDIS_URL=f"redis://me:{PASSWORD}@{LOOPBACK}:{port}/2",
        KATO_MONGO_URL=f"mongodb://me:{PASSWORD}@{LOOPBACK}:{port}",
        KATO_STORE_TIMEOUT="300ms",
    )
    redis, mongodb = ended.stdout.splitlines()[:2]

    assert 1 == ended.returncode
    assert "" == ended.stderr
    assert redis.startswith(f"redis     redis://{LOOPBACK}:{port}/2 ")
    assert mongodb.startswith(f"mongodb   mongodb://{LOOPBACK}:{port} ")
    assert "no answer: " in redis
    assert "no answer: " in mongodb
    assert "refused" in redis
    assert "refused" in mongodb
    assert PASSWORD not in ended.stdout
    assert "total" in table_of(ended.stdout)


def test_a_check_where_one_store_is_down(valkey: RedisServer) -> None:
    """One store without an answer makes status 1, the other is reported."""
    ended = run_command(
        "check",
        KATO_REDIS_URL=valkey.url,
        KATO_MONGO_URL=f"mongodb://{LOOPBACK}:{free_port()}",
        KATO_STORE_TIMEOUT="300ms",
    )

    assert 1 == ended.returncode
    assert "Valkey 9" in ended.stdout.splitlines()[0]
    assert "no answer" in ended.stdout.splitlines()[1]


def test_a_check_has_only_what_is_configured(valkey: RedisServer) -> None:
    """Of a store without a URL nothing is said, nor of collectors switched off."""
    ended = run_command("check", KATO_REDIS_URL=valkey.url, KATO_COLLECTORS="redis,knowledge")

    assert 0 == ended.returncode, ended.stdout
    assert "mongodb" not in ended.stdout
    assert {"redis"} == collectors_of(table_of(ended.stdout))


def test_a_check_shows_the_rights_that_lack(valkey: RedisServer) -> None:
    """A user who may not scan is told so below the store, and the store answers: status 0."""
    valkey.client.execute_command(  # type: ignore[no-untyped-call]
        "ACL", "SETUSER", "watcher", "on", f">{PASSWORD}", "~*", "&*", "+@all", "-scan"
    )
    url = valkey.url.replace("//", f"//watcher:{PASSWORD}@")
    ended = run_command("check", KATO_REDIS_URL=url)

    assert 0 == ended.returncode
    assert "SCAN is not permitted" in ended.stdout.splitlines()[1]
    assert PASSWORD not in ended.stdout


def test_a_host_fills_the_urls_that_are_not_set(valkey: RedisServer) -> None:
    """KATO_HOST gives both stores their usual ports; a URL of its own wins, an empty one too."""
    settings = {"KATO_HOST": "::1", "KATO_STORE_TIMEOUT": "100ms"}
    both = run_command("check", **settings).stdout
    one = run_command("check", **settings, KATO_REDIS_URL=valkey.url, KATO_MONGO_URL="").stdout

    assert both.startswith("redis     redis://[::1]:6379/0 "), both
    assert "\nmongodb   mongodb://[::1]:27017 " in both
    assert one.startswith(f"redis     {valkey.url} "), one
    assert "mongodb" not in one


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    """One setting given three times: with each one taken away, the next counts."""
    file = tmp_path / "kato.toml"
    file.write_text(f'[redis]\nurl = "redis://{LOOPBACK}:1"\n[sessions]\ninterval = "7s"\n')
    in_file = {"KATO_CONFIG_FILE": str(file)}
    in_both = in_file | {"KATO_SESSIONS_INTERVAL": "8s"}

    assert "every 9 s" == asked("--sessions-interval", "9s", **in_both)
    assert "every 8 s" == asked(**in_both)
    assert "every 7 s" == asked(**in_file)
    assert "every 30 s" == asked(**NOWHERE)


def test_a_settings_file_takes_the_place_of_all_variables(
    tmp_path: Path, valkey: RedisServer
) -> None:
    """Tables, lists, numbers and secret files of the TOML file arrive where they belong."""
    secret = tmp_path / "url"
    secret.write_text(f"{valkey.url}\n")
    file = tmp_path / "kato.toml"
    file.write_text(
        f'collectors = ["redis", "sessions", "patterns"]\n'
        f'store_timeout = "200ms"\n'
        f'[redis]\nurl_file = "{secret}"\n'
        f'[mongo]\nurl = "mongodb://{LOOPBACK}:1"\n'
        f"[patterns]\ntop = 3\ninterval = 45\n"
        f"[knowledge]\nmost_kbs = 2\n"
    )
    ended = run_command("check", "--config-file", str(file))
    table = table_of(ended.stdout)

    assert f"redis     {valkey.url} " in ended.stdout
    assert {"sessions", "redis", "patterns"} == collectors_of(table)
    assert ("mongodb", "every 45 s", 2 * (3 + 17 + 1 + 1)) == table["patterns"]


@pytest.mark.parametrize("as_flag", [True, False])
def test_a_secret_comes_from_its_file(
    tmp_path: Path, valkey: RedisServer, *, as_flag: bool
) -> None:
    """A URL with a password lies in a file, with a line end; nothing prints it."""
    valkey.client.execute_command(  # type: ignore[no-untyped-call]
        "ACL", "SETUSER", "watcher", "on", f">{PASSWORD}", "~*", "&*", "+@all"
    )
    file = tmp_path / "redis-url"
    file.write_text(valkey.url.replace("//", f"//watcher:{PASSWORD}@") + "\n")
    ended = (
        run_command("check", "--redis-url-file", str(file))
        if as_flag
        else run_command("check", KATO_REDIS_URL_FILE=str(file))
    )

    assert 0 == ended.returncode, ended.stdout
    assert ended.stdout.startswith(f"redis     {valkey.url} ")
    assert PASSWORD not in ended.stdout + ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("url", [None, f"redis://{LOOPBACK}:1/0"])
def test_a_signal_ends_serve_in_order(
    tmp_path: Path, valkey: RedisServer, url: str | None, number: signal.Signals
) -> None:
    """Status 0, at once and without a traceback, whether its store answers or not."""
    running = RunningExporter(tmp_path / "log", KATO_REDIS_URL=url or valkey.url)
    try:
        running.until_ready()
        with at_most(5):
            assert 0 == running.end(number), running.log
    finally:
        running.kill()

    assert running.log.count(" event=ending\n") == 1, running.log
    assert "Traceback" not in running.log


def test_a_flag_says_where_to_listen(tmp_path: Path) -> None:
    """The address of the flag is taken, and told in the log, in the format that is asked for."""
    address = f"{LOOPBACK}:{free_port()}"
    running = RunningExporter(
        tmp_path / "log",
        *("--listen", address, "--redis-url", f"redis://{LOOPBACK}:1"),
        KATO_LOG_FORMAT="logfmt",
        KATO_LISTEN=f"{LOOPBACK}:1",
    )
    try:
        assert f"http://{address}" == running.url
    finally:
        running.kill()


COMMANDS = {
    "": ["serve", "check", "demo", "--version"],
    "serve": ["--redis-url", "KATO_REDIS_URL", "--redis-url-file", "--config-file", "10s"],
    "check": ["--mongo-url", "KATO_MONGO_URL", "--patterns-top", "--load-share"],
    "demo": ["--duration", "--seed"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_explains_itself(command: str, flag: str) -> None:
    """Help comes with status 0 on standard output and names the options with their variables."""
    status, output, errors = run_here(*command.split(), flag)

    assert 0 == status
    assert "" == errors
    assert output.startswith(f"Usage: kato-exporter {command}".rstrip())
    assert [] == [word for word in COMMANDS[command] if word not in output]


def test_the_version_is_that_of_the_package() -> None:
    """`--version` gives name and version."""
    assert f"kato-exporter, version {__version__}\n" == run_command("--version").stdout


def test_each_command_is_listed_with_its_own_help() -> None:
    """Its name and help are known before it is imported."""
    ctx = click.Context(cli)
    for name, listed in cli.commands.items():
        _, command, _ = cli.resolve_command(ctx, [name])
        assert command is not None
        assert name == command.name
        assert listed.get_short_help_str(200) == command.get_short_help_str(200)


@pytest.mark.parametrize(
    ("command", "left_out"),
    [
        (["--version"], {"flask", "pymongo", "redis", "docker", "kato_exporter.settings"}),
        (["serve", "--help"], {"kato_exporter.browser", "kato_exporter.demo", "sqlite3"}),
        (["check", "--help"], {"kato_exporter.browser", "kato_exporter.demo"}),
        (["completion", "bash"], {"flask", "kato_exporter.settings"}),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else "",
)
def test_a_command_imports_what_it_needs(command: list[str], left_out: set[str]) -> None:
    """An exporter has nothing of the browser in its memory, and a version costs no patience."""
    watched = (
        "import atexit, sys; from kato_exporter.cli import main;"
        "atexit.register(lambda: print('imported', *sys.modules)); main()"
    )
    said = subprocess.run(
        [sys.executable, "-c", watched, *command],
        env=environment_with({}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    imported = set(said.rpartition("imported ")[2].split())

    assert {"click", "kato_exporter.cli"} <= imported
    assert set() == imported & left_out


def test_the_version_comes_at_once() -> None:
    """Within 0.3 seconds of processor time, that of the interpreter included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_command("--version")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3
