"""MongoStore on a real mongod, with what KATO writes and with what others may have written."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pytest
from bson import Decimal128, Int64
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from kato_exporter.demo.servers import LOOPBACK, Server, free_port, start_mongod
from kato_exporter.demo.shapes import INDEXES, Document
from kato_exporter.kato.distribution import Distribution
from kato_exporter.kato.knowledge import (
    FREQUENCY_BOUNDS,
    LENGTH_BOUNDS,
    METADATA,
    PATTERNS,
    PREDICTIONS,
    SYMBOLS,
    MeasuredDistribution,
    PatternFrequency,
    Totals,
)
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.knowledge import KnowledgeSize
from kato_exporter.stores.mongodb.connection import MongoConnection
from kato_exporter.stores.mongodb.knowledge import MongoKnowledge
from kato_exporter.stores.mongodb.store import MongoStore
from support.servers import MongoServer, black_hole, missing, started
from support.waiting import at_most

TIMEOUT = 1.0
AT_MOST = 1.9
PATIENT = 5.0
KB = "alice_kato"
PASSWORD = "s3cret-word"
ODD: Sequence[Any] = ("9", math.nan, math.inf, -math.inf, 0, -3, 0.5, None, True, [], {"a": 9})


class Opened:
    """A server as the exporter opens it: the store, and its knowledge."""

    def __init__(self, url: str, *, timeout: float, query_timeout: float) -> None:
        connection = MongoConnection(url, timeout=timeout, query_timeout=query_timeout)
        self.store = MongoStore(connection)
        self.knowledge = MongoKnowledge(connection)

    def close(self) -> None:
        """Give back every connection."""
        self.store.close()


QUESTIONS: dict[str, Callable[[Opened], object]] = {
    "probe": lambda mongodb: mongodb.store.probe(Deadline.after(TIMEOUT)),
    "report": lambda mongodb: mongodb.store.report(),
    "knowledge_bases": lambda mongodb: mongodb.knowledge.knowledge_bases(),
    "documents": lambda mongodb: mongodb.knowledge.documents(KB),
    "size": lambda mongodb: mongodb.knowledge.size(KB),
    "totals": lambda mongodb: mongodb.knowledge.totals(KB),
    "top_patterns": lambda mongodb: mongodb.knowledge.top_patterns(KB, 3),
    "frequency_distribution": lambda mongodb: mongodb.knowledge.frequency_distribution(KB),
    "length_distribution": lambda mongodb: mongodb.knowledge.length_distribution(KB),
    "symbol_occurrences": lambda mongodb: mongodb.knowledge.symbol_occurrences(KB),
}


@pytest.fixture
def mongodb(mongo: MongoServer) -> Iterator[Opened]:
    """Open the emptied server as the exporter does."""
    with closing(Opened(mongo.url, timeout=PATIENT, query_timeout=PATIENT)) as mongodb:
        yield mongodb


@pytest.fixture(scope="module")
def guarded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a MongoDB that asks for a password, with one knowledge base and some users."""
    directory = tmp_path_factory.mktemp("guarded")
    with started(lambda: start_mongod(directory, arguments=("--auth",))) as server:
        with MongoClient[Document](server.url) as client:
            client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
        with MongoClient[Document](server.url, username="root", password=PASSWORD) as client:
            client.admin.command("createUser", "nobody", pwd=PASSWORD, roles=[])
            client.admin.command(
                "createUser", "reader", pwd=PASSWORD, roles=[{"role": "read", "db": KB}]
            )
            fill(client, KB, [{"name": named(1), "frequency": 2, "length": 3}])
            fill(client, "bob_kato", [])
        yield server.url


def named(number: int) -> str:
    """Give the name of a pattern, which ascends with the number."""
    return f"{number:040x}"


def fill(client: MongoClient[Document], kb: str, patterns: Sequence[Document]) -> None:
    """Make the patterns of a knowledge base, with KATO's indexes."""
    collection = client[kb][PATTERNS]
    collection.create_indexes(INDEXES[PATTERNS])
    if patterns:
        collection.insert_many([{**pattern} for pattern in patterns])


