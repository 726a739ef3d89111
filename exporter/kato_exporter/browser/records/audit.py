"""The audit log: who did what to which record, each entry bound to the one before by a hash."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from kato_exporter.browser.records.journal import FILE_NAME, Journal, Row

BEGINNING = "0" * 64
"""What stands for the hash of the entry before the first."""

_HASHED = (
    *("number", "at", "user", "client", "operation", "action", "store", "kind", "record"),
    *("before", "after", "result", "previous"),
)
COLUMNS = (*_HASHED, "hash")
"""The columns of an entry."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who does something, and from which address."""

    user: str
    client: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What was done to one record, or to a batch of a container's records.

    `before` and `after` are versions (SHA-256 of the content), empty where there is none.
    """

    operation: str
    action: str
    store: str
    kind: str
    record: str
    before: str
    after: str
    result: str


def append(journal: Journal, author: Author, deeds: Sequence[Deed]) -> None:
    """Add entries at the end of the log, in the transaction that is under way."""
    with journal.transaction():
        last = journal.row("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")
        number, previous = (last["number"], last["hash"]) if last else (0, BEGINNING)
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        entries = []
        for deed in deeds:
            number += 1
            entry = {
                "number": number,
                "at": at,
                "user": author.user,
                "client": author.client,
                **asdict(deed),
                "previous": previous,
            }
            entry["hash"] = previous = entry_hash(entry)
            entries.append([entry[column] for column in COLUMNS])
        places = ", ".join("?" * len(COLUMNS))
        journal.write_many(
            f"INSERT INTO audit ({', '.join(COLUMNS)}) VALUES ({places})",  # noqa: S608 - ours
            entries,
        )


def entry_hash(entry: Row) -> str:
    """Give the SHA-256 of an entry and of the hash before it, as JSON with these keys in order."""
    text = json.dumps({name: entry[name] for name in _HASHED}, ensure_ascii=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a log is whole: how many entries are right, the last hash, and the first fault."""

    entries: int
    last_hash: str
    fault: str | None


def verify(directory: Path) -> Verdict:
    """Read a log through, and compare every hash; raises sqlite3.Error where it cannot be read.

    Nothing is written, and a browser may be at work on it. Whoever cuts entries off at the end, and
    knows SQLite well, leaves no trace of it: keep the last hash elsewhere to notice that.
    """
    file = (directory / FILE_NAME).resolve().as_uri()
    with closing(sqlite3.connect(f"{file}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        connection.text_factory = _exact_text
        connection.execute("BEGIN")
        columns = ", ".join(COLUMNS)
        verdict = _verdict(
            dict(row)
            for row in connection.execute(f"SELECT {columns} FROM audit ORDER BY number")  # noqa: S608 - ours
        )
        [given] = connection.execute(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'audit'"
        ).fetchone()
    if verdict.fault is None and given != verdict.entries:
        fault = f"entries after {verdict.entries} are missing: {given} were written"
        return replace(verdict, fault=fault)
    return verdict


def _exact_text(text: bytes) -> str:
    """Read a text so that what is not UTF-8, and so not ours, equals nothing that is."""
    return text.decode("utf-8", "surrogateescape")


def _verdict(entries: Iterator[Row]) -> Verdict:
    count, previous = 0, BEGINNING
    for entry in entries:
        if entry["number"] != count + 1:
            return Verdict(count, previous, f"entry {count + 1} is missing")
        if entry["previous"] != previous:
            return Verdict(count, previous, f"entry {count + 1} does not follow the one before it")
        if entry["hash"] != entry_hash(entry):
            return Verdict(count, previous, f"entry {count + 1} was changed")
        count, previous = count + 1, entry["hash"]
    return Verdict(count, previous, None)
