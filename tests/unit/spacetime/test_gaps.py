from __future__ import annotations

import pytest
import torch

from geoloc.errors import ConfigError, DataError
from geoloc.spacetime import fill_gaps


def waves(samples=60, columns=30, components=2, noise=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn((samples, components), generator=generator, dtype=torch.float64)
    right = torch.randn((components, columns), generator=generator, dtype=torch.float64)
    error = torch.randn((samples, columns), generator=generator, dtype=torch.float64)
    return 5.0 + left @ right + noise * error


def holed(values, share=0.2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    gap = torch.rand(values.shape, generator=generator) < share
    return torch.where(gap, torch.nan, values), gap


def test_fills_a_field_of_two_patterns():
    truth = waves(noise=0.01)
    holes, gap = holed(truth)
    found = fill_gaps(holes)
    assert found.components == 2
    assert torch.equal(found.values[~gap], truth[~gap])
    mean = holes.nanmean(dim=0).expand_as(truth)
    error, naive = found.values - truth, mean - truth
    assert float(error[gap].square().mean().sqrt()) < 0.02 * float(naive[gap].std())


def test_noise_does_not_bring_more_patterns():
    truth = waves(noise=0.3)
    holes, gap = holed(truth)
    found = fill_gaps(holes)
    assert found.components == 2
    assert float((found.values - truth)[gap].square().mean().sqrt()) < 0.45
    # what was tried, and that the best was taken
    assert len(found.rmse) == found.components + 2
    assert found.rmse[found.components - 1] < 1.01 * min(found.rmse)
    assert found.rmse[0] > 2.0 * found.rmse[1]


def test_a_whole_field_stays_as_it_is():
    truth = waves()
    found = fill_gaps(truth)
    assert found.components == 0
    assert found.rmse == ()
    assert torch.equal(found.values, truth)


def test_refuses_what_cannot_be_filled():
    holes, _ = holed(waves())
    with pytest.raises(ConfigError, match="one at least"):
        fill_gaps(holes, most_components=0)
    bare = holes.clone()
    bare[:, 3] = torch.nan
    with pytest.raises(DataError, match="no value at all"):
        fill_gaps(bare)
    few = torch.full((6, 6), torch.nan, dtype=torch.float64)
    few.fill_diagonal_(1.0)
    with pytest.raises(DataError, match="too few"):
        fill_gaps(few)
