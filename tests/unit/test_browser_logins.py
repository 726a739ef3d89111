"""Who is signed in, who must wait, and where a reader goes after the sign-in."""

import base64

import pytest
from hypothesis import given, strategies
from structlog.testing import capture_logs
from werkzeug.security import check_password_hash, generate_password_hash

from kato_exporter.browser.access import passwords
from kato_exporter.browser.access.accounts import Account, Accounts
from kato_exporter.browser.access.doorkeeper import Doorkeeper, MustWaitError
from kato_exporter.browser.access.logins import Logins
from kato_exporter.browser.access.passwords import PasswordDesk, TooBusyError
from kato_exporter.browser.access.rate_limits import SignInLimits
from kato_exporter.browser.access.way_back import local_address

PASSWORD = "correct horse battery"
ALICE = Account("alice", "editor", generate_password_hash(PASSWORD, "scrypt:1024:8:1"))
CLIENT = "192.0.2.1"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands still."""
    return Clock()


@pytest.fixture
def logins(clock: Clock) -> Logins:
    """Give logins that end after 10 seconds without use, and after 25 in any case."""
    return Logins(idle=10, lifetime=25, clock=clock)


def test_a_login_lasts_while_it_is_used(logins: Logins, clock: Clock) -> None:
    """It ends after its time without use, and does not come back."""
    login_id = logins.begin(ALICE)
    clock.now += 9.9
    assert ALICE == logins.use(login_id)
    clock.now += 4
    assert ALICE == logins.use(login_id)
    clock.now += 10
    assert logins.use(login_id) is None
    clock.now -= 10
    assert logins.use(login_id) is None


def test_a_login_ends_however_much_it_is_used(logins: Logins, clock: Clock) -> None:
    """After its lifetime it is over."""
    login_id = logins.begin(ALICE)
    for _ in range(4):
        clock.now += 6
        assert ALICE == logins.use(login_id)
    clock.now += 1
    assert logins.use(login_id) is None


def test_ids_are_new_and_end_one_by_one(logins: Logins) -> None:
    """One sign-out leaves the user's other logins; an id that is unknown ends nothing."""
    first, second = logins.begin(ALICE), logins.begin(ALICE)
    assert first != second
    assert 43 == len(first), "32 random bytes"
    logins.end("unknown")
    logins.end(first)
    assert logins.use(first) is None
    assert ALICE == logins.use(second)


def test_logins_are_bounded(logins: Logins) -> None:
    """The one that was not used for longest makes room."""
    first, second = logins.begin(ALICE), logins.begin(ALICE)
    logins.use(first)
    for _ in range(999):
        logins.begin(ALICE)
    assert logins.use(second) is None
    assert ALICE == logins.use(first)


def waits(limits: SignInLimits, clock: Clock, attempts: int, *, name: str = "alice") -> list[float]:
    """Fail again and again as soon as one may; return how long each attempt had to wait."""
    waited = []
    for _ in range(attempts):
        wait = limits.attempt(CLIENT, name)
        if wait:
            clock.now += wait
            assert 0 == limits.attempt(CLIENT, name)
        waited.append(wait)
    return waited


def test_waits_of_a_client_double(clock: Clock) -> None:
    """Five failures are free; the wait grows to a quarter of an hour and no further."""
    waited = waits(SignInLimits(clock), clock, 20)
    assert [0, 0, 0, 0, 0, 0] == waited[:6]
    assert [1, 2, 4, 8, 16, 32, 64, 128, 256] == waited[6:15]
    assert 900 == max(waited)


def test_a_client_who_stops_is_forgiven(clock: Clock) -> None:
    """One failure in a quarter of an hour is forgotten."""
    limits = SignInLimits(clock)
    waits(limits, clock, 6)
    assert 0 < limits.attempt(CLIENT, "alice")
    clock.now += 6 * 900
    assert [0, 0, 0, 0, 0] == waits(limits, clock, 5)


def test_one_client_does_not_lock_an_account(clock: Clock) -> None:
    """However long it goes on guessing, the owner elsewhere does not wait."""
    limits = SignInLimits(clock)
    waits(limits, clock, 100)
    assert 0 == limits.attempt("198.51.100.7", "alice")


