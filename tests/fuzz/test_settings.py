"""Whatever the settings are: a start, or one line that names what is wrong, and exit status 2."""

import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kato_exporter.browser.access.accounts import AccountsError, parse_accounts
from kato_exporter.cli import main
from kato_exporter.runtime.web_config import WebConfigError, load_web_config
from kato_exporter.setting_kinds import DockerHost, HttpUrl, MongoUrl, RedisUrl, WebUrl
from kato_exporter.settings import COMMANDS, BrowserSettings, Spec, specs, with_settings
from support.fuzzing import ANY_JSON, ODD_NUMBERS, TEXTS, examples

SECRET = "hunter2-5be8e4"
NAMES = {"serve": COMMANDS[0], "browse": COMMANDS[1]}
SPECS = {spec.name: spec for settings in COMMANDS for spec in specs(settings)}
TABLES = sorted({spec.place[0] for spec in SPECS.values() if spec.place[0]})
SECRET_URLS = [
    f"redis://user:{SECRET}@host:6379/0",
    f"redis://:{SECRET}@[::1/x",
    f"redis+sentinel://:{SECRET}@a,b/",
    f"mongodb://user:{SECRET}@host:port",
    f"mongodb+srv://user:{SECRET}@",
    f"http://user:{SECRET}@host:1",
    f"http://host:1?key={SECRET}",
    f"ssh://user:{SECRET}@host",
    f"https://{SECRET}@host\n:1",
]
URLS = [
    "redis://127.0.0.1:1/0",
    "mongodb://127.0.0.1:1",
    "http://127.0.0.1:1",
    "tcp://127.0.0.1:1",
    "mongodb://[::1",
    "redis://h:99999999",
    "unix://",
    "http://\u2100:1",
]
WORDS = [
    "true", "0", "-1", "1e999", "nan", "5s", "1h", "127.0.0.1:0", "[::1]:65536", "redis,patterns",
    "10.0.0.0/8,::1", "kato-*,label=", "debug", "/", "/nowhere", "/dev/null", "a" * 5_000,
]  # fmt: skip
STRINGS = st.one_of(TEXTS, st.sampled_from(URLS), st.sampled_from(WORDS))
VALUES = st.one_of(
    STRINGS,
    STRINGS,
    st.booleans(),
    st.sampled_from(ODD_NUMBERS),
    st.integers(),
    st.floats(),
    st.lists(STRINGS | st.integers() | st.none(), max_size=3),
    ANY_JSON,
)
TAKES_SECRETS = [
    name
    for name, spec in SPECS.items()
    if isinstance(spec.kind, RedisUrl | MongoUrl | HttpUrl | DockerHost | WebUrl)
]
SECRETS = st.sampled_from(SECRET_URLS) | st.sampled_from(SECRET_URLS).map(lambda url: [url])
GIVEN = st.builds(
    lambda common, secret: common | secret,
    st.dictionaries(st.sampled_from(sorted(SPECS)), VALUES, max_size=4),
    st.dictionaries(st.sampled_from(TAKES_SECRETS), SECRETS, max_size=1),
)


class StartedError(Exception):
    """The settings were good enough to begin."""


def starting(settings: type[Any]) -> click.Command:
    """Make a command that takes the settings of one of ours, and does nothing else."""

    @click.command()
    @with_settings(settings)
    def start(**given: Any) -> None:
        """Begin."""
        raise StartedError(settings.of(given))

    return start


Start = Callable[..., None]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    """Give a function that runs `main`; the commands only read their settings.

    Each run is asserted to start or to end with one line and status 2.
    """
    for name, settings in NAMES.items():
        monkeypatch.setattr(f"kato_exporter.commands.{name}.{name}", starting(settings))

    def run(*arguments: str, environment: dict[str, str] | None = None) -> None:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["kato-exporter", *arguments])
            for name, value in (environment or {}).items():
                patch.setenv(name, value)
            try:
                main()
            except StartedError:
                return
            except SystemExit as end:
                status = end.code
        out, error = capsys.readouterr()
        assert "" == out
        assert 2 == status, error
        assert_one_line(error)

    return run


