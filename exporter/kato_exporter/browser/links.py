"""Links out of a page: to itself in another form, and to Grafana."""

import time
from typing import Any
from urllib.parse import quote, urlencode

from flask import Flask, request


def install_links(app: Flask, *, grafana_url: str | None) -> None:
    """Make the links known to all templates.

    `dashboard(uid, kb="alice_kato")` is the URL of a dashboard with its variables; None where no
    Grafana is set.
    """

    def dashboard(uid: str, **variables: Any) -> str | None:
        if grafana_url is None:
            return None
        times = {name: variables.pop(name) for name in ("from_", "to") if name in variables}
        query = [(name.rstrip("_"), value) for name, value in times.items() if value is not None]
        query += [(f"var-{name}", value) for name, value in variables.items() if value is not None]
        return f"{grafana_url}/d/{uid}?{urlencode(query)}"

    app.add_template_global(dashboard)
    app.add_template_global(this_page)
    app.add_template_global(this_page_as)
    app.add_template_global(time.time, "now")


def this_page(**changed: str | None) -> str:
    """Give the path and query of this page, with arguments changed, or left out where None."""
    query = request.args.to_dict(flat=False)
    for name, value in changed.items():
        query.pop(name, None)
        if value is not None:
            query[name] = [value]
    text = urlencode(query, doseq=True)
    return f"{_path()}?{text}" if text else _path()


def this_page_as(form: str) -> str:
    """Give this page in another form."""
    return this_page(format=form)


def _path() -> str:
    """Give the path as a URL spells it."""
    return quote(request.path)
