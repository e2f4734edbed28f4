from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from geoloc.errors import CoordinateError, DataError
from geoloc.viz import draw_prediction_map
from geoloc.viz.error_map import CLASS_COLOURS, class_names, error_class


def test_thresholds_are_strict() -> None:
    km = np.array([0.0, 24.999, 25.0, 199.9, 200.0, 750.0, 2500.0, 20015.0])
    assert error_class(km).tolist() == [0, 0, 1, 1, 2, 3, 4, 4]
    assert class_names() == [
        "< 25 km",
        "25\N{EN DASH}200 km",
        "200\N{EN DASH}750 km",
        "750\N{EN DASH}2,500 km",
        "≥ 2,500 km",
    ]
    assert len(CLASS_COLOURS) == len(class_names())


def test_map_is_drawn_and_repeatable(tmp_path: Path, predictions: pd.DataFrame, read_png) -> None:
    first = draw_prediction_map(predictions, tmp_path / "a.png", title="test $x_ 東京")
    second = draw_prediction_map(predictions, tmp_path / "b.png", title="test $x_ 東京")
    assert first.read_bytes() == second.read_bytes()
    assert read_png(first).shape == (900, 1600, 3)


def test_only_drawing_is_sampled(tmp_path: Path, predictions: pd.DataFrame, read_png) -> None:
    few = draw_prediction_map(predictions, tmp_path / "a.png", max_lines=5, max_points=10)
    all_of_them = draw_prediction_map(predictions, tmp_path / "b.png")
    assert not np.array_equal(read_png(few), read_png(all_of_them))
    # The legend with its shares is the same.
    np.testing.assert_array_equal(read_png(few)[838:870], read_png(all_of_them)[838:870])


def test_what_cannot_be_drawn_is_refused(tmp_path: Path, predictions: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="lack the columns pred_lat_deg"):
        draw_prediction_map(predictions.drop(columns="pred_lat_deg"), tmp_path / "a.png")
    with pytest.raises(DataError, match="empty"):
        draw_prediction_map(predictions.head(0), tmp_path / "a.png")
    broken = predictions.copy()
    broken.loc[3, "pred_lon_deg"] = np.nan
    with pytest.raises(CoordinateError, match="predicted place"):
        draw_prediction_map(broken, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
