from __future__ import annotations

import dataclasses
import math

import gstools as gs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geoloc.errors import ConfigError, CoordinateError, DataError
from geoloc.geodesy import EARTH_RADIUS_KM, great_circle_km, sample_sphere
from geoloc.geostatistics import (
    KrigingMethod,
    gaussian_field,
    given_variogram,
    krige_each,
    ordinary_kriging,
    simple_kriging,
)

SPHERE = given_variogram("exponential", nugget=0.2, partial_sill=1.0, scale=900.0)
PLANE = given_variogram(
    "spherical", nugget=0.1, partial_sill=2.0, scale=5.0, unit="m", lag_metric="euclidean"
)


ALONG = given_variogram(
    "exponential", nugget=0.2, partial_sill=1.0, scale=900.0, lag_metric="great_circle"
)


def pykriged(places, values, targets, *, k=None):
    """The same by PyKrige: longitude first, lags in degrees, and a range of three scales."""
    from pykrige.ok import OrdinaryKriging

    length = float(np.rad2deg(900.0 / EARTH_RADIUS_KM))
    model = OrdinaryKriging(
        places[:, 1] % 360.0,
        places[:, 0],
        values,
        variogram_model="exponential",
        variogram_parameters={"psill": 1.0, "range": 3.0 * length, "nugget": 0.2},
        coordinates_type="geographic",
        exact_values=True,
    )
    to = (targets[:, 1] % 360.0, targets[:, 0])
    return model.execute("points", *to, n_closest_points=k, backend="loop")


def near_paris(count, seed, spread_deg=4.0):
    generator = np.random.default_rng(seed)
    return np.array([48.0, 2.0]) + generator.uniform(-spread_deg, spread_deg, (count, 2))


def naive(places, values, target, fit, *, filtered=False):
    """One target at a time, row by row, from the equations as the books have them."""
    n = len(places)
    matrix, right = np.zeros((n + 1, n + 1)), np.zeros(n + 1)
    for i in range(n):
        for j in range(n):
            lag = float(great_circle_km(places[i], places[j]))
            matrix[i, j] = 0.0 if i == j else float(fit(lag))
            if filtered and i != j and lag == 0:
                matrix[i, j] = fit.nugget
        matrix[i, n] = matrix[n, i] = 1.0
        lag = float(great_circle_km(places[i], target))
        right[i] = float(fit(lag))
        if filtered and lag == 0:
            right[i] = fit.nugget
    right[n] = 1.0
    solved = np.linalg.solve(matrix, right)
    variance = float(solved @ right) - (fit.nugget if filtered else 0.0)
    return float(solved[:n] @ values), variance


@pytest.mark.parametrize("at_data", ["exact", "filtered"])
@pytest.mark.parametrize("model", ["exponential", "spherical", "gaussian"])
def test_estimates_on_the_sphere_are_those_of_a_loop(at_data, model):
    fit = given_variogram(model, nugget=0.2, partial_sill=1.0, scale=700.0)
    places, targets = near_paris(12, 0), near_paris(5, 1)
    targets[0] = places[3]
    values = np.random.default_rng(2).normal(size=12)
    kriged = ordinary_kriging(places, values, targets, fit, at_data=at_data)
    expected = [
        naive(places, values, each, fit, filtered=at_data == "filtered") for each in targets
    ]
    assert kriged.value.tolist() == pytest.approx([e for e, _ in expected], abs=1e-9)
    assert kriged.variance.tolist() == pytest.approx([v for _, v in expected], abs=1e-9)


@pytest.mark.parametrize("at_data", ["exact", "filtered"])
def test_estimates_on_the_sphere_are_those_of_gstools(at_data):
    generator = np.random.default_rng(0)
    places = sample_sphere(40, generator=generator)
    targets = np.concatenate([sample_sphere(7, generator=generator), places[:2]])
    values = generator.normal(size=40)
    model = gs.Exponential(
        latlon=True, geo_scale=EARTH_RADIUS_KM, var=1.0, len_scale=900.0, nugget=0.2
    )
    theirs = gs.krige.Ordinary(model, cond_pos=places.T, cond_val=values, exact=at_data == "exact")
    value, variance = theirs(targets.T, return_var=True)
    ours = ordinary_kriging(places, values, targets, SPHERE, at_data=at_data)
    assert ours.value.tolist() == pytest.approx(value.tolist(), rel=1e-10)
    # theirs is the variance of another noisy measurement, ours of the field
    noise = 0.2 if at_data == "filtered" else 0.0
    assert (ours.variance + noise).tolist() == pytest.approx(variance.tolist(), abs=1e-10)


