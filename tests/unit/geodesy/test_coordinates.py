import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geoloc.errors import CoordinateError
from geoloc.geodesy import (
    is_valid_latlon,
    latlon_from_unit_vectors,
    normalize_latlon,
    unit_vectors,
    validate_latlon,
    wrap_longitude_deg,
)

PLACES = [
    ((0.0, 0.0), True),
    ((90.0, 180.0), True),
    ((-90.0, -180.0), True),
    ((90.0000001, 0.0), False),
    ((0.0, 180.0000001), False),
    ((0.0, -180.1), False),
    ((-91.0, 0.0), False),
    ((math.nan, 0.0), False),
    ((0.0, math.nan), False),
    ((math.inf, 0.0), False),
    ((0.0, -math.inf), False),
]
latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)


def test_validity_in_both_kinds():
    places = np.array([place for place, _ in PLACES])
    expected = [valid for _, valid in PLACES]
    assert is_valid_latlon(places).tolist() == expected
    assert is_valid_latlon(torch.from_numpy(places)).tolist() == expected
    assert is_valid_latlon(np.array([10.0, 20.0])).shape == ()
    assert is_valid_latlon(np.zeros((3, 4, 2), np.float32)).shape == (3, 4)


def test_validate_names_the_first_bad_place():
    places = np.zeros((5, 2))
    places[2] = [12.0, 190.0]
    places[4] = [np.nan, 0.0]
    with pytest.raises(CoordinateError, match=r"gallery 2 has .*190\.0.*2 invalid of 5"):
        validate_latlon(places, what="gallery")
    with pytest.raises(CoordinateError, match="gallery 2"):
        validate_latlon(torch.from_numpy(places), what="gallery")
    with pytest.raises(CoordinateError, match=r"place \(1, 0\) has"):
        validate_latlon(np.array([[[0.0, 0.0]], [[0.0, 181.0]]]))
    with pytest.raises(CoordinateError, match="not finite"):
        validate_latlon(np.array([np.nan, 0.0]))


def test_validate_suspects_swapped_axes():
    with pytest.raises(CoordinateError, match="swapped"):
        validate_latlon(np.array([[151.2, -33.9]]))


@pytest.mark.parametrize("shape", [(), (3,), (4, 3), (2, 2, 1)])
def test_validate_refuses_other_shapes(shape):
    with pytest.raises(CoordinateError, match="shape"):
        validate_latlon(np.zeros(shape))


def test_validate_accepts_good_and_empty_arrays():
    validate_latlon(np.array([[90.0, 180.0], [-90.0, -180.0]]))
    validate_latlon(torch.zeros(0, 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_wrapping_known_meridians(dtype):
    given_deg = np.array([0, 180, -180, 181, -181, 360, 540, -540, 719, -725.5], dtype)
    expected = np.array([0, -180, -180, -179, 179, 0, -180, -180, -1, -5.5], dtype)
    for wrapped in (
        wrap_longitude_deg(given_deg),
        wrap_longitude_deg(torch.from_numpy(given_deg)).numpy(),
    ):
        assert wrapped.dtype == dtype
        np.testing.assert_array_equal(wrapped, expected)


def test_wrapping_never_leaves_the_half_open_interval():
    edge = np.nextafter(180.0, 0), np.nextafter(-180.0, -200), np.nextafter(180.0, 200), 180.0
    wrapped = wrap_longitude_deg(np.array(edge))
    assert (wrapped >= -180).all()
    assert (wrapped < 180).all()


@given(st.floats(-180, 180, exclude_max=True), st.integers(-5, 5))
def test_wrapping_leaves_good_values_bit_for_bit_and_undoes_turns(lon, turns):
    assert wrap_longitude_deg(np.array(lon)) == lon
    turned = float(wrap_longitude_deg(np.array(lon + 360.0 * turns)))
    assert abs(math.remainder(turned - lon, 360.0)) < 1e-9


def test_normalizing_walks_over_the_poles():
    walked = np.array([[91, 0], [-91, 10], [100, 170], [180, 20], [0, 190], [90, 5], [270, 0]])
    expected = [[89, -180], [-89, -170], [80, -10], [0, -160], [0, -170], [90, 5], [-90, 0]]
    np.testing.assert_allclose(normalize_latlon(walked.astype(float)), expected, atol=1e-12)
    tensor = normalize_latlon(torch.from_numpy(walked.astype(np.float32)))
    np.testing.assert_allclose(tensor.numpy(), expected, atol=1e-4)


@given(st.floats(-1000, 1000), st.floats(-1000, 1000))
def test_normalizing_keeps_the_point_of_the_sphere(lat, lon):
    place = np.array([lat, lon])
    normal = normalize_latlon(place)
    assert is_valid_latlon(normal)
    assert normal[1] < 180
    np.testing.assert_allclose(unit_vectors(normal), unit_vectors(place), atol=1e-12)


def test_unit_vectors_point_where_they_should():
    places = np.array([[0, 0], [0, 90], [0, 180], [90, 33], [-90, 0], [45, -90]], float)
    half = math.sqrt(0.5)
    expected = [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1], [0, -half, half]]
    np.testing.assert_allclose(unit_vectors(places), expected, atol=1e-15)
    np.testing.assert_allclose(unit_vectors(torch.from_numpy(places)), expected, atol=1e-15)


@given(latitudes, longitudes, st.floats(1e-3, 1e3))
def test_places_survive_the_way_through_unit_vectors(lat, lon, length):
    place = np.array([lat, lon])
    back = latlon_from_unit_vectors(unit_vectors(place) * length)
    assert is_valid_latlon(back)
    np.testing.assert_allclose(back[0], lat, atol=1e-12)
    if abs(lat) < 89.99:
        np.testing.assert_allclose(unit_vectors(back), unit_vectors(place), atol=1e-14)


def test_axis_and_zero_vector():
    vectors = np.array([[0.0, 0, 2], [0, 0, -3], [0, 0, 0], [0, -1, 0]])
    for places in (
        latlon_from_unit_vectors(vectors),
        latlon_from_unit_vectors(torch.from_numpy(vectors)).numpy(),
    ):
        assert places[0].tolist() == [90, 0]
        assert places[1].tolist() == [-90, 0]
        assert np.isnan(places[2]).all()
        assert places[3].tolist() == [0, -90]


@pytest.mark.parametrize("function", [unit_vectors, normalize_latlon])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_and_batch_axes_are_kept(function, dtype):
    places = torch.zeros(4, 5, 2, dtype=dtype)
    assert function(places).dtype == dtype
    assert function(places).shape[:2] == (4, 5)
    assert function(places.numpy()).dtype == places.numpy().dtype
