"""The Matern correlation of any smoothness, on tensors."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float64
from torch import Tensor

_NODES = 80
_NEGLIGIBLE = 42.0
"""exp(-42) is below the rounding of float64."""

_TINY = 1e-8
"""Lags, in scales, below which the nodes would stand too far apart."""


def matern_structure(
    t: Float64[Tensor, "*#batch"], shape: float | Float64[Tensor, "*#batch"]
) -> Float64[Tensor, "*batch"]:
    """1 - 2^(1 - nu) / Gamma(nu) t^nu K_nu(t), for a lag `t` in scales and a smoothness nu.

    Closed forms where nu is the number 0.5, 1.5 or 2.5; else right to about 1e-13 for nu from 0.1
    to 5, at 160 exponentials an element.

    Args:
        t: lag over scale, at least 0; 0 gives 0.
        shape: the smoothness nu, above 0.

    Source: M. L. Stein, "Interpolation of Spatial Data", 1999, section 2.7, without the factor
    sqrt(2 nu) that some put before t; the integral of K_nu is 10.32.9 of the NIST Handbook of
    Mathematical Functions.
    """
    if isinstance(shape, float):
        closed = _half_integer(t, shape)
        if closed is not None:
            return closed
    smoothness = torch.as_tensor(shape, dtype=t.dtype, device=t.device)
    t, smoothness = torch.broadcast_tensors(t, smoothness)
    grown = (1 - _correlation(t, smoothness)).clamp(min=0)
    return torch.where(t > _TINY, grown, _leading_term(t, smoothness))


def _half_integer(t: Tensor, shape: float) -> Tensor | None:
    """The structure where the Bessel function is elementary, None elsewhere."""
    if shape == 0.5:
        return -torch.expm1(-t)
    # 1 - p(t) exp(-t) from expm1, and finite for infinite t: exp(-t) times a power is then 0
    t = t.clamp(max=1e3)
    if shape == 1.5:
        return -torch.expm1(-t) - t * torch.exp(-t)
    if shape == 2.5:
        return -torch.expm1(-t) - (t + t * t / 3) * torch.exp(-t)
    return None


def _leading_term(t: Tensor, shape: Tensor) -> Tensor:
    """The structure near 0, where it goes as t^(2 nu): 10.30.2 and 10.27.4 of the same handbook.

    From nu = 0.95 on it is below the rounding of the correlation there, as good as 0.
    """
    rough = shape.clamp(max=0.95)
    logarithm = torch.lgamma(1 - rough) - torch.lgamma(1 + rough)
    term = torch.exp(logarithm) * (t.clamp(max=_TINY) / 2) ** (2 * rough)
    return torch.where(shape < 0.95, term, 0.0)


def _correlation(t: Tensor, shape: Tensor) -> Tensor:
    """The Matern correlation by the trapezoid rule on the integral of K_nu.

    K_nu(t) is the integral of exp(-t cosh u) cosh(nu u) over u from 0. The integrand falls doubly
    exponentially and is analytic in a strip, so that the plain rule converges exponentially; the
    nodes of each element span where its own integrand is not negligible, to both sides of its peak.
    """
    t = t.clamp(_TINY, 1e3)
    start = (torch.asinh(shape / t) - _NEGLIGIBLE / shape).clamp(min=0)
    end = torch.acosh(1 + _NEGLIGIBLE / t)
    for _ in range(2):
        end = torch.acosh(1 + (_NEGLIGIBLE + shape * end) / t)
    share = torch.linspace(0, 1, _NODES, dtype=t.dtype, device=t.device)
    u = torch.lerp(start[..., None], end[..., None], share)
    factor = shape * torch.log(t) - torch.lgamma(shape) + (1 - shape) * math.log(2)
    decay = factor[..., None] - t[..., None] * torch.cosh(u)
    growth = shape[..., None] * u
    integrand = (torch.exp(decay + growth) + torch.exp(decay - growth)) / 2
    total = integrand.sum(-1) - (integrand[..., 0] + integrand[..., -1]) / 2
    return total * (end - start) / (_NODES - 1)
