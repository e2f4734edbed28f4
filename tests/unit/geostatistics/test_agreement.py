import math

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics import (
    LagBins,
    estimate_variogram,
    lagged_agreement,
    measure_agreement,
    semivariogram_distance,
    wasserstein_distance,
)


@pytest.fixture
def pair():
    generator = np.random.default_rng(0)
    truth = generator.normal(5.0, 2.0, (30, 4))
    return 0.7 * truth + generator.normal(0.3, 1.0, truth.shape), truth


def test_as_scikit_learn_has_it(pair):
    estimate, truth = pair
    found = measure_agreement(torch.from_numpy(estimate), torch.from_numpy(truth))
    flat, wanted = estimate.ravel(), truth.ravel()
    assert found.count == 120
    assert found.rmse == pytest.approx(root_mean_squared_error(wanted, flat))
    assert found.mae == pytest.approx(mean_absolute_error(wanted, flat))
    assert found.bias == pytest.approx(np.mean(flat - wanted))
    assert found.nse == pytest.approx(r2_score(wanted, flat))
    assert found.pearson == pytest.approx(pearsonr(flat, wanted).statistic)
    assert found.r2 == pytest.approx(found.pearson**2)
    ratios = (flat.std() / wanted.std(), flat.mean() / wanted.mean())
    distance = math.dist((found.pearson, *ratios), (1.0, 1.0, 1.0))
    assert found.kge == pytest.approx(1.0 - distance)


def test_a_perfect_estimate_the_mean_and_a_line(pair):
    _, truth = pair
    perfect = measure_agreement(truth, truth)
    assert (perfect.rmse, perfect.nse, perfect.kge) == (0.0, 1.0, pytest.approx(1.0))
    mean = measure_agreement(np.full_like(truth, truth.mean()), truth)
    assert mean.nse == pytest.approx(0.0)
    assert math.isnan(mean.pearson)
    assert math.isnan(mean.kge)
    # what is stretched and moved is still a line, but no longer an estimate
    stretched = measure_agreement(3.0 * truth + 1.0, truth)
    assert stretched.r2 == pytest.approx(1.0)
    assert stretched.nse < 0


def test_what_is_missing_in_either_is_left_out(pair):
    estimate, truth = (each.copy() for each in pair)
    estimate[0, 0] = np.nan
    truth[1] = np.nan
    known = ~np.isnan(estimate) & ~np.isnan(truth)
    found, wanted = (
        measure_agreement(estimate, truth),
        measure_agreement(estimate[known], truth[known]),
    )
    assert found == wanted
    assert found.count == 115
    with pytest.raises(DataError, match="2 values known"):
        measure_agreement(np.array([1.0, 2.0, np.nan]), np.array([1.0, 2.0, 3.0]))
    with pytest.raises(DataError, match="an estimate"):
        measure_agreement(estimate, truth[:2])


def test_lags_against_a_loop(pair):
    series = pair[1].copy()
    series[3, 2] = np.nan
    rmse, r2 = lagged_agreement(series, 5)
    for lag in range(1, 6):
        late, early = [], []
        for time in range(lag, len(series)):
            for place in range(4):
                if not np.isnan(series[time, place] + series[time - lag, place]):
                    late.append(series[time, place])
                    early.append(series[time - lag, place])
        assert rmse[lag - 1] == pytest.approx(root_mean_squared_error(early, late))
        assert r2[lag - 1] == pytest.approx(pearsonr(late, early).statistic ** 2)
    with pytest.raises(ConfigError, match="30 lags of 30 steps"):
        lagged_agreement(series, 30)


def test_wasserstein_is_how_far_a_shift_goes_and_knows_no_order():
    value = np.random.default_rng(0).normal(size=1000)
    shifted = np.append(value[::-1] + 3.0, np.nan)
    assert wasserstein_distance(value, shifted) == pytest.approx(3.0)
    assert wasserstein_distance(value, value[::-1].copy()) == 0.0
    assert wasserstein_distance(np.zeros(5), np.array([0.0, 1.0])) == pytest.approx(0.5)
    with pytest.raises(DataError, match="without values"):
        wasserstein_distance(value, np.array([np.nan]))


def test_a_field_twice_as_strong_is_three_times_its_semivariance_away():
    generator = np.random.default_rng(0)
    places, value = generator.uniform(0, 10, (300, 2)), generator.normal(size=300)
    bins = LagBins.even(5, 5.0, unit="m")

    def variogram(values, bins=bins):
        return estimate_variogram(
            places, values, bins=bins, metric="euclidean", dissimilarity="squared"
        )

    truth = variogram(value)
    assert semivariogram_distance(truth, truth) == 0.0
    assert semivariogram_distance(variogram(2.0 * value), truth) == pytest.approx(3.0, rel=1e-6)
    assert semivariogram_distance(variogram(0.0 * value), truth) == pytest.approx(1.0)
    with pytest.raises(DataError, match="different classes"):
        semivariogram_distance(variogram(value, LagBins.even(4, 5.0, unit="m")), truth)


def test_constants_have_no_correlation_whatever_their_rounding():
    # the mean of 0.1 three times is not 0.1
    value = np.random.default_rng(0).normal(size=1000)
    for level in (0.1, 1e-9, 12345.678):
        constant = np.full(1000, level)
        assert math.isnan(measure_agreement(constant, value).pearson)
        assert math.isnan(measure_agreement(value, constant).nse)
        assert math.isnan(measure_agreement(value, constant).kge)


def test_agreement_as_json():
    told = measure_agreement(np.arange(4.0), np.full(4, 2.0)).to_json()
    assert told["count"] == 4
    assert told["bias"] == -0.5
    assert told["r2"] is None
    assert told["nse"] is None


def test_infinite_values_are_refused():
    with pytest.raises(DataError, match="infinite"):
        measure_agreement(np.array([1.0, 2.0, np.inf]), np.arange(3.0))


def test_variograms_that_do_not_compare():
    generator = np.random.default_rng(0)
    places, value = generator.uniform(0, 10, (50, 2)), generator.normal(size=50)

    def variogram(unit="m", **changes):
        given = {"metric": "euclidean", "dissimilarity": "squared"} | changes
        return estimate_variogram(places, value, bins=LagBins.even(5, 5.0, unit=unit), **given)

    with pytest.raises(DataError, match="different classes"):
        semivariogram_distance(variogram("km"), variogram())
    with pytest.raises(DataError, match="metrics or dissimilarities"):
        semivariogram_distance(variogram(dissimilarity="absolute"), variogram())
    flat = estimate_variogram(
        places,
        np.zeros(50),
        bins=LagBins.even(5, 5.0, unit="m"),
        metric="euclidean",
        dissimilarity="squared",
    )
    with pytest.raises(DataError, match="truth is constant"):
        semivariogram_distance(variogram(), flat)
