import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics import (
    Engine,
    LagBins,
    ValueBins,
    VariogramAccumulator,
    estimate_variogram,
)
from geoloc.geostatistics.dissimilarity import check_dissimilarity, of_half_square
from geoloc.geostatistics.features import Features
from geoloc.geostatistics.summary import jackknife_error

KM = LagBins(edges=(0.001, 0.1, 5.0, 300.0, 4000.0, 15_000.0))


@pytest.fixture(scope="module")
def samples(clustered_places):
    places = clustered_places(300)
    values = np.random.default_rng(1).normal(size=(300, 6)) + np.sin(np.radians(places[:, :1]))
    return places, values


def test_fields_of_a_variogram(samples):
    places, values = samples
    found = estimate_variogram(places, values, bins=KM)
    assert found.dissimilarity == "cosine"
    assert found.unit == "km"
    assert len(found) == len(found.lag) == found.quantile.shape[0]
    assert (np.diff(found.lag) > 0).all()
    assert ((found.lag > KM.lower[found.bin]) & (found.lag <= KM.upper[found.bin])).all()
    assert (np.diff(found.quantile, axis=1) >= 0).all()
    assert found.coincident_count >= 1
    counts = found.pair_count.sum() + found.coincident_count + found.below_count
    assert counts + found.beyond_count == 300 * 299 // 2
    assert found.replicate.shape == (40, len(found))
    assert found.provenance["samples"] == 300


def test_occupied_classes_only(samples):
    places, values = samples
    bins = LagBins(edges=(0.0, 1e-7, 300.0, 300.0000001, 20_016.0))
    found = estimate_variogram(places, values, bins=bins)
    assert found.bin.tolist() == [1, 3]
    assert np.isfinite(found.semivariance).all()


def test_places_and_values_of_any_kind(samples):
    places, values = samples
    expected = estimate_variogram(places, values, bins=KM).semivariance
    for these, those in (
        (torch.from_numpy(places), torch.from_numpy(values)),
        (places, torch.from_numpy(values).float()),
        (places.astype(np.float64), values.astype(np.float32)),
        (places, torch.from_numpy(values).bfloat16()),
    ):
        found = estimate_variogram(these, those, bins=KM)
        np.testing.assert_allclose(found.semivariance, expected, rtol=0.02)
    whole = estimate_variogram(
        np.array([[0, 0], [3, 4], [6, 8]]),
        np.array([1, 3, 5]),
        bins=LagBins(edges=[0, 5, 10], unit="pixel"),
        metric="euclidean",
    )
    assert whole.lag.tolist() == [5.0, 10.0]
    assert whole.semivariance.tolist() == [2.0, 8.0]
    # gradients are not followed
    learning = torch.from_numpy(values).requires_grad_()
    assert np.isfinite(estimate_variogram(places, learning, bins=KM).semivariance).all()


def test_labels_for_groups(samples):
    places, values = samples
    label = np.where(places[:, 0] > 0, 17, -4)
    found = estimate_variogram(places, values, bins=KM, groups=label)
    assert found.replicate.shape[0] == 2
    alone = estimate_variogram(places, values, bins=KM, groups=1)
    assert alone.replicate is None
    assert np.isnan(alone.standard_error).all()
    np.testing.assert_allclose(found.semivariance, alone.semivariance, rtol=1e-12)
    numbered = estimate_variogram(
        places, values, bins=KM, groups=np.int64(7), pairs=np.int64(10**6)
    )
    assert numbered.replicate.shape[0] == 7
    assert numbered.provenance["pairs"] == 10**6
    # groups of fewer than four samples are not made
    few = estimate_variogram(places[:18], values[:18], bins=LagBins.even(1, 20_016.0))
    assert few.replicate.shape[0] == 4
    with pytest.raises(ConfigError, match="group"):
        estimate_variogram(places, values, bins=KM, groups=0)


def test_medians_exact_and_from_the_histogram(samples, monkeypatch):
    places, values = samples
    exact = estimate_variogram(places, values, bins=KM, estimator="median")
    monkeypatch.setattr("geoloc.geostatistics.estimate.MOST_EXACT", 10)
    binned = estimate_variogram(places, values, bins=KM, estimator="median")
    many = exact.pair_count > 1000
    assert many.any()
    np.testing.assert_allclose(binned.semivariance[many], exact.semivariance[many], rtol=0.02)
    assert np.isnan(exact.standard_error).all()


def test_robust_estimators_agree_on_clean_vectors():
    generator = np.random.default_rng(3)
    places = generator.uniform(0, 30, size=(800, 2))
    values = generator.normal(size=(800, 64))
    bins = LagBins.even(3, 30.0, unit="pixel")
    curves = [
        estimate_variogram(
            places,
            values,
            bins=bins,
            metric="euclidean",
            dissimilarity="squared",
            estimator=estimator,
        ).semivariance
        for estimator in ("matheron", "cressie", "median")
    ]
    # the variance of 64 independent components is 64; with constants for one dimension 2.2 times
    for curve in curves:
        np.testing.assert_allclose(curve, 64.0, rtol=0.03)


