"""The ways into Redis: the accounts of docs/redis-account.md, TLS, a Unix socket, Sentinels."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from redis import Redis
from redis.exceptions import NoPermissionError

from kato_exporter.collectors.session_tracker import TrackerState
from kato_exporter.demo.servers import LOOPBACK, Server, free_port
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.redis.store import Keyevent, RedisStore
from support.exporting import RunningExporter
from support.redis_sentinel import SERVICE, sentinel
from support.redis_servers import redis_server
from support.session_truth import PATIENCE, KatoLoad, tracking
from support.waiting import eventually

DOCUMENT = Path(__file__).parents[2] / "docs" / "redis-account.md"
PASSWORD = "s3cret-word"
SERVERS = ("valkey9", "redis7")
EVENTS: tuple[Keyevent, ...] = ("new", "del", "expired", "evicted")
STREAMS = ("stm:global", "stm:events:alice")


def account(name: str) -> list[str]:
    """Read an account out of the document: what stands behind ACL SETUSER and the user."""
    blocks = re.findall(
        rf"^```acl {name}\nACL SETUSER exporter (.+)\n```$", DOCUMENT.read_text(), re.MULTILINE
    )
    assert 1 == len(blocks), f"{DOCUMENT.name} has no single block `acl {name}`"
    rules: list[str] = blocks[0].replace("PASSWORD", PASSWORD).split()
    return rules


def make_user(server: Server, rules: list[str]) -> str:
    """Make the exporter's user, and give the URL with it."""
    with Redis(port=server.port) as client:
        client.execute_command("ACL", "SETUSER", "exporter", *rules)
    return f"redis://exporter:{PASSWORD}@{LOOPBACK}:{server.port}/0"


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Start each server once."""
    with redis_server(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Redis]:
    """Give a client with all rights, of an emptied server without users."""
    with Redis(port=server.port) as client:
        client.flushall()
        client.config_set("notify-keyspace-events", "")
        client.acl_deluser("exporter")
        yield client


def add_streams(client: Redis) -> None:
    """Add an event to each stream."""
    for name in STREAMS:
        client.xadd(name, {"event_type": "learn"})


def everything_works(url: str, load: KatoLoad, client: Redis) -> TrackerState:
    """Run an exporter and a tracker with a URL; both must follow a few sessions."""
    with tracking(url, manage=False) as tracked:
        keys = load.create(client, 5)
        load.delete(client, keys[:2])
        load.let_expire(client, keys[2:3])
        return tracked.until(
            lambda state: state.accounts.created == 5 and sum(state.accounts.ended.values()) == 3,
            what="five sessions began, three ended",
        )


def test_the_account_for_everything_serves_everything(
    server: Server, client: Redis, tmp_path: Path
) -> None:
    """Events, scans, records, INFO: an exporter with exactly this account lacks nothing."""
    client.config_set("notify-keyspace-events", "Egxen")
    client.sadd("kato:session:_active_index", "a", "b")
    add_streams(client)
    url = make_user(server, account("everything"))
    load = KatoLoad(server.port)
    load.create(client, 7)
    with ExitStack() as stack:
        exporter = RunningExporter(
            tmp_path / "log", KATO_REDIS_URL=url, KATO_SESSIONS_INTERVAL="200ms"
        )
        stack.callback(exporter.kill)
        exporter.until_ready()
        eventually(
            lambda: exporter.scrape().value("kato_session_tracking_info", mode="events"),
            within=PATIENCE,
            what="events are followed",
        )
        load.delete(client, load.create(client, 3))
        eventually(
            lambda: 3 == exporter.scrape().value("kato_sessions_ended_total", reason="deleted"),
            within=PATIENCE,
            what="ends are told",
        )
        samples = exporter.scrape()
        success = samples.by("collector", "kato_exporter_collector_success")
        assert {"sessions": 1, "session_values": 1, "redis": 1, "redis_streams": 1} == success
        assert set(STREAMS) == samples.by("stream", "kato_redis_stream_memory_bytes").keys()
        assert 0 == samples.value("kato_redis_rdb_configured")
        assert 2 == samples.value("kato_session_index_size")
        eventually(
            lambda: (
                7
                == exporter.scrape().value(
                    "kato_exporter_records_skipped", collector="session_values", reason="fields"
                )
            ),
            within=PATIENCE,
            what="seven records have been read",
        )
        assert 0 == exporter.end(), exporter.log
    with closing(RedisStore(url, timeout=1.0)) as store:
        assert () == store.report().lacking


def test_the_readme_has_the_account_for_everything() -> None:
    """What a hurried reader copies is what is tested."""
    readme = (DOCUMENT.parents[1] / "README.md").read_text()

    assert (
        f"ACL SETUSER exporter {' '.join(account('everything'))}\n".replace(PASSWORD, "PASSWORD")
        in readme
    )


def test_the_account_for_everything_cannot_change_the_setting(
    server: Server, client: Redis
) -> None:
    """It reads notify-keyspace-events and may not set it, nor write or read other keys."""
    url = make_user(server, account("everything"))
    with closing(RedisStore(url, timeout=1.0)) as store, Redis.from_url(url) as own:
        assert frozenset() == store.notification_flags()
        with pytest.raises(QueryError, match="not permitted"):
            store.set_notification_flags(frozenset("Egxen"))
        for command in (
            ("SET", "kato:session:session-x", "1"),
            ("DEL", "kato:session:session-x"),
            ("STRLEN", "alice_kato:frequency:x"),
            ("XRANGE", "stm:global", "-", "+"),
            ("XLEN", "stm:other"),
            ("MEMORY", "STATS"),
            ("FLUSHDB",),
        ):
            with pytest.raises(NoPermissionError):
                own.execute_command(*command)
    client.ping()


def test_the_account_for_managed_notifications_sets_and_takes_back(
    server: Server, client: Redis
) -> None:
    """With the second account the exporter turns notifications on, counts, and turns them off."""
    url = make_user(server, account("managed"))
    load = KatoLoad(server.port)
    with tracking(url, manage=True) as tracked:
        load.delete(client, load.create(client, 3))
        state = tracked.until(
            lambda state: state.accounts.ended["deleted"] == 3, what="ends are told"
        )
    assert "events" == state.mode
    assert "" == client.config_get("notify-keyspace-events")["notify-keyspace-events"]


def test_the_account_for_scans_counts_by_scan(server: Server, client: Redis) -> None:
    """Without CONFIG and events the third account counts what a scan finds."""
    client.config_set("notify-keyspace-events", "Egxen")
    url = make_user(server, account("scan"))
    load = KatoLoad(server.port)
    with tracking(url, interval=0.2) as tracked:
        keys = load.create(client, 3)
        tracked.until(lambda state: state.accounts.created == 3, what="begins are found")
        load.delete(client, keys)
        state = tracked.until(
            lambda state: state.accounts.ended["unknown"] == 3, what="ends are found"
        )
    assert "scan" == state.mode


def questions_lack(url: str, key: bytes, *, events: bool) -> list[str]:
    """Ask whatever the exporter asks; give what did not work."""
    with closing(RedisStore(url, timeout=1.0)) as store:
        questions: dict[str, Callable[[], object]] = {
            "probe": lambda: store.probe(Deadline.after(1)),
            "info": store.info,
            "clock": store.clock_offset,
            "scan": lambda: store.scan_sessions(0),
            "types": lambda: store.foreign_keys([key]),
            "values": lambda: next(iter(store.session_values([key]))),
            "index": store.session_index_size,
            "streams": lambda: store.scan_processor_streams(0),
            **{f"size of {name}": partial(_measure, store, name) for name in STREAMS},
        }
        if events:
            questions["flags"] = store.notification_flags
            questions["feed"] = lambda: _hear(store)
        lacking = []
        for name, question in questions.items():
            try:
                question()
            except (StoreError, StopIteration):
                lacking.append(name)
        return lacking


def _measure(store: RedisStore, stream: str) -> None:
    [size] = store.stream_sizes([stream.encode()]).values()
    if size is None or size.memory is None:
        raise StoreError("not measured")


def _hear(store: RedisStore) -> None:
    with closing(store.session_events(EVENTS)) as feed:
        list(feed.catch_up())


@pytest.mark.parametrize("name", ["everything", "scan"])
def test_the_accounts_have_no_right_too_many(server: Server, client: Redis, name: str) -> None:
    """Each right by itself is needed: without it something does not work."""
    rules = account(name)
    [key] = KatoLoad(server.port).create(client, 1)
    add_streams(client)
    events = name == "everything"
    assert [] == questions_lack(make_user(server, rules), key, events=events)
    needless = [
        right
        for right in rules
        if right[0] in "+&%"
        and right != "+pttl"  # see the test below
        and not questions_lack(
            make_user(server, [each for each in rules if each != right]), key, events=events
        )
    ]

    assert [] == needless


@pytest.mark.parametrize("right", ["+strlen", "+pttl", "%R~kato:session:*"])
def test_a_right_that_records_need_is_asked_for(server: Server, client: Redis, right: str) -> None:
    """Where records may not be read the store says so, and does not claim that there are none."""
    rules = [each for each in account("everything") if each != right]
    [key] = KatoLoad(server.port).create(client, 1)
    with (
        closing(RedisStore(make_user(server, rules), timeout=1.0)) as store,
        pytest.raises(QueryError),
    ):
        list(store.session_values([key]))


def test_a_unix_socket_serves_everything(tmp_path: Path) -> None:
    """A URL of the form unix:// follows sessions by events."""
    path = tmp_path / "s"
    with (
        redis_server("redis7", tmp_path / "redis", "--unixsocket", str(path)) as server,
        Redis(port=server.port) as client,
    ):
        client.config_set("notify-keyspace-events", "Egxen")
        state = everything_works(f"unix://{path}?db=0", KatoLoad(server.port), client)

    assert "events" == state.mode
    assert {"created": 0, "ended": 0} == state.accounts.missed


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Make a certificate authority."""
    return trustme.CA()


@pytest.fixture(scope="module")
def tls_server(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, int]]:
    """Start a Redis 7 with a TLS port: of our servers the only one that is built with TLS."""
    directory = tmp_path_factory.mktemp("tls")
    certificate = authority.issue_cert(LOOPBACK)
    certificate.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    port = free_port()
    arguments = (
        *("--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", str(directory / "server.pem")),
        *("--tls-key-file", str(directory / "server.pem")),
        *("--tls-ca-cert-file", str(directory / "ca.pem")),
    )
    with redis_server("redis7", directory, *arguments) as server:
        yield server, port


def test_tls_serves_everything(tls_server: tuple[Server, int]) -> None:
    """A URL of the form rediss:// with the authority's certificate follows sessions by events."""
    server, port = tls_server
    with Redis(port=server.port) as client:
        client.config_set("notify-keyspace-events", "Egxen")
        url = f"rediss://{LOOPBACK}:{port}/0?ssl_ca_certs={server.directory / 'ca.pem'}"
        state = everything_works(url, KatoLoad(server.port), client)

    assert "events" == state.mode
    assert {"created": 0, "ended": 0} == state.accounts.missed


