"""Where a user goes on to after an order."""

from flask import redirect, url_for
from werkzeug.wrappers import Response


def to_operation(identity: str) -> Response:
    """Lead to the page of an operation."""
    return redirect(url_for("records.operation", identity=identity), 303)
