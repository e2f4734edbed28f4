"""How far a mean of rows that resemble their neighbours would move from one world to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.stats import t as student

from geoloc.evaluation.blocks import BLOCK_KM, turned_blocks
from geoloc.evaluation.metrics import RowMeasure

_TURNS = 8
_NORMAL = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanVariance:
    """What is known of the uncertainty of a mean.

    Attributes:
        variance: of the mean.
        plain: what drawing the blocks of the first grid makes of it.
        degrees_of_freedom: how many squares of equal size the variance is as good as.
        rows: how many rows the mean is of.
        blocks: how many blocks of equal size the first grid's blocks are as good as.
    """

    variance: float
    plain: float
    degrees_of_freedom: float
    rows: float
    blocks: float

    @property
    def quantile(self) -> float:
        """How many standard errors a 95 % interval reaches to each side."""
        return float(student.ppf(0.975, self.degrees_of_freedom))

    @property
    def widening(self) -> float:
        """By how much the deviations of a plain block bootstrap are too small."""
        if self.plain <= 0.0:
            return 1.0
        return float(np.sqrt(self.variance / self.plain)) * self.quantile / _NORMAL

    def p_value(self, mean: float) -> float:
        """How probable so great a mean is on either side of zero, if the true one is zero."""
        if self.variance <= 0.0:
            return 1.0
        return float(2.0 * student.sf(abs(mean) / np.sqrt(self.variance), self.degrees_of_freedom))

    def share_interval(self, share: float) -> list[float]:
        """The 95 % interval of a share, by its score rather than by its standard error.

        Wilson's interval with as many rows as independent ones would need to be as uncertain; with
        every row right, or every row wrong, as many as there are blocks. It does not leave
        [0, 1], nor close up at their ends.

        Source: E. B. Wilson, Journal of the American Statistical Association 22, 1927, pp. 209-212;
        with the effective number, N. Dean and M. Pagano, Journal of Survey Statistics and
        Methodology 3, 2015, pp. 484-503.
        """
        spread = share * (1.0 - share)
        count = self.blocks
        if spread > 0.0 and self.variance > 0.0:
            count = min(spread / self.variance, self.rows)
        square = self.quantile**2
        middle = (share + square / (2.0 * count)) / (1.0 + square / count)
        half = np.sqrt(square * (spread / count + square / (4.0 * count**2))) / (
            1.0 + square / count
        )
        return [
            min(share, max(0.0, float(middle - half))),
            max(share, min(1.0, float(middle + half))),
        ]


class BlockVariance:
    """The variance of means over rows at places, from grids of blocks.

    Three things make a plain block bootstrap too sure of itself, and each is met here. *Neighbours
    across a border* of two blocks resemble each other, so that blocks are not independent: the
    missing part shrinks like one over the block's side, and twice the variance from blocks of the
    side asked for less that from blocks of half the side is free of it to first order (Politis and
    Romano 1995; as batch means, Vats and Flegal 2022), but is never taken below the first. *The
    deviation is from the sample's own mean*, which a large block draws towards itself: each
    square is divided by 1 - w, w the block's share of the rows (Bell and McCaffrey 2002, CR2 for a
    mean). *Few or unequal blocks* leave the variance itself uncertain: Student's t, its degrees of
    freedom from the blocks' shares and the resemblance inside blocks (Satterthwaite 1946; Carter,
    Schnepel and Steigerwald 2017). Variances are averaged over grids that lie differently on the
    Earth, since where the borders fall is an accident.

    Args:
        latlon_deg: places of the rows.
        block_km: side of the blocks.
        turns: how many grids.

    Sources: D. N. Politis and J. P. Romano, Journal of Time Series Analysis 16, 1995, pp. 67-103;
    D. Vats and J. M. Flegal, Biometrika 109, 2022, pp. 735-750; R. M. Bell and D. F. McCaffrey,
    Survey Methodology 28, 2002, pp. 169-181; F. E. Satterthwaite, Biometrics Bulletin 2, 1946, pp.
    110-114; A. V. Carter, K. T. Schnepel and D. G. Steigerwald, Review of Economics and Statistics
    99, 2017, pp. 698-709.

    Raises:
        ValueError: block_km is not positive.
    """

    def __init__(
        self,
        latlon_deg: Float64[np.ndarray, "row 2"],
        *,
        block_km: float = BLOCK_KM,
        turns: int = _TURNS,
    ) -> None:
        self._whole = turned_blocks(latlon_deg, block_km=block_km, turns=turns)
        self._half = turned_blocks(latlon_deg, block_km=block_km / 2.0, turns=turns)

    def of(self, measure: RowMeasure) -> MeanVariance:
        """The variance of the mean of a measure over its counted rows.

        Raises:
            ValueError: no row counts.
        """
        weight = measure.counted.astype(np.float64)
        count = float(weight.sum())
        if count == 0.0:
            raise ValueError("the mean of no rows has no variance")
        value = np.where(measure.counted, measure.value, 0.0)
        residual = weight * (value - value.sum() / count) / count
        share = weight / count
        whole = float(np.mean([_variance(residual, share, block) for block in self._whole]))
        half = float(np.mean([_variance(residual, share, block) for block in self._half]))
        variance = max(2.0 * whole - half, whole)
        rows = np.bincount(self._whole[0], weight)
        independent = float((residual**2).sum())
        return MeanVariance(
            variance=variance,
            plain=float((np.bincount(self._whole[0], residual) ** 2).sum()),
            degrees_of_freedom=_degrees_of_freedom(rows, independent, variance),
            rows=count,
            blocks=float(count**2 / (rows**2).sum()),
        )


def _variance(
    residual: Float64[np.ndarray, " row"],
    share: Float64[np.ndarray, " row"],
    block: Int64[np.ndarray, " row"],
) -> float:
    """The squares of the blocks' parts of the mean, each made up for its pull on the mean."""
    part, pull = np.bincount(block, residual), np.bincount(block, share)
    alone = pull < 1.0 - 1e-9
    return float((part[alone] ** 2 / (1.0 - pull[alone])).sum())


def _degrees_of_freedom(
    rows: Float64[np.ndarray, " block"], independent: float, variance: float
) -> float:
    """Of a sum of squares, one a block, whose sizes follow from the likeness inside blocks.

    A block of n rows is taken to have a square of expectation n + rho n (n - 1), the same rho for
    all; rho is what makes their sum the variance found, rather than that of independent rows.
    """
    total, squares = float(rows.sum()), float((rows**2).sum())
    likeness = 1.0
    if independent > 0.0 and squares > total:
        likeness = (variance / independent - 1.0) * total / (squares - total)
    expected = rows * (1.0 + np.clip(likeness, 0.0, 1.0) * (rows - 1.0))
    effective = float(expected.sum() ** 2 / (expected**2).sum())
    return max(effective - 1.0, 1.0)
