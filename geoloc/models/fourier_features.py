"""Random Fourier features of places on the plane, with phases that never lose precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoloc.geodesy.array_namespace import widen

_TOO_COARSE = (torch.float16, torch.bfloat16)


class FourierFeatures(nn.Module):
    """``[cos 2πBv, sin 2πBv]`` with fixed frequencies B drawn from N(0, sigma²).

    At sigma 256 a phase reaches thousands of radians, which bfloat16 and TF32 cannot hold. So
    the product is written out element by element, which neither autocast nor TF32 touches, and
    the frequencies stay in float32 (or wider) even when the module is cast to half precision.

    Source: Tancik et al. 2020, "Fourier Features Let Networks Learn High Frequency Functions in
    Low Dimensional Domains", equation 5 and section 6.

    Args:
        sigma: standard deviation of the frequencies, per unit of the input.
        features: number of frequencies; the output is twice as long.
    """

    b: Float[Tensor, "frequency 2"]

    def __init__(self, sigma: float, features: int = 256) -> None:
        super().__init__()
        self.sigma = float(sigma)
        self.register_buffer("b", torch.randn(features, 2) * sigma)

    def forward(self, v: Float[Tensor, "n 2"]) -> Float[Tensor, "n feature"]:
        """Features of points of the plane, in the precision of the frequencies."""
        v = 2 * math.pi * v.to(self.b.dtype)
        first = v[:, 0:1] * self.b[:, 0]
        # One rounding for the second product and the sum: bit for bit what a float32 GEMM gives.
        phase = (widen(first) + widen(v[:, 1:2]) * widen(self.b[:, 1])).to(self.b.dtype)
        return torch.cat((phase.cos(), phase.sin()), dim=-1)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> FourierFeatures:
        exact = self.b
        super()._apply(fn, recurse)
        if self.b.dtype in _TOO_COARSE:
            self.b = exact.to(self.b.device)
        return self
