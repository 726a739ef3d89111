"""The fault matrix as data: what can be wrong with a store, and which stores there are.

A cell of the matrix is one fault of one store. `matrix_stores` has the stores, `matrix_page` makes
docs/reliability.md of what the cells have measured.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from support.fault_proxy import FaultProxy

SLOW_SECONDS = 10.0
"""How long a slow store holds each piece of an answer: longer than anybody waits."""

STORE_TIMEOUT = 1.0
"""What KATO_STORE_TIMEOUT is for both sides, in seconds."""

DRIP_SECONDS = 0.9
"""The pause after each byte of a store that drips, which is no longer than STORE_TIMEOUT."""

Side = Literal["exporter", "browser"]


class Breakable(Protocol):
    """A store behind a proxy; what the proxy cannot do to it, it does itself.

    `cut_after` is how many bytes of an answer come before its connection is cut; `settings` lead
    exporter and browser to the proxy.
    """

    proxy: FaultProxy
    cut_after: int
    settings: dict[str, str]

    def lock_out(self) -> None:
        """Take the credentials for wrong from now on, and cut what came in by them."""

    def let_in(self) -> None:
        """Take the credentials for right again."""

    def fail(self) -> None:
        """Answer everything with an error of the server's own."""

    def recover(self) -> None:
        """Answer again."""

    def kill(self) -> None:
        """End the server without a word."""

    def restart(self) -> None:
        """Start it again on the same port, with what it held; return when it answers."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail: `begin` breaks a store, and `end` mends it; `what` says it to a reader."""

    name: str
    what: str
    begin: Callable[[Breakable], None]
    end: Callable[[Breakable], None] = lambda store: store.proxy.heal()

    @property
    def title(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")


@dataclass(frozen=True, slots=True)
class StoreKind:
    """A store as the matrix names it: its label, its name, and what stands for it in the tests."""

    name: str
    title: str
    tested_on: str


FAULTS = (
    Fault(
        "refused",
        "connections are refused, and those that are open are cut",
        lambda store: store.proxy.refuse(),
    ),
    Fault(
        "black_hole",
        "connections come about, and nobody ever says a word; "
        "those that were open stay silent even after the fault",
        lambda store: store.proxy.black_hole(),
    ),
    Fault(
        "slow",
        f"each piece of an answer is held for {SLOW_SECONDS:g} s",
        lambda store: store.proxy.delay(SLOW_SECONDS),
    ),
    Fault(
        "drip",
        f"answers come byte by byte, {DRIP_SECONDS:g} s apart, each in time when taken alone",
        lambda store: store.proxy.drip(DRIP_SECONDS),
    ),
    Fault(
        "cut",
        "each connection ends in the middle of an answer",
        lambda store: store.proxy.truncate(store.cut_after),
    ),
    Fault(
        "garbage",
        "random bytes come in the place of each answer",
        lambda store: store.proxy.garbage(),
    ),
    Fault(
        "wrong_credentials",
        "the password or key is no longer right, and connections made with it are cut",
        lambda store: store.lock_out(),
        lambda store: store.let_in(),
    ),
    Fault(
        "server_error",
        "each question is answered with an error of the server's own",
        lambda store: store.fail(),
        lambda store: store.recover(),
    ),
    Fault(
        "killed",
        "the server is killed, and started again",
        lambda store: store.kill(),
        lambda store: store.restart(),
    ),
)

STORES = (
    StoreKind("redis", "Redis", "a real Valkey"),
    StoreKind("mongodb", "MongoDB", "a real MongoDB"),
    StoreKind("qdrant", "Qdrant", "a stub, which is no Qdrant"),
    StoreKind("kato_api", "KATO API", "a stub with recorded answers, which is no KATO"),
    StoreKind("docker", "Docker", "a real Docker Engine"),
)

TOLD_BY_THE_COLLECTOR = {("qdrant", "wrong_credentials")}
"""Cells in which the store stays up: Qdrant tells its version to everybody, key or no key."""

STORES_OF: dict[Side, tuple[StoreKind, ...]] = {"exporter": STORES, "browser": STORES[:3]}
"""The record browser reads neither KATO's API nor containers."""


def cells(side: Side) -> list[tuple[str, Fault]]:
    """Give the cells of a side: the name of a store, and a fault of it."""
    return [(store.name, fault) for store in STORES_OF[side] for fault in FAULTS]


def cell_id(part: str | Fault) -> str:
    """Name a part of a cell in the id of its test."""
    return part.name if isinstance(part, Fault) else part