def frequencies(values: Sequence[Any]) -> list[Document]:
    """Make one pattern for each frequency, with ascending names."""
    return [{"name": named(n), "frequency": value} for n, value in enumerate(values)]


def as_user(url: str, user: str, password: str = PASSWORD) -> Opened:
    """Open a server as a user."""
    return Opened(
        url.replace("//", f"//{user}:{password}@"), timeout=TIMEOUT, query_timeout=TIMEOUT
    )


def one_line_without_secrets(error: pytest.ExceptionInfo[StoreError]) -> str:
    """Give an error's message, which must be fit for an operator's eyes."""
    message = str(error.value)
    assert message
    assert "\n" not in message
    assert PASSWORD not in message
    return message


def is_usable(value: object) -> bool:
    """Tell whether KATO can have written a frequency or a length, as Python sees it."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 1
    )


def measured(bounds: Sequence[float], values: Sequence[Any]) -> MeasuredDistribution:
    """Distribute values in Python."""
    usable = [value for value in values if is_usable(value)]
    return MeasuredDistribution(
        Distribution.of(bounds, [(value, 1) for value in usable]), len(values) - len(usable)
    )


@contextmanager
def profiled(mongo: MongoServer, kb: str) -> Iterator[list[Document]]:
    """Give, after the block, what the server did meanwhile for an exporter in a database."""
    operations: list[Document] = []
    database = mongo.client[kb]
    database.command("profile", 2)
    try:
        yield operations
    finally:
        database.command("profile", 0)
        operations += database["system.profile"].find({"appName": "kato-exporter"})


@contextmanager
def failing(mongo: MongoServer, name: str, **data: object) -> Iterator[None]:
    """Let the server misbehave as told by one of its own fail points."""
    command: Document = {"configureFailPoint": name, "mode": "alwaysOn"}
    try:
        mongo.client.admin.command(command | ({"data": data} if data else {}))
    except OperationFailure as error:
        missing(f"fail points need mongod --setParameter enableTestCommands=1 ({error})")
    try:
        yield
    finally:
        mongo.client.admin.command("configureFailPoint", name, mode="off")


def test_a_server_that_runs_answers(mongodb: Opened) -> None:
    """The cheapest question has its answer, and the report the version."""
    mongodb.store.probe(Deadline.after(PATIENT))
    report = mongodb.store.report()

    assert report.version.startswith("MongoDB 6.0"), report.version
    assert () == report.lacking


def test_an_empty_server_has_no_knowledge(mongodb: Opened) -> None:
    """Without any database of KATO's there is nothing, and that is no error."""
    assert [] == mongodb.knowledge.knowledge_bases()


def test_a_knowledge_base_is_known_by_its_collections(mongo: MongoServer, mongodb: Opened) -> None:
    """Databases count that have a collection named *_kb; those of others and MongoDB's do not."""
    mongo.client["shop"]["orders"].insert_one({})
    mongo.client["shop"]["kb_orders"].insert_one({})
    mongo.client["zoë_knöten_kato"][PATTERNS].insert_one({})
    mongo.client["test_7_kato"][PREDICTIONS].insert_one({})
    mongo.client["a_kato"].create_collection("anything_kb")

    assert ["a_kato", "test_7_kato", "zoë_knöten_kato"] == mongodb.knowledge.knowledge_bases()


def test_a_system_database_is_no_knowledge_base(mongo: MongoServer, mongodb: Opened) -> None:
    """Even with a collection named *_kb, MongoDB's own databases are left out."""
    mongo.client["config"][PATTERNS].insert_one({})
    try:
        assert [] == mongodb.knowledge.knowledge_bases()
    finally:
        mongo.client["config"].drop_collection(PATTERNS)


