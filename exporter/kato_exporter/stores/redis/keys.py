"""The keys of Redis or Valkey, for the record browser: pages of them, and what each one is."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis

from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.redis.connection import RedisConnection, redis_errors
from kato_exporter.stores.redis.locators import Locators
from kato_exporter.stores.redis.values import RedisValues

_LARGEST_STEP = 1_000
_SMALLEST_STEP = 10
_MOST_STEPS = 100
_MOST_NAME_BYTES = 1024 * 1024
_AT_ONCE = 100
_NO_EXPIRY = -1
_BUSY = "BUSY "
_MOST_FIELDS = 200
_LONGEST_FIELD = 300


@dataclass(frozen=True, slots=True)
class InfoSection:
    """A section of INFO: its title and its fields, both as the server spells them."""

    title: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAnswer:
    """What a server says of itself.

    `sections` is INFO, `keys` DBSIZE; what is refused is empty or None, and named in `lacking`.
    """

    sections: tuple[InfoSection, ...]
    keys: int | None
    lacking: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """What is known of a key without its value.

    `lifetime` is in seconds, inf for a key that does not expire; `memory` in bytes, by
    MEMORY USAGE with its samples. None for what the server refuses to tell.
    """

    name: bytes
    type: str | None
    lifetime: float | None
    memory: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPage:
    """Some keys, by name, and where the next ones are.

    `cursor` goes into the next call, 0 at the end. `looked_at` is about how many names were
    compared, of `total` that there are; `cut` says why the page has fewer keys than it could.
    """

    keys: tuple[KeyFacts, ...]
    cursor: int
    looked_at: int
    total: int | None
    cut: str | None
    lacking: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDetail:
    """A key, how the server keeps it (OBJECT ENCODING), and what is refused."""

    facts: KeyFacts
    encoding: str | None
    lacking: tuple[str, ...]


class RedisKeys:
    """The keys of the connection's database; `values` reads what they hold."""

    def __init__(self, connection: RedisConnection) -> None:
        self.values = RedisValues(connection)
        self.database = connection.database
        self.locators = Locators(connection.database)
        self._connection = connection
        self._client = connection.client

    @property
    def address(self) -> str:
        """Where the server is, without user name, password or options."""
        return self._connection.address

    def server(self) -> ServerAnswer:
        """Ask INFO and DBSIZE; raise StoreError where there is no answer at all."""
        refused = _Refused()
        info, keys = self._ask(("INFO default",), ("DBSIZE",))
        text = refused.unless("INFO", info)
        return ServerAnswer(
            sections=tuple(_sections(text)) if isinstance(text, bytes) else (),
            keys=cast("int | None", refused.unless("DBSIZE", keys)),
            lacking=refused.reasons,
        )

    def page(self, cursor: int, *, match: bytes | None = None, most: int) -> KeyPage:
        """Scan from a cursor, 0 to begin with, until there are about `most` keys.

        A step of SCAN can give more than it is asked for. `match` is a glob of Redis. There is at
        least one step, at most _MOST_STEPS, and none is begun after the connection's time limit.
        Raises QueryError where SCAN is refused.
        """
        deadline = Deadline.after(self._connection.timeout)
        names: dict[bytes, None] = {}
        looked_at, count, full = 0, most, 0.0
        for _ in range(_MOST_STEPS):
            with redis_errors():
                cursor, found = self._client.scan(cursor, match=match, count=count)
            names.update(dict.fromkeys(cast("list[bytes]", found)))
            looked_at += len(found) if match is None else count
            full = max(len(names) / most, sum(map(len, names)) / _MOST_NAME_BYTES)
            if cursor == 0 or full >= 1 or deadline.expired:
                break
            count = _next_step(full, looked_at)
        cut = self._why_cut(full, deadline) if cursor and len(names) < most else None
        return self._described(sorted(names), cursor=cursor, looked_at=looked_at, cut=cut)

    def detail(self, name: bytes) -> KeyDetail | None:
        """Describe one key; None where there is none of that name.

        Raises QueryError where TYPE is refused, without which no value can be read.
        """
        refused = _Refused()
        [facts] = self._facts([name], refused)
        [encoding] = self._ask(("OBJECT ENCODING", name))
        if facts is None:
            return None
        if facts.type is None:
            raise QueryError("; ".join(refused.reasons))
        word = _word(refused.unless("OBJECT ENCODING", encoding))
        return KeyDetail(facts=facts, encoding=word, lacking=refused.reasons)

    def _why_cut(self, full: float, deadline: Deadline) -> str:
        if full >= 1:
            return "stopped because names are very long"
        if deadline.expired:
            return f"stopped after {self._connection.timeout:g} s"
        return f"stopped after {_MOST_STEPS} steps"

    def _described(
        self, names: Sequence[bytes], *, cursor: int, looked_at: int, cut: str | None
    ) -> KeyPage:
        refused = _Refused()
        [total] = self._ask(("DBSIZE",))
        total = cast("int | None", refused.unless("DBSIZE", total))
        facts: list[KeyFacts | None] = []
        for start in range(0, len(names), _AT_ONCE):
            facts += self._facts(names[start : start + _AT_ONCE], refused)
        return KeyPage(
            keys=tuple(key for key in facts if key is not None),
            cursor=cursor,
            looked_at=looked_at if total is None else min(looked_at, total),
            total=total,
            cut=cut,
            lacking=refused.reasons,
        )

    def _facts(self, names: Sequence[bytes], refused: "_Refused") -> list[KeyFacts | None]:
        """Describe keys in one round trip; None for those that are gone."""
        questions = [
            (command, name) for name in names for command in ("TYPE", "PTTL", "MEMORY USAGE")
        ]
        answers = self._ask(*questions)
        facts: list[KeyFacts | None] = []
        for name, kind, life, memory in zip(
            names, answers[::3], answers[1::3], answers[2::3], strict=True
        ):
            if kind == b"none":
                facts.append(None)
                continue
            facts.append(
                KeyFacts(
                    name=name,
                    type=_word(refused.unless("TYPE", kind)),
                    lifetime=_lifetime(refused.unless("PTTL", life)),
                    memory=cast("int | None", refused.unless("MEMORY USAGE", memory)),
                )
            )
        return facts

    def _ask(self, *questions: tuple[str | bytes, ...]) -> list[Any]:
        """Send commands in one round trip; a refusal is an answer too.

        Raises QueryError where the server says that it answers nothing at present.
        """
        with redis_errors():
            pipeline = self._client.pipeline(transaction=False)
            for question in questions:
                pipeline.execute_command(*question)  # type: ignore[no-untyped-call]
            answers: list[Any] = pipeline.execute(raise_on_error=False)
            for answer in answers:
                if _answers_nothing(answer):
                    raise answer
            return answers


