from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from geoloc.geostatistics import LagBins, estimate_variogram
from geoloc.viz import SpaceTimePicture, draw_space_time


def picture(on_earth):
    generator = np.random.default_rng(0)
    places, stations = generator.uniform(0, 40, (2, 60, 2))
    truth = generator.normal(size=(60, 30))
    metric = "great_circle" if on_earth else "euclidean"
    errors = estimate_variogram(
        places, truth[:, 0], bins=LagBins.even(5, 30.0 if not on_earth else 3000.0), metric=metric
    )
    return SpaceTimePicture(
        name="field",
        unit="K",
        on_earth=on_earth,
        stations=stations,
        station_values=generator.normal(size=60),
        places=places,
        truth=truth,
        predicted=truth + 0.1,
        half_width=np.full((60, 30), 0.4),
        rival=truth - 0.1,
        place=3,
        step=7,
        time_day=np.arange(30.0) * 365.25,
        errors={"one": errors, "two": errors},
    )


@pytest.mark.parametrize("on_earth", [True, False])
def test_draws_the_same_picture_twice(tmp_path, on_earth):
    shown = picture(on_earth)
    one = draw_space_time(shown, tmp_path / "a" / "one.png")
    other = draw_space_time(shown, tmp_path / "other.png")
    assert one.read_bytes() == other.read_bytes()
    with Image.open(one) as image:
        assert image.size == (1400, 900)


def test_what_is_shown_changes_the_picture(tmp_path):
    shown = picture(True)
    first = draw_space_time(shown, tmp_path / "first.png").read_bytes()
    for change in ({"step": 8}, {"place": 4}, {"half_width": shown.half_width / 2}):
        other = draw_space_time(dataclasses.replace(shown, **change), tmp_path / "other.png")
        assert other.read_bytes() != first
