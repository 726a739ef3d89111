"""The accounts file, passwords, the command that makes an account, and the closed door."""

import ipaddress
import json
import threading
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, strategies
from structlog.testing import capture_logs
from werkzeug import Request
from werkzeug.security import generate_password_hash
from werkzeug.test import EnvironBuilder

from kato_exporter.browser.access import passwords
from kato_exporter.browser.access.account_command import account as account_command
from kato_exporter.browser.access.accounts import (
    Account,
    Accounts,
    AccountsError,
    account_lines,
    parse_accounts,
    refuse_open_door,
)
from kato_exporter.browser.access.passwords import (
    PasswordDesk,
    TooBusyError,
    unfit_hash,
    unfit_password,
)
from kato_exporter.browser.access.trusted_proxy import TrustedProxies
from kato_exporter.setting_kinds import Address, Networks

FILE = Path("accounts.toml")
PASSWORD = "correct horse battery"
CHEAP = generate_password_hash(PASSWORD, "scrypt:1024:8:1")
HASH = "scrypt:65536:8:2$0123456789abcdef$" + "a" * 128
GOOD = f'[alice]\nrole = "editor"\npassword = "{HASH}"\n\n[bob]\nrole = "viewer"\n'


def problem(text: str | bytes) -> str:
    """Return the message about a text that is no accounts file, without the file's name."""
    content = text.encode() if isinstance(text, str) else text
    with pytest.raises(AccountsError) as caught:
        parse_accounts(FILE, content)
    return str(caught.value).removeprefix(f"{FILE}: ")


def test_accounts_have_a_role_and_a_password_or_none() -> None:
    """Without a password the user comes in by a trusted proxy only."""
    expected = {"alice": Account("alice", "editor", HASH), "bob": Account("bob", "viewer")}
    assert expected == parse_accounts(FILE, GOOD.encode())


def test_a_hash_is_not_in_what_is_shown_of_an_account() -> None:
    """A traceback or a log may show it."""
    assert "scrypt" not in repr(Account("alice", "editor", HASH))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no account; make its lines with `kato-exporter account NAME --role viewer`"),
        ("[alice", "is not TOML: Expected ']' at the end of a table declaration"),
        ("[a]\nrole='viewer'\n[a]\n", "is not TOML: Cannot declare ('a',) twice"),
        (b"\xff", "is not TOML: no UTF-8"),
        ("a = " + "[" * 5_000, "is nested too deeply"),
        ("[alice]", '[alice] role: is missing; give "viewer" or "editor"'),
        ('[alice]\nrole = "admin"', '[alice] role: is \'admin\'; give "viewer" or "editor"'),
        ("[alice]\nrole = true", '[alice] role: is True; give "viewer" or "editor"'),
        ('[alice]\nrolle = "viewer"', "[alice] 'rolle': is unknown; did you mean role?"),
        ("[alice]\nx = 1", "[alice] 'x': is unknown; known are role and password"),
        (
            '[alice.smith]\nrole = "viewer"',
            "[alice] 'smith': is a table in a table; a name with a dot is quoted: [",
        ),
        ('alice = "hunter2"', "[alice]: is no table; write [alice] and below it the role"),
        (
            '["a b"]\nrole = "viewer"',
            '["a b"]: the name must be 1 to 100 letters, digits and signs of ASCII, without',
        ),
    ],
)
def test_what_is_wrong_with_a_file(text: str | bytes, message: str) -> None:
    """One line that says where, what and what is right."""
    assert message == problem(text)[: len(message)]
    assert "\n" not in problem(text)


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ("hunter2", "is no scrypt hash"),
        (7, "is no text"),
        (HASH[:-1], "is no scrypt hash"),
        (HASH.replace("scrypt", "pbkdf2"), "is no scrypt hash"),
        (HASH.replace("65536:8:2", "32768:8:1"), "is a scrypt hash that is too cheap to guess"),
        (HASH.replace("65536:8:2", "65536:4:4"), "is a scrypt hash that is too cheap to guess"),
        (HASH.replace("65536", "131071"), "is a scrypt hash that is too cheap to guess"),
        (HASH.replace("65536", "16777216"), "is a scrypt hash that takes too much memory or time"),
        (HASH.replace("8:2", "8:999"), "is a scrypt hash that takes too much memory or time"),
    ],
)
def test_a_password_must_be_a_strong_hash(stored: object, reason: str) -> None:
    """The message tells how to make one, and never shows what was given."""
    text = f'[alice]\nrole = "viewer"\npassword = {json.dumps(stored)}'
    expected = (
        f"[alice] password: the value (not shown) {reason}; "
        "make its lines with `kato-exporter account alice --role viewer`"
    )
    assert expected == problem(text)


@pytest.mark.parametrize("cost", ["131072:8:1", "65536:8:2", "32768:8:3", "16384:8:5", "8192:8:10"])
def test_each_setting_of_owasp_is_strong_enough(cost: str) -> None:
    """They are equal ways to spend memory and time."""
    assert unfit_hash(HASH.replace("65536:8:2", cost)) is None


