"""The benchmarks' page, picture and order of events; what they measure is asserted nowhere."""

import io
import os
import re
from multiprocessing import active_children
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from bench.__main__ import main
from bench.apart import measure_apart
from bench.figures import PROMISES, Curves, Figure, Promise, Section
from bench.parts import Part, PartFailedError, Run, Scale, Tell
from bench.picture import picture
from bench.progress import Progress
from bench.report import BENCHMARKS, publish
from support.bench_parts import stand_in

SVG = "{http://www.w3.org/2000/svg}"
ORIGIN = "`make bench` on a machine."
NO_WAITING = Promise("never waits", "../README.md")

SCRAPE = Figure("Scrape with 1,000 sessions", "10 sessions", 1.18, NO_WAITING)
PLAIN = Figure("Scrape with 1,000 sessions", "a `SCAN` on each", 0.004)
HEAVY = Figure("Memory", "a smaller <exporter>", 4.9)
CURVES = Curves(
    title="Scrape, by sessions",
    sizes="sessions",
    lines={"ours": [(10, 0.002), (1_000, 0.0024)], "SCAN": [(10, 0.003), (1_000, 0.3)]},
)


def section(title: str, *figures: Figure, text: str = "Text.", curves: bool = False) -> Section:
    """Make a section of one paragraph."""
    shown = [CURVES] if curves else []
    return Section(title=title, paragraphs=[text], figures=figures, curves=shown)


