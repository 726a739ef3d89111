"""The pages of sessions, on a real Valkey 9 and a real Redis 7."""

import csv
import io
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings, strategies

from kato_exporter.browser.app import Place, create_app
from kato_exporter.browser.sessions.pages import sessions_pages
from kato_exporter.demo.servers import LOOPBACK, Server
from kato_exporter.demo.shapes import session_id, session_key, session_record
from kato_exporter.kato.sessions import SESSION_INDEX
from kato_exporter.stores.redis.connection import RedisConnection
from kato_exporter.stores.redis.sessions import SessionRecords
from support.servers import RedisServer, black_hole

RECORDED = Path(__file__).parents[1] / "fixtures" / "kato2" / "redis.json"
ROWS = 20
PLACES = [
    Place("Sessions", "/sessions"),
    Place("Knowledge", "/kb"),
    Place("Redis", "/redis"),
    Place("Qdrant", "/qdrant"),
]
HASH = "0123456789abcdef0123456789abcdef01234567"
HOSTILE = (
    "<script>alert(1)</script>",
    "{{7*7}}",
    "\x1b[31mred",
    "\u202egnp.exe",
    "\ud800",
    "\0",
    "=cmd|' /C calc'!A0",
    "'\"><img src=x>",
    "x" * 500_000,
)