def test_many_fields_at_once_are_those_one_by_one():
    generator = np.random.default_rng(20)
    places = torch.from_numpy(generator.uniform(-5, 5, (4, 6, 2)))
    targets = torch.from_numpy(generator.uniform(-5, 5, (4, 3, 2)))
    values = torch.from_numpy(generator.normal(size=(4, 6)))
    value, variance = krige_each(places, values, targets, SPHERE, at_data="filtered")
    for one in range(4):
        alone = ordinary_kriging(places[one], values[one], targets[one], SPHERE, at_data="filtered")
        assert torch.allclose(value[one], alone.value, atol=1e-12)
        assert torch.allclose(variance[one], alone.variance, atol=1e-12)


def test_neighbours_are_the_nearest_on_the_sphere_across_the_date_line():
    places = np.array([[0.0, 179.0], [0.0, -179.0], [1.0, 180.0], [0.0, 150.0], [0.0, -150.0]])
    values = np.array([1.0, 2.0, 3.0, 50.0, 60.0])
    target = np.array([[0.0, -179.9]])
    near = ordinary_kriging(places, values, target, SPHERE, neighbours=3)
    alone = ordinary_kriging(places[:3], values[:3], target, SPHERE)
    assert near.value.tolist() == pytest.approx(alone.value.tolist(), rel=1e-12)
    assert near.variance.tolist() == pytest.approx(alone.variance.tolist(), rel=1e-12)


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), neighbours=st.sampled_from([1, 4, None]))
def test_a_place_gets_its_own_value_back_without_error(seed, neighbours):
    places = near_paris(9, seed)
    values = np.random.default_rng(seed).normal(size=9)
    kriged = ordinary_kriging(places, values, places, SPHERE, neighbours=neighbours)
    assert kriged.value.tolist() == pytest.approx(values.tolist(), abs=1e-9)
    assert kriged.variance.tolist() == pytest.approx([0.0] * 9, abs=1e-9)


def test_filtered_does_not_give_noise_back_and_is_smooth_at_the_data():
    places = near_paris(30, 3, spread_deg=1.0)
    values = np.random.default_rng(4).normal(size=30)
    beside = places[:1] + np.array([[0.0, 1e-5]])
    both = np.concatenate([places[:1], beside])
    filtered = ordinary_kriging(places, values, both, SPHERE, at_data="filtered")
    exact = ordinary_kriging(places, values, both, SPHERE)
    assert abs(float(filtered.value[0]) - values[0]) > 0.1
    assert float(filtered.value[0]) == pytest.approx(float(filtered.value[1]), abs=1e-4)
    assert abs(float(exact.value[0] - exact.value[1])) > 0.1
    # beside the data the two estimates agree, and the exact one also bears the target's nugget
    assert float(filtered.value[1]) == pytest.approx(float(exact.value[1]), abs=1e-9)
    assert float(exact.variance[1] - filtered.variance[1]) == pytest.approx(0.2, abs=1e-9)


@settings(max_examples=25)
@given(shift=st.floats(-1e3, 1e3), factor=st.floats(0.1, 10.0))
def test_a_mean_is_carried_through_and_a_factor_scales(shift, factor):
    places, targets = near_paris(8, 5), near_paris(4, 6)
    values = np.random.default_rng(7).normal(size=8)
    plain = ordinary_kriging(places, values, targets, SPHERE)
    moved = ordinary_kriging(places, shift + factor * values, targets, SPHERE)
    expected = (shift + factor * plain.value).tolist()
    assert moved.value.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-7)
    assert moved.variance.tolist() == pytest.approx(plain.variance.tolist(), rel=1e-12)


