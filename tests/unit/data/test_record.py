from __future__ import annotations

import json
import math
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoloc.data.record import (
    PlaceError,
    Record,
    SampleError,
    checksum,
    description_bytes,
    parse_record,
    place_of,
)
from geoloc.errors import CoordinateError, DataError


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ({"latitude": 48.1, "longitude": 11.5}, (48.1, 11.5)),
        ({"latitude": "48.1", "longitude": " -11.5 "}, (48.1, -11.5)),
        ({"lat": 1, "lon": 2}, (1.0, 2.0)),
        ({"lat": 1, "lng": 2}, (1.0, 2.0)),
        ({"latitude": None, "lat": 5, "longitude": 6}, (5.0, 6.0)),
        ({"latitude": -90, "longitude": 180}, (-90.0, 180.0)),
        ({"latitude": 90, "longitude": -180.0}, (90.0, -180.0)),
        ({"latitude": 0, "longitude": -0.0}, (0.0, 0.0)),
    ],
)
def test_places(description: dict[str, Any], expected: tuple[float, float]) -> None:
    assert place_of(description) == expected


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "missing_coordinate"),
        ("", "missing_coordinate"),
        ("north", "coordinate_not_a_number"),
        ("1_0", "coordinate_not_a_number"),
        ("48,1", "coordinate_not_a_number"),
        (True, "coordinate_not_a_number"),
        ([48.1], "coordinate_not_a_number"),
        ({"deg": 48.1}, "coordinate_not_a_number"),
        (math.nan, "coordinate_not_finite"),
        ("nan", "coordinate_not_finite"),
        (-math.inf, "coordinate_not_finite"),
        (10**400, "coordinate_not_finite"),
        (90.0000001, "coordinate_out_of_range"),
        (-151.0, "coordinate_out_of_range"),
        (10**29, "coordinate_out_of_range"),
    ],
)
def test_kinds_of_bad_latitude(value: Any, kind: str) -> None:
    with pytest.raises(PlaceError) as caught:
        place_of({"latitude": value, "longitude": 0.0})
    assert caught.value.kind == kind
    assert isinstance(caught.value, CoordinateError)
    assert len(str(caught.value)) < 100


def test_longitude_has_its_own_limit() -> None:
    assert place_of({"latitude": 0, "longitude": 151})[1] == 151.0
    with pytest.raises(PlaceError, match=r"longitude is 180\.5"):
        place_of({"latitude": 0, "longitude": 180.5})
    with pytest.raises(PlaceError, match="no longitude"):
        place_of({"latitude": 0})


@given(
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.dictionaries(
        st.text(max_size=8),
        st.none() | st.text(max_size=8) | st.integers() | st.floats(allow_nan=False, width=32),
        max_size=4,
    ),
)
def test_what_is_written_is_read(lat: float, lon: float, label: dict[str, Any]) -> None:
    # An infinite label cannot stand in JSON; see below.
    label = {k: v for k, v in label.items() if not (isinstance(v, float) and math.isinf(v))}
    record = Record(key="k", image_bytes=b"image", latlon_deg=(lat, lon), label=label)
    read, expected = parse_record("k", image_bytes=b"image", json_bytes=description_bytes(record))
    assert read.latlon_deg == (lat, lon)
    assert expected == checksum(b"image") == f"{zlib.crc32(b'image'):08x}"
    place = {"latitude": lat, "longitude": lon}
    assert read.label == {**label, **place}


def test_a_label_never_moves_the_place() -> None:
    record = Record(
        key="k", image_bytes=b"", latlon_deg=(1.0, 2.0), label={"latitude": 9, "id": np.int64(7)}
    )
    description = json.loads(description_bytes(record))
    assert description["latitude"] == 1.0
    assert description["id"] == 7


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, b"bytes", np.float32("nan")])
def test_labels_that_are_not_json(value: Any) -> None:
    record = Record(key="k7", image_bytes=b"", latlon_deg=(1.0, 2.0), label={"x": value})
    with pytest.raises(DataError, match="k7"):
        description_bytes(record)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"1", b'"x"', b"\xff", b"[" * 99_999])
def test_bad_json(text: bytes) -> None:
    with pytest.raises(SampleError) as caught:
        parse_record("k", image_bytes=b"", json_bytes=text)
    assert caught.value.kind == "bad_json"


def test_no_checksum_is_no_error() -> None:
    record, expected = parse_record("k", image_bytes=b"", json_bytes=b'{"lat": 1, "lon": 2}')
    assert expected is None
    assert record.label == {"lat": 1, "lon": 2}
