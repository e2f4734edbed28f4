from __future__ import annotations

import numpy as np
import pytest

from geoloc.errors import DataError
from geoloc.evaluation.calibration import reliability
from geoloc.viz import draw_reliability
from geoloc.viz.canvas import ANSWER, TRUTH


def _told(radius_km, *, too_sure=0.0, count=400, seed=0):
    generator = np.random.default_rng(seed)
    chance = generator.uniform(0.0, 1.0, count)
    said = (chance + too_sure).clip(0.0, 1.0)
    block = np.arange(count) // 20
    happened = generator.random(count) < chance
    return reliability(said, happened, block, radius_km=radius_km, resamples=20)


def _pair(*radii_km):
    return (
        [_told(radius, too_sure=0.3) for radius in radii_km],
        [_told(radius) for radius in radii_km],
    )


def _pixels_of(picture, colour):
    rgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
    return int((np.abs(picture.astype(int) - rgb).max(axis=2) < 12).sum())


def test_a_panel_for_each_split_and_radius(tmp_path, read_png):
    one = read_png(draw_reliability({"easy": _pair(200.0)}, tmp_path / "one.png"))
    many = {"easy": _pair(25.0, 200.0), "block": _pair(25.0, 200.0)}
    four = read_png(draw_reliability(many, tmp_path / "deep" / "four.png"))
    assert four.shape[0] > one.shape[0]
    assert four.shape[1] > one.shape[1]
    for picture, panels in ((one, 1), (four, 4)):
        for colour in (ANSWER, TRUTH):
            assert _pixels_of(picture, colour) > 300 * panels


def test_radii_must_agree(tmp_path):
    for splits in ({}, {"a": _pair(25.0), "b": _pair(200.0)}, {"a": ([], [])}):
        with pytest.raises(DataError, match="same radii"):
            draw_reliability(splits, tmp_path / "none.png")
