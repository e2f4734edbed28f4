import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics import ConditionalBand, LagBins, VariogramAccumulator
from geoloc.geostatistics.slots import FIRST
from geoloc.geostatistics.sums import COUNT, LAG

BINS = LagBins(edges=(0.0, 10.0, 100.0, 1000.0, 10_000.0))


def filled(counts, lags):
    """An accumulator with the given histogram of each lag class."""
    sums = VariogramAccumulator(BINS)
    for k, (count, lag) in enumerate(zip(counts, lags, strict=True)):
        sums.histogram[FIRST + k] = torch.from_numpy(count)
        sums.moments[0, 0, FIRST + k, COUNT] = count.sum()
        sums.moments[0, 0, FIRST + k, LAG] = count.sum() * lag
    return sums


def drawn_gammas(shape_by_class, number=400_000):
    generator = np.random.default_rng(0)
    edges = VariogramAccumulator(BINS).value_bins.edges.copy()
    edges[-1] = np.inf
    return [np.histogram(generator.gamma(s, 0.1, number), edges)[0] for s in shape_by_class]


def test_the_score_is_the_distribution_at_the_lag():
    # one distribution at all lags, so that mixing changes nothing
    band = ConditionalBand(filled(drawn_gammas([2.0] * 4), [5.0, 50.0, 500.0, 5000.0]))
    value = torch.linspace(0.001, 1.2, 200)
    for lag in (0.0, 0.3, 5.0, 77.0, 4000.0, 20_000.0):
        u = band.score(torch.full_like(value, lag), value)
        expected = stats.gamma(2.0, scale=0.1).cdf(value.numpy())
        np.testing.assert_allclose(u.numpy(), expected, atol=4e-3)
        assert (u.diff() >= 0).all()


def test_linear_in_log_lag_between_classes():
    counts = drawn_gammas([1.0, 1.0, 9.0, 9.0])
    band = ConditionalBand(filled(counts, [5.0, 50.0, 500.0, 5000.0]))
    value = torch.tensor([0.15])

    def u(lag):
        return float(band.score(torch.tensor([lag]), value))

    # at the geometric middle of two classes stands the mean of their scores
    assert u((50 * 500) ** 0.5) == pytest.approx((u(50.0) + u(500.0)) / 2, abs=3e-3)
    assert u(5.0) > u(50.0) > u(500.0) > u(5000.0)
    # mixed with neighbours by 1, 2, 1: the second class is three quarters of the first kind
    kinds = [stats.gamma(shape, scale=0.1).cdf(0.15) for shape in (1.0, 9.0)]
    assert u(50.0) == pytest.approx(0.75 * kinds[0] + 0.25 * kinds[1], abs=4e-3)
    assert u(5.0) == pytest.approx(kinds[0], abs=4e-3)


def test_a_class_of_few_pairs_leans_on_its_neighbours():
    counts = drawn_gammas([2.0, 2.0, 2.0, 2.0])
    counts[1] = np.zeros_like(counts[1])
    counts[1][-1] = 3  # three pairs at an absurd dissimilarity
    band = ConditionalBand(filled(counts, [5.0, 50.0, 500.0, 5000.0]))
    u = band.score(torch.tensor([50.0]), torch.tensor([0.6]))
    # three of thirty count a tenth of a class
    assert float(u) > 0.9


@given(st.lists(st.floats(0.0, 2.0), min_size=2, max_size=30), st.floats(0.0, 30_000.0))
def test_scores_rise_from_0_to_1(values, lag):
    band = ConditionalBand(filled(drawn_gammas([1, 2, 3, 4], 500), [5.0, 50.0, 500.0, 5000.0]))
    value = torch.tensor(sorted(values), dtype=torch.float64)
    u = band.score(torch.full_like(value, lag), value)
    assert ((u >= 0) & (u <= 1)).all()
    assert (u.diff() >= -1e-6).all()
    assert u.dtype == torch.float64
    assert float(band.score(torch.tensor(lag), torch.tensor(0.0))) == 0.0
    assert float(band.score(torch.tensor(lag), torch.tensor(1e4))) == 1.0


def test_unknown_dissimilarities_have_no_score():
    band = ConditionalBand(filled(drawn_gammas([1, 2, 3, 4], 500), [5.0, 50.0, 500.0, 5000.0]))
    u = band.score(torch.full((2, 2), 7.0), torch.tensor([[0.1, torch.nan], [torch.nan, 0.2]]))
    assert torch.isnan(u).tolist() == [[False, True], [True, False]]


def test_quantiles_undo_scores():
    band = ConditionalBand(filled(drawn_gammas([1, 2, 3, 4]), [5.0, 50.0, 500.0, 5000.0]))
    lag = np.array([1.0, 5.0, 60.0, 900.0, 9000.0])
    for level in (0.05, 0.5, 0.95):
        value = band.quantile(level, lag)
        back = band.score(torch.from_numpy(lag), torch.from_numpy(value))
        np.testing.assert_allclose(back.numpy(), level, atol=0.02)
    with pytest.raises(ConfigError):
        band.quantile(1.0, lag)


def test_realised_rates_on_pairs_of_the_same_kind():
    # correlated features, skewed at short lags: one half of the samples calibrates the other
    generator = np.random.default_rng(5)
    base = generator.uniform((-60, -178), (70, 178), (150, 2))
    places = np.repeat(base, 20, axis=0) + generator.normal(size=(3000, 2)) * 0.3
    scale = np.abs(places[:, :1]) / 30
    values = np.repeat(generator.normal(size=(150, 8)), 20, axis=0)
    values = values + scale * generator.normal(size=(3000, 8))
    half = generator.permutation(3000)
    bins = LagBins.logarithmic(12, 1.0, 20_016.0)
    sums = VariogramAccumulator(bins)
    sums.add(places[half[:1500]], values[half[:1500]])
    band = ConditionalBand(sums)
    held_out = VariogramAccumulator(bins)
    samples, _ = held_out.samples(places[half[1500:]], values[half[1500:]], None)
    block = samples.rows(np.arange(1500))
    squared = torch.cdist(block.position, block.position).square()
    lag = held_out.separation.lag(squared)
    value = (1 - block.value @ block.value.T).clamp(min=0)
    u = band.score(lag, value)
    off = ~torch.eye(1500, dtype=torch.bool)
    for low, high in ((1, 100), (100, 3000), (3000, 20_016)):
        inside = off & (lag > low) & (lag <= high)
        for target in (0.05, 0.5):
            assert float((u[inside] < target).double().mean()) == pytest.approx(target, abs=0.025)


def test_nothing_to_score_by():
    with pytest.raises(DataError, match="no pair"):
        ConditionalBand(VariogramAccumulator(BINS))
