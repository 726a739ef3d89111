"""The generated pages say what the code does."""

from pathlib import Path

import pytest

from kato_exporter.reference import metrics_page, settings_page

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("name", "page"), [("metrics.md", metrics_page()), ("settings.md", settings_page())]
)
def test_pages_are_as_the_code_makes_them(name: str, page: str) -> None:
    """The committed page equals the generated one; `make docs` renews it."""
    assert page == (DOCS / name).read_text(encoding="utf-8"), "run: make docs"
