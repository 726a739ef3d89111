"""What Qdrant holds: collections, their points, and points that are gone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client.core import Metric

from kato_exporter.collectors.collector import Collection, most_series
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.collectors.loss_ledger import LossLedger
from kato_exporter.collectors.selection import OTHER, Selection
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.qdrant.answers import CollectionInfo


class QdrantSource(Protocol):
    """A store that answers as Qdrant does; each question can raise StoreError."""

    def version(self, deadline: Deadline) -> str:
        """Give the server's version."""

    def collections(self, deadline: Deadline) -> tuple[str, ...]:
        """Give the names of all collections."""

    def collection(self, name: str, deadline: Deadline) -> CollectionInfo:
        """Give what is known of one; QueryError with code 404 where it is gone."""


INFO = Family(
    name="kato_qdrant_info",
    kind=Kind.INFO,
    help="Qdrant: version of the server. Always 1.",
    labels=("version",),
)
COLLECTIONS = Family(name="kato_qdrant_collections", kind=Kind.GAUGE, help="Qdrant: collections.")


def _per_collection(name: str, text: str, *more_labels: str) -> Family:
    return Family(
        name=f"kato_qdrant_{name}",
        kind=Kind.GAUGE,
        help=f"Qdrant: {text}.",
        labels=("collection", *more_labels),
    )


POINTS = _per_collection(
    "points", "points of a collection, which the server counts approximately (points_count)"
)
INDEXED_VECTORS = _per_collection(
    "indexed_vectors",
    "vectors of a collection that are in an index, counted approximately (indexed_vectors_count)",
)
SEGMENTS = _per_collection("segments", "segments of a collection (segments_count)")
STATUS = _per_collection(
    "collection_status",
    "1 for the status of a collection, 0 for the others; red: an operation failed for good",
    "status",
)
OPTIMIZER_OK = _per_collection(
    "optimizer_ok", "0 if the optimizers of a collection tell of an error, else 1"
)
VECTOR_SIZE = _per_collection(
    "collection_vector_size",
    "dimensions of a vector of a collection; the label vector is empty for an unnamed one",
    "vector",
)
VECTOR_INFO = Family(
    name="kato_qdrant_collection_vector_info",
    kind=Kind.INFO,
    help="Qdrant: distance function of a vector of a collection. Always 1.",
    labels=("collection", "vector", "distance"),
)
POINTS_LOST = Family(
    name="kato_qdrant_points_lost_total",
    kind=Kind.COUNTER,
    help="Qdrant: points by which a collection was seen to shrink, all of them when it is gone; "
    "since the exporter's start, and as approximate as points_count.",
    labels=("collection",),
)

_STATUSES = ("green", "yellow", "grey", "red")
_MOST_VECTORS = 4
_MOST_SILENT = 3
_NOT_FOUND = 404

_SUMMED = (POINTS, INDEXED_VECTORS, SEGMENTS)
_SINGLE = (STATUS, OPTIMIZER_OK, VECTOR_SIZE, VECTOR_INFO)

Infos = Mapping[str, CollectionInfo | None]
"""What is known of each collection that exists, by name; None where it could not be asked."""


