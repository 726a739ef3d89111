"""Reads the series of containers, which have a label that is itself called `name`."""

from support.exposition import Samples


def value_of(samples: Samples, metric: str, /, **labels: str) -> float | None:
    """Give the value of one series of `kato_container_<metric>`, None where there is none."""
    return samples.values.get((f"kato_container_{metric}", frozenset(labels.items())))
