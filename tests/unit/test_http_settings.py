"""Settings of Qdrant and of KATO's API: what is right, and what a wrong value says."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, strategies

from kato_exporter.setting_kinds import ApiKey, HttpUrl, Kind
from kato_exporter.settings import ExporterSettings, with_settings

SECRET = "s3cret-word"


@click.command()
@with_settings(ExporterSettings)
def show(**given: Any) -> None:
    """Print what came out of the settings of both."""
    settings = ExporterSettings.of(given)
    click.echo(f"{settings.qdrant_url} {settings.qdrant_api_key} {settings.api_url}")


def run(*arguments: str, **environment: str) -> Result:
    """Give settings on a command line and in an environment."""
    return CliRunner().invoke(show, arguments, env=environment)


def test_the_host_fills_both_with_their_usual_ports() -> None:
    """A URL that is set, even to nothing, stays."""
    assert (
        "http://kato.example:6333 None http://kato.example:8000\n"
        == run(KATO_HOST="kato.example").output
    )
    assert "http://[::1]:6333 None http://[::1]:8000\n" == run(KATO_HOST="::1").output
    nothing = run(KATO_HOST="kato.example", KATO_QDRANT_URL="", KATO_API_URL="")
    assert "None None None\n" == nothing.output


def test_they_have_tables_in_the_file(tmp_path: Path) -> None:
    """`[qdrant]` and `[api]`, and the key may be in a file of its own."""
    key = tmp_path / "key"
    key.write_text(SECRET + "\n")
    file = tmp_path / "kato.toml"
    file.write_text(
        f'[qdrant]\nurl = "https://q:6333/qdrant"\napi_key_file = "{key}"\nmost_collections = 7\n'
        '[api]\nurl = "http://k:8000"\ninterval = "2m"\n'
    )
    output = run("--config-file", str(file)).output
    assert f"https://q:6333/qdrant {SECRET} http://k:8000\n" == output


@pytest.mark.parametrize(
    "url",
    ["http://q:6333", "https://q.example:443/", "http://[::1]:6333", "http://10.0.0.1:80/a/b-c"],
)
def test_addresses_are_taken_as_they_are(url: str) -> None:
    """With host and port, and a prefix or none."""
    assert url == HttpUrl().convert(url, None, None)


@pytest.mark.parametrize(
    "url",
    [
        "q:6333",
        "http://q",
        "https://q/prefix",
        "http://:6333",
        "ftp://q:6333",
        "http://q:port",
        "http://q:99999",
        "http://q:0",
        f"http://me:{SECRET}@q:6333",
        f"http://q:6333/?key={SECRET}",
        "http://q:6333/#a",
        "http://q:6333/a b",
        "http://q:6333/\n",
        "http://ä:6333",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """The message says what is right, and shows no secret."""
    with pytest.raises(click.BadParameter, match="is not the address of an HTTP API") as no:
        HttpUrl().convert(url, None, None)
    assert SECRET not in no.value.message


@pytest.mark.parametrize("key", [f"{SECRET} {SECRET}", f"{SECRET}\r\nX: y", f"{SECRET}ä"])
def test_a_key_that_fits_no_header_is_refused_and_not_shown(key: str) -> None:
    """A newline would end the header."""
    result = run(KATO_QDRANT_URL="http://q:6333", KATO_QDRANT_API_KEY=key)
    assert 2 == result.exit_code
    assert "is not an API key; give printable ASCII" in result.output.replace("\n", " ")
    assert SECRET not in result.output


@given(strategies.text(), strategies.sampled_from([HttpUrl(), ApiKey()]))
def test_no_text_is_a_fault(text: str, kind: Kind) -> None:
    """Whatever is given is taken or refused with a message."""
    with suppress(click.BadParameter):
        kind.convert(text, None, None)
