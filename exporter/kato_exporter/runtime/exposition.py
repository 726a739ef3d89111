"""The exposition: families in the format that the client asks for, compressed if it likes.

A family of a snapshot does not change, so it is rendered once for each format, and the time of a
scrape does not grow with the series that are as they were.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Self

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from kato_exporter.runtime.gzip_segments import Segment, gzip_of

_SAMPLES_WORTH_KEEPING = 16
_LATELY = 600.0

_Encoder = Callable[[Collector], bytes]


@dataclass(frozen=True, slots=True)
class _Families(Collector):
    """Families in the shape in which the encoders want them."""

    families: Sequence[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


@dataclass(frozen=True, slots=True)
class _Coding:
    """A content coding: what becomes of a text, and how such parts make a body."""

    name: str
    part_of: Callable[[bytes], Any]
    body_of: Callable[[Iterable[Any]], bytes]


_IDENTITY = _Coding("", bytes, b"".join)
_GZIP = _Coding("gzip", Segment.of, gzip_of)


@dataclass(frozen=True, slots=True)
class _Format:
    """A format and a coding: all that the bytes of a family depend on.

    Clients can ask for twenty at most. The version of OpenMetrics is left out, for it tells only
    in native histograms, which we have not.
    """

    media_type: str
    escaping: str
    coding: _Coding
    encode: _Encoder = field(compare=False)

    @classmethod
    def of(cls, encode: _Encoder, content_type: str, coding: _Coding) -> Self:
        """Tell an encoder's format by its content type."""
        media_type = content_type.partition(";")[0]
        escaping = content_type.rpartition("escaping=")[2]
        return cls(media_type, escaping, coding, encode)

    def part(self, *families: Metric) -> Any:
        """Render families after which others come."""
        return self.coding.part_of(self._text(families).removesuffix(self._text(())))

    def last_part(self, *families: Metric) -> Any:
        """Render families and the end of the exposition."""
        return self.coding.part_of(self._text(families))

    def _text(self, families: Sequence[Metric]) -> bytes:
        try:
            return self.encode(_Families(families))
        except Exception as fault:  # which carries the whole family, too long for a log
            fault.args = tuple(arg.name if isinstance(arg, Metric) else arg for arg in fault.args)
            raise


class _SteadyFamily(Metric):
    """A family that does not change any more, with its parts in each format asked for."""

    def __init__(self, family: Metric) -> None:
        super().__init__(family.name, family.documentation, family.type, family.unit)
        self.samples = family.samples
        self.parts: dict[_Format, Any] = {}

    def part(self, wanted: _Format) -> Any:
        """Render it, unless it has been."""
        part = self.parts.get(wanted)
        if part is None:
            part = self.parts[wanted] = wanted.part(self)
        return part


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposition:
    """A body and the headers that describe it."""

    body: bytes
    headers: dict[str, str]


class Exposer:
    """Makes expositions; families that it has prepared are rendered once for each format.

    Any number of threads may use it at once.
    """

    def __init__(self) -> None:
        self._asked_at: dict[_Format, float] = {}

    def prepare(self, families: Sequence[Metric], before: Sequence[Metric]) -> list[Metric]:
        """Make the families of a snapshot ready to be exposed, and give them.

        One that equals its like in the snapshot `before` is replaced by that, which is rendered
        already; the others are rendered now in the formats asked for in the last ten minutes.
        From now on they must not change. Those of few samples cost little and stay as they are.
        """
        known = {family.name: family for family in before}
        wanted = self._wanted()
        return [_prepared(family, known.get(family.name), wanted) for family in families]

    def expose(self, families: Iterable[Metric], *, accept: str, compress: bool) -> Exposition:
        """Encode families as OpenMetrics where `accept` has it, else as Prometheus text."""
        encode, content_type = _choose(accept)
        wanted = _Format.of(encode, content_type, _GZIP if compress else _IDENTITY)
        self._asked_at[wanted] = monotonic()
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if compress:
            headers["Content-Encoding"] = wanted.coding.name
        return Exposition(body=wanted.coding.body_of(_parts(families, wanted)), headers=headers)

    def _wanted(self) -> list[_Format]:
        """Give the formats asked for lately."""
        since = monotonic() - _LATELY
        return [each for each, at in self._asked_at.copy().items() if at > since]


def _prepared(family: Metric, old: Metric | None, wanted: Sequence[_Format]) -> Metric:
    """Give a steady family, rendered in the formats wanted and no others."""
    if len(family.samples) < _SAMPLES_WORTH_KEEPING:
        return family
    steady = old if isinstance(old, _SteadyFamily) and old == family else _SteadyFamily(family)
    steady.parts = {each: steady.part(each) for each in wanted}
    return steady


def _choose(accept: str) -> tuple[_Encoder, str]:
    """Let the client library choose, which trips over a version that is no number."""
    try:
        return choose_encoder(accept)
    except TypeError:
        return choose_encoder("")


def _parts(families: Iterable[Metric], wanted: _Format) -> Iterator[Any]:
    """Render families in a row; those between two steady ones make one part."""
    passing: list[Metric] = []
    for family in families:
        if isinstance(family, _SteadyFamily):
            if passing:
                yield wanted.part(*passing)
                passing.clear()
            yield family.part(wanted)
        else:
            passing.append(family)
    yield wanted.last_part(*passing)
