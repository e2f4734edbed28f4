from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from geoloc.evaluation.block_variance import BlockVariance, MeanVariance
from geoloc.evaluation.blocks import turned_blocks
from geoloc.evaluation.metrics import RowMeasure
from geoloc.geodesy import great_circle_km, sample_sphere


def measure(value):
    return RowMeasure(value=np.asarray(value, float), counted=np.ones(len(value), dtype=bool))


@pytest.fixture(scope="module")
def places():
    return sample_sphere(4000, generator=np.random.default_rng(0))


def test_independent_rows_have_the_variance_of_a_mean(places):
    variance, plenty = BlockVariance(places), []
    for seed in range(40):
        value = np.random.default_rng(seed).normal(size=4000)
        plenty.append(variance.of(measure(value)).variance)
    assert np.mean(plenty) == pytest.approx(1 / 4000, rel=0.12)


def test_variance_of_one_grid_is_the_naive_sum(places):
    value = np.random.default_rng(1).exponential(size=4000)
    told = BlockVariance(places, block_km=900.0, turns=1).of(measure(value))

    def naive(block):
        total = 0.0
        for name in np.unique(block):
            inside = block == name
            part = (value[inside] - value.mean()).sum() / 4000
            total += part**2 / (1 - inside.mean())
        return total

    (whole,) = turned_blocks(places, block_km=900.0, turns=1)
    (half,) = turned_blocks(places, block_km=450.0, turns=1)
    assert told.variance == pytest.approx(max(naive(whole), 2 * naive(whole) - naive(half)))


def test_likeness_across_borders_is_made_up_for(places):
    # a signal constant over caps of 800 km, which no grid of 500 km sees whole
    centre = sample_sphere(300, generator=np.random.default_rng(2))
    nearest = great_circle_km(places[:, None], centre[None]).argmin(axis=1)
    variance, ratio = BlockVariance(places, turns=2), []
    for seed in range(30):
        value = np.random.default_rng(seed).normal(size=300)[nearest]
        told = variance.of(measure(value))
        ratio.append(told.variance / told.plain)
    assert np.mean(ratio) > 1.2


def test_turned_grids_keep_neighbours_together_and_differ(places):
    grids = turned_blocks(places, block_km=500.0, turns=3)
    assert len({len(np.unique(grid)) for grid in grids}) > 1
    for grid in grids:
        inside = places[grid == grid[0]]
        assert float(np.max(great_circle_km(inside[:1], inside))) < 1000.0


def test_equal_blocks_of_one_value_each_have_one_less_degree_of_freedom(places):
    few = np.array([[0.0, 30.0 * turn] for turn in range(12)])
    copies = np.repeat(few, 5, axis=0)
    told = BlockVariance(copies).of(measure(np.repeat(np.arange(12.0), 5)))
    assert told.blocks == pytest.approx(12)
    assert told.degrees_of_freedom == pytest.approx(11)
    assert told.quantile == pytest.approx(student.ppf(0.975, 11))
    # what the square root of n / (n - 1) does for a mean of 12
    assert told.variance / told.plain == pytest.approx(12 / 11)


def test_share_interval_of_independent_rows_is_wilsons():
    told = MeanVariance(
        variance=0.2 * 0.8 / 50, plain=1.0, degrees_of_freedom=1e9, rows=50.0, blocks=9.0
    )
    # 10 of 50, from the tables of Newcombe's method 3 (Statistics in Medicine 17, 1998)
    assert told.share_interval(0.2) == pytest.approx([0.1124, 0.3304], abs=1e-4)


def test_share_interval_never_closes_nor_leaves_its_ends():
    told = MeanVariance(variance=0.0, plain=0.0, degrees_of_freedom=20.0, rows=900.0, blocks=30.0)
    low, high = told.share_interval(0.0)
    assert low == 0.0
    assert 0.05 < high < 0.2
    assert told.share_interval(1.0) == pytest.approx([1 - high, 1.0])
    assert told.widening == 1.0
    assert told.p_value(0.3) == 1.0
