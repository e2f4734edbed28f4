"""Sampled pairs: unbiased in every class, short lags filled, the same under a seed."""

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from geoloc.geodesy import sample_sphere
from geoloc.geostatistics.accumulator import VariogramAccumulator
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.pair_sampling import PairSampler, _distinct
from geoloc.geostatistics.slots import COINCIDENT, FIRST
from geoloc.geostatistics.sums import COUNT, LAG, VALUE

KM = LagBins(edges=(0.0, 0.1, 1.0, 10.0, 100.0, 1000.0, 5000.0, 20_016.0))


@pytest.fixture(scope="module")
def towns():
    """Clustered places, with features that vary from cluster to cluster: a hard case for chance."""
    generator = np.random.default_rng(0)
    centres = sample_sphere(60, generator=generator)
    chosen = generator.choice(60, size=3000, p=generator.dirichlet(np.ones(60)))
    places = centres[chosen] * 0.95 + 10.0 ** generator.uniform(-4, 0, (3000, 1)) * (
        generator.normal(size=(3000, 2))
    )
    places[:, 0] = places[:, 0].clip(-90, 90)
    values = generator.normal(size=(60, 6))[chosen] + 0.3 * generator.normal(size=(3000, 6))
    values += places[:, :1] / 30
    return places, values


def curve(sums):
    total = sums.total()[FIRST : FIRST + len(KM)]
    return total[:, VALUE] / total[:, COUNT], total[:, LAG] / total[:, COUNT], total[:, COUNT]


def drawn(towns, pairs, seed):
    sums = VariogramAccumulator(KM)
    sums.add(*towns, pairs=pairs, generator=torch.Generator().manual_seed(seed))
    return sums


def test_unbiased_in_every_class(towns):
    whole = VariogramAccumulator(KM)
    whole.add(*towns)
    truth, lag, _ = curve(whole)
    found = [curve(drawn(towns, 60_000, seed)) for seed in range(40)]
    for index, known in ((0, truth), (1, lag)):
        values = np.array([each[index] for each in found])
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        assert (np.abs(values.mean(axis=0) - known) < 4.5 * error + 1e-12).all()
        assert (np.abs(values.mean(axis=0) / known - 1) < 0.03).all()


def test_short_lags_get_their_share(towns):
    sums = drawn(towns, 200_000, 1)
    whole = VariogramAccumulator(KM)
    whole.add(*towns)
    _, _, population = curve(whole)
    _, _, held = curve(sums)
    share = int(0.1 * 200_000 / len(KM))
    # tiles of uniformly drawn pairs add some of their own
    assert (held >= np.minimum(share / 2, population) * 0.99).all()
    assert abs(sums.pair_count - 200_000) < 0.1 * 200_000
    # uniform pairs alone would leave the shortest class nearly empty
    assert population[0] / (3000 * 2999 / 2) * 200_000 < held[0] / 2


def test_every_near_pair_is_as_likely_as_any_other():
    # three samples at each of 300 places: pairs within a place, one in a thousand of all
    places = np.repeat(sample_sphere(300, generator=np.random.default_rng(3)), 3, axis=0)
    places[:, 0] = (places[:, 0] + np.tile([0.0, 1e-3, 2e-3], 300)).clip(-90, 90)
    seen = np.zeros((900, 900))
    for seed in range(60):
        sums = VariogramAccumulator(LagBins(edges=(0.0, 1.0, 20_016.0)), dissimilarity="squared")
        samples, position = sums.samples(places, np.arange(900.0), None)
        sampler = PairSampler(sums, samples, position, torch.Generator().manual_seed(seed))
        listed = sampler._neighbours(KDTree(position), [0], 90)
        assert len(listed.one) == 90
        np.add.at(seen, (listed.one, listed.other), 1)
    # all anchors together list each pair once, from one of its two ends
    everything = sampler._neighbours(KDTree(position), [0], 10**6)
    ends = np.sort(np.stack([everything.one, everything.other]), axis=0)
    assert len(np.unique(ends, axis=1).T) == len(everything.one) == 900
    counts = (seen + seen.T)[np.triu_indices(900, 1)]
    near = counts[counts > 0]
    # 900 near pairs, 5,400 draws: six each, as the Poisson law spreads them
    assert near.sum() == 60 * 90
    assert len(near) > 885
    assert near.var() < 9.0
    assert near.max() < 20


def test_the_same_under_a_seed_and_another_under_another(towns):
    first, again, other = (drawn(towns, 50_000, seed) for seed in (7, 7, 8))
    assert torch.equal(first.histogram, again.histogram)
    torch.testing.assert_close(first.moments, again.moments, rtol=0, atol=0)
    assert not torch.equal(first.histogram, other.histogram)


def test_enough_pairs_are_all_pairs(towns):
    places, values = towns[0][:200], towns[1][:200]
    whole, asked = VariogramAccumulator(KM), VariogramAccumulator(KM)
    whole.add(places, values)
    asked.add(places, values, pairs=10**9)
    assert torch.equal(whole.histogram, asked.histogram)


def test_few_samples_at_few_places():
    places = np.repeat(np.array([[0.0, 0.0], [0.0, 1.0]]), 3, axis=0)
    sums = VariogramAccumulator(KM, dissimilarity="squared")
    sums.add(places, np.arange(6.0), pairs=10)
    total = sums.total()
    assert total[COINCIDENT, COUNT] > 0
    assert total[FIRST + 4, COUNT] > 0


def test_groups_reach_sampled_pairs(towns):
    group = np.random.default_rng(1).integers(0, 3, size=3000)
    sums = VariogramAccumulator(KM, group_count=3)
    sums.add(*towns, groups=group, pairs=90_000)
    # a pair of groups is kept once, the lower number first
    assert not sums.moments[1, 0].any()
    assert not sums.moments[2, :2].any()
    by_group = sums.by_group()[..., COUNT].sum(axis=2)
    expected = np.outer(*(np.bincount(group),) * 2) / 3000**2
    np.testing.assert_allclose(by_group / sums.pair_count, expected * (2 - np.eye(3)), atol=0.02)


def test_memory_mapped_values(towns, tmp_path):
    np.save(tmp_path / "values.npy", towns[1].astype(np.float16))
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    sums = drawn((towns[0], mapped), 50_000, 7)
    inside = drawn((towns[0], np.array(mapped)), 50_000, 7)
    assert torch.equal(sums.moments, inside.moments)


def test_distinct_numbers():
    generator = torch.Generator().manual_seed(0)
    for n, count in ((10, 10), (1000, 17), (1000, 900)):
        chosen = _distinct(n, count, generator)
        assert len(set(chosen.tolist())) == count
        assert chosen.min() >= 0
        assert chosen.max() < n
    spread = np.concatenate([_distinct(5000, 100, generator) for _ in range(200)])
    assert abs(spread.mean() - 2499.5) < 60
