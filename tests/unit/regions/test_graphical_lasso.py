from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import graphical_lasso as reference

from geoloc.errors import ConfigError, DataError
from geoloc.regions.graphical_lasso import graphical_lasso


def empirical(count, d, samples, seed):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=generator, dtype=torch.float64)
    drawn = torch.randn(count, samples, d, generator=generator, dtype=torch.float64) @ mixing
    apart = drawn - drawn.mean(dim=1, keepdim=True)
    return apart.mT @ apart / samples


@pytest.mark.parametrize(("d", "samples", "penalty"), [(2, 8, 0.3), (5, 30, 0.01), (5, 30, 0.2)])
def test_equals_scikit_learn(d, samples, penalty):
    given = empirical(6, d, samples, seed=d)
    found = graphical_lasso(given, penalty, tolerance=1e-9)
    for one, ours in zip(given.numpy(), found.numpy(), strict=True):
        theirs, _ = reference(one, penalty, tol=1e-7, enet_tol=1e-10, max_iter=1000)
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.trace(one))


def test_the_conditions_of_the_optimum_hold_where_there_are_fewer_samples_than_features():
    given = empirical(4, 6, 4, seed=1)
    found = graphical_lasso(given, 0.2, tolerance=1e-9)
    precision = torch.linalg.inv(found)
    apart = found - given
    assert bool((torch.linalg.eigvalsh(found) > 0).all())
    assert float(apart.diagonal(dim1=1, dim2=2).abs().max()) == 0.0
    assert float(apart.abs().max()) <= 0.2 + 1e-7
    # where an entry of the precision is not zero, the bound is met, on its side
    off = ~torch.eye(6, dtype=torch.bool)
    used = (precision.abs() > 1e-5) & off
    assert int(used.sum()) > 0
    assert torch.allclose(apart[used], 0.2 * precision[used].sign(), atol=1e-6)


def test_one_matrix_alone_is_solved_as_among_others():
    given = empirical(5, 4, 12, seed=2)
    together = graphical_lasso(given, 0.1, tolerance=1e-9)
    assert torch.allclose(together[3:4], graphical_lasso(given[3:4], 0.1, tolerance=1e-9))


def test_a_constant_feature_stays_apart_and_no_penalty_changes_nothing():
    given = empirical(2, 3, 10, seed=3)
    given[:, 1], given[:, :, 1] = 0.0, 0.0
    found = graphical_lasso(given, 0.1)
    assert bool(torch.isfinite(found).all())
    assert float(found[:, 1].abs().max()) == 0.0
    assert torch.equal(graphical_lasso(given, 0.0), given)


def test_what_cannot_be_solved():
    with pytest.raises(ConfigError, match="0 or more"):
        graphical_lasso(empirical(1, 2, 5, seed=4), -0.1)
    with pytest.raises(DataError, match="not finite"):
        graphical_lasso(torch.full((1, 2, 2), torch.nan, dtype=torch.float64), 0.1)
