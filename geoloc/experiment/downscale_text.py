"""What a terminal shows of a downscaling."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from geoloc.downscaling import Judgement
from geoloc.experiment.variogram_text import aligned

_HEAD = ("", "R2", "RMSE", "NSE", "KGE", "semivariogram", "ACF", "PACF", "lag-RMSE", "lag-R2")


def downscaling_table(judgements: Mapping[str, Judgement]) -> str:
    """One line a method: agreement with the truth, then gaps of structure, then stability.

    All but R2, NSE and KGE are better the smaller they are.
    """
    rows = [(*_HEAD, "Wasserstein")]
    rows += [(name, *_cells(each)) for name, each in judgements.items()]
    third = [("", "RMSE, first third", "last third", "spread / truth's, least", "greatest")]
    third += [(name, *_stability(each)) for name, each in judgements.items()]
    return "\n".join([*aligned(rows), "", *aligned(third)])


def _cells(found: Judgement) -> tuple[str, ...]:
    values = (
        *(found.agreement.r2, found.agreement.rmse, found.agreement.nse, found.agreement.kge),
        *(found.semivariogram_distance, found.acf_gap, found.pacf_gap),
        *(found.lag_rmse_gap, found.lag_r2_gap, found.wasserstein),
    )
    return tuple(f"{value:.4f}" for value in values)


def _stability(found: Judgement) -> tuple[str, ...]:
    """RMSE at the beginning and at the end, and how the spread compares with the true one."""
    third = max(1, len(found.rmse_by_step) // 3)
    early, late = (
        float(np.sqrt(np.mean(part**2)))
        for part in (found.rmse_by_step[:third], found.rmse_by_step[-third:])
    )
    spread = found.spread_by_step[np.isfinite(found.spread_by_step)]
    if not len(spread):
        return (f"{early:.4f}", f"{late:.4f}", "-", "-")
    return (f"{early:.4f}", f"{late:.4f}", f"{spread.min():.3f}", f"{spread.max():.3f}")
