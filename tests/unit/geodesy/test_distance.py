import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geoloc.geodesy import (
    EARTH_RADIUS_KM,
    geodesic_km,
    great_circle_km,
    pairwise_great_circle_km,
    sample_sphere,
)

HALF_WAY_ROUND = math.pi * EARTH_RADIUS_KM
places = st.tuples(st.floats(-90, 90), st.floats(-180, 180)).map(np.array)


def random_places(count, seed):
    return sample_sphere(count, generator=np.random.default_rng(seed))


def naive_haversine_km(a, b):
    lat_a, lon_a, lat_b, lon_b = map(math.radians, (*a, *b))
    h = (
        math.sin((lat_a - lat_b) / 2) ** 2
        + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_a - lon_b) / 2) ** 2
    )
    return 2 * 6371.0 * math.asin(min(1.0, math.sqrt(h)))


def test_aligned_equals_the_naive_formula():
    a, b = random_places(500, 0), random_places(500, 1)
    expected = [naive_haversine_km(p, q) for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(great_circle_km(a, b), expected, rtol=1e-10)


def test_pairwise_equals_the_naive_loop():
    a, b = random_places(13, 2), random_places(7, 3)
    expected = [[naive_haversine_km(p, q) for q in b] for p in a]
    np.testing.assert_allclose(pairwise_great_circle_km(a, b), expected, rtol=1e-10)


@given(places, places)
def test_symmetric_bounded_and_never_nan(a, b):
    there, back = great_circle_km(a, b), great_circle_km(b, a)
    assert there == back
    assert 0 <= there <= HALF_WAY_ROUND * (1 + 1e-15)


@given(places, places, places)
def test_triangle_inequality(a, b, c):
    assert great_circle_km(a, c) <= great_circle_km(a, b) + great_circle_km(b, c) + 1e-9


@given(places)
def test_identical_places_are_exactly_zero_apart(a):
    assert great_circle_km(a, a) == 0
    assert pairwise_great_circle_km(a[None], a[None]) == 0
    tensor = torch.from_numpy(a.astype(np.float32))
    assert great_circle_km(tensor, tensor).item() == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_meridian_under_two_names(dtype):
    east = np.array([[0, 180], [45, 180], [-80, 180]], dtype)
    west = east * np.array([1, -1], dtype)
    assert great_circle_km(east, west).max() == 0
    assert np.diag(pairwise_great_circle_km(east, west)).max() < 1e-8


@pytest.mark.parametrize("lon", [0.0, 17.0, -123.4])
def test_at_a_pole_longitude_does_not_matter(lon):
    pole, other = np.array([90.0, lon]), np.array([60.0, 11.0])
    expected = math.radians(30) * EARTH_RADIUS_KM
    assert great_circle_km(pole, other) == pytest.approx(expected, rel=1e-12)
    assert great_circle_km(pole, -pole) == pytest.approx(HALF_WAY_ROUND, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_antipodes_are_half_way_round_without_nan(dtype):
    a = torch.from_numpy(random_places(5000, 4)).to(dtype)
    b = torch.stack((-a[:, 0], a[:, 1] - 180 * torch.sign(a[:, 1])), -1)
    for distance in (great_circle_km(a, b), pairwise_great_circle_km(a[:50], b[:50]).diagonal()):
        assert torch.isfinite(distance).all()
        assert distance.dtype == dtype
        assert (distance - HALF_WAY_ROUND).abs().max() < 1e-6 * HALF_WAY_ROUND


def test_short_lags_survive_float32_places():
    near = torch.tensor([[48.8566, 2.3522]])
    beside = near + torch.tensor([[3e-5, -2e-5]])
    expected = naive_haversine_km(near[0].tolist(), beside[0].tolist())
    assert expected > 0.002
    assert great_circle_km(near, beside).item() == pytest.approx(expected, rel=1e-6)
    pairwise = pairwise_great_circle_km(near, beside)
    assert pairwise.dtype == torch.float32
    assert pairwise.item() == pytest.approx(expected, rel=1e-6)


def test_numpy_and_torch_agree_to_the_last_digits():
    a, b = random_places(300, 5), random_places(300, 6)
    ours = great_circle_km(torch.from_numpy(a), torch.from_numpy(b))
    np.testing.assert_allclose(great_circle_km(a, b), ours, rtol=1e-14)
    ours = pairwise_great_circle_km(torch.from_numpy(a), torch.from_numpy(b))
    np.testing.assert_allclose(pairwise_great_circle_km(a, b), ours, rtol=1e-14)


def test_leading_axes_broadcast():
    a, b = random_places(6, 7).reshape(2, 3, 2), random_places(3, 8)
    assert great_circle_km(a, b).shape == (2, 3)
    assert great_circle_km(a, b)[1, 2] == great_circle_km(a[1, 2], b[2])
    np.testing.assert_array_equal(great_circle_km(a[:, None, 0], b), great_circle_km(a[:, :1], b))


def test_nan_places_give_nan_not_zero():
    assert np.isnan(great_circle_km(np.array([np.nan, 0.0]), np.array([0.0, 0.0])))
    assert np.isnan(pairwise_great_circle_km(np.array([[np.nan, 0.0]]), np.zeros((1, 2)))).all()


def test_gradients_are_right_and_never_nan():
    a = torch.from_numpy(random_places(4, 9)).requires_grad_()
    b = torch.from_numpy(random_places(4, 10)).requires_grad_()
    assert torch.autograd.gradcheck(great_circle_km, (a, b))
    assert torch.autograd.gradcheck(pairwise_great_circle_km, (a, b))
    same = torch.tensor([[10.0, 20.0], [90.0, 0.0]], requires_grad=True)
    (
        great_circle_km(same, same.detach()).sum() + pairwise_great_circle_km(same, same).sum()
    ).backward()
    assert same.grad is not None
    assert torch.isfinite(same.grad).all()


def test_no_value_is_read_back_from_the_device():
    # tensors on "meta" have no values: whoever asks for one fails
    a = torch.empty(5, 2, device="meta")
    assert great_circle_km(a, a).device.type == "meta"
    assert pairwise_great_circle_km(a, a).shape == (5, 5)


def test_geodesic_takes_tensors_and_broadcasts():
    a = torch.from_numpy(random_places(4, 11))
    b = np.array([10.0, 20.0])
    distance = geodesic_km(a, b)
    assert distance.shape == (4,)
    assert distance.dtype == np.float64
    assert geodesic_km(b, b) == 0
    # the sphere and the ellipsoid never part by more than 0.6 %
    np.testing.assert_allclose(distance, great_circle_km(a.numpy(), b), rtol=6e-3)
