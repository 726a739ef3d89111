"""Commands to Redis that belong together: on one connection, changes as one step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis

from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.redis.connection import RedisConnection, redis_errors

Command = tuple[bytes | str | int, ...]
"""The name of a command, of one word or two, and its arguments."""

Reply = Any
"""What the server replied, in bytes and integers; a refusal is an exception among them."""


class Conversation:
    """What is said on one connection of the pool, which nobody else has meanwhile."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.at_rest = True

    def ask(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands in one go and give their replies; raise StoreError where one is missing."""
        watching, self.at_rest = not self.at_rest, False
        with redis_errors():
            self._connection.send_packed_command(self._connection.pack_commands(commands))
            replies = [self._reply() for _ in commands]
        self.at_rest = not watching
        return replies

    def watch(self, keys: Sequence[bytes]) -> None:
        """Make the next `carry_out` depend on these keys: nobody is to touch them until then.

        Raises QueryError where it is refused.
        """
        [reply] = self.ask([("WATCH", *keys)])
        granted("WATCH", reply)
        self.at_rest = False

    def carry_out(self, commands: Sequence[Command]) -> list[Reply] | None:
        """Carry commands out as one step; None where a watched key was touched, and nothing done.

        Raises QueryError where any is refused before that step, after which none is carried out.
        What goes wrong within it is among the replies.
        """
        [reply] = self.ask([("MULTI",)])
        granted("MULTI", reply)
        *queued, done = self.ask([*commands, ("EXEC",)])
        self.at_rest = not isinstance(done, redis.exceptions.NoPermissionError)
        for command, reply in zip(commands, queued, strict=True):
            granted(str(command[0]), reply)
        replies: list[Reply] | None = granted("EXEC", done)
        return replies

    def _reply(self) -> Reply:
        try:
            return self._connection.read_response()
        except redis.exceptions.ResponseError as error:
            return error


@contextmanager
def conversation(connection: RedisConnection) -> Iterator[Conversation]:
    """Take a connection of the pool for a while; one that is not at rest is closed afterwards."""
    pool = connection.client.connection_pool
    with redis_errors():
        taken = pool.get_connection()
    talk = Conversation(taken)
    try:
        yield talk
    finally:
        if not talk.at_rest:
            taken.disconnect()  # type: ignore[no-untyped-call]
        pool.release(taken)


def granted(command: str, reply: Reply) -> Reply:
    """Give a reply back, unless it is a refusal: then raise QueryError, which names the command."""
    if isinstance(reply, redis.exceptions.ResponseError):
        raise QueryError(f"{command} is refused: {reply}") from reply
    return reply


def typed(command: str, reply: Reply) -> Reply:
    """Give a reply back, None where the key has another type; raise QueryError for a refusal."""
    other_type = isinstance(reply, redis.exceptions.ResponseError) and "WRONGTYPE" in str(reply)
    return None if other_type else granted(command, reply)
