"""What a benchmark finds: ratios beside what was promised, curves, and the text around them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Promise:
    """Words of a page of ours; `page` is its path from docs/."""

    words: str
    page: str


@dataclass(frozen=True, slots=True)
class Figure:
    """What something of ours takes, divided by what stands beside it takes in the same run.

    1 is the same, and less is better.
    """

    what: str
    beside: str
    ratio: float
    promise: Promise | None = None

    def __str__(self) -> str:
        if self.ratio >= 0.5:
            return f"{self.ratio:.2f}"
        times = 1 / self.ratio
        return f"1 : {times:,.0f}" if times >= 10 else f"1 : {times:.1f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Seconds against sizes, by who has taken them; `sizes` names what is counted."""

    title: str
    sizes: str
    lines: Mapping[str, Sequence[tuple[int, float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of docs/benchmarks.md; paragraphs are Markdown."""

    title: str
    paragraphs: Sequence[str]
    figures: Sequence[Figure]
    curves: Sequence[Curves] = ()


NO_WAITING = Promise("A scrape never waits for a big store", "../README.md")
A_TENTH = Promise("takes at most a tenth of the store's time", "../README.md")
NOT_AGAIN = Promise("Its text was made when it was collected, not now", "architecture.md")
NO_LOAD = Promise("It asks so little of the stores that they hardly notice", "../README.md")
COUNTED = Promise("Sessions are counted exactly", "../README.md")
ANY_PAGE = Promise("Page 10,000 costs what page 1 costs", "browser.md")
ONE_SHOT = Promise(
    "One-shot calls in parallel, no open streams", "decisions/0004-container-stats.md"
)

PROMISES = (NO_WAITING, A_TENTH, NOT_AGAIN, NO_LOAD, COUNTED, ANY_PAGE, ONE_SHOT)
