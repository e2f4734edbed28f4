"""Correlogram: how series agree with themselves some steps earlier."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float64, Num
from torch import Tensor

from geoloc.errors import ConfigError, DataError


def autocorrelation_function(
    series: Num[Tensor, "*series time"] | Num[np.ndarray, "*series time"], lags: int
) -> Float64[Tensor, "*series lag"]:
    """The correlation of each series with itself 0, 1, ... `lags` steps earlier.

    The autocovariances are sums over the pairs of steps that there are, all divided by the number
    of steps (so that they are a covariance), by way of a Fourier transform. On the device of the
    series.

    Args:
        series: equally spaced in time, as many of them as wanted.
        lags: the longest lag, in steps.

    Raises:
        ConfigError: there are no lags, or not fewer than steps.
        DataError: a series is constant or not finite.

    Source: G. E. P. Box and G. M. Jenkins, Time Series Analysis, 1976, eq. 2.1.11.
    """
    value = _checked(series, lags)
    steps = value.shape[-1]
    centred = value - value.mean(dim=-1, keepdim=True)
    # as long again, so that the end of a series does not meet its beginning
    spectrum = torch.fft.rfft(centred, n=2 * steps)
    covariance = torch.fft.irfft(spectrum.abs().square(), n=2 * steps)[..., : lags + 1]
    return covariance / centred.square().sum(dim=-1, keepdim=True)


def partial_autocorrelation_function(
    series: Num[Tensor, "*series time"] | Num[np.ndarray, "*series time"], lags: int
) -> Float64[Tensor, "*series lag"]:
    """The correlation with 1, 2, ... `lags` steps earlier that nearer steps do not account for.

    By the recursion of Levinson and Durbin on the autocorrelations, as R's ``pacf`` does.

    Args:
        series: as of `autocorrelation_function`.
        lags: the longest lag, in steps.

    Raises:
        ConfigError: there are no lags, or not fewer than steps.
        DataError: a series is constant or not finite.

    Source: J. Durbin, "The fitting of time-series models", Revue de l'Institut International de
    Statistique 28, 1960.
    """
    rho = autocorrelation_function(series, lags)
    shape = rho.shape[:-1]
    coefficient = rho.new_zeros((*shape, 0))
    found: list[Tensor] = []
    left = rho.new_ones(shape)
    for lag in range(1, lags + 1):
        before = rho[..., 1:lag].flip(-1)
        partial = (rho[..., lag] - (coefficient * before).sum(dim=-1)) / left
        coefficient = coefficient - partial[..., None] * coefficient.flip(-1)
        coefficient = torch.cat([coefficient, partial[..., None]], dim=-1)
        left = left * (1.0 - partial.square())
        found.append(partial)
    return torch.stack(found, dim=-1)


def white_noise_bound(steps: int) -> float:
    """What 95 % of the (partial) autocorrelations of white noise stay within: 1.96 / sqrt(steps).

    Args:
        steps: of the series.

    Source: Box and Jenkins, 1976, section 2.1.6.
    """
    return 1.959963984540054 / math.sqrt(steps)


def _checked(series: Tensor | np.ndarray, lags: int) -> Tensor:
    value = torch.as_tensor(series).detach().to(torch.float64)
    steps = value.shape[-1]
    if not 1 <= lags < steps:
        raise ConfigError(f"{lags} lags of series of {steps} steps: one at least, fewer than steps")
    if not bool(torch.isfinite(value).all()):
        raise DataError("a series has a value that is not finite: its correlogram is asked for")
    if bool((value.amax(dim=-1) == value.amin(dim=-1)).any()):
        raise DataError("a series is constant: it has no correlogram")
    return value
