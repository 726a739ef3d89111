"""The demo at ten times its load, with faults that come and go: nothing grows, nothing is lost.

`KATO_TEST_SOAK` says for how many seconds (`make soak`: an hour), and `KATO_TEST_SOAK_REPORT` names
a file for a section of Markdown with the figures.
"""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from soak.report import progress, report
from soak.running import Soak
from soak.scene import running_scene
from soak.weather import ALL_FAULTS

SECONDS = float(os.environ.get("KATO_TEST_SOAK", "20"))
REPORT = os.environ.get("KATO_TEST_SOAK_REPORT")
SEED = 10
MINUTE = 60


@pytest.mark.timeout(2 * SECONDS + 300)
def test_nothing_grows_and_nothing_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Memory, threads and descriptors stay flat, and all totals are the truth's at the end."""
    with running_scene(tmp_path, seed=SEED) as scene, ExitStack() as parts:
        soak = Soak(scene, parts, seconds=SECONDS, seed=SEED)
        minutes = 0
        while soak.age < SECONDS:
            soak.round()
            if soak.age >= MINUTE * (minutes + 1):
                minutes = int(soak.age / MINUTE)
                with capsys.disabled():
                    print(progress(soak), flush=True)  # noqa: T201 - for whoever waits an hour
        soak.finish()
        if REPORT is not None:
            Path(REPORT).write_text(report(soak), encoding="utf-8")

    assert [] == soak.exporter.complaints() + soak.browser.complaints()
    if soak.rounds >= len(ALL_FAULTS):
        assert set(ALL_FAULTS) == set(soak.weather.came)
