"""Space-time fields with a known covariance: they drift, fade and are renewed."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.geostatistics.simulation import Covariance

_NEGATIVE = 1e-6


def drifting_fields(
    covariance: Covariance,
    *,
    size: int,
    steps: int,
    persistence: float,
    drift_cells: tuple[float, float],
    generator: torch.Generator,
    series: int = 1,
) -> Float64[Tensor, "series time row column"]:
    """Gaussian fields that drift with a wind, and forget at a steady rate.

    Z(s, t) = p Z(s - v, t - 1) + sqrt(1 - p^2) W(s, t) with independent fields W, so that the
    covariance of values h apart in space and u steps apart in time is p^|u| C(|h - u v|). Drawn
    exactly, by the eigenvalues of the covariance on a torus of twice the size; the fields shown
    are a quarter of it, so that what leaves on one side does not come back on the other within
    size / |v| steps.

    Args:
        covariance: C, of lags in cells.
        size: cells on a side.
        steps: of time.
        persistence: p, the correlation of a drifting value with itself a step later, in [0, 1).
        drift_cells: v, rows and columns a step; fractions are drifted by Fourier's shift.
        generator: source of chance, on the CPU.
        series: independent ones.

    Raises:
        ConfigError: a number is out of range, or the covariance reaches too far for the torus (it
            has negative eigenvalues there): shorten it or enlarge the field.

    Source: C. R. Dietrich and G. N. Newsam, SIAM Journal on Scientific Computing 18, 1997
    (circulant embedding); V. K. Gupta and E. Waymire, Journal of Climate and Applied Meteorology
    26, 1987 (drifting fields; here they fade).
    """
    if min(size, steps, series) < 1 or not 0.0 <= persistence < 1.0:
        raise ConfigError(
            f"{series} series of {steps} steps of {size} cells a side with persistence "
            f"{persistence}: counts start at 1, persistence lies in [0, 1)"
        )
    root, shift = _spectrum(covariance, 2 * size, drift_cells)
    renewed = (1.0 - persistence**2) ** 0.5
    state = root * _noise(series, 2 * size, generator)
    found = [_seen(state, size)]
    for _ in range(steps - 1):
        fresh = root * _noise(series, 2 * size, generator)
        state = persistence * shift * state + renewed * fresh
        found.append(_seen(state, size))
    return torch.stack(found, dim=1)


def _spectrum(
    covariance: Covariance, around: int, drift_cells: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Roots of the eigenvalues on the torus, and the phases of one step of drift."""
    step = torch.arange(around, dtype=torch.float64)
    step = torch.minimum(step, around - step)
    eigenvalue = torch.fft.fft2(covariance(torch.hypot(step[:, None], step[None, :]))).real
    if float(eigenvalue.min()) < -_NEGATIVE * float(eigenvalue.max()):
        raise ConfigError(
            f"this covariance reaches too far for a field of {around // 2} cells a side: shorten "
            "it, or enlarge the field"
        )
    frequency = torch.fft.fftfreq(around, dtype=torch.float64)
    rows, columns = (frequency * cells for cells in drift_cells)
    # the highest frequency has no sign and drifts by whole cells, or the field would not be real
    rows[around // 2], columns[around // 2] = (0.5 * round(cells) for cells in drift_cells)
    phase = rows[:, None] + columns[None, :]
    return eigenvalue.clamp_min(0.0).sqrt(), torch.polar(
        torch.ones_like(phase), -2.0 * torch.pi * phase
    )


def _noise(series: int, around: int, generator: torch.Generator) -> Tensor:
    white = torch.randn((series, around, around), generator=generator, dtype=torch.float64)
    return torch.fft.fft2(white)


def _seen(state: Tensor, size: int) -> Tensor:
    return torch.fft.ifft2(state).real[:, :size, :size]
