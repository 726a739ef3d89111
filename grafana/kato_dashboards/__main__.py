"""Writes the dashboards: `python -m kato_dashboards DIRECTORY`."""

import sys
from pathlib import Path

from kato_dashboards.pages import PAGES


def main() -> None:
    """Write a file for each dashboard into the directory that the command line names."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        (directory / f"{page.name}.json").write_text(page.json(), encoding="utf-8")


if __name__ == "__main__":
    main()
