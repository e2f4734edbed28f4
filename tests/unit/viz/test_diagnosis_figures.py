import numpy as np
import pytest
from PIL import Image

from geoloc.errors import DataError
from geoloc.geodesy import sample_sphere
from geoloc.geostatistics.temporal_structure import temporal_structure
from geoloc.viz.canvas import ANSWER, TRUTH
from geoloc.viz.pair_figure import draw_pair, draw_spreads
from geoloc.viz.temporal_figure import draw_temporal
from geoloc.viz.value_map import draw_value_map


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def near(picture, colour, reach=12):
    wanted = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
    return np.abs(picture - wanted).max(axis=-1) <= reach


def test_stems_of_what_remembers_stand_and_those_of_noise_do_not(tmp_path):
    noise = np.random.default_rng(0).normal(size=(200, 1))
    walk = np.cumsum(noise, axis=0)
    drawn = {
        name: pixels(
            draw_temporal(
                temporal_structure(series), tmp_path / f"{name}.png", title="t", step="1 day"
            )
        )
        for name, series in (("noise", noise), ("walk", walk))
    }
    # the panel of the ACF is the upper left quarter
    blue = {name: int(near(each[120:430, 90:670], ANSWER).sum()) for name, each in drawn.items()}
    assert blue["walk"] > 3 * blue["noise"] > 0


def test_one_step_and_missing_r2_are_drawn(tmp_path):
    series = np.random.default_rng(0).normal(size=(4, 3))
    path = draw_temporal(temporal_structure(series), tmp_path / "few.png", title="t", step="1")
    assert pixels(path).shape == (860, 1400, 3)


def test_high_values_are_bright_and_low_ones_dark_where_they_lie(tmp_path):
    places = sample_sphere(1500, generator=np.random.default_rng(0))
    path = draw_value_map(places, places[:, 0], tmp_path / "map.png", title="t", label="latitude")
    picture = pixels(path)
    north, south = picture[120:300, 100:1150], picture[500:680, 100:1150]
    yellow, violet = "#fde725", "#440154"
    assert near(north, yellow, 40).sum() > 20 * (near(south, yellow, 40).sum() + 1)
    assert near(south, violet, 40).sum() > 20 * (near(north, violet, 40).sum() + 1)


def test_a_map_of_a_part_shows_that_part(tmp_path):
    places = sample_sphere(300, generator=np.random.default_rng(0)) * [0.05, 0.02] + [47.0, 8.0]
    path = draw_value_map(places, places[:, 0], tmp_path / "part.png", title="t", label="°")
    yellow = near(pixels(path)[100:300, 50:1200], "#fde725", 40)
    # of the whole world all places would lie in a few pixels
    assert np.ptp(np.flatnonzero(yellow.any(axis=0))) > 150
    with pytest.raises(DataError, match="needs a value"):
        draw_value_map(places, np.full(300, np.nan), path, title="t", label="°")


def test_a_map_of_a_part_over_the_antimeridian_is_no_map_of_the_world(tmp_path):
    chance = np.random.default_rng(0)
    longitude = (chance.uniform(176.0, 184.0, 300) + 180.0) % 360.0 - 180.0
    places = np.stack([chance.uniform(-20.0, -16.0, 300), longitude], axis=1)
    path = draw_value_map(places, places[:, 0], tmp_path / "fiji.png", title="t", label="°")
    picture = pixels(path)
    yellow = near(picture[:, : picture.shape[1] - 240], "#fde725", 40).any(axis=0)
    # of the whole world two bits at its edges would have values, and nothing between them
    assert np.diff(np.flatnonzero(yellow)).max() < 300
    assert np.ptp(np.flatnonzero(yellow)) > 600


def test_a_constant_map_is_drawn(tmp_path):
    draw_value_map(np.zeros((1, 2)), np.ones(1), tmp_path / "one.png", title="t", label="x")


def test_values_on_the_line_of_equals(tmp_path):
    value = np.random.default_rng(0).normal(size=3000)
    path = draw_pair((value, value), ("a", "b"), tmp_path / "p.png", same_unit=True, told="all")
    blue = near(pixels(path)[120:610, 110:660], ANSWER, 60)
    row, column = np.nonzero(blue)
    assert np.corrcoef(row, column)[0, 1] < -0.98


def test_both_distributions_are_shown_with_and_without_one_unit(tmp_path):
    generator = np.random.default_rng(0)
    one, other = generator.normal(size=500), 100.0 + generator.normal(size=500)
    for same in (True, False):
        path = draw_pair((one, other), ("a", "b"), tmp_path / "p.png", same_unit=same, told="")
        right = pixels(path)[:, 760:]
        assert near(right, TRUTH).sum() > 100
        assert near(right, ANSWER).sum() > 100
    spread = pixels(draw_spreads(one, other[:40], ("a", "b"), tmp_path / "s.png"))
    assert near(spread[:, :700], TRUTH).sum() > 100
    assert near(spread[:, 700:], ANSWER).sum() > 100
    with pytest.raises(DataError, match="500 values against 3"):
        draw_pair((one, other[:3]), ("a", "b"), tmp_path / "p.png", same_unit=True, told="")
