"""The command `kato-exporter`."""

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, NoReturn

import click
import structlog

from kato_exporter import __version__
from kato_exporter.browser.access.account_command import account
from kato_exporter.browser.access.accounts import (
    THIS_RUNS_USER,
    Accounts,
    AccountsError,
    is_loopback,
)
from kato_exporter.browser.app import LARGEST_BODY
from kato_exporter.browser.assembly import assemble as assemble_browser
from kato_exporter.browser.records.audit_command import audit
from kato_exporter.collectors.collector import most_series
from kato_exporter.logs import configure_logging
from kato_exporter.runtime.assembly import Exporter, assemble
from kato_exporter.runtime.self_metrics import FAMILIES as SELF_FAMILIES
from kato_exporter.runtime.server import listen
from kato_exporter.runtime.web import create_app
from kato_exporter.runtime.web_config import WebConfig, WebConfigError, load_web_config
from kato_exporter.setting_kinds import Address, Duration
from kato_exporter.settings import BrowserSettings, ExporterSettings, Settings, with_settings
from kato_exporter.stores.errors import StoreError
from kato_exporter.stores.store import Store

_log = structlog.get_logger("exporter")

_SYSTEM_ERROR = re.compile(r"\[Errno -?\d+\] ([^)]*)")


def main() -> None:
    """Run the command line; a wrong setting ends it with one line and exit status 2."""
    try:
        status = cli.main(prog_name="kato-exporter", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"kato-exporter: {_explain(error)}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)


def _explain(error: click.ClickException) -> str:
    """Put an error into one line that names the setting in every spelling."""
    if isinstance(error, click.BadParameter) and isinstance(error.param, click.Option):
        return f"{error.param.envvar} ({error.param.opts[0]}): {error.message}"
    return error.format_message()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """Watch and tend KATO: its metrics for Prometheus, its records in a browser."""


@cli.command()
@with_settings(ExporterSettings)
def serve(**given: Any) -> None:
    """Serve /metrics until SIGTERM or Ctrl-C."""
    settings = _exporter_settings(given)
    configure_logging(settings.log_level, settings.log_format)
    web_config = _web_config(settings)
    exporter = assemble(settings)
    app = create_app(exporter.runner, web_config.certificate_expiry)
    with _refused_address("KATO_LISTEN (--listen)", settings.listen):
        listening = listen(app, settings.listen, web_config)
    _serve_until_told(exporter, listening, f"{web_config.scheme}://{{}}/metrics")


@cli.command()
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
    web_config = _web_config(settings)
    try:
        accounts, password = _accounts(settings)
        browser = assemble_browser(settings, accounts, tls=web_config.tls is not None)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with _refused_address("KATO_BROWSER_LISTEN (--browser-listen)", settings.browser_listen):
        listening = listen(
            browser.app,
            settings.browser_listen,
            replace(web_config, guarded=frozenset({"/metrics"})),  # the pages ask by themselves
            largest_body=LARGEST_BODY,
        )
    if not (browser.https or is_loopback(settings.browser_listen.host)):
        _log.warning(
            "passwords and records go over the network unencrypted; give TLS in "
            "KATO_WEB_CONFIG_FILE, or put a proxy with TLS before it and set KATO_BROWSER_URL"
        )
    if password is not None:
        click.echo(f"Sign in as {THIS_RUNS_USER} with {password} (good for this run).", err=True)
    _serve_until_told(browser, listening, f"{web_config.scheme}://{{}}/")


cli.add_command(account)
cli.add_command(audit)


@cli.command()
@with_settings(ExporterSettings)
def check(**given: Any) -> int:
    """Try each store once, and print what would be collected and at what price.

    The exit status is 0 only if every configured store answers. A wrong web configuration file is
    refused as by serve.
    """
    settings = _exporter_settings(given)
    configure_logging("error", settings.log_format)
    _web_config(settings)
    exporter = assemble(settings)
    answers = [_report(store) for store in exporter.stores]
    click.echo()
    _print_collectors(exporter)
    for store in exporter.stores:
        store.close()
    return 0 if all(answers) else 1


@cli.command()
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


def _exporter_settings(given: Mapping[str, Any]) -> ExporterSettings:
    settings = ExporterSettings.of(given)
    if {
        settings.redis_url,
        settings.mongo_url,
        settings.qdrant_url,
        settings.api_url,
        settings.docker_host,
    } == {None}:
        raise click.UsageError(
            "no store is configured: set KATO_HOST (--host) to the host of your KATO, "
            "or KATO_REDIS_URL, KATO_MONGO_URL, KATO_QDRANT_URL, KATO_API_URL and KATO_DOCKER_HOST"
        )
    return settings


def _web_config(settings: Settings) -> WebConfig:
    if settings.web_config_file is None:
        return WebConfig()
    try:
        return load_web_config(settings.web_config_file)
    except WebConfigError as error:
        raise click.UsageError(f"KATO_WEB_CONFIG_FILE (--web-config-file): {error}") from error


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


@contextmanager
def _refused_address(setting: str, address: Address) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reasons = _SYSTEM_ERROR.findall(str(error)) or [str(error)]
        raise click.UsageError(
            f"{setting}: cannot listen on {address} "
            f"({reasons[-1]}); give a free HOST:PORT of this machine"
        ) from error


def _serve_until_told(
    served: AbstractContextManager[object],
    listening: AbstractContextManager[Address],
    url: str,
) -> NoReturn:
    """Serve until a signal, and end the process; `url` has a place for the address."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with served, listening as address:
        _log.info("serving", url=url.format(address), version=__version__)
        stopped.wait()
        _log.info("ending")
    sys.stderr.flush()
    os._exit(0)  # a thread that still waits for a store that hangs must not hold up the end


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
