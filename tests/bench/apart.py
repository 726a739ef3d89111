"""Measures a part in a process of its own, which nothing else disturbs and which can be ended."""

import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import FrameType
from typing import TypeVar

import pytest

from bench.figures import Section
from bench.parts import Part, PartFailedError, Scale, Tell

_END_SECONDS = 60.0

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why there is no section: the last line of the trace, and the whole of it."""

    reason: str
    trace: str


def measure_apart(part: Part, scale: Scale, tell: Tell) -> Section:
    """Measure a part; `PartFailedError` when it fails, ends, or takes beyond its limit.

    Whichever it is, its process has ended, and with it what it had started.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(part, scale, sender))
    process.start()
    sender.close()
    limit = part.limit(scale)
    give_up = time.monotonic() + limit
    try:
        while receiver.poll(max(0.0, give_up - time.monotonic())):
            match receiver.recv():
                case Section() as section:
                    process.join(_END_SECONDS)
                    return section
                case _Failure(reason, trace):
                    print(trace, file=sys.stderr)  # noqa: T201 - where the command tells faults
                    raise PartFailedError(reason)
                case step:
                    tell(step)
    except EOFError:
        raise PartFailedError("its process has ended") from None
    finally:
        process.terminate()
        process.join(_END_SECONDS)
        process.kill()
        receiver.close()
    raise PartFailedError(f"it took more than {limit:.0f} s")


def call_apart(work: Callable[[], Result]) -> Result:
    """Give what a function of a module gives in a process without a past."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(work)


def _work(part: Part, scale: Scale, channel: "Connection[object, object]") -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us ends us
    signal.signal(signal.SIGTERM, _leave)
    with channel:
        try:
            channel.send(part.measure(scale, channel.send))
        except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:  # noqa: BLE001 - each is told
            reason = "".join(traceback.format_exception_only(error)).strip()
            channel.send(_Failure(reason.splitlines()[0], traceback.format_exc()))


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(1)
