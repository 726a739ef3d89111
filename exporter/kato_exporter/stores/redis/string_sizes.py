"""Sizes and lives of many string keys at once, so that no huge value is ever fetched."""

from collections.abc import Sequence
from dataclasses import dataclass

import redis

from kato_exporter.stores.redis.connection import redis_errors

_NO_EXPIRY = -1
_NO_SUCH_KEY = -2


@dataclass(frozen=True, slots=True)
class StringSize:
    """How large a string is, in bytes, and in how many seconds it expires, None for never."""

    size: int
    ttl: float | None


def string_sizes(client: redis.Redis, keys: Sequence[bytes]) -> dict[bytes, StringSize]:
    """Ask for STRLEN and PTTL of each key; those that are gone or hold no string are left out.

    Raises QueryError where one of the two is not permitted, StoreError where no answer comes.
    """
    with redis_errors():
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.strlen(key)
            pipeline.pttl(key)
        replies = pipeline.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, redis.exceptions.NoPermissionError):
                raise reply
    return {
        key: StringSize(size, None if life == _NO_EXPIRY else life / 1000)
        for key, size, life in zip(keys, replies[::2], replies[1::2], strict=True)
        if isinstance(size, int) and isinstance(life, int) and life != _NO_SUCH_KEY
    }
