"""Worlds with a known answer, for the tests of what judges by a semivariogram."""

from __future__ import annotations

import numpy as np
import torch

from geoloc.geodesy import sample_sphere
from geoloc.negatives import ExpectedSemivariance, RefitSettings, fit_expectation

QUICK = RefitSettings(samples=2_000, pairs=2_000_000)


def smooth_world(n: int = 600, *, seed: int = 0, features: int = 128, reach: float = 4.0):
    """Places all over the Earth and features that grow apart with distance (cosines of waves)."""
    random = np.random.default_rng(seed)
    latlon = sample_sphere(n, generator=random)
    lat, lon = np.radians(latlon).T
    unit = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    wave = random.normal(size=(3, features)) * reach
    feature = np.cos(unit @ wave + random.uniform(0, 2 * np.pi, features))
    return latlon, torch.from_numpy(feature).float()


def fitted(latlon: np.ndarray, feature: torch.Tensor, **changed: object) -> ExpectedSemivariance:
    settings = RefitSettings(**{"samples": 2_000, "pairs": 2_000_000, **changed})
    return fit_expectation(latlon, feature, settings, seed=0)