class QdrantCollector:
    """Every collection, for a request each.

    kato_qdrant_info{version="1.15.4"} 1
    kato_qdrant_collections 3
    kato_qdrant_points{collection="vectors_alice_kato"} 1200
    kato_qdrant_collection_status{collection="vectors_alice_kato",status="green"} 1
    kato_qdrant_collection_vector_size{collection="vectors_alice_kato",vector=""} 512
    kato_qdrant_points_lost_total{collection="vectors_bob_kato"} 80
    """

    name = "qdrant"
    store = "qdrant"
    families: Sequence[Family] = (INFO, COLLECTIONS, *_SUMMED, *_SINGLE, POINTS_LOST)
    skip_reasons: Sequence[str] = ()

    def __init__(self, store: QdrantSource, *, most_collections: int) -> None:
        self._store = store
        self._selection = Selection(most_collections)
        self._ledger = LossLedger(most_collections)
        self.label_limits: Mapping[str, int] = {
            "collection": most_collections + 1,
            "status": len(_STATUSES),
            "vector": _MOST_VECTORS,
        }

    def collect(self, deadline: Deadline) -> Collection:
        """Ask for the collections, then for each of them, one after the other."""
        names = self._store.collections(deadline)
        failures: list[str] = []
        infos = self._ask(names, deadline, failures)
        self._ledger.observe(
            {name: None if info is None else info.points for name, info in infos.items()}
        )
        kept = self._selection.of(infos)
        own = [(name, info) for name, info in infos.items() if name in kept and info is not None]
        return Collection(
            families=[
                INFO.samples(self._versions(deadline, failures)),
                COLLECTIONS.sample(len(infos)),
                *_sums((name if name in kept else OTHER, info) for name, info in infos.items()),
                *_states(own),
                POINTS_LOST.samples(((name,), lost) for name, lost in self._ledger.lost.items()),
            ],
            dropped=_dropped(own, others=len(infos) - len(kept)),
            failures=failures,
        )

    def _ask(self, names: Sequence[str], deadline: Deadline, failures: list[str]) -> Infos:
        """Ask for each; raise StoreError where the store has fallen silent on the way.

        One that is gone since the names were listed is left out.
        """
        infos: dict[str, CollectionInfo | None] = dict.fromkeys(names)
        missing: dict[str, QueryError] = {}
        silent = 0
        for name in names:
            if deadline.expired:
                failures.append(f"{name} and what follows it: out of time")
                break
            try:
                infos[name] = self._store.collection(name, deadline)
            except QueryError as error:
                if error.code == _NOT_FOUND:
                    missing[name] = error
                else:
                    failures.append(f"{name}: {error}")
            except StoreError as error:
                silent += 1
                if silent == _MOST_SILENT:
                    raise
                failures.append(f"{name}: {error}")
        if missing:
            existing = frozenset(self._store.collections(deadline))
            failures += [f"{name}: {missing[name]}" for name in missing if name in existing]
            infos = {name: infos[name] for name in infos if name not in missing.keys() - existing}
        return infos

    def _versions(
        self, deadline: Deadline, failures: list[str]
    ) -> list[tuple[tuple[str], float | None]]:
        try:
            return [((self._store.version(deadline),), 1)]
        except QueryError as error:
            failures.append(str(error))
            return []


def _sums(rows: Iterable[tuple[str, CollectionInfo | None]]) -> Iterator[Metric]:
    """Make the families whose sum holds: of those without a series of their own, `other`."""
    infos = list(rows)
    yield POINTS.sums(((name,), None if info is None else info.points) for name, info in infos)
    yield INDEXED_VECTORS.sums(
        ((name,), None if info is None else info.indexed_vectors) for name, info in infos
    )
    yield SEGMENTS.sums(((name,), None if info is None else info.segments) for name, info in infos)


def _states(infos: Sequence[tuple[str, CollectionInfo]]) -> Iterator[Metric]:
    """Make the families that only collections with series of their own have."""
    yield STATUS.samples(
        ((name, status), status == info.status)
        for name, info in infos
        if info.status in _STATUSES
        for status in _STATUSES
    )
    yield OPTIMIZER_OK.samples(((name,), info.optimizer_ok) for name, info in infos)
    vectors = [(name, vector) for name, info in infos for vector in info.vectors[:_MOST_VECTORS]]
    yield VECTOR_SIZE.samples(((name, vector.name), vector.size) for name, vector in vectors)
    yield VECTOR_INFO.samples(
        ((name, vector.name, vector.distance), 1)
        for name, vector in vectors
        if vector.distance is not None
    )


def _dropped(infos: Sequence[tuple[str, CollectionInfo]], *, others: int) -> int:
    vectors = sum(max(0, len(info.vectors) - _MOST_VECTORS) for _, info in infos)
    each = most_series((*_SUMMED, *_SINGLE, POINTS_LOST), {"status": len(_STATUSES)})
    return others * each + 2 * vectors
