from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoloc.errors import CoordinateError, DataError
from geoloc.viz import closeup_png, draw_query_map, world_map_png
from geoloc.viz.canvas import ANSWER, TRUTH
from geoloc.viz.maps import percent


def count(pixels: np.ndarray, colour: str) -> int:
    wanted = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
    return int((np.abs(pixels.astype(int) - wanted).max(axis=-1) <= 12).sum())


def test_map_of_one_answer(tmp_path: Path, answer_of, read_png) -> None:
    answer = answer_of((48.9, 2.3), (51.5, -0.1), (-33.9, 18.4))
    plain = read_png(draw_query_map(answer, tmp_path / "plain.png"))
    assert plain.shape == (900, 1600, 3)
    assert count(plain, TRUTH) == 0
    assert count(plain, ANSWER) > 2000
    known = read_png(draw_query_map(answer, tmp_path / "known.png", truth_deg=(46.2, 6.1)))
    assert count(known, TRUTH) > 200
    red = Image.new("RGB", (64, 64), (255, 0, 0))
    shown = read_png(draw_query_map([answer], tmp_path / "shown.png", image=red))
    assert count(plain, "#ff0000") == 0
    assert count(shown, "#ff0000") > 50_000


@pytest.mark.parametrize("size", [(1000, 10), (10, 1000), (1, 1)])
def test_images_of_any_shape_fit(tmp_path: Path, answer_of, size: tuple[int, int]) -> None:
    image = Image.new("L", size, 100)
    assert draw_query_map(answer_of((1.0, 2.0)), tmp_path / "a.png", image=image).is_file()


def test_truth_across_the_antimeridian_leaves_the_middle_of_the_map_clean(
    tmp_path: Path, answer_of, read_png
) -> None:
    answer = answer_of((-17.7, 178.0))
    (tmp_path / "near.png").write_bytes(world_map_png(answer, truth_deg=(-14.0, -171.0)))
    (tmp_path / "none.png").write_bytes(world_map_png(answer))
    near, none = read_png(tmp_path / "near.png"), read_png(tmp_path / "none.png")
    middle = slice(100, 760)
    np.testing.assert_array_equal(near[:, middle], none[:, middle])
    assert not np.array_equal(near, none)


def test_map_of_several_answers_shows_the_best_of_each(tmp_path: Path, answer_of) -> None:
    answers = [answer_of((lat, lat), source=f"{lat}.jpg") for lat in range(-60, 60, 5)]
    assert draw_query_map(answers, tmp_path / "many.png").is_file()
    with pytest.raises(DataError, match="single answer"):
        draw_query_map(answers, tmp_path / "many.png", truth_deg=(0.0, 0.0))
    with pytest.raises(DataError, match="no answer"):
        draw_query_map([], tmp_path / "none.png")


def test_hard_places_and_names(tmp_path: Path, answer_of) -> None:
    poles = answer_of((90.0, 0.0), (-90.0, 0.0), (0.0, 180.0), (0.0, -180.0), source="$^{東京\n")
    for truth in (None, (-90.0, 10.0), (0.0, 0.0), (90.0, 0.0)):
        assert draw_query_map(poles, tmp_path / "poles.png", truth_deg=truth).is_file()
    many = answer_of(*[(10.0 + row / 100, 20.0) for row in range(30)])
    assert draw_query_map(many, tmp_path / "many.png").is_file()


def test_an_impossible_truth_is_refused(tmp_path: Path, answer_of) -> None:
    with pytest.raises(CoordinateError):
        draw_query_map(answer_of((0.0, 0.0)), tmp_path / "a.png", truth_deg=(91.0, 0.0))


def test_closeup_is_a_square_png(tmp_path: Path, answer_of, read_png) -> None:
    (tmp_path / "a.png").write_bytes(closeup_png(answer_of((48.9, 2.3)), truth_deg=(48.8, 2.4)))
    pixels = read_png(tmp_path / "a.png")
    assert pixels.shape == (430, 430, 3)
    # The truth lies under the answer: the star's tips are still to be seen.
    assert count(pixels, TRUTH) > 30
    assert count(pixels, ANSWER) > 200


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100 %"), (0.123, "12 %"), (0.0999, "10 %"), (0.05, "5.0 %"), (0.0001, "< 0.1 %")],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text
