from __future__ import annotations

import numpy as np
import pytest

from geoloc.geodesy import equal_earth
from geoloc.viz.canvas import (
    LAND,
    OCEAN,
    drawable,
    new_figure,
    png_bytes,
    put_text,
    save_png,
    shorten,
    world_axes,
)


@pytest.mark.parametrize(
    ("text", "length", "short"),
    [("abc", 3, "abc"), ("abcdefgh", 5, "ab…gh"), ("abcdefgh", 4, "ab…h"), ("", 3, "")],
)
def test_shorten(text: str, length: int, short: str) -> None:
    assert shorten(text, length) == short


def test_what_the_font_lacks_is_replaced() -> None:
    assert drawable("Île-de-France, Łódź, Česko") == "Île-de-France, Łódź, Česko"
    assert drawable("東京\n\x1b") == "????"


def test_text_is_taken_literally() -> None:
    figure = new_figure(200, 60)
    put_text(figure, 0.1, 0.5, r"$\frac{broken$ 東京")
    assert png_bytes(figure).startswith(b"\x89PNG")


def test_equal_figures_give_equal_bytes() -> None:
    def draw() -> bytes:
        figure = new_figure(120, 80)
        put_text(figure, 0.1, 0.5, "same")
        return png_bytes(figure)

    assert draw() == draw()


def test_land_is_land_and_sea_is_sea_on_the_world_map(tmp_path, read_png) -> None:
    figure = new_figure(1000, 500)
    axes = world_axes(figure, (0.0, 0.0, 1.0, 1.0))
    axes.apply_aspect()
    pixels = read_png(save_png(figure, tmp_path / "deep" / "er" / "world.png"))
    places = {
        (48.0, 3.0): LAND,
        (-25.0, 125.0): LAND,
        (65.0, 100.0): LAND,
        (-80.0, 20.0): LAND,
        (67.0, -177.0): LAND,
        (5.0, -35.0): OCEAN,
        (-40.0, 80.0): OCEAN,
        (10.0, -165.0): OCEAN,
        (82.5, 12.0): OCEAN,
    }
    for place, tone in places.items():
        x, y = axes.transData.transform(equal_earth(np.array(place)))
        seen = pixels[round(499 - y) - 1 : round(499 - y) + 2, round(x) - 1 : round(x) + 2]
        wanted = np.array([int(tone[at : at + 2], 16) for at in (1, 3, 5)])
        close = np.abs(seen.reshape(-1, 3) - wanted).max(axis=1) <= 3
        assert close.mean() > 0.5, place
    assert (pixels[0, 0] == 255).all()
