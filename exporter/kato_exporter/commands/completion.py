"""The command `kato-exporter completion`."""

from typing import Literal

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print a script by which a shell completes what you type.

    For bash, in ~/.bashrc: eval "$(kato-exporter completion bash)"
    """
    root = ctx.find_root()
    program = str(root.info_name)
    variable = f"_{program}_complete".replace("-", "_").upper()
    completer = get_completion_class(shell)(root.command, {}, program, variable)
    click.echo(completer.source(), nl=False)
