"""The command `kato-exporter`."""

import sys
from importlib import import_module

import click

from kato_exporter import __version__

_COMMANDS = {
    "serve": ("commands.serve", "Serve /metrics until SIGTERM or Ctrl-C."),
    "browse": ("commands.browse", "Serve the record browser until SIGTERM or Ctrl-C."),
    "account": (
        "browser.access.account_command",
        "Print the lines of an account for the record browser.",
    ),
    "audit": ("browser.records.audit_command", "Look after the record browser's audit log."),
    "check": (
        "commands.check",
        "Try each store once; print what is collected, and its price.",
    ),
    "demo": ("commands.demo", "Run the exporter on embedded servers with a KATO workload."),
    "completion": (
        "commands.completion",
        "Print a script by which a shell completes what you type.",
    ),
}
"""By its name, the module of each command, and the help that the list of them shows."""


class _Commands(click.Group):
    """Commands that are imported when they are run; until then their names and helps stand in."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Import the command that is asked for."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            module, _ = _COMMANDS[str(command.name)]
            command = getattr(import_module(f"kato_exporter.{module}"), str(command.name))
        return name, command, rest


def main() -> None:
    """Run the command line; a wrong setting ends it with one line and exit status 2."""
    try:
        status = cli.main(prog_name="kato-exporter", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(error.exit_code)
    except click.ClickException as error:
        line = " ".join(_explain(error).splitlines())  # what was given may have several
        click.echo(f"kato-exporter: {line}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)


def _explain(error: click.ClickException) -> str:
    """Put an error into one line that names the setting in every spelling."""
    if isinstance(error, click.BadParameter) and isinstance(error.param, click.Option):
        return f"{error.param.envvar} ({error.param.opts[0]}): {error.message}"
    return error.format_message()


@click.group(
    cls=_Commands,
    commands=[click.Command(name, help=text) for name, (_, text) in _COMMANDS.items()],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__)
def cli() -> None:
    """Watch and tend KATO: its metrics for Prometheus, its records in a browser."""