def test_several_values_a_place_are_kriged_side_by_side():
    places, targets = near_paris(7, 8), near_paris(3, 9)
    values = np.random.default_rng(10).normal(size=(7, 4, 2))
    for neighbours in (None, 5):
        together = ordinary_kriging(places, values, targets, SPHERE, neighbours=neighbours)
        assert together.value.shape == (3, 4, 2)
        for column in np.ndindex(4, 2):
            alone = ordinary_kriging(
                places, values[:, *column], targets, SPHERE, neighbours=neighbours
            )
            assert together.value[:, *column].tolist() == pytest.approx(alone.value.tolist())


def test_weights_sum_to_one_whatever_the_unit_of_the_values():
    places, targets = near_paris(6, 8), near_paris(3, 9)
    # the estimates of fields that are 1 at one place and 0 at the others are the weights
    weight = ordinary_kriging(places, np.eye(6), targets, SPHERE)
    assert weight.value.sum(dim=1) == pytest.approx(1.0, abs=1e-12)
    tiny = given_variogram("exponential", nugget=0.2e-12, partial_sill=1e-12, scale=900.0)
    same = ordinary_kriging(places, np.eye(6), targets, tiny)
    assert torch.allclose(same.value, weight.value, atol=1e-9)
    assert torch.allclose(same.variance * 1e12, weight.variance, atol=1e-9)


def test_simulated_fields_are_estimated_without_bias_and_with_the_error_that_is_told():
    generator = torch.Generator().manual_seed(1)
    places = near_paris(90, 11)
    fields = gaussian_field(places, SPHERE.covariance, generator=generator, fields=400)[..., 0]
    known, asked = slice(0, 60), slice(60, 90)
    values = (7.0 + fields[:, known]).T
    kriged = ordinary_kriging(places[known], values, places[asked], SPHERE)
    error = kriged.value - (7.0 + fields[:, asked]).T
    standardised = error / kriged.variance[:, None].sqrt()
    assert float(error.mean()) == pytest.approx(0.0, abs=0.05)
    assert float(standardised.square().mean()) == pytest.approx(1.0, abs=0.04)
    # any other weights that sum to one do worse, such as those of the nearest place alone
    nearest = ordinary_kriging(places[known], values, places[asked], SPHERE, neighbours=1)
    naive_error = nearest.value - (7.0 + fields[:, asked]).T
    assert float(error.square().mean()) < 0.8 * float(naive_error.square().mean())


def test_filtered_estimates_of_simulated_noisy_fields_bear_the_error_that_is_told():
    generator = torch.Generator().manual_seed(2)
    places = near_paris(60, 12)
    smooth = given_variogram("exponential", partial_sill=1.0, scale=900.0)
    fields = gaussian_field(places, smooth.covariance, generator=generator, fields=400)[..., 0].T
    noisy = fields + math.sqrt(0.2) * torch.randn(fields.shape, generator=generator).double()
    kriged = ordinary_kriging(places, noisy, places, SPHERE, at_data="filtered")
    standardised = (kriged.value - fields) / kriged.variance[:, None].sqrt()
    assert float(standardised.square().mean()) == pytest.approx(1.0, abs=0.05)


def test_one_place_and_no_target():
    one = ordinary_kriging(np.array([[1.0, 2.0]]), np.array([5.0]), np.array([[3.0, 4.0]]), SPHERE)
    lag = float(great_circle_km(np.array([1.0, 2.0]), np.array([3.0, 4.0])))
    assert float(one.value) == 5.0
    assert float(one.variance) == pytest.approx(2 * float(SPHERE(lag)))
    for neighbours in (None, 2):
        none = ordinary_kriging(
            near_paris(3, 0), np.ones(3), np.empty((0, 2)), SPHERE, neighbours=neighbours
        )
        assert none.value.shape == none.variance.shape == (0,)


def test_places_given_twice_are_refused_merged_or_taken_as_two_measurements():
    places = near_paris(6, 13)
    twice = np.concatenate([places, places[2:3], places[2:3]])
    values = np.arange(8.0)
    target = near_paris(2, 14)
    with pytest.raises(DataError, match="places 2 and 6 are one place"):
        ordinary_kriging(twice, values, target, SPHERE)
    merged = values[:6].copy()
    merged[2] = (2.0 + 6.0 + 7.0) / 3
    got = ordinary_kriging(twice, values, target, SPHERE, duplicates="mean")
    assert got.value.tolist() == pytest.approx(
        ordinary_kriging(places, merged, target, SPHERE).value.tolist(), rel=1e-12
    )
    kept = ordinary_kriging(twice, values, target, SPHERE, at_data="filtered")
    expected = [naive(twice, values, each, SPHERE, filtered=True) for each in target]
    assert kept.value.tolist() == pytest.approx([e for e, _ in expected], rel=1e-9)
    assert kept.variance.tolist() == pytest.approx([v for _, v in expected], rel=1e-9)


