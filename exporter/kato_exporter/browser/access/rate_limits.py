"""Slows down whoever guesses passwords."""

import ipaddress
import math
import threading
import time
from collections.abc import Callable

_FREE_FOR_A_CLIENT = 5
_FREE_FOR_AN_ACCOUNT = 20
"""More than one client can reach, so that nobody locks others out from one address."""
_LONGEST_WAIT = 900.0
_MOST_REMEMBERED = 10_000
_LONGEST_NAME = 100
_NETWORK_OF_A_CLIENT = 64


class SignInLimits:
    """Counts failures by client and by account, in bounded memory.

    A few are free. Then each one doubles the wait for the next attempt, from 1 s to 15 min. One
    failure is forgotten every 15 min.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._clients = _Failures(_FREE_FOR_A_CLIENT)
        self._accounts = _Failures(_FREE_FOR_AN_ACCOUNT)
        self._lock = threading.Lock()

    def attempt(self, client: str, name: str) -> float:
        """Give the seconds that this attempt must wait; 0 where it may be made.

        It then counts as a failure until `forgive`, so that attempts at the same time do not slip
        through together.
        """
        now = self._clock()
        with self._lock:
            wait = max(
                self._clients.wait(_network(client), now), self._accounts.wait(_key(name), now)
            )
            if wait <= 0:
                self._clients.count(_network(client), now)
                self._accounts.count(_key(name), now)
        return max(0.0, wait)

    def forgive(self, client: str, name: str) -> None:
        """Take back an attempt that was none of guessing."""
        with self._lock:
            self._clients.take_back(_network(client))
            self._accounts.take_back(_key(name))


def _network(client: str) -> str:
    """Give what stands for a client: of IPv6 the network, since one has all of its addresses."""
    try:
        address = ipaddress.IPv6Address(client)
    except ValueError:
        return client
    return str(ipaddress.IPv6Network((int(address), _NETWORK_OF_A_CLIENT), strict=False))


def _key(name: str) -> str:
    return name[:_LONGEST_NAME]


class _Failures:
    """Failures by key, the least recent of which make room for others."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._entries: dict[str, tuple[float, float, float]] = {}
        """Level, when it was that, and until when to wait."""

    def wait(self, key: str, now: float) -> float:
        entry = self._entries.get(key)
        return 0.0 if entry is None else entry[2] - now

    def count(self, key: str, now: float) -> None:
        level, then, _ = self._entries.pop(key, (0.0, now, now))
        level = max(0.0, level - (now - then) / _LONGEST_WAIT) + 1
        doublings = math.ceil(level - self._free) - 1
        wait = min(_LONGEST_WAIT, 2.0**doublings) if doublings >= 0 else 0.0
        if len(self._entries) >= _MOST_REMEMBERED:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = (level, now, now + wait)

    def take_back(self, key: str) -> None:
        if key in self._entries:
            level, then, _ = self._entries[key]
            self._entries[key] = (level - 1, then, then)
