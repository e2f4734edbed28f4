from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoloc.errors import DataError
from geoloc.viz import draw_station_maps


def test_stations_pseudo_labels_and_scatters_are_drawn(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    places = generator.uniform([-50, -170], [60, 170], (40, 2))
    truth = generator.normal(size=(6, 4))
    truth[0, 0] = np.nan
    common = {
        "title": "Test",
        "measured": "turbidity",
        "unlabelled": (places[10:], generator.normal(size=30)),
        "truth": truth,
        "estimates": {"kriging": truth + 0.1, "forest": truth * 0.5},
    }
    first = draw_station_maps(
        tmp_path / "a.png", stations=(places[:10], generator.normal(size=10)), **common
    )
    with Image.open(first) as picture:
        assert picture.size == (1600, 1180)
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 200
    again = draw_station_maps(
        tmp_path / "b.png", stations=(places[:10], np.full(10, 9.0)), **common
    )
    assert first.read_bytes() != again.read_bytes()
    with pytest.raises(DataError, match="needs stations"):
        draw_station_maps(tmp_path / "c.png", stations=(places[:0], np.empty(0)), **common)
