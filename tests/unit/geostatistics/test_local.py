import numpy as np
import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.geostatistics import (
    LagBins,
    VariogramAccumulator,
    bootstrap_curves,
    gaussian_field,
    local_variograms,
    percentile_interval,
)
from geoloc.geostatistics.slots import FIRST
from geoloc.geostatistics.space_filling import hilbert_order, spatial_groups
from geoloc.geostatistics.sums import COUNT, VALUE

BINS = LagBins.even(5, 25.0, unit="pixel")


def accumulated(values, places, group):
    sums = VariogramAccumulator(
        BINS,
        metric="euclidean",
        dissimilarity="squared",
        group_count=int(group.max()) + 1,
        roots=True,
    )
    sums.add(places, values, groups=group)
    return sums


@pytest.fixture(scope="module")
def halves():
    """A field that is twice as rough in the east: local variograms differ."""
    generator = np.random.default_rng(0)
    places = generator.uniform(0, 100, size=(1200, 2))
    field = gaussian_field(
        places,
        lambda h: torch.exp(-h / 5.0),
        generator=torch.Generator().manual_seed(0),
        metric="euclidean",
        unit="pixel",
    )[0, :, 0].numpy()
    field = field * np.where(places[:, 0] > 50, 2.0, 1.0)
    return places, field, spatial_groups(places, 20)


def test_groups_are_compact_and_of_one_size():
    places = np.random.default_rng(1).uniform(size=(1003, 2))
    group = spatial_groups(places, 16)
    assert np.bincount(group).min() >= 1003 // 16
    assert np.bincount(group).max() <= 1003 // 16 + 1
    spread = np.mean([places[group == g].std(axis=0).sum() for g in range(16)])
    assert spread < 0.3 * places.std(axis=0).sum()
    assert set(spatial_groups(places[:3], 9)) == {0, 1, 2}
    with pytest.raises(ConfigError):
        spatial_groups(places, 0)


@pytest.mark.parametrize(("axes", "side"), [(2, 16), (3, 8)])
def test_the_curve_goes_from_neighbour_to_neighbour(axes, side):
    grid = np.stack(np.meshgrid(*[np.arange(side)] * axes), axis=-1).reshape(-1, axes).astype(float)
    order = hilbert_order(grid)
    assert sorted(order) == list(range(len(grid)))
    assert (np.abs(np.diff(grid[order], axis=0)).sum(axis=1) == 1).all()
    # equal points keep their order
    np.testing.assert_array_equal(hilbert_order(np.ones((5, axes))), np.arange(5))


def test_local_curves_are_those_of_the_pairs_that_touch_a_region(halves):
    places, field, group = halves
    sums = accumulated(field, places, group)
    region = np.arange(20) % 3
    local = local_variograms(sums, region=region, prior_pairs=0)
    of_sample = region[group]
    difference = np.subtract.outer(field, field) ** 2 / 2
    lag = np.linalg.norm(places[:, None] - places, axis=2)
    upper = np.triu(np.ones_like(lag, dtype=bool), 1)
    for r in range(3):
        touches = upper & ((of_sample == r)[:, None] | (of_sample == r))
        for k in range(5):
            inside = touches & (lag > 5 * k) & (lag <= 5 * k + 5)
            assert local.pair_count[r, k] == inside.sum()
            assert local.raw[r, k] == pytest.approx(difference[inside].mean(), rel=1e-9)
    np.testing.assert_allclose(local.semivariance, local.raw)
    everything = local_variograms(sums, prior_pairs=1e18)
    total = sums.total()[FIRST : FIRST + 5]
    np.testing.assert_allclose(
        everything.semivariance, np.tile(total[:, VALUE] / total[:, COUNT], (4, 1)), rtol=1e-6
    )


