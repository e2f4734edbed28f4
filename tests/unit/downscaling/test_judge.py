from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from statsmodels.tsa.stattools import acf, pacf

from geoloc.downscaling import Yardstick, coarsen, drifting_fields, interpolate, judge, structure_of
from geoloc.errors import DataError


def fields(*, seed: int, steps: int = 40, persistence: float = 0.8) -> torch.Tensor:
    return drifting_fields(
        lambda lag: torch.exp(-lag / 3.0),
        size=16,
        steps=steps,
        series=2,
        persistence=persistence,
        drift_cells=(0.0, 0.0),
        generator=torch.Generator().manual_seed(seed),
    )


YARDSTICK = Yardstick.of_pixels(16, 16, bins=6, pairs=20_000)


def test_the_truth_has_no_gap_to_itself() -> None:
    truth = fields(seed=0)
    found = judge(truth, truth, YARDSTICK)
    agreement = found.agreement
    assert (agreement.rmse, agreement.nse, agreement.kge) == pytest.approx((0.0, 1.0, 1.0))
    gaps = (found.semivariogram_distance, found.acf_gap, found.pacf_gap, found.wasserstein)
    assert gaps == (0.0, 0.0, 0.0, 0.0)
    assert np.allclose(found.spread_by_step, 1.0)
    assert not found.rmse_by_step.any()


def test_another_field_like_it_is_as_rough_though_it_agrees_with_nothing() -> None:
    truth, other = fields(seed=0), fields(seed=1)
    smooth = interpolate(coarsen(truth, 4), 4)
    alike, smoothed = judge(other, truth, YARDSTICK), judge(smooth, truth, YARDSTICK)
    assert smoothed.agreement.r2 > 0.5 > 0.1 > alike.agreement.r2
    assert alike.semivariogram_distance < 0.1 < 0.2 < smoothed.semivariogram_distance
    assert float(np.mean(smoothed.spread_by_step)) < 0.9


def test_a_series_that_forgets_faster_differs_in_time_alone() -> None:
    truth, faster = fields(seed=0), fields(seed=2, persistence=0.2)
    found = judge(faster, truth, YARDSTICK)
    alike = judge(fields(seed=3), truth, YARDSTICK)
    for gap in ("acf_gap", "pacf_gap", "lag_rmse_gap", "lag_r2_gap"):
        assert getattr(found, gap) > 2 * getattr(alike, gap)


def test_semivariances_are_the_mean_over_fields_of_a_naive_loop() -> None:
    few = fields(seed=4, steps=3)[:1, :, :6, :6]
    yardstick = Yardstick.of_pixels(6, 6, bins=3, pairs=10**6)
    found = yardstick.variogram(few)
    values = few[0].reshape(3, -1).numpy()
    squares: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for one in range(36):
        for other in range(one):
            lag = np.hypot(one // 6 - other // 6, one % 6 - other % 6)
            if lag <= 3.0:
                half = 0.5 * np.mean((values[:, one] - values[:, other]) ** 2)
                squares[int(np.ceil(lag)) - 1].append(half)
    assert found.lag.tolist() == sorted(found.lag.tolist())
    for number, row in zip(found.bin, found.semivariance, strict=True):
        assert row == pytest.approx(np.mean(squares[int(number)]), rel=0.35)


def test_correlograms_are_means_over_cells_of_statsmodels() -> None:
    truth = fields(seed=5)
    found = structure_of(truth, YARDSTICK)
    series = truth.movedim(1, -1).reshape(-1, 40).numpy()[::16]
    every = structure_of(torch.as_tensor(series.T[None, :, :, None]), Yardstick.of_pixels(32, 1))
    assert every.acf == pytest.approx(np.mean([acf(each, nlags=30) for each in series], axis=0))
    ours = np.mean([pacf(each, nlags=18, method="ldb") for each in series], axis=0)
    assert every.pacf[:18] == pytest.approx(ours[1:])
    assert len(found.acf) == 31
    assert len(found.lag_rmse) == 10


def test_distances_of_values_are_scipys_and_short_series_have_short_correlograms() -> None:
    one, other = fields(seed=6, steps=4), 2.0 * fields(seed=7, steps=4)
    found = judge(one, other, YARDSTICK)
    expected = wasserstein_distance(one.flatten().numpy(), other.flatten().numpy())
    assert found.wasserstein == pytest.approx(expected)
    assert len(found.structure.acf) == 4
    assert len(found.structure.lag_r2) == 3


def test_cells_that_never_change_are_left_out_of_correlograms() -> None:
    still = fields(seed=8)
    still[:, :, 0, 0] = 0.0
    assert np.isfinite(structure_of(still, YARDSTICK).acf).all()
    with pytest.raises(DataError, match="no cell changes"):
        structure_of(torch.ones(1, 5, 16, 16) * torch.arange(16.0), YARDSTICK)
    with pytest.raises(DataError, match="three at least"):
        structure_of(still[:, :2], YARDSTICK)


def test_a_step_at_which_all_true_values_are_equal_has_no_spread_to_compare_with() -> None:
    truth = fields(seed=0)
    truth[:, 3] = 0.0
    estimate = fields(seed=1)
    found = judge(estimate, truth, YARDSTICK)
    assert np.flatnonzero(np.isnan(found.spread_by_step)).tolist() == [3]
    assert not np.isinf(found.spread_by_step).any()
