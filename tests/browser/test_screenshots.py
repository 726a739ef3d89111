"""Pictures of the pages for README and docs, made where KATO_TEST_SCREENSHOTS names a directory."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from kato_exporter.kato.vectors import point_of_symbol
from support.browsing import Site
from support.chromium import THEMES, Theme
from support.records import KB, VECTOR_SYMBOLS, VECTORS, Records

DIRECTORY = os.environ.get("KATO_TEST_SCREENSHOTS", "")


@pytest.mark.skipif(not DIRECTORY, reason="KATO_TEST_SCREENSHOTS=docs/images makes them")
@pytest.mark.parametrize("theme", THEMES)
def test_pictures_are_made(site: Site, records: Records, theme: Theme) -> None:
    """The README shows a session in the reader's theme; the guide shows more, in the light one."""
    pages = {"session": f"/sessions/{records.session}"}
    if theme == "light":
        pages |= {
            "pattern": f"/kb/{KB}/patterns/{records.pattern}",
            "vector": f"/qdrant/{VECTORS}/points/{point_of_symbol(VECTOR_SYMBOLS[3])}",
        }
    directory = Path(DIRECTORY)
    directory.mkdir(parents=True, exist_ok=True)
    with closing(site.reader(theme=theme, width=1280)) as reader:
        for name, address in pages.items():
            page = reader.open(address)
            page.screenshot(path=directory / f"browser-{name}-{theme}.png")
        reader.assert_content()
    assert len(pages) <= len(list(directory.glob(f"browser-*-{theme}.png")))
