"""How long to wait before a lost connection is tried again."""

from redis.backoff import ExponentialWithJitterBackoff

_BACKOFF = ExponentialWithJitterBackoff(base=0.5, cap=15)


def reconnect_pause(failures: int) -> float:
    """Give the seconds to wait after so many failures in a row: more each time, and random."""
    return _BACKOFF.compute(failures)