@given(strategies.binary() | strategies.text().map(str.encode))
def test_no_file_is_a_fault(content: bytes) -> None:
    """Whatever a file holds, it is read or refused with a message."""
    with suppress(AccountsError):
        parse_accounts(FILE, content)


def test_a_changed_file_is_taken_up(tmp_path: Path) -> None:
    """Whoever is taken out of it is out, without a restart."""
    file = tmp_path / "accounts.toml"
    file.write_text(GOOD)
    accounts = Accounts.of_file(file)
    assert accounts.find("alice") is not None
    file.write_text('[bob]\nrole = "editor"\n')
    with capture_logs() as logs:
        assert accounts.find("alice") is None
        assert Account("bob", "editor") == accounts.find("bob")
    assert ["took up changed accounts"] == [entry["event"] for entry in logs]


@pytest.mark.parametrize("spoil", [lambda file: file.write_text("[alice"), Path.unlink])
def test_a_file_that_is_broken_later_changes_nothing(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    """The accounts stay as they were, and the log says so, once."""
    file = tmp_path / "accounts.toml"
    file.write_text(GOOD)
    accounts = Accounts.of_file(file)
    spoil(file)
    with capture_logs() as logs:
        assert accounts.find("alice") is not None
        assert accounts.find("mallory") is None
    assert ["keeps the accounts from before"] == [entry["event"] for entry in logs]
    assert str(file) in logs[0]["error"]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """The start ends with what is wrong."""
    with pytest.raises(AccountsError, match="gone: cannot be read: No such file or directory;"):
        Accounts.of_file(tmp_path / "gone")


def test_an_account_for_this_run() -> None:
    """It has a password that nobody can guess and another one each time."""
    accounts, password = Accounts.for_this_run()
    _, other = Accounts.for_this_run()
    operator = accounts.find("operator")
    assert operator is not None
    assert "editor" == operator.role
    assert PasswordDesk().check(password, operator.password, [])
    assert not PasswordDesk().check(other, operator.password, [])
    assert unfit_hash(operator.password or "") is None
    assert 24 == len(password)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "::ffff:127.0.0.1"])
def test_the_door_may_be_open_to_this_machine(host: str) -> None:
    """Without accounts nobody else can reach it."""
    refuse_open_door(Address(host, 8098), Accounts({}))


@pytest.mark.parametrize("host", ["::", "10.0.0.1", "kato.example", "128.0.0.1", ""])
def test_the_door_is_closed_to_others_without_accounts(host: str, tmp_path: Path) -> None:
    """The message names the setting and what to do; with a file of accounts all is well."""
    address = Address(host, 8098)
    with pytest.raises(AccountsError, match="KATO_BROWSER_ACCOUNTS_FILE is not set, and on") as no:
        refuse_open_door(address, Accounts({}))
    assert str(address) in str(no.value)
    file = tmp_path / "accounts.toml"
    file.write_text(GOOD)
    refuse_open_door(address, Accounts.of_file(file))


def test_proxies_bring_in_others() -> None:
    """Behind a proxy an address of this machine is reached from elsewhere."""
    with pytest.raises(AccountsError, match="with trusted proxies everybody needs an account"):
        refuse_open_door(Address("127.0.0.1", 8098), Accounts({}), behind_proxies=True)


def test_a_password_is_the_same_however_it_is_typed() -> None:
    """Keyboards compose characters in different ways."""
    stored = generate_password_hash("stra\u00dfe \u00e9t\u00e9", "scrypt:1024:8:1")
    assert PasswordDesk().check("stra\u00dfe e\u0301te\u0301", stored, [])
    assert not PasswordDesk().check("strasse ete", stored, [])


def test_who_has_no_password_never_comes_in() -> None:
    """The same work is done as for others, by the dearest of their hashes."""
    assert not PasswordDesk().check(PASSWORD, None, [CHEAP])
    assert CHEAP == passwords.dearest([CHEAP.replace("1024", "512"), "odd", CHEAP])
    assert unfit_hash(passwords.dearest([])) is None


def test_passwords_are_checked_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait for their turn."""
    inside: list[int] = []
    found_inside: list[int] = []

    def slow(_stored: str, _password: str) -> bool:
        inside.append(1)
        time.sleep(0.01)  # gives the others the time to come in, if they could
        found_inside.append(len(inside))
        inside.pop()
        return True

    monkeypatch.setattr(passwords, "check_password_hash", slow)
    desk = PasswordDesk()
    with ThreadPoolExecutor(4) as pool:
        checks = [pool.submit(desk.check, PASSWORD, CHEAP, []) for _ in range(4)]
        assert [True] * 4 == [check.result(timeout=10) for check in checks]
    assert [1] * 4 == found_inside


def test_too_many_at_once_are_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, so that they hold up nobody; the place is free again afterwards."""
    entered, leave = threading.Event(), threading.Event()

    def slow(_stored: str, _password: str) -> bool:
        entered.set()
        return leave.wait(10)

    monkeypatch.setattr(passwords, "check_password_hash", slow)
    desk = PasswordDesk(most=1)
    with ThreadPoolExecutor(1) as pool:
        check = pool.submit(desk.check, PASSWORD, CHEAP, [])
        assert entered.wait(10)
        with pytest.raises(TooBusyError):
            desk.check(PASSWORD, CHEAP, [])
        leave.set()
        assert check.result(timeout=10)
    assert desk.check(PASSWORD, CHEAP, [])


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("1234567", "it has fewer than 8 characters; 15 or more are better"),
        ("12345678", "it is among the first that everybody tries"),
        ("QWERTYUIOP", "it is among the first that everybody tries"),
        ("aaaaaaaaab", "it is among the first that everybody tries"),
        ("Alice.Smith", "it is the name"),
        ("\udcff" * 9, "it is not text in UTF-8"),
        ("tr0ub4dor&3", None),
        ("ein Satz mit Leerzeichen", None),
    ],
)
def test_which_passwords_are_good_enough(password: str, reason: str | None) -> None:
    """Length counts; there are no rules about kinds of characters."""
    assert reason == unfit_password(password, "alice.smith")


