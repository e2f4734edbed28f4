from __future__ import annotations

import pytest
import torch

from geoloc.downscaling import Scales, coarsen, interpolate
from geoloc.downscaling.detail import lagged
from geoloc.errors import DataError


def test_detail_and_coarse_field_make_the_field_again(fine: torch.Tensor) -> None:
    scales = Scales.of(fine, 4)
    detail = scales.detail_of(fine)
    assert float(detail.square().mean()) == pytest.approx(1.0, rel=1e-3)
    assert torch.allclose(scales.field(detail, coarsen(fine, 4)), fine, atol=1e-5)
    normal = scales.normal(coarsen(fine, 4))
    assert float(normal.mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(normal.std()) == pytest.approx(1.0, rel=1e-5)


def test_conserved_detail_makes_fields_with_the_coarse_values(fine: torch.Tensor) -> None:
    scales, coarse = Scales.of(fine, 4), coarsen(fine, 4)
    made = scales.field(scales.conserved(torch.randn(fine.shape), coarse), coarse)
    assert torch.allclose(coarsen(made, 4), coarse, atol=1e-5)


def test_lagged_fields_end_with_their_own_and_repeat_the_first() -> None:
    series = (
        torch.arange(5.0)[None, :, None, None] + torch.tensor([0.0, 100.0])[:, None, None, None]
    )
    assert lagged(series, 3)[0, :, :, 0, 0].tolist() == [
        [0.0, 0.0, 0.0],
        [0.0, 0.0, 1.0],
        [0.0, 1.0, 2.0],
        [1.0, 2.0, 3.0],
        [2.0, 3.0, 4.0],
    ]
    assert lagged(series, 1)[1, :, 0, 0, 0].tolist() == [100.0, 101.0, 102.0, 103.0, 104.0]


def test_fields_without_detail_or_with_gaps_are_refused(fine: torch.Tensor) -> None:
    with pytest.raises(DataError, match="no detail"):
        Scales.of(torch.ones(1, 2, 8, 8), 4)
    with pytest.raises(DataError, match="not finite"):
        Scales.of(torch.full((1, 2, 8, 8), float("nan")), 4)
    smooth = interpolate(coarsen(fine, 4), 4)
    assert Scales.of(smooth, 4).detail < Scales.of(fine, 4).detail
