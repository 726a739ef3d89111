"""What KATO reports of itself, as far as it is more than a constant."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prometheus_client.core import Metric

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import StoreError
from kato_exporter.stores.json_values import at, quantity


class KatoApiSource(Protocol):
    """A store that answers as KATO's API does; each question can raise StoreError."""

    def health(self, deadline: Deadline) -> Mapping[str, Any]:
        """Give the answer to `/health`."""

    def metrics(self, deadline: Deadline) -> Mapping[str, Any]:
        """Give the answer to `/metrics`."""

    def session_count(self, deadline: Deadline) -> Mapping[str, Any]:
        """Give the answer to `/sessions/count`."""

    def concurrency(self, deadline: Deadline) -> Mapping[str, Any]:
        """Give the answer to `/concurrency`."""


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(
        name=f"kato_api_{name}",
        kind=Kind.GAUGE,
        help=f"KATO's API: {text}, as reported by one worker.",
        labels=labels,
    )


def _ratio(value: Any) -> float | None:
    """Turn percent into a ratio."""
    percent = quantity(value)
    return None if percent is None else percent / 100


def _length(value: Any) -> float | None:
    return len(value) if isinstance(value, list) else None


@dataclass(frozen=True, slots=True)
class _Field:
    """A number of an answer: where it stands, what it makes, and how it is read."""

    path: tuple[str, ...]
    family: Family
    read: Callable[[Any], float | None] = quantity


@dataclass(frozen=True, slots=True)
class _State:
    """A word of an answer that is one of a few."""

    path: tuple[str, ...]
    family: Family
    words: tuple[str, ...]


_HEALTH = _State(
    ("status",),
    _gauge(
        "health_status",
        "1 for the status, 0 for the others; it tells of CPU and memory, and of no database "
        "(/health)",
        "status",
    ),
    ("healthy", "degraded", "unhealthy"),
)
_CONCURRENCY = _State(
    ("status",),
    _gauge("concurrency_status", "1 for the status, 0 for the others (/concurrency)", "status"),
    ("healthy", "warning", "critical"),
)
_HEALTH_FIELDS = (
    _Field(("uptime_seconds",), _gauge("uptime_seconds", "time since its start (/health)")),
    _Field(("issues",), _gauge("health_issues", "issues that it names (/health)"), _length),
)
_METRICS_FIELDS = (
    _Field(
        ("performance", "total_requests"),
        _gauge(
            "requests",
            "requests since its start, without those that ended in a fault; no counter, as the "
            "next answer may be another worker's (/metrics)",
        ),
    ),
    _Field(
        ("performance", "average_response_time"),
        _gauge("average_response_time_seconds", "mean response time of the last minute (/metrics)"),
    ),
    _Field(
        ("resources", "cpu_percent"),
        _gauge("host_cpu_ratio", "CPU of the whole host in use (/metrics)"),
        _ratio,
    ),
    _Field(
        ("resources", "memory_percent"),
        _gauge("host_memory_ratio", "memory of the whole host in use (/metrics)"),
        _ratio,
    ),
    _Field(
        ("resources", "disk_percent"),
        _gauge("disk_ratio", "root file system of its container in use (/metrics)"),
        _ratio,
    ),
    _Field(
        ("processor_manager", "total_processors"),
        _gauge("processors", "processors that are loaded (/metrics)"),
    ),
    _Field(
        ("processor_manager", "max_processors"),
        _gauge(
            "max_processors",
            "processors that fit; to load one more it drops another and deletes its Qdrant "
            "collection (/metrics)",
        ),
    ),
)
_SESSIONS_FIELDS = (
    _Field(
        ("active_session_count",),
        _gauge(
            "sessions_active",
            "sessions by its own count, which from KATO 3.10.1 on also holds sessions that "
            "have expired; kato_sessions_active is exact (/sessions/count)",
        ),
    ),
)
_CONCURRENCY_FIELDS = (
    _Field(
        ("current", "concurrent_requests"),
        _gauge("concurrent_requests", "requests under way (/concurrency)"),
    ),
    _Field(
        ("peak", "concurrent_requests"),
        _gauge("concurrent_requests_peak", "most requests under way at once (/concurrency)"),
    ),
    _Field(
        ("limits", "per_worker"),
        _gauge(
            "concurrent_requests_limit",
            "requests that may be under way at once, by UVICORN_LIMIT_CONCURRENCY (/concurrency)",
        ),
    ),
)
_ALL_FIELDS = (*_HEALTH_FIELDS, *_METRICS_FIELDS, *_SESSIONS_FIELDS, *_CONCURRENCY_FIELDS)


class KatoApiCollector:
    """Four answers, each for itself: where one is missing, the others are shown.

    kato_api_health_status{status="healthy"} 1
    kato_api_uptime_seconds 240.3
    kato_api_sessions_active 3
    kato_api_host_memory_ratio 0.023
    """

    name = "kato_api"
    store = "kato_api"
    families: Sequence[Family] = (
        _HEALTH.family,
        _CONCURRENCY.family,
        *(field.family for field in _ALL_FIELDS),
    )
    label_limits: Mapping[str, int] = {"status": 3}
    skip_reasons: Sequence[str] = ()

    def __init__(self, store: KatoApiSource) -> None:
        self._answers = (
            (store.health, _HEALTH_FIELDS, (_HEALTH,)),
            (store.metrics, _METRICS_FIELDS, ()),
            (store.session_count, _SESSIONS_FIELDS, ()),
            (store.concurrency, _CONCURRENCY_FIELDS, (_CONCURRENCY,)),
        )

    def collect(self, deadline: Deadline) -> Collection:
        """Ask the four; raise StoreError where none is answered."""
        families: list[Metric] = []
        errors: list[StoreError] = []
        for ask, fields, states in self._answers:
            try:
                answer = ask(deadline)
            except StoreError as error:
                errors.append(error)
                continue
            families += [
                field.family.sample(field.read(at(answer, *field.path))) for field in fields
            ]
            families += [_state(state, at(answer, *state.path)) for state in states]
        if len(errors) == len(self._answers):
            raise errors[0]
        return Collection(families=families, failures=[str(error) for error in errors])


def _state(state: _State, found: Any) -> Metric:
    """Make one series per word, and none where the word is another."""
    words = state.words if found in state.words else ()
    return state.family.samples(((word,), word == found) for word in words)
