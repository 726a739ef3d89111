"""Pictures of vectors, names of points and collections, and Qdrant's answers on points."""

import math
import re
import uuid
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kato_exporter.browser.qdrant.vector_picture import vector_picture
from kato_exporter.kato.vectors import (
    is_vector_symbol,
    knowledge_base_of_collection,
    point_of_symbol,
)
from kato_exporter.stores.errors import QueryError
from kato_exporter.stores.qdrant.answers import (
    PointVector,
    collection_description,
    listed_points,
    queried_points,
    scrolled_points,
)
from kato_exporter.stores.qdrant.names import PointId, collection_path, is_point_id, point_id

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
COMPONENTS = st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=1500)
BAR = re.compile(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)h-[\d.]+z")
HYPHENATED = "936da01f-9abd-4d9d-80c7-02af85c822a8"


def bars(components: Sequence[float | None]) -> list[tuple[float, float, float]]:
    """Give the bars of a picture: left, top, and height; the middle is at 40."""
    picture = vector_picture(components)
    assert picture is not None
    drawn = ET.fromstring(picture.svg)[1].attrib["d"]  # noqa: S314 - our own
    found = BAR.findall(drawn)
    assert drawn == "".join(f"M{left} {top}h{w}v{height}h-{w}z" for left, top, w, height in found)
    return [(float(left), float(top), float(height)) for left, top, _, height in found]


def test_components_are_bars_around_zero() -> None:
    """The largest has full height, upwards or downwards."""
    assert [(0.0, 20.0, 20.0), (32.0, 40.0, 40.0), (64.0, 40.0, 0.0)] == bars([1.0, -2.0, 0.0])


def test_many_components_share_bars_and_no_peak_is_lost() -> None:
    """A bar spans from the least to the greatest of its components, and zero."""
    components = [0.0] * 1024
    components[1] = 4.0
    components[2] = -2.0
    found = bars(components)
    assert 256 == len(found)
    assert [(0.0, 0.0, 60.0)] == found[:1]
    assert {0.0} == {height for _, _, height in found[1:]}


def test_a_picture_says_how_it_is_to_be_read() -> None:
    """To those who do not see it, too."""
    few = vector_picture([1.0, -2.5])
    many = vector_picture([1.0] * 65_536)
    assert few is not None
    assert many is not None
    assert "2 components as bars around zero; full height is 2.5" == few.note
    assert many.note.startswith("65,536 components as 256 bars around zero, each from the least")
    assert 'role="img"' in few.svg
    assert f'aria-label="{few.note}"' in few.svg


@pytest.mark.parametrize("components", [[], [None], [None] * 1000])
def test_nothing_is_not_drawn(components: list[float | None]) -> None:
    """A picture of nothing would be taken for one of zeros."""
    assert vector_picture(components) is None


@given(COMPONENTS)
def test_any_vector_is_drawn_within_its_frame(components: list[float | None]) -> None:
    """With attributes alone, and never too many bars."""
    picture = vector_picture(components)
    if picture is None:
        assert all(component is None for component in components)
        return
    assert "style" not in picture.svg
    assert "nan" not in picture.svg
    width = int(ET.fromstring(picture.svg).attrib["width"])  # noqa: S314 - our own
    found = bars(components)
    assert len(found) <= 256
    for left, top, height in found:
        assert 0 <= left < width <= 1024
        assert 0 <= top <= 40 <= top + height + 0.1 <= 80.3


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        ("0", 0),
        ("00042", 42),
        (str(2**64 - 1), 2**64 - 1),
        (str(2**64), None),
        ("9" * 21, None),
        ("-1", None),
        ("+1", None),
        ("1.0", None),
        ("\u0661", None),
        ("", None),
        (HYPHENATED, HYPHENATED),
        (HYPHENATED.upper(), HYPHENATED),
        (HYPHENATED.replace("-", ""), HYPHENATED),
        ("1" * 32, str(uuid.UUID("1" * 32))),
        (f"urn:uuid:{HYPHENATED}", HYPHENATED),
        (f"{{{HYPHENATED}}}", HYPHENATED),
        (f"{{{HYPHENATED}", None),
        (HYPHENATED[:-1], None),
        (f"{HYPHENATED}\n", None),
        ("936-da01f9abd4d9d80c702af85c822a8", None),
    ],
)
def test_an_id_is_read_in_every_spelling_of_qdrant(spelled: str, expected: PointId | None) -> None:
    """Integers of 64 bits, and UUIDs with or without hyphens, braces and `urn:uuid:`."""
    assert expected == point_id(spelled)


@given(st.integers(0, 2**64 - 1) | st.uuids().map(str))
def test_an_id_of_an_answer_is_read_back(found: PointId) -> None:
    """From a URL, the very same."""
    assert is_point_id(found)
    assert found == point_id(str(found))


