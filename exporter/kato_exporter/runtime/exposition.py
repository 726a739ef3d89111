"""The exposition: families in the format that the client asks for, compressed if it likes."""

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

_GZIP_LEVEL = 5


@dataclass(frozen=True, slots=True)
class _Families(Collector):
    """Families in the shape in which the encoders want them."""

    families: Sequence[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposition:
    """A body and the headers that describe it."""

    body: bytes
    headers: dict[str, str]


def expose(families: Sequence[Metric], *, accept: str, compress: bool) -> Exposition:
    """Encode families as OpenMetrics where `accept` has it, else as Prometheus text."""
    encode, content_type = choose_encoder(accept)
    body = encode(_Families(families))
    headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
    if compress:
        body = gzip.compress(body, _GZIP_LEVEL)
        headers["Content-Encoding"] = "gzip"
    return Exposition(body=body, headers=headers)
