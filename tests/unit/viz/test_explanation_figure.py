from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from geoloc.viz.coverage_map import draw_coverage_map
from geoloc.viz.explanation_figure import explained_places_png, heat_png


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def heat(effect, *, noise=0.1, strongest=None, seen=(0.0, 0.0, 1.0, 1.0)):
    grey = Image.new("RGB", (100, 100), (128, 128, 128))
    return pixels(
        heat_png(grey, seen=seen, effect=np.array(effect), noise=noise, strongest=strongest)
    )


def test_support_is_warm_what_speaks_against_is_cold_and_noise_is_bare():
    picture = heat([[1.0, -1.0], [0.05, 0.5]])[:560]
    red, blue = picture[..., 0], picture[..., 2]
    warm, cold, bare, half = (
        (red - blue)[rows, columns].mean()
        for rows in (slice(40, 240), slice(320, 520))
        for columns in (slice(40, 240), slice(320, 520))
    )
    assert warm > 2 * half - 20 > 40
    assert cold < -60
    assert abs(bare) < 1


def test_the_strongest_cell_is_framed_where_it_is():
    plain, framed = heat([[0.0, 0.0], [1.0, 0.0]]), heat([[0.0, 0.0], [1.0, 0.0]], strongest=(1, 0))
    y, x = np.nonzero(np.abs(plain - framed).sum(axis=2))
    assert (x.min() < 5, 270 < x.max() < 290, 270 < y.min() < 290, y.max() > 550) == (True,) * 4


@pytest.mark.parametrize("at", [(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)])
def test_cells_lie_on_what_the_model_sees(at):
    picture = heat([[1.0]], seen=at)[:560]
    warm = picture[..., 0] - picture[..., 2] > 40
    columns = np.nonzero(warm.mean(axis=0) > 0.9)[0] / 560
    assert columns.min() == pytest.approx(at[0], abs=0.01)
    assert columns.max() == pytest.approx(at[2], abs=0.01)


def test_two_answers_at_one_place_are_one_mark():
    one = pixels(explained_places_png((10.0, 20.0), (10.0, 20.0), []))
    two = pixels(explained_places_png((10.0, 20.0), (-30.0, 140.0), []))
    blue = [(np.abs(each - (0, 114, 178)).max(axis=2) < 20).sum() for each in (one, two)]
    assert one.shape == (460, 860, 3)
    assert blue[1] > 1.7 * blue[0]
    alike = pixels(explained_places_png((10.0, 20.0), (10.0, 20.0), [(60.0, 100.0)]))
    assert (np.abs(alike - (0, 158, 115)).max(axis=2) < 20).sum() > 10


def test_places_are_drawn_where_they_lie(tmp_path):
    def blue(place):
        picture = Image.open(draw_coverage_map(tmp_path / "m.png", np.array([place] * 3)))
        colours = np.asarray(picture)[..., :3].astype(int)
        return np.argwhere((np.abs(colours - (0, 114, 178)) < 60).all(2))

    north_west, south_east = blue([60.0, -110.0]).mean(axis=0), blue([-30.0, 140.0]).mean(axis=0)
    assert north_west[0] < 260 < south_east[0]
    assert north_west[1] < 500 < south_east[1]