json_values = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats()
    | strategies.text() | strategies.sampled_from(HOSTILE[:-1]),
    lambda inner: strategies.lists(inner, max_size=4)
    | strategies.dictionaries(strategies.text(), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@pytest.fixture(params=["valkey", "redis7"])
def server(request: pytest.FixtureRequest) -> RedisServer:
    """Give each of the servers in turn, emptied."""
    found: RedisServer = request.getfixturevalue(request.param)
    return found


def pages_of(connection: RedisConnection, *, seconds: float = 5.0) -> FlaskClient:
    """Give a client of an application with these pages, whose menu has all stores."""
    records = SessionRecords(connection, seconds=seconds)
    pages = [sessions_pages(records, page_rows=ROWS)]
    app = create_app(pages, PLACES, export_rows=1000, grafana_url="https://grafana.example")
    return app.test_client()


@pytest.fixture
def connection(server: RedisServer) -> Iterator[RedisConnection]:
    """Connect as the browser does."""
    with closing(RedisConnection(server.url, timeout=2.0)) as connection:
        yield connection


@pytest.fixture(scope="module")
def open_pages() -> Iterator[Callable[[str], FlaskClient]]:
    """Open the pages of a server once, since it takes longer than most tests."""
    with ExitStack() as stack:
        yield cache(
            lambda url: pages_of(stack.enter_context(closing(RedisConnection(url, timeout=2.0))))
        )


@pytest.fixture
def client(server: RedisServer, open_pages: Callable[[str], FlaskClient]) -> FlaskClient:
    """Open the pages."""
    return open_pages(server.url)


def identity(number: int, age: float = 0.0) -> str:
    """Name a session that is so many seconds old."""
    return session_id(UUID(int=number << 64).hex, time.time() - age)


def put(
    server: RedisServer,
    number: int = 1,
    *,
    age: float = 10.0,
    ttl: int | None = 3600,
    **fields: Any,
) -> str:
    """Put a session of `alice`, but for these fields, and give its id."""
    name = identity(number, age)
    born = time.time() - age
    record = session_record(name, "alice", born=born, ttl=3600, metadata={"app": "demo"})
    server.client.set(session_key(name), json.dumps(record | fields), ex=ttl)
    return name


def facts(client: FlaskClient, path: str) -> Any:
    """Give the JSON twin of a page, and see that the page itself is well."""
    page = client.get(path)
    assert (200, "text/html") == (page.status_code, page.mimetype)
    return client.get(f"{path}{'&' if '?' in path else '?'}format=json").get_json()


def ids(listing: Any) -> list[str]:
    """Give the ids of a list, in its order."""
    return [each["session_id"] for each in listing["sessions"]]


def links(page: str) -> set[str]:
    """Give where the links on a page lead."""
    return {unescape(each) for each in re.findall(r'href="([^"]*)"', page)}


def test_no_session_says_so(client: FlaskClient) -> None:
    """An empty list is no error, and says how sessions come to be."""
    assert "There are no sessions." in client.get("/sessions").text
    assert 0 == facts(client, "/sessions")["total"]


def test_a_list_of_recorded_sessions(server: RedisServer, client: FlaskClient) -> None:
    """Records of a real KATO 2 with what the issue asks for of each."""
    for each in json.loads(RECORDED.read_text()):
        server.client.set(each["key"], each["value"], ex=each["ttl"])
    listing = facts(client, "/sessions")
    (row,) = [each for each in listing["sessions"] if each["node_id"] == "project-x"]

    assert 3 == listing["total"] == len(listing["sessions"])
    assert "project_x_kato" == row["kb"]
    assert "2026-11-22T21:35:54.932330+00:00" == row["created_at"]
    assert row["age_seconds"] - row["idle_seconds"] == pytest.approx(0.392, abs=0.01)
    assert (1, 1, 104) == (row["stm_events"], row["symbols"], row["access_count"])
    assert row["ttl_left_seconds"] == pytest.approx(3367, abs=5)
    assert f"/sessions/{row['session_id']}" in links(client.get("/sessions").text)


def test_ages_are_never_negative(server: RedisServer, client: FlaskClient) -> None:
    """A session that a fast clock has written in the future has the age 0."""
    put(server, age=-500)
    (row,) = facts(client, "/sessions")["sessions"]

    assert (0, 0) == (row["age_seconds"], row["idle_seconds"])


def test_pages_follow_each_other(server: RedisServer, client: FlaskClient) -> None:
    """From the first page on the links lead through all sessions, each once."""
    there = {put(server, number) for number in range(100)}
    path: str | None = "/sessions?sort=-age"
    found: list[str] = []
    while path is not None:
        listing = facts(client, path)
        found += ids(listing)
        path = listing["next"] and listing["next"].replace("&format=json", "")

    assert there == set(found)
    assert len(there) == len(found)


def test_a_page_among_more_has_no_total(server: RedisServer, client: FlaskClient) -> None:
    """What is not counted is not told; how far the list got is."""
    for number in range(100):
        put(server, number)
    listing = facts(client, "/sessions")

    assert listing["total"] is None
    assert listing["looked_at_keys"] < listing["keys"] == 100
    assert "of 100 keys so far" in client.get("/sessions").text


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("age", [3, 1, 2]),
        ("-age", [2, 1, 3]),
        ("idle", [2, 3, 1]),
        ("ttl", [1, 3, 2]),
        ("-ttl", [2, 3, 1]),
        ("events", [1, 2, 3]),
        ("-symbols", [3, 2, 1]),
        ("-accesses", [1, 3, 2]),
        ("node", [2, 3, 1]),
        ("-id", [3, 2, 1]),
    ],
)
def test_a_page_is_sorted(
    server: RedisServer, client: FlaskClient, sort: str, order: list[int]
) -> None:
    """By any column, either way; what is unknown comes last, what never expires has most time."""
    soon, late = "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"
    names = {
        1: put(server, 1, age=50, ttl=100, node_id="c", access_count=9, last_accessed=soon),
        2: put(server, 2, age=90, ttl=None, node_id="a", stm=[["x"]], last_accessed=late,
               access_count="many"),
        3: put(server, 3, age=10, ttl=200, node_id="b", stm=[["x", "y"], ["z"]],
               access_count=1, last_accessed="2026-01-01T12:00:00+00:00"),
    }  # fmt: skip

    assert [names[number] for number in order] == ids(facts(client, f"/sessions?sort={sort}"))


def test_what_is_unknown_comes_last(server: RedisServer, client: FlaskClient) -> None:
    """In either direction."""
    known = [put(server, 1, access_count=1), put(server, 2, access_count=2)]
    odd = put(server, 3, access_count="many")

    assert [*known, odd] == ids(facts(client, "/sessions?sort=accesses"))
    assert [*known[::-1], odd] == ids(facts(client, "/sessions?sort=-accesses"))


