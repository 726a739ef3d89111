"""What a soak tells while it runs and at its end."""

from collections import Counter
from textwrap import fill

from soak.courses import MOST_GROWTH, Course
from soak.running import RATE, Soak
from soak.weather import KINDS, STORES

_WIDTH = 100
_HEAD = """\
# Soak

Exporter and record browser under load, while all stores but the work itself meet with faults. This
page is the output of one run of

    make soak

and `make test` runs the same for some seconds."""


def progress(soak: Soak) -> str:
    """Tell in one line how far a run is."""
    took = "; ".join(
        f"{course.name} {last.resident / 1e6:.1f} MB, {last.threads} threads,"
        f" {last.descriptors} descriptors"
        for course in soak.courses
        for last in course.at_rest[-1:]
    )
    return (
        f"{soak.age:5.0f} s: {soak.weather.came.total()} faults, {soak.scraper.scrapes} scrapes,"
        f" {soak.reader.statuses.total()} pages,"
        f" {soak.audit.last.told.account.created} sessions created; {took}"
    )


def report(soak: Soak) -> str:
    """Write a page of Markdown about a run that has finished."""
    parts = (_work(soak), _processes(soak), _sessions(soak), _looks(soak))
    return "\n\n".join((_HEAD, *parts)) + "\n"


def _work(soak: Soak) -> str:
    faults: Counter[str] = Counter()
    for fault, times in soak.weather.came.items():
        faults[fault.kind] += times
        faults[fault.store] += times
    kinds, stores = (
        ", ".join(f"{name} {faults[name]}" for name in names) for names in (KINDS, STORES)
    )
    return _paragraph(
        f"""The demo for {soak.age:.0f} s, asked for {RATE:.0f} steps a second, ten times its load;
        it did {soak.rates["steps"]:.0f}: it is held while accounts are compared, and late where the
        machine is busy. Valkey and MongoDB are real, Qdrant and KATO's API are stubs.
        {soak.weather.came.total()} faults came and went in {soak.rounds} rounds, on one to three
        stores at once: {kinds}; on {stores}."""
    )


def _processes(soak: Soak) -> str:
    head = ("process", "takes", "first quarter", "second quarter", "last quarter", "last / second")
    cores = ", ".join(f"the {name} {of:.2f}" for name, of in soak.rates.items() if name != "steps")
    return "\n".join(
        (
            _row(head),
            _row(["---"] * len(head)),
            *(line for course in soak.courses for line in _rows(course)),
            "",
            _paragraph(
                f"""Resident memory is the median of all readings; the last quarter may take
                {MOST_GROWTH} times the second. Threads and descriptors are those at rest, when
                nothing has been wrong for some seconds: the medians of the quarters, but first the
                most of the first quarter and of the warm-up, which the last must not exceed. Of a
                core, {cores} were taken; the soak itself is work, stubs, proxies, scraper and
                reader."""
            ),
        )
    )


def _rows(course: Course) -> list[str]:
    second, last = course.rest(2), course.rest(4)
    memory = [f"{course.resident(quarter) / 1e6:.1f} MB" for quarter in (1, 2, 4)]
    return [
        _row((course.name, "resident memory", *memory, f"{course.growth:.3f}")),
        _row(("", "threads", course.warm.threads, second.threads, last.threads, "")),
        _row(
            ("", "descriptors", course.warm.descriptors, second.descriptors, last.descriptors, "")
        ),
    ]


def _sessions(soak: Soak) -> str:
    first, last = soak.audit.first, soak.audit.last
    told, true, unseen = last.told, last.truth - first.truth, last.behind - first.behind
    rows = [
        (name, getattr(told.account, name), getattr(true, name), getattr(unseen, name))
        for name in ("created", "deleted", "expired")
    ]
    return "\n".join(
        (
            _row(("sessions", "told", "true", "difference")),
            _row(["---"] * 4),
            *map(_row, rows),
            _row(("ended for an unknown reason", told.unknown, 0, -told.unknown)),
            _row(("alive", told.account.active, last.truth.active, unseen.active)),
            "",
            _paragraph(
                f"""The difference came about while Redis could not be seen: {unseen.created}
                sessions came and went then. {told.missed_begins} begins and {told.missed_ends} ends
                of others were found by a scan after, and are declared as missed. At
                {soak.audit.checkpoints} checkpoints nothing was lost in clear sight, and those
                alive at the start and created, less those ended, were those alive."""
            ),
        )
    )


def _looks(soak: Soak) -> str:
    patterns, learnings, predictions = (
        sum(soak.totals[name].values())
        for name in ("kato_patterns", "kato_pattern_observations", "kato_predictions")
    )
    statuses = ", ".join(f"{n} with {status}" for status, n in sorted(soak.reader.statuses.items()))
    return _paragraph(
        f"""In {soak.scraper.scrapes} scrapes, {soak.scraper.blind} of them without sight of Redis,
        no counter fell. At the end {patterns:.0f} patterns, {learnings:.0f} learnings and
        {predictions:.0f} predictions were told as MongoDB holds them, and none as lost. Of
        {soak.reader.statuses.total()} pages of the record browser ({statuses}) none was a fault of
        its own; {soak.reader.late_failures} failed by a connection that a fault had left silent."""
    )


def _paragraph(text: str) -> str:
    return fill(" ".join(text.split()), _WIDTH, break_long_words=False, break_on_hyphens=False)


def _row(cells: tuple[object, ...] | list[str]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
