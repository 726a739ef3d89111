"""Settings: three spellings, their order, and what a wrong value says."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, strategies

from kato_exporter.cli import main
from kato_exporter.setting_kinds import (
    Address,
    Duration,
    Host,
    ListenAddress,
    MongoUrl,
    Names,
    RedisUrl,
    Share,
    hide_secrets,
)
from kato_exporter.settings import COLLECTORS, ExporterSettings, specs, with_settings

KINDS = [
    RedisUrl(),
    MongoUrl(),
    Host(),
    ListenAddress(),
    Duration(),
    Share(),
    Names(COLLECTORS),
]


@click.command()
@with_settings(ExporterSettings)
def show(**given: Any) -> None:
    """Print the settings as they came out."""
    settings = ExporterSettings.of(given)
    for spec in specs(ExporterSettings):
        click.echo(f"{spec.name}={getattr(settings, spec.name)!r}")


def run(*arguments: str, **environment: str) -> Result:
    """Give settings on a command line and in an environment."""
    return CliRunner().invoke(show, arguments, env=environment)


def test_defaults_are_as_documented() -> None:
    """Nothing is configured, and the address is the contract's."""
    lines = run().output.splitlines()
    assert "redis_url=None" in lines
    assert "listen=Address(host='127.0.0.1', port=9898)" in lines
    assert "redis_manage_notifications=False" in lines
    assert "patterns_interval=60.0" in lines


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    """Each of the three spellings counts, in this order."""
    file = tmp_path / "kato.toml"
    file.write_text('[log]\nlevel = "error"\nformat = "json"\n[patterns]\ntop = 3\ninterval = 90\n')
    result = run(
        "--log-level=debug",
        KATO_CONFIG_FILE=str(file),
        KATO_LOG_LEVEL="warning",
        KATO_PATTERNS_TOP="7",
    )
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert "log_level='debug'" in lines
    assert "patterns_top=7" in lines
    assert "log_format='json'" in lines
    assert "patterns_interval=90.0" in lines


def test_the_file_takes_every_setting(tmp_path: Path) -> None:
    """Tables for subjects, lists for names, booleans and numbers as TOML has them."""
    file = tmp_path / "kato.toml"
    file.write_text(
        'listen = "[::1]:80"\ncollectors = ["redis", "patterns"]\nload_share = 0.5\n'
        '[redis]\nurl = "redis://r:1/2"\nmanage_notifications = true\n'
        '[mongo]\nurl = "mongodb://m"\n'
    )
    lines = run("--config-file", str(file)).output.splitlines()
    assert "listen=Address(host='::1', port=80)" in lines
    assert "redis_url='redis://r:1/2'" in lines
    assert "redis_manage_notifications=True" in lines
    assert "mongo_url='mongodb://m'" in lines
    assert "load_share=0.5" in lines
    assert any(line.startswith("collectors=") and "patterns" in line for line in lines)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "[redis]\nurll = 'redis://x'",
            "there is no setting [redis] urll; did you mean [redis] url?",
        ),
        ("lissten = 'x:1'", "did you mean listen?"),
        ("zzzzzzzz = 1", "docs/settings.md lists all"),
        ("listen = ", "is not TOML"),
        ("[patterns]\ntop = 0", "0 is not in the range 1<=x<=1000"),
        ("load_share = [1]", "is not a share"),
        ("listen = 9898", "9898 is not an address"),
    ],
)
def test_a_wrong_file_says_what_and_where(tmp_path: Path, content: str, said: str) -> None:
    """An unknown setting, a wrong value or broken TOML ends with exit status 2."""
    file = tmp_path / "kato.toml"
    file.write_text(content)
    result = run("--config-file", str(file))
    assert result.exit_code == 2
    assert said in result.output.replace("\n", " ")