def test_many_clients_wait_for_one_account(clock: Clock) -> None:
    """Guesses from many addresses add up, and the account of another name is as before."""
    limits = SignInLimits(clock)
    for number in range(21):
        assert 0 == limits.attempt(f"198.51.100.{number}", "alice")
    assert 0 < limits.attempt("203.0.113.1", "alice")
    assert 0 == limits.attempt("203.0.113.1", "bob")


def test_names_that_nobody_has_wait_as_well(clock: Clock) -> None:
    """Otherwise the wait would tell who has an account."""
    limits = SignInLimits(clock)
    assert waits(limits, clock, 12) == waits(SignInLimits(clock), clock, 12, name="nobody")


def test_all_addresses_of_a_network_are_one_client(clock: Clock) -> None:
    """A client of IPv6 has a network of its own."""
    limits = SignInLimits(clock)
    for number in range(6):
        assert 0 == limits.attempt(f"2001:db8:1:2::{number:x}", f"user{number}")
    assert 0 < limits.attempt("2001:db8:1:2:ffff::1", "alice")
    assert 0 == limits.attempt("2001:db8:1:3::1", "alice")


def test_a_success_is_no_failure(clock: Clock) -> None:
    """Signing in often is not guessing."""
    limits = SignInLimits(clock)
    for _ in range(100):
        assert 0 == limits.attempt(CLIENT, "alice")
        limits.forgive(CLIENT, "alice")


def test_failures_are_remembered_in_bounded_memory(clock: Clock) -> None:
    """The least recent make room for others."""
    limits = SignInLimits(clock)
    waits(limits, clock, 6)
    assert 0 < limits.attempt(CLIENT, "alice")
    for number in range(10_000):
        limits.attempt(f"10.0.{number // 256}.{number % 256}", f"user{number}")
    assert 0 == limits.attempt(CLIENT, "alice")


def test_of_long_names_the_beginning_is_remembered(clock: Clock) -> None:
    """Names may be as long as a request."""
    limits = SignInLimits(clock)
    for number in range(21):
        limits.attempt(f"198.51.100.{number}", "x" * 100 + f"{number}")
    assert 0 < limits.attempt("203.0.113.1", "x" * 100)


def basic(name: str, password: str) -> str:
    """Spell a header `Authorization`."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture
def doorkeeper(clock: Clock) -> Doorkeeper:
    """Give a doorkeeper who knows alice, and bob who has no password."""
    return Doorkeeper(Accounts({"alice": ALICE, "bob": Account("bob", "viewer")}), clock=clock)


def test_who_is_admitted(doorkeeper: Doorkeeper) -> None:
    """Name and password must belong to one account that has a password."""
    assert ALICE == doorkeeper.admit("alice", PASSWORD, client=CLIENT)
    for name, password in (("alice", "wrong"), ("bob", ""), ("bob", PASSWORD), ("Alice", PASSWORD)):
        assert doorkeeper.admit(name, password, client=CLIENT) is None


def test_the_right_password_waits_too(doorkeeper: Doorkeeper, clock: Clock) -> None:
    """Otherwise guesses would go on during the wait; afterwards it is right again."""
    for _ in range(6):
        doorkeeper.admit("alice", "wrong", client=CLIENT)
    with pytest.raises(MustWaitError, match=r"Try again in 1 s\.") as wait:
        doorkeeper.admit("alice", PASSWORD, client=CLIENT)
    assert 1 == wait.value.seconds
    clock.now += 1
    assert ALICE == doorkeeper.admit("alice", PASSWORD, client=CLIENT)


def test_credentials_that_were_right_are_remembered(
    doorkeeper: Doorkeeper, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For five minutes a script costs no scrypt, and no waiting for the guesses of others."""
    checked: list[str] = []

    def counted(stored: str, password: str) -> bool:
        checked.append(password)
        return check_password_hash(stored, password)

    monkeypatch.setattr(passwords, "check_password_hash", counted)
    for _ in range(3):
        assert ALICE == doorkeeper.recognise(basic("alice", PASSWORD), client=CLIENT)
    assert [PASSWORD] == checked
    for _ in range(6):
        assert doorkeeper.recognise(basic("alice", "wrong"), client=CLIENT) is None
    assert ALICE == doorkeeper.recognise(basic("alice", PASSWORD), client=CLIENT)
    assert [PASSWORD] + ["wrong"] * 6 == checked
    clock.now += 300
    assert ALICE == doorkeeper.recognise(basic("alice", PASSWORD), client=CLIENT)
    assert [PASSWORD, PASSWORD] == [password for password in checked if password != "wrong"]


