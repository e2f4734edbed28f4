from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from geoloc.cli import main
from geoloc.errors import ConfigError
from geoloc.experiment.galleries import build_gallery
from geoloc.experiment.gathered_places import PlacesRequest, gather_places
from geoloc.geodesy import pairwise_great_circle_km, sample_sphere
from geoloc.places import Areas, Gazetteer
from geoloc.regions import LocalRanges, cells_of, mean_places, quadtree, within
from geoloc.retrieval import places_from_file, save_places


@pytest.fixture
def world(tmp_path):
    file = tmp_path / "world.npy"
    np.save(file, sample_sphere(500, generator=np.random.default_rng(0)))
    return file


def gathered(*sources, run=None, **more):
    config = None if run is None else run.config()
    request = PlacesRequest(sources=tuple(map(str, sources)), **more)
    return gather_places(request, run=run, config=config).latlon_deg


def test_sources_by_name(world, tmp_path):
    places = np.load(world)
    np.testing.assert_array_equal(gathered(world), places)
    np.testing.assert_array_equal(gathered("even-land:200"), Areas.load().even_land_points(200))
    assert len(gathered("cities")) == len(Gazetteer.load())
    assert len(gathered("geoclip")) == 100_000
    for grid in ("h3", "s2"):
        cell, centre = cells_of(places, grid, 2)
        np.testing.assert_array_equal(gathered(f"{grid}:2:{world}"), mean_places(places, cell))
        np.testing.assert_array_equal(gathered(f"{grid}:2:{world}", at="centre"), centre)
        assert Areas.load().is_land(gathered(f"{grid}:2")).all()
    tree = quadtree(places, split_at=40)
    np.testing.assert_array_equal(gathered(f"quadtree:40:{world}"), tree.means(places))
    # cells of cells
    assert len(gathered(f"h3:0:quadtree:40:{world}")) <= 122
    frame = pd.DataFrame(places, columns=["latitude", "longitude"]).assign(cell=tree.number)
    frame.to_csv(tmp_path / "cells.csv", index=False)
    np.testing.assert_allclose(
        np.sort(gathered(f"column:cell:{tmp_path / 'cells.csv'}")[:, 0]),
        np.sort(mean_places(places, tree.number)[:, 0]),
    )


def test_merged_restricted_and_thinned_in_this_order(world):
    places = np.load(world)
    both = gathered(world, world, "even-land:300")
    assert len(both) == 500 + len(Areas.load().even_land_points(300))
    africa = gathered(world, "even-land:300", within=("continent:AF",), thin_km=400.0)
    assert within(africa, ["continent:AF"]).all()
    apart = np.asarray(pairwise_great_circle_km(africa, africa))
    assert apart[np.triu_indices(len(africa), 1)].min() >= 400
    inside = both[within(both, ["continent:AF"])]
    assert np.asarray(pairwise_great_circle_km(inside, africa)).min(axis=1).max() < 400
    assert len(gathered(world, thin_to=50)) == 50
    assert len(gathered(world, thin_to=5000)) == len(places)


def test_a_variogram_makes_places_dense_where_ranges_are_short(tmp_path, world):
    file = tmp_path / "ranges.json"
    LocalRanges(
        centre_deg=np.array([[30.0, -100.0], [0.0, 20.0], [40.0, 90.0]]),
        effective_range_km=np.array([800.0, 200.0, 800.0]),
        global_range_km=500.0,
    ).save(file)
    places = gathered(f"variogram:{file}:400")
    assert len(places) == 400
    assert Areas.load().is_land(places).all()
    africa = within(places, ["continent:AF"]).mean()
    even = Areas.load().even_land_points(2000)
    assert africa > 2 * within(even, ["continent:AF"]).mean()
    chosen = gathered(f"variogram:{file}:60:{world}")
    assert {tuple(p) for p in chosen.tolist()} <= {tuple(p) for p in np.load(world).tolist()}
    with pytest.raises(ConfigError, match="ask for fewer"):
        gathered(f"variogram:{file}:900000")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("training-places", "--run RUN"),
        ("even-land", "even-land:COUNT"),
        ("even-land:x", "even-land:COUNT"),
        ("h3:", "h3:LEVEL"),
        ("quadtree:5", "quadtree:SPLIT_AT:SOURCE"),
        ("column:a", "column:NAME:FILE"),
        ("variogram:x.json", "variogram:RANGES.json:COUNT"),
    ],
)
def test_sources_written_wrongly(source, told):
    with pytest.raises(ConfigError, match=told):
        gathered(source)


def test_of_a_run_cells_see_every_training_place_though_it_keeps_fewer(make_run):
    run = make_run(gallery_places=3)
    assert len(gathered("training-places", run=run)) == 3
    assert len(gathered("quadtree:1:training-places", run=run)) == 8
    assert len(gathered("training-places", "even-land", run=run)) > 40


def test_a_gallery_of_operations_is_built_and_audited(make_run, tmp_path, capsys):
    run = make_run()
    told = []
    request = PlacesRequest(
        sources=("even-land:300", "training-places"), within=("continent:AF", "FR"), thin_to=40
    )
    folder, gallery = build_gallery(run.path, request, name=None, say=told.append, device="cpu")
    assert (folder.name, len(gallery)) == ("even-land-300-training-places-continent-AF-FR-40", 40)
    assert any("within continent:AF, FR" in line for line in told)
    with pytest.raises(ConfigError, match="give another --name"):
        build_gallery(run.path, request, name="even-land", say=told.append, device="cpu")
    picture = tmp_path / "map.png"
    command = ["gallery", "audit", str(folder), "--against", "training-places"]
    command += ["--run", str(run.path), "--map", str(picture), "--format", "json"]
    assert main(command) == 0
    audit = json.loads(capsys.readouterr().out)
    assert (audit["rows"], audit["gap"]["places"], picture.is_file()) == (40, 8, True)


@pytest.mark.parametrize("ending", ["csv", "parquet", "npy"])
def test_places_are_written_and_read_back_exactly(tmp_path, world, ending, capsys):
    out = tmp_path / f"out.{ending}"
    assert main(["gallery", "places", str(world), str(world), "--out", str(out)]) == 0
    assert "500 exact duplicates dropped: 500 left" in capsys.readouterr().out
    np.testing.assert_array_equal(places_from_file(out), np.load(world))


def test_errors_are_one_line(tmp_path, world, capsys):
    for command, told in (
        (["places", str(world), "--out", str(tmp_path / "a.txt")], "written as .csv"),
        (["places", str(world), "--out", str(tmp_path / "a.csv"), "--within", "XX"], "no region"),
        (["audit", str(world), "--against", "cities", "--map", "a.jpg"], "the map is a .png"),
        (["audit", str(tmp_path / "absent.csv"), "--against", "cities"], "no file of places"),
    ):
        assert main(["gallery", *command]) == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
    with pytest.raises(ConfigError, match="written as"):
        save_places(np.zeros((1, 2)), tmp_path / "a.txt")