def test_what_cannot_be_kriged_is_refused_in_one_line():
    places, values = near_paris(5, 15), np.ones(5)
    wide = given_variogram("gaussian", partial_sill=1.0, scale=6000.0, lag_metric="great_circle")
    with pytest.raises(ConfigError, match="no covariance with great circles"):
        ordinary_kriging(places, values, places, wide)
    with pytest.raises(ConfigError, match="one neighbour at least, not 0"):
        ordinary_kriging(places, values, places, SPHERE, neighbours=0)
    with pytest.raises(ConfigError, match="at_data 'smooth'"):
        ordinary_kriging(places, values, places, SPHERE, at_data="smooth")
    with pytest.raises(DataError, match="4 values for 5 places"):
        ordinary_kriging(places, values[:4], places, SPHERE)
    with pytest.raises(DataError, match="value of place 1 is not finite"):
        ordinary_kriging(places, np.array([1.0, math.nan, 1, 1, 1]), places, SPHERE)
    with pytest.raises(DataError, match="at least one place"):
        ordinary_kriging(places[:0], values[:0], places, SPHERE)
    with pytest.raises(CoordinateError):
        ordinary_kriging(np.array([[95.0, 0.0]]), values[:1], places, SPHERE)
    flat = dataclasses.replace(SPHERE, nugget=0.0, structures=())
    with pytest.raises(DataError, match="values that are all equal"):
        ordinary_kriging(places, values, near_paris(2, 0), flat)
    backwards = torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=torch.float64)
    system = KrigingMethod(fit=SPHERE).system(None)
    with pytest.raises(DataError, match="no single solution"):
        system.solve(torch.zeros((2, 3)).double(), torch.ones((2, 1)).double(), between=backwards)


def test_too_many_places_for_one_matrix_ask_for_neighbours():
    places = sample_sphere(10_001, generator=np.random.default_rng(0))
    with pytest.raises(ConfigError, match="give neighbours"):
        ordinary_kriging(places, np.ones(10_001), places[:1], SPHERE)
    near = ordinary_kriging(places, np.ones(10_001), places[:1] + 0.01, SPHERE, neighbours=8)
    assert float(near.value) == pytest.approx(1.0)


def test_given_variograms_refuse_what_no_model_can_be():
    for wrong in ({"scale": 0.0}, {"nugget": -1.0}, {"partial_sill": math.nan}):
        numbers = {"partial_sill": 1.0, "scale": 10.0, **wrong}
        with pytest.raises(ConfigError, match=f"{next(iter(wrong))} cannot be"):
            given_variogram("spherical", **numbers)
    with pytest.raises(ConfigError, match="name one family"):
        given_variogram("nugget", partial_sill=1.0, scale=1.0)
    with pytest.raises(ConfigError, match="shape"):
        given_variogram("spherical", partial_sill=1.0, scale=1.0, shape=2.0)
    fit = given_variogram("stable", partial_sill=2.0, scale=10.0, nugget=0.5, shape=1.0)
    assert fit(1e-9) == pytest.approx(0.5)
    assert fit(10.0) == pytest.approx(0.5 + 2.0 * (1 - math.exp(-1.0)), rel=1e-6)


@pytest.mark.parametrize("k", [None, 12])
def test_estimates_along_great_circles_are_those_of_pykrige(k):
    generator = np.random.default_rng(30)
    places = sample_sphere(60, generator=generator)
    targets = np.concatenate([sample_sphere(9, generator=generator), places[:2]])
    values = 5.0 + generator.normal(size=60)
    value, variance = pykriged(places, values, targets, k=k)
    ours = ordinary_kriging(places, values, targets, ALONG, neighbours=k)
    assert ours.value.tolist() == pytest.approx(np.asarray(value).tolist(), abs=1e-6)
    assert ours.variance.tolist() == pytest.approx(np.asarray(variance).tolist(), abs=1e-6)


