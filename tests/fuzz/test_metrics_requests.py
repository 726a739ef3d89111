"""Anything asked of /metrics: 200 or 400, and always in the type that the answer names."""

import gzip
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from kato_exporter.collectors.collector import Collection
from kato_exporter.collectors.family import Family, Kind
from kato_exporter.kato.distribution import Distribution
from kato_exporter.runtime.runner import Runner
from kato_exporter.runtime.web import create_app
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import StoreError
from kato_exporter.stores.store import StoreReport
from support.exposition import Samples
from support.fuzzed_exporter import checked_exposition
from support.fuzzing import ODD_NUMBERS, ODD_TEXTS, TEXTS, examples

GAUGE = Family(name="kato_x", kind=Kind.GAUGE, help='An "x"\n\\.', labels=("kb",))
COUNTER = Family(name="kato_y_total", kind=Kind.COUNTER, help="A y.", labels=("kb",))
INFO = Family(name="kato_z_info", kind=Kind.INFO, help="A z.", labels=("version",))
LENGTHS = Family(
    name="kato_length", kind=Kind.GAUGE_HISTOGRAM, help="L.", labels=("kb",), bounds=(1, 2.5)
)


class Store:
    """A store that is up."""

    name = "mongodb"
    address = "mongodb://example"

    def probe(self, deadline: Deadline) -> None:
        """Answer."""

    def report(self) -> StoreReport:
        """Name a version."""
        return StoreReport(version="1")

    def close(self) -> None:
        """Have nothing to give back."""


class Hostile:
    """A collector whose labels have everything that must be escaped."""

    store = "mongodb"
    families = (GAUGE, COUNTER, INFO, LENGTHS)
    label_limits: dict[str, int] = {}  # noqa: RUF012 - as the protocol has it
    skip_reasons = ("odd",)

    def __init__(self, name: str, *, fails: bool = False) -> None:
        self.name = name
        self._fails = fails

    def collect(self, deadline: Deadline) -> Collection:
        """Give a family of each kind, or fail."""
        if self._fails or deadline.expired:
            raise StoreError("no answer")
        kbs = [text for text in ODD_TEXTS if text != "\ud800"]
        found = Distribution.of((1, 2.5), [(1, 2), (9, 1)])
        return Collection(
            families=[
                GAUGE.samples(((kb,), 1.5) for kb in kbs),
                COUNTER.samples(((kb,), 2) for kb in kbs),
                INFO.samples([(("1\n2",), 1)]),
                LENGTHS.distributions(((kb,), found) for kb in kbs),
            ],
            skipped={"odd": 1},
        )


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    """Give a client of an exporter with three collectors, one of which fails."""
    with capture_logs():
        runner = Runner(
            [Store()],
            [Hostile("knowledge"), Hostile("patterns", fails=True)],
            intervals={},
            load_share=1,
        )
        runner.start()
        yield create_app(runner).test_client()
        runner.stop()


NUMBERS = st.sampled_from(ODD_NUMBERS).map(str) | st.floats().map(str)
HEADER_TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30)
MEDIA = st.sampled_from(
    ["text/plain", "application/openmetrics-text", "*/*", "text/*", "text/html", "x", "",
     "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"]
)  # fmt: skip
PARAMETERS = st.builds(
    "{}={}".format,
    st.sampled_from(["version", "q", "escaping", "charset", "encoding", ""]),
    NUMBERS
    | st.sampled_from(
        ["0.0.4", "1.0.0", "0.0.1", "2.0.0", "1", "1.x", "..", "allow-utf-8", "underscores", "dots",
         "values", "nothing", '"', "1.0.0.0", "-1.0.0", "\xb2.0.0"]
    ),
)  # fmt: skip
RANGES = st.builds(
    lambda media, parameters: ";".join([media, *parameters]),
    MEDIA | HEADER_TEXTS,
    st.lists(PARAMETERS, max_size=4),
)
ACCEPTED = st.lists(RANGES, max_size=4).map(",".join)
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["collect[]", "collect[]", "collect", "name[]", "format"]) | TEXTS,
        st.sampled_from(["knowledge", "patterns", "knowledge,patterns", "*"]) | TEXTS,
    ),
    max_size=4,
)
HEADERS = st.fixed_dictionaries(
    {"Accept": ACCEPTED},
    optional={
        "X-Prometheus-Scrape-Timeout-Seconds": NUMBERS | HEADER_TEXTS,
        "Accept-Encoding": st.sampled_from(["gzip", "gzip;q=0", "identity", "*", "br, gzip;q=x"])
        | HEADER_TEXTS,
        "Content-Length": st.sampled_from(["0", "-1", "x"]),
        "Cookie": HEADER_TEXTS,
    },
)


@examples(100)
@given(query=QUERIES, headers=HEADERS)
def test_any_question(
    client: FlaskClient, query: list[tuple[str, str]], headers: dict[str, str]
) -> None:
    """An exposition in the type that is named, or a line that names the collectors there are."""
    asked = urlencode([(_bytes(name), _bytes(value)) for name, value in query])
    with capture_logs() as log:
        answer = client.get(f"/metrics?{asked}", headers=headers)
    assert [] == [entry for entry in log if entry["log_level"] in {"error", "critical"}]
    named = {value for name, value in query if name == "collect[]"}
    if named <= {"knowledge", "patterns"}:
        assert 200 == answer.status_code
        impatient = "X-Prometheus-Scrape-Timeout-Seconds" in headers
        _assert_shown(samples_of(answer), named or {"knowledge", "patterns"}, impatient=impatient)
    else:
        assert 400 == answer.status_code
        assert answer.text.endswith("no such collector; there are: knowledge, patterns\n")
        assert answer.content_type.startswith("text/plain")
    assert "nosniff" == answer.headers["X-Content-Type-Options"]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def samples_of(answer: Any) -> Samples:
    """Unpack and read an exposition."""
    body = answer.get_data()
    if answer.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    return checked_exposition(body.decode(), answer.content_type)


def _assert_shown(samples: Samples, named: set[str], *, impatient: bool = False) -> None:
    succeeded = samples.by("collector", "kato_exporter_collector_success")
    assert named == succeeded.keys()
    assert 0 == succeeded.get("patterns", 0)
    up = samples.by("store", "kato_store_up")
    assert up == {"mongodb": 1} or (impatient and up == {"mongodb": 0})


@examples(60)
@given(
    path=st.sampled_from(
        ["/", "/metrics", "/-/ready", "/-/healthy", "/static/x", "/x", "/metrics/"]
    )
    | TEXTS.map(lambda text: "/" + text.encode("utf-8", "replace").decode()),
    method=st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "TRACE", "X"]),
)
def test_any_path_and_method(client: FlaskClient, path: str, method: str) -> None:
    """What is not there, or not that way, is refused."""
    answer = client.open(path, method=method)
    assert answer.status_code in {200, 308, 404, 405}
    assert answer.content_type
    assert "X-Content-Type-Options" in answer.headers
