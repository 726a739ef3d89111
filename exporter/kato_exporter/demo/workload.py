"""KATO's work on its stores: sessions that come and go, patterns learned, predictions kept.

All that is random comes from one seed and all times from one clock, so that the same seed, clock
and calls give the same stores, identities included.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId
from pymongo import InsertOne, MongoClient
from pymongo.database import Database
from qdrant_client import QdrantClient
from redis import Redis

from kato_exporter.demo import shapes
from kato_exporter.demo.shapes import Document, Emotives, Pattern
from kato_exporter.kato.knowledge import (
    METADATA,
    PATTERNS,
    PREDICTIONS,
    SYMBOLS,
    knowledge_base_of,
)

NODES = {"alice": 80, "bob": 40, "project-x": 20}
"""The nodes at work, and how often each has learned its most frequent pattern after `fill`."""

DEFAULT_RATE = 10.0
"""Steps a second."""

VECTOR_SYMBOLS = [f"VCTR|{number:040x}" for number in range(20)]
"""The vectors that every knowledge base knows."""

_PATTERNS_EACH = 40
_PREDICTIONS_EACH = 15
_SESSIONS_AT_FIRST = 12
_FEWEST_SESSIONS = 8
_MOST_SESSIONS = 60
_SHORT_TTLS = (2, 3, 4, 6)
_LONG_TTLS = (600, shapes.DEFAULT_TTL, shapes.DEFAULT_TTL)
_LONGEST_STM = 12
_MOST_EVENTS = 40
_EXPIRY_MARGIN = 1.5
_EMOTIVES = ("joy", "fear", "surprise")
_LATEST_DELAY = 1.0


@dataclass(slots=True)
class LearnedPattern:
    """A pattern as its knowledge base must hold it.

    `emotives` has one of KATO's three shapes: `{}`, a list of emotive → number with the newest
    last, or emotive → list of numbers.
    """

    pattern: Pattern
    frequency: int = 0
    emotives: list[Emotives] | dict[str, list[float]] = field(default_factory=dict)
    metadata: dict[str, list[str]] = field(default_factory=dict)
    has_emotives: bool = False


@dataclass(slots=True)
class SymbolCount:
    """How often a symbol occurred in what was learned, and in how many learnings."""

    frequency: int = 0
    pattern_member_frequency: int = 0


@dataclass(slots=True)
class KnowledgeTruth:
    """What a knowledge base must hold: patterns and symbols by name, and numbers of documents."""

    patterns: dict[str, LearnedPattern] = field(default_factory=dict)
    symbols: dict[str, SymbolCount] = field(default_factory=dict)
    predictions: int = 0

    @property
    def learnings(self) -> int:
        """How often anything was learned: the sum of all patterns' frequencies."""
        return sum(learned.frequency for learned in self.patterns.values())

    @property
    def symbol_occurrences(self) -> int:
        """The sum of all symbols' frequencies."""
        return sum(count.frequency for count in self.symbols.values())

    @property
    def symbol_memberships(self) -> int:
        """The sum of all symbols' pattern member frequencies."""
        return sum(count.pattern_member_frequency for count in self.symbols.values())


@dataclass(slots=True)
class LiveSession:
    """A session as its key must hold it, and when Redis drops it (epoch s of our clock)."""

    record: Document
    dropped_at: float


@dataclass(slots=True)
class Truth:
    """What was done to the stores, kept without reading them.

    `sessions` by id; it may still name some that have expired since: ask `live_sessions`.
    """

    created: int = 0
    deleted: int = 0
    expired: int = 0
    sessions: dict[str, LiveSession] = field(default_factory=dict)
    knowledge_bases: dict[str, KnowledgeTruth] = field(default_factory=dict)

    def expire(self, now: float) -> None:
        """Move the sessions whose time has come from the live ones to the expired."""
        gone = [
            identity for identity, session in self.sessions.items() if session.dropped_at <= now
        ]
        for identity in gone:
            del self.sessions[identity]
        self.expired += len(gone)

    def live_sessions(self, now: float) -> dict[str, Document]:
        """Give the records, by id, of the sessions that Redis still holds at a time."""
        return {
            identity: session.record
            for identity, session in self.sessions.items()
            if session.dropped_at > now
        }