@pytest.mark.parametrize("k", [None, 8])
def test_estimates_in_the_plane_are_those_of_pykrige(k):
    from pykrige.ok import OrdinaryKriging

    generator = np.random.default_rng(31)
    places, targets = generator.uniform(0, 20, (50, 2)), generator.uniform(0, 20, (11, 2))
    values = generator.normal(size=50)
    model = OrdinaryKriging(
        *places.T,
        values,
        variogram_model="spherical",
        variogram_parameters={"psill": 2.0, "range": 5.0, "nugget": 0.1},
        exact_values=True,
    )
    value, variance = model.execute("points", *targets.T, n_closest_points=k, backend="loop")
    ours = ordinary_kriging(places, values, targets, PLANE, neighbours=k)
    assert ours.value.tolist() == pytest.approx(np.asarray(value).tolist(), abs=1e-6)
    assert ours.variance.tolist() == pytest.approx(np.asarray(variance).tolist(), abs=1e-6)


@pytest.mark.parametrize("at_data", ["exact", "filtered"])
@pytest.mark.parametrize("on_sphere", [True, False])
def test_estimates_with_a_known_mean_are_those_of_gstools(at_data, on_sphere):
    generator = np.random.default_rng(32)
    if on_sphere:
        places, targets = (sample_sphere(n, generator=generator) for n in (40, 7))
        model = gs.Exponential(
            latlon=True, geo_scale=EARTH_RADIUS_KM, var=1.0, len_scale=900.0, nugget=0.2
        )
    else:
        places, targets = (generator.uniform(0, 20, (n, 2)) for n in (40, 7))
        model = gs.Spherical(dim=2, var=2.0, len_scale=5.0, nugget=0.1)
    targets = np.concatenate([targets, places[:2]])
    values = 3.0 + generator.normal(size=40)
    theirs = gs.krige.Simple(
        model, cond_pos=places.T, cond_val=values, mean=3.0, exact=at_data == "exact"
    )
    value, variance = theirs(targets.T, return_var=True)
    fit = SPHERE if on_sphere else PLANE
    ours = simple_kriging(places, values, targets, fit, mean=3.0, at_data=at_data)
    noise = fit.nugget if at_data == "filtered" else 0.0
    assert ours.value.tolist() == pytest.approx(value.tolist(), abs=1e-9)
    assert (ours.variance + noise).tolist() == pytest.approx(variance.tolist(), abs=1e-9)


def test_a_known_mean_is_the_estimate_far_away_and_never_costs_variance():
    places, values = near_paris(10, 33), np.random.default_rng(34).normal(size=10)
    both = np.concatenate([near_paris(5, 35), [[-48.0, -178.0]]])
    known = simple_kriging(places, values, both, SPHERE, mean=2.5)
    unknown = ordinary_kriging(places, values, both, SPHERE)
    assert float(known.value[-1]) == pytest.approx(2.5, abs=1e-4)
    assert float(known.variance[-1]) == pytest.approx(SPHERE.sill, abs=1e-6)
    assert bool((known.variance <= unknown.variance + 1e-12).all())
    # told the mean that ordinary kriging estimates, both give one answer
    ones, sill = np.ones(10), SPHERE.covariance(np.zeros((10, 10)))
    lag = np.array([[float(great_circle_km(a, b)) for b in places] for a in places])
    inverse = np.linalg.inv(np.where(np.eye(10) > 0, sill, SPHERE.covariance(lag)))
    mean = float(ones @ inverse @ values / (ones @ inverse @ ones))
    told = simple_kriging(places, values, both, SPHERE, mean=mean)
    assert told.value.tolist() == pytest.approx(unknown.value.tolist(), abs=1e-9)


def test_every_value_of_a_place_may_have_a_mean_of_its_own():
    places, targets = near_paris(7, 36), near_paris(3, 37)
    values = np.random.default_rng(38).normal(size=(7, 2))
    mean = np.array([0.5, -4.0])
    for neighbours in (None, 5):
        settings = {"neighbours": neighbours, "at_data": "filtered"}
        together = simple_kriging(places, values, targets, SPHERE, mean=mean, **settings)
        for column in range(2):
            alone = simple_kriging(
                places, values[:, column], targets, SPHERE, mean=float(mean[column]), **settings
            )
            assert together.value[:, column].tolist() == pytest.approx(alone.value.tolist())
    with pytest.raises(ConfigError, match="a mean of shape"):
        simple_kriging(places, values, targets, SPHERE, mean=np.ones(3))
    with pytest.raises(ConfigError, match="mean is not finite"):
        simple_kriging(places, values, targets, SPHERE, mean=math.nan)