def assert_one_line(error: str) -> None:
    """One line that says who speaks and what is wrong, and has no secret."""
    lines = error.splitlines()
    assert 1 == len(lines), lines
    assert lines[0].startswith("kato-exporter: ")
    assert SECRET not in error


def toml(value: Any) -> str:
    """Spell a value in TOML; what it does not have comes as a text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        fields = (f"{quoted(key)} = {toml(entry)}" for key, entry in value.items())
        return f"{{{', '.join(fields)}}}"
    return quoted(str(value))


def quoted(text: str) -> str:
    """Spell a text in TOML, which has no lone surrogates."""
    plain = text.encode("utf-8", "replace").decode()
    return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")


def lines_of(given: dict[str, Any]) -> str:
    """Spell a settings file: keys at the top, then tables."""
    tables: dict[str | None, list[str]] = {None: []}
    for name, value in given.items():
        table, key = SPECS[name].place
        tables.setdefault(table, []).append(f"{quoted(key)} = {toml(value)}\n")
    top = "".join(tables.pop(None))
    return top + "".join(f"[{table}]\n{''.join(entries)}" for table, entries in tables.items())


@pytest.mark.parametrize("command", sorted(NAMES))
@examples(150)
@given(given_settings=GIVEN)
def test_any_value_in_the_file(
    tmp_path: Path, start: Start, command: str, given_settings: dict[str, Any]
) -> None:
    """Each setting takes any type that TOML has."""
    file = tmp_path / "settings.toml"
    content = lines_of(given_settings)
    assert isinstance(tomllib.loads(content), dict)
    file.write_text(content, encoding="utf-8")
    start(command, "--config-file", str(file))


TABLE_OF_ANYTHING = st.dictionaries(
    st.sampled_from([*TABLES, *(spec.place[1] for spec in SPECS.values())]) | TEXTS,
    st.dictionaries(TEXTS, VALUES, max_size=2) | VALUES,
    max_size=3,
)


@examples(150)
@given(
    content=st.one_of(
        TABLE_OF_ANYTHING.map(lambda table: toml(table)[1:-1].replace("}, ", "}\n").encode()),
        TABLE_OF_ANYTHING.map(
            lambda table: "\n".join(f"{quoted(k)} = {toml(v)}" for k, v in table.items()).encode()
        ),
        st.binary(max_size=60),
        st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.sampled_from([b"a = " + b"[" * 5_000, b"a = " + b"{a=" * 5_000, b"a = " + b"9" * 5_000]),
        st.sampled_from([f'redis = "{SECRET_URLS[0]}'.encode(), f"url = {SECRET}".encode()]),
    )
)
def test_any_file(tmp_path: Path, start: Start, content: bytes) -> None:
    """What is no TOML, and TOML of anything, is refused in one line."""
    file = tmp_path / "settings.toml"
    file.write_bytes(content)
    start("serve", "--config-file", str(file))


def _variable(spec: Spec, file: bool) -> str:  # noqa: FBT001 - drawn
    return f"{spec.variable}_FILE" if spec.secret and file else spec.variable


VARIABLES = st.builds(_variable, st.sampled_from(sorted(SPECS.values(), key=str)), st.booleans())
IN_ENVIRONMENT = STRINGS.map(
    lambda text: text.replace("\0", "").encode("utf-8", "replace").decode()
)
"""What a system takes; bytes that are no UTF-8 come as lone surrogates."""


@pytest.mark.parametrize("command", sorted(NAMES))
@examples(150)
@given(
    environment=st.builds(
        lambda common, secret: common | secret,
        st.dictionaries(VARIABLES, IN_ENVIRONMENT | st.just("\udcff"), max_size=4),
        st.dictionaries(
            st.sampled_from(TAKES_SECRETS).map(lambda name: SPECS[name].variable),
            st.sampled_from(SECRET_URLS),
            max_size=1,
        ),
    )
)
def test_any_environment(start: Start, command: str, environment: dict[str, str]) -> None:
    """Each variable takes any text."""
    start(command, environment=environment)


FLAGS = st.sampled_from(
    [spec.flag for spec in SPECS.values()]
    + [f"{spec.flag}-file" for spec in SPECS.values() if spec.secret]
    + ["--config-file", "--nothing", "-x", "--", ""]
)


@pytest.mark.parametrize("command", sorted(NAMES))
@examples(150)
@given(
    arguments=st.lists(
        FLAGS | IN_ENVIRONMENT | st.builds("{}={}".format, FLAGS, IN_ENVIRONMENT), max_size=4
    )
)
def test_any_command_line(start: Start, command: str, arguments: list[str]) -> None:
    """Each flag takes any text, and what is no flag is refused."""
    if {"-h", "--help"}.isdisjoint(arguments):
        start(command, *arguments)


@examples(100)
@given(content=st.binary(max_size=60) | st.sampled_from([b"\xff", b"", SECRET.encode() + b"\0\n"]))
def test_any_file_of_a_secret(tmp_path: Path, start: Start, content: bytes) -> None:
    """What a secret's file holds is taken or refused, and not shown."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    for variable in ("KATO_REDIS_URL_FILE", "KATO_MONGO_URL_FILE", "KATO_QDRANT_API_KEY_FILE"):
        start("browse", environment={variable: str(file)})


