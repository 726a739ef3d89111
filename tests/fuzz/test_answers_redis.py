"""Anything in the place of what Redis answers: a valid exposition or a clean failure."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kato_exporter.settings import ExporterSettings
from support.fuzzed_exporter import (
    ACCEPTED,
    FuzzedExporter,
    assert_promtool_agrees,
    fuzzed_exporter,
)
from support.fuzzed_redis import FuzzedRedis, Reply, fuzzed_redis, resp
from support.fuzzing import ANY_JSON, ODD_NUMBERS, TEXTS, examples, spoiled
from support.waiting import eventually

RECORDED = Path(__file__).parents[1] / "fixtures" / "kato2"
INFO = (RECORDED / "redis_info.txt").read_text(encoding="utf-8")
RECORDS = [
    json.loads(key["value"])
    for key in json.loads((RECORDED / "redis.json").read_text(encoding="utf-8"))
    if key["type"] == "string" and key["value"].startswith("{")
]
STATS = "# Commandstats\r\n" + "".join(
    f"cmdstat_{name}:calls=7,usec=210,usec_per_call=30.00,rejected_calls=0,failed_calls=1\r\n"
    for name in ("get", "keys", "other", "config|get")
)
INFO_LINES = (INFO + "\r\nerrorstat_ERR:count=3\r\nerrorstat_other:count=1\r\n").splitlines()
FIELDS = sorted(
    {line.partition(":")[0] for line in INFO_LINES if ":" in line}
    | {"cmdstat_keys", "errorstat_OOM", "db1", "db999999999", "server_name", "valkey_version"}
)
KEYS = [b"kato:session:session-%032x-1795383353898" % number for number in range(4)]
STREAMS = [b"stm:events:alice", b"stm:events:\xff", b"stm:events:\\xff", b"stm:global", b"other"]
INFO_VALUES = st.one_of(
    st.sampled_from(ODD_NUMBERS).map(str),
    st.integers().map(str),
    st.builds("calls={0},usec={0},rejected_calls={1},failed_calls={1}".format, *2 * (TEXTS,)),
    st.builds(
        "calls={0},usec={0},count={1},keys={1},expires={0}".format,
        st.sampled_from(ODD_NUMBERS),
        st.sampled_from(ODD_NUMBERS) | st.integers(),
    ),
    TEXTS,
)


def _spoiled_info(lines: list[str], odd: dict[str, str], dropped: set[str]) -> bytes:
    found = [line for line in lines if line.partition(":")[0] not in dropped | odd.keys()]
    found += [f"{name}:{value}" for name, value in odd.items()]
    return "\r\n".join(found).encode("utf-8", "surrogatepass")


def infos(text: str) -> st.SearchStrategy[bytes]:
    """Give INFO with odd values, with others besides, and without some."""
    lines = text.splitlines()
    return st.builds(
        _spoiled_info,
        st.just(lines),
        st.dictionaries(st.sampled_from(FIELDS) | TEXTS, INFO_VALUES, max_size=12),
        st.sets(st.sampled_from(FIELDS), max_size=5),
    )


ODD_REPLIES = st.one_of(
    st.recursive(
        st.one_of(
            st.none(),
            st.integers(-(2**63), 2**63),
            st.binary(max_size=20),
            st.sampled_from(["OK", "PONG", "string", "none", "stream", ""]),
            st.sampled_from(
                ["ERR x", "NOPERM this user has no permissions", "WRONGTYPE x", "LOADING x",
                 "NOAUTH x", "BUSY x", "MOVED 1 127.0.0.1:1", "", "OOM x"]
            ).map(Exception),
        ),
        lambda inner: st.lists(inner, max_size=4),
        max_leaves=6,
    ).map(resp),
    st.sampled_from([b"\r\n", b"%1\r\n+a\r\n:1\r\n", b",nan\r\n", b"#t\r\n", b"(99\r\n",
                     b"_\r\n", b"$1\r\nab\r\n", b"*-1\r\n", b"!3\r\nERR\r\n", b"~1\r\n:1\r\n",
                     b":x\r\n", b"$x\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"]),
)  # fmt: skip
VALUES = st.one_of(
    spoiled(RECORDS).map(lambda record: json.dumps(record).encode()),
    ANY_JSON.map(lambda record: json.dumps(record).encode()),
    st.binary(max_size=40),
    st.sampled_from([b"[" * 5_000, b"9" * 5_000, b"\xff\xfe{\x00}\x00"]),
)


SCANNED = st.lists(st.sampled_from(KEYS + STREAMS), max_size=4).map(lambda keys: resp([b"0", keys]))
CHANNELS = [
    b"__keyevent@0__:" + event
    for event in (b"new", b"set", b"del", b"expired", b"evicted", b"\xff")
]
EVENTS = st.one_of(
    st.tuples(st.just(b"message"), st.sampled_from(CHANNELS), st.sampled_from(KEYS)).map(resp),
    st.tuples(
        st.sampled_from([b"message", b"pmessage", b"pong", b"invalidate"]),
        st.sampled_from(CHANNELS) | st.none() | st.binary(max_size=20),
        st.sampled_from(STREAMS) | st.none() | st.integers() | st.binary(max_size=20),
    ).map(resp),
    st.tuples(st.sampled_from([b"message", b"unsubscribe"])).map(resp),
)
NUMBERS = st.integers(-2, 2**63).map(resp)
KNOWN: dict[str, st.SearchStrategy[Reply]] = {
    "PING": st.just(resp("PONG")),
    "INFO": infos(INFO).map(resp),
    "INFO commandstats": infos(STATS).map(resp),
    "CONFIG GET": st.dictionaries(
        st.sampled_from([b"save", b"notify-keyspace-events", b"\xff", b"x"]),
        st.sampled_from([b"3600 1", b"", b"A", b"Egxen", b"\xff"]) | st.none() | st.integers(),
        max_size=2,
    ).map(resp),
    "TIME": st.tuples(st.integers(0, 2**40), st.integers(0, 10**6)).map(
        lambda now: resp([str(part).encode() for part in now])
    ),
    "SCAN": SCANNED,
    "TYPE": st.sampled_from(["string", "stream", "none", "hash"]).map(resp),
    "STRLEN": NUMBERS,
    "PTTL": NUMBERS,
    "MGET": st.lists(st.none() | VALUES, min_size=1, max_size=4).map(resp),
    "SCARD": NUMBERS,
    "XLEN": NUMBERS,
    "MEMORY": NUMBERS | st.just(resp(None)),
    "SUBSCRIBE": st.lists(EVENTS, max_size=6).map(b"".join),
}


class Answers(dict[str, Reply]):
    """Replies by command; too many to be shown."""

    def __repr__(self) -> str:
        return f"Answers({repr(dict(self))[:2_000]}...)"


ANSWERS = st.builds(
    lambda known, odd: Answers(known | odd),
    st.fixed_dictionaries(KNOWN),
    st.dictionaries(st.sampled_from(sorted(KNOWN)), ODD_REPLIES, max_size=3) | st.just({}),
)
BODIES: list[str] = []


@pytest.fixture(scope="module")
def redis() -> Iterator[FuzzedRedis]:
    """Serve a stub of Redis."""
    with fuzzed_redis() as server:
        yield server


@pytest.fixture
def quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tracker come back, and be waited for, without the time that an outage costs."""
    tracker = "kato_exporter.collectors.session_tracker"
    monkeypatch.setattr(f"{tracker}.reconnect_pause", lambda _: 0.01)
    monkeypatch.setattr(f"{tracker}._PATIENCE_FOR_FIRST_SCAN", 0.05)


