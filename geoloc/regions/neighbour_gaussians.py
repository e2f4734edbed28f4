"""A Gaussian for every observation, from the features of its nearest neighbours in the metric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from scipy.spatial import KDTree
from torch import Tensor

from geoloc.errors import ConfigError, DataError
from geoloc.regions.graphical_lasso import graphical_lasso

_BLOCK = 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gaussians:
    """Normal distributions of one dimension, on one device.

    Attributes:
        mean: of each.
        covariance: of each, positive semidefinite.
        root: the symmetric square root of each covariance.
    """

    mean: Float64[Tensor, "n d"]
    covariance: Float64[Tensor, "n d d"]
    root: Float64[Tensor, "n d d"]

    @classmethod
    def of(cls, mean: Float64[Tensor, "n d"], covariance: Float64[Tensor, "n d d"]) -> Gaussians:
        """Gaussians of these moments; their roots are computed here."""
        value, vector = torch.linalg.eigh(covariance)
        root = (vector * value.clamp(min=0.0).sqrt()[:, None, :]) @ vector.mT
        return cls(mean=mean, covariance=covariance, root=root)

    def __len__(self) -> int:
        return len(self.mean)


def nearest_rows(
    position: Float64[np.ndarray, "n 3"], count: int
) -> Int64[np.ndarray, "n neighbour"]:
    """The `count` observations nearest to each one, itself among them; of equals, some.

    Raises:
        ConfigError: `count` is below 1.
        DataError: there are fewer observations than that.
    """
    if count < 1:
        raise ConfigError(f"an observation needs one neighbour at least, not {count}")
    if len(position) < count:
        raise DataError(
            f"{len(position)} observations have no {count} neighbours each: take fewer (neighbours)"
        )
    tree = KDTree(position, balanced_tree=False)
    found = np.asarray(tree.query(position, k=count)[1], dtype=np.int64)
    return found.reshape(len(position), count)


def neighbour_gaussians(
    features: Float64[Tensor, "n d"],
    position: Float64[np.ndarray, "n 3"],
    *,
    neighbours: int = 30,
    sparsity: float | int = 0.01,
) -> Gaussians:
    """The mean and sparse covariance of the features around each observation.

    Args:
        features: of each observation; the device of this tensor is where all is computed.
        position: of each observation; the nearest by Euclidean distance are its neighbours.
        neighbours: how many, the observation itself among them; more than there are features.
        sparsity: the penalty of the graphical lasso, in squared units of the features.

    Raises:
        ConfigError: there are too few neighbours, or the sparsity is negative.
        DataError: there are fewer observations than neighbours, or features are not finite.

    Source: Z. Wang, G. Mai, K. Janowicz, N. Lao, "MC-GTA: Metric-constrained model-based clustering
    using goodness-of-fit tests with autocorrelations", ICML 2024, section 4.
    """
    if neighbours < 2:
        raise ConfigError(f"a covariance needs two neighbours at least, not {neighbours}")
    if not bool(torch.isfinite(features).all()):
        raise DataError("features are not finite: drop or fill the missing ones first")
    near = torch.from_numpy(nearest_rows(position, neighbours)).to(features.device)
    means: list[Tensor] = []
    covariances: list[Tensor] = []
    for rows in near.split(_BLOCK):
        around = features[rows]
        mean = around.mean(dim=1)
        apart = around - mean[:, None]
        means.append(mean)
        covariances.append(graphical_lasso(apart.mT @ apart / neighbours, sparsity))
    return Gaussians.of(torch.cat(means), torch.cat(covariances))
