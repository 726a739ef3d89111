"""Changes of records of Redis, each on a condition that the server holds: WATCH, MULTI, EXEC."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kato_exporter.stores.records import Outcome
from kato_exporter.stores.redis.connection import RedisConnection
from kato_exporter.stores.redis.conversation import (
    Command,
    Reply,
    conversation,
    granted,
)

_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be done with one record, and on which condition.

    `decide` makes an outcome of the replies to the questions, or the commands that make it DONE:
    these are carried out only if nobody has touched the watched keys since before the questions.
    """

    watched: tuple[bytes, ...]
    questions: tuple[Command, ...]
    decide: Callable[[Sequence[Reply]], Outcome | list[Command]]


def carry_out(connection: RedisConnection, changes: Sequence[Change]) -> list[Outcome]:
    """Carry changes out, all in one step where nobody touches a key of theirs meanwhile.

    Else each is a step of its own, tried again a few times; what is touched all the time is
    CHANGED.
    """
    if not changes:
        return []
    outcomes = _one_step(connection, changes)
    if outcomes is not None:
        return outcomes
    return [_alone(connection, change) for change in changes]


def _alone(connection: RedisConnection, change: Change) -> Outcome:
    for _ in range(_TRIES):
        outcomes = _one_step(connection, [change])
        if outcomes is not None:
            return outcomes[0]
    return Outcome.CHANGED


def _one_step(connection: RedisConnection, changes: Sequence[Change]) -> list[Outcome] | None:
    """Give the outcomes, None where a key was touched and nothing was done."""
    with conversation(connection) as talk:
        talk.watch([key for change in changes for key in change.watched])
        replies = iter(talk.ask([question for change in changes for question in change.questions]))
        outcomes, commands = list[Outcome](), list[Command]()
        for change in changes:
            decided = change.decide([next(replies) for _ in change.questions])
            if isinstance(decided, Outcome):
                outcomes.append(decided)
            else:
                outcomes.append(Outcome.DONE)
                commands += decided
        done = talk.carry_out(commands)
    if done is None:
        return None
    for command, reply in zip(commands, done, strict=True):
        granted(str(command[0]), reply)
    return outcomes
