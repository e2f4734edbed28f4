from __future__ import annotations

import dataclasses
import json
import shutil
from functools import cache

import pytest
import torch

from geoloc.errors import DataError
from geoloc.geostatistics import LagBins
from geoloc.spacetime import (
    FitSettings,
    ModelSettings,
    NetworkShape,
    fit_space_time,
    load_space_time,
    save_space_time,
)
from tests.unit.spacetime.worlds import earth, plane

SETTINGS = ModelSettings(
    shape=NetworkShape(trunk="fourier", hidden=(6,), frequencies=4),
    fit=FitSettings(epochs=3, batch=32),
    members=2,
    residuals="steps",
    bins=LagBins.even(6, 60.0),
    seed=5,
)
ON_EARTH = dataclasses.replace(
    SETTINGS,
    shape=NetworkShape(trunk="location_encoder", hidden=(8,), sigmas=(1.0, 4.0), frequencies=4),
    residuals="coefficients",
    bins=LagBins.even(6, 3000.0),
    neighbours=8,
)


@cache
def fitted(on_earth):
    stations = earth() if on_earth else plane(places=90)[0]
    rows = torch.arange(len(stations))
    settings = ON_EARTH if on_earth else SETTINGS
    return fit_space_time(stations.at(rows[:-10]), 2, settings), stations.sites.at(rows[-10:])


@pytest.mark.parametrize("on_earth", [False, True])
def test_a_model_read_back_says_the_same_to_the_bit(tmp_path, on_earth):
    model, asked = fitted(on_earth)
    again = load_space_time(save_space_time(model, tmp_path / "model"))
    one, other = model.predict(asked), again.predict(asked)
    for name in ("network", "values", "variance", "spread"):
        assert torch.equal(getattr(one, name), getattr(other, name))
    assert again.settings == model.settings
    assert again.ensemble.diaries == model.ensemble.diaries
    assert again.measured_inflation() == model.inflation
    assert again.basis.total_variance == model.basis.total_variance


def test_another_model_takes_the_place_of_the_first(tmp_path):
    model, asked = fitted(False)
    save_space_time(fitted(True)[0], tmp_path)
    save_space_time(model, tmp_path)
    assert torch.equal(load_space_time(tmp_path).predict(asked).values, model.predict(asked).values)


def test_damage_is_told_in_one_line(tmp_path):
    whole = save_space_time(fitted(False)[0], tmp_path / "whole")

    def broken(name, change):
        folder = tmp_path / "broken"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        change(folder / name)
        with pytest.raises(DataError) as told:
            load_space_time(folder)
        assert "\n" not in str(told.value)
        return str(told.value)

    for name in ("tensors.safetensors", "variogram.json", "structure.json"):
        assert "torn" in broken(name, lambda path: path.unlink())
        assert "damaged" in broken(name, lambda path: path.write_bytes(path.read_bytes()[:-9]))
    assert "there is no space-time model" in broken("model.json", lambda path: path.unlink())

    def changed(**keys):
        def change(path):
            path.write_text(json.dumps(json.loads(path.read_text()) | keys))

        return change

    assert "version 1" in broken("model.json", changed(schema_version=0))
    assert "damaged" in broken("model.json", changed(settings={"bins": 3}))
    assert "damaged" in broken("model.json", changed(diaries=[{"steps": 1}]))
