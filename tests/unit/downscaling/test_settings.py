from __future__ import annotations

from dataclasses import replace

import pytest

from geoloc.downscaling import DownscalingSettings
from geoloc.errors import ConfigError


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"lags": 0}, "1 at least"),
        ({"batch": 0}, "1 at least"),
        ({"tile": 9}, "make it a multiple of 2"),
        ({"learning_rate": 0.0}, "learning rate is above 0"),
        ({"forget": 1.5}, "between 0 and 1"),
    ],
)
def test_impossible_settings_are_refused(
    settings: DownscalingSettings, change: dict[str, float], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        replace(settings, **change)
