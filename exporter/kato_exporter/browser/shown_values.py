"""Template filters that show what stores hold: hostile text made visible, numbers with units."""

import json
import math
import unicodedata
from datetime import UTC, datetime

from flask import Flask
from markupsafe import Markup, escape

from kato_exporter.browser.plain_values import plain

_LONGEST_TEXT = 300
_LONGEST_BLOCK = 64 * 1024
_SHOWN_AS_IT_IS = frozenset("\n\t")
_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
_BYTES_STEP = 1024
_BYTES_UNITS = ("KiB", "MiB", "GiB", "TiB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def shown(value: object, most: int = _LONGEST_TEXT) -> Markup:
    """Show a text in one piece of a line: what is invisible or turns text round is spelled out.

    More than `most` characters are cut, with how many there are.
    """
    text = _as_text(value)
    return Markup("").join([_visible(text[:most], keep=frozenset()), _cut_mark(len(text), most)])


def block(value: object, most: int = _LONGEST_BLOCK) -> Markup:
    """Show a text of many lines, for `<pre>`; as `shown` does, but keeps line ends and tabs."""
    text = _as_text(value)
    body = _visible(text[:most], keep=_SHOWN_AS_IT_IS)
    return Markup("").join([body, _cut_mark(len(text), most)])


def pretty(value: object, most: int = _LONGEST_BLOCK) -> Markup:
    """Show any value as indented JSON, for `<pre>`."""
    return block(json.dumps(plain(value), ensure_ascii=False, indent=2), most)


def bytes_size(value: float | None) -> str:
    """Spell a number of bytes, in units of 1,024; `unknown` for None."""
    if value is None:
        return "unknown"
    if value < _BYTES_STEP:
        return f"{value:,.0f} B"
    step = min(int(math.log(value, _BYTES_STEP)), len(_BYTES_UNITS))
    return f"{value / _BYTES_STEP**step:,.1f} {_BYTES_UNITS[step - 1]}"


def number(value: float | None) -> str:
    """Spell a number with separators; `unknown` for None."""
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def duration(seconds: float | None) -> str:
    """Spell a time span by its two largest units; `unknown` for None."""
    if seconds is None:
        return "unknown"
    whole = int(abs(seconds))
    sign = "-" if seconds < 0 and whole else ""
    if whole < _MINUTE:
        return f"{sign}{whole} s"
    if whole < _HOUR:
        return f"{sign}{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{sign}{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{sign}{whole // _DAY:,} d {whole % _DAY // _HOUR} h"


def moment(value: float | datetime | None) -> str:
    """Spell a point in time, also given in epoch seconds, in UTC; `unknown` for None."""
    if value is None:
        return "unknown"
    try:
        when = value if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
        return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"{value} s after 1970"


def install_filters(app: Flask) -> None:
    """Make the filters known to all templates."""
    for each in (shown, block, pretty, bytes_size, number, duration, moment):
        app.add_template_filter(each)


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return json.dumps(plain(value), ensure_ascii=False)


def _visible(text: str, keep: frozenset[str]) -> Markup:
    if text.isascii() and text.isprintable():
        return escape(text)
    return Markup("").join(
        Markup('<span class="escape">{}</span>').format(_spelled(character))
        if character not in keep and unicodedata.category(character) in _INVISIBLE
        else character
        for character in text
    )


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _cut_mark(length: int, most: int) -> Markup:
    if length <= most:
        return Markup("")
    return Markup('<span class="cut">… cut, {:,} characters in all</span>').format(length)
