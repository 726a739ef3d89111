"""The page of the audit log."""

from collections.abc import Iterator

from flask import Blueprint, Response

from kato_exporter.browser.answers import answer
from kato_exporter.browser.arguments import integer_argument, text_argument
from kato_exporter.browser.exports import Export, Row
from kato_exporter.browser.links import this_page
from kato_exporter.browser.records.audit import COLUMNS
from kato_exporter.browser.records.journal import Journal

_EXPORTED_AT_ONCE = 1_000
_NO_END = 2**53


def audit_pages(journal: Journal, *, page_rows: int) -> Blueprint:
    """Make the page.

    GET /audit   who did what, the newest first; `?user=`, `?record=`, `?action=`, `?operation=`
    """
    pages = Blueprint("audit", __name__)

    @pages.get("/audit")
    def audit() -> Response:
        filters = {name: text_argument(name) for name in ("user", "record", "action", "operation")}
        before = integer_argument("before", default=_NO_END, most=_NO_END) or _NO_END
        listed = _entries(journal, filters, before, page_rows + 1)
        shown, more = listed[:page_rows], len(listed) > page_rows
        facts = {
            "filters": filters,
            "entries": shown,
            "next": this_page(before=str(shown[-1]["number"])) if more else None,
        }
        export = Export(
            name="audit",
            columns=COLUMNS,
            rows=lambda: _all_entries(journal, filters, before),
        )
        return answer("records/audit.html", facts, export=export)

    return pages


def _entries(journal: Journal, filters: dict[str, str], before: int, limit: int) -> list[Row]:
    conditions = ["number < :before"]
    conditions += [f"{name} = :{name}" for name in ("user", "action", "operation") if filters[name]]
    if filters["record"]:
        conditions.append("instr(record, :record) > 0")
    columns = ", ".join(COLUMNS)
    return journal.rows(
        f"SELECT {columns} FROM audit WHERE {' AND '.join(conditions)}"  # noqa: S608 - names are ours
        " ORDER BY number DESC LIMIT :limit",
        filters | {"before": before, "limit": limit},
    )


def _all_entries(journal: Journal, filters: dict[str, str], before: int) -> Iterator[Row]:
    while entries := _entries(journal, filters, before, _EXPORTED_AT_ONCE):
        yield from entries
        before = entries[-1]["number"]
