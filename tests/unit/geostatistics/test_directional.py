import numpy as np
import pytest
import torch
from pyproj import Geod

from geoloc.errors import ConfigError
from geoloc.geodesy import sample_sphere
from geoloc.geostatistics import LagBins, directional_variograms, estimate_variogram
from geoloc.geostatistics.directional import bearings_deg
from geoloc.geostatistics.separation import Separation

SPHERE = Geod(a=6_371_000, b=6_371_000)
KM = Separation.of(LagBins.even(2, 10.0), "great_circle")


def test_bearings_on_the_sphere_are_those_at_the_middle():
    generator = np.random.default_rng(0)
    a, b = (sample_sphere(200, generator=generator) for _ in "ab")
    azimuth, _, distance = SPHERE.inv(a[:, 1], a[:, 0], b[:, 1], b[:, 0])
    middle = SPHERE.fwd(a[:, 1], a[:, 0], azimuth, np.asarray(distance) / 2)
    expected, _, _ = SPHERE.inv(middle[0], middle[1], b[:, 1], b[:, 0])
    positions = [KM.positions(torch.from_numpy(places)) for places in (a, b)]
    found = bearings_deg(*positions, on_sphere=True).diagonal().numpy()
    difference = (found - np.asarray(expected) + 90.0) % 180.0 - 90.0
    assert np.abs(difference).max() < 1e-5
    back = bearings_deg(positions[1], positions[0], on_sphere=True).diagonal().numpy()
    assert np.abs((back - found + 90.0) % 180.0 - 90.0).max() < 1e-5


def test_bearings_in_the_plane():
    a = torch.zeros(1, 3, dtype=torch.float64)
    b = torch.tensor([[0.0, 1, 0], [1, 1, 0], [1, 0, 0], [1, -1, 0], [0, -2, 0]]).double()
    found = bearings_deg(b, a, on_sphere=False)[:, 0] % 180
    assert found.tolist() == pytest.approx([0, 45, 90, 135, 0])


def test_bearings_between_two_sectors_go_round():
    # the diagonals of a grid lie exactly between north-south and east-west: one goes to each
    side = np.arange(12.0)
    places = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    north, east = directional_variograms(
        places,
        np.arange(144.0),
        bins=LagBins(edges=(0.0, 1.5, 4.0), unit="pixel"),
        metric="euclidean",
        sectors=2,
    )
    np.testing.assert_array_equal(north.pair_count, east.pair_count)


def test_sectors_share_out_all_pairs_and_see_the_stripes():
    # a field that varies from west to east only
    places = np.random.default_rng(1).uniform(0, 100, size=(600, 2))
    values = np.sin(places[:, 0] / 8.0)
    bins = LagBins.even(5, 25.0, unit="pixel")
    sectors = directional_variograms(places, values, bins=bins, metric="euclidean")
    whole = estimate_variogram(places, values, bins=bins, metric="euclidean")
    count = sum(each.pair_count for each in sectors)
    np.testing.assert_array_equal(count, whole.pair_count)
    mean = sum(each.pair_count * each.semivariance for each in sectors) / count
    np.testing.assert_allclose(mean, whole.semivariance, rtol=1e-9)
    north, northeast, east, southeast = (each.semivariance for each in sectors)
    assert [each.provenance["bearing_deg"] for each in sectors] == [0.0, 45.0, 90.0, 135.0]
    assert (east[:3] > 4 * north[:3]).all()
    assert (east[:3] > northeast[:3]).all()
    assert (northeast[:3] > north[:3]).all()
    np.testing.assert_allclose(northeast, southeast, rtol=0.3)
    with pytest.raises(ConfigError, match="two sectors"):
        directional_variograms(places, values, bins=bins, metric="euclidean", sectors=1)
