"""URLs of a Redis that Sentinels watch."""

import click
import pytest

from kato_exporter.setting_kinds import RedisUrl
from kato_exporter.stores.redis.sentinel import SentinelUrl

PASSWORD = "s3cret-word"


def test_a_url_has_sentinels_service_database_and_accounts() -> None:
    """User and password are the server's; options of the Sentinels begin with their name."""
    url = SentinelUrl.parse(
        "redis+sentinel://me:p%40ss@a,b.example:5,[::1]:6,[fe80::1]/my%20master/3"
        "?sentinel_username=you&sentinel_password=w%26rd&health_check_interval=7"
    )

    assert [("a", 26_379), ("b.example", 5), ("::1", 6), ("fe80::1", 26_379)] == list(url.sentinels)
    assert "my master" == url.service
    assert {
        "username": "me",
        "password": "p@ss",
        "db": 3,
        "health_check_interval": 7,
    } == url.server_options
    assert {"username": "you", "password": "w&rd"} == url.sentinel_options
    assert not url.tls


def test_tls_options_are_for_sentinels_and_servers() -> None:
    """With rediss+sentinel:// one authority is good for both."""
    url = SentinelUrl.parse("rediss+sentinel://:word@a/s?ssl_ca_certs=/ca.pem")

    assert url.tls
    assert {"password": "word", "db": 0, "ssl_ca_certs": "/ca.pem"} == url.server_options
    assert {"ssl_ca_certs": "/ca.pem"} == url.sentinel_options


@pytest.mark.parametrize(
    "right",
    [
        "redis+sentinel://h/s",
        "redis+sentinel://h/s/",
        "redis+sentinel://h/s/0",
        "redis+sentinel://:p@h:26379,i/s/15",
        "rediss+sentinel://u:p@[::1],h/s/1?ssl_ca_certs=/ca.pem",
    ],
)
def test_right_urls_are_settings(right: str) -> None:
    """The setting keeps them as they are."""
    assert right == RedisUrl().convert(right, None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        "redis+sentinel://h",
        "redis+sentinel://h/",
        "redis+sentinel:///s",
        "redis+sentinel://h,/s",
        "redis+sentinel://h,,i/s",
        "redis+sentinel://h i/s",
        "redis+sentinel://h:0/s",
        "redis+sentinel://h:65536/s",
        "redis+sentinel://h:x/s",
        "redis+sentinel://::1/s",
        "redis+sentinel://h/s/x",
        "redis+sentinel://h/s/\u0661",
        "redis+sentinel://h/s/1/2",
        "redis+sentinel://h/s?sentinel_port=5",
        "redis+sentinel://h/s?health_check_interval=soon",
        "sentinel://h/s",
    ],
)
def test_wrong_urls_are_refused_without_their_secrets(wrong: str) -> None:
    """The message says what is right, and keeps account and options to itself."""
    secret = wrong.replace("://", f"://me:{PASSWORD}@", 1)
    with pytest.raises(click.BadParameter, match="SERVICE") as error:
        RedisUrl().convert(secret, None, None)

    assert PASSWORD not in error.value.message
