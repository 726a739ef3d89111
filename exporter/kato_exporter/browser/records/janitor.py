"""Empties the trash of what is too old, now and then."""

import threading

import structlog

from kato_exporter.browser.records.journal import JournalError
from kato_exporter.browser.records.operations import Operations

_log = structlog.get_logger("browser")

_EVERY_SECONDS = 15 * 60


class Janitor:
    """Purges the journal at its start and every quarter of an hour, in a thread of its own."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="janitor", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after what is under way."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._operations.purge()
                self._operations.shrink()
            except JournalError as error:
                _log.warning("the trash could not be emptied", problem=str(error))
            if self._stopped.wait(_EVERY_SECONDS):
                return
