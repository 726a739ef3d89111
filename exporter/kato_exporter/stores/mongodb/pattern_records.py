"""Patterns as records that are changed: documents of `patterns_kb`, and the counts of these."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from kato_exporter.kato.knowledge import PATTERNS, SYMBOLS
from kato_exporter.stores.errors import NotChangeableError, QueryError
from kato_exporter.stores.mongodb.bson_elements import field_of
from kato_exporter.stores.mongodb.learnings import Learnings, has_emotives
from kato_exporter.stores.mongodb.places import (
    Place,
    check_collection,
    may_be_database,
    place_of,
    text,
)
from kato_exporter.stores.mongodb.records import MongoRecords, collection_kinds
from kato_exporter.stores.mongodb.settling import forget, settle, too_small
from kato_exporter.stores.mongodb.writing import primary, writing
from kato_exporter.stores.records import Outcome, Snapshot

_FIXED = ("name", "pattern_data", "length")


class PatternRecords(MongoRecords):
    """Changes patterns as RecordKind says, and keeps KATO's totals and the counts of symbols.

    Patterns are deleted one by one, so that of two who delete the same one, one settles it.
    """

    name = "pattern"
    at_once = 1

    def locator_of(self, kb: str, name: str) -> bytes | None:
        """Locate a pattern by its name; None where there is none."""
        if not may_be_database(kb):
            return None
        with writing(self._connection) as client:
            found = primary(client, kb)[PATTERNS].find_one({"name": {"$eq": name}}, {"_id": True})
        identity = None if found is None else field_of(bytes(found.raw), "_id")
        return None if identity is None else Place(kb, PATTERNS, identity, name).locator

    def check(self, collection: str, kind: str | None) -> None:
        """Raise NotChangeableError for any collection but `patterns_kb`."""
        if collection != PATTERNS:
            raise NotChangeableError(f"patterns lie in {PATTERNS}, not in {collection}")
        check_collection(collection, kind, of_container=True)

    def read(self, locators: Sequence[bytes]) -> list[Snapshot | None]:
        """Read patterns; one that has another name than its locator says is not there."""
        return [
            None if found is None or not _has_its_name(found) else found
            for found in super().read(locators)
        ]

    def replace(self, snapshot: Snapshot, content: bytes) -> Outcome:
        """Give a pattern another content; what it is a pattern of cannot be another."""
        for field in _FIXED:
            if field_of(snapshot.content, field) != field_of(content, field):
                raise QueryError(f"the {field} of a pattern cannot be changed")
        return super().replace(snapshot, content)

    def settle(self, snapshots: Sequence[Snapshot], *, sign: int, mark: str) -> None:
        """Add what was learned of these patterns to KATO's counts, or take it away.

        What a pattern has added to the sums of a symbol's emotives stays: nobody knows it.
        """
        for kb, learnings in _by_knowledge_base(snapshots, sign=sign).items():
            with self._counting(kb) as database:
                settle(database, learnings, mark)

    def forget(self, snapshots: Sequence[Snapshot], *, mark: str) -> None:
        """Take the marks away that tell what was settled."""
        for kb, learnings in _by_knowledge_base(snapshots, sign=1).items():
            with self._counting(kb) as database:
                forget(database, learnings, mark)

    def references(self, snapshots: Sequence[Snapshot]) -> list[str]:
        """Say what KATO's counts lose by the deletion of these, and what stays as it is."""
        said: list[str] = []
        for kb, learnings in _by_knowledge_base(snapshots, sign=-1).items():
            said += _losses(kb, learnings)
            with self._counting(kb) as database:
                said += _kept(kb, *too_small(database, learnings))
        odd = sum(not Learnings().add(snapshot.content, sign=1) for snapshot in snapshots)
        if odd:
            said.append(
                f"Patterns whose frequency or events KATO cannot have written: {odd:,}."
                " Nothing is taken off any count for these."
            )
        if any(has_emotives(snapshot.content) for snapshot in snapshots):
            said.append(
                f"The sums of emotives in {SYMBOLS} stay: what a pattern added to them is not kept."
            )
        said.append(
            "Predictions that name these patterns stay, and so do symbols PTRN|… of other"
            " knowledge bases."
        )
        return said

    @contextmanager
    def _counting(self, kb: str) -> Iterator[Database[RawBSONDocument]]:
        with writing(self._connection) as client:
            database = primary(client, kb)
            kinds = collection_kinds(database)
            self.check(PATTERNS, kinds.get(PATTERNS))
            yield database


def _has_its_name(snapshot: Snapshot) -> bool:
    name = place_of(snapshot.locator).name
    return name is None or field_of(snapshot.content, "name") == text(name)


def _by_knowledge_base(snapshots: Sequence[Snapshot], *, sign: int) -> Mapping[str, Learnings]:
    learnings: dict[str, Learnings] = {}
    for snapshot in snapshots:
        kb = place_of(snapshot.locator).kb
        learnings.setdefault(kb, Learnings()).add(snapshot.content, sign=sign)
    return learnings


def _losses(kb: str, learnings: Learnings) -> Iterator[str]:
    losses = ", ".join(
        f"{-amount:,} from {total}" for total, amount in learnings.totals.items() if amount
    )
    if losses:
        yield f"Taken off KATO's totals of {kb}: {losses}."
        yield (
            f"Symbols of {kb} whose frequency and pattern_member_frequency are lessened:"
            f" {len(learnings.symbols):,}."
        )


def _kept(kb: str, totals: Sequence[str], symbols: int) -> Iterator[str]:
    if totals:
        yield f"Totals of {kb} that stay, for they would fall below 0: {', '.join(totals)}."
    if symbols:
        yield f"Symbols of {kb} with a count that stays, for it would fall below 0: {symbols:,}."
