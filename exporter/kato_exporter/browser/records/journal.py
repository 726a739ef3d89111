"""What was done to records, and what is kept of them: the trash and the audit log, in SQLite.

One file holds both, so that they agree whatever happens: what became of a record, what is kept of
it and the entry of the audit log are one transaction, on the disk before the next step begins.
"""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

FILE_NAME = "records.sqlite3"
_LOCK_NAME = "records.lock"
_BUSY_SECONDS = 10.0

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE operations (
    id TEXT PRIMARY KEY,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    user TEXT NOT NULL,
    client TEXT NOT NULL,
    state TEXT NOT NULL,
    digest TEXT NOT NULL,
    undoes TEXT,
    notes TEXT NOT NULL,
    problem TEXT,
    planned_at REAL NOT NULL,
    begun_at REAL,
    ended_at REAL
) STRICT;
CREATE INDEX operations_by_time ON operations (planned_at, id);

CREATE TABLE containers (
    operation TEXT NOT NULL REFERENCES operations (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    description BLOB,
    state TEXT NOT NULL,
    PRIMARY KEY (operation, number)
) STRICT;

CREATE TABLE items (
    operation TEXT NOT NULL REFERENCES operations (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    locator BLOB NOT NULL,
    label TEXT NOT NULL,
    version TEXT,
    state TEXT NOT NULL,
    size INTEGER NOT NULL DEFAULT 0,
    batch TEXT,
    aftermath TEXT NOT NULL DEFAULT 'none',
    doubtful INTEGER NOT NULL DEFAULT 0,
    content BLOB,
    surroundings BLOB,
    after BLOB,
    kept_at REAL,
    undone_by TEXT,
    source_operation TEXT,
    source_number INTEGER,
    PRIMARY KEY (operation, number)
) STRICT;
CREATE INDEX items_by_state ON items (operation, state, number, size);
CREATE INDEX items_in_trash ON items (operation, state) WHERE content IS NOT NULL;
CREATE INDEX items_in_flight ON items (operation, number)
    WHERE state = 'kept' OR aftermath IN ('due', 'settled');

CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    user TEXT NOT NULL,
    client TEXT NOT NULL,
    operation TEXT NOT NULL,
    action TEXT NOT NULL,
    store TEXT NOT NULL,
    kind TEXT NOT NULL,
    record TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    result TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_user ON audit (user, number);
CREATE INDEX audit_by_operation ON audit (operation, number);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
"""

Row = Mapping[str, Any]


class JournalError(Exception):
    """The journal cannot be used: one line that says which file, and what to do.

    Where it is raised by a transaction, nothing of that is in the journal.
    """


class Journal:
    """The journal in a directory, which is made if it is not there; its file is for its owner only.

    One process at a time writes it. Every method of it may be called from any thread.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / FILE_NAME
        self._mutex = threading.RLock()
        self._depth = 0
        with ExitStack() as undo:
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._lock = self._only_one(directory / _LOCK_NAME)
                undo.callback(os.close, self._lock)
                self._file.touch(mode=0o600)
                self._connection = self._open()
            except (OSError, sqlite3.Error) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                raise JournalError(
                    f"{directory}: {reason}; name a directory to write to"
                ) from error
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the files back."""
        with self._mutex:
            self._connection.close()
            os.close(self._lock)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do what is within as a whole or not at all; it is on the disk when this ends.

        Within another transaction it is a part of that. Raises JournalError.
        """
        with self._mutex:
            if self._depth:
                yield
                return
            with self._named_failures():
                self._connection.execute("BEGIN IMMEDIATE")
                self._depth = 1
                try:
                    yield
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:  # a full disk has ended it by itself
                        self._connection.execute("ROLLBACK")
                    raise
                finally:
                    self._depth = 0

    def write(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> int:
        """Change something, and give how many rows that were."""
        with self.transaction():
            return self._connection.execute(statement, values).rowcount

    def write_many(self, statement: str, rows: Sequence[Sequence[Any] | Mapping[str, Any]]) -> None:
        """Change something once for each row."""
        with self.transaction():
            self._connection.executemany(statement, rows)

    def rows(self, question: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        """Ask for rows, by column."""
        with self._mutex, self._named_failures():
            return [dict(row) for row in self._connection.execute(question, values)]

    def row(self, question: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Row | None:
        """Ask for one row, None where there is none."""
        found = self.rows(question, values)
        return found[0] if found else None

    def release(self, pages: int) -> None:
        """Give at most so many unused pages of the file back to the disk."""
        with self._mutex, self._named_failures():
            # It answers with rows that have no columns, of which Python 3.12 makes no mapping.
            self._connection.execute(f"PRAGMA incremental_vacuum({pages:d})").fetchall()

    @contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise JournalError(
                f"{self._file}: {error}; see that its disk has space and can be written to"
            ) from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        [version] = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, _SCHEMA_VERSION):
            raise JournalError(
                f"{self._file}: is of version {version}, and this program knows version "
                f"{_SCHEMA_VERSION}; run the release that wrote it, or a later one"
            )
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if version == 0:
            connection.executescript(
                f"BEGIN; {_SCHEMA}; PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;"
            )

    def _only_one(self, file: Path) -> int:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise JournalError(
                f"{file.parent}: another browser writes there; give each a directory of its own"
            ) from error
        return descriptor
