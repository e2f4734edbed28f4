from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoloc.errors import DataError
from geoloc.viz import draw_error_curve
from geoloc.viz.curves import share_within


@given(
    errors=st.lists(st.sampled_from([0.0, 1.0, 25.0, 24.9, 200.0, 3000.0]), min_size=1),
    distance=st.sampled_from([0.5, 1.0, 25.0, 200.0, 2500.0]),
)
def test_share_is_the_naive_count_strictly_below(errors: list[float], distance: float) -> None:
    got = share_within(np.array(errors), np.array([distance]))[0]
    assert got == pytest.approx(sum(error < distance for error in errors) / len(errors))


def test_curves_are_drawn(tmp_path: Path, read_png) -> None:
    generator = np.random.default_rng(0)
    curves = {
        "model": np.exp(generator.normal(6, 2, 300)),
        "best constant guess": generator.uniform(0, 15_000, 300),
        "always right $": np.zeros(300),
    }
    pixels = read_png(draw_error_curve(curves, tmp_path / "a" / "curve.png", title="x"))
    assert pixels.shape == (750, 1200, 3)


@pytest.mark.parametrize(
    "curves",
    [
        {},
        {"a": np.array([])},
        {"a": np.array([1.0, np.nan])},
        {"a": np.array([-1.0])},
        {str(number): np.ones(2) for number in range(7)},
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, curves: dict[str, np.ndarray]) -> None:
    with pytest.raises(DataError):
        draw_error_curve(curves, tmp_path / "curve.png")