def test_records_are_counted(mongo: MongoServer, mongodb: Opened) -> None:
    """Each collection has its number of documents, whatever its name; one that is not, has none."""
    fill(mongo.client, KB, frequencies([1, 2, "odd"]))
    mongo.client[KB][SYMBOLS].insert_many([{"name": "a"}, {"name": "b"}])
    mongo.client[KB]["fs.größe"].insert_one({})

    documents = mongodb.knowledge.documents(KB)
    assert {PATTERNS: 3, SYMBOLS: 2, "fs.größe": 1} == documents


def test_the_size_is_that_of_the_database(mongo: MongoServer, mongodb: Opened) -> None:
    """The figures are those of dbStats, and grow with what is stored."""
    empty = mongodb.knowledge.size(KB)
    fill(mongo.client, KB, [{"name": named(n), "text": "x" * 1000} for n in range(100)])
    stats = mongo.client[KB].command("dbStats")

    size = mongodb.knowledge.size(KB)
    assert KnowledgeSize(data_bytes=0, storage_bytes=0, index_bytes=0) == empty
    assert size == KnowledgeSize(
        data_bytes=int(stats["dataSize"]),
        storage_bytes=int(stats["storageSize"]),
        index_bytes=int(stats["indexSize"]),
    )
    assert (size.data_bytes or 0) > 100_000


def test_occurrences_of_symbols_are_added_up(mongo: MongoServer, mongodb: Opened) -> None:
    """Odd values count nothing; without symbols the sum is 0."""
    assert 0.0 == mongodb.knowledge.symbol_occurrences(KB)
    symbols = mongo.client[KB][SYMBOLS]
    symbols.create_indexes(INDEXES[SYMBOLS])
    symbols.insert_many(
        [
            {"name": "a", "frequency": 3},
            {"name": "b", "frequency": Int64(2**40)},
            {"name": "c", "frequency": Decimal128("1.5")},
            *({"name": f"odd-{n}", "frequency": odd} for n, odd in enumerate(ODD)),
            {"name": "none"},
        ]
    )

    assert 2**40 + 4.5 == mongodb.knowledge.symbol_occurrences(KB)


def test_occurrences_of_symbols_read_no_document(mongo: MongoServer, mongodb: Opened) -> None:
    """KATO's index on the frequency is enough."""
    symbols = mongo.client[KB][SYMBOLS]
    symbols.create_indexes(INDEXES[SYMBOLS])
    symbols.insert_many(frequencies([1, 2, 3]))
    with profiled(mongo, KB) as operations:
        mongodb.knowledge.symbol_occurrences(KB)
    [aggregation] = [each for each in operations if "aggregate" in each["command"]]

    assert 0 == aggregation["docsExamined"]
    assert aggregation["keysExamined"] in {3, 4}


def test_a_view_has_no_count(mongo: MongoServer, mongodb: Opened) -> None:
    """Counting a view would be a scan, so its count stays unknown; the others are told."""
    mongo.client[KB]["all"].insert_many(frequencies([1, 2]))
    mongo.client[KB].create_collection(PATTERNS, viewOn="all", pipeline=[])
    mongo.client[KB][SYMBOLS].insert_one({"name": "a"})

    assert [KB] == mongodb.knowledge.knowledge_bases()
    assert {"all": 2, PATTERNS: None, SYMBOLS: 1} == mongodb.knowledge.documents(KB)


@pytest.mark.parametrize("question", ["frequency_distribution", "length_distribution"])
def test_a_view_has_no_distribution(mongo: MongoServer, mongodb: Opened, question: str) -> None:
    """A view in place of the patterns costs its own distributions, with an error of one line."""
    mongo.client[KB].create_collection(PATTERNS, viewOn="all", pipeline=[])
    with pytest.raises(QueryError, match="is a view") as error:
        QUESTIONS[question](mongodb)

    one_line_without_secrets(error)