@pytest.mark.parametrize("at_data", ["exact", "filtered"])
def test_looked_up_covariances_give_what_computed_ones_give(at_data):
    places, values = near_paris(20, 39), np.random.default_rng(40).normal(size=20)
    targets = near_paris(30, 41)
    # thirty targets from five places each share a table; a few alone do not
    together = ordinary_kriging(places, values, targets, SPHERE, neighbours=5, at_data=at_data)
    for row in range(0, 30, 7):
        alone = ordinary_kriging(
            places, values, targets[row : row + 1], SPHERE, neighbours=5, at_data=at_data
        )
        assert float(together.value[row]) == pytest.approx(float(alone.value[0]), abs=1e-12)
        assert float(together.variance[row]) == pytest.approx(float(alone.variance[0]), abs=1e-12)


def test_the_smoothest_model_gives_its_data_back():
    smooth = given_variogram("gaussian", partial_sill=1.0, scale=2000.0)
    places = near_paris(60, 42)
    generator = torch.Generator().manual_seed(3)
    field = gaussian_field(places, smooth.covariance, generator=generator)[0, :, 0]
    kriged = ordinary_kriging(places, field, places, smooth)
    assert torch.allclose(kriged.value, field, atol=1e-3)


@pytest.mark.parametrize("neighbours", [None, 6])
@pytest.mark.parametrize("mean", [None, 2.0])
@pytest.mark.parametrize("at_data", ["exact", "filtered"])
def test_leaving_one_out_is_kriging_from_the_others(neighbours, mean, at_data):
    places = near_paris(25, 50)
    values = np.random.default_rng(51).normal(2.0, 1.0, (25, 2))
    method = KrigingMethod(fit=SPHERE, mean=mean, neighbours=neighbours, at_data=at_data)
    found = method.left_out(places, values)
    assert found.value.shape == (25, 2)
    for row in range(25):
        others = np.arange(25) != row
        alone = method.kriged(places[others], values[others], places[row : row + 1])
        noise = SPHERE.nugget if at_data == "filtered" else 0.0
        assert found.value[row].tolist() == pytest.approx(alone.value[0].tolist(), abs=1e-10)
        assert float(found.variance[row]) == pytest.approx(
            float(alone.variance[0]) + noise, rel=1e-10
        )


def test_repeated_measurements_are_left_out_one_at_a_time():
    places = np.concatenate([near_paris(6, 52), near_paris(6, 52)[[1] * 5]])
    values = np.random.default_rng(53).normal(size=11)
    method = KrigingMethod(fit=SPHERE, at_data="filtered")
    found = method.left_out(places, values)
    for row in range(11):
        others = np.arange(11) != row
        alone = method.kriged(places[others], values[others], places[row : row + 1])
        assert float(found.value[row]) == pytest.approx(float(alone.value[0]), abs=1e-10)
    # of the nearest, which need not hold the place itself: its own value has no say
    method = KrigingMethod(fit=SPHERE, at_data="filtered", neighbours=3)
    for row in range(11):
        other = values + 9.0 * (np.arange(11) == row)
        before, after = (method.left_out(places, each).value[row] for each in (values, other))
        assert float(after) == pytest.approx(float(before), abs=1e-10)
    with pytest.raises(DataError, match="one place"):
        KrigingMethod(fit=SPHERE, duplicates="mean").left_out(places, values)


def test_of_two_places_each_is_estimated_by_the_other_and_of_one_there_is_none():
    places = near_paris(2, 54)
    found = KrigingMethod(fit=SPHERE).left_out(places, np.array([1.0, 5.0]))
    assert found.value.tolist() == pytest.approx([5.0, 1.0])
    lag = float(great_circle_km(places[0], places[1]))
    assert found.variance.tolist() == pytest.approx([2 * float(SPHERE(lag))] * 2)
    with pytest.raises(DataError, match="two at least"):
        KrigingMethod(fit=SPHERE).left_out(places[:1], np.array([1.0]))
