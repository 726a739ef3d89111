"""The journal in SQLite: who may open it, what a full disk does, and what an audit log is worth."""

import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from kato_exporter.browser.access.users import User
from kato_exporter.browser.records import audit
from kato_exporter.browser.records.audit import Author, Deed, append, entry_hash, verify
from kato_exporter.browser.records.audit_command import audit as audit_command
from kato_exporter.browser.records.desk import Desk
from kato_exporter.browser.records.janitor import Janitor
from kato_exporter.browser.records.journal import FILE_NAME, Journal, JournalError
from kato_exporter.browser.records.operations import Operations
from kato_exporter.browser.records.plans import (
    PLAN_SECONDS,
    Action,
    Plan,
    Planned,
    State,
)
from kato_exporter.browser.records.runner import Runner
from kato_exporter.browser.records.stores_at_hand import StoresAtHand
from kato_exporter.stores.records import Outcome, Snapshot
from support.exporting import run_command
from support.memory_records import MemoryRecords
from support.waiting import at_most, eventually

ALICE = User("alice", "editor")
AUTHOR = Author("alice", "192.0.2.7")
FORGE = f"INSERT INTO audit SELECT 3, {', '.join(audit.COLUMNS[1:])} FROM audit WHERE number = 2"  # noqa: S608 - ours
"""Puts a third entry in that looks like the second."""


