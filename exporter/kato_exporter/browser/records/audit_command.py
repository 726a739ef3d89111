"""The command `kato-exporter audit`."""

import sqlite3
from pathlib import Path

import click

from kato_exporter.browser.records.audit import verify

_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def audit() -> None:
    """Look after the record browser's audit log."""


@audit.command("verify")
@click.option(
    "--browser-data-dir",
    "directory",
    envvar="KATO_BROWSER_DATA_DIR",
    show_envvar=True,
    type=_DIRECTORY,
    required=True,
    help="Directory of the trash and the audit log.",
)
def verify_command(directory: Path) -> int:
    """Check that no entry was changed, taken out or put in.

    Prints the last entry's hash: kept elsewhere, it also tells later whether entries were cut off
    at the end. The exit status is 0 only if the log is whole.
    """
    try:
        verdict = verify(directory)
    except sqlite3.Error as error:
        raise click.UsageError(
            f"KATO_BROWSER_DATA_DIR (--browser-data-dir): {directory} has no audit log that can be "
            f"read ({error}); name the directory that the browser writes to"
        ) from error
    click.echo(f"{verdict.entries:,} entries are whole; the last hash is {verdict.last_hash}")
    if verdict.fault is not None:
        click.echo(f"but {verdict.fault}", err=True)
    return 1 if verdict.fault else 0