def test_an_unknown_authority_is_refused(tls_server: tuple[Server, int], tmp_path: Path) -> None:
    """A server whose certificate somebody else has signed gets no question."""
    _, port = tls_server
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    url = f"rediss://{LOOPBACK}:{port}/0?ssl_ca_certs={stranger}"
    with (
        closing(RedisStore(url, timeout=1.0)) as store,
        pytest.raises(StoreError, match="certificate verify failed"),
    ):
        store.probe(Deadline.after(1))


def test_tls_spoken_to_a_plain_port_is_an_error(tls_server: tuple[Server, int]) -> None:
    """And so is the plain protocol on a TLS port; neither hangs."""
    server, port = tls_server
    for url in (f"rediss://{LOOPBACK}:{server.port}/0", f"redis://{LOOPBACK}:{port}/0"):
        with closing(RedisStore(url, timeout=1.0)) as store, pytest.raises(StoreError):
            store.probe(Deadline.after(1))


def test_server_and_sentinel_have_accounts_of_their_own(tmp_path: Path) -> None:
    """The user of the URL is the server's; the Sentinels have theirs in the options."""
    with (
        redis_server("redis7", tmp_path / "master") as master,
        sentinel(tmp_path / "sentinel", master.port, "requirepass sentinel-word") as watcher,
    ):
        user = urlsplit(make_user(master, account("everything"))).netloc.partition("@")[0]
        url = f"redis+sentinel://{user}@{LOOPBACK}:{watcher.port}/{SERVICE}"
        with closing(RedisStore(f"{url}?sentinel_password=sentinel-word", timeout=1.0)) as store:
            assert () == store.report().lacking
        for wrong in (url, f"{url}?sentinel_password=wr0ng-word"):
            with (
                closing(RedisStore(wrong, timeout=1.0)) as store,
                pytest.raises(StoreError, match=f"{LOOPBACK}:{watcher.port}: ") as error,
            ):
                store.probe(Deadline.after(1))
            for secret in (PASSWORD, "wr0ng-word"):
                assert secret not in str(error.value)


