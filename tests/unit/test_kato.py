"""What we take KATO's names and shapes to be, against what a real KATO has written."""

import json
from pathlib import Path

import pytest
from hypothesis import given, strategies

from kato_exporter.kato.distribution import Distribution
from kato_exporter.kato.knowledge import is_pattern_name, knowledge_base_of, pattern_name
from kato_exporter.kato.sessions import born_at, looks_like_session_key, parse_session_key

RECORDED = Path(__file__).parents[1] / "fixtures" / "kato2"
KEY = b"kato:session:session-3faa148f5f0a4cb8bc1eca2cd3398ebd-1795383353898"


def test_recorded_session_keys_parse() -> None:
    """Every key of a real KATO has a handle of its own, with the birth that its JSON tells."""
    records = json.loads((RECORDED / "redis.json").read_text())
    handles = {parse_session_key(record["key"].encode()) for record in records}
    assert len(records) == len(handles - {None})
    assert born_at(parse_session_key(KEY) or pytest.fail("no handle")) == 1795383353.898


@pytest.mark.parametrize(
    "key",
    [
        b"kato:session:_active_index",
        b"kato:session:node:alice:active",
        b"kato:session:session-",
        KEY.upper(),
        KEY + b"\n",
        KEY[:-1],
        KEY + b"0",
        b"x" + KEY,
        KEY.replace(b"3faa", b"3\xc3\xa4a"),
        KEY.replace(b"1795383353898", "١٧٩٥٣٨٣٣٥٣٨٩٨".encode()),
        KEY.replace(b"-179", b"--79"),
    ],
)
def test_other_keys_have_no_handle(key: bytes) -> None:
    """A name that KATO does not make is none, however near it comes."""
    assert parse_session_key(key) is None


def test_a_session_key_is_known_by_its_beginning() -> None:
    """What claims to be a session and what does not."""
    assert looks_like_session_key(b"kato:session:session-rubbish")
    assert not looks_like_session_key(b"kato:session:_active_index")


@pytest.mark.parametrize("recording", sorted(RECORDED.glob("mongodb_*_kato.json")))
def test_recorded_patterns_have_the_names_that_we_compute(recording: Path) -> None:
    """A pattern's name is the SHA-1 of the text of its events."""
    documents = json.loads(recording.read_text())["collections"]["patterns_kb"]["documents"]
    assert documents
    for document in documents:
        assert document["name"] == pattern_name(document["pattern_data"])
        assert is_pattern_name(document["name"])


@pytest.mark.parametrize("name", [None, 7, "", "a" * 39, "A" * 40, "PTRN|" + "a" * 40, "a" * 41])
def test_what_is_no_pattern_name(name: object) -> None:
    """Only 40 lower-case hex digits are."""
    assert not is_pattern_name(name)


@pytest.mark.parametrize(
    ("node", "service", "kb"),
    [
        ("alice", "kato", "alice_kato"),
        ("project-x", "kato", "project_x_kato"),
        ('a/b\\c."$*<>:|?- d', "my-kato", "a_b_c___________d_my_kato"),
        ("[x]", "kato", "[x]_kato"),
        ("n" * 55, "kato", "n" * 55 + "_kato"),
    ],
)
def test_knowledge_bases_are_named_after_node_and_service(node: str, service: str, kb: str) -> None:
    """Characters that MongoDB does not allow become underscores."""
    assert kb == knowledge_base_of(node, service)


@given(strategies.text(min_size=56, max_size=300))
def test_long_names_are_cut_to_60_characters(node: str) -> None:
    """A digest keeps long names apart."""
    kb = knowledge_base_of(node)
    assert len(kb) == 60
    assert kb != knowledge_base_of(node + "x")


def test_a_bound_belongs_to_its_bucket() -> None:
    """`le` means less than or equal."""
    distribution = Distribution.of((1, 5), [(1, 2), (2, 1), (5, 1), (6, 4)])
    assert distribution.cumulative() == [("1.0", 2), ("5.0", 4), ("+Inf", 8)]
    assert distribution.count == 8
    assert distribution.total == 2 * 1 + 2 + 5 + 4 * 6


@pytest.mark.parametrize(("bounds", "counts"), [((1, 2), (1, 2)), ((2, 1), (0, 0, 0))])
def test_a_distribution_that_cannot_be_is_refused(
    bounds: tuple[float, ...], counts: tuple[int, ...]
) -> None:
    """Bounds ascend, and there is one count more than bounds."""
    with pytest.raises(ValueError, match="bounds"):
        Distribution(bounds, counts, 0.0)
