"""Families, and the exposition that is made of them."""

import gzip
import math

import pytest
from hypothesis import given, strategies
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from kato_exporter.collectors.collector import most_series
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.collectors.selection import OTHER, Selection
from kato_exporter.kato.distribution import Distribution
from kato_exporter.runtime.exposition import Exposer

GAUGE = Family(name="kato_x", kind=Kind.GAUGE, help="X.", labels=("kb", "other"))
COUNTER = Family(name="kato_x_total", kind=Kind.COUNTER, help="X.")
INFO = Family(name="kato_x_info", kind=Kind.INFO, help="X.", labels=("version",))
HISTOGRAM = Family(name="kato_x", kind=Kind.HISTOGRAM, help="X.", labels=("kb",), bounds=(1, 2.5))
GAUGE_HISTOGRAM = Family(
    name="kato_x", kind=Kind.GAUGE_HISTOGRAM, help="X.", labels=("kb",), bounds=(1, 2.5)
)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def text_of(*metrics: object, accept: str = "") -> str:
    """Expose families as text."""
    return Exposer().expose(metrics, accept=accept, compress=False).body.decode()  # type: ignore[arg-type]


def test_unknown_values_make_no_sample() -> None:
    """None and NaN are absent, 0 is not."""
    rows: list[tuple[tuple[str, str], float | None]] = [
        (("a", ""), None),
        (("b", ""), math.nan),
        (("c", ""), 0),
    ]
    assert [sample.labels["kb"] for sample in GAUGE.samples(rows).samples] == ["c"]


def test_a_counter_is_exposed_with_its_suffix_once() -> None:
    """Both formats spell the sample as the declaration does."""
    for accept in ("", OPENMETRICS):
        assert "\nkato_x_total 3.0\n" in text_of(COUNTER.sample(3), accept=accept)


@pytest.mark.parametrize("kind", [Kind.COUNTER, Kind.INFO])
def test_a_name_without_its_suffix_is_refused(kind: Kind) -> None:
    """The declaration carries the name that queries use."""
    with pytest.raises(ValueError, match="kato_x"):
        Family(name="kato_x", kind=kind, help="X.")


def test_distributions_are_histograms_to_both_formats() -> None:
    """Buckets are cumulative, and count and sum are there under the names of their type."""
    found = Distribution.of((1, 2.5), [(1, 2), (2, 1), (9, 1)])
    text = text_of(GAUGE_HISTOGRAM.distributions([(("a",), found)]))
    assert '# TYPE kato_x histogram\nkato_x_bucket{kb="a",le="1.0"} 2.0\n' in text
    assert '\nkato_x_bucket{kb="a",le="2.5"} 3.0\nkato_x_bucket{kb="a",le="+Inf"} 4.0\n' in text
    assert '\nkato_x_gcount{kb="a"} 4.0\n' in text
    assert '\nkato_x_gsum{kb="a"} 13.0\n' in text
    text = text_of(HISTOGRAM.distributions([(("a",), found)]), accept=OPENMETRICS)
    assert '\nkato_x_count{kb="a"} 4.0\nkato_x_sum{kb="a"} 13.0\n' in text


def test_sums_add_up_equals_and_keep_the_unknown_unknown() -> None:
    """A sum with an unknown part is absent."""
    family = Family(name="kato_x", kind=Kind.GAUGE, help="X.", labels=("kb",))
    metric = family.sums(
        [(("a",), 1), (("other",), 2), (("other",), 3), (("b",), None), (("b",), 1)]
    )
    assert {s.labels["kb"]: s.value for s in metric.samples} == {"a": 1, "other": 5}


@given(
    strategies.lists(
        strategies.tuples(strategies.text(), strategies.text(), strategies.floats()),
        max_size=10,
        unique_by=lambda row: (
            row[0].encode("utf-8", "backslashreplace"),
            row[1].encode("utf-8", "backslashreplace"),
        ),
    )
)
def test_whatever_the_labels_hold_the_exposition_parses(
    rows: list[tuple[str, str, float]],
) -> None:
    """Hostile label values come back as they were, except for lone surrogates."""
    metric = GAUGE.samples(((kb, other), value) for kb, other, value in rows)
    text = text_of(metric, accept=OPENMETRICS)
    parsed = list(parse_openmetrics(text))  # type: ignore[no-untyped-call]
    found = [(s.labels["kb"], s.labels["other"], s.value) for f in parsed for s in f.samples]
    assert found == [
        (
            kb.encode("utf-8", "backslashreplace").decode(),
            other.encode("utf-8", "backslashreplace").decode(),
            value,
        )
        for kb, other, value in rows
        if not math.isnan(value)
    ]


def test_gzip_holds_the_same_body() -> None:
    """Compression is said in the headers and undone by any client."""
    plain = Exposer().expose([COUNTER.sample(1)], accept="", compress=False)
    compressed = Exposer().expose([COUNTER.sample(1)], accept="", compress=True)
    assert plain.body == gzip.decompress(compressed.body)
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert next(iter(parse_text(plain.body.decode()))).samples[0].value == 1


def test_the_worst_case_counts_every_series() -> None:
    """A histogram counts its buckets, +Inf, count and sum for each set of label values."""
    limits = {"kb": 10, "other": 3}
    assert most_series([GAUGE], limits) == 30
    assert most_series([COUNTER, INFO], limits) == 2
    assert most_series([HISTOGRAM], limits) == 10 * 5


def test_a_selection_keeps_what_it_kept_before() -> None:
    """A new name that sorts first does not push out an old one."""
    selection = Selection(2)
    assert selection.of(["b", "c"]) == {"b", "c"}
    assert selection.of(["a", "b", "c"]) == {"b", "c"}
    assert selection.of(["a", "c"]) == {"a", "c"}


def test_a_name_like_the_rest_is_never_kept() -> None:
    """A knowledge base called `other` cannot be taken for the sum of the rest."""
    assert selection_of([OTHER, "a"]) == {"a"}


def selection_of(names: list[str]) -> frozenset[str]:
    """Select from names without a past."""
    return Selection(5).of(names)


def test_labels_that_look_alike_make_one_series() -> None:
    """A lone surrogate is spelled as somebody else may have spelled a name."""
    family = Family(name="kato_x", kind=Kind.GAUGE, help="X.", labels=("kb",))
    rows: list[tuple[tuple[str, ...], float | None]] = [(("\ud800",), 1), (("\\ud800",), 2)]
    assert [("\\ud800", 1)] == [
        (sample.labels["kb"], sample.value) for sample in family.samples(rows).samples
    ]
    assert [("\\ud800", 3)] == [
        (sample.labels["kb"], sample.value) for sample in family.sums(rows).samples
    ]
