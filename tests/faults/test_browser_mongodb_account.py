"""The accounts of docs/mongodb-account.md that are for the record browser."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from kato_exporter.browser.app import create_app
from kato_exporter.browser.knowledge.document_records import mongodb_records
from kato_exporter.browser.knowledge.documents import documents_pages
from kato_exporter.browser.knowledge.pages import knowledge_pages
from kato_exporter.browser.knowledge.patterns import patterns_pages
from kato_exporter.browser.records.pages import no_records_pages
from kato_exporter.demo.servers import LOOPBACK, Server, start_mongod
from kato_exporter.demo.shapes import INDEXES, Document
from kato_exporter.kato.knowledge import METADATA, PATTERNS, SYMBOLS
from kato_exporter.stores.mongodb.connection import MongoConnection, NotPermittedError
from kato_exporter.stores.mongodb.documents import MongoDocuments
from kato_exporter.stores.mongodb.knowledge import MongoKnowledge
from kato_exporter.stores.mongodb.pattern_records import PatternRecords
from kato_exporter.stores.mongodb.patterns import MongoPatterns
from kato_exporter.stores.records import Outcome, Snapshot
from support.servers import started

DOCUMENT = Path(__file__).parents[2] / "docs" / "mongodb-account.md"
PASSWORD = "s3cret-word"
KB = "alice_kato"
NAME = "0" * 40
TOTALS = {
    "class": "totals",
    "total_pattern_frequencies": 3,
    "total_symbol_frequencies": 6,
    "total_symbols_in_patterns_frequencies": 6,
}
PAGES = (
    *("/kb", f"/kb/{KB}", f"/kb/{KB}/patterns", f"/kb/{KB}/patterns?symbol=a"),
    *(f"/kb/{KB}/patterns?sort=length", f"/kb/{KB}/patterns/{NAME}"),
    *(f"/kb/{KB}/collections/{SYMBOLS}", f"/kb/{KB}/collections/{METADATA}"),
    f"/kb/{KB}/collections/{SYMBOLS}?field=name&operator=is&value=a&type=text",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server that asks for a password."""
    directory = tmp_path_factory.mktemp("guarded")
    with started(lambda: start_mongod(directory, arguments=("--auth",))) as server:
        with MongoClient[Document](server.url, directConnection=True) as client:
            client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[MongoClient[Document]]:
    """Give a client with all rights, of a server with one knowledge base."""
    with MongoClient[Document](server.url, username="root", password=PASSWORD) as client:
        for user in client.admin.command("usersInfo", "browser")["users"]:
            client.admin.command("dropUser", user["user"])
        client.drop_database(KB)
        for collection in (PATTERNS, SYMBOLS):
            client[KB][collection].create_indexes(INDEXES[collection])
        pattern = {"pattern_data": [["a"], ["b"]], "length": 2, "frequency": 3, "emotives": {}}
        client[KB][PATTERNS].insert_one({"name": NAME, **pattern, "metadata": {}})
        symbol = {"frequency": 3, "pattern_member_frequency": 3}
        client[KB][SYMBOLS].insert_many([{"name": name, **symbol} for name in "ab"])
        client[KB][METADATA].insert_one(dict(TOTALS))
        yield client


def connected(server: Server, client: MongoClient[Document], account: str) -> MongoConnection:
    """Make the account of the document, and a connection with it."""
    [block] = re.findall(
        rf"^```javascript browser-{account}\ndb\.adminCommand\((.+?)\)\n```$",
        DOCUMENT.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    command: dict[str, Any] = json.loads(block.replace("PASSWORD", PASSWORD))
    client.admin.command(command)
    url = f"mongodb://browser:{PASSWORD}@{LOOPBACK}:{server.port}/?authSource=admin"
    return MongoConnection(url, timeout=5, query_timeout=5)


def kept(patterns: PatternRecords) -> Snapshot:
    """Read the pattern as it would be kept."""
    locator = patterns.locator_of(KB, NAME)
    assert locator is not None
    [snapshot] = patterns.read([locator])
    assert snapshot is not None
    return snapshot


@pytest.mark.parametrize("account", ["reader", "editor"])
def test_either_account_sees_every_page(
    server: Server, client: MongoClient[Document], account: str
) -> None:
    """No page lacks anything, and none fails."""
    with closing(connected(server, client, account)) as connection:
        knowledge, patterns = MongoKnowledge(connection), MongoPatterns(connection)
        app = create_app(
            [
                knowledge_pages(knowledge, patterns, page_rows=50),
                patterns_pages(patterns, knowledge, page_rows=50),
                documents_pages(MongoDocuments(connection), page_rows=50),
                no_records_pages(),
            ],
            [],
            export_rows=100,
        )
        answers = {path: app.test_client().get(path) for path in PAGES}

    assert dict.fromkeys(PAGES, 200) == {path: each.status_code for path, each in answers.items()}
    assert [] == [path for path, each in answers.items() if "not permitted" in each.text]


def test_the_reader_changes_nothing(server: Server, client: MongoClient[Document]) -> None:
    """MongoDB refuses, and nothing was done; the message names the right."""
    with closing(connected(server, client, "reader")) as connection:
        patterns = mongodb_records(connection).patterns
        snapshot = kept(patterns)
        with pytest.raises(NotPermittedError, match=r"not (authorized|permitted)"):
            patterns.delete([snapshot])

    assert 1 == client[KB][PATTERNS].count_documents({})


def test_the_editor_deletes_settles_and_puts_back(
    server: Server, client: MongoClient[Document]
) -> None:
    """A pattern goes with its share in totals and symbols, and comes back with it."""
    with closing(connected(server, client, "editor")) as connection:
        patterns = mongodb_records(connection).patterns
        snapshot = kept(patterns)
        assert [Outcome.DONE] == patterns.delete([snapshot])
        patterns.settle([snapshot], sign=-1, mark="one")
        patterns.forget([snapshot], mark="one")
        without = client[KB][METADATA].find_one({}, {"_id": 0})
        assert [Outcome.DONE] == patterns.restore([snapshot])
        patterns.settle([snapshot], sign=1, mark="two")
        patterns.forget([snapshot], mark="two")

    assert {"class": "totals"} | dict.fromkeys([*TOTALS][1:], 0) == without
    assert TOTALS == client[KB][METADATA].find_one({}, {"_id": 0})


def test_the_editor_removes_a_knowledge_base_and_makes_it_again(
    server: Server, client: MongoClient[Document]
) -> None:
    """Also without the right to have its collections refuse documents meanwhile."""
    with closing(connected(server, client, "editor")) as connection:
        kb = mongodb_records(connection).knowledge_base(KB)
        description = kb.describe()
        assert description is not None
        held = []
        for portion in kb.locators(100):
            snapshots = [each for each in kb.kind.read(portion) if each is not None]
            held += snapshots
            assert {Outcome.DONE} == set(kb.kind.delete(snapshots))
        assert kb.remove()
        gone = KB not in client.list_database_names()
        assert Outcome.DONE == kb.make(description)
        assert {Outcome.DONE} == set(kb.kind.restore(held))

    assert gone
    assert 4 == sum(client[KB][name].count_documents({}) for name in (PATTERNS, SYMBOLS, METADATA))
    assert len(INDEXES[PATTERNS]) + 1 == len(client[KB][PATTERNS].index_information())
