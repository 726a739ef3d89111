"""The accounts of the record browser: names, roles and password hashes, in a TOML file.

    [alice]
    role = "editor"
    password = "scrypt:65536:8:2$..."

The file is read again when it changes, so that whoever is taken out of it is out at once.
"""

import difflib
import ipaddress
import json
import re
import secrets
import shlex
import threading
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import structlog

from kato_exporter.browser.access.passwords import hash_password, unfit_hash
from kato_exporter.setting_kinds import Address

_log = structlog.get_logger("browser")

Role = Literal["viewer", "editor"]
ROLES: tuple[Role, ...] = ("viewer", "editor")

THIS_RUNS_USER = "operator"

_NAME = re.compile(r"[!-9;-~]{1,100}")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_KEYS = ("role", "password")
_MOST_SHOWN = 40


class AccountsError(ValueError):
    """The accounts cannot be used: one line with file, account, key, value and what is right.

    A password or its hash is never in it.
    """


@dataclass(frozen=True, slots=True)
class Account:
    """Who may come in, and as what; without a hash only where a trusted proxy names the user."""

    name: str
    role: Role
    password: str | None = field(default=None, repr=False)


class Accounts:
    """The accounts as they are now."""

    def __init__(self, accounts: Mapping[str, Account], file: Path | None = None) -> None:
        self._accounts = accounts
        self._file = file
        self._content = b""
        self._complaint = ""
        self._lock = threading.Lock()

    @classmethod
    def of_file(cls, file: Path) -> Self:
        """Read the accounts file; raise AccountsError where it is not right."""
        accounts = cls({}, file)
        accounts._renew(file)
        return accounts

    @classmethod
    def for_this_run(cls) -> tuple[Self, str]:
        """Make one account, an editor, with a password that only this process knows."""
        password = secrets.token_urlsafe(18)
        account = Account(THIS_RUNS_USER, "editor", hash_password(password))
        return cls({account.name: account}), password

    @property
    def from_file(self) -> bool:
        """Whether somebody has set them up."""
        return self._file is not None

    def find(self, name: str) -> Account | None:
        """Give the account of this name, None where there is none."""
        return self._current().get(name)

    def hashes(self) -> list[str]:
        """Give the hashes of all passwords."""
        return [each.password for each in self._current().values() if each.password is not None]

    def _current(self) -> Mapping[str, Account]:
        """Give what the file says now; where that cannot be used, what it said before."""
        if self._file is None:
            return self._accounts
        with self._lock:
            try:
                if self._renew(self._file):
                    _log.info("took up changed accounts", file=str(self._file))
                self._complaint = ""
            except AccountsError as error:
                if str(error) != self._complaint:
                    self._complaint = str(error)
                    _log.warning("keeps the accounts from before", error=self._complaint)
            return self._accounts

    def _renew(self, file: Path) -> bool:
        try:
            content = file.read_bytes()
        except OSError as error:
            problem = f"cannot be read: {error.strerror}; name a readable file"
            raise AccountsError(f"{file}: {problem}") from error
        changed = content != self._content
        if changed:
            self._accounts = parse_accounts(file, content)
            self._content = content
        return changed


def parse_accounts(file: Path, content: bytes) -> dict[str, Account]:
    """Read the text of an accounts file, by name; raise AccountsError where it is not right."""
    try:
        tables = tomllib.loads(content.decode())
    except ValueError as error:
        reason = "no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise AccountsError(f"{file}: is not TOML: {reason}") from error
    except RecursionError as error:
        raise AccountsError(f"{file}: is nested too deeply") from error
    if not tables:
        raise AccountsError(f"{file}: has no account; {_advice('NAME')}")
    return {name: _account(file, name, table) for name, table in tables.items()}


def _account(file: Path, name: str, table: Any) -> Account:
    place = f"{file}: [{_spelled(name)}]"
    if problem := unfit_name(name):
        raise AccountsError(f"{place}: the name {problem}")
    if not isinstance(table, dict):
        raise AccountsError(f"{place}: is no table; write [{_spelled(name)}] and below it the role")
    for key in table:
        _check_key(place, name, key, table[key])
    role = next((role for role in ROLES if role == table.get("role")), None)
    if role is None:
        given = f"is {_shown(table['role'])}" if "role" in table else "is missing"
        raise AccountsError(f"{place} role: {given}; give {' or '.join(map(json.dumps, ROLES))}")
    stored = table.get("password")
    if stored is not None and (
        problem := unfit_hash(stored) if isinstance(stored, str) else "is no text"
    ):
        raise AccountsError(f"{place} password: the value (not shown) {problem}; {_advice(name)}")
    return Account(name, role, stored)


def _check_key(place: str, name: str, key: str, value: Any) -> None:
    if key in _KEYS:
        return
    if isinstance(value, dict):
        problem = (
            f"is a table in a table; a name with a dot is quoted: [{json.dumps(f'{name}.{key}')}]"
        )
    else:
        near = difflib.get_close_matches(key, _KEYS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {' and '.join(_KEYS)}"
        problem = f"is unknown; {hint}"
    raise AccountsError(f"{place} {_shown(key)}: {problem}")


def unfit_name(name: str) -> str | None:
    """Say why a name cannot be an account's; None where it can."""
    if _NAME.fullmatch(name):
        return None
    return "must be 1 to 100 letters, digits and signs of ASCII, without spaces and colons"


def account_lines(account: Account) -> str:
    """Spell an account as the accounts file has it."""
    return f'[{_spelled(account.name)}]\nrole = "{account.role}"\npassword = "{account.password}"\n'


def _spelled(name: str) -> str:
    """Spell a name as a key of TOML, on one line."""
    return name if _BARE_KEY.fullmatch(name) else json.dumps(name[: 3 * _MOST_SHOWN])


def _shown(value: Any) -> str:
    return repr(value)[:_MOST_SHOWN]


def _advice(name: str) -> str:
    return f"make its lines with `kato-exporter account {shlex.quote(name)} --role viewer`"


def refuse_open_door(address: Address, accounts: Accounts, *, behind_proxies: bool = False) -> None:
    """Refuse to let others in by a password that was made for whoever started this.

    Raises AccountsError where there is no accounts file and the address is not this machine's own,
    or proxies bring in others.
    """
    if accounts.from_file or (is_loopback(address.host) and not behind_proxies):
        return
    reach = "with trusted proxies" if behind_proxies else f"on {address}, which others can reach,"
    raise AccountsError(
        f"KATO_BROWSER_ACCOUNTS_FILE is not set, and {reach} everybody needs an account; name a "
        "file with accounts, or listen on 127.0.0.1 without trusted proxies"
    )


def is_loopback(host: str) -> bool:
    """Tell whether an address to listen on is reached from this machine only."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