@pytest.mark.parametrize("odd", [True, -1, 2**64, 1.0, None, "x", "7", HYPHENATED.upper(), []])
def test_what_is_no_id_is_none(odd: Any) -> None:
    """Qdrant answers with integers, and UUIDs in lower case with hyphens."""
    assert not is_point_id(odd)


def test_a_symbol_leads_to_the_point_that_kato_3_writes() -> None:
    """The UUID was made by hand: SHA-1 of the namespace of DNS and the symbol, version 5."""
    symbol = "VCTR|0123456789abcdef0123456789abcdef01234567"
    assert is_vector_symbol(symbol)
    assert "6f1d4940-5f20-54f5-b38e-f46df02d9d0f" == point_of_symbol(symbol)
    for odd in (
        "VCTR|",
        symbol.upper(),
        symbol[5:],
        f"{symbol}\n",
        f"{symbol}0",
        "PTRN|" + "0" * 40,
    ):
        assert not is_vector_symbol(odd)


@pytest.mark.parametrize(
    ("collection", "kb"),
    [
        ("vectors_alice_kato", "alice_kato"),
        ("vectors_vectors_x", "vectors_x"),
        ("vectors_", None),
        ("alice_kato", None),
        ("Vectors_a", None),
        ("", None),
    ],
)
def test_a_collection_names_its_knowledge_base(collection: str, kb: str | None) -> None:
    """By KATO's prefix."""
    assert kb == knowledge_base_of_collection(collection)


@pytest.mark.parametrize("name", ["", ".", "..", "a" * 256])
def test_a_name_that_no_collection_has_makes_no_path(name: str) -> None:
    """It would lead elsewhere."""
    with pytest.raises(QueryError) as error:
        collection_path(name)
    assert 404 == error.value.code


@given(st.text(min_size=1, max_size=255))
def test_any_other_name_is_one_segment(name: str) -> None:
    """Nothing in it has a meaning in a path."""
    if name not in (".", ".."):
        path = collection_path(name)
        assert re.fullmatch(r"/collections/[A-Za-z0-9_.~%-]+", path)


@pytest.mark.parametrize(
    ("vector", "expected"),
    [
        (None, ()),
        ({}, ()),
        ([1, 2.5], (PointVector(name="", kind="dense", rows=((1.0, 2.5),)),)),
        ([], (PointVector(name="", kind="dense", rows=((),)),)),
        ([1, None], (PointVector(name="", kind="dense", rows=((1.0, None),)),)),
        ([[1], [2]], (PointVector(name="", kind="multi", rows=((1.0,), (2.0,))),)),
        (
            {"a": {"indices": [3, 9], "values": [1, 2]}},
            (PointVector(name="a", kind="sparse", rows=((1.0, 2.0),), indices=(3, 9)),),
        ),
        (
            {"b": [1], "a": [2]},
            (
                PointVector(name="a", kind="dense", rows=((2.0,),)),
                PointVector(name="b", kind="dense", rows=((1.0,),)),
            ),
        ),
        ("x", (PointVector(name="", kind="odd", odd="x"),)),
        ([1, "x"], (PointVector(name="", kind="odd", odd=[1, "x"]),)),
        ([True], (PointVector(name="", kind="odd", odd=[True]),)),
        ([[1], 2], (PointVector(name="", kind="odd", odd=[[1], 2]),)),
        (
            {"a": {"indices": [1], "values": [1, 2]}},
            (PointVector(name="a", kind="odd", odd={"indices": [1], "values": [1, 2]}),),
        ),
        (
            {"a": {"indices": [-1], "values": [1]}},
            (PointVector(name="a", kind="odd", odd={"indices": [-1], "values": [1]}),),
        ),
    ],
)
def test_vectors_are_read_by_their_shape(vector: Any, expected: tuple[PointVector, ...]) -> None:
    """What has none of Qdrant's shapes is kept as it came."""
    rows = listed_points({"result": [{"id": 1, "vector": vector}]})
    assert rows is not None
    assert expected == rows.points[0].vectors


@settings(max_examples=40)
@given(ANY_JSON)
def test_any_answer_is_read_or_left(found: Any) -> None:
    """Nothing raises, and no score is anything but a finite number."""
    for answer in (found, {"result": found}, {"result": {"points": found}}):
        collection_description(answer)
        for rows in (listed_points(answer), queried_points(answer), scrolled_points(answer)[0]):
            for point in rows.points if rows else ():
                assert is_point_id(point.id)
                assert point.score is None or math.isfinite(point.score)


@settings(max_examples=40)
@given(ANY_JSON, ANY_JSON, ANY_JSON, ANY_JSON)
def test_a_point_of_anything_is_a_point(
    identity: Any, payload: Any, vector: Any, score: Any
) -> None:
    """Or counted as none."""
    entry = {"id": identity, "payload": payload, "vector": vector, "score": score}
    rows = listed_points({"result": [entry, {**entry, "id": 1}]})
    assert rows is not None
    assert 2 == len(rows.points) + rows.unreadable
    assert is_point_id(identity) == (rows.unreadable == 0)