def test_shrinkage_follows_the_data(halves):
    places, field, _ = halves
    group = spatial_groups(places, 40)
    uneven = local_variograms(accumulated(field, places, group))
    # the halves differ by far more than chance: local curves are believed
    assert np.median(uneven.weight[:, 0]) > 0.7
    middle = np.array([places[uneven.region[group] == r, 0].mean() for r in range(8)])
    rough, smooth = (uneven.semivariance[side, 0].mean() for side in (middle > 60, middle < 40))
    assert rough > 2.5 * smooth
    weights, shrunk = [], []
    for seed in range(8):
        noise = np.random.default_rng(seed).normal(size=1200)
        even = local_variograms(accumulated(noise, places, group))
        assert ((even.weight >= 0) & (even.weight <= 1)).all()
        weights.append(np.median(even.weight))
        shrunk.append(even.semivariance.std(axis=0).mean() / even.raw.std(axis=0).mean())
    assert np.mean(weights) < 0.35
    assert np.mean(shrunk) < 0.5


def test_local_errors_are_the_true_ones():
    places = np.random.default_rng(1).uniform(0, 100, size=(500, 2))
    group = spatial_groups(places, 25)
    fields = np.random.default_rng(2).normal(size=(200, 500))
    local = [local_variograms(accumulated(field, places, group)) for field in fields]
    true = np.std([each.raw for each in local], axis=0)
    told = np.sqrt(np.mean([each.standard_error**2 for each in local], axis=0))
    # five groups a region: within a fifth on average over regions
    np.testing.assert_allclose((told / true).mean(axis=0), 1.0, atol=0.2)


def test_a_region_without_pairs_takes_the_global_curve():
    places = np.concatenate([np.random.default_rng(0).uniform(0, 20, (60, 2)), [[1000.0, 1000.0]]])
    group = np.concatenate([np.arange(60) % 3, [3]])
    sums = accumulated(np.arange(61.0), places, group)
    local = local_variograms(sums, region=np.array([0, 0, 1, 2]))
    assert (local.pair_count[2] == 0).all()
    total = sums.total()[FIRST + local.bin]
    np.testing.assert_allclose(local.semivariance[2], total[:, VALUE] / total[:, COUNT])
    with pytest.raises(ConfigError, match="three"):
        local_variograms(accumulated(np.arange(61.0), places, group % 2))
    with pytest.raises(ConfigError, match="prior_pairs"):
        local_variograms(sums, prior_pairs=-1.0)
    with pytest.raises(ConfigError, match="4 groups"):
        local_variograms(sums, region=np.zeros(3, dtype=np.int64))


def test_bootstrap_replicates_are_weighted_sums(halves):
    places, field, group = halves
    sums = accumulated(field, places, group)
    curves = bootstrap_curves(sums, 3, generator=np.random.default_rng(9))
    times = np.random.default_rng(9).multinomial(20, np.full(20, 1 / 20), size=3)
    lag = np.linalg.norm(places[:, None] - places, axis=2)
    upper = np.triu(np.ones_like(lag, dtype=bool), 1)
    difference = np.subtract.outer(field, field) ** 2 / 2
    for row, drawn in enumerate(times):
        weight = np.outer(drawn[group], drawn[group]).astype(float)
        same = group[:, None] == group
        weight[same] = np.broadcast_to(drawn[group][:, None], weight.shape)[same]
        inside = upper & (lag > 5) & (lag <= 10)
        expected = (weight * difference)[inside].sum() / weight[inside].sum()
        assert curves[row, 1] == pytest.approx(expected, rel=1e-9)


def test_bootstrap_and_jackknife_agree(halves):
    places, field, group = halves
    sums = accumulated(field, places, group)
    curves = bootstrap_curves(sums, 400, generator=np.random.default_rng(2))
    low, high = percentile_interval(curves)
    variogram = sums.variogram(feature_dim=1)
    ratio = (high - low) / 3.92 / variogram.standard_error
    assert ((ratio > 0.7) & (ratio < 1.8)).all()
    assert ((low < variogram.semivariance) & (variogram.semivariance < high)).all()
    robust = bootstrap_curves(
        sums, 50, estimator="cressie", feature_dim=1, generator=np.random.default_rng(2)
    )
    assert np.isfinite(robust).all()


def test_impossible_bootstraps_are_refused(halves):
    places, field, group = halves
    generator = np.random.default_rng(0)
    sums = accumulated(field, places, group)
    with pytest.raises(ConfigError, match="median"):
        bootstrap_curves(sums, 5, estimator="median", generator=generator)
    with pytest.raises(ConfigError, match="two groups"):
        bootstrap_curves(accumulated(field, places, group * 0), 5, generator=generator)
