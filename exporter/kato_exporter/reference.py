"""Makes docs/metrics.md and docs/settings.md from the code: `python -m kato_exporter.reference`."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kato_exporter.browser.metrics import FAMILIES as BROWSER_FAMILIES
from kato_exporter.collectors.containers import ContainersCollector
from kato_exporter.collectors.family import Family
from kato_exporter.collectors.kato_api import KatoApiCollector
from kato_exporter.collectors.knowledge import KnowledgeCollector
from kato_exporter.collectors.mongodb import MongoCollector
from kato_exporter.collectors.patterns import PatternLengthsCollector, PatternsCollector
from kato_exporter.collectors.qdrant import QdrantCollector
from kato_exporter.collectors.redis import RedisCollector
from kato_exporter.collectors.redis_streams import RedisStreamsCollector
from kato_exporter.collectors.session_values import SessionValuesCollector
from kato_exporter.collectors.sessions import SessionsCollector
from kato_exporter.runtime.self_metrics import FAMILIES as SELF_FAMILIES
from kato_exporter.settings import BrowserSettings, ExporterSettings, Settings, Spec, specs

_SUBJECTS: Sequence[tuple[str, str, Sequence[Family]]] = (
    (
        "Sessions",
        "Collector `sessions`, from Redis: kept by keyspace events, a scrape asks nothing.",
        SessionsCollector.families,
    ),
    (
        "Session records",
        "Collector `session_values`, from Redis, every `KATO_SESSIONS_INTERVAL`.",
        SessionValuesCollector.families,
    ),
    (
        "Redis server",
        "Collector `redis`, from `INFO`, on the scrape. A field that is not there makes no series.",
        RedisCollector.families,
    ),
    (
        "Redis streams",
        "Collector `redis_streams`, from a scan of Redis, every `KATO_REDIS_STREAMS_INTERVAL`.",
        RedisStreamsCollector.families,
    ),
    (
        "MongoDB server",
        (
            "Collector `mongodb`, from `serverStatus` and `replSetGetStatus`, on the scrape. What "
            "the server does not have makes no series, nor does what the account may not ask."
        ),
        MongoCollector.families,
    ),
    (
        "Knowledge bases",
        "Collector `knowledge`, from MongoDB's metadata, every `KATO_KNOWLEDGE_INTERVAL`.",
        KnowledgeCollector.families,
    ),
    (
        "Patterns",
        "Collector `patterns`, from scans of MongoDB, every `KATO_PATTERNS_INTERVAL`.",
        PatternsCollector.families,
    ),
    (
        "Lengths of patterns",
        (
            "Collector `pattern_lengths`, from scans of MongoDB, every `KATO_PATTERNS_INTERVAL`. "
            "KATO has no index on `length`: `db.patterns_kb.createIndex({length: 1})` makes the "
            "scan cheap."
        ),
        PatternLengthsCollector.families,
    ),
    (
        "Qdrant",
        (
            "Collector `qdrant`, from Qdrant's REST API, every `KATO_QDRANT_INTERVAL`. Qdrant has "
            "metrics of its own, see [qdrant.md](qdrant.md)."
        ),
        QdrantCollector.families,
    ),
    (
        "KATO's API",
        (
            "Collector `kato_api`, every `KATO_API_INTERVAL`. Of several workers any may "
            "answer, so these values jump; see [kato-api.md](kato-api.md)."
        ),
        KatoApiCollector.families,
    ),
    (
        "Containers",
        "Collector `containers`, from Docker's API on the scrape, and by the engine's events.",
        ContainersCollector.families,
    ),
    (
        "The exporter itself",
        "On every scrape, besides `process_*` and `python_*` of the Prometheus client library.",
        SELF_FAMILIES,
    ),
    (
        "The record browser",
        "At `/metrics` of `kato-exporter browse`, besides `process_*` and `python_*`.",
        BROWSER_FAMILIES,
    ),
)

_METRICS_HEAD = """\
# Metrics

Made from the code by `make docs`.

What is unknown is absent, never 0: a store that is not configured has no series at all, and one
that is down has `kato_store_up` 0 and none of its other series. Distributions are gauge
histograms: `_bucket`, `_gcount` and `_gsum` can go down, so use them without `rate`, as in
`histogram_quantile(0.9, kato_pattern_frequency_distribution_bucket)`.
"""

_SETTINGS_HEAD = """\
# Settings

Made from the code by `make docs`.

Each setting has one name in three spellings: a flag, an environment variable, and a place in the
TOML file that `--config-file` or `KATO_CONFIG_FILE` names. A flag wins over the environment, and
the environment over the file. A secret has a twin that names a file with its value:
`KATO_REDIS_URL_FILE`, `--redis-url-file`, `url_file` under `[redis]`.

A duration is a number with `ms`, `s`, `m` or `h`; without a unit it is in seconds.
"""


def metrics_page() -> str:
    """Give docs/metrics.md."""
    return "\n".join([_METRICS_HEAD, *(_subject(*subject) for subject in _SUBJECTS)])


def settings_page() -> str:
    """Give docs/settings.md."""
    shared = {spec.name for spec in specs(Settings)}
    return "\n".join(
        [
            _SETTINGS_HEAD,
            *_settings_table("Of exporter and browser", specs(Settings)),
            *(
                line
                for title, settings in (
                    ("Of the exporter (`serve`, `check`)", ExporterSettings),
                    ("Of the record browser (`browse`)", BrowserSettings),
                )
                for line in _settings_table(
                    title, (spec for spec in specs(settings) if spec.name not in shared)
                )
            ),
        ]
    )


def _settings_table(title: str, rows: Iterable[Spec]) -> Iterator[str]:
    yield from (f"## {title}", "", "| environment | flag | file | default | what it is |")
    yield "|---|---|---|---|---|"
    for spec in rows:
        cells = (f"`{spec.variable}`", f"`{spec.flag}`", _place(spec), _default(spec), spec.help)
        yield f"| {' | '.join(cells)} |"
    yield ""


def _subject(title: str, text: str, families: Sequence[Family]) -> str:
    return "\n".join([f"## {title}", "", text, "", *_family_rows(families), ""])


def _family_rows(families: Sequence[Family]) -> Iterator[str]:
    yield "| metric | type | labels | what it is |"
    yield "|---|---|---|---|"
    for family in families:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        yield f"| `{family.name}` | {family.kind} | {labels} | {family.help} |"


def _place(spec: Spec) -> str:
    table, key = spec.place
    return f"`[{table}] {key}`" if table else f"`{key}`"


def _default(spec: Spec) -> str:
    default = spec.given_default
    if default is None:
        return ""
    return f"`{str(default).lower()}`" if isinstance(default, bool) else f"`{default}`"


def main() -> None:
    """Write both pages into the directory that the command line names."""
    directory = Path(sys.argv[1])
    (directory / "metrics.md").write_text(metrics_page(), encoding="utf-8")
    (directory / "settings.md").write_text(settings_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
