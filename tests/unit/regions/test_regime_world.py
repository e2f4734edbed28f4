from __future__ import annotations

import numpy as np
import pytest

from geoloc.errors import ConfigError
from geoloc.regions import regime_world


def test_regimes_have_moments_of_their_own_and_turns_in_patches():
    places = np.arange(4000.0)[:, None]
    features, label = regime_world(
        places,
        generator=np.random.default_rng(0),
        metric="euclidean",
        unit="step",
        regimes=3,
        patches=6,
    )
    assert features.mean(axis=0) == pytest.approx(np.zeros(5), abs=1e-12)
    assert features.std(axis=0) == pytest.approx(np.ones(5))
    assert label[np.flatnonzero(np.diff(label, prepend=-1))].tolist() == [0, 1, 2, 0, 1, 2]
    runs = np.split(features, np.flatnonzero(np.diff(label)) + 1)
    for first, again in zip(runs[:3], runs[3:], strict=True):
        same = np.abs(np.cov(first.T) - np.cov(again.T)).max()
        other = max(np.abs(np.cov(first.T) - np.cov(each.T)).max() for each in runs[:3])
        assert same < other / 2


def test_patches_of_the_sphere_are_those_of_the_nearest_centre_across_the_antimeridian():
    east = np.stack([np.linspace(-5, 5, 50), np.full(50, 179.9)], axis=1)
    west = np.stack([np.linspace(-5, 5, 50), np.full(50, -179.9)], axis=1)
    _, label = regime_world(
        np.concatenate([east, west]), generator=np.random.default_rng(2), regimes=2, patches=4
    )
    assert set(label) == {0, 1}
    assert (label[:50] == label[50:]).mean() > 0.9


def test_a_recipe_that_cannot_be():
    with pytest.raises(ConfigError, match="5 regimes in 4 patches"):
        regime_world(np.zeros((9, 2)), generator=np.random.default_rng(0), patches=4)
