"""The command `kato-exporter check`."""

from typing import Any

import click

from kato_exporter.collectors.collector import most_series
from kato_exporter.commands.configuration import exporter_settings, web_config
from kato_exporter.logs import configure_logging
from kato_exporter.runtime.assembly import Exporter, assemble
from kato_exporter.runtime.self_metrics import FAMILIES as SELF_FAMILIES
from kato_exporter.settings import ExporterSettings, with_settings
from kato_exporter.stores.errors import StoreError
from kato_exporter.stores.store import Store


@click.command()
@with_settings(ExporterSettings)
def check(**given: Any) -> int:
    """Try each store once; print what is collected, and its price.

    The exit status is 0 only if every configured store answers. A wrong web configuration file is
    refused as by serve.
    """
    settings = exporter_settings(given)
    configure_logging("error", settings.log_format)
    web_config(settings)
    exporter = assemble(settings)
    answers = [_report(store) for store in exporter.stores]
    click.echo()
    _print_collectors(exporter)
    for store in exporter.stores:
        store.close()
    return 0 if all(answers) else 1


def _report(store: Store) -> bool:
    """Print what a store says of itself; tell whether it answers."""
    try:
        report = store.report()
    except StoreError as error:
        click.echo(f"{store.name:9} {store.address:40} no answer: {error}")
        return False
    click.echo(f"{store.name:9} {store.address:40} {report.version}")
    for lack in report.lacking:
        click.echo(f"{'':9} {lack}")
    return True


def _print_collectors(exporter: Exporter) -> None:
    row = "{:15} {:9} {:15} {:>14}"
    click.echo(row.format("collector", "store", "asked", "series at most"))
    total = 0
    for collector in exporter.collectors:
        most = most_series(collector.families, collector.label_limits)
        total += most
        cadence = exporter.runner.cadence(collector.name)
        click.echo(row.format(collector.name, collector.store, cadence, f"{most:,}"))
    own = most_series(
        SELF_FAMILIES,
        {
            "collector": len(exporter.collectors),
            "store": len(exporter.stores),
            "reason": max(
                (len(collector.skip_reasons) for collector in exporter.collectors), default=1
            ),
        },
    )
    click.echo(row.format("(itself)", "", "on the scrape", f"{own:,}"))
    click.echo(row.format("total", "", "", f"{total + own:,}"))
