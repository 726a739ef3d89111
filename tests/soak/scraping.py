"""A scraper as Prometheus is, which looks whether the exporter contradicts itself."""

from collections.abc import Iterator

import httpx
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from soak.session_accounts import Told, imbalance
from support.exporting import RunningExporter
from support.exposition import Samples, Series

_AS_PROMETHEUS = {
    "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
    "X-Prometheus-Scrape-Timeout-Seconds": "5",
}
_PATIENCE = 60.0
_COUNTING = ("counter", "histogram")


class Counters:
    """Remembers of each counter the value that was seen last, be it absent meanwhile."""

    def __init__(self) -> None:
        self._last: dict[Series, float] = {}

    def fallen(self, values: dict[Series, float]) -> Iterator[str]:
        """Say which are lower than they were."""
        for series, value in values.items():
            before = self._last.get(series, value)
            if value < before:
                yield f"{series} went from {before} down to {value}"
        self._last |= values


class Scraper:
    """Scrapes an exporter, at whose start `start` sessions were alive.

    `blind` scrapes told of no sessions alive, as Redis could not be seen.
    """

    def __init__(self, exporter: RunningExporter, *, start: int) -> None:
        self.scrapes = 0
        self.blind = 0
        self._url = f"{exporter.url}/metrics"
        self._start = start
        self._counters = Counters()

    def scrape(self) -> None:
        """Scrape once: no counter may have fallen, and the sessions must balance."""
        answer = httpx.get(self._url, headers=_AS_PROMETHEUS, timeout=_PATIENCE, trust_env=False)
        assert httpx.codes.OK == answer.status_code, answer.text
        families = list(text_string_to_metric_families(answer.text))  # type: ignore[no-untyped-call]
        counting = Samples.of_families(each for each in families if each.type in _COUNTING)
        assert [] == list(self._counters.fallen(counting.values))
        told = Told.of(Samples.of_families(families))
        assert [] == ([] if told is None else list(imbalance(self._start, told)))
        self.scrapes += 1
        self.blind += told is None