def test_the_account_for_a_sentinel_serves(tmp_path: Path) -> None:
    """It finds the master, and can do nothing else with the Sentinel."""
    with (
        redis_server("redis7", tmp_path / "master") as master,
        sentinel(tmp_path / "sentinel", master.port) as watcher,
    ):
        make_user(watcher, account("sentinel"))
        options = f"sentinel_username=exporter&sentinel_password={PASSWORD}"
        url = f"redis+sentinel://{LOOPBACK}:{watcher.port}/{SERVICE}?{options}"
        with closing(RedisStore(url, timeout=1.0)) as store:
            store.probe(Deadline.after(1))
        with (
            Redis(port=watcher.port, username="exporter", password=PASSWORD) as own,
            pytest.raises(NoPermissionError),
        ):
            own.execute_command("SENTINEL", "FAILOVER", SERVICE)


def test_tls_is_spoken_to_sentinels_and_server(
    tls_server: tuple[Server, int], tmp_path: Path
) -> None:
    """With rediss+sentinel:// both connections are encrypted, with the same authority."""
    server, port = tls_server
    own_port = free_port()
    lines = (
        f"tls-port {own_port}",
        "tls-replication yes",
        "tls-auth-clients no",
        f"tls-cert-file {server.directory / 'server.pem'}",
        f"tls-key-file {server.directory / 'server.pem'}",
        f"tls-ca-cert-file {server.directory / 'ca.pem'}",
    )
    with sentinel(tmp_path / "sentinel", port, *lines) as watcher:
        place = f"{LOOPBACK}:{own_port}/{SERVICE}?ssl_ca_certs={server.directory / 'ca.pem'}"
        with closing(RedisStore(f"rediss+sentinel://{place}", timeout=1.0)) as store:
            assert server.port == store.info()["tcp_port"]
        for wrong in (
            f"redis+sentinel://{place}".partition("?")[0],
            f"rediss+sentinel://{place}".replace(str(own_port), str(watcher.port)),
            f"rediss+sentinel://{place}".partition("?")[0],
        ):
            with (
                closing(RedisStore(wrong, timeout=1.0)) as store,
                pytest.raises(StoreError, match="no Sentinel names a master"),
            ):
                store.probe(Deadline.after(1))
