"""How a command that serves begins and ends."""

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NoReturn

import click
import structlog

from kato_exporter import __version__
from kato_exporter.setting_kinds import Address

_log = structlog.get_logger("exporter")

_LOOK_AFTER_SECONDS = 0.5
"""A signal that comes right before a wait begins does not end it."""

_SYSTEM_ERROR = re.compile(r"\[Errno -?\d+\] ([^)]*)")


@contextmanager
def refused_address(setting: str, address: Address) -> Iterator[None]:
    """Turn a failure to listen into click.UsageError that names the setting, in both spellings."""
    try:
        yield
    except OSError as error:
        reasons = _SYSTEM_ERROR.findall(str(error)) or [str(error)]
        raise click.UsageError(
            f"{setting}: cannot listen on {address} "
            f"({reasons[-1]}); give a free HOST:PORT of this machine"
        ) from error


def serve_until_told(
    served: AbstractContextManager[object],
    listening: AbstractContextManager[Address],
    url: str,
) -> NoReturn:
    """Serve until a signal, and end the process; `url` has a place for the address."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with served, listening as address:
        _log.info("serving", url=url.format(address), version=__version__)
        while not stopped.wait(_LOOK_AFTER_SECONDS):
            pass
        _log.info("ending")
    sys.stderr.flush()
    os._exit(0)  # a thread that still waits for a store that hangs must not hold up the end
