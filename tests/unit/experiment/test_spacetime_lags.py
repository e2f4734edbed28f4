"""Classes of lag of few stations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from geoloc.experiment.loading import load_section
from geoloc.experiment.spacetime_data import space_time_data
from geoloc.experiment.spacetime_methods import lag_bins
from geoloc.experiment.spacetime_schema import SpaceTimeConfig
from geoloc.geostatistics.bin_weights import MIN_PAIRS
from geoloc.spacetime import fit_structure, krige_series, mean_variogram


@pytest.fixture
def tree(tmp_path):
    """Settings of 40 of 60 stations, and 20 others, under waves along and across."""
    chance = np.random.default_rng(5)
    places = pd.DataFrame(chance.uniform(0.0, 6.0, (60, 2)), columns=["latitude", "longitude"])
    north, east = places["latitude"], places["longitude"]
    steps = [
        places.assign(time=float(step), value=np.sin(north + shift) + np.cos(east - shift))
        for step, shift in enumerate(chance.uniform(0.0, 6.3, 30))
    ]
    pd.concat(steps).to_csv(tmp_path / "stations.csv", index=False)
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    words = [f"field={tmp_path / 'stations.csv'}", "stations=40", "held_out=20"]
    return load_section(tmp_path / "mine.yaml", words, SpaceTimeConfig)


def test_few_stations_are_fitted_by_their_short_lags_too(tree):
    """Of even classes only far ones would hold pairs enough: no structure, and the mean."""
    data = space_time_data(tree)
    curve = mean_variogram(data.stations, lag_bins(tree, data.stations))
    assert curve.pair_count.min() >= MIN_PAIRS
    fit = fit_structure(curve)
    assert fit.model != "nugget"
    kriged = krige_series(data.stations, data.held_out.sites, fit)
    error = (kriged.value - data.held_out.values).square().mean()
    assert float(error) < 0.1 * float(data.held_out.values.var())


def test_many_stations_keep_even_classes_up_to_the_lag_that_is_asked_for(tree):
    data = space_time_data(tree)
    few = tree.residuals.model_copy(update={"classes": 5, "max_lag_km": 400.0})
    bins = lag_bins(tree.model_copy(update={"residuals": few}), data.stations)
    assert np.allclose(bins.edges, (0.0, 80.0, 160.0, 240.0, 320.0, 400.0))


def test_as_many_classes_as_are_asked_for_at_most(tree):
    data = space_time_data(tree)
    asked = tree.residuals.model_copy(update={"classes": 9, "max_lag_km": 400.0})
    bins = lag_bins(tree.model_copy(update={"residuals": asked}), data.stations)
    assert len(bins.edges) == 10
    assert bins.edges[-1] == 400.0
    assert bins.edges[1] > 400.0 / 9.0
