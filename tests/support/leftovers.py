"""What a process holds of the system: threads, open files and sockets."""

from dataclasses import dataclass
from typing import Self

import psutil


@dataclass(frozen=True, slots=True)
class Held:
    """How many threads, and how many open files with the sockets among them."""

    threads: int = 0
    files: int = 0

    @classmethod
    def by(cls, process: psutil.Process) -> Self:
        """Count what a process holds now."""
        return cls(process.num_threads(), process.num_fds())

    def most(self, other: Self) -> Self:
        """Give the greater number of each."""
        return type(self)(max(self.threads, other.threads), max(self.files, other.files))
