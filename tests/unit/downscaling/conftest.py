from __future__ import annotations

import pytest
import torch

from geoloc.downscaling import DownscalingSettings, drifting_fields


@pytest.fixture(scope="session")
def settings() -> DownscalingSettings:
    """Networks so small that they learn in a second."""
    return DownscalingSettings(
        factor=2,
        lags=3,
        encoder_width=8,
        encoder_tile=6,
        encoder_steps=60,
        widths=(8, 16),
        tile=8,
        stride=4,
        steps=60,
        batch=8,
        learning_rate=5e-3,
        sampling_steps=4,
        forget=0.2,
        blur=0.1,
        conserve=True,
    )


@pytest.fixture(scope="session")
def fine() -> torch.Tensor:
    """Series of fields that drift by a cell a step: (series, time, row, column)."""
    return drifting_fields(
        lambda lag: torch.exp(-lag / 3.0),
        size=16,
        steps=12,
        series=4,
        persistence=0.9,
        drift_cells=(1.0, 0.0),
        generator=torch.Generator().manual_seed(3),
    ).to(torch.float32)
