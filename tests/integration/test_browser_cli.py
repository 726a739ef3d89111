"""The command `kato-exporter browse`: what it refuses to start with, and how it serves."""

import subprocess
import sys
from pathlib import Path

import bcrypt
import httpx
import pytest

from kato_exporter.browser.access.accounts import THIS_RUNS_USER, Account, account_lines
from kato_exporter.browser.access.passwords import hash_password
from support.browsing import PASSWORD, READER, browsing
from support.exporting import environment_with

NOWHERE = "redis://127.0.0.1:1"


def refused(**settings: str) -> str:
    """Give the one line with which it does not start."""
    ended = subprocess.run(
        [sys.executable, "-m", "kato_exporter", "browse"],
        env=environment_with(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 2 == ended.returncode, ended.stderr
    [line] = ended.stderr.splitlines()
    return line


def test_without_a_store_it_says_what_to_set() -> None:
    """A browser of nothing would help nobody."""
    assert "no store is configured: set KATO_HOST (--host)" in refused()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
def test_beyond_loopback_it_wants_accounts(listen: str) -> None:
    """No default account, no open door."""
    line = refused(KATO_REDIS_URL=NOWHERE, KATO_BROWSER_LISTEN=listen)

    assert "KATO_BROWSER_ACCOUNTS_FILE is not set" in line


def test_writes_want_a_directory_that_lasts() -> None:
    """A trash in memory would be a promise that a restart breaks."""
    line = refused(KATO_REDIS_URL=NOWHERE, KATO_BROWSER_WRITABLE="true")

    assert "KATO_BROWSER_WRITABLE is true, and KATO_BROWSER_DATA_DIR is not set" in line


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Where, and what to do."""
    file = tmp_path / "taken"
    file.touch()
    line = refused(KATO_REDIS_URL=NOWHERE, KATO_BROWSER_DATA_DIR=str(file / "below"))

    assert "KATO_BROWSER_DATA_DIR (--browser-data-dir)" in line
    assert str(file) in line


def test_wrong_accounts_are_named_without_their_hash(tmp_path: Path) -> None:
    """File, account, key, and what is right."""
    file = tmp_path / "accounts.toml"
    file.write_text('[alice]\nrole = "admin"\npassword = "hunter2"\n')
    line = refused(KATO_REDIS_URL=NOWHERE, KATO_BROWSER_ACCOUNTS_FILE=str(file))

    assert "KATO_BROWSER_ACCOUNTS_FILE (--browser-accounts-file): " in line
    assert '[alice] role: is \'admin\'; give "viewer" or "editor"' in line
    assert "hunter2" not in line


def test_a_user_header_wants_proxies() -> None:
    """Believed from everybody it would let everybody in."""
    line = refused(KATO_REDIS_URL=NOWHERE, KATO_BROWSER_USER_HEADER="X-Forwarded-User")

    assert "KATO_BROWSER_TRUSTED_PROXIES is not" in line


def test_without_accounts_it_prints_a_password_for_this_run(tmp_path: Path) -> None:
    """Which works, and is an editor's; the stores may all be down."""
    with browsing(tmp_path, KATO_REDIS_URL=NOWHERE, KATO_BROWSER_ACCOUNTS_FILE="") as browser:
        url = browser.url
        [line] = [each for each in browser.log.splitlines() if "Sign in as" in each]
        password = line.split(" with ")[1].split(" ")[0]
        with httpx.Client(auth=(THIS_RUNS_USER, password), trust_env=False) as client:
            home = client.get(url, params={"format": "json"}).json()

    assert [False] == [store["up"] for store in home["stores"]]


def test_users_of_the_web_configuration_guard_the_metrics_alone(tmp_path: Path) -> None:
    """The pages have accounts of their own."""
    hashed = bcrypt.hashpw(b"scrape", bcrypt.gensalt(4)).decode()
    config = tmp_path / "web.yml"
    config.write_text(f"basic_auth_users: {{prometheus: '{hashed}'}}\n")
    with (
        browsing(tmp_path, KATO_REDIS_URL=NOWHERE, KATO_WEB_CONFIG_FILE=str(config)) as browser,
        httpx.Client(base_url=browser.url, trust_env=False) as client,
    ):
        statuses = [
            client.get("/metrics").status_code,
            client.get("/metrics", auth=("prometheus", "scrape")).status_code,
            client.get("/?format=json", auth=(READER, PASSWORD)).status_code,
            client.get("/-/healthy").status_code,
        ]

    assert [401, 200, 200, 200] == statuses


def test_a_header_with_an_underscore_cannot_pass_for_the_proxys(tmp_path: Path) -> None:
    """WSGI knows both by one name; only the one that the proxy sets counts."""
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(account_lines(Account("alice", "editor", hash_password(PASSWORD))))
    with (
        browsing(
            tmp_path / "browser",
            KATO_REDIS_URL=NOWHERE,
            KATO_BROWSER_ACCOUNTS_FILE=str(accounts),
            KATO_BROWSER_TRUSTED_PROXIES="127.0.0.1",
            KATO_BROWSER_USER_HEADER="X-Forwarded-User",
        ) as browser,
        httpx.Client(base_url=browser.url, trust_env=False) as client,
    ):
        forged = client.get("/?format=json", headers={"X_Forwarded_User": "alice"})
        named = client.get("/?format=json", headers={"X-Forwarded-User": "alice"})

    assert 401 == forged.status_code
    assert 200 == named.status_code


def test_open_to_others_without_tls_it_warns(tmp_path: Path) -> None:
    """Once, at the start; not on loopback. A name but `localhost` may lead anywhere."""
    settings = {"KATO_REDIS_URL": NOWHERE}
    with browsing(tmp_path / "a", **settings, KATO_BROWSER_LISTEN="LOCALHOST:0") as browser:
        assert browser.url
        assert "go over the network unencrypted" in browser.log
    with browsing(tmp_path / "b", **settings) as browser:
        assert browser.url
        assert "unencrypted" not in browser.log