def rows(page: Path) -> list[str]:
    """Give the rows of the page's table of ratios."""
    [ratios] = re.findall(r"(?ms)^## Ratios$(.*?)^## ", page.read_text(encoding="utf-8"))
    return [line for line in ratios.splitlines() if line.startswith("| ")][2:]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Give a page with two sections."""
    path = tmp_path / "benchmarks.md"
    publish(section("Stores", SCRAPE, text="Of stores.", curves=True), ORIGIN, path)
    publish(section("Browser", HEAVY, text="Of the browser."), ORIGIN, path)
    return path


@pytest.mark.parametrize(
    ("written", "ratio"),
    [("1.18", 1.18), ("0.50", 0.5), ("1 : 5.9", 1 / 5.9), ("1 : 10", 0.1), ("1 : 1,429", 0.0007)],
)
def test_a_ratio_is_written_so_that_it_is_understood(written: str, ratio: float) -> None:
    """About the same has decimals; a fraction says of how many."""
    assert written == str(Figure("ours", "theirs", ratio))


def test_a_page_has_a_row_for_each_ratio(page: Path) -> None:
    """The ratio leads to its section, the promise to its page; a figure may have none."""
    assert [
        "| Memory | a smaller <exporter> | [4.90](#browser) |  |",
        (
            "| Scrape with 1,000 sessions | 10 sessions | [1.18](#stores) "
            "| [never waits](../README.md) |"
        ),
    ] == rows(page)


def test_a_section_takes_the_place_of_the_one_before(page: Path) -> None:
    """Another section keeps its text, its ratios and its curves, and what was before is gone."""
    publish(section("Browser", PLAIN, text="Anew."), ORIGIN, page)
    text = page.read_text(encoding="utf-8")
    assert ["Browser", "Ratios", "Stores"] == sorted(re.findall(r"(?m)^## (.*)$", text))
    assert 1 == text.count("Of stores.")
    assert 1 == text.count("Anew.")
    assert "Of the browser." not in text
    assert ["[1 : 250](#browser)", "[1.18](#stores)"] == re.findall(r"\[1[^\]]*\]\(#\w+\)", text)
    drawn = ET.parse(page.parent / "images" / "benchmarks.svg")  # noqa: S314 - our own
    assert 1 == len(drawn.findall(f".//{SVG}g[@class='curves']"))
    assert 2 == len(drawn.findall(f".//{SVG}rect[@class='bar']"))


def test_the_same_section_twice_leaves_the_page_as_it_is(page: Path) -> None:
    """Nothing is gathered from run to run."""
    before = page.read_text(encoding="utf-8")
    publish(section("Stores", SCRAPE, text="Of stores.", curves=True), ORIGIN, page)
    assert before == page.read_text(encoding="utf-8")


def test_a_section_without_ratios_is_kept(page: Path) -> None:
    """One that was written by hand stays, too."""
    page.write_text(page.read_text(encoding="utf-8") + "\n## Notes\n\nBy hand.\n", encoding="utf-8")
    publish(section("Browser", HEAVY), ORIGIN, page)
    assert "## Notes\n\nBy hand.\n" in page.read_text(encoding="utf-8")
    assert 2 == len(rows(page))


def test_the_page_as_it_is_can_be_measured_again(tmp_path: Path) -> None:
    """docs/benchmarks.md keeps all other sections, and has the ratios that it shows."""
    path = tmp_path / BENCHMARKS.name
    path.write_text(BENCHMARKS.read_text(encoding="utf-8"), encoding="utf-8")
    shown = rows(path)
    assert shown
    publish(section("Zero"), ORIGIN, path)
    assert shown == rows(path)


def test_the_picture_has_a_bar_for_each_ratio() -> None:
    """Less than 1 lies to the left of 1, more to the right; even the same can be seen."""
    figures = [SCRAPE, PLAIN, HEAVY, Figure("Page 2", "page 1", 1.0)]
    svg = ET.fromstring(picture(figures, []))  # noqa: S314 - our own
    bars = svg.findall(f".//{SVG}rect[@class='bar']")
    assert len(figures) == len(bars)
    [same] = svg.findall(f".//{SVG}line[@class='same']")
    one = float(same.attrib["x1"])
    more, less, much_more, nothing = [
        (float(bar.attrib["x"]), float(bar.attrib["x"]) + float(bar.attrib["width"]))
        for bar in bars
    ]
    assert one == more[0] == much_more[0] == nothing[0]
    assert less[0] < less[1] == pytest.approx(one, abs=0.2)
    assert one < nothing[1] < more[1] < much_more[1]


def test_the_picture_has_a_line_for_each_curve() -> None:
    """Each has a point for each size, and its name."""
    svg = ET.fromstring(picture([], [CURVES, CURVES]))  # noqa: S314 - our own
    panels = svg.findall(f"{SVG}g[@class='curves']")
    assert 2 == len(panels)
    for panel in panels:
        lines = panel.findall(f"{SVG}polyline")
        assert [2, 2] == [len(line.attrib["points"].split()) for line in lines]
        assert {"ours", "SCAN"} <= {text.text for text in panel.findall(f"{SVG}text")}


def test_the_picture_can_be_listened_to_and_seen_in_the_dark() -> None:
    """Title and description are named and tell all; text has no marks of Markdown."""
    svg = ET.fromstring(picture([SCRAPE, PLAIN, HEAVY], [CURVES]))  # noqa: S314 - our own
    assert "img" == svg.attrib["role"]
    named = {each.attrib["id"]: each.text or "" for each in svg if "id" in each.attrib}
    assert svg.attrib["aria-labelledby"].split() == list(named) == ["title", "desc"]
    assert "Scrape with 1,000 sessions, beside a SCAN on each: 1 : 250." in named["desc"]
    assert "ours 2 ms at 10 sessions, 2.4 ms at 1,000." in named["desc"]
    assert "(prefers-color-scheme: dark)" in svg.findtext(f"{SVG}style", "")


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.words)
def test_what_is_promised_stands_where_the_page_says(promise: Promise) -> None:
    """A promise that is taken back is not measured on."""
    text = (BENCHMARKS.parent / promise.page).read_text(encoding="utf-8")
    assert promise.words in " ".join(text.replace("*", "").split())


def run(page: Path | None, measure: dict[str, Section | str]) -> tuple[list[str], str]:
    """Run parts that give a section or fail with a reason; give the failures, and what is shown."""
    shown = io.StringIO()

    def measured(part: Part, _scale: Scale, tell: Tell) -> Section:
        tell("half way")
        found = measure[part.name]
        if isinstance(found, str):
            raise PartFailedError(found)
        return found

    parts = [Part(name=name, measure=_never, expected={Scale.USUAL: 90}) for name in measure]
    progress = Progress(Console(file=shown, width=200))
    all_of_it = Run(
        command="make bench", scale=Scale.USUAL, progress=progress, page=page, measure=measured
    )
    return all_of_it.all(parts), shown.getvalue()


def _never(_scale: Scale, _tell: Tell) -> Section:
    raise AssertionError


def test_a_part_that_fails_does_not_lose_the_others(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its old section stays; those before and after it are written."""
    failures, shown = run(
        page,
        {
            "exposition": section("Exposition", text="New of exposition."),
            "stores": "no mongod",
            "browser": section("Browser", text="New of the browser."),
        },
    )
    assert ["stores: no mongod"] == failures
    assert "failed: no mongod" in shown
    text = page.read_text(encoding="utf-8")
    assert all(part in text for part in ("New of exp", "Of stores.", "New of the browser."))
    assert "Of the browser." not in text
    assert ["Exposition", "Browser"] == re.findall(r"(?m)^## (.*)$", capsys.readouterr().out)


