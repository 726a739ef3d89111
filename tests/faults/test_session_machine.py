"""Any sequence of what KATO does and what befalls Redis: the totals stay exact or say what is not.

The model knows two sets: the sessions that are on the server, and those that are in the book.
"""

import os
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from kato_exporter.collectors.session_ledger import EndReason
from kato_exporter.demo.servers import LOOPBACK, Server
from support.fault_proxy import FaultProxy
from support.redis_servers import redis_server
from support.session_truth import LONG_TTL, PATIENCE, Totals, Watch, new_key, tracking
from support.waiting import eventually

FULL = bool(os.environ.get("KATO_TEST_FULL"))
INTERVAL = 0.2


class Sessions(RuleBasedStateMachine):
    """Sessions on a real Valkey, followed by a tracker through a proxy."""

    server: Server
    keys = Bundle("keys")

    @initialize(before=st.integers(0, 3))
    def begin(self, before: int) -> None:
        """Start to follow a server that holds some sessions already."""
        self._stack = ExitStack()
        self.client = self._stack.enter_context(Redis(port=self.server.port))
        self.client.flushall()
        self.client.config_resetstat()
        self.client.config_set("notify-keyspace-events", "")
        self.client.config_set("maxmemory", 0)
        self.alive = {new_key() for _ in range(before)}
        self.book = set(self.alive)
        for key in self.alive:
            self._write(key)
        self.proxy = self._stack.enter_context(FaultProxy(self.server.port))
        self.tracked = self._stack.enter_context(
            tracking(f"redis://{LOOPBACK}:{self.proxy.port}/0", interval=INTERVAL)
        )
        self._stack.enter_context(Watch(self.tracked.tracker, start=before))
        self.seeing = True
        self.created = 0
        self.ended: Counter[EndReason] = Counter()
        self.missed_begins = 0

    def teardown(self) -> None:
        """End all, and with it the watch, which has seen no counter go down."""
        if hasattr(self, "_stack"):
            self._stack.close()

    @rule(target=keys)
    def create(self) -> bytes:
        """Create a session."""
        key = new_key()
        self._begin(key)
        return key

    @rule(target=keys, number=st.integers(2, 50))
    def create_many(self, number: int) -> object:
        """Create sessions in one go."""
        made = [new_key() for _ in range(number)]
        for key in made:
            self._begin(key)
        return multiple(*made[:3])

    @rule(key=keys)
    def update(self, key: bytes) -> None:
        """Write a session again, which brings one back that has ended."""
        if key in self.alive:
            self._write(key)
        else:
            self._begin(key)

    @rule(key=consumes(keys))
    def delete(self, key: bytes) -> None:
        """Delete a session, or one that is gone already."""
        assert (key in self.alive) == self.client.delete(key)
        self._end({key} & self.alive, "deleted")

    @rule(key=consumes(keys))
    def expire(self, key: bytes) -> None:
        """Let a session expire, and wait until Redis has removed it."""
        self.client.pexpire(key, 1)
        eventually(
            lambda: self.client.dbsize() == len(self.alive - {key}),
            within=PATIENCE,
            what="it has expired",
        )
        self._end({key} & self.alive, "expired")

    @rule()
    def evict(self) -> None:
        """Take all memory away until every session has been evicted."""
        self._catch_up()
        self.client.config_set("maxmemory-policy", "allkeys-lru")
        self.client.config_set("maxmemory", 1)
        eventually(lambda: self.client.dbsize() == 0, within=PATIENCE, what="all are evicted")
        self.client.config_set("maxmemory", 0)
        self._end(set(self.alive), "evicted")

    @rule()
    def flush(self) -> None:
        """Remove every session without an event."""
        self._catch_up()
        self.client.flushdb()
        self.alive.clear()

    @rule(key=keys)
    def flush_and_update(self, key: bytes) -> None:
        """Remove every session, and write one again at once."""
        self.flush()
        self._begin(key)

    @precondition(lambda self: self.seeing)
    @rule()
    def disconnect(self) -> None:
        """Cut the tracker off, once it has seen everything."""
        self._catch_up()
        self.proxy.refuse()
        self.tracked.until(lambda state: state.accounts.active is None, what="it is cut off")
        self.seeing = False

    @precondition(lambda self: not self.seeing)
    @rule()
    def reconnect(self) -> None:
        """Let the tracker back, and wait until it is reconciled."""
        self.proxy.heal()
        self.tracked.until(lambda state: state.accounts.active is not None, what="it is back")
        self.seeing = True
        self._reconcile()

    @precondition(lambda self: self.seeing)
    @rule()
    def cut(self) -> None:
        """Cut every connection once."""
        self._catch_up()
        self.proxy.cut()
        self.tracked.reconciled()
        self._reconcile()

    @precondition(lambda self: self.seeing)
    @rule()
    def wait_for_scan(self) -> None:
        """Wait for a periodic scan."""
        self.tracked.reconciled()
        self._reconcile()

    @invariant()
    def the_totals_are_exact(self) -> None:
        """Whatever a scan or an event can tell by now is in the totals, and no more."""
        if not hasattr(self, "tracked"):
            return
        if self.seeing:
            self._catch_up()
        else:
            accounts = self.tracked.tracker.state().accounts
            assert accounts.active is None
            assert self.created == accounts.created

    def _write(self, key: bytes) -> None:
        self.client.execute_command("SETEX", key, LONG_TTL, "{}")

    def _begin(self, key: bytes) -> None:
        self._write(key)
        self.alive.add(key)
        if self.seeing:
            self.ended["unknown"] += key in self.book
            self.created += 1
            self.book.add(key)

    def _end(self, keys: set[bytes], reason: EndReason) -> None:
        self.alive -= keys
        if self.seeing:
            self.ended[reason] += len(keys)
            self.book -= keys

    def _reconcile(self) -> None:
        """Book in the model what a scan finds."""
        self.ended["unknown"] += len(self.book - self.alive)
        self.created += len(self.alive - self.book)
        self.missed_begins += len(self.alive - self.book)
        self.book = set(self.alive)

    def _catch_up(self) -> None:
        """Wait, while it sees, until the tracker is where the model is; compare."""
        if not self.seeing:
            return
        if self.book != self.alive:  # after FLUSHDB: the next scan finds it
            self._reconcile()
        due = Totals(
            active=len(self.alive),
            created=self.created,
            ended={
                "deleted": self.ended["deleted"],
                "expired": self.ended["expired"],
                "evicted": self.ended["evicted"],
                "unknown": self.ended["unknown"],
            },
            missed={"created": self.missed_begins, "ended": self.ended["unknown"]},
        )
        expected, actual = self.tracked.settled(lambda: due)
        assert expected == actual


@pytest.mark.usefixtures("quick_reconnects")
@pytest.mark.timeout(900 if FULL else 180)
def test_any_sequence_of_events_and_faults_is_accounted_for(tmp_path: Path) -> None:
    """Totals equal the truth, or differ by what `missed` and the reason `unknown` declare."""
    with redis_server("valkey9", tmp_path) as server:

        class Machine(Sessions):
            pass

        Machine.server = server
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=200 if FULL else 10,
                stateful_step_count=15,
                deadline=None,
                derandomize=not FULL,
                phases=(Phase.generate, Phase.shrink) if FULL else (Phase.generate,),
                database=None,
                verbosity=Verbosity.quiet,
                suppress_health_check=list(HealthCheck),
            ),
        )
