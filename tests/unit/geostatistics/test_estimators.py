import numpy as np
import pytest
from scipy import stats

from geoloc.errors import ConfigError
from geoloc.geostatistics.dissimilarity import ValueBins
from geoloc.geostatistics.estimators import (
    check_estimator,
    cressie,
    cressie_constants,
    effective_dimension,
    from_median,
    histogram_quantiles,
    matheron,
    spread,
)


def sums_of(value):
    value = np.asarray(value, dtype=np.float64)
    terms = (np.ones_like(value), value, value, value**2, value**0.25)
    return np.stack([term.sum(axis=-1) for term in terms], axis=-1)


def test_the_textbook_constants_in_one_dimension():
    assert [float(c) for c in cressie_constants(np.array(1.0))] == [0.457, 0.494]
    # beside them, from the chi distribution: 0.45695 and 0.494
    limit, per_pair = cressie_constants(np.array(1.0 + 1e-9))
    assert limit == pytest.approx(0.45695, abs=1e-5)
    assert per_pair == pytest.approx(0.494, abs=5e-4)
    assert float(from_median(np.array(1.0), 1.0)) == pytest.approx(2.19811, abs=1e-5)


@pytest.mark.parametrize(
    ("dimension", "root", "middle"),
    [
        (2, 0.67497, 1.44270),
        (8, 0.90891, 1.08931),
        (64, 0.98832, 1.01051),
        (512, 0.99854, 1.00130),
        (768, 0.99902, 1.00087),
    ],
)
def test_constants_by_dimension(dimension, root, middle):
    # E(sqrt R)^4 / E R^2 and d / median(chi2_d), by numerical integration elsewhere
    assert float(cressie_constants(np.array(float(dimension)))[0]) == pytest.approx(root, abs=1e-5)
    assert float(from_median(np.array(1.0), float(dimension))) == pytest.approx(middle, abs=1e-5)
    assert dimension / stats.chi2(dimension).median() == pytest.approx(middle, abs=1e-5)


@pytest.mark.parametrize("dimension", [1, 2, 16, 200])
@pytest.mark.parametrize("pairs", [5, 60])
def test_unbiased_for_normal_values(dimension, pairs):
    generator = np.random.default_rng(dimension + pairs)
    value = generator.chisquare(dimension, size=(20_000, pairs)) / dimension * 3.0
    for estimate in (matheron(sums_of(value)), cressie(sums_of(value), float(dimension))):
        error = estimate.std() / np.sqrt(len(estimate))
        # the expansion stops at 1 / n: at five pairs a percent is left in one dimension
        assert abs(estimate.mean() - 3.0) < 4 * error + (0.04 if pairs == 5 else 0.003)


@pytest.mark.parametrize("dimension", [1.0, 2.0, 16.0, 200.0])
def test_medians_of_many_pairs(dimension):
    generator = np.random.default_rng(int(dimension))
    value = generator.chisquare(dimension, size=(2000, 1001)) / dimension * 3.0
    middle = from_median(np.median(value, axis=1), dimension).mean()
    assert middle == pytest.approx(3.0, rel=0.005)


def test_outliers_move_the_mean_most_and_the_median_least():
    generator = np.random.default_rng(0)
    scale = 1.0 / np.arange(1, 513)
    differences = generator.normal(size=(20_000, 512)) * np.sqrt(scale)
    value = np.square(differences).sum(axis=1) / scale.sum()
    value[:1000] *= 20.0
    low, middle, high = np.quantile(value, (0.25, 0.5, 0.75))
    dimension = effective_dimension(np.array(low), np.array(high))
    assert 5 < dimension < 60
    assert matheron(sums_of(value)) > 1.9
    assert 1.05 < cressie(sums_of(value), dimension) < 1.4
    assert abs(from_median(np.array(middle), dimension) - 1.0) < 0.05
    # the constants for one dimension would be wrong by a factor of two
    assert from_median(np.array(middle), 1.0) > 1.9


@pytest.mark.parametrize("dimension", [1, 3, 20, 500])
def test_effective_dimension_of_independent_components(dimension):
    low, high = stats.chi2(dimension).ppf([0.25, 0.75])
    assert effective_dimension(np.array(low), np.array(high)) == pytest.approx(dimension, rel=0.01)


def test_effective_dimension_of_degenerate_quartiles():
    assert effective_dimension(np.array(1.0), np.array(1.0)) == pytest.approx(1e5)
    assert effective_dimension(np.array(0.0), np.array(1.0)) == pytest.approx(0.25)


def test_spread_and_empty_classes():
    value = np.random.default_rng(1).gamma(2.0, size=500)
    assert spread(sums_of(value)) == pytest.approx(value.std(), rel=1e-9)
    nothing = np.zeros((3, 5))
    assert np.isnan(matheron(nothing)).all()
    assert np.isnan(cressie(nothing, 1.0)).all()
    assert np.isnan(spread(nothing)).all()


def test_quantiles_from_a_histogram():
    value = np.random.default_rng(2).gamma(2.0, size=200_000)
    bins = ValueBins()
    count = np.histogram(value, bins.edges)[0][None]
    levels = (0.01, 0.05, 0.5, 0.95)
    found = histogram_quantiles(count, bins.edges, levels)[0]
    np.testing.assert_allclose(found, np.quantile(value, levels), rtol=2e-3)
    assert np.isnan(histogram_quantiles(np.zeros((1, 3)), np.arange(4.0), (0.5,))).all()
    # one class holds all: its middle half stands at its middle
    lone = histogram_quantiles(np.array([[0, 8, 0]]), np.arange(4.0), (0.25, 0.5, 0.75))
    np.testing.assert_allclose(lone[0], [1.25, 1.5, 1.75])
    gap = histogram_quantiles(np.array([[4, 0, 0, 4]]), np.arange(5.0), (0.25, 0.75))
    np.testing.assert_allclose(gap[0], [0.5, 3.5])


def test_robust_estimators_are_of_semivariances():
    check_estimator("cressie", "squared")
    with pytest.raises(ConfigError, match="semivariance"):
        check_estimator("cressie", "absolute")
    with pytest.raises(ConfigError, match="genton"):
        check_estimator("genton", "squared")