def test_the_host_fills_the_urls_that_are_not_set() -> None:
    """KATO_HOST gives the usual ports; a URL that is set, even to nothing, stays."""
    assert "redis_url='redis://kato.example:6379/0'" in run(KATO_HOST="kato.example").output
    assert "mongo_url='mongodb://kato.example:27017'" in run(KATO_HOST="kato.example").output
    output = run(KATO_HOST="kato.example", KATO_REDIS_URL="", KATO_MONGO_URL="mongodb://m").output
    assert "redis_url=None" in output
    assert "mongo_url='mongodb://m'" in output
    assert "redis_url='redis://[::1]:6379/0'" in run(KATO_HOST="::1").output


def test_an_empty_variable_of_another_setting_is_not_set() -> None:
    """Compose files pass unset variables on as empty ones."""
    result = run(KATO_PATTERNS_TOP="", KATO_LISTEN="", KATO_COLLECTORS="")
    assert result.exit_code == 0, result.output
    assert "patterns_top=10" in result.output


def test_a_secret_comes_from_its_file(tmp_path: Path) -> None:
    """The file's content is the value, without the line's end."""
    file = tmp_path / "url"
    file.write_text("redis://:hunter2@r\n")
    assert "redis_url='redis://:hunter2@r'" in run(KATO_REDIS_URL_FILE=str(file)).output
    assert "redis_url='redis://:hunter2@r'" in run("--redis-url-file", str(file)).output


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    """Neither spelling wins silently."""
    file = tmp_path / "url"
    file.write_text("redis://r")
    result = run(KATO_REDIS_URL="redis://s", KATO_REDIS_URL_FILE=str(file))
    assert result.exit_code == 2
    assert "KATO_REDIS_URL and KATO_REDIS_URL_FILE are both set" in result.output


@pytest.mark.parametrize("content", [b"http://:hunter2@r", b"\xff\xfe"])
def test_a_wrong_secret_file_is_named_and_its_content_not_shown(
    tmp_path: Path, content: bytes
) -> None:
    """The message has the file and what is right, never the password."""
    file = tmp_path / "url"
    file.write_bytes(content)
    result = run(KATO_REDIS_URL_FILE=str(file))
    assert result.exit_code == 2
    assert "KATO_REDIS_URL_FILE" in result.output
    assert str(file) in result.output
    assert "hunter2" not in result.output


@given(kind=strategies.sampled_from(KINDS), value=strategies.text())
def test_any_text_is_parsed_or_refused_in_one_line(kind: Any, value: str) -> None:
    """No text crashes a setting."""
    refusal = None
    try:
        kind.convert(value, None, None)
    except click.BadParameter as error:
        refusal = error.message
    assert refusal is None or (kind.expected in refusal and "\n" not in refusal)


@given(
    scheme=strategies.sampled_from(["redis://", "mongodb://", "http://", "redis:", ""]),
    secret=strategies.text("abc123:/?#%", min_size=1).map(lambda text: f"Hunter{text}2"),
)
def test_a_refused_url_does_not_show_its_password(scheme: str, secret: str) -> None:
    """Whatever stands before the last @ is hidden, even where the URL is broken."""
    assert "Hunter" not in hide_secrets(f"{scheme}user:{secret}@host:99999/")
    assert "Hunter" not in hide_secrets(f"{scheme}host/?password={secret}")


@pytest.mark.parametrize(
    ("given_text", "seconds"),
    [("30", 30), ("30s", 30), ("1.5m", 90), ("2 h", 7200), ("250ms", 0.25), ("24h", 86400)],
)
def test_durations(given_text: str, seconds: float) -> None:
    """A number with a unit, seconds without."""
    assert Duration().convert(given_text, None, None) == seconds


@pytest.mark.parametrize("wrong", ["0", "99ms", "25h", "-1s", "1d", "s", "1 1", "1e3", "nan"])
def test_wrong_durations(wrong: str) -> None:
    """Too short, too long, or none."""
    with pytest.raises(click.BadParameter, match="100ms to 24h"):
        Duration().convert(wrong, None, None)


@pytest.mark.parametrize(
    ("given_text", "address"),
    [
        ("127.0.0.1:9898", Address("127.0.0.1", 9898)),
        ("[::]:1", Address("::", 1)),
        (":9898", Address("0.0.0.0", 9898)),  # noqa: S104 - parsed, not bound
        ("kato:0", Address("kato", 0)),
    ],
)
def test_addresses(given_text: str, address: Address) -> None:
    """HOST:PORT, with IPv6 in brackets and all addresses where the host is empty."""
    assert address == ListenAddress().convert(given_text, None, None)
    assert ListenAddress().convert(str(address), None, None) == address


