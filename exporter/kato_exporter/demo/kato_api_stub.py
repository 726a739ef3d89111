"""A stub of KATO's API, which is not KATO: `/` and the four paths that the exporter asks.

Its sessions are those in Redis, and what it tells of CPU, memory and disk is this machine's.
"""

import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

from flask import Flask
from redis import Redis, RedisError

from kato_exporter.kato.sessions import SESSION_KEY_MATCH

NAME = "a stub of KATO's API, which is none"

_MOST_PROCESSORS = 100
_CONCURRENCY_LIMIT = 100


def kato_api_stub(
    redis: Redis, *, processors: int, clock: Callable[[], float] = time.time
) -> Flask:
    """Make the application; `processors` is how many it says are loaded, `clock` epoch seconds."""
    app = Flask(__name__, static_folder=None)
    began = clock()
    requests = count(1)
    served = 0

    def sessions() -> int:
        return sum(1 for _ in redis.scan_iter(match=SESSION_KEY_MATCH, count=1000))

    def now() -> str:
        return datetime.fromtimestamp(clock(), UTC).isoformat()

    @app.before_request
    def tally() -> None:
        nonlocal served
        served = next(requests)

    @app.errorhandler(RedisError)
    def without_redis(error: RedisError) -> tuple[dict[str, str], int]:
        return {"detail": f"Redis: {error}"}, 500

    @app.get("/")
    def root() -> dict[str, Any]:
        return {"service": NAME, "version": "stub", "uptime_seconds": clock() - began}

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {
            "status": "healthy",
            "uptime_seconds": clock() - began,
            "issues": [],
            "active_sessions": sessions(),
            "timestamp": now(),
        }

    @app.get("/metrics")
    def metrics() -> dict[str, Any]:
        active = sessions()
        return {
            "timestamp": clock(),
            "sessions": {
                "total_created": 0.0,
                "total_deleted": 0.0,
                "active": active,
                "operations_total": 0.0,
            },
            "performance": {
                "total_requests": float(served),
                "total_errors": 0.0,
                "error_rate": 0.0,
                "average_response_time": 0.002,
            },
            "resources": _resources(),
            "processor_manager": {
                "total_processors": processors,
                "max_processors": _MOST_PROCESSORS,
                "eviction_ttl_seconds": 3600,
            },
        }

    @app.get("/sessions/count")
    def session_count() -> dict[str, int]:
        return {"active_session_count": sessions()}

    @app.get("/concurrency")
    def concurrency() -> dict[str, Any]:
        one = {"concurrent_requests": 1, "utilization_percent": 100 / _CONCURRENCY_LIMIT}
        return {
            "status": "healthy",
            "current": one,
            "peak": one,
            "limits": {"per_worker": _CONCURRENCY_LIMIT, "total_capacity": _CONCURRENCY_LIMIT},
            "timestamp": now(),
        }

    return app


def _resources() -> dict[str, float]:
    load, _, _ = os.getloadavg()
    free = os.sysconf("SC_AVPHYS_PAGES") / os.sysconf("SC_PHYS_PAGES")
    disk = shutil.disk_usage("/")
    return {
        "cpu_percent": min(100.0, 100 * load / (os.cpu_count() or 1)),
        "memory_percent": 100 * (1 - free),
        "disk_percent": 100 * disk.used / disk.total,
    }
