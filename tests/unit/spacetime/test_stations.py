from __future__ import annotations

import pytest
import torch

from geoloc.errors import CoordinateError, DataError
from geoloc.spacetime import Sites, Stations
from tests.unit.spacetime.worlds import earth


def test_rows_are_taken_together():
    stations = earth(places=6)
    rows = torch.tensor([4, 1])
    some = stations.at(rows)
    assert len(some) == 2
    assert torch.equal(some.values, stations.values[rows])
    assert torch.equal(some.sites.places, stations.sites.places[rows])
    assert torch.equal(some.sites.covariates, stations.sites.covariates[rows])


def test_refuses_what_does_not_fit():
    stations = earth(places=3)
    places, covariates = stations.sites.places, stations.sites.covariates
    with pytest.raises(CoordinateError):
        Sites(places=places + 100.0, covariates=covariates)
    assert len(Sites(places=places + 100.0, covariates=covariates, metric="euclidean")) == 3
    with pytest.raises(DataError, match="2 covariates of 3"):
        Sites(places=places, covariates=covariates[:2])
    with pytest.raises(DataError, match="not finite"):
        Sites(places=places, covariates=covariates * torch.nan)
    with pytest.raises(DataError, match="2 series at 3"):
        Stations(sites=stations.sites, values=stations.values[:2])
    with pytest.raises(DataError, match="gaps"):
        Stations(sites=stations.sites, values=stations.values * torch.nan)