class _Refused:
    """Gathers what the server refuses, one line for each command."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    @property
    def reasons(self) -> tuple[str, ...]:
        """Give the lines."""
        return tuple(f"{command} is refused: {why}" for command, why in self._reasons.items())

    def unless(self, command: str, answer: object) -> object:
        """Give the answer, or None where it is a refusal, which is noted."""
        if not isinstance(answer, redis.exceptions.ResponseError):
            return answer
        self._reasons.setdefault(command, str(answer))
        return None


def _answers_nothing(answer: object) -> bool:
    """Tell whether a refusal is that of a busy script, or of a replica without its master."""
    return isinstance(answer, redis.exceptions.MasterDownError) or (
        isinstance(answer, redis.exceptions.ResponseError) and str(answer).startswith(_BUSY)
    )


def _word(answer: object) -> str | None:
    return answer.decode("utf-8", "backslashreplace") if isinstance(answer, bytes) else None


def _lifetime(milliseconds: object) -> float | None:
    if not isinstance(milliseconds, int):
        return None
    return math.inf if milliseconds == _NO_EXPIRY else max(0, milliseconds) / 1000


def _next_step(full: float, looked_at: int) -> int:
    """Choose how many keys to look at next, so that they fill what is left of the page.

    `full` is the share of the page that the keys looked at so far have filled. Few keys tell little
    of those that follow: so it is twice as many as so far at most.
    """
    expected = looked_at * min(2.0, (1 - full) / full if full else math.inf)
    return round(max(_SMALLEST_STEP, min(_LARGEST_STEP, expected)))


def _sections(info: bytes) -> Iterator[InfoSection]:
    """Read INFO's text: `# Title`, then lines `field:value`, then an empty line."""
    title, fields = "", list[tuple[str, str]]()
    for line in [*info.decode("utf-8", "backslashreplace").splitlines(), "# "]:
        if line.startswith("# "):
            if fields:
                yield InfoSection(title, tuple(fields[:_MOST_FIELDS]))
            title, fields = line[2:].strip(), []
        elif ":" in line:
            field, _, value = line.partition(":")
            fields.append((field, value[:_LONGEST_FIELD]))
