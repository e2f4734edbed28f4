"""Against R's spdep on the meuse soil data (the fixture `meuse`), and against random deals."""

from __future__ import annotations

import numpy as np
import pytest

from geoloc.errors import ConfigError, DataError
from geoloc.geodesy import sample_sphere
from geoloc.geostatistics import (
    CLUSTERS,
    gearys_c,
    local_moran,
    morans_i,
    nearest_neighbours,
    neighbours_within,
)


def test_moran_and_geary_of_spdep(meuse):
    places, value = meuse
    weights = nearest_neighbours(places, 8, metric="euclidean")
    moran, geary = morans_i(value, weights), gearys_c(value, weights)
    assert moran.value == pytest.approx(0.48960633721941, rel=1e-12)
    assert moran.expectation == pytest.approx(-0.00649350649351, rel=1e-10)
    assert moran.variance == pytest.approx(0.00138301322681, rel=1e-10)
    assert moran.z == pytest.approx(13.3400028822, rel=1e-10)
    assert geary.value == pytest.approx(0.46386139540533, rel=1e-12)
    assert geary.variance == pytest.approx(0.00152841308224, rel=1e-10)


def test_moran_of_spdep_within_a_distance(meuse):
    places, value = meuse
    weights = neighbours_within(places, 300.0, metric="euclidean", unit="m")
    # one sample has no neighbour: spdep leaves it out of n, here it counts
    assert morans_i(value, weights).value * 154 / 155 == pytest.approx(0.49699570925397, rel=1e-12)


def test_local_moran_of_spdep(meuse):
    places, value = meuse
    weights = nearest_neighbours(places, 8, metric="euclidean")
    local = local_moran(value, weights)
    spdep = [0.663614254558, 0.773890538683, 0.189036902752, -0.133296514580]
    np.testing.assert_allclose(local.value[:4], spdep, rtol=1e-10)
    assert local.value.mean() == pytest.approx(morans_i(value, weights).value)


def test_moments_are_those_of_dealing_the_values_at_random():
    generator = np.random.default_rng(0)
    weights = nearest_neighbours(sample_sphere(40, generator=generator), 4)
    value = generator.exponential(size=40) ** 2
    deals = [generator.permutation(value) for _ in range(600)]
    for statistic in (morans_i, gearys_c):
        test = statistic(value, weights)
        drawn = np.array([statistic(deal, weights).value for deal in deals])
        assert drawn.mean() == pytest.approx(test.expectation, abs=4 * drawn.std() / 600**0.5)
        assert drawn.var() == pytest.approx(test.variance, rel=0.25)


def test_local_scores_are_those_of_dealing_all_other_values():
    generator = np.random.default_rng(1)
    weights = nearest_neighbours(sample_sphere(40, generator=generator), 4)
    value = generator.normal(size=40) ** 3
    drawn = []
    for _ in range(800):
        deal = value.copy()
        deal[1:] = generator.permutation(value[1:])
        drawn.append(local_moran(deal, weights).value[0])
    local = local_moran(value, weights)
    score = (local.value[0] - np.mean(drawn)) / np.std(drawn)
    assert local.z[0] == pytest.approx(score, abs=0.1)


def test_permutations_agree_with_the_normal_approximation():
    generator = np.random.default_rng(2)
    weights = nearest_neighbours(sample_sphere(300, generator=generator), 6)
    value = generator.normal(size=300)
    test = morans_i(value, weights, permutations=999, generator=generator)
    assert test.permutation_p == pytest.approx(test.p, abs=0.06)
    alike = np.sin(np.arange(300)) + 3 * weights.lag(value)
    assert morans_i(alike, weights, permutations=99).permutation_p == pytest.approx(0.01)
    assert test.to_json()["permutation_p"] == test.permutation_p


def test_a_field_of_noise_is_a_cluster_nowhere_and_a_planted_one_is_found():
    generator = np.random.default_rng(3)
    places = sample_sphere(3000, generator=generator)
    weights = nearest_neighbours(places, 8)
    value = generator.normal(size=3000)
    assert sum(list(local_moran(value, weights).counts().values())[1:]) <= 15
    high, low = places[:, 0] > 60, places[:, 0] < -60
    cluster = local_moran(value + 4.0 * high - 4.0 * low, weights).cluster
    assert np.mean(cluster[high] == CLUSTERS.index("high-high")) > 0.8
    assert np.mean(cluster[low] == CLUSTERS.index("low-low")) > 0.8
    assert np.mean(cluster[~high & ~low] != 0) < 0.1


def test_what_has_no_autocorrelation():
    weights = nearest_neighbours(sample_sphere(10, generator=np.random.default_rng(0)), 2)
    with pytest.raises(DataError, match="all values are equal"):
        morans_i(np.full(10, 0.1), weights)
    with pytest.raises(DataError, match="must be finite"):
        gearys_c(np.array([np.nan] * 10), weights)
    with pytest.raises(DataError, match="9 values for the neighbours of 10"):
        local_moran(np.arange(9.0), weights)
    with pytest.raises(ConfigError, match="false discovery rate"):
        local_moran(np.arange(10.0), weights, false_discovery_rate=1.0)


@pytest.mark.parametrize("count", [2, 4, 8])
def test_what_every_deal_gives_alike_says_nothing(count):
    # one odd value on an even ring has the same neighbours wherever it is dealt to
    ring = np.stack([np.zeros(36), 10.0 * np.arange(36) - 180.0], axis=1)
    weights = nearest_neighbours(ring, count)
    value = np.zeros(36)
    value[3] = 1.0
    for statistic in (morans_i, gearys_c):
        found = statistic(value, weights)
        assert (found.variance, found.z, found.p) == (0.0, 0.0, 1.0)
        assert found.value == pytest.approx(found.expectation)
    value[20] = 1e-3
    assert morans_i(value, weights).variance > 0.0
