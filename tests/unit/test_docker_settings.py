"""Settings of the container engine: what is right, and what a wrong value says."""

from contextlib import suppress
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, strategies

from kato_exporter.collectors.container_choice import ContainerChoice
from kato_exporter.setting_kinds import ContainerNames, Containers, DockerHost, Kind
from kato_exporter.settings import ExporterSettings, with_settings


@click.command()
@with_settings(ExporterSettings)
def show(**given: Any) -> None:
    """Print what came out of the settings of containers."""
    settings = ExporterSettings.of(given)
    click.echo(f"{settings.docker_host} {settings.containers} {settings.containers_expected}")


def run(*arguments: str, **environment: str) -> Result:
    """Give settings on a command line and in an environment."""
    return CliRunner().invoke(show, arguments, env=environment)


def test_no_engine_is_configured_unless_it_is_named() -> None:
    """KATO_HOST does not fill it, and an empty variable means none; KATO's own names are chosen."""
    kato = "kato,kato-mongodb,kato-redis,kato-qdrant,label=com.docker.compose.project=kato"
    assert run(KATO_HOST="kato.example").output == f"None {kato} None\n"
    assert run(KATO_DOCKER_HOST="").output == f"None {kato} None\n"


def test_lists_come_from_the_environment() -> None:
    """Names, patterns and labels with commas between them."""
    result = run(
        KATO_DOCKER_HOST="unix:///run/docker.sock",
        KATO_CONTAINERS="kato-*, label=tier=data",
        KATO_CONTAINERS_EXPECTED="kato",
    )
    assert result.output == "unix:///run/docker.sock kato-*,label=tier=data frozenset({'kato'})\n"


@pytest.mark.parametrize(
    "host",
    [
        "unix:///var/run/docker.sock",
        "tcp://proxy:2375",
        "tcp://[::1]:2376",
        "ssh://kato.example",
        "ssh://user@kato.example:2222",
    ],
)
def test_addresses_of_engines_are_taken_as_they_are(host: str) -> None:
    """Each way that the SDK knows on Linux."""
    assert DockerHost().convert(host, None, None) == host


@pytest.mark.parametrize(
    "host",
    [
        "/var/run/docker.sock",
        "unix://",
        "unix:///",
        "unix://host/path",
        "tcp://proxy",
        "tcp://:2375",
        "tcp://proxy:2375/path",
        "tcp://user@proxy:2375",
        "tcp://proxy:port",
        "tcp://proxy:99999",
        "ssh://",
        "ssh://host/path",
        "ssh://user:secret@host",
        "http://proxy:2375",
        "tcp://proxy:2375?x=y",
        "nonsense",
    ],
)
def test_what_is_no_address_of_an_engine_is_refused(host: str) -> None:
    """The message says what is right, and shows no secret."""
    with pytest.raises(click.BadParameter, match="is not the address of a container engine") as no:
        DockerHost().convert(host, None, None)
    assert "secret" not in no.value.message


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Containers(), "a b", "is not a choice of containers"),
        (Containers(), "label=", "is not a choice of containers"),
        (Containers(), 7, "is not a choice of containers"),
        (ContainerNames(), "a,,b", "is not a list of container names"),
        (ContainerNames(), "kato-*", "is not a list of container names"),
        (ContainerNames(), [7], "is not a list of container names"),
    ],
)
def test_wrong_lists_are_refused(kind: Kind, value: object, message: str) -> None:
    """With one line that says what is right."""
    with pytest.raises(click.BadParameter, match=message):
        kind.convert(value, None, None)


def test_a_list_of_the_file_is_as_good_as_a_text() -> None:
    """TOML has lists of its own."""
    assert Containers().convert(["kato", "label=a=b"], None, None) == ContainerChoice(
        ("kato",), (("a", "b"),)
    )
    assert ContainerNames().convert(["a", "b"], None, None) == frozenset({"a", "b"})


@given(strategies.text(), strategies.sampled_from([DockerHost(), Containers(), ContainerNames()]))
def test_no_text_is_a_fault(text: str, kind: Kind) -> None:
    """Whatever is given is taken or refused with a message."""
    with suppress(click.BadParameter):
        kind.convert(text, None, None)
