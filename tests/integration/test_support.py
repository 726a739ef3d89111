"""What decides whether the tests with servers run, are skipped or fail."""

import pytest

from kato_exporter.demo.servers import BinaryMissingError, Server
from support.servers import (
    MongoServer,
    RedisServer,
    missing,
    refuse_used_mongodb,
    refuse_used_redis,
    serving,
    started,
)

VARIABLE = "KATO_TEST_NOTHING_URL"


def start_nothing() -> Server:
    """Start a server whose program is missing."""
    raise BinaryMissingError("no nothing on the PATH")


def test_a_missing_server_skips_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a developer's machine the reason is told, and nothing fails."""
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="no nothing on the PATH"):
        started(start_nothing).__enter__()


def test_a_missing_server_fails_a_test_where_ci_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where everything must run, a server that is not there is no excuse."""
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="no nothing"):
        missing("no nothing")


def test_a_server_named_in_the_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL comes before a program; an empty one is none."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv(VARIABLE, "redis://somewhere")
    with serving(VARIABLE, start_nothing) as url:
        assert "redis://somewhere" == url
    monkeypatch.setenv(VARIABLE, "")
    with pytest.raises(pytest.skip.Exception):
        serving(VARIABLE, start_nothing).__enter__()


def test_a_server_that_holds_something_is_not_emptied(
    valkey: RedisServer, mongo: MongoServer
) -> None:
    """A server in use is refused with the variable that names it; an empty one is not."""
    refuse_used_redis(VARIABLE, valkey.url)
    refuse_used_mongodb(VARIABLE, mongo.url)
    valkey.client.set("precious", "1")
    mongo.client["precious"]["documents"].insert_one({})

    with pytest.raises(pytest.fail.Exception, match=VARIABLE):
        refuse_used_redis(VARIABLE, valkey.url)
    with pytest.raises(pytest.fail.Exception, match=VARIABLE):
        refuse_used_mongodb(VARIABLE, mongo.url)
    assert b"1" == valkey.client.get("precious")
