from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geoloc.evaluation.confusion import CountryConfusion
from geoloc.viz.confusion import _shown, draw_confusion


def confusion() -> CountryConfusion:
    return CountryConfusion(
        code=("FR", "DE", "IT", "sea"),
        name=("France", "Germany", "Italy", "at sea"),
        count=np.array([[6, 2, 1, 1], [0, 4, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]),
        unplaced=0,
    )


def test_each_row_adds_up_also_with_countries_left_out() -> None:
    rows, share = _shown(confusion(), 2)
    assert rows == [0, 1]
    assert share[0].tolist() == pytest.approx([0.6, 0.2, 0.1, 0.1])
    assert share.sum(axis=1).tolist() == pytest.approx([1.0, 1.0])


def test_countries_that_are_only_predicted_have_no_row() -> None:
    rows, _ = _shown(confusion(), 20)
    assert rows == [0, 1, 2]


def test_it_is_drawn(tmp_path: Path, read_png) -> None:
    pixels = read_png(draw_confusion(confusion(), tmp_path / "c.png", title="x $ y"))
    assert pixels.std() > 5
