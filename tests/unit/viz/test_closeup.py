from __future__ import annotations

import numpy as np
import pytest

from geoloc.geodesy import great_circle_km
from geoloc.viz.canvas import LAND, OCEAN, new_figure, save_png
from geoloc.viz.closeup import (
    LARGEST_RADIUS_KM,
    SMALLEST_RADIUS_KM,
    closeup_axes,
    closeup_view,
    in_view,
    to_local,
)


def test_view_holds_the_best_place_and_what_is_near() -> None:
    best = np.array([-17.0, 179.0])
    others = np.array([[-16.0, -178.0], [48.0, 2.0]])
    center, radius_km = closeup_view(best, others)
    kept = np.stack([best, others[0]])
    assert in_view(to_local(center, kept), radius_km).all()
    assert great_circle_km(center[None], kept).max() < 200
    assert radius_km == SMALLEST_RADIUS_KM
    far = np.array([[-17.0, -150.0]])
    assert closeup_view(best, far)[1] > 1.2 * great_circle_km(best[None], far)[0] / 2


def test_view_is_bounded() -> None:
    best = np.array([0.0, 0.0])
    alone = closeup_view(best, np.zeros((0, 2)))
    assert alone[1] == SMALLEST_RADIUS_KM
    assert alone[0] == pytest.approx(best, abs=1e-9)
    assert closeup_view(best, np.array([[0.0, 35.0]]))[1] == LARGEST_RADIUS_KM


@pytest.mark.parametrize(
    ("center", "tone"),
    [
        ((48.2, 3.0), LAND),
        ((0.0, -30.0), OCEAN),
        ((-25.0, 122.0), LAND),  # Western Australia, no vertex of its border in view
        ((66.0, 179.9), LAND),  # Chukotka, cut by the antimeridian
        ((-89.0, 0.0), LAND),  # around the south pole
        ((89.0, 0.0), OCEAN),
    ],
)
def test_the_middle_of_the_view_has_the_right_tone(
    center: tuple[float, float], tone: str, tmp_path, read_png
) -> None:
    figure = new_figure(300, 300)
    closeup_axes(figure, (0.0, 0.0, 1.0, 1.0), np.array(center), 300.0)
    pixels = read_png(save_png(figure, tmp_path / "closeup.png"))
    wanted = [int(tone[at : at + 2], 16) for at in (1, 3, 5)]
    # A border may pass through the very middle: the tone of most pixels around it counts.
    around = pixels[140:160, 140:160].reshape(-1, 3)
    assert (np.abs(around - np.array(wanted)).max(axis=1) <= 2).mean() > 0.5


def test_scale_bar_is_true(tmp_path) -> None:
    figure = new_figure(300, 300)
    axes = closeup_axes(figure, (0.0, 0.0, 1.0, 1.0), np.array([40.0, 20.0]), 500.0)
    (bar,) = axes.lines
    length = float(np.ptp(np.asarray(bar.get_xdata(), dtype=float)))
    assert f"{length:,.0f} km" in [text.get_text() for text in axes.texts]
    local = to_local(np.array([40.0, 20.0]), np.array([[40.0, 20.0], [41.0, 20.0]]))
    assert local[1, 1] - local[0, 1] == pytest.approx(111.19, abs=0.01)