def test_credentials_are_remembered_in_bounded_memory(
    doorkeeper: Doorkeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those from longest ago make room, and are checked again."""
    checked: list[str] = []

    def right(_stored: str, password: str) -> bool:
        checked.append(password)
        return True

    monkeypatch.setattr(passwords, "check_password_hash", right)
    for number in range(1_001):
        doorkeeper.recognise(basic("alice", f"{number}"), client=CLIENT)
    doorkeeper.recognise(basic("alice", "1000"), client=CLIENT)
    doorkeeper.recognise(basic("alice", "0"), client=CLIENT)
    assert ["1000", "0"] == checked[1_000:]


def test_being_sent_away_is_no_failure(
    doorkeeper: Doorkeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes while too many passwords are checked may come again soon."""

    def crowded(_desk: PasswordDesk, _password: str, _stored: str, _others: list[str]) -> bool:
        raise TooBusyError

    with monkeypatch.context() as crowd:
        crowd.setattr(PasswordDesk, "check", crowded)
        for _ in range(100):
            with pytest.raises(MustWaitError, match=r"Try again in 2 s\."):
                doorkeeper.admit("alice", PASSWORD, client=CLIENT)
    assert ALICE == doorkeeper.admit("alice", PASSWORD, client=CLIENT)


def test_a_changed_account_is_not_remembered(clock: Clock) -> None:
    """A new password is asked for at once."""
    accounts = {"alice": ALICE}
    doorkeeper = Doorkeeper(Accounts(accounts), clock=clock)
    assert ALICE == doorkeeper.recognise(basic("alice", PASSWORD), client=CLIENT)
    changed = generate_password_hash("another one", "scrypt:1024:8:1")
    accounts["alice"] = Account("alice", "editor", changed)
    assert doorkeeper.recognise(basic("alice", PASSWORD), client=CLIENT) is None


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic !", "Basic YWxpY2U=", "Basic /////w==", f"Bearer {PASSWORD}", "Basic é"],
)
def test_headers_without_credentials(doorkeeper: Doorkeeper, header: str) -> None:
    """They are nobody, and no failure."""
    for _ in range(10):
        assert doorkeeper.recognise(header, client=CLIENT) is None
    assert ALICE == doorkeeper.admit("alice", PASSWORD, client=CLIENT)


def test_what_is_logged_of_failures(doorkeeper: Doorkeeper) -> None:
    """Names of accounts, and of others nothing: it may be a password in the wrong field."""
    with capture_logs() as logs:
        doorkeeper.admit("alice", "wrong", client=CLIENT)
        doorkeeper.admit(PASSWORD, "\nlevel=info event=forged", client=CLIENT)
    refused = {"event": "sign-in refused", "log_level": "warning", "client": CLIENT}
    reason = "wrong name or password"
    assert [
        {**refused, "user": "alice", "reason": reason},
        {**refused, "user": "(no account)", "reason": reason},
    ] == logs


@pytest.mark.parametrize("address", ["/", "/kb/a%20b?after=x%2F&n=1", "/login?next=/kb", "/a//b:c"])
def test_addresses_of_this_site(address: str) -> None:
    """A reader is led back to them."""
    assert address == local_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "kb",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "https://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        " //evil.example",
        "/ /evil.example",
        "/kb\r\nSet-Cookie: a=b",
        "/\u3002evil",
        "/" + "x" * 4_000,
    ],
)
def test_addresses_of_other_sites(address: str) -> None:
    """They lead home."""
    assert "/" == local_address(address)


@given(strategies.text(alphabet="/\\:@?#.\t\n []%evil"))
def test_no_text_leads_away(text: str) -> None:
    """Whatever is given, a web browser stays on this host."""
    address = local_address(text)
    assert address.startswith("/")
    assert not address.startswith(("//", "/\\"))