def test_search_by_node_and_by_id(server: RedisServer, client: FlaskClient) -> None:
    """Each finds what contains the text; the fields keep what was searched for."""
    alice, bob = put(server, 1), put(server, 2, node_id="bob<b>")

    assert [bob] == ids(facts(client, f"/sessions?node={quote('bob<')}"))
    assert [alice] == ids(facts(client, f"/sessions?id={alice}"))
    assert [alice] == ids(facts(client, f"/sessions?id={alice[:26]}"))
    assert 'value="bob&lt;"' in client.get("/sessions?node=bob<").text
    assert "No session matches." in client.get("/sessions?node=carol").text


@pytest.mark.parametrize("text", ["*", ".*", "a?", "[a-z]*", "$where", "{$ne:1}", "^", "\\"])
def test_search_takes_no_patterns(server: RedisServer, client: FlaskClient, text: str) -> None:
    """A glob, a regex or an operator is a text that no session has."""
    put(server)

    assert [] == ids(facts(client, f"/sessions?node={quote(text)}"))
    assert [] == ids(facts(client, f"/sessions?id={quote(text)}"))


def test_a_search_that_was_cut_says_how_far_it_got(
    server: RedisServer, connection: RedisConnection
) -> None:
    """An empty page before the end is no empty list, and leads on; the count goes on, too."""
    server.client.mset({f"other:{number}": 1 for number in range(1_000)})
    client = pages_of(connection, seconds=0.0)
    first = facts(client, "/sessions?node=alice")
    second = facts(client, first["next"].replace("&format=json", ""))

    assert ([], None) == (first["sessions"], first["total"])
    assert (50, 1_000) == (first["looked_at_keys"], first["keys"])
    assert 100 == second["looked_at_keys"]
    page = client.get("/sessions?node=alice").text
    assert "None found so far." in page
    assert "about 50 of 1,000 keys" in page
    assert "Go on looking" in page


def test_sessions_that_could_not_be_searched_are_told(
    server: RedisServer, client: FlaskClient
) -> None:
    """A search by node says how many records tell none."""
    server.client.set("kato:session:session-broken", "{")
    (notice,) = facts(client, "/sessions?node=alice")["notices"]

    assert notice.startswith("1 of the sessions looked at")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("sort=size", "sort=size"),
        (f"node={'x' * 201}", "node="),
        ("id=a%00", "id="),
        ("after=nonsense", "after="),
        ("after=WzFd", "after="),  # [1]
        ("after=WyItMSIsMF0", "after="),  # ["-1",0]
        ("after=WyIxODQ0Njc0NDA3MzcwOTU1MTYxNiIsMF0", "after="),  # ["18446744073709551616",0]
        ("after=WyIxIiwtNV0", "after="),  # ["1",-5]
        ("format=xml", "format=xml"),
    ],
)
def test_a_wrong_argument_is_named(client: FlaskClient, query: str, names: str) -> None:
    """400, with what is right."""
    answer = client.get(f"/sessions?{query}")

    assert 400 == answer.status_code
    assert names in answer.text


def test_downloads_have_all_from_this_page_on(server: RedisServer, client: FlaskClient) -> None:
    """JSON Lines and CSV hold every session, not only those of the page."""
    there = {put(server, number) for number in range(500)}
    lines = client.get("/sessions?format=jsonl")
    table = client.get("/sessions?format=csv")

    assert there == {json.loads(line)["session_id"] for line in lines.text.splitlines()}
    assert there == {row["session_id"] for row in csv.DictReader(io.StringIO(table.text))}
    assert "filename=sessions.csv" in table.headers["Content-Disposition"]


def test_downloads_obey_the_search_and_neutralise_formulas(
    server: RedisServer, client: FlaskClient
) -> None:
    """Only what was searched for is in it; a node that is a formula is text in a spreadsheet."""
    put(server, 1)
    name = put(server, 2, node_id="=HYPERLINK(1)")
    (row,) = csv.DictReader(io.StringIO(client.get("/sessions?node==H&format=csv").text))

    assert (name, "'=HYPERLINK(1)") == (row["session_id"], row["node_id"])