class Workload:
    """Does to Redis, MongoDB and Qdrant what KATO 2 does, and keeps the truth about it.

    Errors of the stores' clients (`redis.RedisError`, `pymongo.errors.PyMongoError`) come through;
    after one the truth may be ahead of the stores by the operation that failed.
    """

    def __init__(
        self,
        redis: Redis,
        mongo: MongoClient[Document],
        qdrant: QdrantClient | None = None,
        *,
        seed: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take connected clients; `clock` gives epoch seconds. Without a seed no two runs agree."""
        self.truth = Truth()
        self._redis = redis
        self._mongo = mongo
        self._qdrant = qdrant
        self._random = random.Random(seed)  # noqa: S311 - reproducible work, not secrets
        self._clock = clock
        self._object_ids = self._random.getrandbits(40), self._random.getrandbits(24)

    def fill(self) -> None:
        """Make the knowledge bases of all `NODES`, as after some hours of work, and sessions."""
        for node, most in NODES.items():
            self._fill_knowledge_base(knowledge_base_of(node), most)
        for _ in range(_SESSIONS_AT_FIRST):
            self.create_session(ttl=self._random.choice(_LONG_TTLS))

    def run(self, wait: Callable[[float], bool], *, rate: float = DEFAULT_RATE) -> None:
        """Step `rate` times a second, until `wait`, which sleeps the seconds given, says to end."""
        if rate <= 0:
            raise ValueError(f"the rate must be more than 0 steps a second, not {rate}")
        due = time.monotonic()
        while not wait(max(0.0, due - time.monotonic())):
            self.step()
            due = max(due + 1 / rate, time.monotonic() - _LATEST_DELAY)

    def step(self) -> None:
        """Do one operation on a session, learn once, and perhaps keep a prediction."""
        self._operate_on_a_session()
        kb = self._random.choice(list(self.truth.knowledge_bases))
        self.learn(kb, self._next_to_learn(kb))
        if self._happens(0.5):
            self.predict(kb)

    def create_session(self, *, ttl: int = shapes.DEFAULT_TTL) -> str:
        """Create a session of a random node that lives `ttl` seconds, and give its id."""
        now = self._clock()
        identity = shapes.session_id(self._uuid_hex(), now)
        node = self._random.choice(list(NODES))
        record = shapes.session_record(
            identity, node, born=now, ttl=ttl, metadata={"app": self._random.choice(("demo", "x"))}
        )
        self._set_session(record, ttl, now)
        self.truth.created += 1
        return identity

    def update_session(self, identity: str) -> None:
        """Observe an event in a session: its STM grows or, when long, is learned and cleared."""
        now = self._clock()
        record = self.truth.sessions[identity].record
        if len(record["stm"]) >= _LONGEST_STM:
            record.update(stm=[], emotives_accumulator=[], metadata_accumulator=[])
        else:
            record["stm"].append(self._event())
            if self._happens(0.3):
                record["emotives_accumulator"].append(self._emotives())
        record["time"] += 1
        record["access_count"] += 2
        record["last_accessed"] = shapes.timestamp(now)
        self._set_session(record, shapes.remaining_ttl(record, now), now)

    def delete_session(self, identity: str) -> None:
        """Delete a session."""
        existed = self._redis.delete(shapes.session_key(identity))
        del self.truth.sessions[identity]
        if existed:
            self.truth.deleted += 1
        else:
            self.truth.expired += 1

    def learn(self, kb: str, learned: LearnedPattern) -> None:
        """Learn a pattern for the first time or again."""
        database = self._mongo[kb]
        for collection, writes in _by_collection(self._learning(kb, learned)).items():
            database[collection].bulk_write(writes)

    def predict(self, kb: str) -> None:
        """Keep the predictions of an observation."""
        self._mongo[kb][PREDICTIONS].bulk_write([self._prediction(kb)])

    def _fill_knowledge_base(self, kb: str, most: int) -> None:
        self.truth.knowledge_bases[kb] = KnowledgeTruth()
        self._load_processor(self._mongo[kb])
        pool = [self.new_pattern(kb) for _ in range(_PATTERNS_EACH)]
        learnings = [
            learned
            for rank, learned in enumerate(pool, start=1)
            for _ in range(max(1, most // rank))
        ]
        self._random.shuffle(learnings)
        writes = [write for learned in learnings for write in self._learning(kb, learned)]
        for collection, of_one in _by_collection(writes).items():
            self._mongo[kb][collection].bulk_write(of_one)
        for learned in self._random.sample([each for each in pool if each.has_emotives], 3):
            self._replace_emotives(kb, learned)
        self._mongo[kb][PREDICTIONS].bulk_write(
            [self._prediction(kb) for _ in range(_PREDICTIONS_EACH)]
        )

    def _load_processor(self, database: Database[Document]) -> None:
        for collection, indexes in shapes.INDEXES.items():
            if indexes:
                database[collection].create_indexes(indexes)
        database[METADATA].insert_one(shapes.totals_document(self._object_id()))
        if self._qdrant is not None:
            vectors = shapes.vector_collection(database.name)
            self._qdrant.create_collection(**vectors)
            points = [shapes.vector_point(symbol) for symbol in VECTOR_SYMBOLS]
            self._qdrant.upsert(vectors["collection_name"], points)

    def _operate_on_a_session(self) -> None:
        now = self._clock()
        self.truth.expire(now)
        lasting = [
            identity
            for identity, session in self.truth.sessions.items()
            if session.dropped_at > now + _EXPIRY_MARGIN
        ]
        if len(lasting) < _FEWEST_SESSIONS:
            operation = "create"
        else:
            create = 0 if len(lasting) >= _MOST_SESSIONS else 3
            [operation] = self._random.choices(("create", "update", "delete"), (create, 5, 2))
        if operation == "create":
            ttls = _SHORT_TTLS if self._happens(0.35) else _LONG_TTLS
            self.create_session(ttl=self._random.choice(ttls))
        elif operation == "update":
            self.update_session(self._random.choice(lasting))
        else:
            self.delete_session(self._random.choice(lasting))

    def _set_session(self, record: Document, ttl: int, now: float) -> None:
        identity = record["session_id"]
        self.truth.sessions[identity] = LiveSession(record, dropped_at=now + ttl)
        self._redis.execute_command(  # type: ignore[no-untyped-call] # setex() warns of its age
            "SETEX", shapes.session_key(identity), ttl, shapes.session_text(record)
        )

    def _next_to_learn(self, kb: str) -> LearnedPattern:
        """Choose a known pattern, each the less often the later it was learned, or make one."""
        if self._happens(0.1):
            return self.new_pattern(kb)
        known = list(self.truth.knowledge_bases[kb].patterns.values())
        rank = int(self._random.paretovariate(0.7))
        return known[min(rank, len(known)) - 1]

    def new_pattern(self, kb: str) -> LearnedPattern:
        """Make a pattern new to a knowledge base, for `learn`; most are short, few long."""
        known = self.truth.knowledge_bases[kb].patterns
        while True:
            events = min(_MOST_EVENTS, 1 + int(self._random.paretovariate(0.9)))
            pattern = Pattern([self._event() for _ in range(events)])
            if pattern.name not in known:
                learned = LearnedPattern(pattern, has_emotives=self._happens(0.5))
                known[pattern.name] = learned
                return learned

    def _learning(self, kb: str, learned: LearnedPattern) -> Iterable[tuple[str, shapes.Write]]:
        """Give the writes of one learning, with the collection of each, and enter it as done."""
        pattern = learned.pattern
        emotives = self._emotives() if learned.has_emotives else {}
        metadata = {"src": [f"['r{self._random.randrange(10)}']"]} if self._happens(0.3) else {}
        new_ids = [self._object_id() for _ in range(1 + len(set(pattern.symbols)))]
        _enter_learning(self.truth.knowledge_bases[kb], learned, emotives, metadata)
        yield (
            PATTERNS,
            shapes.learn_pattern(new_ids[0], pattern, emotives=emotives, metadata=metadata),
        )
        for write in shapes.learn_symbols(new_ids[1:], pattern, emotives=emotives):
            yield SYMBOLS, write
        yield METADATA, shapes.count_learning(pattern)

    def _replace_emotives(self, kb: str, learned: LearnedPattern) -> None:
        """Edit a pattern's emotives into an object of arrays; from then on it gets no more."""
        emotives = {name: [self._strength(), self._strength()] for name in _EMOTIVES[:2]}
        self._mongo[kb][PATTERNS].bulk_write([shapes.replace_emotives(learned.pattern, emotives)])
        learned.emotives = emotives
        learned.has_emotives = False

    def _prediction(self, kb: str) -> InsertOne[Document]:
        truth = self.truth.knowledge_bases[kb]
        truth.predictions += 1
        chosen = self._random.sample(list(truth.patterns.values()), self._random.randint(1, 3))
        together = sum(learned.frequency for learned in chosen)
        predictions = []
        for learned in chosen:
            matched = self._random.randrange(len(learned.pattern.events))
            before = [self._event() for _ in range(self._random.randrange(3))]
            predictions.append(
                shapes.prediction(
                    learned.pattern,
                    frequency=learned.frequency,
                    emotives=shapes.mean_emotives(learned.emotives),
                    observed=[*before, learned.pattern.events[matched]],
                    matched=matched,
                    probability=learned.frequency / together,
                )
            )
        document = shapes.predictions_document(self._object_id(), self._uuid_hex(), predictions)
        return InsertOne(document)

    def _event(self) -> list[str]:
        """Make an event of one to three symbols, sorted as KATO sorts them; one may repeat."""
        count = self._random.choice((1, 1, 1, 2, 3))
        return sorted(self._symbol() for _ in range(count))

    def _symbol(self) -> str:
        if self._happens(0.03):
            return VECTOR_SYMBOLS[self._random.randrange(len(VECTOR_SYMBOLS))]
        return f"{self._random.choice('abcdefgh')}{self._random.randrange(4)}"

    def _emotives(self) -> Emotives:
        names = _EMOTIVES[: self._random.randint(1, len(_EMOTIVES))]
        return {name: self._strength() for name in names}

    def _strength(self) -> float:
        return self._random.uniform(0.1, 1.0)

    def _happens(self, probability: float) -> bool:
        return self._random.random() < probability

    def _uuid_hex(self) -> str:
        return uuid.UUID(int=self._random.getrandbits(128), version=4).hex

    def _object_id(self) -> ObjectId:
        """Make an id as MongoDB's drivers do: 4 bytes of time, 5 of the process, 3 of a counter."""
        process, counter = self._object_ids
        self._object_ids = process, (counter + 1) % (1 << 24)
        born = int(self._clock())
        return ObjectId(
            born.to_bytes(4, "big") + process.to_bytes(5, "big") + counter.to_bytes(3, "big")
        )


def _enter_learning(
    truth: KnowledgeTruth,
    learned: LearnedPattern,
    emotives: Emotives,
    metadata: dict[str, list[str]],
) -> None:
    learned.frequency += 1
    if emotives:
        window = learned.emotives if isinstance(learned.emotives, list) else []
        learned.emotives = [*window, emotives][-shapes.EMOTIVES_WINDOW :]
    for key, values in metadata.items():
        kept = learned.metadata.setdefault(key, [])
        kept.extend(value for value in values if value not in kept)
    for symbol in learned.pattern.symbols:
        truth.symbols.setdefault(symbol, SymbolCount()).frequency += 1
    for symbol in set(learned.pattern.symbols):
        truth.symbols[symbol].pattern_member_frequency += 1


def _by_collection(
    writes: Iterable[tuple[str, shapes.Write]],
) -> dict[str, list[Any]]:
    """Sort writes by collection; both the collections and each one's writes keep their order."""
    sorted_out: dict[str, list[Any]] = {}
    for collection, write in writes:
        sorted_out.setdefault(collection, []).append(write)
    return sorted_out
