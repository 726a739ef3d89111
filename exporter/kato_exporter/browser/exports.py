"""Downloads of what is listed, row by row, as JSON Lines or as CSV."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kato_exporter.browser.plain_values import plain
from kato_exporter.stores.errors import StoreError

Row = Mapping[str, Any]

_FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - full width
_NOTE = "_note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What a listing lists: a file name without suffix, the columns of CSV, and all rows.

    `rows` asks the store page by page, so that a download needs no more memory than a page.
    """

    name: str
    columns: tuple[str, ...]
    rows: Callable[[], Iterator[Row]]


def stream(export: Export, form: str, *, most_rows: int) -> Iterator[str]:
    """Give the download as it comes.

    One that is not whole, because there are more rows or the store fails, says so in its last row:
    `{"_note": ...}` in JSON Lines, a first cell that begins with `_note` in CSV.
    """
    write = _as_csv(export.columns) if form == "csv" else _as_json
    if form == "csv":
        yield _csv_line(export.columns)
    count = 0
    try:
        for row in export.rows():
            if count == most_rows:
                yield _note(form, f"cut after {most_rows:,} rows; narrow the search for the rest")
                return
            yield write(row)
            count += 1
    except StoreError as error:
        yield _note(form, f"broken off after {count:,} rows: {error}")


def _as_json(row: Row) -> str:
    return json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n"


def _as_csv(columns: tuple[str, ...]) -> Callable[[Row], str]:
    return lambda row: _csv_line([row.get(column) for column in columns])


def _csv_line(cells: tuple[str, ...] | list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([cell_text(cell) for cell in cells])
    return line.getvalue()


def cell_text(value: Any) -> str:
    """Spell a value for a cell; a text that a spreadsheet would take as a formula begins with `'`.

    What has parts is JSON.
    """
    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    if isinstance(value, int | float):
        return str(value)
    text = value.replace("\0", "\\x00")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_BEGINNINGS) else text


def _note(form: str, text: str) -> str:
    return _csv_line([f"{_NOTE}: {text}"]) if form == "csv" else _as_json({_NOTE: text})