def deed(record: str) -> Deed:
    """Give a deed on a record."""
    return Deed(
        operation="0" * 32,
        action="delete",
        store="redis",
        kind="session",
        record=record,
        before="1" * 64,
        after="",
        result="done",
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Give the directory of a log of five entries, whose browser has ended."""
    with Journal(tmp_path) as journal:
        append(journal, AUTHOR, [deed("one"), deed("two")])
        append(journal, AUTHOR, [deed("three"), deed("four"), deed("five")])
    return tmp_path


def tamper(directory: Path, *statements: str) -> None:
    """Change a log behind the browser's back, as whoever owns the file can."""
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection, connection:
        connection.execute("DROP TRIGGER audit_is_not_changed")
        connection.execute("DROP TRIGGER audit_is_not_shortened")
        for statement in statements:
            connection.execute(statement)


def test_a_log_that_nobody_touched_is_whole(log: Path) -> None:
    """It ends with the hash of its last entry, also while a browser is at work on it."""
    with Journal(log) as journal:
        last = journal.row("SELECT hash FROM audit ORDER BY number DESC")
        assert last is not None
        assert audit.Verdict(5, last["hash"], None) == verify(log)
        append(journal, AUTHOR, [deed("six")])
        assert 6 == verify(log).entries
    assert 6 == verify(log).entries


def test_a_log_without_entries_is_whole(tmp_path: Path) -> None:
    """Its last hash is that of the beginning."""
    with Journal(tmp_path):
        pass
    assert audit.Verdict(0, audit.BEGINNING, None) == verify(tmp_path)


@pytest.mark.parametrize("column", [name for name in audit.COLUMNS if name != "number"])
def test_a_changed_entry_is_found(log: Path, column: str) -> None:
    """Whichever column it is."""
    tamper(log, f"UPDATE audit SET {column} = {column} || 'x' WHERE number = 3")  # noqa: S608 - ours
    verdict = verify(log)
    assert 2 == verdict.entries
    fault = "does not follow the one before it" if column == "previous" else "was changed"
    assert f"entry 3 {fault}" == verdict.fault


@pytest.mark.parametrize(
    ("statements", "fault"),
    [
        (["DELETE FROM audit WHERE number = 1"], "entry 1 is missing"),
        (["DELETE FROM audit WHERE number = 3"], "entry 3 is missing"),
        (
            ["DELETE FROM audit WHERE number = 3",
             "UPDATE audit SET number = number - 1 WHERE number > 3"],
            "entry 3 does not follow the one before it",
        ),
        (["DELETE FROM audit WHERE number > 3"], "entries after 3 are missing: 5 were written"),
        (["DELETE FROM audit"], "entries after 0 are missing: 5 were written"),
        (
            ["UPDATE audit SET number = -2 WHERE number = 2",
             "UPDATE audit SET number = 2 WHERE number = 3",
             "UPDATE audit SET number = 3 WHERE number = -2"],
            "entry 2 does not follow the one before it",
        ),
        (
            ["UPDATE audit SET number = -number",
             "UPDATE audit SET number = 1 - number WHERE number < -2",
             "UPDATE audit SET number = -number WHERE number < 0",
             FORGE],
            "entry 3 does not follow the one before it",
        ),
        (["UPDATE audit SET record = CAST(x'ff' AS TEXT) WHERE number = 2"], "entry 2 was changed"),
        (["UPDATE audit SET record = 'two' || char(0) WHERE number = 2"], "entry 2 was changed"),
    ],
)  # fmt: skip
def test_entries_taken_out_put_in_or_moved_are_found(
    log: Path, statements: list[str], fault: str
) -> None:
    """By the number, by the hash of the one before, or by how many were ever written."""
    tamper(log, *statements)
    assert fault == verify(log).fault


def test_the_hash_of_an_entry_can_be_made_by_others(log: Path) -> None:
    """It is that of its JSON, as docs say."""
    with Journal(log) as journal:
        [first, second] = journal.rows("SELECT * FROM audit ORDER BY number LIMIT 2")
    assert audit.BEGINNING == first["previous"]
    assert first["hash"] == second["previous"] == entry_hash(first)


@pytest.mark.parametrize("statement", ["UPDATE audit SET user = 'bob'", "DELETE FROM audit"])
def test_the_table_of_the_log_takes_entries_only(log: Path, statement: str) -> None:
    """SQLite itself refuses, for us as well."""
    with Journal(log) as journal:
        with pytest.raises(JournalError, match="the audit log is append-only"):
            journal.write(statement)
        append(journal, AUTHOR, [deed("six")])
        assert 6 == verify(log).entries


def test_the_command_says_whether_the_log_is_whole(log: Path) -> None:
    """By its exit status too."""
    run = CliRunner()
    whole = run.invoke(
        audit_command, ["verify", "--browser-data-dir", str(log)], standalone_mode=False
    )
    assert 0 == whole.return_value
    assert f"5 entries are whole; the last hash is {verify(log).last_hash}\n" == whole.output
    tamper(log, "UPDATE audit SET user = 'bob' WHERE number = 2")
    ended = run_command("audit", "verify", KATO_BROWSER_DATA_DIR=str(log))
    assert (1, "but entry 2 was changed\n") == (ended.returncode, ended.stderr)
    assert ended.stdout.startswith("1 entries are whole; the last hash is ")


def test_the_command_says_what_is_wrong_with_a_directory(tmp_path: Path) -> None:
    """One without a log, one that is not there, one whose name is odd in a URL."""
    empty = tmp_path / "empty"
    empty.mkdir()
    for directory, reason in (
        (empty, "has no audit log that can be read (unable to open database file)"),
        (tmp_path / "nowhere", "does not exist"),
    ):
        ended = run_command("audit", "verify", KATO_BROWSER_DATA_DIR=str(directory))
        assert 2 == ended.returncode
        assert reason in ended.stderr
        assert "KATO_BROWSER_DATA_DIR (--browser-data-dir)" in ended.stderr
        assert 1 == len(ended.stderr.splitlines())
    (empty / FILE_NAME).write_bytes(b"no database" * 100)
    assert (
        "not a database" in run_command("audit", "verify", KATO_BROWSER_DATA_DIR=str(empty)).stderr
    )
    odd = tmp_path / "a b?mode=rwc#%41"
    with Journal(odd) as journal:
        append(journal, AUTHOR, [deed("one")])
    assert 1 == verify(odd).entries


def test_its_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """Whatever the process's mask says, while it is at work and afterwards."""
    directory = tmp_path / "data"
    mask = os.umask(0)
    try:
        with Journal(directory) as journal:
            append(journal, AUTHOR, [deed("one")])
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}
    finally:
        os.umask(mask)
    assert 0o700 == stat.S_IMODE(directory.stat().st_mode)
    assert {0o600} == set(modes.values())
    assert {FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"} < set(modes)


def test_a_second_browser_is_refused(tmp_path: Path) -> None:
    """In this process and in another; once the first has ended, it may."""
    open_it = (
        "import sys; from pathlib import Path;"
        "from kato_exporter.browser.records.journal import Journal; Journal(Path(sys.argv[1]))"
    )
    with Journal(tmp_path):
        with pytest.raises(JournalError, match="another browser writes there"):
            Journal(tmp_path)
        other = subprocess.run(
            [sys.executable, "-c", open_it, tmp_path], capture_output=True, text=True, check=False
        )
        assert "another browser writes there" in other.stderr
    with Journal(tmp_path):
        pass


def test_a_file_of_another_version_is_left_alone(tmp_path: Path) -> None:
    """The message says what to run; the directory is free afterwards."""
    with Journal(tmp_path) as journal:
        journal.write("PRAGMA user_version = 7")
    before = (tmp_path / FILE_NAME).read_bytes()
    for _ in range(2):
        with pytest.raises(JournalError, match="is of version 7, and this program knows version 1"):
            Journal(tmp_path)
    assert before == (tmp_path / FILE_NAME).read_bytes()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_text("a file"), "File exists"),
        (
            lambda path: (path.mkdir(), (path / FILE_NAME).write_bytes(b"no database" * 100)),
            "file is not a database",
        ),
        (lambda path: (path.mkdir(), (path / FILE_NAME).mkdir()), "unable to open database file"),
    ],
)
def test_a_place_that_is_none_for_a_journal_is_told(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    """In one line that names it."""
    directory = tmp_path / "data"
    make(directory)
    with pytest.raises(JournalError) as error:
        Journal(directory)
    assert f"{directory}: {reason}; name a directory to write to" == str(error.value)


def test_a_transaction_is_whole_or_nothing(tmp_path: Path) -> None:
    """Also with another within it, and after one that failed."""
    with Journal(tmp_path) as journal:

        def fail() -> None:
            with journal.transaction():
                append(journal, AUTHOR, [deed("one")])
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        append(journal, AUTHOR, [deed("two")])
        assert [{"number": 1, "record": "two"}] == journal.rows("SELECT number, record FROM audit")


@contextmanager
def desk_on(journal: Journal, memos: MemoryRecords) -> Iterator[Desk]:
    """Give a desk for memos."""
    stores = StoresAtHand({"memo": memos})
    operations = Operations(journal)
    runner = Runner(operations, stores, lambda *_: None)
    try:
        yield Desk(operations, runner, stores, writable=True)
    finally:
        runner.stop()


def fill_disk(journal: Journal) -> None:
    """Let SQLite find the disk full from now on, with a little space left."""
    [used] = journal.rows("PRAGMA page_count")
    journal.rows(f"PRAGMA max_page_count = {used['page_count'] + 20}")


def read_only(journal: Journal) -> None:
    """Let SQLite take nothing from now on."""
    journal.rows("PRAGMA query_only = true")


def free_disk(journal: Journal) -> None:
    """Let there be space again."""
    journal.rows("PRAGMA max_page_count = 1000000")


def test_on_a_full_disk_nothing_is_planned_and_nothing_deleted(tmp_path: Path) -> None:
    """It is said which file it is; with space again all goes on."""
    memos = MemoryRecords()
    for number in range(5):
        memos.write(b"%d" % number, b"x" * 100_000)
    with Journal(tmp_path) as journal, desk_on(journal, memos) as desk:
        identity = desk.plan_deletion("memo", list(memos.records), ALICE, "192.0.2.7")
        found = desk.operations.find(identity)
        assert found is not None
        fill_disk(journal)
        with pytest.raises(JournalError, match="see that its disk has space"):
            desk.plan_deletion("memo", [b"%d" % n * 20 for n in range(9_000)], ALICE, "192.0.2.7")
        desk.confirm(identity, found.digest, ALICE)
        assert [] == memos.taken
        found = desk.operations.find(identity)
        assert found is not None
        assert State.INTERRUPTED is found.state
        assert found.problem is not None
        assert f"{tmp_path / FILE_NAME}: database or disk is full" in found.problem
        assert {"planned": 5} == desk.operations.states(identity)
        free_disk(journal)
        desk.resume(identity, ALICE, "192.0.2.7")
        assert {"done": 5} == desk.operations.states(identity)
        desk.restore(identity, None, ALICE, "192.0.2.7")
        assert 5 == len(memos.records)


def test_where_the_disk_is_full_once_the_store_has_deleted_nothing_is_lost(tmp_path: Path) -> None:
    """The records are in the trash; what became of them is found out later."""
    memos = MemoryRecords()
    memos.write(b"one", b"content")
    with Journal(tmp_path) as journal, desk_on(journal, memos) as desk:
        identity = desk.plan_deletion("memo", [b"one"], ALICE, "192.0.2.7")
        found = desk.operations.find(identity)
        assert found is not None
        memos.before_delete = lambda: read_only(journal)
        desk.confirm(identity, found.digest, ALICE)
        assert [(b"one", b"content")] == memos.taken
        found = desk.operations.find(identity)
        assert found is not None
        assert State.RUNNING is found.state  # as not even that could be noted
        assert State.INTERRUPTED is desk.stands(found).state
        journal.rows("PRAGMA query_only = false")
        memos.before_delete = None
        desk.resume(identity, ALICE, "192.0.2.7")
        assert {"done": 1} == desk.operations.states(identity)
        assert 0 == memos.total


def planned(number: int) -> Planned:
    """Give a record that is planned."""
    return Planned(kind="memo", locator=b"%d" % number, label=str(number), version="0" * 64)


def test_the_janitor_forgets_plans_that_have_expired(tmp_path: Path) -> None:
    """By itself, from the start on."""
    with Journal(tmp_path) as journal:
        operations = Operations(journal)
        plan = Plan(action=Action.DELETE, target="memos", items=[planned(n) for n in range(1_200)])
        old, young = operations.plan(plan, AUTHOR), operations.plan(plan, AUTHOR)
        operations.change(old, planned_at=time.time() - PLAN_SECONDS - 1)
        janitor = Janitor(operations)
        janitor.start()
        eventually(lambda: operations.find(old) is None, within=5, what="the plan is forgotten")
        janitor.stop()
        assert operations.find(young) is not None
        assert [{"count": 1_200}] == journal.rows("SELECT count(*) AS count FROM items")


@pytest.mark.alone
def test_ten_thousand_records_cost_the_journal_little(tmp_path: Path) -> None:
    """To plan, keep, mark, list and forget them; and a page of operations costs no more."""
    with Journal(tmp_path) as journal:
        operations = Operations(journal)
        plan = Plan(action=Action.DELETE, target="memos", items=[planned(n) for n in range(10_000)])
        with at_most(20):
            for _ in range(3):
                identity = operations.plan(plan, AUTHOR)
                portions = operations.portions(identity, "planned", at_once=100, size=2**20)
                for number, portion in enumerate(portions):
                    snapshots = [Snapshot(item["locator"], b"x" * 1_000) for item in portion]
                    kept = operations.keep(portion, snapshots, f"{number}")
                    operations.mark(kept, [Outcome.DONE] * len(kept))
                operations.begin(identity, state=State.PLANNED)
        with at_most(1):
            for each in operations.listed(None, 50) * 10:
                assert {"done": 10_000} == operations.states(each.id)
                assert 10_000 == operations.in_trash(each.id)
                assert 10_000_000 == operations.size(each.id)


def test_what_pages_count_is_counted_in_an_index(tmp_path: Path) -> None:
    """So that no content has to be looked at."""
    with Journal(tmp_path) as journal:
        asked: list[str] = []
        journal._connection.set_trace_callback(asked.append)  # noqa: SLF001 - nobody else tells
        operations = Operations(journal)
        for count in (operations.states, operations.in_trash, operations.size):
            count("0" * 32)
        operations.in_flight("0" * 32)
        operations.unsettled("0" * 32)
        journal._connection.set_trace_callback(None)  # noqa: SLF001 - likewise
        plans = [
            "; ".join(row["detail"] for row in journal.rows(f"EXPLAIN QUERY PLAN {question}"))
            for question in asked
        ]
    assert [
        "items_by_state",
        "items_in_trash",
        "items_by_state",
        "items_in_flight",
        "items_in_flight",
    ] == [plan.partition("INDEX ")[2].partition(" ")[0] for plan in plans], plans