def test_totals_are_read(mongo: MongoServer, mongodb: Opened) -> None:
    """The document of class `totals` is found among others."""
    mongo.client[KB][METADATA].insert_many(
        [
            {"class": "other", "total_pattern_frequencies": 1},
            {
                "class": "totals",
                "total_pattern_frequencies": 7,
                "total_symbol_frequencies": Int64(2**40),
                "total_symbols_in_patterns_frequencies": 0,
            },
        ]
    )

    assert Totals(7, 2**40, 0) == mongodb.knowledge.totals(KB)


@pytest.mark.parametrize("others", [[], [{"class": "other"}, {}]])
def test_missing_totals_are_none(
    mongo: MongoServer, mongodb: Opened, others: list[Document]
) -> None:
    """Without the document of class `totals` nothing is known of the totals."""
    fill(mongo.client, KB, [])
    if others:
        mongo.client[KB][METADATA].insert_many(others)

    assert mongodb.knowledge.totals(KB) is None


@pytest.mark.parametrize("odd", ["7", 7.0, None, True, [7], {"a": 7}, Decimal128("7"), math.nan])
def test_totals_of_an_odd_type_are_unknown(
    mongo: MongoServer, mongodb: Opened, odd: object
) -> None:
    """A total that is no integer, or is missing, is None; the ones beside it are told."""
    mongo.client[KB][METADATA].insert_one(
        {"class": "totals", "total_pattern_frequencies": odd, "total_symbol_frequencies": 5}
    )

    assert Totals(None, 5, None) == mongodb.knowledge.totals(KB)


def test_top_patterns_come_by_frequency_then_by_name(mongo: MongoServer, mongodb: Opened) -> None:
    """The most frequent come first, equals by name, and no more than asked for."""
    fill(
        mongo.client,
        KB,
        [
            {"name": named(number), "frequency": frequency}
            for number, frequency in ((5, 3), (2, 3), (9, 100), (1, 3), (7, 1), (3, Int64(2**40)))
        ],
    )

    assert [
        PatternFrequency(named(3), 2**40),
        PatternFrequency(named(9), 100),
        PatternFrequency(named(1), 3),
        PatternFrequency(named(2), 3),
    ] == mongodb.knowledge.top_patterns(KB, 4)


def test_top_patterns_of_little_knowledge_are_all(mongo: MongoServer, mongodb: Opened) -> None:
    """Fewer patterns than asked for, or no collection at all, is no error."""
    fill(mongo.client, KB, frequencies([4]))

    assert [PatternFrequency(named(0), 4)] == mongodb.knowledge.top_patterns(KB, 10)
    assert [] == mongodb.knowledge.top_patterns("nobody_kato", 10)


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_an_odd_frequency_is_not_at_the_top(
    mongo: MongoServer, mongodb: Opened, odd: object
) -> None:
    """A frequency that KATO cannot have written does not rank, whatever it sorts as."""
    fill(mongo.client, KB, [*frequencies([odd, 2]), {"name": named(9)}])

    assert [PatternFrequency(named(1), 2)] == mongodb.knowledge.top_patterns(KB, 10)


@pytest.mark.parametrize("odd", [[9], [9, 1], Decimal128("9"), Decimal128("NaN")], ids=repr)
def test_a_frequency_that_only_compares_like_a_number_is_not_at_the_top(
    mongo: MongoServer, mongodb: Opened, odd: object
) -> None:
    """Arrays of numbers match a range, and decimals do; neither ranks, and both are no fault."""
    fill(mongo.client, KB, frequencies([odd, 2]))

    assert [PatternFrequency(named(1), 2)] == mongodb.knowledge.top_patterns(KB, 10)


@pytest.mark.parametrize(
    "odd", ["", "PTRN|" + named(1), named(1).upper() + "A", "ü" * 40, named(1)[1:], 7, None, ["a"]]
)
def test_an_odd_name_is_not_at_the_top(mongo: MongoServer, mongodb: Opened, odd: object) -> None:
    """A name that is not 40 hex digits never becomes a label."""
    fill(mongo.client, KB, [{"name": odd, "frequency": 9}, {"name": named(2), "frequency": 1}])

    assert [PatternFrequency(named(2), 1)] == mongodb.knowledge.top_patterns(KB, 10)


