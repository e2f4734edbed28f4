from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from geoloc.errors import ConfigError, DataError
from geoloc.regions.neighbour_gaussians import Gaussians, nearest_rows, neighbour_gaussians
from geoloc.regions.transport import transport_features, transport_squared


def gaussians(count, d, seed):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(count, d, d, generator=generator, dtype=torch.float64)
    mean = torch.randn(count, d, generator=generator, dtype=torch.float64)
    return Gaussians.of(mean, mixing @ mixing.mT / d)


def test_as_a_naive_loop_of_matrix_roots():
    given = gaussians(7, 4, seed=0)
    one, other = (torch.tensor(side) for side in np.triu_indices(7, 1))
    found = transport_squared(given, one, other)
    mean, covariance = given.mean.numpy(), given.covariance.numpy()
    feature = transport_features(given)
    for pair, (i, j) in enumerate(zip(one.tolist(), other.tolist(), strict=True)):
        a, b = covariance[i], covariance[j]
        root_a, root_b = sqrtm(a).real, sqrtm(b).real
        apart = ((mean[i] - mean[j]) ** 2).sum()
        exact = apart + np.trace(a + b - 2 * sqrtm(root_a @ b @ root_a).real)
        assert float(found[pair]) == pytest.approx(exact, rel=1e-7)
        bound = apart + ((root_a - root_b) ** 2).sum()
        assert float((feature[i] - feature[j]).square().sum()) == pytest.approx(bound, rel=1e-7)
        assert bound >= exact - 1e-9


def test_both_agree_where_covariances_commute():
    variance = torch.tensor([[1.0, 4.0], [9.0, 0.25], [0.0, 1.0]], dtype=torch.float64)
    given = Gaussians.of(torch.zeros(3, 2, dtype=torch.float64), torch.diag_embed(variance))
    feature = transport_features(given)
    found = transport_squared(given, torch.tensor([0, 0]), torch.tensor([1, 2]))
    assert found.tolist() == pytest.approx([4 + 2.25, 1 + 1])
    assert (feature[0] - feature[1:]).square().sum(dim=1).tolist() == pytest.approx(found.tolist())


def test_the_moments_are_those_of_the_nearest_neighbours():
    generator = np.random.default_rng(1)
    position = np.zeros((60, 3))
    position[:, :2] = generator.uniform(size=(60, 2))
    features = generator.normal(size=(60, 3))
    found = neighbour_gaussians(torch.from_numpy(features), position, neighbours=9, sparsity=0)
    for row in (0, 17, 59):
        apart = np.linalg.norm(position - position[row], axis=1)
        near = np.argsort(apart)[:9]
        assert set(near) == set(nearest_rows(position, 9)[row])
        np.testing.assert_allclose(found.mean[row], features[near].mean(axis=0))
        np.testing.assert_allclose(found.covariance[row], np.cov(features[near].T, bias=True))


def test_what_has_no_gaussians():
    features, position = torch.zeros(5, 2, dtype=torch.float64), np.zeros((5, 3))
    with pytest.raises(ConfigError, match="two neighbours"):
        neighbour_gaussians(features, position, neighbours=1)
    with pytest.raises(DataError, match="5 observations have no 9 neighbours"):
        neighbour_gaussians(features, position, neighbours=9)
    with pytest.raises(DataError, match="not finite"):
        neighbour_gaussians(features * torch.nan, position, neighbours=2)
