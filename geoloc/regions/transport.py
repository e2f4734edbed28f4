"""Squared 2-Wasserstein distances of Gaussians, and features whose distances stand for them."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from geoloc.regions.neighbour_gaussians import Gaussians


def transport_squared(
    gaussians: Gaussians, one: Int64[Tensor, " pair"], other: Int64[Tensor, " pair"]
) -> Float64[Tensor, " pair"]:
    """W2 squared of pairs of Gaussians, exactly.

    The squared distance of the means, plus tr(A + B - 2 (A^1/2 B A^1/2)^1/2), never below 0.

    Args:
        gaussians: all of them.
        one: rows of one side.
        other: rows of the other side.

    Source: D. C. Dowson, B. V. Landau, J. Multivariate Analysis 12, 1982, pp. 450-455.
    """
    apart = (gaussians.mean[one] - gaussians.mean[other]).square().sum(dim=1)
    trace = gaussians.covariance.diagonal(dim1=1, dim2=2).sum(dim=1)
    root = gaussians.root[one]
    middle = root @ gaussians.covariance[other] @ root
    value = torch.linalg.eigvalsh((middle + middle.mT) / 2)
    shared = value.clamp(min=0.0).sqrt().sum(dim=1)
    return apart + (trace[one] + trace[other] - 2 * shared).clamp(min=0.0)


def transport_features(gaussians: Gaussians) -> Float64[Tensor, "n feature"]:
    """Features whose squared distances are |mean - mean|^2 + |A^1/2 - B^1/2|_F^2, at least W2^2.

    Equal to W2 squared where the covariances commute. Each root is symmetric, so its entries above
    the diagonal stand once, times the root of two: d + d (d + 1) / 2 features.

    Source: the Powers-Stormer bound, R. Bhatia, T. Jain, Y. Lim, Expositiones Mathematicae 37,
    2019, pp. 165-191 (section 2).
    """
    d = gaussians.mean.shape[1]
    row, column = torch.triu_indices(d, d, device=gaussians.mean.device)
    twice = torch.where(row == column, 1.0, math.sqrt(2.0)).to(gaussians.mean.dtype)
    return torch.cat([gaussians.mean, gaussians.root[:, row, column] * twice], dim=1)
