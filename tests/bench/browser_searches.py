"""The searches that are measured, each beside what is plainly asked of the store."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis import Redis

from bench.bench_stores import pattern
from bench.browser_reading import Reader, in_turns, milliseconds, timed
from bench.large_stores import KB, NODES, OFTEN, OFTEN_ONE_IN, RARE, RARE_NODE
from bench.parts import Tell
from bench.report import table
from kato_exporter.kato.knowledge import PATTERNS
from kato_exporter.kato.sessions import SESSION_KEY_MATCH
from support.browsing import Stores

_ROUNDS = 3
_LONGEST_SECONDS = 60.0
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Search:
    """A search: its path, and the fact that holds the rows; `plainly` asks a store for the same."""

    what: str
    path: str
    rows: str
    plainly: Callable[[], object]


def measure_searches(reader: Reader, stores: Stores, tell: Tell) -> str:
    """Measure all searches."""
    rows = []
    for search in [*_of_sessions(reader, stores), *_of_patterns(reader, stores)]:
        tell(f"search: {search.what}")
        rows.append(_measured(reader, search))
    return (
        f"Searches, median of {_ROUNDS}. Where no index helps, a page looks for at most 5 s, the "
        "default of KATO_BROWSER_QUERY_TIMEOUT, says how far it came, and the next one goes on: "
        "`until a row` is from the first page to the first row. Beside it, once, what is plainly "
        "asked: `count_documents` of the same condition, which gives no rows; SCAN of all names "
        "with MATCH; every session read. Where all must be looked through, ours takes longer: it "
        "keeps the order of the listing, asks for sizes before it reads, and can stop at any "
        "time:\n\n" + table(["search", "first byte", "rows", "until a row", "plainly"], rows)
    )


def _measured(reader: Reader, search: Search) -> list[str]:
    """Search, and go on until there is something or nothing is left."""
    [first] = in_turns([partial(reader.first_byte, search.path)], _ROUNDS)
    page = reader.facts(search.path)
    shown, pages, began = len(page[search.rows]), 1, time.perf_counter()
    while not page[search.rows] and page["next"]:
        if time.perf_counter() - began > _LONGEST_SECONDS:
            break
        page = reader.facts(page["next"])
        pages += 1
    until = first + time.perf_counter() - began
    found = "" if page[search.rows] else ", without one"
    return [
        search.what,
        milliseconds(first),
        str(shown),
        f"{until:.1f} s, {pages} pages{found}" if pages > 1 else found,
        milliseconds(timed(search.plainly)),
    ]


def _of_sessions(reader: Reader, stores: Stores) -> Iterator[Search]:
    redis = stores.redis
    [session, *_] = reader.facts("/sessions")["sessions"]
    identity = session["session_id"]
    part = identity[16:24]
    yield Search(
        "a session by its whole id",
        f"/sessions?id={identity}",
        "sessions",
        lambda: redis.get(f"kato:session:{identity}"),
    )
    yield Search(
        "a session by eight digits within its id",
        f"/sessions?id={part}",
        "sessions",
        lambda: list(redis.scan_iter(f"{SESSION_KEY_MATCH}*{part}*", count=_AT_ONCE)),
    )
    yield Search(
        f"sessions of one node of {NODES:,}",
        "/sessions?node=node-077",
        "sessions",
        lambda: _sessions_of(redis, "node-077"),
    )
    yield Search(
        "the session of a node that has one",
        f"/sessions?node={RARE_NODE}",
        "sessions",
        lambda: _sessions_of(redis, RARE_NODE),
    )


def _sessions_of(redis: Redis, node: str) -> int:
    """Read every session, and count those of a node."""
    keys = list(redis.scan_iter(SESSION_KEY_MATCH, count=_AT_ONCE))
    found = 0
    for start in range(0, len(keys), _AT_ONCE):
        values = redis.mget(keys[start : start + _AT_ONCE])
        found += sum(json.loads(value)["node_id"] == node for value in values if value)
    return found


def _of_patterns(reader: Reader, stores: Stores) -> Iterator[Search]:
    patterns, redis = stores.mongo[KB][PATTERNS], stores.redis
    pages, documents = f"/kb/{KB}/patterns", f"/kb/{KB}/collections/{PATTERNS}"
    [learned, *_] = reader.facts(pages)["patterns"]
    name = learned["name"]

    def count(**condition: Any) -> Callable[[], object]:
        return lambda: patterns.count_documents(condition)

    for length in (8, 2):
        prefix = name[:length]
        yield Search(
            f"patterns by the first {length} digits of the name",
            f"{pages}?prefix={prefix}",
            "patterns",
            count(name={"$regex": f"^{prefix}"}),
        )
    for symbol, who in ((OFTEN, f"one pattern in {OFTEN_ONE_IN} has"), (RARE, "only the last has")):
        yield Search(
            f"patterns with a symbol that {who}",
            f"{pages}?symbol={symbol}",
            "patterns",
            count(pattern_data={"$elemMatch": {"$elemMatch": {"$eq": symbol}}}),
        )
    yield Search(
        "documents by an indexed field",
        f"{documents}?field=name&operator=is&value={name}&type=text",
        "documents",
        count(name=name),
    )
    yield Search(
        "documents by another field, one in ten",
        f"{documents}?field=length&operator=is&value=9&type=number",
        "documents",
        count(length=9),
    )
    yield Search(
        "documents by another field, the last one",
        f"{documents}?field=metadata.source&operator=is&value={RARE}&type=text",
        "documents",
        count(**{"metadata.source": RARE}),
    )
    digits = pattern(1)["name"][:8]
    yield Search(
        "keys by eight digits within the name",
        f"/redis/keys?match={digits}",
        "keys",
        lambda: list(redis.scan_iter(f"*{digits}*", count=_AT_ONCE)),
    )
