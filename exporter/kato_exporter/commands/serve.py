"""The command `kato-exporter serve`."""

from typing import Any

import click

from kato_exporter.commands.configuration import exporter_settings, web_config
from kato_exporter.commands.serving import refused_address, serve_until_told
from kato_exporter.logs import configure_logging
from kato_exporter.runtime.assembly import assemble
from kato_exporter.runtime.server import listen
from kato_exporter.runtime.web import create_app
from kato_exporter.settings import ExporterSettings, with_settings


@click.command()
@with_settings(ExporterSettings)
def serve(**given: Any) -> None:
    """Serve /metrics until SIGTERM or Ctrl-C."""
    settings = exporter_settings(given)
    configure_logging(settings.log_level, settings.log_format)
    web = web_config(settings)
    exporter = assemble(settings)
    app = create_app(exporter.runner, web.certificate_expiry)
    with refused_address("KATO_LISTEN (--listen)", settings.listen):
        listening = listen(app, settings.listen, web)
    serve_until_told(exporter, listening, f"{web.scheme}://{{}}/metrics")
