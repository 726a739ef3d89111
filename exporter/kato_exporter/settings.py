"""Every setting, once: its flag, its environment variable and its place in the settings file.

The name `redis_url` is spelled `--redis-url`, `KATO_REDIS_URL` and `url` under `[redis]`. A flag
wins over the environment, and the environment over the file. Of a secret, `redis_url_file` names
a file that holds it.
"""

import dataclasses
import difflib
import json
import os
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import click

from kato_exporter.collectors.container_choice import ContainerChoice
from kato_exporter.setting_kinds import (
    Address,
    ApiKey,
    ContainerNames,
    Containers,
    DockerHost,
    Duration,
    FilePath,
    HeaderName,
    Host,
    HttpUrl,
    Kind,
    ListenAddress,
    MongoUrl,
    Names,
    NetworkList,
    Networks,
    RedisUrl,
    Share,
    WebUrl,
)

COLLECTORS = (
    "sessions",
    "session_values",
    "redis",
    "redis_streams",
    "mongodb",
    "knowledge",
    "patterns",
    "pattern_lengths",
    "containers",
    "qdrant",
    "kato_api",
)

_ENVIRONMENT_PREFIX = "KATO_"
_TABLES = frozenset(
    {
        *("redis", "mongo", "qdrant", "api", "docker"),
        *("web", "sessions", "knowledge", "patterns", "log", "browser", "grafana"),
    }
)
_KATO_CONTAINERS = ContainerChoice.parse(
    "kato,kato-mongodb,kato-redis,kato-qdrant,label=com.docker.compose.project=kato"
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_DIRECTORY = FilePath(exists=True, file_okay=False, path_type=Path)
_NEW_DIRECTORY = FilePath(file_okay=False, path_type=Path)
_FILE = FilePath(exists=True, dir_okay=False, readable=True, path_type=Path)

Command = TypeVar("Command", bound=Callable[..., Any])


def _setting(
    kind: click.ParamType[Any], text: str, *, default: Any = None, secret: bool = False
) -> Any:
    return dataclasses.field(
        default=default, metadata={"kind": kind, "help": text, "secret": secret}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What every command that asks the stores is told, checked.

    Durations are in seconds; a store without URL is None.
    """

    host: str | None = _setting(
        Host(), "Host of a KATO whose stores listen on their usual ports; fills each URL not set."
    )
    redis_url: str | None = _setting(
        RedisUrl(), "Redis, where KATO keeps sessions. Empty: not configured.", secret=True
    )
    mongo_url: str | None = _setting(
        MongoUrl(), "MongoDB, where KATO keeps knowledge. Empty: not configured.", secret=True
    )
    qdrant_url: str | None = _setting(
        HttpUrl(), "Qdrant's REST API, where KATO keeps vectors. Empty: not configured."
    )
    qdrant_api_key: str | None = _setting(
        ApiKey(),
        "API key for Qdrant; the read-only one is enough to read.",
        secret=True,
    )
    store_timeout: float = _setting(
        Duration(), "Patience with a store, for a connection and for a cheap answer.", default=3.0
    )
    web_config_file: Path | None = _setting(
        _FILE, "TLS and users of the web server, in the format of Prometheus's exporter-toolkit."
    )
    log_level: str = _setting(
        click.Choice(["debug", "info", "warning", "error"]), "Least level to log.", default="info"
    )
    log_format: str = _setting(
        click.Choice(["logfmt", "json"]), "Format of the log on standard error.", default="logfmt"
    )

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Complete what the command line, the environment and the file have given.

        Secrets come from their files, and URLs that are not set from `host`; an empty text ends up
        as None. Raises click.UsageError.
        """
        values: dict[str, Any] = {spec.name: _or_secret_file(spec, given) for spec in specs(cls)}
        host = values["host"] or None
        for name, usual in _USUAL_URLS.items():
            if name in values and values[name] is None and host:
                values[name] = usual.format(host=host)
        completed: dict[str, Any] = {
            name: None if value == "" else value for name, value in values.items()
        }
        return cls(**completed)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterSettings(Settings):
    """What the exporter is told."""

    api_url: str | None = _setting(
        HttpUrl(), "KATO's own API, for what KATO reports of itself. Empty: not configured."
    )
    docker_host: str | None = _setting(
        DockerHost(),
        "Docker Engine or Podman that runs the containers: `unix:///var/run/docker.sock`, "
        "`tcp://HOST:PORT` (such as a socket proxy) or `ssh://[USER@]HOST`. Empty: not configured.",
    )
    docker_cert_path: Path | None = _setting(
        _DIRECTORY,
        "Directory with `ca.pem`, and `cert.pem` and `key.pem` where the engine asks for them; "
        "`tcp://` is then TLS.",
    )
    docker_most_containers: int = _setting(
        click.IntRange(min=1, max=200),
        "Containers with series of their own, which are asked at the same time.",
        default=50,
    )
    containers: ContainerChoice = _setting(
        Containers(),
        "The containers to watch: names, patterns and labels (`label=KEY` or `label=KEY=VALUE`).",
        default=_KATO_CONTAINERS,
    )
    containers_expected: frozenset[str] | None = _setting(
        ContainerNames(),
        "Names of containers that are missing where there are none: `kato_container_present` 0.",
    )
    listen: Address = _setting(
        ListenAddress(), "Where to serve /metrics.", default=Address("127.0.0.1", 9898)
    )
    collectors: frozenset[str] = _setting(
        Names(COLLECTORS), "The collectors that run.", default=frozenset(COLLECTORS)
    )
    query_timeout: float = _setting(
        Duration(), "Limit of one scheduled query, on the server too.", default=30.0
    )
    load_share: float = _setting(
        Share(),
        "Part of the time that the scheduled collectors may together take of a store, and scans of "
        "sessions of Redis.",
        default=0.1,
    )
    sessions_interval: float = _setting(
        Duration(),
        "From one scan of the session keys, and reading of a sample of records, to the next.",
        default=30.0,
    )
    sessions_sample: int = _setting(
        click.IntRange(min=1, max=100_000),
        "Sessions whose records are read, at random where more are alive.",
        default=1000,
    )
    sessions_most_nodes: int = _setting(
        click.IntRange(min=1),
        "Nodes with a series of their own; the rest is summed up as `other`.",
        default=100,
    )
    redis_manage_notifications: bool = _setting(
        click.BOOL,
        "May turn on the keyspace notifications that exact session counts need; "
        "turned off again at the end.",
        default=False,
    )
    redis_streams_interval: float = _setting(
        Duration(),
        "From one search of all keys for the streams of KATO 3 to the next.",
        default=300.0,
    )
    knowledge_interval: float = _setting(
        Duration(), "From one count of the knowledge bases to the next.", default=10.0
    )
    knowledge_most_kbs: int = _setting(
        click.IntRange(min=1),
        "Knowledge bases with series of their own; the rest is summed up as `other`.",
        default=1000,
    )
    patterns_interval: float = _setting(
        Duration(), "From one reading of all patterns to the next.", default=60.0
    )
    patterns_top: int = _setting(
        click.IntRange(min=1, max=1000),
        "Patterns of each knowledge base with a series of their own, the most frequent ones.",
        default=10,
    )
    qdrant_interval: float = _setting(
        Duration(), "From one look at Qdrant's collections to the next.", default=30.0
    )
    qdrant_most_collections: int = _setting(
        click.IntRange(min=1),
        "Qdrant collections with series of their own; the rest is summed up as `other`.",
        default=1000,
    )
    api_interval: float = _setting(
        Duration(),
        "From one look at KATO's API to the next; each costs KATO four requests.",
        default=60.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserSettings(Settings):
    """What the record browser is told."""

    browser_listen: Address = _setting(
        ListenAddress(), "Where to serve the pages.", default=Address("127.0.0.1", 8098)
    )
    browser_url: str | None = _setting(
        WebUrl(),
        "The address by which people reach the browser, where a proxy stands in front; with "
        "`https://` cookies are for TLS only.",
    )
    browser_accounts_file: Path | None = _setting(
        _FILE,
        "Accounts: names, roles and password hashes, in TOML. Without one it listens on loopback "
        "only, and prints a password for this run.",
    )
    browser_trusted_proxies: Networks | None = _setting(
        NetworkList(),
        "Addresses and networks of proxies whose headers are believed, with commas.",
    )
    browser_user_header: str | None = _setting(
        HeaderName(), "Header in which a trusted proxy names the user that it has let in."
    )
    browser_writable: bool = _setting(
        click.BOOL, "Whether editors may change and delete records.", default=False
    )
    browser_data_dir: Path | None = _setting(
        _NEW_DIRECTORY,
        "Directory of the trash and the audit log, which must last; needed where records may be "
        "changed. It is made if it is not there.",
    )
    browser_idle_timeout: float = _setting(
        Duration(), "A login ends after so long without a request.", default=1800.0
    )
    browser_login_timeout: float = _setting(
        Duration(), "A login ends after so long in any case.", default=43_200.0
    )
    browser_query_timeout: float = _setting(
        Duration(), "Limit of one question for a page, on the server too.", default=5.0
    )
    browser_page_rows: int = _setting(
        click.IntRange(min=1, max=500), "Records on one page of a listing.", default=50
    )
    browser_export_rows: int = _setting(
        click.IntRange(min=1), "Records of a listing that one download has.", default=100_000
    )
    grafana_url: str | None = _setting(WebUrl(), "Grafana, for links from records to dashboards.")


COMMANDS = (ExporterSettings, BrowserSettings)
"""The settings of all commands; what they share, they inherit from Settings."""

_USUAL_URLS = {
    "redis_url": "redis://{host}:6379/0",
    "mongo_url": "mongodb://{host}:27017",
    "qdrant_url": "http://{host}:6333",
    "api_url": "http://{host}:8000",
}


@dataclass(frozen=True, slots=True)
class Spec:
    """How one setting is given and explained."""

    name: str
    kind: click.ParamType[Any]
    help: str
    default: Any
    secret: bool

    @property
    def given_default(self) -> Any:
        """The default as a user would give it; None where there is none."""
        if isinstance(self.kind, Names):
            return ",".join(self.kind.known)
        if isinstance(self.kind, Duration):
            return f"{self.default:g}s"
        if isinstance(self.default, Address | ContainerChoice):
            return str(self.default)
        return self.default

    @property
    def flag(self) -> str:
        """The command line's spelling."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment's spelling."""
        return _ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def place(self) -> tuple[str | None, str]:
        """The settings file's spelling: the table, None for the top, and the key."""
        table, _, key = self.name.partition("_")
        return (table, key) if key and table in _TABLES else (None, self.name)


def specs(settings: type[Settings]) -> Iterator[Spec]:
    """Give the settings of a command, in the order in which they are explained."""
    for field in dataclasses.fields(settings):
        meta = field.metadata
        yield Spec(field.name, meta["kind"], meta["help"], field.default, meta["secret"])


class _UrlOption(click.Option):
    """An option whose variable may be set to nothing, which means: not configured."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:  # noqa: ARG002
        return os.environ.get(str(self.envvar))


def with_settings(settings: type[Settings]) -> Callable[[Command], Command]:
    """Give a command one option per setting, and the one that names the settings file."""

    def decorate(command: Command) -> Command:
        for spec in reversed(list(specs(settings))):
            command = _option(spec)(command)
            if spec.secret:
                command = _secret_file_option(spec)(command)
        return click.option(
            "--config-file",
            envvar=f"{_ENVIRONMENT_PREFIX}CONFIG_FILE",
            show_envvar=True,
            type=_FILE,
            is_eager=True,
            expose_value=False,
            callback=_read_settings_file,
            help="Settings file, in TOML.",
        )(command)

    return decorate


def _option(spec: Spec) -> Callable[[Command], Command]:
    flags = f"{spec.flag}/--no{spec.flag[1:]}" if spec.kind is click.BOOL else spec.flag
    return click.option(
        flags,
        spec.name,
        cls=_UrlOption
        if isinstance(spec.kind, RedisUrl | MongoUrl | HttpUrl | DockerHost | WebUrl)
        else click.Option,
        envvar=spec.variable,
        show_envvar=True,
        type=spec.kind,
        default=spec.given_default,
        show_default=spec.default is not None,
        help=spec.help,
    )


def _secret_file_option(spec: Spec) -> Callable[[Command], Command]:
    return click.option(
        f"{spec.flag}-file",
        f"{spec.name}_file",
        envvar=f"{spec.variable}_FILE",
        show_envvar=True,
        type=_FILE,
        help=f"File that holds the value of {spec.flag}.",
    )


def _read_settings_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Make the file's values the defaults of the options; click.BadParameter where it is wrong.

    One file may hold the settings of all commands; those of the others are left alone.
    """
    if path is None:
        return
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise click.BadParameter(f"{path} is not TOML: {error}", ctx, param) from error
    except RecursionError as error:
        raise click.BadParameter(f"{path} is nested too deeply", ctx, param) from error
    places = {
        place: (name, kind)
        for settings in COMMANDS
        for spec in specs(settings)
        for place, name, kind in _places(spec)
    }
    ctx.default_map = {
        places[place][0]: value if isinstance(places[place][1], Kind) else str(value)
        for place, value in _entries(content)
        if _known(place, places, path, ctx, param)
    }


def _places(spec: Spec) -> Iterator[tuple[tuple[str | None, str], str, click.ParamType[Any]]]:
    """Give where a setting, and the file of a secret, stand in the settings file; and the kinds.

    What stands there is given to a kind of click's own as a text, as the other spellings give it,
    for of other types it takes what it should not: 2.5 for an integer, 0 for a file.
    """
    table, key = spec.place
    yield (table, key), spec.name, spec.kind
    if spec.secret:
        yield (table, f"{key}_file"), f"{spec.name}_file", _FILE


def _entries(content: Mapping[str, Any]) -> Iterator[tuple[tuple[str | None, str], Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from (((key, inner), entry) for inner, entry in value.items())
        else:
            yield (None, key), value


def _known(
    place: tuple[str | None, str],
    places: Collection[tuple[str | None, str]],
    path: Path,
    ctx: click.Context,
    param: click.Parameter,
) -> bool:
    if place in places:
        return True
    spelled = {_spelled(known): known for known in places}
    near = difflib.get_close_matches(_spelled(place), spelled, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; docs/settings.md lists all"
    raise click.BadParameter(f"{path}: there is no setting {_spelled(place)}{hint}", ctx, param)


def _spelled(place: tuple[str | None, str]) -> str:
    table, key = (name and _key(name) for name in place)
    return f"[{table}] {key}" if table else str(key)


def _key(name: str) -> str:
    """Spell a key as TOML has it, on one line."""
    return name if _BARE_KEY.fullmatch(name) else json.dumps(name)


def _or_secret_file(spec: Spec, given: Mapping[str, Any]) -> Any:
    """Give a setting's value, read from its file where one is named."""
    value = given[spec.name]
    path: Path | None = given.get(f"{spec.name}_file")
    if path is None:
        return value
    if value is not None:
        raise click.UsageError(
            f"{spec.variable} and {spec.variable}_FILE are both set; give one of them"
        )
    try:
        secret = path.read_text(encoding="utf-8").strip()
        return spec.kind.convert(secret, None, None)
    except (UnicodeDecodeError, click.BadParameter) as error:
        kind = spec.kind  # whose own message would show the content
        is_text = isinstance(error, click.BadParameter)
        reason = (
            f"what it holds is not {kind.expected}"
            if is_text and isinstance(kind, Kind)
            else "it is not text"
        )
        raise click.UsageError(f"{spec.variable}_FILE: in {path}, {reason}") from error
