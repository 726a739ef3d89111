"""Compares the exporter's account of sessions with the truth again and again in a run."""

import time

from soak.session_accounts import (
    Account,
    Checkpoint,
    Told,
    complaints,
    complaints_after_blindness,
    complaints_in_clear_sight,
)
from soak.working import Working
from support.exporting import RunningExporter
from support.exposition import Samples
from support.waiting import eventually

PATIENCE = 60.0
_STEADY_SECONDS = 0.3
_POLL_SECONDS = 0.05


class SessionAudit:
    """Checks the account at `checkpoints`, of which `last` is the last; the work is held meanwhile.

    It begins before the work does.
    """

    def __init__(self, exporter: RunningExporter, working: Working) -> None:
        self.checkpoints = 1
        self._exporter = exporter
        self._working = working
        self._start = Account.of_truth(working.truth()).active
        self.first = self.last = self._steady()
        assert [] == list(complaints(self.last))

    def assert_nothing_lost(self) -> None:
        """Assert that since the last checkpoint the exporter has counted all there was."""
        with self._working.held():
            now = self._settled(self.last)
            assert [] == list(complaints_in_clear_sight(self.last, now))
            self._pass(now)

    def assert_loss_declared(self) -> None:
        """Assert that all is told that can be known of a time in which Redis was not seen."""
        created = self._ask().account.created
        eventually(
            lambda: self._ask().account.created > created,
            within=PATIENCE,
            what="the exporter sees sessions begin again",
        )
        with self._working.held():
            now = self._steady()
            assert [] == list(complaints_after_blindness(self.last, now))
            self._pass(now)

    def _pass(self, now: Checkpoint) -> None:
        self.last = now
        self.checkpoints += 1

    def _ask(self) -> Told:
        """Ask for the sessions alone, again while the exporter cannot see them."""

        def ask() -> Told | None:
            return Told.of(Samples.of(self._exporter.get("/metrics?collect[]=sessions").text))

        return eventually(ask, within=PATIENCE, what="the exporter sees the sessions")

    def _look(self) -> Checkpoint:
        """Take both accounts, while the work is held."""
        return Checkpoint(self._start, self._ask(), Account.of_truth(self._working.truth()))

    def _settled(self, before: Checkpoint) -> Checkpoint:
        """Wait until the exporter is not further behind than before; give up, and tell by how much.

        What is on its way, or about to expire, makes it late.
        """
        give_up_at = time.monotonic() + PATIENCE
        while (now := self._look()).behind != before.behind and time.monotonic() < give_up_at:
            time.sleep(_POLL_SECONDS)
        return now

    def _steady(self) -> Checkpoint:
        """Wait until all that is on its way has been booked, and all that is due has expired."""
        before, since = self._look(), time.monotonic()

        def steady() -> Checkpoint | None:
            nonlocal before, since
            now = self._look()
            if now.told != before.told:
                before, since = now, time.monotonic()
            is_steady = time.monotonic() - since >= _STEADY_SECONDS
            return now if is_steady and not now.behind.active else None

        return eventually(steady, within=PATIENCE, what="the sessions told are those alive")
