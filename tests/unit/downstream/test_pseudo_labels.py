from __future__ import annotations

import numpy as np
import pytest
import torch

from geoloc.downstream import krige_steps
from geoloc.errors import DataError
from geoloc.geodesy import great_circle_km
from geoloc.geostatistics import (
    estimate_variogram,
    gaussian_field,
    given_variogram,
    ordinary_kriging,
    pooled_variogram,
)

FIT = given_variogram("exponential", nugget=0.05, partial_sill=1.0, scale=800.0)


def places(count: int, seed: int) -> np.ndarray:
    return np.array([45.0, 5.0]) + np.random.default_rng(seed).uniform(-9, 9, (count, 2))


def fields(at: np.ndarray, steps: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    return gaussian_field(at, FIT.covariance, generator=generator, fields=steps)[..., 0].T.numpy()


def test_each_step_is_kriged_from_the_stations_of_that_step_alone() -> None:
    at, to = places(9, 0), places(4, 1)
    value = fields(at, 5)
    value[2:4, 1] = np.nan
    value[5, 4] = np.nan
    found = krige_steps(at, value, to, FIT)
    for step in range(5):
        known = np.isfinite(value[:, step])
        alone = ordinary_kriging(at[known], value[known, step], to, FIT)
        assert found.value[:, step] == pytest.approx(alone.value.numpy(), abs=1e-10)
        assert found.variance[:, step] == pytest.approx(alone.variance.numpy(), abs=1e-10)


def test_steps_with_too_few_stations_give_no_label_and_no_weight() -> None:
    at, value = places(6, 2), fields(places(6, 2), 2)
    value[2:, 1] = np.nan
    found = krige_steps(at, value, places(3, 3), FIT)
    assert np.isnan(found.value[:, 1]).all()
    assert found.weights(0.5)[:, 1].tolist() == [0.0, 0.0, 0.0]
    assert (found.weights(0.5)[:, 0] > 0).all()
    with pytest.raises(DataError, match="no step has 3 stations"):
        krige_steps(at, np.where(np.arange(6)[:, None] < 2, value, np.nan), at, FIT)


def test_two_monitors_at_one_site_are_one_station_with_their_mean() -> None:
    at, value = places(7, 8), fields(places(7, 8), 3)
    twice = np.concatenate([at, at[2:3]])
    both = np.concatenate([value, value[2:3] + 2.0])
    both[7, 1], both[2, 2] = np.nan, np.nan
    merged = value.copy()
    # both measure, the first alone, the other alone
    merged[2] += [1.0, 0.0, 2.0]
    found, wanted = (
        krige_steps(*each, places(3, 9), FIT) for each in ((twice, both), (at, merged))
    )
    assert found.value == pytest.approx(wanted.value, abs=1e-9)
    assert found.variance == pytest.approx(wanted.variance, abs=1e-9)


def test_weights_fall_with_the_variance_and_are_a_half_where_trust_says() -> None:
    at = places(5, 4)
    # at a station, near it, and across the Earth
    to = np.stack([at[0], at[0] + [0.1, 0.1], np.array([-45.0, -170.0])])
    found = krige_steps(at, fields(at, 1), to, FIT)
    weight = found.weights(0.5)[:, 0]
    assert weight[0] == pytest.approx(1.0)
    assert weight[0] > weight[1] > weight[2]
    trust = float(found.variance[2, 0]) / FIT.sill
    assert found.weights(trust)[2, 0] == pytest.approx(0.5)
    assert found.weights(np.inf)[2, 0] == pytest.approx(1.0)


def test_the_pooled_variogram_is_that_of_pairs_within_steps() -> None:
    at = places(30, 5)
    # means that differ by far more than the field: pairs across steps would see nothing else
    value = fields(at, 6) + 100.0 * np.arange(6)
    value[3, 2] = np.nan
    found = pooled_variogram(at, value, classes=4, max_lag=2000.0)
    # an edge is the lag of some pair: rounding must not move it to the next class
    edges = np.array(found.bins.edges) * (1 + 1e-9)
    lower, upper = edges[:-1], edges[1:]
    total, count = np.zeros(4), np.zeros(4)
    for step in range(6):
        for one in range(30):
            for other in range(one):
                half = 0.5 * (value[one, step] - value[other, step]) ** 2
                lag = float(great_circle_km(at[one], at[other]))
                slot = np.flatnonzero((lower < lag) & (lag <= upper))
                if len(slot) and np.isfinite(half):
                    total[slot[0]] += half
                    count[slot[0]] += 1
    assert found.semivariance == pytest.approx(total / count, rel=1e-6)
    one_step = estimate_variogram(at, value[:, 0], bins=found.bins)
    only = pooled_variogram(at, value[:, :1], classes=4, max_lag=2000.0)
    assert only.semivariance == pytest.approx(one_step.semivariance, rel=1e-9)


def test_too_few_or_too_distant_stations_are_refused() -> None:
    with pytest.raises(DataError, match="2 stations measured anything"):
        pooled_variogram(places(3, 6), np.array([[1.0], [2.0], [np.nan]]), classes=3, max_lag=1e4)
    with pytest.raises(DataError, match="no two stations are within 1 km"):
        pooled_variogram(places(4, 7), np.ones((4, 1)), classes=3, max_lag=1.0)
