from __future__ import annotations

import pytest
import torch

from geoloc.downscaling import TransferEncoder


@pytest.mark.parametrize(("rows", "columns"), [(6, 6), (9, 12), (5, 7)])
def test_features_lie_on_the_coarse_grid_whatever_its_sides(rows: int, columns: int) -> None:
    encoder = TransferEncoder(lags=4, width=8)
    past = torch.randn(2, 4, rows, columns)
    assert encoder.features(past).shape == (2, 24, rows, columns)
    assert encoder(past).shape == (2, rows, columns)


def test_without_knowledge_the_next_field_is_the_current_one() -> None:
    encoder = TransferEncoder(lags=3, width=8)
    torch.nn.init.zeros_(encoder.head.weight)
    torch.nn.init.zeros_(encoder.head.bias)
    past = torch.randn(2, 3, 6, 6)
    assert torch.equal(encoder(past), past[:, -1])


def test_both_scales_are_among_the_features() -> None:
    encoder = TransferEncoder(lags=1, width=8)
    one = torch.randn(1, 1, 16, 16)
    other = one.clone()
    other[0, 0, 0, 0] += 3.0
    moved = (encoder.features(one) - encoder.features(other)).abs()
    # group norms tell every cell a little; beyond them the coarser scale reaches twice as far
    near, far = moved[0, :8, 0, 0].sum(), moved[0, :8, 8, 8].sum()
    assert near > 5 * far
    reach = [
        int((part.sum(0)[0] > 0.2 * part.sum(0)[0, 0]).sum())
        for part in (moved[0, :8], moved[0, 8:])
    ]
    assert reach[1] > reach[0]
