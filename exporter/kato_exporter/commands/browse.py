"""The command `kato-exporter browse`."""

from dataclasses import replace
from typing import Any

import click
import structlog

from kato_exporter.browser.access.accounts import (
    THIS_RUNS_USER,
    Accounts,
    AccountsError,
    is_loopback,
)
from kato_exporter.browser.app import LARGEST_BODY
from kato_exporter.browser.assembly import assemble
from kato_exporter.commands.configuration import web_config
from kato_exporter.commands.serving import refused_address, serve_until_told
from kato_exporter.logs import configure_logging
from kato_exporter.runtime.server import listen
from kato_exporter.settings import BrowserSettings, with_settings

_log = structlog.get_logger("exporter")


@click.command()
@with_settings(BrowserSettings)
def browse(**given: Any) -> None:
    """Serve the record browser until SIGTERM or Ctrl-C."""
    settings = BrowserSettings.of(given)
    if not (settings.redis_url or settings.mongo_url or settings.qdrant_url):
        raise click.UsageError(
            "no store is configured: set KATO_HOST (--host) to the host of your KATO, "
            "or KATO_REDIS_URL, KATO_MONGO_URL and KATO_QDRANT_URL"
        )
    configure_logging(settings.log_level, settings.log_format)
    web = web_config(settings)
    try:
        accounts, password = _accounts(settings)
        browser = assemble(settings, accounts, tls=web.tls is not None)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with refused_address("KATO_BROWSER_LISTEN (--browser-listen)", settings.browser_listen):
        listening = listen(
            browser.app,
            settings.browser_listen,
            replace(web, guarded=frozenset({"/metrics"})),  # the pages ask by themselves
            largest_body=LARGEST_BODY,
        )
    if not (browser.https or is_loopback(settings.browser_listen.host)):
        _log.warning(
            "passwords and records go over the network unencrypted; give TLS in "
            "KATO_WEB_CONFIG_FILE, or put a proxy with TLS before it and set KATO_BROWSER_URL"
        )
    if password is not None:
        click.echo(f"Sign in as {THIS_RUNS_USER} with {password} (good for this run).", err=True)
    serve_until_told(browser, listening, f"{web.scheme}://{{}}/")


def _accounts(settings: BrowserSettings) -> tuple[Accounts, str | None]:
    """Read the accounts; without a file make one for this run, and give its password."""
    if settings.browser_accounts_file is None:
        return Accounts.for_this_run()
    try:
        return Accounts.of_file(settings.browser_accounts_file), None
    except AccountsError as error:
        raise click.UsageError(
            f"KATO_BROWSER_ACCOUNTS_FILE (--browser-accounts-file): {error}"
        ) from error
