from __future__ import annotations

import numpy as np
import pytest
import torch
from semivariogram_worlds import fitted, smooth_world

from geoloc.errors import ConfigError
from geoloc.geodesy import great_circle_km
from geoloc.negatives import MiningSettings, mine_hard_negatives


def world_with_twins(n: int = 500, twins: int = 25):
    """The first `twins` samples have look-alikes, the next `twins`, at places far away."""
    latlon, feature = smooth_world(n)
    far = great_circle_km(latlon[:twins], latlon[twins : 2 * twins]) > 6000
    noise = torch.randn(twins, feature.shape[1], generator=torch.Generator().manual_seed(1))
    feature[twins : 2 * twins] = feature[:twins] + 0.02 * noise
    return latlon, feature, np.flatnonzero(far)


@pytest.mark.parametrize("index", ["exact", "faiss-flat"])
def test_planted_twins_are_each_others_hardest_negatives(index):
    latlon, feature, far = world_with_twins()
    settings = MiningSettings(neighbours=20, quantile=0.02, index=index)
    hard = mine_hard_negatives(latlon, feature, fitted(latlon, feature), settings)
    assert len(far) >= 10
    assert np.array_equal(hard[far, 0], far + 25)
    assert np.array_equal(hard[far + 25, 0], far)


def test_equals_a_loop_over_all_pairs_when_every_neighbour_is_looked_at():
    latlon, feature, _ = world_with_twins(120)
    expectation = fitted(latlon, feature)
    settings = MiningSettings(neighbours=119, per_anchor=3, quantile=0.2, beyond=0.8)
    hard = mine_hard_negatives(latlon, feature, expectation, settings)
    unit = torch.nn.functional.normalize(feature, dim=1)
    for row in range(120):
        found = []
        for other in range(120):
            lag = float(great_circle_km(latlon[row], latlon[other]))
            if other == row or lag <= 0.8 * expectation.effective_range_km:
                continue
            d = 1.0 - float(unit[row] @ unit[other])
            u = float(expectation.score(torch.tensor([lag]), torch.tensor([d])))
            if u < 0.2:
                found.append((u, other))
        best = sorted(found)[:3]
        told = [u for u, _ in best]
        mine = [each for each in hard[row].tolist() if each >= 0]
        again = {other: u for u, other in found}
        assert len(mine) == len(best)
        assert [again[each] for each in mine] == pytest.approx(told, abs=2e-4)


def test_pools_keep_pairs_apart_and_find_what_is_in_them():
    latlon, feature, _ = world_with_twins()
    settings = MiningSettings(neighbours=20, quantile=0.3, pool=100)
    hard = mine_hard_negatives(latlon, feature, fitted(latlon, feature), settings, seed=3)
    order = np.random.default_rng(3).permutation(500)
    pool = np.empty(500, dtype=np.int64)
    for number, rows in enumerate(np.array_split(order, 5)):
        pool[rows] = number
    row, column = np.nonzero(hard >= 0)
    assert len(row) > 50
    assert np.array_equal(pool[row], pool[hard[row, column]])


def test_without_structure_there_are_no_hard_negatives():
    latlon, feature, _ = world_with_twins()
    shuffled = feature[torch.randperm(500, generator=torch.Generator().manual_seed(0))]
    hard = mine_hard_negatives(latlon, shuffled, fitted(latlon, shuffled), MiningSettings())
    assert hard.shape == (500, 4)
    assert (hard == -1).all()


def test_impossible_settings_are_refused():
    for wrong in ({"neighbours": 0}, {"per_anchor": 0}, {"quantile": 0.0}, {"pool": 1}):
        with pytest.raises(ConfigError):
            MiningSettings(**wrong)
