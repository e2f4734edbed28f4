from __future__ import annotations

import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.spacetime import CoefficientNetwork, NetworkShape, eof_basis, series_at
from geoloc.spacetime.coefficient_network import SiteReader
from tests.unit.spacetime.worlds import earth, plane

SMALL = NetworkShape(hidden=(8, 8), frequencies=6)


def test_recomposes_the_series_of_their_coefficients():
    stations = earth()
    basis = eof_basis(stations.values)
    network = CoefficientNetwork(stations.sites, basis.leading(2), SMALL, seed=0)
    assert len(network.bases) == 2
    # the world has two bases: their coefficients, in standard deviations, give it back
    score = basis.score[:, :2] / basis.variance[:2].sqrt()
    found = network.recompose(score.float())
    torch.testing.assert_close(found.double(), stations.values, rtol=1e-5, atol=1e-5)


def test_the_last_layer_is_not_trained():
    stations = earth()
    network = CoefficientNetwork(stations.sites, eof_basis(stations.values), SMALL, seed=0)
    trained = {name for name, _ in network.named_parameters()}
    assert all(name.startswith("dense.") for name in trained)
    assert {"bases", "mean"} <= set(network.state_dict())


@pytest.mark.parametrize("trunk", ["dense", "fourier", "location_encoder"])
def test_trunks_read_places_and_are_seeded(trunk):
    stations = plane(places=30)[0] if trunk == "fourier" else earth(places=30)
    shape = NetworkShape(trunk=trunk, hidden=(8, 8), sigmas=(0.5, 2.0), frequencies=6)
    basis = eof_basis(stations.values).leading(2)
    one, same, other = (
        series_at(CoefficientNetwork(stations.sites, basis, shape, seed=seed), stations.sites)
        for seed in (1, 1, 2)
    )
    assert one.shape == stations.values.shape
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_inputs_are_centred_and_scaled_by_the_stations():
    stations = earth(places=50)
    reader = SiteReader(stations.sites, SMALL)
    read = reader(reader.read(stations.sites))
    # unit vectors and the altitude
    assert read.shape == (50, 4)
    torch.testing.assert_close(read.mean(dim=0), torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(read.std(dim=0), torch.ones(4), rtol=1e-4, atol=0)
    moved = reader(reader.read(earth(places=50, seed=1).sites))
    assert float(moved.mean(dim=0).abs().max()) > 1e-3


def test_a_meridian_has_two_names_and_one_reading():
    stations = earth(places=10)
    reader = SiteReader(stations.sites, SMALL)
    at = stations.sites.at(torch.tensor([0]))
    at.places[0, 1] = -180.0
    west = reader(reader.read(at))
    at.places[0, 1] = 180.0
    torch.testing.assert_close(reader(reader.read(at)), west, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("trunk", "world"), [("fourier", "earth"), ("location_encoder", "plane"), ("deep", "earth")]
)
def test_refuses_trunks_for_other_places(trunk, world):
    stations = earth() if world == "earth" else plane()[0]
    with pytest.raises(ConfigError, match="trunk"):
        SiteReader(stations.sites, NetworkShape(trunk=trunk))
