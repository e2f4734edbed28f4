from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import Normalize
from PIL import Image

from geoloc.errors import DataError
from geoloc.viz import KrigedPicture, draw_kriged
from geoloc.viz.canvas import new_figure
from geoloc.viz.place_axes import View, draw_cells, place_axes


def test_a_view_goes_over_the_antimeridian_where_that_is_nearer() -> None:
    fiji = np.array([[-17.0, 178.0], [-18.0, -179.0], [-16.0, 179.5]])
    view = View.of_places(fiji, sphere=True)
    assert (view.kind, view.west < 178.0, 181.0 < view.east < 182.0) == ("region", True, True)
    at = view.to_axes(fiji)
    assert at[:, 0].tolist() == [178.0, 181.0, 179.5]
    assert at[:, 1].tolist() == [-17.0, -18.0, -16.0]
    far = np.array([[0.0, 0.0], [10.0, 120.0], [-10.0, -120.0]])
    assert View.of_places(far, sphere=True).kind == "world"
    plane = View.of_places(np.array([[100.0, 5.0], [300.0, 25.0]]), sphere=False)
    assert (plane.west, plane.east, plane.south, plane.north) == (92.0, 308.0, -3.0, 33.0)
    single = View.of_places(np.array([[50.0, 8.0]]), sphere=True)
    assert single.south < 50.0 < single.north
    assert single.west < 8.0 < single.east


@pytest.mark.parametrize("west", [-180.0, 100.0])
def test_cells_of_a_world_lie_where_their_longitudes_are(west: float) -> None:
    view = View.of_box(-90.0, 90.0, -180.0, 180.0, sphere=True)
    axes = place_axes(new_figure(400, 200), (0.0, 0.0, 1.0, 1.0), view)
    before = len(axes.collections)
    columns = west + np.arange(0.0, 361.0, 20.0)
    middles = (columns[:-1] + columns[1:]) / 2.0
    value = np.tile((middles + 180.0) % 360.0 - 180.0, (9, 1))
    rows = np.linspace(-90.0, 90.0, 10)
    draw_cells(axes, view, (rows, columns), value, scale=Normalize(-180, 180), colours="viridis")
    meshes: Any = axes.collections[before:]
    for mesh in meshes:
        corners = mesh.get_coordinates()[5]  # on the equator x grows with longitude
        found = (corners[:-1, 0] + corners[1:, 0]) / 2.0
        shown = np.asarray(mesh.get_array()).reshape(9, -1)[4]
        assert np.corrcoef(found, shown)[0, 1] > 0.999
        assert np.abs(corners[:, 0]).max() <= 2.73
    assert sum(np.asarray(mesh.get_array()).size for mesh in meshes) == value.size


def picture(**changes: Any) -> KrigedPicture:
    given: dict[str, Any] = {
        "title": "pm25: kriging from 3 stations",
        "subtitle": "a model",
        "measured": "pm25, ug/m3",
        "sphere": True,
        "stations": np.array([[50.0, 8.0], [51.0, 9.0], [50.5, 8.2]]),
        "measurement": np.array([1.0, 2.0, 3.0]),
        "targets": np.array([[50.1, 8.1], [50.1, 8.3], [50.2, 8.1], [50.2, 8.3]]),
        "estimate": np.array([1.0, 1.5, np.nan, 2.0]),
        "standard_error": np.array([0.5, 0.5, np.nan, 0.5]),
        "axes": None,
        "checks": {"left out": (np.arange(3.0), np.arange(3.0))},
    }
    return KrigedPicture(**(given | changes))


def test_pictures_of_grids_places_and_planes(tmp_path: Path) -> None:
    grid = (np.array([50.1, 50.2]), np.array([8.1, 8.3]))
    fiji = np.array([[-17.0, 179.5], [-17.0, -179.5], [-16.5, 180.0]])
    flat = {"estimate": np.full(4, 7.0), "standard_error": np.zeros(4), "checks": {}}
    for name, changes in {
        "places": {},
        "grid": {"axes": grid},
        "plane": {"axes": grid, "sphere": False},
        "flat": {"axes": grid, **flat},
        "fiji": {"stations": fiji, "axes": (np.array([-17.5, -16.5]), np.array([179.5, 180.5]))},
    }.items():
        path = draw_kriged(picture(**changes), tmp_path / f"{name}.png")
        with Image.open(path) as image:
            assert image.width == 1600
            small = np.asarray(image.convert("RGB").resize((160, 100))).reshape(-1, 3)
            assert len(np.unique(small, axis=0)) > 20
    with pytest.raises(DataError, match="needs an estimate"):
        draw_kriged(picture(estimate=np.full(4, np.nan)), tmp_path / "none.png")
