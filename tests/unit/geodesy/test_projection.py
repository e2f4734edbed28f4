import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod, Proj

from geoloc.geodesy import (
    EARTH_RADIUS_KM,
    destination_deg,
    equal_earth,
    great_circle_km,
    is_valid_latlon,
    latlon_to_local_km,
    local_to_latlon_deg,
    sample_sphere,
)

SPHERE = Geod(a=EARTH_RADIUS_KM * 1000, b=EARTH_RADIUS_KM * 1000)


def random_places(count, seed):
    return sample_sphere(count, generator=np.random.default_rng(seed))


def test_equal_earth_equals_proj():
    places = np.concatenate((random_places(10_000, 0), [[90, 0], [-90, 180], [0, -180], [0, 0]]))
    x, y = Proj("+proj=eqearth +R=1")(places[:, 1], places[:, 0])
    np.testing.assert_allclose(equal_earth(places), np.stack((x, y), -1), atol=1e-9)
    tensor = torch.from_numpy(places)
    np.testing.assert_allclose(equal_earth(tensor), equal_earth(places), atol=1e-14)
    np.testing.assert_allclose(equal_earth(tensor.float()), equal_earth(places), atol=1e-6)


def test_equal_earth_is_equal_area():
    def projected(latlon_rad):
        return equal_earth(torch.rad2deg(latlon_rad))

    for lat in (-80.0, -30.0, 0.0, 45.0, 89.0):
        place = torch.deg2rad(torch.tensor([lat, 50.0], dtype=torch.float64))
        stretch = torch.linalg.det(torch.autograd.functional.jacobian(projected, place)).abs()
        # the published constants are rounded: equal area to about 1e-6
        assert stretch.item() == pytest.approx(math.cos(math.radians(lat)), rel=1e-5)


def test_equal_earth_gradients():
    places = torch.from_numpy(random_places(5, 1)).requires_grad_()
    assert torch.autograd.gradcheck(equal_earth, places)


def test_destination_equals_proj_on_the_sphere():
    generator = np.random.default_rng(2)
    start, bearing = random_places(500, 2), generator.uniform(0, 360, 500)
    distance_km = generator.uniform(0, 20_000, 500)
    lon, lat, _ = SPHERE.fwd(start[:, 1], start[:, 0], bearing, distance_km * 1000)
    ours = destination_deg(start, bearing, distance_km)
    assert great_circle_km(ours, np.stack((lat, lon), -1)).max() < 1e-6


@pytest.mark.parametrize(
    ("start", "bearing", "distance_deg", "expected"),
    [
        ((0, 0), 90, 10, (0, 10)),
        ((0, 0), 0, 10, (10, 0)),
        ((0, 0), 180, 10, (-10, 0)),
        ((0, 175), 90, 10, (0, -175)),
        ((85, 0), 0, 10, (85, -180)),
        ((90, 30), 180, 10, (80, 30)),
        ((-90, 30), 0, 10, (-80, 30)),
        ((12, 34), 77, 180, (-12, -146)),
    ],
)
def test_destinations_that_one_knows(start, bearing, distance_deg, expected):
    distance_km = math.radians(distance_deg) * EARTH_RADIUS_KM
    ours = destination_deg(np.array(start, float), np.array(float(bearing)), np.array(distance_km))
    assert great_circle_km(ours, np.array(expected, float)) < 1e-6
    assert -180 <= ours[1] < 180


centers = st.tuples(st.floats(-90, 90), st.floats(-180, 180)).map(np.array)


@given(centers, st.floats(-6000, 6000), st.floats(-6000, 6000))
def test_local_plane_round_trip(center, east, north):
    place = local_to_latlon_deg(center, np.array(east), np.array(north))
    assert is_valid_latlon(place)
    # azimuthal equidistant: the length of the way is the length on the plane
    assert great_circle_km(center, place) == pytest.approx(math.hypot(east, north), abs=1e-7)
    back_east, back_north = latlon_to_local_km(center, place)
    np.testing.assert_allclose([back_east, back_north], [east, north], atol=1e-6)


