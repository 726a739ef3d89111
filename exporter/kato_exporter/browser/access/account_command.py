"""The command `kato-exporter account`."""

import sys

import click

from kato_exporter.browser.access.accounts import ROLES, Account, Role, account_lines, unfit_name
from kato_exporter.browser.access.passwords import ADVISED_LENGTH, hash_password, unfit_password


@click.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="viewer",
    show_default=True,
    help="A viewer reads; an editor also changes and deletes, where that is permitted.",
)
def account(name: str, role: Role) -> None:
    """Print the lines of an account for the record browser.

    Asks for the password twice, or takes it from one line of standard input.
    """
    if problem := unfit_name(name):
        raise click.UsageError(f"the name {problem}")
    password = _password()
    if problem := unfit_password(password, name):
        raise click.UsageError(f"the password is not good enough: {problem}")
    if len(password) < ADVISED_LENGTH:
        click.echo(f"It is accepted; {ADVISED_LENGTH} or more characters are better.", err=True)
    click.echo(account_lines(Account(name, role, hash_password(password))), nl=False)


def _password() -> str:
    if sys.stdin.isatty():
        asked = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return str(asked)
    return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
