import numpy as np
import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.geodesy import great_circle_km, sample_sphere
from geoloc.geostatistics import LagBins, estimate_variogram, gaussian_field


def exponential(nugget, sill, scale):
    def covariance(lag):
        return torch.where(lag == 0, nugget + sill, sill * torch.exp(-lag / scale))

    return covariance


def test_covariance_of_many_fields_is_the_one_asked_for():
    places = sample_sphere(12, generator=np.random.default_rng(0))
    places[1] = places[0]
    fields = gaussian_field(
        places,
        exponential(0.3, 1.7, 4000.0),
        generator=torch.Generator().manual_seed(0),
        fields=40_000,
    )[:, :, 0]
    found = (fields.T @ fields / len(fields)).numpy()
    lag = great_circle_km(places[:, None], places[None])
    expected = exponential(0.3, 1.7, 4000.0)(torch.from_numpy(lag)).numpy()
    np.testing.assert_allclose(found, expected, atol=0.05)
    # one place twice is one value, nugget and all
    torch.testing.assert_close(fields[:, 0], fields[:, 1], atol=1e-3, rtol=0)
    assert abs(float(fields.mean())) < 0.02


@pytest.mark.parametrize("features", [1, 5])
def test_the_variogram_of_vectors_is_the_one_asked_for(features):
    places = np.random.default_rng(1).uniform(0, 40, size=(400, 2))
    bins = LagBins.even(6, 12.0, unit="pixel")
    fields = gaussian_field(
        places,
        exponential(0.2, 1.0, 3.0),
        generator=torch.Generator().manual_seed(1),
        features=features,
        fields=60,
        metric="euclidean",
        unit="pixel",
    )
    curves = [
        estimate_variogram(
            places, field.numpy(), bins=bins, metric="euclidean", dissimilarity="squared"
        )
        for field in fields
    ]
    mean = np.mean([curve.semivariance for curve in curves], axis=0)
    expected = 1.2 - 1.0 * np.exp(-curves[0].lag / 3.0)
    np.testing.assert_allclose(mean, expected, rtol=0.05)


@pytest.mark.parametrize("sill", [0.0, 1e-60, 1e60])
def test_sills_of_any_size(sill):
    places = np.repeat(sample_sphere(20, generator=np.random.default_rng(0)), 2, axis=0)
    field = gaussian_field(
        places, exponential(0.0, sill, 500.0), generator=torch.Generator().manual_seed(0)
    )
    assert float(field.var()) == pytest.approx(sill, rel=0.6)


def test_what_is_no_covariance_is_refused():
    places = sample_sphere(300, generator=np.random.default_rng(2))
    generator = torch.Generator()
    with pytest.raises(ConfigError, match="no covariance"):
        # Gaussian on great circles with a scale of a radian
        gaussian_field(places, lambda h: torch.exp(-((h / 6371) ** 2)), generator=generator)
    with pytest.raises(ConfigError, match="one at least"):
        gaussian_field(places, exponential(0, 1, 1.0), generator=generator, fields=0)
    with pytest.raises(ConfigError, match="20000"):
        gaussian_field(np.zeros((20_001, 2)), exponential(0, 1, 1.0), generator=generator)