def test_a_session_of_kato_2(server: RedisServer, client: FlaskClient) -> None:
    """All that a recorded record holds is in the JSON twin, and the page names each field."""
    (recorded, *_) = (each for each in json.loads(RECORDED.read_text()) if "demo" in each["value"])
    server.client.set(recorded["key"], recorded["value"], ex=recorded["ttl"])
    name = recorded["key"].removeprefix("kato:session:")
    found = facts(client, f"/sessions/{name}")
    page = client.get(f"/sessions/{name}").text

    assert json.loads(recorded["value"]) == found["record"]
    assert [] == [field for field in ("time", "metadata", "max_stm_size") if field not in page]
    assert (None, False) == (found["in_index"], found["is_active_of_node"])
    assert "data-expires=" in page
    assert not [each for each in found["notices"] if "expires_at" not in each]


def test_where_a_session_leads(server: RedisServer, client: FlaskClient) -> None:
    """To its knowledge base, its key, its node, its symbols' patterns, vectors and Grafana."""
    stm = [["a", "x/y&z"], [f"VCTR|{HASH}", f"PTRN|{HASH}"]]
    name = put(server, node_id="project-x", stm=stm)
    found = links(client.get(f"/sessions/{name}").text)

    assert {
        "/kb/project_x_kato",
        f"/redis/key?name=kato%3Asession%3A{name}",
        "/sessions?node=project-x",
        "/kb/project_x_kato/patterns?symbol=a",
        "/kb/project_x_kato/patterns?symbol=x%2Fy%26z",
        "/qdrant/vectors_project_x_kato",
        f"/kb/project_x_kato/patterns/{HASH}",
    } <= {link.replace("kato:session:", "kato%3Asession%3A") for link in found}
    (dashboard,) = [link for link in found if link.startswith("https://grafana.example")]
    assert "/d/kato-sessions?from=" in dashboard
    assert "var-node=project-x" in dashboard


def test_a_symbol_that_no_url_can_carry_is_text(server: RedisServer, client: FlaskClient) -> None:
    """Half a surrogate pair, which JSON can hold, is shown and leads nowhere."""
    name = put(server, stm=[["\ud800", "VCTR|\ud800"]])
    page = client.get(f"/sessions/{name}")

    assert 200 == page.status_code
    assert "ud800" in page.text
    assert not [link for link in links(page.text) if "symbol=" in link]


def test_nothing_leads_to_what_is_not_configured(
    server: RedisServer, connection: RedisConnection
) -> None:
    """Where the menu has sessions only, symbols and keys are text."""
    pages = sessions_pages(SessionRecords(connection, seconds=1.0), page_rows=ROWS)
    client = create_app([pages], PLACES[:1], export_rows=10).test_client()
    name = put(server, stm=[["a", f"VCTR|{HASH}", f"PTRN|{HASH}"]])
    found = links(client.get(f"/sessions/{name}").text)

    assert not [link for link in found if link.startswith(("/kb", "/qdrant", "/redis", "http"))]


def test_a_session_of_kato_3(server: RedisServer, client: FlaskClient) -> None:
    """Percepts and predictions are shown, cut where they are long; its index names it."""
    vector = [0.25] * 20_000
    name = put(
        server,
        ttl_seconds=3600,
        percept_data={"strings": ["hello-percept"], "vectors": [vector]},
        predictions=[{"name": HASH, "potential": 0.5}] * 3,
    )
    server.client.sadd(SESSION_INDEX, name)
    found = facts(client, f"/sessions/{name}")
    page = client.get(f"/sessions/{name}").text

    assert found["in_index"] is True
    assert vector == found["record"]["percept_data"]["vectors"][0]
    assert "hello-percept" in page
    assert "3 entries" in page
    assert HASH in page
    assert "cut, " in page
    assert len(page) < 100_000


