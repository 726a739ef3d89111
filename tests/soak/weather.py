"""Faults that come and go between the stores and those who look at them, in a seeded order."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

from support.fault_proxy import FaultProxy

StoreName = Literal["redis", "mongodb", "qdrant", "kato_api"]
Kind = Literal["refuse", "black_hole", "garbage", "truncate", "drip", "delay"]

STORES: tuple[StoreName, ...] = get_args(StoreName)
KINDS: tuple[Kind, ...] = get_args(Kind)

_MOST_STORES_AT_ONCE = 3
_SHORTEST_DELAY, _LONGEST_DELAY = 0.05, 5.0
"""Seconds: from what a store may well take to what nobody waits for."""
_MOST_BYTES = 20_000
_DRIP_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls the way to a store."""

    store: StoreName
    kind: Kind


ALL_FAULTS = [Fault(store, kind) for store, kind in product(STORES, KINDS)]


@dataclass(frozen=True, eq=False, slots=True)
class Season:
    """A time between two changes of the weather."""

    is_clear: bool


class Weather:
    """Gives one to three stores a fault each, and heals them.

    Each pair of store and kind comes once before any comes again.
    """

    def __init__(self, proxies: Mapping[StoreName, FaultProxy], *, seed: int) -> None:
        self.came: Counter[Fault] = Counter()
        self.season = Season(is_clear=False)
        self._proxies = proxies
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._coming: list[Fault] = []

    def strike(self) -> list[Fault]:
        """Let faults come, on different stores, and give them."""
        self.season = Season(is_clear=False)
        faults = [self._next_but(set())]
        while len(faults) < self._random.randint(1, _MOST_STORES_AT_ONCE):
            faults.append(self._next_but({fault.store for fault in faults}))
        for fault in faults:
            self._switches(fault)[fault.kind]()
        self.came.update(faults)
        return faults

    def strike_all(self, switch: Callable[[FaultProxy], None]) -> None:
        """Let the same befall every store; it does not enter `came`."""
        self.season = Season(is_clear=False)
        for proxy in self._proxies.values():
            switch(proxy)

    def heal(self) -> None:
        """Let all faults go; it is clear once `clear_up` says so."""
        for proxy in self._proxies.values():
            proxy.heal()

    def clear_up(self) -> None:
        """Declare that all who were struck have had the time to recover."""
        self.season = Season(is_clear=True)

    def between(self, least: float, most: float) -> float:
        """Give a time, in seconds, of the same random series."""
        return self._random.uniform(least, most)

    def _next_but(self, stores: set[StoreName]) -> Fault:
        """Take the next fault that befalls none of these stores."""
        for place, fault in enumerate(self._coming):
            if fault.store not in stores:
                return self._coming.pop(place)
        self._coming += self._random.sample(ALL_FAULTS, len(ALL_FAULTS))
        return self._next_but(stores)

    def _switches(self, fault: Fault) -> dict[Kind, Callable[[], None]]:
        proxy = self._proxies[fault.store]
        seconds = self._random.uniform(_SHORTEST_DELAY, _LONGEST_DELAY)
        after = self._random.randrange(_MOST_BYTES)
        return {
            "refuse": proxy.refuse,
            "black_hole": proxy.black_hole,
            "garbage": proxy.garbage,
            "truncate": lambda: proxy.truncate(after),
            "drip": lambda: proxy.drip(_DRIP_SECONDS),
            "delay": lambda: proxy.delay(seconds),
        }
