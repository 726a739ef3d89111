"""Whether Redis tells of its key events, and the leave to make it do so."""

from contextlib import suppress
from typing import Protocol

import structlog

from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.redis.store import Keyevent

ENDS: tuple[Keyevent, ...] = ("del", "expired", "evicted")

_log = structlog.get_logger("sessions")

_CLASSES_OF_ENDS = frozenset("Egxe")
_CLASS_OF: dict[Keyevent, str] = {"new": "n", "set": "$"}


class NotificationSetting(Protocol):
    """What is asked of Redis; see RedisStore."""

    def tells_new_keys(self) -> bool:
        """Tell whether the server has the event `new`."""

    def notification_flags(self) -> frozenset[str]:
        """Read which classes of events are on."""

    def set_notification_flags(self, flags: frozenset[str]) -> None:
        """Turn on exactly these classes."""


class KeyspaceNotifications:
    """The setting `notify-keyspace-events`: read, completed where allowed, and taken back."""

    def __init__(self, store: NotificationSetting, *, manage: bool) -> None:
        self._store = store
        self._manage = manage
        self._added: frozenset[str] = frozenset()
        self._explained = ""

    def usable_events(self) -> tuple[Keyevent, ...]:
        """Give the events that tell every begin and end; empty where some are off and stay off.

        `new` tells a begin where the server has that event. Where all other classes are on, Redis
        does not report whether this one is; then, and on older servers, `set` does.
        Raises StoreError where Redis gives no answer at all.
        """
        begin: Keyevent = "new" if self._store.tells_new_keys() else "set"
        try:
            flags = self._store.notification_flags()
            candidate: Keyevent
            for candidate in (begin, "set"):
                if _needed(candidate) <= flags:
                    self._explained = ""
                    return (candidate, *ENDS)
            if self._manage:
                self._add(_needed(begin) - flags)
                return (begin, *ENDS)
        except QueryError as error:
            self._explain(f"CONFIG is refused ({error})", _needed(begin))
        else:
            self._explain("keyspace notifications are off", _needed(begin))
        return ()

    def take_back(self) -> None:
        """Turn off again what was turned on here, and nothing else."""
        if self._added:
            with suppress(StoreError):
                self._store.set_notification_flags(self._store.notification_flags() - self._added)

    def _add(self, missing: frozenset[str]) -> None:
        self._store.set_notification_flags(self._store.notification_flags() | missing)
        self._added |= missing
        _log.info("turned on keyspace notifications", added="".join(sorted(missing)))

    def _explain(self, reason: str, needed: frozenset[str]) -> None:
        if reason != self._explained:
            self._explained = reason
            _log.warning(
                "sessions are counted by scan only; short ones between two scans go unseen",
                reason=reason,
                remedy="redis-cli CONFIG SET notify-keyspace-events "
                f"{''.join(sorted(needed))} (add what is set already), "
                "or KATO_REDIS_MANAGE_NOTIFICATIONS=true",
            )


def _needed(begin: Keyevent) -> frozenset[str]:
    return _CLASSES_OF_ENDS | {_CLASS_OF[begin]}
