"""Maps of cells and clusters: of the part of the Earth that holds them."""

from __future__ import annotations

import numpy as np
import pytest

from geoloc.geodesy import great_circle_km, sample_sphere
from geoloc.regions import ClusterSettings, metric_constrained_clusters
from geoloc.viz import draw_cells, draw_clusters
from geoloc.viz.closeup import in_view, to_local, view_of_all

BLUE, ORANGE = (0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00)


def around(center_deg, size_deg, count=80):
    generator = np.random.default_rng(0)
    return np.array(center_deg) + generator.uniform(-0.5, 0.5, (count, 2)) * size_deg


@pytest.mark.parametrize("center", [(46.0, 6.0), (-17.0, 179.9), (-89.9, 0.0)])
def test_the_view_holds_all_places_and_little_more(center):
    places = around(center, 0.1)
    places[:, 1] = (places[:, 1] + 180.0) % 360.0 - 180.0
    view = view_of_all(places)
    assert view is not None
    assert in_view(to_local(view[0], places), view[1]).all()
    assert view[1] < max(2.0, 1.2 * float(great_circle_km(places, view[0][None]).max()))


def test_the_whole_earth_and_antipodes_need_a_world_map():
    assert view_of_all(sample_sphere(100, generator=np.random.default_rng(0))) is None
    assert view_of_all(np.array([[0.0, 0.0], [0.0, 180.0]])) is None


@pytest.mark.parametrize("size_deg", [0.01, 5.0])
def test_cells_of_a_town_fill_the_map(size_deg, tmp_path, read_png):
    places = around((46.2, 6.1), size_deg)
    cell = (places[:, 0] > 46.2) * 2 + (places[:, 1] > 6.1)
    _, cell = np.unique(cell, return_inverse=True)
    draw_cells(tmp_path / "cells.png", places, cell.astype(np.int64), title="Four quarters")
    middle = read_png(tmp_path / "cells.png")[330:530, 600:800, :3]
    # the tone that each quarter has most of
    tones = [
        max(corner.reshape(-1, 3).tolist(), key=corner.reshape(-1, 3).tolist().count)
        for corner in (middle[:40, :40], middle[:40, -40:], middle[-40:, -40:], middle[-40:, :40])
    ]
    assert all(one != other for one, other in zip(tones, [*tones[1:], tones[0]], strict=True))


def test_clusters_of_a_region_are_drawn_apart(tmp_path, read_png):
    places = around((46.2, 6.1), 1.0, count=200)
    features = np.where(places[:, 1:] > 6.1, 3.0, -3.0) + np.sin(places * 1e3)
    settings = ClusterSettings(neighbours=10, eps=1.0, min_samples=5, weight=0.0)
    found = metric_constrained_clusters(features, places, settings=settings)
    draw_clusters(
        tmp_path / "clusters.png",
        places,
        np.int64(places[:, 1] > 6.1),
        variogram=found.semivariogram,
        fit=found.fit,
        reach=found.reach,
        title="Two halves",
    )
    left = read_png(tmp_path / "clusters.png")[100:660, 60:820, :3].astype(int)
    columns = [
        np.flatnonzero((np.abs(left - np.array(tone)).max(axis=2) < 8).any(axis=0))
        for tone in (BLUE, ORANGE)
    ]
    assert columns[0].max() < columns[1].min() + 8
    assert columns[1].mean() - columns[0].mean() > 100