def test_many_odd_names_hide_no_pattern(mongo: MongoServer, mongodb: Opened) -> None:
    """However many odd documents rank before them, the most frequent patterns are found."""
    odd = [{"name": f"odd {number}", "frequency": 9} for number in range(20)]
    fill(mongo.client, KB, [*odd, *frequencies([2, 1])])

    assert [
        PatternFrequency(named(0), 2),
        PatternFrequency(named(1), 1),
    ] == mongodb.knowledge.top_patterns(KB, 2)


def test_no_patterns_are_an_empty_distribution(mongo: MongoServer, mongodb: Opened) -> None:
    """A knowledge base that has learned nothing has buckets of 0."""
    fill(mongo.client, KB, [])

    assert measured(FREQUENCY_BOUNDS, []) == mongodb.knowledge.frequency_distribution(KB)
    assert measured(LENGTH_BOUNDS, []) == mongodb.knowledge.length_distribution(KB)


def test_upper_bounds_belong_to_their_buckets(mongo: MongoServer, mongodb: Opened) -> None:
    """A value equal to a bound is at most the bound, as integer and as float; the next is not."""
    bounds = FREQUENCY_BOUNDS
    values = [each for bound in bounds for each in (bound, float(bound), bound + 1)]
    fill(mongo.client, KB, frequencies(values))
    found = mongodb.knowledge.frequency_distribution(KB)

    assert measured(bounds, values) == found
    assert (2, 3, 3) == found.distribution.counts[:3]


def test_upper_bounds_of_lengths_belong_to_their_buckets(
    mongo: MongoServer, mongodb: Opened
) -> None:
    """The same holds for lengths."""
    values = [each for bound in LENGTH_BOUNDS for each in (bound, bound + 1)]
    fill(mongo.client, KB, [{"name": named(n), "length": value} for n, value in enumerate(values)])

    assert measured(LENGTH_BOUNDS, values) == mongodb.knowledge.length_distribution(KB)


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_an_odd_value_is_counted_as_unusable(
    mongo: MongoServer, mongodb: Opened, odd: object
) -> None:
    """A value that KATO cannot have written, or none, is counted apart and adds to no sum."""
    fill(
        mongo.client,
        KB,
        [
            {"name": named(1), "frequency": odd, "length": odd},
            {"name": named(2)},
            {"name": named(3), "frequency": 4, "length": 5},
        ],
    )

    assert MeasuredDistribution(Distribution.of(FREQUENCY_BOUNDS, [(4, 1)]), 2) == (
        mongodb.knowledge.frequency_distribution(KB)
    )
    assert MeasuredDistribution(Distribution.of(LENGTH_BOUNDS, [(5, 1)]), 2) == (
        mongodb.knowledge.length_distribution(KB)
    )


@pytest.mark.parametrize("odd", [[9], Decimal128("9"), Decimal128("NaN")], ids=repr)
def test_a_value_that_only_compares_like_a_number_is_no_fault(
    mongo: MongoServer, mongodb: Opened, odd: object
) -> None:
    """Arrays and decimals leave the values beside them to be counted."""
    fill(mongo.client, KB, frequencies([odd, 4]))
    found = mongodb.knowledge.frequency_distribution(KB)

    assert 2 == found.distribution.count + found.unusable
    assert found.distribution.total >= 4


def test_values_beyond_an_integer_of_64_bits_are_summed_up(
    mongo: MongoServer, mongodb: Opened
) -> None:
    """A sum that no integer of MongoDB's holds is told as a float."""
    fill(mongo.client, KB, frequencies([Int64(2**62)] * 3))
    found = mongodb.knowledge.frequency_distribution(KB).distribution

    assert 3 == found.counts[-1]
    assert pytest.approx(3 * 2.0**62) == found.total