def test_a_session_in_full(server: RedisServer, client: FlaskClient) -> None:
    """Events with their places, emotives in columns, metadata, configuration."""
    name = put(
        server,
        stm=[["first"], ["second", "third"]],
        emotives_accumulator=[{"joy": 0.5}, {"fear": -1}],
        metadata_accumulator=[{"source": ["book"]}],
        session_config={"persistence": 7, "stm_mode": None},
    )
    page = client.get(f"/sessions/{name}").text

    assert re.search(r'<li value="2"><small>2</small>.*second.*third', page, re.DOTALL)
    assert '<th scope="col" class="number">fear</th>' in page
    assert "&#34;source&#34;: [&#34;book&#34;]" in page
    assert "<code>7</code>" in page
    assert "KATO's default" in unescape(page)


def test_a_long_memory_shows_its_end(server: RedisServer, client: FlaskClient) -> None:
    """The latest events, how many came before, and where all of them are."""
    name = put(server, stm=[[f"symbol-{n}"] for n in range(1_000)])
    page = client.get(f"/sessions/{name}").text

    assert "800 earlier events left out" in page
    assert "symbol-999" in page
    assert "symbol-799<" not in page
    assert 1_000 == len(facts(client, f"/sessions/{name}")["record"]["stm"])


def test_a_session_without_expiry_says_so(server: RedisServer, client: FlaskClient) -> None:
    """It never expires, which is not KATO's way."""
    name = put(server, ttl=None)
    found = facts(client, f"/sessions/{name}")

    assert (None, None) == (found["ttl_left_seconds"], found["expires_at"])
    assert (
        "The key has no time to live: this session stays until it is deleted." in found["notices"]
    )
    assert "data-expires" not in client.get(f"/sessions/{name}").text


def test_an_expiry_beyond_all_calendars(server: RedisServer, client: FlaskClient) -> None:
    """A time to live of a million years has no date, and breaks nothing."""
    name = put(server, ttl=31_536_000_000_000)
    put(server, 2)

    assert 2 == len(facts(client, "/sessions?sort=ttl")["sessions"])
    assert facts(client, f"/sessions/{name}")["expires_at"] is None


def test_a_session_kept_beyond_its_own_expiry(server: RedisServer, client: FlaskClient) -> None:
    """KATO 3 forgets it by `expires_at`, though reads have prolonged its key."""
    name = put(server, age=7_200)
    notices = facts(client, f"/sessions/{name}")["notices"]

    assert [True] == ["expires_at has passed" in notice for notice in notices]


def test_a_record_that_names_another_session(server: RedisServer, client: FlaskClient) -> None:
    """Whoever copied it should know."""
    name = put(server, session_id="session-x")

    assert (
        "The record names another session than its key does."
        in (facts(client, f"/sessions/{name}")["notices"])
    )


@pytest.mark.parametrize("name", ["session-gone", "nonsense", "session-%5Cq", "node:alice:active"])
def test_a_session_that_is_gone(server: RedisServer, client: FlaskClient, name: str) -> None:
    """404, as page and as JSON, which says that it may have expired."""
    server.client.set("kato:session:node:alice:active", "session-x")
    page, twin = client.get(f"/sessions/{name}"), client.get(f"/sessions/{name}?format=json")

    assert (404, 404) == (page.status_code, twin.status_code)
    assert "Sessions expire" in page.text
    assert "Sessions expire" in twin.get_json()["reason"]


@pytest.mark.parametrize(
    "key",
    [
        b"kato:session:session-\xff\x00\n",
        b"kato:session:session-a/../../b//c",
        b"kato:session:session-a?b#c%41\\",
        "kato:session:session-\u202e☃ ".encode(),
    ],
)
def test_odd_keys_have_pages(server: RedisServer, client: FlaskClient, key: bytes) -> None:
    """The link in the list leads to the very key, whatever bytes its name has."""
    server.client.set(key, '{"node_id": "odd-one"}')
    (link,) = [
        each for each in links(client.get("/sessions").text) if each.startswith("/sessions/")
    ]

    assert "odd-one" == facts(client, link)["record"]["node_id"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe<script>", "not UTF-8"),
        (b"[1]", "not an object"),
        (b"[" * 100_000, "nested too deeply"),
        (b"x" * 5_000_000, "too large"),
    ],
)
def test_a_record_that_is_none(
    server: RedisServer, client: FlaskClient, value: bytes, reason: str
) -> None:
    """List and page say why, the page with the beginning of what is there."""
    server.client.set("kato:session:session-odd", value)
    (row,) = facts(client, "/sessions")["sessions"]
    found = facts(client, "/sessions/session-odd")
    page = client.get("/sessions/session-odd").text

    assert reason in row["problem"]
    assert reason in found["notices"][0]
    assert "<script>" not in page
    assert len(page) < 400_000


