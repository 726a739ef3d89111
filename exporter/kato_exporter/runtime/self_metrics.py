"""What the exporter says of itself."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import Metric

from kato_exporter import __version__
from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.family import Family, Kind

STORE_UP = Family(
    name="kato_store_up",
    kind=Kind.GAUGE,
    help="1 if the store answered before the scrape's deadline, else 0; absent if not configured.",
    labels=("store",),
)
BUILD_INFO = Family(
    name="kato_exporter_build_info",
    kind=Kind.INFO,
    help="The exporter's version and the Python that runs it. Always 1.",
    labels=("version", "python"),
)

CERTIFICATE_EXPIRY = Family(
    name="kato_exporter_web_certificate_expiry_timestamp_seconds",
    kind=Kind.GAUGE,
    help="When the certificate that the exporter shows its clients ends; absent without TLS.",
)


def _per_collector(name: str, text: str, *more_labels: str) -> Family:
    return Family(
        name=f"kato_exporter_{name}",
        kind=Kind.GAUGE,
        help=text,
        labels=("collector", *more_labels),
    )


SUCCESS = _per_collector(
    "collector_success",
    "1 if the last collection was whole and its store is up, else 0; "
    "absent before the first has ended.",
)
DURATION = _per_collector("collector_duration_seconds", "How long the last collection took.")
LAST_SUCCESS = _per_collector(
    "collector_last_success_timestamp_seconds", "When a collection was last whole."
)
INTERVAL = _per_collector(
    "collector_interval_seconds",
    "Time from one scheduled collection to the next, if the load budget allows; "
    "absent for what is asked on the scrape.",
)
SNAPSHOT_AGE = _per_collector(
    "collector_snapshot_age_seconds",
    "Age of the snapshot that this scrape shows; absent for what is asked on the scrape.",
)
DROPPED = _per_collector(
    "series_dropped", "Series that the last collection left out to keep within a limit."
)
SKIPPED = _per_collector(
    "records_skipped",
    "Records that the last collection left out because KATO cannot have written them so.",
    "reason",
)

FAMILIES = (
    STORE_UP,
    BUILD_INFO,
    CERTIFICATE_EXPIRY,
    SUCCESS,
    DURATION,
    LAST_SUCCESS,
    INTERVAL,
    SNAPSHOT_AGE,
    DROPPED,
    SKIPPED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorState:
    """How one collector stands at a scrape; None is unknown, times are in seconds.

    `collection` is what the scrape shows of it.
    """

    name: str
    success: bool | None
    duration: float | None
    last_success: float | None
    interval: float | None
    snapshot_age: float | None
    collection: Collection | None


def exporter_families(states: list[CollectorState]) -> Iterator[Metric]:
    """Make the families that describe the collectors, and the build."""
    yield BUILD_INFO.samples([((__version__, platform.python_version()), 1)])
    yield SUCCESS.samples(((state.name,), state.success) for state in states)
    yield DURATION.samples(((state.name,), state.duration) for state in states)
    yield LAST_SUCCESS.samples(((state.name,), state.last_success) for state in states)
    yield INTERVAL.samples(((state.name,), state.interval) for state in states)
    yield SNAPSHOT_AGE.samples(((state.name,), state.snapshot_age) for state in states)
    shown = [(state.name, state.collection) for state in states if state.collection is not None]
    yield DROPPED.samples(((name,), collection.dropped) for name, collection in shown)
    yield SKIPPED.samples(
        ((name, reason), count)
        for name, collection in shown
        for reason, count in collection.skipped.items()
    )
