"""Where keys of Redis are, as records: the number of the database, and the name."""

from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.redis.names import name_text

_LONGEST_LABEL = 200
_LONGEST_NUMBER = 20


class Locators:
    """The locators of the keys of one database."""

    def __init__(self, database: int) -> None:
        self._database = database

    def of(self, key: bytes) -> bytes:
        """Give the locator of a key."""
        return b"%d:%s" % (self._database, key)

    def key(self, locator: bytes) -> bytes:
        """Give the key of a locator; raise QueryError where it is in another database."""
        key = key_of(locator)
        if locator != self.of(key):
            database = name_text(locator[:_LONGEST_NUMBER].partition(b":")[0])
            raise QueryError(
                f"{key_label(key)} is in database {database} of Redis, and the browser is at "
                f"database {self._database}"
            )
        return key


def key_of(locator: bytes) -> bytes:
    """Give the key of a locator, whatever database it is in."""
    return locator.partition(b":")[2]


def key_label(key: bytes) -> str:
    """Name a key in one line, which has its beginning where it is long."""
    text = name_text(key[:_LONGEST_LABEL])
    return text if len(key) <= _LONGEST_LABEL else f"{text}… ({len(key):,} bytes)"
