"""What the book of sessions costs in memory."""

import os
import subprocess
import sys

import pytest

SESSIONS = 1_000_000
MOST_BYTES = 100_000_000
HOUR = 3_600
WAYS = (
    pytest.param("scan", HOUR, id="found within an hour"),
    pytest.param("events", HOUR, id="told within an hour"),
    pytest.param("scan", 30 * 24 * HOUR, id="found within a month"),
)
FULL = bool(os.environ.get("KATO_TEST_FULL"))

MEASURE = """
import gc
import random
import sys

import psutil

from kato_exporter.collectors.session_ledger import SessionLedger
from kato_exporter.kato.sessions import parse_session_key

way, sessions, spread_ms = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) * 1_000
NOW_MS = 1_700_000_000_000


def handle(number):
    born = NOW_MS - number * spread_ms // sessions
    key = b"kato:session:session-%032x-%d" % (random.getrandbits(128), born)
    return parse_session_key(key)


def used():
    gc.collect()
    return psutil.Process().memory_info().rss


ledger = SessionLedger()
handle(0)
before = used()
ledger.begin_reconciliation(at=NOW_MS / 1000)
if way == "scan":
    for start in range(0, sessions, 1_000):
        ledger.seen([handle(number) for number in range(start, min(start + 1_000, sessions))])
ledger.finish_reconciliation(by_events=False)
if way == "events":
    for number in range(sessions):
        ledger.begun(handle(number))
after = used()
alive = ledger.accounts().active
print(alive, after - before)
"""


@pytest.mark.parametrize(("way", "spread"), WAYS if FULL else WAYS[:1])
def test_a_million_sessions_cost_little(way: str, spread: int) -> None:
    """A million live sessions, found by a scan or told by events, take 100 MB at the very most.

    An hour is how long KATO's sessions live where nobody says otherwise.
    """
    answer = subprocess.run(
        [sys.executable, "-c", MEASURE, way, str(SESSIONS), str(spread)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    alive, cost = map(int, answer.stdout.split())

    assert SESSIONS == alive
    assert cost < MOST_BYTES
