from __future__ import annotations

import numpy as np
import pytest

from geoloc.evaluation.group_draws import Estimate, GroupDraws


def test_sums_over_groups_are_those_of_the_rows_drawn():
    generator = np.random.default_rng(0)
    block, group = generator.integers(10, 18, 200), generator.integers(-1, 3, 200)
    value = generator.normal(size=200)
    draws = GroupDraws.of(block, resamples=20, seed=0)
    found = draws.sums(value, group, 3)
    assert found.shape == (20, 3)
    for draw, times in enumerate(draws.times):
        assert times.sum() == len(np.unique(block)) == draws.blocks
        for each in range(3):
            rows = group == each
            naive = sum(times[draws.member[row]] * value[row] for row in np.flatnonzero(rows))
            assert found[draw, each] == pytest.approx(naive)


def test_few_blocks_give_no_draws():
    assert len(GroupDraws.of(np.arange(4), resamples=50, seed=0)) == 0
    assert len(GroupDraws.of(np.arange(5), resamples=50, seed=0)) == 50
    assert Estimate.basic(1.0, np.empty(0)) == Estimate(value=1.0)
    assert Estimate(value=1.0).to_json() == {"value": 1.0, "interval": None}


def test_the_basic_interval_mirrors_the_percentiles():
    drawn = np.append(np.linspace(0.0, 1.0, 1001), np.nan)
    assert Estimate.percentile(0.4, drawn).to_json()["interval"] == pytest.approx([0.025, 0.975])
    assert Estimate.basic(0.4, drawn).to_json()["interval"] == pytest.approx([-0.175, 0.775])


def test_the_interval_of_a_spread_starts_at_zero_where_draws_have_twice_its_square():
    drawn = np.sqrt(np.linspace(0.0, 4.0, 1001))
    found = Estimate.spread(1.0, drawn)
    assert found.low == 0.0
    assert found.high == pytest.approx(np.sqrt(2 - 0.1))
    assert Estimate.spread(1.0, np.empty(0)).low is None
