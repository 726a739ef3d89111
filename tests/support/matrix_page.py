"""Makes docs/reliability.md of what the cells of the fault matrix have measured."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.report import machine, table
from support.matrix import FAULTS, STORE_TIMEOUT, STORES, STORES_OF, Side, StoreKind

COMMAND = "make reliability"
FAILED = "**failed**"
NOT_RUN = "**not run**"

_HEAD = f"""\
# Reliability

What the exporter and the record browser do when a store fails, measured. Every store fails in every
way, one at a time, while both go on being asked. This page is the output of one run of

    {COMMAND}

and the same cells are tests, which `make test` runs too: `tests/faults/test_matrix_exporter.py` and
`tests/faults/test_matrix_browser.py`.
"""

_STORES = """\
## The stores

Between the product and each store stands a proxy that fails on command; what a proxy cannot do is
done to the server.
"""

_STUBS = """\
A stub answers in the words of the server that it stands for. It shows what the product does with
such answers, and nothing about that server. It runs within the test, so that it cannot be killed:
its port is closed, and opened again.
"""

_EXPORTER = """\
## The exporter

Each cell is the longest that a scrape took while the fault lasted, and the time from its end until
a scrape was whole again. A cell holds when

- every scrape is answered within {deadline:g} s, the time that the Prometheus of this test waits;
  `KATO_STORE_TIMEOUT` is {patience:g} s;
- `kato_store_up` of the store is 0, and none of its other series is there; all series of the other
  four stores are;
- no counter goes down, from before the fault until after it; those that a killed server itself
  keeps begin at 0, as counters do, and Prometheus knows;
- at most {recovery:g} s after the fault, a scrape and one interval of 1 s, everything is back, and
  every session that began before or during the fault has been counted, once;
- then the exporter holds no more threads, and no more files and sockets than its pools of
  connections may, as before.
"""

_QDRANT = """\
Qdrant tells its version to everybody, so that with a wrong key `kato_store_up` stays 1: there the
collector's `kato_exporter_collector_success` is 0 and the series are gone, after one interval.
KATO's API knows no credentials; a gate before it answers 401. The Docker Engine's are those of a
socket proxy, which answers 403.
"""

_BROWSER = """\
## The record browser

Each cell is the longest that a page of the store took while the fault lasted, and the time from
its end until all of them were there again. All pages of a store are asked for at once. A cell holds
when

- each of them is answered within {deadline:g} s, with 502 or 503 and one sentence that begins with
  the name of the store; nothing of the inside is shown;
- the first page is there and tells which store gives no answer;
- pages of the other stores are there, with the same facts as before;
- at most {recovery:g} s after the fault all pages are there again;
- then the browser holds no more threads, files and sockets than before, as above, and its log tells
  of no fault of its own.
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds: the longest time to an answer while the fault lasted, and until all was back."""

    answered: float
    recovered: float

    def __str__(self) -> str:
        return f"{self.answered:.2f} s, {self.recovered:.2f} s"


@dataclass(frozen=True, slots=True)
class Promise:
    """Seconds that a side has for an answer, and for all to be back after a fault."""

    deadline: float
    recovery: float


PROMISES: Mapping[Side, Promise] = {
    "exporter": Promise(deadline=3.0, recovery=4.0),
    "browser": Promise(deadline=3.0, recovery=3.0),
}
"""The exporter has a scrape, and an interval of 1 s; the browser the time of a page."""


@dataclass(slots=True)
class Cell:
    """What became of a cell: it has failed until it was measured to its end."""

    result: Measured | None = None

    def measured(self, answered: float, recovered: float) -> None:
        """Take down the longest answer and the recovery, in seconds."""
        self.result = Measured(answered, recovered)


Cells = Mapping[tuple[Side, str, str], Cell]
"""The cells that were run, by side, name of the store and name of the fault."""


def page(cells: Cells) -> str:
    """Write the page."""
    return "\n".join(
        [
            _HEAD,
            f"Measured on {machine()}.\n",
            "## The faults\n",
            table(("fault", "what happens"), [(each.title, each.what) for each in FAULTS]),
            "",
            _STORES,
            table(("store", "here"), [(each.title, each.tested_on) for each in STORES]),
            "",
            _STUBS,
            _section("exporter", _EXPORTER, cells),
            _QDRANT,
            _section("browser", _BROWSER, cells),
        ]
    )


def _section(side: Side, text: str, cells: Cells) -> str:
    promise = PROMISES[side]
    head = ("store", *(fault.title for fault in FAULTS))
    rows = [(store.title, *_row(side, store, cells)) for store in STORES_OF[side]]
    return "\n".join(
        [
            text.format(
                deadline=promise.deadline, recovery=promise.recovery, patience=STORE_TIMEOUT
            ),
            table(head, rows),
            "",
        ]
    )


def _row(side: Side, store: StoreKind, cells: Cells) -> Iterable[str]:
    return (_shown(cells.get((side, store.name, fault.name))) for fault in FAULTS)


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return NOT_RUN
    return FAILED if cell.result is None else str(cell.result)
