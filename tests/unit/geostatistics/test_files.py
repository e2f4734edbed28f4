"""Variograms as files: exact round trips, and damage that is seen."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geoloc.errors import DataError
from geoloc.geodesy import sample_sphere
from geoloc.geostatistics.cross import cross_variogram
from geoloc.geostatistics.estimate import estimate_variogram
from geoloc.geostatistics.files import load_variogram, save_variogram, write_variogram_csv
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.variogram import Variogram


def assert_same(one: Variogram, other: Variogram) -> None:
    for field in dataclasses.fields(Variogram):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, np.ndarray):
            assert mine.dtype == theirs.dtype, field.name
            np.testing.assert_array_equal(mine, theirs, err_msg=field.name)
        else:
            assert mine == theirs, field.name


@pytest.fixture(scope="module")
def places() -> np.ndarray:
    return sample_sphere(120, generator=np.random.default_rng(3))


@pytest.fixture(scope="module")
def variogram(places: np.ndarray) -> Variogram:
    values = np.random.default_rng(4).normal(size=(120, 5))
    found = estimate_variogram(places, values, bins=LagBins.logarithmic(30, 20, 20_016))
    assert found.replicate is not None
    assert np.isnan(found.replicate).any(), "some class must be empty without some group"
    return dataclasses.replace(found, provenance={**found.provenance, "source": "§ æ", "seed": 7})


def test_a_variogram_reads_back_exactly(tmp_path: Path, variogram: Variogram) -> None:
    path = save_variogram(variogram, tmp_path / "deep" / "variogram.json")
    assert_same(load_variogram(path), variogram)
    tree = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert tree["schema_version"] == 1
    assert tree["units"]["lag"] == "km"
    assert tree["provenance"]["source"] == "§ æ"
    assert None in np.array(tree["replicate"], dtype=object).ravel()


@pytest.mark.parametrize("kind", ["scalar", "no groups", "bare", "plane", "median", "cross"])
def test_every_kind_reads_back_exactly(tmp_path: Path, places: np.ndarray, kind: str) -> None:
    bins = LagBins.even(7, 15_000.0)
    scalar = np.random.default_rng(5).normal(size=120)
    choices: dict[str, Any] = {"bins": bins, "groups": 1 if kind == "no groups" else 9}
    if kind == "plane":
        choices |= {"bins": LagBins.even(5, 90, unit="m"), "metric": "euclidean"}
    if kind == "median":
        choices["estimator"] = "median"
    found = estimate_variogram(places, scalar, **choices)
    if kind == "cross":
        found = cross_variogram(places, scalar, scalar[::-1].copy(), bins=bins)
    if kind == "bare":
        found = dataclasses.replace(found, quantile=None, quantile_level=(), replicate=None)
    assert_same(load_variogram(save_variogram(found, tmp_path / "v.json")), found)


def test_what_json_cannot_hold_is_refused(tmp_path: Path, variogram: Variogram) -> None:
    endless = dataclasses.replace(variogram, spread=np.full(len(variogram), np.inf))
    with pytest.raises(DataError, match=r"spread .* infinite"):
        save_variogram(endless, tmp_path / "v.json")
    assert not (tmp_path / "v.json").exists()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("schema_version", lambda tree: tree | {"schema_version": 2}),
        ("kind", lambda tree: tree | {"kind": "fit"}),
        ("missing", lambda tree: {key: tree[key] for key in tree if key != "spread"}),
        ("unit", lambda tree: tree | {"units": {"lag": "mile"}}),
        ("metric", lambda tree: tree | {"metric": "manhattan"}),
        ("metric and unit", lambda tree: tree | {"units": {"lag": "day"}}),
        ("estimator", lambda tree: tree | {"estimator": "mean"}),
        ("dissimilarity", lambda tree: tree | {"dissimilarity": "euclid"}),
        ("shorter", lambda tree: tree | {"lag": tree["lag"][:-1]}),
        ("empty", lambda tree: tree | {"bin": [], "pair_count": []}),
        ("text", lambda tree: tree | {"lag": [str(lag) for lag in tree["lag"]]}),
        ("half a pair", lambda tree: tree | {"pair_count": [x + 0.5 for x in tree["pair_count"]]}),
        ("no pair", lambda tree: tree | {"pair_count": [0 for _ in tree["pair_count"]]}),
        ("order", lambda tree: tree | {"bin": tree["bin"][::-1]}),
        ("beyond", lambda tree: tree | {"bin": [number + 30 for number in tree["bin"]]}),
        ("outside", lambda tree: tree | {"lag": tree["lag"][::-1]}),
        ("edges", lambda tree: tree | {"edges": tree["edges"][::-1]}),
        ("quantile", lambda tree: tree | {"quantile": tree["quantile"][1:]}),
        (
            "ragged",
            lambda tree: tree | {"quantile": [tree["quantile"][0][1:], *tree["quantile"][1:]]},
        ),
        ("replicate", lambda tree: tree | {"replicate": [row[1:] for row in tree["replicate"]]}),
        ("count", lambda tree: tree | {"below_count": True}),
        ("provenance", lambda tree: tree | {"provenance": None}),
    ],
)
def test_damage_is_seen(tmp_path: Path, variogram: Variogram, name: str, damage: Any) -> None:
    path = save_variogram(variogram, tmp_path / "v.json")
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(DataError, match=r"v\.json"):
        load_variogram(path)


def test_half_a_file_and_none(tmp_path: Path, variogram: Variogram) -> None:
    path = save_variogram(variogram, tmp_path / "v.json")
    path.write_text(path.read_text()[:-40])
    with pytest.raises(DataError, match="damaged"):
        load_variogram(path)
    with pytest.raises(DataError, match="missing"):
        load_variogram(tmp_path / "nothing.json")


def test_csv_for_other_programs(tmp_path: Path, variogram: Variogram) -> None:
    single = dataclasses.replace(variogram, standard_error=np.full(len(variogram), np.nan))
    assert single.quantile is not None
    path = write_variogram_csv(single, tmp_path / "v.csv")
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [
        *("lag_km", "semivariance", "spread", "pair_count", "standard_error"),
        *("quantile_05", "quantile_25", "quantile_50", "quantile_75", "quantile_95"),
        *("lower_km", "upper_km"),
    ]
    assert len(rows) == len(variogram)
    for at, row in enumerate(rows):
        assert float(row["lag_km"]) == variogram.lag[at]
        assert float(row["semivariance"]) == variogram.semivariance[at]
        assert float(row["quantile_95"]) == single.quantile[at, 4]
        assert row["pair_count"] == str(variogram.pair_count[at])
        assert row["standard_error"] == ""
        assert float(row["lower_km"]) < float(row["lag_km"]) <= float(row["upper_km"])