@pytest.mark.parametrize(
    "options", [{}, {"sparse": True}, {"hidden": True}, {"partialFilterExpression": {"a": 1}}]
)
def test_no_index_changes_a_distribution(
    mongo: MongoServer, mongodb: Opened, options: dict[str, Any]
) -> None:
    """Whatever index an operator has made on the frequency, all documents are told."""
    values = [1, 3, "odd", 700]
    mongo.client[KB][PATTERNS].insert_many([*frequencies(values), {"name": "no frequency"}])
    mongo.client[KB][PATTERNS].create_index("frequency", **options)

    assert measured(FREQUENCY_BOUNDS, [*values, None]) == mongodb.knowledge.frequency_distribution(
        KB
    )


def test_a_distribution_without_index_is_the_same(mongo: MongoServer, mongodb: Opened) -> None:
    """Where KATO's index is not there, the patterns themselves are read."""
    values = [1, 3, "odd", 700]
    mongo.client[KB][PATTERNS].insert_many(frequencies(values))

    assert measured(FREQUENCY_BOUNDS, values) == mongodb.knowledge.frequency_distribution(KB)


ANYTHING = st.one_of(
    st.integers(-2, 12),
    st.integers(1, 2**50),
    st.sampled_from(FREQUENCY_BOUNDS + LENGTH_BOUNDS),
    st.floats(),
    st.text(max_size=3).filter(lambda text: "\x00" not in text),
    st.none(),
    st.booleans(),
    st.lists(st.integers(1, 9), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.integers(1, 9), max_size=2),
)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(patterns=st.lists(st.tuples(ANYTHING, ANYTHING), max_size=30))
def test_distributions_are_what_python_makes_of_the_same_documents(
    mongo: MongoServer, mongodb: Opened, patterns: list[tuple[Any, Any]]
) -> None:
    """Whatever the documents hold, server and Python agree on buckets, sum and unusable ones."""
    mongo.client.drop_database(KB)
    fill(
        mongo.client,
        KB,
        [
            {"name": named(number), "frequency": frequency, "length": length}
            for number, (frequency, length) in enumerate(patterns)
        ],
    )
    for bounds, values, found in (
        (
            FREQUENCY_BOUNDS,
            [one for one, _ in patterns],
            mongodb.knowledge.frequency_distribution(KB),
        ),
        (
            LENGTH_BOUNDS,
            [other for _, other in patterns],
            mongodb.knowledge.length_distribution(KB),
        ),
    ):
        expected = measured(bounds, values)

        assert expected.distribution.counts == found.distribution.counts
        assert expected.unusable == found.unusable
        assert pytest.approx(expected.distribution.total, rel=1e-9) == found.distribution.total


def test_the_frequency_distribution_reads_no_document(mongo: MongoServer, mongodb: Opened) -> None:
    """KATO's index on the frequency holds all that is needed, and nothing else is read."""
    fill(mongo.client, KB, frequencies(range(1, 301)))
    with profiled(mongo, KB) as operations:
        mongodb.knowledge.frequency_distribution(KB)
    [aggregation] = [each for each in operations if "aggregate" in each["command"]]

    assert "IXSCAN { frequency: -1, name: 1 }" == aggregation["planSummary"]
    assert 0 == aggregation["docsExamined"]
    assert aggregation["keysExamined"] in {300, 301}


def test_top_patterns_read_the_index_from_its_start(mongo: MongoServer, mongodb: Opened) -> None:
    """Of many patterns only some index keys are read, and no document."""
    fill(mongo.client, KB, frequencies(range(1, 301)))
    with profiled(mongo, KB) as operations:
        mongodb.knowledge.top_patterns(KB, 5)
    [search] = [each for each in operations if "find" in each["command"]]

    assert "IXSCAN { frequency: -1, name: 1 }" == search["planSummary"]
    assert 0 == search["docsExamined"]
    assert search["keysExamined"] <= 20


