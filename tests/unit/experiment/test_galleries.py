from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from geoloc.errors import CheckpointError, ConfigError, DataError
from geoloc.experiment.galleries import build_gallery
from geoloc.experiment.gathered_places import PlacesRequest
from geoloc.experiment.prepare_data import read_places
from geoloc.experiment.training_places import (
    keep_training_places,
    training_places,
    training_places_drawn_from,
)
from geoloc.retrieval import Gallery


def quiet(_line):
    pass


def build(run, source, name=None):
    request = PlacesRequest(sources=(str(source),))
    return build_gallery(run.path, request, name=name, say=quiet, device="cpu")


@pytest.fixture
def csv(tmp_path):
    file = tmp_path / "harbours.csv"
    file.write_text("latitude,longitude\n53.5,9.9\n51.9,4.5\n")
    return file


@pytest.mark.parametrize("name", ["training-places", "even-land", "Training-Places"])
def test_other_places_do_not_take_the_names_of_a_runs_own_galleries(make_run, csv, name):
    run = make_run()
    _, own = build(run, "training-places")
    for source in (csv, "even-land:7", run.config().data.train):
        with pytest.raises(ConfigError, match="give another --name"):
            build(run, source, name)
    renamed = csv.rename(csv.with_name(f"{name}.csv"))
    with pytest.raises(ConfigError, match="give another --name"):
        build(run, renamed)
    kept = Gallery.load(run.galleries / "training-places")
    assert kept.places_fingerprint == own.places_fingerprint
    assert [folder.name for folder in run.galleries.iterdir()] == ["training-places"]


def test_the_runs_own_galleries_may_be_built_by_their_names(make_run, csv):
    run = make_run()
    assert len(build(run, "training-places", "training-places")[1]) == 8
    assert build(run, "even-land")[0].name == "even-land"
    assert build(run, "even-land:50", "even-land")[0].name == "even-land"
    assert build(run, "even-land:7")[0].name == "even-land-7"
    assert build(run, csv)[0].name == "harbours"


@pytest.mark.parametrize("name", ["../../x", "..", ".x", "a b", "a/b"])
def test_a_gallerys_name_stays_in_the_folder_of_galleries(make_run, csv, name):
    with pytest.raises(ConfigError, match="letters, digits"):
        build(make_run(), csv, name)


def test_an_unfinished_run_builds_no_gallery(make_run, csv):
    with pytest.raises(CheckpointError, match="has not finished"):
        build(make_run(finished=False), csv)


def test_a_run_keeps_how_many_training_places_there_were(make_run):
    run = make_run(gallery_places=5)
    places = training_places(run, run.config())
    assert (len(places), training_places_drawn_from(run)) == (5, 8)
    every = read_places(run.config().data.train, limit=sys.maxsize, seed=0)
    assert {tuple(place) for place in places} <= {tuple(place) for place in every}
    np.testing.assert_array_equal(
        places, read_places(run.config().data.train, limit=5, seed=run.config().seed)
    )
    assert build(run, "training-places")[1].drawn_from == 8


def test_all_training_places_are_drawn_from_nothing(make_run):
    run = make_run()
    assert len(training_places(run, run.config())) == 8
    assert training_places_drawn_from(run) is None
    assert build(run, "training-places")[1].drawn_from is None


def test_the_count_belongs_to_the_places_kept_last(make_run):
    run = make_run()
    few = np.array([[1.0, 2.0], [3.0, 4.0]])
    keep_training_places(run, few, total=70)
    assert training_places_drawn_from(run) == 70
    keep_training_places(run, few)
    assert training_places_drawn_from(run) is None
    keep_training_places(run, few, total=2)
    assert training_places_drawn_from(run) is None
    (run.path / "training_places.json").write_text('{"kept": 2}')
    with pytest.raises(DataError, match="damaged"):
        training_places_drawn_from(run)


def test_shards_that_were_thinned_are_noted_in_the_gallerys_card(make_run, tmp_path):
    run = make_run(gallery_places=4)
    told = []
    request = PlacesRequest(sources=(str(tmp_path / "test"),))
    folder, gallery = build_gallery(run.path, request, name="few", say=told.append, device="cpu")
    assert (len(gallery), gallery.drawn_from) == (4, 6)
    assert json.loads((folder / "gallery.json").read_text())["drawn_from"] == 6
    assert "drawn at random from 6" in told[0]
