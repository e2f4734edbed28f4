from __future__ import annotations

import numpy as np
import pytest
import torch

from geoloc.errors import CoordinateError, DataError
from geoloc.geodesy import great_circle_km
from geoloc.geostatistics import LagBins, accumulator_for, gaussian_field
from geoloc.regions import LocalRanges, local_ranges

BINS = LagBins.logarithmic(30, 20.0, 20_000.0)


def two_worlds(scales):
    """Places around 0, 60 W and 0, 60 E, and vectors whose exponential scales differ there."""
    generator, chance = torch.Generator().manual_seed(0), np.random.default_rng(0)
    places, values = [], []
    for lon, scale in zip((-60.0, 60.0), scales, strict=True):
        at = np.array([0.0, lon]) + chance.uniform(-20, 20, (400, 2))
        field = gaussian_field(
            at, lambda h, s=scale: torch.exp(-h / s), generator=generator, features=40
        )
        places.append(at)
        values.append(field[0].numpy())
    return np.concatenate(places), np.concatenate(values)


def ranges_of(places, values, groups=20):
    sums, group = accumulator_for(places, values, bins=BINS, dissimilarity="squared", groups=groups)
    sums.add(places, values, groups=group)
    return local_ranges(sums, places, group), group


def test_the_range_is_short_where_the_field_changes_quickly():
    places, values = two_worlds((150.0, 900.0))
    found, _ = ranges_of(places, values)
    west, east = found.at(np.array([[0.0, -60.0], [0.0, 60.0]]))
    assert east > 2 * west
    # an exponential reaches 95 % at three scales; the curve is drawn towards the global one
    assert west == pytest.approx(450, rel=0.5)
    assert west < found.global_range_km < east


def test_alike_worlds_have_alike_ranges():
    found, _ = ranges_of(*two_worlds((300.0, 300.0)))
    west, east = found.at(np.array([[0.0, -60.0], [0.0, 60.0]]))
    assert 0.6 < west / east < 1.6


def test_middles_are_those_of_the_regions_places():
    places, values = two_worlds((150.0, 900.0))
    found, group = ranges_of(places, values)
    assert len(found.centre_deg) == 4
    for region, middle in enumerate(found.centre_deg):
        inside = places[group // 5 == region]
        assert float(great_circle_km(middle, inside.mean(axis=0))) < 150


def test_between_regions_the_logarithm_is_averaged_by_nearness():
    found = LocalRanges(
        centre_deg=np.array([[0.0, 0.0], [0.0, 20.0]]),
        effective_range_km=np.array([100.0, 400.0]),
        global_range_km=200.0,
    )
    at = found.at(np.array([[0.0, 0.0], [0.0, 10.0], [0.0, 20.0], [0.0, 5.0]]))
    np.testing.assert_allclose(at[:3], [100.0, 200.0, 400.0], rtol=1e-6)
    # weights of 1/5² and 1/15² on chords, which are nearly in the ratio of the arcs
    assert at[3] == pytest.approx(100 * 4**0.1, rel=2e-3)
    with pytest.raises(CoordinateError):
        found.at(np.array([[91.0, 0.0]]))


def test_features_without_structure_have_no_range():
    places, _ = two_worlds((1.0, 1.0))
    noise = np.random.default_rng(0).normal(size=(len(places), 40))
    with pytest.raises(DataError, match="no more alike"):
        ranges_of(places, noise)


def test_a_file_reads_back_exactly_and_damage_is_told(tmp_path):
    file = tmp_path / "ranges.json"
    found = LocalRanges(
        centre_deg=np.array([[0.1, 0.2], [-3.0, 20.0]]),
        effective_range_km=np.array([100.0 / 3, 400.0]),
        global_range_km=200.0,
        provenance={"source": "here"},
    )
    found.save(file)
    back = LocalRanges.load(file)
    np.testing.assert_array_equal(back.centre_deg, found.centre_deg)
    np.testing.assert_array_equal(back.effective_range_km, found.effective_range_km)
    assert (back.global_range_km, back.provenance) == (200.0, {"source": "here"})
    assert found.to_text().splitlines()[1].split() == ["33", "km", "around", "0.1,", "0.2"]
    file.write_text(file.read_text().replace("400.0", "-400.0"))
    with pytest.raises(DataError, match="range above 0"):
        LocalRanges.load(file)
    file.write_text('{"kind": "variogram"}')
    with pytest.raises(DataError, match="geoloc gallery ranges"):
        LocalRanges.load(file)
    file.write_text('{"kind": "local_ranges", "schema_version": 1}')
    with pytest.raises(DataError, match="damaged"):
        LocalRanges.load(file)
