"""The command `kato-exporter demo`."""

import click

from kato_exporter.setting_kinds import Duration


@click.command()
@click.option(
    "--duration",
    type=Duration(),
    metavar="DURATION",
    help="End by itself after so long, such as 60 or 10m.  [default: on Ctrl-C]",
)
@click.option("--seed", type=int, help="Make the same records again.  [default: others each time]")
def demo(duration: float | None, seed: int | None) -> int:
    """Run the exporter on embedded servers with a KATO workload."""
    try:
        from kato_exporter.demo.run import run_demo  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError as error:
        raise click.UsageError(
            f"the demo needs {error.name}: pip install 'kato-exporter[demo]'"
        ) from error
    return run_demo(duration=duration, seed=seed)
