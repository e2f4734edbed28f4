from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from geoloc.errors import DataError
from geoloc.evaluation import error_fields
from geoloc.evaluation.strict_json import strict_json
from geoloc.geodesy import sample_sphere
from geoloc.geostatistics import gaussian_field

SCALE_KM, NUGGET = 800.0, 0.3
RANGE_KM = SCALE_KM * np.log((1.0 - NUGGET) / 0.05)


def covariance(lag):
    chord = 2 * 6371.0 * torch.sin(lag / (2 * 6371.0))
    return torch.where(lag == 0, 1.0, (1 - NUGGET) * torch.exp(-chord / SCALE_KM))


@pytest.fixture(scope="module")
def world():
    """Places, and the errors of five worlds whose logarithms have a known variogram."""
    places = sample_sphere(900, generator=np.random.default_rng(0))
    generator = torch.Generator().manual_seed(0)
    field = gaussian_field(places, covariance, generator=generator, fields=5)[:, :, 0].numpy()
    return places, 10.0 ** (3.0 + 0.3 * field) - 1.0


def test_the_effective_range_of_known_fields(world):
    places, errors = world
    found = [error_fields(places, each, block_km=500.0)[0] for each in errors]
    assert all(field.structured for field in found)
    reach = np.array([field.effective_range_km for field in found if field.effective_range_km])
    assert len(reach) == 5
    assert np.median(reach) == pytest.approx(RANGE_KM, rel=0.3)
    held = [low <= RANGE_KM <= high for low, high in (f.effective_range_interval_km for f in found)]
    assert sum(held) >= 4
    assert not any(field.blocks_long_enough for field in found)
    assert min(field.moran.z for field in found) > 8
    sill = np.median([field.fit.sill for field in found])
    assert sill == pytest.approx(0.09, rel=0.25)


def test_long_blocks_are_long_enough(world):
    places, errors = world
    log_km, geoscore = error_fields(places, errors[0], block_km=20_000.0)
    assert (log_km.measure, geoscore.measure) == ("log_km", "geoscore")
    assert log_km.blocks_long_enough
    told = json.loads(strict_json(log_km.to_json(), "field"))
    assert len(told["variogram"]["lag_km"]) == len(told["variogram"]["fitted"])
    assert told["moran"]["value"] == log_km.moran.value
    assert sum(told["clusters"].values()) == 900


def test_errors_at_random_reach_nowhere():
    generator = np.random.default_rng(1)
    places = sample_sphere(600, generator=generator)
    found = [
        error_fields(places, np.exp(generator.normal(5, 1, 600)), block_km=500.0)[0]
        for _ in range(5)
    ]
    assert sum(field.structured for field in found) <= 1
    quiet = next(field for field in found if not field.structured)
    assert quiet.effective_range_km is None
    assert quiet.blocks_long_enough


def test_few_images_have_no_field():
    with pytest.raises(DataError, match="100 images at least, not 99"):
        error_fields(np.zeros((99, 2)), np.ones(99), block_km=500.0)
