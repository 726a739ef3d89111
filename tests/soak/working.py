"""The demo's workload in a thread of its own, which can be held between two steps."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kato_exporter.demo.workload import Truth, Workload


class Working:
    """A workload that is done `rate` times a second; `run` is for a thread.

    `steps` have been begun, and the longest took `longest_step` seconds.
    """

    def __init__(self, workload: Workload, *, rate: float) -> None:
        self.steps = 0
        self.longest_step = 0.0
        self._workload = workload
        self._rate = rate
        self._may_go_on = threading.Event()
        self._at_work = threading.Lock()

    def truth(self) -> Truth:
        """Give what has been done, while the work is held or has not begun."""
        self._workload.truth.expire(time.time())
        return self._workload.truth

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the work between two steps; sessions go on to expire."""
        self._may_go_on.clear()
        with self._at_work:
            try:
                yield
            finally:
                self._may_go_on.set()

    def run(self, ending: threading.Event) -> None:
        """Work until the end."""
        began = time.monotonic()

        def wait(seconds: float) -> bool:
            nonlocal began
            self.longest_step = max(self.longest_step, time.monotonic() - began)
            self._at_work.release()
            ending.wait(seconds)
            self._may_go_on.wait()
            self._at_work.acquire()
            self.steps += 1
            began = time.monotonic()
            return ending.is_set()

        self._may_go_on.set()
        with self._at_work:
            self._workload.run(wait, rate=self._rate)
