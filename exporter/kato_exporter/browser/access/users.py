"""Who asks, for views and templates."""

from dataclasses import dataclass

from flask import abort, g

from kato_exporter.browser.access.accounts import Role


@dataclass(frozen=True, slots=True)
class User:
    """Who has signed in, and as what."""

    name: str
    role: Role


def current_user() -> User:
    """Give who asks; every view but those of the sign-in has one. 401 where there is none."""
    user: User | None = g.get("user")
    return abort(401, "Sign in first.") if user is None else user


def require_editor() -> User:
    """Give who asks, if that is an editor; 403 otherwise."""
    user = current_user()
    if user.role != "editor":
        abort(403, f"{user.name} is a {user.role}; only an editor changes or deletes records.")
    return user
