"""Reads the arguments of a page's URL; what is wrong ends in a 400 that says what is right."""

from collections.abc import Sequence
from typing import Any, NoReturn

from flask import abort, request

from kato_exporter.browser.keys import decode_key

_MOST_SHOWN = 40


def text_argument(name: str, *, most: int = 200) -> str:
    """Give an argument without the spaces around it, empty where it is not given."""
    value = request.args.get(name, "").strip()
    if len(value) > most:
        refuse(name, value, f"give at most {most} characters")
    if "\0" in value:
        refuse(name, value, "give a text without the character NUL")
    return value


def integer_argument(
    name: str, *, default: int | None = None, least: int = 0, most: int
) -> int | None:
    """Give a whole number, the default where none is given."""
    value = text_argument(name)
    if not value:
        return default
    digits = value.removeprefix("-")
    if digits.isascii() and digits.isdecimal() and len(digits) < _MOST_SHOWN:
        number = int(value)
        if least <= number <= most:
            return number
    return refuse(name, value, f"give a whole number from {least:,} to {most:,}")


def choice_argument(name: str, choices: Sequence[str], *, default: str) -> str:
    """Give one of several words, the default where none is given."""
    value = text_argument(name) or default
    return value if value in choices else refuse(name, value, f"give one of {', '.join(choices)}")


def key_argument(name: str) -> list[Any] | None:
    """Give the values of a page's key, as `encode_key` has put them into a link; None for none."""
    value = request.args.get(name)
    if not value:
        return None
    try:
        return decode_key(value)
    except ValueError:
        return refuse(name, value, "it comes from a link to a next page; begin at the first page")


def refuse(name: str, value: str, right: str) -> NoReturn:
    """End with a 400 that names the argument, what was given, and what is right."""
    shown = value if len(value) <= _MOST_SHOWN else f"{value[:_MOST_SHOWN]}…"
    abort(400, f"{name}={shown}: {right}")