def test_local_plane_agrees_with_proj_aeqd():
    center, points = np.array([61.0, -149.9]), random_places(500, 3)
    plane = Proj(f"+proj=aeqd +R=6371 +lat_0={center[0]} +lon_0={center[1]} +units=km")
    x, y = plane(points[:, 1], points[:, 0])
    # PROJ's +R is in metres whatever the units, hence the factor
    east, north = latlon_to_local_km(center, points)
    np.testing.assert_allclose(east, np.asarray(x) * 1000, atol=1e-5)
    np.testing.assert_allclose(north, np.asarray(y) * 1000, atol=1e-5)


def test_local_plane_at_its_centre_and_antipode():
    center = np.array([30.0, 40.0])
    east, north = latlon_to_local_km(center, np.stack((center, [-30.0, -140.0])))
    assert abs(east[0]) < 1e-9
    assert abs(north[0]) < 1e-9
    assert math.hypot(east[1], north[1]) == pytest.approx(math.pi * EARTH_RADIUS_KM)
    np.testing.assert_allclose(local_to_latlon_deg(center, 0.0, 0.0), center, atol=1e-13)
    pole = local_to_latlon_deg(np.array([90.0, 0.0]), 0.0, 0.0)
    assert pole[0] == pytest.approx(90, abs=1e-9)


def test_a_tile_of_pixels_around_one_centre():
    axis = np.linspace(-64, 64, 5)
    east, north = np.meshgrid(axis, -axis)
    tile = local_to_latlon_deg(np.array([70.0, 179.9]), east, north)
    assert tile.shape == (5, 5, 2)
    assert tile[0, 0, 0] > tile[4, 0, 0]  # rows go from north to south
    assert (tile[:, 0, 1] > 0).all()  # the western edge is west of the antimeridian
    assert (tile[:, 4, 1] < 0).all()
    step = great_circle_km(tile[:, :-1], tile[:, 1:])
    np.testing.assert_allclose(step, 32, rtol=1e-3)


def test_torch_equals_numpy_and_keeps_dtype():
    center, east, north = random_places(50, 4), np.linspace(-5, 5, 50), np.linspace(3, -90, 50)
    expected = local_to_latlon_deg(center, east, north)
    tensors = [torch.from_numpy(array) for array in (center, east, north)]
    np.testing.assert_allclose(local_to_latlon_deg(*tensors), expected, atol=1e-12)
    single = [tensor.float() for tensor in tensors]
    ours = local_to_latlon_deg(*single)
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours, expected, atol=5e-5)
    assert torch.autograd.gradcheck(
        lambda e, n: local_to_latlon_deg(tensors[0], e, n),
        (tensors[1].requires_grad_(), tensors[2].requires_grad_()),
    )


def test_plain_numbers_stand_for_arrays():
    center = torch.tensor([[10.0, 20.0], [30.0, 40.0]])
    one, two = torch.full((2,), 3.0), torch.full((2,), -4.0)
    assert torch.equal(
        local_to_latlon_deg(center, 3.0, -4.0), local_to_latlon_deg(center, one, two)
    )
    assert torch.equal(destination_deg(center, 3.0, two.abs()), destination_deg(center, one, 4.0))
    with pytest.raises(TypeError, match="mixed"):
        destination_deg(center, np.zeros(2), 4.0)


def test_gradients_reach_the_centre():
    center = torch.from_numpy(random_places(4, 5)).requires_grad_()
    km = torch.linspace(1, 900, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda c: local_to_latlon_deg(c, km, -km), (center,))
    beside = torch.from_numpy(random_places(4, 5) + 1)
    assert torch.autograd.gradcheck(latlon_to_local_km, (center, beside))


def test_no_value_is_read_back_from_the_device():
    places, km = torch.empty(4, 2, device="meta"), torch.empty(4, device="meta")
    assert equal_earth(places).device.type == "meta"
    assert local_to_latlon_deg(places, km, km).shape == (4, 2)
    assert latlon_to_local_km(places, places)[0].shape == (4,)
    assert destination_deg(places, km, km).device.type == "meta"