def test_one_outlier_does_not_blind_the_histogram(monkeypatch):
    monkeypatch.setattr("geoloc.geostatistics.estimate.MOST_EXACT", 10)
    generator = np.random.default_rng(4)
    places = generator.uniform(0, 30, size=(1200, 2))
    scalars, vectors = generator.normal(size=1200), generator.normal(size=(1200, 64)) / 8
    scalars[0], vectors[0] = 1e6, vectors[0] * 1e6
    bins = LagBins.even(2, 30.0, unit="pixel")
    for values in (scalars, vectors):
        found = estimate_variogram(
            places,
            values,
            bins=bins,
            metric="euclidean",
            dissimilarity="squared",
            estimator="median",
        )
        np.testing.assert_allclose(found.semivariance, 1.0, rtol=0.1)
        assert (found.quantile[:, 3] < 2.0).all()


def test_jackknife_of_groups():
    replicate = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 2.0]])
    found = jackknife_error(replicate)
    assert found[0] == pytest.approx(math.sqrt(8 * 2 / 3))
    # without its one group the class is empty: nothing is known of its error, least of all 0
    assert math.isnan(found[1])
    # what pairs of groups do is taken off once, but never more than half
    change = np.zeros((3, 3, 2))
    change[0, 1, 0] = change[1, 0, 0] = 1.0
    assert jackknife_error(replicate, change)[0] == pytest.approx(math.sqrt(16 / 3 - 1))
    change[0, 1, 0] = 50.0
    assert jackknife_error(replicate, change)[0] == pytest.approx(math.sqrt(8 / 3))


def test_progress_counts_every_pair(samples):
    places, values = samples
    seen = []
    engine = Engine(progress=lambda done, total: seen.append((done, total)))
    estimate_variogram(places, values, bins=KM, engine=engine)
    assert seen[-1] == (300 * 299 // 2, 300 * 299 // 2)
    seen.clear()
    estimate_variogram(places, values, bins=KM, pairs=5000, engine=engine)
    assert seen[-1][1] == 5000
    assert seen == sorted(seen)


def test_what_cannot_be_is_refused(samples):
    places, values = samples
    with pytest.raises(DataError, match="none of"):
        estimate_variogram(places, values, bins=LagBins(edges=(20_100.0, 20_200.0)))
    with pytest.raises(ConfigError, match="day"):
        estimate_variogram(places, values, bins=LagBins.even(3, 9.0, unit="day"))
    with pytest.raises(ConfigError, match="semivariance"):
        estimate_variogram(places, values, bins=KM, dissimilarity="absolute", estimator="median")
    with pytest.raises(DataError, match="299 places for 300"):
        estimate_variogram(places[:299], values, bins=KM, groups=1)
    with pytest.raises(DataError, match="none of 0 pairs"):
        estimate_variogram(places[:1], values[:1], bins=KM)
    with pytest.raises(DataError, match="5 groups for 300"):
        estimate_variogram(places, values, bins=KM, groups=np.arange(5))
    with pytest.raises(ConfigError, match="one place"):
        estimate_variogram(places, values, bins=LagBins(edges=(0.0, 1e-10)))
    with pytest.raises(ConfigError, match="manhattan"):
        check_dissimilarity("manhattan")


def test_values_far_from_zero_keep_their_differences(samples):
    places, values = samples
    near = estimate_variogram(places, values, bins=KM, dissimilarity="squared")
    far = estimate_variogram(places, values + 1e6, bins=KM, dissimilarity="squared")
    np.testing.assert_allclose(far.semivariance, near.semivariance, rtol=1e-7)
    constant = estimate_variogram(places, np.full(300, 7.0), bins=KM)
    assert (constant.semivariance == 0).all()


def test_rows_far_down_are_checked_too():
    values = np.ones((200_000, 2), dtype=np.float32)
    values[123_457, 1] = np.inf
    with pytest.raises(DataError, match="not finite"):
        Features(values, dissimilarity="squared", device=torch.device("cpu")).rows(
            torch.arange(200_000)
        )


@given(st.lists(st.floats(0.0, 500.0), min_size=1, max_size=50), st.sampled_from([0.25, 1.0, 64.0]))
def test_value_classes_hold_their_values(values, scale):
    bins = ValueBins(scale=scale)
    value = np.array(values)
    edges = bins.edges
    index = bins.index(torch.from_numpy(value)).numpy()
    single = (value / scale).astype(np.float32).astype(np.float64) * scale
    inside = (single >= edges[index]) & (single < edges[index + 1])
    assert (inside | ((index == len(bins) - 1) & (single >= edges[-1]))).all()


def test_value_classes():
    assert len(ValueBins()) == len(ValueBins().edges) - 1
    assert ValueBins().edges[-1] == 2.0**36
    assert ValueBins().edges[1] < 1.6e-8
    assert ValueBins.around(5.0).scale == 4.0
    assert ValueBins.around(0.0).scale == ValueBins.around(math.nan).scale == 1.0
    with pytest.raises(ConfigError, match="power of two"):
        ValueBins(scale=3.0)
    value = torch.tensor([-1e-9, 0.0, 2.0])
    assert of_half_square(value, "squared").tolist() == [0.0, 0.0, 2.0]
    assert of_half_square(value, "absolute").tolist() == [0.0, 0.0, 1.0]


def test_accumulators_make_the_same_variogram(samples):
    places, values = samples
    sums = VariogramAccumulator(KM)
    sums.add(places, values)
    made = sums.variogram()
    estimated = estimate_variogram(places, values, bins=KM)
    np.testing.assert_allclose(made.semivariance, estimated.semivariance, rtol=1e-12)
