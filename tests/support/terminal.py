"""A shell that believes that somebody sits before it."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

_SECONDS = 60.0
_CHUNK = 65_536
_BELL = "\a"


class Terminal:
    """A program on a terminal of its own; a context manager that leaves no process behind."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        """Start it."""
        self.said = ""
        self._ours, theirs = pty.openpty()
        with ExitStack() as undo:
            undo.callback(os.close, theirs)
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def type(self, keys: str) -> None:
        """Press keys, and forget what was said before."""
        self.said = ""
        os.write(self._ours, keys.encode())

    def until(self, text: str) -> str:
        """Wait until it has said something, and give all that it said since keys were pressed."""
        give_up_at = time.monotonic() + _SECONDS
        while text not in self.said:
            left = give_up_at - time.monotonic()
            assert left > 0, f"it did not say {text!r} but {self.said!r}"
            if select.select([self._ours], [], [], left)[0]:
                heard = os.read(self._ours, _CHUNK).decode(errors="replace")
                self.said += heard.replace(_BELL, "")
        return self.said