def test_counts_read_no_document(mongo: MongoServer, mongodb: Opened) -> None:
    """Counting costs the same however many patterns there are."""
    fill(mongo.client, KB, frequencies(range(1, 301)))
    with profiled(mongo, KB) as operations:
        mongodb.knowledge.documents(KB)
    examined = {
        each["command"]["aggregate"]: each.get("docsExamined", 0) + each.get("keysExamined", 0)
        for each in operations
        if "aggregate" in each["command"]
    }

    assert 0 == examined[PATTERNS]


def test_every_question_has_a_time_limit_on_the_server(mongo: MongoServer, mongodb: Opened) -> None:
    """Each command that reads a knowledge base carries `maxTimeMS`, of our timeout at most."""
    fill(mongo.client, KB, frequencies([1]))
    with profiled(mongo, KB) as operations:
        for ask in QUESTIONS.values():
            ask(mongodb)
    limits = {
        (each["command"].get("aggregate") or each["op"]): each["command"].get("maxTimeMS")
        for each in operations
    }

    assert len(operations) >= 6
    assert all(limit and 0 < limit <= PATIENT * 1000 for limit in limits.values()), limits


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_past_its_time_limit_is_given_up(mongo: MongoServer, question: str) -> None:
    """The server ends it at `maxTimeMS`: no answer to this question, the store itself is up."""
    fill(mongo.client, KB, frequencies([1]))
    with (
        closing(Opened(mongo.url, timeout=PATIENT, query_timeout=PATIENT)) as mongodb,
        failing(mongo, "maxTimeAlwaysTimeOut"),
    ):
        with pytest.raises(QueryError, match="exceeded time limit") as error:
            QUESTIONS[question](mongodb)

        one_line_without_secrets(error)


@pytest.mark.parametrize("question", ["frequency_distribution", "length_distribution"])
def test_a_slow_question_ends_at_the_limit_of_queries(mongo: MongoServer, question: str) -> None:
    """Where the server itself is stuck, we end the wait: by `query_timeout`, not by `timeout`."""
    fill(mongo.client, KB, frequencies([1]))
    with (
        closing(Opened(mongo.url, timeout=PATIENT, query_timeout=TIMEOUT)) as mongodb,
        failing(
            mongo,
            "failCommand",
            failCommands=["aggregate"],
            blockConnection=True,
            blockTimeMS=3000,
        ),
        at_most(AT_MOST),
        pytest.raises(StoreError) as error,
    ):
        QUESTIONS[question](mongodb)

    one_line_without_secrets(error)


def test_an_unknown_error_of_the_server_is_one_of_this_question(
    mongo: MongoServer, mongodb: Opened
) -> None:
    """An error that we have never heard of is a QueryError of one line."""
    with (
        failing(mongo, "failCommand", failCommands=["listDatabases"], errorCode=8000),
        pytest.raises(QueryError) as error,
    ):
        mongodb.knowledge.knowledge_bases()

    one_line_without_secrets(error)


@pytest.mark.parametrize(
    "question", ["totals", "top_patterns", "frequency_distribution", "length_distribution"]
)
def test_a_user_without_rights_gets_no_answer(guarded_url: str, question: str) -> None:
    """What a user may not read is a QueryError that names the database and no password."""
    with closing(as_user(guarded_url, "nobody")) as mongodb:
        with pytest.raises(QueryError) as error:
            QUESTIONS[question](mongodb)

        assert f"not authorized on {KB}" in one_line_without_secrets(error)


def test_a_user_without_rights_is_not_told_of_an_empty_server(guarded_url: str) -> None:
    """Who may read no database does not learn that there are 0 knowledge bases."""
    with (
        closing(as_user(guarded_url, "nobody")) as mongodb,
        pytest.raises(QueryError) as error,
    ):
        mongodb.knowledge.knowledge_bases()

    one_line_without_secrets(error)


def test_a_user_without_rights_is_told_by_the_report(guarded_url: str) -> None:
    """The report of a user who may read nothing says what is lost by it."""
    with closing(as_user(guarded_url, "nobody")) as mongodb:
        [server, lack] = mongodb.store.report().lacking

    assert "clusterMonitor" in server
    assert "cannot be read" in lack
    assert PASSWORD not in lack