def run(*arguments: str, given: str = f"{PASSWORD}\n") -> Result:
    """Run the command with a password on its standard input."""
    return CliRunner().invoke(account_command, arguments, input=given)


@pytest.mark.parametrize("name", ["alice", "alice@kato.example", 'a"b\\c'])
def test_the_command_prints_lines_for_the_file(name: str) -> None:
    """They are an account that is right, whose password is the one given."""
    result = run(name, "--role", "editor")
    assert 0 == result.exit_code, result.output
    assert "" == result.stderr
    account = parse_accounts(FILE, result.stdout.encode())[name]
    assert ("editor", name) == (account.role, account.name)
    assert PasswordDesk().check(PASSWORD, account.password, [])


def test_the_command_makes_viewers_where_no_role_is_given() -> None:
    """A password that is not long is taken, with advice that is not in the lines."""
    result = run("bob", given="tr0ub4dor&3\r\n")
    assert "It is accepted; 15 or more characters are better.\n" == result.stderr
    assert "viewer" == tomllib.loads(result.stdout)["bob"]["role"]
    account = parse_accounts(FILE, result.stdout.encode())["bob"]
    assert PasswordDesk().check("tr0ub4dor&3", account.password, [])


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        (("a b",), PASSWORD, "Error: the name must be 1 to 100 letters"),
        (("alice",), "short", "Error: the password is not good enough: it has fewer than 8"),
        (("alice",), "", "Error: the password is not good enough: it has fewer than 8"),
        (("alice", "--role", "admin"), PASSWORD, "'admin' is not one of 'viewer', 'editor'."),
    ],
)
def test_the_command_refuses(arguments: tuple[str, ...], given: str, message: str) -> None:
    """Nothing is printed that could go into a file."""
    result = run(*arguments, given=given)
    assert 2 == result.exit_code
    assert "" == result.stdout
    assert message in result.stderr


def test_lines_are_read_as_they_were_written() -> None:
    """Names that TOML must have in quotes, too."""
    account = Account("x.y@z", "viewer", HASH)
    assert {"x.y@z": account} == parse_accounts(FILE, account_lines(account).encode())


TRUSTED: Networks = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


def request(peer: str, **headers: str) -> Request:
    """Make a request from a peer, with headers whose names have _ for -."""
    given = [(name.replace("_", "-"), value) for name, value in headers.items()]
    environ = EnvironBuilder(headers=given).get_environ()
    return Request(environ | {"REMOTE_ADDR": peer})


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.7, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "10.9.9.9, 10.0.0.2", "10.9.9.9"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("fd00::1", "[2001:db8::9]:4711", "2001:db8::9"),
        ("10.0.0.1", "2001:db8::9", "2001:db8::9"),
        ("10.0.0.1", "203.0.113.9, <script>", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("", "203.0.113.9", ""),
    ],
)
def test_the_client_behind_proxies(peer: str, forwarded: str, client: str) -> None:
    """It is the last address that no trusted proxy has; what stands before is not believed."""
    proxies = TrustedProxies(TRUSTED)
    assert client == proxies.client(request(peer, X_Forwarded_For=forwarded))


def test_a_proxy_names_the_user() -> None:
    """Only from a trusted address, and only in the header that is set."""
    proxies = TrustedProxies(TRUSTED, "X-Forwarded-User")
    assert "alice" == proxies.user_name(request("10.0.0.1", X_Forwarded_User=" alice "))
    assert proxies.user_name(request("192.0.2.1", X_Forwarded_User="alice")) is None
    assert proxies.user_name(request("", X_Forwarded_User="alice")) is None
    assert proxies.user_name(request("10.0.0.1", Remote_User="alice")) is None
    assert proxies.user_name(request("10.0.0.1", X_Forwarded_User="  ")) is None
    silent = TrustedProxies(TRUSTED)
    assert silent.user_name(request("10.0.0.1", X_Forwarded_User="alice")) is None


def test_a_header_without_proxies_is_a_mistake() -> None:
    """Nobody's word would count."""
    with pytest.raises(ValueError, match="KATO_BROWSER_TRUSTED_PROXIES is not; name the proxies"):
        TrustedProxies(user_header="X-Forwarded-User")
