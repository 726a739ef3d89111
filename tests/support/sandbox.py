"""Runs a program as a unit of systemd confines it: `python -m support.sandbox UNIT PROGRAM ...`.

As far as a process can confine itself: it gains no rights, makes no memory executable that it can
write to, and the system calls that the unit does not allow end as the unit says.
"""

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pyseccomp

from support.systemd_units import Unit

_NO_NEW_PRIVILEGES = 38
_MEMORY_DENY_WRITE_EXECUTE = 65
"""Numbers of prctl."""


def main() -> None:
    """Confine this process, and become the program."""
    name, *command = sys.argv[1:]
    unit = Unit.read(name)
    assert ["EPERM"] == unit.settings["SystemCallErrorNumber"]
    confinement = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    for call in sorted(_allowed(unit)):
        try:
            confinement.add_rule(pyseccomp.ALLOW, call)
        except OSError:  # a call that this machine or this library does not have
            continue
    for setting, number in (
        ("NoNewPrivileges", _NO_NEW_PRIVILEGES),
        ("MemoryDenyWriteExecute", _MEMORY_DENY_WRITE_EXECUTE),
    ):
        assert ["yes"] == unit.settings[setting]
        if ctypes.CDLL(None).prctl(number, 1, 0, 0, 0):
            sys.exit(f"this kernel has no {setting}")
    confinement.load()
    os.execv(command[0], command)  # noqa: S606 - a shell would be confined in its place


def _allowed(unit: Unit) -> set[str]:
    """Give the system calls that a unit allows."""
    sets = _sets()
    allow, refuse = unit.settings["SystemCallFilter"]
    assert refuse.startswith("~")
    refused = {call for each in refuse[1:].split() for call in _calls(each, sets)}
    allowed = {call for each in allow.split() for call in _calls(each, sets)}
    return allowed - refused | set(_calls("@default", sets))


def _sets() -> Mapping[str, list[str]]:
    """Ask systemd for its sets of system calls; a set may name others."""
    said = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager"],  # noqa: S607 - Debian's
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    sets: dict[str, list[str]] = {}
    for line in said.splitlines():
        if line.startswith("@"):
            sets[line.strip()] = members = []
        elif line.startswith("    ") and not line.lstrip().startswith("#"):
            members.append(line.strip())
    return sets


def _calls(name: str, sets: Mapping[str, list[str]]) -> Iterator[str]:
    if name in sets:
        for each in sets[name]:
            yield from _calls(each, sets)
    else:
        yield name


if __name__ == "__main__":
    main()