def test_nobody_at_all_gets_no_answer(guarded_url: str) -> None:
    """Without a name and a password, the report names the lack."""
    with closing(Opened(guarded_url, timeout=TIMEOUT, query_timeout=TIMEOUT)) as mongodb:
        [server, lack] = mongodb.store.report().lacking
        with pytest.raises(QueryError, match="requires authentication"):
            mongodb.knowledge.knowledge_bases()

    assert "clusterMonitor" in server
    assert "requires authentication" in lack


def test_a_user_of_one_knowledge_base_sees_it(guarded_url: str) -> None:
    """With the right to read one database, that one is told in full and others not at all."""
    with closing(as_user(guarded_url, "reader")) as mongodb:
        assert [KB] == mongodb.knowledge.knowledge_bases()
        assert {PATTERNS: 1} == mongodb.knowledge.documents(KB)
        assert [PatternFrequency(named(1), 2)] == mongodb.knowledge.top_patterns(KB, 3)
        assert measured(FREQUENCY_BOUNDS, [2]) == mongodb.knowledge.frequency_distribution(KB)
        assert measured(LENGTH_BOUNDS, [3]) == mongodb.knowledge.length_distribution(KB)
        [server] = mongodb.store.report().lacking

    assert "clusterMonitor" in server


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_wrong_password_is_named_as_such(guarded_url: str, question: str) -> None:
    """Every question is a StoreError that speaks of authentication, soon and without secrets."""
    with closing(as_user(guarded_url, "reader", "wr0ng-word")) as mongodb:
        with at_most(AT_MOST), pytest.raises(StoreError) as error:
            QUESTIONS[question](mongodb)

        assert "authentication failed" in one_line_without_secrets(error).lower()
        assert "wr0ng-word" not in str(error.value)
        assert "wr0ng-word" not in mongodb.store.address


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_server_that_is_down_is_an_error_within_the_timeout(question: str) -> None:
    """Where nothing listens, every question raises StoreError when its timeout is over."""
    url = f"mongodb://user:{PASSWORD}@{LOOPBACK}:{free_port()}/?authSource=admin"
    with closing(Opened(url, timeout=TIMEOUT, query_timeout=TIMEOUT)) as mongodb:
        with at_most(AT_MOST), pytest.raises(StoreError) as error:
            QUESTIONS[question](mongodb)

        assert "refused" in one_line_without_secrets(error)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_server_that_never_answers_is_given_up(question: str) -> None:
    """Where connections come about and no word follows, every question ends at its timeout."""
    with black_hole() as port:
        url = f"mongodb://user:{PASSWORD}@{LOOPBACK}:{port}"
        with closing(Opened(url, timeout=TIMEOUT, query_timeout=TIMEOUT)) as mongodb:
            with at_most(AT_MOST), pytest.raises(StoreError) as error:
                QUESTIONS[question](mongodb)

            one_line_without_secrets(error)


def test_a_server_that_was_restarted_is_asked_again(own_mongod: Server) -> None:
    """After a crash and a new start the same store answers as if nothing had been."""
    with closing(Opened(own_mongod.url, timeout=PATIENT, query_timeout=PATIENT)) as mongodb:
        mongodb.store.probe(Deadline.after(PATIENT))
        own_mongod.kill()
        with at_most(PATIENT), pytest.raises(StoreError):
            mongodb.store.probe(Deadline.after(TIMEOUT))
        own_mongod.start()

        mongodb.store.probe(Deadline.after(PATIENT))


def test_an_address_has_no_secrets() -> None:
    """Of a URL with user, password, several hosts and options, the hosts are told."""
    url = f"mongodb://user:{PASSWORD}@one:27017,two:27018/admin?replicaSet=rs"
    with closing(Opened(url, timeout=TIMEOUT, query_timeout=TIMEOUT)) as mongodb:
        assert "mongodb://one:27017,two:27018" == mongodb.store.address
