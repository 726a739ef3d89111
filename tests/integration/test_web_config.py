"""The exporter as a child process that serves as a web configuration file says."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bcrypt
import httpx
import pytest
import trustme

from kato_exporter.demo.servers import free_port
from support.exporting import RunningExporter, run_command
from support.exposition import Samples
from support.waiting import eventually

AUTHORITY = trustme.CA()
EXPIRY = datetime(2049, 1, 2, 3, 4, 5, tzinfo=UTC)
EXPIRY_METRIC = "kato_exporter_web_certificate_expiry_timestamp_seconds"
PASSWORD = "correct horse"
USER = ("prometheus", PASSWORD)
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
USERS = f"basic_auth_users:\n  {USER[0]}: {HASH}\n"
TLS = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
PATHS = ("/", "/metrics", "/-/healthy", "/-/ready", "/static/landing.css", "/nowhere")
START_SECONDS = 20.0


def install(folder: Path, not_after: datetime) -> None:
    """Put a certificate for 127.0.0.1 and its key into a folder."""
    certificate = AUTHORITY.issue_cert("127.0.0.1", not_after=not_after)
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")


@pytest.fixture
def web_config(tmp_path: Path) -> Path:
    """Give a web configuration file that asks for TLS and a user."""
    install(tmp_path, EXPIRY)
    file = tmp_path / "web.yml"
    file.write_text(TLS + USERS)
    return file


def settings(web_config: Path) -> dict[str, str]:
    """Give the environment of an exporter whose one store is not there."""
    return {
        "KATO_REDIS_URL": f"redis://127.0.0.1:{free_port()}",
        "KATO_STORE_TIMEOUT": "500ms",
        "KATO_WEB_CONFIG_FILE": str(web_config),
    }


@contextmanager
def serving(web_config: Path) -> Iterator[httpx.Client]:
    """Run an exporter, and give a client of it that trusts the authority."""
    exporter = RunningExporter(web_config.parent / "exporter.log", **settings(web_config))
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    try:
        with httpx.Client(verify=context, trust_env=False, timeout=START_SECONDS) as client:
            client.base_url = httpx.URL(served_url(exporter))
            yield client
        assert 0 == exporter.end(), exporter.log
        assert "Traceback" not in exporter.log
    finally:
        exporter.kill()


def served_url(exporter: RunningExporter) -> str:
    """Read where an exporter serves, as soon as it has said so."""

    def said() -> str:
        assert exporter.process.poll() is None, exporter.log
        return exporter.log.partition(" url=")[2].partition("/metrics ")[0]

    return eventually(said, within=START_SECONDS, what="the exporter serves")


def scrape(client: httpx.Client, path: str = "/metrics") -> Samples:
    """Scrape as the user."""
    response = client.get(path, auth=USER)
    assert 200 == response.status_code, response.text
    return Samples.of(response.text)


def test_metrics_are_for_the_user_only(web_config: Path) -> None:
    """Over https the user gets /metrics; without or with wrong credentials no page is shown."""
    with serving(web_config) as client:
        assert "https" == client.base_url.scheme
        assert 0 == scrape(client).value("kato_store_up", store="redis")
        for path in PATHS:
            response = client.get(path)
            assert (401, "Unauthorized\n") == (response.status_code, response.text)
            assert response.headers["WWW-Authenticate"].startswith("Basic realm=")
            assert 401 == client.get(path, auth=(USER[0], "wrong")).status_code


def test_plain_http_gets_no_metrics(web_config: Path) -> None:
    """A client that speaks http to the TLS port is told so, be its credentials right."""
    with serving(web_config) as client:
        url = client.base_url.copy_with(scheme="http", path="/metrics")
        response = httpx.get(url, auth=USER, trust_env=False)

    assert (400, "This port speaks HTTPS only.\n") == (response.status_code, response.text)


def test_expiry_of_the_certificate(web_config: Path) -> None:
    """The expiry is a metric of every scrape, and that of the renewed certificate after renewal."""
    with serving(web_config) as client:
        assert EXPIRY.timestamp() == scrape(client).value(EXPIRY_METRIC)
        install(web_config.parent, EXPIRY + timedelta(days=90))
        renewed = (EXPIRY + timedelta(days=90)).timestamp()
        assert renewed == scrape(client, "/metrics?collect[]=redis").value(EXPIRY_METRIC)


def test_users_without_tls(web_config: Path) -> None:
    """Without TLS the exporter asks for the user over http, and has no expiry to show."""
    web_config.write_text(USERS)
    with serving(web_config) as client:
        assert "http" == client.base_url.scheme
        assert 401 == client.get("/metrics").status_code
        response = client.get("/metrics", auth=USER)

    assert 200 == response.status_code
    assert EXPIRY_METRIC not in response.text


def test_headers_beside_our_own(web_config: Path) -> None:
    """A header of the file is added once; those that the exporter sets itself stay."""
    headers = "{X-Frame-Options: deny, Content-Security-Policy: none}"
    web_config.write_text(f"http_server_config: {{headers: {headers}}}\n")
    with serving(web_config) as client:
        found = client.get("/metrics").headers

    assert ["deny"] == found.get_list("X-Frame-Options")
    assert ["default-src 'none'; style-src 'self'; frame-ancestors 'none'"] == found.get_list(
        "Content-Security-Policy"
    )


@pytest.mark.parametrize("command", ["serve", "check"])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tls_server_config: [", "line 1: "),
        ("tls: {}", "'tls': is unknown; known are "),
        ("basic_auth_users: {prometheus: hunter2}", "basic_auth_users.'prometheus': the value "),
        (TLS.replace("cert.pem", "gone.pem"), "tls_server_config.cert_file: "),
        (TLS.replace("key.pem", "cert.pem"), "tls_server_config.key_file: "),
    ],
)
def test_broken_file(web_config: Path, command: str, text: str, problem: str) -> None:
    """The start ends with status 2 and one line that names setting, file and place."""
    web_config.write_text(text)

    ended = run_command(command, **settings(web_config))

    beginning = f"kato-exporter: KATO_WEB_CONFIG_FILE (--web-config-file): {web_config}: {problem}"
    assert 2 == ended.returncode
    assert "" == ended.stdout
    assert [line[: len(beginning)] for line in ended.stderr.splitlines()] == [beginning]
    assert "hunter2" not in ended.stderr


def test_check_with_a_good_file(web_config: Path) -> None:
    """A good file changes nothing of what check says of the stores."""
    ended = run_command("check", **settings(web_config))

    assert 1 == ended.returncode, "its one store does not answer"
    assert "no answer" in ended.stdout
    assert "" == ended.stderr