def settings_of(redis: FuzzedRedis) -> ExporterSettings:
    """Give the settings that watch the stub."""
    return ExporterSettings(
        redis_url=f"redis://127.0.0.1:{redis.server_address[1]}/0", store_timeout=0.1
    )


@pytest.mark.usefixtures("quick_reconnects")
@examples(25)
@given(answers=st.lists(ANSWERS, min_size=1, max_size=3))
def test_any_answer(redis: FuzzedRedis, answers: list[dict[str, Reply]]) -> None:
    """No reply breaks the exposition or ends the thread that follows sessions."""
    redis.replies = answers[0]
    with fuzzed_exporter(settings_of(redis)) as exporter:
        (tracker,) = exporter.background
        tracker.start()
        try:
            for redis.replies in answers:
                looked(exporter)
                for accept in ACCEPTED:
                    exporter.scrape(accept)
        finally:
            tracker.stop()
        BODIES.extend(exporter.bodies)


def looked(exporter: FuzzedExporter) -> None:
    """Wait until the tracker has scanned, or has said that it cannot."""
    (tracker,) = exporter.background
    state: Any = tracker
    eventually(
        lambda: (
            any(entry["event"].startswith(("lost sight", "fault")) for entry in exporter.log)
            or state.state().accounts.active is not None
        ),
        within=20,
        what="the tracker has looked",
    )