DEEP = b"[" * 600
WEB_KEYS = (
    "tls_server_config", "http_server_config", "basic_auth_users", "rate_limit", "cert_file",
    "key_file", "cert", "key", "client_auth_type", "client_ca_file", "client_ca", "min_version",
    "max_version", "cipher_suites", "curve_preferences", "client_allowed_sans", "headers", "http2",
    "prefer_server_cipher_suites", "X-Frame-Options", "Strict-Transport-Security",
)  # fmt: skip
WEB = st.recursive(
    VALUES,
    lambda inner: st.dictionaries(st.sampled_from(WEB_KEYS) | TEXTS, inner, max_size=4),
    max_leaves=8,
)
WEB_FILES = st.one_of(
    st.dictionaries(st.sampled_from(WEB_KEYS[:4]) | TEXTS, WEB, max_size=3)
    .map(lambda document: json.dumps(document).encode()),
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [DEEP, b"a: &a [*a]", b"&a {*a : 1}", b"? [a]\n: 1", b"a: !!python/object:os.system x",
         b"a: 2026-99-99", b"a: " + b"9" * 5_000, b"%YAML 9.9\n---\na", b"{a: 1, a: 2}",
         b"basic_auth_users: {? {a: 1} : x}", b"a: !!binary x", b"a: !!int x", b"a: 1:99:"]
    ),
)  # fmt: skip


@examples(300)
@given(content=WEB_FILES)
def test_any_web_config_file(tmp_path: Path, content: bytes) -> None:
    """It is good, or one line says why not."""
    file = tmp_path / "web.yml"
    file.write_bytes(content)
    problem = f"{file}: good"
    try:
        load_web_config(file)
    except WebConfigError as error:
        problem = str(error)
    assert 1 == len(problem.splitlines()), problem
    assert str(file) in problem


@examples(200)
@given(
    content=st.one_of(
        st.dictionaries(
            st.sampled_from(["alice", "bob", "a b", "x" * 101]) | TEXTS,
            st.dictionaries(st.sampled_from(["role", "password", "roles"]) | TEXTS, VALUES)
            | VALUES,
            max_size=3,
        ).map(lambda t: "\n".join(f"{quoted(k)} = {toml(v)}" for k, v in t.items()).encode()),
        st.binary(max_size=60),
        st.sampled_from(
            [b"a = " + b"[" * 5_000, b"a = " + b"9" * 5_000, b"[" + b"a." * 5_000 + b"a]"]
        ),
    )
)
def test_any_accounts_file(content: bytes) -> None:
    """It is good, or one line says why not; a password is not in it."""
    file = Path("accounts.toml")
    problem = f"{file}: good"
    try:
        parse_accounts(file, content)
    except AccountsError as error:
        problem = str(error)
    assert 1 == len(problem.splitlines()), problem
    assert str(file) in problem


def test_a_good_setting_starts(start: Start) -> None:
    """The commands that stand in for ours do read their settings."""
    with pytest.raises(StartedError, match=r"redis://r:1/2"):
        starting(BrowserSettings).main(["--redis-url", "redis://r:1/2"], standalone_mode=False)
    start("serve", environment={"KATO_REDIS_URL": "redis://r:1/2"})