def test_without_a_page_sections_are_printed_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not asked to be kept leaves no file."""
    failures, _ = run(None, {"stores": section("Stores", SCRAPE)})
    assert [] == failures
    assert "## Stores\n\n`make bench` on " in capsys.readouterr().out
    assert [] == list(tmp_path.iterdir())


def test_a_log_has_a_line_for_each_step() -> None:
    """It names the part, its step, the time so far and the time expected."""
    _, shown = run(None, {"stores": section("Stores"), "browser": section("Browser")})
    lines = shown.splitlines()
    assert "0:00 of about 3:00 | stores (1 of 2) 0:00 of about 1:30 | begins" == lines[0]
    assert "0:00 of about 3:00 | browser (2 of 2) 0:00 of about 1:30 | half way" == lines[-1]


def test_a_terminal_shows_bars() -> None:
    """One of all parts, one of the part that runs, with its step."""
    shown = io.StringIO()
    progress = Progress(Console(file=shown, force_terminal=True, width=120))
    with progress.of([("stores", 90.0)]) as begins:
        begins("stores")
        progress.tell("half way")
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue()).rstrip().splitlines()[-2:]
    assert ["1 parts", "stores (1 of 1): half way"] == [
        line.split("  ")[0].split(" ━")[0] for line in last
    ]
    assert all(line.rstrip().endswith("0:00 of about 1:30") for line in last)


def test_a_part_runs_in_a_process_of_its_own() -> None:
    """Its steps come through, and what it gives."""
    steps: list[str] = []
    found = measure_apart(stand_in("tells"), Scale.QUICK, steps.append)
    assert ["first", "second"] == steps
    assert [f"process {os.getpid()}"] != found.paragraphs


@pytest.mark.parametrize(
    ("name", "reason"),
    [("fails", "^ValueError: no such store$"), ("ends", "^its process has ended$")],
)
def test_a_process_that_fails_says_why(name: str, reason: str) -> None:
    """A fault is its one line; an end without a word is one, too."""
    with pytest.raises(PartFailedError, match=reason):
        measure_apart(stand_in(name), Scale.QUICK, _unheard)


def _unheard(_step: str) -> None:
    pass


def test_a_part_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is bounded, and its process is gone."""
    monkeypatch.setattr(Part, "limit", lambda *_: 3.0)
    with pytest.raises(PartFailedError, match=r"^it took more than 3 s$"):
        measure_apart(stand_in("hangs"), Scale.QUICK, _unheard)
    assert [] == active_children()


def test_the_command_measures_what_it_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A quick look at the part that needs no server goes all the way to the page."""
    page = tmp_path / "page.md"
    assert 0 == main(["--quick", "--only", "exposition", "--write", str(page)])
    text = page.read_text(encoding="utf-8")
    assert '`make bench BENCH_ARGS="--quick --only exposition"` on ' in text
    assert 2 == len(rows(page))
    assert "measured in " in capsys.readouterr().err


def test_a_part_that_is_unknown_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """One line names it."""
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["--quick", "--only", "exposition,stars"])
    assert "argument --only: no such part: stars" in capsys.readouterr().err