@pytest.mark.usefixtures("quick_reconnects")
def test_the_recorded_answers_are_whole(redis: FuzzedRedis) -> None:
    """What is spoiled above gives a whole collection as it is."""
    assert re.search("redis_version:", INFO)
    redis.replies = {
        "PING": resp("PONG"),
        "INFO": resp(INFO.encode()),
        "INFO commandstats": resp(STATS.encode()),
        "CONFIG GET": resp({b"save": b""}),
    }
    with fuzzed_exporter(settings_of(redis)) as exporter:
        samples = exporter.scrape()
    assert 1 == samples.value("kato_exporter_collector_success", collector="redis")
    assert 7 == samples.value("kato_redis_command_calls_total", command="keys")


WHOLE: dict[str, Reply] = {
    "PING": resp("PONG"),
    "INFO": resp(INFO.encode()),
    "INFO commandstats": resp(STATS.encode()),
    "CONFIG GET": resp({b"notify-keyspace-events": b"Egxen"}),
    "TIME": resp([b"1795383353", b"0"]),
    "SCAN": resp([b"0", KEYS[:1]]),
    "TYPE": resp("string"),
    "STRLEN": resp(100),
    "PTTL": resp(60_000),
    "MGET": resp([json.dumps(RECORDS[0]).encode()]),
    "SCARD": resp(1),
    "SUBSCRIBE": b"",
}


@pytest.mark.usefixtures("quick_reconnects")
@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("SCAN", resp([b"0", [1]])),
        ("SCAN", resp([b"0", [None]])),
        ("TIME", resp([b"1795383353", None])),
        ("CONFIG GET", resp({b"notify-keyspace-events": 5})),
        ("MGET", resp([5])),
        ("SCARD", resp(b"x")),
        ("SUBSCRIBE", resp((b"message", CHANNELS[0], 7))),
        ("SUBSCRIBE", resp((b"message", CHANNELS[-1], KEYS[0]))),
        ("SUBSCRIBE", resp((b"message",))),
    ],
)
def test_an_answer_of_another_type(redis: FuzzedRedis, command: str, reply: Reply) -> None:
    """It is the store's fault, not one of ours, and nothing that follows it ends."""
    redis.replies = WHOLE | {command: reply}
    with fuzzed_exporter(settings_of(redis)) as exporter:
        (tracker,) = exporter.background
        tracker.start()
        try:
            looked(exporter)
            exporter.scrape()
            redis.replies = WHOLE
            eventually(
                lambda: (
                    1 == exporter.scrape().value("kato_sessions_active")
                    and 1
                    == exporter.scrape().value(
                        "kato_exporter_collector_success", collector="session_values"
                    )
                ),
                within=20,
                what="sessions are seen",
            )
        finally:
            tracker.stop()


def test_promtool_agrees() -> None:
    """It has nothing to say of what came out above."""
    assert_promtool_agrees(BODIES)