def test_deep_nesting_leaves_the_rest_readable(server: RedisServer, client: FlaskClient) -> None:
    """500 levels in one field are cut there, and only there."""
    deep = '{"a":' * 500 + "1" + "}" * 500
    text = f'{{"node_id": "alice", "stm": [["hello-stm"]], "metadata": {deep}}}'
    server.client.set("kato:session:session-deep", text)
    page = client.get("/sessions/session-deep")

    assert 200 == page.status_code
    assert "hello-stm" in page.text
    assert "nested more than" in page.text


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("shape", ["text", "list", "object", "key"])
def test_hostile_text_in_every_field(
    server: RedisServer, client: FlaskClient, hostile: str, shape: str
) -> None:
    """Nothing runs, nothing breaks, nothing invisible stays so, and pages stay small."""
    value: Any = {
        "text": hostile,
        "list": [[hostile], hostile],
        "object": {"a": hostile},
        "key": [{hostile: 1}],
    }[shape]
    names = json.loads(json.loads(RECORDED.read_text())[0]["value"]).keys() - {"session_id"}
    name = put(server, **dict.fromkeys(names, value), **{"percept_data": value, hostile: hostile})

    for path in ("/sessions?node=a", "/sessions?sort=node", f"/sessions/{name}"):
        answer = client.get(path)
        assert 200 == answer.status_code
        assert not re.search("<script>|<img|[\u202e\x1b\0]", answer.text)
        assert "49" not in re.findall(r">([^<]*)<", answer.text)
        assert len(answer.text) < 400_000
        assert 200 == client.get(f"{path}{'&' if '?' in path else '?'}format=json").status_code
    assert name in client.get("/sessions?format=csv").text


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    value=json_values
    | strategies.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            (
                "session_id",
                "node_id",
                "created_at",
                "last_accessed",
                "expires_at",
                "stm",
                "emotives_accumulator",
                "metadata_accumulator",
                "access_count",
                "session_config",
                "metadata",
                "predictions",
            ),
            json_values
            | strategies.lists(strategies.dictionaries(strategies.text(), json_values))
            | strategies.datetimes(timezones=strategies.timezones()).map(datetime.isoformat),
        ),
    )
)
def test_any_json_has_a_page(
    valkey: RedisServer, open_pages: Callable[[str], FlaskClient], value: Any
) -> None:
    """Whatever JSON a session's key holds: a page, its twin, a list and a download."""
    valkey.client.set("kato:session:session-any", json.dumps(value), ex=1_000)
    client = open_pages(valkey.url)
    for path in ("/sessions", "/sessions?node=a", "/sessions/session-any"):
        facts(client, path)
    assert "session-any" in client.get("/sessions?format=csv&sort=-node").text


def test_a_server_that_is_down_says_so(own_valkey: Server) -> None:
    """503 with a way to try again; once it has ended, for the list and for a session."""
    with closing(RedisConnection(own_valkey.url, timeout=0.5)) as connection:
        client = pages_of(connection)
        assert 200 == client.get("/sessions").status_code
        own_valkey.stop()
        answers = [client.get("/sessions"), client.get("/sessions/session-x")]

    assert [503, 503] == [answer.status_code for answer in answers]
    assert all("Try again" in answer.text for answer in answers)


def test_a_server_that_is_silent_says_so() -> None:
    """503 as soon as the time limit is over."""
    with (
        black_hole() as port,
        closing(RedisConnection(f"redis://{LOOPBACK}:{port}", timeout=0.3)) as connection,
    ):
        assert 503 == pages_of(connection).get("/sessions").status_code