@pytest.mark.parametrize("wrong", ["9898", "host", "host:", "host:65536", "::1:9898", "h:\u0661"])
def test_wrong_addresses(wrong: str) -> None:
    """No port, or one that cannot be."""
    with pytest.raises(click.BadParameter, match="HOST:PORT"):
        ListenAddress().convert(wrong, None, None)


@pytest.mark.parametrize(
    "right",
    [
        "redis://h",
        "redis://:p%40ss@h:6380/3",
        "rediss://user:p@h/0",
        "unix:///run/redis.sock?db=1",
        "redis://[::1]:6379",
    ],
)
def test_redis_urls(right: str) -> None:
    """TCP, TLS and sockets."""
    assert right == RedisUrl().convert(right, None, None)


@pytest.mark.parametrize(
    "wrong", ["h:6379", "http://h", "redis://", "unix://", "redis://h:port", "redis://h/x"]
)
def test_wrong_redis_urls(wrong: str) -> None:
    """A scheme, a host and a number where one is due."""
    with pytest.raises(click.BadParameter, match="not a Redis URL; give redis://"):
        RedisUrl().convert(wrong, None, None)


@pytest.mark.parametrize(
    "right",
    ["mongodb://h", "mongodb://a:1,b:2/?replicaSet=r", "mongodb+srv://h", "mongodb://u:p@h/db"],
)
def test_mongodb_urls(right: str) -> None:
    """Single servers, sets and DNS seed lists."""
    assert right == MongoUrl().convert(right, None, None)


@pytest.mark.parametrize("wrong", ["h", "mongo://h", "mongodb://", "mongodb://h:99999"])
def test_wrong_mongodb_urls(wrong: str) -> None:
    """A scheme, a host and a port that can be."""
    with pytest.raises(click.BadParameter, match="not a MongoDB URL; give mongodb://"):
        MongoUrl().convert(wrong, None, None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[patterns]\ntop = 2.5", "'2.5' is not a valid integer range"),
        ("[patterns]\ntop = true", "'True' is not a valid integer range"),
        ("[patterns]\ntop = inf", "is not a valid integer range"),
        ("load_share = true", "True is not a share"),
        (f"load_share = 1{'0' * 400}", "is not a share"),
        ("collectors = [1]", "[1] is not a list of known names"),
        ("[browser]\ntrusted_proxies = [1]", "[1] is not a list of networks"),
        ('[web]\nconfig_file = "a\\u0000b"', "is no path"),
        ("[web]\nconfig_file = 0", "'0' does not exist"),
        ("a = " + "[" * 5_000, "is nested too deeply"),
        ("a = " + "9" * 5_000, "is not TOML"),
        ('"a\\nb" = 1', 'there is no setting "a\\nb"'),
        (f'listen = "{"a" * 70}:1"', "is not an address"),
    ],
)
def test_a_value_of_another_type_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str,
    said: str,
) -> None:
    """One line and exit status 2, whatever TOML can say."""
    file = tmp_path / "kato.toml"
    file.write_text(content)
    command = "browse" if content.startswith("[browser]") else "serve"
    monkeypatch.setattr("sys.argv", ["kato-exporter", command, "--config-file", str(file)])
    with pytest.raises(SystemExit, match="2"):
        main()
    error = capsys.readouterr().err
    assert said in error
    assert 1 == len(error.splitlines())


def test_what_a_file_of_a_secret_holds_is_never_shown(tmp_path: Path) -> None:
    """Somebody may have put a password where a URL belongs."""
    file = tmp_path / "secret"
    file.write_text("hunter2")
    result = run(KATO_REDIS_URL_FILE=str(file))
    assert 2 == result.exit_code
    assert "what it holds is not a Redis URL" in " ".join(result.output.split())
    assert "hunter2" not in result.output
